"""
Tests of reading many sockets at once, with real sockets and a clock that the test
controls.
"""

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet import tcp
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from rtmptw.net import readers as _reading
from rtmptw.net.readers import (
    ACKNOWLEDGE_WITHIN,
    AVERAGED,
    PACES,
    PATIENCE,
    STAYS,
    TCP_DELACK_MAX_US,
    UNWATCHED_PACES,
    Readers,
    canWait,
)
from rtmptw.net.turns import Turns


class Reactor(Clock):
    """
    A clock that records which descriptors are to be read.
    """

    def __init__(self) -> None:
        super().__init__()
        self.readers: set[Any] = set()

    def addReader(self, reader: Any) -> None:
        self.readers.add(reader)

    def removeReader(self, reader: Any) -> None:
        self.readers.discard(reader)

    def removeWriter(self, writer: Any) -> None:
        pass

    def turn(self) -> None:
        """
        Read all descriptors that are to be read.
        """
        for reader in list(self.readers):
            reader.doRead()


class ReadingTestCase(SynchronousTestCase):
    """
    Readers, and sockets for them.
    """

    def setUp(self) -> None:
        self.reactor = Reactor()
        self.readers = Readers(self.reactor, Turns(self.reactor))
        self.got: list[bytes] = []

    def receive(self, data: bytes, now: float) -> int:
        self.got.append(data)
        return 1

    def connection(
        self,
        pair: Callable[[], tuple[socket.socket, socket.socket]] = socket.socketpair,
    ) -> tuple[tcp.Connection, socket.socket]:
        """
        @return: a connection for the readers, and the test's end of it.
        """
        ours, theirs = pair()
        for end in (ours, theirs):
            self.addCleanup(end.close)
            end.setblocking(False)
        transport = tcp.Connection(ours, None, self.reactor)  # type: ignore[arg-type]
        transport.connected = 1
        transport.startReading()
        return transport, theirs

    def member(self) -> tuple[tcp.Connection, socket.socket]:
        """
        @return: a connection that is being read.
        """
        transport, theirs = self.connection()
        self.assertTrue(self.readers.add(transport, self.receive))
        return transport, theirs


class ReadersTests(ReadingTestCase):
    """
    All bytes reach their connections with few calls, and the end is left to Twisted.
    """

    def test_readsAll(self) -> None:
        """
        The reactor sees one reader, which reads all sockets that have data.
        """
        members = [self.member() for _ in range(3)]
        self.assertEqual(self.reactor.readers, {self.readers})
        for number, (_transport, theirs) in enumerate(members[:2]):
            theirs.send(b"%d" % number)
        self.reactor.turn()
        self.assertEqual(sorted(self.got), [b"0", b"1"])
        self.reactor.turn()
        self.assertEqual(len(self.got), 2)

    def test_sendsWhenAllAreRead(self) -> None:
        """
        Data is sent after all sockets are read, without another turn of the reactor. An
        error while sending is logged, and the others still send.
        """
        turns = Turns(self.reactor)
        self.readers = Readers(self.reactor, turns)
        sent: list[int] = []

        def fail() -> None:
            raise ZeroDivisionError

        def receive(data: bytes, now: float) -> int:
            self.got.append(data)
            turns.add(fail)
            turns.add(lambda: sent.append(len(self.got)))
            return 1

        for _ in range(2):
            transport, theirs = self.connection()
            self.readers.add(transport, receive)
            theirs.send(b"x")
        self.reactor.turn()
        self.assertEqual(sent, [2, 2])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        turns.add(lambda: sent.append(0))
        self.assertEqual(sent, [2, 2])
        self.reactor.advance(0)
        self.assertEqual(sent, [2, 2, 0])

    def test_mergingWaits(self) -> None:
        """
        Data that is gathered over an interval is not sent just because sockets were
        read.
        """
        turns = Turns(self.reactor, 0.05)
        self.readers = Readers(self.reactor, turns)
        transport, theirs = self.connection()
        sent: list[bytes] = []

        def receive(data: bytes, now: float) -> int:
            turns.add(lambda: sent.append(data))
            return 1

        self.readers.add(transport, receive)
        theirs.send(b"x")
        self.reactor.turn()
        self.reactor.advance(0.04)
        self.assertEqual(sent, [])
        self.reactor.advance(0.01)
        self.assertEqual(sent, [b"x"])

    def test_theEndIsTwisteds(self) -> None:
        """
        When the peer has closed, what it sent is delivered first; then Twisted reads
        the end.
        """
        transport, theirs = self.member()
        theirs.send(b"last")
        theirs.close()
        self.reactor.turn()
        self.assertEqual(self.got, [b"last"])
        self.assertEqual(self.reactor.readers, {self.readers})
        self.reactor.turn()
        self.assertEqual(self.reactor.readers, {transport})

    def test_addAndRemove(self) -> None:
        """
        Removing the last member removes the reader; other transports are not members.
        """
        one, theirs = self.member()
        two, _ = self.member()
        self.assertTrue(self.readers.remove(one))
        self.assertFalse(self.readers.remove(one))
        theirs.send(b"x")
        self.reactor.turn()
        self.assertEqual(self.got, [])
        self.assertTrue(self.readers.remove(two))
        self.assertEqual(self.reactor.readers, set())
        self.assertFalse(self.readers.remove(StringTransport()))
        self.assertFalse(self.readers.add(StringTransport(), self.receive))
        self.assertTrue(self.readers.add(one, self.receive))
        self.reactor.turn()
        self.assertEqual(self.got, [b"x"])

    def test_closedBeforeItIsRemoved(self) -> None:
        """
        Twisted closes the socket first; its number may be reused by then.
        """
        transport, _ = self.member()
        transport.socket.close()
        del transport.fileno
        _other, theirs = self.member()
        self.assertTrue(self.readers.remove(transport))
        theirs.send(b"other")
        self.reactor.turn()
        self.assertEqual(self.got, [b"other"])

    def test_oneRemovesAnother(self) -> None:
        """
        A connection removed by another one in the same call gets nothing more.
        """
        pair = [self.connection() for _ in range(2)]
        for transport, theirs in pair:
            theirs.send(b"x")

            def receive(data: bytes, now: float, mine: Any = transport) -> int:
                self.got.append(data)
                for other, _ in pair:
                    if other is not mine:
                        self.readers.remove(other)
                return 1

            self.readers.add(transport, receive)
        self.reactor.turn()
        self.assertEqual(self.got, [b"x"])

    def test_anErrorEndsOne(self) -> None:
        """
        An exception is logged and ends its connection; the others are still read.
        """
        bad, theirs = self.connection()
        self.readers.add(bad, lambda data, now: 1 // 0)
        theirs.send(b"x")
        _good, others = self.member()
        others.send(b"good")
        self.reactor.turn()
        self.assertEqual(self.got, [b"good"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertTrue(bad._aborting)
        self.assertFalse(self.readers.remove(bad))

    def load(self, rate: float, seconds: float = 1.0) -> None:
        """
        Simulate a rate of reads for a time, whenever the readers poll.
        """
        _transport, theirs = self.members[0]
        for _ in range(int(rate * seconds)):
            theirs.send(b"x")
            self.reactor.turn()
            self.reactor.advance(1 / rate)
            # What has not been read yet.
            self.readers._readAll(self.reactor.seconds())

    def test_thePaceOfTheLoad(self) -> None:
        """
        The higher the rate of reads, the longer the wait; under light load there is
        none.
        """
        self.members = [self.member()]
        for rate, pace in (
            (100, 0.0),
            *((least * 1.2, wait) for least, wait in reversed(PACES)),
            (100, 0.0),
        ):
            self.load(rate)
            self.reactor.advance(AVERAGED)
            self.reactor.turn()
            self.load(rate)
            self.assertEqual(self.readers.pace, pace, rate)
        self.assertEqual(len(self.got), len(b"".join(self.got)))

    def test_aPaceStays(self) -> None:
        """
        The pace itself makes reads fewer; that does not end it.
        """
        self.members = [self.member()]
        least, wait = PACES[-1]
        for rate, pace in (
            (least * 0.9, 0.0),
            (least * 1.2, wait),
            (least * STAYS * 1.2, wait),
            (least * STAYS * 0.8, 0.0),
        ):
            self.load(rate, 2 * AVERAGED)
            self.assertEqual(self.readers.pace, pace, rate)

    def test_nobodyWatches(self) -> None:
        """
        Without players, it waits at a lower rate, and longer.
        """
        watched = [False]
        self.readers = Readers(
            self.reactor, Turns(self.reactor), True, lambda: watched[0]
        )
        self.members = [self.member()]
        least, wait = UNWATCHED_PACES[-1]
        for isWatched, rate, pace in (
            (False, least * 0.9, 0.0),
            (False, least * 1.2, wait),
            (True, least * 1.2, 0.0),
        ):
            watched[0] = isWatched
            self.load(rate, 3 * AVERAGED)
            self.assertEqual(self.readers.pace, pace, rate)

    def test_waits(self) -> None:
        """
        Nothing is read between two polls, and there is no poll after the last member
        has left.
        """
        transport, theirs = self.member()
        self.readers.pace = 0.01
        theirs.send(b"one")
        self.reactor.turn()
        theirs.send(b"two")
        self.reactor.turn()
        self.assertEqual(self.got, [b"one"])
        self.reactor.advance(0.01)
        self.assertEqual(self.got, [b"one", b"two"])
        self.readers.remove(transport)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_doesNotWaitForWhoIsFaster(self) -> None:
        """
        While a socket has more data than one read takes, it is read in the next turn of
        the reactor.
        """
        self.patch(_reading, "READ_SIZE", 1000)
        self.patch(_reading, "BEHIND", 0.0)
        self.readers = Readers(self.reactor, Turns(self.reactor))
        _transport, theirs = self.member()
        self.readers.pace = 0.01
        theirs.send(bytes(1500))
        self.reactor.turn()
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.reactor.turn()
        self.assertEqual(list(map(len, self.got)), [1000, 500])
        self.assertEqual(len(self.reactor.getDelayedCalls()), 1)

    def test_readsOnForAWhile(self) -> None:
        """
        Before that, it is read again for a little while in the same turn. What was
        received is sent on each time before more is read.
        """
        self.patch(_reading, "READ_SIZE", 1000)
        self.patch(_reading, "LARGE_READ_SIZE", 1000)
        turns = Turns(self.reactor)
        self.readers = Readers(self.reactor, turns)
        transport, theirs = self.connection()
        happened: list[str] = []

        def receive(data: bytes, now: float) -> int:
            happened.append(f"{len(data)} received")
            turns.add(lambda: happened.append("sent"))
            if len(happened) == 3:
                # The time is up.
                self.reactor.advance(_reading.BEHIND)
            return 1

        self.readers.add(transport, receive)
        theirs.send(bytes(2500))
        self.reactor.turn()
        self.assertEqual(happened, ["1000 received", "sent"] * 2)
        self.reactor.turn()
        self.assertEqual(happened[4:], ["500 received", "sent"])

    def test_largeReads(self) -> None:
        """
        A connection whose read was full gets larger reads, until there is little data
        again.
        """
        self.patch(_reading, "READ_SIZE", 1000)
        self.patch(_reading, "LARGE_READ_SIZE", 3000)
        _transport, theirs = self.member()
        _other, others = self.member()
        theirs.send(bytes(8400))
        others.send(bytes(700))
        for _ in range(4):
            self.reactor.turn()
        self.assertEqual(
            sorted(map(len, self.got)), sorted([1000, 700, 3000, 3000, 1400])
        )
        # 1,400 was not little.
        theirs.send(bytes(5400))
        others.send(bytes(2000))
        del self.got[:]
        for _ in range(2):
            self.reactor.turn()
        self.assertEqual(sorted(map(len, self.got)), [1000, 1000, 2400, 3000])
        theirs.send(bytes(499))
        self.reactor.turn()
        theirs.send(bytes(2000))
        del self.got[:]
        for _ in range(2):
            self.reactor.turn()
        self.assertEqual(list(map(len, self.got)), [1000, 1000])

    def test_roomForARead(self) -> None:
        """
        The buffer of a read does not come from the kernel each time, whatever the
        program did before.
        """
        program = (
            "import resource, socket\n"
            "from tests.net.test_readers import *\n"
            "def faults():\n"
            "    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
            "reactor = Reactor()\n"
            "readers = Readers(reactor, Turns(reactor))\n"
            "ours, theirs = socket.socketpair()\n"
            "ours.setblocking(False)\n"
            "transport = tcp.Connection(ours, None, reactor)\n"
            "transport.connected = 1\n"
            "kept = []\n"
            "def receive(data, now):\n"
            "    kept.append(data[:8000])\n"
            "    del kept[:-100]\n"
            "    return 1\n"
            "readers.add(transport, receive)\n"
            "def read(count):\n"
            "    for _ in range(count):\n"
            "        theirs.send(bytes(8192))\n"
            "        reactor.turn()\n"
            "read(200)\n"
            "before = faults()\n"
            "read(1000)\n"
            "print(faults() - before)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={
                **os.environ,
                "PYTHONPATH": str(Path(__file__).parents[2]),
                # As in a program that has never freed a larger block.
                "GLIBC_TUNABLES": "glibc.malloc.mmap_threshold=131072",
            },
            capture_output=True,
            text=True,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        # It would be 4,000 otherwise.
        self.assertLess(int(done.stdout), 500)

    def test_unpaced(self) -> None:
        """
        With low delay it never waits.
        """
        self.readers = Readers(self.reactor, Turns(self.reactor), isPaced=False)
        self.members = [self.member()]
        self.load(20_000, 0.5)
        self.assertEqual(self.readers.pace, 0.0)

    def test_whereItCannotBe(self) -> None:
        """
        A reactor that cannot watch descriptors gets no readers.
        """
        from twisted.internet import reactor

        self.assertIsNone(Readers.forReactor(Clock(), Turns(Clock())))
        self.assertIsNotNone(Readers.forReactor(reactor, Turns(reactor)))


def tcpPair() -> tuple[socket.socket, socket.socket]:
    """
    @return: the two ends of a TCP connection.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        theirs = socket.create_connection(server.getsockname())
        ours, _ = server.accept()
    return ours, theirs


def kernelCan() -> bool:
    """
    @return: whether this kernel can let sockets wait for more data.
    """
    ours, theirs = tcpPair()
    with ours, theirs:
        return canWait(ours)


class WaitingTests(ReadingTestCase):
    """
    The kernel waits for as many bytes as are wanted.
    """

    if not kernelCan():
        skip = "this kernel has no TCP_DELACK_MAX_US"

    def setUp(self) -> None:
        super().setUp()
        self.wanted = 1000

    def receive(self, data: bytes, now: float) -> int:
        super().receive(data, now)
        return self.wanted

    def send(self, pair: tuple[tcp.Connection, socket.socket], data: bytes) -> None:
        """
        Send data, and poll when all of it has arrived.
        """
        transport, theirs = pair
        there = len(self.unread(transport))
        theirs.send(data)
        while len(self.unread(transport)) < there + len(data):
            pass
        self.reactor.turn()

    def unread(self, transport: tcp.Connection) -> bytes:
        """
        @return: how many bytes have arrived and are unread.
        """
        try:
            data: bytes = transport.getHandle().recv(65536, socket.MSG_PEEK)
        except BlockingIOError:
            return b""
        return data

    def waiting(self) -> tuple[tcp.Connection, socket.socket]:
        """
        @return: a connection that waits for more bytes.
        """
        transport, theirs = self.connection(tcpPair)
        theirs.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.assertTrue(self.readers.add(transport, self.receive))
        self.send((transport, theirs), b"first")
        self.assertEqual(self.got.pop(), b"first")
        return transport, theirs

    def test_waitsForEnough(self) -> None:
        """
        Data is not read until enough is there, then all of it at once.
        """
        one = self.waiting()
        self.send(one, bytes(999))
        self.assertEqual(self.got, [])
        self.send(one, b"x")
        self.assertEqual(list(map(len, self.got)), [1000])
        self.readers.remove(one[0])
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_wantsAnother(self) -> None:
        """
        The number of bytes wanted can change.
        """
        one = self.waiting()
        self.wanted = 10
        self.send(one, bytes(1000))
        self.send(one, bytes(9))
        self.wanted = 1
        self.send(one, bytes(1))
        self.send(one, b"x")
        self.assertEqual(list(map(len, self.got)), [1000, 10, 1])

    def test_notForLong(self) -> None:
        """
        After a while whatever is there is read. The time counts from the last read of
        the same socket.
        """
        one, two = self.waiting(), self.waiting()
        self.reactor.advance(PATIENCE * 0.8)
        self.send(one, bytes(1000))
        self.send(one, b"one")
        self.send(two, b"two")
        self.reactor.advance(PATIENCE * 0.3)
        self.reactor.turn()
        self.assertEqual(self.got[1:], [b"two"])
        self.reactor.advance(PATIENCE * 0.8)
        self.reactor.turn()
        self.assertEqual(self.got[1:], [b"two", b"one"])

    def test_theEndDoesNotWait(self) -> None:
        """
        The peer's end is noticed without waiting, along with what was sent before it.
        """
        transport, theirs = one = self.waiting()
        self.send(one, b"last")
        self.assertEqual(self.got, [])
        theirs.close()
        while not self.got:
            self.reactor.turn()
        self.assertEqual(self.got, [b"last"])
        self.reactor.turn()
        self.assertEqual(self.reactor.readers, {transport})
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_twistedDoesNotWait(self) -> None:
        """
        A removed socket no longer waits; if it is added again, it may wait again.
        """
        one = self.waiting()
        handle = one[0].getHandle()
        for mark in (1000, 1):
            found = handle.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT)
            self.assertEqual(found, mark)
            self.readers.remove(one[0])
        self.readers.add(one[0], self.receive)
        self.send(one, b"again")
        self.send(one, b"x")
        self.assertEqual(self.got, [b"again"])

    def test_isAcknowledgedSoon(self) -> None:
        """
        Data that waits is acknowledged soon: a peer without TCP_NODELAY sends on only
        then.
        """
        ours, theirs = tcpPair()
        with ours, theirs:
            usual = ours.getsockopt(socket.IPPROTO_TCP, TCP_DELACK_MAX_US)
        handle = self.waiting()[0].getHandle()
        found = handle.getsockopt(socket.IPPROTO_TCP, TCP_DELACK_MAX_US)
        # The kernel counts in its own ticks.
        self.assertLess(found, 4 * ACKNOWLEDGE_WITHIN)
        self.assertLess(found, usual)

    def test_impatient(self) -> None:
        """
        Where waiting is disabled, no socket waits.
        """
        self.readers = Readers(self.reactor, Turns(self.reactor), isPatient=False)
        self.send(self.waiting(), b"x")
        self.assertEqual(self.got, [b"x"])

    def test_aKernelThatCannot(self) -> None:
        """
        On a kernel without the option, no socket waits.
        """
        self.patch(_reading, "ACKNOWLEDGE_WITHIN", 0)
        self.send(self.waiting(), b"x")
        self.assertEqual(self.got, [b"x"])

    def test_aUnixSocketCannot(self) -> None:
        """
        A Unix socket cannot wait.
        """
        one = self.member()
        for _ in range(2):
            self.send(one, b"x")
        self.assertEqual(self.got, [b"x", b"x"])

    def test_overByWhatCame(self) -> None:
        """
        A connection that was ended by its own data is not told to wait.
        """
        transport, theirs = self.connection(tcpPair)

        def receive(data: bytes, now: float) -> int:
            self.readers.remove(transport)
            return 1000

        self.readers.add(transport, receive)
        self.send((transport, theirs), b"x")
        handle = transport.getHandle()
        self.assertEqual(handle.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT), 1)
        self.assertEqual(self.reactor.getDelayedCalls(), [])
