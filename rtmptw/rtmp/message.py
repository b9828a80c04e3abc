"""
RTMP messages (RTMP 1.0, sections 5.4, 6 and 7): one small class for each, and one
table by type id.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum

from rtmptw.errors import RemoteProtocolError
from rtmptw.rtmp import amf0
from rtmptw.rtmp.amf import Value

#: Maximum number of values in a command. The longest command, connect, has fewer than
#: a hundred; a command of 64 KiB could hold 60,000, as much work as 5,000 frames.
MAX_COMMAND_VALUES = 1000


class MessageType(IntEnum):
    """
    Message type ids.
    """

    SET_CHUNK_SIZE = 1
    ABORT = 2
    ACKNOWLEDGEMENT = 3
    USER_CONTROL = 4
    WINDOW_ACKNOWLEDGEMENT_SIZE = 5
    SET_PEER_BANDWIDTH = 6
    AUDIO = 8
    VIDEO = 9
    DATA_AMF3 = 15
    COMMAND_AMF3 = 17
    DATA_AMF0 = 18
    COMMAND_AMF0 = 20
    AGGREGATE = 22


class UserControlEvent(IntEnum):
    """
    User control events (RTMP 1.0, section 7.1.7).
    """

    STREAM_BEGIN = 0
    STREAM_EOF = 1
    STREAM_DRY = 2
    SET_BUFFER_LENGTH = 3
    STREAM_IS_RECORDED = 4
    PING_REQUEST = 6
    PING_RESPONSE = 7


@dataclass(frozen=True, slots=True)
class SetChunkSize:
    """
    The sender's chunk size from now on, in bytes. (5.4.1)
    """

    size: int

    def encode(self) -> tuple[MessageType, bytes]:
        """
        @return: type and payload.
        """
        return MessageType.SET_CHUNK_SIZE, self.size.to_bytes(4, "big")


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """
    The total number of bytes received, modulo 2^32. (5.4.3)
    """

    sequenceNumber: int

    def encode(self) -> tuple[MessageType, bytes]:
        """
        @return: type and payload.
        """
        return (
            MessageType.ACKNOWLEDGEMENT,
            (self.sequenceNumber & 0xFFFFFFFF).to_bytes(4, "big"),
        )


@dataclass(frozen=True, slots=True)
class WindowAcknowledgementSize:
    """
    How many bytes to receive between acknowledgements. (5.4.4)
    """

    size: int

    def encode(self) -> tuple[MessageType, bytes]:
        """
        @return: type and payload.
        """
        return MessageType.WINDOW_ACKNOWLEDGEMENT_SIZE, self.size.to_bytes(4, "big")


@dataclass(frozen=True, slots=True)
class SetPeerBandwidth:
    """
    The maximum number of bytes to send without an acknowledgement. (5.4.5)

    @ivar limitType: 0 hard, 1 soft, 2 dynamic.
    """

    size: int
    limitType: int = 2

    def encode(self) -> tuple[MessageType, bytes]:
        """
        @return: type and payload.
        """
        return (
            MessageType.SET_PEER_BANDWIDTH,
            self.size.to_bytes(4, "big") + bytes([self.limitType]),
        )


@dataclass(frozen=True, slots=True)
class UserControl:
    """
    A user control event. (7.1.7)

    @ivar event: a L{UserControlEvent}, or another number: 26 to 32 are in use.
    @ivar value: its first 32-bit argument: a message stream id, or the timestamp of
        a ping.
    """

    event: int
    value: int

    def encode(self) -> tuple[MessageType, bytes]:
        """
        @return: type and payload.
        """
        return (
            MessageType.USER_CONTROL,
            self.event.to_bytes(2, "big") + self.value.to_bytes(4, "big"),
        )


@dataclass(frozen=True, slots=True)
class Command:
    """
    A command or the answer to one, in AMF0. (7.1.1)

    @ivar transactionID: of the request; 0 if no answer is expected.
    @ivar values: the command object or null, and the arguments.
    @ivar fault: what is wrong with the data after the values; C{None} if there is
        none.
    """

    name: str
    transactionID: float
    values: tuple[Value, ...]
    fault: RemoteProtocolError | None = None

    def encode(self) -> tuple[MessageType, bytes]:
        """
        @return: type and payload.
        """
        return (
            MessageType.COMMAND_AMF0,
            amf0.encode(self.name, self.transactionID, *self.values),
        )

    def argument(self, index: int) -> Value:
        """
        @return: an argument after the command object, counted from 0; C{None} if
            it is missing.

        @raise RemoteProtocolError: if it is present but not valid AMF.
        """
        values = self.values
        # Some clients omit the null.
        if not (values and isinstance(values[0], (str, float))):
            index += 1
        if index < len(values):
            return values[index]
        if self.fault is not None:
            raise self.fault
        return None


#: What L{parse} returns, unless it is C{None}.
Message = (
    SetChunkSize
    | Acknowledgement
    | WindowAcknowledgementSize
    | SetPeerBandwidth
    | UserControl
    | Command
)


def _uint32(payload: bytes) -> int | None:
    return int.from_bytes(payload[:4], "big") if len(payload) >= 4 else None


def _setChunkSize(payload: bytes) -> Message | None:
    size = _uint32(payload)
    return None if size is None else SetChunkSize(size)


def _acknowledgement(payload: bytes) -> Message | None:
    number = _uint32(payload)
    return None if number is None else Acknowledgement(number)


def _windowAcknowledgementSize(payload: bytes) -> Message | None:
    size = _uint32(payload)
    return None if size is None else WindowAcknowledgementSize(size)


def _setPeerBandwidth(payload: bytes) -> Message | None:
    size = _uint32(payload)
    if size is None:
        return None
    return SetPeerBandwidth(size, payload[4] if len(payload) > 4 else 2)


def _userControl(payload: bytes) -> Message | None:
    if len(payload) < 6:
        # Flash Media Server's SWF events have three bytes; we need none of them.
        return None
    return UserControl(
        int.from_bytes(payload[:2], "big"), int.from_bytes(payload[2:6], "big")
    )


def _commandAMF0(payload: bytes) -> Message | None:
    # Data after the arguments that we need does not have to be valid.
    values, fault = amf0.decodeSome(payload, 0, True, MAX_COMMAND_VALUES)
    name = values[0] if values else None
    if not isinstance(name, str):
        raise fault or RemoteProtocolError(
            "bad-command",
            f"a command must begin with its name, not with {type(name).__name__}",
        )
    transactionID = values[1] if len(values) > 1 else None
    return Command(
        name,
        transactionID if isinstance(transactionID, float) else 0.0,
        tuple(values[2:]),
        fault,
    )


def _commandAMF3(payload: bytes) -> Message | None:
    # A format selector of 0, then AMF0; some clients omit the selector (protocol
    # notes).
    return _commandAMF0(payload[1:] if payload[:1] == b"\0" else payload)


_PARSERS: dict[int, Callable[[bytes], Message | None]] = {
    MessageType.SET_CHUNK_SIZE: _setChunkSize,
    MessageType.ACKNOWLEDGEMENT: _acknowledgement,
    MessageType.WINDOW_ACKNOWLEDGEMENT_SIZE: _windowAcknowledgementSize,
    MessageType.SET_PEER_BANDWIDTH: _setPeerBandwidth,
    MessageType.USER_CONTROL: _userControl,
    MessageType.COMMAND_AMF0: _commandAMF0,
    MessageType.COMMAND_AMF3: _commandAMF3,
}


def parse(messageType: int, payload: bytes) -> Message | None:
    """
    Parse a control message or command.

    @return: the message; C{None} if it is too short, or of an unknown type (not an
        error: RTMP 1.0 leaves room for more).

    @raise RemoteProtocolError: if a command is not valid AMF, or has no name.
    """
    parser = _PARSERS.get(messageType)
    return None if parser is None else parser(payload)


def expandAggregate(timestamp: int, payload: bytes) -> Iterator[tuple[int, int, bytes]]:
    """
    Split an aggregate message (7.1.6) into its parts. This is an iterator, because an
    aggregate of 10 MiB can have 700,000. The parts are FLV tags: the low 24 bits of
    their timestamps come first, as in FFmpeg, SRS, nginx-rtmp and GStreamer but unlike
    the figure in the specification.

    @param timestamp: of the aggregate, in ms.
    @return: type, timestamp and payload of each part, in order. An aggregate in an
        aggregate is not split.

    @raise RemoteProtocolError: C{aggregate-truncated}, after the complete parts.
    """
    position = 0
    offset: int | None = None
    while position < len(payload):
        start = position + 11
        size = int.from_bytes(payload[position + 1 : position + 4], "big")
        if start + size > len(payload):
            raise RemoteProtocolError(
                "aggregate-truncated",
                f"a part of {size} bytes at offset {position} exceeds the "
                f"aggregate message of {len(payload)} bytes",
            )
        inner = int.from_bytes(payload[position + 4 : position + 7], "big")
        inner |= payload[position + 7] << 24
        if offset is None:
            offset = timestamp - inner
        yield (
            payload[position],
            (inner + offset) & 0xFFFFFFFF,
            payload[start : start + size],
        )
        # The last back pointer may be missing (nginx-rtmp accepts that).
        position = start + size + 4
