"""
VP9: the uncompressed header of a key frame (VP9 bitstream specification, 6.2) and
VPCodecConfigurationRecord (VP Codec ISO Media File Format Binding).
"""

from rtmptw.codecs.bits import BitReader
from rtmptw.codecs.video import Color, VideoFormat
from rtmptw.errors import RemoteProtocolError

_SYNC = 0x498342
_SRGB = 7
#: Matrix coefficients by color_space: 7.2.2.
_MATRICES = {1: 6, 2: 1, 3: 6, 4: 7, 5: 9, 7: 0}
_RECORD = 8
_MAX_PROFILE = 3
_DEPTHS = frozenset({8, 10, 12})


def parseRecord(data: bytes) -> bytes:
    """
    @param data: a configuration. By Enhanced RTMP this is the record; FFmpeg sends the
        whole box, with its version and flags.
    @return: the record.

    @raise RemoteProtocolError: if it is invalid.
    """
    if len(data) >= _RECORD + 4 and data[:4] == b"\1\0\0\0":
        data = data[4:]
    if len(data) < _RECORD:
        raise RemoteProtocolError("codec-header-truncated", "vpcC too short")
    # Reserved bits must be 0: players refuse the file otherwise.
    if data[0] > _MAX_PROFILE or data[2] >> 4 not in _DEPTHS or data[6:8] != b"\0\0":
        raise RemoteProtocolError("codec-header-garbage", "invalid vpcC")
    return data


def parseKey(data: bytes) -> tuple[VideoFormat, bytes]:
    """
    @param data: a key frame.
    @return: its video format, and a record for it.

    @raise RemoteProtocolError: if it is not a key frame.
    """
    reader = BitReader(data[:32])
    if reader.bits(2) != 2:
        raise RemoteProtocolError("codec-header-garbage", "not a VP9 frame")
    profile = reader.bits(1) | reader.bits(1) << 1
    if profile == 3:
        reader.skip(1)
    if reader.flag() or reader.flag():
        raise RemoteProtocolError("codec-header-garbage", "not a VP9 key frame")
    reader.skip(2)
    if reader.bits(24) != _SYNC:
        raise RemoteProtocolError("codec-header-garbage", "no VP9 sync code")
    depth = 8
    if profile >= 2:
        depth = 12 if reader.flag() else 10
    space = reader.bits(3)
    isFull = True
    across, down = (1, 1) if profile in (0, 2) else (0, 0)
    if space != _SRGB:
        isFull = reader.flag()
        if profile in (1, 3):
            across, down = reader.bits(1), reader.bits(1)
            reader.skip(1)
    elif profile in (1, 3):
        reader.skip(1)
    width, height = reader.bits(16) + 1, reader.bits(16) + 1
    matrix = _MATRICES.get(space, 2)
    # 1 is 4:2:0 with chroma samples collocated with luma, 2 is 4:2:2, 3 is 4:4:4.
    sampling = 1 if down else 2 if across else 3
    record = bytes([profile, 10, depth << 4 | sampling << 1 | isFull, 2, 2, matrix])
    color = Color(2, 2, matrix, isFull) if matrix != 2 else None
    return VideoFormat(width, height, (1, 1), color), record + b"\0\0"
