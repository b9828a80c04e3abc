"""
A running server for Python: what it streams, who watches, what each sink got; and the
verbs to change that, at any time::

    server = Server(hub, factory, reactor)
    print(server)                            # a table of streams and their sinks
    cam = server.stream("live/cam")
    cam.attach("record:best:format=mp4")     # any sink of the command line, or yours
    cam.detach("record")
    cam.kick("wrong camera")                 # its publisher
    server.kick("203.0.113.7:50000")         # anybody, by address
    feed = server.publish("live/out")        # frames of your own

Call it in the reactor's thread; the manhole does.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.interfaces import IReactorTime

from rtmptw.errors import SinkError
from rtmptw.frames import FrameKind, StreamInfo
from rtmptw.hub.hub import StreamHub
from rtmptw.hub.ledger import Ledger
from rtmptw.hub.outlet import Outlet
from rtmptw.hub.stream import Stream
from rtmptw.interfaces import IFrameSink, IFrameSinkFactory, IHubUser
from rtmptw.plugins.registry import sinkFactory
from rtmptw.rtmpserver.protocol import RTMPFactory

if TYPE_CHECKING:
    from rtmptw.sinks.decode.sink import DecodedFrames
    from rtmptw.sources.feed import Feed


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

    def attach(self, sink: str | IFrameSink, name: str = "") -> str:
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
            kind, made, factory = type(sink).__name__, sink, None
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

    def frames(self, **options: Any) -> "DecodedFrames":
        """
        Its decoded frames: C{async for frame in stream.frames(format="bgr24")}, or in
        a thread C{for frame in stream.frames().iterate()}.

        @param options: as of L{DecodedFrames<rtmptw.sinks.decode.sink.DecodedFrames>}.
        """
        from rtmptw.sinks.decode.sink import DecodedFrames

        frames = DecodedFrames(self._server.reactor, **options)
        self._stream.attach(self._unused("frames"), frames)
        return frames

    def kick(self, reason: str = "kicked") -> None:
        """
        Disconnect its publisher. With a grace time the stream waits for another.

        @raise ValueError: if it has none now.
        """
        self._server.hub.kick(self.name, reason)

    def end(self, reason: str = "ended by hand") -> "Deferred[Any]":
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
    A running server.

    @ivar hub: its streams.
    @ivar reactor: where it runs.
    """

    def __init__(self, hub: StreamHub, factory: RTMPFactory, reactor: Any) -> None:
        self.hub = hub
        self.reactor: IReactorTime = reactor
        self._factory = factory
        self._stopping: list[Deferred[Any]] = []

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
        waiting: Deferred[Any] = self.hub.whenPublished(app, stream)
        return waiting.addCallback(lambda live: LiveStream(self, live))

    @property
    def connections(self) -> list[str]:
        """
        The addresses of all clients, as C{host:port}.
        """
        return sorted(protocol.peer for protocol in self._factory.connections)

    def kick(self, peer: str, reason: str = "kicked") -> None:
        """
        End a client's connection, be it a publisher or a player.

        @param peer: C{host:port}.

        @raise LookupError: if there is no such client.
        """
        for protocol in self._factory.connections:
            if protocol.peer == peer:
                protocol.close(reason)
                return
        known = ", ".join(self.connections) or "nobody"
        raise LookupError(f"{peer!r} is not connected; connected are: {known}")

    def publish(self, name: str, **options: Any) -> "Feed":
        """
        Publish frames of your own.

        @param name: the public name.
        @param options: as of L{publish<rtmptw.sources.feed.publish>}.

        @raise NotAllowed: if somebody publishes it.
        """
        from rtmptw.sources.feed import publish

        return publish(self.hub, name, reactor=self.reactor, **options)

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

    def stopped(self) -> "Deferred[Any]":
        """
        @return: fires when the factories of all sinks that were attached here have
            stopped.
        """
        return DeferredList(list(self._stopping))

    def __str__(self) -> str:
        return "\n".join(map(str, self.streams)) or "no streams"

    __repr__ = __str__


def startSinkFactory(factory: IFrameSinkFactory, hub: StreamHub, reactor: Any) -> None:
    """
    Start a sink's factory; one that wants the hub gets it before.

    @raise SinkError: if its sinks cannot work.
    """
    if IHubUser.providedBy(factory):
        cast(IHubUser, factory).setHub(hub)
    factory.startFactory(reactor)
