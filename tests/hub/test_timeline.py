"""
Tests of the stream's clock.
"""

import itertools

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rtmptw.frames import Codec, Frame, FrameKind, Role
from rtmptw.hub.timeline import DEFAULT_STEP, MAX_BACK, MAX_FORWARD, Timeline

AUDIO = FrameKind.AUDIO
VIDEO = FrameKind.VIDEO


def run(
    timeline: Timeline, *sent: tuple[FrameKind, int] | tuple[str, int]
) -> list[int]:
    """
    Repair a row of frames; a word instead of a kind is a header or end.

    @return: their timestamps.
    """
    out = []
    for kind, timestamp in sent:
        if isinstance(kind, FrameKind):
            frame = Frame(kind, timestamp & 0xFFFFFFFF, b"x", Role.CODED, Codec.H264)
        else:
            frame = Frame(VIDEO, timestamp & 0xFFFFFFFF, b"x", Role(kind), Codec.H264)
        timeline.repair(frame)
        out.append(frame.timestamp)
    return out


class TimelineTests(SynchronousTestCase):
    """
    One unbroken clock.
    """

    def test_whatMakesSensePasses(self) -> None:
        """
        Steps of real encoders pass unchanged, unevenness included.
        """
        timeline = Timeline()
        self.assertEqual(timeline.position, 0)
        sent = [(VIDEO, 0), (AUDIO, 0), (AUDIO, 23), (VIDEO, 40), (VIDEO, 33)]
        self.assertEqual(run(timeline, *sent), [0, 0, 23, 40, 33])
        self.assertEqual((timeline.position, timeline.repairs), (40, {}))
        for begin in (1, 33, 2**31 - 1):
            self.assertEqual(run(Timeline(), (VIDEO, begin)), [begin])

    def test_aBodyOfSeveralTracks(self) -> None:
        """
        Has the clock of its first track, whatever that does alone.
        """
        timeline = Timeline()
        sent = [((1, 0), 1000), ((1,), 1040), ((0,), 500_000), ((1, 0), 1080)]
        out = []
        for tracks, timestamp in sent:
            frame = Frame(VIDEO, timestamp, b"x", Role.CODED, Codec.H264, tracks=tracks)
            timeline.repair(frame)
            out.append(frame.timestamp)
        self.assertEqual(out, [1000, 1040, 1040, 1080])
        self.assertEqual(timeline.repairs, {"forward": 1})

    def test_aSecondTrackOfPictures(self) -> None:
        """
        Is not taken for the first.
        """
        timeline = Timeline()
        self.assertEqual(run(timeline, (VIDEO, 0)), [0])
        second = Frame(VIDEO, 30_000, b"x", Role.CODED, Codec.H264, tracks=(1,))
        timeline.repair(second)
        self.assertEqual(second.timestamp, 30_000)
        self.assertEqual(run(timeline, (VIDEO, 40), (AUDIO, 41)), [40, 41])
        self.assertEqual(timeline.repairs, {})

    def test_dataThatNobodyUnderstands(self) -> None:
        """
        Has a clock of its own, which is not that of the sound.
        """
        timeline = Timeline()
        strange = Frame(FrameKind.DATA, 30_000, b"", Role.UNKNOWN)
        timeline.repair(strange)
        self.assertEqual(strange.timestamp, 30_000)
        self.assertEqual(run(timeline, (AUDIO, 0), (VIDEO, 0)), [0, 0])
        self.assertEqual(timeline.repairs, {})

    def test_runsPast24And31And32Bits(self) -> None:
        """
        The clock goes on where 24, 31 and 32 bits end.
        """
        for edge in (0xFFFFFF, 2**31, 2**32):
            timeline = Timeline()
            start = edge - 100
            sent = [(VIDEO, start + n * 40) for n in range(10)]
            out = run(timeline, *sent)
            self.assertEqual([b - a for a, b in itertools.pairwise(out)], [40] * 9)
            self.assertEqual(timeline.repairs, {})

    def test_aClockOf31Bits(self) -> None:
        """
        FFmpeg's muxer masks its timestamps to 31 bits: the steps are those it meant,
        on both tracks, however they interleave.
        """
        timeline = Timeline()
        mask = 0x7FFFFFFF
        start = 2**32 - 100
        sent = [
            (kind, (start + n * 40 + extra) & mask)
            for n in range(10)
            for kind, extra in ((VIDEO, 0), (AUDIO, 15))
        ]
        out = run(timeline, *sent)
        self.assertEqual(
            [b - a for a, b in itertools.pairwise(out)], [15, 25] * 9 + [15]
        )
        self.assertEqual(timeline.repairs, {"wrap": 2})

    def test_theEdgesOf31Bits(self) -> None:
        """
        A step that would make sense otherwise makes sense there; one next to it is a
        clock that was set.
        """
        for begin, step, out, kind in (
            (2**31 - 100, 60_000, 2**31 + 59_900, "wrap"),
            (2**31 - 100, 60_001, 2**31 - 100 + DEFAULT_STEP, "back"),
            (500, -999, -499, "wrap"),
            (500, -1000, 500 + DEFAULT_STEP, "forward"),
        ):
            timeline = Timeline()
            run(timeline, (VIDEO, begin))
            self.assertEqual(run(timeline, (VIDEO, (begin + step) % 2**31)), [out])
            self.assertEqual(timeline.repairs, {kind: 1})

    def test_minusOneIsBeforeZero(self) -> None:
        """
        macOS OBS stamps its first audio frame with 2^32 - 1.
        """
        timeline = Timeline()
        self.assertEqual(
            run(timeline, (AUDIO, -1), (VIDEO, 0), (AUDIO, 20)), [-1, 0, 20]
        )
        self.assertEqual(timeline.repairs, {})

    def test_headersBeforeTheMediaSayNothing(self) -> None:
        """
        FFmpeg with a time offset sends its headers at 0.
        """
        timeline = Timeline()
        self.assertEqual(
            run(timeline, ("config", 0), (VIDEO, 16_778_000), (VIDEO, 16_778_040)),
            [0, 16_778_000, 16_778_040],
        )
        self.assertEqual(timeline.repairs, {})

    def test_headersAtZeroInTheMiddle(self) -> None:
        """
        OBS stamps a new header, and the end, with 0: they follow the media.
        """
        timeline = Timeline()
        out = run(timeline, (VIDEO, 0), (VIDEO, 50_000), ("config", 0), (VIDEO, 50_040))
        self.assertEqual(out, [0, 50_000, 50_000, 50_040])
        self.assertEqual(run(timeline, ("end", 0)), [50_040])
        self.assertEqual(timeline.repairs, {"header": 2})

    def test_headersNearTheMedia(self) -> None:
        """
        Keep their time if it is within a second of the stream's.
        """
        for away, out, repairs in (
            (-1001, 50_000, {"header": 1}),
            (-1000, 49_000, {}),
            (1000, 51_000, {}),
            (1001, 50_000, {"header": 1}),
        ):
            timeline = Timeline()
            run(timeline, (VIDEO, 0), (VIDEO, 50_000))
            self.assertEqual(run(timeline, ("config", 50_000 + away)), [out])
            self.assertEqual(timeline.repairs, repairs)
        # Their time on the stream's clock counts.
        timeline = Timeline()
        run(timeline, (VIDEO, 0), (VIDEO, 10_000_000))
        self.assertEqual(run(timeline, ("config", 10_000_010)), [DEFAULT_STEP + 10])
        self.assertEqual(timeline.repairs, {"forward": 1})

    def test_aClockSetBack(self) -> None:
        """
        A jump back of a second or more goes on one step further; audio that jumps
        alike shares the offset and stays in step.
        """
        timeline = Timeline()
        run(timeline, (VIDEO, 100_000), (AUDIO, 100_010), (VIDEO, 100_040))
        out = run(timeline, (VIDEO, 0), (AUDIO, 5), (VIDEO, 40), (AUDIO, 28))
        self.assertEqual(out, [100_080, 100_085, 100_120, 100_108])
        self.assertEqual(timeline.repairs, {"back": 2})

    def test_aClockSetForward(self) -> None:
        """
        A jump of more than a minute is a clock that was set.
        """
        timeline = Timeline()
        run(timeline, (VIDEO, 0), (AUDIO, 10), (VIDEO, 40))
        out = run(
            timeline, (VIDEO, 10_000_080), (AUDIO, 10_000_060), (VIDEO, 10_000_120)
        )
        self.assertEqual(out, [80, 60, 120])
        self.assertEqual(timeline.repairs, {"forward": 2})

    def test_theStepAfterAJump(self) -> None:
        """
        Is the last one forward, however short; what stood still or went back is none.
        """
        for sent, step in (
            ((0, 40, 40), 40),
            ((0, 40, 30), 40),
            ((0, 40, 41), 1),
            ((0,), DEFAULT_STEP),
        ):
            timeline = Timeline()
            run(timeline, *((VIDEO, time) for time in sent))
            position = timeline.position
            self.assertEqual(run(timeline, (VIDEO, 10_000_000)), [position + step])

    def test_theOffsetThatFits(self) -> None:
        """
        Sound takes over the offset of video that jumped before it if that makes a step
        which makes sense, at the edges and next to them; else it goes on by itself.
        """
        for there, out in (
            (MAX_FORWARD, 60_000),
            (MAX_FORWARD + 1, 80 + DEFAULT_STEP),
            (1 - MAX_BACK, -999),
            (-MAX_BACK, 80 + DEFAULT_STEP),
        ):
            timeline = Timeline()
            run(timeline, (VIDEO, 0), (AUDIO, 0), (VIDEO, 40))
            # 9_999_920 ahead.
            self.assertEqual(run(timeline, (VIDEO, 10_000_000)), [80])
            self.assertEqual(run(timeline, (AUDIO, 9_999_920 + there)), [out])
            self.assertEqual(timeline.repairs, {"forward": 2})

    def test_aSecondTrackOnAClockOfItsOwn(self) -> None:
        """
        Begins where the stream is, if its own time is more than a minute from there.
        """
        for away, out, repairs in (
            (60_000, 160_000, {}),
            (60_001, 100_000, {"forward": 1}),
            (-60_000, 40_000, {}),
            (-60_001, 100_000, {"back": 1}),
        ):
            timeline = Timeline()
            run(timeline, (VIDEO, 100_000))
            self.assertEqual(run(timeline, (AUDIO, 100_000 + away)), [out])
            self.assertEqual(timeline.repairs, repairs)
        # Its time on the stream's clock counts.
        timeline = Timeline()
        run(timeline, (VIDEO, 0), (VIDEO, 10_000_000))
        self.assertEqual(run(timeline, (AUDIO, 50)), [DEFAULT_STEP])
        self.assertEqual(timeline.repairs, {"forward": 1, "back": 1})
        timeline = Timeline()
        run(timeline, (VIDEO, 0), (VIDEO, 10_000_000))
        self.assertEqual(run(timeline, (AUDIO, 10_000_010)), [DEFAULT_STEP + 10])
        self.assertEqual(timeline.repairs, {"forward": 1})

    def test_oneTracksJumpIsNotTheOthers(self) -> None:
        """
        Audio that jumps alone leaves video as it is.
        """
        timeline = Timeline()
        run(timeline, (VIDEO, 50_000), (AUDIO, 50_000), (VIDEO, 50_040))
        out = run(timeline, (AUDIO, 0), (VIDEO, 50_080), (AUDIO, 23), (VIDEO, 50_120))
        self.assertEqual(out[1::2], [50_080, 50_120])
        self.assertEqual(out[2] - out[0], 23)
        self.assertEqual(timeline.repairs, {"back": 1})

    def test_pausesPass(self) -> None:
        """
        A publisher that was stopped and goes on leaves its gap as it was.
        """
        timeline = Timeline()
        self.assertEqual(
            run(timeline, (VIDEO, 0), (VIDEO, MAX_FORWARD)), [0, MAX_FORWARD]
        )
        self.assertEqual(timeline.repairs, {})

    def test_theEdgeOfBack(self) -> None:
        """
        A step back of just less than a second passes, of a second is repaired.
        """
        timeline = Timeline()
        self.assertEqual(
            run(timeline, (VIDEO, 5000), (VIDEO, 5000 - MAX_BACK + 1)), [5000, 4001]
        )
        timeline = Timeline()
        out = run(timeline, (VIDEO, 5000), (VIDEO, 5000 - MAX_BACK))
        self.assertEqual(out, [5000, 5000 + DEFAULT_STEP])

    def test_anotherSourceContinues(self) -> None:
        """
        A publisher that comes back starts at 0: its first frame follows the last
        one, and headers before it do too.
        """
        timeline = Timeline()
        run(timeline, (VIDEO, 0), (AUDIO, 10), (VIDEO, 40))
        timeline.sourceReplaced()
        out = run(timeline, ("config", 0), (VIDEO, 0), (AUDIO, 3), (VIDEO, 40))
        self.assertEqual(out, [40, 40 + DEFAULT_STEP, 76, 113])
        self.assertEqual(timeline.repairs, {"source": 1})
        # And one whose clock has run before.
        timeline.sourceReplaced()
        out = run(timeline, (AUDIO, 7000), (VIDEO, 7001))
        self.assertEqual(out, [113 + DEFAULT_STEP, 114 + DEFAULT_STEP])
        self.assertEqual(timeline.repairs, {"source": 2})

    def test_oneThatSendsNothingBreaksNoContinuation(self) -> None:
        """
        A publisher comes back, goes before its first frame, and comes back again.
        """
        timeline = Timeline()
        run(timeline, (VIDEO, 0), (VIDEO, 40))
        timeline.sourceReplaced()
        timeline.sourceReplaced()
        self.assertEqual(run(timeline, (VIDEO, 0)), [40 + DEFAULT_STEP])

    def test_aSourceThatSentNothingIsNotContinued(self) -> None:
        """
        Nothing to follow: the clock starts as it comes.
        """
        timeline = Timeline()
        timeline.sourceReplaced()
        self.assertEqual(run(timeline, (VIDEO, 500)), [500])
        self.assertEqual(timeline.repairs, {})

    @given(
        st.lists(
            st.tuples(st.sampled_from([AUDIO, VIDEO]), st.integers(0, 2**32 - 1)),
            max_size=50,
        )
    )
    def test_neverFarBack(self, sent: list[tuple[FrameKind, int]]) -> None:
        """
        Whatever comes, no track ever goes back by a second, nor jumps by more than
        a minute beyond the stream's position.
        """
        timeline = Timeline()
        last: dict[FrameKind, int] = {}
        for kind, timestamp in sent:
            position = timeline.position
            (out,) = run(timeline, (kind, timestamp))
            if kind in last:
                self.assertGreater(out - last[kind], -MAX_BACK)
            if last:
                self.assertLessEqual(out, position + 2 * MAX_FORWARD)
            last[kind] = out
