"""
Tests of the chunk writer.
"""

from twisted.trial.unittest import SynchronousTestCase

from rtmptw.errors import LocalProtocolError
from rtmptw.rtmp.chunks import DEFAULT_CHUNK_SIZE
from rtmptw.rtmp.chunkwriter import ChunkWriter, encodeMessage
from tests.vectors import vectors


class ChunkWriterTests(SynchronousTestCase):
    """
    The headers that the writer chooses.
    """

    def test_everyVector(self) -> None:
        """
        Each sample is written as expected; where two forms are correct, in the one that
        all servers understand.
        """
        count = 0
        for vector in vectors("chunk-write"):
            writer = ChunkWriter()
            wire = b"".join(
                writer.write(
                    message["csid"],
                    message["type"],
                    message["timestamp"],
                    message["msid"],
                    bytes.fromhex(message["payload_hex"]),
                )
                for message in vector["input_messages"]
            )
            wanted = vector.get("alternative_hex", vector["expect"]["output_hex"])
            self.assertEqual(wire.hex(), wanted, vector["name"])
            count += 1
        self.assertEqual(count, 7)

    def test_repeatsExtendedTimestamps(self) -> None:
        """
        Every chunk of a message carries the extended timestamp of the first.
        """
        wire = encodeMessage(6, 9, 0x01020304, 1, bytes(300), 128)
        self.assertEqual(wire.count(b"\xc6\x01\x02\x03\x04"), 2)

    def test_whatCannotBeSaid(self) -> None:
        """
        Ids, lengths and sizes out of range are errors of the caller.
        """
        for chunkStream, payload, size in (
            (1, b"", 128),
            (32, b"", 128),
            (3, bytes(0x1000000), 128),
            (3, b"", 0),
            (3, b"", 0x1000000),
        ):
            with self.assertRaises(LocalProtocolError):
                encodeMessage(chunkStream, 9, 0, 1, payload, size)

    def test_aChunkSizeThatCannotBeSaid(self) -> None:
        """
        A Set Chunk Size out of range is rejected, and has no effect.
        """
        writer = ChunkWriter()
        for payload in (b"", bytes(4), b"\xff\xff\xff\xff"):
            with self.assertRaises(LocalProtocolError):
                writer.write(2, 1, 0, 0, payload)
        self.assertEqual(writer.chunkSize, DEFAULT_CHUNK_SIZE)

    def test_theLargestThatCanBeSaid(self) -> None:
        """
        The smallest and largest id, the smallest and largest chunk size, the longest
        message.
        """
        self.assertEqual(encodeMessage(2, 9, 0, 1, b"ab", 1)[-3:], b"a\xc2b")
        longest = encodeMessage(31, 9, 0, 1, bytes(0xFFFFFF), 0xFFFFFF)
        self.assertEqual(longest[:12].hex(), "1f000000ffffff0901000000")
        self.assertEqual(len(longest), 12 + 0xFFFFFF)

    def test_aPayloadAsLongAsAChunk(self) -> None:
        """
        It is one chunk; with one byte more it is two.
        """
        self.assertEqual(len(encodeMessage(6, 9, 0, 1, bytes(128), 128)), 12 + 128)
        self.assertEqual(len(encodeMessage(6, 9, 0, 1, bytes(129), 128)), 13 + 129)

    def test_whenATimestampIsExtended(self) -> None:
        """
        From 0xFFFFFF ms on; and it wraps at 32 bits.
        """
        self.assertEqual(
            encodeMessage(6, 9, 0xFFFFFE, 1, b"", 128)[1:4].hex(), "fffffe"
        )
        self.assertEqual(
            encodeMessage(6, 9, 0xFFFFFF, 1, b"", 128).hex(),
            "06ffffff000000090100000000ffffff",
        )
        self.assertEqual(
            encodeMessage(6, 9, 2**32 + 5, 1, b"", 128).hex(),
            "060000050000000901000000",
        )

    def test_theSmallestHeader(self) -> None:
        """
        Type 0 for the first message, for another message stream, for a timestamp that
        goes back and for a delta too large; type 1 for another length or type, type 2
        for another delta, type 3 for the same.
        """
        writer = ChunkWriter()
        headers = [
            writer.write(6, kind, time, stream, payload)[:4].hex()
            for kind, time, stream, payload in (
                (9, 0, 1, b"a"),
                # The delta is that of the first, which was 0.
                (9, 0, 1, b"a"),
                (9, 40, 1, b"a"),
                (9, 80, 1, b"a"),
                (9, 130, 1, b"b"),
                (9, 180, 1, b"bb"),
                (8, 230, 1, b"bb"),
                (8, 280, 1, b"bb"),
                (8, 280, 2, b"bb"),
                (8, 279, 2, b"bb"),
                (8, 279 + 0xFFFFFE, 2, b"bb"),
                (8, 279 + 0xFFFFFE + 0xFFFFFF, 2, b"bb"),
            )
        ]
        self.assertEqual(
            headers,
            [
                "06000000",
                "c661",
                "86000028",
                "c661",
                "86000032",
                "46000032",
                "46000032",
                "c66262",
                "06000118",
                "06000117",
                "86fffffe",
                "06ffffff",
            ],
        )

    def test_afterAnAbsoluteTime(self) -> None:
        """
        After an absolute timestamp, a delta of the same value is not sent as type 3:
        some readers take that as 0.
        """
        writer = ChunkWriter()
        writer.write(6, 9, 40, 1, b"a")
        self.assertEqual(writer.write(6, 9, 80, 1, b"a").hex(), "8600002861")
        self.assertEqual(writer.write(6, 9, 120, 1, b"a").hex(), "c661")

    def test_afterAnotherLength(self) -> None:
        """
        The delta that counts is that of the type 1 header.
        """
        writer = ChunkWriter()
        said = [
            writer.write(6, 9, time, 1, payload).hex()
            for time, payload in (
                (0, b"a"),
                (40, b"a"),
                (90, b"bb"),
                (130, b"bb"),
                (180, b"c"),
                (230, b"c"),
            )
        ]
        self.assertEqual(
            said[1:],
            [
                "8600002861",
                "46000032000002096262",
                "860000286262",
                "460000320000010963",
                "c663",
            ],
        )

    def test_theSizeOfChunksChanges(self) -> None:
        """
        After the message that sets it.
        """
        writer = ChunkWriter()
        # Bytes after the first four do not matter.
        writer.write(2, 1, 0, 0, bytes([0, 0, 0, 2, 7]))
        self.assertEqual(writer.chunkSize, 2)
        writer.write(2, 1, 0, 0, bytes([0, 0, 0, 1]))
        self.assertEqual(writer.chunkSize, 1)
        self.assertEqual(writer.write(6, 9, 0, 1, b"abc")[12:], b"a\xc6b\xc6c")
        writer.write(2, 1, 0, 0, bytes([0, 0xFF, 0xFF, 0xFF]))
        self.assertEqual(writer.chunkSize, 0xFFFFFF)
