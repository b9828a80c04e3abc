"""
Exponential backoff: how long to wait before a retry.
"""

from collections.abc import Callable

#: Seconds before the first retry, and at most before any.
FIRST_WAIT = 1.0
LONGEST_WAIT = 30.0
#: 2 to this power is far beyond any longest wait.
_MAX_TRIES = 16


class Backoff:
    """
    Waits that double up to a maximum, with jitter, so that clients that were
    disconnected together do not reconnect together.
    """

    def __init__(
        self,
        random: Callable[[], float],
        least: float,
        most: float,
        longest: float = LONGEST_WAIT,
    ) -> None:
        """
        @param random: returns random numbers from 0 to 1.
        @param least: the smallest factor by which chance multiplies the usual wait.
        @param most: the largest such factor.
        @param longest: the longest wait in seconds.
        """
        self._random = random
        self._least = least
        self._most = most
        self._longest = longest
        self._tries = 0

    @property
    def usual(self) -> float:
        """
        The next wait without jitter, in seconds.
        """
        return min(FIRST_WAIT * 2.0**self._tries, self._longest)

    def next(self) -> float:
        """
        @return: the seconds to wait now, L{FIRST_WAIT} to the longest.
        """
        factor = self._least + (self._most - self._least) * self._random()
        wait = min(max(self.usual * factor, FIRST_WAIT), self._longest)
        # Keep the number bounded.
        self._tries = min(self._tries + 1, _MAX_TRIES)
        return wait

    def reset(self) -> None:
        """
        Start again with the shortest wait, after a success.
        """
        self._tries = 0
