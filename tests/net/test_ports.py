"""
Tests of server endpoints.
"""

from typing import Any

from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from rtmptw.net.ports import BACKLOG, peerName, serverEndpoint


class BacklogTests(SynchronousTestCase):
    """
    The backlog of endpoints.
    """

    def backlogs(self, description: str) -> list[int]:
        """
        @return: the backlog of each port that such an endpoint listens on.
        """
        memory: Any = MemoryReactorClock()
        self.successResultOf(serverEndpoint(memory, description).listen(Factory()))
        return [server[2] for server in (*memory.tcpServers, *memory.unixServers)]

    def test_many(self) -> None:
        """
        The default backlog is large.
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
        A backlog in the description is kept, by name or by position.
        """
        for description in ("tcp:1935:backlog=7", "tcp:1935:127.0.0.1:7"):
            self.assertEqual(self.backlogs(description), [7], description)

    def test_noEndpoint(self) -> None:
        """
        For an invalid description, Twisted's own error is raised.
        """
        with self.assertRaises(ValueError):
            serverEndpoint(MemoryReactorClock(), "carrier-pigeon:1935")


class PeerNameTests(SynchronousTestCase):
    """
    The peer's name in logs.
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
