"""
What a session has to say, and when it is said.
"""

import socket
from socket import MSG_PEEK

from rtmptw.net.sender import MAX_UNSENT, Sender
from rtmptw.rtmp.serversession import ServerSession


class Answers:
    """
    Sends our answers to the peer.

    A publisher closes without reading all of them (FFmpeg, OBS). An answer that meets a
    closed socket makes the peer's kernel throw away what it had not sent yet, frames
    among them; so while there is more to read, answers wait: who needs an
    acknowledgement to go on stops sending, and gets it then. For the same reason a
    write that fails must not end the connection (L{Sender}).
    """

    __slots__ = ("_sender", "_session", "_socket")

    def __init__(
        self, session: ServerSession, sender: Sender, plain: socket.socket | None
    ) -> None:
        """
        @param plain: the connection's socket; C{None} if it is none that can be asked.
        """
        self._session = session
        self._sender = sender
        self._socket = plain

    def send(self, mayWait: bool) -> None:
        """
        Send what there is to say.

        @param mayWait: whether the peer publishes, and its frames come first.
        """
        plain = self._socket
        if (
            mayWait
            and plain is not None
            and self._session.unsaid <= MAX_UNSENT
            and _hasMore(plain)
        ):
            return
        self._sender.sendNow(self._session.dataToSend())


def _hasMore(plain: socket.socket) -> bool:
    """
    @return: whether there is something to read: bytes, or the end.
    """
    try:
        plain.recv(1, MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True
