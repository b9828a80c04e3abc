"""
Splits frames into samples, the data for each track's decoder.
"""

from typing import Final

from rtmptw.errors import RemoteProtocolError
from rtmptw.flv import body as flv
from rtmptw.frames import DEFAULT_TRACKS, Codec, Frame, FrameKind, Role

_CODECS: Final = {codec.value: codec for codec in Codec}

# For speed: looking up an enum member in its class costs more than comparing it.
_VIDEO: Final = FrameKind.VIDEO
_AUDIO: Final = FrameKind.AUDIO
_CODED: Final = Role.CODED
_CONFIG: Final = Role.CONFIG
_TS_START: Final = flv.PacketType.MPEG2TS_SEQUENCE_START

#: The offset of the decoder's data in legacy bodies of AVC and AAC, which nearly all
#: encoders send.
_LEGACY_AVC: Final = 5
_LEGACY_AAC: Final = 2


class Sample:
    """
    The data of one message for one track. Treat it as immutable.

    @ivar kind: audio or video.
    @ivar track: the Enhanced RTMP track id; 0 if there is only one track.
    @ivar codec: its codec.
    @ivar isConfig: whether it is a codec configuration, else coded audio or video.
    @ivar data: the data for the decoder.
    @ivar timestamp: the decoding time in ms.
    @ivar compositionTime: ms from the timestamp to presentation.
    @ivar isKey: whether decoding can start here; always true for audio.
    @ivar legacyHead: the first byte of a legacy audio body, with sample rate, sample
        size and channels for codecs without a configuration; -1 if there is none.
    """

    __slots__ = (
        "codec",
        "compositionTime",
        "data",
        "isConfig",
        "isKey",
        "kind",
        "legacyHead",
        "timestamp",
        "track",
    )

    def __init__(
        self,
        kind: FrameKind,
        track: int,
        codec: Codec,
        isConfig: bool,
        data: bytes,
        timestamp: int,
        compositionTime: int,
        isKey: bool,
        legacyHead: int = -1,
    ) -> None:
        self.kind = kind
        self.track = track
        self.codec = codec
        self.isConfig = isConfig
        self.data = data
        self.timestamp = timestamp
        self.compositionTime = compositionTime
        self.isKey = isKey
        self.legacyHead = legacyHead


def samplesOf(frame: Frame) -> list[Sample]:
    """
    @return: the samples of a coded frame or a sequence header, one for each track; none
        for other frames and for bodies that cannot be parsed.
    """
    role = frame.role
    if role is not _CODED and role is not _CONFIG:
        return []
    codec = frame.codec
    if codec is not None and frame.tracks is DEFAULT_TRACKS:
        payload = frame.payload
        if len(payload) > _LEGACY_AVC:
            first = payload[0]
            isConfig = role is _CONFIG
            if frame.kind is _VIDEO:
                if first & 0x8F == 7:
                    return [
                        Sample(
                            _VIDEO,
                            0,
                            codec,
                            isConfig,
                            payload[_LEGACY_AVC:],
                            frame.timestamp,
                            frame.compositionTime,
                            frame.isKey,
                        )
                    ]
            elif first >> 4 == 10:
                return [
                    Sample(
                        _AUDIO,
                        0,
                        codec,
                        isConfig,
                        payload[_LEGACY_AAC:],
                        frame.timestamp,
                        0,
                        True,
                        first,
                    )
                ]
    return _rareSamples(frame)


def _rareSamples(frame: Frame) -> list[Sample]:
    isVideo = frame.kind is _VIDEO
    try:
        tag = (
            flv.parseVideo(frame.payload) if isVideo else flv.parseAudio(frame.payload)
        )
    except RemoteProtocolError:
        return []
    if tag.packetType is _TS_START:
        # An MPEG-2 TS configuration is not a codec configuration.
        return []
    isConfig = frame.role is _CONFIG
    isKey = frame.isKey or not isVideo
    if tag.tracks:
        return [
            Sample(
                frame.kind,
                track.trackID,
                codec,
                isConfig,
                track.data,
                frame.timestamp,
                track.compositionTime,
                isKey,
            )
            for track in tag.tracks
            if track.data and (codec := _CODECS.get(track.fourCC)) is not None
        ]
    if not tag.data or frame.codec is None:
        return []
    head = -1 if isVideo or tag.enhanced else frame.payload[0]
    return [
        Sample(
            frame.kind,
            frame.tracks[0],
            frame.codec,
            isConfig,
            tag.data,
            frame.timestamp,
            frame.compositionTime,
            isKey,
            head,
        )
    ]
