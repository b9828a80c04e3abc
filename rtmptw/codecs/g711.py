"""
G.711: A-law and mu-law as linear 16-bit samples (ITU-T G.711, tables 1 and 2). Each
byte maps to a distinct value, so nothing is lost.
"""

from typing import Final

#: Samples per second.
RATE: Final = 8000


def _fromALaw(byte: int) -> int:
    byte ^= 0x55
    exponent, value = byte >> 4 & 7, (byte & 15) << 4 | 8
    if exponent:
        value = value + 0x100 << exponent - 1
    return value if byte & 0x80 else -value


def _fromMuLaw(byte: int) -> int:
    byte = ~byte & 0xFF
    value = ((byte & 15) << 3) + 0x84 << (byte >> 4 & 7)
    return 0x84 - value if byte & 0x80 else value - 0x84


def _tables(values: list[int]) -> tuple[bytes, bytes]:
    """
    @return: the low bytes and the high bytes of the samples, indexed by the G.711 byte.
    """
    return bytes(v & 255 for v in values), bytes(v >> 8 & 255 for v in values)


_A_LAW: Final = _tables([_fromALaw(byte) for byte in range(256)])
_MU_LAW: Final = _tables([_fromMuLaw(byte) for byte in range(256)])


def linear(data: bytes, isALaw: bool) -> bytes:
    """
    @param isALaw: whether it is A-law; otherwise it is mu-law.
    @return: the samples, 16 bits each, low byte first.
    """
    low, high = _A_LAW if isALaw else _MU_LAW
    samples = bytearray(2 * len(data))
    samples[::2] = data.translate(low)
    samples[1::2] = data.translate(high)
    return bytes(samples)
