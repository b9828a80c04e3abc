"""
The FLV file: a header, then tags (FLV specification E.2 to E.4.1).

This module only encodes and decodes bytes; it does not open, read or write files. The
body of a tag is the payload of a L{rtmptw.frames.Frame}, unchanged; L{rtmptw.flv.body}
parses it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from struct import Struct

from rtmptw.errors import LocalProtocolError, RemoteProtocolError

#: The file header, E.2, without the PreviousTagSize0 that follows it.
HEADER_SIZE = 9
#: Type, body size, timestamp, its high byte, stream id (E.4.1).
TAG_HEADER_SIZE = 11
#: The back pointer after each tag, E.3.
PREVIOUS_SIZE = 4
#: Where the first tag begins in a file that we write.
FIRST_TAG = HEADER_SIZE + PREVIOUS_SIZE
#: The body size is a 24-bit field.
MAX_BODY = 0xFFFFFF
#: The version 1 header has 9 bytes; its size field is meant for later versions, which
#: do not exist. A larger header is skipped up to this size.
MAX_HEADER = 4096
#: The offset of the flags byte in the header, to rewrite it in place.
FLAGS_OFFSET = 4

_SIGNATURE = b"FLV\x01"
# One call for each tag of a recording.
_packTagHeader = Struct(">II3x").pack
_AUDIO = 0x04
_VIDEO = 0x01
_FILTER = 0x20
_KINDS = frozenset({8, 9, 18})


def flags(hasAudio: bool, hasVideo: bool) -> bytes:
    """
    @return: the byte at L{FLAGS_OFFSET}.
    """
    return bytes([_AUDIO * hasAudio | _VIDEO * hasVideo])


def fileHeader(hasAudio: bool, hasVideo: bool) -> bytes:
    """
    @return: the bytes before the first tag: the file header and PreviousTagSize0.
    """
    return (
        _SIGNATURE
        + flags(hasAudio, hasVideo)
        + HEADER_SIZE.to_bytes(4, "big")
        + bytes(PREVIOUS_SIZE)
    )


def tagHeader(kind: int, timestamp: int, size: int) -> bytes:
    """
    Return the header of a tag.

    @param kind: 8 audio, 9 video, 18 script.
    @param timestamp: in ms; the field keeps the low 32 bits.
    @param size: of the body, in bytes.

    @raise LocalProtocolError: if the body is too large for a tag.
    """
    if size > MAX_BODY:
        raise LocalProtocolError(
            f"tag body of {size} bytes, at most {MAX_BODY} are allowed"
        )
    # The low 24 bits come first, then the high byte: the figure in E.4.1 has the
    # fields in this order, and every implementation agrees.
    return _packTagHeader(
        kind << 24 | size, (timestamp & 0xFFFFFF) << 8 | timestamp >> 24 & 0xFF
    )


def previousSize(size: int) -> bytes:
    """
    @param size: of the tag's body, in bytes.

    @return: the back pointer that ends the tag.
    """
    return (TAG_HEADER_SIZE + size).to_bytes(4, "big")


def wholeSize(size: int) -> int:
    """
    @return: the size in a file of a tag with a body of C{size} bytes, including its
        back pointer.
    """
    return TAG_HEADER_SIZE + size + PREVIOUS_SIZE


def tag(kind: int, timestamp: int, payload: bytes) -> bytes:
    """
    @return: the tag and its back pointer.

    @raise LocalProtocolError: if the payload is too large for a tag.
    """
    size = len(payload)
    return b"".join((tagHeader(kind, timestamp, size), payload, previousSize(size)))


@dataclass(slots=True, eq=True)
class Tag:
    """
    One tag of a file. Not frozen, for the same reason as L{rtmptw.frames.Frame}.

    @ivar kind: 8 audio, 9 video, 18 script; other values are returned unchanged.
    @ivar timestamp: in ms, 0 to 2^32 - 1.
    @ivar payload: the body.
    """

    kind: int
    timestamp: int
    payload: bytes


class TagReader:
    """
    Reads an FLV file that arrives in pieces.

    Back pointers are ignored: files with wrong ones play everywhere.

    @ivar hasAudio: the flag of the file header; C{False} before that is read. The
        flags are often wrong.
    @ivar hasVideo: the same for video.
    """

    def __init__(self) -> None:
        self.hasAudio = False
        self.hasVideo = False
        self._buffer = bytearray()
        self._headerRead = False

    @property
    def waiting(self) -> int:
        """
        The number of bytes of an incomplete tag: not 0 at the end if the file is
        truncated.
        """
        return len(self._buffer)

    def receive(self, data: bytes) -> list[Tag]:
        """
        @param data: the next piece, of any size.

        @return: the tags that are complete now, in order.

        @raise RemoteProtocolError: if this is not an FLV file, or is encrypted.
            Earlier calls have returned all tags before that.
        """
        buffer = self._buffer
        buffer += data
        if not self._headerRead:
            self._readHeader()
            if not self._headerRead:
                return []
        tags: list[Tag] = []
        position = 0
        while True:
            body = position + TAG_HEADER_SIZE
            if len(buffer) < body:
                break
            kind, size, timestamp = _fields(buffer, position)
            if kind & _FILTER:
                if tags:
                    # Return the tags before it first; the next call raises.
                    break
                raise RemoteProtocolError("flv-encrypted", "the FLV tag is encrypted")
            end = body + size
            if len(buffer) < end + PREVIOUS_SIZE:
                break
            tags.append(Tag(kind & 0x1F, timestamp, bytes(buffer[body:end])))
            position = end + PREVIOUS_SIZE
        del buffer[:position]
        return tags

    def _readHeader(self) -> None:
        buffer = self._buffer
        if not _SIGNATURE.startswith(buffer[: len(_SIGNATURE)]):
            raise RemoteProtocolError("not-flv", "the file has no FLV signature")
        if len(buffer) < HEADER_SIZE:
            return
        size = int.from_bytes(buffer[5:HEADER_SIZE], "big")
        if not HEADER_SIZE <= size <= MAX_HEADER:
            raise RemoteProtocolError(
                "not-flv",
                f"FLV header of {size} bytes, must be {HEADER_SIZE} to {MAX_HEADER}",
            )
        if len(buffer) < size + PREVIOUS_SIZE:
            return
        self.hasAudio = bool(buffer[FLAGS_OFFSET] & _AUDIO)
        self.hasVideo = bool(buffer[FLAGS_OFFSET] & _VIDEO)
        del buffer[: size + PREVIOUS_SIZE]
        self._headerRead = True


#: The number of bytes of each body that L{walk} returns. The longest header of a body,
#: with Enhanced RTMP extensions before it, is far shorter.
WALK_PREFIX = 64


@dataclass(slots=True)
class Mark:
    """
    A complete tag found by L{walk}.

    @ivar position: where it begins in the file.
    @ivar kind: 8, 9 or 18.
    @ivar timestamp: in ms, 0 to 2^32 - 1.
    @ivar size: of the body, in bytes.
    @ivar prefix: the first L{WALK_PREFIX} bytes of the body.
    """

    position: int
    kind: int
    timestamp: int
    size: int
    prefix: bytes

    @property
    def end(self) -> int:
        """
        Where the next tag begins.
        """
        return self.position + wholeSize(self.size)


def walk(
    read: Callable[[int, int], bytes], end: int, position: int = FIRST_TAG
) -> Iterator[Mark]:
    """
    Go from tag to tag without reading whole bodies. Stop before the first tag that
    our writer cannot have completed: one that is truncated, of an unknown type, with
    a stream id, or with a wrong back pointer.

    @param read: called with a position and a number of bytes; returns fewer only at
        the end of the file.
    @param end: the size of the file.
    @param position: where the first tag begins.
    """
    # The back pointer of one tag, the header of the next and the first bytes of its
    # body are adjacent: one read for each tag.
    ahead = TAG_HEADER_SIZE + WALK_PREFIX
    head = read(position, ahead)
    while len(head) >= TAG_HEADER_SIZE:
        kind, size, timestamp = _fields(head, 0)
        tail = position + TAG_HEADER_SIZE + size
        if kind not in _KINDS or any(head[8:11]) or tail + PREVIOUS_SIZE > end:
            return
        after = read(tail, PREVIOUS_SIZE + ahead)
        if after[:PREVIOUS_SIZE] != previousSize(size):
            return
        prefix = head[TAG_HEADER_SIZE : TAG_HEADER_SIZE + min(size, WALK_PREFIX)]
        yield Mark(position, kind, timestamp, size, prefix)
        position = tail + PREVIOUS_SIZE
        head = after[PREVIOUS_SIZE:]


def _fields(data: bytes | bytearray, position: int) -> tuple[int, int, int]:
    low = int.from_bytes(data[position + 4 : position + 7], "big")
    return (
        data[position],
        int.from_bytes(data[position + 1 : position + 4], "big"),
        data[position + 7] << 24 | low,
    )
