"""
AC-3 and E-AC-3: the beginning of a frame, and its description in MP4 (ETSI TS 102 366,
4.3, E.1.2 and annex F).
"""

from rtmptw.codecs.audio import AudioFormat
from rtmptw.codecs.bits import BitReader
from rtmptw.errors import RemoteProtocolError

_SYNC = 0x0B77
_RATES = (48000, 44100, 32000)
_CHANNELS = (2, 1, 2, 3, 3, 4, 4, 5)
_BLOCK = 256
_BIT_RATES = (
    32,
    40,
    48,
    56,
    64,
    80,
    96,
    112,
    128,
    160,
    192,
    224,
    256,
    320,
    384,
    448,
    512,
    576,
    640,
)


def parseFrame(data: bytes) -> tuple[AudioFormat, bytes]:
    """
    @param data: an AC-3 frame.
    @return: its audio format, and the contents of the C{dac3} box.

    @raise RemoteProtocolError: if it is not an AC-3 frame.
    """
    reader = _begin(data)
    reader.skip(16)
    rate, size = reader.bits(2), reader.bits(6)
    identification, mode = reader.bits(5), reader.bits(3)
    layout = reader.bits(3)
    if rate == 3 or size // 2 >= len(_BIT_RATES) or identification > 10:
        raise RemoteProtocolError("codec-header-garbage", "not an AC-3 frame")
    hasBass = _bassOf(reader, layout)
    packed = (
        rate << 22
        | identification << 17
        | mode << 14
        | layout << 11
        | hasBass << 10
        | size // 2 << 5
    )
    audio = AudioFormat(_RATES[rate], _CHANNELS[layout] + hasBass, 6 * _BLOCK)
    return audio, packed.to_bytes(3, "big")


def _bassOf(reader: BitReader, layout: int) -> bool:
    if layout & 1 and layout != 1:
        reader.skip(2)
    if layout & 4:
        reader.skip(2)
    if layout == 2:
        reader.skip(2)
    return reader.flag()


def parseEnhanced(data: bytes) -> tuple[AudioFormat, bytes]:
    """
    @param data: an E-AC-3 packet.
    @return: the audio format, and the contents of the C{dec3} box, both of the first
        substream, which all decoders play.

    @raise RemoteProtocolError: if it is not an E-AC-3 packet.
    """
    reader = _begin(data)
    reader.skip(5)
    size = (reader.bits(11) + 1) * 2
    rate = reader.bits(2)
    if rate == 3:
        number = reader.bits(2)
        if number == 3:
            raise RemoteProtocolError("codec-header-garbage", "not an E-AC-3 frame")
        hertz, blocks = _RATES[number] // 2, 6
    else:
        hertz, blocks = _RATES[rate], (1, 2, 3, 6)[reader.bits(2)]
    layout, hasBass = reader.bits(3), reader.flag()
    identification = reader.bits(5)
    if not 10 < identification <= 16:
        raise RemoteProtocolError("codec-header-garbage", "not an E-AC-3 frame")
    kilobits = size * 8 * hertz // (blocks * _BLOCK) // 1000
    packed = min(kilobits, 0x1FFF) << 3
    substream = rate << 22 | identification << 17 | layout << 9 | hasBass << 8
    audio = AudioFormat(hertz, _CHANNELS[layout] + hasBass, blocks * _BLOCK)
    return audio, packed.to_bytes(2, "big") + substream.to_bytes(3, "big")


def _begin(data: bytes) -> BitReader:
    reader = BitReader(data[:16])
    if reader.bits(16) != _SYNC:
        raise RemoteProtocolError("codec-header-garbage", "no AC-3 sync word")
    return reader
