"""
Tests of a server as Python programs and users of the manhole see it.
"""

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from rtmptw.errors import NotAllowed, SinkError
from rtmptw.frames import StreamInfo
from rtmptw.hub.stream import SinkReport
from rtmptw.interfaces import IFrameSink, IHubUser, PublishPermit
from rtmptw.plugins.sink import FrameSinkFactory
from rtmptw.rtmp.events import PublishRequested
from rtmptw.rtmp.serversession import ServerSettings
from rtmptw.rtmpserver.authorizing import AllowAll
from rtmptw.server import CLOSE_WITHIN, LiveStream, Server, startSinkFactory
from rtmptw.testing import RecordingSink, makeFrames
from tests.rtmpserver.test_protocol import Connection


@implementer(IHubUser)
class PickyFactory(FrameSinkFactory):
    """
    A factory that wants the hub, and accepts no stream.
    """

    def __init__(self) -> None:
        self.calls: list[object] = []
        self.stopped: Deferred[None] = Deferred()

    def setHub(self, hub: object) -> None:
        self.calls.append(hub)

    def startFactory(self, reactor: object) -> None:
        self.calls.append(reactor)

    def buildSink(self, stream: StreamInfo) -> IFrameSink | None:
        return None

    def stopFactory(self) -> "Deferred[None]":
        self.calls.append("stopped")
        return self.stopped


class OnlyCam(AllowAll):
    """
    Allows only C{cam} to be published.
    """

    def authorizePublish(self, request: PublishRequested, peer: str) -> PublishPermit:
        if request.stream != "cam":
            raise NotAllowed("NetStream.Publish.Denied", "only cam")
        return super().authorizePublish(request, peer)


class StoppableReactor(MemoryReactorClock):
    """
    A reactor that keeps its shutdown triggers.
    """

    def __init__(self) -> None:
        super().__init__()
        self.shutdowns: list[Callable[[], Deferred[None]]] = []

    def addSystemEventTrigger(  # type: ignore[override]
        self, phase: str, event: str, function: Callable[[], Deferred[None]]
    ) -> object:
        self.shutdowns.append(function)
        return function

    def removeSystemEventTrigger(self, trigger: object) -> None:
        self.shutdowns.remove(trigger)  # type: ignore[arg-type]


class LifeTests(SynchronousTestCase):
    """
    The life of a server: it starts its sinks, listens, and stops everything.
    """

    def setUp(self) -> None:
        self.reactor = StoppableReactor()
        self.sinks: list[RecordingSink] = []

    def factory(self, calls: list[str], error: Exception | None = None) -> Any:
        """
        @return: a factory that records its calls.
        """
        case = self

        class KeepFactory(FrameSinkFactory):
            def startFactory(self, reactor: object) -> None:
                calls.append("start")
                if error is not None:
                    raise error

            def buildSink(self, stream: StreamInfo) -> IFrameSink:
                calls.append("build")
                case.sinks.append(RecordingSink())
                return case.sinks[-1]

            def stopFactory(self) -> None:
                calls.append("stop")

        return KeepFactory()

    def test_fromTheFirstToTheLast(self) -> None:
        """
        Sinks are started before the first connection, get every frame, and are stopped
        after the last stream. The stop waits for the connections.
        """
        calls: list[str] = []
        server = Server(self.reactor, sinks=[self.factory(calls)])
        self.assertEqual(calls, [])
        port = self.successResultOf(server.listen("tcp:1935:interface=127.0.0.1"))
        self.assertEqual(port.getHost().port, 1935)  # type: ignore[attr-defined]
        self.successResultOf(server.listen("tcp:1936"))
        self.assertEqual(calls, ["start"])
        self.assertEqual(
            [tcp[0] for tcp in self.reactor.tcpServers],
            [1935, 1936],
        )
        connection = Connection(server.factory)
        connection.publish()
        frames = makeFrames()
        for frame in frames:
            connection.client.send(
                connection.client.message(
                    frame.kind, frame.payload, timestamp=frame.timestamp
                )
            )
        (sink,) = self.sinks
        self.assertEqual(
            [(frame.timestamp, frame.payload) for frame in sink.frames],
            [(frame.timestamp, frame.payload) for frame in frames],
        )
        stopped = server.stop("that was it")
        self.assertEqual(sink.ended, ["that was it"])
        self.assertEqual(calls, ["start", "build", "stop"])
        self.assertNoResult(stopped)
        connection.lose()
        self.successResultOf(stopped)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_aClientThatDoesNotLeave(self) -> None:
        """
        At the stop, a client that does not close is aborted after C{CLOSE_WITHIN}
        seconds.
        """
        server = Server(self.reactor)
        connection = Connection(server.factory)
        connection.publish()
        cutOff: list[bool] = []
        connection.transport.abortConnection = lambda: cutOff.append(True)
        stopped = server.stop()
        self.reactor.advance(CLOSE_WITHIN - 0.01)
        self.assertNoResult(stopped)
        self.assertEqual(cutOff, [])
        self.reactor.advance(0.02)
        self.assertEqual(cutOff, [True])
        self.successResultOf(stopped)

    def test_theReactorStops(self) -> None:
        """
        When the reactor stops, the server stops, once, and the reactor waits for it.
        """
        calls: list[str] = []
        server = Server(self.reactor, sinks=[self.factory(calls)])
        self.successResultOf(server.listen("tcp:0"))
        self.successResultOf(server.listen("tcp:0"))
        (shutdown,) = self.reactor.shutdowns
        self.successResultOf(shutdown())
        self.assertEqual(calls, ["start", "stop"])

    def test_stoppedBeforeTheReactor(self) -> None:
        """
        A stop of the server removes its shutdown trigger.
        """
        server = Server(self.reactor)
        self.successResultOf(server.listen("tcp:0"))
        self.successResultOf(server.stop())
        self.assertEqual(self.reactor.shutdowns, [])

    def test_aSinkThatCannotStart(self) -> None:
        """
        If a sink cannot start, those before it are stopped, and the server does not
        listen.
        """
        first: list[str] = []
        second: list[str] = []
        server = Server(
            self.reactor,
            sinks=[
                self.factory(first),
                self.factory(second, SinkError("no disk")),
            ],
        )
        with self.assertRaisesRegex(SinkError, "no disk"):
            server.listen("tcp:1935")
        self.assertEqual((first, second), (["start", "stop"], ["start"]))
        self.assertEqual(self.reactor.tcpServers, [])

    def test_aPortThatCannotBeHad(self) -> None:
        """
        A port that is in use, and a bad endpoint description, raise errors.
        """
        server = Server(self.reactor)
        self.reactor.listenTCP = (  # type: ignore[method-assign]
            lambda *args, **kwargs: (_ for _ in ()).throw(
                CannotListenError("", 1935, OSError("in use"))
            )
        )
        self.failureResultOf(server.listen("tcp:1935"), CannotListenError)
        with self.assertRaises(ValueError):
            server.listen("nothing:1")

    def test_names(self) -> None:
        """
        A sink is named by its type, its class, or the name it is given.
        """
        calls: list[str] = []
        server = Server(
            self.reactor,
            sinks=[
                "null",
                self.factory(calls),
                ("best", self.factory(calls)),
                "null",
                ("best", self.factory(calls)),
            ],
        )
        server.start()
        server.start()
        connection = Connection(server.factory)
        connection.publish()
        self.assertEqual(
            list(server.stream("live/cam").ledgers),
            ["null", "Keep", "best", "null#2", "best#2"],
        )
        self.assertEqual(calls.count("start"), 3)
        with self.assertRaisesRegex(UsageError, "there is no sink 'nil'"):
            Server(self.reactor, sinks=["nil"])

    def test_settings(self) -> None:
        """
        The server's settings reach its connections and its hub.
        """
        server = Server(
            self.reactor,
            settings=ServerSettings(handshakeTimeout=3.0),
            graceTime=5.0,
            authorizer=OnlyCam(),
        )
        slow = Connection(server.factory)
        self.reactor.advance(2.9)
        self.assertFalse(slow.transport.disconnecting)
        self.reactor.advance(0.2)
        self.assertTrue(slow.transport.disconnecting)
        refused = Connection(server.factory)
        refused.publish("other")
        self.assertTrue(refused.transport.disconnecting)
        self.assertEqual(server.streams, [])
        allowed = Connection(server.factory)
        allowed.publish("cam")
        allowed.lose()
        self.reactor.advance(4.9)
        self.assertEqual([stream.name for stream in server.streams], ["live/cam"])
        self.reactor.advance(0.2)
        self.assertEqual(server.streams, [])


class ServerTests(SynchronousTestCase):
    """
    The methods of L{Server} and L{LiveStream}.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.reports: list[SinkReport] = []
        self.server = Server(self.clock, sinkEnded=self.reports.append)
        self.hub = self.server.hub
        self.factory = self.server.factory

    def publish(self, name: str = "cam", port: int = 50000) -> Connection:
        """
        @return: a client that has published some frames.
        """
        connection = Connection(self.factory, port)
        connection.publish(name)
        for frame in makeFrames():
            connection.client.send(
                connection.client.message(
                    frame.kind, frame.payload, timestamp=frame.timestamp
                )
            )
        return connection

    def test_nothing(self) -> None:
        """
        An empty server has no streams, and a wrong name is answered in one sentence.
        """
        self.assertEqual(self.server.streams, [])
        self.assertEqual(repr(self.server), "no streams")
        with self.assertRaises(LookupError) as caught:
            self.server.stream("live/cam")
        self.assertEqual(
            str(caught.exception), "'live/cam' is not live; live streams: none"
        )
        with self.assertRaises(LookupError) as caught:
            self.server.kick("10.0.0.1:2")
        self.assertEqual(
            str(caught.exception),
            "'10.0.0.1:2' is not connected; connected clients: nobody",
        )

    def test_streams(self) -> None:
        """
        All streams are listed with their counts, and the table names what was dropped.
        """
        self.publish("two", 50002)
        self.publish("one", 50001)
        one, two = self.server.streams
        self.assertEqual((one.name, two.name), ("live/one", "live/two"))
        self.assertEqual(one.publisher, "127.0.0.1:50001")
        self.assertEqual(one.info.encoder, "test/1.0")
        self.assertEqual(one.received, {"audio": 87, "video": 51, "data": 0})
        slow = RecordingSink()
        one.attach(slow, "slow")
        assert slow.producer is not None
        self.hub.streams["live/one"].outlets[0].ledger.drop("too-slow", 3)
        self.assertEqual(
            str(self.server).splitlines()[:2],
            [
                "live/one  127.0.0.1:50001  test/1.0  51 video 87 audio  "
                f"{self.hub.streams['live/one'].bytes} bytes",
                f"  slow  {len(slow.frames)} of {len(slow.frames)} frames, 0 wait, "
                "dropped: 3 too-slow",
            ],
        )
        self.assertEqual(
            self.server.connections, ["127.0.0.1:50001", "127.0.0.1:50002"]
        )

    def test_attachAndDetach(self) -> None:
        """
        Sinks can be attached as objects and as descriptions, and detached by name. Each
        has its own name and ledger.
        """
        self.publish()
        cam = self.server.stream("live/cam")
        mine = RecordingSink()
        self.assertEqual(cam.attach(mine), "RecordingSink")
        self.assertEqual(cam.attach("null"), "null")
        self.assertEqual(cam.attach("null"), "null#2")
        self.assertEqual(cam.attach("null", "mine"), "mine")
        self.assertEqual(list(cam.ledgers), ["RecordingSink", "null", "null#2", "mine"])
        self.assertGreater(cam.ledgers["RecordingSink"].delivered, 10)
        self.successResultOf(cam.detach("RecordingSink", "enough"))
        self.assertEqual(mine.ended, ["enough"])
        self.successResultOf(cam.detach("null#2"))
        self.assertEqual(list(cam.ledgers), ["null", "mine"])
        with self.assertRaises(LookupError) as caught:
            cam.detach("nope")
        self.assertEqual(
            str(caught.exception), "live/cam has no sink 'nope'; it has: null, mine"
        )
        with self.assertRaises(UsageError):
            cam.attach("nope")
        self.assertTrue(all(report.ledger.balanced for report in self.reports))

    def test_aSinkThatDoesNotWantIt(self) -> None:
        """
        A factory that wants the hub gets it. One that builds no sink for the stream is
        stopped.
        """
        picky = PickyFactory()
        self.patch(
            __import__("rtmptw.server", fromlist=["api"]),
            "sinkFactory",
            lambda _: picky,
        )
        self.publish()
        with self.assertRaises(SinkError) as caught:
            self.server.stream("live/cam").attach("picky")
        self.assertIn("ignores live/cam", str(caught.exception))
        self.assertEqual(picky.calls, [self.hub, self.clock, "stopped"])

    def test_factoriesStopWithTheirSinks(self) -> None:
        """
        When a sink attached by its description ends, its factory is stopped, and the
        server's end waits for that.
        """
        picky = PickyFactory()
        sink = RecordingSink()
        picky.buildSink = lambda stream: sink  # type: ignore[method-assign]
        self.patch(
            __import__("rtmptw.server", fromlist=["api"]),
            "sinkFactory",
            lambda _: picky,
        )
        self.publish()
        self.server.stream("live/cam").attach("picky")
        self.assertNotIn("stopped", picky.calls)
        ended = self.server.end("the end")
        self.assertIn("stopped", picky.calls)
        self.assertNoResult(ended)
        picky.stopped.callback(None)
        self.successResultOf(ended)
        self.successResultOf(self.server.end("once more"))

    def test_kickPublishers(self) -> None:
        """
        Publishers can be kicked by stream or by address.
        """
        connection = self.publish()
        self.server.stream("live/cam").kick("wrong camera")
        self.assertTrue(connection.transport.disconnecting)
        self.assertEqual(self.server.streams, [])
        other = self.publish(port=50001)
        self.server.kick("127.0.0.1:50001", "you too")
        self.assertTrue(other.transport.disconnecting)
        self.assertEqual(self.server.streams, [])

    def test_kickUnderGrace(self) -> None:
        """
        With a grace time, a kicked publisher's stream waits for another. A second kick
        is an error.
        """
        self.server = Server(self.clock, graceTime=10.0)
        self.factory = self.server.factory
        self.publish()
        cam = self.server.stream("live/cam")
        cam.kick()
        self.assertEqual(cam.publisher, "")
        self.assertIn("(waiting for its publisher)", str(cam))
        with self.assertRaises(ValueError):
            cam.kick()
        self.clock.advance(10)
        self.assertEqual(self.server.streams, [])

    def test_players(self) -> None:
        """
        Players are sinks named by their address, and the end of a stream ends them.
        """
        self.publish()
        player = Connection(self.factory, 50009)
        player.client.shakeHands()
        player.client.connect()
        player.client.command("createStream", 2.0, None)
        player.client.command("play", 3.0, None, "cam", streamID=1)
        cam = self.server.stream("live/cam")
        self.assertEqual(list(cam.ledgers), ["play 127.0.0.1:50009"])
        self.successResultOf(cam.detach("play 127.0.0.1:50009", "kicked"))
        self.assertTrue(player.transport.disconnecting)
        self.successResultOf(cam.end())
        self.assertEqual(self.server.streams, [])

    def test_whenPublished(self) -> None:
        """
        L{Server.whenPublished} fires before the first frame, or at once if the stream
        is live.
        """
        waiting = self.server.whenPublished("live/cam")
        self.assertNoResult(waiting)
        mine = RecordingSink()
        waiting.addCallback(lambda stream: stream.attach(mine))
        self.publish()
        self.assertEqual(len(mine.frames), len(makeFrames()))
        self.assertIsInstance(
            self.successResultOf(self.server.whenPublished("live/cam")), LiveStream
        )

    def test_startSinkFactory(self) -> None:
        """
        A factory gets the hub before it is started.
        """
        picky = PickyFactory()
        startSinkFactory(picky, self.hub, self.clock)
        self.assertEqual(picky.calls, [self.hub, self.clock])
