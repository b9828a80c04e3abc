"""
How long to wait before something that failed is tried again.
"""

from collections.abc import Callable

#: Seconds before the first try, and at most before any.
FIRST_WAIT = 1.0
LONGEST_WAIT = 30.0
#: 2 to this power is far beyond any longest wait.
_MAX_TRIES = 16


class Backoff:
    """
    Waits that double, up to a longest, with a part of chance: who was cut off together
    does not come back together.
    """

    def __init__(
        self,
        random: Callable[[], float],
        least: float,
        most: float,
        longest: float = LONGEST_WAIT,
    ) -> None:
        """
        @param random: gives numbers from 0 to 1.
        @param least: by chance, so many times the usual wait at least.
        @param most: and so many times at most.
        @param longest: seconds that no wait is longer than.
        """
        self._random = random
        self._least = least
        self._most = most
        self._longest = longest
        self._tries = 0

    @property
    def usual(self) -> float:
        """
        The seconds that the next wait has without chance.
        """
        return min(FIRST_WAIT * 2.0**self._tries, self._longest)

    def next(self) -> float:
        """
        @return: the seconds to wait now, L{FIRST_WAIT} to the longest.
        """
        factor = self._least + (self._most - self._least) * self._random()
        wait = min(max(self.usual * factor, FIRST_WAIT), self._longest)
        # No number grows without bound.
        self._tries = min(self._tries + 1, _MAX_TRIES)
        return wait

    def reset(self) -> None:
        """
        It has worked: the waits begin anew.
        """
        self._tries = 0
