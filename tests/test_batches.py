"""
Tests for L{rtmptw.batches}.
"""

import gc
import weakref
from collections.abc import Callable
from typing import Any

from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from rtmptw.batches import FLUSH_BYTES, FLUSH_SECONDS, MAX_BYTES, BatchWriter
from rtmptw.testing import RecordingProducer
from tests.sinks.test_file import HeldLane, ImmediateLane


class Collector:
    """
    An owner that collects numbers and writes them into a list.
    """

    def __init__(self) -> None:
        self.items: list[int] = []
        self.written: list[list[int]] = []
        self.asked: list[bool] = []
        self.last: list[Callable[[], Any]] = []
        self.failures: list[str] = []
        #: What it returns when a batch is written or fails.
        self.reason = ""

    def takeBatch(self, isEnding: bool) -> Callable[[], Any] | None:
        self.asked.append(isEnding)
        items, self.items = self.items, []
        if items:
            return lambda: self.write(items)
        return self.last.pop() if isEnding and self.last else None

    def write(self, items: list[int]) -> list[int]:
        self.written.append(items)
        return [10 // item for item in items]

    def batchWritten(self, result: Any) -> str:
        return self.reason

    def batchFailed(self, failure: Failure) -> str:
        self.failures.append(type(failure.value).__name__)
        return self.reason


class BatchWriterTests(SynchronousTestCase):
    """
    When batches are written, the producer is paused, and the writer ends.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.producer = RecordingProducer()
        self.lanes: list[HeldLane] = []
        self.owner = Collector()
        self.writer = self.makeWriter()

    def makeWriter(self, **limits: Any) -> BatchWriter:
        """
        @return: a new writer whose writes are held until released.
        """

        def makeLane(reactor: Any, name: str) -> HeldLane:
            self.lanes.append(HeldLane(reactor, name))
            return self.lanes[-1]

        return BatchWriter(
            self.clock, self.owner, "numbers", makeLane, self.producer, **limits
        )

    def add(self, item: int, size: int = 1, isUrgent: bool = False) -> None:
        self.owner.items.append(item)
        self.writer.added(size, isUrgent)

    @property
    def held(self) -> int:
        """
        The number of calls held in lanes.
        """
        return sum(len(lane.held) for lane in self.lanes)

    def letGo(self) -> None:
        self.lanes[-1].letGo()

    def test_manyBytesAreWrittenAtOnce(self) -> None:
        """
        A batch is written at once when it has C{FLUSH_BYTES}, and not one byte earlier.
        """
        self.add(1, FLUSH_BYTES - 1)
        self.assertEqual(self.lanes, [])
        self.assertFalse(self.writer.isUsed)
        self.add(2, 1)
        self.assertEqual(self.held, 1)
        self.assertTrue(self.writer.isUsed)
        self.letGo()
        self.assertEqual(self.owner.written, [[1, 2]])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_theFirstOfABatchWaitsSoLongAtMost(self) -> None:
        """
        A batch is written C{FLUSH_SECONDS} after its first item. Later items do not
        delay it.
        """
        self.add(1)
        self.clock.advance(FLUSH_SECONDS * 0.75)
        self.add(2)
        self.assertEqual(self.held, 0)
        self.clock.advance(FLUSH_SECONDS * 0.25)
        self.assertEqual(self.held, 1)

    def test_whatIsUrgentIsWrittenAtOnce(self) -> None:
        """
        An urgent item is written at once, with everything before it.
        """
        self.add(1)
        self.add(2, isUrgent=True)
        self.letGo()
        self.assertEqual(self.owner.written, [[1, 2]])

    def test_neverTwoAtOnce(self) -> None:
        """
        Only one batch is written at a time. Meanwhile an urgent, large, old or
        requested batch is written next; any other waits longer.
        """
        for meanwhile in ("urgent", "much", "old", "asked", "neither"):
            self.setUp()
            self.add(1, isUrgent=True)
            self.add(2, FLUSH_BYTES if meanwhile == "much" else 1)
            if meanwhile == "urgent":
                self.add(3, isUrgent=True)
            elif meanwhile == "old":
                self.clock.advance(FLUSH_SECONDS)
            elif meanwhile == "asked":
                self.writer.flush()
            self.assertEqual(self.held, 1, meanwhile)
            self.letGo()
            self.assertEqual(self.held, meanwhile != "neither", meanwhile)
            self.assertEqual(self.owner.written, [[1]], meanwhile)

    def test_tooManyBytesPause(self) -> None:
        """
        Too many bytes, those being written included, pause the producer. It resumes at
        half the limit, and not at one byte more.
        """
        self.add(1, MAX_BYTES // 2)
        self.add(2, MAX_BYTES // 2)
        self.assertEqual(self.producer.calls, [])
        self.add(3, 1)
        self.add(4, 0)
        self.assertEqual(self.producer.calls, ["pause"])
        self.letGo()
        self.assertEqual(self.producer.calls, ["pause"])
        self.letGo()
        self.assertEqual(self.producer.calls, ["pause", "resume"])

    def test_goesOnAtHalf(self) -> None:
        """
        The producer resumes when the bytes queued and being written are down to half
        the limit.
        """
        self.add(1, MAX_BYTES // 2 + 1)
        self.add(2, MAX_BYTES // 2)
        self.assertEqual(self.producer.calls, ["pause"])
        self.letGo()
        self.assertEqual(self.producer.calls, ["pause", "resume"])
        self.assertEqual(self.held, 1)

    def test_tooManyItemsPause(self) -> None:
        """
        Too many items pause the producer, even if they have no bytes.
        """
        self.writer = self.makeWriter(maxItems=4)
        self.add(1, 0, isUrgent=True)
        self.add(2, 0, isUrgent=True)
        self.add(3, 0)
        self.add(4, 0)
        self.assertEqual(self.producer.calls, [])
        self.add(5, 0)
        self.assertEqual(self.producer.calls, ["pause"])
        self.letGo()
        self.assertEqual(self.producer.calls, ["pause"])
        self.letGo()
        self.assertEqual(self.producer.calls, ["pause", "resume"])

    def test_theEndIsInOrder(self) -> None:
        """
        The end waits for the current write, writes what is left, lets the owner do its
        last work, and then closes the lane.
        """
        self.owner.last.append(lambda: self.owner.written.append([0]))
        self.add(1, isUrgent=True)
        self.add(2)
        done = self.writer.finish()
        assert done is not None
        self.assertEqual(self.held, 1)
        for written in ([[1]], [[1], [2]], [[1], [2], [0]]):
            self.assertNoResult(done)
            self.letGo()
            self.assertEqual(self.owner.written, written)
        self.successResultOf(done)
        self.assertEqual(self.owner.asked, [False, True, True, True])
        self.assertEqual([lane.closed for lane in self.lanes], [True])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_theEndOfNothing(self) -> None:
        """
        If nothing was added, the end makes no lane.
        """
        self.assertIsNone(self.writer.finish())
        self.assertEqual((self.lanes, self.writer.isUsed), ([], False))

    def test_theEndThatIsDoneAtOnce(self) -> None:
        """
        An end that is done at once returns no Deferred.
        """
        self.writer = BatchWriter(self.clock, self.owner, "now", ImmediateLane)
        self.add(1)
        self.assertIsNone(self.writer.finish())
        self.assertEqual(self.owner.written, [[1]])

    def test_aReasonEndsIt(self) -> None:
        """
        If the owner returns a reason for a failure, the producer is stopped, once. The
        owner's last work is still done.
        """
        self.owner.last.append(lambda: self.owner.written.append([0]))
        self.add(0, isUrgent=True)
        self.owner.reason = "it cannot be divided"
        self.letGo()
        self.assertEqual(self.owner.failures, ["ZeroDivisionError"])
        self.assertEqual(self.producer.calls, ["stop"])
        done = self.writer.finish()
        assert done is not None
        self.letGo()
        self.successResultOf(done)
        self.assertEqual(self.owner.written, [[0], [0]])
        self.assertEqual(self.producer.calls, ["stop"])
        self.assertTrue(self.lanes[0].closed)

    def test_aReasonAtTheEndStopsNobody(self) -> None:
        """
        A reason returned during the end neither stops nor resumes the producer.
        """
        self.writer = self.makeWriter(maxBytes=1)
        self.add(0, 2, isUrgent=True)
        done = self.writer.finish()
        self.owner.reason = "it cannot be divided"
        self.letGo()
        assert done is not None
        self.successResultOf(done)
        self.assertEqual(self.producer.calls, ["pause"])

    def test_aFailureWithoutAReasonIsNoEnd(self) -> None:
        """
        After a failure without a reason, the next batch is written.
        """
        self.add(0, isUrgent=True)
        self.add(1, isUrgent=True)
        self.letGo()
        self.letGo()
        self.assertEqual(self.owner.written, [[0], [1]])
        self.assertEqual(self.producer.calls, [])

    def test_whoIsStoppedMayEndAtOnce(self) -> None:
        """
        The end may be called from within C{stopProducing}, as the hub does.
        """
        ends: list[Any] = []
        self.patch(
            self.producer, "stopProducing", lambda: ends.append(self.writer.finish())
        )
        self.add(0, isUrgent=True)
        self.owner.reason = "it cannot be divided"
        self.letGo()
        self.assertEqual(ends, [None])
        self.assertTrue(self.lanes[0].closed)

    def test_whenAllIsOverItsOwnerIsFree(self) -> None:
        """
        When everything is done, the owner is freed without the garbage collector.
        """
        self.add(1)
        done = self.writer.finish()
        self.letGo()
        assert done is not None
        self.successResultOf(done)
        owner = weakref.ref(self.owner)
        gc.disable()
        self.addCleanup(gc.enable)
        del self.owner
        self.assertIsNone(owner())
