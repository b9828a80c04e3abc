"""
Decodes coded audio and video frames.

Nothing here uses Twisted; all calls block, and run in a lane. FFmpeg decodes with the
GIL released.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from typing import Any

import av
import av.error
from av.codec.context import Flags, ThreadType

from rtmptw.frames import Codec, Frame, FrameKind
from rtmptw.samples import Sample, samplesOf

#: Most threads of one video decoder, if there are as many cores. FFmpeg would take one
#: per core for each stream; more threads than cores cost a sixth more.
MAX_THREADS = 4
#: Packets whose arrival times are kept. A decoder may hold back video frames to reorder
#: them (16 in H.264 and HEVC) and one for each thread; this is twice that, for packets
#: that produce nothing.
MAX_HELD_BACK = 40

_MILLISECONDS = Fraction(1, 1000)

#: FFmpeg's decoders. MP3 has two; this is the one that FFmpeg prefers, with floats.
_DECODERS = {
    Codec.H264: "h264",
    Codec.HEVC: "hevc",
    Codec.VVC: "vvc",
    Codec.AV1: "libdav1d",
    Codec.VP8: "vp8",
    Codec.VP9: "vp9",
    Codec.H263: "flv",
    Codec.SCREEN: "flashsv",
    Codec.SCREEN2: "flashsv2",
    Codec.AAC: "aac",
    Codec.MP3: "mp3float",
    Codec.MP3_8K: "mp3float",
    Codec.OPUS: "opus",
    Codec.FLAC: "flac",
    Codec.AC3: "ac3",
    Codec.EAC3: "eac3",
    Codec.ADPCM: "adpcm_swf",
    Codec.NELLYMOSER: "nellymoser",
    Codec.NELLYMOSER_8K: "nellymoser",
    Codec.NELLYMOSER_16K: "nellymoser",
    Codec.G711A: "pcm_alaw",
    Codec.G711U: "pcm_mulaw",
    Codec.SPEEX: "speex",
}
#: Decoders by whether a sample has 16 bits.
_PCM = {False: "pcm_u8", True: "pcm_s16le"}
#: Codecs whose format is in the header byte of a legacy body, or fixed by the codec id.
_FIXED_RATES = {
    Codec.G711A: 8000,
    Codec.G711U: 8000,
    Codec.NELLYMOSER_8K: 8000,
    Codec.NELLYMOSER_16K: 16000,
    Codec.SPEEX: 16000,
}
_MONO = {Codec.NELLYMOSER_8K, Codec.NELLYMOSER_16K, Codec.SPEEX}
_HEADED = {Codec.PCM, Codec.PCM_LE, Codec.ADPCM, Codec.NELLYMOSER, *_FIXED_RATES}
_RATES = (5512, 11025, 22050, 44100)


def _availableCores() -> int:
    """
    @return: how many cores this process may use if the system can tell, otherwise how
        many there are.
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(slots=True)
class Decoded:
    """
    A decoded video frame, or a block of audio samples.

    @ivar kind: audio or video.
    @ivar track: the Enhanced RTMP track id.
    @ivar frame: PyAV's frame.
    @ivar milliseconds: presentation time, on the stream's clock.
    @ivar arrived: when the coded frame arrived, by the wall clock.
    """

    kind: FrameKind
    track: int
    frame: Any
    milliseconds: int
    arrived: datetime


@dataclass(slots=True)
class Counts:
    """
    Statistics of a decoder.

    @ivar coded: number of coded frames passed to it.
    @ivar decoded: number of video frames and blocks of samples produced.
    @ivar refused: number of coded frames that FFmpeg could not decode.
    @ivar early: number of coded video frames before the first key frame.
    @ivar thinned: number of video frames dropped to keep to the frame rate.
    """

    coded: dict[FrameKind, int] = field(
        default_factory=lambda: dict.fromkeys(FrameKind, 0)
    )
    decoded: dict[FrameKind, int] = field(
        default_factory=lambda: dict.fromkeys(FrameKind, 0)
    )
    refused: int = 0
    early: int = 0
    thinned: int = 0


class _Track:
    """
    The decoder of one track. A new configuration starts a new decoder, after the old
    one has delivered what it held back.
    """

    def __init__(
        self,
        counts: Counts,
        eager: bool,
        keyframesOnly: bool,
        troubles: list[str],
        anywhere: bool,
    ) -> None:
        self._counts = counts
        self._eager = eager
        self._keyframesOnly = keyframesOnly
        self._troubles = troubles
        self._codec: Codec | None = None
        self._config = b""
        self._head = -1
        self._context: Any = None
        self._isBroken = False
        self._anywhere = anywhere
        self._awaitingKey = not anywhere
        self._arrivals: dict[int, datetime] = {}
        self._last: Sample | None = None
        self._lastArrival: datetime | None = None
        self._end = 0

    def receive(self, sample: Sample, arrived: datetime) -> list[Decoded]:
        """
        @return: what the decoder delivers now, which need not come from this sample.
        """
        if sample.isConfig:
            if sample.codec is self._codec and sample.data == self._config:
                return []
            return self._begin(sample.codec, sample.data, -1)
        head = sample.legacyHead if sample.codec in _HEADED else -1
        before: list[Decoded] = []
        if sample.codec is not self._codec or head != self._head:
            before = self._begin(sample.codec, b"", head)
        return before + self._decode(sample, arrived)

    def _begin(self, codec: Codec, config: bytes, head: int) -> list[Decoded]:
        held = self.finish()
        self._codec, self._config, self._head = codec, config, head
        self._isBroken = False
        self._awaitingKey = not self._anywhere
        return held

    def _decode(self, sample: Sample, arrived: datetime) -> list[Decoded]:
        self._counts.coded[sample.kind] += 1
        if sample.isKey:
            self._awaitingKey = False
        elif self._awaitingKey:
            # The frames that it refers to are missing.
            self._counts.early += 1
            return []
        if self._context is None and not self._isBroken:
            self._open(sample)
        if self._isBroken:
            self._counts.refused += 1
            return []
        # Not av.Packet(data): FFmpeg's threads would release the bytes to Python, and
        # wait for the GIL, which the thread that frees the decoder holds. Also, FFmpeg
        # reads a few bytes past the end.
        packet = av.Packet(len(sample.data))
        packet.update(sample.data)
        packet.time_base = _MILLISECONDS
        packet.dts = sample.timestamp
        packet.pts = sample.timestamp + sample.compositionTime
        packet.is_keyframe = sample.isKey
        self._arrivals[packet.pts] = arrived
        if len(self._arrivals) > MAX_HELD_BACK:
            del self._arrivals[next(iter(self._arrivals))]
        self._last, self._lastArrival = sample, arrived
        decoded = self._take(packet)
        if self._keyframesOnly and sample.kind is FrameKind.VIDEO:
            # No later frame will push it out.
            decoded += self._take(None)
            self._context.flush_buffers()
        return decoded

    def _take(self, packet: Any) -> list[Decoded]:
        try:
            frames = self._context.decode(packet)
        except (av.error.FFmpegError, ValueError):
            self._counts.refused += 1
            return []
        return [self._made(frame) for frame in frames]

    def _made(self, frame: Any) -> Decoded:
        last = self._last
        assert last is not None and self._lastArrival is not None
        # If a packet has several blocks of samples, only the first has a time.
        time = self._end if frame.pts is None else frame.pts
        if last.kind is FrameKind.AUDIO and frame.sample_rate:
            self._end = time + frame.samples * 1000 // frame.sample_rate
        # PyAV does not set it for what was held back.
        frame.time_base = _MILLISECONDS
        self._counts.decoded[last.kind] += 1
        arrived = self._arrivals.pop(time, self._lastArrival)
        return Decoded(last.kind, last.track, frame, time, arrived)

    def _open(self, sample: Sample) -> None:
        """
        Create a decoder for C{sample} and those that follow.
        """
        codec = sample.codec
        name = _DECODERS.get(codec, "")
        if codec in (Codec.PCM, Codec.PCM_LE):
            name = _PCM[bool(self._head & 0x02)]
        called = codec.name.replace("_", " ")
        if not name:
            self._fail(f"there is no decoder for {called}")
            return
        try:
            context: Any = av.CodecContext.create(name, "r")
            if self._config:
                context.extradata = self._config
            if self._head >= 0:
                rate = _RATES[self._head >> 2 & 3]
                context.sample_rate = _FIXED_RATES.get(codec, rate)
                isMono = codec in _MONO or not self._head & 1
                context.layout = "mono" if isMono else "stereo"
            if sample.kind is FrameKind.VIDEO:
                context.thread_count = min(MAX_THREADS, _availableCores())
                # Threads that decode several frames at a time hold each back until the
                # others are done.
                several = not (self._eager or self._keyframesOnly)
                context.thread_type = ThreadType.AUTO if several else ThreadType.SLICE
                if codec is Codec.AV1 and not several:
                    # dav1d goes by this flag. To other decoders it means that there are
                    # no B-frames.
                    context.flags |= Flags.low_delay
            context.open()
        except (av.error.FFmpegError, ValueError) as error:
            said = getattr(error, "strerror", "") or str(error)
            self._fail(f"FFmpeg cannot decode this {called}: {said}")
            return
        self._context = context

    @property
    def pixelShape(self) -> Fraction:
        """
        The pixel aspect ratio, as far as the stream signals it; otherwise 1.
        """
        context = self._context
        return (context is not None and context.sample_aspect_ratio) or Fraction(1)

    def _fail(self, trouble: str) -> None:
        self._isBroken = True
        self._troubles.append(trouble)

    def finish(self) -> list[Decoded]:
        """
        @return: what the decoder has held back. The decoder is then closed.
        """
        if self._context is None:
            return []
        held = self._take(None)
        self._context = None
        self._arrivals.clear()
        return held


class Decoder:
    """
    Decodes one audio and one video track of a stream.

    @ivar counts: its statistics.
    @ivar troubles: what cannot be decoded and why, as sentences; the caller removes
        them.
    """

    def __init__(
        self,
        kinds: Iterable[FrameKind],
        track: int = 0,
        eager: bool = False,
        keyframesOnly: bool = False,
        fps: float = 0.0,
        anywhere: bool = False,
    ) -> None:
        """
        @param kinds: what to decode.
        @param track: the Enhanced RTMP track id.
        @param eager: hold back no frame that could be shown.
        @param keyframesOnly: decode only key frames.
        @param fps: most video frames per second of media; 0 for all.
        @param anywhere: begin with any video frame instead of a key frame only: FFmpeg
            then delivers those that are complete, after a recovery point.
        """
        self.counts = Counts()
        self.troubles: list[str] = []
        self._track = track
        self._keyframesOnly = keyframesOnly
        self._fps = fps
        self._due: float | None = None
        self._last = 0
        self._tracks = {
            kind: _Track(self.counts, eager, keyframesOnly, self.troubles, anywhere)
            for kind in kinds
        }

    def wants(self, frame: Frame) -> bool:
        """
        @return: whether the decoder uses the frame. May be called in any thread.
        """
        return frame.kind in self._tracks and (
            frame.isHeader
            or frame.isKey
            or frame.kind is FrameKind.AUDIO
            or not self._keyframesOnly
        )

    def decode(self, frame: Frame, arrived: datetime) -> list[Decoded]:
        """
        Decode the next frame.

        @param arrived: when it arrived.
        @return: what the decoders deliver now, in presentation order for each kind.
        """
        decoded: list[Decoded] = []
        if self.wants(frame):
            for sample in samplesOf(frame):
                if sample.track == self._track:
                    decoded += self._tracks[frame.kind].receive(sample, arrived)
        return self._thin(decoded)

    def finish(self) -> list[Decoded]:
        """
        @return: what the decoders have held back. The decoders are then closed.
        """
        decoded = [one for track in self._tracks.values() for one in track.finish()]
        return self._thin(decoded)

    @property
    def pixelShape(self) -> Fraction:
        """
        The pixel aspect ratio of the last video frame; 1 if not signaled.
        """
        return self._tracks[FrameKind.VIDEO].pixelShape

    def _thin(self, decoded: list[Decoded]) -> list[Decoded]:
        if not self._fps:
            return decoded
        kept = [
            one
            for one in decoded
            if one.kind is not FrameKind.VIDEO or self._isDue(one.milliseconds)
        ]
        self.counts.thinned += len(decoded) - len(kept)
        return kept

    def _isDue(self, time: int) -> bool:
        """
        @return: whether to keep a video frame with this time.
        """
        period = 1000 / self._fps
        # If the time steps back, it is from another clock.
        isAnother = self._due is None or time < self._last
        self._last = time
        if self._due is None or isAnother or time - self._due >= period:
            self._due = time
        # Timestamps are whole ms: 33, 67, 100 at 30 frames a second.
        elif time < self._due - 1:
            return False
        self._due += period
        return True
