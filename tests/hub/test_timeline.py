"""
Tests of the stream's clock.
"""

import itertools

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rtmptw.frames import Codec, Frame, FrameKind, Role
from rtmptw.hub.timeline import DEFAULT_STEP, MAX_BACK, MAX_FORWARD, MAX_STEP, Timeline

AUDIO = FrameKind.AUDIO
VIDEO = FrameKind.VIDEO


class Second(tuple[FrameKind, int]):
    """
    A timestamp of the second video track.
    """

    def __new__(cls, timestamp: int) -> "Second":
        return super().__new__(cls, (VIDEO, timestamp))


def run(
    timeline: Timeline, *sent: tuple[FrameKind, int] | tuple[str, int]
) -> list[int]:
    """
    Repair a row of frames; a word instead of a kind stands for a header or end.

    @return: their timestamps.
    """
    out = []
    for each in sent:
        kind, timestamp = each
        if isinstance(kind, FrameKind):
            frame = Frame(kind, timestamp & 0xFFFFFFFF, b"x", Role.CODED, Codec.H264)
            if isinstance(each, Second):
                frame.tracks = (1,)
        else:
            frame = Frame(VIDEO, timestamp & 0xFFFFFFFF, b"x", Role(kind), Codec.H264)
        timeline.repair(frame)
        out.append(frame.timestamp)
    return out


class TimelineTests(SynchronousTestCase):
    """
    One continuous clock.
    """

    def test_whatMakesSensePasses(self) -> None:
        """
        Steps of real encoders pass unchanged, including jitter.
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
        It follows the clock of its first track, even if only that track jumps.
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

    def test_aSecondTrackOfVideo(self) -> None:
        """
        It is not mistaken for the first.
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
        It has a clock of its own, separate from that of audio.
        """
        timeline = Timeline()
        strange = Frame(FrameKind.DATA, 30_000, b"", Role.UNKNOWN)
        timeline.repair(strange)
        self.assertEqual(strange.timestamp, 30_000)
        self.assertEqual(run(timeline, (AUDIO, 0), (VIDEO, 0)), [0, 0])
        self.assertEqual(timeline.repairs, {})

    def test_runsPast24And31And32Bits(self) -> None:
        """
        The clock continues where 24, 31 and 32 bits wrap.
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
        FFmpeg's muxer masks its timestamps to 31 bits: the intended steps are restored,
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
        A step that would be plausible otherwise is plausible there; one just outside is
        a clock that was set.
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
        macOS OBS gives its first audio frame timestamp 2^32 - 1.
        """
        timeline = Timeline()
        self.assertEqual(
            run(timeline, (AUDIO, -1), (VIDEO, 0), (AUDIO, 20)), [-1, 0, 20]
        )
        self.assertEqual(timeline.repairs, {})

    def test_headersBeforeTheMediaSayNothing(self) -> None:
        """
        FFmpeg with a time offset sends its headers with timestamp 0.
        """
        timeline = Timeline()
        self.assertEqual(
            run(timeline, ("config", 0), (VIDEO, 16_778_000), (VIDEO, 16_778_040)),
            [0, 16_778_000, 16_778_040],
        )
        self.assertEqual(timeline.repairs, {})

    def test_headersAtZeroInTheMiddle(self) -> None:
        """
        OBS gives a new header, and the end, timestamp 0: they follow the media.
        """
        timeline = Timeline()
        out = run(timeline, (VIDEO, 0), (VIDEO, 50_000), ("config", 0), (VIDEO, 50_040))
        self.assertEqual(out, [0, 50_000, 50_000, 50_040])
        self.assertEqual(run(timeline, ("end", 0)), [50_040])
        self.assertEqual(timeline.repairs, {"header": 2})

    def test_headersNearTheMedia(self) -> None:
        """
        They keep their timestamp if it is within a second of the stream's.
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
        # Their time on the stream's clock matters.
        timeline = Timeline()
        run(timeline, (VIDEO, 0), (VIDEO, 10_000_000))
        self.assertEqual(run(timeline, ("config", 10_000_010)), [DEFAULT_STEP + 10])
        self.assertEqual(timeline.repairs, {"forward": 1})

    def test_aClockSetBack(self) -> None:
        """
        A jump back of a second or more continues one step later; audio that jumps by
        the same amount shares the offset and stays in sync.
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
        It is the last step forward, however short; a step of zero or backward does not
        count.
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
        Audio uses the offset of video that jumped before it if that gives a plausible
        step, at and near the limits; otherwise it continues on its own.
        """
        for there, out in (
            (MAX_STEP + 80, 1080),
            (MAX_STEP + 81, DEFAULT_STEP),
            (1 - MAX_BACK, -999),
            (-MAX_BACK, DEFAULT_STEP),
        ):
            timeline = Timeline()
            run(timeline, (VIDEO, 0), (AUDIO, 0), (VIDEO, 40))
            # 9_999_920 ahead.
            self.assertEqual(run(timeline, (VIDEO, 10_000_000)), [80])
            self.assertEqual(run(timeline, (AUDIO, 9_999_920 + there)), [out])
            self.assertEqual(timeline.repairs, {"forward": 2})

    def test_aSecondTrackOnAClockOfItsOwn(self) -> None:
        """
        It begins at the stream's position, if its own time is more than a minute away
        from that.
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
        # Its time on the stream's clock matters.
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
        Audio that jumps alone does not change video.
        """
        timeline = Timeline()
        run(timeline, (VIDEO, 50_000), (AUDIO, 50_000), (VIDEO, 50_040))
        out = run(timeline, (AUDIO, 0), (VIDEO, 50_080), (AUDIO, 23), (VIDEO, 50_120))
        self.assertEqual(out[1::2], [50_080, 50_120])
        self.assertEqual(out[2] - out[0], 23)
        self.assertEqual(timeline.repairs, {"back": 1})

    def test_pausesPass(self) -> None:
        """
        A publisher that stops and continues keeps its gap.
        """
        timeline = Timeline()
        self.assertEqual(
            run(timeline, (VIDEO, 0), (VIDEO, MAX_FORWARD)), [0, MAX_FORWARD]
        )
        self.assertEqual(timeline.repairs, {})

    def test_theEdgeOfBack(self) -> None:
        """
        A step back of just under a second passes; of a second, it is repaired.
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
        A publisher that returns starts at 0: its first frame follows the last one, and
        headers before it do too.
        """
        timeline = Timeline()
        run(timeline, (VIDEO, 0), (AUDIO, 10), (VIDEO, 40))
        timeline.sourceReplaced()
        out = run(timeline, ("config", 0), (VIDEO, 0), (AUDIO, 3), (VIDEO, 40))
        self.assertEqual(out, [40, 40 + DEFAULT_STEP, 76, 113])
        self.assertEqual(timeline.repairs, {"source": 1})
        # And one whose clock has been running.
        timeline.sourceReplaced()
        out = run(timeline, (AUDIO, 7000), (VIDEO, 7001))
        self.assertEqual(out, [113 + DEFAULT_STEP, 114 + DEFAULT_STEP])
        self.assertEqual(timeline.repairs, {"source": 2})

    def test_oneThatSendsNothingBreaksNoContinuation(self) -> None:
        """
        A publisher returns, leaves before its first frame, and returns again.
        """
        timeline = Timeline()
        run(timeline, (VIDEO, 0), (VIDEO, 40))
        timeline.sourceReplaced()
        timeline.sourceReplaced()
        self.assertEqual(run(timeline, (VIDEO, 0)), [40 + DEFAULT_STEP])

    def test_aSourceThatSentNothingIsNotContinued(self) -> None:
        """
        There is nothing to continue: the clock starts with the source's timestamps.
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
        With any input, no track goes back by a second, nor jumps by more than a minute
        beyond the stream's position.
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


def encoded(start: int, count: int) -> list[tuple[FrameKind, int]]:
    """
    @return: what an encoder sends: 25 video frames per second, with audio frames
        between them.
    """
    video = [(n * 40, VIDEO) for n in range(count)]
    audio = [(n * 64 // 3, AUDIO) for n in range(count * 15 // 8)]
    return [(kind, start + time) for time, kind in sorted(video + audio, key=_time)]


def _time(frame: tuple[int, FrameKind]) -> int:
    return frame[0]


class TogetherTests(SynchronousTestCase):
    """
    Audio and video stay in sync, as on the encoder's clock.
    """

    def assertTogether(
        self,
        timeline: Timeline,
        true: list[tuple[FrameKind, int]],
        sent: list[tuple[FrameKind, int]],
        clean: int,
    ) -> list[int]:
        """
        After C{clean} frames without errors, tracks are as far apart as those of the
        encoder.

        @return: how far each timestamp is from the encoder's.
        """
        out = run(timeline, *sent)
        away = [b - a for (_, a), b in zip(true, out, strict=True)]
        self.assertEqual(len(set(away[-clean:])), 1, away)
        return away

    def test_oneTimestampGoesAstray(self) -> None:
        """
        All other timestamps are unchanged, whichever is wrong and by however much.
        """
        for kind in (VIDEO, AUDIO):
            for astray in (5000, 30_000, 60_000, 120_000, -5000, -1500, 2**24, 2**31):
                true = encoded(100_000, 50)
                at = next(n for n in range(70, 80) if true[n][0] is kind)
                sent = list(true)
                sent[at] = (kind, true[at][1] + astray)
                out = run(Timeline(), *sent)
                del out[at], true[at]
                self.assertEqual(out, [time for _, time in true], (kind, astray))

    def test_fiveInARow(self) -> None:
        """
        They continue with their own steps, and return afterwards.
        """
        true = encoded(0, 50)
        for astray in (5000, -5000, 10_000_000):
            images = [n for n, (kind, _) in enumerate(true) if kind is VIDEO][20:25]
            sent = [
                (kind, time + astray * (n in images))
                for n, (kind, time) in enumerate(true)
            ]
            timeline = Timeline()
            self.assertEqual(
                self.assertTogether(timeline, true, sent, 143 - 50), [0] * 143
            )

    def test_aDifferenceBelowZeroIn24Bits(self) -> None:
        """
        From there on the video clock is 2^24 more: video continues exactly to the
        millisecond, also if every tenth timestamp is so.
        """
        true = encoded(0, 400)
        for each in (10, 100):
            sent = []
            extra = 0
            wanted = []
            images = 0
            for kind, time in true:
                back = 0
                if kind is VIDEO:
                    images += 1
                    if images % each == 0:
                        back = 50
                        extra += 2**24
                    time += extra - back
                sent.append((kind, time))
                wanted.append(time - extra * (kind is VIDEO))
            self.assertEqual(run(Timeline(), *sent), wanted)

    def test_bothAreSet(self) -> None:
        """
        A real new clock moves both tracks equally, forward or back.
        """
        true = encoded(100_000, 50)
        for by in (-2500, -100_000, 3_600_000, 61_000):
            sent = [(k, t + by * (t >= 101_000)) for k, t in true]
            away = self.assertTogether(Timeline(), true, sent, 60)
            self.assertLess(abs(away[-1]), 41)

    def test_bothAreSilent(self) -> None:
        """
        A pause of both tracks is a pause: only the frame that came first after it is
        early.
        """
        true = [(k, t + 5000 * (t >= 1000)) for k, t in encoded(0, 50)]
        timeline = Timeline()
        away = self.assertTogether(timeline, true, true, 60)
        self.assertEqual([a for a in away if a], [-5000])
        self.assertEqual(timeline.repairs, {"forward": 2})

    def test_aSourceThatMeansIt(self) -> None:
        """
        Its pause is accepted at once.
        """
        true = [(k, t + 5000 * (t >= 1000)) for k, t in encoded(0, 50)]
        timeline = Timeline()
        timeline.isTrusted = True
        self.assertEqual(run(timeline, *true), [time for _, time in true])
        self.assertEqual(timeline.repairs, {})

    def test_onlyOneIsSilent(self) -> None:
        """
        The other track has continued meanwhile: nothing is repaired.
        """
        for silent in (VIDEO, AUDIO):
            true = [
                f
                for f in encoded(0, 200)
                if f[0] is not silent or not 1000 < f[1] < 6000
            ]
            timeline = Timeline()
            self.assertEqual(run(timeline, *true), [time for _, time in true])
            self.assertEqual(timeline.repairs, {})

    def test_oneIsSetAndStays(self) -> None:
        """
        It continues from its position, exactly to the millisecond.
        """
        true = encoded(100_000, 100)
        for by in (-2000, 2000, 3_600_000):
            sent = [(k, t + by * (k is VIDEO and t >= 101_000)) for k, t in true]
            out = run(Timeline(), *sent)
            self.assertEqual(out, [time for _, time in true])

    def test_theFirstOneIsWrong(self) -> None:
        """
        No track goes back, so all following frames are later, in sync.
        """
        for astray in (1500, 2500, 5000, 30_000, 120_000, -1500, -5000, -120_000):
            true = encoded(200_000, 50)
            sent = [(true[0][0], true[0][1] + astray), *true[1:]]
            self.assertTogether(Timeline(), true, sent, 130)

    def test_whereTheOthersAre(self) -> None:
        """
        Within a second of the other tracks, on the shared clock: then they follow.
        """
        for wire, sound in ((2000, 5074), (1999, 3001)):
            timeline = Timeline()
            run(timeline, (AUDIO, 3000), (VIDEO, 4040))
            self.assertEqual(run(timeline, (VIDEO, wire)), [4073])
            self.assertEqual(run(timeline, (AUDIO, 3001)), [sound])
            self.assertEqual(timeline.repairs, {"back": 1})

    def test_whereTheOthersAreOnTheirClock(self) -> None:
        """
        The shared clock is that of the stream, not of the wire.
        """
        timeline = Timeline()
        self.assertEqual(run(timeline, (AUDIO, 0), (AUDIO, 10_000_000)), [0, 33])
        out = run(timeline, (AUDIO, 10_002_967), (VIDEO, 10_004_007))
        self.assertEqual(out, [3000, 4040])
        out = run(timeline, (VIDEO, 10_001_967), (AUDIO, 10_002_968))
        self.assertEqual(out, [4073, 5074])

    def test_whoIsElsewhereStaysThere(self) -> None:
        """
        If another track was too far ahead, only tracks that share the clock follow.
        """
        timeline = Timeline()
        run(timeline, (AUDIO, 3000), (VIDEO, 3000))
        run(timeline, Second(3000), Second(1_000_000))
        out = run(timeline, (VIDEO, 4000), (VIDEO, 5000), (VIDEO, 3100))
        self.assertEqual(out, [4000, 5000, 6000])
        out = run(timeline, Second(1_000_040), (AUDIO, 3110), (VIDEO, 3140))
        self.assertEqual(out, [3073, 6010, 6040])

    def test_theOthersAreLive(self) -> None:
        """
        Those at most three seconds behind; without them a pause is accepted at once.
        """
        for behind, out in ((3000, 3040), (3001, 8001)):
            timeline = Timeline()
            times = range(1000, behind, 1000)
            run(timeline, (AUDIO, 0), (VIDEO, 0), *((VIDEO, t) for t in times))
            self.assertEqual(run(timeline, (VIDEO, behind)), [behind])
            step = behind - times[-1]
            wanted = behind + step if out == 3040 else 8001
            self.assertEqual(run(timeline, (VIDEO, 8001)), [wanted])

    def test_aSecondIsAStep(self) -> None:
        """
        A step of a second passes; a millisecond more is a pause, which the others have
        to confirm.
        """
        for step, out, repairs in ((1000, 1000, {}), (1001, 33, {"forward": 1})):
            timeline = Timeline()
            run(timeline, (AUDIO, 0), (VIDEO, 0))
            # Up to that it is not ahead of the others.
            self.assertEqual(run(timeline, (VIDEO, step)), [out])
            self.assertEqual(timeline.repairs, repairs)

    def test_24Bits(self) -> None:
        """
        A step that is plausible without the higher bits is used, up to a second.
        """
        for step, out, kind in (
            (1000, 1500, "wrap"),
            (1001, 500 + DEFAULT_STEP, "forward"),
            (-999, -499, "wrap"),
            (-1000, 500 + DEFAULT_STEP, "forward"),
        ):
            timeline = Timeline()
            run(timeline, (VIDEO, 500))
            self.assertEqual(run(timeline, (VIDEO, 500 + 2**24 + step)), [out])
            self.assertEqual(timeline.repairs, {kind: 1})

    def test_whoHasLeftStaysAway(self) -> None:
        """
        It stays on its own clock if that gives the better step, even if the shared
        clock would do.
        """
        timeline = Timeline()
        run(timeline, (VIDEO, 0), (AUDIO, 0), (AUDIO, 500), (VIDEO, 40))
        self.assertEqual(run(timeline, (VIDEO, 1580), (VIDEO, 1620)), [80, 120])
        self.assertEqual(run(timeline, (AUDIO, 1000), (VIDEO, 1660)), [1000, 160])

    def test_clocksThatATrackHasLeft(self) -> None:
        """
        The last four are recognized again, even if a video frame is missing at that
        moment.
        """
        own = [(VIDEO, 0), (AUDIO, 0), (VIDEO, 40), (AUDIO, 41), (VIDEO, 5000)]
        for count, out in ((1, 200), (4, 320), (5, 320)):
            timeline = Timeline()
            self.assertEqual(run(timeline, *own), [0, 0, 40, 41, 80])
            astray = [(VIDEO, 100_000 * n) for n in range(1, count + 1)]
            begin = run(timeline, *astray)
            self.assertEqual(begin, [120 + 40 * n for n in range(count)])
            # 80 ms after the last one.
            back = run(timeline, (VIDEO, 5000 + 40 * count + 80))
            self.assertEqual(back, [out])

    def test_anotherTrackGoesAstray(self) -> None:
        """
        It has a clock of its own, like the first two.
        """
        timeline = Timeline()
        run(timeline, (VIDEO, 0), (AUDIO, 0))
        out = []
        for time in (0, 40, 90_000, 90_040, 160):
            out += run(timeline, Second(time))
        self.assertEqual(out, [0, 40, 80, 120, 160])

    def test_aMomentOfBoth(self) -> None:
        """
        Both are off by 200 ms for a moment: they stay in sync.
        """
        true = encoded(10_000, 100)
        for astray in (5000, -5000, 120_000):
            sent = [(k, t + astray * (11_000 <= t < 11_200)) for k, t in true]
            self.assertTogether(Timeline(), true, sent, 200)

    @given(
        st.sampled_from([AUDIO, VIDEO]),
        st.lists(
            st.tuples(
                st.integers(4, 90),
                st.integers(-(2**31), 2**31) | st.integers(-70_000, 70_000),
            ),
            max_size=12,
        ),
    )
    def test_oneTrackGoesAstray(
        self, which: FrameKind, wrong: list[tuple[int, int]]
    ) -> None:
        """
        With any wrong timestamps of one track, however often: when they are right
        again, the tracks are as far apart as the encoder's.
        """
        true = encoded(500_000, 50)
        astray = dict(wrong)
        sent = [
            (k, t + (astray.get(n, 0) if k is which else 0))
            for n, (k, t) in enumerate(true)
        ]
        self.assertTogether(Timeline(), true, sent, 20)
