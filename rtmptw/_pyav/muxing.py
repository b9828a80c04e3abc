"""
Writes samples into any of FFmpeg's containers, without transcoding.

Nothing here uses Twisted; all calls block, and run in a lane or in a separate process.
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

#: Most ms that the muxer waits for another track, to interleave packets.
INTERLEAVE = 100

#: The size written for video of unknown size.
UNKNOWN_SIZE = (16, 16)

_MILLISECONDS = Fraction(1, 1000)

#: Formats that readers can enter anywhere.
_STREAMS = frozenset({"mpegts", "hls", "rtp_mpegts"})

#: PyAV cannot write these to Matroska; they are converted to PCM without loss.
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
    A track as FFmpeg describes it, after its FLV demuxer has read the configuration and
    the first coded frame. The demuxer provides the configuration in the form that
    FFmpeg's muxers need, and the video's size.
    """

    def __init__(self, key: TrackKey, head: Head, isLinear: bool = False) -> None:
        """
        @param isLinear: whether it is G.711 to be converted to PCM.

        @raise TrackError: if FFmpeg cannot parse it.
        """
        kind = key[0]
        assert head.first is not None
        if head.codec is Codec.VP8:
            # FFmpeg does not support VP8 in FLV.
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
                f"FFmpeg {av.ffmpeg_version_info} cannot parse it",
            ) from None
        context = self.stream.codec_context
        if context is None:
            self.close()
            raise TrackError(
                key, head.codec, f"FFmpeg {av.ffmpeg_version_info} does not know it"
            )

    def close(self) -> None:
        """
        Free FFmpeg's resources.
        """
        if self._container is not None:
            self._container.close()
            self._container = None


def _wav(isStereo: int) -> bytes:
    """
    @return: the header of a WAV file for the PCM that G.711 is converted to.
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
    @param key: a VP8 key frame, which has its size at a fixed offset (RFC 6386, 9.1).
    @return: an IVF file with this frame only.
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
    What a muxer can write to instead of a URL: a file object of ours.
    """

    def write(self, data: bytes) -> int:
        """
        Write all of the data.
        """

    def flush(self) -> None:
        """
        Flush the buffer.

        @raise OSError: if that fails.
        """


@dataclass(slots=True)
class _Track:
    """
    @ivar last: the last decoding time, in ms.
    @ivar step: the difference from the one before, in ms.
    @ivar sets: H.264 parameter sets to repeat; empty if there are none.
    @ivar lengthSize: size of the length field of its NAL units, in bytes.
    """

    stream: Any
    last: int | None = None
    step: int = 0
    sets: bytes = b""
    lengthSize: int = 4

    def repeat(self, config: Sample) -> None:
        """
        Insert parameter sets before every video frame from which decoding can start.
        FFmpeg inserts them only before IDR pictures.
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

    @ivar counts: statistics of what was written.
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
        Begin: write the container's header, or connect to a URL.

        @param container: FFmpeg's name of the format.
        @param options: options of the muxer.
        @param heads: the tracks, in order.
        @param base: the timestamp that becomes 0, in ms.

        @raise TrackError: if FFmpeg rejects one of the tracks.

        @raise SinkError: if FFmpeg rejects the tracks together.

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
                    # The size could not be determined. A size is required; players use
                    # the one in the bitstream.
                    context.width, context.height = UNKNOWN_SIZE
            self._container.start_encoding()
        except (av.error.FFmpegError, ValueError, OSError, SinkError) as error:
            self.abandon()
            if isinstance(error, OSError | SinkError):
                raise
            # Not the whole error: it contains the URL, which may have a password.
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
        @return: false: FFmpeg's muxers must know all tracks at the beginning.
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
            # Containers require increasing decoding times within a track.
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
            # An invalid frame must not end the recording. PermissionError is what the
            # MP4 muxer raises for AAC with ADTS headers: it returns a bare -1.
            if not isinstance(error, ValueError | PermissionError):
                raise
            counts.refused += 1
            return
        counts.packets += 1
        counts.bytes += len(sample.data)
        counts.milliseconds = max(counts.milliseconds, dts + track.step)

    def flush(self) -> None:
        """
        Flush the target, if it is a file object of ours.

        @raise OSError: if it cannot be written.
        """
        if not isinstance(self._target, str):
            self._target.flush()

    def finish(self) -> None:
        """
        Write the container's trailer.

        @raise OSError: if the target cannot be written.
        """
        self._container.close()
        self._free()
        self.flush()

    def abandon(self) -> None:
        """
        Free FFmpeg's resources after an error.
        """
        # The first error was reported already.
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
    A file that discards what is written.
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
    @return: whether FFmpeg accepts this track alone. (Formats that open files or
        sockets themselves are assumed to behave like MPEG-TS.)
    """
    opensItself: Any = Flags.no_file
    if av.ContainerFormat(container, "w").flags & opensItself.value:
        container, options = "mpegts", {}
    try:
        Muxer(_Nowhere(), container, options, {key: head}, 0).abandon()
    except SinkError:
        return False
    return True
