"""
Tests of what is left in memory of a connection that is gone, or over: nothing, and
without the garbage collector.
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
#: What may be left of a connection that held megabytes.
LITTLE = MIB // 4
TARGET = RTMPTarget.fromURL("rtmp://example.com/live/cam")


def begun(size: int, chunkStreamID: int = 6) -> bytes:
    """
    @return: a message of video whose last chunk is missing.
    """
    return encodeMessage(chunkStreamID, VIDEO, 0, 1, bytes(size + 1), 128)[:-2]


class FreedTestCase(SynchronousTestCase):
    """
    Without a garbage collector.
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
        Count from here.
        """
        self.before = tracemalloc.get_traced_memory()[0]

    def assertHolds(self, least: int) -> None:
        """
        So many bytes have been added, or it would be no proof that they go.
        """
        self.assertGreaterEqual(tracemalloc.get_traced_memory()[0] - self.before, least)

    def assertFreed(self) -> None:
        """
        They are gone.
        """
        self.assertLess(tracemalloc.get_traced_memory()[0] - self.before, LITTLE)


class ReaderTests(FreedTestCase):
    """
    A chunk reader that is given up.
    """

    def test_unfinishedMessages(self) -> None:
        """
        It has nothing any more of what was begun, and takes nothing more.
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
        It has nothing any more of what came ahead of an answer.
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
        A receiver that gives up in the middle of a read gets no more of it.
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
    A server's connections.
    """

    def connect(self, authorizer: Any = None) -> Connection:
        """
        A connection that has done all but publish or play.
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
        Lose it: what it held is freed, and then the protocol itself with all that
        belongs to it.
        """
        connection.lose()
        self.assertFreed()
        protocol = weakref.ref(connection.protocol)
        # As Twisted's transports do.
        connection.transport.unregisterProducer()
        connection.__dict__.clear()
        self.assertIsNone(protocol())

    def test_unfinishedMessages(self) -> None:
        """
        A publisher is lost in the middle of two large messages.
        """
        connection = self.connect()
        connection.client.publish()
        self.begin()
        connection.protocol.dataReceived(begun(3 * MIB, 6) + begun(2 * MIB, 7))
        self.assertHolds(5 * MIB)
        self.assertGone(connection)

    def test_aheadOfAnAnswer(self) -> None:
        """
        A publisher is lost that has sent much ahead of an answer, which does not come.
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
        A viewer is lost, of a stream that goes on.
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
        A session that has ended holds nothing, though nobody has let go of it yet.
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
        Neither does one that a fault has ended, whose peer sends on and on.
        """
        connection = self.connect()
        connection.client.publish()
        self.begin()
        connection.protocol.dataReceived(begun(3 * MIB))
        self.assertHolds(3 * MIB)
        # A type 3 chunk of a chunk stream that has had no other.
        connection.protocol.dataReceived(b"\xc9" + begun(3 * MIB))
        connection.protocol.dataReceived(begun(3 * MIB))
        self.assertTrue(connection.transport.disconnecting)
        self.assertFreed()
        connection.lose()


def living(kind: type) -> int:
    """
    @return: how many of a kind are in memory. Compiled, they have no weak references.
    """
    return sum(isinstance(each, kind) for each in gc.get_objects())


class RecordSinkFactory(FrameSinkFactory):
    """
    Makes sinks that record at once, not in a thread.
    """

    def __init__(self, folder: str) -> None:
        self._recording = parseContainerRecording(folder)

    def buildSink(self, stream: StreamInfo) -> IFrameSink:
        return RecordSink(ThreadClock(), self._recording, ImmediateLane)


class RecordTests(FreedTestCase):
    """
    A stream that was recorded and has ended.
    """

    def test_itIsFreed(self) -> None:
        """
        With its group of pictures, and all that its recorder knew.
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
        # Not the sink: where nobody reads the log, Twisted keeps the last lines of it,
        # and with them who wrote them.
        self.assertEqual(living(Recorder), others)
        (path,) = (each for each in Path(folder.name).rglob("*") if each.is_file())
        self.assertEqual(path.suffix, ".mp4")
        self.assertGreater(path.stat().st_size, 1000)


class ClientTests(FreedTestCase):
    """
    A client's connections.
    """

    def test_unfinishedMessages(self) -> None:
        """
        A server is lost in the middle of a large message.
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
        # As Twisted's transports do.
        connection.transport.unregisterProducer()
        user.protocol = None
        connection.__dict__.clear()
        self.assertIsNone(protocol())

    def test_ended(self) -> None:
        """
        A session that has ended holds nothing, though nobody has let go of it yet.
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
    Answers that nobody takes.
    """

    def test_unsaid(self) -> None:
        """
        What a session would still say is forgotten with its connection.
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
