"""
Tests of the group of pictures, on its own.
"""

from twisted.trial.unittest import SynchronousTestCase

from rtmptw.frames import Frame, FrameKind, Role
from rtmptw.hub.gop import (
    MAX_BYTES,
    MAX_FRAMES,
    MAX_MILLISECONDS,
    GroupOfPictures,
)
from rtmptw.keyframes import LeadingTrack
from rtmptw.testing import audioFrame, videoFrame


class GroupOfPicturesTests(SynchronousTestCase):
    """
    What is kept, at the limits and next to them, wherever the stream's clock is.
    """

    def setUp(self) -> None:
        self.leading = LeadingTrack()
        self.group = GroupOfPictures(self.leading)

    def add(self, *frames: Frame) -> list[Frame]:
        """
        Add frames of the stream.

        @return: the group.
        """
        for frame in frames:
            self.leading.follow(frame)
            self.group.add(frame)
        return self.group.frames()

    def test_fromTheKeyFrameOn(self) -> None:
        """
        Nothing before the first; with each, a new group.
        """
        self.assertEqual(self.add(videoFrame(0), audioFrame(1)), [])
        first = [videoFrame(40, True), audioFrame(41), videoFrame(80)]
        self.assertEqual(self.add(*first), first)
        second = [videoFrame(120, True), audioFrame(121)]
        self.assertEqual(self.add(*second), second)
        self.group.clear()
        self.assertEqual(self.add(videoFrame(160)), [])

    def test_milliseconds(self) -> None:
        """
        Counted from its key frame.
        """
        self.assertEqual(MAX_MILLISECONDS, 10_000)
        for start in (0, 50_000):
            group = [videoFrame(start, True), videoFrame(start + 10_000)]
            self.assertEqual(self.add(*group), group)
            self.assertEqual(self.add(videoFrame(start + 10_001)), [])

    def test_frames(self) -> None:
        """
        With the key frame.
        """
        self.assertEqual(MAX_FRAMES, 2500)
        for _ in range(2):
            group = [videoFrame(n, n == 0) for n in range(2500)]
            self.assertEqual(self.add(*group), group)
            self.assertEqual(self.add(audioFrame(2500)), [])

    def test_bytes(self) -> None:
        """
        With those of the key frame; the next group begins at 0.
        """
        self.assertEqual(MAX_BYTES, 16_777_216)
        half = MAX_BYTES // 2
        for _ in range(2):
            group = [videoFrame(0, True, half), videoFrame(1, size=half)]
            self.assertEqual(self.add(*group), group)
            self.assertEqual(self.add(audioFrame(2, 1)), [])

    def test_theEndOfASequence(self) -> None:
        """
        Of the video is left out; of the sound it is not.
        """
        key = videoFrame(0, True)
        ends = [
            Frame(kind, 1, b"\x17\x02\0\0\0", Role.END)
            for kind in (FrameKind.VIDEO, FrameKind.AUDIO)
        ]
        self.assertEqual(self.add(key, *ends), [key, ends[1]])
