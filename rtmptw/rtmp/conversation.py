"""
What both sides of a conversation share: how they say things.
"""

from rtmptw.rtmp.amf import Value
from rtmptw.rtmp.chunkreader import MessageReceiver
from rtmptw.rtmp.chunkwriter import ChunkWriter
from rtmptw.rtmp.message import (
    Acknowledgement,
    Command,
    SetChunkSize,
    SetPeerBandwidth,
    UserControl,
    WindowAcknowledgementSize,
)

#: Where our messages go: protocol control and commands (everybody's numbers; most look
#: at types only).
CONTROL = 2
COMMANDS = 3

#: What we say we can do with any codec: forward it (Enhanced RTMP v2, CanForward).
CAN_FORWARD = 4.0
#: Enhanced RTMP v2 capsEx: multitrack, ModEx and its nanosecond offset pass through.
CAPABILITIES = 2.0 + 4.0 + 8.0


class Speaker(MessageReceiver):
    """
    One side of a conversation: gathers what it says.

    @ivar unsaid: how many bytes L{dataToSend} has.
    """

    def __init__(self) -> None:
        self._writer = ChunkWriter()
        self._out: list[bytes] = []
        self.unsaid = 0

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

    def _control(
        self,
        message: Acknowledgement
        | SetChunkSize
        | SetPeerBandwidth
        | UserControl
        | WindowAcknowledgementSize,
    ) -> None:
        messageType, payload = message.encode()
        self._say(self._writer.write(CONTROL, messageType, 0, 0, payload))

    def _command(self, name: str, transactionID: float, *values: Value) -> None:
        messageType, payload = Command(name, transactionID, values).encode()
        self._say(self._writer.write(COMMANDS, messageType, 0, 0, payload))
