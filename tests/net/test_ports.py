"""
Tests of where connections come in.
"""

from typing import Any

from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from rtmptw.net.ports import BACKLOG, peerName, serverEndpoint


class BacklogTests(SynchronousTestCase):
    """
    How many may wait to be accepted.
    """

    def backlogs(self, description: str) -> list[int]:
        """
        The backlog of each port that such an endpoint listens on.
        """
        memory: Any = MemoryReactorClock()
        self.successResultOf(serverEndpoint(memory, description).listen(Factory()))
        return [server[2] for server in (*memory.tcpServers, *memory.unixServers)]

    def test_many(self) -> None:
        """
        If nothing is said.
        """
        for description in (
            "tcp:1935",
            "tcp:1935:interface=127.0.0.1",
            "tcp:1935:127.0.0.1",
            "tcp:port=1935",
            "unix:/tmp/rtmp.sock",
        ):
            self.assertEqual(self.backlogs(description), [BACKLOG], description)

    def test_asSaid(self) -> None:
        """
        By name or by place.
        """
        for description in ("tcp:1935:backlog=7", "tcp:1935:127.0.0.1:7"):
            self.assertEqual(self.backlogs(description), [7], description)

    def test_noEndpoint(self) -> None:
        """
        What is none is told as Twisted tells it.
        """
        with self.assertRaises(ValueError):
            serverEndpoint(MemoryReactorClock(), "carrier-pigeon:1935")


class PeerNameTests(SynchronousTestCase):
    """
    What logs call the other end.
    """

    def test_names(self) -> None:
        """
        A Unix socket has no host.
        """
        self.assertEqual(
            [
                peerName(IPv4Address("TCP", "192.0.2.1", 50000)),
                peerName(UNIXAddress("/run/rtmp.sock")),
            ],
            ["192.0.2.1:50000", "unix socket"],
        )
