"""
Tests of what Python programs, and people at the manhole, see of a server.
"""

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from rtmptw.errors import SinkError
from rtmptw.frames import StreamInfo
from rtmptw.hub.hub import StreamHub
from rtmptw.hub.stream import SinkReport
from rtmptw.interfaces import IFrameSink, IHubUser
from rtmptw.plugins.sink import FrameSinkFactory
from rtmptw.rtmpserver.protocol import RTMPFactory
from rtmptw.server import LiveStream, Server, startSinkFactory
from rtmptw.testing import RecordingSink, makeFrames
from tests.rtmpserver.test_protocol import Connection


@implementer(IHubUser)
class PickyFactory(FrameSinkFactory):
    """
    Wants the hub, and none of the streams.
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


class ServerTests(SynchronousTestCase):
    """
    The verbs.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.reports: list[SinkReport] = []
        self.hub = StreamHub(self.clock, sinkEnded=self.reports.append)
        self.factory = RTMPFactory(self.hub)
        self.server = Server(self.hub, self.factory, self.clock)

    def publish(self, name: str = "cam", port: int = 50000) -> Connection:
        """
        A client that has published some frames.
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
        An empty server says so, and what is not there is said in one sentence.
        """
        self.assertEqual(self.server.streams, [])
        self.assertEqual(repr(self.server), "no streams")
        with self.assertRaises(LookupError) as caught:
            self.server.stream("live/cam")
        self.assertEqual(
            str(caught.exception), "'live/cam' is not live; live are: none"
        )
        with self.assertRaises(LookupError) as caught:
            self.server.kick("10.0.0.1:2")
        self.assertEqual(
            str(caught.exception),
            "'10.0.0.1:2' is not connected; connected are: nobody",
        )

    def test_streams(self) -> None:
        """
        All of them with their numbers; the table names what was dropped.
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
        Objects and descriptions, each with a name of its own, its books and an end.
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
        A factory that wants the hub gets it; one that builds no sink is stopped.
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
        self.assertIn("does not want live/cam", str(caught.exception))
        self.assertEqual(picky.calls, [self.hub, self.clock, "stopped"])

    def test_factoriesStopWithTheirSinks(self) -> None:
        """
        When a sink that was attached by its description ends, its factory stops; the
        server's shutdown can wait for that.
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
        self.hub.shutdown("the end")
        self.assertIn("stopped", picky.calls)
        stopped = self.server.stopped()
        self.assertNoResult(stopped)
        picky.stopped.callback(None)
        self.successResultOf(stopped)
        self.successResultOf(self.server.stopped())

    def test_kickPublishers(self) -> None:
        """
        By stream, or by address.
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
        The stream waits for another publisher; then there is nobody to kick.
        """
        self.hub = StreamHub(self.clock, graceTime=10.0)
        self.factory = RTMPFactory(self.hub)
        self.server = Server(self.hub, self.factory, self.clock)
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
        They are sinks by address; the end of a stream is theirs, too.
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
        Now, or before the first frame.
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
        The hub comes before the start.
        """
        picky = PickyFactory()
        startSinkFactory(picky, self.hub, self.clock)
        self.assertEqual(picky.calls, [self.hub, self.clock])
