"""
Opus: the identification header (RFC 7845, 5.1) and packets (RFC 6716, 3.1).
"""

from rtmptw.codecs.audio import AudioFormat
from rtmptw.errors import RemoteProtocolError

#: The rate at which Opus counts samples, whatever the input's rate was.
RATE = 48000
_MAGIC = b"OpusHead"
_HEAD = 11


def parseHeader(data: bytes) -> bytes:
    """
    @param data: an identification header, with or without its magic.
    @return: the contents of a C{dOps} box (Opus in ISOBMFF, 4.3.2).

    @raise RemoteProtocolError: if it is too short.
    """
    if data[:8] == _MAGIC:
        data = data[8:]
    if len(data) < _HEAD or not data[1]:
        raise RemoteProtocolError("codec-header-truncated", "OpusHead too short")
    channels, family = data[1], data[10]
    fields = (
        bytes([0, channels])
        + data[2:4][::-1]
        + data[4:8][::-1]
        + data[8:10][::-1]
        + data[10:11]
    )
    if not family:
        return fields
    mapping = data[_HEAD : _HEAD + 2 + channels]
    if len(mapping) < 2 + channels:
        raise RemoteProtocolError("codec-header-truncated", "OpusHead too short")
    return fields + mapping


def headerFor(data: bytes) -> bytes:
    """
    @param data: a packet.
    @return: an identification header for a stream that has none.
    """
    channels = 2 if data[:1] and data[0] & 4 else 1
    rate = RATE.to_bytes(4, "little")
    return _MAGIC + bytes([1, channels, 0, 0]) + rate + bytes(3)


def audioOf(fields: bytes) -> AudioFormat:
    """
    @param fields: the contents of a C{dOps} box.
    """
    return AudioFormat(RATE, fields[1])


def samplesIn(data: bytes) -> int:
    """
    @return: the samples per channel in a packet, at 48 kHz; 0 if it is invalid.
    """
    if not data:
        return 0
    head = data[0]
    config = head >> 3
    if config < 12:
        size = (480, 960, 1920, 2880)[config & 3]
    elif config < 16:
        size = (480, 960)[config & 1]
    else:
        size = (120, 240, 480, 960)[config & 3]
    code = head & 3
    if code == 0:
        return size
    if code < 3:
        return 2 * size
    return (data[1] & 63) * size if len(data) > 1 else 0
