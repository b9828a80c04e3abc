"""
Reads the sockets of a server with many connections. All sockets that have data are read
in one call from the reactor, and under load only every few milliseconds, as network
cards moderate their interrupts. The main cost is waking up, so the kernel is also told
which sockets may wait for more data.
"""

import select
import socket
from collections.abc import Callable
from typing import Any

from twisted.internet import tcp
from twisted.internet.interfaces import (
    IDelayedCall,
    IReactorFDSet,
    IReactorTime,
    IReadDescriptor,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import classImplements

from rtmptw.net.turns import Turns

#: Bytes read from a socket at once: as much as Twisted reads, and more if the last read
#: was full, to read a fast publisher with fewer calls. Not every read is large, because
#: the buffer is allocated before the size is known, and glibc asks the kernel for each
#: buffer larger than 128 KiB, unless the program happens to have freed such a one
#: before: that made each small read take five times as long.
READ_SIZE = 64 * 1024
LARGE_READ_SIZE = 256 * 1024
#: Reads a second, and the seconds to wait between two polls if there are more. Below
#: the lowest rate nothing waits, so that light load keeps its latency.
PACES = ((5000.0, 0.020), (2000.0, 0.010), (700.0, 0.005))
#: The same while no stream has a player: 20 ms do not matter to a recording.
UNWATCHED_PACES = ((200.0, 0.020),)
#: A pace ends when the rate falls below this share of the rate that started it, because
#: the pace itself makes reads fewer.
STAYS = 1 / 3
#: Seconds over which the rate of reads is averaged.
AVERAGED = 0.25
#: Seconds for which sockets with more data than one read takes are read again before
#: anything else gets its turn.
BEHIND = 0.002
#: Seconds without a read after which a socket stops waiting for more data.
PATIENCE = 0.1
#: Data that is not read is acknowledged late: the kernel waits up to 40 ms for an
#: answer to send along. A publisher that has not set TCP_NODELAY, such as FFmpeg, would
#: hold back its next video frame until then. This option of Linux 6.15 and later
#: shortens that delay. It is in microseconds, and Python has no name for it. Without
#: it, no socket waits for more data.
TCP_DELACK_MAX_US = 46
ACKNOWLEDGE_WITHIN = 5000

#: Called with the bytes and the clock's time in seconds; returns how many bytes to wait
#: for before the next call, if that does not take too long. 1 means any number.
Receive = Callable[[bytes, float], int]


class _Member:
    """
    One connection.

    @ivar mark: how many bytes the kernel waits for before it reports the socket
        readable.
    @ivar canWait: whether the kernel can be told to wait; C{None} if not tried yet.
    @ivar last: the time of the last read.
    @ivar size: how many bytes to read at once.
    """

    __slots__ = (
        "canWait",
        "handle",
        "last",
        "mark",
        "read",
        "receive",
        "size",
        "transport",
    )

    def __init__(self, transport: tcp.Connection, receive: Receive) -> None:
        self.transport = transport
        self.receive = receive
        self.handle: socket.socket = transport.getHandle()
        self.read = self.handle.recv
        self.mark = 1
        self.canWait: bool | None = None
        self.last = 0.0
        self.size = READ_SIZE


class Readers:
    """
    Reads plain sockets in place of the reactor, which sees only one descriptor for all
    of them: that of our own epoll. The end of a connection is left to Twisted.

    @ivar pace: seconds between two polls of the sockets; 0 means whenever there is
        data.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        turns: Turns,
        isPaced: bool = True,
        isWatched: Callable[[], bool] = lambda: True,
        isPatient: bool = True,
    ) -> None:
        """
        @param turns: told before and after sockets are read.
        @param isPaced: whether to wait between two polls under load.
        @param isWatched: returns whether any stream has a player.
        @param isPatient: whether a socket may wait until the wanted number of bytes is
            there.
        """
        self._reactor = reactor
        self._turns = turns
        self._isPaced = isPaced
        self._hasViewers = isWatched
        self._isPatient = isPatient
        self._epoll = select.epoll()
        self._members: dict[int, _Member] = {}
        self._numbers: dict[tcp.Connection, int] = {}
        # The members that wait for more than one byte, and the timer that checks them.
        self._marked: dict[int, _Member] = {}
        self._check: IDelayedCall | None = None
        self.pace = 0.0
        # Whether the reactor watches our epoll; otherwise a timer polls it.
        self._isRegistered = False
        self._waiting: IDelayedCall | None = None
        self._reads = 0
        self._since = reactor.seconds()

    @classmethod
    def forReactor(
        cls,
        reactor: Any,
        turns: Turns,
        isPaced: bool = True,
        isWatched: Callable[[], bool] = lambda: True,
        isPatient: bool = True,
    ) -> "Readers | None":
        """
        @return: readers, or C{None} if the reactor or the system does not support them.
        """
        if (
            hasattr(select, "epoll")
            and IReactorFDSet.providedBy(reactor)
            and IReactorTime.providedBy(reactor)
        ):
            return cls(reactor, turns, isPaced, isWatched, isPatient)
        return None

    def add(self, transport: Any, receive: Receive) -> bool:
        """
        Read a connection from now on.

        @return: whether it can be read here: only plain sockets can.
        """
        if not isinstance(transport, tcp.Connection) or transport.TLS:
            return False
        transport.stopReading()
        number = transport.fileno()
        self._epoll.register(number, select.EPOLLIN)
        self._members[number] = _Member(transport, receive)
        self._numbers[transport] = number
        if len(self._members) == 1:
            self._begin()
        return True

    def remove(self, transport: Any) -> bool:
        """
        Stop reading a connection.

        @return: whether it was being read.
        """
        number = self._numbers.pop(transport, None)
        if number is None:
            return False
        member = self._members[number]
        if transport.fileno() == number:
            self._epoll.unregister(number)
            if member.mark > 1:
                # Let Twisted read whatever there is.
                self._await(number, member, 1)
        # Otherwise it is closed: the epoll has dropped it, and its number may be
        # reused.
        if member.transport is transport:
            del self._members[number]
            self._marked.pop(number, None)
        if not self._members:
            self._stop()
        return True

    def _begin(self) -> None:
        self._reads = 0
        self._since = self._reactor.seconds()
        self._register()

    def _stop(self) -> None:
        self.pace = 0.0
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
        if self._check is not None:
            self._check.cancel()
            self._check = None
        self._register(False)

    def _register(self, isRegistered: bool = True) -> None:
        """
        Start or stop the reactor's watching of our epoll.
        """
        if isRegistered != self._isRegistered:
            self._isRegistered = isRegistered
            if isRegistered:
                self._reactor.addReader(self)
            else:
                self._reactor.removeReader(self)

    # Called by the reactor.

    def fileno(self) -> int:
        """
        @return: the epoll's descriptor.
        """
        return self._epoll.fileno()

    def logPrefix(self) -> str:
        """
        @return: the name for logs.
        """
        return "readers"

    def connectionLost(self, reason: Failure) -> None:
        """
        Do nothing: the reactor is shutting down.
        """

    def doRead(self) -> None:
        """
        Read all sockets that have data.
        """
        now: float = self._reactor.seconds()
        isBehind = self._readAll(now)
        if isBehind:
            # A peer that sends faster than we read has sent more by now. A turn of the
            # reactor for each poll would cost part of the time that reading takes.
            until = now + BEHIND
            while isBehind and self._members:
                now = self._reactor.seconds()
                if now >= until:
                    break
                isBehind = self._readAll(now)
        if not self._isPaced:
            return
        self._measure(now)
        if not self._members:
            return
        # No waiting when a peer sends faster than we read.
        isWaiting = self.pace > 0.0 and not isBehind
        self._register(not isWaiting)
        if isWaiting and self._waiting is None:
            self._waiting = self._reactor.callLater(self.pace, self._look)

    def _look(self) -> None:
        self._waiting = None
        self.doRead()

    def _readAll(self, now: float) -> bool:
        """
        @param now: the time at which the data counts as received.
        @return: whether any socket has more than was read.
        """
        members = self._members
        isBehind = False
        self._turns.readingBegins()
        for number, _events in self._epoll.poll(0):
            member = members.get(number)
            if member is None:
                # Data from another connection caused its removal.
                continue
            self._reads += 1
            try:
                data = member.read(member.size)
            except BlockingIOError:
                continue
            except OSError:
                data = b""
            if not data:
                # Twisted finds the end again, and reports it.
                self.remove(member.transport)
                member.transport.startReading()
                continue
            if len(data) == member.size:
                isBehind = True
                member.size = LARGE_READ_SIZE
            elif len(data) < READ_SIZE // 2:
                member.size = READ_SIZE
            member.last = now
            try:
                wanted = member.receive(data, now)
            except Exception:
                # As in the reactor, an error ends this connection only.
                self._log.failure(
                    "error while reading {member}", member=member.transport
                )
                self.remove(member.transport)
                member.transport.abortConnection()
                continue
            if (
                wanted != member.mark
                and self._isPatient
                # The data may have ended the connection.
                and members.get(number) is member
            ):
                self._await(number, member, wanted)
        self._turns.readingEnds()
        return isBehind

    def _await(self, number: int, member: _Member, wanted: int) -> None:
        """
        Let the kernel wait for a number of bytes. It stops waiting when the peer has
        closed, or when its buffer is full.
        """
        if member.canWait is None:
            member.canWait = canWait(member.handle)
        if not member.canWait:
            return
        member.handle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, wanted)
        member.mark = wanted
        if wanted == 1:
            self._marked.pop(number, None)
            return
        self._marked[number] = member
        if self._check is None:
            self._check = self._reactor.callLater(PATIENCE, self._looseMarks)

    def _looseMarks(self) -> None:
        """
        Let members that have waited too long read what there is.
        """
        self._check = None
        now: float = self._reactor.seconds()
        oldest = now
        for number, member in list(self._marked.items()):
            if now - member.last >= PATIENCE:
                self._await(number, member, 1)
            elif member.last < oldest:
                oldest = member.last
        if self._marked:
            delay = oldest + PATIENCE - now
            self._check = self._reactor.callLater(delay, self._looseMarks)

    def _measure(self, now: float) -> None:
        passed = now - self._since
        if passed < AVERAGED:
            return
        rate = self._reads / passed
        self._reads = 0
        self._since = now
        before, self.pace = self.pace, 0.0
        for least, pace in PACES if self._hasViewers() else UNWATCHED_PACES:
            if rate >= (least * STAYS if pace == before else least):
                self.pace = pace
                break


def canWait(handle: socket.socket) -> bool:
    """
    Make a socket acknowledge unread data soon.

    @return: whether it does, and may therefore wait for more data.
    """
    try:
        handle.setsockopt(socket.IPPROTO_TCP, TCP_DELACK_MAX_US, ACKNOWLEDGE_WITHIN)
    except OSError:
        return False
    return True


# Not as a decorator: mypyc does not compile a decorated class natively.
classImplements(Readers, IReadDescriptor)
