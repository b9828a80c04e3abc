"""
AV1: open bitstream units (AV1 5.3) and the sequence header (5.5).
"""

from rtmptw.codecs.bits import BitReader
from rtmptw.codecs.video import Color, VideoFormat
from rtmptw.errors import RemoteProtocolError

_SEQUENCE_HEADER = 1
_TEMPORAL_DELIMITER = 2
#: The color_config values of sRGB, which has no subsampling: 5.5.2.
_SRGB = (1, 13, 0)


def withoutDelimiters(data: bytes) -> bytes:
    """
    @param data: a temporal unit.
    @return: the same without temporal delimiters, which are not allowed in an MP4
        sample (AV1 in ISOBMFF, 2.4).
    """
    if data[:2] == b"\x12\0":
        return data[2:]
    if data[:1] and data[0] >> 3 & 15 == _TEMPORAL_DELIMITER:
        parts = _split(data)
        return b"".join(unit for kind, unit, _ in parts if kind != _TEMPORAL_DELIMITER)
    return data


def _split(data: bytes) -> list[tuple[int, bytes, bytes]]:
    """
    @return: the type, the whole unit and the payload of each unit. A truncated unit is
        returned as it is.
    """
    found = []
    position = 0
    while position < len(data):
        head = data[position]
        start = position + (2 if head & 4 else 1)
        end = len(data)
        if head & 2:
            size = shift = 0
            while start < len(data) and shift < 56:
                byte = data[start]
                start += 1
                size |= (byte & 127) << shift
                shift += 7
                if not byte & 128:
                    break
            end = min(start + size, len(data))
        found.append((head >> 3 & 15, data[position:end], data[start:end]))
        position = end
    return found


def sequenceHeader(data: bytes) -> bytes:
    """
    @param data: a temporal unit, or the units of an av1C box.
    @return: the whole sequence header unit; empty if there is none.
    """
    for kind, unit, _ in _split(data):
        if kind == _SEQUENCE_HEADER:
            return unit
    return b""


def configOf(unit: bytes) -> bytes:
    """
    @param unit: a sequence header unit.
    @return: the av1C record for it (AV1 in ISOBMFF, 2.3.3).

    @raise RemoteProtocolError: if it is not a sequence header.
    """
    head = _Sequence(unit)
    depth = head.depth
    second = head.profile << 5 | head.level
    third = (
        head.tier << 7
        | (depth > 8) << 6
        | (depth > 10) << 5
        | head.isMono << 4
        | head.subsampling[0] << 3
        | head.subsampling[1] << 2
    )
    return bytes([0x81, second, third, 0]) + unit


def parseSequence(unit: bytes) -> VideoFormat:
    """
    @param unit: a sequence header unit.

    @raise RemoteProtocolError: if it is not a sequence header.
    """
    return _Sequence(unit).video


class _Sequence:
    """
    A parsed sequence header.
    """

    def __init__(self, unit: bytes) -> None:
        parts = _split(unit)
        if not parts or parts[0][0] != _SEQUENCE_HEADER:
            raise RemoteProtocolError("codec-header-garbage", "no AV1 sequence header")
        self._reader = reader = BitReader(parts[0][2])
        self.profile = reader.bits(3)
        reader.skip(1)
        self.level = self.tier = 0
        isReduced = reader.flag()
        if isReduced:
            self.level = reader.bits(5)
        else:
            self._readPoints()
        wide, high = reader.bits(4) + 1, reader.bits(4) + 1
        width, height = reader.bits(wide) + 1, reader.bits(high) + 1
        self._skipTools(not isReduced)
        color = self._readColor()
        self.video = VideoFormat(width, height, (1, 1), color)

    def _readPoints(self) -> None:
        reader = self._reader
        hasModel = False
        delay = 0
        if reader.flag():
            reader.skip(64)
            if reader.flag():
                reader.unsigned()
            hasModel = reader.flag()
            if hasModel:
                delay = reader.bits(5) + 1
                reader.skip(32 + 10)
        hasDisplay = reader.flag()
        for number in range(reader.bits(5) + 1):
            reader.skip(12)
            level = reader.bits(5)
            tier = reader.bits(1) if level > 7 else 0
            if number == 0:
                self.level, self.tier = level, tier
            if hasModel and reader.flag():
                reader.skip(2 * delay + 1)
            if hasDisplay and reader.flag():
                reader.skip(4)

    def _skipTools(self, isWhole: bool) -> None:
        reader = self._reader
        if isWhole and reader.flag():
            reader.skip(7)
        reader.skip(3)
        if isWhole:
            reader.skip(4)
            hasOrder = reader.flag()
            if hasOrder:
                reader.skip(2)
            screen = 2 if reader.flag() else reader.bits(1)
            if screen and not reader.flag():
                reader.skip(1)
            if hasOrder:
                reader.skip(3)
        reader.skip(3)

    def _readColor(self) -> Color | None:
        reader = self._reader
        self.depth = 8
        if reader.flag():
            self.depth = 10
            if self.profile == 2 and reader.flag():
                self.depth = 12
        self.isMono = self.profile != 1 and reader.flag()
        said = (2, 2, 2)
        isSaid = reader.flag()
        if isSaid:
            said = reader.bits(8), reader.bits(8), reader.bits(8)
        isFull = True
        self.subsampling = (0, 0)
        if self.isMono:
            isFull = reader.flag()
            self.subsampling = (1, 1)
        elif said != _SRGB:
            isFull = reader.flag()
            if self.profile == 0:
                self.subsampling = (1, 1)
            elif self.profile == 2:
                self.subsampling = (1, 0)
                if self.depth == 12:
                    across = reader.bits(1)
                    self.subsampling = (across, reader.bits(1) if across else 0)
        return Color(*said, isFull) if isSaid else None
