"""
The hub's side of one sink: passes it the stream's frames, and keeps its ledger.
"""

from collections.abc import Callable, Iterable
from typing import ClassVar, cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.logger import Logger
from zope.interface import classImplements

from rtmptw._native import mypyc_attr
from rtmptw.frames import Frame, FrameKind, StreamInfo
from rtmptw.hub.ending import Ending
from rtmptw.hub.lag import Lag
from rtmptw.hub.ledger import DETACHED, SINK_FAILED, TOO_SLOW, Ledger
from rtmptw.hub.membership import Membership
from rtmptw.hub.multicast import Multicast
from rtmptw.hub.policies import backlogFor
from rtmptw.hub.selection import Selection
from rtmptw.interfaces import (
    IFrameProducer,
    IFrameSink,
    IMulticastSink,
    IMulticastTarget,
)
from rtmptw.keyframes import LeadingTrack


@mypyc_attr(allow_interpreted_subclasses=True)
class OutletOwner:
    """
    The owner of outlets: a stream. A base class instead of a zope interface: when
    compiled, each method call is then one in C.

    @ivar info: the stream's name and origin.
    @ivar seconds: the monotonic clock.
    @ivar leading: the leading video track, updated with each frame before the outlets
        get it.
    """

    def __init__(self, info: StreamInfo, seconds: Callable[[], float]) -> None:
        self.info = info
        self.seconds = seconds
        self.leading = LeadingTrack()

    def pressureChanged(self, outlet: "Outlet") -> None:
        """
        L{Outlet.full} has changed.
        """
        raise NotImplementedError

    def outletEnded(self, outlet: "Outlet") -> None:
        """
        The sink accepts no more frames, although the stream continues. Called once.
        """
        raise NotImplementedError

    def join(self, outlet: "Outlet", target: IMulticastTarget) -> Multicast:
        """
        The sink can receive frames together with others.

        @return: the multicast that gets the frames from now on, instead of the outlet.
        """
        raise NotImplementedError

    def part(self, outlet: "Outlet", multicast: Multicast) -> None:
        """
        The sink gets its frames through its outlet again.
        """
        raise NotImplementedError


class Outlet:
    """
    Connects a stream to one sink. For the sink this is the producer of its frames.

    @ivar name: the sink's name in logs and ledgers.
    @ivar ended: why it ended; empty until then.
    @ivar isViewer: whether the sink serves a viewer: its end is not logged as a
        warning, and it keeps a source on demand running.
    @ivar isStreamOver: whether the stream has ended, and not only this sink.
    """

    # ClassVar, because mypyc would otherwise create one for each object.
    _log: ClassVar[Logger] = Logger()

    def __init__(
        self,
        name: str,
        sink: IFrameSink,
        owner: OutletOwner,
        isViewer: bool = False,
    ) -> None:
        self.name = name
        self.sink = sink
        self.isViewer = isViewer
        self.ended = ""
        self.isStreamOver = False
        self._owner = owner
        self._ledger = Ledger()
        self._selection = Selection(owner.leading)
        delivery = sink.delivery
        self._lag = Lag(
            owner.info.name, name, delivery.patience, self._ledger, owner.seconds
        )
        self._backlog = backlogFor(
            delivery,
            self._ledger,
            owner.seconds,
            owner.leading,
            self._selection,
            self._lag,
        )
        self._membership: Membership | None = None
        if IMulticastSink.providedBy(sink):
            self._membership = Membership(sink, self._ledger)
        self._ending = Ending(name, sink)
        self._paused = False
        self._inSink = False

    @property
    def full(self) -> bool:
        """
        Whether the source has to wait for this sink.
        """
        return self._backlog.isFull

    @property
    def ledger(self) -> Ledger:
        """
        The sink's ledger, up to date.
        """
        if self._membership is not None:
            self._membership.settle()
        return self._ledger

    # What the stream calls.

    def start(self) -> None:
        """
        Tell the sink that its stream begins.
        """
        try:
            self.sink.streamStarted(self._owner.info, cast(IPushProducer, self))
        except (Exception, SystemExit):
            # A sink is foreign code: an error in it ends only that sink. It may even
            # call sys.exit().
            self._sinkFailed()

    def beginWith(self, frames: Iterable[Frame]) -> None:
        """
        Pass the sink the frames it needs to show video, before any others. None of
        them is dropped, however long the sink takes.
        """
        if self.ended:
            return
        self._ledger.received += self._backlog.beginWith(frames)
        self._drain(regardless=False)
        self._keepPace()

    def heldBytes(self) -> int:
        """
        @return: the payload bytes of the queued frames.
        """
        return self._backlog.heldBytes()

    def awaitKeyframe(self, timestamp: int) -> None:
        """
        Begin with the next key frame, because frames before it cannot be decoded.

        @param timestamp: the stream's time now, in ms.
        """
        self._leaveMulticast()
        self._selection.awaitKeyframe(timestamp, audioWaits=False)

    def offer(self, frame: Frame) -> None:
        """
        Pass the next frame of the stream to the sink, or queue or drop it.
        """
        if self.ended:
            return
        ledger = self._ledger
        ledger.received += 1
        if self._selection.isActive:
            skipped = self._selection.whySkipped(frame)
            if skipped:
                ledger.drop(skipped)
                if self._lag.isOverdue:
                    self._backlog.drop(TOO_SLOW)
                    self._leave(self._lag.verdict)
                return
        if self._paused or self._inSink or ledger.queued > 0:
            if self._backlog.add(frame):
                self._overflow()
        else:
            self._hand(frame)
            if ledger.queued > 0:
                # A frame arrived while the sink was handling this one.
                self._drain(regardless=False)
            if self._membership is not None:
                self._keepPace()

    def end(self, reason: str) -> "Deferred[None]":
        """
        The stream has ended: pass the queued frames to the sink, then end it.

        @return: fires when the sink has finished.
        """
        self.isStreamOver = True
        self._leaveMulticast()
        self._drain(regardless=True)
        return self._ending.finished or self._finish(reason)

    # What other code calls.

    def select(self, unwanted: frozenset[FrameKind]) -> None:
        """
        Skip all frames of these kinds except headers. Video that is turned on again
        begins with a key frame.
        """
        self._selection.select(unwanted)
        if self._selection.isActive:
            self._leaveMulticast()

    def detach(self, reason: str) -> "Deferred[None]":
        """
        End only this sink, and drop the frames queued for it.

        @return: fires when the sink has finished.
        """
        if self._ending.finished is not None:
            return self._ending.finished
        self._leaveMulticast()
        self._backlog.drop(DETACHED)
        return self._leave(reason)

    def whenEnded(self) -> "Deferred[None]":
        """
        @return: fires when the sink has ended and finished.
        """
        return self._ending.whenOver()

    # What the sink calls: IFrameProducer.

    def pauseProducing(self) -> None:
        """
        The sink is full.
        """
        self._paused = True
        self._leaveMulticast()

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

    def framesDropped(self, reason: str, frames: int, size: int) -> None:
        """
        The sink reports frames that it accepted but could not deliver.
        """
        self._ledger.lose(reason, frames, size)

    # Multicast.

    def _keepPace(self) -> None:
        """
        Join the multicast if the sink has all frames so far, and wants all that follow.
        """
        membership = self._membership
        if (
            membership is None
            or self._paused
            or self._ledger.queued
            or self._selection.isActive
            or self.ended
            # The ledger needs the timestamp of its first frame.
            or self._ledger.firstTimestamp is None
        ):
            return
        membership.join(self._owner.join(self, membership.target))

    def _leaveMulticast(self) -> None:
        if self._membership is not None:
            multicast = self._membership.leave()
            if multicast is not None:
                self._owner.part(self, multicast)

    # Delivery.

    def _hand(self, frame: Frame) -> None:
        """
        Pass a frame to the sink, then count it: a frame counts as delivered only after
        the sink has accepted it.
        """
        self._inSink = True
        try:
            self.sink.frameReceived(frame)
        except (Exception, SystemExit):
            # As in start.
            self._ledger.drop(SINK_FAILED)
            self._sinkFailed()
        else:
            self._ledger.deliver(frame)
        finally:
            self._inSink = False

    def _drain(self, regardless: bool) -> None:
        """
        Pass queued frames to the sink until it is full again.

        @param regardless: whether to continue even if it is full.
        """
        ledger, backlog = self._ledger, self._backlog
        while ledger.queued and (regardless or not self._paused):
            self._hand(backlog.take())
            if backlog.isFull and backlog.isRelieved():
                self._owner.pressureChanged(self)
        if self._lag.isBehind and backlog.isEmpty:
            self._lag.catchUp()

    def _overflow(self) -> None:
        """
        The queue exceeds its limits, and the policy does not drop single frames.
        """
        if self._backlog.isFull:
            self._owner.pressureChanged(self)
        else:
            self._leave("too slow")

    # The end.

    def _sinkFailed(self) -> None:
        self._log.failure(
            "{sink}: error in the sink; it is detached, and the stream continues",
            sink=self.name,
        )
        self._backlog.drop(SINK_FAILED)
        if self._ending.finished is None:
            self._leave("error in the sink")

    def _leave(self, reason: str) -> "Deferred[None]":
        """
        End this sink, and tell the stream unless the stream is ending too.
        """
        finished = self._finish(reason)
        if not self.isStreamOver:
            self._owner.outletEnded(self)
        return finished

    def _finish(self, reason: str) -> "Deferred[None]":
        self.ended = reason
        if self._backlog.isRelieved():
            self._owner.pressureChanged(self)
        return self._ending.begin(reason)


# Not as a decorator: mypyc does not compile decorated classes natively.
classImplements(Outlet, IFrameProducer)
