"""
How far a sink is behind, for how long, and what is logged about it.
"""

from collections.abc import Callable
from typing import ClassVar, Final

from twisted.logger import Logger

from rtmptw.hub.ledger import Ledger

#: A sink that repeatedly lags and catches up is logged at most once in this many
#: seconds.
SAY_AGAIN: Final = 10.0


class Lag:
    """
    Records when a sink falls behind, so that frames are dropped, and catches up again.

    @ivar isBehind: whether it is behind now.
    """

    # ClassVar, because mypyc would otherwise create one for each object.
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
        @param stream: the stream's name, for the log.
        @param sink: the sink's name, for the log.
        @param patience: how long the sink may be behind, in seconds; 0 for no limit.
        @param ledger: counts the dropped frames.
        @param seconds: the monotonic clock.
        """
        self.isBehind: bool = False
        self._stream = stream
        self._sink = sink
        self._patience = patience
        self._ledger = ledger
        self._seconds = seconds
        self._behindSince = 0.0
        # For the next line in the log, which can cover several lags.
        self._isUntold = False
        self._untoldSince = 0.0
        self._droppedBefore = 0
        self._milliseconds = 0
        self._bytes = 0
        self._toldAt = float("-inf")

    def fallBehind(self, milliseconds: int, size: int) -> None:
        """
        Note that the queue exceeds its limits.

        @param milliseconds: how long the oldest frame has waited.
        @param size: the number of bytes queued.
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
        Whether the sink has been behind for too long.
        """
        return (
            self.isBehind
            and self._patience > 0
            and self._seconds() - self._behindSince >= self._patience
        )

    @property
    def verdict(self) -> str:
        """
        Why the sink is detached.
        """
        return f"too slow for {self._patience:g} s: {self._told()}"

    def catchUp(self) -> None:
        """
        Note that the queue is empty again.
        """
        self.isBehind = False
        now = self._seconds()
        if now - self._toldAt < SAY_AGAIN:
            # It lags again and again: one line later covers it all.
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
