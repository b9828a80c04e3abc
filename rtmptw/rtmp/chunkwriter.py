"""
Whole messages to chunks (RTMP 1.0, section 5.3).
"""

from rtmptw.errors import LocalProtocolError
from rtmptw.rtmp.chunks import (
    DEFAULT_CHUNK_SIZE,
    EXTENDED_MARKER,
    MAX_CHUNK_SIZE,
    SET_CHUNK_SIZE,
)


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

    timestamp: int
    wireTimestamp: int
    absolute: bool
    length: int
    type: int
    streamID: int


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
            _check(chunkStreamID, payload, int.from_bytes(payload, "big"))
        before = self._written.get(chunkStreamID)
        if (
            before is None
            or before.streamID != streamID
            # A delta cannot go back, and what an extended one means is disputed
            # (ossrs/srs#4365): an absolute time is read alike by all.
            or (delta := (timestamp - before.timestamp) & 0xFFFFFFFF) >= EXTENDED_MARKER
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
