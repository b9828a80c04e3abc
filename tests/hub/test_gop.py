"""
Tests of the group of pictures (GOP) on its own.
"""

from twisted.trial.unittest import SynchronousTestCase

from rtmptw.frames import Frame, FrameKind, Role
from rtmptw.hub.gop import (
    MAX_BYTES,
    MAX_FRAMES,
    MAX_MILLISECONDS,
    MAX_PARTS,
    GroupOfPictures,
)
from rtmptw.keyframes import LeadingTrack
from rtmptw.testing import audioFrame, videoFrame


class GroupOfPicturesTests(SynchronousTestCase):
    """
    What is kept, at and near the limits, at any time of the stream's clock.
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
        Nothing before the first key frame; each key frame begins a new group.
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
        Counted from the key frame.
        """
        self.assertEqual(MAX_MILLISECONDS, 20_000)
        for start in (0, 50_000):
            group = [videoFrame(start, True), videoFrame(start + 20_000)]
            self.assertEqual(self.add(*group), group)
            self.assertEqual(self.add(videoFrame(start + 20_001)), [])

    def test_aFrameInSeveralMessages(self) -> None:
        """
        The group begins with the first part of the video frame, marked as key or not,
        and whether or not there was a group before.
        """
        for begin in (0, 100):
            parts = [videoFrame(begin + 40, n != 1) for n in range(1, 5)]
            self.add(videoFrame(begin), audioFrame(begin + 40))
            self.assertEqual(self.add(*parts), parts)
            rest = [audioFrame(begin + 41), videoFrame(begin + 80)]
            self.assertEqual(self.add(*rest), parts + rest)
        self.group.clear()
        self.assertEqual(self.add(videoFrame(1000), videoFrame(1000)), [])
        self.group.clear()
        key = videoFrame(1000, True)
        self.assertEqual(self.add(key), [key])

    def test_partsAreCounted(self) -> None:
        """
        With their bytes. No more parts than a video frame can have are kept while
        waiting for its key frame.
        """
        self.assertEqual(MAX_PARTS, 64)
        parts = [videoFrame(40, size=MAX_BYTES // 2), videoFrame(40, True)]
        self.assertEqual(self.add(*parts), parts)
        self.assertEqual(self.add(videoFrame(80, size=MAX_BYTES // 2)), [])
        self.group.clear()
        parts = [videoFrame(120) for _ in range(MAX_PARTS)]
        key = videoFrame(120, True)
        self.assertEqual(self.add(*parts, key), [*parts, key])
        self.assertEqual(self.group.heldBytes(), sum(f.size for f in [*parts, key]))
        self.group.clear()
        self.assertEqual(self.group.heldBytes(), 0)
        self.add(*parts)
        self.assertEqual(self.group.heldBytes(), sum(f.size for f in parts))
        self.group.clear()
        late = videoFrame(120)
        self.assertEqual(self.add(*parts, late, key), [late, key])

    def test_frames(self) -> None:
        """
        Including the key frame.
        """
        self.assertEqual(MAX_FRAMES, 2500)
        for _ in range(2):
            group = [videoFrame(n, n == 0) for n in range(2500)]
            self.assertEqual(self.add(*group), group)
            self.assertEqual(self.add(audioFrame(2500)), [])

    def test_bytes(self) -> None:
        """
        Including those of the key frame; the next group begins at 0.
        """
        self.assertEqual(MAX_BYTES, 16_777_216)
        half = MAX_BYTES // 2
        for _ in range(2):
            group = [videoFrame(0, True, half), videoFrame(1, size=half)]
            self.assertEqual(self.add(*group), group)
            self.assertEqual(self.add(audioFrame(2, 1)), [])

    def test_theEndOfASequence(self) -> None:
        """
        That of video is omitted, that of audio is not.
        """
        key = videoFrame(0, True)
        ends = [
            Frame(kind, 1, b"\x17\x02\0\0\0", Role.END)
            for kind in (FrameKind.VIDEO, FrameKind.AUDIO)
        ]
        self.assertEqual(self.add(key, *ends), [key, ends[1]])
