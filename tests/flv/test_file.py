"""
Tests for L{rtmptw.flv.file}.
"""

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rtmptw.errors import LocalProtocolError, RemoteProtocolError
from rtmptw.flv import file as flvfile
from rtmptw.flv.file import Tag, TagReader

SAMPLE = (
    flvfile.fileHeader(True, False)
    + flvfile.tag(18, 0, b"meta")
    + flvfile.tag(8, 23, b"")
    + flvfile.tag(9, 0x01020304, b"picture")
)
TAGS = [Tag(18, 0, b"meta"), Tag(8, 23, b""), Tag(9, 0x01020304, b"picture")]

tagLists = st.lists(
    st.builds(
        Tag,
        st.sampled_from([8, 9, 18]),
        st.integers(0, 2**32 - 1),
        st.binary(max_size=100),
    ),
    max_size=6,
)


def reading(data: bytes) -> Callable[[int, int], bytes]:
    """
    @return: the function that L{flvfile.walk} reads with.
    """
    return lambda position, size: data[position : position + size]


class HeaderTests(SynchronousTestCase):
    """
    The header of a file from another program.
    """

    def test_itsSizeHas32Bits(self) -> None:
        """
        A longer header is skipped, up to a limit.
        """
        body = SAMPLE[flvfile.HEADER_SIZE :]
        longer = SAMPLE[:5] + (12).to_bytes(4, "big") + b"new" + body
        self.assertEqual(TagReader().receive(longer), TAGS)
        longest = SAMPLE[:5] + (4096).to_bytes(4, "big") + bytes(4096 - 9) + body
        self.assertEqual(TagReader().receive(longest), TAGS)
        for size in (8, 4097, 0x01000009):
            with self.assertRaises(RemoteProtocolError) as caught:
                TagReader().receive(SAMPLE[:5] + size.to_bytes(4, "big") + body)
            self.assertEqual(
                str(caught.exception), f"FLV header of {size} bytes, must be 9 to 4096"
            )

    def test_itsFlags(self) -> None:
        """
        They are known as soon as the header is complete, and then none of it is kept.
        """
        for flags in [(False, False), (False, True), (True, False), (True, True)]:
            reader = TagReader()
            header = flvfile.fileHeader(*flags)
            self.assertEqual(reader.receive(header[:-1]), [])
            self.assertEqual((reader.hasAudio, reader.hasVideo), (False, False))
            self.assertEqual(reader.waiting, 12)
            self.assertEqual(reader.receive(header[-1:]), [])
            self.assertEqual((reader.hasAudio, reader.hasVideo), flags)
            self.assertEqual(reader.waiting, 0)


class WritingTests(SynchronousTestCase):
    """
    The bytes of a file.
    """

    def test_theHeaderSaysWhatIsThere(self) -> None:
        """
        Signature, flags, header size, and a back pointer of 0 (E.2, E.3).
        """
        ahead, behind = b"FLV\x01", b"\x00\x00\x00\x09\x00\x00\x00\x00"
        for audio, video, byte in [
            (False, False, b"\x00"),
            (False, True, b"\x01"),
            (True, False, b"\x04"),
            (True, True, b"\x05"),
        ]:
            header = flvfile.fileHeader(audio, video)
            self.assertEqual(header, ahead + byte + behind)
            self.assertEqual(len(header), flvfile.FIRST_TAG)
            self.assertEqual(header[flvfile.FLAGS_OFFSET :][:1], byte)

    def test_theHighByteOfTheTimestampComesLast(self) -> None:
        """
        Type, size, the three low bytes, the high byte, stream id, body, back pointer.
        """
        self.assertEqual(
            flvfile.tag(9, 0x01020304, b"ab"),
            bytes.fromhex("09 000002 020304 01 000000 6162 0000000d"),
        )

    def test_theTimestampKeeps32Bits(self) -> None:
        """
        Timestamps beyond 2^32 wrap in the file.
        """
        self.assertEqual(flvfile.tag(8, 2**32 + 5, b"x"), flvfile.tag(8, 5, b"x"))

    def test_aBodyHas24Bits(self) -> None:
        """
        The largest body is accepted, one byte more is not.
        """
        self.assertEqual(
            flvfile.tagHeader(9, 0, flvfile.MAX_BODY)[:4], b"\x09\xff\xff\xff"
        )
        self.assertRaises(
            LocalProtocolError, flvfile.tagHeader, 9, 0, flvfile.MAX_BODY + 1
        )

    def test_theSizeOfATagIsKnownBefore(self) -> None:
        """
        C{wholeSize} is the size of the result of C{tag}.
        """
        self.assertEqual(len(flvfile.tag(9, 0, b"abc")), flvfile.wholeSize(3))


class TagReaderTests(SynchronousTestCase):
    """
    Reading a file that arrives in pieces.
    """

    def test_theWholeFileAtOnce(self) -> None:
        """
        Every tag is returned, and the flags of the header are known.
        """
        reader = TagReader()
        self.assertEqual(reader.receive(SAMPLE), TAGS)
        self.assertEqual((reader.hasAudio, reader.hasVideo), (True, False))
        self.assertEqual(reader.waiting, 0)

    def test_byteByByte(self) -> None:
        """
        Any split of the bytes gives the same tags.
        """
        reader = TagReader()
        tags = [tag for byte in SAMPLE for tag in reader.receive(bytes([byte]))]
        self.assertEqual(tags, TAGS)

    def test_aLargeBody(self) -> None:
        """
        Its size has three bytes.
        """
        large = Tag(9, 0, bytes(0x010203))
        data = flvfile.fileHeader(True, True) + flvfile.tag(9, 0, large.payload)
        self.assertEqual(TagReader().receive(data), [large])
        [mark] = flvfile.walk(reading(data), len(data))
        self.assertEqual((mark.size, mark.end), (0x010203, len(data)))

    def test_withATail(self) -> None:
        """
        An incomplete tag is kept.
        """
        reader = TagReader()
        self.assertEqual(reader.receive(SAMPLE[:-1]), TAGS[:-1])
        self.assertEqual(reader.waiting, 11 + 7 + 3)
        self.assertEqual(reader.receive(SAMPLE[-1:]), TAGS[-1:])

    def test_aLongerHeaderIsSkipped(self) -> None:
        """
        The header gives its own size.
        """
        longer = b"FLV\x01\x05\x00\x00\x00\x0cabc" + SAMPLE[9:]
        self.assertEqual(TagReader().receive(longer), TAGS)

    def test_whatIsNoFLVIsRefused(self) -> None:
        """
        A wrong signature, or a header of implausible size, is an error.
        """
        for data in [
            b"RIFF",
            b"FLX",
            b"FLV\x02",
            b"FLV\x01\x05\x00\x00\x00\x08",
            b"FLV\x01\x05\x00\x00\x10\x01",
        ]:
            error = self.assertRaises(RemoteProtocolError, TagReader().receive, data)
            self.assertEqual(error.label, "not-flv")

    def test_anEncryptedFileIsRefused(self) -> None:
        """
        The filter bit means that the body is encrypted.
        """
        whole = TagReader().receive(SAMPLE)
        self.assertGreater(len(whole), 0)
        reader = TagReader()
        # Tags received together with it are not lost.
        self.assertEqual(reader.receive(SAMPLE + b"\x29" + bytes(10)), whole)
        error = self.assertRaises(RemoteProtocolError, reader.receive, b"")
        self.assertEqual(error.label, "flv-encrypted")

    @given(tagLists, st.integers(1, 50))
    def test_whatIsWrittenIsRead(self, tags: list[Tag], step: int) -> None:
        """
        Any tags, in pieces of any size.
        """
        data = flvfile.fileHeader(True, True) + b"".join(
            flvfile.tag(tag.kind, tag.timestamp, tag.payload) for tag in tags
        )
        reader = TagReader()
        read = [
            tag
            for start in range(0, len(data), step)
            for tag in reader.receive(data[start : start + step])
        ]
        self.assertEqual(read, tags)

    @given(st.binary(max_size=200))
    def test_anyBytesAreTagsOrRefused(self, data: bytes) -> None:
        """
        The result is only tags or L{RemoteProtocolError}.
        """
        try:
            TagReader().receive(SAMPLE + data)
            TagReader().receive(data)
        except RemoteProtocolError:
            pass


class WalkTests(SynchronousTestCase):
    """
    Going from tag to tag in a file that may be damaged.
    """

    def walked(self, data: bytes) -> list[tuple[int, int, int]]:
        """
        @return: kind, timestamp and size of the tags.
        """
        marks = list(flvfile.walk(reading(data), len(data)))
        ends = [flvfile.FIRST_TAG, *(mark.end for mark in marks)]
        self.assertEqual([mark.position for mark in marks], ends[:-1])
        return [(mark.kind, mark.timestamp, mark.size) for mark in marks]

    def test_everyWholeTagIsMet(self) -> None:
        """
        With its position, its size, and the beginning of its body.
        """
        whole = [(tag.kind, tag.timestamp, len(tag.payload)) for tag in TAGS]
        self.assertEqual(self.walked(SAMPLE), whole)
        marks = list(flvfile.walk(reading(SAMPLE), len(SAMPLE)))
        self.assertEqual([mark.prefix for mark in marks], [b"meta", b"", b"picture"])
        self.assertEqual(marks[-1].end, len(SAMPLE))

    def test_theBeginningOfALongBodyIsShown(self) -> None:
        """
        Only that much of a body is read.
        """
        body = bytes(range(200))
        data = flvfile.fileHeader(True, True) + flvfile.tag(9, 0, body)
        [mark] = flvfile.walk(reading(data), len(data))
        self.assertEqual(mark.prefix, body[: flvfile.WALK_PREFIX])

    def test_itStopsBeforeACutTag(self) -> None:
        """
        Wherever the file is cut, the tags before the cut are found and no other.
        """
        ends = [mark.end for mark in flvfile.walk(reading(SAMPLE), len(SAMPLE))]
        for size in range(len(SAMPLE)):
            whole = sum(end <= size for end in ends)
            self.assertEqual(len(self.walked(SAMPLE[:size])), whole)

    def test_itStopsBeforeZeros(self) -> None:
        """
        After a power failure the end of a file may be all zeros.
        """
        self.assertEqual(len(self.walked(SAMPLE + bytes(5000))), 3)
        zeroed = SAMPLE[:-8] + bytes(5000)
        self.assertEqual(len(self.walked(zeroed)), 2)

    def test_itStopsBeforeAnImpossibleTag(self) -> None:
        """
        A wrong back pointer, an unknown type, a stream id.
        """
        good = flvfile.tag(8, 1, b"abc")
        for bad in [
            good[:-1] + b"\x00",
            b"\x0a" + good[1:],
            b"\x28" + good[1:],
            good[:8] + b"\x01" + good[9:],
            good[:9] + b"\x01" + good[10:],
            good[:10] + b"\x01" + good[11:],
        ]:
            self.assertEqual(len(self.walked(SAMPLE + bad + good)), 3)

    def test_itStopsAtTheEnd(self) -> None:
        """
        At the given size, even if the file has grown since.
        """
        for end, count in ((len(SAMPLE), 3), (len(SAMPLE) - 1, 2)):
            marks = list(flvfile.walk(reading(SAMPLE), end))
            self.assertEqual(len(marks), count)
