"""
Work that is more than one turn of the reactor should take.
"""

from collections import deque
from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

#: Seconds of each turn of the reactor that go to connections that have more to do. All
#: others have the rest, and wait no longer than this.
SHARE = 0.01


class Shifts:
    """
    Lets connections that have more to do than one turn allows go on, one after the
    other, for a small part of each turn of the reactor, however many they are.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._waiting: deque[Callable[[], bool]] = deque()
        self._call: IDelayedCall | None = None

    def add(self, takeTurn: Callable[[], bool]) -> None:
        """
        Let somebody go on in the next turns.

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
                # A mistake of ours: the other connections go on.
                self._log.failure("an error in what was received")
                continue
            if hasMore:
                waiting.append(takeTurn)
            if clock.seconds() >= until:
                break
        if waiting and self._call is None:
            self._call = clock.callLater(0, self._work)
