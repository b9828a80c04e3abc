"""
Codec headers: which codecs need one, and whether two are equivalent for a decoder.
"""

from collections.abc import Callable
from typing import Final

from rtmptw.codecs import aac, av1, flac, h264, hevc, opus, vp9
from rtmptw.errors import RemoteProtocolError
from rtmptw.frames import Codec

#: The codecs that can be neither decoded nor described without a header.
NEEDY: Final = frozenset({Codec.H264, Codec.HEVC, Codec.VVC, Codec.AAC, Codec.FLAC})


def _flac(data: bytes) -> object:
    # Without the number of samples and their checksum, which are known only at the end.
    block = flac.parseHeader(data)
    return block[:4], flac.audioOf(block)


def _opus(data: bytes) -> object:
    fields = opus.parseHeader(data)
    # The samples to skip at the beginning, the rate of the source and a gain of 0 mean
    # nothing in the middle of a stream.
    return fields[1], fields[8:]


#: Functions that return the part of a header that matters to a decoder, for comparison.
#: Levels and profiles outside the parameter sets, padding and trailing bytes do not.
_FORMS: dict[Codec, Callable[[bytes], object]] = {
    Codec.H264: h264.parseConfig,
    Codec.HEVC: hevc.parseConfig,
    Codec.AAC: aac.parseConfig,
    Codec.AV1: lambda data: av1.sequenceHeader(data[4:]),
    Codec.VP9: vp9.parseRecord,
    Codec.OPUS: _opus,
    Codec.FLAC: _flac,
}


def areSame(codec: Codec, one: bytes, other: bytes) -> bool:
    """
    @return: whether a decoder that was set up with one header can decode what the other
        is for.
    """
    if one == other:
        return True
    form = _FORMS.get(codec)
    if form is None:
        return False
    try:
        return form(one) == form(other)
    except RemoteProtocolError:
        return False


def isGood(codec: Codec, data: bytes) -> bool:
    """
    @return: whether a header can be parsed. If not, the previous one is better.
    """
    form = _FORMS.get(codec)
    if form is None:
        return bool(data)
    try:
        form(data)
    except RemoteProtocolError:
        return False
    return True


def headerFrom(codec: Codec, first: bytes) -> bytes:
    """
    @param first: a sample from which decoding can start.
    @return: a header made from the sample, for a codec that does not need one; empty if
        none can be made.
    """
    if codec is Codec.OPUS:
        return opus.headerFor(first)
    if codec is Codec.AV1:
        try:
            return av1.configOf(av1.sequenceHeader(first))
        except RemoteProtocolError:
            return b""
    if codec is Codec.VP9:
        try:
            return b"\1\0\0\0" + vp9.parseKey(first)[1]
        except RemoteProtocolError:
            return b""
    return b""
