"""
Tests of what is expected of the next picture.
"""

from twisted.trial.unittest import SynchronousTestCase

from rtmptw.net.expecting import LEAST, MOST, PAUSE, SLOWEST, WINDOW, PictureSizes


class PictureSizesTests(SynchronousTestCase):
    """
    Regular pictures are expected to go on; nothing else is expected.
    """

    def setUp(self) -> None:
        self.sizes = PictureSizes()
        self.now = 1000.0

    def pictures(self, sizes: list[int], interval: float = 0.04) -> int:
        """
        @return: what is expected when these have come.
        """
        for size in sizes:
            self.now += interval
            self.sizes.received(size, self.now)
        return self.sizes.expected(self.now)

    def test_halfOfTheSmallest(self) -> None:
        """
        Of a window, as a power of two; no sooner.
        """
        sizes = [77000, *[17000] * (WINDOW - 3), 10000]
        self.assertEqual(self.pictures(sizes), 1)
        self.assertEqual(self.pictures([20000]), 4096)
        self.assertEqual(self.pictures([17000] * (WINDOW - 1)), 4096)
        self.assertEqual(self.pictures([17000]), 8192)

    def test_bounds(self) -> None:
        """
        As small as sound says nothing; not more than there is to gain.
        """
        self.assertEqual(self.pictures([2 * LEAST] * WINDOW), LEAST)
        self.assertEqual(self.pictures([2 * LEAST - 1] * WINDOW), 1)
        self.assertEqual(self.pictures([500_000] * WINDOW), MOST)

    def test_aSmallPictureEndsIt(self) -> None:
        """
        One that nobody would have waited for; then a whole window comes first.
        """
        self.assertEqual(self.pictures([5000] * WINDOW), 2048)
        self.assertEqual(self.pictures([2048]), 2048)
        self.assertEqual(self.pictures([2047]), 1)
        self.assertEqual(self.pictures([5000] * (WINDOW - 2)), 1)
        self.assertEqual(self.pictures([5000, 5000]), 1)
        self.assertEqual(self.pictures([5000] * (WINDOW - 1)), 2048)

    def test_aPauseEndsIt(self) -> None:
        """
        Whoever asks meanwhile is told, and who comes back begins anew.
        """
        for asks in (True, False):
            self.assertEqual(self.pictures([5000] * WINDOW), 2048)
            self.now += PAUSE
            if asks:
                self.assertEqual(self.sizes.expected(self.now), 1)
            self.assertEqual(self.pictures([5000]), 1)
            self.assertEqual(self.pictures([5000] * (WINDOW - 2)), 1)
            self.assertEqual(self.pictures([5000]), 2048)

    def test_slowPictures(self) -> None:
        """
        Sound would wait too long for them.
        """
        self.assertEqual(self.pictures([5000] * WINDOW * 2, SLOWEST * 1.1), 1)
        self.assertEqual(self.pictures([5000] * WINDOW * 2, SLOWEST * 0.9), 2048)
