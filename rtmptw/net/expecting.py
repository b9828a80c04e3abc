"""
What size the pictures of a publisher have, so that nobody need look at its connection
before one of them can be there.
"""

from typing import Final

#: So many pictures are looked at before anything is expected of the next ones: two
#: seconds, in which there is a key frame as a rule.
WINDOW: Final = 64
#: Seconds from one picture to the next, on the average of a window; nothing is expected
#: where it is longer. 24 a second are still regular.
SLOWEST: Final = 0.05
#: Without a picture for so many seconds all is forgotten.
PAUSE: Final = 0.075
#: Bytes. What is less than this may be sound, and a picture can be smaller than those
#: before it. More need not be expected: sound between two pictures is never as much.
LEAST: Final = 1024
MOST: Final = 16384


class PictureSizes:
    """
    Learns from the pictures that have come how large the next one is at least.
    """

    __slots__ = ("_begun", "_count", "_expected", "_last", "_smallest")

    def __init__(self) -> None:
        self._expected: int = 1
        self._last: float = 0.0
        self._forget(0.0)

    def _forget(self, now: float) -> None:
        self._expected = 1
        self._begin(now)

    def _begin(self, now: float) -> None:
        self._begun: float = now
        self._count: int = 0
        self._smallest: int = 2 * MOST

    def received(self, size: int, now: float) -> None:
        """
        A picture has come.

        @param size: in bytes; that of a codec's header is not one.
        @param now: in seconds.
        """
        if size < self._expected or now - self._last >= PAUSE:
            # Not as regular as they were.
            self._forget(now)
        self._last = now
        if size < self._smallest:
            self._smallest = size
        self._count += 1
        if self._count == WINDOW:
            half = self._smallest // 2
            isRegular = now - self._begun < WINDOW * SLOWEST and half >= LEAST
            # A power of two, so that it is seldom another one.
            self._expected = 1 << half.bit_length() - 1 if isRegular else 1
            self._begin(now)

    def expected(self, now: float) -> int:
        """
        @return: so many bytes of the next picture come at least, if pictures go on as
            they did; 1 if nothing can be said.
        """
        if self._expected > 1 and now - self._last >= PAUSE:
            self._forget(now)
        return self._expected
