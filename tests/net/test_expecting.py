"""
Tests of the expected size of the next video frame.
"""

from twisted.trial.unittest import SynchronousTestCase

from rtmptw.net.expecting import LEAST, MOST, PAUSE, SLOWEST, WINDOW, VideoSizes


class VideoSizesTests(SynchronousTestCase):
    """
    Regular video frames are expected to continue; nothing else is expected.
    """

    def setUp(self) -> None:
        self.sizes = VideoSizes()
        self.now = 1000.0

    def images(self, sizes: list[int], interval: float = 0.04) -> int:
        """
        @return: the expected size after these video frames.
        """
        for size in sizes:
            self.now += interval
            self.sizes.received(size, self.now)
        return self.sizes.expected(self.now)

    def test_halfOfTheSmallest(self) -> None:
        """
        Half of the smallest frame of a window, rounded down to a power of two, and only
        after a whole window.
        """
        sizes = [77000, *[17000] * (WINDOW - 3), 10000]
        self.assertEqual(self.images(sizes), 1)
        self.assertEqual(self.images([20000]), 4096)
        self.assertEqual(self.images([17000] * (WINDOW - 1)), 4096)
        self.assertEqual(self.images([17000]), 8192)

    def test_bounds(self) -> None:
        """
        Frames as small as audio give no expectation; the upper bound is where nothing
        more is gained.
        """
        self.assertEqual(self.images([2 * LEAST] * WINDOW), LEAST)
        self.assertEqual(self.images([2 * LEAST - 1] * WINDOW), 1)
        self.assertEqual(self.images([500_000] * WINDOW), MOST)

    def test_aSmallFrameEndsIt(self) -> None:
        """
        A frame smaller than expected resets the expectation until a whole window has
        passed.
        """
        self.assertEqual(self.images([5000] * WINDOW), 2048)
        self.assertEqual(self.images([2048]), 2048)
        self.assertEqual(self.images([2047]), 1)
        self.assertEqual(self.images([5000] * (WINDOW - 2)), 1)
        self.assertEqual(self.images([5000, 5000]), 1)
        self.assertEqual(self.images([5000] * (WINDOW - 1)), 2048)

    def test_aPauseEndsIt(self) -> None:
        """
        A pause resets the expectation, whether it is asked for during the pause or
        after.
        """
        for asks in (True, False):
            self.assertEqual(self.images([5000] * WINDOW), 2048)
            self.now += PAUSE
            if asks:
                self.assertEqual(self.sizes.expected(self.now), 1)
            self.assertEqual(self.images([5000]), 1)
            self.assertEqual(self.images([5000] * (WINDOW - 2)), 1)
            self.assertEqual(self.images([5000]), 2048)

    def test_slowVideo(self) -> None:
        """
        Nothing is expected of slow video: audio would wait too long for it.
        """
        self.assertEqual(self.images([5000] * WINDOW * 2, SLOWEST * 1.1), 1)
        self.assertEqual(self.images([5000] * WINDOW * 2, SLOWEST * 0.9), 2048)
