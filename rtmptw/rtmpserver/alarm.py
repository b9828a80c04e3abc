"""
A timer that wakes a connection when no data arrives.
"""

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime


class Alarm:
    """
    One timer for one connection.
    """

    __slots__ = ("_clock", "_timer")

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._timer: IDelayedCall | None = None

    def arm(self, deadline: float, ring: Callable[[], None]) -> None:
        """
        Call C{ring} at a deadline, or earlier: an early call costs less than moving the
        timer whenever data arrives.

        @param deadline: in seconds of the clock.
        """
        delay = max(0.0, deadline - self._clock.seconds())
        if self._timer is None:
            self._timer = self._clock.callLater(delay, self._ring, ring)
        elif self._timer.getTime() > deadline:
            self._timer.reset(delay)

    def _ring(self, ring: Callable[[], None]) -> None:
        self._timer = None
        ring()

    def cancel(self) -> None:
        """
        Cancel the timer.
        """
        if self._timer is not None:
            timer, self._timer = self._timer, None
            timer.cancel()
