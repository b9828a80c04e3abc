"""
Makes frames of packets, with FFmpeg's own FLV muxer.

The muxer makes sequence headers from FFmpeg's extradata, removes start codes and ADTS
headers, and writes Enhanced RTMP where it is needed. Each track has its own muxer: a
muxer with two tracks holds packets back to interleave them.

Nothing here uses Twisted; all calls block.
"""

from fractions import Fraction
from typing import Any, cast

import av
import av.error

from rtmptw.errors import SinkError
from rtmptw.flv.body import frameFromMessage
from rtmptw.flv.file import TagReader
from rtmptw.frames import Frame, FrameKind
from rtmptw.rtmp import amf0
from rtmptw.rtmp.amf import AMFObject, ECMAArray, Value

_MILLISECONDS = Fraction(1, 1000)
#: Makes the muxer write each packet at once, and nothing at the end: no end of
#: sequence, as the track may continue with another muxer.
_OPTIONS = {
    "flvflags": "no_duration_filesize+no_sequence_end",
    "flush_packets": "1",
}
#: Properties that the muxer writes for a file and that are wrong for a stream.
_OF_A_FILE = frozenset({"duration", "filesize", "encoder"})

_METADATA = "onMetaData"

_KINDS = {"video": FrameKind.VIDEO, "audio": FrameKind.AUDIO}


def milliseconds(ticks: int, timeBase: Any) -> int:
    """
    @param timeBase: duration of a tick in seconds, with a numerator and a denominator.
    @return: the nearest number of ms; halves are rounded away from 0, as FFmpeg does.
    """
    scaled = 2000 * abs(ticks) * int(timeBase.numerator) + int(timeBase.denominator)
    whole = scaled // (2 * int(timeBase.denominator))
    return whole if ticks >= 0 else -whole


def onTheWire(timestamp: int) -> int:
    """
    @return: the timestamp as RTMP sends it: the low 32 bits.
    """
    return timestamp & 0xFFFFFFFF


class _Written:
    """
    The file that the muxer writes to.
    """

    def __init__(self) -> None:
        self._reader = TagReader()
        self._frames: list[Frame] = []

    def write(self, data: bytes) -> int:
        """
        Parse what the muxer writes.
        """
        for tag in self._reader.receive(bytes(data)):
            self._frames.append(
                frameFromMessage(FrameKind(tag.kind), tag.timestamp, tag.payload)
            )
        return len(data)

    def take(self) -> list[Frame]:
        """
        @return: the frames since the last call.
        """
        frames, self._frames = self._frames, []
        return frames


class TrackMuxer:
    """
    Turns the packets of one track into frames.

    @ivar kind: audio or video.
    @ivar metadata: the properties of the track for an onMetaData message.
    """

    def __init__(self, template: Any) -> None:
        """
        Begin a track whose packets are already encoded.

        @param template: the stream of the packets.

        @raise SinkError: if FLV cannot carry it.
        """
        self._begin()
        context = template.codec_context
        if context is None:
            raise SinkError(
                f"FFmpeg {av.ffmpeg_version_info} does not know the codec of a "
                f"{template.type} track"
            )
        name = context.codec.canonical_name
        try:
            stream = self._container.add_stream_from_template(template, opaque=True)
        except ValueError:
            raise SinkError(_cannot(name)) from None
        self._start(stream, name)

    def _begin(self) -> None:
        self._written = _Written()
        self._container: Any = av.open(
            cast(Any, self._written), "w", format="flv", container_options=_OPTIONS
        )
        self._headers: list[Frame] = []
        self._last: int | None = None
        self.metadata: list[tuple[str, Value]] = []

    def _start(self, stream: Any, name: str) -> None:
        self._stream = stream
        self.kind = _KINDS[stream.type]
        try:
            self._container.start_encoding()
        except (av.error.FFmpegError, ValueError):
            raise SinkError(_cannot(name)) from None
        for frame in self._written.take():
            if frame.name == _METADATA:
                self.metadata = _properties(frame.payload)
            else:
                self._headers.append(frame)

    def mux(self, packet: Any) -> list[Frame]:
        """
        @param packet: the packet, left unchanged.
        @return: the frame, preceded by headers if they are new. Timestamps are the
            packet's, in ms, as RTMP sends them.

        @raise SinkError: if FFmpeg cannot convert the packet.
        """
        if not packet.size:
            # FFmpeg's demuxers end with an empty packet.
            return []
        kept = packet.stream, packet.time_base, packet.dts, packet.pts
        timeBase = packet.time_base or self._stream.time_base
        dts, pts = self._times(packet, timeBase)
        # The payload contains only the difference. The muxer gets nothing else, so that
        # it neither shifts a track's times nor rejects any.
        packet.stream = self._stream
        packet.time_base = _MILLISECONDS
        packet.dts, packet.pts = 0, max(0, pts - dts)
        try:
            self._container.mux(packet)
        except (av.error.FFmpegError, ValueError) as error:
            said = getattr(error, "strerror", "") or str(error)
            raise SinkError(
                f"FFmpeg cannot convert a {self._stream.type} packet to FLV: {said}"
            ) from None
        finally:
            stream, packet.time_base, packet.dts, packet.pts = kept
            if stream is not None:
                packet.stream = stream
        frames, self._headers = self._headers + self._written.take(), []
        for frame in frames:
            frame.timestamp = onTheWire(dts)
        return [frame for frame in frames if frame.kind is self.kind]

    def _times(self, packet: Any, timeBase: Any) -> tuple[int, int]:
        """
        @return: the decoding and presentation times, in ms.
        """
        dts, pts = packet.dts, packet.pts
        if dts is None and pts is None:
            # Raw streams have no times, at best durations.
            if self._last is None:
                self._last = 0
            else:
                self._last += max(1, milliseconds(packet.duration or 0, timeBase))
            return self._last, self._last
        dts = pts if dts is None else dts
        pts = dts if pts is None else pts
        self._last = milliseconds(dts, timeBase)
        return self._last, milliseconds(pts, timeBase)


def _cannot(name: str) -> str:
    return (
        f"RTMP cannot carry {name}, or FFmpeg {av.ffmpeg_version_info} cannot write "
        "it to FLV; use H.264, HEVC, AV1 or VP9 with AAC, Opus, FLAC or MP3"
    )


def _properties(payload: bytes) -> list[tuple[str, Value]]:
    found = [value for value in amf0.decodeAll(payload) if isinstance(value, AMFObject)]
    return [
        (name, value)
        for described in found
        for name, value in described.properties
        if name not in _OF_A_FILE
    ]


def metadataFrame(tracks: list[list[tuple[str, Value]]], encoder: str) -> Frame:
    """
    @param tracks: L{TrackMuxer.metadata} of each track.
    @param encoder: the name given as the encoder.
    @return: an onMetaData message for all tracks.
    """
    properties = [pair for track in tracks for pair in track]
    payload = amf0.encode(_METADATA, ECMAArray([*properties, ("encoder", encoder)]))
    return frameFromMessage(FrameKind.DATA, 0, payload)
