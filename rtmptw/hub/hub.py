"""
All live streams by public name: how they begin, change publishers, and end.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from rtmptw.errors import NotAllowed
from rtmptw.frames import FrameKind, StreamInfo, publicName
from rtmptw.hub.stream import SinkReport, Stream
from rtmptw.interfaces import IDemanded, IFrameSinkFactory, IFrameSource

#: A publisher that has been silent this long is replaced by a new one of the same
#: name. Encoders send at least audio every few tens of milliseconds.
STALE_SECONDS = 3.0
#: When the server stops, streams that Python programs feed end at most this many
#: seconds later than the others.
FEED_PATIENCE = 3.0


@dataclass(slots=True)
class _Demand:
    """
    A source that runs only while its stream is wanted.

    @ivar isWanted: what the source was last told.
    """

    source: IDemanded
    isWanted: bool = False


class StreamHub:
    """
    Connects publishers to streams, and streams to sinks.

    @ivar clock: the monotonic clock, for grace times and for sources.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        sinkFactories: Sequence[tuple[str, IFrameSinkFactory]] = (),
        graceTime: float = 0.0,
        graceAfterStop: bool = False,
        gopCache: bool = True,
        sinkEnded: Callable[[SinkReport], None] = lambda report: None,
        wallClock: Callable[[], datetime] = lambda: datetime.now().astimezone(),
    ) -> None:
        """
        @param sinkFactories: names and factories; each is asked for a sink when a
            stream starts.
        @param graceTime: how long a stream waits for its publisher to come back, in
            seconds.
        @param graceAfterStop: whether it also waits if the publisher stopped, and not
            only if the publisher was lost.
        @param gopCache: whether late sinks get the frames since the last key frame.
        @param sinkEnded: called with the final report of each sink.
        @param wallClock: the time of day.
        """
        self.clock = clock
        self._sinkFactories = list(sinkFactories)
        self._graceTime = graceTime
        self._graceAfterStop = graceAfterStop
        self._gopCache = gopCache
        self._sinkEnded = sinkEnded
        self._wallClock = wallClock
        self._streams: dict[str, Stream] = {}
        self._graces: dict[str, IDelayedCall] = {}
        self._waiters: dict[str, list[Deferred[Stream]]] = {}
        self._demands: dict[str, _Demand] = {}
        self._ending: list[Deferred[Any]] = []
        self._closing = ""

    @property
    def streams(self) -> Mapping[str, Stream]:
        """
        The live streams by public name.
        """
        return MappingProxyType(self._streams)

    @property
    def awaited(self) -> Mapping[str, int]:
        """
        How many callers wait for streams that are not published, by public name.
        """
        return {name: len(waiters) for name, waiters in self._waiters.items()}

    def publish(
        self,
        app: str,
        stream: str,
        source: IFrameSource,
        credentials: str | None = None,
    ) -> Stream:
        """
        Make a source the publisher of a stream: a new stream, one that waits for its
        publisher to come back, or one that it takes over.

        @return: the stream; pass it frames with C{frameReceived}, and call
            L{sourceLost} when there are no more.

        @raise NotAllowed: C{NetStream.Publish.BadName} if another source is active;
            C{NetStream.Publish.Denied} if the hub is shut down.
        """
        name = publicName(app, stream)
        if self._closing:
            raise NotAllowed("NetStream.Publish.Denied", self._closing)
        live = self._streams.get(name)
        if live is None:
            return self._begin(app, stream, source, credentials)
        if live.source is None:
            self._graces.pop(name).cancel()
            self._log.info(
                "{stream}: {peer} ({encoder}) resumes publishing",
                stream=name,
                peer=source.peer,
                encoder=source.encoder,
            )
        else:
            self._takeOver(live, source, credentials)
        live.setSource(source, credentials)
        return live

    def _begin(
        self, app: str, stream: str, source: IFrameSource, credentials: str | None
    ) -> Stream:
        info = StreamInfo(app, stream, source.peer, source.encoder, self._wallClock())
        new = self._streams[info.name] = Stream(
            info,
            self._gopCache,
            self._sinkEnded,
            self.clock.seconds,
            self._viewersChanged,
        )
        new.setSource(source, credentials)
        for name, factory in self._sinkFactories:
            try:
                sink = factory.buildSink(info)
            except (Exception, SystemExit):
                # A factory is foreign code too.
                self._log.failure(
                    "{stream}: sink {sink} could not be built; the stream continues "
                    "without it",
                    stream=info.name,
                    sink=name,
                )
                continue
            if sink is not None:
                new.attach(name, sink)
        self._log.info(
            "{stream}: published by {peer} ({encoder}), sinks: {sinks}",
            stream=info.name,
            peer=source.peer,
            encoder=source.encoder,
            sinks=", ".join(outlet.name for outlet in new.outlets) or "none",
        )
        for waiter in self._waiters.pop(info.name, []):
            waiter.callback(new)
        self._viewersChanged(new)
        return new

    def whenPublished(self, app: str, stream: str) -> "Deferred[Stream]":
        """
        Wait for a stream.

        @return: fires with the stream: now if it is live, else when it is published,
            before its first frame. Cancel it to stop waiting.

        @raise NotAllowed: if the hub is shut down.
        """
        name = publicName(app, stream)
        if self._closing:
            raise NotAllowed("NetStream.Play.Failed", self._closing)
        live = self._streams.get(name)
        if live is not None:
            return succeed(live)

        def cancelled(waiter: "Deferred[Stream]") -> None:
            waiters = self._waiters[name]
            waiters.remove(waiter)
            if not waiters:
                del self._waiters[name]
                self._demandChanged(name)

        waiter: Deferred[Stream] = Deferred(cancelled)
        self._waiters.setdefault(name, []).append(waiter)
        self._demandChanged(name)
        return waiter

    def addDemanded(self, app: str, stream: str, demanded: IDemanded) -> None:
        """
        Register a source on demand, which can publish a stream when it is wanted. The
        source is told at once if a caller is already waiting for the stream.

        @raise ValueError: if there is already one for this stream.
        """
        name = publicName(app, stream)
        if name in self._demands:
            raise ValueError(f"{name} already has a source on demand")
        self._demands[name] = _Demand(demanded)
        self._demandChanged(name)

    def removeDemanded(self, app: str, stream: str) -> None:
        """
        Remove a source on demand. It is told nothing more.

        @raise KeyError: if there is none.
        """
        del self._demands[publicName(app, stream)]

    def isOnDemand(self, app: str, stream: str) -> bool:
        """
        @return: whether there is a source on demand for this stream.
        """
        return publicName(app, stream) in self._demands

    def _viewersChanged(self, stream: Stream) -> None:
        self._demandChanged(stream.name)

    def _demandChanged(self, name: str) -> None:
        demand = self._demands.get(name)
        if demand is None:
            return
        live = self._streams.get(name)
        isWanted = name in self._waiters or (live is not None and live.viewers > 0)
        if isWanted != demand.isWanted:
            demand.isWanted = isWanted
            if isWanted:
                demand.source.demandBegun()
            else:
                demand.source.demandEnded()

    def _takeOver(
        self, stream: Stream, source: IFrameSource, credentials: str | None
    ) -> None:
        old = stream.source
        assert old is not None
        silence = old.silentFor()
        if credentials is not None and credentials == stream.credentials:
            why = "same credentials"
        elif silence >= STALE_SECONDS:
            why = f"the old publisher has been silent for {silence:.1f} s"
        else:
            self._log.warn(
                "{stream}: rejected {peer}, because {old} is already publishing",
                stream=stream.name,
                peer=source.peer,
                old=old.peer,
            )
            raise NotAllowed(
                "NetStream.Publish.BadName",
                f"{stream.name} is already being published; stop the other encoder "
                "or use another name.",
            )
        self._log.warn(
            "{stream}: {peer} replaces {old} as the publisher: {why}",
            stream=stream.name,
            peer=source.peer,
            old=old.peer,
            why=why,
        )
        stream.source = None
        old.sourceReplaced(f"replaced by {source.peer}")

    def sourceLost(
        self, stream: Stream, source: IFrameSource, reason: str, isStop: bool = False
    ) -> None:
        """
        A source has no more frames. The stream ends after the grace time.

        @param isStop: whether the source stopped deliberately. Then the stream ends at
            once, unless there is a grace time after a stop too.
        """
        if stream.source is not source:
            # The source has been replaced, or the stream has already ended.
            return
        stream.source = None
        waits = self._graceAfterStop or not isStop
        if self._graceTime and waits and not self._closing:
            self._log.info(
                "{stream}: {reason}; waiting {grace:g} s for the publisher to return",
                stream=stream.name,
                reason=reason,
                grace=self._graceTime,
            )
            self._graces[stream.name] = self.clock.callLater(
                self._graceTime, self._graceOver, stream, reason
            )
        else:
            self._end(stream, reason)

    def _graceOver(self, stream: Stream, reason: str) -> None:
        del self._graces[stream.name]
        self._end(stream, reason)

    def kick(self, name: str, reason: str) -> None:
        """
        Disconnect the publisher of a stream, as if the publisher had left.

        @raise KeyError: if there is no such stream.
        @raise ValueError: if it has no publisher now.
        """
        stream = self._streams[name]
        source = stream.source
        if source is None:
            raise ValueError(f"{name} has no publisher now")
        self.sourceLost(stream, source, reason)
        source.sourceReplaced(reason)

    def end(self, name: str, reason: str) -> "Deferred[Any]":
        """
        End a stream: disconnect its publisher, and end its sinks.

        @return: fires when the sinks have finished.

        @raise KeyError: if there is no such stream.
        """
        stream = self._streams[name]
        grace = self._graces.pop(name, None)
        if grace is not None:
            grace.cancel()
        source, stream.source = stream.source, None
        if source is not None:
            source.sourceReplaced(reason)
        return self._end(stream, reason)

    def _end(self, stream: Stream, reason: str) -> "Deferred[Any]":
        del self._streams[stream.name]
        ending = stream.end(reason)
        self._ending.append(ending)
        ending.addCallback(self._ended, stream, reason, ending)
        return ending

    def _ended(
        self, result: object, stream: Stream, reason: str, ending: "Deferred[Any]"
    ) -> None:
        self._ending.remove(ending)
        counts = stream.counts
        seconds = (self._wallClock() - stream.info.startedAt).total_seconds()
        self._log.info(
            "{stream}: ended after {seconds:.1f} s: {reason}; {video} video, {audio} "
            "audio, {data} data frames, {bytes} bytes{extra}",
            stream=stream.name,
            seconds=seconds,
            reason=reason,
            video=counts[FrameKind.VIDEO],
            audio=counts[FrameKind.AUDIO],
            data=counts[FrameKind.DATA],
            bytes=stream.bytes,
            extra=_extra(stream),
        )

    def shutdown(self, reason: str) -> "Deferred[Any]":
        """
        End all streams, and accept no more. Streams that Python programs feed end after
        the others, because they may be made from those: this lets them finish.

        @return: fires when all sinks have finished.
        """
        self._closing = reason
        for waiters in list(self._waiters.values()):
            for waiter in list(waiters):
                waiter.cancel()
        for name, stream in list(self._streams.items()):
            if stream.source is None or not stream.source.isFed:
                self.end(name, reason)
        over: Deferred[Any] = DeferredList(list(self._ending))
        if not self._streams:
            return over
        patience = Deferred[Any]()
        timer = self.clock.callLater(FEED_PATIENCE, patience.callback, None)

        def endTheRest(result: object) -> "Deferred[Any]":
            if timer.active():
                timer.cancel()
            for name in list(self._streams):
                self.end(name, reason)
            return DeferredList(list(self._ending))

        return DeferredList([over, patience], fireOnOneCallback=True).addCallback(
            endTheRest
        )


def _extra(stream: Stream) -> str:
    """
    @return: what went wrong, for the last log line of a stream; often empty.
    """
    parts = [
        f"{count} timestamp repairs ({kind})"
        for kind, count in sorted(stream.timeline.repairs.items())
    ]
    if stream.malformed:
        parts.append(f"{stream.malformed} invalid frames")
    if stream.pauses:
        parts.append(f"paused {stream.pauses} times for a slow sink")
    if stream.publishers > 1:
        parts.append(f"{stream.publishers} publishers")
    return "".join(f", {part}" for part in parts)
