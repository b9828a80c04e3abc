"""
Tests of how many sockets are read at once: with real sockets and a clock that stands
still.
"""

import socket
from typing import Any

from twisted.internet import tcp
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from rtmptw import _reading
from rtmptw._reading import AVERAGED, PACES, STAYS, UNWATCHED_PACES, Readers
from rtmptw._turns import Turns


class Reactor(Clock):
    """
    A clock that knows who wants to read.
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
        Let those read that want to.
        """
        for reader in list(self.readers):
            reader.doRead()


class ReadersTests(SynchronousTestCase):
    """
    All bytes to their connections, few calls, and the end left to Twisted.
    """

    def setUp(self) -> None:
        self.reactor = Reactor()
        self.readers = Readers(self.reactor, Turns(self.reactor))
        self.got: list[bytes] = []

    def receive(self, data: bytes, now: float) -> None:
        self.got.append(data)

    def connection(self) -> tuple[tcp.Connection, socket.socket]:
        """
        One end for the readers, and the other for the test.
        """
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            self.addCleanup(end.close)
            end.setblocking(False)
        transport = tcp.Connection(ours, None, self.reactor)  # type: ignore[arg-type]
        transport.connected = 1
        transport.startReading()
        return transport, theirs

    def member(self) -> tuple[tcp.Connection, socket.socket]:
        """
        One that is read.
        """
        transport, theirs = self.connection()
        self.assertTrue(self.readers.add(transport, self.receive))
        return transport, theirs

    def test_readsAll(self) -> None:
        """
        The reactor sees one reader, which reads all that have something.
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
        Not before, and without another turn of the reactor; an error in sending is
        logged, and the others send.
        """
        turns = Turns(self.reactor)
        self.readers = Readers(self.reactor, turns)
        sent: list[int] = []

        def receive(data: bytes, now: float) -> None:
            self.got.append(data)
            turns.add(lambda: 1 // 0)
            turns.add(lambda: sent.append(len(self.got)))

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
        What is gathered over some time does not leave because sockets were read.
        """
        turns = Turns(self.reactor, 0.05)
        self.readers = Readers(self.reactor, turns)
        transport, theirs = self.connection()
        sent: list[bytes] = []

        def receive(data: bytes, now: float) -> None:
            turns.add(lambda: sent.append(data))

        self.readers.add(transport, receive)
        theirs.send(b"x")
        self.reactor.turn()
        self.reactor.advance(0.04)
        self.assertEqual(sent, [])
        self.reactor.advance(0.01)
        self.assertEqual(sent, [b"x"])

    def test_theEndIsTwisteds(self) -> None:
        """
        When the peer has closed, what it sent is given first, then Twisted reads on.
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
        The last that leaves takes the reader with it; others are no members.
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
        Twisted closes the socket first; its number may be another's by then.
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
        In the same call: the other gets nothing more.
        """
        pair = [self.connection() for _ in range(2)]
        for transport, theirs in pair:
            theirs.send(b"x")

            def receive(data: bytes, now: float, mine: Any = transport) -> None:
                self.got.append(data)
                for other, _ in pair:
                    if other is not mine:
                        self.readers.remove(other)

            self.readers.add(transport, receive)
        self.reactor.turn()
        self.assertEqual(self.got, [b"x"])

    def test_anErrorEndsOne(self) -> None:
        """
        It is logged, its connection is ended, the others are read.
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
        Reads a second, for so long, whenever the readers look.
        """
        _transport, theirs = self.members[0]
        for _ in range(int(rate * seconds)):
            theirs.send(b"x")
            self.reactor.turn()
            self.reactor.advance(1 / rate)
            # What was not read yet.
            self.readers._readAll(self.reactor.seconds())

    def test_thePaceOfTheLoad(self) -> None:
        """
        The more there is to read, the longer it waits, and light load does not wait.
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
        It makes fewer reads itself; that does not end it.
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
        Then it waits earlier, and longer.
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
        Between two looks nothing is read; the look after the last member left is none.
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
        While a socket has more than is read at once, it is read again at once.
        """
        self.patch(_reading, "READ_SIZE", 1000)
        self.readers = Readers(self.reactor, Turns(self.reactor))
        _transport, theirs = self.member()
        self.readers.pace = 0.01
        theirs.send(bytes(1500))
        self.reactor.turn()
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.reactor.turn()
        self.assertEqual(list(map(len, self.got)), [1000, 500])
        self.assertEqual(len(self.reactor.getDelayedCalls()), 1)

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
        A clock is no reactor that reads.
        """
        from twisted.internet import reactor

        self.assertIsNone(Readers.forReactor(Clock(), Turns(Clock())))
        self.assertIsNotNone(Readers.forReactor(reactor, Turns(reactor)))
