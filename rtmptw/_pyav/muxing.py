"""
Writes frames into any container of FFmpeg's, without transcoding.

Nothing here knows Twisted; everything here blocks, and runs in a lane or in a process
of its own.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO
from typing import Any, Protocol

import av
import av.error

from rtmptw._pyav.samples import Sample, samplesOf
from rtmptw.errors import ProtocolError, SinkError
from rtmptw.flv import file as flvfile
from rtmptw.frames import Codec, Frame, FrameKind, Role
from rtmptw.keyframes import LeadingTrack
from rtmptw.rtmp import amf0
from rtmptw.rtmp.amf import AMFObject

#: A track: its kind and its number.
TrackKey = tuple[FrameKind, int]

#: So many ms of media may pass until every track has shown itself. An encoder that
#: announces none in its metadata, or one that never comes, is not waited for longer.
MAX_WAIT = 1000
#: Two seconds of 64 Mbit/s, and as many samples as two tracks have in ten.
MAX_WAITING_BYTES = 16 * 1024 * 1024
MAX_WAITING_SAMPLES = 1024
#: Enhanced RTMP numbers tracks with a byte. Nobody sends more than a few; each costs
#: memory in FFmpeg.
MAX_TRACKS = 16
#: So many ms the muxer waits for another track, to put packets in order.
INTERLEAVE = 100
#: A track whose timestamps step back further has its clock from elsewhere.
MAX_LAG = 10_000

#: Of a picture of which nobody knows the size.
UNKNOWN_SIZE = (16, 16)

_MILLISECONDS = Fraction(1, 1000)

_LEGACY_VIDEO = {
    Codec.H263: 2,
    Codec.SCREEN: 3,
    Codec.VP6: 4,
    Codec.VP6A: 5,
    Codec.SCREEN2: 6,
}


def checkFormat(name: str) -> None:
    """
    @raise SinkError: if FFmpeg has no muxer of this name.
    """
    try:
        known = av.ContainerFormat(name, "w").is_output
    except ValueError:
        known = False
    if not known:
        raise SinkError(f"FFmpeg {av.ffmpeg_version_info} cannot write {name!r}")


def codecName(codec: Codec) -> str:
    """
    @return: what people call it: C{"H264"}, C{"FLAC"}.
    """
    return codec.name.replace("_", " ")


@dataclass(slots=True)
class Head:
    """
    What is known of a track.

    @ivar config: the codec's configuration; C{None} if there was none.
    @ivar first: a coded sample from which decoding can start; C{None} before it came.
    """

    codec: Codec
    config: Sample | None = None
    first: Sample | None = None

    def differs(self, config: Sample) -> bool:
        """
        @return: whether this is another configuration than the one there is.
        """
        return (
            self.codec is not config.codec
            or self.config is None
            or self.config.data != config.data
        )


class Opening:
    """
    The beginning of a container, until its tracks are known.

    @ivar heads: the tracks that have been heard of.
    @ivar samples: what is coded, in order; it waits to be written.
    """

    def __init__(self) -> None:
        self.heads: dict[TrackKey, Head] = {}
        self.samples: list[Sample] = []
        self._seen: set[TrackKey] = set()
        self._bytes = 0
        self._announced: set[FrameKind] = set()

    def announce(self, payload: bytes) -> None:
        """
        Read in an onMetaData message which tracks are to come.
        """
        try:
            values = amf0.decodeAll(payload, lenient=True)
        except ProtocolError:
            return
        for value in values:
            if isinstance(value, AMFObject):
                names = {name for name, _ in value.properties}
                if "videocodecid" in names:
                    self._announced.add(FrameKind.VIDEO)
                if "audiocodecid" in names:
                    self._announced.add(FrameKind.AUDIO)

    def again(self) -> None:
        """
        Begin anew: every track has to show itself again.
        """
        self.samples = []
        self._seen = set()
        self._bytes = 0
        # Whoever has not come by now is not waited for each time.
        self._announced &= {kind for kind, _ in self.heads}

    def configure(self, sample: Sample) -> None:
        """
        Take a track's configuration; a new one makes its track begin anew.
        """
        key = sample.kind, sample.track
        head = self.heads.get(key)
        if head is None and len(self.heads) == MAX_TRACKS:
            return
        if head is None or head.differs(sample):
            self.heads[key] = Head(sample.codec, sample)
            self._seen.discard(key)

    def add(self, sample: Sample) -> None:
        """
        Take a coded sample. One of a track too many is dropped.
        """
        key = sample.kind, sample.track
        head = self.heads.get(key)
        if head is None and len(self.heads) == MAX_TRACKS:
            return
        if head is None or head.codec is not sample.codec:
            head = self.heads[key] = Head(sample.codec)
            self._seen.discard(key)
        if sample.isKey:
            if head.first is None:
                head.first = sample
            self._seen.add(key)
        self.samples.append(sample)
        self._bytes += len(sample.data)
        if not self._seen:
            # No key frame comes: nothing of this could be decoded.
            while self._isFull:
                self._bytes -= len(self.samples.pop(0).data)

    @property
    def _isFull(self) -> bool:
        return (
            self._bytes > MAX_WAITING_BYTES or len(self.samples) > MAX_WAITING_SAMPLES
        )

    @property
    def ready(self) -> bool:
        """
        Whether there is no need, or no more time, to wait.
        """
        if not self._seen:
            return False
        kinds = {kind for kind, _ in self._seen}
        # Without an announcement, only both kinds are sure to be all.
        enough = self._announced <= kinds and (self._announced or len(kinds) == 2)
        if enough and self._seen == self.heads.keys():
            return True
        waited = self.samples[-1].timestamp - self.samples[0].timestamp
        return waited >= MAX_WAIT or self._isFull

    def tracks(self) -> dict[TrackKey, Head]:
        """
        @return: those that have shown themselves, video first.
        """
        return {key: self.heads[key] for key in sorted(self._seen, key=_rank)}


def _rank(key: TrackKey) -> tuple[bool, int]:
    return key[0] is not FrameKind.VIDEO, key[1]


class Template:
    """
    A track as FFmpeg describes it: its FLV demuxer has seen the configuration and the
    first coded frame. Asking the demuxer brings the configuration in the form that
    FFmpeg's muxers want, and the size of the picture.
    """

    def __init__(self, kind: FrameKind, head: Head) -> None:
        """
        @raise SinkError: if FFmpeg makes nothing of it.
        """
        assert head.first is not None
        flv = flvfile.fileHeader(kind is FrameKind.AUDIO, kind is FrameKind.VIDEO)
        if head.config is not None:
            flv += flvfile.tag(kind, 0, _body(head.config))
        flv += flvfile.tag(kind, 0, _body(head.first))
        self._container: Any = None
        try:
            self._container = av.open(BytesIO(flv), "r", format="flv")
            self.stream: Any = self._container.streams[0]
        except (av.error.FFmpegError, IndexError, ValueError):
            self.close()
            raise SinkError(
                f"FFmpeg {av.ffmpeg_version_info} does not understand the "
                f"{codecName(head.codec)} of this stream"
            ) from None
        context = self.stream.codec_context
        if context is None:
            self.close()
            raise SinkError(
                f"FFmpeg {av.ffmpeg_version_info} does not know {codecName(head.codec)}"
            )

    def close(self) -> None:
        """
        Free what FFmpeg holds.
        """
        if self._container is not None:
            self._container.close()
            self._container = None


def _body(sample: Sample) -> bytes:
    """
    @return: an FLV body for the default track, in the form that the oldest FFmpeg
        understands.
    """
    kind, codec, data = sample.kind, sample.codec, sample.data
    fourCC: bytes = codec.value.encode()
    packet = 0 if sample.isConfig else 1
    if kind is FrameKind.VIDEO:
        if codec is Codec.H264:
            return bytes([0x17, packet, 0, 0, 0]) + data
        if codec in _LEGACY_VIDEO:
            return bytes([0x10 | _LEGACY_VIDEO[codec]]) + data
        # 3 is coded frames without a composition time.
        return bytes([0x90 | 3 * packet]) + fourCC + data
    if codec is Codec.AAC:
        return bytes([0xAF, packet]) + data
    if sample.legacyHead >= 0:
        return bytes([sample.legacyHead]) + data
    return bytes([0x90 | packet]) + fourCC + data


class Output(Protocol):
    """
    What a muxer can write to, beside a URL: a file object of ours.
    """

    def write(self, data: bytes) -> int:
        """
        Take all of it.
        """


@dataclass(slots=True)
class Counts:
    """
    What a muxer did.

    @ivar packets: how many were written.
    @ivar bytes: of their payloads.
    @ivar repaired: how many had a timestamp that no container takes, and got the next
        best.
    @ivar refused: how many FFmpeg could make nothing of.
    @ivar milliseconds: from the first to the end of the last.
    """

    packets: int = 0
    bytes: int = 0
    repaired: int = 0
    refused: int = 0
    milliseconds: int = 0


@dataclass(slots=True)
class _Track:
    """
    @ivar last: the last decoding time, in ms.
    @ivar step: the time before it.
    """

    stream: Any
    last: int | None = None
    step: int = 0


class Muxer:
    """
    One container that is being written.

    @ivar counts: what was written.
    """

    def __init__(
        self,
        target: str | Output,
        container: str,
        options: Mapping[str, str],
        templates: Mapping[TrackKey, Template],
        base: int,
    ) -> None:
        """
        Begin: write the container's head, connect to a URL.

        @param container: FFmpeg's name of the format.
        @param options: of the muxer.
        @param base: the timestamp that becomes 0, in ms.

        @raise SinkError: if FFmpeg does not take the tracks.

        @raise OSError: if the target cannot be written.
        """
        self.counts = Counts()
        self._base = base
        self._tracks: dict[TrackKey, _Track] = {}
        everywhere = {
            "max_interleave_delta": str(INTERLEAVE * 1000),
            "flush_packets": "1",
        }
        self._container: Any = av.open(
            target, "w", format=container, options={**everywhere, **options}
        )
        try:
            for key, template in templates.items():
                stream = self._container.add_stream_from_template(
                    template.stream, opaque=True
                )
                self._tracks[key] = _Track(stream)
                context = stream.codec_context
                if key[0] is FrameKind.VIDEO and not (context.width and context.height):
                    # No picture could be decoded. Some size has to be said; players
                    # go by what the codec says.
                    context.width, context.height = UNKNOWN_SIZE
            self._container.start_encoding()
        except (av.error.FFmpegError, ValueError) as error:
            self.abandon()
            if isinstance(error, OSError):
                raise
            # Not the whole error: it has the URL, and that may have a password.
            said = getattr(error, "strerror", "") or str(error)
            raise SinkError(
                f"FFmpeg's {container} refuses the stream: {said}"
            ) from None

    def write(self, sample: Sample) -> None:
        """
        Write a coded sample of one of the tracks.

        @raise OSError: if the target cannot be written.
        """
        track = self._tracks[sample.kind, sample.track]
        counts = self.counts
        wanted = max(0, sample.timestamp - self._base)
        dts = wanted
        if track.last is not None:
            # Containers want each packet of a track to be later than the one before.
            dts = max(wanted, track.last + 1)
            track.step = dts - track.last
        pts = max(wanted + sample.compositionTime, dts)
        if dts != wanted or pts != dts + sample.compositionTime:
            counts.repaired += 1
        track.last = dts
        packet: Any = av.Packet(sample.data)
        packet.stream = track.stream
        packet.time_base = _MILLISECONDS
        packet.dts, packet.pts = dts, pts
        # The best guess; it matters for the last packet of a fragment.
        packet.duration = track.step
        packet.is_keyframe = sample.isKey
        try:
            self._container.mux(packet)
        except (av.error.FFmpegError, ValueError) as error:
            # A frame that is no frame must not end it all. The second is what the MP4
            # muxer says to AAC with ADTS headers: a bare -1.
            if not isinstance(error, ValueError | PermissionError):
                raise
            counts.refused += 1
            return
        counts.packets += 1
        counts.bytes += len(sample.data)
        counts.milliseconds = max(counts.milliseconds, dts + track.step)

    def close(self) -> None:
        """
        Write the container's end.

        @raise OSError: if the target cannot be written.
        """
        self._container.close()

    def abandon(self) -> None:
        """
        Free what FFmpeg holds of something that went wrong.
        """
        # What goes wrong has been told of already.
        with suppress(av.error.FFmpegError, OSError, ValueError):
            self._container.close()


class Begin(Protocol):
    """
    Makes the muxer of the next container.
    """

    def __call__(
        self, templates: Mapping[TrackKey, Template], codecs: set[Codec], base: int
    ) -> Muxer:
        """
        @param base: the timestamp that becomes 0.

        @raise SinkError: if the container cannot hold these.

        @raise OSError: if it cannot be written.
        """


class Remuxer:
    """
    Turns a stream into one container after another: a new one begins where the
    tracks change, and where it is asked for.
    """

    def __init__(
        self,
        begin: Begin,
        end: Callable[[Muxer, str], None],
        isFull: Callable[[int, int], bool] = lambda milliseconds, size: False,
    ) -> None:
        """
        @param begin: called for each container.
        @param end: called with a muxer that is done, and how the tracks change; empty
            if they do not.
        @param isFull: called with the ms and bytes that the container has, where the
            next one can begin: whether it is to.
        """
        self._begin = begin
        self._end = end
        self._isFull = isFull
        self._opening = Opening()
        self._configs: dict[TrackKey, Sample] = {}
        self._templates: dict[TrackKey, tuple[Head, Template]] = {}
        self._tracks: dict[TrackKey, Head] = {}
        self._muxer: Muxer | None = None
        self._turning = False
        self._leading = LeadingTrack()
        self._started = 0
        self._highest: int | None = None
        self._lag = 0

    def write(self, frame: Frame) -> None:
        """
        Take the next frame.

        @raise SinkError: if the container cannot hold the stream.

        @raise OSError: if the target cannot be written.
        """
        if frame.name == "onMetaData" and frame.isHeader:
            self._opening.announce(frame.payload)
        samples = samplesOf(frame)
        if samples or frame.role is Role.END:
            self._leading.follow(frame)
        begins = self._leading.begins(frame)
        for sample in samples:
            if sample.isConfig:
                self._configure(sample)
            else:
                self._clock(sample)
                if self._muxer is not None:
                    self._turnIfDue(sample, begins)
                if self._muxer is not None:
                    self._muxer.write(sample)
                else:
                    self._wait(sample)

    def finish(self) -> None:
        """
        The stream is over: write what waits, and the end.

        @raise SinkError: as L{write}.

        @raise OSError: as L{write}.
        """
        try:
            if self._muxer is None and self._opening.tracks():
                self._open()
            self._endPart("")
        finally:
            self.close()

    def close(self) -> None:
        """
        Free what FFmpeg holds.
        """
        for _, template in self._templates.values():
            template.close()
        self._templates = {}
        if self._muxer is not None:
            muxer, self._muxer = self._muxer, None
            muxer.abandon()

    def _configure(self, sample: Sample) -> None:
        key = sample.kind, sample.track
        if self._muxer is None:
            self._opening.configure(sample)
        elif key not in self._tracks or self._tracks[key].differs(sample):
            # Not before there is something that it is for: FFmpeg's own FLV muxer
            # ends FLAC with a configuration that has the checksum of it all.
            if key in self._configs or len(self._configs) < MAX_TRACKS:
                self._configs[key] = sample
        else:
            self._configs.pop(key, None)

    def _clock(self, sample: Sample) -> None:
        """
        Learn how far the tracks lie apart.
        """
        if self._highest is None or sample.timestamp > self._highest:
            self._highest = sample.timestamp
        else:
            behind = self._highest - sample.timestamp
            self._lag = max(self._lag, min(behind, MAX_LAG))

    def _turnIfDue(self, sample: Sample, begins: bool) -> None:
        """
        End the container if it cannot take the sample, or is full.

        @param begins: whether the next one can begin with it.
        """
        assert self._muxer is not None
        key = sample.kind, sample.track
        track = self._tracks.get(key)
        if track is None:
            if key in self._opening.heads or len(self._opening.heads) < MAX_TRACKS:
                self._endPart(f"{codecName(sample.codec)} comes in")
        elif key in self._configs or track.codec is not sample.codec:
            self._endPart(f"the {codecName(sample.codec)} changes")
        elif begins:
            milliseconds = sample.timestamp - self._started
            if self._isFull(milliseconds, self._muxer.counts.bytes):
                self._endPart("")

    def _wait(self, sample: Sample) -> None:
        self._opening.add(sample)
        if self._opening.ready:
            self._open()

    def _open(self) -> None:
        """
        Begin a container with what waits.
        """
        self._tracks = self._opening.tracks()
        templates: dict[TrackKey, Template] = {}
        for key, head in self._tracks.items():
            known = self._templates.get(key)
            if known is None or known[0] is not head:
                if known is not None:
                    known[1].close()
                known = self._templates[key] = head, Template(key[0], head)
            templates[key] = known[1]
        samples = [
            sample
            for sample in self._opening.samples
            if (sample.kind, sample.track) in self._tracks
        ]
        base = min(sample.timestamp for sample in samples)
        if self._turning:
            # What comes may be as late as what came.
            base = min(base, samples[0].timestamp - self._lag)
        self._started = samples[0].timestamp
        self._muxer = self._begin(
            templates, {head.codec for head in self._tracks.values()}, base
        )
        self._turning = True
        self._opening.again()
        for sample in samples:
            self._muxer.write(sample)

    def _endPart(self, why: str) -> None:
        if self._muxer is not None:
            muxer, self._muxer = self._muxer, None
            self._end(muxer, why)
            for config in self._configs.values():
                self._opening.configure(config)
            self._configs = {}


@dataclass(frozen=True, slots=True)
class ContainerKind:
    """
    A container for recordings.

    @ivar name: on the command line, and the suffix of its files.
    @ivar format: FFmpeg's name.
    @ivar codecs: what it can hold.
    """

    name: str
    format: str
    codecs: frozenset[Codec]

    def options(self, fragment: int) -> dict[str, str]:
        """
        @param fragment: the ms of media after which what is written can be played
            without what follows.
        @return: options of the muxer.
        """
        if self.name == "mp4":
            return {
                "movflags": "empty_moov+default_base_moof+delay_moov",
                "frag_duration": str(fragment * 1000),
            }
        if self.name == "mkv":
            return {"cluster_time_limit": str(fragment)}
        if self.name == "ts":
            # One frame in each PES packet: each has its own time, and none waits.
            return {"pes_payload_size": "0"}
        return {}

    def check(self, codecs: set[Codec]) -> None:
        """
        @raise SinkError: naming a codec that this container cannot hold.
        """
        for codec in sorted(codecs - self.codecs, key=lambda codec: codec.name):
            others = [kind.name for kind in CONTAINERS.values() if codec in kind.codecs]
            instead = (
                f"format={' or format='.join(others)} can"
                if others
                else "the file sink can record it as it came"
            )
            raise SinkError(f"{self.name} cannot hold {codecName(codec)}; {instead}")


_EVERYWHERE = {Codec.H264, Codec.HEVC, Codec.AAC, Codec.MP3, Codec.AC3, Codec.EAC3}
_MP4 = _EVERYWHERE | {Codec.VVC, Codec.AV1, Codec.VP9, Codec.OPUS, Codec.FLAC}

#: What can be recorded into. What a container holds is what its specification
#: says: FFmpeg's MPEG-TS muxer would write more than anybody reads.
CONTAINERS = {
    kind.name: kind
    for kind in (
        ContainerKind("mp4", "mp4", frozenset(_MP4)),
        ContainerKind(
            "mkv",
            "matroska",
            frozenset(_MP4 | {Codec.VP8, Codec.G711A, Codec.G711U, Codec.PCM_LE}),
        ),
        ContainerKind("ts", "mpegts", frozenset(_EVERYWHERE | {Codec.OPUS})),
        ContainerKind(
            "flv",
            "flv",
            frozenset(
                _EVERYWHERE
                | {Codec.AV1, Codec.VP9, Codec.OPUS, Codec.FLAC, Codec.H263}
                | {Codec.G711A, Codec.G711U, Codec.SPEEX}
            ),
        ),
    )
}
