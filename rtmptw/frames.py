"""
The values that all parts of rtmptw share: frames, codecs and stream information.

A L{Frame} is one audio, video or data message of a stream. Its payload is the FLV tag
body exactly as received. L{rtmptw.flv.body} parses the first bytes of the body once;
the result is kept in the frame.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, IntEnum
from typing import Final

from rtmptw._native import mypyc_attr


class FrameKind(IntEnum):
    """
    The kind of a frame. The values are the RTMP message types, which are also the FLV
    tag types (FLV specification E.4.1).
    """

    AUDIO = 8
    VIDEO = 9
    DATA = 18

    # For speed: each frame needs a look-up, and enum's own hash is a Python function.
    __hash__ = int.__hash__


class Role(Enum):
    """
    The role of a frame.
    """

    #: Compressed audio or video.
    CODED = "coded"
    #: A sequence header: AVCDecoderConfigurationRecord, AudioSpecificConfig, ...
    CONFIG = "config"
    #: The end of a sequence: no more coded frames of this track follow.
    END = "end"
    #: Enhanced RTMP video metadata, such as colorInfo.
    METADATA = "metadata"
    #: Enhanced RTMP multichannel audio configuration.
    CHANNELS = "channels"
    #: An FLV video command frame (client seek start or end), without video.
    COMMAND = "command"
    #: A script message: onMetaData, onTextData, onCuePoint, ...
    DATA = "data"
    #: A body that is empty, too short or of an undefined kind: passed on unchanged.
    UNKNOWN = "unknown"


class Codec(Enum):
    """
    A codec. The value is its FourCC if Enhanced RTMP v2 defines one, else our own name
    for the legacy FLV number (FLV specification E.4.2.1, E.4.3.1).
    """

    H264 = "avc1"
    HEVC = "hvc1"
    VVC = "vvc1"
    AV1 = "av01"
    VP8 = "vp08"
    VP9 = "vp09"
    H263 = "h263"
    SCREEN = "screen"
    VP6 = "vp6"
    VP6A = "vp6a"
    SCREEN2 = "screen2"
    AAC = "mp4a"
    MP3 = ".mp3"
    OPUS = "Opus"
    FLAC = "fLaC"
    AC3 = "ac-3"
    EAC3 = "ec-3"
    PCM = "pcm"
    PCM_LE = "pcm-le"
    ADPCM = "adpcm"
    NELLYMOSER_16K = "nellymoser-16k"
    NELLYMOSER_8K = "nellymoser-8k"
    NELLYMOSER = "nellymoser"
    G711A = "g711a"
    G711U = "g711u"
    SPEEX = "speex"
    MP3_8K = "mp3-8k"
    DEVICE = "device"


# For speed: looking up an enum member in its class costs more than comparing it.
_CODED: Final = Role.CODED

#: The tracks of every frame that is not Enhanced RTMP multitrack.
DEFAULT_TRACKS: Final[tuple[int, ...]] = (0,)


#: This many bytes of a payload suffice to parse it, in all common forms.
HEAD: Final = 16


@mypyc_attr(acyclic=True)
class Span:
    """
    A payload that is still in the receive buffer, in several chunks. Between the chunks
    are one-byte chunk headers at equal distances. The first chunk has at least L{HEAD}
    bytes.

    Assembling a payload costs more than everything else that the server does with it,
    and payloads that are only counted or cached are never needed.

    @ivar size: the size of the payload in bytes.
    """

    __slots__ = ("_block", "_first", "_start", "_stop", "_stride", "size")

    def __init__(
        self, block: bytes, start: int, stop: int, first: int, stride: int, size: int
    ) -> None:
        """
        @param block: the receive buffer.
        @param start: the offset of the payload in it.
        @param stop: the offset of the payload's end.
        @param first: the number of bytes before the first chunk header.
        @param stride: the distance from one chunk header to the next.
        """
        self._block = block
        self._start = start
        self._stop = stop
        self._first = first
        self._stride = stride
        self.size = size

    def head(self) -> bytes:
        """
        @return: the first L{HEAD} bytes.
        """
        start = self._start
        return self._block[start : start + HEAD]

    def settle(self) -> None:
        """
        Copy the payload's part of the receive buffer, so that the rest can be freed.
        """
        self._block = self._block[self._start : self._stop]
        self._stop -= self._start
        self._start = 0

    def cut(self) -> bytes:
        """
        @return: the payload.
        """
        start, stop = self._start, self._stop
        block = self._block
        middle = start + self._first
        if stop - start - self.size == 1:
            return block[start:middle] + block[middle + 1 : stop]
        whole = bytearray(memoryview(block)[start:stop])
        del whole[self._first :: self._stride]
        return bytes(whole)


@mypyc_attr(acyclic=True)
class Frame:
    """
    One audio, video or data message of a stream.

    This is a plain class because one is made for each message that arrives, and a
    dataclass would be slower. The stream repairs the timestamp once. After that, treat
    it as an immutable value: all sinks of the stream share the object.

    @ivar kind: audio, video or data.
    @ivar timestamp: decoding time in milliseconds on the stream's own continuous clock.
        It does not wrap at 2^32 and may be slightly negative.
    @ivar size: the size of the payload in bytes.
    @ivar role: the role of the frame.
    @ivar codec: its codec; C{None} for data and for unknown codecs.
    @ivar isKey: whether decoding can start here. True only for a coded video frame.
    @ivar compositionTime: milliseconds from L{timestamp} to presentation.
    @ivar tracks: the Enhanced RTMP track ids in this message; C{(0,)} if there is only
        one track.
    @ivar name: for data, the name of the message, for example C{"onMetaData"}.
    @ivar isHeader: whether a decoder needs this before anything else: metadata,
        sequence headers, color information. Headers are never dropped. An
        C{onMetaData} that comes in addition to metadata set by C{@setDataFrame} is an
        event, not a header.
    """

    __slots__ = (
        "_payload",
        "_span",
        "codec",
        "compositionTime",
        "isHeader",
        "isKey",
        "kind",
        "name",
        "role",
        "size",
        "timestamp",
        "tracks",
    )

    def __init__(
        self,
        kind: FrameKind,
        timestamp: int,
        payload: bytes,
        role: Role,
        codec: Codec | None = None,
        isKey: bool = False,
        compositionTime: int = 0,
        tracks: tuple[int, ...] = DEFAULT_TRACKS,
        name: str = "",
    ) -> None:
        self.kind = kind
        self.timestamp = timestamp
        self._payload = payload
        self._span: Span | None = None
        self.size = len(payload)
        self.role = role
        self.codec = codec
        self.isKey = isKey
        self.compositionTime = compositionTime
        self.tracks = tracks
        self.name = name
        # Nearly all frames are coded: test that first.
        self.isHeader = role is not _CODED and (
            role in _HEADER_ROLES or name == "onMetaData"
        )

    def __repr__(self) -> str:
        return (
            f"<Frame {self.kind.name} {self.role.name} at {self.timestamp} ms, "
            f"{self.size} bytes>"
        )

    @property
    def payload(self) -> bytes:
        """
        The FLV tag body, unchanged. If it is still in the receive buffer, it is copied
        from there on first use.
        """
        # The order matters: sinks use this property in their own threads.
        span = self._span
        if span is not None:
            self._payload = span.cut()
            self._span = None
        return self._payload

    def lieIn(self, span: Span) -> None:
        """
        Leave the payload in the receive buffer until it is needed.

        @param span: the payload; the frame was made with the beginning of it.
        """
        self._span = span
        self.size = span.size

    def retimed(self, timestamp: int) -> "Frame":
        """
        @param timestamp: the new timestamp in ms.
        @return: a copy of the frame with that timestamp.
        """
        frame = Frame(
            self.kind,
            timestamp,
            self.payload,
            self.role,
            self.codec,
            self.isKey,
            self.compositionTime,
            self.tracks,
            self.name,
        )
        frame.isHeader = self.isHeader
        return frame


_HEADER_ROLES: Final = frozenset({Role.CONFIG, Role.METADATA, Role.CHANNELS})


class CodecHeaders:
    """
    The latest metadata and sequence headers of a stream. A late player or a new file
    needs them before the first coded frame.

    @ivar bytes: the size of their payloads in bytes.
    """

    #: No real stream has more headers (tracks times kinds of header). If a peer invents
    #: track ids to fill memory, the oldest headers are dropped.
    MAX_HEADERS = 64
    #: Nor are real headers larger in total: the metadata of a long recording, with an
    #: index of its key frames, has some 500 kB.
    MAX_BYTES = 2 * 1024 * 1024

    def __init__(self) -> None:
        self._headers: dict[tuple[FrameKind, Role, tuple[int, ...], str], Frame] = {}
        self.bytes = 0

    def remember(self, frame: Frame) -> None:
        """
        Keep a header (L{Frame.isHeader}) in place of the one before it. A sequence
        header drops the headers of another codec of its track.
        """
        if frame.role is Role.CONFIG:
            self.codecChanged(frame)
        # A replaced header keeps its place, so the order is that of the first ones.
        key = (frame.kind, frame.role, frame.tracks, frame.name)
        before = self._headers.get(key)
        if before is not None:
            self.bytes -= before.size
        self._headers[key] = frame
        self.bytes += frame.size
        while len(self._headers) > self.MAX_HEADERS or self.bytes > self.MAX_BYTES:
            self._drop(next(iter(self._headers)))

    def codecChanged(self, frame: Frame) -> None:
        """
        Drop the headers of this frame's tracks that belong to another codec. FFmpeg
        would take such a sequence header, color information or channel configuration
        for a stream, and wait for it.
        """
        headers = self._headers
        for key, header in list(headers.items()):
            if (
                header.kind is frame.kind
                and header.codec is not frame.codec
                and not set(header.tracks).isdisjoint(frame.tracks)
            ):
                self._drop(key)

    def forget(self, name: str) -> None:
        """
        Drop a data header, for C{@clearDataFrame}.
        """
        key = (FrameKind.DATA, Role.DATA, DEFAULT_TRACKS, name)
        if key in self._headers:
            self._drop(key)

    def _drop(self, key: tuple[FrameKind, Role, tuple[int, ...], str]) -> None:
        self.bytes -= self._headers.pop(key).size

    def frames(self) -> list[Frame]:
        """
        @return: metadata first, then the other headers in the order in which they first
            appeared.
        """
        return sorted(
            self._headers.values(), key=lambda frame: frame.kind is not FrameKind.DATA
        )


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """
    What is known about a stream when it starts.

    @ivar app: the application, for example C{"live"}.
    @ivar stream: the public name within the application.
    @ivar peer: the publisher's address, C{"host:port"}.
    @ivar encoder: the name of the publisher's program (its flashVer).
    @ivar startedAt: when the stream started, with a time zone.
    """

    app: str
    stream: str
    peer: str
    encoder: str
    startedAt: datetime

    @property
    def name(self) -> str:
        """
        The public name, C{app/stream}.
        """
        return publicName(self.app, self.stream)


def publicName(app: str, stream: str) -> str:
    """
    @return: the public name of a stream: C{app/stream}, or only the part that is not
        empty.
    """
    return f"{app}/{stream}" if app and stream else app or stream
