"""
Sends the data of a connection that is one of many. Data is joined once per turn of the
reactor and written to the socket directly; Twisted gets only what the socket does not
take.
"""

import socket
import sys
from collections.abc import Callable
from typing import Any, cast

from twisted.internet import tcp
from twisted.internet.interfaces import IConsumer, IPushProducer
from zope.interface import classImplements

from rtmptw.net.turns import Turns

#: Most bytes joined before they are sent. Larger writes save nothing, and a full
#: receiver is noticed earlier.
MAX_JOINED = 256 * 1024
#: Bytes that may wait before a connection counts as clogged (Twisted's own limit for
#: push producers).
MAX_UNSENT = 64 * 1024
#: Where Linux (4.1 and later) reports in TCP_INFO how many bytes the peer has
#: acknowledged.
_ACKNOWLEDGED_FROM = 120
_ACKNOWLEDGED_END = 128
#: Bytes that the kernel may hold unsent for a player. By default it takes megabytes,
#: and a slow player is many seconds behind before anyone notices.
MAX_IN_KERNEL = 128 * 1024


def socketOf(transport: Any) -> socket.socket | None:
    """
    @return: the socket of a connection, beneath TLS if there is any; C{None} if it has
        none.
    """
    while transport is not None and not isinstance(transport, tcp.Connection):
        transport = getattr(transport, "transport", None)
    return None if transport is None else transport.getHandle()


def acknowledged(transport: Any) -> int | None:
    """
    @return: how many bytes the peer's system has acknowledged so far, TLS overhead
        included; C{None} if ours cannot tell: only Linux can, for TCP.
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
    Do nothing: the connection is gone.
    """


class Sender:
    """
    Sends the bytes of one connection. It is the producer of its transport.

    Plain sockets are written to directly while Twisted has nothing buffered for them.
    This saves two copies and a turn of the reactor per write. Also, C{transport.write}
    ends the connection when it meets a reset, and data that was received but not read
    yet would be lost.

    @ivar isFull: whether the peer's connection is full for now.
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
        @param fullChanged: called when L{isFull} has changed.
        """
        self._transport: Any = transport
        self._turns = turns
        self._fullChanged = fullChanged
        self._pieces: list[bytes] = []
        self._size = 0
        self._isScheduled = False
        # Bytes that a plain socket did not take.
        self._left = 0
        self.isFull = False
        self._socket: socket.socket | None = None
        if isinstance(transport, tcp.Connection) and not transport.TLS:
            self._socket = transport.getHandle()
        if IConsumer.providedBy(transport):
            # A pull producer is called each time the buffer has run empty. TLS calls
            # pull producers forever, whether there is anything to send or not.
            transport.registerProducer(cast(IPushProducer, self), self._socket is None)

    def keepShort(self) -> None:
        """
        Limit what waits in the kernel, so that we notice slow peers.
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
        Send bytes now, after what was gathered before them.
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

    # For senders of the same data to many connections.

    @property
    def send(self) -> Callable[[bytes], int] | None:
        """
        A function that sends bytes at once, ignoring what was gathered or is left. The
        caller must have called L{flush}, and must call L{partlySent} or L{notSent} if
        not all was sent. C{None} with TLS, where this is impossible.
        """
        return None if self._socket is None else self._socket.send

    def partlySent(self, data: bytes, sent: int) -> None:
        """
        The socket took only the first C{sent} bytes: Twisted sends the rest.
        """
        if self._transport is None:
            return
        rest = data[sent:]
        self._transport.write(rest)
        self._left += len(rest)
        self.pauseProducing()

    def notSent(self, data: bytes, error: OSError) -> None:
        """
        The socket took nothing. If it is not full, the connection was reset; reading
        finds that too, after all data that came before it.
        """
        if isinstance(error, BlockingIOError):
            self.partlySent(data, 0)

    def acknowledged(self) -> int | None:
        """
        @return: see the function of the same name.
        """
        return acknowledged(self._transport)

    @property
    def isClogged(self) -> bool:
        """
        Whether more than L{MAX_UNSENT} bytes wait.
        """
        # The transport pauses us at exactly this number.
        return self.isFull and (self._socket is None or self._left > MAX_UNSENT)

    def heldBytes(self) -> int:
        """
        @return: the most bytes that wait here for the peer to take them.
        """
        return self._size + self._left

    def close(self) -> None:
        """
        Send what was gathered, and then nothing more.
        """
        self.flush()
        if self._transport is not None and IConsumer.providedBy(self._transport):
            self._transport.unregisterProducer()
        self._transport = None

    # Called by the transport.

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
