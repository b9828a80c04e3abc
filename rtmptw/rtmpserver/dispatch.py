"""
Passes frames from a session to their streams. This is separate from the protocol
because that has many attributes: in a compiled class of its own, these few are fast to
reach.
"""

from collections.abc import Callable
from typing import Final

from rtmptw.frames import Frame, FrameKind
from rtmptw.hub.stream import Stream
from rtmptw.net.expecting import VideoSizes
from rtmptw.rtmp.events import Event, FramesReceived
from rtmptw.rtmp.serversession import ServerSession
from rtmptw.rtmpserver.budget import Budget

#: A peer that sent this many bytes since the last read is sending as fast as it can.
FAST: Final = 65536
_VIDEO: Final = FrameKind.VIDEO


def _toNobody(event: Event) -> None:
    """
    Discard the event: the connection is gone.
    """


def _nothing() -> None:
    """
    Do nothing: the connection is gone.
    """


class Dispatch:
    """
    Passes received bytes to a session, and the resulting frames to their streams.
    """

    __slots__ = (
        "_budget",
        "_current",
        "_now",
        "_react",
        "_session",
        "_settle",
        "_streams",
        "_video",
    )

    def __init__(
        self,
        session: ServerSession,
        react: Callable[[Event], None],
        settle: Callable[[], None],
        budget: Budget,
    ) -> None:
        """
        @param react: called with each event that is not frames.
        @param settle: called when something other than frames was received, or there is
            something to send.
        @param budget: told how many bytes were received.
        """
        self._session = session
        self._budget = budget
        self._react = react
        self._settle = settle
        self._now: float = 0.0
        self._video = VideoSizes()
        self._streams: dict[int, Stream] = {}
        # The stream that is getting frames now.
        self._current: Stream | None = None

    def published(self, streamID: int, stream: Stream) -> None:
        """
        Pass the frames of a message stream to a stream of the hub.
        """
        self._streams[streamID] = stream

    def unpublished(self, streamID: int) -> None:
        """
        Stop passing frames, including the rest of those just received.
        """
        if self._streams.pop(streamID) is self._current:
            self._current = None

    def close(self) -> None:
        """
        The connection is gone: stop passing frames and events.
        """
        self._react = _toNobody
        self._settle = _nothing
        self._streams = {}
        self._current = None

    def receive(self, data: bytes, now: float) -> int:
        """
        Process bytes from the peer.

        @param now: the time of the session's clock, in seconds.
        @return: how many bytes to wait for before the next read, because with fewer
            there is no complete video frame if the frames keep their size; 1 for any
            number.
        """
        session = self._session
        self._now = now
        isPlain = self.give(session.receive(data, now))
        self._budget.received(len(data))
        if not isPlain or session.unsaid or session.isResting or not self._streams:
            self._settle()
            return 1
        if len(data) >= FAST:
            return 1
        if session.isWithin:
            # The peer may be waiting for an acknowledgement before it sends the rest.
            return 1
        return self._video.expected(now)

    def give(self, events: list[Event]) -> bool:
        """
        Pass frames to their streams, and all other events to C{react}.

        @return: whether there were only frames.
        """
        isPlain = True
        for event in events:
            if isinstance(event, FramesReceived):
                stream = self._streams.get(event.streamID)
                if stream is not None:
                    self._giveFrames(stream, event.frames)
            else:
                isPlain = False
                self._react(event)
        return isPlain

    def _giveFrames(self, stream: Stream, frames: list[Frame]) -> None:
        now = self._now
        video = self._video
        self._current = stream
        for frame in frames:
            if frame.kind is _VIDEO and not frame.isHeader:
                video.received(frame.size, now)
            stream.frameReceived(frame)
            if not self._isCurrent(stream):
                # A sink has ended this stream.
                return

    def _isCurrent(self, stream: Stream) -> bool:
        # A function, so that the compiler does not rely on the earlier assignment.
        return self._current is stream
