"""
Real media, made by FFmpeg's encoders through PyAV.

A test publishes an FLV file that FFmpeg's own muxer wrote, with FFmpeg's own RTMP
client, and compares the recording with what the same muxer writes to a file.
"""

import array
import atexit
import functools
import heapq
import itertools
import math
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from rtmptw.flv.file import Tag, TagReader

WIDTH, HEIGHT = 96, 64
FRAMES_PER_SECOND = 25
SAMPLE_RATE = 48000
#: The samples after which a tone of 440 Hz repeats: 11 waves.
TONE_LENGTH = 1200

AUDIO, VIDEO, SCRIPT = 8, 9, 18


@dataclass(frozen=True)
class Media:
    """
    What to encode: names of FFmpeg's encoders; an empty name means no such track.
    """

    video: str = "libx264"
    audio: str = "aac"
    frames: int = 60
    options: tuple[tuple[str, str], ...] = (("preset", "ultrafast"), ("g", "25"))


#: With B-frames, so that composition times are not 0 and decode times differ from
#: presentation times.
H264_AAC = Media(options=(("preset", "veryfast"), ("bf", "2"), ("g", "25")))
HEVC_AAC = Media(
    video="libx265",
    options=(("preset", "ultrafast"), ("x265-params", "log-level=none")),
)
AV1_OPUS = Media(
    video="libsvtav1",
    audio="libopus",
    # One thread and no reordering: on a busy machine its packets came out of order.
    options=(("preset", "12"), ("svtav1-params", "pred-struct=1:lp=1")),
)
VP9_FLAC = Media(
    video="libvpx-vp9",
    audio="flac",
    options=(("deadline", "realtime"), ("cpu-used", "8")),
)
AUDIO_ONLY = Media(video="")
VIDEO_ONLY = Media(audio="")


@functools.cache
def _folder() -> Path:
    folder = tempfile.mkdtemp(prefix="rtmptw-media-")
    atexit.register(shutil.rmtree, folder, True)
    return Path(folder)


@functools.cache
def encode(media: Media) -> str:
    """
    Encode a moving pattern and a tone, once per test run.

    @return: the path of the FLV file.
    """
    path = _folder() / f"{len(list(_folder().iterdir()))}.flv"
    with av.open(str(path), "w", format="flv") as container:
        tracks: list[Iterator[tuple[Fraction, list[Any]]]] = []
        if media.video:
            tracks.append(_video(container, media))
        if media.audio:
            tracks.append(_audio(container, media))
        for _time, packets in heapq.merge(*tracks, key=lambda track: track[0]):
            container.mux(packets)
    return str(path)


def _video(container: Any, media: Media) -> Iterator[tuple[Fraction, list[Any]]]:
    stream = container.add_stream(
        media.video, rate=FRAMES_PER_SECOND, options=dict(media.options)
    )
    stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
    # A pattern that moves, so that the frames differ.
    rows = bytes(range(256)) * (1 + (WIDTH * HEIGHT + 1024) // 256)
    for number in range(media.frames):
        frame = av.VideoFrame(WIDTH, HEIGHT, "yuv420p")
        for plane in frame.planes:
            shift = number * 7 % 1024
            plane.update(rows[shift : shift + plane.buffer_size])
        frame.pts = number
        frame.time_base = Fraction(1, FRAMES_PER_SECOND)
        yield Fraction(number, FRAMES_PER_SECOND), stream.encode(frame)
    yield Fraction(media.frames, FRAMES_PER_SECOND), stream.encode(None)


def _audio(container: Any, media: Media) -> Iterator[tuple[Fraction, list[Any]]]:
    stream = container.add_stream(media.audio, rate=SAMPLE_RATE)
    context = stream.codec_context
    context.layout = "mono"
    context.format = {"aac": "fltp", "libopus": "flt", "flac": "s16"}[media.audio]
    samples = 960 if media.audio == "libopus" else 1024
    tone = _tone(media.audio == "flac", samples)
    count = media.frames * SAMPLE_RATE // FRAMES_PER_SECOND // samples
    for number in range(count):
        start = number * samples
        first = start % TONE_LENGTH
        frame = av.AudioFrame(context.format.name, "mono", samples)
        frame.planes[0].update(tone[first : first + samples].tobytes())
        frame.rate = SAMPLE_RATE
        frame.pts = start
        frame.time_base = Fraction(1, SAMPLE_RATE)
        yield Fraction(start, SAMPLE_RATE), stream.encode(frame)
    yield Fraction(count * samples, SAMPLE_RATE), stream.encode(None)


def _tone(isInteger: bool, samples: int) -> "array.array[Any]":
    """
    @param samples: the number of samples wanted in one piece.
    @return: the tone. A piece of that length can begin at any of its first
        L{TONE_LENGTH} samples.
    """
    wave = [
        math.sin(number * 2 * math.pi * 440 / SAMPLE_RATE)
        for number in range(TONE_LENGTH)
    ]
    wave *= 1 + -(-samples // TONE_LENGTH)
    if isInteger:
        return array.array("h", [int(12000 * value) for value in wave])
    return array.array("f", [0.4 * value for value in wave])


@dataclass(frozen=True)
class Mux:
    """
    One run of FFmpeg's FLV muxer over an FLV file, to another file or to an RTMP
    server. It blocks, and while FFmpeg connects no other Python code runs: a server
    needs a process of its own (L{tests.live.publisher}).

    @ivar source: the path of the FLV file.
    @ivar target: a path or an RTMP URL.
    @ivar offset: ms added to every timestamp.
    @ivar repeat: how many times the source is sent.
    @ivar paced: whether to send in real time.
    @ivar pauseAfter: the number of packets after which to pause; 0 for never.
    """

    source: str
    target: str
    offset: int = 0
    repeat: int = 1
    paced: bool = False
    pauseAfter: int = 0

    def run(self, pause: Callable[[], None] = lambda: None) -> int:
        """
        @param pause: called after L{pauseAfter} packets.
        @return: the number of packets muxed.
        """
        options = {"flvflags": "no_duration_filesize"}
        count = 0
        with (
            av.open(self.target, "w", format="flv", options=options) as output,
            av.open(self.source) as first,
        ):
            streams = {
                stream.index: output.add_stream_from_template(stream, opaque=True)
                for stream in first.streams
            }
            length = self._length()
            begun = time.monotonic()
            for turn in range(self.repeat):
                with av.open(self.source) as container:
                    for packet in container.demux():
                        if packet.dts is None:
                            continue
                        assert packet.pts is not None
                        if self.paced:
                            due = float(packet.dts * packet.time_base)
                            late = begun + due - time.monotonic()
                            if late > 0:
                                # This sleep makes the pacing that the tests need.
                                time.sleep(late)
                        # FLV timestamps are in ms.
                        packet.dts += self.offset + turn * length
                        packet.pts += self.offset + turn * length
                        packet.stream = streams[packet.stream.index]
                        output.mux(packet)
                        count += 1
                        if count == self.pauseAfter:
                            pause()
        return count

    def _length(self) -> int:
        last = [
            tag.timestamp for tag in readTags(Path(self.source)) if tag.kind != SCRIPT
        ]
        return max(last) + 1000 // FRAMES_PER_SECOND


def readTags(path: Path) -> list[Tag]:
    """
    @return: the tags of an FLV file, which must end with a complete one.
    """
    reader = TagReader()
    tags = reader.receive(path.read_bytes())
    assert reader.waiting == 0, f"{path} ends within a tag"
    return tags


def mediaTags(path: Path) -> list[Tag]:
    """
    @return: the audio and video tags of an FLV file.
    """
    return [tag for tag in readTags(path) if tag.kind != SCRIPT]


def reference(source: str, offset: int = 0, repeat: int = 1) -> list[Tag]:
    """
    @return: the audio and video tags that FFmpeg's own muxer writes for C{source}.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "reference.flv"
        Mux(source, str(path), offset, repeat).run()
        return mediaTags(path)


def isHeader(tag: Tag) -> bool:
    """
    @return: whether a tag is a sequence header or the end of a sequence, whose
        timestamp has no meaning.
    """
    first = tag.payload[0] if tag.payload else 0
    if tag.kind == VIDEO and first & 0x80:
        return first & 0x0F in (0, 2, 4, 5)
    if tag.kind == VIDEO:
        return first & 0x0F in (7, 12) and tag.payload[1] in (0, 2)
    if first >> 4 == 9:
        return first & 0x0F in (0, 2, 4)
    return first >> 4 == 10 and tag.payload[1] == 0


def compare(recorded: list[Tag], sent: list[Tag], what: str) -> str:
    """
    Compare a recording with what FFmpeg's muxer wrote: every payload, their order, and
    every step from one timestamp to the next.

    @return: a line that says how many frames of how many were captured.
    """
    captured = sum(
        ours.payload == theirs.payload
        for ours, theirs in zip(recorded, sent, strict=False)
    )
    line = f"{what}: captured {captured} of {len(sent)} frames"
    print(line)
    assert [(tag.kind, tag.payload) for tag in recorded] == [
        (tag.kind, tag.payload) for tag in sent
    ], line
    assert steps(recorded) == steps(sent), f"{what}: timestamps differ"
    return line


def steps(tags: list[Tag]) -> list[int]:
    """
    @return: the steps between the timestamps of coded frames, in ms, modulo 2^32.
    """
    stamps = [tag.timestamp for tag in tags if not isHeader(tag)]
    return [(b - a) & 0xFFFFFFFF for a, b in itertools.pairwise(stamps)]
