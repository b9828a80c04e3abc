"""
Tests for L{rtmptw.backoff}.
"""

from functools import partial

from twisted.trial.unittest import SynchronousTestCase

from rtmptw.backoff import LONGEST_WAIT, Backoff


class BackoffTests(SynchronousTestCase):
    """
    Waits between tries.
    """

    def test_theyDouble(self) -> None:
        """
        Waits begin at one second and double up to the longest. A reset starts again.
        """
        backoff = Backoff(lambda: 0.5, 0.75, 1.25)
        waits = [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
        self.assertEqual([backoff.next() for _ in waits], waits)
        for _ in range(2000):
            self.assertEqual(backoff.next(), LONGEST_WAIT)
        backoff.reset()
        self.assertEqual(
            (backoff.usual, backoff.next(), backoff.usual), (1.0, 1.0, 2.0)
        )

    def test_chance(self) -> None:
        """
        Waits vary randomly between the two factors, but never beyond the bounds.
        """
        for number, waits in (
            (0.0, [1.0, 1.5, 3.0, 6.0, 12.0, 22.5]),
            (1.0, [1.25, 2.5, 5.0, 10.0, 20.0, 30.0]),
        ):
            backoff = Backoff(partial(float, number), 0.75, 1.25)
            self.assertEqual([backoff.next() for _ in waits], waits)

    def test_aShorterLongest(self) -> None:
        """
        The longest wait can be set.
        """
        backoff = Backoff(lambda: 1.0, 1.0, 1.3, longest=3.0)
        self.assertEqual([backoff.next() for _ in range(4)], [1.3, 2.6, 3.0, 3.0])
