"""
Tests of the server's session with players.
"""

from typing import Any

from rtmptw.errors import LocalProtocolError
from rtmptw.frames import FrameKind
from rtmptw.rtmp import amf0
from rtmptw.rtmp.amf import AMFObject
from rtmptw.rtmp.events import (
    Event,
    MediumSelected,
    PauseRequested,
    PlayEnded,
    PlayRequested,
    PublishEnded,
    PublishRequested,
    SessionEnded,
)
from rtmptw.rtmp.message import Command, parse
from rtmptw.rtmp.names import MAX_NAME
from rtmptw.rtmp.serversession import EOF_AFTER, PING_AFTER, PING_PATIENCE
from tests.rtmp.test_serversession import SessionTestCase


class PlayTests(SessionTestCase):
    """
    From play to its end.
    """

    def connect(self) -> None:
        """
        Connect, and create a message stream.
        """
        self.open()
        self.accept(self.client.connect())
        self.client.command("createStream", 2.0, None)
        self.client.answers.clear()

    def play(self, *arguments: Any) -> PlayRequested:
        """
        Request to play.
        """
        *_, event = self.client.command("play", 3.0, None, *arguments, streamID=1)
        assert isinstance(event, PlayRequested)
        return event

    def begin(self, *arguments: Any) -> None:
        """
        Play, and discard the messages so far.
        """
        self.connect()
        self.accept([self.play(*(arguments or ("cam",)))])
        self.client.answers.clear()

    def said(self) -> list[str]:
        """
        The messages to the player since the last call: codes of status messages, names
        of data messages and events of user control messages.
        """
        told = []
        for kind, stream, payload in self.client.answers:
            command = parse(kind, payload)
            if isinstance(command, Command):
                information = command.values[1]
                assert type(information) is AMFObject and stream == 1
                self.assertEqual(information.get("level"), "status")
                self.assertTrue(information.get("description"))
                told.append(str(information.get("code")))
            elif kind == 18:
                self.assertEqual(stream, 1)
                told.append(str(amf0.decodeAll(payload)[0]))
            else:
                self.assertEqual((kind, payload[2:]), (4, b"\0\0\0\1"))
                told.append(f"event {payload[1]}")
        self.client.answers.clear()
        return told

    def test_whatPlayersAsk(self) -> None:
        """
        FFmpeg and librtmp send ms, the specification has seconds, GStreamer sends -2;
        some send nothing.
        """
        for arguments, start, duration, reset in (
            (("cam?x=1",), -2.0, -1.0, False),
            (("cam?x=1", -2000.0), -2000.0, -1.0, False),
            (("cam?x=1", -1000.0), -1000.0, -1.0, False),
            (("cam?x=1", -2.0, -1.0, True), -2.0, -1.0, True),
            (("cam?x=1", 0.0, 30.0, False), 0.0, 30.0, False),
            (("cam?x=1", -1.0, -1.0, 1.0), -1.0, -1.0, True),
            (("cam?x=1", -1.0, -1.0, 2.0), -1.0, -1.0, False),
            (("cam?x=1", -1.0, -1.0, 3.0), -1.0, -1.0, True),
            (("cam?x=1", -1.0, -1.0, 0.0), -1.0, -1.0, False),
            (("cam?x=1", -1.0, -1.0, 4.0), -1.0, -1.0, False),
            (("cam?x=1", "now", None, "yes"), -2.0, -1.0, False),
        ):
            self.connect()
            self.assertEqual(
                self.play(*arguments),
                PlayRequested(2, 1, "live", "cam", "x=1", start, duration, reset),
            )

    def test_theBeginning(self) -> None:
        """
        StreamBegin, the status messages, access to samples, the start of data: in the
        order of the specification (7.2.2.1).
        """
        for reset, more in ((False, []), (True, ["NetStream.Play.Reset"])):
            self.connect()
            self.accept([self.play("cam", -2.0, -1.0, reset)])
            self.assertEqual(
                [amf0.decodeAll(said) for _, _, said in self.client.answers[-2:]],
                [
                    ["|RtmpSampleAccess", True, True],
                    ["onStatus", AMFObject([("code", "NetStream.Data.Start")])],
                ],
            )
            self.assertEqual(
                self.said(),
                [
                    "event 0",
                    *more,
                    "NetStream.Play.Start",
                    "|RtmpSampleAccess",
                    "onStatus",
                ],
            )

    def test_theEndOfTheStream(self) -> None:
        """
        The status messages, and StreamEOF a moment later; the player can play again, or
        is disconnected.
        """
        self.begin()
        self.session.endPlay(1, 102.0)
        self.client.hear()
        self.assertEqual(
            self.said(), ["NetStream.Play.Stop", "NetStream.Play.UnpublishNotify"]
        )
        self.assertEqual(self.session.deadline(), 102.0 + EOF_AFTER)
        self.assertEqual(self.session.checkTime(101.9 + EOF_AFTER), [])
        self.client.hear()
        self.assertEqual(self.said(), [])
        self.assertEqual(self.session.checkTime(102.0 + EOF_AFTER), [])
        self.client.hear()
        self.assertEqual(self.said(), ["event 1"])
        self.assertEqual(self.session.deadline(), 112.0)
        with self.assertRaises(LocalProtocolError):
            self.session.endPlay(1, 103.0)
        self.assertEqual(self.play("other").stream, "other")

    def test_theEndOfTheConnectionToo(self) -> None:
        """
        A session that ends sends StreamEOF at once.
        """
        self.begin()
        self.session.endPlay(1, 102.0)
        self.session.close("enough", 102.1)
        self.client.hear()
        self.assertEqual(self.said()[-1], "event 1")
        self.assertIsNone(self.session.deadline())

    def test_noEndOfWhatIsPlayedAnew(self) -> None:
        """
        A player that plays again, or deletes the stream, gets no StreamEOF.
        """
        for name, arguments in (("play", ("cam",)), ("deleteStream", (1.0,))):
            self.begin()
            self.session.endPlay(1, 102.0)
            events = self.client.command(name, 3.0, None, *arguments, streamID=1)
            if events:
                self.accept(events)
            self.session.checkTime(103.0)
            self.client.hear()
            self.assertNotIn("event 1", self.said())

    def test_thePlayerStops(self) -> None:
        """
        closeStream keeps the message stream, deleteStream does not; GStreamer sends the
        stream's name instead of its id.
        """
        for name, arguments, reason in (
            ("closeStream", (), "stream closed"),
            ("deleteStream", (1.0,), "stream deleted"),
            ("deleteStream", ("cam",), "stream deleted"),
        ):
            self.begin()
            self.assertEqual(
                self.client.command(name, 0.0, None, *arguments, streamID=1),
                [PlayEnded(1, reason)],
            )

    def test_anotherPlay(self) -> None:
        """
        A second play on the same message stream replaces the first; the end of the
        session ends it.
        """
        self.begin("one")
        ended, request = self.client.command("play", 4.0, None, "two", streamID=1)
        self.assertEqual(ended, PlayEnded(1, "replaced by another play"))
        self.accept([request])
        self.assertEqual(
            [type(e) for e in self.session.close("enough", 102.0)],
            [PlayEnded, SessionEnded],
        )

    def test_severalPlays(self) -> None:
        """
        A connection can play on several message streams.
        """
        self.begin("one")
        self.client.command("createStream", 4.0, None)
        (request,) = self.client.command("play", 5.0, None, "two", streamID=2)
        self.accept([request])
        self.session.endPlay(1, 102.0)
        self.assertEqual(
            self.client.command("closeStream", 0.0, None, streamID=2),
            [PlayEnded(2, "stream closed")],
        )

    def test_play2(self) -> None:
        """
        Flash switches to another bit rate by playing another stream.
        """
        self.begin("low")
        parameters = AMFObject([("streamName", "high?a=1"), ("transition", "switch")])
        ended, event = self.client.command("play2", 0.0, None, parameters, streamID=1)
        self.assertIsInstance(ended, PlayEnded)
        self.assertEqual(
            event, PlayRequested(3, 1, "live", "high", "a=1", -2.0, -1.0, True)
        )
        self.begin()
        self.assertEqual(self.client.command("play2", 0.0, None, streamID=1), [])
        self.assertEqual(self.session.ignoredCommands, 1)
        self.open()
        self.accept(self.client.connect())
        (end,) = self.client.command("play2", 0.0, None, streamID=1)
        assert isinstance(end, SessionEnded)
        self.assertEqual(end.label, "bad-command")

    def test_pause(self) -> None:
        """
        It is answered and reported; pauseRaw is another name for it.
        """
        for name in ("pause", "pauseRaw"):
            self.begin()
            self.assertEqual(
                self.client.command(name, 0.0, None, True, 1000.0, streamID=1),
                [PauseRequested(1, True)],
            )
            self.assertEqual(self.said(), ["NetStream.Pause.Notify"])
            self.assertEqual(
                self.client.command(name, 0.0, None, False, 1000.0, streamID=1),
                [PauseRequested(1, False)],
            )
            self.assertEqual(self.said(), ["event 0", "NetStream.Unpause.Notify"])

    def test_receiveAudioAndVideo(self) -> None:
        """
        Off is not answered, on is.
        """
        for name, kind in (
            ("receiveAudio", FrameKind.AUDIO),
            ("receiveVideo", FrameKind.VIDEO),
        ):
            self.begin()
            for wanted, answer in (
                (False, []),
                (True, ["NetStream.Seek.Notify", "NetStream.Play.Start"]),
            ):
                self.assertEqual(
                    self.client.command(name, 0.0, None, wanted, streamID=1),
                    [MediumSelected(1, kind, wanted)],
                )
                self.assertEqual(self.said(), answer)

    def test_seek(self) -> None:
        """
        A live stream has no other position, and this is not an error.
        """
        self.begin()
        self.assertEqual(self.client.command("seek", 0.0, None, 5000.0, streamID=1), [])
        self.assertEqual(self.said(), ["NetStream.Seek.Notify"])

    def test_commandsOfPlayersWhileNothingPlays(self) -> None:
        """
        They have no effect.
        """
        self.connect()
        for name in ("pause", "receiveAudio", "receiveVideo", "seek", "closeStream"):
            for streamID in (1, 2):
                self.assertEqual(
                    self.client.command(name, 0.0, None, True, streamID=streamID), []
                )
        self.assertEqual(self.client.answers, [])

    def test_commandsOfPlayersThatSayNothing(self) -> None:
        """
        A pause without an argument resumes; media is wanted unless the argument is
        false.
        """
        self.begin()
        for name, event in (
            ("pause", PauseRequested(1, False)),
            ("receiveAudio", MediumSelected(1, FrameKind.AUDIO, True)),
            ("receiveVideo", MediumSelected(1, FrameKind.VIDEO, True)),
        ):
            self.assertEqual(self.client.command(name, 0.0, None, streamID=1), [event])

    def test_theBufferLength(self) -> None:
        """
        It is ignored: librtmp sends it for stream 0 and after play.
        """
        self.begin()
        for streamID in (0, 1):
            payload = b"\0\3" + streamID.to_bytes(4, "big") + b"\0\0\x0b\xb8"
            self.assertEqual(self.client.send(self.client.message(4, payload, 0)), [])
        self.assertEqual(self.client.answers, [])

    def test_theLength(self) -> None:
        """
        FFmpeg requests it before it plays: a live stream has none.
        """
        self.connect()
        self.client.command("getStreamLength", 3.0, None, "cam")
        (answer,) = self.client.commands()
        self.assertEqual(
            (answer.name, answer.transactionID, answer.values[1]), ("_result", 3.0, 0.0)
        )

    def test_refused(self) -> None:
        """
        With the code and the level that make FFmpeg stop.
        """
        self.connect()
        request = self.play("cam")
        self.session.reject(
            request.requestID, "NetStream.Play.StreamNotFound", "Not there.", 102.0
        )
        self.client.hear()
        self.assertEqual(
            self.client.status(),
            (1, "error", "NetStream.Play.StreamNotFound", "Not there."),
        )

    def test_nobodyDecides(self) -> None:
        """
        The player is rejected with a play code.
        """
        self.connect()
        self.play("cam")
        deadline = self.session.deadline()
        assert deadline is not None
        self.session.checkTime(deadline)
        self.client.hear()
        self.assertEqual(self.client.status()[1:3], ("error", "NetStream.Play.Failed"))

    def test_names(self) -> None:
        """
        A name that is too long, or empty, is not found.
        """
        for app, name, isGood in (
            ("live", "n" * (MAX_NAME + 1), False),
            ("", "", False),
            ("live", "n" * MAX_NAME, True),
            ("live", "", True),
            ("", "cam", True),
        ):
            self.open()
            self.accept(self.client.connect(app))
            self.client.command("createStream", 2.0, None)
            (event,) = self.client.command("play", 3.0, None, name, streamID=1)
            if isGood:
                assert isinstance(event, PlayRequested)
                self.assertEqual((event.app, event.stream), (app, name))
                continue
            self.assertIsInstance(event, SessionEnded)
            self.assertEqual(
                self.client.status()[1:3], ("error", "NetStream.Play.StreamNotFound")
            )

    def test_aSignOfLife(self) -> None:
        """
        A silent player that receives nothing is pinged, and disconnected if it does not
        answer; media that we send does not count.
        """
        self.begin()
        asked = self.session.lastReceived + PING_AFTER
        self.assertEqual(self.session.deadline(), asked)
        self.assertEqual(self.session.checkTime(asked), [])
        self.client.hear()
        ((kind, streamID, payload),) = self.client.answers
        # The timestamp in ms.
        self.assertEqual((kind, streamID, payload.hex()), (4, 0, "0006000274e8"))
        self.assertEqual(self.session.deadline(), asked + PING_PATIENCE)
        ended, end = self.session.checkTime(asked + PING_PATIENCE)
        self.assertIsInstance(ended, PlayEnded)
        assert isinstance(end, SessionEnded)
        self.assertEqual(
            (end.label, end.reason),
            ("silent", "the player sent and received nothing for 90 s"),
        )

    def test_whatItTakesIsLife(self) -> None:
        """
        For a player that sends nothing: it is pinged when it stops receiving, and
        receiving again counts as an answer.
        """
        self.begin()
        begun = self.session.lastReceived
        self.session.taken(begun + 50)
        self.assertEqual(self.session.deadline(), begun + 50 + PING_AFTER)
        self.session.checkTime(begun + 50 + PING_AFTER)
        self.client.hear()
        self.assertEqual(len(self.client.answers), 1)
        self.session.taken(begun + 120)
        self.assertEqual(self.session.deadline(), begun + 120 + PING_AFTER)
        self.session.receive(self.client.message(4, b"\0\7\0\0\0\1", 0), begun + 130)
        self.assertEqual(self.session.deadline(), begun + 130 + PING_AFTER)

    def test_aPingAfterManyDays(self) -> None:
        """
        The timestamp in it wraps at 32 bits.
        """
        self.begin()
        now = 2**32 / 1000 + 5.2515
        self.session.receive(self.client.message(4, b"\0\7\0\0\0\1", 0), now - 60)
        self.assertEqual(self.session.checkTime(now), [])
        self.client.hear()
        self.assertEqual(
            [said.hex() for *_, said in self.client.answers], ["000600001483"]
        )

    def test_anAnswerIsASignOfLife(self) -> None:
        """
        Any data from it.
        """
        self.begin()
        asked = self.session.lastReceived + PING_AFTER
        self.session.checkTime(asked)
        pong = self.client.message(4, b"\0\7\0\0\0\1", 0)
        self.session.receive(pong, asked + 1)
        self.assertEqual(self.session.deadline(), asked + 1 + PING_AFTER)
        self.session.readingPaused()
        self.assertIsNone(self.session.deadline())

    def test_publishAndPlayOnOneConnection(self) -> None:
        """
        Flash conferences did this.
        """
        self.begin("other")
        self.client.command("createStream", 4.0, None)
        events: list[Event] = self.client.publish("mine", streamID=2)
        assert isinstance(events[-1], PublishRequested)
        self.accept(events)
        self.assertEqual(
            [type(e) for e in self.session.close("enough", 102.0)],
            [PublishEnded, PlayEnded, SessionEnded],
        )
