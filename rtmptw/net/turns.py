"""
When the data gathered for many connections is sent.
"""

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger


class Turns:
    """
    Sends what was gathered for all connections of a server: once all sockets that had
    data have been read, otherwise at the end of the reactor's turn, or at a fixed
    interval.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime, interval: float = 0.0) -> None:
        """
        @param interval: in seconds; 0 means each turn. A longer one makes fewer and
            larger writes for many players, and adds to their latency.
        """
        self._clock = clock
        self._interval = interval
        self._isReading = False
        self._due: list[Callable[[], None]] = []

    def add(self, flush: Callable[[], None]) -> None:
        """
        Call C{flush} when the turn is over.
        """
        if not (self._due or self._isReading):
            self._clock.callLater(self._interval, self._end)
        self._due.append(flush)

    def later(self, seconds: float, flush: Callable[[], None]) -> IDelayedCall:
        """
        Call C{flush} after a delay in seconds.
        """
        return self._clock.callLater(seconds, flush)

    def readingBegins(self) -> None:
        """
        Sockets are about to be read, one after the other, until L{readingEnds}. That
        ends a turn without waiting for the reactor.
        """
        self._isReading = self._interval == 0.0

    def readingEnds(self) -> None:
        """
        All sockets have been read.
        """
        if self._isReading:
            self._isReading = False
            self._end()

    def _end(self) -> None:
        due, self._due = self._due, []
        for flush in due:
            try:
                flush()
            except Exception:
                # A bug of ours must not affect the other connections.
                self._log.failure("error while sending to a connection")
