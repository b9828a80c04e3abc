"""
Tests for L{rtmptw.plugins.batching}.
"""

from typing import Any

from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from rtmptw.errors import SinkError
from rtmptw.frames import Frame
from rtmptw.plugins.batching import BatchingSink
from rtmptw.testing import (
    FrameSinkTestsMixin,
    RecordingProducer,
    audioFrame,
    makeStreamInfo,
)
from tests.sinks.test_file import HeldLane, ImmediateLane


class Keeper(BatchingSink):
    """
    A sink that keeps what it is given to write.
    """

    flushBytes = 100
    flushSeconds = 2.0
    maxBytes = 1000
    maxFrames = 20

    def __init__(self, reactor: object, makeLane: Any) -> None:
        super().__init__(reactor, makeLane)
        self.batches: list[list[int]] = []
        self.closed = 0
        self.error: Exception | None = None

    def write(self, frames: list[Frame]) -> None:
        if self.error is not None:
            raise self.error
        self.batches.append([frame.timestamp for frame in frames])

    def close(self) -> None:
        self.closed += 1


class ContractTests(FrameSinkTestsMixin, SynchronousTestCase):
    """
    It fulfills the contract of sinks.
    """

    def makeSink(self) -> BatchingSink:
        return Keeper(Clock(), ImmediateLane)


class BatchingTests(SynchronousTestCase):
    """
    L{BatchingSink} by itself.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.lanes: list[HeldLane] = []
        self.producer = RecordingProducer()
        self.sink = Keeper(self.clock, self.makeLane)
        self.sink.streamStarted(makeStreamInfo(), self.producer)

    def makeLane(self, reactor: Any, name: str) -> HeldLane:
        """
        Make the lane; check that it is the only one and has a name.
        """
        self.assertIs(reactor, self.clock)
        self.assertEqual(name, "Keeper live/test")
        self.assertEqual(self.lanes, [])
        self.lanes.append(HeldLane(reactor, name))
        return self.lanes[0]

    def give(self, *timestamps: int, size: int = 10) -> None:
        """
        Give the sink frames.
        """
        for timestamp in timestamps:
            self.sink.frameReceived(audioFrame(timestamp, size))

    def test_itsLimitsAreThoseOfItsClass(self) -> None:
        """
        The class's limits apply: bytes and seconds before a write, frames before a
        pause.
        """
        self.give(0, size=99)
        self.assertEqual(self.lanes, [])
        self.give(1, size=1)
        self.assertEqual(len(self.lanes[0].held), 1)
        self.lanes[0].letGo()
        self.assertEqual(self.sink.batches, [[0, 1]])
        self.give(2)
        self.clock.advance(1.9)
        self.assertEqual(self.lanes[0].held, [])
        self.clock.advance(0.2)
        self.assertEqual(len(self.lanes[0].held), 1)
        self.give(*range(3, 22), size=2)
        self.assertEqual(self.producer.calls, [])
        self.give(22, size=2)
        self.assertEqual(self.producer.calls, ["pause"])

    def test_theEndWritesAllAndCloses(self) -> None:
        """
        At the end the sink writes what is left, and then closes. The end waits for
        both.
        """
        self.give(0, 1, 2)
        done = self.sink.streamEnded("over")
        assert done is not None
        self.lanes[0].letGo()
        self.assertEqual((self.sink.batches, self.sink.closed), ([[0, 1, 2]], 0))
        self.assertNoResult(done)
        self.lanes[0].letGo()
        self.successResultOf(done)
        self.assertEqual(self.sink.closed, 1)
        self.assertTrue(self.lanes[0].closed)
        self.assertEqual(self.producer.calls, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_withoutAFrameNothingIsClosed(self) -> None:
        """
        If no frame has arrived, nothing was opened, and nothing is closed.
        """
        self.assertIsNone(self.sink.streamEnded("over"))
        self.assertEqual((self.lanes, self.sink.closed), ([], 0))

    def test_anErrorIsItsFailure(self) -> None:
        """
        An error in C{write} is the sink's failure: it is detached, writes no more, and
        is closed.
        """
        self.sink.error = SinkError("the database is full")
        self.give(0, size=100)
        self.give(1)
        with capturedLogs() as events:
            self.lanes[0].letGo()
        self.assertEqual(
            [formatEvent(event) for event in events],
            ["live/test: Keeper stopped early: the database is full"],
        )
        self.assertEqual(self.sink.failure, "the database is full")
        self.assertEqual(self.producer.calls, ["stop"])
        self.give(2, size=100)
        done = self.sink.streamEnded("detached")
        assert done is not None
        self.lanes[0].letGo()
        self.successResultOf(done)
        self.assertEqual((self.sink.batches, self.sink.closed), ([], 1))
        self.assertTrue(self.lanes[0].closed)

    def test_aBugIsLoggedWithItsTraceback(self) -> None:
        """
        An unexpected exception is also the sink's failure, and is logged with its
        traceback.
        """
        self.sink.error = ZeroDivisionError()
        self.give(0, size=100)
        self.lanes[0].letGo()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.sink.failure, "ZeroDivisionError")
