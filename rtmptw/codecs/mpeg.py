"""
MPEG audio, layers 1 to 3: the header of a frame (ISO/IEC 11172-3, 2.4.1.3).
"""

from rtmptw.codecs.audio import AudioFormat
from rtmptw.errors import RemoteProtocolError

_RATES = (44100, 48000, 32000)
#: Samples by layer code; 1 is layer 3, which has 576 at half and quarter rates.
_BLOCKS = {3: 384, 2: 1152, 1: 1152}
_MPEG1 = 3


def parseFrame(data: bytes) -> AudioFormat:
    """
    @raise RemoteProtocolError: if it is not an MPEG audio frame.
    """
    if len(data) < 4 or data[0] != 0xFF or data[1] & 0xE0 != 0xE0:
        raise RemoteProtocolError("codec-header-garbage", "not an MPEG audio frame")
    version, layer = data[1] >> 3 & 3, data[1] >> 1 & 3
    index = data[2] >> 2 & 3
    if version == 1 or layer == 0 or index == 3:
        raise RemoteProtocolError("codec-header-garbage", "not an MPEG audio frame")
    # 3 is MPEG-1, 2 is MPEG-2, 0 is MPEG-2.5.
    rate = _RATES[index] // {3: 1, 2: 2, 0: 4}[version]
    block = _BLOCKS[layer]
    if layer == 1 and version != _MPEG1:
        block = 576
    return AudioFormat(rate, 1 if data[3] >> 6 == 3 else 2, block)
