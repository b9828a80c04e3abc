"""
Tests of the selection of frames for a sink.
"""

from twisted.trial.unittest import SynchronousTestCase

from rtmptw.frames import FrameKind
from rtmptw.hub.ledger import AWAITING_KEYFRAME, NOT_WANTED
from rtmptw.hub.selection import Selection
from rtmptw.keyframes import VIDEO_GONE, LeadingTrack
from rtmptw.testing import audioFrame, makeFrames, videoFrame

VIDEO = frozenset({FrameKind.VIDEO})
AUDIO = frozenset({FrameKind.AUDIO})
ALL: frozenset[FrameKind] = frozenset()


class SelectionTests(SynchronousTestCase):
    """
    What is skipped, and why.
    """

    def setUp(self) -> None:
        self.selection = Selection(LeadingTrack())

    def test_allAtFirst(self) -> None:
        """
        At first no frame is skipped, and the selection is inactive.
        """
        self.assertFalse(self.selection.isActive)
        self.assertEqual(self.selection.whySkipped(videoFrame(0)), "")

    def test_unwantedKinds(self) -> None:
        """
        They are skipped, but not their headers; all other frames pass.
        """
        self.selection.select(AUDIO)
        self.assertTrue(self.selection.isActive)
        why = self.selection.whySkipped
        self.assertEqual([why(frame) for frame in makeFrames(0)], ["", ""])
        self.assertEqual(why(audioFrame(0)), NOT_WANTED)
        self.assertEqual(why(videoFrame(0)), "")
        self.assertTrue(self.selection.isActive)
        self.selection.select(ALL)
        self.assertFalse(self.selection.isActive)
        self.assertEqual(why(audioFrame(0)), "")

    def test_untilTheKeyFrame(self) -> None:
        """
        After it, no frame is skipped.
        """
        self.selection.awaitKeyframe(1000)
        self.assertTrue(self.selection.isActive)
        why = self.selection.whySkipped
        self.assertEqual(why(videoFrame(1000)), AWAITING_KEYFRAME)
        self.assertEqual(why(audioFrame(999 + VIDEO_GONE)), AWAITING_KEYFRAME)
        self.assertEqual(why(audioFrame(1000 + VIDEO_GONE)), "")
        self.assertTrue(self.selection.isActive)
        self.assertEqual(why(videoFrame(5000, True)), "")
        self.assertFalse(self.selection.isActive)

    def test_bothAtOnce(self) -> None:
        """
        Each ends independently of the other.
        """
        self.selection.awaitKeyframe(0)
        self.selection.select(AUDIO)
        why = self.selection.whySkipped
        self.assertEqual(why(audioFrame(0)), NOT_WANTED)
        self.assertEqual(why(videoFrame(0)), AWAITING_KEYFRAME)
        self.assertEqual(why(videoFrame(40, True)), "")
        self.assertTrue(self.selection.isActive)
        self.assertEqual(why(audioFrame(41)), NOT_WANTED)
        self.assertEqual(why(videoFrame(80)), "")
        self.selection.awaitKeyframe(80)
        self.selection.select(ALL)
        self.assertTrue(self.selection.isActive)
        self.assertEqual(why(videoFrame(120)), AWAITING_KEYFRAME)

    def test_videoStaysAway(self) -> None:
        """
        Selecting the same again does not make audio wait.
        """
        self.selection.select(VIDEO)
        self.selection.select(VIDEO)
        self.assertEqual(self.selection.whySkipped(audioFrame(0)), "")

    def test_videoAgain(self) -> None:
        """
        Video begins with a key frame; if it was never turned off, with any frame.
        """
        why = self.selection.whySkipped
        self.selection.select(VIDEO)
        self.assertEqual(why(videoFrame(0, True)), NOT_WANTED)
        self.selection.select(VIDEO | AUDIO)
        self.selection.select(AUDIO)
        self.assertEqual(why(videoFrame(40)), AWAITING_KEYFRAME)
        self.assertEqual(why(videoFrame(80, True)), "")
        self.selection.select(ALL)
        self.assertFalse(self.selection.isActive)
        self.selection.select(VIDEO)
        self.selection.select(ALL)
        self.assertTrue(self.selection.isActive)
        self.assertEqual(why(audioFrame(VIDEO_GONE + 40)), "")
        self.assertEqual(why(videoFrame(VIDEO_GONE + 80)), AWAITING_KEYFRAME)
