"""
Learns the sizes of a publisher's video frames, so that its connection need not be read
before the next one can be complete.
"""

from typing import Final

#: Number of video frames observed before anything is expected of the next ones: two
#: seconds, which usually contain a key frame.
WINDOW: Final = 64
#: Longest average interval between video frames in a window, in seconds; nothing is
#: expected of slower streams. 24 frames a second still count as regular.
SLOWEST: Final = 0.05
#: Seconds without a video frame after which everything is forgotten.
PAUSE: Final = 0.075
#: Bytes. Less than LEAST may be audio, and a video frame can be smaller than those
#: before it. Expecting more than MOST is pointless: the audio between two video frames
#: is never that much.
LEAST: Final = 1024
MOST: Final = 16384


class VideoSizes:
    """
    Estimates the least size of the next video frame from the ones before.
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
        Take note of a video frame.

        @param size: in bytes; sequence headers do not count.
        @param now: in seconds.
        """
        if size < self._expected or now - self._last >= PAUSE:
            # Less regular than before.
            self._forget(now)
        self._last = now
        if size < self._smallest:
            self._smallest = size
        self._count += 1
        if self._count == WINDOW:
            half = self._smallest // 2
            isRegular = now - self._begun < WINDOW * SLOWEST and half >= LEAST
            # A power of two, so that it seldom changes.
            self._expected = 1 << half.bit_length() - 1 if isRegular else 1
            self._begin(now)

    def expected(self, now: float) -> int:
        """
        @return: the least number of bytes of the next video frame, if video continues
            as before; 1 if nothing can be expected.
        """
        if self._expected > 1 and now - self._last >= PAUSE:
            self._forget(now)
        return self._expected
