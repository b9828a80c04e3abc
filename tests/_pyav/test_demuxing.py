"""
Tests of L{rtmptw._pyav.demuxing}, in this process.
"""

import sys
import tempfile
from fractions import Fraction
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
from twisted.trial.unittest import SynchronousTestCase

from rtmptw._pyav.demuxing import (
    DEFAULT_STEP,
    FINISHED,
    MAX_GAP,
    MAX_HELD,
    MAX_UNTIMED,
    Beginning,
    Pace,
    Reading,
    Timing,
)
from rtmptw._pyav.flv import TrackMuxer
from rtmptw.errors import SinkError
from rtmptw.flv.file import Tag, TagReader
from rtmptw.frames import Frame
from tests._pyav.test_flv import remux, unsupported
from tests.live.media import (
    AUDIO,
    H264_AAC,
    SCRIPT,
    VIDEO,
    encode,
    isHeader,
    mediaTags,
)


class Clock:
    """
    A clock on which only sleeping takes time.
    """

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def seconds(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        # Do not sleep: move the clock.
        self.slept.append(round(seconds, 3))
        self.now += seconds

    def pace(self) -> Pace:
        return Pace(self.seconds, self.sleep)


class PaceTests(SynchronousTestCase):
    """
    Files pass in real time.
    """

    def test_realTime(self) -> None:
        """
        The first timestamp sets the beginning.
        """
        clock = Clock()
        pace = clock.pace()
        for timestamp in (5000, 5040, 5020, 5100):
            pace.wait(timestamp)
        self.assertEqual(clock.slept, [0.04, 0.06])

    def test_late(self) -> None:
        """
        A reader that was delayed catches up.
        """
        clock = Clock()
        pace = clock.pace()
        pace.wait(0)
        clock.now += 3
        for timestamp in (1000, 2000, 3000, 4000):
            pace.wait(timestamp)
        self.assertEqual(clock.slept, [1.0])

    def test_gap(self) -> None:
        """
        A long gap is skipped.
        """
        clock = Clock()
        pace = clock.pace()
        pace.wait(0)
        pace.wait(int(MAX_GAP * 1000) + 1)
        pace.wait(int(MAX_GAP * 1000) + 41)
        self.assertEqual(clock.slept, [0.04])


class TimingTests(SynchronousTestCase):
    """
    Decoding times that FFmpeg does not know at first.
    """

    def packet(self, pts: int | None, dts: int | None, duration: int = 40) -> Any:
        return SimpleNamespace(
            pts=pts, dts=dts, duration=duration, time_base=Fraction(1, 1000)
        )

    def test_theFirstThatIsKnownTells(self) -> None:
        """
        Earlier packets are placed before the first known time, by their durations.
        """
        timing = Timing()
        first, second, third = (
            self.packet(0, None),
            self.packet(120, None),
            self.packet(40, 0),
        )
        self.assertEqual(timing.add(first), [])
        self.assertEqual(timing.add(second), [])
        self.assertEqual(timing.add(third), [first, second, third])
        self.assertEqual([p.dts for p in (first, second, third)], [-80, -40, 0])
        after = self.packet(80, None)
        self.assertEqual(timing.add(after), [after])

    def test_withoutLength(self) -> None:
        """
        Without durations a default is used.
        """
        timing = Timing()
        first, second = self.packet(0, None, 0), self.packet(40, 0, 0)
        timing.add(first)
        timing.add(second)
        self.assertEqual(first.dts, -DEFAULT_STEP)

    def test_known(self) -> None:
        """
        In the usual case nothing waits.
        """
        timing = Timing()
        first = self.packet(0, -40)
        self.assertEqual(timing.add(first), [first])

    def test_never(self) -> None:
        """
        Few packets wait, and none is lost.
        """
        timing = Timing()
        packets = [self.packet(number, None) for number in range(MAX_UNTIMED + 1)]
        given = [out for packet in packets for out in timing.add(packet)]
        self.assertEqual(given, packets)
        timing = Timing()
        self.assertEqual(timing.add(packets[0]), [])
        self.assertEqual(timing.finish(), packets[:1])


class BeginningTests(SynchronousTestCase):
    """
    The first packets of a file.
    """

    def packet(self, index: int, dts: int | None, pts: int) -> Any:
        return SimpleNamespace(
            stream=SimpleNamespace(index=index),
            pts=pts,
            dts=dts,
            duration=40,
            time_base=Fraction(1, 1000),
        )

    def test_inOrder(self) -> None:
        """
        Packets of all tracks are sorted by decoding time.
        """
        beginning = Beginning([0, 1])
        audio = self.packet(1, 5000, 5000)
        first, second = self.packet(0, None, 5040), self.packet(0, 5020, 5060)
        for packet in (audio, first):
            self.assertEqual(beginning.add(packet), [])
        self.assertEqual(beginning.add(second), [first, audio, second])
        self.assertEqual(beginning.zero, 4980)
        late = self.packet(1, 4990, 4990)
        self.assertEqual(beginning.add(late), [late])
        self.assertEqual((beginning.zero, beginning.finish()), (4980, []))

    def test_aTrackThatNeverComes(self) -> None:
        """
        A track that never comes is not waited for forever.
        """
        beginning = Beginning([0, 1])
        packets = [
            self.packet(0, number * 40, number * 40) for number in range(MAX_HELD)
        ]
        for packet in packets[:-1]:
            self.assertEqual(beginning.add(packet), [])
        self.assertEqual(beginning.add(packets[-1]), packets)

    def test_aShortFile(self) -> None:
        """
        The file ends before all tracks have begun.
        """
        beginning = Beginning([0, 1])
        packet = self.packet(0, 40, 40)
        self.assertEqual(beginning.add(packet), [])
        self.assertEqual(beginning.finish(), [packet])


class ReadingTests(SynchronousTestCase):
    """
    Files, read without delay.
    """

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.clock = Clock()
        self.reader = TagReader()
        self.tags: list[Tag] = []

    def read(self, path: Path, loop: bool = False, limit: int = 0) -> int:
        """
        Read a file; after C{limit} tags, fail as if the server had exited.
        """

        def write(data: bytes) -> None:
            self.tags += self.reader.receive(data)
            if limit and len(self.tags) >= limit:
                raise BrokenPipeError

        return Reading(str(path), loop, write, self.clock.pace()).run()

    def check(self, suffix: str) -> None:
        """
        Check that every frame is there, with the encoder's times from 0 on.
        """
        wanted = [tag for tag in mediaTags(Path(encode(H264_AAC))) if not isHeader(tag)]
        path = remux(encode(H264_AAC), self.folder / f"media.{suffix}")
        self.assertEqual(self.read(path), FINISHED)
        self.assertEqual(self.tags[0].kind, SCRIPT)
        self.assertEqual((self.reader.hasAudio, self.reader.hasVideo), (True, True))
        got = [tag for tag in self.tags[1:] if not isHeader(tag)]
        for kind in (VIDEO, AUDIO):
            ours = [tag for tag in got if tag.kind == kind]
            theirs = [tag for tag in wanted if tag.kind == kind]
            print(f"{suffix} {kind}: {len(ours)} of {len(theirs)}")
            self.assertEqual(len(ours), len(theirs))
            if suffix != "ts":
                # Which repeats the parameter sets in each key frame.
                self.assertEqual(
                    [tag.payload for tag in ours], [tag.payload for tag in theirs]
                )
            shifts = {
                (a.timestamp - b.timestamp) & 0xFFFFFFFF
                for a, b in zip(ours, theirs, strict=True)
            }
            self.assertEqual(len(shifts), 1)
        # As long as the file.
        self.assertApproximates(sum(self.clock.slept), 2.4, 0.2)

    def test_mp4(self) -> None:
        """
        From an MP4 file.
        """
        self.check("mp4")

    def test_matroska(self) -> None:
        """
        From a Matroska file, whose first video frames have no decoding time.
        """
        self.check("mkv")

    def test_transportStream(self) -> None:
        """
        From an MPEG-TS file, whose timestamps begin anywhere.
        """
        self.check("ts")
        self.assertLess(min(tag.timestamp for tag in self.tags[1:]), 100)

    def test_loop(self) -> None:
        """
        The file begins again at its end, with continuing timestamps and no second
        header.
        """
        path = remux(encode(H264_AAC), self.folder / "media.mp4")
        self.assertRaises(BrokenPipeError, self.read, path, True, 600)
        coded = [tag for tag in self.tags[1:] if not isHeader(tag)]
        self.assertEqual(
            [len([tag for tag in self.tags[1:] if isHeader(tag)]), len(coded)],
            [2, 600 - 3],
        )
        turn = H264_AAC.frames + 113
        self.assertEqual(
            [tag.payload for tag in coded[turn : 2 * turn]],
            [tag.payload for tag in coded[:turn]],
        )
        images = [tag.timestamp for tag in coded if tag.kind == VIDEO]
        first, second = images[H264_AAC.frames - 1 : H264_AAC.frames + 1]
        self.assertTrue(0 < second - first < 200, (first, second))

    def test_oneTrackTooMany(self) -> None:
        """
        A track that RTMP cannot carry is left out; if no track is left, that is an
        error.
        """
        path = unsupported(self.folder / "media.mkv")
        error = self.assertRaises(SinkError, self.read, path)
        self.assertRegex(
            str(error), "^its video is left out: RTMP cannot carry mpeg4, or"
        )
        self.assertEqual(self.tags, [])

    def test_aBrokenPacket(self) -> None:
        """
        A broken packet is left out and reported once, and the rest is there.
        """
        mux = TrackMuxer.mux
        complaints = StringIO()
        self.patch(sys, "stderr", complaints)

        def broken(muxer: TrackMuxer, packet: Any) -> list[Frame]:
            if packet.stream.type == "audio" and packet.pts // 48 % 3 == 0:
                raise SinkError("it is broken")
            return mux(muxer, packet)

        self.patch(TrackMuxer, "mux", broken)
        path = remux(encode(H264_AAC), self.folder / "media.mp4")
        self.assertEqual(self.read(path), FINISHED)
        coded = [tag.kind for tag in self.tags[1:] if not isHeader(tag)]
        self.assertEqual(coded.count(VIDEO), H264_AAC.frames)
        self.assertTrue(0 < coded.count(AUDIO) < 113)
        self.assertEqual(complaints.getvalue(), "it is broken\n")

    def test_neither(self) -> None:
        """
        A file with only subtitles is an error.
        """
        path = self.folder / "media.srt"
        path.write_text("1\n00:00:00,000 --> 00:00:01,000\nHello\n")
        error = self.assertRaises(SinkError, self.read, path)
        self.assertEqual(str(error), "it contains neither video nor audio")

    def test_noFile(self) -> None:
        """
        FFmpeg's error is raised.
        """
        self.assertRaises(av.error.FileNotFoundError, self.read, self.folder / "no.mp4")
