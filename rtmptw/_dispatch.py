"""
The way of a frame from its session to its stream. A class of its own beside the
protocol, which has many attributes: compiled, this one has them at hand.
"""

from collections.abc import Callable

from rtmptw.hub.stream import Stream
from rtmptw.session.events import Event, FrameReceived
from rtmptw.session.server import ServerSession


class Dispatch:
    """
    Gives a session what was received, and what it makes of that to the streams.

    @ivar streams: those that are published, by message stream.
    """

    __slots__ = ("_react", "_session", "_settle", "streams")

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
        self.streams: dict[int, Stream] = {}

    def receive(self, data: bytes, now: float) -> None:
        """
        Take bytes from the peer.

        @param now: by the clock of the session, in seconds.
        """
        session = self._session
        isPlain = self.give(session.receive(data, now))
        if not isPlain or session.unsaid or not self.streams:
            self._settle()

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
                    stream.frameReceived(event.frame)
            else:
                isPlain = False
                self._react(event)
        return isPlain
