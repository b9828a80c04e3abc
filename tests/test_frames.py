"""
Tests of the headers kept for late sinks.
"""

from twisted.trial.unittest import SynchronousTestCase

from rtmptw.frames import DEFAULT_TRACKS, Codec, CodecHeaders, Frame, FrameKind, Role

AUDIO = FrameKind.AUDIO
VIDEO = FrameKind.VIDEO


def header(
    kind: FrameKind,
    role: Role,
    codec: Codec | None,
    tracks: tuple[int, ...] = DEFAULT_TRACKS,
) -> Frame:
    """
    @return: a header.
    """
    return Frame(kind, 0, b"x", role, codec, tracks=tracks)


class CodecHeadersTests(SynchronousTestCase):
    """
    Headers belong to a codec.
    """

    def setUp(self) -> None:
        """
        Keep HEVC with color metadata, Opus with channel headers, and a second track of
        each.
        """
        self.headers = CodecHeaders()
        self.kept = [
            header(VIDEO, Role.CONFIG, Codec.HEVC),
            header(VIDEO, Role.METADATA, Codec.HEVC),
            header(AUDIO, Role.CONFIG, Codec.OPUS),
            header(AUDIO, Role.CHANNELS, Codec.OPUS),
            header(VIDEO, Role.CONFIG, Codec.HEVC, (1,)),
            header(AUDIO, Role.CHANNELS, Codec.OPUS, (1,)),
        ]
        for each in self.kept:
            self.headers.remember(each)

    def test_theirBytes(self) -> None:
        """
        The bytes of the headers are counted correctly when one is replaced, dropped or
        cleared. If they are too many, the oldest are dropped.
        """

        def assertCounted() -> None:
            kept = self.headers.frames()
            self.assertEqual(self.headers.bytes, sum(frame.size for frame in kept))

        assertCounted()
        self.headers.remember(header(VIDEO, Role.CONFIG, Codec.H264))
        assertCounted()
        long = Frame(FrameKind.DATA, 0, bytes(self.headers.MAX_BYTES - 5), Role.DATA)
        long.name = "onLong"
        self.headers.remember(long)
        assertCounted()
        self.assertEqual(self.headers.bytes, self.headers.MAX_BYTES)
        self.assertEqual(len(self.headers.frames()), 6)
        self.headers.remember(header(VIDEO, Role.METADATA, Codec.H264))
        assertCounted()
        self.assertNotIn(self.kept[2], self.headers.frames())
        self.headers.forget("onLong")
        self.headers.forget("onNothing")
        assertCounted()
        self.assertLess(self.headers.bytes, 10)
        more = Frame(FrameKind.DATA, 0, bytes(self.headers.MAX_BYTES + 1), Role.DATA)
        self.headers.remember(more)
        self.assertEqual((self.headers.frames(), self.headers.bytes), ([], 0))

    def test_another(self) -> None:
        """
        A sequence header of another codec replaces all headers of the old codec on its
        tracks.
        """
        video = header(VIDEO, Role.CONFIG, Codec.H264)
        self.headers.remember(video)
        self.assertEqual(self.headers.frames(), [*self.kept[2:], video])
        audio = header(AUDIO, Role.CONFIG, Codec.AAC, (1, 0))
        self.headers.remember(audio)
        self.assertEqual(self.headers.frames(), [self.kept[4], video, audio])

    def test_theSame(self) -> None:
        """
        A new sequence header of the same codec replaces only the old one.
        """
        again = header(VIDEO, Role.CONFIG, Codec.HEVC)
        self.headers.remember(again)
        self.assertEqual(self.headers.frames(), [again, *self.kept[1:]])

    def test_whatIsNoCodecHeader(self) -> None:
        """
        A header other than a sequence header replaces only its own kind.
        """
        metadata = header(VIDEO, Role.METADATA, Codec.AV1)
        self.headers.remember(metadata)
        self.assertEqual(
            self.headers.frames(), [self.kept[0], metadata, *self.kept[2:]]
        )

    def test_anEventAtAnotherTime(self) -> None:
        """
        A frame that is given another timestamp keeps its C{isHeader}.
        """
        event = Frame(FrameKind.DATA, 0, b"x", Role.DATA, name="onMetaData")
        self.assertTrue(event.retimed(5).isHeader)
        event.isHeader = False
        self.assertFalse(event.retimed(5).isHeader)
