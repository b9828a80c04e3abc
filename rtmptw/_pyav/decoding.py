"""
Decodes frames: coded audio and video in, pictures and samples out.

Nothing here knows Twisted; everything here blocks, and runs in a lane. FFmpeg decodes
with the GIL released.
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

#: Threads of one video decoder, if there are so many cores. FFmpeg would take one for
#: each core, for each stream; more than there are cost a sixth more.
MAX_THREADS = 4
#: Pictures that a decoder may hold back to put them in order: 16 by H.264 and HEVC, and
#: one for each thread; twice that for packets of which nothing comes out.
MAX_HELD_BACK = 40

_MILLISECONDS = Fraction(1, 1000)

#: FFmpeg's decoders. MP3 has two, of which FFmpeg itself takes the one with floats.
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
#: By whether a sample has 16 bits.
_PCM = {False: "pcm_u8", True: "pcm_s16le"}
#: What is what the head of a legacy body says, or what is fixed by the codec's number.
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
    @return: how many cores this process may use, where the system says so; else how
        many there are.
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(slots=True)
class Decoded:
    """
    A picture, or some samples.

    @ivar kind: audio or video.
    @ivar track: the Enhanced RTMP track id.
    @ivar frame: PyAV's own frame.
    @ivar milliseconds: when to show or play it, on the stream's clock.
    @ivar arrived: when what it was decoded from came, by the wall clock.
    """

    kind: FrameKind
    track: int
    frame: Any
    milliseconds: int
    arrived: datetime


@dataclass(slots=True)
class Counts:
    """
    What a decoder did.

    @ivar coded: how many coded frames there were for it.
    @ivar decoded: how many pictures and blocks of samples came out.
    @ivar refused: how many coded frames FFmpeg could make nothing of.
    @ivar early: how many coded pictures came before the first key frame.
    @ivar thinned: how many pictures were left out, to keep to so many a second.
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
    The decoder of one track. A new configuration is a new decoder: the old one gives
    what it has held back first.
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
        @return: what comes out now: it need not be of this sample.
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
            # Its references are not there.
            self._counts.early += 1
            return []
        if self._context is None and not self._isBroken:
            self._open(sample)
        if self._isBroken:
            self._counts.refused += 1
            return []
        # Not av.Packet(data): FFmpeg's threads would give the bytes back to Python, and
        # wait for the GIL that whoever frees the decoder has; and FFmpeg reads a few
        # bytes further than the end.
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
            # What follows will not push it out.
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
        # Of several blocks of samples in one packet only the first has a time.
        time = self._end if frame.pts is None else frame.pts
        if last.kind is FrameKind.AUDIO and frame.sample_rate:
            self._end = time + frame.samples * 1000 // frame.sample_rate
        # PyAV leaves it open for what was held back.
        frame.time_base = _MILLISECONDS
        self._counts.decoded[last.kind] += 1
        arrived = self._arrivals.pop(time, self._lastArrival)
        return Decoded(last.kind, last.track, frame, time, arrived)

    def _open(self, sample: Sample) -> None:
        """
        Make a decoder for C{sample} and those that follow.
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
                # Threads that decode several pictures at a time hold each back until
                # the others are done.
                several = not (self._eager or self._keyframesOnly)
                context.thread_type = ThreadType.AUTO if several else ThreadType.SLICE
                if codec is Codec.AV1 and not several:
                    # What dav1d goes by. To others it says that there are no B-frames.
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
        The width of a pixel by its height, as far as the stream says so; else 1.
        """
        context = self._context
        return (context is not None and context.sample_aspect_ratio) or Fraction(1)

    def _fail(self, trouble: str) -> None:
        self._isBroken = True
        self._troubles.append(trouble)

    def finish(self) -> list[Decoded]:
        """
        @return: what the decoder has held back; it is gone then.
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

    @ivar counts: what it did.
    @ivar troubles: what cannot be decoded and why, as sentences; take them out.
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
        @param track: which track, by its Enhanced RTMP track id.
        @param eager: hold back no picture that could be shown.
        @param keyframesOnly: decode no other pictures.
        @param fps: so many pictures a second of media at most; 0 for all.
        @param anywhere: begin with any picture, and not with a key frame only: FFmpeg
            then gives those that are whole, after a recovery point.
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
        @return: whether the frame is of any use here. May be asked in any thread.
        """
        return frame.kind in self._tracks and (
            frame.isHeader
            or frame.isKey
            or frame.kind is FrameKind.AUDIO
            or not self._keyframesOnly
        )

    def decode(self, frame: Frame, arrived: datetime) -> list[Decoded]:
        """
        Take the next frame.

        @param arrived: when it came.
        @return: what comes out now, in the order of presentation within each kind.
        """
        decoded: list[Decoded] = []
        if self.wants(frame):
            for sample in samplesOf(frame):
                if sample.track == self._track:
                    decoded += self._tracks[frame.kind].receive(sample, arrived)
        return self._thin(decoded)

    def finish(self) -> list[Decoded]:
        """
        @return: what the decoders have held back; they are gone then.
        """
        decoded = [one for track in self._tracks.values() for one in track.finish()]
        return self._thin(decoded)

    @property
    def pixelShape(self) -> Fraction:
        """
        The width of a pixel of the last picture by its height; 1 if nobody says so.
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
        @return: whether a picture of this time is one of so many a second.
        """
        period = 1000 / self._fps
        # Where the clock steps back, it is another clock.
        isAnother = self._due is None or time < self._last
        self._last = time
        if self._due is None or isAnother or time - self._due >= period:
            self._due = time
        # Timestamps are whole ms: 33, 67, 100 at 30 a second.
        elif time < self._due - 1:
            return False
        self._due += period
        return True
