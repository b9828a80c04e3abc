"""
Tests of the chunk reader's state table: every edge is taken.
"""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from rtmptw.errors import LocalProtocolError, RemoteProtocolError
from rtmptw.rtmp.chunkreader import ChunkReader
from rtmptw.rtmp.chunkstates import CHUNK_TRANSITIONS, ChunkStep, Expect
from rtmptw.rtmp.chunkwriter import encodeMessage
from tests.messages import Calling

#: A message at 0x01000000 ms.
EXTENDED = "06 ffffff 000002 09 01000000 01000000 6162"
TOO_LONG = "ffffff 0b 01000000"

#: The bytes that lead to a state, those that make the step, and the label of the
#: resulting error. A word is a method of the reader.
EDGES: dict[tuple[Expect, ChunkStep], tuple[str, str, str]] = {
    (Expect.BASIC_HEADER, ChunkStep.TYPE_0_TO_2): ("", "06", ""),
    (Expect.BASIC_HEADER, ChunkStep.TYPE_3_EXTENDED): (EXTENDED, "c6", ""),
    (Expect.BASIC_HEADER, ChunkStep.WHOLE): (
        "06 000000 000002 09 01000000 6162",
        "c6",
        "",
    ),
    (Expect.BASIC_HEADER, ChunkStep.EMPTY): ("06 000000 000000 09 01000000", "c6", ""),
    (Expect.BASIC_HEADER, ChunkStep.HOLD): ("", "hold", ""),
    (Expect.BASIC_HEADER, ChunkStep.END): ("", "c6", "no-header"),
    (Expect.MESSAGE_HEADER, ChunkStep.MARKER): (
        "06 ffffff 000002 09 010000",
        "00",
        "",
    ),
    (Expect.MESSAGE_HEADER, ChunkStep.WHOLE): ("06 000000 000002 09 010000", "00", ""),
    (Expect.MESSAGE_HEADER, ChunkStep.EMPTY): ("06 000000 000000 09 010000", "00", ""),
    (Expect.MESSAGE_HEADER, ChunkStep.END): (
        f"06 000000 {TOO_LONG}"[:-2],
        "00",
        "message-too-large",
    ),
    (Expect.EXTENDED_TIMESTAMP, ChunkStep.WHOLE): (
        "06 ffffff 000002 09 01000000 010000",
        "00",
        "",
    ),
    (Expect.EXTENDED_TIMESTAMP, ChunkStep.EMPTY): (
        "06 ffffff 000000 09 01000000 010000",
        "00",
        "",
    ),
    (Expect.EXTENDED_TIMESTAMP, ChunkStep.END): (
        f"06 ffffff {TOO_LONG} 010000",
        "00",
        "message-too-large",
    ),
    (Expect.PAYLOAD, ChunkStep.CHUNK): ("06 000000 000002 09 01000000 61", "62", ""),
    (Expect.PAYLOAD, ChunkStep.END): (
        "02 000000 000004 01 00000000 000000",
        "00",
        "bad-set-chunk-size",
    ),
    (Expect.RELEASE, ChunkStep.RELEASE): ("hold", "release", ""),
    (Expect.BASIC_HEADER, ChunkStep.REST): (
        "",
        "06 000000 000000 09 01000000" + "c6" * 500,
        "",
    ),
    (Expect.RELEASE, ChunkStep.END): ("hold", "00", "too-much-unread"),
}


def readerIn(state: Expect) -> ChunkReader:
    """
    @return: a reader in this state.
    """
    reader = ChunkReader(Calling(lambda *message: None))
    if state is Expect.NOTHING:
        reader.giveUp()
    else:
        move(
            reader,
            next(
                before for (there, _), (before, _, _) in EDGES.items() if there is state
            ),
        )
    return reader


def move(reader: ChunkReader, how: str) -> None:
    """
    Pass it bytes, or call its method.
    """
    if how in ("hold", "release"):
        getattr(reader, how)()
    else:
        reader.receive(bytes.fromhex(how))


class EdgeTests(SynchronousTestCase):
    """
    The table and the reader agree.
    """

    def test_everyEdge(self) -> None:
        """
        Each edge of the table leads from its state to the next, and all of them are
        tested.
        """
        table = {
            (state, step): following
            for state, steps in CHUNK_TRANSITIONS.items()
            for step, following in steps.items()
        }
        self.assertEqual(set(EDGES), set(table))
        self.assertEqual(set(CHUNK_TRANSITIONS), set(Expect))
        for (state, step), (before, act, label) in EDGES.items():
            where = f"{state.value}: {step.value}"
            reader = ChunkReader(Calling(lambda *message: None))
            if label == "too-much-unread":
                act = "00" * (reader.MAX_HELD + 1)
            if before:
                move(reader, before)
            self.assertIs(reader.expecting, state, where)
            if label:
                with self.assertRaises(RemoteProtocolError) as caught:
                    move(reader, act)
                self.assertEqual(caught.exception.label, label)
            else:
                move(reader, act)
            self.assertIs(reader.expecting, table[state, step], where)

    def test_everyEdgeOneByteAtATime(self) -> None:
        """
        The same if each byte arrives alone.
        """
        for (state, step), (before, act, label) in EDGES.items():
            if label or before == "hold" or act == "hold":
                continue
            reader = ChunkReader(Calling(lambda *message: None))
            for byte in bytes.fromhex(before):
                reader.receive(bytes([byte]))
            self.assertIs(reader.expecting, state)
            move(reader, act)
            self.assertIs(reader.expecting, CHUNK_TRANSITIONS[state][step])

    def test_givenUpInAnyState(self) -> None:
        """
        The state is then NOTHING; giving up again, holding, releasing and receiving
        have no effect.
        """
        for state in Expect:
            reader = readerIn(state)
            self.assertIs(reader.expecting, state)
            for _time in range(2):
                reader.giveUp()
                reader.hold()
                reader.release()
                reader.receive(b"\xc9" * 100)
                self.assertIs(reader.expecting, Expect.NOTHING)

    def test_holdAndReleaseOutOfOrder(self) -> None:
        """
        They are errors of the caller, and have no effect.
        """
        for state in Expect:
            if state is Expect.NOTHING:
                continue
            for step, call in (
                (ChunkStep.HOLD, "hold"),
                (ChunkStep.RELEASE, "release"),
            ):
                if step in CHUNK_TRANSITIONS[state]:
                    continue
                reader = readerIn(state)
                with self.assertRaises(LocalProtocolError) as caught:
                    move(reader, call)
                self.assertIn(state.value, str(caught.exception))
                self.assertIs(reader.expecting, state)


class FaultTests(SynchronousTestCase):
    """
    The state after an error.
    """

    def test_nothingMoreIsDelivered(self) -> None:
        """
        A reader that met an error ignores what follows.
        """
        found: list[Any] = []
        reader = ChunkReader(Calling(lambda *message: found.append(message)))
        good = encodeMessage(4, 8, 1, 1, b"good", 128)
        with self.assertRaises(RemoteProtocolError):
            reader.receive(good + b"\xc9" + good)
        reader.receive(good)
        reader.release()
        self.assertEqual(found, [(8, 1, 1, b"good", 4)])

    def test_theReceiverFails(self) -> None:
        """
        The position in the data is lost then: nothing more is read.
        """
        found: list[Any] = []

        def fail(*message: Any) -> None:
            found.append(message)
            raise ZeroDivisionError

        reader = ChunkReader(Calling(fail))
        good = encodeMessage(4, 8, 1, 1, b"good", 128)
        with self.assertRaises(ZeroDivisionError):
            reader.receive(good * 2)
        reader.receive(good)
        self.assertEqual(len(found), 1)
        self.assertIs(reader.expecting, Expect.NOTHING)

    def test_whatIsKnownChangesWithAWholeHeader(self) -> None:
        """
        A chunk stream does not change at any byte before the last of a header.
        """
        for wire in (
            "46 000001 000003 08",
            "86 000001",
            "06 ffffff 000003 08 02000000 01020304",
        ):
            reader = ChunkReader(Calling(lambda *message: None))
            reader.receive(bytes.fromhex("06 000005 000002 09 01000000 6162"))
            stream = reader._near[6]
            assert stream is not None

            def known(stream: Any = stream) -> list[Any]:
                return [
                    getattr(stream, name)
                    for name in ("timestamp", "length", "type", "streamID", "pending")
                ]

            before = known()
            data = bytes.fromhex(wire)
            for byte in data[:-1]:
                reader.receive(bytes([byte]))
                self.assertEqual(known(), before)
            reader.receive(data[-1:])
            self.assertNotEqual(known(), before)

    def test_anExtendedTimestampLeftOut(self) -> None:
        """
        By an old encoder, before payload that begins like one: wherever the data is
        cut, no payload is lost.
        """
        payload = bytes(128) + b"\x00\x00\x07" + bytes(range(60))
        wire = bytes.fromhex("06 ffffff 0000bf 09 01000000 01000000") + payload[:128]
        wire += b"\xc6" + payload[128:]
        for cut in range(1, len(wire)):
            found: list[bytes] = []
            reader = ChunkReader(
                Calling(lambda *message, to=found: to.append(message[3]))
            )
            reader.receive(wire[:cut])
            reader.receive(wire[cut:])
            self.assertEqual(found, [payload], cut)
