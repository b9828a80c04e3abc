"""
Tests of the queues of sinks, for each policy, at and near the limits.
"""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from rtmptw.delivery import Delivery, Policy
from rtmptw.frames import Frame, FrameKind, Role
from rtmptw.hub.backlog import Backlog
from rtmptw.hub.lag import Lag
from rtmptw.hub.ledger import (
    AWAITING_KEYFRAME,
    DETACHED,
    NOT_NEWEST,
    SUPERSEDED,
    TOO_SLOW,
    Ledger,
)
from rtmptw.hub.policies import backlogFor
from rtmptw.hub.selection import Selection
from rtmptw.keyframes import LeadingTrack
from rtmptw.testing import audioFrame, makeFrames, videoFrame


def metadata(timestamp: int = 0, name: str = "onMetaData", size: int = 1) -> Frame:
    """
    A header of the given number of bytes.
    """
    role = Role.METADATA if name != "onMetaData" else Role.DATA
    return Frame(FrameKind.DATA, timestamp, bytes(size), role, name=name)


class BacklogTestsBase(SynchronousTestCase):
    """
    What the tests share.
    """

    policy = Policy.LOSSLESS

    def open(self, milliseconds: int = 0, size: int = 0, frames: int = 0) -> Backlog:
        """
        Create a backlog with these limits.
        """
        self.clock = Clock()
        self.ledger = Ledger()
        self.leading = LeadingTrack()
        self.selection = Selection(self.leading)
        self.lag = Lag("live/test", "test", 0, self.ledger, self.clock.seconds)
        limits = Delivery(self.policy, milliseconds, size, frames)
        self.backlog = backlogFor(
            limits,
            self.ledger,
            self.clock.seconds,
            self.leading,
            self.selection,
            self.lag,
        )
        return self.backlog

    def add(self, *frames: Frame) -> list[bool]:
        """
        Queue frames, those that are selected; the ledger must balance after each.

        @return: what the backlog returned for each.
        """
        said = []
        for frame in frames:
            self.ledger.received += 1
            self.leading.follow(frame)
            skipped = self.selection.isActive and self.selection.whySkipped(frame)
            if skipped:
                self.ledger.drop(skipped)
            else:
                said.append(self.backlog.add(frame))
            self.assertTrue(self.ledger.balanced)
        return said

    def take(self, count: int | None = None) -> list[Frame]:
        """
        Take this many frames, or all.
        """
        taken: list[Frame] = []
        while self.ledger.queued and (count is None or len(taken) < count):
            frame = self.backlog.take()
            self.ledger.deliver(frame)
            self.assertTrue(self.ledger.balanced)
            taken.append(frame)
        return taken

    def times(self) -> list[int]:
        """
        Take all frames.

        @return: their timestamps.
        """
        return [frame.timestamp for frame in self.take()]


class LosslessBacklogTests(BacklogTestsBase):
    """
    With the lossless policy the source waits. Also tests what all policies share:
    limits, order, the ledger.
    """

    def test_oldestFirst(self) -> None:
        """
        Frames that the sink begins with come before frames already queued.
        """
        self.open()
        self.assertTrue(self.backlog.isEmpty)
        frames = makeFrames(1)
        self.add(*frames[10:])
        self.ledger.received += 10
        self.assertEqual(self.backlog.beginWith(iter(frames[:6])), 6)
        self.assertEqual(self.backlog.beginWith(iter(frames[6:10])), 4)
        self.assertEqual(self.ledger.queued, len(frames))
        self.assertFalse(self.backlog.isEmpty)
        self.assertEqual(self.take(), frames)
        self.assertEqual((self.ledger.queued, self.backlog.isEmpty), (0, True))

    def test_whatItBeginsWithIsNotCounted(self) -> None:
        """
        They count neither as waiting, nor toward any limit.
        """
        self.open(1, 100, 1)
        self.ledger.received += 50
        self.backlog.beginWith(videoFrame(n, n == 0) for n in range(50))
        self.assertTrue(self.backlog.isEmpty)
        self.assertEqual(self.add(videoFrame(50)), [False])
        self.assertEqual(self.add(videoFrame(51)), [True])
        self.assertEqual(len(self.take()), 52)

    def test_frames(self) -> None:
        """
        The limit in frames, and one more; then half of it.
        """
        self.open(frames=10)
        self.assertEqual(self.add(*map(audioFrame, range(10))), [False] * 10)
        self.assertFalse(self.backlog.isFull)
        # Full is reported only once.
        self.assertEqual(self.add(audioFrame(10), audioFrame(11)), [True, False])
        self.assertTrue(self.backlog.isFull)
        self.take(6)
        self.assertFalse(self.backlog.isRelieved())
        self.assertTrue(self.backlog.isFull)
        self.take(1)
        self.assertTrue(self.backlog.isRelieved())
        self.assertFalse(self.backlog.isFull)
        # And so is no longer full.
        self.assertFalse(self.backlog.isRelieved())
        self.assertEqual(self.add(*map(audioFrame, range(6))), [False] * 5 + [True])

    def test_bytes(self) -> None:
        """
        The limit in bytes, and one more; then half of it.
        """
        self.open(size=1000)
        said = self.add(videoFrame(0, size=500), videoFrame(1, size=500))
        self.assertEqual(said, [False, False])
        self.assertEqual(self.add(videoFrame(2, size=9)), [True])
        self.take(1)
        self.assertFalse(self.backlog.isRelieved())
        self.add(videoFrame(3, size=491))
        self.take(1)
        self.assertTrue(self.backlog.isRelieved())

    def test_milliseconds(self) -> None:
        """
        The limit in waiting time, and a bit longer; then half of it. By the wall clock:
        timestamps do not matter.
        """
        self.open(milliseconds=1000)
        self.assertEqual(self.add(audioFrame(0), audioFrame(9000)), [False, False])
        self.clock.advance(0.5)
        self.add(audioFrame(0))
        self.clock.advance(0.5)
        self.assertEqual(self.add(audioFrame(0)), [False])
        self.clock.advance(0.002)
        self.assertEqual(self.add(audioFrame(0)), [True])
        self.take(2)
        # From 500 to 1002.
        self.assertFalse(self.backlog.isRelieved())
        self.take(1)
        self.assertTrue(self.backlog.isRelieved())

    def test_halfOfTheTime(self) -> None:
        """
        The source resumes at exactly half, and with an empty queue.
        """
        self.open(milliseconds=1000)
        for step in (0, 0.75, 0.5):
            self.clock.advance(step)
            self.add(audioFrame(0))
        self.assertTrue(self.backlog.isFull)
        self.take(1)
        self.assertTrue(self.backlog.isRelieved())
        self.clock.advance(1)
        self.add(audioFrame(0))
        self.assertTrue(self.backlog.isFull)
        self.take()
        self.assertTrue(self.backlog.isRelieved())

    def test_nothingHasNotWaited(self) -> None:
        """
        An empty queue has not waited, however short the limit is.
        """
        self.open(milliseconds=1)
        self.add(audioFrame(0))
        self.clock.advance(0.1)
        self.add(audioFrame(1))
        self.take()
        self.assertTrue(self.backlog.isRelieved())

    def test_noLimits(self) -> None:
        """
        0 means no limit.
        """
        self.open()
        for number in range(3000):
            self.clock.advance(1)
            self.assertEqual(self.add(videoFrame(number, size=1000)), [False])

    def test_dropsAll(self) -> None:
        """
        When the sink ends, all queued frames are dropped and no longer counted.
        """
        self.open(1000, 1000, 3)
        self.ledger.received += 2
        self.backlog.beginWith([audioFrame(0), audioFrame(1)])
        self.add(audioFrame(2), audioFrame(3), audioFrame(4), audioFrame(5))
        self.backlog.drop(DETACHED)
        self.assertEqual(self.ledger.dropped, {DETACHED: 6})
        self.assertEqual((self.ledger.queued, self.backlog.isEmpty), (0, True))
        self.assertTrue(self.ledger.balanced)
        self.assertTrue(self.backlog.isRelieved())
        self.clock.advance(60)
        frames = videoFrame(6, size=1000), audioFrame(7, 1)
        self.assertEqual(self.add(*frames), [False, True])
        self.assertEqual(self.times(), [6, 7])

    def test_everyPolicySaysWhatGivesWay(self) -> None:
        """
        The common base class does not implement it.
        """
        backlog = Backlog(Delivery(Policy.LOSSLESS, 0, 0, 1), Ledger(), Clock().seconds)
        self.assertFalse(backlog.add(audioFrame(0)))
        with self.assertRaises(NotImplementedError):
            backlog.add(audioFrame(1))


class DisconnectBacklogTests(BacklogTestsBase):
    """
    The sink is detached.
    """

    policy = Policy.DISCONNECT

    def test_dropsAll(self) -> None:
        """
        The sink must be detached, and its queue dropped; the source does not wait.
        """
        self.open(frames=5)
        self.ledger.received += 1
        self.backlog.beginWith([audioFrame(0)])
        self.assertEqual(self.add(*map(audioFrame, range(1, 6))), [False] * 5)
        self.assertEqual(self.add(audioFrame(6)), [True])
        self.assertFalse(self.backlog.isFull)
        self.assertEqual(self.ledger.dropped, {TOO_SLOW: 7})
        self.assertEqual(self.ledger.queued, 0)


class KeyframeBacklogTests(BacklogTestsBase):
    """
    Frames are dropped, from the end of the queue until the next key frame.
    """

    policy = Policy.TO_KEYFRAME

    def test_atTheLimit(self) -> None:
        """
        Nothing is dropped at the limit.
        """
        self.open(frames=3)
        self.assertEqual(
            self.add(videoFrame(0, True), videoFrame(40), videoFrame(80)), [False] * 3
        )
        self.assertFalse(self.lag.isBehind)
        self.assertFalse(self.selection.isActive)

    def test_theEndOfTheOnlyGroup(self) -> None:
        """
        One frame too many: the newest video frame is dropped, and what follows it.
        """
        self.open(frames=3)
        self.add(videoFrame(0, True), videoFrame(40), audioFrame(41))
        self.assertEqual(self.add(videoFrame(80)), [False])
        self.assertTrue(self.lag.isBehind)
        self.assertFalse(self.backlog.isFull)
        self.assertEqual(self.ledger.dropped, {TOO_SLOW: 1})
        self.add(videoFrame(120), audioFrame(121), videoFrame(160, True))
        # The key frame is one too many again.
        self.assertEqual(self.times(), [0, 40, 41])
        self.assertEqual(self.ledger.dropped, {TOO_SLOW: 2, AWAITING_KEYFRAME: 2})

    def test_theNewestGroup(self) -> None:
        """
        Frames before its key frame are kept; frames of the same group are dropped.
        """
        self.open(frames=5)
        self.add(
            videoFrame(0, True),
            videoFrame(40),
            videoFrame(80, True),
            audioFrame(81),
            videoFrame(120),
            audioFrame(121),
        )
        self.assertEqual(self.ledger.dropped, {TOO_SLOW: 4})
        self.add(audioFrame(122), videoFrame(160, True), audioFrame(161))
        self.assertEqual(self.times(), [0, 40, 160, 161])

    def test_theGroupBehindTheFirstFrame(self) -> None:
        """
        A group that begins with the second queued frame is dropped entirely: the first
        frame may belong to what the sink already has.
        """
        self.open(frames=3)
        self.add(videoFrame(0), videoFrame(40, True), videoFrame(80), videoFrame(120))
        self.assertEqual(self.times(), [0])

    def test_theGroupInFront(self) -> None:
        """
        As much as possible is kept of a group that begins with the first queued frame.
        """
        self.open(frames=3)
        self.add(*(videoFrame(n * 40, n == 0) for n in range(4)))
        self.assertEqual(self.times(), [0, 40, 80])

    def test_theOnlyFrame(self) -> None:
        """
        It is dropped with the audio that follows it, even if it is the first in the
        queue.
        """
        self.open(frames=1)
        self.add(videoFrame(0, True), audioFrame(1))
        self.assertEqual(self.ledger.dropped, {TOO_SLOW: 2})
        self.add(audioFrame(2))
        self.assertEqual(self.ledger.dropped, {TOO_SLOW: 2, AWAITING_KEYFRAME: 1})

    def test_untilThereIsRoom(self) -> None:
        """
        Frame by frame, if one is not enough.
        """
        self.open(size=1000)
        self.add(*(videoFrame(n * 40, n == 0, 200) for n in range(5)))
        self.assertEqual(self.add(videoFrame(200, size=500)), [False])
        self.assertEqual(self.times(), [0, 40, 80, 120, 160])
        self.open(size=1000)
        self.add(*(videoFrame(n * 40, n == 0, 200) for n in range(5)))
        self.add(Frame(FrameKind.DATA, 200, bytes(300), Role.DATA, name="onText"))
        self.assertEqual(self.times(), [0, 40, 80, 120])

    def test_theTimeOfWhatStays(self) -> None:
        """
        The newest frames are dropped along with their time: there is room again.
        """
        self.open(milliseconds=100)
        self.add(videoFrame(0, True))
        self.clock.advance(0.1)
        self.add(videoFrame(40))
        self.clock.advance(0.1)
        self.add(videoFrame(80))
        self.assertEqual(self.ledger.dropped, {TOO_SLOW: 1})
        self.add(videoFrame(120, True))
        # It was added equally late.
        self.assertEqual(self.times(), [0, 40])
        self.add(videoFrame(160, True))
        self.assertEqual(self.times(), [160])

    def test_headersStay(self) -> None:
        """
        They stay in order and count their bytes, wherever the group around them is
        dropped.
        """
        self.open(size=1000)
        headers = [metadata(1, size=50), metadata(3, "other", 50)]
        self.add(videoFrame(0, True, 100))
        self.add(videoFrame(40, True, 400), headers[0], videoFrame(80, size=300))
        self.add(headers[1], audioFrame(81, 101))
        self.assertEqual(self.ledger.dropped, {TOO_SLOW: 3})
        # 200 bytes are queued.
        self.add(videoFrame(120, True, 800))
        self.assertEqual(self.ledger.dropped, {TOO_SLOW: 3})
        self.add(metadata(121, "another"))
        self.assertEqual(self.ledger.dropped, {TOO_SLOW: 4})
        self.assertEqual(self.times(), [0, 1, 3, 121])

    def test_theTimesOfHeaders(self) -> None:
        """
        A header that is kept counts as waiting no longer than the frames dropped around
        it.
        """
        self.open(milliseconds=1000)
        self.add(videoFrame(0, True))
        self.clock.advance(0.5)
        self.add(videoFrame(500, True), metadata(501))
        self.clock.advance(0.5)
        self.add(videoFrame(1000))
        self.clock.advance(0.25)
        self.add(videoFrame(1250))
        self.assertEqual(self.ledger.dropped, {TOO_SLOW: 3})
        self.assertEqual([f.timestamp for f in self.take(1)], [0])
        self.clock.advance(0.25)
        # The header has waited from 500 to 1500.
        self.assertEqual(self.add(videoFrame(1500, True)), [False])
        self.assertEqual(self.ledger.dropped, {TOO_SLOW: 3})
        self.clock.advance(0.002)
        self.add(audioFrame(1501))
        self.assertEqual(self.times(), [501])
        self.assertEqual(self.ledger.dropped, {TOO_SLOW: 5})

    def test_audioBesideTheKeyframe(self) -> None:
        """
        Audio with the same timestamp, before the key frame, is not part of the video
        frame: it stays. A part of the video frame is dropped.
        """
        self.open(frames=5)
        self.add(videoFrame(0, True), videoFrame(40), audioFrame(80))
        self.add(videoFrame(80, True), videoFrame(120), videoFrame(160))
        self.assertEqual(self.times(), [0, 40, 80])
        self.open(frames=5)
        self.add(videoFrame(0, True), audioFrame(40), videoFrame(80))
        self.add(videoFrame(80, True), videoFrame(120), videoFrame(160))
        self.assertEqual(self.times(), [0, 40])

    def test_whatItHolds(self) -> None:
        """
        The bytes queued, including those that it began with.
        """
        self.open(frames=9)
        first = [videoFrame(0, True, size=100), videoFrame(40, size=30)]
        self.ledger.received += self.backlog.beginWith(first)
        self.assertEqual(self.backlog.heldBytes(), 130)
        self.add(audioFrame(41, 5))
        self.assertEqual(self.backlog.heldBytes(), 135)
        self.backlog.take()
        self.assertEqual(self.backlog.heldBytes(), 35)
        self.backlog.take()
        self.backlog.take()
        self.assertEqual(self.backlog.heldBytes(), 0)

    def test_otherTracksBeginNoGroup(self) -> None:
        """
        The group is dropped from the key frame of the leading track.
        """
        self.open(frames=5)
        other = videoFrame(81, True)
        other.tracks = (1,)
        self.add(videoFrame(0, True), videoFrame(40), videoFrame(80, True), other)
        self.add(videoFrame(120), videoFrame(160))
        self.assertEqual(self.times(), [0, 40])

    def test_audioAlone(self) -> None:
        """
        The oldest frames are dropped, as many as necessary; headers are not.
        """
        self.open(size=100)
        self.add(metadata(0, size=20), *(audioFrame(n, 40) for n in (1, 2)))
        self.assertEqual(self.ledger.dropped, {})
        self.add(audioFrame(3, 40))
        self.assertEqual(self.ledger.dropped, {TOO_SLOW: 1})
        self.add(audioFrame(4, 80))
        self.assertEqual(self.ledger.dropped, {TOO_SLOW: 3})
        self.assertFalse(self.selection.isActive)
        self.assertEqual(self.times(), [0, 4])

    def test_theOldestAudioTakesItsTimeAlong(self) -> None:
        """
        After that the waiting time is that of the next frame.
        """
        self.open(milliseconds=1000)
        self.add(audioFrame(0))
        self.clock.advance(0.5)
        self.add(audioFrame(500))
        self.clock.advance(1)
        self.add(audioFrame(1500))
        self.assertEqual(self.times(), [500, 1500])

    def test_headersAlone(self) -> None:
        """
        Headers that a later one replaces are dropped; the last of each kind stays.
        """
        self.open(frames=2)
        self.add(metadata(0), metadata(1, "other"))
        self.assertEqual(self.ledger.dropped, {})
        self.add(metadata(2), metadata(3))
        self.assertEqual(self.ledger.dropped, {SUPERSEDED: 2})
        self.assertEqual(self.times(), [1, 3])

    def test_headersThatDiffer(self) -> None:
        """
        All stay, even above the limit: nothing can be decoded without them.
        """
        self.open(frames=1)
        self.add(*(metadata(n, f"header {n}") for n in range(3)))
        self.assertEqual(self.ledger.dropped, {})
        self.assertEqual(self.times(), [0, 1, 2])

    def test_theBytesOfHeadersThatStay(self) -> None:
        """
        Only the bytes of the headers kept are counted.
        """
        self.open(size=100)
        self.add(metadata(0, size=60), metadata(1, size=60))
        self.assertEqual(self.ledger.dropped, {SUPERSEDED: 1})
        self.add(audioFrame(2, 40))
        self.assertEqual(self.ledger.dropped, {SUPERSEDED: 1})
        self.add(audioFrame(3, 9))
        self.assertEqual(self.ledger.dropped, {SUPERSEDED: 1, TOO_SLOW: 1})
        self.assertEqual(self.times(), [1, 3])

    def test_theTimesOfHeadersThatStay(self) -> None:
        """
        The oldest times are removed with the headers that are replaced.
        """
        self.open(milliseconds=1000)
        self.add(metadata(0))
        self.clock.advance(1.5)
        self.add(metadata(1))
        self.assertEqual(self.ledger.dropped, {SUPERSEDED: 1})
        self.clock.advance(1)
        self.add(audioFrame(2))
        self.assertEqual(self.times(), [1, 2])

    def test_waitsFromTheNewestFrameOn(self) -> None:
        """
        Audio is sent on its own when there has been no video frame for three seconds
        after it.
        """
        self.open(frames=2)
        self.add(videoFrame(0, True), videoFrame(1000), videoFrame(2000))
        self.assertEqual(self.take(2)[1].timestamp, 1000)
        self.add(audioFrame(4999), audioFrame(5000))
        self.assertEqual(self.times(), [5000])

    def test_howFarBehind(self) -> None:
        """
        The report covers what waited before anything was dropped.
        """
        self.open(frames=2)
        self.add(videoFrame(0, True))
        self.clock.advance(0.25)
        self.add(videoFrame(1), videoFrame(2))
        self.assertIn("up to 250 ms and 300 bytes behind, 1 frames", self.lag.verdict)


class LatestBacklogTests(BacklogTestsBase):
    """
    Old frames are replaced by newer ones of their track.
    """

    policy = Policy.LATEST

    def test_theNewestOfEachTrack(self) -> None:
        """
        Of each kind and each track number, in the order of arrival.
        """
        self.open()
        other = videoFrame(2)
        other.tracks = (1,)
        self.add(videoFrame(0), audioFrame(1), other, videoFrame(3), audioFrame(4))
        self.assertEqual(self.ledger.dropped, {NOT_NEWEST: 2})
        self.assertEqual(self.times(), [2, 3, 4])

    def test_headersStay(self) -> None:
        """
        They neither replace frames, nor are replaced.
        """
        self.open()
        frames = makeFrames(0.04)
        self.add(*frames, metadata(1), metadata(2), *frames[:2])
        data = Frame(FrameKind.DATA, 3, b"x", Role.DATA, name="onText")
        self.add(data)
        self.assertEqual(self.ledger.dropped, {})
        self.assertEqual(len(self.take()), len(frames) + 5)

    def test_whatIsReplacedCountsNoMore(self) -> None:
        """
        Neither its bytes nor its time are counted.
        """
        self.open(1000, 200, 1)
        for number in range(5):
            self.assertEqual(self.add(videoFrame(number, size=200)), [False])
            self.clock.advance(0.9)
        self.assertEqual(self.ledger.dropped, {NOT_NEWEST: 4})
        self.assertFalse(self.lag.isBehind)

    def test_theOldTimeGoesAlong(self) -> None:
        """
        When the oldest frame is replaced, the waiting time is that of the next one.
        """
        self.open(1000)
        self.add(videoFrame(0))
        self.clock.advance(0.9)
        self.add(audioFrame(0))
        self.clock.advance(0.9)
        self.add(videoFrame(1))
        self.assertFalse(self.lag.isBehind)

    def test_tooMuchAllTheSame(self) -> None:
        """
        Then it works as with L{Policy.TO_KEYFRAME}.
        """
        self.open(size=100)
        self.add(audioFrame(0), videoFrame(0, True, 61))
        self.assertTrue(self.lag.isBehind)
        self.add(videoFrame(40, size=20))
        self.assertEqual(self.ledger.dropped, {TOO_SLOW: 1, AWAITING_KEYFRAME: 1})
        self.assertEqual(self.times(), [0])
