"""
What the helpers of a connection see of it.
"""

from typing import Protocol


class Connection(Protocol):
    """
    A client's connection.

    @ivar peer: the client's address, as C{host:port}.
    @ivar endReason: why the session ended; empty until it does.
    """

    peer: str
    endReason: str

    @property
    def isOver(self) -> bool:
        """
        Whether the session is over.
        """

    @property
    def isClosing(self) -> bool:
        """
        Whether nothing more will be sent to the peer.
        """

    def pauseReading(self, reason: object) -> None:
        """
        Stop reading from the peer until L{resumeReading} is called with this C{reason}.
        """

    def resumeReading(self, reason: object) -> None:
        """
        Drop a reason not to read. Does nothing if it is not one.
        """

    def silentFor(self) -> float:
        """
        @return: seconds since the peer's last byte; 0 while we do not read.
        """

    def close(self, reason: str) -> None:
        """
        End the session.
        """

    def heldBytes(self) -> int:
        """
        @return: bytes held of received data and of data that waits to be sent.
        """

    def cutOff(self, reason: str) -> None:
        """
        End the session at once, and free all that it holds.
        """

    def playOver(self, streamID: int) -> None:
        """
        Called when a stream that the peer plays has ended.
        """
