"""
When what was gathered for many connections leaves.
"""

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger


class Turns:
    """
    Sends what all connections of a server have gathered: when all sockets that had
    something have been read, else at the end of the turn of the reactor; or every so
    many seconds.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime, interval: float = 0.0) -> None:
        """
        @param interval: in seconds; 0 is each turn. More makes fewer and larger
            writes for many viewers, and is added to their delay.
        """
        self._clock = clock
        self._interval = interval
        self._isReading = False
        self._due: list[Callable[[], None]] = []

    def add(self, flush: Callable[[], None]) -> None:
        """
        Let somebody send when the turn is over.
        """
        if not (self._due or self._isReading):
            self._clock.callLater(self._interval, self._end)
        self._due.append(flush)

    def later(self, seconds: float, flush: Callable[[], None]) -> IDelayedCall:
        """
        Let somebody send after so many seconds.
        """
        return self._clock.callLater(seconds, flush)

    def readingBegins(self) -> None:
        """
        Sockets are read now, one after the other: L{readingEnds} follows. That is the
        end of a turn, without a turn of the reactor.
        """
        self._isReading = self._interval == 0.0

    def readingEnds(self) -> None:
        """
        All of them have been read.
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
                # A mistake of ours: the other connections get theirs.
                self._log.failure("an error in sending")
