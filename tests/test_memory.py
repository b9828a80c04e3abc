"""
Tests that a connection or stream that has ended leaves nothing in memory, without the
garbage collector.
"""

import gc
import tempfile
import tracemalloc
import weakref
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from rtmptw.frames import StreamInfo
from rtmptw.hub.hub import StreamHub
from rtmptw.hub.stream import Stream
from rtmptw.interfaces import IFrameSink
from rtmptw.plugins.sink import FrameSinkFactory
from rtmptw.rtmp.chunkreader import ChunkReader
from rtmptw.rtmp.chunks import VIDEO
from rtmptw.rtmp.chunkwriter import encodeMessage
from rtmptw.rtmp.clientsession import ClientSession
from rtmptw.rtmp.events import ConnectRequested, SessionEnded
from rtmptw.rtmp.serversession import ServerSession
from rtmptw.rtmp.url import RTMPTarget
from rtmptw.rtmpclient.protocol import RTMPClientFactory
from rtmptw.rtmpserver.factory import RTMPFactory
from rtmptw.sinks.record.factory import parseContainerRecording
from rtmptw.sinks.record.recorder import Recorder
from rtmptw.sinks.record.sink import RecordSink
from rtmptw.testing import makeFrames
from tests.hub.test_hub import Source
from tests.messages import Calling
from tests.rtmp.scripted import ScriptedClient, ScriptedServer, pseudoRandom
from tests.rtmpclient.test_protocol import Connection as ClientConnection
from tests.rtmpclient.test_protocol import User
from tests.rtmpserver.test_protocol import Authorizer, Connection, SinkFactory
from tests.sinks.test_file import ImmediateLane
from tests.test_lane import ThreadClock

MIB = 2**20
#: The bytes that may remain of a connection that held megabytes.
LITTLE = MIB // 4
TARGET = RTMPTarget.fromURL("rtmp://example.com/live/cam")


def begun(size: int, chunkStreamID: int = 6) -> bytes:
    """
    @return: a video message whose last byte is missing.
    """
    return encodeMessage(chunkStreamID, VIDEO, 0, 1, bytes(size + 1), 128)[:-2]


class FreedTestCase(SynchronousTestCase):
    """
    Base class of tests that run without the garbage collector.
    """

    def setUp(self) -> None:
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        self.before = 0

    def begin(self) -> None:
        """
        Measure from now on.
        """
        self.before = tracemalloc.get_traced_memory()[0]

    def assertHolds(self, least: int) -> None:
        """
        Check that at least this many bytes were added; otherwise the test would prove
        nothing.
        """
        self.assertGreaterEqual(tracemalloc.get_traced_memory()[0] - self.before, least)

    def assertFreed(self) -> None:
        """
        Check that the added bytes are freed.
        """
        self.assertLess(tracemalloc.get_traced_memory()[0] - self.before, LITTLE)


class ReaderTests(FreedTestCase):
    """
    A chunk reader that is given up.
    """

    def test_unfinishedMessages(self) -> None:
        """
        It frees unfinished messages, and accepts nothing more.
        """
        found: list[Any] = []
        reader = ChunkReader(Calling(lambda *message: found.append(message)))
        self.begin()
        reader.receive(begun(MIB, 6))
        reader.receive(begun(MIB, 7))
        self.assertHolds(2 * MIB)
        reader.giveUp()
        self.assertFreed()
        reader.receive(bytes(1) + begun(MIB))
        reader.release()
        self.assertFreed()
        self.assertEqual(found, [])

    def test_heldBytes(self) -> None:
        """
        It frees the bytes held back until an answer.
        """
        reader = ChunkReader(Calling(lambda *message: None))
        reader.hold()
        self.begin()
        reader.receive(begun(MIB))
        self.assertHolds(MIB)
        reader.giveUp()
        self.assertFreed()

    def test_byWhatIsDelivered(self) -> None:
        """
        A receiver that gives up in the middle of a read gets no more messages.
        """
        found: list[bytes] = []

        def deliver(*message: Any) -> None:
            found.append(message[3])
            reader.giveUp()

        reader = ChunkReader(Calling(deliver))
        data = encodeMessage(4, 8, 0, 1, b"one", 128)
        self.begin()
        reader.receive(data + encodeMessage(4, 8, 0, 1, b"two", 128) + begun(MIB))
        self.assertEqual(found, [b"one"])
        self.assertFreed()


class ServerTests(FreedTestCase):
    """
    Connections of a server.
    """

    def connect(self, authorizer: Any = None) -> Connection:
        """
        @return: a connection that is ready to publish or play.
        """
        self.clock = Clock()
        self.hub = StreamHub(self.clock, [("test", SinkFactory())])
        connection = Connection(RTMPFactory(self.hub, authorizer=authorizer))
        connection.client.shakeHands()
        connection.client.connect()
        connection.client.command("createStream", 4.0, None)
        return connection

    def assertGone(self, connection: Connection) -> None:
        """
        Lose the connection, and check that what it held is freed, and then the protocol
        itself.
        """
        connection.lose()
        self.assertFreed()
        protocol = weakref.ref(connection.protocol)
        # Twisted's transports do this.
        connection.transport.unregisterProducer()
        connection.__dict__.clear()
        self.assertIsNone(protocol())

    def test_unfinishedMessages(self) -> None:
        """
        A publisher lost in the middle of two large messages leaves nothing.
        """
        connection = self.connect()
        connection.client.publish()
        self.begin()
        connection.protocol.dataReceived(begun(3 * MIB, 6) + begun(2 * MIB, 7))
        self.assertHolds(5 * MIB)
        self.assertGone(connection)

    def test_aheadOfAnAnswer(self) -> None:
        """
        A publisher lost while its data waits for an answer leaves nothing.
        """
        authorizer = Authorizer()
        connection = self.connect(authorizer)
        connection.client.publish()
        self.begin()
        connection.protocol.dataReceived(begun(3 * MIB))
        self.assertHolds(3 * MIB)
        connection.lose()
        self.assertFreed()
        self.assertFalse(authorizer.answer.called)

    def test_viewer(self) -> None:
        """
        A player lost from a stream that continues leaves nothing.
        """
        connection = self.connect()
        publisher = Connection(RTMPFactory(self.hub))
        publisher.publish()
        publisher.frame()
        connection.client.command("play", 5.0, None, "cam", streamID=1)
        self.assertEqual(self.hub.streams["live/cam"].viewers, 1)
        self.begin()
        connection.protocol.dataReceived(begun(MIB))
        self.assertHolds(MIB)
        self.assertGone(connection)
        publisher.frame(40)
        self.assertEqual(self.hub.streams["live/cam"].viewers, 0)
        publisher.lose()

    def test_rejected(self) -> None:
        """
        A session that was rejected frees its data though it is still referenced.
        """
        session = ServerSession(0.0, pseudoRandom)
        client = ScriptedClient.ofSession(session)
        client.shakeHands()
        (request,) = client.connect()
        assert isinstance(request, ConnectRequested)
        self.begin()
        session.receive(begun(3 * MIB), 0.0)
        self.assertHolds(3 * MIB)
        (ended,) = session.reject(
            request.requestID, "NetConnection.Connect.Rejected", "No.", 0.0
        )
        assert isinstance(ended, SessionEnded)
        self.assertEqual(ended.label, "rejected")
        self.assertFreed()

    def test_fault(self) -> None:
        """
        A session ended by a protocol error frees its data, though the peer continues to
        send.
        """
        connection = self.connect()
        connection.client.publish()
        self.begin()
        connection.protocol.dataReceived(begun(3 * MIB))
        self.assertHolds(3 * MIB)
        # A type 3 chunk on a chunk stream without an earlier chunk.
        connection.protocol.dataReceived(b"\xc9" + begun(3 * MIB))
        connection.protocol.dataReceived(begun(3 * MIB))
        self.assertTrue(connection.transport.disconnecting)
        self.assertFreed()
        connection.lose()


def living(kind: type) -> int:
    """
    @return: the number of objects of a class in memory. Compiled classes have no weak
        references.
    """
    return sum(isinstance(each, kind) for each in gc.get_objects())


class RecordSinkFactory(FrameSinkFactory):
    """
    A factory of sinks that record at once, not in a thread.
    """

    def __init__(self, folder: str) -> None:
        self._recording = parseContainerRecording(folder)

    def buildSink(self, stream: StreamInfo) -> IFrameSink:
        return RecordSink(ThreadClock(), self._recording, ImmediateLane)


class RecordTests(FreedTestCase):
    """
    A recorded stream that has ended.
    """

    def test_itIsFreed(self) -> None:
        """
        The stream is freed with its group of pictures and its recorder.
        """
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        others, streams = living(Recorder), living(Stream)
        hub = StreamHub(Clock(), [("record", RecordSinkFactory(folder.name))])
        source = Source(Clock())
        stream = hub.publish("live", "cam", source)
        for frame in makeFrames(seconds=3):
            stream.frameReceived(frame)
        self.assertGreater(stream.heldBytes(), 0)
        self.assertEqual(living(Recorder) - others, 1)
        self.assertEqual(living(Stream) - streams, 1)
        hub.sourceLost(stream, source, "gone")
        self.assertEqual(stream.heldBytes() - stream.headers.bytes, 0)
        del stream, frame
        self.assertEqual(living(Stream), streams)
        # The sink is not checked: without a log observer, Twisted keeps the last log
        # events, which refer to it.
        self.assertEqual(living(Recorder), others)
        (path,) = (each for each in Path(folder.name).rglob("*") if each.is_file())
        self.assertEqual(path.suffix, ".mp4")
        self.assertGreater(path.stat().st_size, 1000)


class ClientTests(FreedTestCase):
    """
    Connections of a client.
    """

    def test_unfinishedMessages(self) -> None:
        """
        A server lost in the middle of a large message leaves nothing.
        """
        user = User()
        connection = ClientConnection(RTMPClientFactory(Clock(), TARGET, False, user))
        connection.start()
        self.assertEqual(user.calls, ["accepted"])
        self.begin()
        connection.protocol.dataReceived(begun(3 * MIB))
        self.assertHolds(3 * MIB)
        connection.lose()
        self.assertFreed()
        self.assertEqual(user.calls, ["accepted", "ended"])
        protocol = weakref.ref(connection.protocol)
        # Twisted's transports do this.
        connection.transport.unregisterProducer()
        user.protocol = None
        connection.__dict__.clear()
        self.assertIsNone(protocol())

    def test_ended(self) -> None:
        """
        A session that has ended frees its data though it is still referenced.
        """
        session = ClientSession(0.0, pseudoRandom, TARGET, False)
        server = ScriptedServer(
            lambda data: session.receive(data, 0.0), session.dataToSend
        )
        server.start()
        self.begin()
        session.receive(begun(3 * MIB), 0.0)
        self.assertHolds(3 * MIB)
        (ended,) = session.close("enough")
        assert isinstance(ended, SessionEnded)
        self.assertFreed()
        self.assertEqual(session.receive(begun(3 * MIB), 0.0), [])
        self.assertFreed()


class WaitingTests(FreedTestCase):
    """
    Answers that the peer does not read.
    """

    def test_unsaid(self) -> None:
        """
        What a session has not sent yet is freed when the connection is lost.
        """
        session = ServerSession(0.0, pseudoRandom)
        client = ScriptedClient.ofSession(session)
        client.shakeHands()
        (request,) = client.connect()
        assert isinstance(request, ConnectRequested)
        session.accept(request.requestID, 0.0)
        client.hear()
        self.begin()
        ping = encodeMessage(2, 4, 0, 0, b"\0\6" + bytes(4), 128)
        session.receive(ping * 15000, 0.0)
        while session.isResting:
            session.takeTurn(0.0)
        self.assertHolds(2 * LITTLE)
        session.connectionLost()
        self.assertEqual((session.unsaid, session.dataToSend()), (0, b""))
        self.assertFreed()
        self.assertEqual(session.close("late", 0.0), [])
