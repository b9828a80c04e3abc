"""
The FLV file: a header, then tags (FLV specification E.2 to E.4.1).

Bytes in, bytes out: who opens, reads and writes files is elsewhere. The body of a
tag is the payload of a L{rtmptw.frames.Frame}, untouched; see L{rtmptw.flv.body}
for what is in it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from struct import Struct

from rtmptw.errors import LocalProtocolError, RemoteProtocolError

#: The file header, E.2, without the PreviousTagSize0 that follows it.
HEADER_SIZE = 9
#: Type, body size, timestamp, its high byte, stream id: E.4.1.
TAG_HEADER_SIZE = 11
#: The back pointer after each tag, E.3.
PREVIOUS_SIZE = 4
#: Where the first tag of a file of ours begins.
FIRST_TAG = HEADER_SIZE + PREVIOUS_SIZE
#: The body size is a 24 bit field.
MAX_BODY = 0xFFFFFF
#: Version 1 has a header of 9 bytes; the size field is there for later versions,
#: of which there is none. A larger header is skipped, but not without an end.
MAX_HEADER = 4096
#: Where the two flags are in the header, to rewrite them in place.
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
    @return: what stands before the first tag: header and PreviousTagSize0.
    """
    return (
        _SIGNATURE
        + flags(hasAudio, hasVideo)
        + HEADER_SIZE.to_bytes(4, "big")
        + bytes(PREVIOUS_SIZE)
    )


def tagHeader(kind: int, timestamp: int, size: int) -> bytes:
    """
    @param kind: 8 audio, 9 video, 18 script.
    @param timestamp: in milliseconds; the field keeps the low 32 bits.
    @param size: the bytes of the body.

    @raise LocalProtocolError: if the body is larger than a tag can say.
    """
    if size > MAX_BODY:
        raise LocalProtocolError(f"tag body {size} bytes, at most {MAX_BODY}")
    # The low 24 bits come first, then the high byte: the drawing in E.4.1 has the
    # fields in this order, and every implementation agrees.
    return _packTagHeader(
        kind << 24 | size, (timestamp & 0xFFFFFF) << 8 | timestamp >> 24 & 0xFF
    )


def previousSize(size: int) -> bytes:
    """
    @param size: the bytes of the body that precedes.

    @return: the back pointer that ends a tag.
    """
    return (TAG_HEADER_SIZE + size).to_bytes(4, "big")


def wholeSize(size: int) -> int:
    """
    @return: what a tag with a body of C{size} bytes takes in a file, with its back
        pointer.
    """
    return TAG_HEADER_SIZE + size + PREVIOUS_SIZE


def tag(kind: int, timestamp: int, payload: bytes) -> bytes:
    """
    @return: the tag and its back pointer.

    @raise LocalProtocolError: if the payload is larger than a tag can say.
    """
    size = len(payload)
    return b"".join((tagHeader(kind, timestamp, size), payload, previousSize(size)))


@dataclass(slots=True, eq=True)
class Tag:
    """
    One tag of a file. Not frozen, for the reason L{rtmptw.frames.Frame} is not.

    @ivar kind: 8 audio, 9 video, 18 script; others as they are in the file.
    @ivar timestamp: in milliseconds, 0 to 2^32 - 1.
    @ivar payload: the body.
    """

    kind: int
    timestamp: int
    payload: bytes


class TagReader:
    """
    Reads an FLV file that comes in pieces.

    Back pointers are not looked at: files with wrong ones play everywhere.

    @ivar hasAudio: the flag of the file header; C{False} before it was read. What
        the flags promise is often wrong.
    @ivar hasVideo: likewise.
    """

    def __init__(self) -> None:
        self.hasAudio = False
        self.hasVideo = False
        self._buffer = bytearray()
        self._headerRead = False

    @property
    def waiting(self) -> int:
        """
        The bytes that are no whole tag yet: not 0 at the end if the file was cut.
        """
        return len(self._buffer)

    def receive(self, data: bytes) -> list[Tag]:
        """
        @param data: the next piece, of any size.

        @return: the tags that are whole now, in order.

        @raise RemoteProtocolError: if this is not an FLV file, or is encrypted. What
            was whole before that has been returned.
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
                    # Next time: these are whole.
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
            raise RemoteProtocolError("not-flv", "the file does not start as FLV does")
        if len(buffer) < HEADER_SIZE:
            return
        size = int.from_bytes(buffer[5:HEADER_SIZE], "big")
        if not HEADER_SIZE <= size <= MAX_HEADER:
            raise RemoteProtocolError(
                "not-flv", f"FLV header of {size} bytes, {HEADER_SIZE} to {MAX_HEADER}"
            )
        if len(buffer) < size + PREVIOUS_SIZE:
            return
        self.hasAudio = bool(buffer[FLAGS_OFFSET] & _AUDIO)
        self.hasVideo = bool(buffer[FLAGS_OFFSET] & _VIDEO)
        del buffer[: size + PREVIOUS_SIZE]
        self._headerRead = True


#: How many bytes of each body a walk shows: the longest header of a body, with
#: Enhanced RTMP modifiers before it, is far shorter.
WALK_PREFIX = 64


@dataclass(slots=True)
class Mark:
    """
    A whole tag met on a walk.

    @ivar position: where it begins in the file.
    @ivar kind: 8, 9 or 18.
    @ivar timestamp: in milliseconds, 0 to 2^32 - 1.
    @ivar size: the bytes of the body.
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
    Go from tag to tag without reading the bodies, and stop before the first one
    that a writer of ours cannot have finished: cut, of no known type, with a
    stream id, or with a back pointer that is not its size.

    @param read: called with a position and a number of bytes; gives fewer only at
        the end of the file.
    @param end: the size of the file.
    @param position: where a tag begins.
    """
    # The back pointer of one tag, the header of the next and the first bytes of its
    # body stand together: one read for each tag.
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
