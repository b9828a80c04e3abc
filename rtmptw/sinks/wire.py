"""
What the server and a child of its own say to each other.

A message is its length (4 bytes, the greatest first, without themselves), its L{Kind}
(one byte) and its body. The child reads messages from its standard input, and writes
its own to descriptor 3; its output and its complaints are lines for the log. (One that
writes a container answers on its standard output: it prints nothing.)

Nothing here is ever executed, or makes objects of classes it names: a child decodes
what strangers sent, and may say anything.
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

#: The longest message: an uncompressed image of 7680x4320 has less. Whoever announces
#: more has lost its way.
MAX_MESSAGE = 256 * 1024 * 1024


class Kind(IntEnum):
    """
    What a message is.
    """

    #: To the child, first: JSON, what it is to do.
    ORDER = 1
    #: To the child: a header that came before; a L{frameMessage}.
    HEADER = 2
    #: To the child: the next frame of the stream; a L{frameMessage}.
    FRAME = 3
    #: To the child: the stream is over; why, as text. Nothing follows.
    END = 4
    #: To the child: a number (4 bytes) and what is asked.
    REQUEST = 5
    #: To the child: a coded sample or a configuration; a L{sampleMessage}.
    SAMPLE = 6
    #: To the child: write what is kept, and answer with L{WRITTEN}.
    FLUSH = 7
    #: To the child: complete the file, and answer with L{WRITTEN}.
    FINISH = 8
    #: To the child: the number (4 bytes) of a place in shared memory: it is free again.
    FREE = 9
    #: From the child: a number (4 bytes), of frames that it is done with so far.
    DONE = 16
    #: From the child: JSON C{[reason, frames, bytes]}: of those, these are dropped.
    DROPPED = 17
    #: From the child: it does no more, and need not be started again; why, as text.
    FAILED = 18
    #: From the child: JSON C{[level, text]}, for the log.
    LOG = 19
    #: From the child: a request's number (4 bytes) and the answer.
    ANSWER = 20
    #: From the child: a request's number (4 bytes) and why there is no answer, as text.
    REFUSED = 21
    #: From the child: JSON, what is written so far.
    WRITTEN = 22
    #: From the child: JSON C{[kind, track, why]}: that track is not for the container.
    UNFIT = 23
    #: From the child: JSON, a picture or samples that are in shared memory, and where:
    #: C{slot}, C{position} in bytes, C{shape} and C{type} as numpy has them; and what
    #: it is: C{kind}, C{track}, C{pts} and C{arrived} in seconds, C{key}, C{rate}.
    PICTURE = 24
    #: From the child: it is full, and wants no frames for now, but other messages.
    PAUSE = 25
    #: From the child: it wants frames again.
    RESUME = 26


#: Bytes read at once.
_BLOCK = 64 * 1024
_HEAD = Struct(">IB")
_NUMBER = Struct(">I")
#: The kind, the timestamp in ms, and when it came, in seconds since 1970.
_FRAME = Struct(">Bqd")
#: The kind, the track, the codec's number, whether it is a configuration (1) and a key
#: frame (2), the timestamp and the composition time in ms, the first byte of a legacy
#: body.
_SAMPLE = Struct(">BBBBqih")
#: Both sides are of one version.
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
    @return: the number that a body begins with, and the rest.

    @raise ValueError: if it is too short for one.
    """
    if len(body) < _NUMBER.size:
        raise ValueError(f"a message of {len(body)} bytes has no number")
    (number,) = _NUMBER.unpack_from(body)
    return number, body[_NUMBER.size :]


def frameMessage(kind: Kind, frame: Frame, arrived: datetime) -> bytes:
    """
    @param kind: C{HEADER} or C{FRAME}.
    @param arrived: when it came.
    @return: a message with a frame: its L{_FRAME} head, and its payload as it is.
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
    @return: the frame in the body of a message, and when it came.
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
    Write all of it, however long that takes.
    """
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def messagesFrom(descriptor: int) -> Iterator[tuple[Kind, bytes]]:
    """
    @return: what comes, until there is no more; blocks.
    """
    reader = MessageReader()
    while data := os.read(descriptor, _BLOCK):
        yield from reader.receive(data)


class MessageReader:
    """
    Cuts bytes into messages.
    """

    def __init__(self) -> None:
        self._waiting = bytearray()

    def receive(self, data: bytes) -> list[tuple[Kind, bytes]]:
        """
        @return: the messages that are whole now.

        @raise ValueError: if it is no message.
        """
        waiting = self._waiting
        waiting += data
        messages: list[tuple[Kind, bytes]] = []
        position = 0
        while len(waiting) - position >= _HEAD.size:
            length, kind = _HEAD.unpack_from(waiting, position)
            if not 1 <= length <= MAX_MESSAGE:
                raise ValueError(f"a message of {length} bytes")
            end = position + _NUMBER.size + length
            if len(waiting) < end:
                break
            try:
                messages.append(
                    (Kind(kind), bytes(waiting[position + _HEAD.size : end]))
                )
            except ValueError:
                raise ValueError(f"a message of the kind {kind}") from None
            position = end
        del waiting[:position]
        return messages
