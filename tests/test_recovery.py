"""
Tests for L{rtmptw.codecs.recovery}.
"""

from twisted.trial.unittest import SynchronousTestCase

from rtmptw.codecs.recovery import recoveryOf
from rtmptw.frames import Codec


def unit(text: str) -> bytes:
    """
    @return: a NAL unit after its length.
    """
    data = bytes.fromhex(text)
    return len(data).to_bytes(4, "big") + data


class RecoveryTests(SynchronousTestCase):
    """
    Recovery points in video frames.
    """

    def test_H264(self) -> None:
        """
        The number of frames after which an H.264 decoder has recovered is found, also
        after other messages.
        """
        for text, count in (
            ("06 06 01 c4 80", 0),
            # 24: four zeros and 11001.
            ("06 06 02 0c c0 80", 24),
            ("06 05 02 ff ff 06 02 0c c0 80", 24),
            ("06 05 02 ff ff 80", -1),
            ("06 06", -1),
            ("06 05 ff", -1),
            ("67 06 01 c4 80", -1),
        ):
            data = unit("09 f0") + unit(text) + unit("41 9a")
            self.assertEqual(recoveryOf(Codec.H264, data), count, text)

    def test_HEVC(self) -> None:
        """
        The number for HEVC counts in presentation order.
        """
        # 3: two zeros and 110, which stands for the third positive number.
        self.assertEqual(recoveryOf(Codec.HEVC, unit("4e 01 06 01 34 80")), 3)
        self.assertEqual(recoveryOf(Codec.HEVC, unit("02 01 06 01 34 80")), -1)

    def test_others(self) -> None:
        """
        Other codecs have no recovery points. Neither has a truncated message, or one
        with a number that is too large.
        """
        self.assertEqual(recoveryOf(Codec.AV1, unit("06 06 01 c4 80")), -1)
        self.assertEqual(recoveryOf(Codec.H264, unit("06 06 01 c4 80")[:6]), -1)
        # 1023: ten zeros before 10000000000.
        self.assertEqual(recoveryOf(Codec.H264, unit("06 06 03 00 20 08 80")), -1)
        self.assertEqual(recoveryOf(Codec.H264, b""), -1)
