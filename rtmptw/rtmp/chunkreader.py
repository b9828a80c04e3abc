"""
The chunk stream (RTMP 1.0, section 5.3): chunks of interleaved messages to whole
messages, and back.

The server that rtmptw replaces lost its place here: it parsed each read of the
socket on its own, and changed what it knew of a chunk stream before it had the
whole header. So the reader keeps two laws. It can stop at any byte and go on at
the next one, and L{Expect} says what that byte is. And what it knows of a chunk
stream changes only when the whole header is there: a header cut by the network is
put aside untouched and read again with the bytes that follow.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from rtmptw._native import mypyc_attr
from rtmptw.errors import LocalProtocolError, RemoteProtocolError
from rtmptw.frames import HEAD, Span

#: What both sides use until a Set Chunk Size (RTMP 1.0, section 5.4.1).
DEFAULT_CHUNK_SIZE = 128
#: No message is longer (its length has 24 bits), so a larger chunk size means the
#: same (RTMP 1.0, section 5.4.1) and is taken as this one.
MAX_CHUNK_SIZE = 0xFFFFFF
#: In a 24-bit timestamp field: a 32-bit one follows the message header.
EXTENDED_MARKER: Final = 0xFFFFFF
#: The longest header: 3 basic, 11 message, 4 extended timestamp.
MAX_HEADER = 18

SET_CHUNK_SIZE: Final = 1
ABORT: Final = 2
AUDIO: Final = 8
VIDEO: Final = 9
DATA_AMF3: Final = 15
DATA_AMF0: Final = 18
AGGREGATE: Final = 22

#: Message types that carry media, with the larger bound.
_MEDIA: Final = frozenset({AUDIO, VIDEO, DATA_AMF3, DATA_AMF0, AGGREGATE})

#: Chunks taken out of a run in one go. Bounds what a run that breaks off early
#: costs; 512 chunks of 128 bytes are one 64 KiB read.
_MAX_RUN: Final = 512
#: Headers between the chunks of a message that is left where it was read. Bounds what a
#: look at one that turns out to be interrupted costs.
MAX_IN_PLACE = 512
#: What was read is kept for the messages that lie in it if it has so many bytes. Less
#: is a small part of the room it was read into: kept, it would break that into pieces
#: too small for the next read, and all memory with it.
LEAST_KEPT = 32768
#: So many whole chunks must follow for a run to be worth its while.
_MIN_RUN: Final = 3
#: So many pieces of one message are joined on the way if they are small: a peer
#: that sends a byte at a time would cost forty bytes of memory for each.
_MANY_PIECES: Final = 1024
_SMALL_PIECES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """
    What a peer may make the reader hold, in bytes unless said.

    @ivar maxMedia: one audio, video, data or aggregate message. 10 MiB holds a
        key frame of 8K video; nginx-rtmp takes 1 MiB, gortmplib 10 MiB.
    @ivar maxCommand: one message of any other type. No command comes near 64 KiB.
    @ivar maxPartial: the declared lengths of all messages begun but not finished
        in several chunks: one of the largest kind and room for the others.
    @ivar maxChunkStreams: how many chunk streams (a count); encoders use 2 to 5,
        and there are 65,597 ids to invent.
    """

    maxMedia: int = 10 * 1024 * 1024
    maxCommand: int = 64 * 1024
    maxPartial: int = 16 * 1024 * 1024
    maxChunkStreams: int = 64


class Expect(IntEnum):
    """
    What the next byte is.
    """

    BASIC_HEADER = 0
    MESSAGE_HEADER = 1
    EXTENDED_TIMESTAMP = 2
    PAYLOAD = 3


# To look a member up in its class costs as much as to read a header.
_BASIC_HEADER: Final = Expect.BASIC_HEADER
_PAYLOAD: Final = Expect.PAYLOAD


class _ChunkStream:
    """
    What the reader knows of one chunk stream id.

    @ivar timestamp: of the message begun last, in ms.
    @ivar wireTimestamp: the last timestamp field as it was on the wire, absolute
        or delta; a type 3 chunk that begins a message adds it again.
    @ivar extended: whether that field was an extended one.
    @ivar pending: bytes still to come of an unfinished message; 0 for none.
    @ivar pieces: what has come of it.
    @ivar compacted: so many of the pieces are not joined again.
    @ivar promised: its length as counted against C{Limits.maxPartial}.
    @ivar marker: the one-byte type 3 header; empty for long ids.
    """

    __slots__ = (
        "chunkStreamID",
        "compacted",
        "extended",
        "length",
        "marker",
        "pending",
        "pieces",
        "promised",
        "streamID",
        "timestamp",
        "type",
        "wireTimestamp",
    )

    def __init__(self, chunkStreamID: int) -> None:
        self.chunkStreamID: int = chunkStreamID
        self.timestamp: int = 0
        self.wireTimestamp: int = 0
        self.extended: bool = False
        self.length: int = 0
        self.type: int = 0
        self.streamID: int = 0
        self.pending: int = 0
        self.pieces: list[bytes | bytearray] = []
        self.compacted: int = 0
        self.promised: int = 0
        self.marker: bytes = (
            bytes([0xC0 | chunkStreamID]) if chunkStreamID < 64 else b""
        )


@mypyc_attr(allow_interpreted_subclasses=True)
class MessageReceiver:
    """
    Takes the messages of a L{ChunkReader}. A class to inherit from, not a function to
    pass: compiled, one message is then one call in C.
    """

    def messageReceived(
        self,
        messageType: int,
        timestamp: int,
        streamID: int,
        payload: bytes,
        chunkStreamID: int,
    ) -> None:
        """
        Take the next message.

        @param timestamp: in ms, 0 to 2^32 - 1.
        @param streamID: its message stream.
        """

    def spanReceived(
        self,
        messageType: int,
        timestamp: int,
        streamID: int,
        span: Span,
        chunkStreamID: int,
    ) -> None:
        """
        Take the next message, of audio or video, whose payload lies in what was read,
        in several chunks. Unless this is overridden it is cut out.
        """
        self.messageReceived(
            messageType, timestamp, streamID, span.cut(), chunkStreamID
        )


#: Takes what a reader that has been given up would still deliver: nothing.
_NOBODY: Final = MessageReceiver()


class ChunkReader:
    """
    Chunks in, messages out.

    Set Chunk Size and Abort take effect here, between one message and the next,
    and are delivered like all others.

    @ivar chunkSize: the peer's chunk size, in bytes.
    @ivar expecting: what the next byte is.
    """

    #: How many messages one delivery of bytes may hold: this many, and one more
    #: for each four bytes of it. The smallest real messages (silent Opus) take six;
    #: a flood of empty messages takes one byte each, and all of our time.
    FREE_MESSAGES = 4096
    BYTES_PER_MESSAGE = 4
    #: What may come while delivery is held; the socket is paused then, so this is
    #: one last read of it.
    MAX_HELD = 4 * 1024 * 1024

    def __init__(self, receiver: MessageReceiver, limits: Limits | None = None) -> None:
        self._receiver = receiver
        self._limits = limits or Limits()
        self._maxMedia: int = self._limits.maxMedia
        self.chunkSize: int = DEFAULT_CHUNK_SIZE
        self.expecting: Expect = Expect.BASIC_HEADER
        # By id: those with a short one, which are nearly all, and the others.
        self._near: list[_ChunkStream | None] = [None] * 64
        self._far: dict[int, _ChunkStream] = {}
        self._count: int = 0
        self._current: _ChunkStream | None = None
        self._left: int = 0
        self._tail: bytes = b""
        self._promised: int = 0
        self._repeatsExtended: bool = False
        self._held: bool = False
        # What waits is what lies from here on in these bytes: to cut it off at each of
        # many holds in one delivery would cost the square of its size.
        self._heldBytes: bytes = b""
        self._heldFrom: int = 0
        self._isOver: bool = False
        self._budget: int = 0
        # What lies in the bytes at hand, and how many of them it takes.
        self._spans: list[Span] = []
        self._lying: int = 0

    @property
    def isWithin(self) -> bool:
        """
        Whether a message has begun and is not delivered yet.
        """
        # The last is of messages whose chunks lie on both sides of another one.
        return bool(self._left or self._tail or self._held or self._promised)

    def hold(self) -> None:
        """
        Deliver nothing more until L{release}: called from within
        L{MessageReceiver.messageReceived} when what follows depends on a decision not
        made yet.
        """
        self._held = True

    def release(self) -> None:
        """
        Go on after L{hold}, with the bytes that came meanwhile.

        @raise RemoteProtocolError: as L{receive}.
        """
        if self._isOver:
            return
        self._held = False
        data, self._heldBytes = self._heldBytes, b""
        position, self._heldFrom = self._heldFrom, 0
        self._read(data, position)
        if self._spans:
            self._settle(len(data))

    def giveUp(self) -> None:
        """
        Let go of all that is not delivered, and of the receiver: nothing is delivered
        from now on. May be called from within L{MessageReceiver.messageReceived}.

        What a peer has begun can be megabytes. They are gone at once, and do not wait
        for the garbage collector.
        """
        self._isOver = True
        # The rest of what is being read is not looked at.
        self._held = True
        self._receiver = _NOBODY
        self._near = [None] * 64
        self._far = {}
        self._current = None
        self._left = 0
        self._tail = b""
        self._promised = 0
        self._heldBytes = b""
        self._heldFrom = 0
        self._settle(0)

    def receive(self, data: bytes) -> None:
        """
        Take the next bytes, cut anywhere, and deliver each message that they
        complete.

        @raise RemoteProtocolError: if they are not a chunk stream or ask for more
            than the limits. What was whole before has been delivered; the reader
            must not be used again.
        """
        if self._held:
            if self._isOver:
                return
            self._heldBytes = self._heldBytes[self._heldFrom :] + data
            self._heldFrom = 0
            if len(self._heldBytes) > self.MAX_HELD:
                raise RemoteProtocolError(
                    "too-much-unread",
                    f"{len(self._heldBytes)} bytes sent ahead of an answer, "
                    f"at most {self.MAX_HELD}",
                )
            # Of what is held already, the messages were counted when it came.
            self._budget += len(data) // self.BYTES_PER_MESSAGE
            return
        self._budget = self.FREE_MESSAGES + len(data) // self.BYTES_PER_MESSAGE
        self._read(data, 0)
        if self._spans:
            self._settle(len(data))

    def _settle(self, size: int) -> None:
        """
        Keep what was read for the messages that lie in it, or copy those.

        @param size: of what was read, in bytes.
        """
        if self._lying < size // 2 or size < LEAST_KEPT:
            # Who keeps frames may keep twice as much as they say, and no more.
            for span in self._spans:
                span.settle()
        self._spans = []
        self._lying = 0

    def _read(self, data: bytes, position: int) -> None:
        stop: int = 0
        end: int = len(data)
        if self._tail:
            # Finish the header that was cut, from a small copy of its own. (Nothing has
            # been read of the data then.)
            tail = self._tail
            self._tail = b""
            head = tail + data[: MAX_HEADER - len(tail)]
            position = self._readHeader(head, 0, len(head)) - len(tail)
            if position < 0:
                # Not whole yet: all of the data is in it, as no header is longer.
                return
            self._endOfHeader()
        while position < end and not self._held:
            if self._left:
                position = self._readPayload(data, position, end)
                continue
            position = self._readHeader(data, position, end)
            if position < 0:
                return
            stream = self._current
            assert stream is not None
            size: int = stream.pending
            if position + size <= end and size == stream.length and size > 0:
                # All here, perhaps, as most messages are.
                stop = self._readWhole(stream, data, position, end)
                if stop:
                    position = stop
                    continue
            self._endOfHeader()
        if position < end and not self._isOver:
            self._heldBytes = data
            self._heldFrom = position

    def _readWhole(
        self, stream: _ChunkStream, data: bytes, position: int, end: int
    ) -> int:
        """
        Take a message that has just begun, if all of it is here and nothing between.

        @return: the position behind it; 0 if it is not so.
        """
        size: int = stream.pending
        first: int = self.chunkSize
        stop: int = position + size
        stream.pending = 0
        if size <= first:
            self._finish(stream, data[position:stop])
            return stop
        headers: int = (size - 1) // first
        header: int = position + first
        stop += headers
        if (
            stop > end
            or stream.extended
            or not stream.marker
            or data[header] != stream.marker[0]
            or headers > MAX_IN_PLACE
            or (
                headers > 1
                and data[header : stop : first + 1] != stream.marker * headers
            )
        ):
            stream.pending = size
            return 0
        span = Span(data, position, stop, first, first + 1, size)
        messageType: int = stream.type
        if first < HEAD or (messageType != VIDEO and messageType != AUDIO):
            self._finish(stream, span.cut())
            return stop
        self._whole(stream)
        self._spans.append(span)
        self._lying += size
        self._receiver.spanReceived(
            messageType, stream.timestamp, stream.streamID, span, stream.chunkStreamID
        )
        return stop

    def _readHeader(self, data: bytes, start: int, end: int) -> int:
        """
        Read the chunk header at C{start}.

        @return: where the payload begins; -1 if the header is not whole, which has
            been put aside then.
        """
        position: int = start
        first: int = data[position]
        chunkFormat: int = first >> 6
        chunkStreamID: int = first & 63
        stream: _ChunkStream | None = None
        position += 1
        if chunkStreamID >= 2:
            stream = self._near[chunkStreamID]
        else:
            # RTMP 1.0, 5.3.1.1: one more byte, or two with the high one last.
            if end - position <= chunkStreamID:
                return self._notYet(data, start, Expect.BASIC_HEADER)
            more = data[position]
            if chunkStreamID:
                more += data[position + 1] << 8
            position += 1 + chunkStreamID
            chunkStreamID = 64 + more
            stream = self._far.get(chunkStreamID)
        if chunkFormat == 3:
            if stream is None:
                raise self._withoutHeader(chunkFormat, chunkStreamID)
            if stream.extended:
                position = self._skipExtended(stream, data, position, end)
                if position < 0:
                    return self._notYet(data, start, Expect.EXTENDED_TIMESTAMP)
            if not stream.pending:
                stream.timestamp = (
                    stream.timestamp + stream.wireTimestamp
                ) & 0xFFFFFFFF
                stream.pending = stream.length
                if stream.length > self.chunkSize:
                    self._promise(stream)
            self._current = stream
            return position
        # Of the message header. Not from a table: compiled, that would be a tuple
        # made for each message.
        size: int = 11 if chunkFormat == 0 else 7 if chunkFormat == 1 else 3
        if end - position < size:
            return self._notYet(data, start, Expect.MESSAGE_HEADER)
        field: int = data[position] << 16 | data[position + 1] << 8 | data[position + 2]
        extended: bool = field == EXTENDED_MARKER
        after: int = position + size
        if extended:
            if end - after < 4:
                return self._notYet(data, start, Expect.EXTENDED_TIMESTAMP)
            field = int.from_bytes(data[after : after + 4], "big")
            after += 4
        if stream is None:
            if chunkFormat == 2:
                raise self._withoutHeader(chunkFormat, chunkStreamID)
            # librtmp begins chunk stream 2 with type 1: from timestamp 0, stream 0.
            if self._count >= self._limits.maxChunkStreams:
                raise RemoteProtocolError(
                    "too-many-chunk-streams",
                    f"chunk stream {chunkStreamID} is one more than the "
                    f"{self._limits.maxChunkStreams} allowed",
                )
            self._count += 1
            stream = _ChunkStream(chunkStreamID)
            if chunkStreamID < 64:
                self._near[chunkStreamID] = stream
            else:
                self._far[chunkStreamID] = stream
        length: int = stream.length
        messageType: int = stream.type
        streamID: int = stream.streamID
        if chunkFormat < 2:
            length = (
                data[position + 3] << 16 | data[position + 4] << 8 | data[position + 5]
            )
            messageType = data[position + 6]
            if chunkFormat == 0:
                streamID = (
                    data[position + 7]
                    | data[position + 8] << 8
                    | data[position + 9] << 16
                    | data[position + 10] << 24
                )
        if stream.pending:
            # 5.3.1.2.4: a continuation SHOULD be of type 3. FFmpeg and GStreamer
            # take others too; without Abort it cannot be another message.
            if (
                length != stream.length
                or messageType != stream.type
                or streamID != stream.streamID
            ):
                raise RemoteProtocolError(
                    "header-change-mid-message",
                    f"chunk stream {chunkStreamID} begins a message of {length} bytes "
                    f"(type {messageType}, stream {streamID}) with "
                    f"{stream.pending} of {stream.length} bytes "
                    f"(type {stream.type}, stream {stream.streamID}) missing",
                )
            stream.extended = extended
        else:
            if length > self._maxMedia or messageType not in (VIDEO, AUDIO):
                self._checkLength(messageType, length)
            stream.extended = extended
            stream.wireTimestamp = field
            stream.timestamp = (
                field if chunkFormat == 0 else (stream.timestamp + field) & 0xFFFFFFFF
            )
            stream.length = length
            stream.type = messageType
            stream.streamID = streamID
            stream.pending = length
            if length > self.chunkSize:
                self._promise(stream)
        self._current = stream
        return after

    def _checkLength(self, messageType: int, length: int) -> None:
        limits = self._limits
        bound = limits.maxMedia if messageType in _MEDIA else limits.maxCommand
        if length > bound:
            raise RemoteProtocolError(
                "message-too-large",
                f"message of type {messageType} with {length} bytes, at most {bound}",
            )

    def _promise(self, stream: _ChunkStream) -> None:
        """
        Count a message of several chunks: only these can lie unfinished beside
        others.
        """
        stream.promised = stream.length
        self._promised += stream.length
        if self._promised > self._limits.maxPartial:
            raise RemoteProtocolError(
                "too-much-partial-data",
                f"unfinished messages of {self._promised} bytes in all, "
                f"at most {self._limits.maxPartial}",
            )

    def _endOfHeader(self) -> None:
        stream = self._current
        assert stream is not None
        pending = stream.pending
        if pending:
            self._left = pending if pending < self.chunkSize else self.chunkSize
            self.expecting = _PAYLOAD
        else:
            # A message without payload is whole with its header.
            self._finish(stream, b"")

    def _notYet(self, data: bytes, start: int, expecting: Expect) -> int:
        self._tail = data[start:]
        self.expecting = expecting
        return -1

    def _withoutHeader(
        self, chunkFormat: int, chunkStreamID: int
    ) -> RemoteProtocolError:
        return RemoteProtocolError(
            "no-header",
            f"chunk stream {chunkStreamID} begins with a type {chunkFormat} chunk, "
            "which takes its length and type from a message before",
        )

    def _skipExtended(
        self, stream: _ChunkStream, data: bytes, position: int, end: int
    ) -> int:
        """
        Skip the extended timestamp of a type 3 chunk, if it is there.

        The specification wants it (5.3.1.3). Old OBS leaves it out, gortmplib
        sends zeros, SRS the absolute timestamp. It is taken as present if it says
        one of these, or if this peer has shown before that it sends it.

        @return: where the payload begins, or -1 for "cannot tell yet".
        """
        found = data[position : position + 4]
        if self._repeatsExtended:
            return position + 4 if len(found) == 4 else -1
        candidates = [stream.wireTimestamp, stream.timestamp, 0]
        if not stream.pending:
            candidates.append((stream.timestamp + stream.wireTimestamp) & 0xFFFFFFFF)
        for value in candidates:
            # By prefix, so as not to wait for four bytes that never come.
            if value.to_bytes(4, "big").startswith(found):
                if len(found) < 4:
                    return -1
                if value:
                    self._repeatsExtended = True
                return position + 4
        return position

    def _readPayload(self, data: bytes, position: int, end: int) -> int:
        """
        Take what there is of the current chunk's payload, and of a run of chunks
        that continue it.

        @return: the position behind it.
        """
        stream = self._current
        assert stream is not None
        left: int = self._left
        stop: int = position + left
        if stop > end:
            self._keep(stream, data[position:end])
            stream.pending -= end - position
            self._left = left - (end - position)
            return end
        self._left = 0
        if stream.pending == left:
            piece: bytes = data[position:stop]
            if stream.pieces:
                stream.pieces.append(piece)
                piece = self._join(stream)
            stream.pending = 0
            self._finish(stream, piece)
            return stop
        size: int = self.chunkSize
        if (
            stream.pending - left >= size * _MIN_RUN
            and end - stop > size * _MIN_RUN
            and not stream.extended
            and stream.marker
            and data[stop] == stream.marker[0]
        ):
            return self._readRun(stream, left, data, position, end)
        self._keep(stream, data[position:stop])
        stream.pending -= left
        self.expecting = _BASIC_HEADER
        return stop

    def _readRun(
        self, stream: _ChunkStream, left: int, data: bytes, position: int, end: int
    ) -> int:
        """
        Take a run of chunks of one message: the one byte headers between them lie
        at equal distances, so one slice shows them all and one deletion takes them
        out. With chunks of 128 bytes that is five times as fast as a loop.
        """
        size: int = self.chunkSize
        stride: int = size + 1
        stop: int = position + left
        rest: int = stream.pending - left
        count: int = min((end - stop) // stride, rest // size, _MAX_RUN)
        markers = data[stop : stop + count * stride : stride]
        # As long as they are all the type 3 header of this chunk stream.
        count = count - len(markers.lstrip(stream.marker))
        stop += count * stride
        rest -= count * size
        piece = bytearray(memoryview(data)[position:stop])
        del piece[left::stride]
        stream.pending = rest
        if rest:
            self._keep(stream, piece)
            self.expecting = _BASIC_HEADER
        else:
            stream.pieces.append(piece)
            self._finish(stream, self._join(stream))
        return stop

    def _keep(self, stream: _ChunkStream, piece: bytes | bytearray) -> None:
        """
        Keep a piece of an unfinished message. Many small ones are joined on the
        way; no byte is joined more than once here, so this stays linear.
        """
        pieces = stream.pieces
        pieces.append(piece)
        if len(pieces) - stream.compacted < _MANY_PIECES:
            return
        recent = pieces[stream.compacted :]
        if sum(map(len, recent)) < _SMALL_PIECES:
            pieces[stream.compacted :] = [b"".join(recent)]
            stream.compacted += 1
        else:
            stream.compacted = len(pieces)

    def _join(self, stream: _ChunkStream) -> bytes:
        payload = b"".join(stream.pieces)
        stream.pieces = []
        stream.compacted = 0
        return payload

    def _finish(self, stream: _ChunkStream, payload: bytes) -> None:
        self._whole(stream)
        if stream.type == SET_CHUNK_SIZE:
            self._setChunkSize(payload)
        elif stream.type == ABORT and len(payload) >= 4:
            self._abort(int.from_bytes(payload[:4], "big"))
        self._receiver.messageReceived(
            stream.type,
            stream.timestamp,
            stream.streamID,
            payload,
            stream.chunkStreamID,
        )

    def _whole(self, stream: _ChunkStream) -> None:
        """
        Count a message that is whole.
        """
        self.expecting = _BASIC_HEADER
        if stream.promised:
            self._promised -= stream.promised
            stream.promised = 0
        self._budget -= 1
        if self._budget < 0:
            raise RemoteProtocolError(
                "too-many-messages",
                f"one delivery holds more than {self.FREE_MESSAGES} messages "
                f"of less than {self.BYTES_PER_MESSAGE} bytes",
            )

    def _setChunkSize(self, payload: bytes) -> None:
        if len(payload) < 4:
            raise RemoteProtocolError(
                "bad-set-chunk-size", f"Set Chunk Size of {len(payload)} bytes, needs 4"
            )
        size = int.from_bytes(payload[:4], "big")
        if not 1 <= size <= 0x7FFFFFFF:
            raise RemoteProtocolError(
                "bad-set-chunk-size", f"chunk size {size}, must be 1 to 2147483647"
            )
        self.chunkSize = min(size, MAX_CHUNK_SIZE)

    def _abort(self, chunkStreamID: int) -> None:
        """
        Forget an unfinished message. Its header stays known: a type 3 chunk after
        this begins a new message (RTMP 1.0, section 5.4.2).
        """
        if chunkStreamID < 64:
            stream = self._near[chunkStreamID]
        else:
            stream = self._far.get(chunkStreamID)
        if stream is not None and stream.pending:
            stream.pending = 0
            stream.pieces = []
            stream.compacted = 0
            self._promised -= stream.promised
            stream.promised = 0


def encodeMessage(
    chunkStreamID: int,
    messageType: int,
    timestamp: int,
    streamID: int,
    payload: bytes,
    chunkSize: int,
) -> bytes:
    """
    Encode one message with an absolute (type 0) header, which needs nothing that
    came before: the form that many receivers of one chunk size can share.

    @param chunkStreamID: 2 to 31. Some servers read no long ids (gortmplib) or not
        more than 32 (nginx-rtmp).
    @param timestamp: in ms, taken modulo 2^32.

    @raise LocalProtocolError: for an id, length or chunk size that cannot be said.
    """
    timestamp &= 0xFFFFFFFF
    _check(chunkStreamID, payload, chunkSize)
    wire = min(timestamp, EXTENDED_MARKER)
    header = (
        bytes([chunkStreamID])
        + wire.to_bytes(3, "big")
        + len(payload).to_bytes(3, "big")
        + bytes([messageType])
        + streamID.to_bytes(4, "little")
    )
    return _chunks(
        header,
        timestamp.to_bytes(4, "big") if wire == EXTENDED_MARKER else b"",
        chunkStreamID,
        payload,
        chunkSize,
    )


def _check(chunkStreamID: int, payload: bytes, chunkSize: int) -> None:
    if not 2 <= chunkStreamID <= 31:
        raise LocalProtocolError(f"chunk stream {chunkStreamID}, must be 2 to 31")
    if len(payload) > 0xFFFFFF:
        raise LocalProtocolError(f"message of {len(payload)} bytes, at most 16777215")
    if not 1 <= chunkSize <= MAX_CHUNK_SIZE:
        raise LocalProtocolError(f"chunk size {chunkSize}, must be 1 to 16777215")


def _chunks(
    header: bytes, extended: bytes, chunkStreamID: int, payload: bytes, chunkSize: int
) -> bytes:
    """
    Cut a payload into chunks. The extended timestamp is repeated in each, as the
    first has it: every reader we know is content with that, and librtmp and Flash
    with nothing else.
    """
    if len(payload) <= chunkSize:
        return header + extended + payload
    between = bytes([0xC0 | chunkStreamID]) + extended
    pieces = [
        payload[start : start + chunkSize]
        for start in range(0, len(payload), chunkSize)
    ]
    pieces[0] = header + extended + pieces[0]
    return between.join(pieces)


class _Written:
    """
    What the receiver knows of one chunk stream id.
    """

    __slots__ = ("absolute", "length", "streamID", "timestamp", "type", "wireTimestamp")

    def __init__(self) -> None:
        self.timestamp = 0
        self.wireTimestamp = 0
        self.absolute = True
        self.length = -1
        self.type = 0
        self.streamID = 0


class ChunkWriter:
    """
    Messages in, chunks out, each with the smallest header that is right.

    @ivar chunkSize: ours, in bytes; changed by writing a Set Chunk Size message.
    """

    def __init__(self) -> None:
        self.chunkSize: int = DEFAULT_CHUNK_SIZE
        self._written: dict[int, _Written] = {}

    def write(
        self,
        chunkStreamID: int,
        messageType: int,
        timestamp: int,
        streamID: int,
        payload: bytes,
    ) -> bytes:
        """
        Encode one message.

        @param chunkStreamID: 2 to 31.
        @param timestamp: in ms, taken modulo 2^32.
        @return: its chunks.

        @raise LocalProtocolError: for an id, length or chunk size that cannot be
            said.
        """
        timestamp &= 0xFFFFFFFF
        size = self.chunkSize
        if messageType == SET_CHUNK_SIZE:
            # It takes effect behind this message.
            _check(chunkStreamID, payload, int.from_bytes(payload[:4], "big"))
        before = self._written.get(chunkStreamID)
        delta = 0
        if before is not None:
            delta = (timestamp - before.timestamp) & 0xFFFFFFFF
        if (
            before is None
            or before.streamID != streamID
            # A delta cannot go back, and what an extended one means is disputed
            # (ossrs/srs#4365): an absolute time is read alike by all.
            or delta >= EXTENDED_MARKER
        ):
            encoded = encodeMessage(
                chunkStreamID, messageType, timestamp, streamID, payload, size
            )
            before = self._written[chunkStreamID] = before or _Written()
            before.absolute = True
            before.wireTimestamp = timestamp
        else:
            _check(chunkStreamID, payload, size)
            if before.length != len(payload) or before.type != messageType:
                header = (
                    bytes([0x40 | chunkStreamID])
                    + delta.to_bytes(3, "big")
                    + len(payload).to_bytes(3, "big")
                    + bytes([messageType])
                )
                repeats = False
            else:
                # After an absolute time the specification repeats that very
                # number, nginx-rtmp and gortmplib repeat 0: only 0 suits both.
                repeats = delta == before.wireTimestamp and not (
                    before.absolute and delta
                )
                header = (
                    bytes([0xC0 | chunkStreamID])
                    if repeats
                    else bytes([0x80 | chunkStreamID]) + delta.to_bytes(3, "big")
                )
            encoded = _chunks(header, b"", chunkStreamID, payload, size)
            if not repeats:
                before.absolute = False
                before.wireTimestamp = delta
        before.timestamp = timestamp
        before.length = len(payload)
        before.type = messageType
        before.streamID = streamID
        if messageType == SET_CHUNK_SIZE:
            self.chunkSize = int.from_bytes(payload[:4], "big")
        return encoded
