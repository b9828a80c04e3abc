"""
Tests of the client's session.
"""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rtmptw.errors import LocalProtocolError
from rtmptw.frames import Frame, FrameKind, Role
from rtmptw.rtmp import amf0
from rtmptw.rtmp.adobe import nextAuthentication
from rtmptw.rtmp.amf import AMFObject, ECMAArray
from rtmptw.rtmp.clientsession import (
    CHUNK_SIZE,
    WINDOW,
    ClientSession,
)
from rtmptw.rtmp.events import (
    ConnectRequested,
    FramesReceived,
    HeaderCleared,
    PublishEnded,
    PublishRequested,
    SessionEnded,
    StreamAccepted,
    StreamRefused,
)
from rtmptw.rtmp.message import Acknowledgement, UserControl, parse
from rtmptw.rtmp.patience import SILENCE_TIMEOUT, STEP_TIMEOUT
from rtmptw.rtmp.serversession import ServerSession
from rtmptw.rtmp.states import CLIENT_TRANSITIONS, ClientState
from rtmptw.rtmp.url import RTMPTarget
from rtmptw.testing import makeFrames, videoFrame
from tests.rtmp.scripted import ScriptedServer, data, information, pseudoRandom

TARGET = RTMPTarget.fromURL("rtmp://example.com/live/cam?token=s3cret")
KEYFRAME = b"\x17\1\0\0\0key"


class SessionServer(ScriptedServer):
    """
    A server for a session, with its clock.

    @ivar session: the session.
    @ivar events: all events of the session.
    @ivar now: the time.
    """

    def __init__(self, publishes: bool, target: RTMPTarget = TARGET) -> None:
        self.now = 100.0
        self.session = ClientSession(self.now, pseudoRandom, target, publishes)
        self.events: list[Any] = []
        super().__init__(self.receive, self.session.dataToSend)

    def receive(self, data: bytes) -> list[Any]:
        events = self.session.receive(data, self.now)
        self.events += events
        return events


class PublishTests(SynchronousTestCase):
    """
    Publishing.
    """

    def setUp(self) -> None:
        self.server = SessionServer(True)

    def test_whatIsSaid(self) -> None:
        """
        The commands are sent in the order SRS needs, with the arguments that servers
        require.
        """
        server = self.server
        server.start()
        self.assertEqual(
            server.names(),
            ["connect", "releaseStream", "FCPublish", "createStream", "publish"],
        )
        connect, release, fcPublish, _create, publish = server.commands()
        properties = connect.values[0]
        assert isinstance(properties, AMFObject)
        self.assertEqual(properties.properties[0], ("app", "live"))
        self.assertEqual(properties.get("tcUrl"), "rtmp://example.com/live")
        self.assertEqual(properties.get("type"), "nonprivate")
        self.assertIn("hvc1", properties.get("fourCcList"))
        self.assertEqual(properties.get("capsEx"), 14.0)
        for command in (release, fcPublish):
            self.assertEqual(command.argument(0), "cam?token=s3cret")
        self.assertEqual(publish.values, (None, "cam?token=s3cret", "live"))
        self.assertEqual([c.transactionID for c in server.commands()], [1, 2, 3, 4, 5])
        # FFmpeg as a server requires connect first.
        self.assertEqual([kind for kind, *_ in server.heard][:2], [20, 1])
        self.assertEqual(server.heard[1][2], CHUNK_SIZE.to_bytes(4, "big"))
        self.assertEqual(
            server.events, [StreamAccepted(1, "NetStream.Publish.Start", "")]
        )
        self.assertIs(server.session.state, ClientState.MEDIA)

    def test_theStreamsNumber(self) -> None:
        """
        Everything is sent on the message stream that the server has assigned.
        """
        self.server.accept(7.0)
        self.server.status("NetStream.Publish.Start")
        self.server.session.sendFrame(videoFrame(40), 40)
        self.server.hear()
        self.assertEqual([m[1] for m in self.server.heard if m[0] == 9], [7])
        self.assertEqual(self.server.heard[-1][3], 40)

    def test_noStreamZero(self) -> None:
        """
        Message stream 0 is not valid.
        """
        self.server.accept(0.0)
        self.assertEqual(self.server.events[-1].label, "bad-stream-id")

    def test_answersThatNameNothing(self) -> None:
        """
        Some servers answer with transaction id 0; answers to releaseStream and
        FCPublish have no stream id.
        """
        server = self.server
        server.shakeHands()
        server.command(
            "_result", 0.0, None, information("NetConnection.Connect.Success")
        )
        server.command("_result", 0.0, None)
        server.command("_result", 2.0, None, 9.0)
        server.command("_error", 3.0, None, information("NetConnection.Call.Failed"))
        server.command("_result", 0.0, None, 5.0)
        self.assertEqual(server.session.streamID, 5)
        self.assertEqual(server.events, [])

    def test_metadata(self) -> None:
        """
        It is sent with @setDataFrame, always as an ECMA array; all else is sent
        unchanged, and empty frames are not sent.
        """
        server = self.server
        server.start()
        payload = data("onMetaData", AMFObject([("width", 96.0)]))
        array = data("onMetaData", ECMAArray([("width", 96.0)]))
        broken = amf0.encode("onMetaData") + b"\3\0\5wid"
        text = data("onTextData", AMFObject([("text", "hello")]))
        for body in (payload, payload[:-3], array, broken, text, b""):
            name = "onTextData" if body == text else "onMetaData" if body else ""
            server.session.sendFrame(
                Frame(FrameKind.DATA, 0, body, Role.DATA, name=name), 0
            )
        server.session.sendFrame(Frame(FrameKind.AUDIO, 0, b"", Role.UNKNOWN), 0)
        server.hear()
        verb = amf0.encode("@setDataFrame")
        self.assertEqual(
            [m[2] for m in server.heard if m[0] in (8, 9, 18)],
            [verb + array] * 3 + [verb + broken, text],
        )
        self.assertEqual(server.session.frames, 5)

    def test_tooEarly(self) -> None:
        """
        No frame can be sent before the server has accepted the stream.
        """
        self.server.accept()
        with self.assertRaises(LocalProtocolError):
            self.server.session.sendFrame(videoFrame(0), 0)

    def test_refused(self) -> None:
        """
        Detected by the level or by the code, whichever the server sets correctly.
        """
        for code, level in (
            ("NetStream.Publish.BadName", "error"),
            ("NetStream.Publish.BadName", "status"),
            ("Company.Specific", "error"),
        ):
            server = SessionServer(True)
            server.accept()
            server.status(code, level, "in use\n")
            self.assertEqual(server.events[0], StreamRefused(code, "in use%0A"))
            self.assertEqual(
                server.events[1], SessionEnded("refused", f"{code}: in use%0A")
            )
            self.assertIsNone(server.session.deadline())

    def test_secrets(self) -> None:
        """
        The reason of the end is for the log, and does not contain the stream key.
        """
        self.server.accept()
        self.server.status("NetStream.Publish.BadName", "error", "no cam?token=s3cret")
        self.assertEqual(
            self.server.events[-1].reason, "NetStream.Publish.BadName: no ***"
        )

    def test_connectRefused(self) -> None:
        """
        With C{_error}, or with a code that does not mean success.
        """
        for name in ("_error", "_result"):
            server = SessionServer(True)
            server.shakeHands()
            code = "NetConnection.Connect.Rejected"
            server.command(name, 1.0, None, information(code, "error", "go away"))
            self.assertEqual(server.events[0], StreamRefused(code, "go away"))
            self.assertEqual(server.names(), ["connect"])

    def test_createStreamRefused(self) -> None:
        """
        An C{_error} without a reason.
        """
        self.server.shakeHands()
        self.server.command("_result", 1.0, None)
        self.server.command("_error", 4.0, None)
        self.assertEqual(
            self.server.events,
            [StreamRefused("", ""), SessionEnded("refused", "no reason given")],
        )

    def test_endedByTheServer(self) -> None:
        """
        While we publish.
        """
        for end in (
            lambda server: server.status("NetStream.Unpublish.Success"),
            lambda server: server.status("NetStream.Failed", "error", "full"),
            lambda server: server.status("NetConnection.Connect.Closed"),
            lambda server: server.command("close", 0.0, None),
            lambda server: server.command("onFCUnsubscribe", 0.0, None),
        ):
            server = SessionServer(True)
            server.start()
            end(server)
            self.assertEqual(server.events[-1].label, "ended-by-server")

    def test_farewell(self) -> None:
        """
        FCUnpublish and deleteStream are sent.
        """
        self.server.start()
        (ended,) = self.server.session.close("enough")
        self.server.hear()
        self.assertEqual(ended, SessionEnded("closed", "enough"))
        unpublish, delete = self.server.commands()[-2:]
        self.assertEqual(
            (unpublish.name, unpublish.argument(0)), ("FCUnpublish", "cam?token=s3cret")
        )
        self.assertEqual((delete.name, delete.argument(0)), ("deleteStream", 1.0))
        self.assertEqual(self.server.session.close("again"), [])
        self.assertEqual(self.server.session.connectionLost("gone"), [])
        self.assertEqual(self.server.session.receive(b"more", 100.0), [])

    def test_mediaIsNotWanted(self) -> None:
        """
        Frames that a server sends to a publisher are ignored.
        """
        self.server.start()
        self.assertEqual(self.server.message(9, KEYFRAME), [])

    def test_steps(self) -> None:
        """
        Each answer has its timeout; after that a publisher waits for nothing.
        """
        steps = (
            lambda server: None,
            lambda server: server.shakeHands(),
            lambda server: server.command("_result", 1.0, None),
            lambda server: server.command("_result", 4.0, None, 1.0),
        )
        for count in range(1, len(steps) + 1):
            server = SessionServer(True)
            for step in steps[:count]:
                server.now += 5.0
                step(server)
            session = server.session
            waited = session.state
            self.assertEqual(
                session.deadline(), (100.0 if count == 1 else server.now) + STEP_TIMEOUT
            )
            deadline = session.deadline()
            assert deadline is not None
            self.assertEqual(session.checkTime(deadline - 0.1), [])
            (ended,) = session.checkTime(deadline)
            assert isinstance(ended, SessionEnded)
            self.assertEqual(ended.label, "timeout")
            self.assertIn(waited.value, ended.reason)
        self.server.start()
        self.assertIsNone(self.server.session.deadline())
        self.assertEqual(self.server.session.checkTime(1e9), [])

    def test_lost(self) -> None:
        """
        The reason says what we were waiting for: this is how nginx-rtmp rejects
        applications.
        """
        self.server.shakeHands()
        (ended,) = self.server.session.connectionLost("closed")
        self.assertEqual(
            ended,
            SessionEnded("lost", "closed while waiting for the answer to connect"),
        )


class ControlTests(SynchronousTestCase):
    """
    Control messages beside the stream.
    """

    def setUp(self) -> None:
        self.server = SessionServer(False)
        self.server.start()
        self.server.heard.clear()

    def heard(self) -> list[Any]:
        return [parse(kind, payload) for kind, _s, payload, _t in self.server.heard]

    def test_ping(self) -> None:
        """
        It is answered with its timestamp.
        """
        self.server.message(4, b"\0\6\1\2\3\4", 0)
        self.assertEqual(self.heard(), [UserControl(7, 0x01020304)])

    def test_acknowledgements(self) -> None:
        """
        At the server's window, or ours if that is smaller; 0 is ignored.
        """
        self.server.message(5, bytes(4), 0)
        self.server.message(5, (1000).to_bytes(4, "big"), 0)
        self.server.heard.clear()
        # Cut into chunks of 128 bytes.
        self.server.message(9, KEYFRAME + bytes(1000))
        (acknowledged,) = self.heard()
        self.assertEqual(
            acknowledged, Acknowledgement(self.server.session.bytesReceived)
        )
        self.server.heard.clear()
        self.server.message(5, (2**31).to_bytes(4, "big"), 0)
        self.assertEqual(WINDOW, 2_500_000)
        for _ in range(WINDOW // 500_000):
            self.server.message(9, KEYFRAME + bytes(500_000))
        self.assertEqual([type(m) for m in self.heard()], [Acknowledgement])

    def test_bandwidth(self) -> None:
        """
        Set Peer Bandwidth is answered with our window; 0 is not answered.
        """
        self.server.message(6, (5000).to_bytes(4, "big") + b"\2", 0)
        self.server.message(6, bytes(5), 0)
        self.assertEqual([m[2] for m in self.server.heard], [(5000).to_bytes(4, "big")])

    def test_onBWDone(self) -> None:
        """
        It is answered with a request.
        """
        self.server.command("onBWDone", 0.0, None)
        self.assertEqual(self.server.names(), ["_checkbw"])

    def test_whatSaysNothing(self) -> None:
        """
        Unknown commands, events and messages are ignored.
        """
        self.server.command("onFCPublish", 0.0, None)
        self.server.message(4, b"\0\x1f\0\0\0\1", 0)
        self.server.message(7, b"edge", 0)
        self.assertEqual(self.server.message(4, b"\0", 0), [])
        self.assertEqual(self.server.heard, [])

    def test_garbage(self) -> None:
        """
        Data that is not a chunk stream ends the session.
        """
        events = self.server.send(b"\xc9garbage")
        self.assertEqual([e.label for e in events], ["no-header"])

    def test_noServer(self) -> None:
        """
        Data that does not begin like a server's ends the session.
        """
        for first, word in (
            (b"HTTP/1.1 400", "HTTP"),
            (b"\x15\3", "TLS"),
            (b"x", "78"),
        ):
            server = SessionServer(True)
            (ended,) = server.send(first)
            self.assertEqual(ended.label, "unsupported-version")
            self.assertIn(word, ended.reason)


class PlayTests(SynchronousTestCase):
    """
    Playing.
    """

    def setUp(self) -> None:
        self.server = SessionServer(False)

    def frames(self) -> list[tuple[FrameKind, int, bytes]]:
        return [
            (frame.kind, frame.timestamp, frame.payload)
            for e in self.server.events
            if isinstance(e, FramesReceived)
            for frame in e.frames
        ]

    def test_whatIsSaid(self) -> None:
        """
        Play, live or recorded, and the buffer length.
        """
        self.server.start()
        self.assertEqual(self.server.names(), ["connect", "createStream", "play"])
        play = self.server.commands()[-1]
        self.assertEqual(play.values, (None, "cam?token=s3cret", -2000.0))
        kind, _stream, payload, _time = self.server.heard[-1]
        self.assertEqual((kind, payload), (4, bytes.fromhex("0003 00000001 00000bb8")))
        self.assertEqual(
            self.server.events, [StreamAccepted(1, "NetStream.Play.Start", "")]
        )

    def test_frames(self) -> None:
        """
        Frames of all kinds, also from aggregates; messages about the connection are
        omitted.
        """
        self.server.start()
        metadata = data("onMetaData", ECMAArray([("width", 96.0)]))
        self.server.message(18, data("|RtmpSampleAccess", True, True))
        self.server.message(18, data("onStatus", information("NetStream.Data.Start")))
        self.server.message(18, amf0.encode("@setDataFrame") + metadata)
        self.server.message(15, b"\0" + data("onTextData", "hello"), timestamp=5)
        self.server.message(9, KEYFRAME, timestamp=10)
        self.server.message(8, b"\xaf\1a", timestamp=11)
        part = b"\x08\0\0\3\0\0\x14\0\0\0\0\xaf\1b" + bytes(4)
        self.server.message(22, part + part[:6] + b"\x1e" + part[7:], timestamp=20)
        self.assertEqual(
            self.frames(),
            [
                (FrameKind.DATA, 0, metadata),
                (FrameKind.DATA, 5, data("onTextData", "hello")),
                (FrameKind.VIDEO, 10, KEYFRAME),
                (FrameKind.AUDIO, 11, b"\xaf\1a"),
                (FrameKind.AUDIO, 20, b"\xaf\1b"),
                (FrameKind.AUDIO, 30, b"\xaf\1b"),
            ],
        )
        self.server.message(18, data("@clearDataFrame", "onMetaData"))
        self.assertEqual(self.server.events[-1], HeaderCleared(1, "onMetaData"))

    def test_framesOfOneRead(self) -> None:
        """
        They are one event, unless something else comes between them.
        """
        self.server.accept()
        writer = self.server._writer
        cleared = data("@clearDataFrame", "onMetaData")
        accepted, first, second, third = self.server.send(
            b"".join(
                writer.write(3, kind, time, 1, payload)
                for kind, time, payload in (
                    (9, 10, KEYFRAME),
                    (8, 11, b"\xaf\1a"),
                    (18, 12, cleared),
                    (9, 13, KEYFRAME),
                )
            )
        )
        self.assertEqual(accepted, StreamAccepted(1, "", ""))
        self.assertEqual([frame.timestamp for frame in first.frames], [10, 11])
        self.assertEqual(second, HeaderCleared(1, "onMetaData"))
        self.assertEqual([frame.timestamp for frame in third.frames], [13])
        self.assertEqual((first.streamID, third.streamID), (1, 1))
        self.assertEqual(self.server.session.frames, 3)

    def test_mediaSaysYes(self) -> None:
        """
        A server that does not send a status before media.
        """
        self.server.accept()
        self.server.message(9, KEYFRAME)
        self.assertEqual(self.server.events[0], StreamAccepted(1, "", ""))
        self.assertEqual(len(self.frames()), 1)

    def test_notFound(self) -> None:
        """
        A missing stream is rejected.
        """
        self.server.accept()
        self.server.status("NetStream.Play.StreamNotFound", "error", "no cam")
        self.assertEqual(
            [type(e) for e in self.server.events], [StreamRefused, SessionEnded]
        )

    def test_ends(self) -> None:
        """
        The codes that end a stream, and nothing after them.
        """
        complete = data("onPlayStatus", information("NetStream.Play.Complete"))
        for end in (
            lambda server: server.status("NetStream.Play.Stop"),
            lambda server: server.status("NetStream.Play.UnpublishNotify"),
            lambda server: server.message(18, complete),
            # Without the end marker, which some servers omit.
            lambda server: server.message(18, complete[:-3]),
        ):
            self.server = SessionServer(False)
            self.server.start()
            self.server.message(9, KEYFRAME)
            end(self.server)
            self.assertEqual(self.server.events[-1].label, "stream-ended")
            self.assertEqual(self.server.message(9, KEYFRAME), [])

    def test_endOfFile(self) -> None:
        """
        StreamEOF alone ends nothing; followed by the end of the connection it does.
        """
        self.server.start()
        self.server.message(9, KEYFRAME)
        self.assertEqual(self.server.message(4, b"\0\1\0\0\0\1", 0), [])
        (ended,) = self.server.session.connectionLost("closed")
        assert isinstance(ended, SessionEnded)
        self.assertEqual(ended.label, "stream-ended")
        self.setUp()
        self.server.start()
        self.server.message(4, b"\0\1\0\0\0\1", 0)
        self.server.message(9, KEYFRAME)
        (ended,) = self.server.session.connectionLost("closed")
        self.assertEqual(ended, SessionEnded("lost", "closed"))

    def test_silence(self) -> None:
        """
        nginx-rtmp accepts the play and then sends nothing while nobody publishes; pings
        are not media. There is no timeout while we do not read.
        """
        self.server.start()
        session = self.server.session
        self.assertEqual(session.deadline(), 100.0 + SILENCE_TIMEOUT)
        self.server.now = 105.0
        self.server.message(4, b"\0\6\1\2\3\4", 0)
        self.assertEqual(session.deadline(), 100.0 + SILENCE_TIMEOUT)
        self.server.message(9, KEYFRAME)
        self.assertEqual(session.deadline(), 105.0 + SILENCE_TIMEOUT)
        session.readingPaused()
        self.assertIsNone(session.deadline())
        session.readingResumed(200.0)
        self.assertEqual(session.checkTime(209.0), [])
        (ended,) = session.checkTime(210.0)
        assert isinstance(ended, SessionEnded)
        self.assertEqual(ended.label, "silent")
        self.setUp()
        self.server.start()
        (ended,) = self.server.session.checkTime(110.0)
        assert isinstance(ended, SessionEnded)
        self.assertEqual(ended.label, "nobody-publishes")

    def test_farewell(self) -> None:
        """
        Only deleteStream is sent.
        """
        self.server.start()
        self.server.session.close("enough")
        self.server.hear()
        self.assertEqual(self.server.names()[-1], "deleteStream")
        self.assertNotIn("FCUnpublish", self.server.names())


class TogetherTests(SynchronousTestCase):
    """
    Our client and our server.
    """

    def converse(self, cuts: list[int]) -> tuple[list[Any], list[Any]]:
        """
        Publish two seconds, each direction cut at random.

        @return: the events of both.
        """
        client = ClientSession(0.0, pseudoRandom, TARGET, True)
        server = ServerSession(0.0, pseudoRandom)
        events: list[Any] = []
        said: list[Any] = []
        sizes = iter(cuts)

        def pieces(data: bytes) -> list[bytes]:
            found = []
            while data:
                size = next(sizes, 0) or len(data)
                found.append(data[:size])
                data = data[size:]
            return found

        def exchange() -> None:
            while True:
                toServer = client.dataToSend()
                for piece in pieces(toServer):
                    for event in server.receive(piece, 0.0):
                        said.append(event)
                        if isinstance(event, ConnectRequested | PublishRequested):
                            said.extend(server.accept(event.requestID, 0.0))
                toClient = server.dataToSend()
                for piece in pieces(toClient):
                    events.extend(client.receive(piece, 0.0))
                if not toServer and not toClient:
                    return

        exchange()
        for frame in makeFrames():
            client.sendFrame(frame, frame.timestamp)
        exchange()
        client.close("enough")
        exchange()
        return events, said

    def check(self, cuts: list[int]) -> None:
        events, said = self.converse(cuts)
        self.assertEqual([type(e) for e in events], [StreamAccepted])
        got = [
            (frame.kind, frame.timestamp, frame.payload)
            for e in said
            if isinstance(e, FramesReceived)
            for frame in e.frames
        ]
        sent = [(f.kind, f.timestamp, f.payload) for f in makeFrames()]
        self.assertEqual(got, sent)
        (request,) = [e for e in said if isinstance(e, PublishRequested)]
        self.assertEqual(
            (request.app, request.stream, request.query),
            ("live", "cam", "token=s3cret"),
        )
        self.assertEqual(sum(isinstance(e, PublishEnded) for e in said), 1)

    def test_whole(self) -> None:
        """
        Without cuts.
        """
        self.check([])

    def test_byteByByte(self) -> None:
        """
        The worst case of a network.
        """
        self.check([1] * 100_000)

    @settings(max_examples=30, deadline=None)
    @given(st.lists(st.integers(1, 3000), max_size=200))
    def test_anyCut(self, cuts: list[int]) -> None:
        """
        Any other case.
        """
        self.check(cuts)


class TransitionTests(SynchronousTestCase):
    """
    The state table.
    """

    def test_everyState(self) -> None:
        """
        Each state has a row and can be reached, and each but the last can be closed.
        """
        self.assertEqual(set(CLIENT_TRANSITIONS), set(ClientState))
        reached = {ClientState.HANDSHAKE}
        for state in ClientState:
            reached |= set(CLIENT_TRANSITIONS[state].values())
        self.assertEqual(reached, set(ClientState))


class TargetTests(SynchronousTestCase):
    """
    URLs.
    """

    def test_parts(self) -> None:
        """
        Split in the same way as FFmpeg.
        """
        for url, host, port, app, stream in (
            ("rtmp://h/live/cam", "h", 1935, "live", "cam"),
            ("RTMPS://h/live/cam?a=b/c", "h", 443, "live", "cam?a=b/c"),
            ("rtmp://h:99/a/b/c/d", "h", 99, "a/b", "c/d"),
            ("rtmp://h/vod/mp4:a/b", "h", 1935, "vod", "mp4:a/b"),
            ("rtmp://[::1]:5/a//b/", "::1", 5, "a", "b"),
            ("rtmp://[::1]/a/b", "::1", 1935, "a", "b"),
            ("rtmp://h/a/b/c", "h", 1935, "a/b", "c"),
            ("rtmp://h/vod/a/mp4:b", "h", 1935, "vod/a", "mp4:b"),
            ("rtmp://h/a/mp4:b", "h", 1935, "a", "mp4:b"),
            ("rtmp://me:p:w@h:1/live/cam?a?b", "h", 1, "live", "cam?a?b"),
            ("rtmp://a@b@h:65535/live/cam", "h", 65535, "live", "cam"),
        ):
            target = RTMPTarget.fromURL(url)
            self.assertEqual(
                (target.host, target.port, target.app, target.stream),
                (host, port, app, stream),
            )

    def test_tcUrl(self) -> None:
        """
        Without the stream, and without a default port.
        """
        for url, tcUrl in (
            ("rtmp://h/live/cam?q", "rtmp://h/live"),
            ("rtmps://h:1936/a/b/c", "rtmps://h:1936/a/b"),
            ("rtmp://[::1]:5/a/b", "rtmp://[::1]:5/a"),
            ("rtmp://h:443/a/b", "rtmp://h:443/a"),
            ("rtmps://h:443/a/b", "rtmps://h/a"),
            ("rtmp://h:1935/a/b", "rtmp://h/a"),
        ):
            self.assertEqual(RTMPTarget.fromURL(url).tcUrl, tcUrl)
            self.assertEqual(RTMPTarget.fromURL(url).shown, tcUrl)

    def test_bad(self) -> None:
        """
        The error is a sentence without anything that may be secret.
        """
        for url, words in (
            ("http://h/s3cret/s3cret", "rtmp://"),
            ("h/live/s3cret", "rtmp://"),
            ("rtmp://h/s3cret", "APP/NAME"),
            ("rtmp:///live/s3cret", "host"),
            ("rtmp://h:0/live/s3cret", "65535"),
            ("rtmp://h:65536/live/s3cret", "65535"),
            ("rtmp://h:-1/live/s3cret", "65535"),
            ("rtmp://h:x/live/s3cret", "not 'x'"),
            ("rtmp://h:\u0661/live/s3cret", "not '\u0661'"),
            ("rtmp://h:\u00b2/live/s3cret", "not '\u00b2'"),
            (f"rtmp://h:{'1234567890' * 9}/live/s3cret", "not '1234567890123456'"),
            ("rtmp://[]/live/s3cret", "host"),
        ):
            with self.assertRaises(ValueError) as caught:
                RTMPTarget.fromURL(url)
            self.assertIn(words, str(caught.exception))
            self.assertNotIn("s3cret", str(caught.exception))

    def test_placeholders(self) -> None:
        """
        They are filled in after the URL is parsed, and only once.
        """
        target = RTMPTarget.fromURL("rtmp://h/x-{app}/{name}?from={app}/{name}")
        filled = target.forStream("{name}", "a/b")
        self.assertEqual(filled.app, "x-{name}")
        self.assertEqual(filled.stream, "a/b?from={name}/a/b")

    def test_secrets(self) -> None:
        """
        The key, the query and the password are not shown.
        """
        target = RTMPTarget.fromURL("rtmp://me:pa%40ss@h/live/key-1?token=t0ken")
        self.assertEqual((target.user, target.password), ("me", "pa@ss"))
        nobody = RTMPTarget.fromURL("rtmp://h/live/cam")
        self.assertEqual((nobody.user, nobody.password), ("", ""))
        self.assertEqual(nobody.withoutSecrets("h live cam"), "h live ***")
        self.assertNotIn("key", target.shown)
        self.assertEqual(
            target.withoutSecrets("key-1?token=t0ken, key-1, token=t0ken, pa@ss\n"),
            "***, ***, ***, ***%0A",
        )


class AuthenticationTests(SynchronousTestCase):
    """
    Adobe's authentication.
    """

    def next(self, words: str, user: str = "bob") -> str | None:
        return nextAuthentication(
            words, user, "secret", lambda n: bytes.fromhex("371dc5d5ffff")[:n]
        )

    def test_whoWeAre(self) -> None:
        """
        First the user name is sent.
        """
        self.assertEqual(
            self.next(
                "[ AccessManager.Reject ] : [ code=403 need auth; authmod=adobe ] : "
            ),
            "?authmod=adobe&user=bob",
        )

    def test_response(self) -> None:
        """
        Then the response, as FFmpeg computes it for these values.
        """
        self.assertEqual(
            self.next(
                "[ AccessManager.Reject ] : [ authmod=adobe ] : ?reason=needauth"
                "&user=bob&salt=SaLt&challenge=unused&opaque=OPQ"
            ),
            "?authmod=adobe&user=bob&challenge=371dc5d5"
            "&response=AMkDAnrGoNQ9yR7xGnHkEQ==&opaque=OPQ",
        )
        withoutOpaque = self.next(
            "authmod=adobe ?reason=needauth&user=bob&salt=SaLt&challenge=OPQ"
        )
        assert withoutOpaque is not None
        self.assertTrue(withoutOpaque.endswith("response=AMkDAnrGoNQ9yR7xGnHkEQ=="))

    def test_nothingToDo(self) -> None:
        """
        Wrong names and passwords, other errors, and no user name.
        """
        self.assertIsNone(self.next("authmod=adobe ?reason=authfailed"))
        self.assertIsNone(self.next("authmod=llnw code=403 need auth"))
        self.assertIsNone(self.next("in use"))
        self.assertIsNone(self.next("code=403 need auth; authmod=adobe", ""))

    def test_whereItIsSaid(self) -> None:
        """
        With the application and in tcUrl; never in a log.
        """
        target = TARGET.authenticatedBy("?authmod=adobe&user=bob")
        server = SessionServer(True, target)
        server.shakeHands()
        (properties,) = server.commands()[0].values
        assert isinstance(properties, AMFObject)
        self.assertEqual(properties.get("app"), "live?authmod=adobe&user=bob")
        self.assertEqual(
            properties.get("tcUrl"), "rtmp://example.com/live?authmod=adobe&user=bob"
        )
        self.assertEqual(target.shown, "rtmp://example.com/live")
