"""
Tests for L{rtmptw.codecs}: data of real encoders is parsed, and data from peers raises
nothing but the peer's error.
"""

import random
from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from rtmptw.codecs import aac, ac3, av1, flac, h264, hevc, mpeg, opus, vp9
from rtmptw.codecs.bits import BitReader
from rtmptw.codecs.video import Color, VideoFormat
from rtmptw.errors import RemoteProtocolError
from rtmptw.fmp4.describe import describe
from rtmptw.fmp4.track import About
from rtmptw.frames import Codec, FrameKind
from rtmptw.remux.configs import areSame, headerFrom, isGood
from rtmptw.samples import Sample, samplesOf
from tests._pyav.test_muxing import framesOf
from tests.live.media import (
    AV1_OPUS,
    H264_AAC,
    HEIGHT,
    HEVC_AAC,
    VP9_FLAC,
    WIDTH,
    Media,
    encode,
)

#: The color options for x264 and x265.
SAID = "sar=4/3:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc"
HDR = Color(9, 16, 9, False)


def samples(media: Media) -> tuple[Sample, Sample]:
    """
    @return: the configuration and the first key frame of the video.
    """
    found = [
        sample
        for frame in framesOf(encode(media))
        for sample in samplesOf(frame)
        if frame.kind is FrameKind.VIDEO
    ]
    config = next(sample for sample in found if sample.isConfig)
    return config, next(each for each in found if each.isKey and not each.isConfig)


class VideoFormatTests(SynchronousTestCase):
    """
    Sizes, pixel aspect ratios and colors, as encoders write them.
    """

    def test_H264(self) -> None:
        """
        Video of x264.
        """
        config, _ = samples(H264_AAC)
        parsed = h264.parseConfig(config.data)
        self.assertEqual((parsed.lengthSize, len(parsed.sps)), (4, 1))
        self.assertEqual(h264.parseSequence(parsed.sps[0]), VideoFormat(WIDTH, HEIGHT))
        config, _ = samples(
            Media(audio="", options=(("preset", "ultrafast"), ("x264-params", SAID)))
        )
        self.assertEqual(
            h264.parseSequence(h264.parseConfig(config.data).sps[0]),
            VideoFormat(WIDTH, HEIGHT, (4, 3), HDR),
        )

    def test_HEVC(self) -> None:
        """
        Video of x265, with the fields before its usability information.
        """
        for more, shape, color in (("", (1, 1), None), (":" + SAID, (4, 3), HDR)):
            for preset in "ultrafast", "medium":
                params = "log-level=none" + more.replace("sar=4/3", "sar=4\\:3")
                if more:
                    params = params.replace("sar=4\\:3", "sar=14")
                media = Media(
                    video="libx265",
                    audio="",
                    frames=10,
                    options=(("preset", preset), ("x265-params", params)),
                )
                config, _ = samples(media)
                parsed = hevc.parseConfig(config.data)
                self.assertTrue(parsed.isComplete)
                (unit,) = [unit for kind, unit in parsed.sets if kind == hevc.SPS]
                got = hevc.parseSequence(unit)
                self.assertEqual((got.width, got.height), (WIDTH, HEIGHT))
                self.assertEqual(got.shape, shape)
                if color is not None:
                    self.assertEqual(got.color, color)

    def test_AV1(self) -> None:
        """
        Video of SVT-AV1; the configuration made from its header is the same as
        FFmpeg's.
        """
        config, first = samples(AV1_OPUS)
        unit = av1.sequenceHeader(first.data)
        got = av1.parseSequence(unit)
        self.assertEqual((got.width, got.height), (WIDTH, HEIGHT))
        said = av1.sequenceHeader(config.data[4:])
        self.assertEqual(av1.configOf(said), config.data)
        self.assertEqual(av1.configOf(unit)[:4], config.data[:4])
        self.assertEqual(av1.withoutDelimiters(first.data), first.data[2:])
        self.assertEqual(av1.withoutDelimiters(first.data[2:]), first.data[2:])
        self.assertEqual(
            av1.withoutDelimiters(b"\x16\0\0" + first.data[2:]), first.data[2:]
        )

    def test_VP9(self) -> None:
        """
        Video of libvpx.
        """
        config, first = samples(VP9_FLAC)
        picture, record = vp9.parseKey(first.data)
        self.assertEqual((picture.width, picture.height), (WIDTH, HEIGHT))
        said = vp9.parseRecord(config.data)
        self.assertEqual(said, config.data[4:])
        # Profile, then depth and subsampling.
        self.assertEqual((record[0], record[2] >> 4), (said[0], said[2] >> 4))


class SameTests(SynchronousTestCase):
    """
    Which headers are equivalent for a decoder.
    """

    def test_audio(self) -> None:
        """
        AAC in other forms, Opus and FLAC with other counts.
        """
        for codec, one, other, isSame in (
            (Codec.AAC, "1210", "121056e500", True),
            (Codec.AAC, "1210", "12100000", True),
            (Codec.AAC, "1210", "1190", False),
            (Codec.AAC, "1210", "1208", False),
            # Signaled spectral band replication needs another decoder.
            (Codec.AAC, "1390", "139056e5a0", False),
            (
                Codec.OPUS,
                "4f707573486561640102380180bb0000000000",
                "4f70757348656164010200000000000000000000"[:38],
                True,
            ),
            (
                Codec.OPUS,
                "4f707573486561640102380180bb0000000000",
                "4f707573486561640101380180bb0000000000",
                False,
            ),
            (
                Codec.FLAC,
                "120012000000000024150bb800f0" + "00" * 20,
                "1200120000046b0005780bb800f00001c000a815144005b49b765d27618dc476c78a",
                True,
            ),
        ):
            first, second = bytes.fromhex(one), bytes.fromhex(other)
            self.assertEqual(areSame(codec, first, second), isSame, (codec, other))
            self.assertTrue(isGood(codec, first))

    def test_aHeaderMadeOfAPacket(self) -> None:
        """
        A header made from a packet is equivalent to the one that comes late.
        """
        late = bytes.fromhex("4f707573486561640102380180bb0000000000")
        made = headerFrom(Codec.OPUS, b"\xfc")
        self.assertTrue(areSame(Codec.OPUS, made, late))
        self.assertFalse(areSame(Codec.OPUS, headerFrom(Codec.OPUS, b"\xf8"), late))


class AudioFormatTests(SynchronousTestCase):
    """
    Audio formats.
    """

    def test_AAC(self) -> None:
        """
        Rates, channels and blocks of all forms.
        """
        for data, rate, channels, block, extension in (
            ("1210", 44100, 2, 1024, 0),
            ("1188", 48000, 1, 1024, 0),
            ("11b0", 48000, 6, 1024, 0),
            ("11b8", 48000, 8, 1024, 0),
            ("1214", 44100, 2, 960, 0),
            # HE-AAC, signaled at the beginning or at the end; the core has half the
            # rate.
            ("2b118800", 24000, 2, 1024, 48000),
            ("131056e598", 24000, 2, 1024, 48000),
            # Low delay: 512 samples.
            ("b98800", 48000, 1, 512, 0),
            # A rate that is not in the table.
            ("17802ee010", 24000, 2, 1024, 0),
        ):
            got = aac.parseConfig(bytes.fromhex(data))
            self.assertEqual(
                (got.audio.rate, got.audio.channels, got.audio.block, got.extension),
                (rate, channels, block, extension),
                data,
            )

    def test_ADTS(self) -> None:
        """
        The ADTS header is removed if its size is the packet's.
        """
        block = bytes(range(1, 21))
        size = len(block) + 7
        head = bytes([0xFF, 0xF1, 0x50, 0x80 | size >> 11, size >> 3 & 255])
        head += bytes([(size & 7) << 5 | 0x1F, 0xFC])
        self.assertTrue(aac.isADTS(head + block))
        self.assertEqual(aac.withoutADTS(head + block), block)
        self.assertEqual(aac.withoutADTS(head + block + b"x"), b"")
        self.assertFalse(aac.isADTS(block))

    def test_opusPackets(self) -> None:
        """
        RFC 6716, 3.1: from the first byte, and the second if there are many frames.
        """
        for packet, count in (
            (b"", 0), (b"\x00", 480), (b"\x18", 2880), (b"\x60", 480), (b"\x68", 960),
            (b"\x80", 120), (b"\xf8", 960), (b"\xf9", 1920), (b"\xfb\x03", 2880),
            (b"\xfb", 0),
        ):  # fmt: skip
            self.assertEqual(opus.samplesIn(packet), count, packet)


class GarbageTests(SynchronousTestCase):
    """
    Whatever a peer sends.
    """

    def test_nothingButItsFault(self) -> None:
        """
        Samples of every codec with changed bytes, truncated anywhere, or empty, raise
        only the peer's error.
        """
        parsers: list[Callable[[bytes], object]] = [
            aac.parseConfig, ac3.parseFrame, ac3.parseEnhanced, av1.parseSequence,
            av1.configOf, flac.parseHeader, h264.parseConfig, h264.parseSequence,
            hevc.parseConfig, hevc.parseSequence, mpeg.parseFrame, opus.parseHeader,
            vp9.parseKey, vp9.parseRecord,
        ]  # fmt: skip
        total: list[Callable[[bytes], object]] = [
            av1.withoutDelimiters, av1.sequenceHeader, opus.samplesIn, aac.withoutADTS,
            opus.headerFor,
        ]  # fmt: skip
        seeds = [
            sample.data[:400]
            for media in (H264_AAC, HEVC_AAC, AV1_OPUS, VP9_FLAC)
            for sample in samples(media)
        ]
        seeds += [
            unit
            for media in (H264_AAC,)
            for unit in h264.parseConfig(samples(media)[0].data).sps
        ]
        seeds += [unit for _, unit in hevc.parseConfig(samples(HEVC_AAC)[0].data).sets]
        dice = random.Random(5)
        faults = 0
        for number in range(1000):
            data = bytearray(dice.choice(seeds) if number % 4 else dice.randbytes(40))
            for _ in range(dice.randrange(5)):
                if data:
                    data[dice.randrange(len(data))] = dice.randrange(256)
            said = bytes(data[: dice.randrange(len(data) + 1)] if number % 3 else data)
            for parse in parsers:
                try:
                    parse(said)
                except RemoteProtocolError:
                    faults += 1
            for function in total:
                function(said)
            for codec in Codec:
                isGood(codec, said)
                headerFrom(codec, said)
                try:
                    describe(codec, said, dice.choice(seeds), About())
                except RemoteProtocolError:
                    faults += 1
        print(f"{faults} faults")
        self.assertGreater(faults, 10_000)

    def test_bits(self) -> None:
        """
        Reading stops at the last bit.
        """
        reader = BitReader(b"\xa5\x0f")
        self.assertEqual([reader.bits(3), reader.bits(1), reader.bits(8)], [5, 0, 0x50])
        self.assertEqual(reader.left, 4)
        self.assertRaises(RemoteProtocolError, reader.bits, 5)
        # 1, 010, 011, 00100: 0 to 3; signed 0, 1, -1, 2.
        self.assertEqual(
            [BitReader(bytes([byte])).unsigned() for byte in (0x80, 0x40, 0x60, 0x20)],
            [0, 1, 2, 3],
        )
        self.assertEqual(
            [BitReader(bytes([byte])).signed() for byte in (0x80, 0x40, 0x60, 0x20)],
            [0, 1, -1, 2],
        )
        self.assertRaises(RemoteProtocolError, BitReader(bytes(9)).unsigned)
