"""
Tests of which key frames lead, and of what waits for one.
"""

from twisted.trial.unittest import SynchronousTestCase

from rtmptw.frames import Codec, Frame, FrameKind, Role
from rtmptw.keyframes import MAX_WAIT, VIDEO_GONE, KeyGate, LeadingTrack
from rtmptw.testing import audioFrame, makeFrames, videoFrame


def key(timestamp: int, *tracks: int) -> Frame:
    """
    A key frame of these tracks; without any, of the only one.
    """
    frame = videoFrame(timestamp, True)
    frame.tracks = tracks or frame.tracks
    return frame


def picture(timestamp: int, *tracks: int) -> Frame:
    """
    A frame that is no key frame, likewise.
    """
    frame = videoFrame(timestamp)
    frame.tracks = tracks or frame.tracks
    return frame


def end(kind: FrameKind, *tracks: int, timestamp: int = 0) -> Frame:
    """
    The end of a sequence.
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
        The track that leads after these frames.
        """
        for frame in frames:
            self.leading.follow(frame)
        return self.leading.track

    def test_noneBeforeTheFirstKeyFrame(self) -> None:
        """
        Then any may be the first.
        """
        self.assertIsNone(self.follow(picture(0, 0), audioFrame(0)))
        self.assertTrue(self.leading.leads(key(0, 7)))

    def test_theLowestLeads(self) -> None:
        """
        Whichever comes first, and with several in one message the lowest of them.
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
        The next one does, until the lower one begins again.
        """
        self.follow(key(0, 0), key(0, 1))
        self.assertEqual(self.follow(end(FrameKind.VIDEO, 0)), 1)
        self.assertTrue(self.leading.leads(key(0, 1)))
        self.assertEqual(self.follow(key(0, 0)), 0)
        self.assertIsNone(self.follow(end(FrameKind.VIDEO, 0, 1)))

    def test_whatEndsNothing(self) -> None:
        """
        The end of another track, of one that was never there, and of the sound.
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
        Nothing is known of its tracks.
        """
        self.follow(key(0, 0), key(0, 1))
        self.leading.forget()
        self.assertIsNone(self.leading.track)
        self.assertEqual(self.follow(key(0, 1)), 1)

    def test_whereARecordingBegins(self) -> None:
        """
        At a key frame that leads; at any sound as long as there is no video.
        """
        begins = self.leading.begins
        self.assertTrue(begins(audioFrame(0)))
        self.assertFalse(begins(picture(0)))
        self.follow(key(0, 0), key(0, 1))
        self.assertFalse(begins(audioFrame(0)))
        self.assertFalse(begins(picture(0, 0)))
        self.assertFalse(begins(key(0, 1)))
        self.assertTrue(begins(key(0, 0)))
        self.follow(end(FrameKind.VIDEO, 0))
        self.assertFalse(begins(audioFrame(0)))
        self.assertTrue(begins(key(0, 1)))
        self.follow(end(FrameKind.VIDEO, 1))
        self.assertTrue(begins(audioFrame(0)))


class KeyGateTests(SynchronousTestCase):
    """
    What waits for a key frame.
    """

    def setUp(self) -> None:
        self.leading = LeadingTrack()
        self.gate = KeyGate(self.leading)

    def passing(self, *frames: Frame) -> list[bool]:
        """
        Which of these frames of the stream pass.
        """
        passed = []
        for frame in frames:
            self.leading.follow(frame)
            passed.append(self.gate.passes(frame))
        return passed

    def test_open(self) -> None:
        """
        Everything passes.
        """
        self.assertFalse(self.gate.isClosed)
        self.assertEqual(self.passing(picture(0), audioFrame(0)), [True, True])

    def test_theNextKeyFrameOpens(self) -> None:
        """
        What comes before it does not pass, headers excepted; all that follows does.
        """
        self.gate.close(0)
        self.assertTrue(self.gate.isClosed)
        headers = makeFrames(0)
        self.assertEqual(
            self.passing(*headers, picture(40), audioFrame(41)),
            [True, True, False, False],
        )
        self.assertTrue(self.gate.isClosed)
        self.assertEqual(
            self.passing(key(80), picture(120), audioFrame(90)), [True, True, True]
        )
        self.assertFalse(self.gate.isClosed)

    def test_onlyTheLeadingTracks(self) -> None:
        """
        Decoding of the others would not help those who watch the first.
        """
        self.passing(key(0, 0), key(0, 1))
        self.gate.close(0)
        self.assertEqual(
            self.passing(key(40, 1), picture(80, 0), key(120, 0), picture(160, 1)),
            [False, False, True, True],
        )

    def test_soundGoesOnAlone(self) -> None:
        """
        After a while, whether pictures come or not; and whatever else is no picture.
        """
        self.gate.close(100)
        self.assertEqual(
            self.passing(
                audioFrame(100 + VIDEO_GONE - 1),
                audioFrame(100 + VIDEO_GONE),
                picture(4000),
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
        When the one that led shows nothing any more, without a word: any key frame
        will do, and nothing that can be decoded is kept back for ever.
        """
        self.passing(key(0, 0), key(0, 1))
        self.gate.close(0)
        self.assertEqual(
            self.passing(
                key(VIDEO_GONE - 1, 1),
                picture(VIDEO_GONE, 1),
                audioFrame(VIDEO_GONE),
                key(VIDEO_GONE, 1),
                picture(VIDEO_GONE + 40, 1),
            ),
            [False, False, True, True, True],
        )

    def test_pausedPicturesKeepTheSound(self) -> None:
        """
        Closed again, the gate lets all sound pass.
        """
        self.gate.closeAgain()
        self.assertEqual(
            self.passing(audioFrame(0), picture(10), key(5000)), [True, False, True]
        )
        self.gate.close(2000)
        self.passing(key(5000))
        self.gate.closeAgain()
        self.assertEqual(
            self.passing(audioFrame(2001), picture(6000), key(6040)),
            [True, False, True],
        )

    def test_soundNeedNotWait(self) -> None:
        """
        For who comes late.
        """
        self.gate.close(1000, soundWaits=False)
        self.assertEqual(
            self.passing(audioFrame(1000), picture(1000), key(1040)),
            [True, False, True],
        )

    def test_aPictureInSeveralMessages(self) -> None:
        """
        Begins with its first part: a later one opens nothing, unless nobody knows
        whether it is one.
        """
        self.gate.close(1000)
        self.assertEqual(
            self.passing(key(1000), picture(1040), key(1040), key(1080), key(1080)),
            [False, False, False, True, True],
        )
        self.gate.close(1000, soundWaits=False)
        self.assertEqual(self.passing(key(1000)), [True])
        self.gate.close(1000)
        self.gate.closeAgain()
        self.assertEqual(self.passing(key(1000)), [True])

    def test_whatIsNotMarked(self) -> None:
        """
        Opens it all the same if decoding can begin there; of the track that leads.
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
        Is waited for no longer than 20 s, on the track that leads.
        """
        self.passing(key(0, 0))
        self.gate.close(1000)
        self.assertEqual(
            self.passing(
                picture(1000 + MAX_WAIT - 1),
                picture(1000 + MAX_WAIT, 1),
                picture(1000 + MAX_WAIT),
                picture(1000 + MAX_WAIT + 40),
            ),
            [False, False, True, True],
        )
        self.assertFalse(self.gate.isClosed)
