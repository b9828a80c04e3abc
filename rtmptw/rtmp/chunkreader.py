"""
Reads the chunk stream (RTMP 1.0, section 5.3): assembles chunks of interleaved
messages into whole messages.

The server that rtmptw replaces lost synchronization here: it parsed each read of the
socket on its own, and updated a chunk stream before it had the whole header. So the
reader follows two rules. It can stop at any byte and continue at the next:
L{ChunkReader.expecting} says what that byte is, and the table in
L{rtmptw.rtmp.chunkstates} what can follow. And it updates a chunk stream only when
the whole header has arrived: an incomplete part is kept unparsed, and the values of
the parts before it are stored separately from the chunk stream.

B{The fast path.} A header that is whole in what was read is parsed in one step, and
so is a message: L{ChunkReader} then goes from the basic header directly to the
payload, or to the next basic header. This is in C{ChunkReader._readBasicHeader};
everything else takes the normal path through the states.
"""

from typing import Final

from rtmptw._native import mypyc_attr
from rtmptw.errors import LocalProtocolError, RemoteProtocolError
from rtmptw.frames import HEAD, Span
from rtmptw.rtmp.chunks import (
    ABORT,
    AUDIO,
    DEFAULT_CHUNK_SIZE,
    EXTENDED_MARKER,
    MAX_CHUNK_SIZE,
    MEDIA,
    SET_CHUNK_SIZE,
    VIDEO,
    Limits,
)
from rtmptw.rtmp.chunkstates import CHUNK_TRANSITIONS, ChunkStep, Expect
from rtmptw.rtmp.fastpath import MIN_RUN, cutRun, endInPlace, settle

#: After this many pieces of one message, small ones are joined: each byte from a peer
#: that sends one at a time would otherwise take forty bytes of memory.
_MANY_PIECES: Final = 1024
_SMALL_PIECES: Final = 1024 * 1024

# Looking up an enum member in its class costs as much as reading a header.
_BASIC_HEADER: Final = Expect.BASIC_HEADER
_MESSAGE_HEADER: Final = Expect.MESSAGE_HEADER
_EXTENDED_TIMESTAMP: Final = Expect.EXTENDED_TIMESTAMP
_PAYLOAD: Final = Expect.PAYLOAD
_RELEASE: Final = Expect.RELEASE
_NOTHING: Final = Expect.NOTHING
# So does a look-up in the table, and these steps happen for every chunk.
_AFTER_HEADER: Final = CHUNK_TRANSITIONS[_BASIC_HEADER][ChunkStep.WHOLE]
_AFTER_CHUNK: Final = CHUNK_TRANSITIONS[_PAYLOAD][ChunkStep.CHUNK]


class _ChunkStream:
    """
    What the reader knows about one chunk stream id.

    @ivar timestamp: of the current or last message, in ms.
    @ivar wireTimestamp: the last timestamp field as it was on the wire, absolute
        or delta; a type 3 chunk that begins a message adds it again.
    @ivar extended: whether that field was an extended one.
    @ivar pending: bytes still to come of an unfinished message; 0 for none.
    @ivar pieces: the parts of that message received so far.
    @ivar compacted: the number of pieces that are not joined again.
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
    Receives the messages of a L{ChunkReader}. A base class instead of a callback:
    when compiled, each message is then one call in C.
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
        Receive the next message.

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
        Receive the next audio or video message, whose payload lies in several chunks
        in the buffer that was read. This default copies the payload out of it.
        """
        self.messageReceived(
            messageType, timestamp, streamID, span.cut(), chunkStreamID
        )


#: The receiver of a reader that has given up. It does nothing.
_NOBODY: Final = MessageReceiver()


class ChunkReader:
    """
    Parse chunks, and deliver messages.

    Set Chunk Size and Abort take effect here, between one message and the next,
    and are delivered like all others.

    A peer can put tens of thousands of messages into one read, and while they are
    handled the other connections wait. So the reader does a limited amount of work
    in one turn, and then rests until L{takeTurn}.

    @ivar chunkSize: the peer's chunk size, in bytes.
    @ivar expecting: the state: what the next byte is.
    @ivar isResting: whether the work of this turn is done and more data is waiting.
    """

    #: The work of one turn. A message is one unit; the receiver reports with L{spend}
    #: if one takes more than a frame. 64 KiB of real messages are less.
    WORK = 500
    #: The maximum number of bytes held back. The socket is paused while delivery is
    #: held, so this is one last read of it.
    MAX_HELD = 4 * 1024 * 1024

    def __init__(self, receiver: MessageReceiver, limits: Limits | None = None) -> None:
        self._receiver = receiver
        self._limits = limits or Limits()
        self._maxMedia: int = self._limits.maxMedia
        self.chunkSize: int = DEFAULT_CHUNK_SIZE
        self.expecting: Expect = _BASIC_HEADER
        # By id: short ids, which nearly all streams have, and long ones.
        self._near: list[_ChunkStream | None] = [None] * 64
        self._far: dict[int, _ChunkStream] = {}
        self._count: int = 0
        # What the header of the current chunk has said so far. The chunk stream does
        # not exist until its first header is whole.
        self._current: _ChunkStream | None = None
        self._format: int = 0
        self._chunkStreamID: int = 0
        self._length: int = 0
        self._type: int = 0
        self._streamID: int = 0
        # Bytes of the chunk's payload that are still to come.
        self._left: int = 0
        self._promised: int = 0
        self._repeatsExtended: bool = False
        # Data not parsed yet, an incomplete header or all that is held, and where in
        # it the unparsed part begins. Slicing it at each of many holds in one delivery
        # would take quadratic time.
        self._unread: bytes = b""
        self._unreadFrom: int = 0
        # Units of work left in this turn.
        self._work: int = 0
        self.isResting: bool = False
        # The number of type 3 chunks that lacked their extended timestamp.
        self._omitted: int = 0
        # The payloads that lie in the current buffer, and their total size.
        self._spans: list[Span] = []
        self._lying: int = 0

    @property
    def isWithin(self) -> bool:
        """
        Whether a message has begun and is not delivered yet.
        """
        # The last term is for messages whose chunks are interleaved with others.
        return bool(
            self.expecting is not _BASIC_HEADER or self._unread or self._promised
        )

    def heldBytes(self) -> int:
        """
        @return: the number of bytes received and not delivered yet.
        """
        total: int = len(self._unread) - self._unreadFrom
        if self.isWithin:
            for stream in (*self._near, *self._far.values()):
                if stream is not None and stream.pieces:
                    total += stream.length - stream.pending
        return total

    def hold(self) -> None:
        """
        Deliver nothing more until L{release}. Called from within
        L{MessageReceiver.messageReceived} when what follows depends on a decision not
        made yet.

        @raise LocalProtocolError: in the middle of a chunk, or if already held.
        """
        if self.expecting is not _NOTHING:
            self._step(ChunkStep.HOLD)

    def release(self) -> None:
        """
        Resume delivery after L{hold}, starting with the bytes received meanwhile.

        @raise RemoteProtocolError: as L{receive}.
        @raise LocalProtocolError: if delivery is not held.
        """
        if self.expecting is _NOTHING:
            return
        self._step(ChunkStep.RELEASE)
        data, self._unread = self._unread, b""
        position, self._unreadFrom = self._unreadFrom, 0
        self._read(data, position)

    def spend(self, work: int) -> bool:
        """
        Count the work for what was delivered, if it is more than for a frame.

        @param work: in frames.
        @return: whether more work can be done in this turn.
        """
        self._work -= work
        return self._work > 0

    def renew(self) -> None:
        """
        Begin a new turn: allow a full turn's work again.
        """
        self._work = self.WORK

    def takeTurn(self) -> None:
        """
        Begin a new turn, and resume delivery if the reader rests.

        @raise RemoteProtocolError: as L{receive}.
        """
        self.renew()
        if self.isResting:
            self.isResting = False
            self.release()

    def giveUp(self) -> None:
        """
        Discard everything undelivered, and drop the receiver: nothing is delivered
        from now on. Can be called more than once, and from within
        L{MessageReceiver.messageReceived}.

        Unfinished messages can be megabytes. They are freed at once, without the
        garbage collector.
        """
        if self.expecting is _NOTHING:
            return
        self._step(ChunkStep.END)
        self._receiver = _NOBODY
        self._near = []
        self._far = {}
        self._current = None
        self._unread = b""
        self._unreadFrom = 0
        self.isResting = False
        self._settle(0)

    def receive(self, data: bytes) -> None:
        """
        Parse the next bytes, cut anywhere, and deliver each message that they
        complete.

        @raise RemoteProtocolError: if they are not a chunk stream, or exceed the
            limits. Messages complete before that have been delivered. The reader has
            given up, and ignores what follows.
        """
        state = self.expecting
        if state is _RELEASE:
            self._wait(data)
        elif state is not _NOTHING:
            self._work = self.WORK
            if self._unread:
                # Part of a header; on average less than one byte in 5,000 read.
                data = self._unread + data
                self._unread = b""
            self._read(data, 0)

    def _step(self, step: ChunkStep) -> None:
        following = CHUNK_TRANSITIONS[self.expecting].get(step)
        if following is None:
            raise LocalProtocolError(
                f"{step.value} while the chunk reader expects {self.expecting.value}"
            )
        self.expecting = following

    def _wait(self, data: bytes) -> None:
        """
        Add data to what is held.
        """
        self._unread = self._unread[self._unreadFrom :] + data
        self._unreadFrom = 0
        size = len(self._unread)
        if size > self.MAX_HELD:
            self.giveUp()
            raise RemoteProtocolError(
                "too-much-unread",
                f"{size} bytes sent before our answer, "
                f"at most {self.MAX_HELD} are allowed",
            )

    def _settle(self, size: int) -> None:
        """
        Keep the buffer for the payloads that lie in it, or copy them.

        @param size: of the buffer, in bytes.
        """
        settle(self._spans, self._lying, size)
        self._spans = []
        self._lying = 0

    def _read(self, data: bytes, position: int) -> None:
        """
        Dispatch on the state until nothing more can be read now.
        """
        end: int = len(data)
        try:
            while position < end:
                state = self.expecting
                if state is _BASIC_HEADER:
                    if self._work <= 0:
                        # The next iteration finds that delivery is held.
                        self._step(ChunkStep.REST)
                        self.isResting = True
                        continue
                    position = self._readBasicHeader(data, position, end)
                elif state is _PAYLOAD:
                    position = self._readPayload(data, position, end)
                elif state is _MESSAGE_HEADER:
                    position = self._readMessageHeader(data, position, end)
                elif state is _EXTENDED_TIMESTAMP:
                    position = self._readExtendedTimestamp(data, position, end)
                elif state is _RELEASE:
                    self._unread = data
                    self._unreadFrom = position
                    break
                else:
                    # The receiver made us give up: ignore the rest.
                    break
        except BaseException:
            # The position in the rest is lost.
            self.giveUp()
            raise
        if self._spans:
            self._settle(end)

    def _putAside(self, data: bytes, position: int, end: int) -> int:
        """
        Keep the incomplete part of a header; the state does not change.
        """
        self._unread = data[position:]
        return end

    def _readBasicHeader(self, data: bytes, start: int, end: int) -> int:
        """
        Read the format and chunk stream id; and the rest of the header, if all of it
        is here and in the common form.

        @return: the position after what has been read, as for all such methods.
        """
        position: int = start + 1
        first: int = data[start]
        chunkFormat: int = first >> 6
        chunkStreamID: int = first & 63
        stream: _ChunkStream | None = None
        if chunkStreamID >= 2:
            stream = self._near[chunkStreamID]
        else:
            # RTMP 1.0, 5.3.1.1: one more byte, or two with the high byte last.
            if end - position <= chunkStreamID:
                return self._putAside(data, start, end)
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
                self._format = 3
                self._current = stream
                self._step(ChunkStep.TYPE_3_EXTENDED)
                return position
            if not stream.pending:
                self._beginAgain(stream)
            return self._readMessage(stream, data, position, end)
        # Size of the message header. Not from a table: compiled, that would create a
        # tuple for each message.
        size: int = 11 if chunkFormat == 0 else 7 if chunkFormat == 1 else 3
        field: int = EXTENDED_MARKER
        if stream is not None and not stream.pending and end - position >= size:
            field = data[position] << 16 | data[position + 1] << 8 | data[position + 2]
        if stream is None or field == EXTENDED_MARKER:
            self._format = chunkFormat
            self._chunkStreamID = chunkStreamID
            self._current = stream
            self._step(ChunkStep.TYPE_0_TO_2)
            return position
        # The same as _begin. Calling that would take over 3 % of a message's time.
        length: int = stream.length
        messageType: int = stream.type
        if chunkFormat < 2:
            length = (
                data[position + 3] << 16 | data[position + 4] << 8 | data[position + 5]
            )
            messageType = data[position + 6]
        if length > self._maxMedia or messageType not in (VIDEO, AUDIO):
            self._checkLength(messageType, length)
        if chunkFormat == 0:
            stream.streamID = (
                data[position + 7]
                | data[position + 8] << 8
                | data[position + 9] << 16
                | data[position + 10] << 24
            )
            stream.timestamp = field
        else:
            stream.timestamp = (stream.timestamp + field) & 0xFFFFFFFF
        stream.extended = False
        stream.wireTimestamp = field
        stream.length = length
        stream.type = messageType
        stream.pending = length
        if length > self.chunkSize:
            self._promise(stream)
        return self._readMessage(stream, data, position + size, end)

    def _readMessageHeader(self, data: bytes, position: int, end: int) -> int:
        """
        Read a message header, and store its values.
        """
        chunkFormat: int = self._format
        size: int = 11 if chunkFormat == 0 else 7 if chunkFormat == 1 else 3
        if end - position < size:
            return self._putAside(data, position, end)
        stream = self._current
        if stream is not None:
            self._length = stream.length
            self._type = stream.type
            self._streamID = stream.streamID
        elif chunkFormat == 2:
            raise self._withoutHeader(chunkFormat, self._chunkStreamID)
        else:
            # librtmp begins chunk stream 2 with type 1: from timestamp 0, stream 0.
            self._streamID = 0
        field = int.from_bytes(data[position : position + 3], "big")
        if chunkFormat < 2:
            self._length = int.from_bytes(data[position + 3 : position + 6], "big")
            self._type = data[position + 6]
            if chunkFormat == 0:
                self._streamID = int.from_bytes(
                    data[position + 7 : position + 11], "little"
                )
        position += size
        if field == EXTENDED_MARKER:
            self._step(ChunkStep.MARKER)
            return position
        stream = self._begin(field, extended=False)
        return self._readMessage(stream, data, position, end)

    def _readExtendedTimestamp(self, data: bytes, position: int, end: int) -> int:
        """
        Read the extended timestamp of a new message, or skip a repeated one.
        """
        stream = self._current
        if self._format == 3:
            assert stream is not None
            after = self._skipExtended(stream, data, position)
            if after < 0:
                return self._putAside(data, position, end)
            if not stream.pending:
                self._beginAgain(stream)
        else:
            after = position + 4
            if after > end:
                return self._putAside(data, position, end)
            stream = self._begin(
                int.from_bytes(data[position:after], "big"), extended=True
            )
        return self._readMessage(stream, data, after, end)

    def _begin(self, field: int, extended: bool) -> _ChunkStream:
        """
        Begin a message, or continue one, with a complete header of type 0, 1 or 2.

        @param field: its timestamp field, or the extended one.
        """
        length: int = self._length
        messageType: int = self._type
        stream = self._current
        if stream is None:
            stream = self._makeStream(self._chunkStreamID)
        if stream.pending:
            # 5.3.1.2.4: a continuation SHOULD be of type 3. FFmpeg and GStreamer
            # accept others too; without Abort it cannot be another message.
            if (
                length != stream.length
                or messageType != stream.type
                or self._streamID != stream.streamID
            ):
                raise RemoteProtocolError(
                    "header-change-mid-message",
                    f"chunk stream {stream.chunkStreamID} begins a message of "
                    f"{length} bytes (type {messageType}, stream {self._streamID}) "
                    f"before the last {stream.pending} of {stream.length} bytes of "
                    f"another (type {stream.type}, stream {stream.streamID})",
                )
            stream.extended = extended
            return stream
        self._checkLength(messageType, length)
        stream.extended = extended
        stream.wireTimestamp = field
        stream.timestamp = (
            field if self._format == 0 else (stream.timestamp + field) & 0xFFFFFFFF
        )
        stream.length = length
        stream.type = messageType
        stream.streamID = self._streamID
        stream.pending = length
        if length > self.chunkSize:
            self._promise(stream)
        return stream

    def _beginAgain(self, stream: _ChunkStream) -> None:
        """
        Begin a message with a type 3 header: all values are those of the last one.
        """
        stream.timestamp = (stream.timestamp + stream.wireTimestamp) & 0xFFFFFFFF
        stream.pending = stream.length
        if stream.length > self.chunkSize:
            self._promise(stream)

    def _makeStream(self, chunkStreamID: int) -> _ChunkStream:
        if self._count >= self._limits.maxChunkStreams:
            raise RemoteProtocolError(
                "too-many-chunk-streams",
                f"chunk stream {chunkStreamID} would be one more than the "
                f"{self._limits.maxChunkStreams} allowed",
            )
        self._count += 1
        stream = _ChunkStream(chunkStreamID)
        if chunkStreamID < 64:
            self._near[chunkStreamID] = stream
        else:
            self._far[chunkStreamID] = stream
        return stream

    def _readMessage(
        self, stream: _ChunkStream, data: bytes, position: int, end: int
    ) -> int:
        """
        Read the message whose header has been read, if all of it is here without
        interruption; else expect the payload of its chunk.
        """
        size: int = stream.pending
        first: int = self.chunkSize
        if size <= first:
            stop: int = position + size
            if stop <= end and size == stream.length:
                # This includes messages without payload.
                stream.pending = 0
                self._finish(stream, data[position:stop])
                return stop
            self._left = size
        else:
            if not stream.extended and size == stream.length:
                stop = endInPlace(data, position, end, size, first, stream.marker)
                if stop:
                    stream.pending = 0
                    messageType: int = stream.type
                    span = Span(data, position, stop, first, first + 1, size)
                    if first < HEAD or (messageType != VIDEO and messageType != AUDIO):
                        self._finish(stream, span.cut())
                        return stop
                    self._whole(stream)
                    self._spans.append(span)
                    self._lying += size
                    self._receiver.spanReceived(
                        messageType,
                        stream.timestamp,
                        stream.streamID,
                        span,
                        stream.chunkStreamID,
                    )
                    return stop
            self._left = first
        self._current = stream
        self.expecting = _AFTER_HEADER
        return position

    def _checkLength(self, messageType: int, length: int) -> None:
        limits = self._limits
        bound = limits.maxMedia if messageType in MEDIA else limits.maxCommand
        if length > bound:
            raise RemoteProtocolError(
                "message-too-large",
                f"message of type {messageType} with {length} bytes, "
                f"at most {bound} are allowed",
            )

    def _promise(self, stream: _ChunkStream) -> None:
        """
        Count a message of several chunks. Only these can be unfinished while others
        arrive.
        """
        stream.promised = stream.length
        self._promised += stream.length
        if self._promised > self._limits.maxPartial:
            raise RemoteProtocolError(
                "too-much-partial-data",
                f"unfinished messages of {self._promised} bytes in total, "
                f"at most {self._limits.maxPartial} are allowed",
            )

    def _withoutHeader(
        self, chunkFormat: int, chunkStreamID: int
    ) -> RemoteProtocolError:
        return RemoteProtocolError(
            "no-header",
            f"chunk stream {chunkStreamID} begins with a type {chunkFormat} chunk, "
            "which needs the length and type of an earlier message",
        )

    def _skipExtended(self, stream: _ChunkStream, data: bytes, position: int) -> int:
        """
        Skip the extended timestamp of a type 3 chunk, if it is there.

        The specification requires it (5.3.1.3). Old OBS omits it, gortmplib sends
        zeros, SRS the absolute timestamp. It is taken as present if it has one of
        these values, or if this peer has clearly sent it before. Zeros are payload if
        the peer has omitted it more than once.

        @return: where the payload begins, or -1 for "cannot tell yet".
        """
        found = data[position : position + 4]
        if self._repeatsExtended:
            return position + 4 if len(found) == 4 else -1
        candidates = [stream.wireTimestamp, stream.timestamp]
        if self._omitted <= 1:
            candidates.append(0)
        if not stream.pending:
            candidates.append((stream.timestamp + stream.wireTimestamp) & 0xFFFFFFFF)
        for value in candidates:
            # Compare prefixes, so as not to wait for four bytes that never come.
            if value.to_bytes(4, "big").startswith(found):
                if len(found) < 4:
                    return -1
                if value:
                    self._repeatsExtended = True
                return position + 4
        self._omitted += 1
        return position

    def _readPayload(self, data: bytes, position: int, end: int) -> int:
        """
        Read the available payload of the current chunk, and of a run of chunks that
        continue its message.

        @return: the position after it.
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
            stream.pending - left >= size * MIN_RUN
            and end - stop > size * MIN_RUN
            and not stream.extended
            and stream.marker
            and data[stop] == stream.marker[0]
        ):
            return self._readRun(stream, data, position, end, left)
        self._keep(stream, data[position:stop])
        stream.pending -= left
        self.expecting = _AFTER_CHUNK
        return stop

    def _readRun(
        self, stream: _ChunkStream, data: bytes, position: int, end: int, left: int
    ) -> int:
        """
        Read the rest of a chunk, and the whole chunks that continue its message.
        """
        size: int = self.chunkSize
        rest: int = stream.pending - left
        piece = cutRun(data, position, end, left, rest, size, stream.marker)
        taken: int = len(piece)
        stream.pending -= taken
        if stream.pending:
            self._keep(stream, piece)
            self.expecting = _AFTER_CHUNK
        else:
            stream.pieces.append(piece)
            self._finish(stream, self._join(stream))
        # Plus a header for each chunk but the first.
        return position + taken + (taken - left) // size

    def _keep(self, stream: _ChunkStream, piece: bytes | bytearray) -> None:
        """
        Keep a piece of an unfinished message. Many small pieces are joined early; no
        byte is joined more than once here, so this takes linear time.
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
        elif stream.type == ABORT:
            self._abort(payload)
        self._receiver.messageReceived(
            stream.type,
            stream.timestamp,
            stream.streamID,
            payload,
            stream.chunkStreamID,
        )

    def _whole(self, stream: _ChunkStream) -> None:
        """
        Count a complete message.
        """
        self.expecting = _AFTER_CHUNK
        if stream.promised:
            self._promised -= stream.promised
            stream.promised = 0
        self._work -= 1

    def _setChunkSize(self, payload: bytes) -> None:
        if len(payload) < 4:
            raise RemoteProtocolError(
                "bad-set-chunk-size",
                f"Set Chunk Size message of {len(payload)} bytes, needs 4",
            )
        size = int.from_bytes(payload[:4], "big")
        if not 1 <= size <= 0x7FFFFFFF:
            raise RemoteProtocolError(
                "bad-set-chunk-size", f"chunk size {size}, must be 1 to 2147483647"
            )
        self.chunkSize = min(size, MAX_CHUNK_SIZE)

    def _abort(self, payload: bytes) -> None:
        """
        Discard an unfinished message, but not its header: a type 3 chunk after this
        begins a new message (RTMP 1.0, section 5.4.2).
        """
        if len(payload) < 4:
            raise RemoteProtocolError(
                "bad-abort", f"Abort message of {len(payload)} bytes, needs 4"
            )
        chunkStreamID = int.from_bytes(payload[:4], "big")
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
