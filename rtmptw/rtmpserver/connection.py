"""
A connection, as those see it who work for it.
"""

from typing import Protocol


class Connection(Protocol):
    """
    A client's connection.

    @ivar peer: who it is, as C{host:port}.
    @ivar endReason: why the conversation ended; empty while it goes on.
    """

    peer: str
    endReason: str

    @property
    def isOver(self) -> bool:
        """
        Whether the conversation is over.
        """

    @property
    def isClosing(self) -> bool:
        """
        Whether nothing more is said to the peer.
        """

    def pauseReading(self, reason: object) -> None:
        """
        Read nothing from the peer until C{reason} is over.
        """

    def resumeReading(self, reason: object) -> None:
        """
        C{reason} is over, if it was one.
        """

    def silentFor(self) -> float:
        """
        @return: the seconds since the peer's last byte; 0 while we do not read.
        """

    def close(self, reason: str) -> None:
        """
        End the conversation.
        """

    def heldBytes(self) -> int:
        """
        @return: of what has come and is kept, and of what waits to be taken.
        """

    def cutOff(self, reason: str) -> None:
        """
        End it at once, and let go of all that it holds.
        """

    def playOver(self, streamID: int) -> None:
        """
        A stream that is played has ended.
        """
