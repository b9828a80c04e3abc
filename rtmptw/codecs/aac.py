"""
AAC: AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1) and ADTS headers (1.A.2.2).
"""

from dataclasses import dataclass

from rtmptw.codecs.audio import AudioFormat
from rtmptw.codecs.bits import BitReader
from rtmptw.errors import RemoteProtocolError

_RATES = (
    96000,
    88200,
    64000,
    48000,
    44100,
    32000,
    24000,
    22050,
    16000,
    12000,
    11025,
    8000,
    7350,
)
_CHANNELS = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 6, 7: 8, 11: 7, 12: 8, 14: 8}
_SBR, _PS, _LOW_DELAY, _ENHANCED_LOW_DELAY = 5, 29, 23, 39
#: Object types with a GASpecificConfig, which has the block length.
_GENERAL = frozenset({1, 2, 3, 4, 6, 7, 17, 19, 20, 21, 22, 23})
_SYNC_EXTENSION = 0x2B7
_ADTS_HEAD = 7


@dataclass(frozen=True, slots=True)
class AudioConfig:
    """
    The parsed fields of an AudioSpecificConfig.

    @ivar audio: with the core's sample rate, which spectral band replication (SBR)
        doubles.
    @ivar objectType: 2 is AAC-LC.
    @ivar layout: the channel configuration; 0 means that the encoder describes it.
    @ivar extension: the sample rate with SBR; 0 if there is none, or it is not
        signaled.
    @ivar hasStereo: whether parametric stereo is signaled.
    @ivar rest: the configuration itself if it describes its own channels; empty if the
        layout says everything.
    """

    audio: AudioFormat
    objectType: int
    layout: int
    extension: int
    hasStereo: bool
    rest: bytes


def parseConfig(data: bytes) -> AudioConfig:
    """
    @param data: an AudioSpecificConfig; bytes after it are ignored.

    @raise RemoteProtocolError: if it is invalid.
    """
    reader = BitReader(data)
    objectType = _objectType(reader)
    rate = _rate(reader)
    layout = reader.bits(4)
    extension, hasStereo = 0, False
    if objectType in (_SBR, _PS):
        hasStereo = objectType == _PS
        extension = _rate(reader)
        objectType = _objectType(reader)
    if not objectType:
        raise RemoteProtocolError("codec-header-garbage", "AAC object type is 0")
    block = 1024
    if objectType in _GENERAL and reader.left:
        isShort = reader.flag()
        if objectType == _LOW_DELAY:
            block = 480 if isShort else 512
        elif isShort:
            block = 960
    elif objectType == _ENHANCED_LOW_DELAY and reader.left:
        block = 480 if reader.flag() else 512
    if layout and not extension and objectType in _GENERAL and reader.left >= 2:
        extension, hasStereo = _appended(reader)
    channels = _CHANNELS.get(layout, 2)
    if not rate:
        raise RemoteProtocolError("codec-header-garbage", "AAC sample rate is 0")
    rest = b"" if layout else data
    audio = AudioFormat(rate, channels, block)
    return AudioConfig(audio, objectType, layout, extension, hasStereo, rest)


def _appended(reader: BitReader) -> tuple[int, bool]:
    """
    Parse SBR signaling that older decoders do not see (1.6.5).
    """
    try:
        if reader.flag():
            reader.skip(14)
        reader.skip(1)
        if reader.bits(11) != _SYNC_EXTENSION or _objectType(reader) != _SBR:
            return 0, False
        if not reader.flag():
            return 0, False
        rate = _rate(reader)
        hasStereo = reader.left >= 12 and reader.bits(11) == 0x548 and reader.flag()
    except RemoteProtocolError:
        # Padding, or nothing.
        return 0, False
    return rate, hasStereo


def _objectType(reader: BitReader) -> int:
    number = reader.bits(5)
    return 32 + reader.bits(6) if number == 31 else number


def _rate(reader: BitReader) -> int:
    index = reader.bits(4)
    if index == 15:
        return reader.bits(24)
    if index >= len(_RATES):
        raise RemoteProtocolError("codec-header-garbage", f"AAC rate index {index}")
    return _RATES[index]


def isADTS(data: bytes) -> bool:
    """
    @return: whether a packet begins like an ADTS header. Of raw AAC blocks, only an
        empty one does.
    """
    return len(data) >= 2 and data[0] == 0xFF and data[1] & 0xF6 == 0xF0


def withoutADTS(data: bytes) -> bytes:
    """
    @param data: a packet with an ADTS header.
    @return: the block without the header; empty if the header's size is not the
        packet's.
    """
    if len(data) <= _ADTS_HEAD:
        return b""
    size = (data[3] & 3) << 11 | data[4] << 3 | data[5] >> 5
    if size != len(data):
        return b""
    return data[_ADTS_HEAD if data[1] & 1 else _ADTS_HEAD + 2 :]
