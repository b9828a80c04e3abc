"""
Makes the connections of one hub.
"""

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory

from rtmptw.hub.hub import StreamHub
from rtmptw.interfaces import IStreamAuthorizer
from rtmptw.net.readers import Readers
from rtmptw.net.shifts import Shifts
from rtmptw.rtmp.serversession import ServerSettings
from rtmptw.rtmpserver.authorizing import AllowAll, Deciding
from rtmptw.rtmpserver.budget import Budget
from rtmptw.rtmpserver.play import PlaySettings, Viewing
from rtmptw.rtmpserver.protocol import RTMPProtocol


class RTMPFactory(Factory):
    """
    Makes the protocols of one hub. This is all that a program needs to receive RTMP::

        hub = StreamHub(reactor, [("mine", MySinkFactory())])
        endpoint = TCP4ServerEndpoint(reactor, 1935)
        endpoint.listen(RTMPFactory(hub))

    @ivar connections: the protocols that are connected.
    """

    noisy = False

    def __init__(
        self,
        hub: StreamHub,
        settings: ServerSettings | None = None,
        authorizer: IStreamAuthorizer | None = None,
        play: PlaySettings | None = None,
        isPaced: bool = True,
        memory: int = 0,
    ) -> None:
        """
        @param settings: protocol settings for all clients.
        @param authorizer: decides who may publish and play; by default everyone may.
        @param play: settings for players.
        @param isPaced: whether, under load, sockets are read only every few
            milliseconds, and those of publishers when a video frame may be complete.
        @param memory: how many bytes all clients may use; 0 means half of the machine's
            memory.
        """
        self.hub = hub
        self.connections: set[RTMPProtocol] = set()
        self._closed: list[Deferred[None]] = []
        self._settings = settings or ServerSettings()
        self._deciding = Deciding(authorizer or AllowAll())
        self._viewing = Viewing(
            hub.clock, play or PlaySettings(), self._settings.chunkSize
        )
        self._shifts = Shifts(hub.clock)
        self._budget = Budget(memory, hub, self.connections)
        self._readers = Readers.forReactor(
            hub.clock,
            self._viewing.turns,
            isPaced,
            self._isWatched,
            # Audio then waits in the kernel, where it would have waited for a video
            # frame.
            isPatient=isPaced and self._viewing.settings.hold > 0,
        )

    def _isWatched(self) -> bool:
        return any(stream.viewers for stream in self.hub.streams.values())

    def buildProtocol(self, addr: IAddress | None) -> RTMPProtocol:
        """
        @return: the protocol for a new connection.
        """
        protocol = RTMPProtocol(
            self.hub,
            self._settings,
            self._deciding,
            self._viewing,
            self._readers,
            self._shifts,
            self._budget,
            self._connectionEnded,
        )
        protocol.factory = self
        self.connections.add(protocol)
        return protocol

    def _connectionEnded(self, protocol: RTMPProtocol) -> None:
        self.connections.discard(protocol)
        if not self.connections:
            closed, self._closed = self._closed, []
            for waiter in closed:
                waiter.callback(None)

    def close(self, reason: str) -> None:
        """
        End all sessions. A client that does not take our last bytes is cut off after
        L{LINGER} seconds.
        """
        for protocol in list(self.connections):
            if protocol.connected:
                protocol.close(reason)

    def whenClosed(self) -> "Deferred[None]":
        """
        @return: fires once nobody is connected, at once if nobody is now.
        """
        if not self.connections:
            return succeed(None)
        closed: Deferred[None] = Deferred()
        self._closed.append(closed)
        return closed

    def abort(self) -> None:
        """
        Cut off all connections, and discard what has not been sent.
        """
        for protocol in list(self.connections):
            protocol.abort()
