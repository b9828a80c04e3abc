"""
Tests of players: from the bytes of a play command to the bytes of its frames.
"""

import socket
from functools import partial
from typing import Any, NoReturn

from twisted.internet import tcp
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from rtmptw.delivery import Delivery, Policy
from rtmptw.errors import NotAllowed
from rtmptw.frames import Frame, FrameKind
from rtmptw.hub.hub import StreamHub
from rtmptw.hub.ledger import AWAITING_KEYFRAME, NOT_WANTED
from rtmptw.hub.stream import SinkReport
from rtmptw.interfaces import (
    IDemanded,
    IFrameSource,
    IMulticastSink,
    IMulticastTarget,
    IStreamAuthorizer,
    PlayPermit,
)
from rtmptw.net.sender import MAX_JOINED, MAX_UNSENT, Sender
from rtmptw.net.turns import Turns
from rtmptw.rtmp.chunkwriter import encodeMessage
from rtmptw.rtmp.events import PlayRequested
from rtmptw.rtmpserver.authorizing import AllowAll
from rtmptw.rtmpserver.factory import RTMPFactory
from rtmptw.rtmpserver.play import (
    HOLD,
    VIEWER,
    PacingPlaySink,
    Playback,
    PlayMulticast,
    PlaySettings,
    SharedForm,
)
from rtmptw.testing import audioFrame, makeFrames, videoFrame
from tests.rtmpserver.test_protocol import Connection

MEDIA = (FrameKind.AUDIO, FrameKind.VIDEO)


def audioFrames(frames: list[Frame]) -> list[Frame]:
    """
    @return: the audio frames among them.
    """
    return [frame for frame in frames if frame.kind is FrameKind.AUDIO]


@implementer(IFrameSource)
class Source:
    """
    A publisher that is always there.
    """

    peer = "127.0.0.1:1"
    encoder = "test"
    isFed = False

    def pauseSource(self) -> None:
        raise AssertionError("a player never pauses a publisher")

    def resumeSource(self) -> None:
        raise AssertionError("it was not paused")

    def silentFor(self) -> float:
        return 0.0

    def sourceReplaced(self, reason: str) -> None:
        self.reason = reason


@implementer(IDemanded)
class Demanded:
    """
    Records its calls.
    """

    def __init__(self) -> None:
        self.calls: list[str] = []

    def demandBegun(self) -> None:
        self.calls.append("begun")

    def demandEnded(self) -> None:
        self.calls.append("ended")


class PlayTestCase(SynchronousTestCase):
    """
    A server in memory.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.reports: list[SinkReport] = []
        self.serve()

    def serve(
        self,
        settings: PlaySettings | None = None,
        authorizer: Any = None,
        **hub: Any,
    ) -> None:
        """
        Create the server.
        """
        self.hub = StreamHub(self.clock, sinkEnded=self.reports.append, **hub)
        self.factory = RTMPFactory(self.hub, None, authorizer, settings)

    def publish(self, stream: str = "cam") -> None:
        """
        Start a stream.
        """
        self.source = Source()
        self.stream = self.hub.publish("live", stream, self.source)

    def send(self, *frames: Frame) -> None:
        """
        Publish frames; what follows is sent at the end of the turn.
        """
        for frame in frames:
            self.stream.frameReceived(frame)
        self.clock.advance(0)

    def player(self) -> Connection:
        """
        @return: a client with a message stream.
        """
        connection = Connection(self.factory)
        connection.client.shakeHands()
        connection.client.connect()
        connection.client.command("createStream", 2.0, None)
        return connection

    def play(self, name: str = "cam", streamID: int = 1) -> Connection:
        """
        @return: a client that plays.
        """
        connection = self.player()
        connection.client.command("play", 3.0, None, name, -2000.0, streamID=streamID)
        return connection

    def got(self, connection: Connection, streamID: int = 1) -> list[bytes]:
        """
        @return: the payloads that a player has received.
        """
        connection.client.hear()
        return [
            payload
            for kind, stream, payload in connection.client.answers
            if kind in MEDIA and stream == streamID
        ]

    def code(self, connection: Connection) -> str:
        """
        @return: the last status that a player has received.
        """
        connection.client.hear()
        return connection.client.status()[2]


class PlayTests(PlayTestCase):
    """
    One player and its stream.
    """

    def test_beforeThePublisher(self) -> None:
        """
        The player is told that it plays, waits, and gets everything.
        """
        connection = self.play()
        self.assertEqual(self.code(connection), "NetStream.Play.Start")
        self.assertEqual(self.hub.awaited, {"live/cam": 1})
        self.publish()
        frames = makeFrames()
        self.send(*frames)
        self.assertEqual(self.got(connection), [frame.payload for frame in frames])
        self.assertEqual(self.hub.awaited, {})

    def test_inTheMiddle(self) -> None:
        """
        The player gets the headers, the current GOP, then all that follows.
        """
        self.publish()
        frames = makeFrames(seconds=3)
        key = next(f for f in frames if f.isKey and f.timestamp == 2000)
        begin = frames.index(key)
        self.send(*frames[: begin + 10])
        connection = self.play()
        self.send(*frames[begin + 10 :])
        self.assertEqual(
            self.got(connection),
            [frame.payload for frame in frames[:2] + frames[begin:]],
        )

    def test_aNameWithoutItsSuffix(self) -> None:
        """
        The name means the stream that exists, with or without the suffix (FFmpeg omits
        it). The authorizer gets the name of that stream.
        """
        for published, asked, played in (
            ("cam.flv", "cam", "cam.flv"),
            ("cam.mp4", "cam", "cam.mp4"),
            ("cam.mp4", "mp4:cam.mp4", "cam.mp4"),
            ("cam", "cam.flv", "cam"),
            ("cam.flv", "cam.mp4", "cam.mp4"),
        ):
            self.serve()
            self.publish(published)
            connection = self.play(asked)
            self.send(*makeFrames())
            isPlayed = published == played
            self.assertEqual(bool(self.got(connection)), isPlayed, asked)
            self.assertEqual(
                dict(self.hub.awaited), {} if isPlayed else {f"live/{played}": 1}
            )
        self.serve()
        self.publish("cam.flv")
        self.publish("cam")
        self.assertEqual(
            self.play("cam").protocol._playbacks.names._names, ("live/cam",)
        )

    def test_withoutTheCache(self) -> None:
        """
        Without the GOP cache, video begins with the next key frame, audio at once.
        """
        self.serve(gopCache=False)
        self.publish()
        frames = makeFrames(seconds=3)
        second = frames.index(
            next(f for f in frames if f.isKey and f.timestamp == 1000)
        )
        self.send(*frames[: second - 10])
        connection = self.play()
        self.send(*frames[second - 10 :])
        self.assertEqual(
            self.got(connection),
            [
                frame.payload
                for frame in [
                    *frames[:2],
                    *audioFrames(frames[second - 10 : second]),
                    *frames[second:],
                ]
            ],
        )

    def test_theEnd(self) -> None:
        """
        The player gets the last frame and then the end, and its ledger is closed.
        """
        self.publish()
        connection = self.play()
        frames = makeFrames()
        for frame in frames:
            self.stream.frameReceived(frame)
        self.hub.sourceLost(self.stream, self.source, "unpublished")
        self.assertEqual(self.got(connection), [frame.payload for frame in frames])
        self.assertEqual(self.code(connection), "NetStream.Play.UnpublishNotify")
        (report,) = self.reports
        self.assertEqual(report.sink, "play 127.0.0.1:50000")
        self.assertEqual(report.ledger.delivered, len(frames))
        self.assertFalse(connection.transport.disconnecting)
        self.clock.advance(0.5)
        connection.client.hear()
        self.assertEqual(connection.client.answers[-1], (4, 0, b"\0\1\0\0\0\1"))
        self.clock.advance(10)
        self.assertTrue(connection.transport.disconnecting)

    def test_throughTheGraceTime(self) -> None:
        """
        The publisher comes back: the player is not told of an end, and timestamps
        continue.
        """
        self.serve(graceTime=10.0)
        connection = self.play()
        self.publish()
        frames = makeFrames()
        self.send(*frames)
        self.hub.sourceLost(self.stream, self.source, "lost")
        self.clock.advance(5)
        self.publish()
        again = makeFrames()
        self.send(*again)
        self.assertEqual(
            self.got(connection), [frame.payload for frame in frames + again]
        )
        self.assertEqual(self.code(connection), "NetStream.Play.Start")

    def test_itLeaves(self) -> None:
        """
        After closeStream, or the end of the connection, the stream continues without
        the player.
        """
        self.publish()
        closes = self.play()
        closes.client.command("closeStream", 0.0, None, streamID=1)
        lost = self.play()
        lost.lose()
        self.assertEqual(self.stream.outlets, ())
        self.assertEqual(
            [report.ended for report in self.reports],
            ["stream closed", "closed by the peer"],
        )

    def test_itLeavesWhileItWaits(self) -> None:
        """
        A player that leaves no longer waits for the stream.
        """
        connection = self.play()
        connection.lose()
        self.assertEqual(self.hub.awaited, {})
        self.publish()
        self.assertEqual(self.stream.outlets, ())

    def test_sentAway(self) -> None:
        """
        Detaching a player closes its connection.
        """
        self.publish()
        connection = self.play()
        (outlet,) = self.stream.outlets
        outlet.detach("kicked")
        self.assertTrue(connection.transport.disconnecting)
        self.assertIn("live/cam", self.hub.streams)

    def test_theServerStops(self) -> None:
        """
        Both a waiting and a playing player are told.
        """
        self.publish()
        players = [self.play(), self.play("other")]
        self.hub.shutdown("the server stops")
        for connection in players:
            self.assertEqual(self.code(connection), "NetStream.Play.UnpublishNotify")
        late = self.play()
        self.assertEqual(
            late.client.status()[1:],
            ("error", "NetStream.Play.Failed", "the server stops"),
        )

    def test_anErrorOfOurs(self) -> None:
        """
        The error is logged, and the player is disconnected.
        """
        self.publish()
        told: list[object] = []

        def fail(stream: object, ended: object) -> NoReturn:
            raise ZeroDivisionError

        playback = Playback(
            succeed(self.stream),
            fail,
            "viewer",
            lambda *what: told.extend(what),
        )
        playback.start()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(told, [playback, "internal server error", False])

    def test_severalOnOneConnection(self) -> None:
        """
        Each stream is played on its own message stream.
        """
        connection = self.play("cam")
        connection.client.command("createStream", 4.0, None)
        connection.client.command("play", 5.0, None, "other", streamID=2)
        frames = makeFrames()
        for name in ("cam", "other"):
            self.publish(name)
            self.send(*(frames if name == "cam" else frames[:3]))
        self.assertEqual(len(self.got(connection, 1)), len(frames))
        self.assertEqual(len(self.got(connection, 2)), 3)

    def test_pause(self) -> None:
        """
        A paused player gets only headers; then audio resumes at once, and video at a
        key frame.
        """
        self.publish()
        connection = self.play()
        frames = makeFrames(seconds=4)
        at = [n for n, f in enumerate(frames) if f.isKey]
        self.send(*frames[: at[1] + 5])
        connection.client.command("pause", 0.0, None, True, 0.0, streamID=1)
        self.send(*frames[at[1] + 5 : at[2] + 5])
        connection.client.command("pause", 0.0, None, False, 0.0, streamID=1)
        self.send(*frames[at[2] + 5 :])
        self.assertEqual(
            self.got(connection),
            [
                f.payload
                for f in [
                    *frames[: at[1] + 5],
                    *audioFrames(frames[at[2] + 5 : at[3]]),
                    *frames[at[3] :],
                ]
            ],
        )
        ledger = self.stream.outlets[0].ledger
        self.assertEqual(set(ledger.dropped), {NOT_WANTED, AWAITING_KEYFRAME})
        self.assertTrue(ledger.balanced)

    def test_pausedWhileItWaits(self) -> None:
        """
        A pause while waiting is kept until the stream comes.
        """
        connection = self.play()
        connection.client.command("pause", 0.0, None, True, 0.0, streamID=1)
        self.publish()
        self.send(*makeFrames())
        self.assertEqual(len(self.got(connection)), 2)

    def test_audioOnlyAndVideoOnly(self) -> None:
        """
        receiveVideo(false) and receiveAudio(false).
        """
        self.publish()
        frames = makeFrames()
        for name, kind in (
            ("receiveVideo", FrameKind.AUDIO),
            ("receiveAudio", FrameKind.VIDEO),
        ):
            connection = self.play()
            connection.client.command(name, 0.0, None, False, streamID=1)
            self.assertEqual(self.kinds(connection, frames), {kind})
            connection.client.command(name, 0.0, None, True, streamID=1)
            frames = makeFrames(start=frames[-1].timestamp + 20)
            self.assertEqual(self.kinds(connection, frames), set(MEDIA))
            connection.lose()
            frames = makeFrames(start=frames[-1].timestamp + 20)

    def kinds(self, connection: Connection, frames: list[Frame]) -> set[int]:
        """
        @return: the kinds of frames that a player gets when these are published.
        """
        self.clock.advance(0)
        connection.client.hear()
        connection.client.answers.clear()
        self.send(*[frame for frame in frames if not frame.isHeader])
        connection.client.hear()
        return {kind for kind, _stream, _payload in connection.client.answers}

    def test_timesBeforeTheBeginning(self) -> None:
        """
        A timestamp of -1 would be read as one 49 days ahead.
        """
        form = SharedForm(60000)
        frame = videoFrame(0, True)
        frame.timestamp = -1
        self.assertEqual(
            form.encoded(frame, 1), encodeMessage(6, 9, 0, 1, frame.payload, 60000)
        )

    def test_oneFormForAll(self) -> None:
        """
        A frame is encoded once for all players on the same message stream.
        """
        form = SharedForm(60000)
        frame = videoFrame(0, True)
        self.assertIs(form.encoded(frame, 1), form.encoded(frame, 1))
        self.assertNotEqual(form.encoded(frame, 1), form.encoded(frame, 2))


class RefusalTests(PlayTestCase):
    """
    Players that are refused.
    """

    def test_nobodyPublishes(self) -> None:
        """
        With play-wait=off the player is told, unless a source can be started on demand.
        """
        self.serve(PlaySettings(waits=False))
        connection = self.play()
        self.assertEqual(
            connection.client.status(),
            (
                1,
                "error",
                "NetStream.Play.StreamNotFound",
                "live/cam is not being published.",
            ),
        )
        self.assertTrue(connection.transport.disconnecting)
        self.hub.addDemanded("live", "cam", Demanded())
        self.assertEqual(self.code(self.play()), "NetStream.Play.Start")
        self.publish("other")
        self.assertEqual(self.code(self.play("other")), "NetStream.Play.Start")

    def test_theAuthorizer(self) -> None:
        """
        The authorizer may refuse, rename the stream, and answer later.
        """

        @implementer(IStreamAuthorizer)
        class Authorizer(AllowAll):
            answer: Deferred[PlayPermit] = Deferred()

            def authorizePlay(self, request: PlayRequested, peer: str) -> Any:
                if request.stream == "secret":
                    raise NotAllowed("NetStream.Play.Failed", "Not you.")
                if request.stream == "broken":
                    raise ZeroDivisionError
                return self.answer

        authorizer = Authorizer()
        self.serve(authorizer=authorizer)
        self.assertEqual(self.play("secret").client.status()[3], "Not you.")
        self.assertEqual(
            self.play("broken").client.status()[3],
            "The server could not authorize the request.",
        )
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        connection = self.play("asked")
        self.publish("public")
        authorizer.answer.callback(PlayPermit("live", "public"))
        self.send(*makeFrames())
        self.assertEqual(self.code(connection), "NetStream.Play.Start")
        self.assertEqual(len(self.got(connection)), len(makeFrames()))


class DemandTests(PlayTestCase):
    """
    Sources that run only while someone plays.
    """

    def test_beginsAndEnds(self) -> None:
        """
        The source starts with the first player, and stops with the last.
        """
        demanded = Demanded()
        self.hub.addDemanded("live", "cam", demanded)
        one = self.play()
        two = self.play()
        self.assertEqual(demanded.calls, ["begun"])
        self.publish()
        one.lose()
        self.assertEqual(demanded.calls, ["begun"])
        two.lose()
        self.assertEqual(demanded.calls, ["begun", "ended"])
        self.play()
        self.assertEqual(demanded.calls, ["begun", "ended", "begun"])
        self.hub.removeDemanded("live", "cam")
        self.assertFalse(self.hub.isOnDemand("live", "cam"))

    def test_aRecorderIsNoViewer(self) -> None:
        """
        Only players keep a source running.
        """
        from rtmptw.testing import RecordingSink

        demanded = Demanded()
        self.hub.addDemanded("live", "cam", demanded)
        self.publish()
        self.stream.attach("record", RecordingSink())
        self.assertEqual(demanded.calls, [])

    def test_somebodyWaitsAlready(self) -> None:
        """
        The source starts at once for a player that is waiting; two sources for one
        stream are an error.
        """
        self.play()
        demanded = Demanded()
        self.hub.addDemanded("live", "cam", demanded)
        self.assertEqual(demanded.calls, ["begun"])
        with self.assertRaises(ValueError):
            self.hub.addDemanded("live", "cam", Demanded())


class SlowPlayerTests(PlayTestCase):
    """
    Players that do not take what they are sent.
    """

    def test_boundedAndSentAway(self) -> None:
        """
        The queue is bounded, the next GOP is complete, and a player that stays too slow
        is disconnected; others are not affected.
        """
        self.serve(
            PlaySettings(Delivery(Policy.TO_KEYFRAME, 2000, 10**6, patience=10.0))
        )
        self.publish()
        slow, quick = self.play(), self.play()
        slow.transport.producer.pauseProducing()
        frames = makeFrames(seconds=16)
        now = 0
        for frame in frames:
            self.clock.advance(max(0, frame.timestamp - now) / 1000)
            now = max(now, frame.timestamp)
            self.send(frame)
            waiting = [outlet.ledger.queued for outlet in self.stream.outlets]
            self.assertLessEqual(max(waiting), 2 * (25 + 44) + 2)
        self.assertEqual(len(self.got(quick)), len(frames))
        self.assertTrue(slow.transport.disconnecting)
        (report,) = self.reports
        self.assertIn("too slow for 10 s", report.ended)
        self.assertTrue(report.ledger.balanced)

    def test_catchesUp(self) -> None:
        """
        Queued frames arrive when the player takes data again.
        """
        self.publish()
        connection = self.play()
        frames = makeFrames(seconds=2)
        connection.transport.producer.pauseProducing()
        self.send(*frames)
        self.assertEqual(self.got(connection), [])
        connection.transport.producer.resumeProducing()
        self.clock.advance(0)
        self.assertEqual(self.got(connection), [f.payload for f in frames])

    def test_fullBeforeItPlays(self) -> None:
        """
        A player that is full with one stream gets nothing of the next.
        """
        connection = self.play("cam")
        connection.transport.producer.pauseProducing()
        self.publish()
        self.send(*makeFrames())
        self.assertEqual(self.got(connection), [])
        self.assertEqual(self.stream.outlets[0].ledger.delivered, 0)


class PlainTransport(tcp.Connection):
    """
    A plain socket whose other end the test holds.

    @ivar theirs: the other end.
    @ivar later: the data left to Twisted.
    @ivar streaming: how the producer was registered.
    """

    def __init__(self, case: SynchronousTestCase) -> None:
        self.socket, self.theirs = socket.socketpair()
        for end in (self.socket, self.theirs):
            case.addCleanup(end.close)
            end.setblocking(False)
        self.later: list[bytes] = []
        self.streaming: bool | None = None

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self.streaming = streaming

    def unregisterProducer(self) -> None:
        self.streaming = None

    def write(self, data: bytes) -> None:
        self.later.append(data)

    def read(self) -> bytes:
        """
        @return: all data that has arrived at the other end.
        """
        data = b""
        try:
            while piece := self.theirs.recv(1 << 20):
                data += piece
        except BlockingIOError:
            pass
        return data


class PlayMulticastTests(SynchronousTestCase):
    """
    Players that keep up.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.turns = Turns(self.clock)
        self.form = SharedForm(60000)
        self.full: list[tuple[int, bool]] = []

    def wasFull(self, number: int, full: bool) -> None:
        self.full.append((number, full))

    def multicast(self, count: int = 2, hold: float = HOLD) -> PlayMulticast:
        """
        @return: a multicast with a number of members.
        """
        multicast = PlayMulticast(self.turns, self.form, 1, hold)
        self.sinks: list[PacingPlaySink] = []
        self.transports: list[PlainTransport] = []
        for number in range(count):
            self.transports.append(PlainTransport(self))
            sender = Sender(
                self.transports[-1],
                self.turns,
                partial(self.wasFull, number),
            )
            sink = PacingPlaySink(
                sender, self.form, 1, VIEWER, lambda reason: None, multicast
            )
            self.sinks.append(sink)
            multicast.join(sink)
        return multicast

    def got(self) -> list[bytes]:
        """
        @return: what each player has received since the last call.
        """
        return [transport.read() for transport in self.transports]

    def bytesOf(self, *frames: Frame) -> bytes:
        """
        @return: frames as a player receives them.
        """
        return b"".join(self.form.encoded(frame, 1) for frame in frames)

    def test_interfaces(self) -> None:
        """
        The classes provide the interfaces that the hub expects.
        """
        self.assertTrue(verifyObject(IMulticastTarget, self.multicast()))
        self.assertTrue(verifyObject(IMulticastSink, self.sinks[0]))

    def test_allOfATurn(self) -> None:
        """
        Every player gets all frames of a turn at its end.
        """
        multicast = self.multicast(3)
        frames = [videoFrame(0, True), audioFrame(1), videoFrame(2)]
        for frame in frames:
            multicast.frameReceived(frame)
        self.assertEqual(self.got(), [b""] * 3)
        self.clock.advance(0)
        self.assertEqual(self.got(), [self.bytesOf(*frames)] * 3)

    def test_audioWaitsForVideo(self) -> None:
        """
        Audio waits for the next video frame, up to the time limit. After that, and
        where there is no video, it does not wait.
        """
        multicast = self.multicast()
        image, audio, next_ = videoFrame(0, True), audioFrame(1), videoFrame(2)
        multicast.frameReceived(audio)
        self.clock.advance(0)
        self.assertEqual(self.got(), [self.bytesOf(audio)] * 2)
        multicast.frameReceived(image)
        self.clock.advance(0)
        self.got()
        multicast.frameReceived(audio)
        self.clock.advance(HOLD / 2)
        self.assertEqual(self.got(), [b""] * 2)
        multicast.frameReceived(next_)
        self.clock.advance(0)
        self.assertEqual(self.got(), [self.bytesOf(audio, next_)] * 2)
        multicast.frameReceived(audio)
        self.clock.advance(HOLD)
        self.assertEqual(self.got(), [self.bytesOf(audio)] * 2)
        multicast.frameReceived(audio)
        self.clock.advance(0)
        self.assertEqual(self.got(), [self.bytesOf(audio)] * 2)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_lowDelay(self) -> None:
        """
        With low delay, nothing waits.
        """
        multicast = self.multicast(hold=0.0)
        for frame in (videoFrame(0, True), audioFrame(1)):
            multicast.frameReceived(frame)
            self.clock.advance(0)
            self.assertEqual(self.got(), [self.bytesOf(frame)] * 2)

    def test_muchDoesNotWait(self) -> None:
        """
        A large frame is sent at once, and only once.
        """
        multicast = self.multicast(1)
        large = videoFrame(0, True, size=MAX_JOINED)
        multicast.frameReceived(large)
        transport = self.transports[0]
        got = transport.read() + b"".join(transport.later)
        self.clock.advance(0)
        self.assertEqual(got + transport.read(), self.bytesOf(large))

    def test_comeAndGo(self) -> None:
        """
        A player that leaves has been sent what was gathered; one that joins has not.
        """
        multicast = self.multicast()
        first, second = videoFrame(0, True), videoFrame(1)
        multicast.leave(self.sinks[1])
        multicast.frameReceived(first)
        multicast.join(self.sinks[1])
        self.assertEqual(self.got(), [self.bytesOf(first), b""])
        multicast.frameReceived(second)
        multicast.leave(self.sinks[0])
        self.assertEqual(self.got(), [self.bytesOf(second)] * 2)
        multicast.frameReceived(first)
        self.clock.advance(0)
        self.assertEqual(self.got(), [b"", self.bytesOf(first)])

    def test_oneIsFull(self) -> None:
        """
        What a player's socket does not take is left to Twisted, and the player is
        paused; the others get everything. It does not rejoin while it is full.
        """
        multicast = self.multicast()
        full = self.transports[0]
        try:
            while True:
                full.socket.send(bytes(1 << 16))
        except BlockingIOError:
            pass
        frame = videoFrame(0, True)
        multicast.frameReceived(frame)
        self.clock.advance(0)
        self.assertEqual(self.full, [(0, True)])
        self.assertEqual(full.later, [self.bytesOf(frame)])
        self.assertEqual(self.transports[1].read(), self.bytesOf(frame))
        multicast.leave(self.sinks[0])
        multicast.join(self.sinks[0])
        multicast.frameReceived(frame)
        self.clock.advance(0)
        self.assertEqual(len(full.later), 1)

    def test_oneIsReset(self) -> None:
        """
        The others get everything. Nothing is left to Twisted, which would end the
        connection before the data that it sent us was read.
        """
        multicast = self.multicast()
        self.transports[0].theirs.close()
        frame = videoFrame(0, True)
        multicast.frameReceived(frame)
        self.clock.advance(0)
        self.assertEqual(self.transports[1].read(), self.bytesOf(frame))
        self.assertEqual((self.transports[0].later, self.full), ([], []))

    def test_whatItWasSentAloneComesFirst(self) -> None:
        """
        A player that joins has its own frames, which wait for the end of the turn.
        """
        multicast = self.multicast()
        multicast.leave(self.sinks[0])
        first, second = videoFrame(0, True), videoFrame(1)
        self.sinks[0].frameReceived(first)
        multicast.join(self.sinks[0])
        multicast.frameReceived(second)
        self.clock.advance(0)
        self.assertEqual(
            self.got(), [self.bytesOf(first, second), self.bytesOf(second)]
        )


class SenderTests(SynchronousTestCase):
    """
    How bytes leave a connection.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.full: list[bool] = []

    def sender(self, interval: float = 0.0) -> Sender:
        """
        @return: a sender on a transport in memory.
        """
        self.transport: Any = StringTransport()
        return Sender(self.transport, Turns(self.clock, interval), self.full.append)

    def test_oneWriteATurn(self) -> None:
        """
        What is written in one turn is sent as one.
        """
        sender = self.sender()
        writes: list[bytes] = []
        self.transport.write = writes.append
        for data in (b"one", b"two", b"three"):
            sender.write(data)
        self.assertEqual(writes, [])
        self.clock.advance(0)
        self.assertEqual(writes, [b"onetwothree"])

    def test_merged(self) -> None:
        """
        With an interval, what is written during it is sent as one. Data that cannot
        wait is sent at once, together with what came before.
        """
        sender = self.sender(0.05)
        sender.write(b"one")
        self.clock.advance(0.04)
        sender.write(b"two")
        self.assertEqual(self.transport.value(), b"")
        self.clock.advance(0.01)
        self.assertEqual(self.transport.value(), b"onetwo")
        sender.write(b"three")
        sender.sendNow(b"now")
        self.assertEqual(self.transport.value(), b"onetwothreenow")

    def test_muchDoesNotWait(self) -> None:
        """
        A full receiver is noticed early.
        """
        sender = self.sender(10.0)
        sender.write(bytes(MAX_JOINED))
        self.assertEqual(len(self.transport.value()), MAX_JOINED)

    def test_nothingAfterTheEnd(self) -> None:
        """
        Nothing is sent after C{close}, or after the connection was lost.
        """
        sender = self.sender()
        sender.write(b"last words")
        sender.close()
        sender.sendNow(b"x")
        self.assertEqual(self.transport.value(), b"last words")
        sender = self.sender()
        self.transport.producer.stopProducing()
        sender.sendNow(b"x")
        self.clock.advance(0)
        self.assertEqual(self.transport.value(), b"")

    def test_told(self) -> None:
        """
        The owner is told once of each change between full and empty.
        """
        sender = self.sender()
        producer = self.transport.producer
        for call in (
            producer.pauseProducing,
            producer.pauseProducing,
            producer.resumeProducing,
            producer.resumeProducing,
        ):
            call()
        self.assertEqual(self.full, [True, False])
        self.assertFalse(sender.isClogged)
        # Twisted calls the pull producers of TLS connections forever.
        self.assertTrue(self.transport.streaming)

    def test_aPlainSocket(self) -> None:
        """
        A plain socket is written to directly. What it does not take, and everything
        after that, goes to Twisted, in order, until Twisted's buffer is empty.
        """
        transport = PlainTransport(self)
        theirs = transport.theirs
        sender = Sender(transport, Turns(self.clock), self.full.append)
        self.assertFalse(transport.streaming)
        sender.sendNow(b"hello")
        self.assertEqual(theirs.recv(100), b"hello")
        self.assertEqual(transport.later, [])
        much = b"x" * (8 * 1024 * 1024)
        sender.sendNow(much)
        taken = len(much) - len(transport.later[0])
        self.assertGreater(taken, 0)
        self.assertEqual(self.full, [True])
        self.assertTrue(sender.isClogged)
        sender.sendNow(b"behind")
        self.assertEqual(transport.later[1:], [b"behind"])
        while taken:
            taken -= len(theirs.recv(1 << 20))
        sender.resumeProducing()
        sender.sendNow(b"direct again")
        self.assertEqual(theirs.recv(100), b"direct again")
        self.assertEqual(self.full, [True, False])
        self.assertLess(MAX_UNSENT, len(much))
        theirs.close()
        sender.sendNow(b"to nobody")
        self.assertEqual(len(transport.later), 2)
