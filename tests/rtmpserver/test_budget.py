"""
Tests of the limit on the memory that clients may use.
"""

import os
from pathlib import Path
from typing import Any, cast

from twisted.internet.task import Clock
from twisted.logger import ILogObserver, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from rtmptw.delivery import Delivery, Policy
from rtmptw.hub.hub import StreamHub
from rtmptw.rtmp.chunkwriter import encodeMessage
from rtmptw.rtmpserver.budget import LOOK_AFTER, MOST_EACH, Budget, halfOfTheMachine
from rtmptw.rtmpserver.factory import RTMPFactory
from rtmptw.testing import RecordingSink
from tests.rtmpserver.test_protocol import Connection, SinkFactory

MIB = 1024 * 1024


class BudgetTests(SynchronousTestCase):
    """
    Connections that use memory.
    """

    limit = 20 * MIB

    def setUp(self) -> None:
        self.clock = Clock()
        self.sinks = SinkFactory()
        self.serve()
        self.lines: list[str] = []

        def observe(event: Any) -> None:
            self.lines.append(formatEvent(event))

        globalLogPublisher.addObserver(cast(ILogObserver, observe))
        self.addCleanup(globalLogPublisher.removeObserver, cast(ILogObserver, observe))

    def serve(self, graceTime: float = 0.0) -> None:
        """
        Start the server.
        """
        self.hub = StreamHub(self.clock, [("test", self.sinks)], graceTime=graceTime)
        self.factory = RTMPFactory(self.hub, memory=self.limit)

    def connect(self, port: int, publishes: bool = True) -> Connection:
        """
        @return: a connection that publishes, or has only connected.
        """
        connection = Connection(self.factory, port)
        connection.transport.abortConnection = connection.lose
        connection.client.shakeHands()
        connection.client.connect()
        if publishes:
            connection.client.command("createStream", 4.0, None)
            connection.client.publish(f"cam{port}")
        return connection

    def begin(self, connection: Connection, size: int) -> None:
        """
        Send all but one byte of a message.
        """
        chunk = encodeMessage(2, 1, 0, 0, (0xFFFFFF).to_bytes(4, "big"), 128)
        data = encodeMessage(6, 9, 0, 1, bytes(size + 1), 0xFFFFFF)
        connection.client.send(chunk + data[:-1])

    def isCutOff(self, connection: Connection) -> bool:
        """
        @return: whether the server has ended the connection.
        """
        return connection.protocol not in self.factory.connections

    def test_theLargestLoses(self) -> None:
        """
        The connection that holds the most is cut off, not the newest one; the others
        continue.
        """
        small, large, last = (self.connect(port) for port in (1, 2, 3))
        self.begin(small, 4 * MIB)
        self.begin(large, 9 * MIB)
        self.begin(last, 6 * MIB)
        self.assertEqual(
            self.factory.connections, {small.protocol, large.protocol, last.protocol}
        )
        self.begin(self.connect(4), 4 * MIB)
        self.assertTrue(self.isCutOff(large))
        self.assertEqual(len(self.factory.connections), 3)
        held = sum(p.heldBytes() for p in self.factory.connections)
        self.assertEqual(held, 14 * MIB)
        (line,) = [line for line in self.lines if "cut off" in line]
        self.assertRegex(
            line,
            "^(unknown|127.0.0.1:2): cut off: clients held 2411724[0-9] bytes "
            "in all, the limit is 20971520 .--memory., and it held the most: 9437184$",
        )
        small.client.send(b"\0")
        self.assertEqual(len(self.sinks.sinks[0].frames), 1)

    def test_whatIsHeld(self) -> None:
        """
        A connection holds unfinished messages, the rest of an aggregate, what waits for
        an answer, and the headers and GOPs of its streams.
        """
        connection = self.connect(1)
        held = connection.protocol.heldBytes
        self.assertEqual(held(), 0)
        client = connection.client
        client.send(client.message(9, b"\x17\0\0\0\0" + bytes(995)))
        self.assertEqual(held(), 1000)
        client.send(client.message(9, b"\x17\1\0\0\0" + bytes(4995)))
        self.assertEqual(held(), 6000)
        client.send(client.message(9, b"\x27\1\0\0\0" + bytes(2995), timestamp=40))
        self.assertEqual(held(), 9000)
        # A new GOP, and a new header that replaces the old one.
        client.send(client.message(9, b"\x17\1\0\0\0" + bytes(495), timestamp=80))
        client.send(client.message(9, b"\x17\0\0\0\0" + bytes(95)))
        self.assertEqual(held(), 600)
        self.begin(connection, 30_000)
        self.assertEqual(held(), 30_600)
        client.send(b"\0")
        self.assertEqual(held(), 30_601)
        part = b"\x08" + bytes(10) + bytes(4)
        client.send(encodeMessage(7, 22, 0, 1, part * 1500, 0xFFFFFF))
        self.assertEqual(held(), 30_601 + 15 * 1500)
        self.clock.advance(0)
        self.assertEqual(held(), 30_601)
        connection.lose()
        self.assertEqual(held(), 0)

    def test_whatWaitsForSinks(self) -> None:
        """
        Frames queued for several sinks count once per stream: they are the same
        objects.
        """
        connection = self.connect(1)
        stream = self.hub.streams["live/cam1"]
        second = RecordingSink(Delivery(Policy.LOSSLESS, 0, 0, 4))
        stream.attach("second", second)
        sinks = [*self.sinks.sinks, second]
        producers = [sink.producer for sink in sinks if sink.producer is not None]
        for producer in producers:
            producer.pauseProducing()
        client = connection.client
        client.send(client.message(8, b"\xaf\1" + bytes(998)) * 3)
        self.assertEqual(stream.heldBytes(), 3000)
        self.assertEqual(connection.protocol.heldBytes(), 3000)
        producers[0].resumeProducing()
        self.assertEqual(stream.heldBytes(), 3000)
        producers[1].resumeProducing()
        self.assertEqual(stream.heldBytes(), 0)

    def test_oneMayHoldSoMuch(self) -> None:
        """
        The limit of a single connection applies whatever the total is.
        """
        self.limit = 1000 * MIB
        self.serve()
        connection = self.connect(1, publishes=False)
        for number in range(5):
            connection.client.command("createStream", 4.0 + number, None)
        for stream in range(1, 6):
            connection.client.publish(f"cam{stream}", streamID=stream)
        self.assertEqual(len(self.hub.streams), 5)
        chunk = encodeMessage(2, 1, 0, 0, (0xFFFFFF).to_bytes(4, "big"), 128)
        connection.client.send(chunk)
        keyFrame = b"\x17\1\0\0\0" + bytes(9 * MIB)
        interFrame = b"\x27\1\0\0\0" + bytes(5 * MIB)
        for stream in range(1, 6):
            self.assertFalse(self.isCutOff(connection))
            for frame in (keyFrame, interFrame):
                data = encodeMessage(6, 9, 0, stream, frame, 0xFFFFFF)
                connection.protocol.dataReceived(data)
        connection.protocol.dataReceived(
            encodeMessage(6, 9, 0, 1, bytes(9 * MIB), 0xFFFFFF) * 3
        )
        self.assertTrue(self.isCutOff(connection))
        self.assertEqual(self.hub.streams, {})
        (line,) = [line for line in self.lines if "cut off" in line]
        self.assertIn(f"bytes, the limit per client is {MOST_EACH}", line)

    def test_whoHasGone(self) -> None:
        """
        A stream that waits for its publisher ends if it holds the most.
        """
        self.serve(graceTime=60.0)
        gone = self.connect(1)
        keyFrame = encodeMessage(6, 9, 0, 1, b"\x17\1\0\0\0" + bytes(9 * MIB), 0xFFFFFF)
        chunk = encodeMessage(2, 1, 0, 0, (0xFFFFFF).to_bytes(4, "big"), 128)
        gone.client.send(chunk + keyFrame)
        gone.lose()
        self.assertEqual(list(self.hub.streams), ["live/cam1"])
        first, second = self.connect(2), self.connect(3)
        self.begin(first, 6 * MIB)
        self.begin(second, 6 * MIB)
        self.assertEqual(list(self.hub.streams), ["live/cam2", "live/cam3"])
        self.assertFalse(self.isCutOff(first) or self.isCutOff(second))
        self.assertTrue(any("live/cam1: cut off" in line for line in self.lines))

    def test_unreadAnswers(self) -> None:
        """
        A player that sends many requests and reads no answers is not read from either,
        so that its answers are bounded. Reading resumes when it has taken all of them.
        """
        player = self.connect(1, publishes=False)
        player.client.command("createStream", 4.0, None)
        player.client.command("play", 5.0, None, "cam", streamID=1)
        player.transport.producer.pauseProducing()
        ask = player.client.message(
            20, b"\2\0\x0creceiveVideo\0" + bytes(8) + b"\5\1\1"
        )
        count = 0
        while player.transport.producerState == "producing" and count < 10_000:
            player.protocol.dataReceived(ask)
            count += 1
        self.assertEqual(player.transport.producerState, "paused")
        self.assertGreater(count, 100)
        said = len(player.transport.value())
        self.assertGreater(said, 64 * 1024)
        self.assertLess(said, 70 * 1024)
        player.transport.clear()
        player.transport.producer.resumeProducing()
        self.assertEqual(player.transport.producerState, "producing")

    def test_theMachine(self) -> None:
        """
        The default limit is half of the memory of the machine, or of its container.
        """
        path = Path(self.mktemp())
        whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        self.assertEqual(halfOfTheMachine([str(path)]), whole // 2)
        path.write_text("max\n")
        self.assertEqual(halfOfTheMachine([str(path)]), whole // 2)
        path.write_text("1000001\n")
        self.assertEqual(halfOfTheMachine([str(path), "/nowhere"]), 500_000)
        self.assertEqual(Budget(0, self.hub, []).limit, halfOfTheMachine())
        self.assertEqual((LOOK_AFTER, MOST_EACH), (32 * MIB, 64 * MIB))
