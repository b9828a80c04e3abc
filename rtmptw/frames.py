"""
The values every part of rtmptw speaks: frames, codecs and what a stream is called.

A L{Frame} is one audio, video or data message of a stream. Its payload is the
FLV tag body exactly as it came in; what the first bytes of the body say is
parsed once, by L{rtmptw.flv.body}, and kept beside it.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, IntEnum
from typing import Final

from rtmptw._native import mypyc_attr


class FrameKind(IntEnum):
    """
    What a frame carries. The values are the RTMP message types, which are the
    FLV tag types too (FLV specification E.4.1).
    """

    AUDIO = 8
    VIDEO = 9
    DATA = 18

    # One look-up for each frame; the hash of enum is a function in Python.
    __hash__ = int.__hash__


class Role(Enum):
    """
    What a frame is for.
    """

    #: Compressed audio or video: what a decoder turns into samples or a picture.
    CODED = "coded"
    #: A codec header: AVCDecoderConfigurationRecord, AudioSpecificConfig, ...
    CONFIG = "config"
    #: The encoder says that no more coded frames of this track follow.
    END = "end"
    #: Enhanced RTMP video metadata, such as colorInfo.
    METADATA = "metadata"
    #: Enhanced RTMP multichannel audio configuration.
    CHANNELS = "channels"
    #: An FLV video command frame (client seek start or end): no picture.
    COMMAND = "command"
    #: A script message: onMetaData, onTextData, onCuePoint, ...
    DATA = "data"
    #: A body that is empty, too short or of a kind nobody defined: passed on as is.
    UNKNOWN = "unknown"


class Codec(Enum):
    """
    A codec; the value is its FourCC where Enhanced RTMP v2 gives it one, else a
    word of ours for the legacy FLV number (FLV specification E.4.2.1, E.4.3.1).
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


# To look a member up in its class costs more than to compare it.
_CODED: Final = Role.CODED

#: The tracks of every frame that is not Enhanced RTMP multitrack.
DEFAULT_TRACKS: Final[tuple[int, ...]] = (0,)


#: So many bytes of a payload say what it is, in all common forms.
HEAD: Final = 16


@mypyc_attr(acyclic=True)
class Span:
    """
    A payload that lies where it was read, in several chunks: in one piece but for the
    headers of those that go on with it, one byte each, at equal distances. The first
    chunk has L{HEAD} bytes at least.

    To put it together costs more than all else that is done with it here, and of what
    is only counted, or kept for those who may come, nobody asks for it.

    @ivar size: of the payload, in bytes.
    """

    __slots__ = ("_block", "_first", "_start", "_stop", "_stride", "size")

    def __init__(
        self, block: bytes, start: int, stop: int, first: int, stride: int, size: int
    ) -> None:
        """
        @param block: what was read.
        @param start: where the payload begins in it.
        @param stop: where it ends.
        @param first: how many bytes there are before the first header.
        @param stride: from one header to the next.
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
        Lie in a copy of one's own, so that what was read besides need not be kept.
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

    A plain class: one is made for each message that arrives, and what writes the
    C{__init__} of a class at run time costs more. The stream repairs the timestamp
    once; after that, treat it as a value: every sink of the stream gets the same
    object.

    @ivar kind: audio, video or data.
    @ivar timestamp: decoding time in milliseconds on the stream's own unbroken
        clock: it does not wrap at 2^32, and may be slightly negative.
    @ivar size: of the payload, in bytes.
    @ivar role: what the frame is for.
    @ivar codec: its codec; C{None} for data and for what we cannot tell.
    @ivar isKey: decoding can start here. True only for a coded video frame.
    @ivar compositionTime: milliseconds from L{timestamp} to presentation.
    @ivar tracks: the Enhanced RTMP track ids in this message; C{(0,)} when there
        is one track.
    @ivar name: for data the name of the message, C{"onMetaData"} for example.
    @ivar isHeader: whether a decoder needs this before anything else: metadata, codec
        headers, colour information. Headers are never dropped. An C{onMetaData} that
        comes beside the metadata which were set is none, but an event.
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
        # Nearly all are coded.
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
        The FLV tag body, untouched. It may still lie among what was read with it: it
        is copied from there when it is asked for the first time.
        """
        # In this order, as sinks ask in threads of their own.
        span = self._span
        if span is not None:
            self._payload = span.cut()
            self._span = None
        return self._payload

    def lieIn(self, span: Span) -> None:
        """
        Let the payload lie where it was read until it is asked for.

        @param span: where; what the frame was made with was the beginning of it.
        """
        self._span = span
        self.size = span.size

    def retimed(self, timestamp: int) -> "Frame":
        """
        @param timestamp: in ms.
        @return: the same frame at another time.
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
    The latest metadata and codec headers of a stream: what somebody who comes
    late, or a new file, needs before the first coded frame.

    @ivar bytes: of their payloads.
    """

    #: No stream has more tracks times kinds of header than this; a peer that
    #: invents track ids to fill memory loses the oldest.
    MAX_HEADERS = 64
    #: Nor are they longer together: the metadata of a long recording, with an index of
    #: its key frames, has some 500 kB.
    MAX_BYTES = 2 * 1024 * 1024

    def __init__(self) -> None:
        self._headers: dict[tuple[FrameKind, Role, tuple[int, ...], str], Frame] = {}
        self.bytes = 0

    def remember(self, frame: Frame) -> None:
        """
        Keep a header (L{Frame.isHeader}) in place of the one it follows. A codec header
        ends what belonged to another codec of its track.
        """
        if frame.role is Role.CONFIG:
            self.codecChanged(frame)
        # A replaced header keeps its place, so the order is that of first sight.
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
        Drop what belongs to a track of this frame and to another codec than it has:
        FFmpeg takes a codec header, colour information or a channel configuration for a
        stream that it waits for.
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
        Drop a data header, as C{@clearDataFrame} asks for.
        """
        key = (FrameKind.DATA, Role.DATA, DEFAULT_TRACKS, name)
        if key in self._headers:
            self._drop(key)

    def _drop(self, key: tuple[FrameKind, Role, tuple[int, ...], str]) -> None:
        self.bytes -= self._headers.pop(key).size

    def frames(self) -> list[Frame]:
        """
        @return: metadata first, then the codec headers in the order of their first
            sight.
        """
        return sorted(
            self._headers.values(), key=lambda frame: frame.kind is not FrameKind.DATA
        )


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """
    What is known of a stream when it starts.

    @ivar app: the application, C{"live"} for example.
    @ivar stream: the public name within the application.
    @ivar peer: who publishes, as C{"host:port"}.
    @ivar encoder: what the publisher calls itself (its flashVer).
    @ivar startedAt: the wall clock when the stream began, with a time zone.
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
    @return: the public name of a stream: C{app/stream}, or the one of them that
        is not empty.
    """
    return f"{app}/{stream}" if app and stream else app or stream
