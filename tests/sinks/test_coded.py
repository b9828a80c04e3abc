"""
Tests for L{rtmptw.sinks.decode.coded}: which coded frames are queued, and which are
dropped.
"""

from datetime import UTC, datetime, timedelta

from twisted.trial.unittest import SynchronousTestCase

from rtmptw.delivery import DEFAULT_BYTES, DEFAULT_FRAMES
from rtmptw.frames import Frame
from rtmptw.sinks.decode.coded import CodedFrames
from rtmptw.testing import audioFrame, makeFrames, videoFrame

START = datetime(2026, 11, 28, tzinfo=UTC)


def after(seconds: float) -> datetime:
    """
    @return: a time.
    """
    return START + timedelta(seconds=seconds)


class CodedFramesTests(SynchronousTestCase):
    """
    The queue of coded frames.
    """

    def setUp(self) -> None:
        self.coded = CodedFrames(timedelta(seconds=2))

    def add(self, frames: list[Frame]) -> None:
        """
        Add frames; each arrives at the time of its timestamp.
        """
        for frame in frames:
            when = after(frame.timestamp / 1000)
            self.coded.add(frame, when, when)

    def rest(self) -> list[Frame]:
        """
        @return: all queued frames.
        """
        return [self.coded.take()[0] for _ in range(len(self.coded))]

    def test_withoutPatience(self) -> None:
        """
        Nothing is dropped.
        """
        self.coded = CodedFrames()
        frames = makeFrames(20)
        self.add(frames)
        self.coded.expire(after(1000))
        self.assertEqual(self.coded.bytes, sum(frame.size for frame in frames))
        self.assertEqual(self.rest(), frames)
        self.assertEqual(self.coded.bytes, 0)
        self.assertEqual(self.coded.takeDropped(), (0, 0))

    def test_late(self) -> None:
        """
        Late frames are dropped, up to a key frame that is not late; headers are kept.
        """
        frames = makeFrames(4, keyframeEvery=25, audio=False)
        self.add([frame for frame in frames if frame.timestamp <= 2000])
        self.coded.expire(after(2.5))
        kept = self.rest()
        self.assertEqual(
            [(frame.timestamp, frame.isHeader) for frame in kept[:2]],
            [(0, True), (1000, False)],
        )
        self.assertTrue(kept[1].isKey)
        self.assertEqual(kept[-1].timestamp, 2000)
        self.assertEqual(self.coded.takeDropped(), (25, 2500))
        self.assertEqual(self.coded.takeDropped(), (0, 0))

    def test_aKeyFrameIsWaitedFor(self) -> None:
        """
        If all queued frames are late, video waits for a key frame; audio continues at
        once.
        """
        self.add([videoFrame(0, True), videoFrame(40)])
        self.coded.expire(after(5))
        self.assertEqual(self.rest(), [])
        late = [
            videoFrame(5000),
            audioFrame(5010),
            videoFrame(5040, True),
            videoFrame(5080),
        ]
        self.add(late)
        self.assertEqual(self.rest(), late[1:])
        self.assertEqual(self.coded.takeDropped(), (3, 300))

    def test_atMostSoMany(self) -> None:
        """
        An encoder that sends hours of media in a second does not fill the memory.
        """
        for size, most in ((40, DEFAULT_FRAMES), (100_000, DEFAULT_BYTES // 100_000)):
            coded = CodedFrames(timedelta(seconds=2))
            for number in range(DEFAULT_FRAMES + 100):
                coded.add(videoFrame(number, number == 0, size), START, START)
                if number > most + 100:
                    break
            self.assertLessEqual(len(coded), most + 1)
            self.assertLessEqual(coded.bytes, DEFAULT_BYTES + size)
            dropped = coded.takeDropped()[0]
            self.assertGreaterEqual(dropped, 99)
            while len(coded):
                coded.take()
            coded.add(videoFrame(1), START, START)
            self.assertEqual(len(coded), 0, "what depends on those is no use")
            coded.add(videoFrame(2, True), START, START)
            self.assertEqual(len(coded), 1)

    def test_otherTracks(self) -> None:
        """
        Key frames of another track do not end the wait.
        """
        coded = CodedFrames(timedelta(seconds=2), track=1)
        coded.add(videoFrame(0), START, START)
        coded.expire(after(5))
        coded.add(videoFrame(5000, True), after(5), after(5))
        self.assertEqual((len(coded), coded.takeDropped()), (0, (2, 200)))
