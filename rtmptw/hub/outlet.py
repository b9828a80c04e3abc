"""
The hub's side of one sink: what waits for it, by which policy, and its books.
"""

from collections import deque
from collections.abc import Callable

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IPushProducer
from twisted.logger import Logger
from zope.interface import implementer

from rtmptw.delivery import Policy
from rtmptw.frames import Frame, FrameKind, Role, StreamInfo
from rtmptw.hub.ledger import Ledger
from rtmptw.interfaces import IFrameSink

#: Reasons in the ledger.
TOO_SLOW = "too-slow"
AWAITING_KEYFRAME = "awaiting-keyframe"
NOT_NEWEST = "not-newest"
SINK_FAILED = "sink-failed"
DETACHED = "detached"
SUPERSEDED = "superseded"


@implementer(IPushProducer)
class Outlet:
    """
    Joins a stream to one sink. To the sink this is the producer of its frames.

    @ivar name: what the sink is called in logs and ledgers.
    @ivar ledger: the books.
    @ivar ended: why it ended; empty while it has not.
    """

    _log = Logger()

    def __init__(
        self,
        name: str,
        sink: IFrameSink,
        pressureChanged: Callable[["Outlet"], None],
        outletEnded: Callable[["Outlet"], None],
    ) -> None:
        """
        @param pressureChanged: called when L{full} has changed.
        @param outletEnded: called once, when the sink takes no more frames though
            the stream goes on.
        """
        self.name = name
        self.sink = sink
        self.ledger = Ledger()
        self.ended = ""
        self.full = False
        self._delivery = sink.delivery
        self._pressureChanged = pressureChanged
        self._outletEnded = outletEnded
        self._queue: deque[Frame] = deque()
        self._queuedBytes = 0
        self._paused = False
        self._awaitingKey = False
        self._inSink = False
        self._streamOver = False
        self._finished: Deferred[None] | None = None

    def start(self, stream: StreamInfo) -> None:
        """
        Tell the sink that its stream begins.
        """
        try:
            self.sink.streamStarted(stream, self)
        except Exception:
            # A sink is anybody's code: what goes wrong in it ends it alone.
            self._sinkFailed()

    def offer(self, frame: Frame) -> None:
        """
        Take the next frame of the stream.
        """
        if self.ended:
            return
        ledger = self.ledger
        ledger.received += 1
        if self._awaitingKey and self._isSkipped(frame):
            ledger.drop(AWAITING_KEYFRAME)
        elif self._paused or self._queue or self._inSink:
            self._enqueue(frame)
        else:
            self._hand(frame)
            if self._queue and not self._paused:
                # A frame that came while the sink was busy with this one.
                self._drain(regardless=False)

    def end(self, reason: str) -> "Deferred[None]":
        """
        The stream is over: hand over what waits, and then the end.

        @return: fires when the sink has put everything away.
        """
        self._streamOver = True
        self._drain(regardless=True)
        return self._finished or self._finish(reason)

    def detach(self, reason: str) -> "Deferred[None]":
        """
        End this sink alone, and drop what waits for it.

        @return: fires when the sink has put everything away.
        """
        if self._finished is not None:
            return self._finished
        self._dropQueue(DETACHED)
        return self._leave(reason)

    # What the sink calls: IPushProducer.

    def pauseProducing(self) -> None:
        """
        The sink is full.
        """
        self._paused = True
        if self._delivery.policy is Policy.LOSSLESS and self._isOver():
            self._setFull(True)

    def resumeProducing(self) -> None:
        """
        The sink has room again.
        """
        if self._paused:
            self._paused = False
            if not self._inSink:
                self._drain(regardless=False)

    def stopProducing(self) -> None:
        """
        The sink is done.
        """
        self.detach(getattr(self.sink, "failure", "") or "the sink stopped")

    # Delivery.

    def _hand(self, frame: Frame) -> None:
        """
        Hand a frame to the sink and book it, in this order: a frame counts as
        delivered when the sink has taken it.
        """
        self._inSink = True
        try:
            self.sink.frameReceived(frame)
        except Exception:
            # As in start.
            self.ledger.drop(SINK_FAILED)
            self._sinkFailed()
        else:
            self.ledger.deliver(frame)
        finally:
            self._inSink = False

    def _drain(self, regardless: bool) -> None:
        """
        Hand over what waits until the sink is full again.

        @param regardless: whether to go on even then.
        """
        queue = self._queue
        while queue and (regardless or not self._paused) and not self.ended:
            frame = queue.popleft()
            self._queuedBytes -= len(frame.payload)
            self.ledger.queued -= 1
            self._hand(frame)
            # At half, so as not to stop and go with each frame.
            if self.full and not self._isOver(half=True):
                self._setFull(False)

    def _sinkFailed(self) -> None:
        self._log.failure(
            "{sink}: an error in the sink; it is detached, the stream goes on",
            sink=self.name,
        )
        self._dropQueue(SINK_FAILED)
        if self._finished is None:
            self._leave("an error in the sink")

    def _leave(self, reason: str) -> "Deferred[None]":
        """
        End this sink; the stream learns of it unless it is ending itself.
        """
        finished = self._finish(reason)
        if not self._streamOver:
            self._outletEnded(self)
        return finished

    def _finish(self, reason: str) -> "Deferred[None]":
        self.ended = reason
        self._setFull(False)
        finished: Deferred[None] = Deferred()
        self._finished = finished
        try:
            result = self.sink.streamEnded(reason)
        except Exception:
            # As in start.
            self._log.failure("{sink}: an error at its end", sink=self.name)
            result = None
        if result is None:
            result = succeed(None)
        result.addErrback(
            lambda failure: self._log.failure(
                "{sink}: an error at its end", failure, sink=self.name
            )
        )
        result.addCallback(finished.callback)
        return finished

    # What waits.

    def _enqueue(self, frame: Frame) -> None:
        policy = self._delivery.policy
        if policy is Policy.LATEST:
            self._replaceOlder(frame)
        self._queue.append(frame)
        self._queuedBytes += len(frame.payload)
        self.ledger.queued += 1
        if not self._isOver():
            return
        if policy is Policy.LOSSLESS:
            self._setFull(True)
        elif policy is Policy.DISCONNECT:
            self._dropQueue(TOO_SLOW)
            self._leave("too slow")
        else:
            self._dropToKeyframe()

    def _isOver(self, half: bool = False) -> bool:
        """
        Whether more waits than may, or more than half of that.
        """
        limits = self._delivery
        share = 2 if half else 1
        queue = self._queue
        return bool(
            (limits.maxBytes and self._queuedBytes * share > limits.maxBytes)
            or (limits.maxFrames and len(queue) * share > limits.maxFrames)
            or (
                limits.maxMilliseconds
                and len(queue) > 1
                and self._waitingTime() * share > limits.maxMilliseconds
            )
        )

    def _waitingTime(self) -> int:
        """
        @return: the media time that waits, in ms.
        """
        for frame in self._queue:
            if not frame.isHeader:
                return self._queue[-1].timestamp - frame.timestamp
        return 0

    def _setFull(self, full: bool) -> None:
        if self.full != full:
            self.full = full
            self._pressureChanged(self)

    def _isSkipped(self, frame: Frame) -> bool:
        """
        Whether a frame cannot be decoded because of what was dropped before it.
        """
        if frame.kind is not FrameKind.VIDEO or frame.role is not Role.CODED:
            return False
        if frame.isKey:
            self._awaitingKey = False
            return False
        return True

    def _dropToKeyframe(self) -> None:
        """
        Make room: drop the video before the first key frame that leaves what waits
        within the limits, or all of it and wait for the next one; then the oldest
        of the rest. Headers stay.
        """
        while self._isOver():
            if not (self._dropVideo() or self._dropOldest() or self._dropSuperseded()):
                return

    def _dropVideo(self) -> bool:
        """
        Drop the waiting video before the next key frame but the first frame.

        @return: whether there was any.
        """
        kept: deque[Frame] = deque()
        dropped = 0
        reached = False
        for frame in self._queue:
            if frame.kind is FrameKind.VIDEO and frame.role is Role.CODED:
                reached = reached or (frame.isKey and dropped > 0)
                if not reached:
                    dropped += 1
                    self._queuedBytes -= len(frame.payload)
                    continue
            kept.append(frame)
        self._queue = kept
        self.ledger.queued -= dropped
        self.ledger.drop(TOO_SLOW, dropped)
        if dropped and not reached:
            self._awaitingKey = True
        return dropped > 0

    def _dropOldest(self) -> bool:
        """
        Drop the oldest frame that is no header.

        @return: whether there was one.
        """
        for index, frame in enumerate(self._queue):
            if not frame.isHeader:
                del self._queue[index]
                self._queuedBytes -= len(frame.payload)
                self.ledger.queued -= 1
                self.ledger.drop(TOO_SLOW)
                return True
        return False

    def _dropSuperseded(self) -> bool:
        """
        With nothing but headers left, drop those that a later one replaces:
        GStreamer repeats its metadata eleven times a second.

        @return: whether there was any.
        """
        latest = {
            (frame.kind, frame.role, frame.tracks, frame.name): frame
            for frame in self._queue
        }
        kept = deque(frame for frame in self._queue if frame in latest.values())
        dropped = len(self._queue) - len(kept)
        self._queue = kept
        self._queuedBytes = sum(len(frame.payload) for frame in kept)
        self.ledger.queued -= dropped
        self.ledger.drop(SUPERSEDED, dropped)
        return dropped > 0

    def _replaceOlder(self, newer: Frame) -> None:
        """
        Take out what a newer frame of the same track makes old.
        """
        if newer.isHeader:
            return
        for index, frame in enumerate(self._queue):
            if (
                frame.kind is newer.kind
                and frame.tracks == newer.tracks
                and not frame.isHeader
            ):
                del self._queue[index]
                self._queuedBytes -= len(frame.payload)
                self.ledger.queued -= 1
                self.ledger.drop(NOT_NEWEST)
                return

    def _dropQueue(self, reason: str) -> None:
        self.ledger.drop(reason, len(self._queue))
        self.ledger.queued = 0
        self._queue.clear()
        self._queuedBytes = 0
