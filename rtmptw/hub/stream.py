"""
A stream: one source, many sinks, and every frame accounted for at each.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from twisted.internet.defer import Deferred, DeferredList
from twisted.logger import Logger

from rtmptw.frames import (
    DEFAULT_TRACKS,
    Codec,
    CodecHeaders,
    Frame,
    FrameKind,
    Role,
    StreamInfo,
)
from rtmptw.hub.gop import GroupOfPictures
from rtmptw.hub.ledger import NOT_TAKEN, Ledger
from rtmptw.hub.multicast import Multicast
from rtmptw.hub.outlet import Outlet, OutletOwner
from rtmptw.hub.timeline import Timeline
from rtmptw.interfaces import IFrameSink, IFrameSource, IMulticastTarget

# To look a member up in its class costs more than to compare it.
_VIDEO: Final = FrameKind.VIDEO
_AUDIO: Final = FrameKind.AUDIO
_CODED: Final = Role.CODED
_UNKNOWN: Final = Role.UNKNOWN
#: Codecs that anything may be: a frame of them changes nothing.
_VAGUE: Final = (None, Codec.DEVICE)


@dataclass(frozen=True, slots=True)
class SinkReport:
    """
    The closed books of one sink.

    @ivar stream: the stream's public name.
    @ivar sink: the sink's name.
    @ivar ledger: what it got.
    @ivar repairs: of the stream's timestamps so far, by kind.
    @ivar ended: why it ended.
    @ivar failure: what the sink could not do; empty if it could.
    """

    stream: str
    sink: str
    ledger: Ledger
    repairs: dict[str, int]
    ended: str
    failure: str


class Stream(OutletOwner):
    """
    A live stream.

    @ivar source: what gives it frames; C{None} in the grace time.
    @ivar credentials: what its publisher showed.
    @ivar headers: metadata and codec headers so far.
    @ivar timeline: its clock, with the repairs.
    @ivar bytes: payload bytes received.
    @ivar malformed: bodies that no codec explains, passed on as they are.
    @ivar publishers: how many sources it has had.
    @ivar pauses: how often its source was paused for a sink that was full.
    @ivar viewers: how many of the sinks serve somebody who watches.
    @ivar shared: what sinks of this stream share among themselves, by keys of theirs.
    """

    _log = Logger()

    def __init__(
        self,
        info: StreamInfo,
        gopCache: bool,
        sinkEnded: Callable[[SinkReport], None],
        seconds: Callable[[], float],
        viewersChanged: Callable[["Stream"], None],
    ) -> None:
        """
        @param seconds: the monotonic clock.
        @param viewersChanged: called when L{viewers} has changed.
        """
        super().__init__(info, seconds)
        self.source: IFrameSource | None = None
        self.credentials: str | None = None
        self.headers = CodecHeaders()
        self.timeline = Timeline()
        self._video = 0
        self._audio = 0
        self._data = 0
        self.bytes = 0
        self.malformed = 0
        self.publishers = 0
        self.pauses = 0
        self._gop = GroupOfPictures(self.leading) if gopCache else None
        self._sinkEnded = sinkEnded
        self._viewersChanged = viewersChanged
        self._hasVideo = False
        # Of the last coded frames; and of one that has another, with its number.
        self._videoCodec: Codec | None = None
        self._audioCodec: Codec | None = None
        self._newCodec: Codec | None = None
        self._newSince = 0
        # Replaced, never changed, so that a sink may leave while a frame goes round.
        self._outlets: tuple[Outlet, ...] = ()
        # Those that get their frames one by one, and those that get them together.
        self._separate: tuple[Outlet, ...] = ()
        self._multicasts: tuple[Multicast, ...] = ()
        self.viewers = 0
        self.shared: dict[object, object] = {}
        self._full: set[Outlet] = set()
        self._ending: list[Deferred[None]] = []

    @property
    def name(self) -> str:
        """
        The public name.
        """
        return self.info.name

    @property
    def counts(self) -> dict[FrameKind, int]:
        """
        The frames received, by kind.
        """
        return {
            FrameKind.AUDIO: self._audio,
            FrameKind.VIDEO: self._video,
            FrameKind.DATA: self._data,
        }

    @property
    def outlets(self) -> tuple[Outlet, ...]:
        """
        The sinks that are attached, each with its ledger.
        """
        return self._outlets

    def heldBytes(self) -> int:
        """
        @return: of the frames that are kept: headers, the group of pictures, and what
            waits for the slowest sink; what waits for the others are the same frames.
        """
        held = self.headers.bytes + (0 if self._gop is None else self._gop.heldBytes())
        return held + max((outlet.heldBytes() for outlet in self._outlets), default=0)

    def setSource(self, source: IFrameSource, credentials: str | None) -> None:
        """
        Take frames from C{source} from now on.
        """
        if self.publishers:
            self.timeline.sourceReplaced()
            self.leading.forget()
            if self._gop is not None:
                self._gop.clear()
        self.publishers += 1
        self.source = source
        self.timeline.isTrusted = source.isFed
        self.credentials = credentials
        if self._full:
            source.pauseSource()

    def attach(self, name: str, sink: IFrameSink, viewer: bool = False) -> Outlet:
        """
        Give the stream's frames to one more sink, from the last key frame on; if that
        is not kept, from the next.

        @param name: what to call it in logs and ledgers.
        @param viewer: whether the sink serves somebody who watches.
        @return: its outlet; C{outlet.detach(reason)} ends it.
        """
        outlet = Outlet(name, sink, self, viewer)
        self._outlets = (*self._outlets, outlet)
        self._separate = (*self._separate, outlet)
        if viewer:
            self.viewers += 1
            self._viewersChanged(self)
        outlet.start()
        group = [] if self._gop is None else self._gop.frames()
        if self._hasVideo and not group:
            outlet.awaitKeyframe(self.timeline.position)
        outlet.beginWith(self.headers.frames() + group)
        return outlet

    def frameReceived(self, frame: Frame) -> None:
        """
        Take the next frame from the source and give it to all sinks.

        @param frame: with the source's timestamp, which is put on the stream's
            clock here.
        """
        self.timeline.repair(frame)
        kind = frame.kind
        isHeader = frame.isHeader
        self.bytes += frame.size
        if kind is _VIDEO:
            self._video += 1
            self._hasVideo = self._hasVideo or not isHeader
        elif kind is _AUDIO:
            self._audio += 1
        else:
            self._data += 1
        if isHeader:
            self.headers.remember(frame)
        else:
            role = frame.role
            codec = self._videoCodec if kind is _VIDEO else self._audioCodec
            if frame.codec is not codec and role is _CODED:
                self._codecSeen(frame)
            if frame.isKey or role is not _CODED:
                self.leading.follow(frame)
                if role is _UNKNOWN:
                    self.malformed += 1
            if self._gop is not None:
                self._gop.add(frame)
        # Taken now: who joins or leaves a multicast meanwhile has had this frame.
        separate = self._separate
        for multicast in self._multicasts:
            multicast.frameReceived(frame)
        for outlet in separate:
            outlet.offer(frame)

    def _codecSeen(self, frame: Frame) -> None:
        """
        A frame has another codec than those before it. The second one shows that it is
        no accident: some codecs have no header that would say so.
        """
        codec = frame.codec
        if codec in _VAGUE or frame.tracks is not DEFAULT_TRACKS:
            return
        number = self._video if frame.kind is _VIDEO else self._audio
        if self._newCodec is not codec or number != self._newSince + 1:
            self._newCodec = codec
            self._newSince = number
            return
        if frame.kind is _VIDEO:
            self._videoCodec = codec
        else:
            self._audioCodec = codec
        self.headers.codecChanged(frame)

    def headerCleared(self, name: str) -> None:
        """
        The source withdraws a data header, such as onMetaData.
        """
        self.headers.forget(name)

    def end(self, reason: str) -> "Deferred[Any]":
        """
        End all sinks.

        @return: fires when they have put everything away.
        """
        outlets, self._outlets = self._outlets, ()
        if self._gop is not None:
            # Nobody joins any more, and a sink may have us for longer than that.
            self._gop.clear()
        self.viewers = 0
        self._viewersChanged(self)
        for outlet in outlets:
            self._wait(outlet, outlet.end(reason))
        self._separate = ()
        return DeferredList(self._ending)

    # What its outlets call.

    def pressureChanged(self, outlet: Outlet) -> None:
        """
        A lossless sink is full, or no longer: the source waits for the slowest.
        """
        before = bool(self._full)
        if outlet.full:
            self._full.add(outlet)
        else:
            self._full.discard(outlet)
        if self.source is None or before == bool(self._full):
            return
        if self._full:
            self.pauses += 1
            self.source.pauseSource()
        else:
            self.source.resumeSource()

    def outletEnded(self, outlet: Outlet) -> None:
        """
        A sink has left before the end.
        """
        self._outlets = _without(self._outlets, outlet)
        self._separate = _without(self._separate, outlet)
        self._full.discard(outlet)
        self._wait(outlet, outlet.end(outlet.ended))
        if outlet.isViewer:
            self.viewers -= 1
            self._viewersChanged(self)
            return
        self._log.warn(
            "{stream}: sink {sink} left: {reason}",
            stream=self.name,
            sink=outlet.name,
            reason=getattr(outlet.sink, "failure", "") or outlet.ended,
        )

    def join(self, outlet: Outlet, target: IMulticastTarget) -> Multicast:
        """
        A sink keeps pace with others.

        @return: what it gets its frames through.
        """
        self._separate = _without(self._separate, outlet)
        for multicast in self._multicasts:
            if multicast.target is target:
                break
        else:
            multicast = Multicast(target)
            self._multicasts = (*self._multicasts, multicast)
        multicast.members += 1
        return multicast

    def part(self, outlet: Outlet, multicast: Multicast) -> None:
        """
        A sink gets its frames one by one again.
        """
        self._separate = (*self._separate, outlet)
        multicast.members -= 1
        if not multicast.members:
            self._multicasts = tuple(
                other for other in self._multicasts if other is not multicast
            )

    def _wait(self, outlet: Outlet, finished: "Deferred[None]") -> None:
        def report(result: None) -> None:
            self._ending.remove(waiting)
            # Of a sink that passes frames on, and knows what did not arrive.
            outlet.ledger.lose(NOT_TAKEN, getattr(outlet.sink, "lost", 0), 0)
            self._sinkEnded(
                SinkReport(
                    self.name,
                    outlet.name,
                    outlet.ledger,
                    dict(self.timeline.repairs),
                    outlet.ended,
                    getattr(outlet.sink, "failure", ""),
                )
            )

        waiting: Deferred[None] = Deferred()
        self._ending.append(waiting)
        waiting.addCallback(report)
        finished.chainDeferred(waiting)


def _without(outlets: tuple[Outlet, ...], outlet: Outlet) -> tuple[Outlet, ...]:
    return tuple(other for other in outlets if other is not outlet)
