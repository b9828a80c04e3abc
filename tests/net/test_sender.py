"""
Tests for L{rtmptw.net.sender}: bytes go to the socket directly, and to Twisted only if
the socket does not take them.
"""

import socket

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from rtmptw.net.sender import MAX_IN_KERNEL, MAX_UNSENT, Sender
from rtmptw.net.turns import Turns
from tests.net.plain import PlainSocket, PlainTransport


class PlainSenderTests(SynchronousTestCase):
    """
    Sending on a plain socket.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.socket = PlainSocket()
        self.transport = PlainTransport(self.socket)
        self.full: list[bool] = []
        self.sender = Sender(self.transport, Turns(self.clock), self.full.append)

    def test_toTheSocket(self) -> None:
        """
        Data is joined and sent at the end of the turn, and Twisted gets none of it.
        """
        self.sender.write(b"one")
        self.sender.write(b"two")
        self.assertEqual(self.socket.sent, b"")
        self.clock.advance(0)
        self.sender.sendNow(b"now")
        self.assertEqual(self.socket.sent, b"onetwonow")
        self.assertEqual((self.transport.waiting, self.full), (b"", []))
        # A pull producer: Twisted calls it each time its buffer is empty.
        self.assertEqual(self.transport.producers, [(self.sender, False)])

    def test_whatItDoesNotTake(self) -> None:
        """
        What the socket does not take goes to Twisted, and so does all that follows, in
        order, until Twisted has sent everything.
        """
        self.socket.room = 4
        self.sender.sendNow(b"onetwo")
        self.assertEqual((self.socket.sent, self.transport.waiting), (b"onet", b"wo"))
        self.assertEqual((self.full, self.sender.isFull), ([True], True))
        self.socket.room = 100
        self.sender.sendNow(b"three")
        self.assertEqual(self.transport.waiting, b"wothree")
        self.assertEqual(self.socket.sent, b"onet")
        self.sender.resumeProducing()
        self.assertEqual((self.full, self.sender.isFull), ([True, False], False))
        self.sender.sendNow(b"four")
        self.assertEqual(self.socket.sent, b"onetfour")
        self.assertEqual(self.transport.waiting, b"wothree")

    def test_aSocketThatIsFull(self) -> None:
        """
        If the socket is full, Twisted gets all of it, once.
        """
        self.socket.room = 0
        self.sender.sendNow(b"all")
        self.sender.sendNow(b" of it")
        self.assertEqual(
            (self.socket.sent, self.transport.waiting), (b"", b"all of it")
        )
        self.assertEqual(self.full, [True])

    def test_aSocketThatWasReset(self) -> None:
        """
        A reset does not end the connection here: data received before is read first.
        """
        self.socket.error = ConnectionResetError()
        self.sender.sendNow(b"lost")
        self.assertEqual((self.transport.waiting, self.full), (b"", []))
        self.assertFalse(self.sender.isFull)

    def test_clogged(self) -> None:
        """
        A connection is clogged only if more waits than Twisted's own limit.
        """
        self.socket.room = 0
        self.sender.sendNow(bytes(MAX_UNSENT))
        self.assertTrue(self.sender.isFull)
        self.assertFalse(self.sender.isClogged)
        self.sender.sendNow(b"x")
        self.assertTrue(self.sender.isClogged)
        self.sender.resumeProducing()
        self.assertFalse(self.sender.isClogged)

    def test_forManyAtOnce(self) -> None:
        """
        C{send} is the socket's own; the caller reports what it did not take.
        """
        send = self.sender.send
        assert send is not None
        self.socket.room = 2
        self.sender.partlySent(b"four", send(b"four"))
        self.assertEqual((self.socket.sent, self.transport.waiting), (b"fo", b"ur"))
        self.sender.notSent(b"all", BlockingIOError())
        self.assertEqual(self.transport.waiting, b"urall")
        self.sender.notSent(b"none", BrokenPipeError())
        self.assertEqual(self.transport.waiting, b"urall")

    def test_littleInTheKernel(self) -> None:
        """
        The kernel's send buffer is limited where the system supports it.
        """
        self.sender.keepShort()
        option = getattr(socket, "TCP_NOTSENT_LOWAT", None)
        wanted = {(socket.IPPROTO_TCP, option): MAX_IN_KERNEL} if option else {}
        self.assertEqual(self.socket.options, wanted)

    def test_afterTheEnd(self) -> None:
        """
        After C{close}, gathered data is sent and nothing else; the producer is
        unregistered.
        """
        self.sender.write(b"last")
        self.sender.close()
        self.sender.sendNow(b"more")
        self.sender.partlySent(b"more", 1)
        self.assertEqual((self.socket.sent, self.transport.waiting), (b"last", b""))
        self.assertEqual(self.transport.producers, [(self.sender, False), None])
        self.clock.advance(1)
        self.assertEqual(self.socket.sent, b"last")

    def test_afterTheConnection(self) -> None:
        """
        After the connection is lost, nobody is called and nothing is kept.
        """
        self.socket.room = 0
        self.sender.write(b"gone")
        self.sender.stopProducing()
        self.clock.advance(0)
        self.sender.pauseProducing()
        self.assertEqual((self.transport.waiting, self.full), (b"", []))
