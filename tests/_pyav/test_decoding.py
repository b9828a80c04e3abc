"""
Tests for L{rtmptw._pyav.decoding}: the result is the same as FFmpeg's own.
"""

import array
import atexit
import functools
import math
import os
import tempfile
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path

import av
from twisted.trial.unittest import SynchronousTestCase

from rtmptw._pyav.decoding import MAX_HELD_BACK, Decoded, Decoder
from rtmptw.flv.body import frameFromMessage
from rtmptw.frames import Codec, Frame, FrameKind, Role
from tests._pyav.hashes import Hashes, decodedByFFmpeg, hashOf, same
from tests.live.media import (
    AV1_OPUS,
    H264_AAC,
    HEVC_AAC,
    VIDEO_ONLY,
    VP9_FLAC,
    Media,
    encode,
    readTags,
)

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
BOTH = (FrameKind.VIDEO, FrameKind.AUDIO)

#: Legacy codecs, and others that FFmpeg's FLV muxer writes: encoder, rate and layout.
SOUNDS = {
    Codec.MP3: ("libmp3lame", 44100, "stereo"),
    Codec.PCM_LE: ("pcm_s16le", 44100, "stereo"),
    Codec.PCM: ("pcm_u8", 11025, "mono"),
    Codec.ADPCM: ("adpcm_swf", 22050, "stereo"),
    Codec.NELLYMOSER: ("nellymoser", 22050, "mono"),
    Codec.NELLYMOSER_16K: ("nellymoser", 16000, "mono"),
    Codec.NELLYMOSER_8K: ("nellymoser", 8000, "mono"),
    Codec.G711A: ("pcm_alaw", 8000, "mono"),
    Codec.G711U: ("pcm_mulaw", 8000, "mono"),
    Codec.AC3: ("ac3", 48000, "stereo"),
    Codec.EAC3: ("eac3", 48000, "stereo"),
}
H263 = Media(video="flv", audio="", options=(("g", "25"),))


def framesOf(path: str) -> list[Frame]:
    """
    @return: the frames of an FLV file, as a publisher sends them.
    """
    return [
        frameFromMessage(FrameKind(tag.kind), tag.timestamp, tag.payload)
        for tag in readTags(Path(path))
    ]


@functools.cache
def encodeAudio(encoder: str, rate: int, layout: str) -> bytes:
    """
    @return: an FLV file with a tone of one second.
    """
    handle, path = tempfile.mkstemp(".flv")
    os.close(handle)
    channels = 2 if layout == "stereo" else 1
    with av.open(path, "w", format="flv") as container:
        stream = container.add_stream(encoder, rate=rate, layout=layout)
        assert isinstance(stream, av.AudioStream)
        for start in range(0, rate, 1000):
            wave = [
                int(12000 * math.sin(n * 2 * math.pi * 440 / rate))
                for n in range(start, start + 1000)
                for _channel in range(channels)
            ]
            frame = av.AudioFrame("s16", layout, 1000)
            frame.planes[0].update(array.array("h", wave).tobytes())
            frame.rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    data = Path(path).read_bytes()
    os.unlink(path)
    return data


def feed(decoder: Decoder, frames: Iterable[Frame]) -> list[Decoded]:
    """
    @return: everything decoded.
    """
    decoded = [one for frame in frames for one in decoder.decode(frame, NOW)]
    return decoded + decoder.finish()


def hashesOf(decoded: list[Decoded]) -> Hashes:
    """
    @return: hashes in the form of L{decodedByFFmpeg}.
    """
    return {
        kind: [hashOf(one.frame) for one in decoded if one.kind is kind]
        for kind in BOTH
    }


class CodecTests(SynchronousTestCase):
    """
    Every codec that FFmpeg can encode.
    """

    def check(self, path: str, what: str, *, eager: bool = False) -> None:
        """
        Check that everything is decoded, as by FFmpeg.
        """
        frames = framesOf(path)
        decoder = Decoder(BOTH, eager=eager)
        decoded = feed(decoder, frames)
        wanted = decodedByFFmpeg(path)
        same(hashesOf(decoded), wanted, what)
        self.assertEqual(decoder.counts.refused, 0)
        self.assertEqual(decoder.counts.decoded[FrameKind.DATA], 0)
        for kind in BOTH:
            self.assertEqual(decoder.counts.decoded[kind], len(wanted[kind]))

    def test_video(self) -> None:
        """
        H.264 with B-frames, HEVC, AV1, VP9 and their audio, with frame threads and
        without.
        """
        for media in (H264_AAC, HEVC_AAC, AV1_OPUS, VP9_FLAC):
            for eager in (False, True):
                what = f"{media.video}, {media.audio}, eager {eager}"
                self.check(encode(media), what, eager=eager)

    def test_oldVideo(self) -> None:
        """
        Sorenson H.263, and VP8, which FFmpeg's FLV muxer does not write.
        """
        path = encode(H263)
        self.assertIn(Codec.H263, {frame.codec for frame in framesOf(path)})
        self.check(path, "H263")
        path = self.mktemp() + ".mkv"
        frames = []
        with av.open(path, "w") as container:
            stream = container.add_stream("libvpx", rate=25, options={"g": "10"})
            stream.width, stream.height = 96, 64
            for number in range(30):
                image = av.VideoFrame(96, 64, "yuv420p")
                for plane in image.planes:
                    plane.update(bytes([number * 8]) * plane.buffer_size)
                image.pts = number
                for packet in stream.encode(image):
                    head = b"\x91" if packet.is_keyframe else b"\xa1"
                    body = head + b"vp08" + bytes(packet)
                    frames.append(frameFromMessage(FrameKind.VIDEO, number * 40, body))
                    container.mux(packet)
            container.mux(stream.encode(None))
        self.assertEqual({frame.codec for frame in frames}, {Codec.VP8})
        decoded = feed(Decoder(BOTH), frames)
        same(hashesOf(decoded), decodedByFFmpeg(path), "VP8")

    def test_audio(self) -> None:
        """
        MP3, PCM, ADPCM, Nellymoser, G.711, AC-3.
        """
        for codec, sound in SOUNDS.items():
            path = self.mktemp() + ".flv"
            Path(path).write_bytes(encodeAudio(*sound))
            self.assertIn(codec, {frame.codec for frame in framesOf(path)})
            self.check(path, codec.name)


class TimeTests(SynchronousTestCase):
    """
    Presentation and arrival times.
    """

    def test_video(self) -> None:
        """
        Video frames are in presentation order, each with the arrival time of its coded
        frame.
        """
        frames = [f for f in framesOf(encode(H264_AAC)) if f.role is Role.CODED]
        coded = {}
        decoder = Decoder([FrameKind.VIDEO])
        decoded = []
        for number, frame in enumerate(framesOf(encode(H264_AAC))):
            arrived = NOW + timedelta(seconds=number)
            if frame.role is Role.CODED:
                coded[frame.timestamp + frame.compositionTime, frame.kind] = arrived
            decoded += decoder.decode(frame, arrived)
        decoded += decoder.finish()
        self.assertEqual(
            [one.milliseconds for one in decoded],
            sorted(
                frame.timestamp + frame.compositionTime
                for frame in frames
                if frame.kind is FrameKind.VIDEO
            ),
        )
        for one in decoded:
            self.assertEqual(one.arrived, coded[one.milliseconds, FrameKind.VIDEO])
            # PyAV's frame has the same time, in its time base.
            self.assertEqual(one.frame.time_base, Fraction(1, 1000))
            self.assertEqual(one.frame.pts, one.milliseconds)

    def test_audio(self) -> None:
        """
        Each block has the time of its packet.
        """
        frames = framesOf(encode(H264_AAC))
        decoded = feed(Decoder([FrameKind.AUDIO]), frames)
        self.assertEqual(
            [one.milliseconds for one in decoded],
            [
                frame.timestamp
                for frame in frames
                if frame.kind is FrameKind.AUDIO and frame.role is Role.CODED
            ],
        )

    def test_aClockOfAnyHeight(self) -> None:
        """
        Large timestamps do not wrap.
        """
        frames = framesOf(encode(VIDEO_ONLY))
        for frame in frames:
            frame.timestamp += 2**33
        decoded = feed(Decoder([FrameKind.VIDEO]), frames)
        self.assertEqual(decoded[0].milliseconds, 2**33)
        self.assertEqual(len(decoded), VIDEO_ONLY.frames)

    def test_packetsOfWhichNothingComes(self) -> None:
        """
        Arrival times of packets that produce nothing are not kept forever.
        """
        decoder = Decoder([FrameKind.VIDEO])
        frames = framesOf(encode(VIDEO_ONLY))
        key = next(frame for frame in frames if frame.isKey)
        for frame in frames[:3]:
            decoder.decode(frame, NOW)
        for number in range(200):
            broken = key.payload[:5] + bytes([number]) * 20
            decoder.decode(
                frameFromMessage(FrameKind.VIDEO, 10_000 + number, broken), NOW
            )
        track = decoder._tracks[FrameKind.VIDEO]
        self.assertLessEqual(len(track._arrivals), MAX_HELD_BACK)


class ConfigTests(SynchronousTestCase):
    """
    Configurations that arrive in the middle.
    """

    def setUp(self) -> None:
        self.first = encode(H264_AAC)
        self.second = encode(VIDEO_ONLY)

    def test_another(self) -> None:
        """
        Frames that the first decoder holds back come before those of the next. All are
        there, even if the codec changes.
        """
        wanted: list[str] = []
        frames: list[Frame] = []
        for path in (self.first, self.second, encode(VP9_FLAC), self.first):
            frames += framesOf(path)
            wanted += decodedByFFmpeg(path)[FrameKind.VIDEO]
        got = hashesOf(feed(Decoder([FrameKind.VIDEO]), frames))[FrameKind.VIDEO]
        print(f"4 configurations: {len(got)} of {len(wanted)} pictures")
        self.assertEqual(got, wanted)

    def test_anotherSize(self) -> None:
        """
        A new size, as from an encoder that was reconfigured.
        """
        frames = framesOf(self.first) + framesOf(smallImages())
        decoded = feed(Decoder([FrameKind.VIDEO]), frames)
        sizes = [one.frame.width for one in decoded]
        self.assertEqual(sizes, [96] * 60 + [48] * 30)

    def test_theSameAgain(self) -> None:
        """
        A repeated configuration is no change: nothing is flushed, and no key frame is
        needed.
        """
        frames = framesOf(self.first)
        config = next(
            frame
            for frame in frames
            if frame.role is Role.CONFIG and frame.kind is FrameKind.VIDEO
        )
        repeated = [one for frame in frames for one in (frame, config)]
        got = hashesOf(feed(Decoder([FrameKind.VIDEO]), repeated))[FrameKind.VIDEO]
        self.assertEqual(got, decodedByFFmpeg(self.first)[FrameKind.VIDEO])

    def test_oldAudioThatChanges(self) -> None:
        """
        Legacy audio has no configuration other than the first byte of each body.
        """
        frames: list[Frame] = []
        wanted: list[str] = []
        for codec in (Codec.PCM, Codec.PCM_LE, Codec.NELLYMOSER, Codec.NELLYMOSER_8K):
            path = self.mktemp() + ".flv"
            Path(path).write_bytes(encodeAudio(*SOUNDS[codec]))
            frames += framesOf(path)
            wanted += decodedByFFmpeg(path)[FrameKind.AUDIO]
        decoded = feed(Decoder([FrameKind.AUDIO]), frames)
        self.assertEqual(hashesOf(decoded)[FrameKind.AUDIO], wanted)
        rates = {one.frame.sample_rate for one in decoded}
        self.assertEqual(rates, {11025, 44100, 22050, 8000})


@functools.cache
def smallImages() -> str:
    """
    @return: an FLV file of 30 video frames of 48 x 32.
    """
    handle, path = tempfile.mkstemp(".flv")
    os.close(handle)
    with av.open(path, "w", format="flv") as container:
        stream = container.add_stream("libx264", rate=25, options={"g": "10"})
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        for number in range(30):
            image = av.VideoFrame(48, 32, "yuv420p")
            for plane in image.planes:
                plane.update(bytes([number * 8]) * plane.buffer_size)
            container.mux(stream.encode(image))
        container.mux(stream.encode(None))
    atexit.register(os.unlink, path)
    return path


class TroubleTests(SynchronousTestCase):
    """
    Frames that cannot be decoded.
    """

    def test_corruptFrames(self) -> None:
        """
        Corrupt frames are counted, and video is correct after the next key frame.
        """
        path = encode(VIDEO_ONLY)
        frames = framesOf(path)
        wanted = decodedByFFmpeg(path)[FrameKind.VIDEO]
        coded = [frame for frame in frames if frame.role is Role.CODED]
        for frame in coded[5:8]:
            corrupt = frame.payload[:5] + b"\xff" * 8
            frames[frames.index(frame)] = frameFromMessage(
                frame.kind, frame.timestamp, corrupt
            )
        for eager in (False, True):
            decoder = Decoder([FrameKind.VIDEO], eager=eager)
            got = hashesOf(feed(decoder, frames))[FrameKind.VIDEO]
            self.assertEqual(decoder.counts.refused, 3)
            self.assertEqual(got[:5], wanted[:5])
            # There is a key frame at 25.
            self.assertEqual(got[-35:], wanted[-35:])

    def test_bodiesCutOff(self) -> None:
        """
        Truncated bodies raise nothing.
        """
        for path in map(encode, (H264_AAC, HEVC_AAC, AV1_OPUS, VP9_FLAC)):
            frames = framesOf(path)
            for size in (0, 1, 2, 4, 5, 6, 9, 12):
                cut = [
                    frameFromMessage(frame.kind, frame.timestamp, frame.payload[:size])
                    for frame in frames[:20]
                ]
                feed(Decoder(BOTH), cut)

    def test_aConfigurationThatIsNone(self) -> None:
        """
        An invalid configuration is reported once; a valid one replaces it.
        """
        frames = framesOf(encode(VP9_FLAC))
        bad = frameFromMessage(FrameKind.AUDIO, 0, b"\x90fLaC" + bytes(40))
        decoder = Decoder([FrameKind.AUDIO])
        coded = [
            frame
            for frame in frames
            if frame.kind is FrameKind.AUDIO and frame.role is Role.CODED
        ]
        for frame in [bad, *coded[:10]]:
            self.assertEqual(decoder.decode(frame, NOW), [])
        self.assertEqual(decoder.counts.refused, 10)
        (trouble,) = decoder.troubles
        self.assertIn("FFmpeg cannot decode this FLAC: Invalid data", trouble)
        self.assertEqual(len(feed(decoder, frames)), 25)

    def test_noDecoder(self) -> None:
        """
        A codec without a decoder, VP6, is reported.
        """
        decoder = Decoder([FrameKind.VIDEO])
        for number in range(3):
            body = b"\x14" + bytes(20)
            decoder.decode(frameFromMessage(FrameKind.VIDEO, number, body), NOW)
        self.assertEqual(decoder.troubles, ["there is no decoder for VP6"])
        self.assertEqual(decoder.counts.refused, 3)

    def test_beforeTheFirstKeyFrame(self) -> None:
        """
        Frames before the first key frame have no references: they are counted, not
        decoded.
        """
        path = encode(VIDEO_ONLY)
        frames = framesOf(path)
        first = next(index for index, frame in enumerate(frames) if frame.isKey)
        decoder = Decoder([FrameKind.VIDEO])
        late = frames[:first] + frames[first + 1 :]
        got = hashesOf(feed(decoder, late))[FrameKind.VIDEO]
        self.assertEqual(got, decodedByFFmpeg(path)[FrameKind.VIDEO][25:])
        self.assertEqual(decoder.counts.early, 24)


class ChoiceTests(SynchronousTestCase):
    """
    What is decoded.
    """

    def test_keyframesOnly(self) -> None:
        """
        Each key frame is delivered at once, even with B-frames.
        """
        path = encode(H264_AAC)
        decoder = Decoder(BOTH, keyframesOnly=True)
        got = []
        for frame in framesOf(path):
            decoded = decoder.decode(frame, NOW)
            if frame.kind is FrameKind.VIDEO:
                self.assertEqual(len(decoded), frame.isKey)
                got += hashesOf(decoded)[FrameKind.VIDEO]
        wanted = decodedByFFmpeg(path)[FrameKind.VIDEO]
        self.assertEqual(got, wanted[::25])
        # Audio is not affected.
        self.assertEqual(decoder.counts.decoded[FrameKind.AUDIO], 113)

    def test_eagerHoldsBackLess(self) -> None:
        """
        An eager decoder holds back no more than B-frames need.
        """
        self.patch(os, "sched_getaffinity", lambda process: range(4))
        most = {
            eager: self.heldBack(Decoder([FrameKind.VIDEO], eager=eager), AV1_OPUS)
            for eager in (False, True)
        }
        self.assertEqual(most[True], 0)
        self.assertGreater(most[False], 0)

    def heldBack(self, decoder: Decoder, media: Media) -> int:
        """
        @return: the most frames that were in the decoder.
        """
        coded = out = most = 0
        for frame in framesOf(encode(media)):
            coded += frame.kind is FrameKind.VIDEO and frame.role is Role.CODED
            out += len(decoder.decode(frame, NOW))
            most = max(most, coded - out)
        decoder.finish()
        return most

    def test_threads(self) -> None:
        """
        At most four threads, and no more than there are cores: each holds back a frame.
        """
        held = []
        for cores in (1, 2, 4, 64):
            self.patch(os, "sched_getaffinity", lambda process, n=cores: range(n))
            held.append(self.heldBack(Decoder([FrameKind.VIDEO]), VIDEO_ONLY))
        self.assertEqual([more - held[0] for more in held], [0, 1, 3, 3])

    def test_fps(self) -> None:
        """
        The frame rate is limited; a lower rate is kept.
        """
        for fps, count in ((5.0, 12), (10.0, 24), (25.0, 60), (0.5, 2), (60.0, 60)):
            decoder = Decoder([FrameKind.VIDEO], fps=fps)
            decoded = feed(decoder, framesOf(encode(VIDEO_ONLY)))
            self.assertEqual(len(decoded), count, fps)
            self.assertEqual(decoder.counts.thinned, 60 - count)

    def test_fpsOfAnOddRate(self) -> None:
        """
        Timestamps in whole ms are not regular: at the stream's own rate all frames
        pass.
        """
        frames = framesOf(encode(VIDEO_ONLY))
        coded = [frame for frame in frames if frame.role is Role.CODED]
        for number, frame in enumerate(coded):
            frame.timestamp = round(number * 1000 / 30)
        decoder = Decoder([FrameKind.VIDEO], fps=30.0)
        self.assertEqual(len(feed(decoder, frames)), 60)

    def test_fpsWhenTheClockStepsBack(self) -> None:
        """
        The clock steps back, as with a publisher that reconnects.
        """
        decoder = Decoder([FrameKind.VIDEO], fps=5.0)
        frames = framesOf(encode(VIDEO_ONLY))
        self.assertEqual(len(feed(decoder, frames + frames)), 24)

    def test_fpsLeavesAudioAlone(self) -> None:
        """
        The limit is for video only.
        """
        decoder = Decoder(BOTH, fps=1.0)
        decoded = feed(decoder, framesOf(encode(H264_AAC)))
        self.assertEqual(len(hashesOf(decoded)[FrameKind.AUDIO]), 113)

    def test_aTrackOfMany(self) -> None:
        """
        A track is chosen by its Enhanced RTMP track id.
        """
        frames = []
        # H.264 as FFmpeg writes it, as one of several tracks.
        for track, path in enumerate([encode(VIDEO_ONLY), smallImages()]):
            for frame in framesOf(path):
                if frame.kind is FrameKind.VIDEO and frame.role is not Role.END:
                    packet = 0 if frame.role is Role.CONFIG else 1
                    head = 0x96 if frame.isKey or packet == 0 else 0xA6
                    start = 5 if packet == 0 else 2
                    body = (
                        bytes([head, packet])
                        + b"avc1"
                        + bytes([track])
                        + frame.payload[start:]
                    )
                    frames.append(
                        frameFromMessage(FrameKind.VIDEO, frame.timestamp, body)
                    )
        frames.sort(key=lambda frame: frame.timestamp)
        for track, path in enumerate([encode(VIDEO_ONLY), smallImages()]):
            decoded = feed(Decoder([FrameKind.VIDEO], track), frames)
            self.assertEqual({one.track for one in decoded}, {track})
            wanted = decodedByFFmpeg(path)[FrameKind.VIDEO]
            self.assertEqual(hashesOf(decoded)[FrameKind.VIDEO], wanted)
