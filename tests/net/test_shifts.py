"""
Tests of work that is spread over several turns.
"""

from collections.abc import Callable

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from rtmptw.net.shifts import SHARE, Shifts


class ShiftsTests(SynchronousTestCase):
    """
    Connections that have more to do.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.shifts = Shifts(self.clock)
        self.done: list[str] = []

    def worker(self, name: str, turns: int, seconds: float) -> Callable[[], bool]:
        """
        @return: work that takes a number of turns of some seconds each.
        """
        left = turns

        def takeTurn() -> bool:
            nonlocal left
            left -= 1
            self.clock.rightNow += seconds
            self.done.append(name)
            if name == "c":
                self.clock.callLater(0, self.done.append, "the reactor")
            return left > 0

        return takeTurn

    def test_inTurn(self) -> None:
        """
        All get the same number of turns, and together only a share of the reactor's
        turn; work that has begun is finished.
        """
        self.assertEqual(SHARE, 0.01)
        self.shifts.add(self.worker("a", 4, 0.003))
        self.shifts.add(self.worker("b", 2, 0.003))
        self.shifts.add(self.worker("c", 1, 0.003))
        self.assertEqual(self.done, [])
        self.clock.advance(0)
        self.assertEqual(self.done, ["a", "b", "c", "a", "the reactor", "b", "a", "a"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_whoComesMeanwhile(self) -> None:
        """
        A newcomer gets its turn after the others, and no timer is left when all is
        done.
        """

        def first() -> bool:
            self.shifts.add(self.worker("second", 2, 0.001))
            return False

        self.shifts.add(first)
        self.clock.advance(0)
        self.assertEqual(self.done, ["second", "second"])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.shifts.add(self.worker("third", 1, 0.0))
        self.clock.advance(0)
        self.assertEqual(self.done[2:], ["third"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_aMistakeEndsNobodyElse(self) -> None:
        """
        An exception is logged, and its work is removed; the others continue.
        """

        def broken() -> bool:
            raise RuntimeError("ours")

        self.shifts.add(broken)
        self.shifts.add(self.worker("other", 1, 0.0))
        self.clock.advance(0)
        self.assertEqual(self.done, ["other"])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])
