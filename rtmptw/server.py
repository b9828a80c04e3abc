"""
A server for Python programs. In five lines, every stream is recorded::

    server = Server(sinks=["file"])
    await server.listen("tcp:1935")
    stream = await server.whenPublished("live/cam")
    print(stream)
    await server.stop()

It shows its streams, players and what each sink got, and can change them at any time::

    print(server)                            # a table of streams and their sinks
    cam = server.stream("live/cam")
    cam.attach("record:best:format=mp4")     # any sink of the command line, or yours
    cam.detach("record")
    cam.kick("wrong camera")                 # its publisher
    server.kick("203.0.113.7:50000")         # any client, by address
    feed = server.publish("live/out")        # frames of your own

Call it in the reactor's thread, as the manhole does.
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

#: The time limit in seconds for sinks to finish at the end. The process promises to end
#: within ten.
STOP_WITHIN = 8.0
#: The time limit in seconds for clients to read the last messages.
CLOSE_WITHIN = 1.0

#: A sink as in C{--sink}, its factory, or a pair of a name and the factory.
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
        Its first publisher, the publisher's program, and when it started.
        """
        return self._stream.info

    @property
    def publisher(self) -> str:
        """
        The address of its current publisher, C{host:port}; empty in the grace time.
        """
        source = self._stream.source
        return "" if source is None else source.peer

    @property
    def received(self) -> Mapping[str, int]:
        """
        How many frames it has received: C{audio}, C{video} and C{data}.
        """
        return {kind.name.lower(): count for kind, count in self._stream.counts.items()}

    @property
    def ledgers(self) -> Mapping[str, Ledger]:
        """
        The ledgers of its sinks, including players, by name.
        """
        return {outlet.name: outlet.ledger for outlet in self._stream.outlets}

    def attach(self, sink: str | IFrameSink | FrameSink, name: str = "") -> str:
        """
        Add a sink. It gets all frames from the last key frame on.

        @param sink: a description as in C{--sink}, or an object.
        @param name: a name for it, by default the sink's type. A number is added if the
            name is taken.
        @return: its name.

        @raise UsageError: if the description is not valid.
        @raise SinkError: if the sink cannot work, or ignores this stream.
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
        Remove one of its sinks or players, by name.

        @return: a L{Deferred} that fires when the sink has finished.

        @raise LookupError: if there is none with that name.
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
        @param policy: C{lossless}: every frame, the publisher waits for the loop;
            C{latest}: always the newest frame; C{to-keyframe}: every frame, but if the
            loop is two seconds behind, frames are dropped up to a key frame.
        @param size: width and height to scale video frames to.
        @param fps: the maximum number of video frames per second of media.
        @param keyframes: decode key frames only.
        @param media: C{video}, C{audio} or C{both}.
        @param track: the Enhanced RTMP track id.
        @param process: decode in a child process, which is restarted if it crashes. It
            gives numpy arrays.

        @raise ValueError: with a sentence, if the arguments are not valid.
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
        Disconnect its publisher. With a grace time, the stream waits for another one.

        @raise ValueError: if it has no publisher now.
        """
        self._server.hub.kick(self.name, reason)

    def end(self, reason: str = "ended by hand") -> "Deferred[None]":
        """
        End the stream: disconnect its publisher and players, and end its sinks.

        @return: a L{Deferred} that fires when the sinks have finished.
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
    A media server: its hub, connections and sinks.

    @ivar hub: its streams.
    @ivar factory: the Twisted factory of its connections.
    @ivar reactor: its reactor.
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
        @param reactor: by default Twisted's global reactor.
        @param sinks: the sinks for the frames of every stream: each a description as in
            C{--sink}, a factory, or a pair of a name and a factory.
        @param authorizer: decides who may publish and play; by default, everybody may.
        @param settings: settings for all connections.
        @param play: settings for players.
        @param graceTime: how long a stream waits for its publisher to come back, in
            seconds.
        @param graceAfterStop: whether it also waits for a publisher that has stopped,
            not only for one whose connection was lost.
        @param gopCache: whether late sinks get the frames since the last key frame.
        @param isPaced: whether sockets are read only every few milliseconds under load.
        @param memory: the bytes that all clients together may occupy; 0 is half of the
            machine's memory.
        @param sinkEnded: called with the final report of each sink.

        @raise UsageError: if the description of a sink is not valid.
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
        # The handle of the reactor's shutdown trigger. A list, since the handle can be
        # any object.
        self._triggers: list[object] = []
        self._ports: list[IListeningPort] = []
        self._stopping: list[Deferred[Any]] = []

    # Start and stop.

    def start(self) -> None:
        """
        Start the sinks. L{listen} also does this. Further calls do nothing.

        @raise SinkError: if a sink cannot start; the sinks before it are stopped again.
        """
        if self._isStarted:
            return
        started: list[IFrameSinkFactory] = []
        for _name, factory in self._sinks:
            try:
                startSinkFactory(factory, self.hub, self.reactor)
            except BaseException:
                # Any exception: sinks are not only our own.
                for other in started:
                    maybeDeferred(other.stopFactory).addErrback(self._failed)
                raise
            started.append(factory)
        self._isStarted = True

    def listen(self, where: str = "tcp:1935") -> "Deferred[IListeningPort]":
        """
        Accept connections. May be called several times. If the reactor stops without a
        call of L{stop}, it calls L{stop} and waits for it.

        @param where: an endpoint description of Twisted, such as
            C{"tcp:1935:interface=127.0.0.1"}, C{"ssl:443:..."}, C{"unix:/run/rtmp"}.

        @return: a L{Deferred} that fires with the port when it listens;
            C{port.getHost().port} is its number. It fails with C{CannotListenError} if
            the port cannot be opened.

        @raise ValueError: if the endpoint description is not valid.
        @raise SinkError: if a sink cannot start.
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
        Stop listening, L{end} everything, and wait until all connections are closed.
        The server cannot be started again.

        @param reason: why, as readable text.
        @param within: the time limit for sinks to finish, in seconds.

        @return: a L{Deferred} that fires when that is done and the reactor has nothing
            left of it.
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
        End all streams, wait for the sinks, stop their factories, and close all client
        connections.

        @param within: the time limit in seconds: a dead disk must not keep the process
            alive.

        @return: a L{Deferred} that fires when that is done, or at the time limit.
        """
        return Deferred.fromCoroutine(self._end(reason, within))

    async def _end(self, reason: str, within: float) -> None:
        endBy = self.reactor.seconds() + within
        await self._until(endBy, self.hub.shutdown(reason), "sinks did not finish")
        self.factory.close(reason)
        stops: list[Deferred[Any]] = [DeferredList(list(self._stopping))]
        if self._isStarted:
            stops += [
                maybeDeferred(factory.stopFactory).addErrback(self._failed)
                for _name, factory in self._sinks
            ]
        await self._until(endBy, DeferredList(stops), "sink factories did not stop")

    async def _until(self, moment: float, waiting: "Deferred[Any]", what: str) -> None:
        if not await self.waitFor(waiting, moment):
            self._log.error("{what} in time; stopping without them", what=what)

    async def waitFor(self, waiting: "Deferred[T]", moment: float) -> bool:
        """
        Wait for a L{Deferred}, at most until a moment of the reactor's clock. If it
        fails, log that.

        @return: whether it fired in time.
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
        self._log.failure("error while the server stops", failure)

    # Streams and connections.

    @property
    def streams(self) -> list[LiveStream]:
        """
        All live streams, sorted by name.
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
            raise LookupError(f"{name!r} is not live; live streams: {known}")
        return LiveStream(self, self.hub.streams[name])

    def whenPublished(self, name: str) -> "Deferred[LiveStream]":
        """
        @return: a L{Deferred} that fires with the stream: now if it is live, else
            before its first frame.
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
        Disconnect a client, publisher or player.

        @param peer: C{host:port}.

        @raise LookupError: if there is no such client.
        """
        for protocol in self.factory.connections:
            if protocol.peer == peer:
                protocol.close(reason)
                return
        known = ", ".join(self.connections) or "nobody"
        raise LookupError(f"{peer!r} is not connected; connected clients: {known}")

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

        @param name: the public name, for example C{"live/out"}.
        @param video: the encoder for video frames and its options, as in
            C{"libx264:preset=fast:b=2M:g=50"}.
        @param audio: the same for audio.
        @param credentials: another source with the same credentials can take over the
            stream at once.

        @raise ValueError: if the name is not valid, or there is no such encoder.
        @raise NotAllowed: if the stream is being published already.
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
        @param description: a description as in C{--sink}.
        @return: a sink for one stream, and its factory, which is started.

        @raise UsageError: if the description is not valid.
        @raise SinkError: if the sink cannot work, or ignores this stream.
        """
        factory = sinkFactory(description)
        startSinkFactory(factory, self.hub, self.reactor)
        sink = factory.buildSink(stream)
        if sink is None:
            maybeDeferred(factory.stopFactory)
            raise SinkError(f"{description}: this sink ignores {stream.name}")
        return sink, factory

    def stopWith(self, outlet: Outlet, factory: IFrameSinkFactory) -> None:
        """
        Stop a sink's factory once the sink has ended.
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
    Start a sink factory. If it is an L{IHubUser}, give it the hub before.

    @raise SinkError: if its sinks cannot work.
    """
    if IHubUser.providedBy(factory):
        cast(IHubUser, factory).setHub(hub)
    factory.startFactory(reactor)


def _named(sinks: Sequence[SinkChoice]) -> list[tuple[str, IFrameSinkFactory]]:
    """
    @return: the factories, with their sinks' names for logs and ledgers.

    @raise UsageError: if a description is not valid.
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
