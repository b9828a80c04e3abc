"""
Tests for L{rtmptw.remux.mp4} and the track properties that it gets
(L{rtmptw.remux.about}).
"""

import io
from struct import unpack

from twisted.trial.unittest import SynchronousTestCase

from rtmptw.codecs.video import Color
from rtmptw.flv.body import frameFromMessage
from rtmptw.fmp4.track import About, Display, Light
from rtmptw.frames import Codec, Frame, FrameKind, Role
from rtmptw.remux.about import Hearsay
from rtmptw.remux.heads import Head, TrackError, TrackKey
from rtmptw.remux.mp4 import MP4, RESERVE
from rtmptw.rtmp import amf0
from rtmptw.rtmp.amf import AMFObject, ECMAArray, Value
from rtmptw.samples import Sample, samplesOf
from tests._pyav.test_muxing import Containers, framesOf
from tests.fmp4.reading import VISUAL, boxes, contents, entry, samples, within
from tests.live.media import H264_AAC, HEVC_AAC, encode
from tests.remux.test_remuxer import AAC, AUDIO, AVC, VIDEO


def head(codec: Codec, config: bytes, about: About | None = None) -> Head:
    """
    @return: a track whose header has arrived.
    """
    kind = FrameKind.VIDEO if codec in (Codec.H264, Codec.HEVC) else FrameKind.AUDIO
    said = Sample(kind, 0, codec, True, config, 0, 0, False)
    return Head(codec, said, Sample(kind, 0, codec, False, b"x", 0, 0, True), about)


HEADS: dict[TrackKey, Head] = {VIDEO: head(Codec.H264, AVC)}


def video(time: int, offset: int = 0, isKey: bool = False, size: int = 4) -> Sample:
    """
    @return: a video sample.
    """
    data = bytes([time & 255] * size)
    return Sample(FrameKind.VIDEO, 0, Codec.H264, False, data, time, offset, isKey)


def audio(time: int, data: bytes = b"\x21abc") -> Sample:
    """
    @return: an AAC sample.
    """
    return Sample(FrameKind.AUDIO, 0, Codec.AAC, False, data, time, 0, True)


class MP4Tests(SynchronousTestCase):
    """
    One file.
    """

    def test_eachSampleIsThere(self) -> None:
        """
        Each sample has its time from the beginning, with a negative composition time if
        the encoder sent one. Only complete fragments are written before the end.
        """
        file = io.BytesIO()
        mp4 = MP4(file, HEADS, 1000, 100)
        sent = [(1000 + 40 * n, (0, 80, -40)[n % 3], n % 6 == 0) for n in range(9)]
        for time, offset, isKey in sent:
            mp4.write(video(time, offset, isKey))
            mp4.flush()
            whole = samples(file.getvalue()).get(1, [])
            self.assertEqual(len(whole), {0: 0, 1: 0, 2: 0, 3: 3, 4: 3, 5: 3}.get(
                (time - 1000) // 40, 6))  # fmt: skip
        mp4.finish()
        got = samples(file.getvalue())[1]
        self.assertEqual(
            [(s.time, s.offset, s.isSync) for s in got],
            [(time - 1000, offset, isKey) for time, offset, isKey in sent],
        )
        self.assertEqual((mp4.counts.packets, mp4.counts.repaired), (9, 0))
        self.assertEqual(mp4.counts.milliseconds, 360)
        (extends,) = contents(file.getvalue(), "/moov/mvex/mehd")
        self.assertEqual(unpack(">IQ", extends), (1 << 24, 360))

    def test_aFlushThatIsWorthAFragment(self) -> None:
        """
        C{flush} ends a fragment that is long enough.
        """
        file = io.BytesIO()
        mp4 = MP4(file, HEADS, 0, 1000, 100)
        for time in (0, 40, 80):
            mp4.write(video(time))
            mp4.flush()
        self.assertEqual(contents(file.getvalue(), "/moof"), [])
        mp4.write(video(120))
        mp4.flush()
        self.assertEqual(len(samples(file.getvalue())[1]), 4)

    def test_timesBeforeTheBeginning(self) -> None:
        """
        Samples before the beginning are moved to it, and counted.
        """
        file = io.BytesIO()
        mp4 = MP4(file, HEADS, 1000, 100)
        mp4.write(video(990, 0, True))
        mp4.write(video(1040, -50))
        mp4.write(video(1040))
        mp4.finish()
        got = samples(file.getvalue())[1]
        self.assertEqual(
            [(s.time, s.offset) for s in got], [(0, 0), (40, -40), (41, 0)]
        )
        self.assertEqual(mp4.counts.repaired, 3)

    def test_ADTS(self) -> None:
        """
        ADTS headers are removed; a packet with an invalid one is left out.
        """
        file = io.BytesIO()
        mp4 = MP4(file, {AUDIO: head(Codec.AAC, AAC)}, 0, 100)
        block = bytes(range(1, 21))
        adts = b"\xff\xf1\x50\x80" + bytes([27 >> 3, (27 & 7) << 5 | 31, 0xFC]) + block
        mp4.write(audio(0, adts))
        mp4.write(audio(23, adts + b"x"))
        mp4.write(audio(46))
        mp4.finish()
        got = [sample.data for sample in samples(file.getvalue())[1]]
        self.assertEqual(got, [block, b"\x21abc"])
        self.assertEqual((mp4.counts.packets, mp4.counts.refused), (2, 1))

    def test_aTrackThatComesLate(self) -> None:
        """
        A late track is described in the file's header, which does not grow, and its
        samples keep their times.
        """
        file = io.BytesIO()
        mp4 = MP4(file, HEADS, 0, 100)
        for time in range(0, 400, 40):
            mp4.write(video(time, isKey=time == 0))
        mp4.flush()
        size = len(file.getvalue())
        self.assertTrue(mp4.takes(AUDIO, head(Codec.AAC, AAC)))
        self.assertEqual(len(file.getvalue()), size)
        self.assertEqual(len(contents(file.getvalue(), "/moov/trak")), 2)
        for time in range(400, 800, 20):
            mp4.write(audio(time))
            if time % 40 == 0:
                mp4.write(video(time))
        mp4.finish()
        got = samples(file.getvalue())
        self.assertEqual([s.time for s in got[1]], list(range(0, 800, 40)))
        self.assertEqual(
            [round(s.time * 1000 / 44100) for s in got[2]], list(range(400, 800, 20))
        )

    def test_whereThereIsNoRoom(self) -> None:
        """
        A late track is not added if its description does not fit or it cannot be
        described; the file is unchanged.
        """
        file = io.BytesIO()
        mp4 = MP4(file, HEADS, 0, 100)
        before = file.getvalue()
        large = head(Codec.AAC, AAC + bytes(RESERVE))
        self.assertFalse(mp4.takes(AUDIO, large))
        self.assertFalse(mp4.takes(AUDIO, head(Codec.AAC, b"")))
        self.assertFalse(mp4.takes(AUDIO, head(Codec.SPEEX, b"")))
        self.assertEqual(file.getvalue(), before)
        mp4.write(video(0, isKey=True))
        mp4.finish()
        self.assertEqual(len(samples(file.getvalue())[1]), 1)

    def test_aShortFileIsSmall(self) -> None:
        """
        A short file has little overhead.
        """
        (file,) = Containers("mp4").remux(framesOf(encode(H264_AAC))).files
        coded = sum(
            len(s.data)
            for f in framesOf(encode(H264_AAC))
            for s in samplesOf(f)
            if not s.isConfig
        )
        self.assertLess(len(file.getvalue()) - coded, 8192)

    def test_aTrackThatCannotBeDescribed(self) -> None:
        """
        The error names the track.
        """
        error = self.assertRaises(
            TrackError, MP4, io.BytesIO(), {AUDIO: head(Codec.AAC, b"\xff")}, 0, 100
        )
        self.assertEqual((error.key, error.codec), (AUDIO, Codec.AAC))

    def test_HEVCIsForApple(self) -> None:
        """
        C{hvc1}, with its parameter sets in the description.
        """
        (file,) = Containers("mp4").remux(framesOf(encode(HEVC_AAC))).files
        got = entry(file.getvalue())
        self.assertEqual(got[4:8], b"hvc1")
        self.assertEqual(within(got, b"hvcC", VISUAL)[0], 1)

    def test_cutAnywhereWhatIsWholePlays(self) -> None:
        """
        A file that is cut off, as by a server that is killed, plays up to the last
        complete fragment.
        """
        (file,) = Containers("mp4", 200).remux(framesOf(encode(H264_AAC))).files
        data = file.getvalue()
        ends = [end for where, _, end in boxes(data) if where == "/mdat"]
        counts = [
            sum(map(len, samples(data[:end]).values())) for end in ends
        ]  # fmt: skip
        self.assertEqual(counts, sorted(counts))
        self.assertEqual(counts[-1], 173)


def metadata(name: str, **properties: Value) -> bytes:
    """
    @return: a data message.
    """
    return amf0.encode(name, ECMAArray(list(properties.items())))


class HearsayTests(SynchronousTestCase):
    """
    Track properties that a stream signals.
    """

    def hear(self, *frames: Frame) -> Hearsay:
        """
        @return: a L{Hearsay} that has parsed these frames.
        """
        hearsay = Hearsay()
        for frame in frames:
            hearsay.hear(frame)
        return hearsay

    def colorInfo(self, *properties: tuple[str, Value]) -> Frame:
        """
        @return: a video metadata frame of Enhanced RTMP.
        """
        said = AMFObject(list(properties))
        body = b"\x94hvc1" + amf0.encode("colorInfo", said)
        frame = frameFromMessage(FrameKind.VIDEO, 0, body)
        self.assertIs(frame.role, Role.METADATA)
        return frame

    def test_HDR(self) -> None:
        """
        Color, light levels and mastering display; an empty object withdraws them.
        """
        frame = self.colorInfo(
            (
                "colorConfig",
                AMFObject(
                    [
                        ("bitDepth", 10.0),
                        ("colorPrimaries", 9.0),
                        ("transferCharacteristics", 16.0),
                        ("matrixCoefficients", 9.0),
                    ]
                ),
            ),
            ("hdrCll", AMFObject([("maxFall", 400.0), ("maxCLL", 1200.0)])),
            (
                "hdrMdcv",
                AMFObject(
                    [
                        ("redX", 0.68), ("redY", 0.32),
                        ("greenX", 0.265), ("greenY", 0.69),
                        ("blueX", 0.15), ("blueY", 0.06),
                        ("whitePointX", 0.3127), ("whitePointY", 0.329),
                        ("maxLuminance", 1000.0), ("minLuminance", 0.005),
                    ]
                ),
            ),
        )  # fmt: skip
        self.assertEqual(
            self.hear(frame).of(*VIDEO).light,
            Light(
                Color(9, 16, 9),
                Display(
                    (0.265, 0.69, 0.15, 0.06, 0.68, 0.32),
                    (0.3127, 0.329),
                    (1000, 0.005),
                ),
                (1200, 400),
            ),
        )
        self.assertEqual(self.hear(frame, self.colorInfo()).of(*VIDEO).light, Light())

    def test_nonsense(self) -> None:
        """
        Invalid messages are ignored.
        """
        for frame in (
            self.colorInfo(("colorConfig", "x"), ("hdrCll", 5.0), ("hdrMdcv", None)),
            self.colorInfo(
                ("colorConfig", AMFObject([("colorPrimaries", 1e9)])),
                ("hdrMdcv", AMFObject([("redX", float("nan"))])),
            ),
            Frame(FrameKind.VIDEO, 0, b"\x94hvc1\x02\0", Role.METADATA),
            Frame(FrameKind.VIDEO, 0, b"\x94", Role.METADATA),
            Frame(FrameKind.AUDIO, 0, b"\x94Opus\1\6", Role.CHANNELS),
            Frame(FrameKind.DATA, 0, b"\x02\0", Role.DATA, name="onMetaData"),
            Frame(
                FrameKind.DATA, 0, metadata("onMetaData", width=-1.0, height="x"),
                Role.DATA, name="onMetaData",
            ),
        ):  # fmt: skip
            hearsay = self.hear(frame)
            self.assertEqual(hearsay.of(*VIDEO), About())
            self.assertEqual(hearsay.of(*AUDIO), About())
            self.assertEqual(hearsay.kinds, set())

    def test_speakers(self) -> None:
        """
        Speakers are given by a bit mask, or one by one.
        """
        for body, speakers in (
            (b"\1\6" + (0b11000001111).to_bytes(4, "big"), (0, 1, 2, 3, 9, 10)),
            (b"\2\2\x09\x0a", (9, 10)),
            (b"\0\2", ()),
            # Fewer than its count.
            (b"\1\6\0\0\0\3", ()),
        ):
            frame = frameFromMessage(FrameKind.AUDIO, 0, b"\x94Opus" + body)
            self.assertIs(frame.role, Role.CHANNELS)
            self.assertEqual(self.hear(frame).of(*AUDIO).speakers, speakers)

    def test_theSize(self) -> None:
        """
        The size in onMetaData.
        """
        payload = metadata("onMetaData", width=640.0, height=360.0, audiocodecid=10.0)
        hearsay = self.hear(
            Frame(FrameKind.DATA, 0, payload, Role.DATA, name="onMetaData")
        )
        self.assertEqual(hearsay.of(*VIDEO).size, (640, 360))
        self.assertEqual(hearsay.kinds, {FrameKind.AUDIO})

    def test_itIsInTheFile(self) -> None:
        """
        HDR that is signaled before the first video frame is in the file.
        """
        frame = self.colorInfo(
            ("colorConfig", AMFObject([("transferCharacteristics", 18.0)])),
            ("hdrCll", AMFObject([("maxCLL", 1000.0)])),
        )
        # FFmpeg sends metadata, too.
        frames = [f for f in framesOf(encode(HEVC_AAC)) if f.role is not Role.METADATA]
        (file,) = Containers("mp4").remux([frame, *frames]).files
        got = entry(file.getvalue())
        self.assertEqual(within(got, b"colr", VISUAL), b"nclx\0\2\0\x12\0\2\0")
        self.assertEqual(within(got, b"clli", VISUAL), b"\x03\xe8\0\0")
