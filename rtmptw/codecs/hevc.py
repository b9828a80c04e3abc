"""
H.265: HEVCDecoderConfigurationRecord (ISO/IEC 14496-15, 8.3.3.1) and sequence parameter
sets (H.265, 7.3.2.2).
"""

from dataclasses import dataclass

from rtmptw.codecs.bits import BitReader, withoutEscapes
from rtmptw.codecs.video import VideoFormat
from rtmptw.codecs.vui import readUsability
from rtmptw.errors import RemoteProtocolError

VPS, SPS, PPS = 32, 33, 34

#: The largest width and height in level 6.2: A.4.1.
_MAX_SIDE = 16_888
_SETS = frozenset({VPS, SPS, PPS})
_MAX_ORDERS = 64
_MAX_FRAMES = 16


@dataclass(frozen=True, slots=True)
class HEVCConfig:
    """
    The parsed fields of an HEVCDecoderConfigurationRecord.

    @ivar lengthSize: size of the length field before each NAL unit, in bytes.
    @ivar sets: the parameter sets, each with its NAL unit type.
    @ivar isComplete: whether there is at least one of each type.
    """

    lengthSize: int
    sets: tuple[tuple[int, bytes], ...]

    @property
    def isComplete(self) -> bool:
        """
        Whether there is at least one parameter set of each type.
        """
        return {kind for kind, _ in self.sets} == _SETS


def parseConfig(data: bytes) -> HEVCConfig:
    """
    @param data: an HEVCDecoderConfigurationRecord.

    @raise RemoteProtocolError: if it is invalid.
    """
    reader = BitReader(data)
    if reader.bits(8) != 1:
        raise RemoteProtocolError("codec-header-garbage", "hvcC version is not 1")
    reader.skip(20 * 8 + 6)
    lengthSize = reader.bits(2) + 1
    sets = []
    for _ in range(reader.bits(8)):
        kind = reader.bits(8) & 63
        for _ in range(reader.bits(16)):
            size = reader.bits(16)
            start = reader.position // 8
            reader.skip(size * 8)
            if kind in _SETS:
                sets.append((kind, data[start : start + size]))
    return HEVCConfig(lengthSize, tuple(sets))


def parseSequence(unit: bytes) -> VideoFormat:
    """
    @param unit: a sequence parameter set, with its NAL unit header.

    @raise RemoteProtocolError: if it is invalid.
    """
    reader = BitReader(withoutEscapes(unit))
    reader.skip(16 + 4)
    layers = reader.bits(3)
    reader.skip(1)
    _skipProfile(reader, layers)
    reader.unsigned()
    chroma = reader.unsigned()
    isSeparate = chroma == 3 and reader.flag()
    width, height = reader.unsigned(), reader.unsigned()
    if reader.flag():
        across = 2 if chroma in (1, 2) and not isSeparate else 1
        down = 2 if chroma == 1 and not isSeparate else 1
        width -= across * (reader.unsigned() + reader.unsigned())
        height -= down * (reader.unsigned() + reader.unsigned())
    if not (0 < width <= _MAX_SIDE and 0 < height <= _MAX_SIDE):
        raise RemoteProtocolError("codec-header-garbage", f"{width} x {height} pixels")
    size = VideoFormat(width, height)
    try:
        if not _reachUsability(reader, layers):
            return size
        shape, color = readUsability(reader)
    except RemoteProtocolError:
        # The size is known; what follows could not be parsed.
        return size
    return VideoFormat(width, height, shape, color)


def _skipProfile(reader: BitReader, layers: int) -> None:
    """
    Skip profile_tier_level (7.3.3).
    """
    reader.skip(88 + 8)
    present = [(reader.flag(), reader.flag()) for _ in range(layers)]
    if layers:
        reader.skip(2 * (8 - layers))
    for profile, level in present:
        reader.skip(88 * profile + 8 * level)


def _reachUsability(reader: BitReader, layers: int) -> bool:
    """
    Read from the conformance window up to the usability information.

    @return: whether there is usability information.
    """
    reader.unsigned()
    reader.unsigned()
    bitsOfOrder = reader.unsigned() + 4
    for _ in range(layers + 1 if reader.flag() else 1):
        for _ in range(3):
            reader.unsigned()
    for _ in range(6):
        reader.unsigned()
    if reader.flag() and reader.flag():
        _skipScaling(reader)
    reader.skip(2)
    if reader.flag():
        reader.skip(8)
        reader.unsigned()
        reader.unsigned()
        reader.skip(1)
    _skipReferences(reader)
    if reader.flag():
        count = reader.unsigned()
        if count > 32:
            raise RemoteProtocolError("codec-header-garbage", f"{count} references")
        reader.skip(count * (bitsOfOrder + 1))
    reader.skip(2)
    return reader.flag()


def _skipScaling(reader: BitReader) -> None:
    for size in range(4):
        for _ in range(0, 6, 3 if size == 3 else 1):
            if not reader.flag():
                reader.unsigned()
                continue
            if size > 1:
                reader.signed()
            for _ in range(min(64, 1 << (4 + (size << 1)))):
                reader.signed()


def _skipReferences(reader: BitReader) -> None:
    """
    Skip all st_ref_pic_set structures (7.3.7).
    """
    count = reader.unsigned()
    if count > _MAX_ORDERS:
        raise RemoteProtocolError("codec-header-garbage", f"{count} reference sets")
    before = 0
    for number in range(count):
        if number and reader.flag():
            reader.skip(1)
            reader.unsigned()
            kept = 0
            for _ in range(before + 1):
                isUsed = reader.flag()
                if isUsed or reader.flag():
                    kept += 1
            before = kept
            continue
        negative, positive = reader.unsigned(), reader.unsigned()
        if negative > _MAX_FRAMES or positive > _MAX_FRAMES:
            raise RemoteProtocolError(
                "codec-header-garbage", f"{negative} and {positive} references"
            )
        for _ in range(negative + positive):
            reader.unsigned()
            reader.skip(1)
        before = negative + positive
