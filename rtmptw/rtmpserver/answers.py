"""
What a session has to say, and when it is said.
"""

import socket
from socket import MSG_PEEK

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from rtmptw.net.sender import MAX_UNSENT, Sender
from rtmptw.rtmp.serversession import ServerSession

#: What a peer that plays may leave unread of our answers, in bytes.
MAX_UNREAD = 64 * 1024

#: An acknowledgement that is in no hurry comes so many seconds late.
PATIENCE = 0.05


class Answers:
    """
    Sends our answers to the peer.

    A publisher closes without reading all of them (FFmpeg, OBS). An answer that meets a
    closed socket makes the peer's kernel throw away what it had not sent yet, frames
    among them; so while there is more to read, answers wait: who needs an
    acknowledgement to go on stops sending, and gets it then. Nothing more to read may
    mean that the peer is about to close, its last frames still in its kernel: one that
    can go on without an acknowledgement gets it a little later. For the same reason a
    write that fails must not end the connection (L{Sender}).
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
        @param plain: the connection's socket; C{None} if it is none that can be asked.
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
        Whether much has been said since the peer last took all there was.
        """
        return self._unread > MAX_UNREAD

    def send(self, mayWait: bool) -> None:
        """
        Send what there is to say.

        @param mayWait: whether the peer publishes, and its frames come first.
        """
        session = self._session
        if mayWait and session.unsaid <= MAX_UNSENT and self._hasMore():
            return
        data = session.dataToSend()
        self._sender.sendNow(data)
        # That it has room says no more than that some was taken.
        self._unread = self._unread + len(data) if self._sender.isFull else 0

    def acknowledgeLater(self) -> None:
        """
        Send an acknowledgement that is in no hurry.
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
        @return: whether there is something to read: bytes, or the end.
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
