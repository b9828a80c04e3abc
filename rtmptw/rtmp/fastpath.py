"""
Parses messages of several chunks without handling each chunk.

All chunks of a message but the first have the same one-byte header at equal
distances, unless an extended timestamp is repeated in them, the id is a long one, or
another message is interleaved. So one slice extracts all headers, and one comparison
checks them. See C{docs/fastpath.rst}.

The functions here only look at bytes. If a message does not have this form, the
reader parses it chunk by chunk.
"""

from typing import Final

from rtmptw.frames import Span

#: The maximum number of headers between the chunks of a message that is left in the
#: buffer. Limits the cost of checking a message that turns out to be interrupted.
MAX_IN_PLACE = 512
#: The minimum size in bytes of a buffer that is kept for the payloads that lie in it.
#: A smaller one is only part of the memory allocated for the read: keeping it would
#: split that into pieces too small for the next read, and fragment the heap.
LEAST_KEPT = 32768
#: The minimum number of following whole chunks that makes a run worthwhile.
MIN_RUN: Final = 3
#: The maximum number of chunks taken out of a run at once. Limits the cost of a run
#: that ends early; 512 chunks of 128 bytes are one 64 KiB read.
MAX_RUN: Final = 512


def endInPlace(
    data: bytes, position: int, end: int, size: int, chunkSize: int, marker: bytes
) -> int:
    """
    Look for all chunks of a message of several chunks.

    @param position: where its payload begins.
    @param size: of the payload, in bytes; more than C{chunkSize}.
    @param marker: the one-byte header; empty if there is none.
    @return: where the message ends; 0 if it is incomplete, or not in this form.
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
    Copy the rest of a chunk and the whole chunks after it that continue its message.

    One slice extracts the headers between them, and one deletion removes them. With
    chunks of 128 bytes that is five times as fast as a loop.

    @param position: within the payload of the chunk.
    @param left: bytes left in the chunk; all of them are in C{data}.
    @param rest: bytes of the message after this chunk.
    @param size: of a chunk.
    @param marker: the one-byte header.
    @return: the payload: C{left} bytes plus a multiple of C{size}.
    """
    stride: int = size + 1
    stop: int = position + left
    count: int = min((end - stop) // stride, rest // size, MAX_RUN)
    markers = data[stop : stop + count * stride : stride]
    # Only as far as all are the type 3 header of this chunk stream.
    count -= len(markers.lstrip(marker))
    piece = bytearray(memoryview(data)[position : stop + count * stride])
    del piece[left::stride]
    return piece


def settle(spans: list[Span], lying: int, size: int) -> None:
    """
    Keep a buffer for the payloads that lie in it, or copy them.

    @param lying: their total size, in bytes.
    @param size: of the buffer, in bytes.
    """
    if lying < size // 2 or size < LEAST_KEPT:
        # Kept frames must not hold more than twice their own size in memory.
        for span in spans:
            span.settle()
