"""
The way of a frame from its session to its stream. A class of its own beside the
protocol, which has many attributes: compiled, this one has them at hand.
"""

from collections.abc import Callable
from typing import Final

from rtmptw._pictures import PictureSizes
from rtmptw.frames import FrameKind
from rtmptw.hub.stream import Stream
from rtmptw.session.events import Event, FrameReceived
from rtmptw.session.server import ServerSession

#: Who has sent so many bytes since the last look sends as fast as it can.
FAST: Final = 65536
_VIDEO: Final = FrameKind.VIDEO


class Dispatch:
    """
    Gives a session what was received, and what it makes of that to the streams.

    @ivar streams: those that are published, by message stream.
    """

    __slots__ = ("_now", "_pictures", "_react", "_session", "_settle", "streams")

    def __init__(
        self,
        session: ServerSession,
        react: Callable[[Event], None],
        settle: Callable[[], None],
    ) -> None:
        """
        @param react: called with each event that is no frame.
        @param settle: called when more than frames has come, or there is something
            to say.
        """
        self._session = session
        self._react = react
        self._settle = settle
        self._now: float = 0.0
        self._pictures = PictureSizes()
        self.streams: dict[int, Stream] = {}

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
        if not isPlain or session.unsaid or not self.streams:
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
            if isinstance(event, FrameReceived):
                stream = self.streams.get(event.streamID)
                if stream is not None:
                    frame = event.frame
                    if frame.kind is _VIDEO and not frame.isHeader:
                        self._pictures.received(len(frame.payload), self._now)
                    stream.frameReceived(frame)
            else:
                isPlain = False
                self._react(event)
        return isPlain
