"""
Messages in several chunks, without a look at each chunk.

The chunks of a message after its first have headers of one byte, all the same and at
equal distances, unless an extended timestamp is repeated in them, the id is a long
one, or another message lies between. So one slice shows all headers, and whether they
are what they have to be. See C{docs/fastpath.rst}.

What is here looks at bytes and changes nothing: if a message is not so, the reader
takes it chunk by chunk.
"""

from typing import Final

from rtmptw.frames import Span

#: Headers between the chunks of a message that is left where it was read. Bounds what a
#: look at one that turns out to be interrupted costs.
MAX_IN_PLACE = 512
#: What was read is kept for the messages that lie in it if it has so many bytes. Less
#: is a small part of the room it was read into: kept, it would break that into pieces
#: too small for the next read, and all memory with it.
LEAST_KEPT = 32768
#: So many whole chunks must follow for a run to be worth its while.
MIN_RUN: Final = 3
#: Chunks taken out of a run in one go. Bounds what a run that breaks off early
#: costs; 512 chunks of 128 bytes are one 64 KiB read.
MAX_RUN: Final = 512


def endInPlace(
    data: bytes, position: int, end: int, size: int, chunkSize: int, marker: bytes
) -> int:
    """
    Look for all chunks of a message of several.

    @param position: where its payload begins.
    @param size: of the payload, in bytes; more than C{chunkSize}.
    @param marker: the header of one byte; empty if there is no such.
    @return: where the message ends; 0 if it is not here, or not in this form.
    """
    headers: int = (size - 1) // chunkSize
    stop: int = position + size + headers
    if stop > end or not marker or headers > MAX_IN_PLACE:
        return 0
    first: int = position + chunkSize
    if data[first] != marker[0]:
        return 0
    if headers > 1 and data[first : stop : chunkSize + 1] != marker * headers:
        return 0
    return stop


def cutRun(
    data: bytes, position: int, end: int, left: int, rest: int, size: int, marker: bytes
) -> bytearray:
    """
    Take the rest of a chunk and the whole chunks behind it that go on with its message.

    One slice shows the headers between them and one deletion takes them out. With
    chunks of 128 bytes that is five times as fast as a loop.

    @param position: within the payload of the chunk.
    @param left: bytes of the chunk that are still to come; all of them are here.
    @param rest: bytes of the message that are still to come behind it.
    @param size: of a chunk.
    @param marker: the header of one byte.
    @return: the payload: C{left} bytes and a multiple of C{size}.
    """
    stride: int = size + 1
    stop: int = position + left
    count: int = min((end - stop) // stride, rest // size, MAX_RUN)
    markers = data[stop : stop + count * stride : stride]
    # As long as they are all the type 3 header of this chunk stream.
    count -= len(markers.lstrip(marker))
    piece = bytearray(memoryview(data)[position : stop + count * stride])
    del piece[left::stride]
    return piece


def settle(spans: list[Span], lying: int, size: int) -> None:
    """
    Keep what was read for the messages that lie in it, or copy those.

    @param lying: how many bytes of it they are.
    @param size: of what was read, in bytes.
    """
    if lying < size // 2 or size < LEAST_KEPT:
        # Who keeps frames may keep twice as much as they say, and no more.
        for span in spans:
            span.settle()
