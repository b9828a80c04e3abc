"""
How far a sink is behind, what is said of it, and for how long it may be.
"""

from collections.abc import Callable
from typing import ClassVar, Final

from twisted.logger import Logger

from rtmptw.hub.ledger import Ledger

#: A sink that lags and catches up time and again is told of once in so many seconds.
SAY_AGAIN: Final = 10.0


class Lag:
    """
    Notes when a sink falls behind, so that frames are dropped, and catches up again.

    @ivar isBehind: whether it is behind now.
    """

    # Not one for each object, as mypyc would make it.
    _log: ClassVar[Logger] = Logger()

    def __init__(
        self,
        stream: str,
        sink: str,
        patience: float,
        ledger: Ledger,
        seconds: Callable[[], float],
    ) -> None:
        """
        @param stream: its name, for the log.
        @param sink: likewise.
        @param patience: the seconds for which it may be behind; 0 is for ever.
        @param ledger: counts what is dropped.
        @param seconds: the monotonic clock.
        """
        self.isBehind: bool = False
        self._stream = stream
        self._sink = sink
        self._patience = patience
        self._ledger = ledger
        self._seconds = seconds
        self._behindSince = 0.0
        # What the next line in the log tells: perhaps of several times.
        self._isUntold = False
        self._untoldSince = 0.0
        self._droppedBefore = 0
        self._milliseconds = 0
        self._bytes = 0
        self._toldAt = float("-inf")

    def fallBehind(self, milliseconds: int, size: int) -> None:
        """
        More waits than may.

        @param milliseconds: how long the oldest frame has waited.
        @param size: how many bytes wait.
        """
        now = self._seconds()
        if not self._isUntold:
            self._isUntold = True
            self._untoldSince = now
            self._droppedBefore = self._ledger.droppedFrames
            self._milliseconds, self._bytes = milliseconds, size
        self._milliseconds = max(self._milliseconds, milliseconds)
        self._bytes = max(self._bytes, size)
        if not self.isBehind:
            self.isBehind = True
            self._behindSince = now

    @property
    def isOverdue(self) -> bool:
        """
        Whether it has been behind for too long.
        """
        return (
            self.isBehind
            and self._patience > 0
            and self._seconds() - self._behindSince >= self._patience
        )

    @property
    def verdict(self) -> str:
        """
        Why the sink has to leave.
        """
        return f"too slow for {self._patience:g} s: {self._told()}"

    def catchUp(self) -> None:
        """
        Nothing waits any more.
        """
        self.isBehind = False
        now = self._seconds()
        if now - self._toldAt < SAY_AGAIN:
            # It comes and goes; one line will tell it all.
            return
        self._log.warn(
            "{stream}: {sink} was too slow and has caught up after {seconds:.1f} s: "
            "{lag}",
            stream=self._stream,
            sink=self._sink,
            seconds=now - self._untoldSince,
            lag=self._told(),
        )
        self._toldAt = now
        self._isUntold = False

    def _told(self) -> str:
        return (
            f"up to {self._milliseconds} ms and {self._bytes} bytes behind, "
            f"{self._ledger.droppedFrames - self._droppedBefore} frames dropped"
        )
