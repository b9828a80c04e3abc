"""
Tests of the parts of a connection on their own.
"""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from rtmptw.rtmpserver.alarm import Alarm
from rtmptw.rtmpserver.names import MAX_NAMES, Names


class AlarmTests(SynchronousTestCase):
    """
    One timer, whatever happens.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.alarm = Alarm(self.clock)
        self.rung: list[float] = []

    def ring(self) -> None:
        """
        Count the call.
        """
        self.rung.append(self.clock.seconds())

    def test_itRingsOnce(self) -> None:
        """
        It rings on time, and can be set again from the callback.
        """
        self.alarm.arm(2.0, self.ring)
        self.clock.advance(1.9)
        self.assertEqual(self.rung, [])
        self.clock.advance(0.1)
        self.assertEqual(self.rung, [2.0])
        self.alarm.arm(3.0, self.ring)
        self.clock.advance(5.0)
        self.assertEqual(len(self.rung), 2)

    def test_anEarlierDeadline(self) -> None:
        """
        An earlier deadline moves the timer; a later one does not: the timer rings
        early, and is set again.
        """
        self.alarm.arm(5.0, self.ring)
        self.alarm.arm(3.0, self.ring)
        self.alarm.arm(9.0, self.ring)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.advance(3.0)
        self.assertEqual(self.rung, [3.0])

    def test_aDeadlineInThePast(self) -> None:
        """
        A deadline in the past rings at once.
        """
        self.clock.advance(4.0)
        self.alarm.arm(1.0, self.ring)
        self.clock.advance(0.0)
        self.assertEqual(self.rung, [4.0])

    def test_cancel(self) -> None:
        """
        After C{cancel} no timer is left; a second call does nothing.
        """
        self.alarm.arm(1.0, self.ring)
        self.alarm.cancel()
        self.alarm.cancel()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class NamesTests(SynchronousTestCase):
    """
    The stream names in the last log line of a connection.
    """

    def test_eachOnce(self) -> None:
        """
        Each name appears once, in order, up to the limit.
        """
        names = Names()
        self.assertFalse(names)
        names.add("live/b")
        names.add("live/a")
        names.add("live/b")
        self.assertTrue(names)
        self.assertEqual(str(names), "live/b, live/a")
        for number in range(20):
            names.add(f"live/{number}")
        self.assertEqual(len(str(names).split(", ")), MAX_NAMES)
