"""
How bytes come in on a server with many connections: all sockets that have something
are read at one call of the reactor, and, when there is much to do, only every few
milliseconds, as network cards moderate their interrupts. What costs is waking up, so
the kernel is also told which sockets can wait for more.
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

#: So much is read from a socket at once, as Twisted does, and so much from one that had
#: so much: a fast publisher is read with fewer calls. Not all are, because there must
#: be room before it is known how much comes. Room for more than 128 KiB glibc asks of
#: the kernel each time, unless the program happens to have freed as much before: that
#: made each small read five times as long.
READ_SIZE = 64 * 1024
LARGE_READ_SIZE = 256 * 1024
#: Reads a second, and how many seconds to wait between two looks when there are more.
#: Below the last nothing waits: light load keeps its latency.
PACES = ((5000.0, 0.020), (2000.0, 0.010), (700.0, 0.005))
#: The same while nobody watches a stream: a recording is no worse for 20 ms.
UNWATCHED_PACES = ((200.0, 0.020),)
#: A pace ends when there are fewer reads than this share of what began it: it has
#: itself made them fewer.
STAYS = 1 / 3
#: Over so many seconds the reads are averaged.
AVERAGED = 0.25
#: Seconds for which sockets that have more than one read takes are read again before
#: anything else has its turn.
BEHIND = 0.002
#: Seconds without a read after which a socket need not wait for more.
PATIENCE = 0.1
#: What nobody reads is acknowledged late: the kernel hopes for an answer to send with
#: it, for 40 ms. A publisher that has not asked for TCP_NODELAY, as FFmpeg, would hold
#: its next picture back until then. This option of Linux 6.15 and later makes it less,
#: in microseconds; Python has no name for it. No socket waits where it is missing.
TCP_DELACK_MAX_US = 46
ACKNOWLEDGE_WITHIN = 5000

#: Gets bytes and the time of the clock in seconds; returns how many bytes there should
#: be before it is called again, if that does not take too long. 1 is for any.
Receive = Callable[[bytes, float], int]


class _Member:
    """
    One connection.

    @ivar mark: how many bytes the kernel waits for before it says that there is
        something.
    @ivar canWait: whether it can be told to; C{None} if it has not been asked.
    @ivar last: when there was something.
    @ivar size: how much is read at once.
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
    Reads plain sockets in place of the reactor, which sees one descriptor for all of
    them: an epoll of its own. The end of a connection is left to Twisted.

    @ivar pace: seconds between two looks at the sockets; 0 is whenever there is
        something.
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
        @param turns: told when sockets are read, and when they have been.
        @param isPaced: whether to wait between two looks when there is much to do.
        @param isWatched: says whether somebody watches what comes in.
        @param isPatient: whether a socket may wait for as much as is wanted of it.
        """
        self._reactor = reactor
        self._turns = turns
        self._isPaced = isPaced
        self._hasViewers = isWatched
        self._isPatient = isPatient
        self._epoll = select.epoll()
        self._members: dict[int, _Member] = {}
        self._numbers: dict[tcp.Connection, int] = {}
        # Those that wait for more than one byte, and when to look after them.
        self._marked: dict[int, _Member] = {}
        self._check: IDelayedCall | None = None
        self.pace = 0.0
        # Whether the reactor looks for us; else a timer does.
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
        @return: readers, or C{None} if the reactor or the system cannot have them.
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

        @return: whether that can be done: for plain sockets.
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
        Read a connection no more.

        @return: whether it was read.
        """
        number = self._numbers.pop(transport, None)
        if number is None:
            return False
        member = self._members[number]
        if transport.fileno() == number:
            self._epoll.unregister(number)
            if member.mark > 1:
                # Twisted reads what there is.
                self._await(number, member, 1)
        # Else it is closed, the epoll has forgotten it; the number may be another's.
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
        Let the reactor look, or not.
        """
        if isRegistered != self._isRegistered:
            self._isRegistered = isRegistered
            if isRegistered:
                self._reactor.addReader(self)
            else:
                self._reactor.removeReader(self)

    # What the reactor calls.

    def fileno(self) -> int:
        """
        The epoll's.
        """
        return self._epoll.fileno()

    def logPrefix(self) -> str:
        """
        Who this is.
        """
        return "readers"

    def connectionLost(self, reason: Failure) -> None:
        """
        The reactor stops.
        """

    def doRead(self) -> None:
        """
        Read all sockets that have something.
        """
        now: float = self._reactor.seconds()
        isBehind = self._readAll(now)
        if isBehind:
            # Who sends faster than it is read has sent more by now. A turn of the
            # reactor for each look would cost a part of what it takes to read.
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
        # Nobody waits for one that sends faster than it is read.
        isWaiting = self.pace > 0.0 and not isBehind
        self._register(not isWaiting)
        if isWaiting and self._waiting is None:
            self._waiting = self._reactor.callLater(self.pace, self._look)

    def _look(self) -> None:
        self._waiting = None
        self.doRead()

    def _readAll(self, now: float) -> bool:
        """
        @param now: when all this counts as received.
        @return: whether some socket has more than was read.
        """
        members = self._members
        isBehind = False
        self._turns.readingBegins()
        for number, _events in self._epoll.poll(0):
            member = members.get(number)
            if member is None:
                # It was removed by what another one sent.
                continue
            self._reads += 1
            try:
                data = member.read(member.size)
            except BlockingIOError:
                continue
            except OSError:
                data = b""
            if not data:
                # Twisted finds the end again, and says so.
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
                # As the reactor does: an error ends this connection and no other.
                self._log.failure("an error in {member}", member=member.transport)
                self.remove(member.transport)
                member.transport.abortConnection()
                continue
            if (
                wanted != member.mark
                and self._isPatient
                # It may be over by what was received.
                and members.get(number) is member
            ):
                self._await(number, member, wanted)
        self._turns.readingEnds()
        return isBehind

    def _await(self, number: int, member: _Member, wanted: int) -> None:
        """
        Let the kernel wait for so many bytes. It does not wait for them once the peer
        has ended, or when it has no room for more.
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
        Who has waited in vain takes what there is.
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
    Have a socket acknowledge soon what nobody has read.

    @return: whether it does, and so can wait for more.
    """
    try:
        handle.setsockopt(socket.IPPROTO_TCP, TCP_DELACK_MAX_US, ACKNOWLEDGE_WITHIN)
    except OSError:
        return False
    return True


# Not as a decorator: mypyc makes a plain class of one that has any.
classImplements(Readers, IReadDescriptor)
