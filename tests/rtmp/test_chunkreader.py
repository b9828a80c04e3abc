"""
Tests of the chunk reader.
"""

import hashlib
import tracemalloc
import weakref
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rtmptw.errors import RemoteProtocolError
from rtmptw.rtmp.chunkreader import ChunkReader
from rtmptw.rtmp.chunks import DEFAULT_CHUNK_SIZE, Limits
from rtmptw.rtmp.chunkstates import Expect
from rtmptw.rtmp.chunkwriter import ChunkWriter, encodeMessage
from tests.messages import Calling
from tests.vectors import vectors

Message = tuple[int, int, int, bytes, int]


def readAll(
    data: bytes, cuts: list[int], state: dict[str, Any] | None = None
) -> tuple[list[Message], str | None, ChunkReader]:
    """
    Feed C{data}, cut at C{cuts}.

    @return: the messages, the label of the error that ended it, the reader.
    """
    state = state or {}
    limits = state.get("limits", {})
    messages: list[Message] = []

    def deliver(*message: Any) -> None:
        messages.append(message)

    reader = ChunkReader(
        Calling(deliver),
        Limits(
            maxMedia=limits.get("max_message", 10 * 1024 * 1024),
            maxPartial=limits.get("max_partial", 16 * 1024 * 1024),
        ),
    )
    if "chunk_size" in state:
        reader.chunkSize = state["chunk_size"]
    start = 0
    try:
        for cut in [*cuts, len(data)]:
            reader.receive(data[start:cut])
            while reader.isResting:
                reader.takeTurn()
            start = cut
    except RemoteProtocolError as error:
        return messages, error.label, reader
    return messages, None, reader


def waysToCut(data: bytes, vector: dict[str, Any]) -> list[list[int]]:
    """
    Whole, byte by byte, and as the vector gives it.
    """
    return [[], list(range(1, len(data))), *vector.get("splits", [])]


def inputOf(vector: dict[str, Any]) -> bytes:
    """
    The whole input of a vector.
    """
    if "input_hex" in vector:
        return bytes.fromhex(vector["input_hex"])
    return b"".join(
        bytes.fromhex(part["hex"]) * part.get("repeat", 1)
        for part in vector["input_parts"]
    )


class ChunkReaderVectorTests(SynchronousTestCase):
    """
    The byte-level cases.
    """

    def test_everyVectorHoweverItIsCut(self) -> None:
        """
        Each sample gives the same messages whole, byte by byte and at its splits.
        """
        count = 0
        for vector in vectors("chunk-read"):
            expected = vector["expect"]
            data = inputOf(vector)
            for cuts in waysToCut(data, vector):
                found, error, reader = readAll(data, cuts, vector.get("state"))
                where = f"{vector['name']} in {len(cuts) + 1} pieces"
                self.assertEqual(error, expected.get("error"), where)
                self.assertEqual(len(found), len(expected["messages"]), where)
                for (kind, time, stream, payload, chunkStream), wanted in zip(
                    found, expected["messages"], strict=True
                ):
                    self.assertEqual(
                        (chunkStream, kind, time, stream, len(payload)),
                        (
                            wanted["csid"],
                            wanted["type"],
                            wanted["timestamp"],
                            wanted["msid"],
                            wanted["length"],
                        ),
                        where,
                    )
                    if "payload_hex" in wanted:
                        self.assertEqual(payload.hex(), wanted["payload_hex"], where)
                    else:
                        self.assertEqual(
                            hashlib.sha256(payload).hexdigest(),
                            wanted["payload_sha256"],
                            where,
                        )
                if "chunk_size_after" in expected:
                    self.assertEqual(
                        reader.chunkSize, expected["chunk_size_after"], where
                    )
            count += 1
        self.assertEqual(count, 33)

    def test_everyHostileVectorHoweverItIsCut(self) -> None:
        """
        Each hostile sample ends with its error, or gives its messages.
        """
        count = 0
        for vector in vectors("hostile"):
            if "decoder" in vector:
                continue
            expected = vector["expect"]
            data = inputOf(vector)
            for cuts in waysToCut(data, vector):
                found, error, _ = readAll(data, cuts, vector.get("state"))
                where = f"{vector['name']} in {len(cuts) + 1} pieces"
                self.assertEqual(error, expected.get("error"), where)
                if "message_count" in expected:
                    self.assertEqual(len(found), expected["message_count"], where)
                if "last_sha256" in expected:
                    self.assertEqual(
                        hashlib.sha256(found[-1][3]).hexdigest(),
                        expected["last_sha256"],
                        where,
                    )
            count += 1
        self.assertEqual(count, 8)

    def test_aTailIsLeftForLater(self) -> None:
        """
        A sample followed by the first bytes of another message gives the same messages,
        and the remaining bytes complete that one.
        """
        extra = encodeMessage(7, 9, 5, 1, b"more", DEFAULT_CHUNK_SIZE)
        for vector in vectors("chunk-read"):
            if vector.get("state") or "error" in vector["expect"]:
                continue
            data = inputOf(vector)
            wanted, _, _ = readAll(data, [])
            for cut in range(1, len(extra)):
                found: list[Any] = []
                reader = ChunkReader(
                    Calling(lambda *message, to=found: to.append(message))
                )
                reader.receive(data + extra[:cut])
                self.assertEqual(found, wanted, vector["name"])
                reader.receive(extra[cut:])
                self.assertEqual(found[:-1], wanted, vector["name"])
                self.assertEqual(found[-1], (9, 5, 1, b"more", 7), vector["name"])


class ChunkReaderTests(SynchronousTestCase):
    """
    What the reader guarantees beyond the vectors.
    """

    def test_saysWhatItExpects(self) -> None:
        """
        After each byte the state is named for what comes next.
        """
        reader = ChunkReader(Calling(lambda *message: None))
        data = bytes.fromhex("06ffffff0000020901000000010000006162")
        states = []
        for byte in data:
            states.append(reader.expecting)
            reader.receive(bytes([byte]))
        self.assertEqual(
            states,
            [Expect.BASIC_HEADER]
            + [Expect.MESSAGE_HEADER] * 11
            + [Expect.EXTENDED_TIMESTAMP] * 4
            + [Expect.PAYLOAD] * 2,
        )
        self.assertEqual(reader.expecting, Expect.BASIC_HEADER)

    def test_messagesBeforeAFaultAreDelivered(self) -> None:
        """
        Messages complete before the peer's error are not lost.
        """
        good = encodeMessage(4, 8, 1, 1, b"good", 128)
        found, error, _ = readAll(good + b"\xc9", [])
        self.assertEqual(error, "no-header")
        self.assertEqual(found, [(8, 1, 1, b"good", 4)])

    def test_aLongIdentifierMayBeWrittenEitherWay(self) -> None:
        """
        Chunk stream 64 is the same with a two-byte and a three-byte header.
        """
        data = bytes.fromhex("000000000100000109010000006181000000000162")
        found, error, _ = readAll(data, [])
        self.assertIsNone(error)
        self.assertEqual(
            [(m[1], m[3], m[4]) for m in found], [(1, b"a", 64), (2, b"b", 64)]
        )

    def test_tooManyChunkStreams(self) -> None:
        """
        The 65th chunk stream ends the connection, the 64th does not.
        """
        data = b"".join(encodeMessage(2 + n % 30, 9, 0, 1, b"", 128) for n in range(30))
        for csid in range(32, 66):
            header = bytes([csid]) if csid < 64 else bytes([0, csid - 64])
            data += header + bytes.fromhex("0000000000000901000000")
        found, error, _ = readAll(data, [])
        self.assertEqual(error, None)
        self.assertEqual(len(found), 64)
        _, error, _ = readAll(
            data + bytes([0, 2]) + bytes.fromhex("0000000000000901000000"), []
        )
        self.assertEqual(error, "too-many-chunk-streams")

    def test_boundsDifferByType(self) -> None:
        """
        A command of 64 KiB is accepted and one byte more is not; media can have 10 MiB,
        whether or not the chunk stream is known.
        """
        known = encodeMessage(3, 8, 0, 1, b"", 128)
        for kind, bound in (
            (20, 64 * 1024),
            (17, 64 * 1024),
            (8, 10 * 1024 * 1024),
            (9, 10 * 1024 * 1024),
            (18, 10 * 1024 * 1024),
        ):
            for before in (b"", known):
                for size, wanted in ((bound, None), (bound + 1, "message-too-large")):
                    header = b"\x03\0\0\0" + size.to_bytes(3, "big") + bytes([kind])
                    _, error, _ = readAll(before + header + bytes(4), [])
                    self.assertEqual(error, wanted)

    def test_aFloodOfEmptyMessages(self) -> None:
        """
        A limited number is delivered in one turn; the others follow in the next turns,
        and after them the data that arrived meanwhile.
        """
        found: list[int] = []
        reader = ChunkReader(Calling(lambda *message: found.append(message[1])))
        reader.takeTurn()
        self.assertFalse(reader.isResting)
        reader.receive(bytes.fromhex("040000010000000801000000") + b"\xc4" * 1498)
        self.assertTrue(reader.isResting)
        self.assertEqual(found, list(range(1, 501)))
        reader.receive(b"\xc4")
        self.assertEqual(len(found), 500)
        reader.takeTurn()
        self.assertEqual(len(found), 1000)
        self.assertTrue(reader.isResting)
        reader.takeTurn()
        self.assertFalse(reader.isResting)
        self.assertEqual(found, list(range(1, 1501)))
        # Five hundred with nothing after them are no reason to rest.
        reader.receive(b"\xc4" * 500)
        self.assertFalse(reader.isResting)
        self.assertEqual(found, list(range(1, 2001)))
        # A new read is a new turn.
        reader.receive(b"\xc4" * 499)
        reader.receive(b"\xc4" * 499)
        self.assertFalse(reader.isResting)
        self.assertEqual(len(found), 2998)
        reader.receive(b"\xc4" * 501)
        self.assertTrue(reader.isResting)
        reader.giveUp()
        self.assertFalse(reader.isResting)
        reader.takeTurn()
        self.assertEqual(len(found), 3498)

    def test_whatTakesMoreWork(self) -> None:
        """
        A message that takes more work than a frame leaves less for others in the same
        turn.
        """
        found: list[bytes] = []
        left: list[bool] = []

        def deliver(*message: Any) -> None:
            found.append(message[3])
            left.append(reader.spend(249))

        reader = ChunkReader(Calling(deliver))
        data = b"".join(encodeMessage(4, 8, 0, 1, bytes([n]), 128) for n in range(5))
        reader.receive(data)
        self.assertEqual(found, [b"\0", b"\1"])
        self.assertEqual(left, [True, False])
        reader.takeTurn()
        self.assertEqual(found[2:], [b"\2", b"\3"])
        self.assertTrue(reader.isResting)
        reader.takeTurn()
        self.assertEqual(found[4:], [b"\4"])
        self.assertFalse(reader.isResting)

    def test_smallPiecesTakeNoMemory(self) -> None:
        """
        The pieces of a long message that arrives two bytes at a time are joined early.
        """
        size = 1_000_000
        found: list[bytes] = []
        reader = ChunkReader(Calling(lambda *message: found.append(message[3])))
        payload = bytes(range(250)) * (size // 250)
        data = encodeMessage(6, 9, 0, 1, payload, 0xFFFFFF)
        reader.receive(bytes.fromhex("02000000000004010000000000ffffff"))
        for start in range(0, len(data), 2):
            reader.receive(data[start : start + 2])
            if start == len(data) - 4:
                stream = reader._near[6]
                assert stream is not None
                pieces = stream.pieces
                self.assertLess(len(pieces), 2048)
        self.assertEqual(found[1], payload)

    def test_whenPiecesAreJoined(self) -> None:
        """
        Every 1024 pieces, if they have less than 1 MiB; counted anew for each message.
        """
        reader = ChunkReader(Calling(lambda *message: None))
        reader.receive(bytes.fromhex("02000000000004010000000000ffffff"))

        def pieces() -> int:
            stream = reader._near[6]
            assert stream is not None
            return len(stream.pieces)

        def begin(last: int) -> None:
            # 1 MiB and 1024 bytes, in pieces of 1024 bytes.
            reader.receive(bytes.fromhex("06 000000 100400 09 01000000"))
            for _ in range(1023):
                reader.receive(bytes(1024))
            self.assertEqual(pieces(), 1023)
            reader.receive(bytes(last))

        reader.receive(bytes.fromhex("06 000000 001000 09 01000000"))
        for number in range(1, 4096):
            reader.receive(b"\0")
            # Pieces that were joined, and those since.
            self.assertEqual(pieces(), number // 1024 + number % 1024)
        reader.receive(b"\0")
        for last, count in ((1023, 1), (1024, 1024), (1023, 1)):
            begin(last)
            self.assertEqual(pieces(), count)
            reader.receive(b"\0")
            self.assertEqual(pieces(), count + 1)
            reader.receive(bytes(2048 - last - 1))
            self.assertEqual(pieces(), 0)
        # Small pieces after large ones.
        reader.receive(bytes.fromhex("06 000000 100800 09 01000000"))
        for size in (1024, 1):
            for _ in range(1024):
                reader.receive(bytes(size))
        self.assertEqual(pieces(), 1025)
        reader.receive(bytes(1024))
        # An Abort can lie between two chunks.
        reader.receive(bytes.fromhex("42 000000 000004 01 00100000"))
        begin(1024)
        reader.receive(bytes.fromhex("42 000000 000004 02 00000006"))
        begin(1023)
        self.assertEqual(pieces(), 1)

    def test_heldMessagesWait(self) -> None:
        """
        While a decision is pending nothing is delivered; afterwards everything is, in
        order, with the chunk size as changed meanwhile.
        """
        order: list[bytes] = []

        def deliver(*message: Any) -> None:
            order.append(message[3])
            if message[3] == b"ask":
                reader.hold()

        reader = ChunkReader(Calling(deliver))
        data = (
            encodeMessage(3, 20, 0, 0, b"ask", 128)
            + encodeMessage(4, 8, 0, 1, b"one", 128)
            + encodeMessage(2, 1, 0, 0, (4096).to_bytes(4, "big"), 128)
            + encodeMessage(4, 8, 0, 1, b"t" * 1000, 4096)
        )
        reader.receive(data[:40])
        self.assertEqual(order, [b"ask"])
        reader.receive(data[40:])
        self.assertEqual(order, [b"ask"])
        reader.release()
        self.assertEqual(order[1:], [b"one", b"\0\0\x10\0", b"t" * 1000])

    def test_manyHolds(self) -> None:
        """
        Each of thousands of messages in one delivery can hold the rest: none is lost,
        and the rest is not copied each time.
        """
        order: list[bytes] = []

        def deliver(*message: Any) -> None:
            order.append(message[3])
            reader.hold()

        reader = ChunkReader(Calling(deliver))
        payloads = [number.to_bytes(4, "big") * 50 for number in range(20000)]
        data = b"".join(encodeMessage(3, 20, 0, 0, p, 128) for p in payloads)
        reader.receive(data[:-1])
        for count in range(1, len(payloads)):
            self.assertEqual(len(order), count)
            reader.release()
            if reader.isResting:
                reader.takeTurn()
        self.assertEqual(len(order), len(payloads) - 1)
        reader.receive(data[-1:])
        self.assertEqual(order, payloads)

    def test_holdsAreNoNewTurns(self) -> None:
        """
        A turn has no more work if one of its messages holds the rest. Only a new turn
        renews it.
        """
        found: list[int] = []

        def deliver(*message: Any) -> None:
            found.append(message[0])
            if message[0] == 20:
                reader.hold()

        ask = encodeMessage(3, 20, 0, 0, b"ask", 128)
        flood = encodeMessage(4, 8, 0, 1, b"", 128) + b"\xc4" * 199
        reader = ChunkReader(Calling(deliver))
        reader.receive(ask + flood + ask + flood)
        reader.receive(ask + flood)
        self.assertEqual(len(found), 1)
        reader.takeTurn()
        self.assertEqual(len(found), 1, "it is held")
        reader.release()
        reader.release()
        self.assertEqual(len(found), 403)
        reader.receive(flood)
        reader.release()
        self.assertEqual(len(found), 501)
        self.assertTrue(reader.isResting)
        reader.takeTurn()
        self.assertEqual(len(found), 803)
        self.assertFalse(reader.isResting)

    def test_heldWithinAHeader(self) -> None:
        """
        The received part of a long id is not lost, whatever was held before.
        """
        found: list[bytes] = []

        def deliver(*message: Any) -> None:
            found.append(message[3])
            if message[0] == 20:
                reader.hold()

        reader = ChunkReader(Calling(deliver))
        ask = encodeMessage(3, 20, 0, 0, b"ask", 128)
        long = bytes.fromhex("00c2 000000000001090100000061")
        reader.receive(ask + encodeMessage(4, 8, 0, 1, b"one", 128) + long[:1])
        reader.release()
        self.assertEqual(found, [b"ask", b"one"])
        reader.hold()
        reader.receive(long[1:5])
        reader.receive(long[5:])
        self.assertEqual(found, [b"ask", b"one"])
        reader.release()
        self.assertEqual(found, [b"ask", b"one", b"a"])
        reader = ChunkReader(Calling(deliver))
        reader.receive(long[:1])
        reader.hold()
        reader.receive(long[1:])
        reader.release()
        self.assertEqual(found[3:], [b"a"])

    def test_whatItHolds(self) -> None:
        """
        The bytes received but not delivered: of unfinished messages with short and long
        ids, of an incomplete header, and of data that is held.
        """
        reader = ChunkReader(Calling(lambda *message: None))
        self.assertEqual(reader.heldBytes(), 0)
        near = encodeMessage(6, 9, 0, 1, bytes(300), 128)
        reader.receive(near[: 12 + 100])
        self.assertEqual(reader.heldBytes(), 100)
        reader.receive(near[12 + 100 : 12 + 128 + 1 + 50])
        self.assertEqual(reader.heldBytes(), 178)
        reader.receive(near[12 + 128 + 1 + 50 : 12 + 128 + 1 + 128])
        far = b"\0\1" + bytes.fromhex("000000 0000c8 08 01000000") + bytes(128)
        reader.receive(far)
        self.assertEqual(reader.heldBytes(), 256 + 128)
        reader.receive(b"\xc6" + bytes(44))
        self.assertEqual(reader.heldBytes(), 128)
        reader.receive(b"\xc0\1" + bytes(72))
        self.assertEqual(reader.heldBytes(), 0)
        reader.receive(near[:1])
        reader.receive(near[1:5])
        self.assertEqual(reader.heldBytes(), 4)
        reader = ChunkReader(Calling(lambda *message: reader.hold()))
        ask = encodeMessage(3, 20, 0, 0, b"ask", 128)
        reader.receive(ask * 3)
        self.assertEqual(reader.heldBytes(), 2 * len(ask))
        reader.release()
        self.assertEqual(reader.heldBytes(), len(ask))
        reader.giveUp()
        self.assertEqual(reader.heldBytes(), 0)

    def test_heldBytesAreBounded(self) -> None:
        """
        A peer that keeps sending without waiting for an answer is disconnected.
        """
        reader = ChunkReader(Calling(lambda *message: None))
        reader.hold()
        reader.receive(bytes(reader.MAX_HELD))
        with self.assertRaises(RemoteProtocolError) as caught:
            reader.receive(b"1")
        self.assertEqual(caught.exception.label, "too-much-unread")

    def test_theBounds(self) -> None:
        """
        The limits are those documented.
        """
        reader = ChunkReader(Calling(lambda *message: None))
        self.assertEqual(reader.WORK, 500)
        self.assertEqual(reader.MAX_HELD, 4_194_304)
        self.assertEqual(DEFAULT_CHUNK_SIZE, 128)

    def test_whichMessagesMayBeLong(self) -> None:
        """
        Audio, video, data and aggregate messages; none of the other types.
        """
        size = (65_537).to_bytes(3, "big")
        found = {
            kind
            for kind in range(256)
            if readAll(b"\x03\0\0\0" + size + bytes([kind, 0, 0, 0, 0]), [])[1] is None
        }
        self.assertEqual(found, {8, 9, 15, 18, 22})

    def test_whatIsGivenUpIsGone(self) -> None:
        """
        Unfinished messages, with any id, and held data are freed at once.
        """

        def begin(reader: ChunkReader, basic: str) -> None:
            reader.chunkSize = 2**20
            reader.receive(bytes.fromhex(basic + "000000 100000 09 01000000"))
            reader.receive(bytes(2**20 - 1))

        def hold(reader: ChunkReader) -> None:
            reader.hold()
            reader.receive(bytes(2**20))

        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        for fill in (
            lambda reader: begin(reader, "06"),
            lambda reader: begin(reader, "0000"),
            hold,
        ):
            before, _ = tracemalloc.get_traced_memory()
            reader = ChunkReader(Calling(lambda *message: None))
            fill(reader)
            taken, _ = tracemalloc.get_traced_memory()
            self.assertGreater(taken - before, 2**20 - 1000)
            reader.giveUp()
            left, _ = tracemalloc.get_traced_memory()
            self.assertLess(left - before, 2**16)

    def test_theReceiverIsLetGo(self) -> None:
        """
        A reader that has given up drops its receiver, because it may be kept longer.
        """
        receiver = Calling(lambda *message: None)
        kept = weakref.ref(receiver)
        reader = ChunkReader(receiver)
        del receiver
        self.assertIsNotNone(kept())
        reader.giveUp()
        self.assertIsNone(kept())

    def test_abortMakesRoom(self) -> None:
        """
        Data discarded by an Abort no longer counts toward the limit of partial data.
        """
        begun = b"\x06\0\0\0" + (900).to_bytes(3, "big") + b"\x09\1\0\0\0" + bytes(128)
        abort = bytes.fromhex("020000000000040200000000") + b"\0\0\0\x06"
        found, error, _ = readAll(
            (begun + abort) * 20, [], {"limits": {"max_partial": 1000}}
        )
        self.assertIsNone(error)
        self.assertEqual(len(found), 20)


messages = st.lists(
    st.tuples(
        st.sampled_from([8, 9, 18, 20]),
        st.one_of(
            st.integers(0, 2**32 - 1),
            st.sampled_from([0, 0xFFFFFE, 0xFFFFFF, 0x1000000, 0xFFFFFFFF]),
        ),
        st.integers(0, 3),
        st.one_of(st.binary(max_size=400), st.binary(max_size=20)),
        st.integers(2, 31),
    ),
    max_size=30,
)


class RoundTripTests(SynchronousTestCase):
    """
    The reader reads what the writer writes, however the network cuts it.
    """

    @settings(deadline=None)
    @given(
        messages, st.sampled_from([1, 2, 7, 128, 129, 4096]), st.randoms(), st.data()
    )
    def test_anyMessagesAnyCuts(
        self, sent: list[Message], chunkSize: int, random: Any, data: Any
    ) -> None:
        """
        Any messages, any chunk size, any cuts.
        """
        writer = ChunkWriter()
        wire = writer.write(2, 1, 0, 0, chunkSize.to_bytes(4, "big"))
        for kind, time, stream, payload, chunkStream in sent:
            wire += writer.write(chunkStream, kind, time, stream, payload)
        cuts = sorted(random.sample(range(len(wire) + 1), min(10, len(wire))))
        found, error, _ = readAll(wire, cuts)
        self.assertIsNone(error)
        self.assertEqual(found[1:], sent)

    def within(self, wire: bytes, size: int) -> tuple[list[int], list[int]]:
        """
        @return: the byte counts after which a message has begun and is not delivered,
            and those after which one was delivered.
        """
        ends: list[int] = []
        within: list[int] = []
        reader = ChunkReader(Calling(lambda *message: ends.append(position)))
        reader.chunkSize = size
        for position in range(len(wire)):
            reader.receive(wire[position : position + 1])
            if reader.isWithin:
                within.append(position)
        return within, ends

    @settings(deadline=None)
    @given(messages, st.sampled_from([1, 7, 128, 4096]))
    def test_isWithin(self, sent: list[Message], chunkSize: int) -> None:
        """
        True from the first byte of a message until it is delivered.
        """
        wire = b"".join(
            encodeMessage(chunkStream, kind, time, stream, payload, chunkSize)
            for kind, time, stream, payload, chunkStream in sent
        )
        within, ends = self.within(wire, chunkSize)
        self.assertEqual(len(ends), len(sent))
        self.assertEqual(sorted(within + ends), list(range(len(wire))))

    def test_isWithinOneBehindAnother(self) -> None:
        """
        A message between the chunks of another one does not make it false.
        """
        long = encodeMessage(6, 9, 0, 1, bytes(200), 128)
        short = encodeMessage(4, 8, 0, 1, bytes(10), 128)
        wire = long[: 12 + 128] + short + long[12 + 128 :]
        within, ends = self.within(wire, 128)
        self.assertEqual(within, list(range(len(wire) - 1)))
        self.assertEqual(len(ends), 2)

    @settings(deadline=None)
    @given(messages, st.sampled_from([1, 5, 128, 4096]))
    def test_selfContained(self, sent: list[Message], chunkSize: int) -> None:
        """
        A message with a self-contained header depends on nothing before it: any message
        works alone, or all in a row.
        """
        whole = b""
        for message in sent:
            kind, time, stream, payload, chunkStream = message
            wire = encodeMessage(chunkStream, kind, time, stream, payload, chunkSize)
            whole += wire
            found, error, _ = readAll(wire, [], {"chunk_size": chunkSize})
            self.assertEqual((found, error), ([message], None))
        found, error, _ = readAll(whole, [], {"chunk_size": chunkSize})
        self.assertEqual((found, error), (sent, None))

    @settings(deadline=None)
    @given(
        st.lists(
            st.tuples(st.integers(4, 8), st.binary(min_size=1, max_size=900)),
            min_size=1,
            max_size=8,
        ),
        st.sampled_from([1, 3, 16, 128]),
        st.randoms(),
    )
    def test_interleavedMessages(
        self, sent: list[tuple[int, bytes]], chunkSize: int, random: Any
    ) -> None:
        """
        Chunks of messages on several chunk streams, interleaved in any order, give each
        message whole.
        """
        queues: dict[int, list[bytes]] = {}
        for chunkStream, payload in sent:
            wire = encodeMessage(chunkStream, 9, 9, 1, payload, chunkSize)
            chunks = [wire[: 12 + chunkSize]]
            rest = wire[12 + chunkSize :]
            chunks += [
                rest[n : n + chunkSize + 1] for n in range(0, len(rest), chunkSize + 1)
            ]
            queues.setdefault(chunkStream, []).extend(chunks)
        wire = b""
        while queues:
            chosen = random.choice(sorted(queues))
            wire += queues[chosen].pop(0)
            if not queues[chosen]:
                del queues[chosen]
        cuts = sorted(random.sample(range(len(wire) + 1), min(5, len(wire))))
        found, error, _ = readAll(wire, cuts, {"chunk_size": chunkSize})
        self.assertIsNone(error)
        for chunkStream in {number for number, _ in sent}:
            self.assertEqual(
                [m[3] for m in found if m[4] == chunkStream],
                [payload for number, payload in sent if number == chunkStream],
            )

    @settings(deadline=None, max_examples=400)
    @given(st.binary(max_size=600), st.randoms())
    def test_garbage(self, data: bytes, random: Any) -> None:
        """
        Any bytes give messages or RemoteProtocolError, nothing else; and the same
        result wherever they are cut.
        """
        whole = readAll(data, [])
        cuts = sorted(random.sample(range(len(data) + 1), min(6, len(data))))
        pieces = readAll(data, cuts)
        self.assertEqual(whole[0], pieces[0])
        self.assertEqual(whole[1], pieces[1])


class BoundTests(SynchronousTestCase):
    """
    Each limit to the byte, and how a message is uncounted.
    """

    def begun(self, chunkStreamID: int, length: int) -> bytes:
        """
        @return: the first chunk of a longer message.
        """
        header = bytes([chunkStreamID, 0, 0, 0]) + length.to_bytes(3, "big")
        return header + b"\x09\1\0\0\0" + bytes(128)

    def test_partialData(self) -> None:
        """
        Unfinished messages can have as many bytes as the limit, and not one more.
        """
        for second, error in ((400, None), (401, "too-much-partial-data")):
            data = self.begun(6, 600) + self.begun(7, second)
            _, found, _ = readAll(data, [], {"limits": {"max_partial": 1000}})
            self.assertEqual(found, error)

    def test_wholeMessagesCountOnce(self) -> None:
        """
        Short messages after a long one do not free any room.
        """
        before = encodeMessage(6, 9, 0, 1, bytes(600), 128)
        before += encodeMessage(6, 9, 0, 1, b"", 128) * 3
        for length, error in ((1000, None), (1001, "too-much-partial-data")):
            wire = before + self.begun(6, length)
            _, found, _ = readAll(wire, [], {"limits": {"max_partial": 1000}})
            self.assertEqual(found, error)

    def test_aChunkIsNoPartialData(self) -> None:
        """
        A message of one chunk does not count, however long it is; with one byte more it
        does.
        """
        for length, error in ((128, None), (129, "too-much-partial-data")):
            data = self.begun(6, length)[: 12 + 100]
            _, found, _ = readAll(data, [], {"limits": {"max_partial": 100}})
            self.assertEqual(found, error)
            # Again, with a one-byte header.
            wire = encodeMessage(6, 9, 0, 1, bytes(length), 128)
            limits = {"limits": {"max_partial": length - 1}}
            _, found, _ = readAll(wire + b"\xc6" + bytes(10), [], limits)
            self.assertEqual(found, error)
            # On a known chunk stream, with each other header.
            known = encodeMessage(6, 9, 0, 1, b"", 128)
            short = b"\x46\0\0\0" + length.to_bytes(3, "big") + b"\x09"
            for header in (wire[:12], short):
                _, found, _ = readAll(known + header + bytes(10), [], limits)
                self.assertEqual(found, error)

    def test_nothingIsPromisedAfterwards(self) -> None:
        """
        Messages that were completed or aborted no longer count, in any order and form.
        """
        long = encodeMessage(6, 9, 0, 1, bytes(600), 128)
        far = b"\0\2" + long[1 : 12 + 128]
        abort = bytes.fromhex("020000000000040200000000")
        for wire in (
            long,
            self.begun(6, 600) + abort + b"\0\0\0\x06" + long,
            far + abort + b"\0\0\0\x42" + long,
            # After the abort, a message of one chunk on the same chunk stream.
            self.begun(6, 600)
            + abort
            + b"\0\0\0\x06"
            + encodeMessage(6, 9, 0, 1, b"", 128)
            + long,
        ):
            for cuts in ([], list(range(1, len(wire)))):
                messages, error, reader = readAll(wire * 5, cuts)
                self.assertIsNone(error)
                self.assertEqual(messages[-1][3], bytes(600))
                self.assertFalse(reader.isWithin)
                self.assertEqual(reader._promised, 0)

    def test_abortOfNothing(self) -> None:
        """
        An Abort for an unknown chunk stream, or one without an unfinished message, has
        no effect; nor has a message that is not an Abort.
        """
        abort = bytes.fromhex("020000000000040200000000")
        none = encodeMessage(4, 8, 0, 1, b"\0\0\0\6", 128)
        begun = self.begun(6, 200)
        rest = b"\xc6" + bytes(72)
        for what in (b"\0\0\0\x07", b"\0\0\x01\0", b"\0\0\0\x3f", b"\0\0\0\x40"):
            messages, error, _ = readAll(begun + abort + what + none + rest, [])
            self.assertIsNone(error)
            self.assertEqual([len(m[3]) for m in messages], [4, 4, 200])

    def test_abortOfTooFewBytes(self) -> None:
        """
        It is an error, because it has no chunk stream id.
        """
        for size in range(5):
            abort = bytes.fromhex(f"0200000000000{size}0200000000") + bytes(size)
            reader = ChunkReader(Calling(lambda *message: None))
            if size == 4:
                reader.receive(abort)
                continue
            with self.assertRaises(RemoteProtocolError) as caught:
                reader.receive(abort)
            self.assertEqual(caught.exception.label, "bad-abort")
            self.assertEqual(
                str(caught.exception), f"Abort message of {size} bytes, needs 4"
            )

    def test_aMessageStaysWhatItIs(self) -> None:
        """
        A new header within a message can repeat its values, but not change them.
        """
        begun = bytes.fromhex("06 000000 0000c8 09 01000000") + bytes(128)
        for header, error in (
            ("06 000000 0000c8 09 01000000", None),
            ("46 000000 0000c8 09", None),
            ("86 000000", None),
            ("06 000000 0000c7 09 01000000", "header-change-mid-message"),
            ("06 000000 0000c8 08 01000000", "header-change-mid-message"),
            ("06 000000 0000c8 09 02000000", "header-change-mid-message"),
        ):
            found, label, _ = readAll(begun + bytes.fromhex(header) + bytes(72), [])
            self.assertEqual(label, error)
            self.assertEqual(found, [] if error else [(9, 0, 1, bytes(200), 6)])

    def test_abortOfEachKindOfIdentifier(self) -> None:
        """
        Nothing of the message remains.
        """
        header = bytes.fromhex("000000 000258 09 01000000") + bytes(128)
        for basic, chunkStreamID in (
            (b"\x02", 2),
            (b"\x3f", 63),
            (b"\0\0", 64),
            (b"\0\xff", 319),
            (b"\1\0\1", 320),
        ):
            begun = basic + header
            self.assertTrue(readAll(begun, [])[2].isWithin)
            # Bytes after the first four do not matter.
            for more in (b"", b"\7"):
                payload = chunkStreamID.to_bytes(4, "big") + more
                wire = begun + encodeMessage(3, 2, 0, 0, payload, 128)
                messages, error, reader = readAll(wire, [])
                self.assertEqual((len(messages), error), (1, None))
                self.assertFalse(reader.isWithin)

    def test_chunkSizes(self) -> None:
        """
        From 1 to 2^31 - 1; a size above the maximum message length means that length.
        """
        head = bytes.fromhex("020000000000040100000000")
        for size, taken in (
            (1, 1),
            (0xFFFFFE, 0xFFFFFE),
            (0xFFFFFF, 0xFFFFFF),
            (0x1000000, 0xFFFFFF),
            (0x7FFFFFFF, 0xFFFFFF),
            (0, None),
            (0x80000000, None),
        ):
            _, error, reader = readAll(head + size.to_bytes(4, "big"), [])
            if taken is None:
                self.assertEqual(error, "bad-set-chunk-size")
            else:
                self.assertIsNone(error)
                self.assertEqual(reader.chunkSize, taken)
        _, error, _ = readAll(bytes.fromhex("020000000000030100000000000001"), [])
        self.assertEqual(error, "bad-set-chunk-size")
        # Bytes after the first four do not matter.
        more = bytes.fromhex("0200000000000501000000000000010001")
        self.assertEqual(readAll(more, [])[2].chunkSize, 256)

    def test_heldToTheByte(self) -> None:
        """
        The limit counts all bytes held, however they arrive, without those already
        delivered.
        """

        def deliver(*message: Any) -> None:
            reader.hold()

        reader = ChunkReader(Calling(deliver))
        ask = encodeMessage(3, 20, 0, 0, b"ask", 128)
        reader.receive(ask + bytes(10))
        reader.receive(bytes(reader.MAX_HELD - 10))
        with self.assertRaises(RemoteProtocolError) as caught:
            reader.receive(b"1")
        self.assertEqual(caught.exception.label, "too-much-unread")

    def test_anExtendedTimestampCounts(self) -> None:
        """
        Absolute, as a delta and repeated, with each way to repeat it after a type 3
        header that begins a message.
        """
        first = bytes.fromhex("06ffffff0000020901000000010000006162")
        for repeated, time in (
            ("01000000", 0x2000000),
            ("00000000", 0x2000000),
            ("02000000", 0x2000000),
        ):
            wire = first + b"\xc6" + bytes.fromhex(repeated) + b"cd"
            for cuts in ([], list(range(1, len(wire)))):
                messages, error, _ = readAll(wire, cuts)
                self.assertIsNone(error)
                self.assertEqual(
                    [(m[1], m[3]) for m in messages],
                    [(0x1000000, b"ab"), (time, b"cd")],
                )
        wire = first + bytes.fromhex("86ffffff010000056364")
        messages, _, _ = readAll(wire, [])
        self.assertEqual(messages[1][1], 0x2000005)

    def test_theNextTimeIsRepeated(self) -> None:
        """
        By a peer that repeats the message's timestamp instead of the delta.
        """
        wire = bytes.fromhex("06ffffff0000020901000000 01000001 6162")
        wire += bytes.fromhex("86ffffff 01000000 6364 c6 03000001 6566")
        for cuts in ([], list(range(1, len(wire)))):
            found, _, _ = readAll(wire, cuts)
            self.assertEqual(
                [(m[1], m[3]) for m in found],
                [(0x1000001, b"ab"), (0x2000001, b"cd"), (0x3000001, b"ef")],
            )

    def test_messageStreamsAreKnownApart(self) -> None:
        """
        A header without a message stream id uses that of its chunk stream.
        """
        wire = encodeMessage(4, 8, 0, 7, b"a", 128) + encodeMessage(
            6, 9, 0, 1, b"b", 128
        )
        wire += bytes.fromhex("44000000000001 08 63 86000000 64 c4 65")
        for cuts in ([], list(range(1, len(wire)))):
            found, _, _ = readAll(wire, cuts)
            self.assertEqual([m[2] for m in found], [7, 1, 7, 1, 7])

    def test_extendedInManyChunks(self) -> None:
        """
        Wherever the data is cut.
        """
        payload = bytes(range(60))
        wire = encodeMessage(6, 9, 0x1000000, 1, payload, 4)
        for cut in range(len(wire)):
            found, _, _ = readAll(wire, [cut], {"chunk_size": 4})
            self.assertEqual(found, [(9, 0x1000000, 1, payload, 6)])

    def test_extendedFromWithin(self) -> None:
        """
        A peer that sends an extended timestamp within a message repeats it from there
        on.
        """
        wire = bytes.fromhex("06 000000 00000c 09 01000000") + b"abcd"
        wire += bytes.fromhex("06 ffffff 00000c 09 01000000 01000000") + b"efgh"
        wire += b"\xc6" + bytes(4) + b"ijkl"
        found, _, _ = readAll(wire, [], {"chunk_size": 4})
        self.assertEqual(found, [(9, 0, 1, b"abcdefghijkl", 6)])

    def test_whoRepeatsItOnce(self) -> None:
        """
        A peer that repeats it once is taken to repeat it always, whatever the value.
        Zeros do not prove that: they may be payload.
        """
        first = bytes.fromhex("06ffffff00000c0901000000 01000000") + b"abcd"
        odd = bytes.fromhex("77777777")
        for shown, following, payload in (
            (bytes.fromhex("01000000"), odd, b"abcdefghijkl"),
            (bytes(4), b"", b"abcdefghijkl"),
            (bytes(4), odd, b"abcdefgh" + odd),
        ):
            wire = first + b"\xc6" + shown + b"efgh" + b"\xc6" + following + b"ijkl"
            for cuts in ([], list(range(1, len(wire)))):
                found, _, _ = readAll(wire, cuts, {"chunk_size": 4})
                self.assertEqual(found[:1], [(9, 0x1000000, 1, payload, 6)])

    def test_whoLeavesItOut(self) -> None:
        """
        A peer that omits it more than once is taken to omit it always: zeros are
        payload then. If it has repeated it, any value counts as repeated.
        """
        begin = bytes.fromhex("06ffffff00001c0901000000 01000000") + b"abcd"
        payloads = [b"efgh", b"ijkl", bytes(4), b"\0\0\0\7", b"mnop", bytes(3) + b"q"]
        wire = begin + b"".join(b"\xc6" + payload for payload in payloads)
        for cut in range(1, len(wire)):
            found, error, _ = readAll(wire, [cut], {"chunk_size": 4})
            self.assertIsNone(error)
            self.assertEqual(
                found, [(9, 0x1000000, 1, b"abcd" + b"".join(payloads), 6)], cut
            )
        # Once can be chance, in a peer that repeats zeros.
        wire = begin + b"\xc6efgh" + (b"\xc6" + bytes(4) + b"ijkl") * 5
        found, error, _ = readAll(wire, [], {"chunk_size": 4})
        self.assertEqual(found[0][3], b"abcdefgh" + b"ijkl" * 5)
        # Not in one that repeats the real value.
        repeated = b"\xc6\1\0\0\0"
        wire = begin + repeated + b"efgh" + b"\xc6" + b"ijkl" * 2
        wire += b"\xc6" + bytes(4) + b"mnop" + (b"\xc6qrst" + b"uvwx") * 3
        found, error, _ = readAll(wire, [], {"chunk_size": 4})
        self.assertEqual(found[0][3], b"abcdefghijklmnop" + b"uvwx" * 3)

    def test_whatFollowsIsNotExtended(self) -> None:
        """
        After a header without an extended timestamp, none is expected.
        """
        wire = bytes.fromhex("06ffffff000002090100000001000000") + b"ab"
        wire += bytes.fromhex("86000005") + b"cd" + b"\xc6" + b"\0\0"
        messages, error, _ = readAll(wire, [])
        self.assertIsNone(error)
        self.assertEqual(
            [(m[1], m[3]) for m in messages],
            [(0x1000000, b"ab"), (0x1000005, b"cd"), (0x100000A, b"\0\0")],
        )

    def test_itBeginsWithType1(self) -> None:
        """
        An unknown chunk stream starts at timestamp 0 on message stream 0, whatever was
        sent on others.
        """
        before = encodeMessage(4, 8, 7, 0x01020304, b"ab", 128)
        wire = before + bytes.fromhex("42000005000001140a")
        for cuts in ([], list(range(1, len(wire)))):
            found, error, _ = readAll(wire, cuts)
            self.assertIsNone(error)
            self.assertEqual(found[1], (20, 5, 0, b"\n", 2))

    def test_itCannotBeginShorter(self) -> None:
        """
        It cannot begin with type 2 or 3, because the message length is unknown.
        """
        before = encodeMessage(4, 8, 7, 1, b"ab", 128)
        for start in (b"\x86\0\0\0ab", b"\xc6ab", b"\x80\0\0\0\0ab", b"\xc0\0ab"):
            wire = before + start
            for cuts in ([], list(range(1, len(wire)))):
                found, error, _ = readAll(wire, cuts)
                self.assertEqual(error, "no-header")
                self.assertEqual(len(found), 1)

    def test_runsOfAnyLength(self) -> None:
        """
        In small chunks, whole, cut in two, and with another message between any two of
        the chunks.
        """
        short = encodeMessage(4, 8, 0, 1, b"ab", 4)
        for size in range(1, 41):
            payload = bytes(range(size))
            wire = encodeMessage(6, 9, 0, 1, payload, 4)
            state = {"chunk_size": 4}
            for cut in range(1, len(wire)):
                messages, error, _ = readAll(wire, [cut], state)
                self.assertEqual((messages, error), ([(9, 0, 1, payload, 6)], None))
            for at in range(16, len(wire), 5):
                whole = wire[:at] + short + wire[at:]
                for cuts in ([], [14]):
                    messages, error, _ = readAll(whole, cuts, state)
                    self.assertIsNone(error)
                    self.assertEqual([m[3] for m in messages], [b"ab", payload])

    def test_shortAndLongIdentifiers(self) -> None:
        """
        63 is the last id with one-byte headers between chunks.
        """
        payload = bytes(200) + bytes(range(100))
        for chunkStreamID, basic in ((63, "3f"), (64, "0000"), (319, "00ff")):
            for chunkSize in (30, 128):
                wire = bytes.fromhex(basic + "00000000012c0901000000")
                between = bytes.fromhex(basic)
                between = bytes([between[0] | 0xC0]) + between[1:]
                wire += between.join(
                    payload[start : start + chunkSize]
                    for start in range(0, len(payload), chunkSize)
                )
                for cuts in ([], [40], list(range(1, len(wire)))):
                    messages, error, _ = readAll(wire, cuts, {"chunk_size": chunkSize})
                    self.assertIsNone(error)
                    self.assertEqual(messages, [(9, 0, 1, payload, chunkStreamID)])

    def test_everyByteOfAHeader(self) -> None:
        """
        Each byte counts, whether the chunk stream is new or known, and whether or not
        the header arrived in one piece.
        """
        payload = bytes(0x012345)
        for head, wanted in (
            ("06 010203 012345 09 04030281", (0x010203, 0x81020304)),
            ("46 010203 012345 09", (0x010203, 0)),
        ):
            wire = bytes.fromhex(head) + payload
            again = bytes.fromhex("86 010203") + payload
            for cuts in ([], [3], [6, len(wire) + 2]):
                messages, error, _ = readAll(
                    wire + again + wire, cuts, {"chunk_size": 0x012345}
                )
                self.assertIsNone(error)
                time, stream = wanted
                third = time if head.startswith("06") else 3 * time
                self.assertEqual(
                    [(m[0], m[1], m[2], len(m[3])) for m in messages],
                    [
                        (9, time, stream, 0x012345),
                        (9, 2 * time, stream, 0x012345),
                        (9, third, stream, 0x012345),
                    ],
                )
