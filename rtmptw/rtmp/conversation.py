"""
What both sides of a conversation share: how they take bytes and time in, and how they
say things.
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

# To look a member up in its class costs more than to compare it.
_AUDIO: Final = FrameKind.AUDIO
_VIDEO: Final = FrameKind.VIDEO

#: Where our messages go: protocol control and commands (everybody's numbers; most look
#: at types only).
CONTROL = 2
COMMANDS = 3

#: What it takes to look at a command, in frames, and so many bytes of one, or of data,
#: take as much as a frame.
COMMAND_WORK: Final = 4
BYTES_OF_WORK: Final = 8

#: What we say we can do with any codec: forward it (Enhanced RTMP v2, CanForward).
CAN_FORWARD = 4.0
#: Enhanced RTMP v2 capsEx: multitrack, ModEx and its nanosecond offset pass through.
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
    One side of a conversation: bytes, messages and time in, events out, and bytes to
    send. What messages mean, its two kinds know.

    @ivar events: what L{receive} and its like return next.
    @ivar now: when what is being looked at came.
    @ivar bytesReceived: from the peer in all.
    @ivar lastReceived: when the peer last sent a byte, or we began to read again.
    @ivar unsaid: how many bytes L{dataToSend} has.
    """

    def __init__(
        self,
        now: float,
        handshake: ServerHandshake | ClientHandshake,
        limits: Limits | None,
        window: int,
    ) -> None:
        """
        @param window: what the peer may send before it needs an acknowledgement, asked
            or not, unless it says less. It gets one at half of that: a peer that sends
            whole messages only stops before it is full.
        """
        self._handshake: ServerHandshake | ClientHandshake | None = handshake
        self._reader = ChunkReader(self, limits)
        self._writer = ChunkWriter()
        # What is left of an aggregate, and its message stream.
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
        Whether a message has begun and is not whole yet.
        """
        return self._reader.isWithin

    def receive(self, data: bytes, now: float) -> list[E]:
        """
        Take bytes from the peer, cut anywhere.

        @return: what they say, in order. What the peer does wrong is a
            L{SessionEnded}, after all that was right. A server's session has a request
            as the last event: the rest waits for its answer.
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
        Whether the work of this turn is done, and more has come: L{takeTurn} must
        follow, after the other connections have had theirs. The peer need not be read
        from until then.
        """
        return self._reader.isResting or self._parts is not None

    def takeTurn(self, now: float) -> list[E]:
        """
        Go on with what has come, if there is more: so much as is done in one turn.

        @return: what it says, as L{receive} gives it.
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
        @return: of what has come and means nothing yet, and of what is to be said.
        """
        return self._reader.heldBytes() + self._partsSize + self.unsaid

    def readingPaused(self) -> None:
        """
        We do not read from the peer for now: its silence says nothing.
        """
        self._reading = False

    def readingResumed(self, now: float) -> None:
        """
        We read again.
        """
        self._reading = True
        self.lastReceived = now

    def _takeEvents(self) -> list[E]:
        events = self.events
        self.events = []
        return events

    def _close(self) -> None:
        """
        Let go of all that has come and is not whole.
        """
        self._handshake = None
        self._parts = None
        self._partsSize = 0
        self._reader.giveUp()

    def acknowledge(self) -> None:
        """
        Say how much has come.
        """
        self._acknowledged = self.bytesReceived
        self._control(Acknowledgement(self.bytesReceived))

    # What each kind knows.

    def _shakeHands(self, data: bytes) -> None:
        raise NotImplementedError

    def _hearsUs(self) -> bool:
        """
        @return: whether the peer expects acknowledgements by now.
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
        Take a command that cannot be done.

        @raise RemoteProtocolError: if that ends the conversation.
        """
        raise fault

    def _controlReceived(self, message: Message) -> None:
        """
        Take what only one kind takes notice of.
        """

    # What comes in.

    def messageReceived(
        self,
        messageType: int,
        timestamp: int,
        streamID: int,
        payload: bytes,
        chunkStreamID: int,
    ) -> None:
        """
        The chunk reader has a whole message.
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
                # Never less often than we would unasked; 0 says nothing.
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
        Take the parts of an aggregate, as many as there is work for in this turn.

        @return: whether these were all.
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

    # What goes out.

    def dataToSend(self) -> bytes:
        """
        @return: the bytes to send to the peer, and forgets them.
        """
        if not self._out:
            return b""
        data = b"".join(self._out)
        self._out.clear()
        self.unsaid = 0
        return data

    def _unsay(self) -> None:
        """
        Forget what nobody can be told any more.
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
        Say a message.
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
