"""
Tests for L{rtmptw.lane}, with real threads.
"""

import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from rtmptw.errors import SinkError
from rtmptw.lane import Lane

T = TypeVar("T")


@implementer(IReactorFromThreads)
class ThreadClock(Clock):
    """
    A clock that accepts calls from threads, and makes them while it waits.
    """

    #: The longest wait, in seconds. It is more than any of these tests takes on a busy
    #: machine.
    PATIENCE = 60

    def __init__(self) -> None:
        super().__init__()
        self._calls: queue.Queue[Callable[[], Any]] = queue.Queue()
        self.thread = threading.current_thread()

    def callFromThread(
        self, callable: Callable[..., Any], *args: object, **kwargs: object
    ) -> None:
        """
        Make the call in L{waitUntil}.
        """
        self._calls.put(lambda: callable(*args, **kwargs))

    def waitUntil(self, happened: Callable[[], bool]) -> None:
        """
        Make the calls from other threads until a condition is true.
        """
        while not happened():
            self._calls.get(timeout=self.PATIENCE)()

    def waitFor(self, deferred: "Deferred[T]") -> "Deferred[T]":
        """
        Make the calls from other threads until a Deferred has fired.
        """
        self.waitUntil(lambda: bool(deferred.called))
        return deferred


class LaneTests(SynchronousTestCase):
    """
    Blocking calls are made in order, in another thread than the reactor's.
    """

    def setUp(self) -> None:
        self.clock = ThreadClock()
        self.lane = Lane(self.clock, "test")
        self.addCleanup(self.lane.close)

    def test_resultsComeBackToTheReactorsThread(self) -> None:
        """
        The function runs in another thread, and its result arrives in the reactor's
        thread.
        """
        seen: list[Any] = []
        result = self.lane.run(threading.current_thread)
        result.addCallback(lambda thread: seen.append((thread, threading.get_ident())))
        self.clock.waitFor(result)
        [(worker, here)] = seen
        self.assertIsNot(worker, threading.current_thread())
        self.assertEqual(here, threading.get_ident())

    def test_argumentsArePassedOn(self) -> None:
        """
        Positional and keyword arguments reach the function.
        """
        result = self.lane.run(sorted, [1, 3, 2], reverse=True)
        self.assertEqual(self.successResultOf(self.clock.waitFor(result)), [3, 2, 1])

    def test_callsAreMadeInOrderAndOneAtATime(self) -> None:
        """
        A call begins after the one before has ended, however long that takes.
        """
        gate = threading.Event()
        order: list[int] = []

        def first() -> None:
            gate.wait(ThreadClock.PATIENCE)
            order.append(1)

        self.lane.run(first)
        others = [self.lane.run(order.append, number) for number in range(2, 20)]
        self.assertEqual(order, [])
        gate.set()
        self.clock.waitFor(others[-1])
        self.assertEqual(order, list(range(1, 20)))

    def test_failuresComeBackAndTheLaneGoesOn(self) -> None:
        """
        An exception fails only its own call.
        """
        bad = self.lane.run(int, "no number")
        good = self.lane.run(int, "7")
        self.clock.waitFor(good)
        self.failureResultOf(bad, ValueError)
        self.assertEqual(self.successResultOf(good), 7)

    def test_itCountsWhatIsPending(self) -> None:
        """
        A call is pending until its result or failure has arrived.
        """
        bad = self.lane.run(int, "no number")
        good = self.lane.run(int, "7")
        self.assertEqual(self.lane.pending, 2)
        self.clock.waitFor(good)
        self.assertEqual(self.lane.pending, 0)
        self.failureResultOf(bad, ValueError)

    def test_itTakesSoManyCallsAndNoMore(self) -> None:
        """
        At the limit a call is refused. When one has finished, another is accepted.
        """
        gate = threading.Event()
        results: list[Any] = [self.lane.run(gate.wait, ThreadClock.PATIENCE)]
        results += [self.lane.run(int, 7) for _ in range(1, Lane.MAX_PENDING)]
        refused = self.assertRaises(SinkError, self.lane.run, int, "7")
        self.assertIn("64 blocking calls", str(refused))
        self.assertEqual(self.lane.pending, Lane.MAX_PENDING)
        gate.set()
        self.clock.waitFor(results[-1])
        self.assertEqual(self.lane.pending, 0)
        self.clock.waitFor(self.lane.run(int, "7"))

    def test_aLaneThatIsNotUsedHasNoThread(self) -> None:
        """
        Making and closing a lane starts no thread.
        """
        before = threading.active_count()
        lane = Lane(self.clock, "idle")
        self.assertEqual(threading.active_count(), before)
        lane.close()

    def test_closingEndsTheThread(self) -> None:
        """
        After C{close} the worker thread has ended.
        """
        lane = Lane(self.clock, "short")
        result = self.clock.waitFor(lane.run(threading.current_thread))
        worker = self.successResultOf(result)
        self.assertTrue(worker.daemon)
        lane.close()
        self.assertFalse(worker.is_alive())
