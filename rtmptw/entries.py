"""
Finds video frames at which decoding can start although they are not marked as key
frames, as in streams with intra refresh and from some cameras.
"""

from typing import Final

from rtmptw.frames import Codec, Frame

#: How many NAL units of a frame are examined: the ones that matter precede the slices.
MAX_UNITS: Final = 16

#: H.264 NAL unit types (ISO/IEC 14496-10, table 7-1): slices; IDR frame and sequence
#: parameter set; SEI.
_AVC_SLICES: Final = frozenset(range(1, 5))
_AVC_ENTRIES: Final = frozenset({5, 7})
_AVC_SEI: Final = 6
#: HEVC NAL unit types (ISO/IEC 23008-2, table 7-1): slices; random access frames and
#: parameter sets; SEI.
_HEVC_SLICES: Final = frozenset(range(16))
_HEVC_ENTRIES: Final = frozenset({*range(16, 22), 32, 33})
_HEVC_SEI: Final = 39
#: The SEI message of both: the stream is correct this many frames later.
_RECOVERY_POINT: Final = 6

_START_CODE: Final = b"\0\0\1"
_LONG_START_CODE: Final = b"\0\0\0\1"


def isEntry(frame: Frame) -> bool:
    """
    @param frame: a coded video frame that is not marked as a key frame.
    @return: whether decoding can start with it anyway: it is an IDR frame, or has
        parameter sets or a recovery point. Works for H.264 and HEVC with one track.
    """
    codec = frame.codec
    if codec is not Codec.H264 and codec is not Codec.HEVC:
        return False
    payload = frame.payload
    position = _begin(payload)
    if not position:
        return False
    isAnnexB = payload.startswith(_LONG_START_CODE, position)
    for _count in range(MAX_UNITS):
        if isAnnexB:
            start = payload.find(_START_CODE, position) + 3
            end = payload.find(_START_CODE, start)
            if start == 2:
                return False
            if end < 0:
                end = len(payload)
        else:
            start = position + 4
            end = start + int.from_bytes(payload[position:start], "big")
        if start >= len(payload):
            return False
        first = payload[start]
        if codec is Codec.H264:
            unit = first & 0x1F
            isSlice, isFound = unit in _AVC_SLICES, unit in _AVC_ENTRIES
            isSEI, head = unit == _AVC_SEI, 1
        else:
            unit = first >> 1 & 0x3F
            isSlice, isFound = unit in _HEVC_SLICES, unit in _HEVC_ENTRIES
            isSEI, head = unit == _HEVC_SEI, 2
        if isFound or (isSEI and _hasRecoveryPoint(payload[start + head : end])):
            return True
        if isSlice:
            return False
        position = end
    return False


def _begin(payload: bytes) -> int:
    """
    @return: the offset of the NAL units in the body; 0 if it is not known.
    """
    first = payload[0]
    if not first & 0x80:
        return 5
    # Coded frames with a composition time, and without.
    return {1: 8, 3: 5}.get(first & 0x0F, 0)


def _hasRecoveryPoint(messages: bytes) -> bool:
    """
    @param messages: the messages of one SEI unit, which end with a stop bit.
    """
    position = 0
    while position + 2 < len(messages):
        kind, position = _extended(messages, position)
        size, position = _extended(messages, position)
        if kind == _RECOVERY_POINT:
            return True
        position += size
    return False


def _extended(messages: bytes, position: int) -> tuple[int, int]:
    """
    @return: a number that is coded as bytes of 255 and the rest, and the offset of its
        end.
    """
    number = 0
    while position < len(messages):
        byte = messages[position]
        position += 1
        number += byte
        if byte != 0xFF:
            break
    return number, position
