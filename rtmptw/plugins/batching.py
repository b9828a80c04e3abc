"""
A base class for sinks whose writes block: to databases, files and the like.
"""

from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IPushProducer, IReactorFromThreads
from twisted.logger import Logger
from twisted.python.failure import Failure

from rtmptw.batches import FLUSH_BYTES, FLUSH_SECONDS, MAX_BYTES, BatchWriter
from rtmptw.errors import SinkError
from rtmptw.lane import Lane
from rtmptw.plugins.sink import FrameSink

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from rtmptw.frames import Frame, StreamInfo


class BatchingSink(FrameSink):
    """
    Collects frames and passes them in batches to L{write}, which may block. L{write}
    runs in the sink's own thread, one batch at a time, in order. Meanwhile more frames
    are collected; when too many are queued, the producer is paused.

    If L{write} raises an exception, nothing more is written: C{failure} says why, and
    the sink is detached.

    @cvar flushBytes: a batch is written when it has this many bytes,
    @cvar flushSeconds: or when its first frame is this old, in seconds.
    @cvar maxBytes: the producer is paused when more bytes are queued or being written,
        and resumed at half of this.
    @cvar maxFrames: the same limit in frames.
    """

    flushBytes: int = FLUSH_BYTES
    flushSeconds: float = FLUSH_SECONDS
    maxBytes: int = MAX_BYTES
    maxFrames: int = 4096

    _log = Logger()

    def __init__(
        self,
        reactor: object,
        makeLane: Callable[[IReactorFromThreads, str], Lane] = Lane,
    ) -> None:
        """
        If you override this, call it.

        @param reactor: the reactor that the factory was started with.
        @param makeLane: makes the lane that writes; for tests.
        """
        self._reactor = reactor
        self._makeLane = makeLane
        self._frames: list[Frame] = []
        self._isClosed = False

    @abstractmethod
    def write(self, frames: "list[Frame]") -> None:
        """
        Write the frames. Override this. It runs in the sink's thread.
        """

    def close(self) -> None:
        """
        Close what L{write} has opened. Override this if needed. It runs in the sink's
        thread after the last L{write}, even if that failed. It is not called if there
        was no L{write}.
        """

    def streamStarted(self, stream: "StreamInfo", producer: IPushProducer) -> None:
        """
        Prepare to write. If you override this, call it.
        """
        super().streamStarted(stream, producer)
        self._writer = BatchWriter(
            self._reactor,
            self,
            f"{type(self).__name__} {stream.name}",
            self._makeLane,
            producer,
            self.flushBytes,
            self.flushSeconds,
            self.maxBytes,
            self.maxFrames,
        )

    def frameReceived(self, frame: "Frame") -> None:
        """
        Collect the frame.
        """
        if not self.failure:
            self._frames.append(frame)
            self._writer.added(frame.size)

    def streamEnded(self, reason: str) -> "Deferred[None] | None":
        """
        Write the frames that are left, then close.

        @return: a L{Deferred<twisted.internet.defer.Deferred>} that fires when that is
            done.
        """
        return self._writer.finish()

    # Called by the writer.

    def takeBatch(self, isEnding: bool) -> Callable[[], None] | None:
        """
        @return: a function that writes all collected frames or, at the end, closes.
        """
        frames, self._frames = self._frames, []
        if frames:
            return partial(self.write, frames)
        if isEnding and self._writer.isUsed and not self._isClosed:
            self._isClosed = True
            return self.close
        return None

    def batchWritten(self, result: None) -> str:
        """
        @return: an empty string: continue.
        """
        return ""

    def batchFailed(self, failure: Failure) -> str:
        """
        Log the reason, with a traceback unless it is a L{SinkError} or an C{OSError}.

        @return: why nothing more is written.
        """
        reason = failure.getErrorMessage() or type(failure.value).__name__
        if isinstance(failure.value, (SinkError, OSError)):
            self._log.error(
                "{name}: {sink} stopped early: {reason}",
                name=self.stream.name,
                sink=type(self).__name__,
                reason=reason,
            )
        else:
            self._log.failure(
                "{name}: {sink} stopped early",
                failure,
                name=self.stream.name,
                sink=type(self).__name__,
            )
        self.failure = self.failure or reason
        self._frames = []
        return self.failure
