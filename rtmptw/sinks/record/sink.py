"""
Records one stream to MP4, Matroska or MPEG-TS files, without transcoding.
"""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from rtmptw.batches import BatchWriter
from rtmptw.clock import wallClock
from rtmptw.delivery import LOSSLESS, PROCESS_ENDED, Delivery
from rtmptw.frames import Frame, StreamInfo
from rtmptw.interfaces import IFrameProducer, IFrameSink
from rtmptw.lane import Lane
from rtmptw.sinks.record.recorder import ContainerRecording, Outcome, Recorder
from rtmptw.sinks.wording import counted

#: The most frames that may be buffered; even empty frames take memory.
MAX_FRAMES = 4096


@implementer(IFrameSink)
class RecordSink:
    """
    Records one stream.

    The files are written in the lane of a L{BatchWriter}, whose owner this is.

    @ivar failure: why the recording stopped before the stream ended; empty if it has
        not failed.
    """

    _log = Logger()

    delivery: Delivery = LOSSLESS

    def __init__(
        self,
        reactor: Any,
        recording: ContainerRecording,
        lane: Callable[[Any, str], Lane] = Lane,
        now: Callable[[], datetime] = wallClock,
    ) -> None:
        """
        @param reactor: provides C{IReactorTime} and C{IReactorThreads}.
        @param recording: what to record, and where.
        @param lane: makes the lane to write in.
        @param now: the wall clock, for the names of later parts.
        """
        self.failure = ""
        self._reactor = reactor
        self._recording = recording
        self._makeLane = lane
        self._now = now
        self._name = ""
        self._producer: IPushProducer | None = None
        self._recorder: Recorder | None = None
        self._writer: BatchWriter | None = None
        self._frames: list[Frame] = []
        self._isFinished = False

    def streamStarted(self, stream: StreamInfo, producer: IPushProducer) -> None:
        """
        Prepare to write. No file is created yet: a stream without frames leaves none.
        """
        self._name = stream.name
        self._producer = producer
        self._recorder = Recorder(self._recording, stream, self._now)
        self._writer = BatchWriter(
            self._reactor,
            self,
            f"record {stream.name}",
            self._makeLane,
            producer,
            flushSeconds=self._recording.collected / 1000,
            maxItems=MAX_FRAMES,
        )

    def frameReceived(self, frame: Frame) -> None:
        """
        Buffer the frame, and write the buffer when it is time.
        """
        if self.failure:
            return
        self._frames.append(frame)
        assert self._writer is not None
        self._writer.added(frame.size)

    def streamEnded(self, reason: str) -> "Deferred[None] | None":
        """
        Complete the file and give it its final name.

        @return: a L{Deferred} that fires when that is done.
        """
        assert self._writer is not None
        finished = self._writer.finish()
        if finished is None:
            self._letGo()
        else:
            finished.addCallback(self._letGo)
        return finished

    def _letGo(self, result: None = None) -> None:
        """
        Break the reference cycle with the producer.
        """
        self._producer = None
        self._recorder = None

    # Called by the writer.

    def takeBatch(self, isEnding: bool) -> Callable[[], Outcome] | None:
        """
        @return: a function that writes all that is buffered; at the end, one that
            completes the file.
        """
        assert self._recorder is not None and self._writer is not None
        frames, self._frames = self._frames, []
        if frames:
            return partial(self._recorder.write, frames)
        if isEnding and self._writer.isUsed and not self._isFinished:
            self._isFinished = True
            return self._recorder.finish
        return None

    def batchWritten(self, outcome: Outcome) -> str:
        """
        Log which files are complete, and what went wrong.
        """
        for recorded in outcome.recorded:
            counts = recorded.counts
            self._log.info(
                "recorded {path}: {seconds:.3f} s, {packets} frames, {size} bytes"
                "{repaired}{refused}{why}",
                path=recorded.path,
                seconds=counts.milliseconds / 1000,
                packets=counts.packets,
                size=recorded.size,
                repaired=counted(counts.repaired, "timestamps repaired"),
                refused=counted(counts.refused, "frames refused by FFmpeg"),
                why=recorded.why and f"; a new file begins: {recorded.why}",
            )
        for sentence in outcome.leftOut:
            self._log.warn("{name}: {sentence}", name=self._name, sentence=sentence)
        if outcome.lost:
            assert self._producer is not None
            cast(IFrameProducer, self._producer).framesDropped(
                PROCESS_ENDED, outcome.lost, outcome.lostBytes
            )
        if outcome.failure:
            self._log.error(
                "{name}: recording stopped early: {path}{reason}",
                name=self._name,
                path=outcome.path and f"{outcome.path}: ",
                reason=outcome.failure,
            )
            self._fail(outcome.failure)
        return self.failure

    def batchFailed(self, failure: Failure) -> str:
        """
        Handle a bug of ours; errors of the disk are in the outcome.
        """
        self._log.failure(
            "{name}: recording stopped early", name=self._name, failure=failure
        )
        self._fail(failure.getErrorMessage() or type(failure.value).__name__)
        return self.failure

    def _fail(self, reason: str) -> None:
        self.failure = reason
        self._frames = []
        self._isFinished = True
