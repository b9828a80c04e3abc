"""
What the client and server sessions share: receiving bytes, time, and sending messages.
"""

from collections.abc import Iterator
from typing import Final, Generic, TypeVar

from rtmptw.errors import RemoteProtocolError
from rtmptw.flv.body import dataMessage, frameFromMessage
from rtmptw.frames import Frame, FrameKind
from rtmptw.rtmp.amf import Value
from rtmptw.rtmp.chunkreader import ChunkReader, MessageReceiver
from rtmptw.rtmp.chunks import AUDIO, VIDEO, Limits
from rtmptw.rtmp.chunkwriter import ChunkWriter
from rtmptw.rtmp.handshake import ClientHandshake, ServerHandshake
from rtmptw.rtmp.message import (
    Acknowledgement,
    Command,
    Message,
    MessageType,
    SetChunkSize,
    SetPeerBandwidth,
    UserControl,
    UserControlEvent,
    WindowAcknowledgementSize,
    expandAggregate,
    parse,
)

# Looking up an enum member in its class costs more than comparing it.
_AUDIO: Final = FrameKind.AUDIO
_VIDEO: Final = FrameKind.VIDEO

#: Chunk streams for protocol control messages and commands (the usual numbers; most
#: peers only look at message types).
CONTROL = 2
COMMANDS = 3

#: The work a command takes, in frames; and the bytes of a command or data message that
#: take as much work as a frame.
COMMAND_WORK: Final = 4
BYTES_OF_WORK: Final = 8

#: The capability we announce for every codec: forward it (Enhanced RTMP v2,
#: CanForward).
CAN_FORWARD = 4.0
#: Enhanced RTMP v2 capsEx: we pass on multitrack, ModEx and its nanosecond offset.
CAPABILITIES = 2.0 + 4.0 + 8.0

_FRAMES = frozenset(
    {
        MessageType.AUDIO,
        MessageType.VIDEO,
        MessageType.DATA_AMF0,
        MessageType.DATA_AMF3,
    }
)

E = TypeVar("E")


class Conversation(MessageReceiver, Generic[E]):
    """
    One side of an RTMP session: takes bytes and time, returns events and bytes to
    send. The two subclasses know what messages mean.

    @ivar events: what L{receive} and similar methods return next.
    @ivar now: when the data being handled was received.
    @ivar bytesReceived: the total number of bytes from the peer.
    @ivar lastReceived: when the peer last sent a byte, or we resumed reading.
    @ivar unsaid: the number of bytes that L{dataToSend} would return.
    """

    def __init__(
        self,
        now: float,
        handshake: ServerHandshake | ClientHandshake,
        limits: Limits | None,
        window: int,
    ) -> None:
        """
        @param window: the acknowledgement window in bytes, unless the peer sets a
            smaller one. We acknowledge after half of it, because a peer that sends
            only whole messages stops before the window is full.
        """
        self._handshake: ServerHandshake | ClientHandshake | None = handshake
        self._reader = ChunkReader(self, limits)
        self._writer = ChunkWriter()
        # The remaining parts of an aggregate message, its message stream and its size.
        self._parts: Iterator[tuple[int, int, bytes]] | None = None
        self._partsOf = 0
        self._partsSize = 0
        self._out: list[bytes] = []
        self.unsaid = 0
        self.events: list[E] = []
        self.now = now
        self._waitingSince = now
        self.lastReceived = now
        self._pingedAt: float | None = None
        self._reading = True
        self.bytesReceived = 0
        self._acknowledged = 0
        self._mostWindow = window // 2
        self._window = self._mostWindow

    # Bytes and time.

    @property
    def isWithin(self) -> bool:
        """
        Whether a message has begun and is not complete yet.
        """
        return self._reader.isWithin

    def receive(self, data: bytes, now: float) -> list[E]:
        """
        Handle bytes from the peer, cut anywhere.

        @return: the events, in order. If the peer breaks the protocol, the last is a
            L{SessionEnded}. In a server's session a request is always the last event:
            the rest waits for its answer.
        """
        self.now = now
        self.lastReceived = now
        self._pingedAt = None
        self.bytesReceived += len(data)
        try:
            if self._handshake is None:
                self._reader.receive(data)
            else:
                self._shakeHands(data)
        except RemoteProtocolError as fault:
            self._end(fault.label, str(fault))
        if self.bytesReceived - self._acknowledged >= self._window:
            self._acknowledged = self.bytesReceived
            if self._hearsUs():
                self._acknowledgementDue()
        return self._takeEvents()

    @property
    def isResting(self) -> bool:
        """
        Whether the work of this turn is done and more data is waiting. L{takeTurn}
        must follow, after the other connections have had their turn. There is no need
        to read from the peer until then.
        """
        return self._reader.isResting or self._parts is not None

    def takeTurn(self, now: float) -> list[E]:
        """
        Handle more of the waiting data, if there is any: one turn's work.

        @return: the events, as from L{receive}.
        """
        self.now = now
        reader = self._reader
        try:
            if self._parts is None:
                reader.takeTurn()
            else:
                reader.renew()
                if self._takeParts():
                    reader.release()
        except RemoteProtocolError as fault:
            self._end(fault.label, str(fault))
        return self._takeEvents()

    def heldBytes(self) -> int:
        """
        @return: the number of bytes received but not handled yet, plus those to send.
        """
        return self._reader.heldBytes() + self._partsSize + self.unsaid

    def readingPaused(self) -> None:
        """
        We have stopped reading from the peer, so its silence means nothing.
        """
        self._reading = False

    def readingResumed(self, now: float) -> None:
        """
        We read from the peer again.
        """
        self._reading = True
        self.lastReceived = now

    def _takeEvents(self) -> list[E]:
        events = self.events
        self.events = []
        return events

    def _close(self) -> None:
        """
        Discard everything received that is incomplete.
        """
        self._handshake = None
        self._parts = None
        self._partsSize = 0
        self._reader.giveUp()

    def acknowledge(self) -> None:
        """
        Send an Acknowledgement of all bytes received.
        """
        self._acknowledged = self.bytesReceived
        self._control(Acknowledgement(self.bytesReceived))

    # For the subclasses.

    def _shakeHands(self, data: bytes) -> None:
        raise NotImplementedError

    def _hearsUs(self) -> bool:
        """
        @return: whether the peer already expects acknowledgements.
        """
        raise NotImplementedError

    def _acknowledgementDue(self) -> None:
        self.acknowledge()

    def _end(self, label: str, reason: str) -> None:
        raise NotImplementedError

    def _frameReceived(self, streamID: int, frame: Frame) -> None:
        raise NotImplementedError

    def _dataReceived(self, streamID: int, verb: str, frame: Frame) -> None:
        raise NotImplementedError

    def _commandReceived(self, command: Command, streamID: int) -> None:
        raise NotImplementedError

    def _commandFailed(self, fault: RemoteProtocolError) -> None:
        """
        Handle a command that is invalid or not possible now.

        @raise RemoteProtocolError: if that ends the session.
        """
        raise fault

    def _controlReceived(self, message: Message) -> None:
        """
        Handle a control message that only one of the subclasses needs.
        """

    # Incoming.

    def messageReceived(
        self,
        messageType: int,
        timestamp: int,
        streamID: int,
        payload: bytes,
        chunkStreamID: int,
    ) -> None:
        """
        Handle a whole message from the chunk reader.
        """
        if messageType in (VIDEO, AUDIO):
            self._frameReceived(
                streamID,
                frameFromMessage(
                    _VIDEO if messageType == VIDEO else _AUDIO, timestamp, payload
                ),
            )
        elif (
            messageType == MessageType.DATA_AMF0 or messageType == MessageType.DATA_AMF3
        ):
            if messageType == MessageType.DATA_AMF3 and payload[:1] == b"\0":
                # The format selector in front of AMF0 (Enhanced RTMP v2).
                payload = payload[1:]
            verb, payload = dataMessage(payload)
            frame = frameFromMessage(FrameKind.DATA, timestamp, payload)
            self._dataReceived(streamID, verb, frame)
            self._reader.spend(len(payload) // BYTES_OF_WORK)
        elif messageType == MessageType.AGGREGATE:
            self._parts = expandAggregate(timestamp, payload)
            self._partsOf = streamID
            self._partsSize = len(payload)
            if not self._takeParts():
                self._reader.hold()
        else:
            try:
                message = parse(messageType, payload)
            except RemoteProtocolError as fault:
                self._commandFailed(fault)
                return
            if isinstance(message, Command):
                self._reader.spend(COMMAND_WORK + len(payload) // BYTES_OF_WORK)
                self._commandReceived(message, streamID)
            elif isinstance(message, WindowAcknowledgementSize):
                # Never acknowledge less often than by default; 0 means nothing.
                if message.size:
                    self._window = min(message.size // 2, self._mostWindow)
            elif (
                isinstance(message, UserControl)
                and message.event == UserControlEvent.PING_REQUEST
            ):
                answer = UserControl(UserControlEvent.PING_RESPONSE, message.value)
                self._control(answer)
            elif message is not None:
                self._controlReceived(message)

    def _takeParts(self) -> bool:
        """
        Handle the parts of an aggregate message, as many as this turn allows.

        @return: whether all are handled.
        """
        parts = self._parts
        assert parts is not None
        for kind, time, part in parts:
            if kind in _FRAMES:
                self.messageReceived(kind, time, self._partsOf, part, 0)
            if not self._reader.spend(1):
                return False
        self._parts = None
        self._partsSize = 0
        return True

    # Outgoing.

    def dataToSend(self) -> bytes:
        """
        Return the bytes to send to the peer, and clear them.
        """
        if not self._out:
            return b""
        data = b"".join(self._out)
        self._out.clear()
        self.unsaid = 0
        return data

    def _unsay(self) -> None:
        """
        Discard the bytes to send: the connection is lost.
        """
        self._out.clear()
        self.unsaid = 0

    def _say(self, data: bytes) -> None:
        self._out.append(data)
        self.unsaid += len(data)

    def say(
        self,
        chunkStreamID: int,
        messageType: int,
        streamID: int,
        payload: bytes,
    ) -> None:
        """
        Send a message with timestamp 0.
        """
        self._say(self._writer.write(chunkStreamID, messageType, 0, streamID, payload))

    def _control(
        self,
        message: Acknowledgement
        | SetChunkSize
        | SetPeerBandwidth
        | UserControl
        | WindowAcknowledgementSize,
    ) -> None:
        messageType, payload = message.encode()
        self.say(CONTROL, messageType, 0, payload)

    def _call(self, command: Command) -> None:
        messageType, payload = command.encode()
        self.say(COMMANDS, messageType, 0, payload)

    def _command(self, name: str, transactionID: float, *values: Value) -> None:
        self._call(Command(name, transactionID, values))
