"""
Tests of frames that decoding can begin with though they are not marked as key frames.
"""

from twisted.trial.unittest import SynchronousTestCase

from rtmptw.entries import MAX_UNITS, isEntry
from rtmptw.frames import Codec, Frame, FrameKind, Role

#: SEI messages: a recovery point after user data, and user data alone.
RECOVERY = bytes.fromhex("06 05 02 aabb 06 01 84 80")
USER_DATA = bytes.fromhex("06 05 02 0606 80")
SLICE = b"\x41\x9a"


def units(*each: bytes) -> bytes:
    """
    @return: NAL units, each after its size.
    """
    return b"".join(len(unit).to_bytes(4, "big") + unit for unit in each)


def startCodes(*each: bytes) -> bytes:
    """
    @return: NAL units, each after a start code, as in Annex B.
    """
    return b"\0" + b"".join(b"\0\0\1" + unit for unit in each)


def image(body: bytes, codec: Codec = Codec.H264) -> Frame:
    """
    @return: a video frame that is not marked as a key frame.
    """
    return Frame(FrameKind.VIDEO, 0, body, Role.CODED, codec)


class EntryTests(SynchronousTestCase):
    """
    What decoding can begin with.
    """

    def assertEntries(self, entries: list[bytes], others: list[bytes]) -> None:
        """
        Check H.264 frames in the legacy form and both enhanced forms.
        """
        for rows, wanted in ((entries, True), (others, False)):
            for row in rows:
                for head in (
                    b"\x27\1\0\0\0",
                    b"\xa1avc1\0\0\0",
                    b"\xa3avc1",
                ):
                    frame = image(head + row)
                    self.assertIs(isEntry(frame), wanted, frame.payload)

    def test_ofH264(self) -> None:
        """
        H.264: IDR pictures, sequence parameter sets and recovery points are entries if
        they come before any slice. Sizes and start codes both work.
        """
        for put in (units, startCodes):
            self.assertEntries(
                [
                    put(b"\x65\x88"),
                    put(b"\x09\xf0", b"\x67\x42"),
                    put(RECOVERY, SLICE),
                    put(USER_DATA, RECOVERY, SLICE),
                    put(*[b"\x09\xf0"] * (MAX_UNITS - 1), b"\x65\x88"),
                    put(b"\x06\xff\x01\x01\x00\x06\x01\x84\x80", SLICE),
                ],
                [
                    put(SLICE),
                    put(SLICE, b"\x65\x88"),
                    put(b"\x21\x88"),
                    put(b"\x68\xce"),
                    put(USER_DATA, SLICE),
                    put(b"\x06\x06", SLICE),
                    put(b"\x06\xff\xff\xff", SLICE),
                    put(*[b"\x09\xf0"] * MAX_UNITS, b"\x65\x88"),
                ],
            )

    def test_whatIsCutShort(self) -> None:
        """
        A truncated frame is no entry.
        """
        self.assertEntries([], [b"", b"\0", b"\0\0\0\5", b"\0\0\0\0", b"\0\0\0\1"])

    def test_ofHEVC(self) -> None:
        """
        HEVC: random access pictures, parameter sets and recovery points are entries.
        """
        head = b"\xa3hvc1"
        recovery = bytes.fromhex("4e01 06 01 80 80")
        for unit in (*range(16, 22), 32, 33):
            body = head + units(bytes([unit << 1, 1, 0]))
            self.assertTrue(isEntry(image(body, Codec.HEVC)), unit)
        self.assertTrue(isEntry(image(head + units(recovery, b"\2\1"), Codec.HEVC)))
        for unit in (0, 1, 9, 15, 34, 35, 39, 40):
            body = head + units(bytes([unit << 1, 1, 0]))
            self.assertFalse(isEntry(image(body, Codec.HEVC)), unit)
        body = head + units(b"\2\1", recovery)
        self.assertFalse(isEntry(image(body, Codec.HEVC)))

    def test_ofOthers(self) -> None:
        """
        Frames of other codecs, of several tracks or with extensions are no entries.
        """
        idr = units(b"\x65\x88")
        self.assertFalse(isEntry(image(b"\x27\1\0\0\0" + idr, Codec.AV1)))
        for head in (b"\xa6avc1", b"\xa7avc1", b"\xa0avc1"):
            self.assertFalse(isEntry(image(head + idr)), head)
