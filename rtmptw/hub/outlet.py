"""
The hub's side of one sink: what waits for it, by which policy, and its books.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import cast

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IPushProducer
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import classImplements

from rtmptw.delivery import Policy
from rtmptw.frames import Frame, FrameKind, Role, StreamInfo
from rtmptw.hub.ledger import Ledger
from rtmptw.hub.multicast import Multicast
from rtmptw.interfaces import IFrameSink, IMulticastSink, IMulticastTarget

#: Reasons in the ledger.
TOO_SLOW = "too-slow"
AWAITING_KEYFRAME = "awaiting-keyframe"
NOT_NEWEST = "not-newest"
SINK_FAILED = "sink-failed"
DETACHED = "detached"
SUPERSEDED = "superseded"
NOT_WANTED = "not-wanted"


#: So many ms after the last picture, sound goes on alone.
_VIDEO_GONE = 3000
#: A sink that lags and catches up time and again is told of once in so many seconds.
_SAY_AGAIN = 10.0


@dataclass(slots=True)
class _Lag:
    """
    A time in which a sink lags behind.

    @ivar since: when it began.
    @ivar droppedBefore: the frames that had been dropped by then.
    @ivar milliseconds: the most media time that waited.
    @ivar bytes: the most bytes that waited.
    """

    since: float
    droppedBefore: int
    milliseconds: int = 0
    bytes: int = 0


class Outlet:
    """
    Joins a stream to one sink. To the sink this is the producer of its frames.

    @ivar name: what the sink is called in logs and ledgers.
    @ivar ended: why it ended; empty while it has not.
    @ivar isViewer: whether the sink serves somebody who watches: it comes and goes
        without a warning, and keeps a source on demand working.
    """

    _log = Logger()

    def __init__(
        self,
        name: str,
        sink: IFrameSink,
        pressureChanged: Callable[["Outlet"], None],
        outletEnded: Callable[["Outlet"], None],
        seconds: Callable[[], float],
        isViewer: bool = False,
        join: Callable[["Outlet", IMulticastTarget], Multicast] | None = None,
        part: Callable[["Outlet", Multicast], None] | None = None,
    ) -> None:
        """
        @param pressureChanged: called when L{full} has changed.
        @param outletEnded: called once, when the sink takes no more frames though
            the stream goes on.
        @param seconds: the monotonic clock.
        @param join: called when the sink may take frames together with others; from
            then on the multicast gets them, and not this.
        @param part: called when it may not any more.
        """
        self.name = name
        self.sink = sink
        self.isViewer = isViewer
        self._ledger = Ledger()
        self.ended = ""
        self.full = False
        self._delivery = sink.delivery
        self._pressureChanged = pressureChanged
        self._outletEnded = outletEnded
        self._seconds = seconds
        self._streamName = ""
        # What a late sink begins with, which is not counted against its limits.
        self._first: deque[Frame] = deque()
        self._queue: deque[Frame] = deque()
        # When the frames of the queue came.
        self._since: deque[float] = deque()
        self._queuedBytes = 0
        self._paused = False
        self._unwanted: frozenset[FrameKind] = frozenset()
        self._awaitingKey = False
        # Whether either of them may skip frames.
        self._isSelecting = False
        self._videoTime = 0
        self._videoTrack: int | None = None
        self._behindSince: float | None = None
        self._lag: _Lag | None = None
        self._saidAt = float("-inf")
        self._inSink = False
        self._target: IMulticastTarget | None = None
        if join is not None and IMulticastSink.providedBy(sink):
            self._target = sink.multicast
        self._join = join
        self._part = part
        self._multicast: Multicast | None = None
        self._framesBefore = 0
        self._bytesBefore = 0
        self._streamOver = False
        self._finished: Deferred[None] | None = None
        self._isFinished = False
        self._waiters: list[Deferred[None]] = []

    def start(self, stream: StreamInfo) -> None:
        """
        Tell the sink that its stream begins.
        """
        self._streamName = stream.name
        try:
            self.sink.streamStarted(stream, cast(IPushProducer, self))
        except Exception:
            # A sink is anybody's code: what goes wrong in it ends it alone.
            self._sinkFailed()

    def beginWith(self, frames: Iterable[Frame]) -> None:
        """
        Give the sink, before anything else, what it needs to show a picture. However
        long it takes for that, none of it is dropped.
        """
        if self.ended:
            return
        self._first.extend(frames)
        self._ledger.received += len(self._first)
        self._ledger.queued += len(self._first)
        self._drain(regardless=False)
        self._keepPace()

    def awaitKeyframe(self, timestamp: int) -> None:
        """
        Begin with the next key frame: what comes before cannot be decoded.

        @param timestamp: the stream's time now, in ms.
        """
        self._leaveMulticast()
        self._awaitingKey = self._isSelecting = True
        self._videoTime = timestamp

    def select(self, unwanted: frozenset[FrameKind]) -> None:
        """
        Hand over no frames of these kinds, headers excepted. Video that is wanted
        again begins with a key frame.
        """
        if FrameKind.VIDEO in self._unwanted and FrameKind.VIDEO not in unwanted:
            self._awaitingKey = True
        self._unwanted = unwanted
        self._isSelecting = self._awaitingKey or bool(unwanted)
        if self._isSelecting:
            self._leaveMulticast()

    @property
    def isStreamOver(self) -> bool:
        """
        Whether it is the stream that has ended, not this sink alone.
        """
        return self._streamOver

    def offer(self, frame: Frame) -> None:
        """
        Take the next frame of the stream.
        """
        if self.ended:
            return
        ledger = self._ledger
        ledger.received += 1
        skipped = self._whySkipped(frame) if self._isSelecting else ""
        if skipped:
            ledger.drop(skipped)
            if self._behindSince is not None:
                self._checkPatience(self._behindSince)
        elif self._paused or self._inSink or ledger.queued:
            self._enqueue(frame)
        else:
            self._hand(frame)
            if self._ledger.queued and not self._paused:
                # A frame that came while the sink was busy with this one.
                self._drain(regardless=False)
            if self._target is not None:
                self._keepPace()

    def end(self, reason: str) -> "Deferred[None]":
        """
        The stream is over: hand over what waits, and then the end.

        @return: fires when the sink has put everything away.
        """
        self._streamOver = True
        self._leaveMulticast()
        self._drain(regardless=True)
        return self._finished or self._finish(reason)

    def detach(self, reason: str) -> "Deferred[None]":
        """
        End this sink alone, and drop what waits for it.

        @return: fires when the sink has put everything away.
        """
        if self._finished is not None:
            return self._finished
        self._leaveMulticast()
        self._dropQueue(DETACHED)
        return self._leave(reason)

    def whenEnded(self) -> "Deferred[None]":
        """
        @return: fires when the sink has ended and put everything away.
        """
        waiting: Deferred[None] = Deferred()
        if self._isFinished:
            waiting.callback(None)
        else:
            self._waiters.append(waiting)
        return waiting

    # Together with others.

    @property
    def ledger(self) -> Ledger:
        """
        The books.
        """
        if self._multicast is not None:
            self._settle(self._multicast)
        return self._ledger

    def _keepPace(self) -> None:
        """
        A sink that has all that came so far, and wants all that comes, may take it
        together with others.
        """
        if (
            self._target is None
            or self._multicast is not None
            or self._paused
            or self._queue
            or self._first
            or self._isSelecting
            or self._inSink
            or self.ended
            # The books say when its first frame was.
            or self._ledger.firstTimestamp is None
        ):
            return
        assert self._join is not None
        multicast = self._multicast = self._join(self, self._target)
        self._framesBefore = multicast.frames
        self._bytesBefore = multicast.bytes
        # If this shows that the sink is full, it leaves again at once.
        self._target.join(cast(IMulticastSink, self.sink))

    def _leaveMulticast(self) -> None:
        multicast = self._multicast
        if multicast is None:
            return
        self._settle(multicast)
        self._multicast = None
        assert self._part is not None
        self._part(self, multicast)
        multicast.target.leave(cast(IMulticastSink, self.sink))

    def _settle(self, multicast: Multicast) -> None:
        """
        Book what came through the multicast.
        """
        frames = multicast.frames - self._framesBefore
        if frames:
            ledger = self._ledger
            ledger.received += frames
            ledger.delivered += frames
            ledger.bytes += multicast.bytes - self._bytesBefore
            if multicast.isTimed:
                ledger.lastTimestamp = multicast.lastTimestamp
            self._framesBefore = multicast.frames
            self._bytesBefore = multicast.bytes

    # What the sink calls: IPushProducer.

    def pauseProducing(self) -> None:
        """
        The sink is full.
        """
        self._paused = True
        self._leaveMulticast()
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
            self._ledger.drop(SINK_FAILED)
            self._sinkFailed()
        else:
            self._ledger.deliver(frame)
        finally:
            self._inSink = False

    def _drain(self, regardless: bool) -> None:
        """
        Hand over what waits until the sink is full again.

        @param regardless: whether to go on even then.
        """
        first = self._first
        while first and (regardless or not self._paused) and not self.ended:
            self._ledger.queued -= 1
            self._hand(first.popleft())
        queue = self._queue
        while queue and (regardless or not self._paused) and not self.ended:
            frame = queue.popleft()
            self._since.popleft()
            self._queuedBytes -= frame.size
            self._ledger.queued -= 1
            self._hand(frame)
            # At half, so as not to stop and go with each frame.
            if self.full and not self._isOver(half=True):
                self._setFull(False)
        if self._behindSince is not None and not queue:
            self._caughtUp()

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
        result.addErrback(self._endFailed)
        result.addCallback(self._tell, finished)
        return finished

    def _endFailed(self, failure: Failure) -> None:
        self._log.failure("{sink}: an error at its end", failure, sink=self.name)

    def _tell(self, result: object, finished: "Deferred[None]") -> None:
        self._isFinished = True
        for waiter in (finished, *self._waiters):
            waiter.callback(None)

    # What waits.

    def _enqueue(self, frame: Frame) -> None:
        policy = self._delivery.policy
        if policy is Policy.LATEST:
            self._replaceOlder(frame)
        self._queue.append(frame)
        self._since.append(self._seconds())
        self._queuedBytes += frame.size
        self._ledger.queued += 1
        if not self._isOver():
            return
        if policy is Policy.LOSSLESS:
            self._setFull(True)
        elif policy is Policy.DISCONNECT:
            self._dropQueue(TOO_SLOW)
            self._leave("too slow")
        else:
            self._fallBehind()
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
                and queue
                and self._waitingTime() * share > limits.maxMilliseconds
            )
        )

    def _waitingTime(self) -> int:
        """
        @return: how long the oldest frame that waits has waited, in ms.
        """
        return int((self._since[-1] - self._since[0]) * 1000)

    def _setFull(self, full: bool) -> None:
        if self.full != full:
            self.full = full
            self._pressureChanged(self)

    def _whySkipped(self, frame: Frame) -> str:
        """
        @return: why a frame is not for this sink: it is of no kind that it wants,
            cannot be decoded because of what was dropped before it, or belongs to
            that; empty if it is.
        """
        if frame.isHeader:
            return ""
        if frame.kind in self._unwanted:
            return NOT_WANTED
        if not self._awaitingKey:
            return ""
        if frame.kind is FrameKind.VIDEO and frame.role is Role.CODED:
            if frame.isKey and self._leads(frame):
                self._awaitingKey = False
                self._isSelecting = bool(self._unwanted)
                return ""
            self._videoTime = frame.timestamp
            return AWAITING_KEYFRAME
        # Sound without its pictures is of no use, until the pictures stay away.
        gone = frame.timestamp - self._videoTime >= _VIDEO_GONE
        return "" if gone else AWAITING_KEYFRAME

    def _leads(self, frame: Frame) -> bool:
        """
        Whether a key frame begins a group of pictures: those of the lowest track do.
        """
        lowest = min(frame.tracks)
        if self._videoTrack is None or lowest <= self._videoTrack:
            self._videoTrack = lowest
            return True
        return False

    def _dropToKeyframe(self) -> None:
        """
        Make room from the back: drop the newest group of pictures that waits, or, if
        it is the only one, its end; and all that follows up to the next key frame.
        So what is delivered begins at a key frame and is whole from there, as far as
        there was room. Without video drop the oldest. Headers stay.
        """
        while self._isOver():
            if not (self._dropGroup() or self._dropOldest() or self._dropSuperseded()):
                return

    def _dropGroup(self) -> bool:
        """
        @return: whether there was video to drop.
        """
        queue = self._queue
        begin = -1
        newest = -1
        for index in range(len(queue) - 1, -1, -1):
            frame = queue[index]
            if frame.kind is FrameKind.VIDEO and frame.role is Role.CODED:
                if newest < 0:
                    newest = index
                if frame.isKey and self._leads(frame):
                    begin = index
                    break
        if newest < 0:
            return False
        if begin <= 0:
            # It has been begun, or is all there is: keep as much as may be.
            begin = newest
        self.awaitKeyframe(queue[newest].timestamp)
        kept: list[Frame] = []
        dropped = 0
        while len(queue) > begin:
            frame = queue.pop()
            since = self._since.pop()
            if frame.isHeader:
                kept.append(frame)
            else:
                self._queuedBytes -= frame.size
                dropped += 1
        queue.extend(reversed(kept))
        self._since.extend(since for _frame in kept)
        self._ledger.queued -= dropped
        self._ledger.drop(TOO_SLOW, dropped)
        return True

    # Those who lag behind.

    def _fallBehind(self) -> None:
        now = self._seconds()
        if self._lag is None:
            self._lag = _Lag(now, self._ledger.droppedFrames)
        lag = self._lag
        lag.milliseconds = max(lag.milliseconds, self._waitingTime())
        lag.bytes = max(lag.bytes, self._queuedBytes)
        if self._behindSince is None:
            self._behindSince = now

    def _checkPatience(self, since: float) -> None:
        """
        Detach a sink that has not caught up for too long.
        """
        patience = self._delivery.patience
        if patience and self._seconds() - since >= patience:
            self._dropQueue(TOO_SLOW)
            self._leave(f"too slow for {patience:g} s: {self._told()}")

    def _caughtUp(self) -> None:
        now = self._seconds()
        self._behindSince = None
        if self._lag is None or now - self._saidAt < _SAY_AGAIN:
            # It comes and goes; one line will tell it all.
            return
        self._log.warn(
            "{stream}: {sink} was too slow and has caught up after {seconds:.1f} s: "
            "{lag}",
            stream=self._streamName,
            sink=self.name,
            seconds=now - self._lag.since,
            lag=self._told(),
        )
        self._saidAt = now
        self._lag = None

    def _told(self) -> str:
        lag = self._lag
        assert lag is not None
        return (
            f"up to {lag.milliseconds} ms and {lag.bytes} bytes behind, "
            f"{self._ledger.droppedFrames - lag.droppedBefore} frames dropped"
        )

    def _dropOldest(self) -> bool:
        """
        Drop the oldest frame that is no header.

        @return: whether there was one.
        """
        for index, frame in enumerate(self._queue):
            if not frame.isHeader:
                del self._queue[index]
                del self._since[index]
                self._queuedBytes -= frame.size
                self._ledger.queued -= 1
                self._ledger.drop(TOO_SLOW)
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
        for _count in range(dropped):
            self._since.popleft()
        self._queuedBytes = sum(frame.size for frame in kept)
        self._ledger.queued -= dropped
        self._ledger.drop(SUPERSEDED, dropped)
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
                del self._since[index]
                self._queuedBytes -= frame.size
                self._ledger.queued -= 1
                self._ledger.drop(NOT_NEWEST)
                return

    def _dropQueue(self, reason: str) -> None:
        self._ledger.drop(reason, len(self._first) + len(self._queue))
        self._ledger.queued = 0
        self._first.clear()
        self._queue.clear()
        self._since.clear()
        self._queuedBytes = 0


# Not as a decorator: mypyc makes a plain class of one that has any.
classImplements(Outlet, IPushProducer)
