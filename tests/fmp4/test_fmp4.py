"""
Tests for L{rtmptw.fmp4}: boxes are read back, with exact times and bytes.
"""

import io
import random
from fractions import Fraction
from itertools import pairwise
from struct import unpack

import av
from twisted.trial.unittest import SynchronousTestCase

from rtmptw.codecs.video import Color
from rtmptw.errors import RemoteProtocolError
from rtmptw.fmp4 import fragment as _fragment
from rtmptw.fmp4 import writer as _writer
from rtmptw.fmp4.describe import CODECS, describe
from rtmptw.fmp4.fragment import fragment
from rtmptw.fmp4.initial import initSegment
from rtmptw.fmp4.run import Run
from rtmptw.fmp4.timing import Timing
from rtmptw.fmp4.track import About, Display, Light, Track
from rtmptw.fmp4.writer import Writer
from rtmptw.frames import Codec
from tests.fmp4.reading import AUDIO, VISUAL, boxes, contents, entry, samples, within

AVC = bytes.fromhex(
    "0164000affe100176764000aacd9462684000003000400000300c83c489658"
    "01000468ef8fcbfdf8f800"
)
AAC = bytes.fromhex("118856e500")


class TimingTests(SynchronousTestCase):
    """
    RTMP milliseconds are converted to ticks, and back.
    """

    def test_whatIsReadBackIsWhatWasSent(self) -> None:
        """
        The original milliseconds are read back for every rate, rounding and start; and
        the steps become exactly those of the audio.
        """
        for rate in (48000, 44100, 32000, 24000, 22050, 16000, 11025, 8000, 7350):
            for block in (1024, 960, 2048, 512, 576, 1152):
                for rounding in (int, round, lambda number: -int(-number // 1)):
                    for start in (0, 7, 12345):
                        timing = Timing(rate, block)
                        times = []
                        for number in range(300):
                            exact = start + Fraction(number * block * 1000, rate)
                            sent = rounding(exact)
                            ticks = timing.place(sent, 0)
                            back = Fraction(ticks * 1000, rate)
                            half = Fraction(1, 2)
                            self.assertTrue(-half <= back - sent < half)
                            times.append(ticks)
                        steps = [b - a for a, b in pairwise(times[150:])]
                        # At rates where ticks and milliseconds rarely coincide, one
                        # tick.
                        odd = [step - block for step in steps if step != block]
                        most = 15 if rate >= 16000 else 40
                        self.assertLess(len(odd), most, (rate, block, start))
                        self.assertTrue(all(abs(step) == 1 for step in odd))

    def test_aGapIsAGap(self) -> None:
        """
        After a gap audio continues at the encoder's timestamp, not where the previous
        block ends.
        """
        timing = Timing(48000, 1024)
        self.assertEqual(timing.place(0, 0), 0)
        self.assertEqual(timing.place(21, 0), 1024)
        self.assertEqual(timing.place(1000, 0), 48000)
        self.assertEqual(timing.place(1021, 0), 49024)

    def test_timesThatStandStill(self) -> None:
        """
        A repeated timestamp is moved by the smallest step.
        """
        timing = Timing(1000, 0)
        self.assertEqual([timing.place(ms, 0) for ms in (5, 5, 4, 9)], [5, 6, 7, 9])
        timing = Timing(48000, 1024)
        self.assertEqual([timing.place(ms, 0) for ms in (5, 5)], [240, 241])

    def test_blocksThatVary(self) -> None:
        """
        Opus packets have their own durations.
        """
        timing = Timing(48000, 960)
        blocks = ((0, 480), (10, 480), (20, 240), (25, 120), (28, 960))
        times = [timing.place(ms, block) for ms, block in blocks]
        self.assertEqual(times, [0, 480, 960, 1200, 1320])


class FragmentTests(SynchronousTestCase):
    """
    A fragment.
    """

    def test_everySampleIsReadBack(self) -> None:
        """
        Samples of several tracks, with negative offsets, are read back exactly.
        """
        pictures, audio = Run(1, False), Run(2, True)
        for number in range(5):
            time = 40 * number + 7
            pictures.add(bytes([number] * 9), time, number * 30 - 60, number % 2 == 0)
        for number in range(9):
            audio.add(bytes([99, number]), 1024 * number, 0, True)
        pictures.end, audio.end = 207, 9216
        data = b"".join(fragment(3, [pictures, audio]))
        self.assertEqual([where for where, _, _ in boxes(data)][-1], "/mdat")
        self.assertEqual(contents(data, "/moof/mfhd"), [b"\0\0\0\0\0\0\0\3"])
        got = samples(data)
        self.assertEqual(
            [(s.time, s.duration, s.offset, s.isSync, s.data) for s in got[1]],
            [
                (40 * n + 7, 40, n * 30 - 60, n % 2 == 0, bytes([n] * 9))
                for n in range(5)
            ],
        )
        self.assertEqual(
            [(s.time, s.duration, s.offset, s.isSync, s.data) for s in got[2]],
            [(1024 * n, 1024, 0, True, bytes([99, n])) for n in range(9)],
        )

    def test_oneLargerThan32Bits(self) -> None:
        """
        A fragment larger than 32 bits has a longer header, and the samples follow it.
        """
        self.patch(_fragment, "_LARGE", 20)
        run = Run(1, True)
        for number in range(3):
            run.add(bytes([number] * 10), number, 0, True)
        got = samples(b"".join(fragment(1, [run])))
        self.assertEqual([s.data for s in got[1]], [bytes([n] * 10) for n in range(3)])

    def test_cutAnywhereAllIsThere(self) -> None:
        """
        All samples are there, in one fragment or many.
        """
        dice = random.Random(17)
        track = Track(1, describe(Codec.H264, AVC, b"", About()))
        audio = Track(2, describe(Codec.AAC, AAC, b"", About()))
        stream = [
            (place, dice.randbytes(dice.randrange(1, 40)), ms, dice.randrange(-40, 80))
            for ms in range(0, 4000, 20)
            for place in ((0, 1) if ms % 40 == 0 else (1,))
        ]
        for length in (10**9, 1000, 100, 1):
            writer = Writer(length)
            writer.addTrack(track)
            writer.addTrack(audio)
            data = initSegment([track, audio])
            count = 0
            for place, payload, ms, offset in stream:
                isKey = ms % 1000 == 0
                if writer.isDue(ms, isKey and place == 0):
                    data += b"".join(writer.cut(len(data)))
                    count += 1
                offset = 0 if place else offset
                self.assertFalse(writer.add(place, payload, ms, offset, isKey))
            data += b"".join(writer.cut(len(data)))
            self.assertEqual(writer.cut(len(data)), [])
            got = samples(data)
            for number, rate in ((1, 1000), (2, 48000)):
                self.assertEqual(
                    [
                        (s.data, round(s.time * 1000 / rate), s.offset)
                        for s in got[number]
                    ],
                    [
                        (payload, ms, 0 if place else offset)
                        for place, payload, ms, offset in stream
                        if place == number - 1
                    ],
                )
            self.assertEqual(len(contents(data, "/moof")), count + 1)
            self.assertIn(count, {10**9: {0}, 1000: {3}, 100: {39}, 1: {199}}[length])
            self.check(data + writer.index(), [1000, 2000, 3000])

    def check(self, data: bytes, keys: list[int]) -> None:
        """
        Check that the index points to the beginnings of fragments.
        """
        (table,) = contents(data, "/mfra/tfra")
        version, track, lengths, rows = unpack(">IIII", table[:16])
        self.assertEqual((version >> 24, track, lengths), (1, 1, 0x3F))
        starts = {start - 8 for where, start, _ in boxes(data) if where == "/moof"}
        for row in range(rows):
            fields = table[16 + 28 * row : 44 + 28 * row]
            _time, position, traf, trun, _sample = unpack(">QQIII", fields)
            self.assertIn(position, starts)
            self.assertEqual((traf, trun), (1, 1))
        (tail,) = contents(data, "/mfra/mfro")
        (size,) = unpack(">I", tail[4:])
        self.assertEqual(data[-size + 4 : -size + 8], b"mfra")

    def test_theIndexIsBounded(self) -> None:
        """
        Every second entry is removed when there are too many.
        """
        self.patch(_writer, "MAX_INDEX", 8)
        writer = Writer(10)
        writer.addTrack(Track(1, describe(Codec.H264, AVC, b"", About())))
        for number in range(100):
            writer.add(0, b"x", number * 10, 0, True)
            writer.cut(number)
        (table,) = contents(writer.index(), "/mfra/tfra")
        self.assertLessEqual(unpack(">I", table[12:16])[0], 8)

    def test_aLargeFragmentEnds(self) -> None:
        """
        A large fragment ends early, because it is kept in memory.
        """
        self.patch(_writer, "MAX_FRAGMENT", 100)
        writer = Writer(10**9)
        writer.addTrack(Track(1, describe(Codec.H264, AVC, b"", About())))
        self.assertFalse(writer.isDue(0, True))
        writer.add(0, bytes(99), 0, 0, True)
        self.assertFalse(writer.isDue(1, True))
        writer.add(0, bytes(1), 1, 0, False)
        self.assertTrue(writer.isDue(2, False))


class DescriptionTests(SynchronousTestCase):
    """
    The sample descriptions of each codec.
    """

    def describe(
        self,
        codec: Codec,
        config: bytes | None,
        first: bytes = b"",
        about: About | None = None,
    ) -> bytes:
        """
        @return: the sample entry.
        """
        return describe(codec, config, first, about or About()).entry

    def test_H264(self) -> None:
        """
        Size and configuration; colors only if known.
        """
        got = self.describe(Codec.H264, AVC)
        self.assertEqual(got[4:8], b"avc1")
        self.assertEqual(unpack(">HH", got[32:36]), (96, 64))
        self.assertEqual(within(got, b"avcC", VISUAL), AVC)
        self.assertEqual(within(got, b"pasp", VISUAL), b"")

    def test_whatHDRSays(self) -> None:
        """
        Enhanced RTMP's colorInfo: the mastering display and the light levels, exactly.
        """
        light = Light(
            Color(9, 16, 9),
            Display(
                (0.265, 0.69, 0.15, 0.06, 0.68, 0.32), (0.3127, 0.329), (1000, 0.005)
            ),
            (1200, 400),
        )
        got = self.describe(Codec.H264, AVC, about=About(light=light))
        self.assertEqual(within(got, b"colr", VISUAL), b"nclx\0\x09\0\x10\0\x09\0")
        self.assertEqual(
            unpack(">8H2I", within(got, b"mdcv", VISUAL)),
            (13250, 34500, 7500, 3000, 34000, 16000, 15635, 16450, 10_000_000, 50),
        )
        self.assertEqual(unpack(">HH", within(got, b"clli", VISUAL)), (1200, 400))

    def test_speakers(self) -> None:
        """
        Enhanced RTMP's multichannel configuration.
        """
        got = self.describe(
            Codec.AAC, bytes.fromhex("11b0"), about=About(speakers=(0, 1, 2, 3, 9, 10))
        )
        self.assertEqual(unpack(">H", got[24:26]), (6,))
        self.assertEqual(
            within(got, b"chnl", AUDIO), bytes([0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4, 5])
        )

    def test_audio(self) -> None:
        """
        Rates, channels and blocks.
        """
        flac = bytes.fromhex("120012000000000024150bb800f0") + bytes(20)
        opus = bytes.fromhex("4f707573486561640102380180bb0000000000")
        ac3 = bytes.fromhex("0b77000014404300") + bytes(20)
        for codec, config, first, name, rate, channels, block in (
            (Codec.AAC, AAC, b"", b"mp4a", 48000, 1, 1024),
            (Codec.AAC, bytes.fromhex("1210"), b"", b"mp4a", 44100, 2, 1024),
            (Codec.MP3, None, b"\xff\xfb\x90\x64", b"mp4a", 44100, 2, 1152),
            (Codec.MP3, None, b"\xff\xf3\x90\xc4", b"mp4a", 22050, 1, 576),
            (Codec.OPUS, opus, b"\xfc", b"Opus", 48000, 2, 960),
            (Codec.OPUS, None, b"\xfc", b"Opus", 48000, 2, 960),
            (Codec.OPUS, None, b"\xf8", b"Opus", 48000, 1, 960),
            (Codec.FLAC, flac, b"", b"fLaC", 48000, 1, 4608),
            (Codec.FLAC, b"fLaC\x80\0\0\x22" + flac, b"", b"fLaC", 48000, 1, 4608),
            (Codec.AC3, None, ac3, b"ac-3", 48000, 2, 1536),
        ):
            got = describe(codec, config, first, About())
            self.assertEqual(got.entry[4:8], name)
            self.assertEqual((got.rate, got.block), (rate, block), codec)
            self.assertEqual(unpack(">H", got.entry[24:26]), (channels,), codec)
            self.assertIsNone(got.size)

    def test_theSizeThatTheMetadataSays(self) -> None:
        """
        The size in the metadata is used if the codec does not signal it, or it cannot
        be parsed.
        """
        broken = bytes.fromhex("0164000affe1000467640a0001000268ee")
        for codec, config in ((Codec.H264, broken), (Codec.VVC, b"\xff\0")):
            got = describe(codec, config, b"", About((640, 360)))
            self.assertEqual(got.size, (640, 360))
            self.assertEqual(describe(codec, config, b"", About()).size, (16, 16))

    def test_codecsThatNeedAHeader(self) -> None:
        """
        Codecs that need a header, but have none, are an error.
        """
        for codec in (Codec.H264, Codec.HEVC, Codec.VVC, Codec.AAC, Codec.FLAC):
            for config in (None, b""):
                error = self.assertRaises(
                    RemoteProtocolError, describe, codec, config, b"x", About()
                )
                self.assertEqual(str(error), "the codec header is missing")
        self.assertNotIn(Codec.SPEEX, CODECS)
        self.assertRaises(
            RemoteProtocolError, describe, Codec.SPEEX, None, b"x", About()
        )

    def test_FFmpegReadsThemBack(self) -> None:
        """
        Sizes, pixel aspect ratios and colors.
        """
        light = Light(Color(9, 16, 9))
        track = Track(1, describe(Codec.H264, AVC, b"", About(light=light)))
        run = Run(1, False)
        run.add(b"\0\0\0\1\x65", 0, 0, True)
        data = initSegment([track], 40) + b"".join(fragment(1, [run]))
        self.assertEqual(entry(data), track.description.entry)
        with av.open(io.BytesIO(data)) as container:
            stream = container.streams.video[0]
            context = stream.codec_context
            self.assertEqual((context.width, context.height), (96, 64))
            self.assertEqual(context.color_primaries, 9)
            self.assertEqual(context.color_trc, 16)
            self.assertEqual(context.colorspace, 9)


class InitTests(SynchronousTestCase):
    """
    The init segment.
    """

    def test_ofSeveralTracks(self) -> None:
        """
        The first track of each kind is enabled; the others are alternatives.
        """
        picture = describe(Codec.H264, AVC, b"", About())
        audio = describe(Codec.AAC, AAC, b"", About())
        tracks = [Track(1, picture), Track(2, audio), Track(3, audio)]
        data = initSegment(tracks, 12345)
        flags = [head[3] for head in contents(data, "/moov/trak/tkhd")]
        self.assertEqual(flags, [3, 3, 2])
        (extends,) = contents(data, "/moov/mvex/mehd")
        self.assertEqual(unpack(">IQ", extends), (1 << 24, 12345))
        self.assertEqual(len(contents(data, "/moov/mvex/trex")), 3)
        rates = [
            unpack(">I", m[12:16])[0] for m in contents(data, "/moov/trak/mdia/mdhd")
        ]
        self.assertEqual(rates, [1000, 48000, 48000])
        self.assertEqual(contents(initSegment(tracks), "/moov/mvex/mehd"), [])
