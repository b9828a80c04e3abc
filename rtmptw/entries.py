"""
Where decoding can begin though nobody says so: in pictures that are not marked as key
frames, as in streams that are refreshed bit by bit (intra refresh) and from some
cameras.
"""

from typing import Final

from rtmptw.frames import Codec, Frame

#: So many units of a picture are looked at: what says so comes before the picture.
MAX_UNITS: Final = 16

#: H.264 (ISO/IEC 14496-10, table 7-1): an IDR picture, SEI, a sequence parameter set.
_AVC_SLICES: Final = frozenset(range(1, 5))
_AVC_ENTRIES: Final = frozenset({5, 7})
_AVC_SEI: Final = 6
#: HEVC (ISO/IEC 23008-2, table 7-1): random access pictures; parameter sets.
_HEVC_SLICES: Final = frozenset(range(16))
_HEVC_ENTRIES: Final = frozenset({*range(16, 22), 32, 33})
_HEVC_SEI: Final = 39
#: In both: so many pictures later all is right.
_RECOVERY_POINT: Final = 6

_START_CODE: Final = b"\0\0\1"
_LONG_START_CODE: Final = b"\0\0\0\1"


def isEntry(frame: Frame) -> bool:
    """
    @param frame: coded video that is not marked as a key frame.
    @return: whether decoding can begin with it all the same: it is an IDR picture,
        or has parameter sets or a recovery point. Known of H.264 and HEVC, one track.
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
    @return: where the picture begins in the body; 0 if that is not known.
    """
    first = payload[0]
    if not first & 0x80:
        return 5
    # Coded frames with a composition time, and those without.
    return {1: 8, 3: 5}.get(first & 0x0F, 0)


def _hasRecoveryPoint(messages: bytes) -> bool:
    """
    @param messages: of one SEI unit, which end with a bit of their own.
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
    @return: a number in bytes of 255 and the rest, and where it ends.
    """
    number = 0
    while position < len(messages):
        byte = messages[position]
        position += 1
        number += byte
        if byte != 0xFF:
            break
    return number, position
