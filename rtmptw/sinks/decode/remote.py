"""
The server's end of a child that decodes for a loop in the server.
"""

import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from twisted.internet.interfaces import IPushProducer

from rtmptw._pyav.decoding import Counts
from rtmptw.frames import Frame, FrameKind, StreamInfo
from rtmptw.sinks.child import ChildSink
from rtmptw.sinks.decode.decoding import DecodedFrame, Wanted
from rtmptw.sinks.decode.memory import Memory
from rtmptw.sinks.decode.process import MEMORY, commandForFrames
from rtmptw.sinks.wire import Kind, numberMessage


@dataclass(slots=True)
class Remote:
    """
    A decoded frame that is still in the shared memory.

    @ivar key_frame: whether it is a key frame. (PyAV's name.)
    """

    kind: FrameKind
    arrived: datetime
    key_frame: bool
    memory: Memory
    said: dict[str, Any]

    @property
    def frame(self) -> "Remote":
        """
        Itself: frames decoded in this process have PyAV's frame here.
        """
        return self


class DecodingProcess:
    """
    Like L{Decoding<rtmptw.sinks.decode.decoding.Decoding>}, in a child: decoded frames
    come through shared memory. At most L{SLOTS} of them wait.

    @ivar skipped: the number of decoded frames replaced by newer ones.
    """

    def __init__(
        self, reactor: Any, wanted: Wanted, changed: Callable[[], None]
    ) -> None:
        """
        @param changed: called when there is something to take, or L{isOver} has become
            true.
        """
        self.skipped = 0
        self.counts = Counts()
        self._reactor = reactor
        self._wanted = wanted
        self._changed = changed
        self._child: ChildSink | None = None
        self._memory: Memory | None = None
        self._waiting: deque[Remote] = deque()
        self._isEnding = False
        self._isEnded = False
        self._isAbandoned = False

    @property
    def failure(self) -> str:
        """
        Why the child failed for good; empty if it has not.
        """
        return "" if self._child is None else self._child.failure

    @property
    def waiting(self) -> int:
        """
        The number of frames waiting: coded in the child, and decoded here.
        """
        coded = 0 if self._child is None else self._child.unprocessed
        return coded + len(self._waiting)

    @property
    def isOver(self) -> bool:
        """
        Whether there is nothing to take, now or later.
        """
        return self._isEnded and not self._waiting

    def start(self, stream: StreamInfo, producer: IPushProducer) -> None:
        """
        The stream starts.
        """
        command = commandForFrames(self._wanted, self._descriptors, stream)
        self._child = ChildSink(self._reactor, command, said=self._said)
        self._child.streamStarted(stream, producer)

    def _descriptors(self) -> dict[int, int]:
        """
        @return: the files for the next child, by their number there.
        """
        self._memory = Memory()
        return {MEMORY: self._memory.descriptor}

    def receive(self, frame: Frame) -> None:
        """
        Pass the next frame of the stream to the child.
        """
        assert self._child is not None
        self._child.frameReceived(frame)

    def end(self) -> None:
        """
        The stream has ended: decode all that is queued.
        """
        if self._isEnding:
            return
        self._isEnding = True
        assert self._child is not None
        ended = self._child.streamEnded("the stream is over")
        if ended is None:
            self._over(None)
        else:
            ended.addCallback(self._over)

    def _over(self, result: None) -> None:
        self._isEnded = True
        self._changed()

    def abandon(self) -> None:
        """
        Nothing more is wanted: kill the child, and drop all that is queued.
        """
        self._isAbandoned = True
        self._waiting.clear()
        assert self._child is not None
        self._child.kill()
        self.end()

    def take(self, most: int) -> list[Remote]:
        """
        @return: at most C{most} decoded frames, the oldest first.
        """
        return [
            self._waiting.popleft() for _count in range(min(most, len(self._waiting)))
        ]

    def give(self, remote: Remote) -> DecodedFrame:
        """
        Read a frame from the shared memory; in any thread.

        @raise ValueError: if it cannot be read.
        """
        said = remote.said
        try:
            array = remote.memory.read(said["position"], said["shape"], said["type"])
        finally:
            self._reactor.callFromThread(self.letGo, remote)
        isVideo = remote.kind is FrameKind.VIDEO
        return DecodedFrame(
            remote.kind,
            float(said["pts"]),
            remote.arrived,
            remote.key_frame,
            int(said["track"]),
            image=array if isVideo else None,
            samples=None if isVideo else array,
            rate=int(said["rate"]),
        )

    def letGo(self, remote: Remote) -> None:
        """
        Tell the child that the frame's slot is free again.
        """
        if self._child is not None and remote.memory is self._memory:
            self._child.tell(numberMessage(Kind.FREE, int(remote.said["slot"])))

    def close(self) -> None:
        """
        Release the shared memory.
        """
        self._memory = None

    def _said(self, kind: Kind, body: bytes) -> None:
        if kind is not Kind.IMAGE:
            raise ValueError(f"unexpected message {kind.name}")
        if self._isAbandoned:
            return
        said = json.loads(body)
        assert self._memory is not None
        remote = Remote(
            FrameKind(said["kind"]),
            datetime.fromtimestamp(float(said["arrived"]), UTC),
            bool(said["key"]),
            self._memory,
            said,
        )
        self.counts.decoded[remote.kind] += 1
        if self._wanted.isLatest:
            for older in [one for one in self._waiting if one.kind is remote.kind]:
                self._waiting.remove(older)
                self.skipped += 1
                self.letGo(older)
        self._waiting.append(remote)
        self._changed()
