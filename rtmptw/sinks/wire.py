"""
The messages between the server and its own child processes.

A message is its length (4 bytes, big-endian, not counting themselves), its L{Kind} (one
byte) and its body. The child reads messages from its standard input, and writes its own
to descriptor 3; its standard output and standard error are lines for the log. (A child
that writes a container or images answers on its standard output, and prints nothing.)

Messages are never executed, and never create objects of classes that they name: a child
decodes untrusted input, and may send anything.
"""

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from enum import IntEnum
from struct import Struct
from typing import Any

from rtmptw.flv.body import frameFromMessage
from rtmptw.frames import Codec, Frame, FrameKind
from rtmptw.samples import Sample

#: The longest message; an uncompressed 7680x4320 image is smaller. A longer length
#: means that the peer is out of sync.
MAX_MESSAGE = 256 * 1024 * 1024


class Kind(IntEnum):
    """
    The kind of a message.
    """

    #: To the child, first: JSON, what it is to do.
    ORDER = 1
    #: To the child: a header from before the first frame; a L{frameMessage}.
    HEADER = 2
    #: To the child: the next frame of the stream; a L{frameMessage}.
    FRAME = 3
    #: To the child: the stream has ended; the reason, as text. Nothing follows.
    END = 4
    #: To the child: a request's number (4 bytes) and the request.
    REQUEST = 5
    #: To the child: a coded sample or a configuration; a L{sampleMessage}.
    SAMPLE = 6
    #: To the child: write what is buffered, and answer with L{WRITTEN}.
    FLUSH = 7
    #: To the child: complete the file, and answer with L{WRITTEN}.
    FINISH = 8
    #: To the child: the number (4 bytes) of a slot in shared memory that is free again.
    FREE = 9
    #: From the child: the number of frames processed so far (4 bytes).
    DONE = 16
    #: From the child: JSON C{[reason, frames, bytes]}: frames that were dropped.
    DROPPED = 17
    #: From the child: it has failed, and need not be restarted; the reason, as text.
    FAILED = 18
    #: From the child: JSON C{[level, text]}, for the log.
    LOG = 19
    #: From the child: a request's number (4 bytes) and the answer.
    ANSWER = 20
    #: From the child: a request's number (4 bytes) and why it failed, as text.
    REFUSED = 21
    #: From the child: JSON, what has been written so far.
    WRITTEN = 22
    #: From the child: JSON C{[kind, track, why]}: the container cannot hold that track.
    UNFIT = 23
    #: From the child: JSON, an image or audio samples in shared memory. The place:
    #: C{slot}, C{position} in bytes, C{shape} and C{type} in numpy's notation. The
    #: frame: C{kind}, C{track}, C{pts} and C{arrived} in seconds, C{key}, C{rate}.
    IMAGE = 24
    #: From the child: it is full; send no frames for now, but still other messages.
    PAUSE = 25
    #: From the child: send frames again.
    RESUME = 26


#: Bytes read at once.
_BLOCK = 64 * 1024
_HEAD = Struct(">IB")
_NUMBER = Struct(">I")
#: The kind, the timestamp in ms, and the arrival time in seconds since 1970.
_FRAME = Struct(">Bqd")
#: The kind, the track, the codec's index, the flags (1 for a configuration, 2 for a key
#: frame), the timestamp and the composition time in ms, the first byte of a legacy
#: body.
_SAMPLE = Struct(">BBBBqih")
#: Both sides run the same version, so an index identifies a codec.
_CODECS = list(Codec)


def message(kind: Kind, body: bytes = b"") -> bytes:
    """
    @return: a whole message.
    """
    return _HEAD.pack(len(body) + 1, kind) + body


def jsonMessage(kind: Kind, value: Any) -> bytes:
    """
    @return: a message whose body is JSON.
    """
    return message(kind, json.dumps(value).encode())


def numberMessage(kind: Kind, number: int, body: bytes = b"") -> bytes:
    """
    @return: a message that begins with a number.
    """
    return message(kind, _NUMBER.pack(number & 0xFFFFFFFF) + body)


def numberOf(body: bytes) -> tuple[int, bytes]:
    """
    @return: the number at the start of a body, and the rest.

    @raise ValueError: if the body is too short.
    """
    if len(body) < _NUMBER.size:
        raise ValueError(f"a message of {len(body)} bytes is too short for a number")
    (number,) = _NUMBER.unpack_from(body)
    return number, body[_NUMBER.size :]


def frameMessage(kind: Kind, frame: Frame, arrived: datetime) -> bytes:
    """
    @param kind: C{HEADER} or C{FRAME}.
    @param arrived: when the frame arrived.
    @return: a message with a frame: its L{_FRAME} header and its unchanged payload.
    """
    payload = frame.payload
    return b"".join(
        (
            _HEAD.pack(1 + _FRAME.size + len(payload), kind),
            _FRAME.pack(frame.kind, frame.timestamp, arrived.timestamp()),
            payload,
        )
    )


def frameOf(body: bytes) -> tuple[Frame, datetime]:
    """
    @return: the frame in the body of a message, and when it arrived.
    """
    kind, timestamp, arrived = _FRAME.unpack_from(body)
    frame = frameFromMessage(FrameKind(kind), timestamp, body[_FRAME.size :])
    return frame, datetime.fromtimestamp(arrived, UTC)


def sampleMessage(sample: Sample) -> bytes:
    """
    @return: a message with a sample.
    """
    flags = sample.isConfig | sample.isKey << 1
    return message(
        Kind.SAMPLE,
        _SAMPLE.pack(
            sample.kind,
            sample.track,
            _CODECS.index(sample.codec),
            flags,
            sample.timestamp,
            sample.compositionTime,
            sample.legacyHead,
        )
        + sample.data,
    )


def sampleOf(body: bytes) -> Sample:
    """
    @return: the sample in the body of a message.
    """
    kind, track, codec, flags, timestamp, composition, legacyHead = _SAMPLE.unpack_from(
        body
    )
    return Sample(
        FrameKind(kind),
        track,
        _CODECS[codec],
        bool(flags & 1),
        body[_SAMPLE.size :],
        timestamp,
        composition,
        bool(flags & 2),
        legacyHead,
    )


def answer(descriptor: int, data: bytes) -> None:
    """
    Write all the data; blocks.
    """
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def messagesFrom(descriptor: int) -> Iterator[tuple[Kind, bytes]]:
    """
    @return: the messages read, until the end of the input; blocks.
    """
    reader = MessageReader()
    while data := os.read(descriptor, _BLOCK):
        yield from reader.receive(data)


class MessageReader:
    """
    Splits a byte stream into messages.
    """

    def __init__(self) -> None:
        self._waiting = bytearray()

    def receive(self, data: bytes) -> list[tuple[Kind, bytes]]:
        """
        @return: the messages that are complete now.

        @raise ValueError: if the data is not a valid message.
        """
        waiting = self._waiting
        waiting += data
        messages: list[tuple[Kind, bytes]] = []
        position = 0
        while len(waiting) - position >= _HEAD.size:
            length, kind = _HEAD.unpack_from(waiting, position)
            if not 1 <= length <= MAX_MESSAGE:
                raise ValueError(f"invalid message length {length}")
            end = position + _NUMBER.size + length
            if len(waiting) < end:
                break
            try:
                messages.append(
                    (Kind(kind), bytes(waiting[position + _HEAD.size : end]))
                )
            except ValueError:
                raise ValueError(f"unknown message kind {kind}") from None
            position = end
        del waiting[:position]
        return messages
