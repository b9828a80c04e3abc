"""
What a session sends to the peer, and when.
"""

import socket
from socket import MSG_PEEK

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from rtmptw.net.sender import MAX_UNSENT, Sender
from rtmptw.rtmp.serversession import ServerSession

#: How many bytes of our answers a player may leave unread.
MAX_UNREAD = 64 * 1024

#: Seconds by which an acknowledgement that is not urgent is delayed.
PATIENCE = 0.05


class Answers:
    """
    Sends our answers to the peer.

    Publishers (FFmpeg, OBS) close without reading all of them. If an answer reaches a
    closed socket, the peer's kernel discards what it has not sent yet, frames included.
    So answers wait while there is more to read: a publisher that needs an
    acknowledgement to continue stops sending, and gets it then. When there is nothing
    more to read, the peer may be about to close with its last frames still in its
    kernel, so an acknowledgement that the peer can do without is sent a little later.
    For the same reason a write that fails must not end the connection (L{Sender}).
    """

    __slots__ = ("_clock", "_sender", "_session", "_socket", "_timer", "_unread")

    def __init__(
        self,
        session: ServerSession,
        sender: Sender,
        plain: socket.socket | None,
        clock: IReactorTime,
    ) -> None:
        """
        @param plain: the connection's socket; C{None} if there is none to peek at.
        """
        self._session = session
        self._sender = sender
        self._socket = plain
        self._clock = clock
        self._timer: IDelayedCall | None = None
        self._unread = 0

    @property
    def isMuch(self) -> bool:
        """
        Whether more than L{MAX_UNREAD} bytes were sent since the peer last took
        everything.
        """
        return self._unread > MAX_UNREAD

    def send(self, mayWait: bool) -> None:
        """
        Send what the session has to send.

        @param mayWait: whether answers may wait because the peer publishes and its
            frames come first.
        """
        session = self._session
        if mayWait and session.unsaid <= MAX_UNSENT and self._hasMore():
            return
        data = session.dataToSend()
        self._sender.sendNow(data)
        # Room in the buffer means only that the peer has taken some of it.
        self._unread = self._unread + len(data) if self._sender.isFull else 0

    def acknowledgeLater(self) -> None:
        """
        Send an acknowledgement that is not urgent after L{PATIENCE}.
        """
        if self._timer is None:
            self._timer = self._clock.callLater(PATIENCE, self._timeUp)

    def close(self) -> None:
        """
        Send nothing more.
        """
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _timeUp(self) -> None:
        self._timer = None
        if self._hasMore():
            self.acknowledgeLater()
            return
        self._session.acknowledge()
        self._sender.sendNow(self._session.dataToSend())

    def _hasMore(self) -> bool:
        """
        @return: whether there is something to read: bytes, or the end of the stream.
        """
        if self._socket is None:
            return False
        try:
            self._socket.recv(1, MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True
