"""
FLAC: the STREAMINFO block (RFC 9639, 8.2).
"""

from rtmptw.codecs.audio import AudioFormat
from rtmptw.codecs.bits import BitReader
from rtmptw.errors import RemoteProtocolError

_MAGIC = b"fLaC"
_SIZE = 34


def parseHeader(data: bytes) -> bytes:
    """
    @param data: the header of a stream: with its magic and the block's header, or only
        the block, as FFmpeg sends it.
    @return: the block.

    @raise RemoteProtocolError: if it is too short.
    """
    if data[:4] == _MAGIC:
        data = data[8:]
    elif len(data) >= _SIZE + 4 and data[0] & 127 == 0 and data[1:4] == b"\0\0\x22":
        data = data[4:]
    if len(data) < _SIZE:
        raise RemoteProtocolError("codec-header-truncated", "STREAMINFO too short")
    return data[:_SIZE]


def audioOf(block: bytes) -> AudioFormat:
    """
    @param block: STREAMINFO.

    @raise RemoteProtocolError: if the sample rate is 0.
    """
    reader = BitReader(block)
    least, most = reader.bits(16), reader.bits(16)
    reader.skip(48)
    rate, channels, bits = reader.bits(20), reader.bits(3) + 1, reader.bits(5) + 1
    if not rate:
        raise RemoteProtocolError("codec-header-garbage", "FLAC sample rate is 0")
    return AudioFormat(rate, channels, least if least == most else 0, bits)
