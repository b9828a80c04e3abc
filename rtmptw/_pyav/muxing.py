"""
Writes samples into any container of FFmpeg's, without transcoding.

Nothing here knows Twisted; everything here blocks, and runs in a lane or in a process
of its own.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO
from typing import Any, Protocol

import av
import av.error
from av.format import Flags

from rtmptw.codecs import g711, h264
from rtmptw.errors import RemoteProtocolError, SinkError
from rtmptw.flv import file as flvfile
from rtmptw.frames import Codec, FrameKind
from rtmptw.remux.container import Counts
from rtmptw.remux.heads import Head, TrackError, TrackKey
from rtmptw.samples import Sample

#: So many ms the muxer waits for another track, to put packets in order.
INTERLEAVE = 100

#: Of a picture of which nobody knows the size.
UNKNOWN_SIZE = (16, 16)

_MILLISECONDS = Fraction(1, 1000)

#: Formats in which readers begin anywhere.
_STREAMS = frozenset({"mpegts", "hls", "rtp_mpegts"})

#: What PyAV lets nobody write into Matroska: as PCM it loses nothing.
_LAWS = frozenset({Codec.G711A, Codec.G711U})

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


class Template:
    """
    A track as FFmpeg describes it: its FLV demuxer has seen the configuration and the
    first coded frame. Asking the demuxer brings the configuration in the form that
    FFmpeg's muxers want, and the size of the picture.
    """

    def __init__(self, key: TrackKey, head: Head, isLinear: bool = False) -> None:
        """
        @param isLinear: whether it is G.711 that is to become PCM.

        @raise TrackError: if FFmpeg makes nothing of it.
        """
        kind = key[0]
        assert head.first is not None
        if head.codec is Codec.VP8:
            # FFmpeg knows no FLV of it.
            name, source = "ivf", _ivf(head.first.data)
        elif isLinear:
            name, source = "wav", _wav(head.first.legacyHead & 1)
        else:
            name = "flv"
            source = flvfile.fileHeader(
                kind is FrameKind.AUDIO, kind is FrameKind.VIDEO
            )
            if head.config is not None:
                source += flvfile.tag(kind, 0, _body(head.config))
            source += flvfile.tag(kind, 0, _body(head.first))
        self._container: Any = None
        try:
            self._container = av.open(BytesIO(source), "r", format=name)
            self.stream: Any = self._container.streams[0]
        except (av.error.FFmpegError, IndexError, ValueError):
            self.close()
            raise TrackError(
                key,
                head.codec,
                f"FFmpeg {av.ffmpeg_version_info} does not understand it",
            ) from None
        context = self.stream.codec_context
        if context is None:
            self.close()
            raise TrackError(
                key, head.codec, f"FFmpeg {av.ffmpeg_version_info} does not know it"
            )

    def close(self) -> None:
        """
        Free what FFmpeg holds.
        """
        if self._container is not None:
            self._container.close()
            self._container = None


def _wav(isStereo: int) -> bytes:
    """
    @return: the head of a WAV file of what G.711 becomes.
    """
    channels = 1 + isStereo
    frame = 2 * channels
    return (
        b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\1\0"
        + channels.to_bytes(2, "little")
        + g711.RATE.to_bytes(4, "little")
        + (g711.RATE * frame).to_bytes(4, "little")
        + frame.to_bytes(2, "little")
        + b"\x10\0data\xff\xff\xff\xff"
        + bytes(frame)
    )


def _ivf(key: bytes) -> bytes:
    """
    @param key: a key frame of VP8, which has its size at a fixed place (RFC 6386, 9.1).
    @return: an IVF file of it alone.
    """
    size = key[6:10] if len(key) >= 10 else bytes(4)
    head = b"DKIF\0\0\x20\0VP80" + size + b"\xe8\3\0\0\1\0\0\0" + bytes(8)
    return head + len(key).to_bytes(4, "little") + bytes(8) + key


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

    def flush(self) -> None:
        """
        Write what is kept.

        @raise OSError: if that cannot be done.
        """


@dataclass(slots=True)
class _Track:
    """
    @ivar last: the last decoding time, in ms.
    @ivar step: the time before it.
    @ivar sets: parameter sets of H.264 that are to be repeated; empty if none are.
    @ivar lengthSize: of its NAL units.
    """

    stream: Any
    last: int | None = None
    step: int = 0
    sets: bytes = b""
    lengthSize: int = 4

    def repeat(self, config: Sample) -> None:
        """
        Let parameter sets stand before every picture with which decoding can start.
        FFmpeg puts them before IDR pictures only.
        """
        try:
            parsed = h264.parseConfig(config.data)
        except RemoteProtocolError:
            return
        self.sets = h264.setsBefore(parsed)
        self.lengthSize = parsed.lengthSize


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
        heads: Mapping[TrackKey, Head],
        base: int,
    ) -> None:
        """
        Begin: write the container's head, connect to a URL.

        @param container: FFmpeg's name of the format.
        @param options: of the muxer.
        @param heads: the tracks, in order.
        @param base: the timestamp that becomes 0, in ms.

        @raise TrackError: if FFmpeg does not take one of the tracks.

        @raise SinkError: if it does not take them together.

        @raise OSError: if the target cannot be written.
        """
        self.counts = Counts()
        self._base = base
        self._tracks: dict[TrackKey, _Track] = {}
        everywhere = {
            "max_interleave_delta": str(INTERLEAVE * 1000),
            "flush_packets": "1",
        }
        self._target = target
        self._isMatroska = container == "matroska"
        self._templates: list[Template] = []
        self._container: Any = None
        try:
            for key, head in heads.items():
                head.complete()
                isLinear = self._isMatroska and head.codec in _LAWS
                self._templates.append(Template(key, head, isLinear))
            self._container = av.open(
                target, "w", format=container, options={**everywhere, **options}
            )
            for key, template in zip(heads, self._templates, strict=True):
                stream = self._container.add_stream_from_template(
                    template.stream, opaque=True
                )
                track = self._tracks[key] = _Track(stream)
                config = heads[key].config
                if (
                    container in _STREAMS
                    and config is not None
                    and config.codec is Codec.H264
                ):
                    track.repeat(config)
                context = stream.codec_context
                if key[0] is FrameKind.VIDEO and not (context.width and context.height):
                    # No picture could be decoded. Some size has to be said; players
                    # go by what the codec says.
                    context.width, context.height = UNKNOWN_SIZE
            self._container.start_encoding()
        except (av.error.FFmpegError, ValueError, OSError, SinkError) as error:
            self.abandon()
            if isinstance(error, OSError | SinkError):
                raise
            # Not the whole error: it has the URL, and that may have a password.
            said = getattr(error, "strerror", "") or str(error)
            why = f"FFmpeg's {container} refuses it: {said}"
            for key, head in heads.items():
                if len(heads) == 1 or not _canHold(container, options, key, head):
                    raise TrackError(key, head.codec, why) from None
            raise SinkError(
                f"FFmpeg's {container} refuses the stream: {said}"
            ) from None

    def takes(self, key: TrackKey, head: Head) -> bool:
        """
        FFmpeg's muxers know their tracks from the beginning on.
        """
        return False

    def write(self, sample: Sample) -> None:
        """
        Write a coded sample of one of the tracks.

        @raise OSError: if the target cannot be written.
        """
        track = self._tracks[sample.kind, sample.track]
        counts = self.counts
        wanted = max(0, sample.timestamp - self._base)
        dts = wanted
        isFirst = track.last is None
        if track.last is not None:
            # Containers want each packet of a track to be later than the one before.
            dts = max(wanted, track.last + 1)
            track.step = dts - track.last
        pts = max(wanted + sample.compositionTime, dts)
        if dts != wanted or pts != dts + sample.compositionTime:
            counts.repaired += 1
        track.last = dts
        data = sample.data
        if track.sets and h264.isEntryWithoutSets(
            data, track.lengthSize, sample.isKey or isFirst
        ):
            data = track.sets + data
        if self._isMatroska and sample.codec in _LAWS:
            data = g711.linear(data, sample.codec is Codec.G711A)
        packet: Any = av.Packet(data)
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

    def flush(self) -> None:
        """
        Let the target write what it keeps, if it is one of ours.

        @raise OSError: if it cannot be written.
        """
        if not isinstance(self._target, str):
            self._target.flush()

    def finish(self) -> None:
        """
        Write the container's end.

        @raise OSError: if the target cannot be written.
        """
        self._container.close()
        self._free()
        self.flush()

    def abandon(self) -> None:
        """
        Free what FFmpeg holds of something that went wrong.
        """
        # What goes wrong has been told of already.
        with suppress(av.error.FFmpegError, OSError, ValueError):
            if self._container is not None:
                self._container.close()
        self._free()

    def _free(self) -> None:
        for template in self._templates:
            template.close()
        self._templates = []


class _Nowhere:
    """
    A file that keeps nothing.
    """

    def write(self, data: bytes) -> int:
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        return offset

    def flush(self) -> None:
        pass


def _canHold(
    container: str, options: Mapping[str, str], key: TrackKey, head: Head
) -> bool:
    """
    @return: whether FFmpeg takes a track alone. (Formats that open files or sockets
        themselves do what MPEG-TS does, as far as that can be known.)
    """
    opensItself: Any = Flags.no_file
    if av.ContainerFormat(container, "w").flags & opensItself.value:
        container, options = "mpegts", {}
    try:
        Muxer(_Nowhere(), container, options, {key: head}, 0).abandon()
    except SinkError:
        return False
    return True
