"""
Tests of the end of a sink.
"""

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from rtmptw.hub.ending import Ending
from rtmptw.testing import RecordingSink


class EndingTests(SynchronousTestCase):
    """
    The sink is told once, and many callers can wait.
    """

    def setUp(self) -> None:
        self.sink = RecordingSink()
        self.ending = Ending("test", self.sink)

    def test_atOnce(self) -> None:
        """
        A sink that finishes at once.
        """
        early = self.ending.whenOver()
        self.assertIsNone(self.ending.finished)
        self.assertNoResult(early)
        finished = self.ending.begin("enough")
        self.assertIs(self.ending.finished, finished)
        self.assertEqual(self.sink.ended, ["enough"])
        for waiting in (finished, early, self.ending.whenOver()):
            self.assertIsNone(self.successResultOf(waiting))

    def test_later(self) -> None:
        """
        All callers are told when the sink has finished; later callers at once.
        """
        self.sink.finished = Deferred()
        early = self.ending.whenOver()
        finished = self.ending.begin("enough")
        late = self.ending.whenOver()
        self.assertIsNot(late, early)
        for waiting in (finished, early, late):
            self.assertNoResult(waiting)
        self.sink.finished.callback(None)
        for waiting in (finished, early, late, self.ending.whenOver()):
            self.assertIsNone(self.successResultOf(waiting))

    def test_errors(self) -> None:
        """
        Errors are logged with the name of the sink, and all callers are told anyway.
        """
        self.sink.finished = Deferred()
        early = self.ending.whenOver()
        finished = self.ending.begin("enough")
        self.sink.finished.errback(RuntimeError("on purpose"))
        self.assertIsNone(self.successResultOf(finished))
        self.assertIsNone(self.successResultOf(early))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
