"""
The way of a frame from its session to its stream. A class of its own beside the
protocol, which has many attributes: compiled, this one has them at hand.
"""

from collections.abc import Callable
from typing import Final

from rtmptw.frames import Frame, FrameKind
from rtmptw.hub.stream import Stream
from rtmptw.net.expecting import PictureSizes
from rtmptw.rtmp.events import Event, FramesReceived
from rtmptw.rtmp.serversession import ServerSession
from rtmptw.rtmpserver.budget import Budget

#: Who has sent so many bytes since the last look sends as fast as it can.
FAST: Final = 65536
_VIDEO: Final = FrameKind.VIDEO


def _toNobody(event: Event) -> None:
    """
    Nobody is there any more.
    """


def _nothing() -> None:
    """
    There is nothing to settle.
    """


class Dispatch:
    """
    Gives a session what was received, and what it makes of that to the streams.
    """

    __slots__ = (
        "_budget",
        "_current",
        "_now",
        "_pictures",
        "_react",
        "_session",
        "_settle",
        "_streams",
    )

    def __init__(
        self,
        session: ServerSession,
        react: Callable[[Event], None],
        settle: Callable[[], None],
        budget: Budget,
    ) -> None:
        """
        @param react: called with each event that is no frame.
        @param settle: called when more than frames has come, or there is something
            to say.
        @param budget: told how much has come.
        """
        self._session = session
        self._budget = budget
        self._react = react
        self._settle = settle
        self._now: float = 0.0
        self._pictures = PictureSizes()
        self._streams: dict[int, Stream] = {}
        # The stream that gets frames now.
        self._current: Stream | None = None

    def published(self, streamID: int, stream: Stream) -> None:
        """
        Give the frames of a message stream to a stream of the hub.
        """
        self._streams[streamID] = stream

    def unpublished(self, streamID: int) -> None:
        """
        Give it no more frames, not even those that came together with the last one.
        """
        if self._streams.pop(streamID) is self._current:
            self._current = None

    def close(self) -> None:
        """
        The connection is gone: give nobody anything any more.
        """
        self._react = _toNobody
        self._settle = _nothing
        self._streams = {}
        self._current = None

    def receive(self, data: bytes, now: float) -> int:
        """
        Take bytes from the peer.

        @param now: by the clock of the session, in seconds.
        @return: for how many bytes it is worth waiting before the next are taken, as
            less is no picture if these go on as they come; 1 is for any.
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
            # The rest of it may wait for us to acknowledge what has come.
            return 1
        return self._pictures.expected(now)

    def give(self, events: list[Event]) -> bool:
        """
        Give frames to their streams, and all else to who knows.

        @return: whether there were frames only.
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
        pictures = self._pictures
        self._current = stream
        for frame in frames:
            if frame.kind is _VIDEO and not frame.isHeader:
                pictures.received(frame.size, now)
            stream.frameReceived(frame)
            if not self._isCurrent(stream):
                # It was ended by what a sink did.
                return

    def _isCurrent(self, stream: Stream) -> bool:
        # A function, so that the compiler does not believe what was assigned before.
        return self._current is stream
