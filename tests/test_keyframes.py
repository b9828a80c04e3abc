"""
Tests of the leading video track, and of the gate that waits for its key frames.
"""

from twisted.trial.unittest import SynchronousTestCase

from rtmptw.frames import Codec, Frame, FrameKind, Role
from rtmptw.keyframes import MAX_WAIT, VIDEO_GONE, KeyGate, LeadingTrack
from rtmptw.testing import audioFrame, makeFrames, videoFrame


def key(timestamp: int, *tracks: int) -> Frame:
    """
    @return: a key frame of these tracks; by default of the only track.
    """
    frame = videoFrame(timestamp, True)
    frame.tracks = tracks or frame.tracks
    return frame


def image(timestamp: int, *tracks: int) -> Frame:
    """
    @return: a frame that is not a key frame, of these tracks; by default of the only
        one.
    """
    frame = videoFrame(timestamp)
    frame.tracks = tracks or frame.tracks
    return frame


def end(kind: FrameKind, *tracks: int, timestamp: int = 0) -> Frame:
    """
    @return: the end of a sequence.
    """
    return Frame(kind, timestamp, b"\x17\x02\0\0\0", Role.END, tracks=tracks)


class LeadingTrackTests(SynchronousTestCase):
    """
    Which video track leads.
    """

    def setUp(self) -> None:
        self.leading = LeadingTrack()

    def follow(self, *frames: Frame) -> int | None:
        """
        @return: the track that leads after these frames.
        """
        for frame in frames:
            self.leading.follow(frame)
        return self.leading.track

    def test_noneBeforeTheFirstKeyFrame(self) -> None:
        """
        Before the first key frame no track leads, and a key frame of any track is
        accepted.
        """
        self.assertIsNone(self.follow(image(0, 0), audioFrame(0)))
        self.assertTrue(self.leading.leads(key(0, 7)))

    def test_theLowestLeads(self) -> None:
        """
        The track with the lowest number leads, whichever begins first. A message of
        several tracks counts as its lowest.
        """
        self.assertEqual(self.follow(key(0, 3, 2)), 2)
        self.assertEqual(self.follow(key(0, 1)), 1)
        self.assertEqual(self.follow(key(0, 2)), 1)
        self.assertTrue(self.leading.leads(key(0, 1)))
        self.assertTrue(self.leading.leads(key(0, 2, 1)))
        self.assertTrue(self.leading.leads(key(0, 0)))
        self.assertFalse(self.leading.leads(key(0, 2)))
        self.assertFalse(self.leading.leads(key(0, 2, 3)))

    def test_whatHasEndedLeadsNoMore(self) -> None:
        """
        When the leading track ends, the next one leads until a lower one begins again.
        """
        self.follow(key(0, 0), key(0, 1))
        self.assertEqual(self.follow(end(FrameKind.VIDEO, 0)), 1)
        self.assertTrue(self.leading.leads(key(0, 1)))
        self.assertEqual(self.follow(key(0, 0)), 0)
        self.assertIsNone(self.follow(end(FrameKind.VIDEO, 0, 1)))

    def test_whatEndsNothing(self) -> None:
        """
        The leading track is not affected by the end of another track, of one that does
        not exist, or of the audio.
        """
        self.follow(key(0, 0), key(0, 1))
        for frame in (
            end(FrameKind.VIDEO, 1),
            end(FrameKind.VIDEO, 5),
            end(FrameKind.AUDIO, 0),
        ):
            self.assertEqual(self.follow(frame), 0)

    def test_anotherSourceHasOthers(self) -> None:
        """
        After C{forget}, nothing is known of the old source's tracks.
        """
        self.follow(key(0, 0), key(0, 1))
        self.leading.forget()
        self.assertIsNone(self.leading.track)
        self.assertEqual(self.follow(key(0, 1)), 1)

    def test_whereARecordingBegins(self) -> None:
        """
        A recording begins at a key frame of the leading track, or at any audio frame
        while there is no video.
        """
        begins = self.leading.begins
        self.assertTrue(begins(audioFrame(0)))
        self.assertFalse(begins(image(0)))
        self.follow(key(0, 0), key(0, 1))
        self.assertFalse(begins(audioFrame(0)))
        self.assertFalse(begins(image(0, 0)))
        self.assertFalse(begins(key(0, 1)))
        self.assertTrue(begins(key(0, 0)))
        self.follow(end(FrameKind.VIDEO, 0))
        self.assertFalse(begins(audioFrame(0)))
        self.assertTrue(begins(key(0, 1)))
        self.follow(end(FrameKind.VIDEO, 1))
        self.assertTrue(begins(audioFrame(0)))


class KeyGateTests(SynchronousTestCase):
    """
    A gate that waits for a key frame.
    """

    def setUp(self) -> None:
        self.leading = LeadingTrack()
        self.gate = KeyGate(self.leading)

    def passing(self, *frames: Frame) -> list[bool]:
        """
        @return: which of these frames of the stream pass.
        """
        passed = []
        for frame in frames:
            self.leading.follow(frame)
            passed.append(self.gate.passes(frame))
        return passed

    def test_open(self) -> None:
        """
        An open gate passes everything.
        """
        self.assertFalse(self.gate.isClosed)
        self.assertEqual(self.passing(image(0), audioFrame(0)), [True, True])

    def test_theNextKeyFrameOpens(self) -> None:
        """
        A closed gate drops frames until the next key frame, except headers. Then
        everything passes.
        """
        self.gate.close(0)
        self.assertTrue(self.gate.isClosed)
        headers = makeFrames(0)
        self.assertEqual(
            self.passing(*headers, image(40), audioFrame(41)),
            [True, True, False, False],
        )
        self.assertTrue(self.gate.isClosed)
        self.assertEqual(
            self.passing(key(80), image(120), audioFrame(90)), [True, True, True]
        )
        self.assertFalse(self.gate.isClosed)

    def test_onlyTheLeadingTracks(self) -> None:
        """
        Only a key frame of the leading track opens the gate; other tracks would not
        help players of the first.
        """
        self.passing(key(0, 0), key(0, 1))
        self.gate.close(0)
        self.assertEqual(
            self.passing(key(40, 1), image(80, 0), key(120, 0), image(160, 1)),
            [False, False, True, True],
        )

    def test_audioGoesOnAlone(self) -> None:
        """
        Audio and the end of a sequence pass C{VIDEO_GONE} ms after the gate was closed,
        whether video arrives meanwhile or not. Video still waits for a key frame.
        """
        self.gate.close(100)
        self.assertEqual(
            self.passing(
                audioFrame(100 + VIDEO_GONE - 1),
                audioFrame(100 + VIDEO_GONE),
                image(4000),
                audioFrame(4000 + VIDEO_GONE - 1),
                end(FrameKind.VIDEO, 0),
                audioFrame(4000 + VIDEO_GONE),
                end(FrameKind.VIDEO, 0, timestamp=4000 + VIDEO_GONE),
            ),
            [False, True, False, True, False, True, True],
        )
        self.assertTrue(self.gate.isClosed)

    def test_otherTracksTakeOver(self) -> None:
        """
        If the leading track falls silent without ending, a key frame of any track opens
        the gate.
        """
        self.passing(key(0, 0), key(0, 1))
        self.gate.close(0)
        self.assertEqual(
            self.passing(
                key(VIDEO_GONE - 1, 1),
                image(VIDEO_GONE, 1),
                audioFrame(VIDEO_GONE),
                key(VIDEO_GONE, 1),
                image(VIDEO_GONE + 40, 1),
            ),
            [False, False, True, True, True],
        )

    def test_pausedVideoKeepsTheAudio(self) -> None:
        """
        A gate closed again passes all audio.
        """
        self.gate.closeAgain()
        self.assertEqual(
            self.passing(audioFrame(0), image(10), key(5000)), [True, False, True]
        )
        self.gate.close(2000)
        self.passing(key(5000))
        self.gate.closeAgain()
        self.assertEqual(
            self.passing(audioFrame(2001), image(6000), key(6040)),
            [True, False, True],
        )

    def test_audioNeedNotWait(self) -> None:
        """
        For late players, audio can pass a closed gate at once.
        """
        self.gate.close(1000, audioWaits=False)
        self.assertEqual(
            self.passing(audioFrame(1000), image(1000), key(1040)),
            [True, False, True],
        )

    def test_aFrameInSeveralMessages(self) -> None:
        """
        If a video frame has several messages, only its first opens the gate, unless it
        is not known whether a message is the first.
        """
        self.gate.close(1000)
        self.assertEqual(
            self.passing(key(1000), image(1040), key(1040), key(1080), key(1080)),
            [False, False, False, True, True],
        )
        self.gate.close(1000, audioWaits=False)
        self.assertEqual(self.passing(key(1000)), [True])
        self.gate.close(1000)
        self.gate.closeAgain()
        self.assertEqual(self.passing(key(1000)), [True])

    def test_whatIsNotMarked(self) -> None:
        """
        A frame of the leading track that is not marked opens the gate if decoding can
        begin there.
        """
        for payload, opens in (
            (b"\x27\1\0\0\0\0\0\0\2\x65\0", True),
            (b"\x27\1\0\0\0\0\0\0\2\x41\0", False),
        ):
            entry = Frame(FrameKind.VIDEO, 40, payload, Role.CODED, Codec.H264)
            other = Frame(
                FrameKind.VIDEO, 40, payload, Role.CODED, Codec.H264, tracks=(1,)
            )
            self.passing(key(0, 0))
            self.gate.close(0)
            self.assertEqual(self.passing(other, entry), [False, opens])
            self.assertEqual(self.gate.isClosed, not opens)

    def test_nothingToBeginWith(self) -> None:
        """
        If nothing that decoding can begin with arrives on the leading track, the gate
        opens after C{MAX_WAIT} ms.
        """
        self.passing(key(0, 0))
        self.gate.close(1000)
        self.assertEqual(
            self.passing(
                image(1000 + MAX_WAIT - 1),
                image(1000 + MAX_WAIT, 1),
                image(1000 + MAX_WAIT),
                image(1000 + MAX_WAIT + 40),
            ),
            [False, False, True, True],
        )
        self.assertFalse(self.gate.isClosed)
