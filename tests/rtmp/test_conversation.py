"""
Tests of the exact bytes that both sides send.
"""

from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from rtmptw.frames import Frame, FrameKind, Role
from rtmptw.rtmp import amf0, patience, serversession
from rtmptw.rtmp.amf import AMFObject
from rtmptw.rtmp.chunks import Limits
from rtmptw.rtmp.chunkwriter import encodeMessage
from rtmptw.rtmp.clientsession import ClientSession
from rtmptw.rtmp.conversation import BYTES_OF_WORK, COMMAND_WORK
from rtmptw.rtmp.handshake import SIZE
from rtmptw.rtmp.message import Command, parse
from rtmptw.rtmp.serversession import ServerSession, ServerSettings
from rtmptw.rtmp.url import RTMPTarget
from tests.rtmp.scripted import (
    Listener,
    ScriptedClient,
    ScriptedServer,
    information,
    pseudoRandom,
)

#: Chunk stream, message type, message stream, and the command or the payload.
Said = tuple[int, int, int, str]


class Tap:
    """
    Records what a session sends.
    """

    def __init__(self, dataToSend: Callable[[], bytes]) -> None:
        self._dataToSend = dataToSend
        self._said = b""

    def dataToSend(self) -> bytes:
        """
        @return: the bytes, unchanged.
        """
        data = self._dataToSend()
        self._said += data
        return data

    def said(self) -> list[Said]:
        """
        @return: all messages since the last call. Each has timestamp 0.
        """
        found: list[Said] = []

        def note(
            kind: int, time: int, stream: int, payload: bytes, chunkStream: int
        ) -> None:
            assert time == 0, "what is no media has no time"
            command = parse(kind, payload)
            words = payload.hex()
            if isinstance(command, Command):
                words = f"{command.name} {command.transactionID:g}"
                told = command.values[-1]
                if command.name == "onStatus" and isinstance(told, AMFObject):
                    words += " " + str(told.get("code"))
            found.append((chunkStream, kind, stream, words))

        Listener(lambda: self._said, note).hear()
        return found


class ServerWireTests(SynchronousTestCase):
    """
    The server's side.
    """

    def test_aPublish(self) -> None:
        """
        Control messages are on chunk stream 2, commands on 3, status messages on 5; by
        default chunks have 60,000 bytes and the window 2,500,000.
        """
        session = ServerSession(0.0, pseudoRandom)
        tap = Tap(session.dataToSend)
        client = ScriptedClient(lambda data: session.receive(data, 0.0), tap.dataToSend)
        client.shakeHands()
        client.connect()
        session.accept(1, 0.0)
        client.command("createStream", 4.0, None)
        client.publish()
        session.accept(2, 0.0)
        client.command("FCUnpublish", 6.0, None, "cam")
        client.send(client.message(4, b"\0\6\1\2\3\4", 0))
        client.hear()
        self.assertEqual(
            tap.said(),
            [
                (2, 5, 0, "002625a0"),
                (2, 6, 0, "002625a002"),
                (2, 1, 0, "0000ea60"),
                (2, 4, 0, "000000000000"),
                (3, 20, 0, "_result 1"),
                (3, 20, 0, "_result 4"),
                (5, 20, 1, "onStatus 0 NetStream.Publish.Start"),
                (5, 20, 1, "onStatus 0 NetStream.Unpublish.Success"),
                (3, 20, 0, "_result 6"),
                (2, 4, 0, "000701020304"),
            ],
        )

    def test_aPlay(self) -> None:
        """
        The data messages at the start of a play are also on chunk stream 5.
        """
        session = ServerSession(0.0, pseudoRandom)
        tap = Tap(session.dataToSend)
        client = ScriptedClient(lambda data: session.receive(data, 0.0), tap.dataToSend)
        client.shakeHands()
        client.connect()
        session.accept(1, 0.0)
        client.command("createStream", 4.0, None)
        client.command("createStream", 5.0, None)
        client.command("play", 6.0, None, "cam", streamID=2)
        session.accept(2, 0.0)
        client.hear()
        self.assertEqual(
            [said[:3] for said in tap.said()[5:]],
            [(3, 20, 0)] * 2 + [(2, 4, 0), (5, 20, 2), (5, 18, 2), (5, 18, 2)],
        )

    def test_theTimeOfItsHandshake(self) -> None:
        """
        S1 begins with the session's time in ms.
        """
        session = ServerSession(12.345, pseudoRandom)
        session.receive(b"\3" + bytes(SIZE), 99.0)
        self.assertEqual(session.dataToSend()[:5].hex(), "0300003039")

    def test_whatIsHadWithoutSettings(self) -> None:
        """
        The documented values.
        """
        self.assertEqual(
            ServerSettings(),
            ServerSettings(60_000, 2_500_000, 10.0, 10.0, 10.0, Limits()),
        )
        self.assertEqual(Limits(), Limits(10_485_760, 65_536, 16_777_216, 64))
        self.assertEqual(serversession.MAX_STREAMS, 16)
        self.assertEqual(serversession.EOF_AFTER, 0.5)
        self.assertEqual((patience.PING_AFTER, patience.PING_PATIENCE), (60.0, 30.0))
        self.assertEqual((patience.STEP_TIMEOUT, patience.SILENCE_TIMEOUT), (10.0,) * 2)

    def test_acknowledgements(self) -> None:
        """
        After half a window of received bytes, including the handshake, and not one byte
        earlier.
        """
        session = ServerSession(0.0, pseudoRandom, ServerSettings(window=8001))
        client = ScriptedClient.ofSession(session)
        client.shakeHands()
        client.connect()
        session.accept(1, 0.0)
        left = 4000 - session.bytesReceived

        def acknowledged() -> list[str]:
            client.hear()
            return [said.hex() for kind, _, said in client.answers if kind == 3]

        client.send(b"\x04" + bytes(3) + b"\0\x20\0\x08" + bytes(4) + bytes(left - 13))
        self.assertEqual((session.bytesReceived, acknowledged()), (3999, []))
        client.send(b"\0")
        self.assertEqual(acknowledged(), ["00000fa0"])

    def test_whatIsReceived(self) -> None:
        """
        They are counted from the first byte.
        """
        session = ServerSession(0.0, pseudoRandom)
        self.assertEqual(session.bytesReceived, 0)
        session.receive(b"\3" + bytes(SIZE), 0.0)
        session.receive(bytes(10), 0.0)
        self.assertEqual(session.bytesReceived, 1 + SIZE + 10)

    def test_whatIsUnsaid(self) -> None:
        """
        They are counted until they are sent; nothing is sent on a lost connection.
        """
        session = ServerSession(0.0, pseudoRandom)
        self.assertEqual(session.unsaid, 0)
        client = ScriptedClient.ofSession(session)
        client.shakeHands()
        connect = Command("connect", 1.0, (AMFObject([]),)).encode()
        session.receive(client.message(*connect, 0), 0.0)
        self.assertEqual(session.unsaid, 0)
        session.accept(1, 0.0)
        for kind, body in ((5, b"\0\0\0\1"), (4, b"\0\6\1\2\3\4")):
            session.receive(client.message(kind, body, 0), 0.0)
        unsaid = session.unsaid
        self.assertEqual(len(session.dataToSend()), unsaid)
        self.assertEqual((session.unsaid, session.dataToSend()), (0, b""))
        ping = client.message(4, b"\0\6\1\2\3\4", 0)
        session.receive(ping, 0.0)
        self.assertEqual(session.unsaid, len(session.dataToSend()))
        session.receive(ping, 0.0)
        session.connectionLost()
        self.assertEqual((session.unsaid, session.dataToSend()), (0, b""))
        self.assertEqual(session.events, [])


class ClientWireTests(SynchronousTestCase):
    """
    The client's side.
    """

    def open(self, publishes: bool) -> None:
        """
        A client of a server that accepts everything.
        """
        target = RTMPTarget.fromURL("rtmp://example.com/live/cam")
        self.session = ClientSession(12.345, pseudoRandom, target, publishes)
        self.tap = Tap(self.session.dataToSend)
        self.server = ScriptedServer(
            lambda data: self.session.receive(data, 20.0), self.tap.dataToSend
        )
        self.server.hear()

    def finish(self) -> list[Said]:
        """
        @return: all messages that the client has sent when it has closed.
        """
        self.session.close("enough")
        self.server.hear()
        return self.tap.said()

    def test_aPublish(self) -> None:
        """
        Commands of the connection are on chunk stream 3, those of the stream on 8,
        audio on 4, data on 5 and video on 6.
        """
        self.open(True)
        self.server.accept(7.0)
        self.server.status("NetStream.Publish.Start")
        for kind in (FrameKind.AUDIO, FrameKind.VIDEO, FrameKind.DATA):
            frame = Frame(kind, 0, b"\0abc", Role.CODED)
            self.session.sendFrame(frame, 0)
        self.server.command("onBWDone", 0.0, None)
        self.assertEqual(
            self.finish(),
            [
                (3, 20, 0, "connect 1"),
                (2, 1, 0, "00001000"),
                (3, 20, 0, "releaseStream 2"),
                (3, 20, 0, "FCPublish 3"),
                (3, 20, 0, "createStream 4"),
                (8, 20, 7, "publish 5"),
                (4, 8, 7, "00616263"),
                (6, 9, 7, "00616263"),
                (5, 18, 7, "00616263"),
                (3, 20, 0, "_checkbw 8"),
                (3, 20, 0, "FCUnpublish 6"),
                (3, 20, 0, "deleteStream 7"),
            ],
        )

    def test_aPlay(self) -> None:
        """
        The same, and the buffer length on 2.
        """
        self.open(False)
        self.server.accept(7.0)
        self.assertEqual(
            self.finish(),
            [
                (3, 20, 0, "connect 1"),
                (2, 1, 0, "00001000"),
                (3, 20, 0, "createStream 4"),
                (8, 20, 7, "play 5"),
                (2, 4, 0, "00030000000700000bb8"),
                (3, 20, 0, "deleteStream 7"),
            ],
        )

    def test_theTimeOfItsHandshake(self) -> None:
        """
        C1 begins with the session's time in ms.
        """
        self.open(True)
        said = ClientSession(
            12.345, pseudoRandom, RTMPTarget.fromURL("rtmp://h/a/b"), True
        ).dataToSend()
        self.assertEqual(said[:5].hex(), "0300003039")

    def connected(self) -> list[tuple[str, Any]]:
        """
        @return: the properties that the client sends with connect, arrays as lists.
        """
        self.server.shakeHands()
        (properties,) = self.server.commands()[0].values
        assert isinstance(properties, AMFObject)
        return [
            (name, value.properties if isinstance(value, AMFObject) else value)
            for name, value in properties
        ]

    def test_whatIsSaidOfUs(self) -> None:
        """
        The same as FFmpeg, plus the properties of Enhanced RTMP.
        """
        enhanced = [
            (
                "fourCcList",
                [
                    "av01",
                    "avc1",
                    "hvc1",
                    "vvc1",
                    "vp08",
                    "vp09",
                    "ac-3",
                    "ec-3",
                    ".mp3",
                    "fLaC",
                    "mp4a",
                    "Opus",
                ],
            ),
            ("videoFourCcInfoMap", [("*", 4.0)]),
            ("audioFourCcInfoMap", [("*", 4.0)]),
            ("capsEx", 14.0),
        ]
        self.open(True)
        self.assertEqual(
            self.connected(),
            [
                ("app", "live"),
                ("type", "nonprivate"),
                ("flashVer", "FMLE/3.0 (compatible; rtmptw)"),
                ("tcUrl", "rtmp://example.com/live"),
                *enhanced,
            ],
        )
        self.open(False)
        self.assertEqual(
            self.connected(),
            [
                ("app", "live"),
                ("flashVer", "LNX 9,0,124,2"),
                ("tcUrl", "rtmp://example.com/live"),
                ("fpad", False),
                ("capabilities", 15.0),
                ("audioCodecs", 4071.0),
                ("videoCodecs", 252.0),
                ("videoFunction", 1.0),
                *enhanced,
            ],
        )

    def test_acknowledgements(self) -> None:
        """
        After 1,250,000 received bytes, including the handshake, and not one byte
        earlier.
        """
        self.open(False)
        self.server.start()
        self.server.send(bytes.fromhex("02000000000004010000000000ffffff"))
        left = 1_250_000 - self.session.bytesReceived
        self.server.send(
            b"\x04" + bytes(3) + b"\x14\0\0\x08" + bytes(4) + bytes(left - 13)
        )
        self.assertNotIn(3, [heard[0] for heard in self.server.heard])
        self.server.send(b"\0")
        self.assertEqual(self.server.heard[-1][2].hex(), "001312d0")
        self.assertEqual(self.session.bytesReceived, 1_250_000)

    def test_whatIsUnsaid(self) -> None:
        """
        They are counted, and discarded when the connection is lost.
        """
        self.open(True)
        self.session.receive(b"\3" + bytes(2 * SIZE), 20.0)
        self.assertGreater(self.session.unsaid, SIZE)
        self.assertEqual(len(self.session.connectionLost("gone")), 1)
        self.assertEqual((self.session.unsaid, self.session.dataToSend()), (0, b""))
        self.assertEqual(self.session.events, [])


class ClientAnswersTests(SynchronousTestCase):
    """
    What a client accepts as an answer.
    """

    def at(self, publishes: bool, steps: int) -> ScriptedServer:
        """
        @return: a server that has taken this many steps.
        """
        target = RTMPTarget.fromURL("rtmp://example.com/live/cam")
        session = ClientSession(0.0, pseudoRandom, target, publishes)
        server = ScriptedServer(
            lambda data: session.receive(data, 0.0), session.dataToSend
        )
        server.hear()
        for step in (
            server.shakeHands,
            lambda: server.command("_result", 1.0, None),
            lambda: server.command("_result", 4.0, None, 1.0),
        )[:steps]:
            step()
        self.session = session
        return server

    def test_ofAnotherCall(self) -> None:
        """
        An answer to something else, or to nothing, has no effect; a status other than a
        start does not start anything, and a second start has no effect.
        """
        for publishes, verb in ((True, "Publish"), (False, "Play")):
            for steps in range(1, 4):
                server = self.at(publishes, steps)
                state = self.session.state
                for name in ("_result", "_error"):
                    for transactionID in (2.0, 3.0, 6.0, 9.0):
                        said = information("NetConnection.Call.Failed", "error")
                        self.assertEqual(
                            server.command(name, transactionID, None, said), []
                        )
                start = f"NetStream.{verb}.Start"
                if steps < 3:
                    self.assertEqual(server.status(start), [])
                self.assertEqual(server.status(f"NetStream.{verb}.Reset"), [])
                self.assertIs(self.session.state, state)
            self.assertEqual(len(server.status(start)), 1)
            self.assertEqual(server.status(start), [])
            said = information("NetConnection.Call.Failed", "error")
            for transactionID in (0.0, 1.0, 4.0, 5.0):
                self.assertEqual(
                    server.command("_error", transactionID, None, said), []
                )

    def test_refusals(self) -> None:
        """
        C{_error} with the transaction id of the pending command, or with 0 before there
        is a stream.
        """
        for steps, answers, others in (
            (1, (0.0, 1.0), (4.0, 5.0)),
            (2, (0.0, 4.0), (1.0, 5.0)),
            (3, (5.0,), (0.0, 1.0, 4.0)),
        ):
            for transactionID in answers:
                server = self.at(True, steps)
                refused, ended = server.command("_error", transactionID, None)
                self.assertEqual((refused.code, ended.label), ("", "refused"))
            for transactionID in others:
                server = self.at(True, steps)
                self.assertEqual(server.command("_error", transactionID, None), [])

    def test_streamNumbers(self) -> None:
        """
        From 1 to 2^32 - 1.
        """
        for number, isGood in (
            (0.0, False),
            (0.5, False),
            (1.0, True),
            (4294967295.0, True),
            (4294967296.0, False),
            (float("nan"), False),
        ):
            server = self.at(True, 2)
            events = server.command("_result", 4.0, None, number)
            self.assertEqual(
                [e.label for e in events], ["bad-stream-id"] * (not isGood)
            )
            self.assertEqual(self.session.streamID, int(number) if isGood else 0)


class TurnTests(SynchronousTestCase):
    """
    A peer that sends more than can be handled in one turn.
    """

    def setUp(self) -> None:
        self.session = ServerSession(0.0, pseudoRandom)
        self.client = ScriptedClient(self.receive, self.session.dataToSend)
        self.events: list[Any] = []
        self.client.shakeHands()
        self.client.connect()
        self.session.accept(self.events[-1].requestID, 0.0)
        self.client.command("createStream", 4.0, None)
        self.client.publish("cam")
        self.session.accept(self.events[-1].requestID, 0.0)
        self.client.hear()
        self.events.clear()

    def receive(self, data: bytes) -> list[Any]:
        """
        The client sends bytes.
        """
        self.events += self.session.receive(data, 0.0)
        return []

    def turn(self, now: float = 1.0) -> list[Any]:
        """
        @return: the events of another turn.
        """
        self.assertTrue(self.session.isResting)
        self.events += self.session.takeTurn(now)
        return self.events

    def frames(self) -> list[tuple[int, bytes]]:
        """
        @return: timestamp and payload of all frames so far.
        """
        return [
            (frame.timestamp, frame.payload)
            for event in self.events
            for frame in event.frames
        ]

    def aggregate(self, count: int) -> bytes:
        """
        @return: an aggregate of this many parts; every tenth has an unknown type.
        """
        parts = []
        for number in range(count):
            kind = 11 if number % 10 == 9 else 8
            body = number.to_bytes(2, "big")
            parts.append(bytes([kind, 0, 0, 2]) + number.to_bytes(3, "big") + bytes(4))
            parts.append(body + (13).to_bytes(4, "big"))
        return b"".join(parts)

    def test_anAggregate(self) -> None:
        """
        Its parts are delivered in as many turns as needed, including those of unknown
        type; what follows it comes after them.
        """
        whole = self.aggregate(1250)
        after = self.client.message(8, b"after", timestamp=9000)
        self.client.send(self.client.message(22, whole, timestamp=100) + after)
        wanted = [(100 + n, n.to_bytes(2, "big")) for n in range(1250) if n % 10 != 9]
        # The aggregate itself is a unit of work, and so is each frame twice: as a part
        # and as a message.
        self.assertEqual(self.frames(), wanted[: len(self.frames())])
        self.assertEqual(len(self.frames()), 450)
        self.assertEqual(self.session.heldBytes(), len(whole) + len(after))
        self.turn()
        self.assertEqual(len(self.frames()), 900)
        self.turn()
        self.assertFalse(self.session.isResting)
        self.assertEqual(self.frames(), [*wanted, (9000, b"after")])
        self.assertEqual(self.session.heldBytes(), 0)
        self.session.say(3, 20, 0, b"unsaid")
        self.assertEqual(self.session.heldBytes(), self.session.unsaid)
        self.assertGreater(self.session.unsaid, 6)

    def test_aBrokenOne(self) -> None:
        """
        It ends the session in its turn, after the complete parts.
        """
        whole = self.aggregate(750) + b"\x08\0\0\7" + bytes(7)
        self.client.send(self.client.message(22, whole) + b"\xff")
        frames, ended, over = self.turn()[-3:]
        self.assertEqual(len(frames.frames), 225)
        self.assertEqual(over.label, "aggregate-truncated")
        self.assertIn("exceeds the aggregate", ended.reason)
        self.assertFalse(self.session.isResting)
        self.assertEqual(self.session.takeTurn(2.0), [])

    def test_theEndOfWhatIsLeft(self) -> None:
        """
        Closing a session discards the remaining parts.
        """
        self.client.send(self.client.message(22, self.aggregate(750)))
        self.assertTrue(self.session.isResting)
        self.session.dataToSend()
        self.session.close("enough", 0.0)
        self.assertFalse(self.session.isResting)
        self.assertEqual(self.session.heldBytes(), self.session.unsaid)
        self.client.send(b"")

    def test_aFaultInALaterTurn(self) -> None:
        """
        It is an error of the peer, as in the first turn.
        """
        empty = self.client.message(8, b"")
        self.client.send(empty * 750 + b"\xff")
        ended = self.turn()[-1]
        self.assertEqual(ended.label, "no-header")
        self.assertEqual(len(self.frames_(self.events)), 750)

    def frames_(self, events: list[Any]) -> list[Frame]:
        """
        @return: the frames in the events.
        """
        return [f for event in events for f in getattr(event, "frames", [])]

    def test_commandsTakeMore(self) -> None:
        """
        A command takes several times the work of a frame, and more if it is long; the
        work of data depends on the length. Control messages are like frames.
        """
        nothing = self.client.message(20, command("x", 0.0), 0)
        long = self.client.message(20, command("x", 0.0, "a" * 6400), 0)
        name = self.client.message(18, command("onCue"))
        cue = self.client.message(18, command("onCue", "a" * 6400))
        self.assertEqual((COMMAND_WORK, BYTES_OF_WORK), (4, 8))
        last = encodeMessage(7, 8, 0, 1, b"last", 128)
        for message, work in (
            (nothing, 6),
            (long, 5 + 802),
            (name, 2),
            (cue, 1 + 801),
            (self.client.message(4, b"\0\6\1\2\3\4", 0), 1),
            (self.client.message(8, b"a" * 6400), 1),
        ):
            allowed = -(-500 // work)
            self.client.send(message * allowed)
            self.assertFalse(self.session.isResting)
            self.client.send(message * allowed + last)
            self.events.clear()
            self.turn()
            self.assertEqual(self.frames(), [(0, b"last")], message[:12])

    def test_whenATurnIs(self) -> None:
        """
        The time of a request is when it is handled.
        """
        empty = self.client.message(8, b"")
        stop = self.client.message(20, command("closeStream", 0.0, None))
        again = self.client.message(20, command("publish", 0.0, None, "more"))
        self.client.send(empty * 750 + stop + again)
        self.turn(7.0)
        self.assertEqual(self.events[-1].stream, "more")
        self.assertEqual(self.session.deadline(), 7.0 + 10.0)


def command(name: str, *values: Any) -> bytes:
    """
    @return: a command or data message in AMF0.
    """
    return b"".join(amf0.encode(value) for value in (name, *values))
