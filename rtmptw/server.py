"""
A server for Python programs. In five lines, every stream is recorded::

    server = Server(sinks=["file"])
    await server.listen("tcp:1935")
    stream = await server.whenPublished("live/cam")
    print(stream)
    await server.stop()

What it streams, who watches, what each sink got; and the verbs to change that, at any
time::

    print(server)                            # a table of streams and their sinks
    cam = server.stream("live/cam")
    cam.attach("record:best:format=mp4")     # any sink of the command line, or yours
    cam.detach("record")
    cam.kick("wrong camera")                 # its publisher
    server.kick("203.0.113.7:50000")         # anybody, by address
    feed = server.publish("live/out")        # frames of your own

Call it in the reactor's thread; the manhole does.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.interfaces import IListeningPort, IReactorCore, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from rtmptw.errors import SinkError
from rtmptw.frames import FrameKind, StreamInfo
from rtmptw.hub.hub import StreamHub
from rtmptw.hub.ledger import Ledger
from rtmptw.hub.outlet import Outlet
from rtmptw.hub.stream import SinkReport, Stream
from rtmptw.interfaces import (
    IFrameSink,
    IFrameSinkFactory,
    IHubUser,
    IStreamAuthorizer,
)
from rtmptw.net.ports import serverEndpoint
from rtmptw.plugins.registry import sinkFactory, sinkNames
from rtmptw.plugins.sink import FrameSink, FrameSinkFactory
from rtmptw.rtmp.serversession import ServerSettings
from rtmptw.rtmpserver.factory import RTMPFactory
from rtmptw.rtmpserver.play import PlaySettings

T = TypeVar("T")

if TYPE_CHECKING:
    from rtmptw.sinks.decode.loop import DecodedFrames
    from rtmptw.sources.feed import Feed

#: Sinks have so many seconds to put everything away at the end; the process is
#: promised to be gone after ten.
STOP_WITHIN = 8.0
#: Clients have so many seconds to take our last words.
CLOSE_WITHIN = 1.0

#: A sink as of C{--sink}, its factory, or the factory and what to call its sinks.
SinkChoice = (
    str
    | IFrameSinkFactory
    | FrameSinkFactory
    | tuple[str, IFrameSinkFactory | FrameSinkFactory]
)


class LiveStream:
    """
    One live stream.

    @ivar name: its public name.
    """

    def __init__(self, server: "Server", stream: Stream) -> None:
        self.name = stream.name
        self._server = server
        self._stream = stream

    @property
    def info(self) -> StreamInfo:
        """
        Who published it first, with what, and when.
        """
        return self._stream.info

    @property
    def publisher(self) -> str:
        """
        Who publishes it now, as C{host:port}; empty in the grace time.
        """
        source = self._stream.source
        return "" if source is None else source.peer

    @property
    def received(self) -> Mapping[str, int]:
        """
        How many frames it has got: C{audio}, C{video} and C{data}.
        """
        return {kind.name.lower(): count for kind, count in self._stream.counts.items()}

    @property
    def ledgers(self) -> Mapping[str, Ledger]:
        """
        The books of its sinks, players among them, by name.
        """
        return {outlet.name: outlet.ledger for outlet in self._stream.outlets}

    def attach(self, sink: str | IFrameSink | FrameSink, name: str = "") -> str:
        """
        Give its frames to one more sink, from the last key frame on.

        @param sink: a description as of C{--sink}, or an object.
        @param name: what to call it; the sink's type if not given, with a number if
            there is one of this name.
        @return: its name.

        @raise UsageError: if the description is not understood.
        @raise SinkError: if the sink cannot work, or does not want this stream.
        """
        if isinstance(sink, str):
            kind = sink.partition(":")[0]
            made, factory = self._server.sinkFor(sink, self.info)
        else:
            kind, made, factory = type(sink).__name__, cast(IFrameSink, sink), None
        name = self._unused(name or kind)
        outlet = self._stream.attach(name, made)
        if factory is not None:
            self._server.stopWith(outlet, factory)
        return name

    def _unused(self, wanted: str) -> str:
        taken = {outlet.name for outlet in self._stream.outlets}
        name, number = wanted, 1
        while name in taken:
            number += 1
            name = f"{wanted}#{number}"
        return name

    def detach(self, name: str, reason: str = "detached") -> "Deferred[None]":
        """
        End one of its sinks, or players, by name.

        @return: fires when the sink has put everything away.

        @raise LookupError: if there is none of that name.
        """
        for outlet in self._stream.outlets:
            if outlet.name == name:
                return outlet.detach(reason)
        known = ", ".join(outlet.name for outlet in self._stream.outlets) or "none"
        raise LookupError(f"{self.name} has no sink {name!r}; it has: {known}")

    def frames(
        self,
        *,
        format: str = "native",
        policy: str = "lossless",
        size: tuple[int, int] | None = None,
        fps: float = 0.0,
        keyframes: bool = False,
        media: str = "video",
        track: int = 0,
        process: bool = False,
    ) -> "DecodedFrames":
        """
        Its decoded frames: C{async for frame in stream.frames(format="bgr24")}, or in
        a thread C{for frame in stream.frames().iterate()}.

        @param format: C{native} for PyAV's own frames; C{rgb24}, C{bgr24} or C{gray}
            for numpy arrays.
        @param policy: C{lossless}: every frame, and the publisher waits for the loop;
            C{latest}: always the newest; C{to-keyframe}: every frame, up to where the
            loop is two seconds behind, then on from a key frame.
        @param size: width and height to scale video frames to.
        @param fps: so many video frames a second of media at most.
        @param keyframes: decode key frames only.
        @param media: C{video}, C{audio} or C{both}.
        @param track: the Enhanced RTMP track id.
        @param process: decode in a process of its own, which may die and is started
            again; from there come numpy arrays.

        @raise ValueError: with a sentence, if something of this is not possible.
        """
        from rtmptw.sinks.decode.loop import DecodedFrames

        frames = DecodedFrames(
            self._server.reactor,
            format=format,
            policy=policy,
            size=size,
            fps=fps,
            keyframes=keyframes,
            media=media,
            track=track,
            process=process,
        )
        self._stream.attach(self._unused("frames"), frames)
        return frames

    def kick(self, reason: str = "kicked") -> None:
        """
        Disconnect its publisher. With a grace time the stream waits for another.

        @raise ValueError: if it has none now.
        """
        self._server.hub.kick(self.name, reason)

    def end(self, reason: str = "ended by hand") -> "Deferred[None]":
        """
        End it: its publisher and players are disconnected, its sinks are ended.

        @return: fires when the sinks have put everything away.
        """
        return self._server.hub.end(self.name, reason)

    def __str__(self) -> str:
        stream = self._stream
        counts = stream.counts
        lines = [
            f"{self.name}  {self.publisher or '(waiting for its publisher)'}  "
            f"{stream.info.encoder}  {counts[FrameKind.VIDEO]} video "
            f"{counts[FrameKind.AUDIO]} audio  {stream.bytes} bytes"
        ]
        for outlet in stream.outlets:
            ledger = outlet.ledger
            dropped = ", ".join(
                f"{count} {reason}" for reason, count in sorted(ledger.dropped.items())
            )
            lines.append(
                f"  {outlet.name}  {ledger.delivered} of {ledger.received} frames, "
                f"{ledger.queued} wait" + (f", dropped: {dropped}" if dropped else "")
            )
        return "\n".join(lines)

    __repr__ = __str__


class Server:
    """
    A media server: its hub, its connections, its sinks.

    @ivar hub: its streams.
    @ivar factory: makes its connections: an ordinary Twisted factory.
    @ivar reactor: where it runs.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: IReactorTime | None = None,
        *,
        sinks: Sequence[SinkChoice] = (),
        authorizer: IStreamAuthorizer | None = None,
        settings: ServerSettings | None = None,
        play: PlaySettings | None = None,
        graceTime: float = 0.0,
        graceAfterStop: bool = False,
        gopCache: bool = True,
        isPaced: bool = True,
        memory: int = 0,
        sinkEnded: Callable[[SinkReport], None] = lambda report: None,
    ) -> None:
        """
        @param reactor: Twisted's own, if not given.
        @param sinks: where the frames of every stream go: each a description as of
            C{--sink}, a factory, or a pair of a name and a factory.
        @param authorizer: decides who may publish and play; everybody if not given.
        @param settings: towards all clients.
        @param play: towards viewers.
        @param graceTime: how long a stream waits for its publisher to come back, in
            seconds.
        @param graceAfterStop: whether it waits for one that has stopped, too, not only
            for one that was lost.
        @param gopCache: whether late sinks get the frames since the last key frame.
        @param isPaced: whether sockets are read only every few milliseconds when
            there is much to do.
        @param memory: how many bytes all clients may fill; 0 is half of what the
            machine has.
        @param sinkEnded: gets the closed books of each sink.

        @raise UsageError: if the description of a sink is not understood.
        """
        if reactor is None:
            from twisted.internet import reactor as installed  # noqa: TID251 -- asked for

            reactor = cast(IReactorTime, installed)
        self.reactor: IReactorTime = reactor
        self._sinks = _named(sinks)
        self.hub = StreamHub(
            reactor,
            self._sinks,
            graceTime=graceTime,
            graceAfterStop=graceAfterStop,
            gopCache=gopCache,
            sinkEnded=sinkEnded,
        )
        self.factory = RTMPFactory(
            self.hub, settings, authorizer, play, isPaced, memory
        )
        self._isStarted = False
        # What the reactor calls before it stops; in a list, as it may be anything.
        self._triggers: list[object] = []
        self._ports: list[IListeningPort] = []
        self._stopping: list[Deferred[Any]] = []

    # Its life.

    def start(self) -> None:
        """
        Start the sinks. L{listen} does, too. Again does nothing.

        @raise SinkError: if a sink cannot work; those before it are stopped again.
        """
        if self._isStarted:
            return
        started: list[IFrameSinkFactory] = []
        for _name, factory in self._sinks:
            try:
                startSinkFactory(factory, self.hub, self.reactor)
            except BaseException:
                # Also for what a sink raises that is none of ours.
                for other in started:
                    maybeDeferred(other.stopFactory).addErrback(self._failed)
                raise
            started.append(factory)
        self._isStarted = True

    def listen(self, where: str = "tcp:1935") -> "Deferred[IListeningPort]":
        """
        Take connections. May be called several times. When the reactor stops before
        L{stop} was called, that is called, and waited for.

        @param where: an endpoint description of Twisted, such as
            C{"tcp:1935:interface=127.0.0.1"}, C{"ssl:443:..."}, C{"unix:/run/rtmp"}.

        @return: fires with the port, when it listens: C{port.getHost().port} is its
            number. Fails with C{CannotListenError} if the port cannot be had.

        @raise ValueError: if there is no such endpoint.
        @raise SinkError: if a sink cannot work.
        """
        endpoint = serverEndpoint(self.reactor, where)
        self.start()
        if not self._triggers and IReactorCore.providedBy(self.reactor):
            self._triggers.append(
                cast(IReactorCore, self.reactor).addSystemEventTrigger(
                    "before", "shutdown", self._shutdown
                )
            )
        listening: Deferred[IListeningPort] = endpoint.listen(self.factory)
        return listening.addCallback(self._listens)

    def _shutdown(self) -> "Deferred[None]":
        self._triggers.clear()
        return self.stop()

    def _listens(self, port: IListeningPort) -> IListeningPort:
        self._ports.append(port)
        return port

    def stop(
        self, reason: str = "the server stops", within: float = STOP_WITHIN
    ) -> "Deferred[None]":
        """
        Listen no more, L{end} all, and wait until all connections are closed. It
        cannot be started again.

        @param reason: why, as a sentence for a person.
        @param within: for how many seconds sinks are waited for.

        @return: fires when all of that is done, and nothing of it is left in the
            reactor.
        """
        return Deferred.fromCoroutine(self._stop(reason, within))

    async def _stop(self, reason: str, within: float) -> None:
        ports, self._ports = self._ports, []
        while self._triggers:
            trigger = self._triggers.pop()
            cast(IReactorCore, self.reactor).removeSystemEventTrigger(trigger)
        await DeferredList([maybeDeferred(port.stopListening) for port in ports])
        await self.end(reason, within)
        closed = self.factory.whenClosed()
        if not await self.waitFor(closed, self.reactor.seconds() + CLOSE_WITHIN):
            self.factory.abort()

    def end(self, reason: str, within: float = STOP_WITHIN) -> "Deferred[None]":
        """
        End all streams, let the sinks put everything away, stop their factories, and
        say goodbye to all clients.

        @param within: for how many seconds that may be waited for: a dead disk must
            not keep a process alive.

        @return: fires when that is done, or the time is over.
        """
        return Deferred.fromCoroutine(self._end(reason, within))

    async def _end(self, reason: str, within: float) -> None:
        endBy = self.reactor.seconds() + within
        await self._until(endBy, self.hub.shutdown(reason), "sinks had not finished")
        self.factory.close(reason)
        stops: list[Deferred[Any]] = [DeferredList(list(self._stopping))]
        if self._isStarted:
            stops += [
                maybeDeferred(factory.stopFactory).addErrback(self._failed)
                for _name, factory in self._sinks
            ]
        await self._until(endBy, DeferredList(stops), "sink factories had not stopped")

    async def _until(self, moment: float, waiting: "Deferred[Any]", what: str) -> None:
        if not await self.waitFor(waiting, moment):
            self._log.error("{what} in time; going without that", what=what)

    async def waitFor(self, waiting: "Deferred[T]", moment: float) -> bool:
        """
        Wait for something, but no longer than to a moment of the reactor's clock. If
        it fails, that is logged.

        @return: whether it came in time.
        """
        done: Deferred[bool] = Deferred()
        left = max(0.0, moment - self.reactor.seconds())
        timer = self.reactor.callLater(left, done.callback, False)

        def finished(result: object) -> None:
            if timer.active():
                timer.cancel()
                done.callback(True)

        waiting.addErrback(self._failed)
        waiting.addCallback(finished)
        return await done

    def _failed(self, failure: Failure) -> None:
        self._log.failure("an error at the end", failure)

    # What there is.

    @property
    def streams(self) -> list[LiveStream]:
        """
        All live streams, by name.
        """
        return [
            LiveStream(self, stream)
            for _name, stream in sorted(self.hub.streams.items())
        ]

    def stream(self, name: str) -> LiveStream:
        """
        @param name: the public name, C{app/stream}.

        @raise LookupError: if it is not live.
        """
        if name not in self.hub.streams:
            known = ", ".join(sorted(self.hub.streams)) or "none"
            raise LookupError(f"{name!r} is not live; live are: {known}")
        return LiveStream(self, self.hub.streams[name])

    def whenPublished(self, name: str) -> "Deferred[LiveStream]":
        """
        @return: fires with the stream: now if it is live, or before its first frame.
        """
        app, _, stream = name.rpartition("/")
        waiting = self.hub.whenPublished(app, stream)
        return waiting.addCallback(lambda live: LiveStream(self, live))

    @property
    def connections(self) -> list[str]:
        """
        The addresses of all clients, as C{host:port}.
        """
        return sorted(protocol.peer for protocol in self.factory.connections)

    def kick(self, peer: str, reason: str = "kicked") -> None:
        """
        End a client's connection, be it a publisher or a player.

        @param peer: C{host:port}.

        @raise LookupError: if there is no such client.
        """
        for protocol in self.factory.connections:
            if protocol.peer == peer:
                protocol.close(reason)
                return
        known = ", ".join(self.connections) or "nobody"
        raise LookupError(f"{peer!r} is not connected; connected are: {known}")

    def publish(
        self,
        name: str,
        *,
        video: str | None = None,
        audio: str | None = None,
        credentials: str | None = None,
    ) -> "Feed":
        """
        Publish frames of your own.

        @param name: the public name, C{"live/out"} for example.
        @param video: the encoder of video frames and its options, as in
            C{"libx264:preset=fast:b=2M:g=50"}.
        @param audio: likewise for audio.
        @param credentials: what another source must show to take the name over at
            once.

        @raise ValueError: if the name is none, or there is no such encoder.
        @raise NotAllowed: if somebody publishes it.
        """
        from rtmptw.sources.feed import publish

        return publish(
            self.hub,
            name,
            video=video,
            audio=audio,
            reactor=self.reactor,
            credentials=credentials,
        )

    def sinkFor(
        self, description: str, stream: StreamInfo
    ) -> tuple[IFrameSink, IFrameSinkFactory]:
        """
        @param description: as of C{--sink}.
        @return: a sink for one stream, and its factory, which is started.

        @raise UsageError: if the description is not understood.
        @raise SinkError: if the sink cannot work, or does not want this stream.
        """
        factory = sinkFactory(description)
        startSinkFactory(factory, self.hub, self.reactor)
        sink = factory.buildSink(stream)
        if sink is None:
            maybeDeferred(factory.stopFactory)
            raise SinkError(f"{description}: this sink does not want {stream.name}")
        return sink, factory

    def stopWith(self, outlet: Outlet, factory: IFrameSinkFactory) -> None:
        """
        Stop a sink's factory when the sink has ended.
        """

        def stop(result: object) -> "Deferred[Any]":
            return maybeDeferred(factory.stopFactory)

        def over(result: object) -> object:
            self._stopping.remove(stopping)
            return result

        stopping: Deferred[Any] = outlet.whenEnded().addCallback(stop)
        self._stopping.append(stopping)
        stopping.addBoth(over)

    def __str__(self) -> str:
        return "\n".join(map(str, self.streams)) or "no streams"

    __repr__ = __str__


def startSinkFactory(
    factory: IFrameSinkFactory, hub: StreamHub, reactor: IReactorTime
) -> None:
    """
    Start a sink's factory; one that wants the hub gets it before.

    @raise SinkError: if its sinks cannot work.
    """
    if IHubUser.providedBy(factory):
        cast(IHubUser, factory).setHub(hub)
    factory.startFactory(reactor)


def _named(sinks: Sequence[SinkChoice]) -> list[tuple[str, IFrameSinkFactory]]:
    """
    @return: the factories, and what their sinks are called in logs and ledgers.

    @raise UsageError: if a description is not understood.
    """
    words: list[str] = []
    factories: list[IFrameSinkFactory] = []
    for choice in sinks:
        if isinstance(choice, str):
            words.append(choice)
            factories.append(sinkFactory(choice))
        elif isinstance(choice, tuple):
            words.append(choice[0])
            factories.append(cast(IFrameSinkFactory, choice[1]))
        else:
            words.append(type(choice).__name__.removesuffix("Factory"))
            factories.append(cast(IFrameSinkFactory, choice))
    return list(zip(sinkNames(words), factories, strict=True))
