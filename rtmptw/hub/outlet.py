"""
The hub's side of one sink: hands it the stream's frames, and keeps its books.
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
    What outlets belong to, as they see it: a stream. To inherit from, not an interface
    of zope's: compiled, a call is then one in C.

    @ivar info: the stream's name and where it came from.
    @ivar seconds: the monotonic clock.
    @ivar leading: the video track that leads, kept up to date before the outlets get a
        frame.
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
        The sink takes no more frames though the stream goes on. Called once.
        """
        raise NotImplementedError

    def join(self, outlet: "Outlet", target: IMulticastTarget) -> Multicast:
        """
        The sink may take frames together with others.

        @return: what gets its frames from now on, in place of the outlet.
        """
        raise NotImplementedError

    def part(self, outlet: "Outlet", multicast: Multicast) -> None:
        """
        It may not any more.
        """
        raise NotImplementedError


class Outlet:
    """
    Joins a stream to one sink. To the sink this is the producer of its frames.

    @ivar name: what the sink is called in logs and ledgers.
    @ivar ended: why it ended; empty while it has not.
    @ivar isViewer: whether the sink serves somebody who watches: it comes and goes
        without a warning, and keeps a source on demand working.
    @ivar isStreamOver: whether it is the stream that has ended, not this sink alone.
    """

    # Not one for each object, as mypyc would make it.
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
        The books.
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
            # A sink is anybody's code: what goes wrong in it ends it alone. It may say
            # sys.exit(), too.
            self._sinkFailed()

    def beginWith(self, frames: Iterable[Frame]) -> None:
        """
        Give the sink, before anything else, what it needs to show a picture. However
        long it takes for that, none of it is dropped.
        """
        if self.ended:
            return
        self._ledger.received += self._backlog.beginWith(frames)
        self._drain(regardless=False)
        self._keepPace()

    def heldBytes(self) -> int:
        """
        @return: of the frames that wait.
        """
        return self._backlog.heldBytes()

    def awaitKeyframe(self, timestamp: int) -> None:
        """
        Begin with the next key frame: what comes before cannot be decoded.

        @param timestamp: the stream's time now, in ms.
        """
        self._leaveMulticast()
        self._selection.awaitKeyframe(timestamp, soundWaits=False)

    def offer(self, frame: Frame) -> None:
        """
        Take the next frame of the stream.
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
                # A frame that came while the sink was busy with this one.
                self._drain(regardless=False)
            if self._membership is not None:
                self._keepPace()

    def end(self, reason: str) -> "Deferred[None]":
        """
        The stream is over: hand over what waits, and then the end.

        @return: fires when the sink has put everything away.
        """
        self.isStreamOver = True
        self._leaveMulticast()
        self._drain(regardless=True)
        return self._ending.finished or self._finish(reason)

    # What others call.

    def select(self, unwanted: frozenset[FrameKind]) -> None:
        """
        Hand over no frames of these kinds, headers excepted. Video that is wanted
        again begins with a key frame.
        """
        self._selection.select(unwanted)
        if self._selection.isActive:
            self._leaveMulticast()

    def detach(self, reason: str) -> "Deferred[None]":
        """
        End this sink alone, and drop what waits for it.

        @return: fires when the sink has put everything away.
        """
        if self._ending.finished is not None:
            return self._ending.finished
        self._leaveMulticast()
        self._backlog.drop(DETACHED)
        return self._leave(reason)

    def whenEnded(self) -> "Deferred[None]":
        """
        @return: fires when the sink has ended and put everything away.
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
        The sink has taken frames that come to nothing.
        """
        self._ledger.lose(reason, frames, size)

    # Together with others.

    def _keepPace(self) -> None:
        """
        A sink that has all that came so far, and wants all that comes, may take it
        together with others.
        """
        membership = self._membership
        if (
            membership is None
            or self._paused
            or self._ledger.queued
            or self._selection.isActive
            or self.ended
            # The books say when its first frame was.
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
        Hand a frame to the sink and book it, in this order: a frame counts as
        delivered when the sink has taken it.
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
        Hand over what waits until the sink is full again.

        @param regardless: whether to go on even then.
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
        More waits than may, and no frame may give way.
        """
        if self._backlog.isFull:
            self._owner.pressureChanged(self)
        else:
            self._leave("too slow")

    # The end.

    def _sinkFailed(self) -> None:
        self._log.failure(
            "{sink}: an error in the sink; it is detached, the stream goes on",
            sink=self.name,
        )
        self._backlog.drop(SINK_FAILED)
        if self._ending.finished is None:
            self._leave("an error in the sink")

    def _leave(self, reason: str) -> "Deferred[None]":
        """
        End this sink; the stream learns of it unless it is ending itself.
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


# Not as a decorator: mypyc makes a plain class of one that has any.
classImplements(Outlet, IFrameProducer)
