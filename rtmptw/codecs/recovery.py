"""
Where decoding can begin without a key frame: streams with intra refresh signal it with
a recovery point (H.264 D.2.8, H.265 D.3.8).
"""

from collections.abc import Iterator
from typing import Final

from rtmptw.codecs.bits import BitReader, withoutEscapes
from rtmptw.errors import RemoteProtocolError
from rtmptw.frames import Codec

_RECOVERY_POINT: Final = 6
#: The value of a byte in an SEI number that is followed by another byte.
_MORE: Final = 255
#: The types of NAL units with SEI messages.
_H264_SEI: Final = 6
_HEVC_SEI: Final = 39
#: No encoder takes longer to refresh the image; a larger count means something else.
MAX_VIDEO: Final = 300


def recoveryOf(codec: Codec, data: bytes, lengthSize: int = 4) -> int:
    """
    @param data: a coded video frame, as in FLV: NAL units with their lengths.
    @param lengthSize: size of a length, in bytes.
    @return: how many more frames until the image is correct if decoding begins with
        this one; -1 if there is no recovery point.
    """
    if codec is not Codec.H264 and codec is not Codec.HEVC:
        return -1
    for unit in _units(data, lengthSize):
        if codec is Codec.H264:
            isMessages, head = unit[0] & 0x1F == _H264_SEI, 1
        else:
            isMessages, head = unit[0] >> 1 & 0x3F == _HEVC_SEI, 2
        if isMessages:
            count = _among(codec, withoutEscapes(unit)[head:])
            if 0 <= count <= MAX_VIDEO:
                return count
    return -1


def _units(data: bytes, lengthSize: int) -> Iterator[bytes]:
    """
    @return: the NAL units; one that is truncated at the end is omitted.
    """
    position = 0
    while position + lengthSize < len(data):
        start = position + lengthSize
        size = int.from_bytes(data[position:start], "big")
        position = start + size
        if not size or position > len(data):
            return
        yield data[start:position]


def _among(codec: Codec, messages: bytes) -> int:
    """
    @return: the frame count of the recovery point among a unit's SEI messages; -1 if
        there is none.
    """
    position = 0
    try:
        # The last two bytes cannot hold a message.
        while position + 2 < len(messages):
            kind, position = _number(messages, position)
            size, position = _number(messages, position)
            if kind == _RECOVERY_POINT:
                reader = BitReader(messages[position : position + size])
                return reader.unsigned() if codec is Codec.H264 else reader.signed()
            position += size
    except (IndexError, RemoteProtocolError):
        pass
    return -1


def _number(data: bytes, position: int) -> tuple[int, int]:
    """
    @return: the SEI number at a position, and the position after it.

    @raise IndexError: if it is truncated.
    """
    number = 0
    while data[position] == _MORE:
        number += _MORE
        position += 1
    return number + data[position], position + 1
