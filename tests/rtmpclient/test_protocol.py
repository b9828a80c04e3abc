"""
Tests of the protocol that connects Twisted with a client session, and of the
reconnector.
"""

import tempfile
from functools import partial
from pathlib import Path
from typing import Any, cast
from unittest import mock

from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.error import (
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
)
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.logger import ILogObserver, formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from rtmptw.backoff import LONGEST_WAIT
from rtmptw.errors import SinkError
from rtmptw.frames import Frame
from rtmptw.rtmp.amf import AMFObject
from rtmptw.rtmp.chunkwriter import encodeMessage
from rtmptw.rtmp.patience import SILENCE_TIMEOUT, STEP_TIMEOUT
from rtmptw.rtmp.url import RTMPTarget
from rtmptw.rtmpclient.endpoint import checkTLS, clientEndpoint, trustRootFrom
from rtmptw.rtmpclient.protocol import (
    LINGER,
    STALL_TIMEOUT,
    Ending,
    IRTMPClientUser,
    RTMPClientFactory,
    RTMPClientProtocol,
)
from rtmptw.rtmpclient.reconnector import (
    STABLE_TIME,
    IReconnectorUser,
    Reconnector,
)
from rtmptw.testing import makeFrames, videoFrame
from tests.rtmp.scripted import ScriptedServer, data, information

TARGET = RTMPTarget.fromURL("rtmp://bob:secret@example.com/live/s3cret")
KEYFRAME = b"\x17\1\0\0\0key"


class Connection(ScriptedServer):
    """
    One connection of a client, and the server at its other end.

    @ivar protocol: the client's protocol.
    @ivar transport: its transport.
    """

    def __init__(
        self,
        factory: RTMPClientFactory,
        address: Any = IPv4Address("TCP", "10.0.0.1", 1935),  # noqa: B008 -- it is frozen
    ) -> None:
        self.transport = StringTransport(peerAddress=address)
        self.transport.abortConnection = self.lose  # type: ignore[method-assign]
        self.protocol = factory.buildProtocol(address)
        self.isLost = False
        super().__init__(self.protocol.dataReceived, self._written)
        self.protocol.makeConnection(self.transport)

    def _written(self) -> bytes:
        written: bytes = self.transport.value()
        self.transport.clear()
        return written

    @property
    def isClosing(self) -> bool:
        """
        Whether the client has closed the connection.
        """
        return self.transport.disconnecting

    def lose(self, reason: Exception | None = None) -> None:
        """
        Lose the connection.
        """
        if not self.isLost:
            self.isLost = True
            self.protocol.connectionLost(Failure(reason or ConnectionDone()))


@implementer(IStreamClientEndpoint)
class Endpoint:
    """
    An endpoint whose connections the test accepts or refuses.

    @ivar targets: the target of every try so far.
    @ivar cancelled: how many tries were cancelled.
    """

    def __init__(self) -> None:
        self.targets: list[RTMPTarget] = []
        self.cancelled = 0
        self._waiting: list[tuple[Any, Deferred[Any]]] = []

    def forTarget(self, target: RTMPTarget) -> "Endpoint":
        self.targets.append(target)
        return self

    def connect(self, factory: Any) -> "Deferred[Any]":
        def cancelled(result: object) -> None:
            self.cancelled += 1
            self._waiting.clear()

        result: Deferred[Any] = Deferred(cancelled)
        self._waiting.append((factory, result))
        return result

    @property
    def tries(self) -> int:
        return len(self._waiting)

    def accept(self) -> Connection:
        """
        Accept the waiting try.
        """
        factory, result = self._waiting.pop()
        connection = Connection(factory)
        result.callback(connection.protocol)
        return connection

    def refuse(self) -> None:
        """
        Refuse the waiting try.
        """
        _factory, result = self._waiting.pop()
        result.errback(ConnectionRefusedError("nobody s3cret"))


@implementer(IRTMPClientUser, IReconnectorUser)
class User:
    """
    A user that records its calls.
    """

    what = "live/cam: relay to"
    done = "sent"

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.frames: list[Frame] = []
        self.protocol: RTMPClientProtocol | None = None
        self.ending: Ending | None = None

    def streamAccepted(self, protocol: RTMPClientProtocol) -> None:
        self.calls.append("accepted")
        self.protocol = protocol

    def connected(self, protocol: RTMPClientProtocol) -> None:
        self.calls.append("connected")
        self.protocol = protocol

    def disconnected(self) -> None:
        self.calls.append("disconnected")
        self.protocol = None

    def frameReceived(self, frame: Frame) -> None:
        self.frames.append(frame)

    def headerCleared(self, name: str) -> None:
        self.calls.append(f"cleared {name}")

    def sendingPaused(self) -> None:
        self.calls.append("paused")

    def sendingResumed(self) -> None:
        self.calls.append("resumed")

    def conversationEnded(self, ending: Ending) -> None:
        self.calls.append("ended")
        self.ending = ending


class ProtocolTests(SynchronousTestCase):
    """
    One connection of a client.
    """

    def open(self, publishes: bool = True) -> Connection:
        self.clock = Clock()
        self.user = User()
        factory = RTMPClientFactory(self.clock, TARGET, publishes, self.user)
        return Connection(factory)

    def ended(self) -> Ending:
        ending = self.user.ending
        assert ending is not None
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.user.calls.count("ended"), 1)
        return ending

    def test_publishes(self) -> None:
        """
        Frames are sent as given, and C{finish} sends the closing commands.
        """
        connection = self.open()
        self.assertTrue(verifyObject(IRTMPClientUser, self.user))
        connection.start()
        self.assertEqual(self.user.calls, ["accepted"])
        frames = makeFrames()
        for frame in frames:
            self.assertTrue(connection.protocol.sendFrame(frame, frame.timestamp))
        connection.protocol.finish("enough")
        connection.hear()
        self.assertEqual(
            connection.media(), [(f.kind, f.timestamp, f.payload) for f in frames]
        )
        self.assertEqual(connection.names()[-2:], ["FCUnpublish", "deleteStream"])
        self.assertTrue(connection.isClosing)
        self.assertFalse(connection.protocol.sendFrame(frames[0], 0))
        connection.lose()
        ending = self.ended()
        self.assertEqual((ending.label, ending.frames), ("closed", len(frames)))

    def test_overAUnixSocket(self) -> None:
        """
        A connection over a UNIX socket, which has no host and no port, works.
        """
        self.clock = Clock()
        self.user = User()
        factory = RTMPClientFactory(self.clock, TARGET, True, self.user)
        connection = Connection(factory, UNIXAddress("/run/rtmp.sock"))
        self.assertEqual(connection.protocol.peer, "unix socket")
        connection.start()
        self.assertEqual(self.user.calls, ["accepted"])
        connection.lose()
        self.assertEqual(self.ended().reason, "the server closed the connection")

    def test_plays(self) -> None:
        """
        A player gets the frames and the cleared headers of the stream.
        """
        connection = self.open(publishes=False)
        connection.start()
        connection.message(9, KEYFRAME)
        connection.message(18, data("@clearDataFrame", "onMetaData"))
        self.assertEqual([f.payload for f in self.user.frames], [KEYFRAME])
        self.assertEqual(self.user.calls, ["accepted", "cleared onMetaData"])
        connection.status("NetStream.Play.Stop")
        self.assertTrue(connection.isClosing)
        connection.lose()
        self.assertEqual(self.ended().label, "stream-ended")

    def test_pressure(self) -> None:
        """
        The transport pauses its producer at each write, but the user is told once. If
        the transport stays paused too long, the connection is aborted.
        """
        connection = self.open()
        connection.start()
        self.assertIs(connection.transport.producer, connection.protocol)
        self.assertTrue(connection.transport.streaming)
        connection.protocol.pauseProducing()
        connection.protocol.pauseProducing()
        self.clock.advance(STALL_TIMEOUT - 1)
        connection.protocol.resumeProducing()
        self.assertEqual(self.user.calls, ["accepted", "paused", "resumed"])
        connection.protocol.pauseProducing()
        self.clock.advance(STALL_TIMEOUT - 1)
        self.assertFalse(connection.isLost)
        self.clock.advance(1)
        self.assertTrue(connection.isLost)
        self.assertEqual(self.ended().label, "stalled")

    def test_pressureBeforeItIsAccepted(self) -> None:
        """
        TLS pauses the producer until its handshake is complete. The user is not told,
        because it has nothing to send before the stream is accepted.
        """
        connection = self.open()
        connection.protocol.pauseProducing()
        connection.protocol.resumeProducing()
        self.assertEqual(self.user.calls, [])
        connection.start()
        self.assertEqual(self.user.calls, ["accepted"])
        # If the user was not paused, it is not resumed.
        connection.protocol.resumeProducing()
        self.assertEqual(self.user.calls, ["accepted"])

    def test_acceptedWhilePaused(self) -> None:
        """
        If the transport is still paused when the stream is accepted, the user is told
        then. If it stays paused before that, the connection is aborted.
        """
        connection = self.open()
        connection.protocol.pauseProducing()
        connection.start()
        self.assertEqual(self.user.calls, ["accepted", "paused"])
        connection.protocol.resumeProducing()
        self.assertEqual(self.user.calls, ["accepted", "paused", "resumed"])
        connection.lose()
        connection = self.open()
        connection.protocol.pauseProducing()
        self.clock.advance(STALL_TIMEOUT)
        self.assertTrue(connection.isLost)
        self.assertEqual(self.user.calls, ["ended"])

    def test_readingPaused(self) -> None:
        """
        While reading is paused, the server does not count as silent.
        """
        connection = self.open(publishes=False)
        connection.start()
        connection.protocol.pauseReading()
        connection.protocol.pauseReading()
        self.assertEqual(connection.transport.producerState, "paused")
        self.clock.advance(SILENCE_TIMEOUT * 3)
        connection.protocol.resumeReading()
        connection.protocol.resumeReading()
        self.assertEqual(connection.transport.producerState, "producing")
        self.clock.advance(SILENCE_TIMEOUT - 1)
        self.assertFalse(connection.isClosing)
        connection.message(9, KEYFRAME)
        self.clock.advance(SILENCE_TIMEOUT - 1)
        self.assertFalse(connection.isClosing)
        self.clock.advance(1)
        self.assertTrue(connection.isClosing)
        connection.lose()
        self.assertEqual(self.ended().label, "silent")

    def test_finishedWhilePaused(self) -> None:
        """
        Finishing resumes the reading; otherwise the end of the connection would go
        unnoticed.
        """
        connection = self.open(publishes=False)
        connection.start()
        connection.protocol.pauseReading()
        connection.protocol.finish("enough")
        self.assertEqual(connection.transport.producerState, "producing")
        connection.lose()
        self.assertEqual(self.ended().label, "closed")

    def test_silentServer(self) -> None:
        """
        A server that does not complete the handshake is disconnected, and aborted if it
        does not close.
        """
        connection = self.open()
        self.clock.advance(STEP_TIMEOUT)
        self.assertTrue(connection.isClosing)
        self.clock.advance(LINGER)
        self.assertTrue(connection.isLost)
        self.assertIn("handshake", self.ended().reason)

    def test_refused(self) -> None:
        """
        A refusal has the server's description.
        """
        connection = self.open()
        connection.accept()
        connection.status("NetStream.Publish.BadName", "error", "in use")
        self.assertTrue(connection.isClosing)
        connection.lose()
        self.assertEqual(self.ended().refusal, "in use")

    def test_lost(self) -> None:
        """
        A connection lost with or without an error is reported as such, and later calls
        do nothing.
        """
        for reason, words in (
            (ConnectionDone(), "the server closed the connection"),
            (ConnectionLost(), "the connection was lost: "),
        ):
            connection = self.open()
            connection.start()
            connection.lose(reason)
            self.assertTrue(self.ended().reason.startswith(words))
            connection.protocol.pauseReading()
            connection.protocol.abort()

    def test_abort(self) -> None:
        """
        C{abort} ends the connection at once.
        """
        connection = self.open()
        connection.start()
        connection.protocol.abort()
        self.assertTrue(connection.isLost)
        self.assertEqual(self.ended().reason, "given up")


class RestTests(SynchronousTestCase):
    """
    A server that sends more at once than one turn of the reactor handles.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.user = User()
        self.connection = Connection(
            RTMPClientFactory(self.clock, TARGET, False, self.user)
        )
        self.connection.start()
        self.much = encodeMessage(6, 9, 0, 1, KEYFRAME, 128)

    def test_itWaitsForItsTurn(self) -> None:
        """
        Reading is paused until everything received is handled, and no frame is lost.
        """
        self.connection.send(self.much * 1250)
        self.assertEqual(len(self.user.frames), 500)
        self.assertEqual(self.connection.transport.producerState, "paused")
        self.clock.advance(0)
        self.assertEqual(len(self.user.frames), 1250)
        self.assertEqual(self.connection.transport.producerState, "producing")

    def test_itsUserPausesMeanwhile(self) -> None:
        """
        Reading resumes only when the user and the backlog both allow it.
        """
        self.connection.send(self.much * 750)
        self.connection.protocol.pauseReading()
        self.connection.protocol.resumeReading()
        self.assertEqual(self.connection.transport.producerState, "paused")
        self.connection.protocol.pauseReading()
        self.clock.advance(0)
        self.assertEqual(len(self.user.frames), 750)
        self.assertEqual(self.connection.transport.producerState, "paused")
        self.connection.send(self.much * 750)
        self.connection.protocol.resumeReading()
        self.assertEqual(self.connection.transport.producerState, "paused")
        self.clock.advance(0)
        self.assertEqual(len(self.user.frames), 1500)
        self.assertEqual(self.connection.transport.producerState, "producing")

    def test_itIsLostMeanwhile(self) -> None:
        """
        If the connection is lost, the user gets the frames received before it gets the
        end.
        """
        self.connection.send(self.much * 750)
        self.connection.lose()
        self.assertIsNone(self.user.ending)
        self.clock.advance(0)
        self.assertEqual(len(self.user.frames), 750)
        assert self.user.ending is not None
        self.assertEqual(self.user.ending.frames, 750)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class ReconnectorTests(SynchronousTestCase):
    """
    A reconnector connects again after every loss.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.endpoint = Endpoint()
        self.user = User()
        self.lines: list[str] = []

        def observe(event: Any) -> None:
            self.lines.append(formatEvent(event))

        globalLogPublisher.addObserver(cast(ILogObserver, observe))
        self.addCleanup(globalLogPublisher.removeObserver, cast(ILogObserver, observe))
        self.reconnector = self.make()

    def make(self, publishes: bool = True, **options: Any) -> Reconnector:
        return Reconnector(
            self.clock,
            TARGET,
            publishes,
            self.user,
            self.endpoint.forTarget,
            random=lambda: 0.5,
            **options,
        )

    def tearDown(self) -> None:
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertFalse(any("s3cret" in line for line in self.lines), self.lines)

    def failAndWait(self, wait: float) -> None:
        """
        Refuse the current try, and check that the next comes after C{wait} seconds.
        """
        self.endpoint.refuse()
        self.assertEqual(self.reconnector.state, "waiting")
        self.clock.advance(wait - 0.01)
        self.assertEqual(self.endpoint.tries, 0)
        self.clock.advance(0.02)
        self.assertEqual(self.endpoint.tries, 1)

    def test_waits(self) -> None:
        """
        Waits begin at 1 s and double up to 30 s. Repeated causes are not logged again.
        """
        self.assertTrue(verifyObject(IReconnectorUser, self.user))
        self.reconnector.start()
        self.reconnector.start()
        self.assertEqual(self.endpoint.tries, 1)
        for wait in (1, 2, 4, 8, 16, 30, 30, 30):
            self.failAndWait(wait)
        self.assertEqual(self.user.calls, ["disconnected"] * 8)
        self.assertEqual(len(self.lines), 6, "the same again is no news")
        self.assertEqual(
            self.lines[1],
            "live/cam: relay to rtmp://example.com/live: cannot connect: Connection "
            "was refused by other side: nobody ***; next try in 2 s",
        )
        self.successResultOf(self.reconnector.stop("enough", 1))
        self.assertEqual(self.endpoint.cancelled, 1)

    def test_longestWait(self) -> None:
        """
        C{longestWait} limits the waits.
        """
        self.reconnector = self.make(longestWait=3.0)
        self.reconnector.start()
        for wait in (1, 2, 3, 3):
            self.failAndWait(wait)
        self.endpoint.refuse()
        self.successResultOf(self.reconnector.stop("enough", 1))

    def test_chance(self) -> None:
        """
        Waits vary randomly within their bounds.
        """
        for number, waits in ((0.0, (1, 1.5, 3)), (1.0, (1.25, 2.5, 5))):
            self.reconnector = Reconnector(
                self.clock,
                TARGET,
                True,
                self.user,
                self.endpoint.forTarget,
                random=partial(float, number),
            )
            self.reconnector.start()
            for wait in waits:
                self.failAndWait(wait)
            self.reconnector.stop("enough", 1)
        self.reconnector.start()
        for _ in range(8):
            self.endpoint.refuse()
            self.clock.advance(LONGEST_WAIT)
        self.reconnector.stop("enough", 1)

    def test_comesBack(self) -> None:
        """
        A good connection resets the waits; one that breaks at once does not.
        """
        self.reconnector.start()
        self.failAndWait(1)
        self.failAndWait(2)
        connection = self.endpoint.accept()
        connection.start()
        self.assertEqual(self.reconnector.state, "connected")
        self.assertEqual(self.reconnector.trouble, "")
        connection.protocol.sendFrame(videoFrame(0), 0)
        connection.lose(ConnectionLost())
        self.assertEqual(self.user.calls[-2:], ["connected", "disconnected"])
        self.clock.advance(3.9)
        self.assertEqual(self.endpoint.tries, 0)
        self.clock.advance(0.2)
        connection = self.endpoint.accept()
        connection.start()
        connection.protocol.sendFrame(videoFrame(0), 0)
        self.clock.advance(STABLE_TIME)
        connection.lose()
        self.clock.advance(1.01)
        self.assertEqual(self.endpoint.tries, 1)
        self.reconnector.stop("enough", 1)
        prefix = "live/cam: relay to rtmp://example.com/live: "
        self.assertIn(f"{prefix}connected to 10.0.0.1:1935", self.lines)
        self.assertIn(
            f"{prefix}lost after 10.0 s, 1 frames sent: the server closed the "
            "connection; next try in 1 s",
            self.lines,
        )

    def test_refused(self) -> None:
        """
        A refusal is reported with the server's description, without the stream key.
        """
        self.reconnector.start()
        connection = self.endpoint.accept()
        connection.accept()
        connection.status("NetStream.Publish.BadName", "error", "s3cret is in use")
        connection.lose()
        self.assertEqual(
            self.reconnector.trouble,
            "refused: NetStream.Publish.BadName: *** is in use",
        )
        self.assertEqual(self.user.calls, ["disconnected"])
        self.reconnector.stop("enough", 1)

    def test_stopped(self) -> None:
        """
        A stop sends the closing commands, and is done when the server has closed. If it
        does not close in time, the connection is aborted.
        """
        for isSlow in (False, True):
            self.reconnector.start()
            connection = self.endpoint.accept()
            connection.start()
            stopped = self.reconnector.stop("enough", 5)
            self.assertIs(self.reconnector.stop("again", 5), stopped)
            self.assertNoResult(stopped)
            connection.hear()
            self.assertEqual(connection.names()[-1], "deleteStream")
            if isSlow:
                self.clock.advance(5)
                self.assertIn("cut off", self.lines[-2])
            else:
                connection.lose()
            self.successResultOf(stopped)
            self.assertEqual(self.reconnector.state, "idle")
            self.assertEqual(self.reconnector.trouble, "")
            self.assertNotIn("disconnected", self.user.calls)

    def test_stoppedEarly(self) -> None:
        """
        A stop before the start, or before the stream is accepted, is done at once.
        """
        self.successResultOf(self.reconnector.stop("not even begun", 1))
        self.reconnector.start()
        connection = self.endpoint.accept()
        connection.shakeHands()
        self.successResultOf(self.reconnector.stop("enough", 1))
        self.assertTrue(connection.isLost)

    def test_startedAgain(self) -> None:
        """
        A start during a stop takes effect when the stop is done.
        """
        self.reconnector.start()
        connection = self.endpoint.accept()
        connection.start()
        stopped = self.reconnector.stop("enough", 5)
        self.reconnector.start()
        self.assertEqual(self.endpoint.tries, 0)
        connection.lose()
        self.successResultOf(stopped)
        self.assertEqual(self.endpoint.tries, 1)
        self.reconnector.stop("enough", 1)

    def test_tryLater(self) -> None:
        """
        A connection given up with C{tryLater} does not count as a good one.
        """
        self.reconnector = self.make(publishes=False)
        self.reconnector.start()
        for wait in (1, 2, 4):
            connection = self.endpoint.accept()
            connection.start()
            connection.message(9, KEYFRAME)
            self.clock.advance(STABLE_TIME - 1)
            connection.message(9, KEYFRAME)
            self.clock.advance(STABLE_TIME - 1)
            self.reconnector.tryLater("taken")
            self.assertTrue(connection.isClosing)
            connection.message(9, KEYFRAME)
            connection.lose()
            self.clock.advance(wait + 0.01)
            self.assertEqual(self.endpoint.tries, 1)
        self.reconnector.tryLater("nothing to end")
        self.assertEqual(len(self.user.frames), 6)
        self.reconnector.stop("enough", 1)

    def test_nobodyPublishes(self) -> None:
        """
        A server that works but has no stream to play is asked again soon, and that is
        logged once.
        """
        self.reconnector = self.make(publishes=False)
        self.reconnector.start()
        for _ in range(4):
            connection = self.endpoint.accept()
            connection.start()
            self.clock.advance(SILENCE_TIMEOUT)
            connection.lose()
            self.clock.advance(1.01)
        self.assertEqual(len(self.lines), 1, self.lines)
        self.assertIn("the stream is not being published", self.lines[0])
        connection = self.endpoint.accept()
        connection.start()
        connection.message(9, KEYFRAME)
        self.assertIn("connected to", self.lines[1])
        connection.status("NetStream.Play.UnpublishNotify")
        connection.lose()
        self.assertIn("1 frames sent: the server ended the stream", self.lines[2])
        self.assertIn("next try in 1 s", self.lines[2])
        self.reconnector.stop("enough", 1)

    def test_authentication(self) -> None:
        """
        A server that asks for authentication gets three connections without waits. A
        rejected answer is a refusal.
        """
        self.reconnector.start()
        need = "[ AccessManager.Reject ] : [ code=403 need auth; authmod=adobe ] : "
        challenge = (
            "[ AccessManager.Reject ] : [ authmod=adobe ] : "
            "?reason=needauth&user=bob&salt=S&challenge=C&opaque=O"
        )
        apps = []
        code = "NetConnection.Connect.Rejected"
        for words in (need, challenge, "authmod=adobe ?reason=authfailed"):
            connection = self.endpoint.accept()
            connection.shakeHands()
            (properties,) = connection.commands()[0].values
            assert isinstance(properties, AMFObject)
            apps.append(properties.get("app"))
            connection.command("_error", 1.0, None, information(code, "error", words))
            connection.lose()
        self.assertEqual(apps[:2], ["live", "live?authmod=adobe&user=bob"])
        self.assertIn("&response=", apps[2])
        self.assertEqual(self.reconnector.state, "waiting")
        self.assertEqual(len(self.lines), 1)
        self.assertIn("authfailed", self.lines[0])
        self.clock.advance(1.01)
        # A server that asks for authentication again and again is a refusal too.
        for _ in range(3):
            connection = self.endpoint.accept()
            connection.shakeHands()
            connection.command("_error", 1.0, None, information(code, "error", need))
            connection.lose()
        self.assertEqual(self.reconnector.state, "waiting")
        self.reconnector.stop("enough", 1)


class EndpointTests(SynchronousTestCase):
    """
    Endpoints and TLS of the targets.
    """

    def test_plain(self) -> None:
        """
        The endpoint looks the host's name up at each connection.
        """
        reactor: Any = MemoryReactorClock()
        endpoint = clientEndpoint(reactor, TARGET)
        self.assertIn("example.com", repr(endpoint))
        self.assertIn("1935", repr(endpoint))

    def test_withoutTLS(self) -> None:
        """
        If the packages for TLS are missing, one sentence says what to install.
        """
        with (
            mock.patch.dict("sys.modules", {"service_identity": None}),
            self.assertRaises(SinkError) as caught,
        ):
            checkTLS()
        self.assertIn("pip install 'twisted[tls]'", str(caught.exception))
        checkTLS()

    def test_badCertificates(self) -> None:
        """
        A file without certificates, or that cannot be read, is refused.
        """
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path = Path(folder.name) / "ca.pem"
        for content in (
            b"nothing",
            b"-----BEGIN CERTIFICATE-----\nxx\n-----END CERTIFICATE-----",
        ):
            path.write_bytes(content)
            with self.assertRaises(SinkError) as caught:
                trustRootFrom(str(path))
            self.assertIn("contains no", str(caught.exception))
        with self.assertRaises(SinkError) as caught:
            trustRootFrom("/nowhere/at/all")
        self.assertIn("cannot be read", str(caught.exception))
