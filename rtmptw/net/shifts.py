"""
Spreads long work over several turns of the reactor.
"""

from collections import deque
from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

#: Seconds of each reactor turn for connections with more to do. All others get the
#: rest, and wait no longer than this.
SHARE = 0.01


class Shifts:
    """
    Serves connections that have more to do than one turn allows, round-robin, for a
    small part of each turn of the reactor, however many there are.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._waiting: deque[Callable[[], bool]] = deque()
        self._call: IDelayedCall | None = None

    def add(self, takeTurn: Callable[[], bool]) -> None:
        """
        Call C{takeTurn} in the next turns.

        @param takeTurn: does a part of the work; returns whether there is more.
        """
        self._waiting.append(takeTurn)
        if self._call is None:
            self._call = self._clock.callLater(0, self._work)

    def _work(self) -> None:
        self._call = None
        waiting = self._waiting
        clock = self._clock
        until: float = clock.seconds() + SHARE
        while waiting:
            takeTurn = waiting.popleft()
            try:
                hasMore = takeTurn()
            except Exception:
                # A bug of ours must not affect the other connections.
                self._log.failure("error while processing received data")
                continue
            if hasMore:
                waiting.append(takeTurn)
            if clock.seconds() >= until:
                break
        if waiting and self._call is None:
            self._call = clock.callLater(0, self._work)
