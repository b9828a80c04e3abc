"""
A stream: one source and many sinks, with every frame accounted for at each sink.
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

# Looking up an enum member in its class costs more than comparing it.
_VIDEO: Final = FrameKind.VIDEO
_AUDIO: Final = FrameKind.AUDIO
_CODED: Final = Role.CODED
_UNKNOWN: Final = Role.UNKNOWN
#: Codecs that do not identify the format: a frame of these is not a codec change.
_VAGUE: Final = (None, Codec.DEVICE)


@dataclass(frozen=True, slots=True)
class SinkReport:
    """
    The final report of one sink.

    @ivar stream: the stream's public name.
    @ivar sink: the sink's name.
    @ivar ledger: the sink's frame counters.
    @ivar repairs: the number of timestamp repairs of the stream so far, by kind.
    @ivar ended: why the sink ended.
    @ivar failure: what the sink could not do; empty if nothing failed.
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

    @ivar source: the source of its frames; C{None} in the grace time.
    @ivar credentials: the credentials of its publisher.
    @ivar headers: the latest metadata and sequence headers.
    @ivar timeline: its clock, with the repairs.
    @ivar bytes: payload bytes received.
    @ivar malformed: frames whose body is invalid, passed on unchanged.
    @ivar publishers: the number of sources so far.
    @ivar pauses: how often the source was paused because a sink was full.
    @ivar viewers: the number of sinks that serve viewers.
    @ivar shared: objects that sinks of this stream share, by keys of their choice.
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
        # The current codecs; and a new one seen in one frame, with that frame's number.
        self._videoCodec: Codec | None = None
        self._audioCodec: Codec | None = None
        self._newCodec: Codec | None = None
        self._newSince = 0
        # Replaced, never modified, so that a sink can leave while a frame is passed
        # round.
        self._outlets: tuple[Outlet, ...] = ()
        # Outlets that get their frames individually, and multicasts for the others.
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
        The number of frames received, by kind.
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
        @return: the payload bytes kept: headers, the group of pictures, and the longest
            queue of a sink. The other queues have the same frames.
        """
        held = self.headers.bytes + (0 if self._gop is None else self._gop.heldBytes())
        return held + max((outlet.heldBytes() for outlet in self._outlets), default=0)

    def setSource(self, source: IFrameSource, credentials: str | None) -> None:
        """
        Get frames from C{source} from now on.
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
        Add a sink. It begins with the last key frame or, if that is not kept, with the
        next.

        @param name: the sink's name in logs and ledgers.
        @param viewer: whether the sink serves a viewer.
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
        Pass the next frame from the source to all sinks.

        @param frame: with the source's timestamp, which is converted to the stream's
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
        # Read before the multicasts: an outlet that leaves one meanwhile already has
        # this frame.
        separate = self._separate
        for multicast in self._multicasts:
            multicast.frameReceived(frame)
        for outlet in separate:
            outlet.offer(frame)

    def _codecSeen(self, frame: Frame) -> None:
        """
        Handle a frame whose codec differs from the current one. The codec changes with
        the second such frame in a row, so that a single one has no effect: some codecs
        have no sequence header that announces the change.
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

        @return: fires when they have finished.
        """
        outlets, self._outlets = self._outlets, ()
        if self._gop is not None:
            # No sink joins from now on, and a sink may keep a reference to us for long.
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
        A lossless sink is full, or no longer full. The source is paused while any is.
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
        A sink has ended before the stream.
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
            "{stream}: sink {sink} detached: {reason}",
            stream=self.name,
            sink=outlet.name,
            reason=getattr(outlet.sink, "failure", "") or outlet.ended,
        )

    def join(self, outlet: Outlet, target: IMulticastTarget) -> Multicast:
        """
        A sink keeps up, and can receive frames together with others.

        @return: the multicast that it gets its frames through.
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
        A sink gets its frames individually again.
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
            # A sink that forwards frames may know how many did not arrive.
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
