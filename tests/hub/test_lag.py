"""
Tests of how far a sink is behind, and what is logged about it.
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
    The clock only moves when it is set.
    """

    def open(self, patience: float = 0.0) -> Lag:
        """
        A sink that has already lost three frames.
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
        The lines logged since the last call, all of them warnings.
        """
        lines = [formatEvent(event) for event in self.events]
        for event in self.events:
            self.assertIs(event["log_level"], LogLevel.warn)
        self.events.clear()
        return lines

    def test_tellsWhenItHasCaughtUp(self) -> None:
        """
        How long it was behind, the longest queue, and what was dropped in that time.
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
        For ten seconds after a line no other is logged; the next line covers everything
        since.
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
        The ten seconds count from the last line, not from the first.
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
        It ends after the given number of seconds, and the reason says so.
        """
        lag = self.open(patience=5)
        self.clock.advance(60)
        self.assertFalse(lag.isOverdue)
        lag.fallBehind(200, 5000)
        self.ledger.drop(TOO_SLOW, 4)
        self.clock.advance(2)
        # Falling further behind does not start the time again.
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
        It restarts when the sink has caught up, logged or not.
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
        0 means no limit; a small value is a limit.
        """
        for patience, isOverdue in ((0, False), (0.5, True), (1.5, True)):
            lag = self.open(patience)
            lag.fallBehind(1, 1)
            self.clock.advance(86400)
            self.assertEqual(lag.isOverdue, isOverdue)
