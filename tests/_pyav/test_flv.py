"""
Tests of L{rtmptw._pyav.flv} and L{rtmptw._pyav.encoding}.
"""

import tempfile
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

import av
from twisted.trial.unittest import SynchronousTestCase

from rtmptw._pyav.encoding import AudioTrack, Encoder, VideoTrack, videoFrameOf
from rtmptw._pyav.flv import TrackMuxer, metadataFrame, milliseconds, onTheWire
from rtmptw.errors import SinkError
from rtmptw.frames import Codec, Frame, FrameKind, Role
from rtmptw.rtmp import amf0
from tests.live.media import (
    AV1_OPUS,
    H264_AAC,
    HEIGHT,
    HEVC_AAC,
    VP9_FLAC,
    WIDTH,
    Media,
    encode,
    isHeader,
    mediaTags,
)

SUFFIXES = {"flv": "flv", "mp4": "mp4", "mkv": "matroska", "ts": "mpegts"}


def remux(source: str, target: Path) -> Path:
    """
    Write an FLV file's packets into another container.
    """
    with (
        av.open(source) as flv,
        av.open(str(target), "w", format=SUFFIXES[target.suffix[1:]]) as output,
    ):
        streams = {
            stream.index: output.add_stream_from_template(stream, opaque=True)
            for stream in flv.streams
        }
        for packet in flv.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                output.mux(packet)
    return target


def framesOf(path: Path) -> list[Frame]:
    """
    @return: the frames that the tracks' muxers make of a file; each packet must produce
        its frame at once.
    """
    frames = []
    with av.open(str(path)) as container:
        muxers = {stream.index: TrackMuxer(stream) for stream in container.streams}
        for packet in container.demux():
            made = muxers[packet.stream.index].mux(packet)
            coded = [frame for frame in made if frame.role is Role.CODED]
            assert len(coded) == bool(packet.size)
            frames += made
    return frames


class TrackMuxerTests(SynchronousTestCase):
    """
    Packets of real encoders, from containers that store them in other forms.
    """

    def check(self, media: Media, suffix: str) -> None:
        """
        Check that the payloads, headers included, are those that FFmpeg's FLV muxer
        writes into a file, and that all times differ by the same offset.
        """
        with tempfile.TemporaryDirectory() as folder:
            path = remux(encode(media), Path(folder) / f"media.{suffix}")
            frames = framesOf(path)
            wanted = mediaTags(remux(str(path), Path(folder) / "media.flv"))
        for kind in (FrameKind.VIDEO, FrameKind.AUDIO):
            made = [frame for frame in frames if frame.kind is kind]
            # Ignore what the muxer writes at the very end: it is for no packet.
            tags = [tag for tag in wanted if tag.kind == kind][: len(made)]
            coded = [frame for frame in made if frame.role is Role.CODED]
            same = sum(
                frame.payload == tag.payload
                for frame, tag in zip(made, tags, strict=True)
            )
            print(f"{media.video} {suffix} {kind.name}: {same} of {len(tags)} payloads")
            self.assertEqual(same, len(tags))
            self.assertEqual(
                len(coded),
                sum(tag.kind == kind and not isHeader(tag) for tag in wanted),
            )
            self.assertGreater(len(coded), 20)
            shifts = {
                onTheWire(frame.timestamp - tag.timestamp)
                for frame, tag in zip(made, tags, strict=True)
                if frame.role is Role.CODED
            }
            self.assertEqual(len(shifts), 1, f"times of {kind.name}")

    def test_h264FromMP4(self) -> None:
        """
        With B-frames, which have composition times.
        """
        self.check(H264_AAC, "mp4")

    def test_hevcFromMP4(self) -> None:
        """
        In Enhanced RTMP.
        """
        self.check(HEVC_AAC, "mp4")

    def test_av1FromMatroska(self) -> None:
        """
        With Opus.
        """
        self.check(AV1_OPUS, "mkv")

    def test_vp9FromMatroska(self) -> None:
        """
        With FLAC.
        """
        self.check(VP9_FLAC, "mkv")

    def test_transportStream(self) -> None:
        """
        Start codes and ADTS headers are removed: the sizes are the same as in other
        containers, and H.264 has its parameter sets in each key frame, too.
        """
        source = encode(H264_AAC)
        with tempfile.TemporaryDirectory() as folder:
            frames = framesOf(remux(source, Path(folder) / "media.ts"))
        tags = [tag for tag in mediaTags(Path(source)) if not isHeader(tag)]
        audio = [tag.payload for tag in tags if tag.kind == FrameKind.AUDIO]
        coded = [frame for frame in frames if frame.role is Role.CODED]
        self.assertEqual([f.payload for f in coded if f.kind is FrameKind.AUDIO], audio)
        images = [frame for frame in coded if frame.kind is FrameKind.VIDEO]
        self.assertEqual(len(images), H264_AAC.frames)
        for image in images:
            # An AVCC length replaces the start code.
            self.assertNotEqual(image.payload[5:9], b"\0\0\0\1")
        self.assertEqual({frame.codec for frame in frames}, {Codec.H264, Codec.AAC})

    def test_aPacketIsAsItWas(self) -> None:
        """
        The caller can use the packet again.
        """
        with av.open(encode(H264_AAC)) as container:
            muxer = TrackMuxer(container.streams.video[0])
            packet = next(container.demux(video=0))
            before = (packet.pts, packet.dts, packet.time_base, packet.stream)
            first = muxer.mux(packet)
            self.assertEqual(
                (packet.pts, packet.dts, packet.time_base, packet.stream), before
            )
            again = muxer.mux(packet)
        self.assertEqual(again[-1].payload, first[-1].payload)

    def test_whatRTMPCannotCarry(self) -> None:
        """
        The error is one sentence, with the codec's name.
        """
        with tempfile.TemporaryDirectory() as folder:
            path = unsupported(Path(folder) / "media.mkv")
            with av.open(str(path)) as container:
                error = self.assertRaises(
                    SinkError, TrackMuxer, container.streams.video[0]
                )
        self.assertRegex(str(error), r"^RTMP cannot carry mpeg4, .* or MP3$")

    def test_withoutTimes(self) -> None:
        """
        Packets of a raw stream get consecutive times.
        """
        with av.open(encode(H264_AAC)) as container:
            muxer = TrackMuxer(container.streams.audio[0])
            times = []
            for packet in container.demux(audio=0):
                packet.pts = packet.dts = None
                packet.duration = 21
                times += [frame.timestamp for frame in muxer.mux(packet)[-1:]]
                if len(times) == 3:
                    break
        self.assertEqual(times, [0, 21, 42])

    def test_milliseconds(self) -> None:
        """
        Rounded as FFmpeg does it.
        """
        base = Fraction(1, 90000)
        for ticks, wanted in ((45, 1), (44, 0), (-45, -1), (90000, 1000)):
            self.assertEqual(milliseconds(ticks, base), wanted)

    def test_metadata(self) -> None:
        """
        The properties of both tracks, without those that only apply to a file.
        """
        with av.open(encode(H264_AAC)) as container:
            tracks = [TrackMuxer(stream).metadata for stream in container.streams]
        frame = metadataFrame(tracks, "me")
        self.assertEqual((frame.kind, frame.name), (FrameKind.DATA, "onMetaData"))
        name, described = amf0.decodeAll(frame.payload)
        values: Any = described
        self.assertEqual(name, "onMetaData")
        self.assertEqual(
            {key: values.get(key) for key in ("width", "height", "encoder")},
            {"width": WIDTH, "height": HEIGHT, "encoder": "me"},
        )
        self.assertEqual(
            (values.get("videocodecid"), values.get("audiocodecid")), (7, 10)
        )
        self.assertIsNone(values.get("duration"))


def unsupported(path: Path) -> Path:
    """
    Write a video of a codec that FLV does not support.
    """
    with av.open(str(path), "w", format="matroska") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(5):
            frame = av.VideoFrame(WIDTH, HEIGHT, "yuv420p")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


class EncoderTests(SynchronousTestCase):
    """
    Encoders by name.
    """

    image: ClassVar[Any] = av.VideoFrame(WIDTH, HEIGHT, "yuv420p")

    def test_noSuchEncoder(self) -> None:
        """
        An unknown encoder, or one for the other kind, is an error.
        """
        for name in ("nope", "aac"):
            error = self.assertRaises(ValueError, Encoder(name).check, FrameKind.VIDEO)
            self.assertRegex(str(error), f"no video encoder '{name}'$")
        Encoder("aac").check(FrameKind.AUDIO)

    def test_badOptions(self) -> None:
        """
        An option that FFmpeg does not know or accept is an error, and not ignored.
        """
        error = self.assertRaises(
            SinkError, VideoTrack, Encoder("libx264", {"presett": "x"}), self.image
        )
        self.assertRegex(str(error), "libx264 .* has no option presett$")
        error = self.assertRaises(
            SinkError, VideoTrack, Encoder("libx264", {"b": "a lot"}), self.image
        )
        self.assertRegex(str(error), "^the encoder libx264 does not start with")
        for options in ({"rate": "often"}, {"pix_fmt": "nice"}, {"rate": "0"}):
            encoder = Encoder("libx264", options)
            error = self.assertRaises(ValueError, encoder.check, FrameKind.VIDEO)
            self.assertRegex(str(error), "^the encoder libx264 needs a whole number")

    def test_notForRTMP(self) -> None:
        """
        A codec that RTMP cannot carry is an error.
        """
        error = self.assertRaises(SinkError, VideoTrack, Encoder("mpeg4"), self.image)
        self.assertRegex(str(error), "^RTMP cannot carry")

    def test_options(self) -> None:
        """
        Each option has its effect: g on the key frames, b on the bytes, pix_fmt on the
        header.
        """

        def run(**options: str) -> list[Frame]:
            track = VideoTrack(Encoder("libx264", options), self.image)
            frames = []
            for number in range(20):
                image = av.VideoFrame(WIDTH, HEIGHT, "yuv420p")
                for plane in image.planes:
                    # Noise.
                    values = (
                        n * n * (number + 3) // 7 % 251
                        for n in range(plane.buffer_size)
                    )
                    plane.update(bytes(values))
                frames += track.encode(image, number * 40)
            return frames + track.finish()

        usual = run(sc_threshold="0")
        keys = [frame.timestamp for frame in usual if frame.isKey]
        self.assertEqual(keys, [0])
        self.assertEqual(
            [frame.timestamp for frame in run(g="10", sc_threshold="0") if frame.isKey],
            [0, 400],
        )
        size = sum(len(frame.payload) for frame in usual)
        small = sum(len(frame.payload) for frame in run(b="50k", rate="25"))
        self.assertLess(small, size / 2)
        fuller = run(pix_fmt="yuv444p", profile="high444")
        # AVCDecoderConfigurationRecord: the profile is its second byte.
        self.assertEqual((usual[0].payload[6], fuller[0].payload[6]), (100, 244))

    def test_nothingWaitsInTheDefaultEncoder(self) -> None:
        """
        Each video frame is encoded at once.
        """
        track = VideoTrack(Encoder("libx264"), self.image)
        for number in range(10):
            frames = track.encode(self.image, number * 40)
            coded = [frame for frame in frames if frame.role is Role.CODED]
            self.assertEqual([frame.timestamp for frame in coded], [number * 40])
        self.assertEqual(track.finish(), [])

    def test_aFrameIsAsItWas(self) -> None:
        """
        The frame is left unchanged, its time and type too; and a former I-frame does
        not become a key frame.
        """
        from av.video.frame import PictureType

        track = VideoTrack(Encoder("libx264"), self.image)
        image = av.VideoFrame(WIDTH, HEIGHT, "yuv420p")
        image.pts, image.time_base = 7, Fraction(1, 5)
        image.pict_type = PictureType.I
        keys = []
        for number in range(3):
            keys += [
                f.isKey for f in track.encode(image, number) if f.role is Role.CODED
            ]
        self.assertEqual(keys, [True, False, False])
        self.assertEqual((image.pts, image.time_base), (7, Fraction(1, 5)))
        self.assertEqual(image.pict_type, PictureType.I)

    def test_timesThatDoNotGoOn(self) -> None:
        """
        Encoders require increasing timestamps.
        """
        track = VideoTrack(Encoder("libx264"), self.image)
        times = []
        for timestamp in (100, 100, 90, 300):
            times += [
                frame.timestamp
                for frame in track.encode(self.image, timestamp)
                if frame.role is Role.CODED
            ]
        self.assertEqual(times, [100, 101, 102, 300])

    def test_colours(self) -> None:
        """
        The frame's color attributes reach the decoder.
        """
        image = av.VideoFrame(WIDTH, HEIGHT, "yuv420p")
        image.color_range, image.colorspace = 2, 1
        track = VideoTrack(Encoder("libx264"), image)
        self.assertEqual(
            (track._context.color_range, track._context.colorspace), (2, 1)
        )

    def test_audioOfAnotherRate(self) -> None:
        """
        Audio is resampled to the nearest rate that the encoder supports, and keeps its
        duration.
        """
        sound = av.AudioFrame("s16", "mono", 441)
        sound.sample_rate = 44100
        for plane in sound.planes:
            plane.update(bytes(plane.buffer_size))
        track = AudioTrack(Encoder("libopus"), sound)
        frames = []
        for number in range(100):
            frames += track.encode(sound, Fraction(number, 100))
        frames += track.finish()
        coded = [frame for frame in frames if frame.role is Role.CODED]
        self.assertEqual({frame.codec for frame in coded}, {Codec.OPUS})
        # 20 ms each.
        self.assertIn(len(coded), (50, 51, 52))
        self.assertEqual(dict(track.metadata)["audiosamplerate"], 48000)

    def test_video(self) -> None:
        """
        An array or a frame is accepted; anything else is an error with a sentence.
        """
        import numpy

        array = numpy.zeros((HEIGHT, WIDTH, 3), numpy.uint8)
        made = videoFrameOf(array, "bgr24")
        self.assertEqual(
            (made.width, made.height, made.format.name), (WIDTH, HEIGHT, "bgr24")
        )
        self.assertIs(videoFrameOf(made, "rgb24"), made)
        for wrong in (None, array[:, :, 0], array.astype("float32")):
            error = self.assertRaises(ValueError, videoFrameOf, wrong, "rgb24")
            self.assertRegex(
                str(error), "^an image must be an av.VideoFrame or a numpy array"
            )
