"""
Tests of the table of containers in the manual, cell by cell.
"""

import functools
import hashlib
import io
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from twisted.trial.unittest import SynchronousTestCase

from rtmptw.flv.body import frameFromMessage
from rtmptw.frames import Codec, Frame, FrameKind
from rtmptw.remux.kinds import CONTAINERS, codecName
from rtmptw.samples import samplesOf
from tests._pyav.test_muxing import Containers, framesOf, withoutDelimiter
from tests.live.media import HEIGHT, WIDTH, Media, encode

MANUAL = Path(__file__).parents[2] / "docs" / "record-sink.rst"

#: The manual's names of codecs.
NAMES = {
    "H.264": [Codec.H264],
    "HEVC": [Codec.HEVC],
    "VVC": [Codec.VVC],
    "AV1": [Codec.AV1],
    "VP8": [Codec.VP8],
    "VP9": [Codec.VP9],
    "AAC": [Codec.AAC],
    "MP3": [Codec.MP3],
    "Opus": [Codec.OPUS],
    "FLAC": [Codec.FLAC],
    "AC-3": [Codec.AC3],
    "E-AC-3": [Codec.EAC3],
    "G.711": [Codec.G711A, Codec.G711U],
    "PCM": [Codec.PCM_LE],
}

#: FFmpeg's encoders, and the first bytes of bodies: of a configuration, of a key frame
#: or audio frame, and of an inter frame. There is no encoder for VVC.
VIDEO = {
    Codec.H264: ("libx264", b"\x17\0\0\0\0", b"\x17\1\0\0\0", b"\x27\1\0\0\0"),
    Codec.HEVC: ("libx265", b"\x90hvc1", b"\x93hvc1", b"\xa3hvc1"),
    Codec.AV1: ("libsvtav1", b"\x90av01", b"\x91av01", b"\xa1av01"),
    Codec.VP8: ("libvpx", b"", b"\x91vp08", b"\xa1vp08"),
    Codec.VP9: ("libvpx-vp9", b"", b"\x91vp09", b"\xa1vp09"),
}
AUDIO = {
    Codec.AAC: ("aac", b"\xaf\0", b"\xaf\1"),
    Codec.MP3: ("libmp3lame", b"", b"\x2f"),
    Codec.OPUS: ("libopus", b"\x90Opus", b"\x91Opus"),
    Codec.FLAC: ("flac", b"\x90fLaC", b"\x91fLaC"),
    Codec.AC3: ("ac3", b"", b"\x91ac-3"),
    Codec.EAC3: ("eac3", b"", b"\x91ec-3"),
    Codec.G711A: ("pcm_alaw", b"", b"\x72"),
    Codec.G711U: ("pcm_mulaw", b"", b"\x82"),
    Codec.PCM_LE: ("pcm_s16le", b"", b"\x3f"),
}
OPTIONS = {
    "libx264": {"preset": "ultrafast", "tune": "zerolatency"},
    "libx265": {"preset": "ultrafast", "x265-params": "log-level=none:bframes=0"},
    "libsvtav1": {"preset": "12", "svtav1-params": "pred-struct=1:lp=1"},
    "libvpx": {"deadline": "realtime"},
    "libvpx-vp9": {"deadline": "realtime"},
}


@functools.cache
def made(codec: Codec) -> tuple[list[Frame], list[bytes]]:
    """
    @return: two seconds of a codec as a publisher sends them, and the coded data.
    """
    if codec in VIDEO:
        name, config, key, inter = VIDEO[codec]
        return _video(name, config, key, inter)
    name, config, head = AUDIO[codec]
    return _audio(name, config, head)


def _video(
    name: str, config: bytes, key: bytes, inter: bytes
) -> tuple[list[Frame], list[bytes]]:
    if name in ("libx264", "libx265", "libsvtav1"):
        # The configuration is the one that FFmpeg's FLV muxer makes.
        options = tuple(OPTIONS[name].items())
        media = Media(video=name, audio="", frames=50, options=options)
        # Without metadata, which would say that there is no audio.
        given = [f for f in framesOf(encode(media)) if f.kind is FrameKind.VIDEO]
        made = [s.data for f in given for s in samplesOf(f) if not s.isConfig]
        return given, made
    stream = av.CodecContext.create(name, "w")
    assert isinstance(stream, av.VideoCodecContext)
    stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
    stream.time_base = Fraction(1, 25)
    stream.options = OPTIONS[name]
    frames: list[Frame] = []
    coded: list[bytes] = []
    for number in range(51):
        image: Any = None
        if number < 50:
            image = av.VideoFrame(WIDTH, HEIGHT, "yuv420p")
            for plane in image.planes:
                plane.update(bytes([number * 5]) * plane.buffer_size)
            image.pts = number
        for packet in stream.encode(image):
            data = bytes(packet)
            head = key if packet.is_keyframe else inter
            time = len(coded) * 40
            frames.append(frameFromMessage(FrameKind.VIDEO, time, head + data))
            coded.append(data)
    return frames, coded


def _audio(name: str, config: bytes, head: bytes) -> tuple[list[Frame], list[bytes]]:
    stream: Any = av.CodecContext.create(name, "w")
    raw = name.startswith("pcm_")
    rate = 8000 if "law" in name else 44100 if raw or name == "libmp3lame" else 48000
    stream.sample_rate = rate
    stream.layout = "mono" if "law" in name else "stereo"
    stream.format = stream.codec.audio_formats[0]
    stream.time_base = Fraction(1, rate)
    stream.open()
    size = stream.frame_size or 1024
    frames: list[Frame] = []
    coded: list[bytes] = []
    time = 0
    if config:
        frames.append(frameFromMessage(FrameKind.AUDIO, 0, config + stream.extradata))
    for number in range(2 * rate // size):
        sound = av.AudioFrame(stream.format.name, stream.layout.name, size)
        for plane in sound.planes:
            wave = bytes((number * 7 + place * 3) % 40 for place in range(256))
            plane.update((wave * (plane.buffer_size // 256 + 1))[: plane.buffer_size])
        sound.sample_rate, sound.pts = rate, number * size
        for packet in stream.encode(sound):
            time = len(coded) * size * 1000 // rate
            data = bytes(packet)
            frames.append(frameFromMessage(FrameKind.AUDIO, time, head + data))
            coded.append(data)
    return frames, coded


def asFFmpegDecodes(data: bytes, codec: Codec) -> bytes:
    """
    @return: G.711 as 16-bit PCM.
    """
    name = "pcm_alaw" if codec is Codec.G711A else "pcm_mulaw"
    decoder: Any = av.CodecContext.create(name, "r")
    decoder.sample_rate, decoder.layout = 8000, "mono"
    return b"".join(
        bytes(f.planes[0])[: 2 * f.samples] for f in decoder.decode(av.Packet(data))
    )


def table() -> dict[str, set[Codec]]:
    """
    @return: the containers of the manual and the codecs that each holds.
    """
    text = MANUAL.read_text(encoding="utf-8")
    rows: dict[str, str] = {}
    name = ""
    for line in text[text.index("format    holds") :].splitlines():
        if line.startswith("``"):
            name = line.split("``")[1]
        if name and line.strip("= ") and not line.startswith("="):
            rows[name] = rows.get(name, "") + " " + line[10:56].strip()
        if line.startswith("=") and rows:
            break
    found: dict[str, set[Codec]] = {}
    for name, words in rows.items():
        said = set().union(
            *[
                NAMES[word]
                for word in re.findall(r"[A-Z][\w.-]*\w", words)
                if word in NAMES
            ]
        )
        if "the same, and" in words:
            said |= found["mp4"]
        found[name] = said
    return found


class TableTests(SynchronousTestCase):
    """
    The table of containers.
    """

    def test_itIsWhatTheContainersSay(self) -> None:
        """
        The table agrees with the code; FLV accepts any codec.
        """
        said = table()
        self.assertEqual(set(said), set(CONTAINERS))
        for name in ("mp4", "mkv", "ts"):
            self.assertEqual(said[name], CONTAINERS[name].codecs, name)

    def check(self, codec: Codec) -> None:
        """
        Check that each packet is in each container that holds the codec, unchanged; and
        that the others leave it out and record the rest.
        """
        frames, coded = made(codec)
        self.assertGreater(len(coded), 10)
        kind = "video" if codec in VIDEO else "audio"
        other = Codec.AAC if kind == "video" else Codec.H264
        others, coded2 = made(other)
        both = sorted([*frames, *others], key=lambda frame: frame.timestamp)
        for name in ("mp4", "mkv", "ts"):
            holds = codec in table()[name]
            containers = Containers(name).remux(both)
            (counts,) = containers.counts
            total = len(coded2) + (len(coded) if holds else 0)
            self.assertEqual((counts.packets, counts.refused), (total, 0), name)
            self.assertEqual(len(containers.leftOut), not holds, name)
            got = containers.packets()
            beside = "audio" if kind == "video" else "video"
            self.assertEqual(set(got), {beside, kind} if holds else {beside})
            if holds and name != "ts":
                if codec in (Codec.G711A, Codec.G711U):
                    coded = [asFFmpegDecodes(data, codec) for data in coded]
                wanted = [hashlib.md5(withoutDelimiter(d)).hexdigest() for d in coded]
                self.assertEqual([p[0] for p in got[kind]], wanted, name)
            print(f"{codecName(codec)} in {name}: {len(got.get(kind, []))}")
            if holds:
                self.assertEqual(len(got[kind]), len(coded))
                self.decodes(containers.files[0].getvalue(), kind, len(coded))

    def decodes(self, data: bytes, kind: str, count: int) -> None:
        """
        Check that everything decodes.
        """
        with av.open(io.BytesIO(data), "r") as container:
            stream = getattr(container.streams, kind)[0]
            got = len(list(container.decode(stream)))
        self.assertGreaterEqual(got, count - 2)


def _test(codec: Codec) -> Any:
    def test(self: TableTests) -> None:
        self.check(codec)

    test.__doc__ = f"{codecName(codec)}."
    return test


for _codec in (*VIDEO, *AUDIO):
    setattr(TableTests, f"test_{codecName(_codec).replace(' ', '')}", _test(_codec))
