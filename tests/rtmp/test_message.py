"""
Tests for L{rtmptw.rtmp.message}, byte by byte. Whole sessions are in the tests of the
sessions.
"""

from twisted.trial.unittest import SynchronousTestCase

from rtmptw.errors import RemoteProtocolError
from rtmptw.rtmp import amf0
from rtmptw.rtmp.amf import AMFObject
from rtmptw.rtmp.message import (
    Acknowledgement,
    Command,
    MessageType,
    SetChunkSize,
    SetPeerBandwidth,
    UserControl,
    UserControlEvent,
    WindowAcknowledgementSize,
    expandAggregate,
    parse,
)


class NumberTests(SynchronousTestCase):
    """
    The numbers in the specification.
    """

    def test_types(self) -> None:
        """
        As in RTMP 1.0, 5.4 and 7.1.
        """
        self.assertEqual(
            {member.name: member.value for member in MessageType},
            {
                "SET_CHUNK_SIZE": 1,
                "ABORT": 2,
                "ACKNOWLEDGEMENT": 3,
                "USER_CONTROL": 4,
                "WINDOW_ACKNOWLEDGEMENT_SIZE": 5,
                "SET_PEER_BANDWIDTH": 6,
                "AUDIO": 8,
                "VIDEO": 9,
                "DATA_AMF3": 15,
                "COMMAND_AMF3": 17,
                "DATA_AMF0": 18,
                "COMMAND_AMF0": 20,
                "AGGREGATE": 22,
            },
        )

    def test_userControlEvents(self) -> None:
        """
        As in RTMP 1.0, 7.1.7. There is no number 5.
        """
        self.assertEqual(
            {member.name: member.value for member in UserControlEvent},
            {
                "STREAM_BEGIN": 0,
                "STREAM_EOF": 1,
                "STREAM_DRY": 2,
                "SET_BUFFER_LENGTH": 3,
                "STREAM_IS_RECORDED": 4,
                "PING_REQUEST": 6,
                "PING_RESPONSE": 7,
            },
        )


class ControlTests(SynchronousTestCase):
    """
    Control messages.
    """

    def test_eachIsReadAndWritten(self) -> None:
        """
        Byte by byte. A message that is too short is ignored, and so are extra bytes.
        """
        for message, kind, body in (
            (SetChunkSize(0x01020304), 1, "01020304"),
            (Acknowledgement(0xFFFFFFFF), 3, "ffffffff"),
            (UserControl(0x0102, 0x03040506), 4, "0102 03040506"),
            (WindowAcknowledgementSize(0x01020304), 5, "01020304"),
            (SetPeerBandwidth(0x01020304, 1), 6, "01020304 01"),
        ):
            data = bytes.fromhex(body)
            self.assertEqual(message.encode(), (kind, data))
            self.assertEqual(parse(kind, data), message)
            self.assertEqual(parse(kind, data + b"\xff"), message)
            needed = data[:4] if kind == 6 else data
            self.assertIsNone(parse(kind, needed[:-1]))

    def test_theKindOfALimit(self) -> None:
        """
        Dynamic by default.
        """
        message = parse(6, bytes.fromhex("01020304"))
        assert isinstance(message, SetPeerBandwidth)
        self.assertEqual((message.size, message.limitType), (0x01020304, 2))
        kind, payload = SetPeerBandwidth(5).encode()
        self.assertEqual((kind, payload.hex()), (6, "0000000502"))

    def test_whatSaysNothing(self) -> None:
        """
        Other types are not an error.
        """
        for kind in (0, 2, 7, 8, 9, 15, 18, 19, 22, 255):
            self.assertIsNone(parse(kind, bytes(11)), kind)


class CommandTests(SynchronousTestCase):
    """
    Commands and their answers.
    """

    def test_itsParts(self) -> None:
        """
        A name, a transaction id and the arguments, in AMF0; also with AMF3's type, with
        or without the format selector.
        """
        payload = amf0.encode("play", 4.0, None, "cam", -2000.0)
        command = Command("play", 4.0, (None, "cam", -2000.0))
        self.assertEqual(command.encode(), (20, payload))
        self.assertEqual(parse(20, payload), command)
        self.assertEqual(parse(17, payload), command)
        self.assertEqual(parse(17, b"\0" + payload), command)
        with self.assertRaises(RemoteProtocolError):
            parse(20, b"\0" + payload)
        shortest = Command("close", 4.0, ())
        self.assertEqual(parse(*shortest.encode()), shortest)

    def test_howManyValues(self) -> None:
        """
        A thousand are decoded: more would take more time than a command is worth.
        """
        name = amf0.encode("x")
        parse(20, name + b"\5" * 999)
        array = b"\x0a\0\0\x03\xe7" + b"\5" * 999
        for payload, taken in ((name + b"\5" * 1000, 998), (name + array, 0)):
            command = parse(20, payload)
            assert isinstance(command, Command)
            self.assertEqual((command.name, len(command.values)), ("x", taken))
            with self.assertRaises(RemoteProtocolError) as caught:
                amf0.decodeAll(payload, most=1000)
            self.assertEqual(caught.exception.label, "amf-too-many-values")
            self.assertEqual(
                str(caught.exception), "1001 values, at most 1000 are allowed"
            )

    def test_anObjectThatHasNoEnd(self) -> None:
        """
        It ends with the command, as in metadata.
        """
        payload = amf0.encode("connect", 1.0, {"app": "live"})
        whole = Command("connect", 1.0, (AMFObject([("app", "live")]),))
        self.assertEqual(parse(20, payload), whole)
        self.assertEqual(parse(20, payload[:-3]), whole)

    def test_whatFollowsItsValues(self) -> None:
        """
        The data can be invalid: it is an error only when an argument from it is
        requested, and not for the arguments before it.
        """
        payload = amf0.encode("publish", 5.0, None, "cam")
        for rest in (b"\0", b"\xff", b"\2\0\4liv", bytes(5)):
            command = parse(20, payload + rest)
            assert isinstance(command, Command)
            self.assertEqual(command.values, (None, "cam"))
            self.assertEqual(command.argument(0), "cam")
            with self.assertRaises(RemoteProtocolError):
                command.argument(1)
        command = parse(20, payload[:-1])
        assert isinstance(command, Command)
        with self.assertRaises(RemoteProtocolError) as caught:
            command.argument(0)
        self.assertEqual(caught.exception.label, "amf-truncated")

    def test_withoutItsNull(self) -> None:
        """
        The arguments come first then.
        """
        for values in (("cam", 1.0), (None, "cam", 1.0), (AMFObject([]), "cam", 1.0)):
            command = Command("play", 4.0, values)
            self.assertEqual(
                [command.argument(n) for n in (0, 1, 2)], ["cam", 1.0, None]
            )
        self.assertEqual(Command("deleteStream", 4.0, (1.0,)).argument(0), 1.0)
        self.assertIs(Command("pause", 4.0, (None, True)).argument(0), True)

    def test_itsArguments(self) -> None:
        """
        They are counted after the command object; C{None} if there are no more.
        """
        command = Command("play", 4.0, (None, "cam", -2000.0))
        arguments = [command.argument(index) for index in range(3)]
        self.assertEqual(arguments, ["cam", -2000.0, None])
        self.assertIsNone(Command("createStream", 2.0, ()).argument(0))

    def test_aNumberThatIsMissing(self) -> None:
        """
        No answer is expected, as with 0.
        """
        for values in ((), (None,), ("4",), (True,)):
            payload = amf0.encode("close", *values)
            self.assertEqual(parse(20, payload), Command("close", 0.0, ()))

    def test_aNameThatIsMissing(self) -> None:
        """
        It is an error.
        """
        for payload, what in ((b"", "NoneType"), (amf0.encode(1.0, "play"), "float")):
            with self.assertRaises(RemoteProtocolError) as caught:
                parse(20, payload)
            self.assertEqual(caught.exception.label, "bad-command")
            self.assertEqual(
                str(caught.exception),
                f"a command must begin with its name, not with {what}",
            )


class AggregateTests(SynchronousTestCase):
    """
    Several messages in one (RTMP 1.0, 7.1.6).
    """

    def part(self, kind: int, timestamp: str, payload: bytes) -> bytes:
        """
        @param timestamp: its four bytes, the highest last.
        @return: an FLV tag with its back pointer.
        """
        size = len(payload)
        return (
            bytes([kind])
            + size.to_bytes(3, "big")
            + bytes.fromhex(timestamp)
            + b"\xee\xee\xee"
            + payload
            + (size + 11).to_bytes(4, "big")
        )

    def test_partsKeepTheirDistances(self) -> None:
        """
        The first has the timestamp of the aggregate, in 32 bits.
        """
        whole = (
            self.part(9, "02030401", b"first")
            + self.part(8, "02031401", b"")
            + self.part(18, "00000080", bytes(0x10203))
        )
        self.assertEqual(
            list(expandAggregate(1000, whole)),
            [
                (9, 1000, b"first"),
                (8, 1016, b""),
                (18, 1000 + 0x80000000 - 0x01020304, bytes(0x10203)),
            ],
        )
        self.assertEqual(
            [time for _, time, _ in expandAggregate(0xFFFFFFF8, whole)][:2],
            [0xFFFFFFF8, 8],
        )
        self.assertEqual(list(expandAggregate(1000, b"")), [])

    def test_theLastBackPointerMayBeMissing(self) -> None:
        """
        Nothing else may be missing.
        """
        first, last = self.part(8, "00000000", b"a"), self.part(9, "01000000", b"bc")
        parts = [(8, 5, b"a"), (9, 0x10005, b"bc")]
        for cut in range(5):
            data = first + last[: len(last) - cut]
            self.assertEqual(list(expandAggregate(5, data)), parts)
        for size in range(1, len(last) - 4):
            found = expandAggregate(5, first + last[:size])
            self.assertEqual(next(found), parts[0])
            with self.assertRaises(RemoteProtocolError) as caught:
                next(found)
            self.assertEqual(caught.exception.label, "aggregate-truncated")
        self.assertEqual(
            str(caught.exception),
            "a part of 2 bytes at offset 16 exceeds the aggregate message of 28 bytes",
        )


class AcknowledgementTests(SynchronousTestCase):
    """
    The number of bytes received.
    """

    def test_itHas32Bits(self) -> None:
        """
        It wraps after that (RTMP 1.0, 5.4.3).
        """
        for count, body in (
            (0, "00000000"),
            (0xFFFFFFFF, "ffffffff"),
            (0x1_0000_0001, "00000001"),
        ):
            messageType, payload = Acknowledgement(count).encode()
            self.assertEqual((messageType, payload.hex()), (3, body))
            self.assertEqual(
                parse(messageType, payload), Acknowledgement(count & 0xFFFFFFFF)
            )
