"""
A base class for sinks that write frames where it takes time: databases, files, whatever
blocks.
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
    Collects frames, and gives them in batches to L{write}, which may block: it is
    called in a thread of this sink's own, in order, and never twice at once. Meanwhile
    frames are collected; the producer is paused when too much waits.

    If L{write} raises something, nothing more is written: C{failure} says why, and the
    sink is detached.

    @cvar flushBytes: a batch is written when so many bytes are collected,
    @cvar flushSeconds: or when its first frame is so many seconds old.
    @cvar maxBytes: the producer is paused when more bytes wait and are being written,
        and resumed at half.
    @cvar maxFrames: the same, in frames.
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
        Call this if you override it.

        @param reactor: what the factory was started with.
        @param makeLane: makes the lane to write in; for tests.
        """
        self._reactor = reactor
        self._makeLane = makeLane
        self._frames: list[Frame] = []
        self._isClosed = False

    @abstractmethod
    def write(self, frames: "list[Frame]") -> None:
        """
        Override this: write the frames; in the thread.
        """

    def close(self) -> None:
        """
        Override this if something is to be closed; in the thread, after the last
        L{write}, whether that failed or not. It is not called if there was none.
        """

    def streamStarted(self, stream: "StreamInfo", producer: IPushProducer) -> None:
        """
        Nothing is made yet. Call this if you override it.
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
        Collect it.
        """
        if not self.failure:
            self._frames.append(frame)
            self._writer.added(frame.size)

    def streamEnded(self, reason: str) -> "Deferred[None] | None":
        """
        Write what is left, then close.

        @return: fires when that is done.
        """
        return self._writer.finish()

    # From the writer.

    def takeBatch(self, isEnding: bool) -> Callable[[], None] | None:
        """
        @return: what writes all that is collected; at the end, what closes.
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
        @return: nothing: go on.
        """
        return ""

    def batchFailed(self, failure: Failure) -> str:
        """
        Say why, with a traceback unless it is a matter of the machine.

        @return: why nothing more is written.
        """
        reason = failure.getErrorMessage() or type(failure.value).__name__
        if isinstance(failure.value, (SinkError, OSError)):
            self._log.error(
                "{name}: {sink} ends early: {reason}",
                name=self.stream.name,
                sink=type(self).__name__,
                reason=reason,
            )
        else:
            self._log.failure(
                "{name}: {sink} ends early",
                failure,
                name=self.stream.name,
                sink=type(self).__name__,
            )
        self.failure = self.failure or reason
        self._frames = []
        return self.failure
