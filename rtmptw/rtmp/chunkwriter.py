"""
Split messages into chunks (RTMP 1.0, section 5.3).
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
    Encode one message with an absolute (type 0) header. It depends on no earlier
    message, so all receivers with the same chunk size can share it.

    @param chunkStreamID: 2 to 31. Some servers do not read long ids (gortmplib), or
        not more than 32 ids (nginx-rtmp).
    @param timestamp: in ms, taken modulo 2^32.

    @raise LocalProtocolError: if an id, a length or the chunk size is out of range.
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
        raise LocalProtocolError(
            f"message of {len(payload)} bytes, at most 16777215 are allowed"
        )
    if not 1 <= chunkSize <= MAX_CHUNK_SIZE:
        raise LocalProtocolError(f"chunk size {chunkSize}, must be 1 to 16777215")


def _chunks(
    header: bytes, extended: bytes, chunkStreamID: int, payload: bytes, chunkSize: int
) -> bytes:
    """
    Cut a payload into chunks. Each repeats the extended timestamp of the first:
    every reader we know accepts that, and librtmp and Flash accept nothing else.
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
    What the receiver knows about one chunk stream id.
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
    Encode messages as chunks, each with the smallest correct header.

    @ivar chunkSize: our chunk size, in bytes; changed by writing a Set Chunk Size
        message.
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

        @raise LocalProtocolError: if an id, a length or the chunk size is out of
            range.
        """
        timestamp &= 0xFFFFFFFF
        size = self.chunkSize
        if messageType == SET_CHUNK_SIZE:
            # It takes effect after this message.
            _check(chunkStreamID, payload, int.from_bytes(payload, "big"))
        before = self._written.get(chunkStreamID)
        if (
            before is None
            or before.streamID != streamID
            # A delta cannot be negative, and readers disagree about extended deltas
            # (ossrs/srs#4365). They all read an absolute time the same way.
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
                # A type 3 chunk after an absolute time repeats that time as delta by
                # the specification, but 0 for nginx-rtmp and gortmplib: only 0 is
                # unambiguous.
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
