"""
Tests of how far a sink is behind, and what is said of it.
"""

from typing import cast

from twisted.internet.task import Clock
from twisted.logger import (
    ILogObserver,
    LogEvent,
    LogLevel,
    formatEvent,
    globalLogPublisher,
)
from twisted.trial.unittest import SynchronousTestCase

from rtmptw.hub.lag import Lag
from rtmptw.hub.ledger import TOO_SLOW, Ledger


class LagTests(SynchronousTestCase):
    """
    By a clock that stands still unless it is set.
    """

    def open(self, patience: float = 0.0) -> Lag:
        """
        A sink that has lost three frames before.
        """
        self.clock = Clock()
        self.clock.advance(1000)
        self.ledger = Ledger()
        self.ledger.drop(TOO_SLOW, 3)
        self.lag = Lag("live/cam", "play", patience, self.ledger, self.clock.seconds)
        self.events: list[LogEvent] = []
        observe = cast(ILogObserver, self.events.append)
        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        return self.lag

    def lines(self) -> list[str]:
        """
        What was logged since the last time, all of it as warnings.
        """
        lines = [formatEvent(event) for event in self.events]
        for event in self.events:
            self.assertIs(event["log_level"], LogLevel.warn)
        self.events.clear()
        return lines

    def test_tellsWhenItHasCaughtUp(self) -> None:
        """
        For how long it was behind, the most that waited, and what was dropped since.
        """
        lag = self.open()
        self.assertFalse(lag.isBehind)
        lag.fallBehind(200, 5000)
        self.assertTrue(lag.isBehind)
        self.clock.advance(1.5)
        lag.fallBehind(300, 4000)
        lag.fallBehind(100, 4500)
        self.ledger.drop(TOO_SLOW, 7)
        self.clock.advance(1)
        self.assertEqual(self.lines(), [])
        lag.catchUp()
        self.assertFalse(lag.isBehind)
        self.assertEqual(
            self.lines(),
            [
                "live/cam: play was too slow and has caught up after 2.5 s: up to "
                "300 ms and 5000 bytes behind, 7 frames dropped"
            ],
        )

    def test_oneLineTellsOfSeveralTimes(self) -> None:
        """
        Within ten seconds after a line there is no other; the next tells of all that
        was not told.
        """
        lag = self.open()
        lag.fallBehind(900, 9000)
        self.ledger.drop(TOO_SLOW, 5)
        lag.catchUp()
        self.assertEqual(len(self.lines()), 1)
        self.clock.advance(8)
        lag.fallBehind(100, 2000)
        self.ledger.drop(TOO_SLOW)
        self.clock.advance(1.5)
        lag.catchUp()
        self.assertFalse(lag.isBehind)
        self.assertEqual(self.lines(), [])
        lag.fallBehind(50, 3000)
        self.ledger.drop(TOO_SLOW)
        self.clock.advance(0.5)
        lag.catchUp()
        self.assertEqual(
            self.lines(),
            [
                "live/cam: play was too slow and has caught up after 2.0 s: up to "
                "100 ms and 3000 bytes behind, 2 frames dropped"
            ],
        )

    def test_theLineThatFollowsSoon(self) -> None:
        """
        Counts from the one before it, not from the first.
        """
        lag = self.open()
        told = []
        for _ in range(3):
            lag.fallBehind(1, 1)
            self.clock.advance(9.5)
            lag.catchUp()
            told.append(len(self.lines()))
        self.assertEqual(told, [1, 0, 1])

    def test_patience(self) -> None:
        """
        It ends after so many seconds, and says why.
        """
        lag = self.open(patience=5)
        self.clock.advance(60)
        self.assertFalse(lag.isOverdue)
        lag.fallBehind(200, 5000)
        self.ledger.drop(TOO_SLOW, 4)
        self.clock.advance(2)
        # Falling further behind is no new beginning.
        lag.fallBehind(200, 6000)
        self.clock.advance(2.875)
        self.assertFalse(lag.isOverdue)
        self.clock.advance(0.125)
        self.assertTrue(lag.isOverdue)
        self.assertEqual(
            lag.verdict,
            "too slow for 5 s: up to 200 ms and 6000 bytes behind, 4 frames dropped",
        )
        self.assertEqual(self.lines(), [])

    def test_patienceBeginsAnew(self) -> None:
        """
        When the sink had caught up, told or not.
        """
        lag = self.open(patience=5)
        for _ in range(3):
            lag.fallBehind(200, 5000)
            self.clock.advance(4)
            self.assertFalse(lag.isOverdue)
            lag.catchUp()
            self.clock.advance(4)
            self.assertFalse(lag.isOverdue)

    def test_noPatience(self) -> None:
        """
        0 is for ever; a little is not.
        """
        for patience, isOverdue in ((0, False), (0.5, True), (1.5, True)):
            lag = self.open(patience)
            lag.fallBehind(1, 1)
            self.clock.advance(86400)
            self.assertEqual(lag.isOverdue, isOverdue)
