"""
Tests of the server's session.
"""

from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rtmptw.errors import LocalProtocolError
from rtmptw.frames import FrameKind, Role
from rtmptw.rtmp import amf0
from rtmptw.rtmp.amf import UNDEFINED, AMFObject
from rtmptw.rtmp.events import (
    AcknowledgementDue,
    ConnectRequested,
    FramesReceived,
    HeaderCleared,
    PublishEnded,
    PublishRequested,
    SessionEnded,
)
from rtmptw.rtmp.handshake import SIZE
from rtmptw.rtmp.message import Command
from rtmptw.rtmp.serversession import (
    MAX_STRAYS,
    MAX_STREAMS,
    REQUEST_WORK,
    ServerSession,
    ServerSettings,
)
from rtmptw.rtmp.states import ServerState
from tests.rtmp.scripted import ScriptedClient, data, pseudoRandom
from tests.vectors import vectors

#: Recorded from GStreamer, librtmp and FFmpeg (with H.264, HEVC, VP9 and Opus).
CAPTURES = sorted((Path(__file__).parents[1] / "captures").glob("*.rtmp"))

KEYFRAME = b"\x17\1\0\0\0key"


class SessionTestCase(SynchronousTestCase):
    """
    A session and a client of it.
    """

    def open(self, serverSettings: ServerSettings | None = None) -> None:
        """
        A new connection at 100 s, handshake complete at 101 s.
        """
        self.session = ServerSession(100.0, pseudoRandom, serverSettings)
        self.client = ScriptedClient.ofSession(self.session, 101.0)
        self.client.shakeHands()

    def openPublishing(self, name: str = "cam") -> None:
        """
        A connection that has been publishing since 101 s.
        """
        self.open()
        self.accept(self.client.connect())
        self.client.command("createStream", 4.0, None)
        self.accept(self.client.publish(name))

    def accept(self, events: list[Any]) -> None:
        """
        Accept the request that is the last of C{events}.
        """
        self.client.events += self.session.accept(events[-1].requestID, 101.0)
        self.client.hear()


class ConnectTests(SessionTestCase):
    """
    From the handshake to connect.
    """

    def test_tellsWhatIsAskedFor(self) -> None:
        """
        The request has the application, the query and the encoder.
        """
        for app, url, wanted in (
            ("live", "rtmp://h/live", ("live", "")),
            ("live/", "rtmp://h/live/", ("live", "")),
            (
                "live?token=a/b+c=",
                "rtmp://h/live?token=a/b+c=",
                ("live", "token=a/b+c="),
            ),
            ("live", "rtmp://h/live?k=1", ("live", "k=1")),
            ("a/b/c", "rtmp://h/a/b/c", ("a/b/c", "")),
            ("live/_definst_", "rtmp://h/live/_definst_", ("live", "")),
            ("", "rtmp://h", ("", "")),
        ):
            self.open()
            (event,) = self.client.command(
                "connect",
                1.0,
                AMFObject([("app", app), ("flashVer", "x"), ("tcUrl", url)]),
            )
            assert isinstance(event, ConnectRequested)
            self.assertEqual((event.app, event.query), wanted)
            self.assertEqual(event.encoder, "x")

    def test_aQueryIsOfAllItsStreams(self) -> None:
        """
        A publish or play without a query on its name has that of the application.
        """
        self.open()
        asked: list[Any] = self.client.command(
            "connect", 1.0, AMFObject([("app", "live?k=1")])
        )
        found: list[tuple[str, str]] = []
        for number, verb, name in (
            (1, "publish", "cam?k=2"),
            (2, "publish", "more"),
            (3, "play", "cam"),
        ):
            self.session.accept(asked[-1].requestID, 101.0)
            self.client.command("createStream", 2.0, None)
            asked = self.client.command(verb, 3.0, None, name, streamID=number)
            event: Any = asked[-1]
            found.append((event.stream, event.query))
        self.assertEqual(found, [("cam", "k=2"), ("more", "k=1"), ("cam", "k=1")])

    def test_moreThanItsObject(self) -> None:
        """
        Data after the object has no effect.
        """
        self.open()
        (event,) = self.client.command(
            "connect", 1.0, AMFObject([("app", "live")]), AMFObject([("app", "other")])
        )
        assert isinstance(event, ConnectRequested)
        self.assertEqual(event.app, "live")

    def test_namesOfPropertiesDifferInCase(self) -> None:
        """
        Some encoders write tcurl.
        """
        self.open()
        (event,) = self.client.command(
            "connect", 1.0, AMFObject([("App", "live"), ("tcurl", "rtmp://h/live?q")])
        )
        assert isinstance(event, ConnectRequested)
        self.assertEqual((event.app, event.query), ("live", "q"))

    def test_theAnswer(self) -> None:
        """
        Window, bandwidth, our chunk size and StreamBegin come before the result, never
        after: OBS does not parse properly once it is streaming.
        """
        self.open(ServerSettings(chunkSize=4096, window=100_000))
        self.accept(self.client.connect())
        self.assertEqual(
            [(kind, payload.hex()) for kind, _, payload in self.client.answers[:4]],
            [
                (5, "000186a0"),
                (6, "000186a002"),
                (1, "00001000"),
                (4, "000000000000"),
            ],
        )
        self.assertEqual(len(self.client.answers), 5)
        (result,) = self.client.commands()
        self.assertEqual((result.name, result.transactionID), ("_result", 1.0))
        self.assertEqual(
            result.values[0],
            AMFObject([("fmsVer", "FMS/3,0,1,123"), ("capabilities", 31.0)]),
        )
        information = result.values[1]
        assert isinstance(information, AMFObject)
        self.assertEqual(information.get("code"), "NetConnection.Connect.Success")
        self.assertEqual(information.get("level"), "status")
        self.assertEqual(information.get("objectEncoding"), 0.0)
        self.assertIsNone(information.get("fourCcList"))

    def test_enhancedRTMP(self) -> None:
        """
        A client that supports Enhanced RTMP is told that we forward any codec.
        """
        for question in (
            {"fourCcList": ["av01"]},
            {"capsEx": 15.0},
            {"videoFourCcInfoMap": AMFObject([("*", 4.0)])},
        ):
            self.open()
            self.accept(self.client.connect(**question))
            information = self.client.commands()[0].values[1]
            assert isinstance(information, AMFObject)
            self.assertEqual(information.get("fourCcList"), ["*"])
            self.assertEqual(information.get("capsEx"), 14.0)
            for name in ("videoFourCcInfoMap", "audioFourCcInfoMap"):
                table = information.get(name)
                assert isinstance(table, AMFObject)
                self.assertEqual(table.get("*"), 4.0, "a number, not an object")

    def test_refusal(self) -> None:
        """
        A rejected client gets the code with a description, then the session ends.
        """
        self.open()
        (event,) = self.client.connect()
        assert isinstance(event, ConnectRequested)
        events = self.session.reject(
            event.requestID, "NetConnection.Connect.Rejected", "Not today.", 102.0
        )
        self.client.hear()
        (answer,) = self.client.commands()
        self.assertEqual((answer.name, answer.transactionID), ("_error", 1.0))
        information = answer.values[1]
        assert isinstance(information, AMFObject)
        self.assertEqual(
            [information.get(key) for key in ("level", "code", "description")],
            ["error", "NetConnection.Connect.Rejected", "Not today."],
        )
        (end,) = events
        assert isinstance(end, SessionEnded)
        self.assertEqual(end.label, "rejected")
        self.assertEqual(self.session.receive(b"more", 103.0), [])

    def test_closedBeforeTheHandshake(self) -> None:
        """
        Data that arrives after that is not answered.
        """
        session = ServerSession(100.0, pseudoRandom)
        self.assertEqual(len(session.close("enough", 100.0)), 1)
        self.assertEqual(session.receive(b"\3" + bytes(SIZE), 100.0), [])
        self.assertEqual(session.dataToSend(), b"")

    def test_whatIsNoConnect(self) -> None:
        """
        Any other first command ends the session.
        """
        for name in ("createStream", "publish", "play"):
            self.open()
            (end,) = self.client.command(name, 1.0, None, "x", streamID=1)
            assert isinstance(end, SessionEnded)
            self.assertEqual(end.label, "out-of-order")
        self.open()
        (end,) = self.client.command("connect", 1.0, None)
        assert isinstance(end, SessionEnded)
        self.assertEqual(end.label, "bad-command")

    def test_theNameOfAnApplicationIsBounded(self) -> None:
        """
        An application's name has at most 2,048 characters.
        """
        self.open()
        self.assertIsInstance(self.client.connect("a" * 2048)[0], ConnectRequested)
        self.open()
        (event,) = self.client.command(
            "connect", 1.0, AMFObject([("app", "live"), ("flashVer", "v" * 201)])
        )
        assert isinstance(event, ConnectRequested)
        self.assertEqual(event.encoder, "v" * 200)
        self.open()
        (end,) = self.client.connect("a" * 2049)
        assert isinstance(end, SessionEnded)
        self.assertEqual(self.client.commands()[0].name, "_error")

    def test_notRTMP(self) -> None:
        """
        A web browser is recognized by its first byte.
        """
        session = ServerSession(100.0, pseudoRandom)
        (end,) = session.receive(b"G", 100.0)
        assert isinstance(end, SessionEnded)
        self.assertEqual(end.label, "unsupported-version")
        self.assertIn("HTTP", end.reason)
        self.assertEqual(session.dataToSend(), b"")


class PublishTests(SessionTestCase):
    """
    The commands of encoders.
    """

    def test_likeFFmpeg(self) -> None:
        """
        releaseStream, FCPublish and createStream together, then publish.
        """
        self.open()
        self.accept(self.client.connect())
        self.client.answers.clear()
        self.client.command("releaseStream", 2.0, None, "cam")
        self.client.command("FCPublish", 3.0, None, "cam")
        self.client.command("createStream", 4.0, None)
        self.assertEqual(
            [(c.name, c.transactionID, c.values) for c in self.client.commands()],
            [
                ("_result", 2.0, (None, UNDEFINED)),
                ("_result", 3.0, (None, UNDEFINED)),
                ("_result", 4.0, (None, 1.0)),
            ],
        )
        (event,) = self.client.publish("cam?token=a/b")
        self.assertEqual(
            event, PublishRequested(2, 1, "live", "cam", "token=a/b", "test/1.0")
        )
        self.accept([event])
        self.assertEqual(
            self.client.status()[:3], (1, "status", "NetStream.Publish.Start")
        )
        self.assertTrue(self.client.status()[3])

    def test_likeGStreamer(self) -> None:
        """
        Transaction id 0 expects no answers; deleteStream has the stream's name.
        """
        self.open()
        self.accept(self.client.connect())
        self.client.answers.clear()
        self.client.command("releaseStream", 0.0, None, "cam")
        self.client.command("FCPublish", 0.0, None, "cam")
        self.assertEqual(self.client.answers, [])
        self.client.command("createStream", 2.0, None)
        self.accept(
            self.client.command("publish", 0.0, None, "cam", "live", streamID=1)
        )
        self.client.send(self.client.message(9, KEYFRAME))
        events = self.client.command("deleteStream", 0.0, None, "cam", streamID=1)
        self.assertEqual(events, [PublishEnded(1, "stream deleted")])

    def test_likeOBS(self) -> None:
        """
        Everything after connect in one segment, including media: nothing is lost while
        the publish is being decided.
        """
        self.open()
        (event,) = self.client.connect()
        pipelined = b""
        for name, number, values, stream in (
            ("releaseStream", 2.0, ("cam",), 0),
            ("FCPublish", 3.0, ("cam",), 0),
            ("createStream", 4.0, (), 0),
            ("publish", 5.0, ("cam", "live"), 1),
        ):
            from rtmptw.rtmp.message import Command

            kind, payload = Command(name, number, (None, *values)).encode()
            pipelined += self.client.message(kind, payload, stream)
        pipelined += self.client.message(9, KEYFRAME, 1, 7)
        self.assertEqual(self.client.send(pipelined), [])
        assert isinstance(event, ConnectRequested)
        (request,) = self.session.accept(event.requestID, 101.0)
        assert isinstance(request, PublishRequested)
        (event,) = self.session.accept(request.requestID, 101.0)
        assert isinstance(event, FramesReceived)
        (frame,) = event.frames
        self.assertEqual((frame.payload, frame.timestamp), (KEYFRAME, 7))

    def test_frames(self) -> None:
        """
        Audio, video and data are delivered as frames, in order, with what their headers
        say.
        """
        self.openPublishing()
        client = self.client
        metadata = data("onMetaData", AMFObject([("width", 640.0)]))
        (event,) = client.send(
            client.message(18, data("@setDataFrame") + metadata)
            + client.message(9, b"\x17\0\0\0\0avcC")
            + client.message(8, b"\xaf\1sound", timestamp=10)
            + client.message(9, KEYFRAME, timestamp=20)
        )
        assert isinstance(event, FramesReceived)
        frames = event.frames
        self.assertEqual(
            [(f.kind, f.role, f.timestamp, f.payload, f.isKey) for f in frames],
            [
                (FrameKind.DATA, Role.DATA, 0, metadata, False),
                (FrameKind.VIDEO, Role.CONFIG, 0, b"\x17\0\0\0\0avcC", False),
                (FrameKind.AUDIO, Role.CODED, 10, b"\xaf\1sound", False),
                (FrameKind.VIDEO, Role.CODED, 20, KEYFRAME, True),
            ],
        )
        self.assertEqual(frames[0].name, "onMetaData")

    def test_framesOfOneRead(self) -> None:
        """
        They are one event, unless another event or stream comes between them.
        """
        self.openPublishing("one")
        self.client.command("createStream", 6.0, None)
        self.accept(self.client.publish("two", streamID=2))
        said = self.client.send(
            b"".join(
                self.client.message(kind, payload, stream, time)
                for kind, payload, stream, time in (
                    (9, KEYFRAME, 1, 10),
                    (8, b"\xaf\1a", 1, 11),
                    (9, KEYFRAME, 2, 12),
                    (9, KEYFRAME, 1, 13),
                    (18, data("@clearDataFrame", "onMetaData"), 1, 14),
                    (9, KEYFRAME, 1, 15),
                    (9, KEYFRAME, 1, 16),
                )
            )
        )
        self.assertEqual(said[3], HeaderCleared(1, "onMetaData"))
        self.assertEqual(
            [
                (event.streamID, [frame.timestamp for frame in event.frames])
                for event in said
                if isinstance(event, FramesReceived)
            ],
            [(1, [10, 11]), (2, [12]), (1, [13]), (1, [15, 16])],
        )

    def test_dataInAMF3AndOnStreamZero(self) -> None:
        """
        Type 15 has a format selector before its AMF0; stream 0 means the only published
        stream.
        """
        self.openPublishing()
        text = data("onTextData", AMFObject([("text", "hi")]))
        for message in (
            self.client.message(15, b"\0" + text),
            self.client.message(15, text),
            self.client.message(18, text, streamID=0),
        ):
            (event,) = self.client.send(message)
            assert isinstance(event, FramesReceived)
            (frame,) = event.frames
            self.assertEqual(frame.payload, text)
            self.assertEqual(frame.name, "onTextData")
        # An AMF0 number begins like a format selector.
        number = data(5.0)  # type: ignore[arg-type]
        (event,) = self.client.send(self.client.message(18, number))
        assert isinstance(event, FramesReceived)
        self.assertEqual(event.frames[0].payload, number)

    def test_anEventIsNoMetadata(self) -> None:
        """
        onMetaData without a verb is the metadata if none was set with @setDataFrame,
        and otherwise an event.
        """
        self.openPublishing()
        metadata = data("onMetaData", AMFObject([("width", 640.0)]))
        keep = data("@setDataFrame") + metadata
        clear = data("@clearDataFrame", "onMetaData")
        found = []
        for body in (metadata, keep, metadata, keep, clear, metadata):
            (event,) = self.client.send(self.client.message(18, body))
            if isinstance(event, FramesReceived):
                (frame,) = event.frames
                self.assertEqual((frame.payload, frame.role), (metadata, Role.DATA))
                found.append(frame.isHeader)
        self.assertEqual(found, [True, True, False, True, True])
        # Another stream, which starts over.
        self.client.send(self.client.message(18, keep))
        self.client.command("FCUnpublish", 6.0, None, "cam")
        self.accept(self.client.publish())
        (event,) = self.client.send(self.client.message(18, metadata, 0))
        assert isinstance(event, FramesReceived)
        self.assertTrue(event.frames[0].isHeader)

    def test_numbersBeforeTheVerb(self) -> None:
        """
        Some encoders send two: the metadata is set anyway.
        """
        self.openPublishing()
        metadata = data("onMetaData", AMFObject([("width", 640.0)]))
        body = amf0.encode(0.0, 1.0, "@setDataFrame") + metadata
        (event,) = self.client.send(self.client.message(18, body))
        assert isinstance(event, FramesReceived)
        (frame,) = event.frames
        self.assertEqual((frame.payload, frame.isHeader), (metadata, True))

    def test_asFMLEDoes(self) -> None:
        """
        A client that sends FCPublish gets onFCPublish and onFCUnpublish, on the message
        stream and before the status; other clients do not.
        """
        for says in (True, False):
            self.open()
            self.accept(self.client.connect())
            if says:
                self.client.command("FCPublish", 3.0, None, "cam")
            self.client.command("createStream", 4.0, None)
            self.accept(self.client.publish())
            self.client.command("FCUnpublish", 6.0, None, "cam")
            told = []
            for command in self.client.commands():
                if command.name.startswith("on"):
                    information = command.values[1]
                    assert isinstance(information, AMFObject)
                    told.append((command.name, information.get("code")))
            wanted = [
                ("onFCPublish", "NetStream.Publish.Start"),
                ("onStatus", "NetStream.Publish.Start"),
                ("onFCUnpublish", "NetStream.Unpublish.Success"),
                ("onStatus", "NetStream.Unpublish.Success"),
            ]
            self.assertEqual(told, wanted if says else wanted[1::2])
            self.assertEqual(
                {
                    stream
                    for kind, stream, body in self.client.answers
                    if b"onFC" in body
                },
                {1} if says else set(),
            )

    def test_clearDataFrame(self) -> None:
        """
        The publisher can withdraw its metadata.
        """
        self.openPublishing()
        (event,) = self.client.send(
            self.client.message(18, data("@clearDataFrame", "onMetaData"))
        )
        self.assertEqual(event, HeaderCleared(1, "onMetaData"))

    def test_aggregates(self) -> None:
        """
        An aggregate is split, but not an aggregate within it, which is ignored.
        """
        self.openPublishing()
        part = b"\x08\0\0\2\0\0\5\0\0\0\0\xaf\1\0\0\0\x0d"
        video = b"\x09\0\0\x08\0\0\x19\0\0\0\0" + KEYFRAME + b"\0\0\0\x13"
        nested = b"\x16\0\0\1\0\0\x19\0\0\0\0x\0\0\0\x0c"
        (event,) = self.client.send(
            self.client.message(22, part + video + nested, timestamp=1000)
        )
        assert isinstance(event, FramesReceived)
        self.assertEqual(
            [(frame.kind, frame.timestamp) for frame in event.frames],
            [(FrameKind.AUDIO, 1000), (FrameKind.VIDEO, 1020)],
        )

    def test_hostileAggregates(self) -> None:
        """
        The aggregates among the hostile samples.
        """
        from rtmptw.errors import RemoteProtocolError
        from rtmptw.rtmp.message import expandAggregate

        for vector in vectors("hostile"):
            if vector.get("decoder") != "aggregate":
                continue
            payload = bytes.fromhex(vector["input_hex"])
            if vector["expect"]["error"]:
                with self.assertRaises(RemoteProtocolError) as caught:
                    list(expandAggregate(0, payload))
                self.assertEqual(caught.exception.label, vector["expect"]["error"])
            else:
                self.assertEqual(
                    [kind for kind, _, _ in expandAggregate(0, payload)],
                    vector["expect"]["sub_types"],
                )

    def test_aggregateVectors(self) -> None:
        """
        The aggregates among the samples.
        """
        from rtmptw.rtmp.message import expandAggregate

        count = 0
        for vector in vectors("chunk-read"):
            if "sub_messages" not in vector:
                continue
            (message,) = vector["expect"]["messages"]
            parts = expandAggregate(
                message["timestamp"], bytes.fromhex(message["payload_hex"])
            )
            self.assertEqual(
                [(kind, time, payload.hex()) for kind, time, payload in parts],
                [(kind, time, text) for kind, time, _, text in vector["sub_messages"]],
            )
            count += 1
        self.assertEqual(count, 2)

    def test_whoHasSaidSo(self) -> None:
        """
        isStop is true for a publisher that stops; not for one that is lost, or breaks
        the protocol.
        """
        stops = ("closeStream", "deleteStream", "FCUnpublish")
        for name in stops:
            self.openPublishing()
            given = {"deleteStream": (1.0,), "FCUnpublish": ("cam",)}.get(name, ())
            events = self.client.command(name, 0.0, None, *given, streamID=1)
            self.assertEqual(
                [e.isStop for e in events if isinstance(e, PublishEnded)], [True], name
            )
        self.openPublishing()
        ended = self.session.close("enough", 101.0)
        self.assertEqual(
            [e.isStop for e in ended if isinstance(e, PublishEnded)], [False]
        )

    def test_tooManyStrays(self) -> None:
        """
        They end the session, unless something is published: they may be meant for that.
        """
        self.assertEqual((MAX_STRAYS, REQUEST_WORK), (4096, 100))
        for isPublished in (False, True):
            self.open()
            self.accept(self.client.connect())
            if isPublished:
                for number in (1, 2):
                    self.client.command("createStream", 4.0, None)
                    self.accept(self.client.publish(f"cam{number}", number))
            frame = self.client.message(8, b"\xaf\1a", 7)
            events: list[Any] = []
            for _ in range(MAX_STRAYS):
                events += self.session.receive(frame, 102.0)
            self.assertEqual(self.session.strayMessages, MAX_STRAYS)
            self.assertEqual(events, [])
            events = self.session.receive(frame, 102.0)
            if isPublished:
                self.assertEqual(events, [])
                continue
            (ended,) = events
            assert isinstance(ended, SessionEnded)
            self.assertEqual(ended.label, "too-many-strays")
            self.assertEqual(
                ended.reason,
                "4097 audio, video or data messages, but no stream is published",
            )

    def test_straysAreCounted(self) -> None:
        """
        Media before a publish is not delivered.
        """
        self.open()
        self.accept(self.client.connect())
        self.client.command("createStream", 4.0, None)
        self.assertEqual(self.client.send(self.client.message(9, KEYFRAME)), [])
        self.assertEqual(self.client.send(self.client.message(18, data("x"))), [])
        self.assertEqual(self.session.strayMessages, 2)
        cleared = data("@clearDataFrame", "onMetaData")
        self.assertEqual(self.client.send(self.client.message(18, cleared)), [])
        self.assertEqual(self.session.strayMessages, 3)
        self.accept(self.client.publish())
        (event,) = self.client.send(self.client.message(9, KEYFRAME, 9))
        assert isinstance(event, FramesReceived)
        self.assertEqual((event.streamID, len(event.frames)), (1, 1))
        self.assertEqual(self.session.strayMessages, 3)

    def test_republish(self) -> None:
        """
        After FCUnpublish, closeStream or deleteStream the same connection can publish
        again; gortmplib requires stream id 1 each time.
        """
        self.openPublishing()
        for name, values, stream, reason in (
            ("FCUnpublish", ("cam",), 0, "unpublished"),
            ("closeStream", (), 1, "stream closed"),
            ("deleteStream", (1.0,), 0, "stream deleted"),
        ):
            events = self.client.command(name, 6.0, None, *values, streamID=stream)
            self.assertEqual(events, [PublishEnded(1, reason)])
            if name == "deleteStream":
                self.client.command("createStream", 7.0, None)
                self.assertEqual(self.client.commands()[-1].values, (None, 1.0))
            (event,) = self.client.publish()
            self.accept([event])
            (event,) = self.client.send(self.client.message(9, KEYFRAME))
            self.assertIsInstance(event, FramesReceived)

    def test_endsAreNotRepeated(self) -> None:
        """
        FFmpeg sends FCUnpublish and deleteStream: one end.
        """
        self.openPublishing()
        self.client.command("FCUnpublish", 6.0, None, "cam")
        self.assertEqual(self.client.command("deleteStream", 7.0, None, 1.0), [])
        for odd in (float("nan"), float("inf"), -5.0, "nobody", None):
            self.assertEqual(self.client.command("deleteStream", 8.0, None, odd), [])

    def test_deleteStreamByNumber(self) -> None:
        """
        An id that no stream has ends none; without an id it is the stream that the
        command is on, or the first.
        """
        for odd in (float("nan"), float("inf"), -5.0, 0.0, 1.5, 3.0, 2.0**32, 1e300):
            self.openPublishing()
            self.client.command("createStream", 6.0, None)
            self.assertEqual(self.client.command("deleteStream", 0.0, None, odd), [])
            self.assertEqual(
                self.client.command("deleteStream", 0.0, None, odd, streamID=1), []
            )
            self.assertEqual(
                self.client.command("deleteStream", 0.0, None, "cam", streamID=2), []
            )
            self.assertEqual(
                self.client.command("deleteStream", 0.0, None, "cam"),
                [PublishEnded(1, "stream deleted")],
            )

    def test_refusal(self) -> None:
        """
        A rejected publish gets a status on its stream, at level error, with a
        description; then the session ends.
        """
        self.open()
        self.accept(self.client.connect())
        self.client.command("createStream", 4.0, None)
        (event,) = self.client.publish()
        assert isinstance(event, PublishRequested)
        (end,) = self.session.reject(
            event.requestID, "NetStream.Publish.BadName", "Taken.", 101.0
        )
        self.client.hear()
        self.assertEqual(
            self.client.status(), (1, "error", "NetStream.Publish.BadName", "Taken.")
        )
        assert isinstance(end, SessionEnded)
        self.assertEqual(end.label, "rejected")

    def test_namesThatAreNone(self) -> None:
        """
        An empty name and a name that is too long are bad names.
        """
        for app, name, isGood in (
            ("", "", False),
            ("live", "n" * 2049, False),
            ("live", "n" * 2048, True),
            ("live", "", True),
            ("", "cam", True),
        ):
            self.open()
            self.accept(self.client.connect(app))
            self.client.command("createStream", 4.0, None)
            (event,) = self.client.publish(name)
            if isGood:
                assert isinstance(event, PublishRequested)
                self.assertEqual((event.app, event.stream), (app, name))
            else:
                assert isinstance(event, SessionEnded)
                self.assertEqual(self.client.status()[2], "NetStream.Publish.BadName")

    def test_theNameIsNoText(self) -> None:
        """
        A missing name is empty; a number becomes its digits; anything else ends the
        session, with a description for the encoder's user where possible.
        """
        for values, name in (((5.0,), "5"), ((12345.0,), "12345"), ((), "")):
            self.open()
            self.accept(self.client.connect())
            self.client.command("createStream", 4.0, None)
            (event,) = self.client.command("publish", 5.0, None, *values, streamID=1)
            assert isinstance(event, PublishRequested)
            self.assertEqual(event.stream, name)
        for value in (True, 1.5, float("nan"), float("inf"), AMFObject([])):
            self.open()
            self.accept(self.client.connect())
            self.client.command("createStream", 4.0, None)
            (end,) = self.client.command("publish", 5.0, None, value, streamID=1)
            assert isinstance(end, SessionEnded)
            self.assertEqual(end.label, "bad-command")

    def test_withoutTheNull(self) -> None:
        """
        A publish without it gives the same name.
        """
        self.open()
        self.accept(self.client.connect())
        self.client.command("createStream", 4.0, None)
        (event,) = self.client.command("publish", 5.0, "cam", "live", streamID=1)
        assert isinstance(event, PublishRequested)
        self.assertEqual(event.stream, "cam")

    def test_namesAreMadePrintable(self) -> None:
        """
        Characters that could break a log line or a file name are escaped; the others
        are kept.
        """
        for name, wanted in (
            ("cam\n2", "cam%0A2"),
            ("/cam/", "cam"),
            ("\udcff\udcfe", "%FF%FE"),
            ("caf\u00e9", "caf\u00e9"),
            ("a b", "a b"),
        ):
            self.open()
            self.accept(self.client.connect())
            self.client.command("createStream", 4.0, None)
            (event,) = self.client.publish(name)
            assert isinstance(event, PublishRequested)
            self.assertEqual(event.stream, wanted)

    def test_publishOnNoStream(self) -> None:
        """
        Publishing on a message stream that was not created with createStream creates
        it, also on id 0: the answer, the frames and the end have that id.
        """
        for number in (0, 1, 9, 2**32 - 1):
            self.open()
            self.accept(self.client.connect())
            (event,) = events = self.client.publish(streamID=number)
            assert isinstance(event, PublishRequested)
            self.assertEqual(event.streamID, number)
            self.accept(events)
            self.assertEqual(self.client.answers[-1][1], number)
            self.assertEqual(self.client.status()[2], "NetStream.Publish.Start")
            message = self.client.message(9, KEYFRAME, number)
            (event,) = self.client.send(message)
            assert isinstance(event, FramesReceived)
            self.assertEqual((event.streamID, len(event.frames)), (number, 1))
            cleared = data("@clearDataFrame", "onMetaData")
            self.assertEqual(
                self.client.send(self.client.message(18, cleared, number)),
                [HeaderCleared(number, "onMetaData")],
            )
            self.assertEqual(
                self.client.command("FCUnpublish", 7.0, None, "cam"),
                [PublishEnded(number, "unpublished")],
            )
            self.assertEqual(self.session.strayMessages, 0)

    def test_twoStreamsOnOneConnection(self) -> None:
        """
        Frames of two publishes are kept apart; FCUnpublish ends the one it names.
        """
        self.openPublishing("one")
        self.client.command("createStream", 6.0, None)
        self.accept(self.client.publish("two", streamID=2))
        for number in (1, 2):
            (event,) = self.client.send(self.client.message(9, KEYFRAME, number))
            assert isinstance(event, FramesReceived)
            self.assertEqual(event.streamID, number)
        self.assertEqual(self.client.send(self.client.message(9, KEYFRAME, 3)), [])
        for name in ("three", 2.0):
            self.assertEqual(self.client.command("FCUnpublish", 7.0, None, name), [])
        self.assertEqual(
            self.client.command("FCUnpublish", 7.0, None, "two"),
            [PublishEnded(2, "unpublished")],
        )
        # If there is only one, its name does not matter.
        self.assertEqual(
            self.client.command("FCUnpublish", 7.0, None, "three"),
            [PublishEnded(1, "unpublished")],
        )

    def test_twoOfOneName(self) -> None:
        """
        Publishing again has no effect, on the same message stream or another: it is
        answered, and frames on either belong to the same stream.
        """
        self.openPublishing()
        self.client.command("createStream", 6.0, None)
        for number in (1, 2, 0, 7):
            self.client.answers.clear()
            self.assertEqual(self.client.publish("cam?again", streamID=number), [])
            self.assertEqual(self.client.answers[-1][1], number)
            self.assertEqual(self.client.status()[2], "NetStream.Publish.Start")
            (event,) = self.client.send(self.client.message(9, KEYFRAME, number))
            assert isinstance(event, FramesReceived)
            self.assertEqual((event.streamID, len(event.frames)), (1, 1))
        self.assertEqual(self.client.command("closeStream", 7.0, None, streamID=2), [])
        self.assertEqual(
            self.client.command("FCUnpublish", 7.0, None, "cam"),
            [PublishEnded(1, "unpublished")],
        )
        self.assertEqual(self.client.command("FCUnpublish", 7.0, None, "cam"), [])
        self.assertEqual(self.session.ignoredCommands, 0)

    def test_tooManyStreams(self) -> None:
        """
        There are at most sixteen message streams: the next one replaces the oldest idle
        one.
        """
        self.open()
        self.accept(self.client.connect())
        self.assertEqual(MAX_STREAMS, 16)
        for number in range(MAX_STREAMS):
            self.client.command("createStream", 4.0, None)
            self.assertEqual(self.client.commands()[-1].values[1], number + 1.0)
        self.accept(self.client.publish("one", streamID=1))
        for wanted in (2.0, 3.0):
            self.assertEqual(self.client.command("createStream", 4.0, None), [])
            self.assertEqual(self.client.commands()[-1].values[1], wanted)
        self.accept(self.client.publish("seventeen", streamID=17))
        self.assertNotIn(4, self.session._streams)
        self.assertEqual(len(self.session._streams), MAX_STREAMS)

    def test_allStreamsInUse(self) -> None:
        """
        One more is rejected, and nothing ends.
        """
        self.open()
        self.accept(self.client.connect())
        for number in range(MAX_STREAMS):
            self.accept(self.client.publish(f"cam{number}", streamID=number))
        self.client.answers.clear()
        self.assertEqual(self.client.command("createStream", 4.0, None), [])
        (refusal,) = self.client.commands()
        self.assertEqual((refusal.name, refusal.transactionID), ("_error", 4.0))
        self.assertEqual(self.client.publish("more", streamID=99), [])
        self.assertEqual(self.session.ignoredCommands, 2)
        (event,) = self.client.send(self.client.message(9, KEYFRAME, 15))
        assert isinstance(event, FramesReceived)
        self.assertEqual(event.streamID, 15)

    def test_anAnswerToNothing(self) -> None:
        """
        Answering a request that does not exist is an error of the caller.
        """
        self.openPublishing()
        with self.assertRaises(LocalProtocolError):
            self.session.accept(77, 101.0)
        with self.assertRaises(LocalProtocolError):
            self.session.reject(77, "x", "y", 101.0)


class FlowingTests(SessionTestCase):
    """
    While media flows only a stop ends the session.
    """

    def assertFlows(self) -> None:
        """
        Frames are delivered.
        """
        (event,) = self.client.send(self.client.message(9, KEYFRAME))
        assert isinstance(event, FramesReceived)
        self.assertEqual((event.streamID, len(event.frames)), (1, 1))
        self.assertEqual(self.session.state, ServerState.COMMANDS)

    def test_commandsNobodyUnderstands(self) -> None:
        """
        They are counted.
        """
        self.openPublishing()
        bodies = (
            amf0.encode(5.0, "x"),
            amf0.encode(AMFObject([])),
            bytes(40),
            b"",
            b"\xff",
            data("publish", 1.0, None, "cam")[:-1],
            data("publish", 1.0, None, AMFObject([])),
            data("play", 1.0, None, "cam"),
            data("connect", 1.0, None),
        )
        for count, body in enumerate(bodies, 1):
            self.assertEqual(self.client.send(self.client.message(20, body)), [])
            self.assertEqual(self.session.ignoredCommands, count)
        self.assertEqual(self.client.send(self.client.message(17, b"\0")), [])
        self.assertFlows()

    def test_aByteTooMany(self) -> None:
        """
        It has no effect: a stop with an extra byte is a stop.
        """
        self.openPublishing()
        body = data("closeStream", 0.0, None) + b"\0"
        self.assertEqual(
            self.client.send(self.client.message(20, body)),
            [PublishEnded(1, "stream closed")],
        )

    def test_connectOnceMore(self) -> None:
        """
        It is accepted again for the same application, and rejected for another. While
        no media flows a new decision is requested.
        """
        self.openPublishing()
        self.client.answers.clear()
        self.assertEqual(self.client.connect(), [])
        self.assertEqual(self.client.connect("other"), [])
        self.assertEqual(
            [(c.name, c.transactionID) for c in self.client.commands()],
            [("_result", 1.0), ("_error", 1.0)],
        )
        self.assertFlows()
        self.open()
        self.accept(self.client.connect())
        (event,) = events = self.client.connect("other")
        assert isinstance(event, ConnectRequested)
        self.assertEqual(event.app, "other")
        self.accept(events)
        self.client.command("createStream", 4.0, None)
        (event,) = self.client.publish()
        assert isinstance(event, PublishRequested)
        self.assertEqual(event.app, "other")

    def test_aRefusal(self) -> None:
        """
        Rejecting another stream on the connection does not end the one that flows,
        whoever rejects it and why; the client's data after it is handled.
        """
        self.openPublishing()
        (event,) = self.client.publish("taken", streamID=2)
        assert isinstance(event, PublishRequested)
        self.assertEqual(self.client.send(self.client.message(9, KEYFRAME)), [])
        self.client.answers.clear()
        code = "NetStream.Publish.BadName"
        self.assertEqual(self.session.reject(event.requestID, code, "no", 101.0), [])
        self.assertTrue(self.session.goesOn)
        (event,) = self.session.goOn(101.0)
        assert isinstance(event, FramesReceived)
        self.client.hear()
        self.assertEqual(self.client.status()[2], code)
        self.assertEqual(self.client.answers[-1][1], 2)
        self.assertFlows()
        for command in ("publish", "play"):
            name = "n" * 2049
            self.assertEqual(
                self.client.command(command, 5.0, None, name, streamID=3), []
            )
        self.assertFlows()
        (event,) = self.client.publish("late", streamID=2)
        self.assertEqual(self.session.checkTime(200.0), [])
        self.assertTrue(self.session.goesOn)
        self.assertEqual(self.session.goOn(200.0), [])
        self.assertFlows()

    def test_anotherNameOnTheSameStream(self) -> None:
        """
        It is out of order, and the first stream continues.
        """
        self.openPublishing()
        self.assertEqual(self.client.publish("other"), [])
        self.assertEqual(self.session.ignoredCommands, 1)
        self.assertFlows()

    def test_whatAPlayerSays(self) -> None:
        """
        Invalid commands do not end what it plays, as with publishers.
        """
        self.open()
        self.accept(self.client.connect())
        self.client.command("createStream", 4.0, None)
        self.accept(self.client.command("play", 5.0, None, "cam", streamID=1))
        self.assertEqual(self.client.send(self.client.message(20, b"\xff")), [])
        self.assertEqual(self.client.publish(), [])
        self.assertEqual(self.session.ignoredCommands, 2)
        self.assertEqual(self.session.state, ServerState.COMMANDS)


class OtherCommandTests(SessionTestCase):
    """
    Other commands of clients.
    """

    def test_commandsThatNeedLittle(self) -> None:
        """
        _checkbw, getStreamLength and FCSubscribe get a result, and the last also a
        notice; an unknown command gets an error; none ends the session.
        """
        self.open()
        self.accept(self.client.connect())
        self.client.answers.clear()
        self.client.command("_checkbw", 2.0, None)
        self.client.command("getStreamLength", 3.0, None, "cam")
        self.client.command("FCSubscribe", 4.0, None, "cam")
        self.client.command("flyToTheMoon", 5.0, None)
        self.client.command("flyToTheMoon", 0.0, None)
        for name in ("_result", "_error", "onStatus", "close"):
            self.client.command(name, 6.0, None)
        found = self.client.commands()
        self.assertEqual(
            [(c.name, c.transactionID) for c in found],
            [
                ("_result", 2.0),
                ("_result", 3.0),
                ("_result", 4.0),
                ("onFCSubscribe", 0.0),
                ("_error", 5.0),
            ],
        )
        subscribed = found.pop(3).values[1]
        assert isinstance(subscribed, AMFObject)
        self.assertEqual(subscribed.get("code"), "NetStream.Play.Start")
        self.assertEqual(found[1].values, (None, 0.0))
        information = found[3].values[1]
        assert isinstance(information, AMFObject)
        self.assertEqual(information.get("code"), "NetConnection.Call.Failed")
        self.assertEqual(self.session.state, ServerState.COMMANDS)

    def test_commandsInAMF3(self) -> None:
        """
        Type 17 is AMF0 after a format selector, which some clients omit.
        """
        self.open()
        self.accept(self.client.connect())
        payload = data("createStream", 4.0, None)
        for body in (b"\0" + payload, payload):
            self.client.send(self.client.message(17, body, 0))
        self.assertEqual([c.values[1] for c in self.client.commands()[1:]], [1.0, 2.0])

    def test_whatIsNoCommand(self) -> None:
        """
        A command that has no name, or is truncated, ends the session with the reason.
        """
        for body, label in (
            (data("x")[:2], "amf-truncated"),
            (b"\0" + bytes(8), "bad-command"),
            (b"", "bad-command"),
        ):
            self.open()
            (end,) = self.client.send(self.client.message(20, body, 0))
            assert isinstance(end, SessionEnded)
            self.assertEqual(end.label, label)

    def test_pings(self) -> None:
        """
        A ping is answered with the same four bytes.
        """
        self.openPublishing()
        self.client.answers.clear()
        self.client.send(self.client.message(4, b"\0\6\1\2\3\4", 0))
        self.assertEqual(self.client.answers, [(4, 0, b"\0\7\1\2\3\4")])

    def test_oddControlMessages(self) -> None:
        """
        Short and unknown control messages, and undefined types, are ignored.
        """
        self.openPublishing()
        self.client.answers.clear()
        for kind, body in (
            (4, b"\0\x1a\1"),
            (4, b"\0\x1f\0\0\0\1"),
            (5, b"\0"),
            (5, bytes(4)),
            (6, b"\0\0"),
            (3, b""),
            (7, b"edge"),
            (99, b"?"),
            (16, b"shared"),
        ):
            self.assertEqual(self.client.send(self.client.message(kind, body, 0)), [])
        self.assertEqual(self.client.answers, [])

    def test_nonsenseBehindARequest(self) -> None:
        """
        Data sent after a request is handled when the request is accepted: an error in
        it ends the session then, and so does a command out of order.
        """
        for ahead, label in (
            (b"\xff", "no-header"),
            (b"", "bad-command"),
        ):
            self.open()
            (event,) = self.client.connect()
            ahead = ahead or self.client.message(20, data("connect", 1.0), 0)
            self.assertEqual(self.client.send(ahead), [])
            assert isinstance(event, ConnectRequested)
            (end,) = self.session.accept(event.requestID, 101.0)
            assert isinstance(end, SessionEnded)
            self.assertEqual(end.label, label)


class AcknowledgementTests(SessionTestCase):
    """
    Without acknowledgements, encoders stall.
    """

    def acknowledged(self) -> list[int]:
        """
        The numbers acknowledged so far.
        """
        return [
            int.from_bytes(payload, "big")
            for kind, _, payload in self.client.answers
            if kind == 3
        ]

    def test_unasked(self) -> None:
        """
        At least every 1.25 MB, including the handshake, although the peer never asked:
        half of the window that we told it.
        """
        self.openPublishing()
        body = b"\x27\1\0\0\0" + bytes(99_995)
        due = []
        for _ in range(26):
            if AcknowledgementDue() in self.client.send(self.client.message(9, body)):
                due.append(self.session.bytesReceived)
                self.session.acknowledge()
        self.client.hear()
        first, second = self.acknowledged()
        self.assertEqual([first, second], due)
        self.assertGreaterEqual(first, 1_250_000)
        self.assertLess(first, 1_350_000 + 5000)
        self.assertGreaterEqual(second - first, 1_250_000)
        self.assertLess(second - first, 1_355_000)

    def test_atHalf(self) -> None:
        """
        To the byte.
        """
        self.openPublishing()
        self.client.send(self.client.message(5, (2000).to_bytes(4, "big"), 0))
        self.client.answers.clear()
        before = self.session.bytesReceived
        message = self.client.message(9, bytes(5000))
        self.client.send(message[:999])
        self.assertEqual(self.acknowledged(), [])
        self.client.send(message[999:1000])
        self.assertEqual(self.acknowledged(), [before + 1000])

    def test_asAskedFor(self) -> None:
        """
        A smaller window set by the peer is used, with at most one acknowledgement for
        each read.
        """
        self.openPublishing()
        self.client.send(self.client.message(5, (5000).to_bytes(4, "big"), 0))
        self.client.answers.clear()
        for _ in range(10):
            self.client.send(self.client.message(9, bytes(6000)))
        self.assertEqual(len(self.acknowledged()), 10)
        self.assertEqual(self.acknowledged()[-1], self.session.bytesReceived)

    def test_aLargerWindowIsOurs(self) -> None:
        """
        If the peer sets a larger window, ours is used.
        """
        self.openPublishing()
        self.client.send(self.client.message(5, (2**31).to_bytes(4, "big"), 0))
        events = self.client.send(self.client.message(9, bytes(1_220_000)))
        self.assertNotIn(AcknowledgementDue(), events)
        events = self.client.send(self.client.message(9, bytes(30_000)))
        self.assertIn(AcknowledgementDue(), events)

    def test_whoIsInAHurry(self) -> None:
        """
        A peer with a small window is acknowledged at once; any other publisher can send
        half a window more before it stops.
        """
        self.openPublishing()
        for window, isSaid in ((2_097_150, True), (2_097_152, False)):
            self.client.send(self.client.message(5, window.to_bytes(4, "big"), 0))
            self.client.answers.clear()
            events = self.client.send(self.client.message(9, bytes(1_100_000)))
            self.assertEqual(len(self.acknowledged()), isSaid, window)
            self.assertEqual(events[:1] == [AcknowledgementDue()], not isSaid, window)

    def test_late(self) -> None:
        """
        A late acknowledgement covers all bytes received by then, and the next is due
        after as many more.
        """
        self.openPublishing()
        body = self.client.message(9, bytes(499_000))
        due = [AcknowledgementDue() in self.client.send(body) for _ in range(4)]
        self.assertEqual(due, [False, False, True, False])
        self.session.acknowledge()
        self.client.hear()
        self.assertEqual(self.acknowledged(), [self.session.bytesReceived])
        due = [AcknowledgementDue() in self.client.send(body) for _ in range(3)]
        self.assertEqual(due, [False, False, True])

    def test_beforeARequest(self) -> None:
        """
        A request is always the last event.
        """
        self.openPublishing()
        kind, payload = Command("createStream", 9.0, (None,)).encode()
        created = self.client.message(kind, payload, 0)
        kind, payload = Command("publish", 10.0, (None, "two", "live")).encode()
        asked = self.client.message(kind, payload, 2)
        body = self.client.message(9, bytes(2_600_000))
        events = self.client.send(body + created + asked)
        self.assertEqual(events[0], AcknowledgementDue())
        self.assertIsInstance(events[-1], PublishRequested)

    def test_whoDoesNotPublish(self) -> None:
        """
        It is acknowledged at once: it may wait for that before it sends more.
        """
        self.open()
        self.accept(self.client.connect())
        events = self.client.send(self.client.message(9, bytes(2_600_000)))
        self.assertNotIn(AcknowledgementDue(), events)
        self.assertEqual(self.acknowledged(), [self.session.bytesReceived])

    def test_wraps(self) -> None:
        """
        The count continues modulo 2^32, and is not reset to 0.
        """
        self.openPublishing()
        self.session.bytesReceived = 2**32 - 10
        self.session._acknowledged = 2**32 - 2_500_000
        self.client.send(self.client.message(9, bytes(100)))
        self.session.acknowledge()
        self.client.hear()
        (number,) = self.acknowledged()
        self.assertEqual(number, self.session.bytesReceived - 2**32)
        self.assertLess(number, 200)


class TimeTests(SessionTestCase):
    """
    No client can wait forever.
    """

    def expire(self, at: float, label: str) -> None:
        """
        The session ends at C{at} and not before.
        """
        self.assertEqual(self.session.deadline(), at)
        self.assertEqual(self.session.checkTime(at - 0.001), [])
        end = self.session.checkTime(at)[-1]
        assert isinstance(end, SessionEnded)
        self.assertEqual(end.label, label)
        self.assertIsNone(self.session.deadline())
        self.assertEqual(self.session.checkTime(at + 100), [])

    def test_handshake(self) -> None:
        """
        Ten seconds, however slowly the bytes arrive.
        """
        for sent in (b"", b"\3", b"\3" + bytes(SIZE), b"\3" + bytes(SIZE + 100)):
            self.session = ServerSession(100.0, pseudoRandom)
            self.session.receive(sent, 105.0)
            self.expire(110.0, "handshake-timeout")

    def test_connect(self) -> None:
        """
        Ten seconds from the handshake, connected or not.
        """
        self.open()
        self.expire(111.0, "request-timeout")
        self.open()
        self.accept(self.client.connect())
        self.session.receive(self.client.message(4, b"\0\6\0\0\0\0", 0), 110.0)
        self.expire(111.0, "request-timeout")

    def test_silence(self) -> None:
        """
        A publisher can be silent for ten seconds; any byte is a sign of life.
        """
        self.openPublishing()
        self.assertEqual(self.session.deadline(), 111.0)
        self.session.receive(self.client.message(9, KEYFRAME)[:1], 109.0)
        self.assertEqual(self.session.silentFor(112.0), 3.0)
        self.expire(119.0, "silent")

    def test_silenceEndsThePublish(self) -> None:
        """
        The publish ends with the session.
        """
        self.openPublishing()
        events = self.session.checkTime(111.0)
        self.assertEqual([type(e) for e in events], [PublishEnded, SessionEnded])

    def test_whileWeDoNotRead(self) -> None:
        """
        Silence has no effect while we do not read.
        """
        self.openPublishing()
        self.session.readingPaused()
        self.assertIsNone(self.session.deadline())
        self.assertEqual(self.session.silentFor(200.0), 0.0)
        self.session.readingResumed(200.0)
        self.expire(210.0, "silent")

    def test_afterUnpublish(self) -> None:
        """
        Ten seconds to the next publish.
        """
        self.openPublishing()
        client = ScriptedClient.ofSession(self.session, 500.0)
        client.writer = self.client.writer
        client.command("FCUnpublish", 6.0, None, "cam")
        self.expire(510.0, "request-timeout")

    def test_aDecisionThatNeverComes(self) -> None:
        """
        A request that is not answered is rejected after the timeout, with a code that
        clients understand.
        """
        self.open()
        self.client.connect()
        self.expire(111.0, "rejected")
        self.client.hear()
        self.assertEqual(self.client.commands()[-1].name, "_error")
        self.open()
        self.accept(self.client.connect())
        self.client.command("createStream", 4.0, None)
        self.client.publish()
        self.expire(111.0, "rejected")
        self.client.hear()
        self.assertEqual(self.client.status()[2], "NetStream.Publish.Denied")

    def test_optionsCount(self) -> None:
        """
        Each timeout has the value of its setting.
        """
        limits = ServerSettings(
            handshakeTimeout=1.0, requestTimeout=2.0, silenceTimeout=3.0
        )
        self.session = ServerSession(100.0, pseudoRandom, limits)
        self.expire(101.0, "handshake-timeout")
        self.open(limits)
        self.expire(103.0, "request-timeout")
        self.open(limits)
        self.accept(self.client.connect())
        self.client.command("createStream", 4.0, None)
        self.accept(self.client.publish())
        self.expire(104.0, "silent")

    def test_now(self) -> None:
        """
        The time is that of the last call.
        """
        self.open()
        session, say = self.session, self.client.message
        self.assertEqual(session.now, 101.0)
        self.client.connect()
        session.accept(1, 102.0)
        self.assertEqual(session.now, 102.0)
        session.receive(say(20, data("createStream", 4.0, None)), 103.0)
        session.receive(say(20, data("play", 0.0, None, "a")), 103.0)
        session.grant(2, 104.0)
        self.assertEqual(session.now, 104.0)
        session.goOn(105.0)
        self.assertEqual(session.now, 105.0)
        session.checkTime(106.0)
        self.assertEqual(session.now, 106.0)
        session.receive(say(20, data("play", 0.0, None, "b")), 107.0)
        session.reject(3, "NetStream.Play.Failed", "No.", 108.0)
        self.assertEqual(session.now, 108.0)
        session.close("enough", 109.0)
        self.assertEqual(session.now, 109.0)

    def test_whenTimeBegins(self) -> None:
        """
        The timeout for a publish starts with the answer to connect, that for the answer
        with the request, that for a publisher with the answer; and that for the next
        publish with the end of the last.
        """
        self.open(ServerSettings(requestTimeout=20.0))
        session, say = self.session, self.client.message
        self.assertEqual(session.deadline(), 121.0)
        session.receive(say(20, data("connect", 1.0, AMFObject([]))), 102.0)
        self.assertEqual(session.deadline(), 122.0)
        session.accept(1, 103.0)
        self.assertEqual(session.deadline(), 123.0)
        session.receive(say(20, data("createStream", 4.0, None)), 104.0)
        self.assertEqual(session.deadline(), 123.0)
        session.receive(say(20, data("publish", 0.0, None, "a")), 105.0)
        frame = say(9, KEYFRAME)
        session.receive(frame[:1], 106.0)
        self.assertEqual(session.deadline(), 125.0)
        session.accept(2, 107.0)
        self.assertEqual(session.deadline(), 117.0)
        self.assertEqual(session.silentFor(108.0), 1.0)
        session.receive(frame[1:], 108.0)
        self.assertEqual(session.deadline(), 118.0)
        session.receive(say(20, data("closeStream", 0.0, None)), 109.0)
        self.assertEqual(session.deadline(), 129.0)

    def test_closing(self) -> None:
        """
        The server can end a session; its publish ends with it.
        """
        self.openPublishing()
        self.assertEqual(
            self.session.close("the server stops", 102.0),
            [
                PublishEnded(1, "the server stops"),
                SessionEnded("closed", "the server stops"),
            ],
        )
        self.assertEqual(self.session.close("again", 103.0), [])


class CapturedSessionTests(SessionTestCase):
    """
    Recordings of real clients, cut in other places.
    """

    def test_theVector(self) -> None:
        """
        The start of a publish by ffmpeg 5.1.9, at the boundaries of its recv() calls
        and byte by byte.
        """
        (vector,) = [
            v for v in vectors("chunk-read") if v["name"] == "ffmpeg-real-publish-start"
        ]
        wire = b"\3" + bytes(2 * SIZE) + bytes.fromhex(vector["input_hex"])
        whole = self.replay(wire, [])
        self.assertIn("PublishRequested", whole)
        self.assertEqual(self.replay(wire, list(range(1, len(wire)))), whole)

    def test_byteByByte(self) -> None:
        """
        Whole sessions of real clients, with all 20 video frames in each, one byte at a
        time.
        """
        for path in CAPTURES:
            wire = path.read_bytes()
            whole = self.replay(wire, [])
            coded = [said for said in whole if said.startswith("coded video")]
            self.assertEqual(len(coded), 20, path.name)
            self.assertIn("PublishEnded", whole, path.name)
            self.assertEqual(
                self.replay(wire, list(range(1, len(wire)))), whole, path.name
            )

    @given(st.sampled_from(CAPTURES), st.randoms(), st.integers(0, 40))
    def test_anyCuts(self, path: Path, random: Any, count: int) -> None:
        """
        The same sessions give the same events whatever the cuts.
        """
        wire = path.read_bytes()
        cuts = sorted(random.sample(range(len(wire)), count))
        self.assertEqual(self.replay(wire, cuts), self.replay(wire, []))

    def replay(self, wire: bytes, cuts: list[int]) -> list[str]:
        """
        @return: the events of a session for C{wire}, with everything accepted.
        """
        session = ServerSession(0.0, pseudoRandom)
        said: list[str] = []
        start = 0
        for cut in [*cuts, len(wire)]:
            waiting = session.receive(wire[start:cut], 0.0)
            start = cut
            while waiting or session.isResting:
                if not waiting:
                    waiting = session.takeTurn(0.0)
                    continue
                event = waiting.pop(0)
                if isinstance(event, FramesReceived):
                    # How many frames are in one event depends on where the bytes are
                    # cut.
                    said += [
                        f"{frame.role.value} {frame.kind.name.lower()} "
                        f"{frame.timestamp} {frame.payload.hex()}"
                        for frame in event.frames
                    ]
                else:
                    said.append(type(event).__name__)
                if isinstance(event, (ConnectRequested, PublishRequested)):
                    waiting += session.accept(event.requestID, 0.0)
        return said

    @settings(deadline=None, max_examples=200)
    @given(st.binary(max_size=300), st.booleans())
    def test_garbage(self, garbage: bytes, publishing: bool) -> None:
        """
        Any data after a handshake or during a publish gives events, never an exception.
        """
        if publishing:
            self.openPublishing()
        else:
            self.open()
        for event in self.session.receive(garbage, 102.0):
            self.assertIsNotNone(event)


class ManyRequestsTests(SessionTestCase):
    """
    Requests that arrive by the thousand.
    """

    def test_granted(self) -> None:
        """
        Nothing after an accepted request is handled before goOn, and then everything,
        once.
        """
        self.open()
        (request,) = self.client.connect()
        assert isinstance(request, ConnectRequested)
        self.assertFalse(self.session.goesOn)
        self.assertEqual(self.session.goOn(101.0), [])
        self.session.grant(request.requestID, 101.0)
        self.assertTrue(self.session.goesOn)
        self.assertEqual(self.client.command("createStream", 4.0, None), [])
        self.assertEqual(self.client.publish(), [])
        self.assertEqual([c.name for c in self.client.commands()], ["_result"])
        (request,) = self.session.goOn(101.0)
        assert isinstance(request, PublishRequested)
        self.assertFalse(self.session.goesOn)
        self.assertEqual(self.session.goOn(101.0), [])
        self.client.hear()
        self.assertEqual([c.name for c in self.client.commands()], ["_result"] * 2)

    def test_grantedAndClosed(self) -> None:
        """
        A session that has ended does not continue.
        """
        self.open()
        (request,) = self.client.connect()
        assert isinstance(request, ConnectRequested)
        self.session.grant(request.requestID, 101.0)
        self.client.command("createStream", 4.0, None)
        (ended,) = self.session.close("enough", 101.0)
        assert isinstance(ended, SessionEnded)
        self.assertFalse(self.session.goesOn)
        self.assertEqual(self.session.goOn(101.0), [])

    def test_inOneRead(self) -> None:
        """
        Each publish of thousands in one read waits for its answer, and ends.
        """
        self.open()
        (request,) = self.client.connect()
        assert isinstance(request, ConnectRequested)
        self.session.accept(request.requestID, 101.0)
        self.client.hear()
        (request,) = self.session.receive(self.client.manyStreams(5000), 101.0)
        names: list[str] = []
        ended: list[int] = []
        following: list[Any] = [request]
        turns = 0
        while following:
            event = following.pop(0)
            if isinstance(event, PublishRequested):
                self.assertEqual(following, [])
                names.append(event.stream)
                following = self.session.accept(event.requestID, 101.0)
            else:
                assert isinstance(event, PublishEnded)
                ended.append(event.streamID)
            if self.session.isResting:
                turns += 1
                following += self.session.takeTurn(101.0)
        self.assertEqual(names, [f"cam{number}" for number in range(5000)])
        self.assertEqual(ended, [1] * 5000)
        self.assertGreater(turns, 5000 * 4 * 5 // 1000 - 5)
