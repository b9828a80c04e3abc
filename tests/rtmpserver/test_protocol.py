"""
Tests of the glue between Twisted and the session.
"""

import socket
import tempfile
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import ILogObserver, LogLevel, formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from rtmptw.delivery import LOSSLESS, Delivery, Policy
from rtmptw.errors import NotAllowed
from rtmptw.frames import Frame, StreamInfo
from rtmptw.hub.hub import STALE_SECONDS, StreamHub
from rtmptw.hub.stream import SinkReport
from rtmptw.interfaces import (
    IFrameSink,
    IFrameSource,
    IStreamAuthorizer,
    PlayPermit,
    PublishPermit,
)
from rtmptw.net.expecting import WINDOW
from rtmptw.plugins.sink import FrameSinkFactory
from rtmptw.rtmp.amf import AMFObject
from rtmptw.rtmp.chunkwriter import encodeMessage
from rtmptw.rtmp.events import PlayRequested, PublishRequested
from rtmptw.rtmp.message import Command
from rtmptw.rtmp.serversession import ServerSettings
from rtmptw.rtmpserver.answers import PATIENCE
from rtmptw.rtmpserver.authorizing import AllowAll
from rtmptw.rtmpserver.dispatch import FAST
from rtmptw.rtmpserver.factory import RTMPFactory
from rtmptw.rtmpserver.protocol import LINGER
from rtmptw.rtmpserver.publishing import Publication
from rtmptw.sinks.file.factory import FileSinkFactory
from rtmptw.sinks.naming import parseRecording
from rtmptw.testing import RecordingSink
from tests.rtmp.scripted import ScriptedClient, data
from tests.sinks.test_file import ImmediateLane
from tests.test_lane import ThreadClock

KEYFRAME = b"\x17\1\0\0\0key"


class SinkFactory(FrameSinkFactory):
    """
    Keeps the sinks that it makes; they are full after four frames.
    """

    def __init__(self) -> None:
        self.sinks: list[RecordingSink] = []

    def buildSink(self, stream: StreamInfo) -> IFrameSink | None:
        self.sinks.append(RecordingSink(Delivery(Policy.LOSSLESS, 0, 0, 4)))
        return self.sinks[-1]


@implementer(IStreamAuthorizer)
class Authorizer:
    """
    Decides as it is told, when it is told.
    """

    def __init__(self) -> None:
        self.answer: Deferred[PublishPermit] = Deferred()
        self.asked: list[tuple[str, str, str]] = []

    def authorizePublish(
        self, request: PublishRequested, peer: str
    ) -> "Deferred[PublishPermit]":
        self.asked.append((request.stream, request.query, peer))
        return self.answer

    def authorizePlay(self, request: PlayRequested, peer: str) -> PlayPermit:
        raise AssertionError("nobody plays here")


class Connection:
    """
    A protocol on a transport in memory, and its client.
    """

    def __init__(self, factory: RTMPFactory, port: int = 50000) -> None:
        self.protocol = factory.buildProtocol(None)
        self.transport: Any = StringTransport(
            peerAddress=IPv4Address("TCP", "127.0.0.1", port)
        )
        self.protocol.makeConnection(self.transport)
        self.client = ScriptedClient(self._receive, self._toSend)

    def _receive(self, data: bytes) -> list[Any]:
        self.protocol.dataReceived(data)
        return []

    def _toSend(self) -> bytes:
        data: bytes = self.transport.value()
        self.transport.clear()
        return data

    def publish(self, name: str = "cam") -> None:
        """
        Publish, from the handshake on.
        """
        self.client.shakeHands()
        self.client.connect()
        self.client.command("createStream", 4.0, None)
        self.client.publish(name)

    def frame(self, timestamp: int = 0) -> None:
        """
        Send a key frame.
        """
        self.client.send(self.client.message(9, KEYFRAME, timestamp=timestamp))

    def lose(self, reason: Exception | None = None) -> None:
        """
        Lose the connection.
        """
        self.protocol.connectionLost(Failure(reason or ConnectionDone()))


class ProtocolTests(SynchronousTestCase):
    """
    Bytes in, frames out at the sinks.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.sinks = SinkFactory()
        self.hub = StreamHub(self.clock, [("test", self.sinks)])
        self.factory = RTMPFactory(self.hub)
        self.lines: list[str] = []
        self.levels: list[LogLevel] = []

        def observe(event: Any) -> None:
            self.lines.append(formatEvent(event))
            self.levels.append(event["log_level"])

        globalLogPublisher.addObserver(cast(ILogObserver, observe))
        self.addCleanup(globalLogPublisher.removeObserver, cast(ILogObserver, observe))

    def test_interfaces(self) -> None:
        """
        The parts provide the interfaces that they claim to.
        """
        connection = Connection(self.factory)
        self.assertTrue(verifyObject(IStreamAuthorizer, AllowAll()))
        self.assertTrue(
            verifyObject(IFrameSource, Publication(connection.protocol, "x"))
        )
        connection.lose()

    def test_publishes(self) -> None:
        """
        From the handshake to the sink, and to the end.
        """
        connection = Connection(self.factory)
        connection.publish()
        self.assertEqual(connection.client.status()[2], "NetStream.Publish.Start")
        connection.frame(0)
        connection.frame(40)
        (sink,) = self.sinks.sinks
        self.assertEqual([f.timestamp for f in sink.frames], [0, 40])
        assert sink.stream is not None
        self.assertEqual(sink.stream.name, "live/cam")
        self.assertEqual(sink.stream.peer, "127.0.0.1:50000")
        self.assertEqual(sink.stream.encoder, "test/1.0")
        connection.lose(ConnectionLost("cable"))
        self.assertEqual(len(sink.ended), 1)
        self.assertIn("connection lost", sink.ended[0])
        self.assertEqual(self.hub.streams, {})
        self.assertEqual(self.factory.connections, set())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_oneLineAtTheEnd(self) -> None:
        """
        A connection leaves one line in the log, with peer, duration, bytes, what it
        published and why it ended; a stream leaves two.
        """
        connection = Connection(self.factory)
        connection.publish()
        connection.frame()
        self.clock.advance(2)
        connection.lose()
        mine = [line for line in self.lines if "127.0.0.1:50000: closed" in line]
        self.assertEqual(len(mine), 1)
        for part in ("after 2.0 s", "bytes received", "live/cam", "closed by the peer"):
            self.assertIn(part, mine[0])
        self.assertEqual(
            len([line for line in self.lines if line.startswith("live/cam:")]), 2
        )
        self.assertEqual(set(self.levels), {LogLevel.info})

    def test_theLineStaysShort(self) -> None:
        """
        However often and under however many names a client publishes, its last line has
        eight names.
        """
        connection = Connection(self.factory)
        connection.publish("cam0")
        for number in range(1, 20):
            connection.client.command("FCUnpublish", 6.0, None, "")
            connection.client.publish(f"cam{number // 2}")
        connection.lose()
        (line,) = [line for line in self.lines if "closed after" in line]
        self.assertEqual(line.count("live/cam"), 8)
        self.assertEqual(len(self.sinks.sinks), 20)

    def test_strangers(self) -> None:
        """
        A peer that does not speak RTMP is closed on its first byte, without an answer
        and with one log line that says what it was.
        """
        for first, word in ((b"GET / HTTP/1.1\r\n", "HTTP"), (b"\x16\3\1", "TLS")):
            self.lines.clear()
            connection = Connection(self.factory)
            connection.protocol.dataReceived(first)
            self.assertTrue(connection.transport.disconnecting)
            self.assertEqual(connection.transport.value(), b"")
            connection.lose()
            (line,) = self.lines
            self.assertIn(word, line)
            self.assertIn("127.0.0.1:50000", line)
            self.assertEqual(self.levels[-1], LogLevel.warn)

    def test_timeouts(self) -> None:
        """
        A connection that stalls is closed on time, in each state.
        """
        steps: list[Any] = [
            lambda c: None,
            lambda c: c.client.send(b"\3" + bytes(1000)),
            lambda c: c.client.shakeHands(),
            lambda c: (c.client.shakeHands(), c.client.connect()),
            lambda c: c.publish(),
        ]
        for step in steps:
            connection = Connection(self.factory)
            step(connection)
            self.clock.advance(9.9)
            self.assertFalse(connection.transport.disconnecting)
            self.clock.advance(0.2)
            self.assertTrue(connection.transport.disconnecting)
            connection.lose()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_livingConnectionsStay(self) -> None:
        """
        A publisher that sends something every nine seconds stays connected.
        """
        connection = Connection(self.factory)
        connection.publish()
        for number in range(20):
            self.clock.advance(9)
            connection.frame(number * 9000)
        self.assertFalse(connection.transport.disconnecting)
        self.assertEqual(len(self.sinks.sinks[0].frames), 20)
        connection.lose()

    def test_shorterTimeoutsAfterLongerOnes(self) -> None:
        """
        The timer is moved forward when the next state allows less time.
        """
        factory = RTMPFactory(
            self.hub, ServerSettings(handshakeTimeout=100.0, requestTimeout=1.0)
        )
        connection = Connection(factory)
        connection.client.shakeHands()
        self.clock.advance(1.1)
        self.assertTrue(connection.transport.disconnecting)
        connection.lose()

    def test_aPeerThatDoesNotTakeTheEnd(self) -> None:
        """
        A peer that does not take our last bytes is cut off.
        """
        connection = Connection(self.factory)
        aborted: list[bool] = []
        connection.transport.abortConnection = lambda: aborted.append(True)
        connection.client.send(b"GET")
        self.clock.advance(LINGER - 0.1)
        self.assertEqual(aborted, [])
        self.clock.advance(0.2)
        self.assertEqual(aborted, [True])
        connection.lose()

    def test_aHostilePeerEndsAlone(self) -> None:
        """
        Garbage in the middle of a stream ends that connection, with a reason and no
        traceback; what came before is kept, and others are not affected.
        """
        good, bad = Connection(self.factory), Connection(self.factory, 50001)
        good.publish("good")
        bad.publish("bad")
        bad.frame()
        bad.client.send(bad.client.message(9, KEYFRAME, timestamp=9) + b"\xff" * 100)
        self.assertTrue(bad.transport.disconnecting)
        bad.lose()
        good.frame()
        goodSink, badSink = self.sinks.sinks
        self.assertEqual(len(badSink.frames), 2)
        self.assertEqual(len(goodSink.frames), 1)
        self.assertEqual(goodSink.ended, [])
        self.assertTrue(any("begins with a type 3 chunk" in s for s in self.lines))
        good.lose()

    def test_aFullSinkPausesTheSocket(self) -> None:
        """
        A lossless sink that is full pauses the publisher's socket. Reading resumes when
        there is room, and the silence meanwhile does not count.
        """
        connection = Connection(self.factory)
        connection.publish()
        (sink,) = self.sinks.sinks
        assert sink.producer is not None
        sink.producer.pauseProducing()
        for number in range(5):
            self.assertEqual(connection.transport.producerState, "producing")
            connection.frame(number)
        self.assertEqual(connection.transport.producerState, "paused")
        self.clock.advance(1000)
        self.assertFalse(connection.transport.disconnecting)
        sink.producer.resumeProducing()
        self.assertEqual(connection.transport.producerState, "producing")
        self.assertEqual(len(sink.frames), 5)
        self.clock.advance(10.1)
        self.assertTrue(connection.transport.disconnecting)
        connection.lose()

    def test_aPeerThatDoesNotReadIsNotRead(self) -> None:
        """
        A peer that sends requests and reads no answers is not read from: our answers
        would grow without bound.
        """
        connection = Connection(self.factory)
        connection.publish()
        ping = connection.client.message(4, b"\0\6\1\2\3\4", 0)
        connection.client.send(ping * 500)
        self.assertEqual(connection.transport.producerState, "producing")
        connection.transport.producer.pauseProducing()
        connection.client.send(ping)
        self.assertEqual(connection.transport.producerState, "paused")
        connection.transport.producer.resumeProducing()
        self.assertEqual(connection.transport.producerState, "producing")
        connection.lose()

    def test_sentAnswersAreNoSignOfLife(self) -> None:
        """
        That our own answers have been sent is no sign of life: nginx-rtmp takes it for
        one, and keeps dead publishers for minutes.
        """
        connection = Connection(self.factory)
        connection.publish()
        self.clock.advance(9)
        connection.transport.producer.pauseProducing()
        connection.transport.producer.resumeProducing()
        self.clock.advance(1.1)
        self.assertTrue(connection.transport.disconnecting)
        connection.lose()

    def test_badName(self) -> None:
        """
        A second publisher of a live name is refused and closed; the first continues.
        """
        first, second = Connection(self.factory), Connection(self.factory, 50001)
        first.publish()
        second.publish()
        self.assertEqual(
            second.client.status()[1:3], ("error", "NetStream.Publish.BadName")
        )
        self.assertTrue(second.transport.disconnecting)
        second.lose()
        first.frame()
        self.assertEqual(len(self.sinks.sinks), 1)
        self.assertEqual(len(self.sinks.sinks[0].frames), 1)
        first.lose()

    def test_takeover(self) -> None:
        """
        A publisher that fell silent is replaced: its connection is closed, its stream
        continues, and nothing more is accepted from it.
        """
        first, second = Connection(self.factory), Connection(self.factory, 50001)
        first.publish()
        first.frame()
        self.clock.advance(STALE_SECONDS)
        second.publish()
        self.assertTrue(first.transport.disconnecting)
        first.frame(40)
        second.frame()
        first.lose()
        (sink,) = self.sinks.sinks
        self.assertEqual([f.timestamp for f in sink.frames], [0, 33])
        self.assertEqual(sink.ended, [])
        second.lose()
        self.assertEqual(len(sink.ended), 1)

    def test_takeoverWithTheSameQuery(self) -> None:
        """
        A publisher with the same token takes over at once.
        """
        first, second = Connection(self.factory), Connection(self.factory, 50001)
        first.publish("cam?token=1")
        second.publish("cam?token=1")
        self.assertEqual(second.client.status()[2], "NetStream.Publish.Start")
        self.assertTrue(first.transport.disconnecting)
        first.lose()
        second.lose()
        self.assertEqual(len(self.sinks.sinks), 1)

    def test_oneConnectionPublishesTwice(self) -> None:
        """
        The same name on another message stream of the connection is the same stream,
        and nothing is left over.
        """
        connection = Connection(self.factory)
        connection.publish("cam?token=1")
        connection.client.command("createStream", 6.0, None)
        connection.client.publish("cam?token=1", streamID=2)
        self.assertFalse(connection.transport.disconnecting)
        connection.client.send(connection.client.message(9, KEYFRAME, 2))
        connection.client.send(connection.client.message(9, KEYFRAME, 1))
        (sink,) = self.sinks.sinks
        self.assertEqual(len(sink.frames), 2)
        connection.lose()
        self.assertEqual(self.hub.streams, {})
        self.assertEqual(len(sink.ended), 1)

    def test_anotherIsRefused(self) -> None:
        """
        A second stream that another connection publishes is refused, the first
        continues, and what followed the refused request is not lost. The last line
        counts what was ignored.
        """
        other = Connection(self.factory)
        other.publish("taken")
        connection = Connection(self.factory)
        connection.publish()
        client = connection.client
        kind, payload = Command("publish", 9.0, (None, "taken", "live")).encode()
        client.send(
            client.message(kind, payload, 2)
            + client.message(20, b"\xff")
            + client.message(9, KEYFRAME)
        )
        self.assertFalse(connection.transport.disconnecting)
        self.assertEqual(client.status()[2], "NetStream.Publish.BadName")
        sink = self.sinks.sinks[-1]
        self.assertEqual([len(f.payload) for f in sink.frames], [len(KEYFRAME)])
        self.assertIn("1 commands ignored", connection.protocol._extra())

    def test_noFramesAfterTheEnd(self) -> None:
        """
        A sink that ends the connection gets no more frames from the same read.
        """
        connection = Connection(self.factory)

        class Impatient(RecordingSink):
            def frameReceived(self, frame: Frame) -> None:
                super().frameReceived(frame)
                if len(self.frames) == 2:
                    connection.protocol.close("enough")

        connection.publish()
        sink = Impatient(LOSSLESS)
        self.hub.streams["live/cam"].attach("impatient", sink)
        connection.client.send(
            b"".join(
                connection.client.message(9, KEYFRAME, timestamp=n) for n in range(5)
            )
        )
        self.assertEqual([frame.timestamp for frame in sink.frames], [0, 1])
        self.assertEqual(sink.ended, ["enough"])
        connection.lose()

    def test_withdrawnMetadata(self) -> None:
        """
        Metadata that the publisher withdraws is not given to sinks that attach later.
        """
        connection = Connection(self.factory)
        connection.publish()
        name = data("onMetaData", AMFObject([]))
        for payload, count in (
            (data("@setDataFrame") + name, 1),
            (data("@clearDataFrame", "onMetaData"), 0),
        ):
            connection.client.send(connection.client.message(18, payload))
            late = RecordingSink()
            self.hub.streams["live/cam"].attach("late", late)
            self.assertEqual(len(late.frames), count)
        connection.lose()

    def test_onAUnixSocket(self) -> None:
        """
        Peers on a UNIX socket have no address.
        """
        protocol = self.factory.buildProtocol(None)
        protocol.makeConnection(StringTransport(peerAddress=UNIXAddress(None)))
        self.assertEqual(protocol.peer, "unix socket")
        protocol.connectionLost(Failure(ConnectionDone()))

    def test_closesAll(self) -> None:
        """
        The factory can end all sessions.
        """
        connections = [Connection(self.factory, 50000 + n) for n in range(3)]
        connections[0].publish()
        self.factory.close("the server stops")
        for connection in connections:
            self.assertTrue(connection.transport.disconnecting)
            connection.lose()
        self.assertEqual(self.sinks.sinks[0].ended, ["the server stops"])


class AcknowledgementTests(SynchronousTestCase):
    """
    An acknowledgement never costs a publisher its last frames.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.hub = StreamHub(self.clock)
        self.connection = Connection(RTMPFactory(self.hub))
        self.connection.publish()
        self.connection.client.hear()
        self.connection.client.answers.clear()
        self.timers = len(self.clock.getDelayedCalls())

    def send(self) -> None:
        """
        Send enough to require an acknowledgement.
        """
        client = self.connection.client
        client.send(client.message(9, KEYFRAME + bytes(2_600_000)))

    def acknowledged(self) -> list[int]:
        """
        @return: the numbers acknowledged so far.
        """
        self.connection.client.hear()
        return [
            int.from_bytes(payload, "big")
            for kind, _, payload in self.connection.client.answers
            if kind == 3
        ]

    def test_itComesALittleLater(self) -> None:
        """
        Acknowledgements are delayed a little: a publisher that has sent everything
        closes without reading, and an acknowledgement that arrives then makes its
        kernel discard what it has not sent yet.
        """
        self.send()
        self.clock.advance(PATIENCE * 0.9)
        self.assertEqual(self.acknowledged(), [])
        self.clock.advance(PATIENCE * 0.1)
        (number,) = self.acknowledged()
        self.assertGreater(number, 2_600_000)
        self.assertEqual(len(self.clock.getDelayedCalls()), self.timers)

    def test_notToWhoHasGone(self) -> None:
        """
        After the peer has left, nothing is sent and no timer is left.
        """
        self.send()
        self.connection.lose()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.acknowledged(), [])

    def test_notToWhoIsSentAway(self) -> None:
        """
        No timer is left if we end the connection, either.
        """
        self.send()
        self.connection.protocol.close("shutting down")
        self.assertEqual(self.acknowledged(), [])
        self.connection.lose()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_notWhileThereIsMoreToRead(self) -> None:
        """
        The acknowledgement is sent only when everything has been read.
        """
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        self.addCleanup(theirs.close)
        ours.setblocking(False)
        self.connection.protocol._answers._socket = ours
        theirs.send(b"more")
        self.send()
        for _ in range(5):
            self.clock.advance(PATIENCE)
            self.assertEqual(self.acknowledged(), [])
        ours.recv(4)
        self.clock.advance(PATIENCE)
        self.assertEqual(len(self.acknowledged()), 1)

    def test_answersAreNotLate(self) -> None:
        """
        A publisher's requests are answered at once.
        """
        self.send()
        self.connection.client.command("createStream", 9.0, None)
        self.assertEqual(len(self.connection.client.answers), 1)
        self.assertEqual(self.acknowledged(), [])
        self.clock.advance(PATIENCE)
        self.assertEqual(len(self.acknowledged()), 1)


@implementer(IStreamAuthorizer)
class Hesitating(AllowAll):
    """
    Decides on the first publisher only when told to, and permits all others at once.
    """

    def __init__(self) -> None:
        self.first: Deferred[PublishPermit] | None = None

    def authorizePublish(self, request: PublishRequested, peer: str) -> Any:
        if self.first is None:
            self.first = Deferred()
            return self.first
        return PublishPermit(request.app, request.stream)


class ManyRequestsTests(SynchronousTestCase):
    """
    Thousands of requests in one read.
    """

    count = 500

    def open(self, authorizer: IStreamAuthorizer | None = None) -> Connection:
        """
        @return: a client that has connected, of a hub that others use, too.
        """
        self.sinks = SinkFactory()
        self.clock = Clock()
        self.hub = StreamHub(self.clock, [("test", self.sinks)])
        self.factory = RTMPFactory(self.hub, authorizer=authorizer)
        connection = Connection(self.factory)
        connection.client.shakeHands()
        connection.client.connect()
        connection.client.answers.clear()
        return connection

    def goOn(self) -> int:
        """
        Let the server do all pending work.

        @return: the number of turns of the reactor that it took.
        """
        turns = 0
        while any(call.getTime() <= self.clock.seconds() for call in self.clock.calls):
            self.clock.advance(0)
            turns += 1
        return turns

    def said(self, connection: Connection) -> list[tuple[str, float, Any]]:
        """
        @return: name, transaction and content of all commands among the answers; the
            content is a number, or the code and description of a status.
        """
        said: list[tuple[str, float, Any]] = []
        for command in connection.client.commands():
            value: Any = command.values[-1]
            if isinstance(value, AMFObject):
                value = (value.get("code"), value.get("description"))
            said.append((command.name, command.transactionID, value))
        return said

    def published(self, count: int) -> list[tuple[str, float, Any]]:
        """
        @return: the expected L{said} after a number of streams were published.
        """
        said: list[tuple[str, float, Any]] = []
        for number in range(count):
            begun = f"Publishing cam{number}."
            ended = f"cam{number} is no longer published."
            said += [
                ("_result", 3.0 * number, 1.0),
                ("onStatus", 0.0, ("NetStream.Publish.Start", begun)),
                ("onStatus", 0.0, ("NetStream.Unpublish.Success", ended)),
                ("_result", 3.0 * number + 2, 0.0),
            ]
        return said

    def assertEachEnded(self, count: int) -> None:
        """
        Assert that this many streams began and ended, one after the other.
        """
        self.assertEqual(
            [sink.stream.name for sink in self.sinks.sinks if sink.stream is not None],
            [f"live/cam{number}" for number in range(count)],
        )
        for sink in self.sinks.sinks:
            self.assertEqual(sink.ended, ["stream closed"])
        self.assertEqual(self.hub.streams, {})

    def test_publishers(self) -> None:
        """
        Each stream begins and ends, and each request is answered.
        """
        connection = self.open()
        connection.client.send(connection.client.manyStreams(self.count))
        self.assertEqual(connection.transport.producerState, "paused")
        self.assertGreater(self.goOn(), 0)
        self.assertEqual(connection.transport.producerState, "producing")
        connection.client.hear()
        self.assertEqual(self.said(connection), self.published(self.count))
        self.assertEachEnded(self.count)
        self.assertFalse(connection.transport.disconnecting)
        connection.client.command("createStream", 4.0, None)
        connection.client.publish("after")
        connection.frame()
        self.assertEqual(len(self.sinks.sinks[-1].frames), 1)
        connection.lose()
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_behindALateDecision(self) -> None:
        """
        The same, if the first one had to wait for a decision.
        """
        authorizer = Hesitating()
        connection = self.open(authorizer)
        count = self.count // 4
        connection.client.send(connection.client.manyStreams(count))
        self.assertEqual(self.said(connection), self.published(1)[:1])
        assert authorizer.first is not None
        authorizer.first.callback(PublishPermit("live", "cam0"))
        self.goOn()
        connection.client.hear()
        self.assertEqual(self.said(connection), self.published(count))
        self.assertEachEnded(count)
        connection.lose()

    def test_players(self) -> None:
        """
        Each play is answered and ends. One is of a stream that exists: its frames come
        after its answer and before the next one.
        """
        connection = self.open()
        publisher = Connection(self.factory)
        publisher.publish("cam7")
        publisher.frame()
        connection.client.send(connection.client.manyStreams(self.count, "play"))
        self.goOn()
        connection.client.hear()
        said: list[tuple[str, float, Any]] = []
        for number in range(self.count):
            begun = f"Playing cam{number}."
            said += [
                ("_result", 3.0 * number, 1.0),
                ("onStatus", 0.0, ("NetStream.Play.Start", begun)),
                ("_result", 3.0 * number + 2, 0.0),
            ]
        self.assertEqual(self.said(connection), said)
        answers = connection.client.answers
        (frame,) = [at for at, answer in enumerate(answers) if answer[0] == 9]
        self.assertEqual(answers[frame], (9, 1, KEYFRAME))
        before = connection.client.answers[:frame]
        connection.client.answers = before
        self.assertEqual(self.said(connection), said[: 3 * 7 + 2])
        self.assertEqual(self.hub.streams["live/cam7"].viewers, 0)
        connection.lose()
        publisher.lose()
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_aFaultBehindThem(self) -> None:
        """
        An error after many requests ends the connection, after all of them.
        """
        connection = self.open()
        client = connection.client
        client.send(client.manyStreams(300) + b"\xff" + client.manyStreams(300))
        self.goOn()
        client.hear()
        self.assertEqual(self.said(connection), self.published(300))
        self.assertEachEnded(300)
        self.assertTrue(connection.transport.disconnecting)
        connection.lose()


class RestTests(SynchronousTestCase):
    """
    A publisher that sends more than one turn of the reactor processes.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.sinks = SinkFactory()
        self.factory = RTMPFactory(StreamHub(self.clock, [("test", self.sinks)]))
        self.connection = Connection(self.factory)
        self.connection.publish()
        (self.sink,) = self.sinks.sinks

    def much(self, count: int) -> bytes:
        """
        @return: a number of one-byte frames, each with its own timestamp.
        """
        return (
            encodeMessage(6, 9, 0, 1, b"\x27", 128)
            + b"\x46\0\0\1\0\0\1\x09"
            + (b"\x27\xc6" * (count - 2) + b"\x27")
        )

    def test_itWaitsForItsTurn(self) -> None:
        """
        The publisher is not read from until all that was received is processed, in
        parts so short that others need not wait; no frame is lost.
        """
        self.connection.client.send(self.much(1250))
        self.assertEqual(len(self.sink.frames), 500)
        self.assertEqual(self.connection.transport.producerState, "paused")
        self.clock.advance(0)
        self.assertEqual(self.connection.transport.producerState, "producing")
        self.assertEqual(
            [frame.timestamp for frame in self.sink.frames], list(range(1250))
        )
        self.connection.client.send(self.much(3))
        self.assertEqual(len(self.sink.frames), 1253)
        self.connection.lose()
        self.assertEqual(self.sink.ended, ["closed by the peer"])

    def test_itIsLostMeanwhile(self) -> None:
        """
        What was received before the end of the connection is delivered before the end
        of the stream.
        """
        self.connection.client.send(self.much(1250))
        self.connection.lose()
        self.assertEqual(self.sink.ended, [])
        self.assertIn(self.connection.protocol, self.factory.connections)
        self.clock.advance(0)
        self.assertEqual(len(self.sink.frames), 1250)
        self.assertEqual(self.sink.ended, ["closed by the peer"])
        self.assertEqual(self.factory.connections, set())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_aSinkEndsItMeanwhile(self) -> None:
        """
        The rest is discarded, and the connection closes.
        """
        self.connection.client.send(self.much(1250))
        self.connection.protocol.close("enough")
        self.clock.advance(0)
        self.assertEqual(len(self.sink.frames), 500)
        self.assertTrue(self.connection.transport.disconnecting)
        self.connection.lose()
        self.assertEqual(self.factory.connections, set())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_oneAfterTheOther(self) -> None:
        """
        Two of them take turns, and a publisher that sends little is served before they
        are done.
        """
        other, quiet = Connection(self.factory), Connection(self.factory)
        other.publish("other")
        quiet.publish("quiet")
        order: list[tuple[str, int]] = []
        for name, sink in zip("abc", self.sinks.sinks, strict=True):
            received = sink.frameReceived

            def noted(
                frame: Frame,
                name: str = name,
                received: Any = received,
                sink: Any = sink,
            ) -> None:
                received(frame)
                if len(sink.frames) % 500 == 0 or name == "c":
                    order.append((name, len(sink.frames)))

            cast(Any, sink).frameReceived = noted
        self.connection.client.send(self.much(1500))
        other.client.send(self.much(1500))
        quiet.frame()
        self.clock.advance(0)
        wanted = [("a", 500), ("b", 500), ("c", 1), ("a", 1000), ("b", 1000)]
        self.assertEqual(order, [*wanted, ("a", 1500), ("b", 1500)])
        for connection in (self.connection, other, quiet):
            connection.lose()


class WorthWaitingForTests(SynchronousTestCase):
    """
    How much more a publisher is expected to send.
    """

    #: An inter frame.
    IMAGE = b"\x27\1\0\0\0" + bytes(4995)

    def setUp(self) -> None:
        self.clock = Clock()
        self.sinks = SinkFactory()
        self.factory = RTMPFactory(StreamHub(self.clock, [("test", self.sinks)]))
        self.connection = Connection(self.factory)
        self.connection.publish()
        self.addCleanup(self.connection.lose)

    def receive(self, data: bytes) -> int:
        """
        @return: what is expected after these bytes.
        """
        return self.connection.protocol._dispatch.receive(data, self.clock.seconds())

    def image(self, payload: bytes = IMAGE) -> bytes:
        self.clock.advance(0.04)
        return self.connection.client.message(9, payload)

    def audio(self) -> bytes:
        return self.connection.client.message(8, b"\xaf\1" + bytes(300))

    def test_aFrame(self) -> None:
        """
        A size is expected only if video frames arrive regularly.
        """
        expected = [self.receive(self.image()) for _ in range(WINDOW)]
        self.assertEqual(expected, [1] * (WINDOW - 1) + [2048])
        self.assertEqual(self.receive(self.audio()), 2048)
        # A sequence header is small, and arrives in place of a video frame.
        self.assertEqual(self.receive(self.image(b"\x17\0\0\0\0avcC")), 2048)
        self.assertEqual(self.receive(self.image(KEYFRAME)), 1)
        self.assertEqual(self.receive(self.audio()), 1)

    def test_theRestOfOne(self) -> None:
        """
        The rest of a frame is read as it arrives.
        """
        self.receive(b"".join(self.image() for _ in range(WINDOW)))
        image = self.image()
        self.assertEqual(self.receive(image[:-3000]), 1)
        self.assertEqual(self.receive(image[-3000:-1]), 1)
        self.assertEqual(self.receive(image[-1:]), 2048)

    def test_asFastAsPossible(self) -> None:
        """
        A peer that sends faster than it is read is not waited for.
        """
        whole = b"".join(self.image() for _ in range(WINDOW))
        self.assertGreater(len(whole), FAST)
        self.assertEqual(self.receive(whole), 1)
        self.assertEqual(self.receive(self.image()), 2048)

    def test_whoTalks(self) -> None:
        """
        A command is answered at once, and any number of bytes may follow it; a peer
        that does not publish is not waited for.
        """
        self.receive(b"".join(self.image() for _ in range(WINDOW)))
        self.assertEqual(self.receive(self.image()), 2048)
        client = self.connection.client
        kind, payload = Command("getStreamLength", 7.0, (None, "cam")).encode()
        self.assertEqual(self.receive(client.message(kind, payload, 0)), 1)
        self.assertEqual(self.receive(self.image()), 2048)
        kind, payload = Command("deleteStream", 8.0, (None, 1.0)).encode()
        self.assertEqual(self.receive(client.message(kind, payload, 0)), 1)
        self.assertEqual(self.receive(self.audio()), 1)


class AnyMessagesTests(SynchronousTestCase):
    """
    Whatever a peer sends in complete messages, all the way to the file.
    """

    @given(
        st.lists(
            st.tuples(
                st.sampled_from([2, 3, 4, 5, 6, 8, 9, 15, 17, 18, 20, 22, 99]),
                st.one_of(
                    st.binary(max_size=40),
                    st.binary(max_size=40).map(lambda rest: KEYFRAME + rest),
                    st.binary(max_size=40).map(lambda rest: b"\xaf\1" + rest),
                    st.binary(max_size=20).map(lambda rest: b"\x91hvc1" + rest),
                    st.binary(max_size=20).map(lambda rest: b"\x96\x11av01" + rest),
                    st.just(data("onMetaData", AMFObject([("width", 1.0)]))),
                    st.just(data("closeStream", 0.0, None)),
                    st.just(data("publish", 0.0, None, "cam")),
                ),
                st.integers(0, 2),
                st.one_of(st.integers(0, 5000), st.integers(0, 2**32 - 1)),
            ),
            max_size=60,
        )
    )
    def test_neverATraceback(self, messages: list[tuple[int, bytes, int, int]]) -> None:
        """
        Every frame that was received is accounted for in the recorder's ledger and
        file, and nothing is raised.
        """
        clock = ThreadClock()
        books: list[SinkReport] = []
        with tempfile.TemporaryDirectory() as folder:
            recording = parseRecording(folder)
            files = FileSinkFactory(recording, lane=ImmediateLane)
            files.startFactory(clock)
            others = SinkFactory()
            hub = StreamHub(
                clock, [("file", files), ("other", others)], sinkEnded=books.append
            )
            connection = Connection(RTMPFactory(hub))
            connection.publish()
            for kind, body, streamID, timestamp in messages:
                connection.protocol.dataReceived(
                    connection.client.message(kind, body, streamID, timestamp)
                )
            connection.lose()
        self.assertGreaterEqual(len(books), 2)
        for report in books:
            self.assertTrue(report.ledger.balanced)
            self.assertEqual(report.ledger.dropped, {})
            self.assertEqual(report.ledger.queued, 0)
            self.assertEqual(report.failure, "")
        self.assertEqual(clock.getDelayedCalls(), [])


class AuthorizerTests(SynchronousTestCase):
    """
    The authorizer decides who may publish, and may do so later.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.sinks = SinkFactory()
        self.hub = StreamHub(self.clock, [("test", self.sinks)])
        self.authorizer = Authorizer()
        self.connection = Connection(
            RTMPFactory(self.hub, authorizer=self.authorizer), 50002
        )
        self.connection.publish("secret?x=1")

    def test_waitsForTheDecision(self) -> None:
        """
        Until the decision nothing is read, built or sent. Then the stream has the name
        in the permit, and no frame is missing.
        """
        connection = self.connection
        self.assertEqual(self.authorizer.asked, [("secret", "x=1", "127.0.0.1:50002")])
        self.assertEqual(connection.transport.producerState, "paused")
        connection.frame(5)
        self.assertEqual(self.sinks.sinks, [])
        self.authorizer.answer.callback(PublishPermit("live", "public"))
        self.assertEqual(connection.transport.producerState, "producing")
        self.assertEqual(list(self.hub.streams), ["live/public"])
        self.assertEqual([f.timestamp for f in self.sinks.sinks[0].frames], [5])
        connection.lose()

    def test_refuses(self) -> None:
        """
        The client gets the authorizer's code and description, and is closed.
        """
        self.authorizer.answer.errback(
            NotAllowed("NetStream.Publish.Denied", "Ask your admin.")
        )
        self.connection.client.hear()
        self.assertEqual(
            self.connection.client.status()[1:],
            ("error", "NetStream.Publish.Denied", "Ask your admin."),
        )
        self.assertTrue(self.connection.transport.disconnecting)
        self.assertEqual(self.sinks.sinks, [])
        self.connection.lose()

    def test_anErrorRefuses(self) -> None:
        """
        An authorizer that fails is logged with a traceback, and nobody gets a permit.
        """
        self.authorizer.answer.errback(RuntimeError("database"))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.connection.client.hear()
        self.assertEqual(self.connection.client.status()[2], "NetStream.Publish.Denied")
        self.assertNotIn("database", self.connection.client.status()[3])
        self.connection.lose()

    def test_theClientHasGone(self) -> None:
        """
        A decision about a client that has left changes nothing.
        """
        self.connection.lose()
        self.authorizer.answer.callback(PublishPermit("live", "public"))
        self.assertEqual(self.hub.streams, {})
        self.assertEqual(self.sinks.sinks, [])

    def test_aDecisionThatTakesTooLong(self) -> None:
        """
        After ten seconds the client is refused; a later permit changes nothing.
        """
        self.clock.advance(10.1)
        self.assertTrue(self.connection.transport.disconnecting)
        self.authorizer.answer.callback(PublishPermit("live", "public"))
        self.assertEqual(self.hub.streams, {})
        self.connection.lose()
