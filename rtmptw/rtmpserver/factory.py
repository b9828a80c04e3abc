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
    Makes the protocols of one hub: all that a program needs to take RTMP in::

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
        @param settings: towards all clients.
        @param authorizer: decides who may publish and play; everybody if not given.
        @param play: towards viewers.
        @param isPaced: whether sockets are read only every few milliseconds when
            there is much to do, and those of publishers when a picture may be there.
        @param memory: how many bytes all clients may fill; 0 is half of what the
            machine has.
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
            # Sound waits in the kernel then, where it would have waited for a picture.
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
        End all conversations. A client that does not take our last words is cut off
        after L{LINGER} seconds.
        """
        for protocol in list(self.connections):
            if protocol.connected:
                protocol.close(reason)

    def whenClosed(self) -> "Deferred[None]":
        """
        @return: fires when nobody is connected: at once if nobody is.
        """
        if not self.connections:
            return succeed(None)
        closed: Deferred[None] = Deferred()
        self._closed.append(closed)
        return closed

    def abort(self) -> None:
        """
        Cut all connections off, whatever they have not taken yet.
        """
        for protocol in list(self.connections):
            protocol.abort()
