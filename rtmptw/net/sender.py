"""
How bytes leave a connection that has many like it: joined once a turn of the reactor,
given to the socket directly, and only what it does not take to Twisted.
"""

import socket
import sys
from collections.abc import Callable
from typing import Any, cast

from twisted.internet import tcp
from twisted.internet.interfaces import IConsumer, IPushProducer
from zope.interface import classImplements

from rtmptw.net.turns import Turns

#: So much is joined at most before it is sent: more in one piece saves nothing, and a
#: receiver that is full is found out earlier.
MAX_JOINED = 256 * 1024
#: So much may wait before it counts as much (Twisted's own bound for push producers).
MAX_UNSENT = 64 * 1024
#: Where Linux says in TCP_INFO how many bytes the peer has acknowledged (since 4.1).
_ACKNOWLEDGED_FROM = 120
_ACKNOWLEDGED_END = 128
#: What the kernel may hold for a viewer beyond what is on its way. Left alone it takes
#: megabytes, and a slow viewer is many seconds behind before anybody notices.
MAX_IN_KERNEL = 128 * 1024


def socketOf(transport: Any) -> socket.socket | None:
    """
    @return: the socket of a connection, beneath TLS if there is any; C{None} if it
        has none.
    """
    while transport is not None and not isinstance(transport, tcp.Connection):
        transport = getattr(transport, "transport", None)
    return None if transport is None else transport.getHandle()


def acknowledged(transport: Any) -> int | None:
    """
    @return: how many bytes the peer's system has taken so far, with those of TLS;
        C{None} if ours cannot tell, which only Linux can, of TCP.
    """
    option = getattr(socket, "TCP_INFO", None)
    kernel = socketOf(transport)
    if option is None or kernel is None:
        return None
    try:
        told = kernel.getsockopt(socket.IPPROTO_TCP, option, _ACKNOWLEDGED_END)
    except OSError:
        return None
    if len(told) < _ACKNOWLEDGED_END:
        return None
    return int.from_bytes(told[_ACKNOWLEDGED_FROM:_ACKNOWLEDGED_END], sys.byteorder)


def _toNobody(isFull: bool) -> None:
    """
    Nobody is there any more.
    """


class Sender:
    """
    Sends the bytes of one connection. It is the producer of its transport.

    Plain sockets are written to here while Twisted has nothing buffered for them: it
    saves two copies and a turn of the reactor for each write, and C{transport.write}
    ends the connection when it meets a reset, so that what was received and not read
    yet would be lost.

    @ivar isFull: whether the peer does not take what it is sent for now.
    """

    __slots__ = (
        "_fullChanged",
        "_isScheduled",
        "_left",
        "_pieces",
        "_size",
        "_socket",
        "_transport",
        "_turns",
        "isFull",
    )

    def __init__(
        self, transport: Any, turns: Turns, fullChanged: Callable[[bool], None]
    ) -> None:
        """
        @param fullChanged: told when L{isFull} has changed.
        """
        self._transport: Any = transport
        self._turns = turns
        self._fullChanged = fullChanged
        self._pieces: list[bytes] = []
        self._size = 0
        self._isScheduled = False
        # What a plain socket did not take.
        self._left = 0
        self.isFull = False
        self._socket: socket.socket | None = None
        if isinstance(transport, tcp.Connection) and not transport.TLS:
            self._socket = transport.getHandle()
        if IConsumer.providedBy(transport):
            # A pull producer is told each time the buffer has run empty. TLS asks
            # pull producers for ever, whether it has anything to send or not.
            transport.registerProducer(cast(IPushProducer, self), self._socket is None)

    def keepShort(self) -> None:
        """
        Let little wait in the kernel, so that we know who is slow.
        """
        option = getattr(socket, "TCP_NOTSENT_LOWAT", None)
        kernel = socketOf(self._transport)
        if option and kernel and kernel.family in (socket.AF_INET, socket.AF_INET6):
            kernel.setsockopt(socket.IPPROTO_TCP, option, MAX_IN_KERNEL)

    def write(self, data: bytes) -> None:
        """
        Send bytes when the turn is over.
        """
        self._pieces.append(data)
        self._size += len(data)
        if self._size >= MAX_JOINED:
            self.flush()
        elif not self._isScheduled:
            self._isScheduled = True
            self._turns.add(self.flush)

    def sendNow(self, data: bytes) -> None:
        """
        Send bytes, and what was gathered before them.
        """
        self._pieces.append(data)
        self.flush()

    def flush(self) -> None:
        """
        Send what was gathered.
        """
        self._isScheduled = False
        pieces = self._pieces
        if not pieces or self._transport is None:
            return
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self._pieces = []
        self._size = 0
        if self._socket is not None and not self._left:
            try:
                sent = self._socket.send(data)
            except OSError as error:
                self.notSent(data, error)
            else:
                if sent != len(data):
                    self.partlySent(data, sent)
            return
        self._transport.write(data)
        if self._socket is not None:
            self._left += len(data)

    # For those who send the same to many.

    @property
    def send(self) -> Callable[[bytes], int] | None:
        """
        What sends bytes at once, without looking at what was gathered or is left; for
        those who have called L{flush} before, and who call L{partlySent} or L{notSent}
        if not all was sent. C{None} if that cannot be done: with TLS.
        """
        return None if self._socket is None else self._socket.send

    def partlySent(self, data: bytes, sent: int) -> None:
        """
        The socket has taken the first C{sent} bytes only: Twisted sends the rest.
        """
        if self._transport is None:
            return
        rest = data[sent:]
        self._transport.write(rest)
        self._left += len(rest)
        self.pauseProducing()

    def notSent(self, data: bytes, error: OSError) -> None:
        """
        The socket has taken nothing. If it is not full, it was reset; that is found
        again behind all that came before it.
        """
        if isinstance(error, BlockingIOError):
            self.partlySent(data, 0)

    def acknowledged(self) -> int | None:
        """
        @return: as the function of this name.
        """
        return acknowledged(self._transport)

    @property
    def isClogged(self) -> bool:
        """
        Whether L{MAX_UNSENT} waits.
        """
        # Whoever pauses us does so at this very number.
        return self.isFull and (self._socket is None or self._left > MAX_UNSENT)

    def heldBytes(self) -> int:
        """
        @return: how many bytes wait here for the peer to take them, at most.
        """
        return self._size + self._left

    def close(self) -> None:
        """
        Send the last, and nothing more.
        """
        self.flush()
        if self._transport is not None and IConsumer.providedBy(self._transport):
            self._transport.unregisterProducer()
        self._transport = None

    # What the transport calls.

    def pauseProducing(self) -> None:
        """
        The transport's buffer is full.
        """
        if not self.isFull:
            self.isFull = True
            self._fullChanged(True)

    def resumeProducing(self) -> None:
        """
        The transport's buffer is empty.
        """
        self._left = 0
        if self.isFull:
            self.isFull = False
            self._fullChanged(False)

    def stopProducing(self) -> None:
        """
        The connection is lost.
        """
        self._transport = None
        self._pieces = []
        self._fullChanged = _toNobody


# Not as a decorator: mypyc makes a plain class of one that has any.
classImplements(Sender, IPushProducer)
