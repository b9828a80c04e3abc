"""
Frames taken apart: what of a message is for which track's decoder.

Plain bytes, no PyAV.
"""

from dataclasses import dataclass

from rtmptw.errors import RemoteProtocolError
from rtmptw.flv import body as flv
from rtmptw.frames import Codec, Frame, FrameKind, Role

_CODECS = {codec.value: codec for codec in Codec}


@dataclass(frozen=True, slots=True)
class Sample:
    """
    What one message has for one track.

    @ivar kind: audio or video.
    @ivar track: the Enhanced RTMP track id; 0 if there is one track.
    @ivar codec: what it is for.
    @ivar isConfig: whether it is the codec's configuration, else coded audio or video.
    @ivar data: for the decoder.
    @ivar timestamp: of decoding, in ms.
    @ivar compositionTime: ms from then to presentation.
    @ivar isKey: whether decoding can start here; all audio is.
    @ivar legacyHead: the first byte of a legacy audio body, which says rate, size and
        channels for codecs that have no configuration; -1 if there is none.
    """

    kind: FrameKind
    track: int
    codec: Codec
    isConfig: bool
    data: bytes
    timestamp: int
    compositionTime: int
    isKey: bool
    legacyHead: int = -1


def samplesOf(frame: Frame) -> list[Sample]:
    """
    @return: the samples of an audio or video frame that is coded or a configuration,
        one for each track; none for any other, and for what cannot be read.
    """
    role = frame.role
    if role is not Role.CODED and role is not Role.CONFIG:
        return []
    isVideo = frame.kind is FrameKind.VIDEO
    try:
        tag = (
            flv.parseVideo(frame.payload) if isVideo else flv.parseAudio(frame.payload)
        )
    except RemoteProtocolError:
        return []
    if tag.packetType is flv.PacketType.MPEG2TS_SEQUENCE_START:
        # A configuration of MPEG-2 TS, which is another thing.
        return []
    isConfig = role is Role.CONFIG
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
