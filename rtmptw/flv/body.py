"""
Parses the bodies of audio, video and data messages: legacy FLV (Annex E of the Video
File Format Specification 10.1) and Enhanced RTMP v1 and v2.

L{frameFromMessage} handles every message of every publisher: it looks up a body's
first bytes in tables and creates nothing but the frame. L{parseVideo} and
L{parseAudio} parse a body completely; L{frameFromMessage} uses them for rare forms.
"""

from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Final

from rtmptw.errors import RemoteProtocolError
from rtmptw.frames import DEFAULT_TRACKS, Codec, Frame, FrameKind, Role, Span


class PacketType(Enum):
    """
    The content of a body that has a packet type.
    """

    SEQUENCE_START = "sequence-start"
    #: Coded frames in the legacy form for AVC and the codecs that copied it.
    NALU = "nalu"
    #: Coded frames in the legacy form for AAC.
    RAW = "raw"
    CODED_FRAMES = "coded-frames"
    #: Coded frames whose composition time is 0.
    CODED_FRAMES_X = "coded-frames-x"
    SEQUENCE_END = "sequence-end"
    METADATA = "metadata"
    MPEG2TS_SEQUENCE_START = "mpeg2ts-sequence-start"
    MULTICHANNEL_CONFIG = "multichannel-config"
    #: An undefined number.
    UNKNOWN = "unknown"


class MultitrackType(Enum):
    """
    How the tracks of a multitrack body are laid out.
    """

    ONE_TRACK = "one-track"
    MANY_TRACKS = "many-tracks"
    MANY_TRACKS_MANY_CODECS = "many-tracks-many-codecs"


class ChannelOrder(IntEnum):
    """
    How a MultichannelConfig describes its channels.
    """

    UNSPECIFIED = 0
    NATIVE = 1
    CUSTOM = 2


@dataclass(frozen=True, slots=True)
class Channels:
    """
    A MultichannelConfig (Enhanced RTMP v2, AudioPacketType.MultichannelConfig).

    @ivar order: a L{ChannelOrder}, or an undefined number.
    @ivar count: the number of channels.
    @ivar mapping: in custom order, the speaker of each channel.
    @ivar mask: in native order, a bit for each speaker.
    """

    order: int
    count: int
    mapping: tuple[int, ...] = ()
    mask: int = 0


@dataclass(frozen=True, slots=True)
class ModEx:
    """
    An extension in front of an enhanced body (Enhanced RTMP v2, ModEx).

    @ivar type: 0 for a timestamp offset in nanoseconds; others are undefined.
    """

    type: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Track:
    """
    One track of a multitrack body.

    @ivar trackID: 0 to 255; 0 is the default.
    @ivar fourCC: its codec as on the wire.
    @ivar data: the data for the decoder.
    @ivar compositionTime: in ms; 0 if the form has none.
    @ivar channels: of a MultichannelConfig.
    """

    trackID: int
    fourCC: str
    data: bytes
    compositionTime: int
    channels: Channels | None


@dataclass(frozen=True, slots=True)
class VideoTag:
    """
    A video body.

    @ivar enhanced: whether it is an Enhanced RTMP body.
    @ivar frameType: 1 key, 2 inter, 3 disposable, 4 generated key, 5 command; varies
        for sequence headers and ends.
    @ivar codecID: the legacy codec number; C{None} if enhanced.
    @ivar packetType: C{None} for a command, or a legacy codec without packet types.
    @ivar compositionTime: in ms; 0 if the form has none.
    @ivar fourCC: the enhanced codec as on the wire; empty for a legacy body, for a
        command, and if each track has its own.
    @ivar data: the data for the decoder; empty for multitrack.
    @ivar command: of a command frame: 0 client seek start, 1 end.
    @ivar multitrack: the layout of C{tracks}; C{None} if the body is not multitrack.
    @ivar tracks: the tracks of a multitrack body.
    @ivar modEx: the extensions, in order.
    @ivar nanoOffset: nanoseconds to add to the presentation time.
    """

    enhanced: bool
    frameType: int
    codecID: int | None = None
    packetType: PacketType | None = None
    compositionTime: int = 0
    fourCC: str = ""
    data: bytes = b""
    command: int | None = None
    multitrack: MultitrackType | None = None
    tracks: tuple[Track, ...] = ()
    modEx: tuple[ModEx, ...] = ()
    nanoOffset: int = 0


@dataclass(frozen=True, slots=True)
class AudioTag:
    """
    An audio body.

    @ivar enhanced: whether it is an Enhanced RTMP body; then C{soundFormat} is 9 and
        the other legacy fields are 0.
    @ivar soundFormat: the legacy codec number.
    @ivar rate: 0 to 3 for 5.5, 11, 22 or 44 kHz. This and the next two are the bits
        on the wire, which mean nothing for AAC and Speex.
    @ivar size: 0 for 8-bit samples, 1 for 16-bit.
    @ivar stereo: 1 for two channels.
    @ivar packetType: C{None} for a legacy codec without packet types.
    @ivar fourCC: the enhanced codec as on the wire; empty for a legacy body, and if
        each track has its own.
    @ivar data: the data for the decoder; empty for multitrack.
    @ivar channels: of a MultichannelConfig.
    @ivar multitrack: the layout of C{tracks}; C{None} if the body is not multitrack.
    @ivar tracks: the tracks of a multitrack body.
    @ivar modEx: the extensions, in order.
    @ivar nanoOffset: nanoseconds to add to the presentation time.
    """

    enhanced: bool
    soundFormat: int
    rate: int = 0
    size: int = 0
    stereo: int = 0
    packetType: PacketType | None = None
    fourCC: str = ""
    data: bytes = b""
    channels: Channels | None = None
    multitrack: MultitrackType | None = None
    tracks: tuple[Track, ...] = ()
    modEx: tuple[ModEx, ...] = ()
    nanoOffset: int = 0


_COMMAND_FRAME = 5
_AAC: Final = 10
_ENHANCED_AUDIO = 9
_MOD_EX = 7
_VIDEO_MULTITRACK = 6
_AUDIO_MULTITRACK = 5
_VIDEO_METADATA = 4
_TIMESTAMP_OFFSET_NANO = 0

#: Legacy codecs with AVC's five-byte header. 12 is used by Chinese CDNs and cameras
#: (FFmpeg reads it), 13 and 14 by forks of SRS.
_AVC_LIKE = {7: Codec.H264, 12: Codec.HEVC, 13: Codec.AV1, 14: Codec.VVC}
#: Legacy codecs without a header of their own.
_PLAIN_VIDEO = {
    2: Codec.H263,
    3: Codec.SCREEN,
    4: Codec.VP6,
    5: Codec.VP6A,
    6: Codec.SCREEN2,
}
_PLAIN_AUDIO = {
    0: Codec.PCM,
    1: Codec.ADPCM,
    2: Codec.MP3,
    3: Codec.PCM_LE,
    4: Codec.NELLYMOSER_16K,
    5: Codec.NELLYMOSER_8K,
    6: Codec.NELLYMOSER,
    7: Codec.G711A,
    8: Codec.G711U,
    11: Codec.SPEEX,
    14: Codec.MP3_8K,
    15: Codec.DEVICE,
}

_VIDEO_CODECS: Final = {
    codec.value.encode(): codec
    for codec in (
        Codec.H264,
        Codec.HEVC,
        Codec.VVC,
        Codec.AV1,
        Codec.VP8,
        Codec.VP9,
    )
}
_AUDIO_CODECS: Final = {
    codec.value.encode(): codec
    for codec in (
        Codec.AAC,
        Codec.MP3,
        Codec.OPUS,
        Codec.FLAC,
        Codec.AC3,
        Codec.EAC3,
    )
}
#: Codecs whose CodedFrames packets begin with a composition time.
_TIMED: Final = frozenset({b"avc1", b"hvc1", b"vvc1"})

#: A track id is a byte, so more tracks would repeat ids.
MAX_TRACKS = 256
#: Only one ModEx type is defined; a body could contain millions of ModEx.
MAX_MOD_EX = 16

_LEGACY_VIDEO_PACKETS = {
    0: PacketType.SEQUENCE_START,
    1: PacketType.NALU,
    2: PacketType.SEQUENCE_END,
}
_AAC_PACKETS = {0: PacketType.SEQUENCE_START, 1: PacketType.RAW}
_VIDEO_PACKETS = {
    0: PacketType.SEQUENCE_START,
    1: PacketType.CODED_FRAMES,
    2: PacketType.SEQUENCE_END,
    3: PacketType.CODED_FRAMES_X,
    4: PacketType.METADATA,
    5: PacketType.MPEG2TS_SEQUENCE_START,
}
_AUDIO_PACKETS = {
    0: PacketType.SEQUENCE_START,
    1: PacketType.CODED_FRAMES,
    2: PacketType.SEQUENCE_END,
    4: PacketType.MULTICHANNEL_CONFIG,
}
_MULTITRACK_TYPES = tuple(MultitrackType)

_ROLES = {
    PacketType.SEQUENCE_START: Role.CONFIG,
    PacketType.NALU: Role.CODED,
    PacketType.RAW: Role.CODED,
    PacketType.CODED_FRAMES: Role.CODED,
    PacketType.CODED_FRAMES_X: Role.CODED,
    PacketType.SEQUENCE_END: Role.END,
    PacketType.METADATA: Role.METADATA,
    PacketType.MPEG2TS_SEQUENCE_START: Role.CONFIG,
    PacketType.MULTICHANNEL_CONFIG: Role.CHANNELS,
    PacketType.UNKNOWN: Role.UNKNOWN,
}


def _need(body: bytes, end: int) -> None:
    if end > len(body):
        raise RemoteProtocolError(
            "flv-truncated", f"a body of {len(body)} bytes, at least {end} are needed"
        )


def _signed24(body: bytes, offset: int) -> int:
    number = body[offset] << 16 | body[offset + 1] << 8 | body[offset + 2]
    return number - 0x1000000 if number & 0x800000 else number


def _fourCCBytes(fourCC: str) -> bytes:
    return fourCC.encode("latin-1")


class _EnhancedReader:
    """
    Reads the parts of an enhanced body that video and audio have in common: ModEx,
    tracks, FourCCs.

    @ivar packetType: its number, once the ModEx and Multitrack headers are read.
    @ivar end: where the current track ends, in the body.
    """

    __slots__ = (
        "body",
        "channels",
        "compositionTime",
        "end",
        "fourCC",
        "modEx",
        "multitrack",
        "nanoOffset",
        "offset",
        "packet",
        "packetType",
        "packets",
        "tracks",
    )

    def __init__(self, body: bytes, packets: dict[int, PacketType]) -> None:
        self.body = body
        self.packets = packets
        self.offset: int = 1
        self.end: int = len(body)
        self.packetType: int = body[0] & 0x0F
        self.packet: PacketType = PacketType.UNKNOWN
        self.fourCC: str = ""
        self.modEx: list[ModEx] = []
        self.nanoOffset: int = 0
        self.multitrack: MultitrackType | None = None
        self.tracks: list[Track] = []
        self.compositionTime: int = 0
        self.channels: Channels | None = None
        while self.packetType == _MOD_EX:
            self._readModEx()

    def byte(self) -> int:
        """
        @return: the next byte of the track.

        @raise RemoteProtocolError: if there is none.
        """
        return self._take(1)[0]

    def _take(self, size: int) -> bytes:
        start = self.offset
        if start + size > self.end:
            raise RemoteProtocolError(
                "flv-truncated",
                f"{size} bytes needed at offset {start} of a body or track that ends"
                f" at {self.end}",
            )
        self.offset = start + size
        return self.body[start : start + size]

    def _readModEx(self) -> None:
        size = self.byte() + 1
        if size == 256:
            size = int.from_bytes(self._take(2), "big") + 1
        data = self._take(size)
        types = self.byte()
        self.packetType = types & 0x0F
        if len(self.modEx) == MAX_MOD_EX:
            raise RemoteProtocolError(
                "flv-too-many-modex",
                f"more than {MAX_MOD_EX} ModEx, at most {MAX_MOD_EX} are allowed",
            )
        self.modEx.append(ModEx(types >> 4, data))
        if types >> 4 == _TIMESTAMP_OFFSET_NANO:
            self.nanoOffset = int.from_bytes(data[:3], "big")

    def readPayload(self, multitrackPacket: int) -> bytes:
        """
        Read the rest of the body, with all its tracks.

        @param multitrackPacket: the packet type that means multitrack.

        @return: the data of a body without tracks; empty for multitrack.

        @raise RemoteProtocolError: as L{parseVideo} does.
        """
        if self.packetType != multitrackPacket:
            self.packet = self.packets.get(self.packetType, PacketType.UNKNOWN)
            self.fourCC = self._fourCC()
            return self._trackData(self.fourCC)
        types = self.byte()
        self.packetType = types & 0x0F
        if self.packetType == multitrackPacket:
            raise RemoteProtocolError(
                "flv-nested-multitrack",
                f"packet type {multitrackPacket} inside packet type {multitrackPacket}",
            )
        self.packet = self.packets.get(self.packetType, PacketType.UNKNOWN)
        if types >> 4 >= len(_MULTITRACK_TYPES):
            raise RemoteProtocolError(
                "flv-bad-multitrack",
                f"multitrack type {types >> 4}, "
                f"must be 0 to {len(_MULTITRACK_TYPES) - 1}",
            )
        multitrack = self.multitrack = _MULTITRACK_TYPES[types >> 4]
        if multitrack is not MultitrackType.MANY_TRACKS_MANY_CODECS:
            self.fourCC = self._fourCC()
        self._readTrack(multitrack)
        while self.offset < len(self.body):
            self._readTrack(multitrack)
        return b""

    def _fourCC(self) -> str:
        return self._take(4).decode("latin-1")

    def _readTrack(self, multitrack: MultitrackType) -> None:
        if len(self.tracks) == MAX_TRACKS:
            raise RemoteProtocolError(
                "flv-too-many-tracks",
                f"more than {MAX_TRACKS} tracks, at most {MAX_TRACKS} are allowed",
            )
        fourCC = self.fourCC or self._fourCC()
        trackID = self.byte()
        if multitrack is not MultitrackType.ONE_TRACK:
            size = int.from_bytes(self._take(3), "big")
            _need(self.body, self.offset + size)
            self.end = self.offset + size
        data = self._trackData(fourCC)
        self.tracks.append(
            Track(trackID, fourCC, data, self.compositionTime, self.channels)
        )
        self.end = len(self.body)

    def _trackData(self, fourCC: str) -> bytes:
        self.compositionTime = 0
        if self.packet is PacketType.MULTICHANNEL_CONFIG:
            start = self.offset
            self.channels = self._channels()
            self.offset = start
        elif self.packet is PacketType.CODED_FRAMES and _fourCCBytes(fourCC) in _TIMED:
            self.compositionTime = _signed24(self._take(3), 0)
        return self._take(self.end - self.offset)

    def _channels(self) -> Channels:
        order = self.byte()
        count = self.byte()
        if order == ChannelOrder.CUSTOM:
            return Channels(order, count, mapping=tuple(self._take(count)))
        if order == ChannelOrder.NATIVE:
            return Channels(order, count, mask=int.from_bytes(self._take(4), "big"))
        return Channels(order, count)


def parseVideo(body: bytes) -> VideoTag:
    """
    Parse a video body completely (Annex E.4.3; Enhanced RTMP v2, Enhanced Video).

    @raise RemoteProtocolError: if it is truncated (C{flv-truncated}), has nested
        tracks (C{flv-nested-multitrack}), an undefined track layout
        (C{flv-bad-multitrack}), too many tracks (C{flv-too-many-tracks}) or too many
        extensions (C{flv-too-many-modex}).
    """
    _need(body, 1)
    if body[0] & 0x80:
        return _parseEnhancedVideo(body)
    frameType, codecID = body[0] >> 4, body[0] & 0x0F
    if frameType == _COMMAND_FRAME:
        _need(body, 2)
        return VideoTag(False, frameType, codecID, command=body[1])
    if codecID not in _AVC_LIKE:
        return VideoTag(False, frameType, codecID, data=body[1:])
    _need(body, 5)
    packetType = _LEGACY_VIDEO_PACKETS.get(body[1], PacketType.UNKNOWN)
    time = _signed24(body, 2)
    return VideoTag(False, frameType, codecID, packetType, time, data=body[5:])


def _parseEnhancedVideo(body: bytes) -> VideoTag:
    reader = _EnhancedReader(body, _VIDEO_PACKETS)
    frameType = body[0] >> 4 & 0x07
    data = b""
    command: int | None = None
    packetType: PacketType | None = None
    # FFmpeg sends metadata with the frame type of a command.
    if frameType == _COMMAND_FRAME and reader.packetType != _VIDEO_METADATA:
        command = reader.byte()
    else:
        data = reader.readPayload(_VIDEO_MULTITRACK)
        packetType = reader.packet
    return VideoTag(
        enhanced=True,
        frameType=frameType,
        packetType=packetType,
        # Each track has its own.
        compositionTime=0 if reader.tracks else reader.compositionTime,
        fourCC=reader.fourCC,
        data=data,
        command=command,
        multitrack=reader.multitrack,
        tracks=tuple(reader.tracks),
        modEx=tuple(reader.modEx),
        nanoOffset=reader.nanoOffset,
    )


def parseAudio(body: bytes) -> AudioTag:
    """
    Parse an audio body completely (Annex E.4.2; Enhanced RTMP v2, Enhanced Audio).

    @raise RemoteProtocolError: if it is truncated (C{flv-truncated}), has nested
        tracks (C{flv-nested-multitrack}), an undefined track layout
        (C{flv-bad-multitrack}), too many tracks (C{flv-too-many-tracks}) or too many
        extensions (C{flv-too-many-modex}).
    """
    _need(body, 1)
    first = body[0]
    if first >> 4 == _ENHANCED_AUDIO:
        return _parseEnhancedAudio(body)
    start = 1
    packetType: PacketType | None = None
    if first >> 4 == _AAC:
        _need(body, 2)
        start = 2
        packetType = _AAC_PACKETS.get(body[1], PacketType.UNKNOWN)
    return AudioTag(
        enhanced=False,
        soundFormat=first >> 4,
        rate=first >> 2 & 3,
        size=first >> 1 & 1,
        stereo=first & 1,
        packetType=packetType,
        data=body[start:],
    )


def _parseEnhancedAudio(body: bytes) -> AudioTag:
    reader = _EnhancedReader(body, _AUDIO_PACKETS)
    data = reader.readPayload(_AUDIO_MULTITRACK)
    return AudioTag(
        enhanced=True,
        soundFormat=_ENHANCED_AUDIO,
        packetType=reader.packet,
        fourCC=reader.fourCC,
        data=data,
        # Each track has its own.
        channels=None if reader.tracks else reader.channels,
        multitrack=reader.multitrack,
        tracks=tuple(reader.tracks),
        modEx=tuple(reader.modEx),
        nanoOffset=reader.nanoOffset,
    )


#: The codec of a legacy video number.
_LEGACY_VIDEO = {**_AVC_LIKE, **_PLAIN_VIDEO}
_LEGACY_AUDIO = {**_PLAIN_AUDIO, _AAC: Codec.AAC}

# The tables that frameFromMessage indexes by the first byte of a body are tuples of
# 256. Enum members have module-level names here, because looking them up in their
# class would cost more than everything else.

_AUDIO: Final = FrameKind.AUDIO
_VIDEO: Final = FrameKind.VIDEO
_CODED: Final = Role.CODED
_UNKNOWN: Final = Role.UNKNOWN


def _avcLikeOf(first: int) -> Codec | None:
    """
    @return: the codec of a legacy body with AVC's header; C{None} for other bodies.
    """
    if first & 0x80 or first >> 4 == _COMMAND_FRAME:
        return None
    return _AVC_LIKE.get(first & 0x0F)


def _enhancedVideoOf(first: int) -> Role | None:
    """
    @return: the role of an enhanced body without ModEx and tracks; C{None} for other
        bodies.
    """
    packetType = first & 0x0F
    isCommand = first >> 4 & 0x07 == _COMMAND_FRAME and packetType != _VIDEO_METADATA
    if not first & 0x80 or isCommand or packetType in (_VIDEO_MULTITRACK, _MOD_EX):
        return None
    return _ROLES[_VIDEO_PACKETS.get(packetType, PacketType.UNKNOWN)]


def _enhancedAudioOf(first: int) -> Role | None:
    """
    @return: the role of an enhanced body with coded frames, a sequence header or an
        end, without ModEx and tracks; C{None} for other bodies.
    """
    packetType = first & 0x0F
    if first >> 4 != _ENHANCED_AUDIO or packetType > 2:
        return None
    return _ROLES[_AUDIO_PACKETS[packetType]]


def _isKey(first: int) -> bool:
    """
    @return: whether a body of coded frames with this first byte is a key frame:
        legacy (1, or 4 if a server generated it) or enhanced (1).
    """
    return first >> 4 in (0x1, 0x4, 0x9)


_AVC_LIKE_BY_BYTE: Final = tuple(_avcLikeOf(first) for first in range(256))
_ENHANCED_VIDEO_BY_BYTE: Final = tuple(_enhancedVideoOf(first) for first in range(256))
_KEY_BY_BYTE: Final = tuple(_isKey(first) for first in range(256))
_AUDIO_BY_BYTE: Final = tuple(_LEGACY_AUDIO.get(first >> 4) for first in range(256))
_ENHANCED_AUDIO_BY_BYTE: Final = tuple(_enhancedAudioOf(first) for first in range(256))
_AVC_LIKE_ROLES: Final = tuple(
    _ROLES[_LEGACY_VIDEO_PACKETS.get(packetType, PacketType.UNKNOWN)]
    for packetType in range(256)
)
_AAC_ROLES: Final = tuple(
    _ROLES[_AAC_PACKETS.get(packetType, PacketType.UNKNOWN)]
    for packetType in range(256)
)


def frameFromMessage(kind: FrameKind, timestamp: int, payload: bytes) -> Frame:
    """
    Create the frame of an audio, video or data message.

    Called once for every message of every publisher, so the common forms are parsed
    inline.

    @param timestamp: in ms, for L{Frame.timestamp}.
    @param payload: the FLV tag body; for data, AMF0 that begins with the name.

    @return: the frame; its role is L{Role.UNKNOWN} if the body is invalid. Never
        raises. With several tracks, codec and composition time are those of the
        first.
    """
    size = len(payload)
    if kind is _VIDEO:
        if size >= 5:
            first = payload[0]
            codec = _AVC_LIKE_BY_BYTE[first]
            if codec is not None:
                time = payload[2] << 16 | payload[3] << 8 | payload[4]
                if time & 0x800000:
                    time -= 0x1000000
                role = _AVC_LIKE_ROLES[payload[1]]
                isKey = role is _CODED and _KEY_BY_BYTE[first]
                return Frame(kind, timestamp, payload, role, codec, isKey, time)
            enhancedRole = _ENHANCED_VIDEO_BY_BYTE[first]
            if enhancedRole is not None:
                fourCC = payload[1:5]
                codec = _VIDEO_CODECS.get(fourCC)
                if enhancedRole is not _CODED:
                    return Frame(kind, timestamp, payload, enhancedRole, codec)
                time = 0
                if first & 0x0F == 1 and fourCC in _TIMED:
                    if size < 8:
                        return Frame(kind, timestamp, payload, _UNKNOWN)
                    time = payload[5] << 16 | payload[6] << 8 | payload[7]
                    if time & 0x800000:
                        time -= 0x1000000
                isKey = _KEY_BY_BYTE[first]
                return Frame(kind, timestamp, payload, _CODED, codec, isKey, time)
        return _rareVideo(timestamp, payload)
    if kind is _AUDIO:
        if size >= 2:
            first = payload[0]
            codec = _AUDIO_BY_BYTE[first]
            if codec is not None:
                role = _AAC_ROLES[payload[1]] if first >> 4 == _AAC else _CODED
                return Frame(kind, timestamp, payload, role, codec)
            enhancedRole = _ENHANCED_AUDIO_BY_BYTE[first]
            if enhancedRole is not None and size >= 5:
                codec = _AUDIO_CODECS.get(payload[1:5])
                return Frame(kind, timestamp, payload, enhancedRole, codec)
        return _rareAudio(timestamp, payload)
    return Frame(kind, timestamp, payload, Role.DATA, name=_leadingString(payload))


def frameFromSpan(kind: FrameKind, timestamp: int, span: Span) -> Frame:
    """
    Create the frame of an audio or video message. The payload is not copied if it is
    coded media and its first bytes are enough to describe it.

    @return: as L{frameFromMessage}.
    """
    frame = frameFromMessage(kind, timestamp, span.head())
    # Multitrack bodies have headers further on. Sequence headers are rare and kept
    # long, so they are copied.
    if frame.role is _CODED and frame.tracks is DEFAULT_TRACKS:
        frame.lieIn(span)
        return frame
    return frameFromMessage(kind, timestamp, span.cut())


def _rareVideo(timestamp: int, payload: bytes) -> Frame:
    try:
        tag = parseVideo(payload)
    except RemoteProtocolError:
        return Frame(_VIDEO, timestamp, payload, _UNKNOWN)
    if tag.command is not None:
        return Frame(_VIDEO, timestamp, payload, Role.COMMAND)
    time = tag.compositionTime
    tracks = DEFAULT_TRACKS
    if tag.codecID is not None:
        codec = _LEGACY_VIDEO.get(tag.codecID)
    else:
        fourCC = tag.fourCC
        if tag.tracks:
            fourCC = tag.tracks[0].fourCC
            time = tag.tracks[0].compositionTime
            tracks = tuple([track.trackID for track in tag.tracks])
        codec = _VIDEO_CODECS.get(_fourCCBytes(fourCC))
    role = _roleOf(tag.packetType, codec)
    isKey = role is _CODED and (
        tag.frameType == 1 or (tag.frameType == 4 and not tag.enhanced)
    )
    return Frame(_VIDEO, timestamp, payload, role, codec, isKey, time, tracks)


def _rareAudio(timestamp: int, payload: bytes) -> Frame:
    try:
        tag = parseAudio(payload)
    except RemoteProtocolError:
        return Frame(_AUDIO, timestamp, payload, _UNKNOWN)
    tracks = DEFAULT_TRACKS
    if tag.enhanced:
        fourCC = tag.fourCC
        if tag.tracks:
            fourCC = tag.tracks[0].fourCC
            tracks = tuple([track.trackID for track in tag.tracks])
        codec = _AUDIO_CODECS.get(_fourCCBytes(fourCC))
    else:
        codec = _LEGACY_AUDIO.get(tag.soundFormat)
    role = _roleOf(tag.packetType, codec)
    return Frame(_AUDIO, timestamp, payload, role, codec, tracks=tracks)


def _roleOf(packetType: PacketType | None, codec: Codec | None) -> Role:
    if packetType is not None:
        return _ROLES[packetType]
    # A legacy body without packet types: coded, if we know the codec.
    return _UNKNOWN if codec is None else _CODED


def _leadingString(payload: bytes) -> str:
    """
    @return: the AMF0 string, short or long, at the start of a message; empty if there
        is none.
    """
    if payload[:1] == b"\x02":
        start = 3
    elif payload[:1] == b"\x0c":
        start = 5
    else:
        return ""
    end = start + int.from_bytes(payload[1:start], "big")
    if end > len(payload):
        return ""
    return payload[start:end].decode("utf-8", "surrogateescape")


#: The verbs of data messages, encoded in AMF0.
_VERBS = {
    "@setDataFrame": b"\x02\x00\x0d@setDataFrame",
    "@clearDataFrame": b"\x02\x00\x0f@clearDataFrame",
}


#: Maximum number of AMF0 numbers skipped before a verb: some encoders send two.
MAX_NUMBERS: Final = 2


def dataMessage(payload: bytes) -> tuple[str, bytes]:
    """
    Split the verb from a data message: C{@setDataFrame} or C{@clearDataFrame}, which
    tell a server to keep or to discard the message that follows. FFmpeg, OBS and
    GStreamer send it before onMetaData.

    @return: the verb, empty if there is none; and the message without the verb and
        the numbers before it, otherwise unchanged.
    """
    begin = 0
    for _count in range(MAX_NUMBERS):
        if payload[begin : begin + 1] != b"\0":
            break
        begin += 9
    for verb, encoded in _VERBS.items():
        if payload.startswith(encoded, begin):
            return verb, payload[begin + len(encoded) :]
    return "", payload
