"""
H.264: AVCDecoderConfigurationRecord (ISO/IEC 14496-15, 5.3.3.1) and sequence parameter
sets (H.264, 7.3.2.1.1).
"""

from dataclasses import dataclass

from rtmptw.codecs.bits import BitReader, withoutEscapes
from rtmptw.codecs.video import VideoFormat
from rtmptw.codecs.vui import readUsability
from rtmptw.errors import RemoteProtocolError

#: The profiles whose parameter sets have the chroma format and bit depth: 7.3.2.1.1.
_HIGH = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})
#: The largest width and height in level 6.2: A.3.1.
_MAX_SIDE = 16_384
# Types of NAL units, and of an SEI message.
_IDR, _SEI, _SPS = 5, 6, 7
_RECOVERY_POINT = 6


@dataclass(frozen=True, slots=True)
class AVCConfig:
    """
    The parsed fields of an AVCDecoderConfigurationRecord.

    @ivar lengthSize: size of the length field before each NAL unit, in bytes.
    @ivar sps: the sequence parameter sets.
    @ivar pps: the picture parameter sets.
    """

    lengthSize: int
    sps: tuple[bytes, ...]
    pps: tuple[bytes, ...]


def parseConfig(data: bytes) -> AVCConfig:
    """
    @param data: an AVCDecoderConfigurationRecord.

    @raise RemoteProtocolError: if it is invalid.
    """
    reader = BitReader(data)
    if reader.bits(8) != 1:
        raise RemoteProtocolError("codec-header-garbage", "avcC version is not 1")
    reader.skip(30)
    lengthSize = reader.bits(2) + 1
    reader.skip(3)
    sps = _units(data, reader, reader.bits(5))
    pps = _units(data, reader, reader.bits(8))
    if not sps:
        raise RemoteProtocolError("codec-header-garbage", "avcC without SPS")
    return AVCConfig(lengthSize, sps, pps)


def _units(data: bytes, reader: BitReader, count: int) -> tuple[bytes, ...]:
    units = []
    for _ in range(count):
        size = reader.bits(16)
        start = reader.position // 8
        reader.skip(size * 8)
        units.append(data[start : start + size])
    return tuple(units)


def parseSequence(unit: bytes) -> VideoFormat:
    """
    @param unit: a sequence parameter set, with its NAL unit header.

    @raise RemoteProtocolError: if it is invalid.
    """
    reader = BitReader(withoutEscapes(unit))
    reader.skip(8)
    profile = reader.bits(8)
    reader.skip(16)
    reader.unsigned()
    chroma, isSeparate = 1, False
    if profile in _HIGH:
        chroma = reader.unsigned()
        if chroma == 3:
            isSeparate = reader.flag()
        reader.unsigned()
        reader.unsigned()
        reader.skip(1)
        if reader.flag():
            for number in range(12 if chroma == 3 else 8):
                if reader.flag():
                    _skipScaling(reader, 16 if number < 6 else 64)
    reader.unsigned()
    order = reader.unsigned()
    if order == 0:
        reader.unsigned()
    elif order == 1:
        reader.skip(1)
        reader.signed()
        reader.signed()
        count = reader.unsigned()
        if count > 255:
            raise RemoteProtocolError("codec-header-garbage", f"{count} offsets")
        for _ in range(count):
            reader.signed()
    reader.unsigned()
    reader.skip(1)
    width = (reader.unsigned() + 1) * 16
    inMapUnits = reader.unsigned() + 1
    isFrames = reader.flag()
    height = inMapUnits * 16 * (1 if isFrames else 2)
    if not isFrames:
        reader.skip(1)
    reader.skip(1)
    if reader.flag():
        across = 2 if chroma in (1, 2) and not isSeparate else 1
        down = (2 if chroma == 1 and not isSeparate else 1) * (1 if isFrames else 2)
        width -= across * (reader.unsigned() + reader.unsigned())
        height -= down * (reader.unsigned() + reader.unsigned())
    if not (0 < width <= _MAX_SIDE and 0 < height <= _MAX_SIDE):
        raise RemoteProtocolError("codec-header-garbage", f"{width} x {height} pixels")
    if not reader.flag():
        return VideoFormat(width, height)
    shape, color = readUsability(reader)
    return VideoFormat(width, height, shape, color)


def _skipScaling(reader: BitReader, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + reader.signed()) % 256
        last = following or last


def isEntryWithoutSets(data: bytes, lengthSize: int, isKey: bool) -> bool:
    """
    @param data: a video frame.
    @param isKey: whether decoding is already known to be possible from this frame.
    @return: whether decoding can start here, as with open GOPs and intra refresh (a
        recovery point: D.1.8), but only with parameter sets that neither are in the
        frame nor are inserted by FFmpeg, as they are before an IDR picture.
    """
    position = 0
    while position + lengthSize < len(data):
        size = int.from_bytes(data[position : position + lengthSize], "big")
        position += lengthSize
        kind = data[position] & 31
        if kind in (_IDR, _SPS):
            return False
        if kind == _SEI and size > 1 and data[position + 1] == _RECOVERY_POINT:
            isKey = True
        elif 0 < kind < _IDR:
            break
        position += size
    return isKey


def setsBefore(config: AVCConfig) -> bytes:
    """
    @return: the parameter sets in the form in which they precede a video frame.
    """
    return b"".join(
        len(unit).to_bytes(config.lengthSize, "big") + unit
        for unit in (*config.sps, *config.pps)
    )
