"""
The glue between Twisted and a session: bytes in, events out, answers back. It
decides nothing.
"""

import os
import socket
from collections.abc import Callable
from socket import MSG_PEEK
from typing import Any, cast

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IPushProducer,
    ITCPTransport,
    ITransport,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from rtmptw.errors import NotAllowed
from rtmptw.frames import publicName
from rtmptw.hub.hub import StreamHub
from rtmptw.hub.stream import Stream
from rtmptw.interfaces import (
    IFrameSource,
    IStreamAuthorizer,
    PlayPermit,
    PublishPermit,
)
from rtmptw.net.readers import Readers
from rtmptw.net.sender import MAX_UNSENT, Sender, socketOf
from rtmptw.rtmp.events import (
    ConnectRequested,
    Event,
    HeaderCleared,
    MediumSelected,
    PauseRequested,
    PlayEnded,
    PlayRequested,
    PublishEnded,
    PublishRequested,
    SessionEnded,
)
from rtmptw.rtmp.serversession import ServerSession, ServerSettings
from rtmptw.rtmpserver.dispatch import Dispatch
from rtmptw.rtmpserver.play import Playback, PlaySettings, PlaySink, Viewing

#: A peer that does not take our last words is cut off after so many seconds.
LINGER = 5.0
#: So many names are kept for a connection's last line: a client may publish under a
#: new one as often as it likes.
MAX_NAMES = 8


@implementer(IStreamAuthorizer)
class AllowAll:
    """
    Lets everybody publish under the name they ask for, and play. The query of the
    URL, if there is one, counts as a publisher's credentials.
    """

    def authorizePublish(self, request: PublishRequested, peer: str) -> PublishPermit:
        """
        @return: always a permit.
        """
        return PublishPermit(request.app, request.stream, request.query or None)

    def authorizePlay(self, request: PlayRequested, peer: str) -> PlayPermit:
        """
        @return: always a permit.
        """
        return PlayPermit(request.app, request.stream)


@implementer(IFrameSource)
class _Publication:
    """
    One published message stream, as the hub sees it.
    """

    isFed = False

    def __init__(self, protocol: "RTMPProtocol", encoder: str) -> None:
        self.peer = protocol.peer
        self.encoder = encoder or "unknown encoder"
        self.stream: Stream | None = None
        self._protocol = protocol

    def pauseSource(self) -> None:
        self._protocol.pauseReading(self)

    def resumeSource(self) -> None:
        self._protocol.resumeReading(self)

    def silentFor(self) -> float:
        return self._protocol.silentFor()

    def sourceReplaced(self, reason: str) -> None:
        self.stream = None
        self._protocol.close(reason)


class RTMPProtocol(Protocol):
    """
    One connection of a client that publishes or plays.

    A publisher that does not read our answers is not read from either.
    """

    _log = Logger()

    def __init__(
        self,
        hub: StreamHub,
        settings: ServerSettings,
        authorizer: IStreamAuthorizer,
        viewing: Viewing,
        readers: Readers | None,
        connectionEnded: Callable[["RTMPProtocol"], None],
    ) -> None:
        self.peer = "unknown"
        self._hub = hub
        self._clock = hub.clock
        self._settings = settings
        self._authorizer = authorizer
        self._viewing = viewing
        self._readers = readers
        self._connectionEnded = connectionEnded
        self._publications: dict[int, _Publication] = {}
        self._playbacks: dict[int, Playback] = {}
        self._pausedFor: set[object] = set()
        self._timer: IDelayedCall | None = None
        self._isGoingOn = False
        self._lost = False
        self._lingering = False
        self._endReason = ""
        self._faulty = False
        self._published: list[str] = []
        self._played: list[str] = []

    # From the transport.

    def connectionMade(self) -> None:
        """
        Begin the conversation, and its clock.
        """
        transport = self.transport
        assert transport is not None
        self.peer = _peerName(transport.getPeer())
        if ITCPTransport.providedBy(transport):
            # Answers are small and waited for; a dead peer must be noticed.
            transport.setTcpNoDelay(True)
            transport.setTcpKeepAlive(True)
        self._socket = socketOf(transport)
        self._begun = self._clock.seconds()
        self._session = ServerSession(self._begun, os.urandom, self._settings)
        self._dispatch = Dispatch(self._session, self._react, self._settle)
        self._sender = Sender(transport, self._viewing.turns, self._fullChanged)
        self._startReading()
        self._arm()

    def dataReceived(self, data: bytes) -> None:
        """
        Give bytes to the session and do what it says.
        """
        self._dispatch.receive(data, self._clock.seconds())

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The end: nothing already received is lost by it.
        """
        self._lost = True
        if self._readers is not None:
            self._readers.remove(self.transport)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        why = self._endReason or _lostReason(reason)
        for streamID in list(self._publications):
            self._unpublish(streamID, why)
        for streamID in list(self._playbacks):
            self._playbacks.pop(streamID).stop(why)
        # Nothing that we have has us any more: all of it is freed at once, and does not
        # wait for the garbage collector.
        self._session.connectionLost()
        self._dispatch.close()
        self._sender.stopProducing()
        self._pausedFor.clear()
        # The peer's faults are warnings; what we or it ended in order is not.
        log = self._log.warn if self._faulty else self._log.info
        log(
            "{peer}: closed after {seconds:.1f} s, {bytes} bytes received{extra}: "
            "{reason}",
            peer=self.peer,
            seconds=self._clock.seconds() - self._begun,
            bytes=self._session.bytesReceived,
            extra=self._extra(),
            reason=why,
        )
        self._connectionEnded(self)

    def _extra(self) -> str:
        extra = ""
        if self._published:
            extra = f", published {', '.join(self._published)}"
        if self._played:
            extra += f", played {', '.join(self._played)}"
        if self._session.strayMessages:
            extra += f", {self._session.strayMessages} frames of no stream ignored"
        return extra

    def _fullChanged(self, isFull: bool) -> None:
        """
        The peer does not take what it is sent, or does again.
        """
        for playback in list(self._playbacks.values()):
            playback.fullChanged(isFull)
        if not isFull:
            self.resumeReading(self._sender)

    # From the hub.

    def pauseReading(self, reason: object) -> None:
        """
        Read nothing from the peer until C{reason} is over.
        """
        if not self._pausedFor and not self._closing:
            self._stopReading()
            self._session.readingPaused()
        self._pausedFor.add(reason)

    def resumeReading(self, reason: object) -> None:
        """
        C{reason} is over, if it was one.
        """
        if reason not in self._pausedFor:
            return
        self._pausedFor.remove(reason)
        if not self._pausedFor and not self._closing:
            self._session.readingResumed(self._clock.seconds())
            _producer(self.transport).resumeProducing()
            self._startReading()
            self._arm()

    def _startReading(self) -> None:
        """
        Leave it to the readers, if they can.
        """
        if self._readers is not None:
            self._readers.add(self.transport, self._dispatch.receive)

    def _stopReading(self) -> None:
        if self._readers is not None:
            self._readers.remove(self.transport)
        _producer(self.transport).pauseProducing()

    @property
    def _closing(self) -> bool:
        return self._lost or self._lingering

    def silentFor(self) -> float:
        """
        @return: the seconds since the peer's last byte; 0 while we do not read.
        """
        return self._session.silentFor(self._clock.seconds())

    def close(self, reason: str) -> None:
        """
        End the conversation.
        """
        self._do(self._session.close(reason, self._clock.seconds()))

    # From the session.

    def _do(self, events: list[Event]) -> None:
        """
        Do what the events say, then send what there is to send.
        """
        self._dispatch.give(events)
        self._finish()

    def _react(self, event: Event) -> None:
        _REACTIONS[type(event)](self, event)

    def _settle(self) -> None:
        """
        What came was more than frames.
        """
        self._finish()
        if not self._publications:
            self._arm()

    def _finish(self) -> None:
        """
        Send what there is to send, and close if the session is over.
        """
        if self._session.unsaid and not self._closing:
            self._send()
        if self._endReason and not self._lost:
            self._hangUp()

    def _send(self) -> None:
        """
        Send our answers to the peer.

        A publisher closes without reading all of them (FFmpeg, OBS). An answer that
        meets a closed socket makes the peer's kernel throw away what it had not sent
        yet, frames among them; so while there is more to read, answers wait: who
        needs an acknowledgement to go on stops sending, and gets it then. For the
        same reason a write that fails must not end the connection (L{Sender}).
        """
        socket = self._socket
        if (
            socket is not None
            and self._published
            and not self._endReason
            and self._session.unsaid <= MAX_UNSENT
            and not self._playbacks
            and _hasMore(socket)
        ):
            return
        self._sender.sendNow(self._session.dataToSend())
        if self._sender.isClogged and not self._playbacks:
            self.pauseReading(self._sender)

    def _connectRequested(self, event: Event) -> None:
        assert isinstance(event, ConnectRequested)
        self._grant(event.requestID)
        self._goOn()

    def _grant(self, requestID: int) -> None:
        self._session.grant(requestID, self._clock.seconds())

    def _goOn(self) -> None:
        """
        Do what the peer had sent after a request that was granted, and after those that
        are granted meanwhile: one read can bring thousands, and none of them is
        answered from within the answer to another.
        """
        if self._isGoingOn:
            return
        self._isGoingOn = True
        try:
            while self._session.goesOn:
                self._dispatch.give(self._session.goOn(self._clock.seconds()))
        finally:
            self._isGoingOn = False
        self._finish()
        self._arm()

    def _reject(self, requestID: int, code: str, description: str) -> None:
        self._do(
            self._session.reject(requestID, code, description, self._clock.seconds())
        )

    def _publishRequested(self, event: Event) -> None:
        assert isinstance(event, PublishRequested)
        self._decide(event, self._authorizer.authorizePublish, self._permitted)

    def _playRequested(self, event: Event) -> None:
        assert isinstance(event, PlayRequested)
        self._decide(event, self._authorizer.authorizePlay, self._playPermitted)

    def _decide(
        self,
        event: PublishRequested | PlayRequested,
        # They may answer now or later, which the types of maybeDeferred cannot say.
        authorize: Callable[..., Any],
        permitted: Callable[..., None],
    ) -> None:
        answer: Deferred[Any] = maybeDeferred(authorize, event, self.peer)
        if not answer.called:
            # The session holds back what follows; the kernel holds the rest.
            self.pauseReading(event)
        answer.addCallback(permitted, event)
        answer.addErrback(self._notPermitted, event)

    def _permitted(self, permit: PublishPermit, event: PublishRequested) -> None:
        if not self._waitsFor(event):
            return
        publication = _Publication(self, event.encoder)
        stream = self._hub.publish(
            permit.app, permit.stream, publication, permit.credentials
        )
        if self._endReason or self._lost:
            # It has taken over from itself.
            self._hub.sourceLost(stream, publication, self._endReason)
            return
        publication.stream = stream
        self._publications[event.streamID] = publication
        self._dispatch.published(event.streamID, stream)
        if stream.name not in self._published and len(self._published) < MAX_NAMES:
            self._published.append(stream.name)
        self._grant(event.requestID)
        self._goOn()

    def _playPermitted(self, permit: PlayPermit, event: PlayRequested) -> None:
        if not self._waitsFor(event):
            return
        name = publicName(permit.app, permit.stream)
        if not (
            self._viewing.settings.waits
            or name in self._hub.streams
            or self._hub.isOnDemand(permit.app, permit.stream)
        ):
            raise NotAllowed(
                "NetStream.Play.StreamNotFound", f"Nobody publishes {name} now."
            )
        waiting = self._hub.whenPublished(permit.app, permit.stream)
        streamID = event.streamID

        def makeSink(stream: Stream, ended: Callable[[str], None]) -> PlaySink:
            return self._viewing.makeSink(stream, self._sender, streamID, ended)

        def ended(playback: Playback, reason: str, isStreamOver: bool) -> None:
            if self._playbacks.get(streamID) is not playback or self._closing:
                return
            del self._playbacks[streamID]
            if isStreamOver:
                self._session.endPlay(streamID, self._clock.seconds())
                self._do([])
                self._arm()
            else:
                self.close(reason)

        self._sender.keepShort()
        playback = Playback(waiting, makeSink, self.peer, ended)
        self._playbacks[streamID] = playback
        if name not in self._played and len(self._played) < MAX_NAMES:
            self._played.append(name)
        self._log.info("{peer}: plays {stream}", peer=self.peer, stream=name)
        self._grant(event.requestID)
        # The answer comes before the first frame.
        self._finish()
        playback.start()
        self._goOn()

    def _notPermitted(
        self, failure: Failure, event: PublishRequested | PlayRequested
    ) -> None:
        if failure.check(NotAllowed):
            refusal = failure.value
            assert isinstance(refusal, NotAllowed)
        else:
            self._log.failure(
                # Not which stream: the name may be a secret key.
                "{peer}: an error in deciding whether it may {verb}; refused",
                failure,
                peer=self.peer,
                verb="publish" if isinstance(event, PublishRequested) else "play",
            )
            refusal = NotAllowed(
                "NetStream.Publish.Denied"
                if isinstance(event, PublishRequested)
                else "NetStream.Play.Failed",
                "The server could not decide.",
            )
        if self._waitsFor(event):
            self._reject(event.requestID, refusal.code, refusal.description)

    def _waitsFor(self, event: PublishRequested | PlayRequested) -> bool:
        """
        Whether an answer still matters: the connection may be gone by now.
        """
        self.resumeReading(event)
        return not self._lost and not self._endReason

    def _pauseRequested(self, event: Event) -> None:
        assert isinstance(event, PauseRequested)
        playback = self._playbacks.get(event.streamID)
        if playback is not None:
            playback.pause(event.isPaused)

    def _mediumSelected(self, event: Event) -> None:
        assert isinstance(event, MediumSelected)
        playback = self._playbacks.get(event.streamID)
        if playback is not None:
            playback.select(event.kind, event.isWanted)

    def _headerCleared(self, event: Event) -> None:
        assert isinstance(event, HeaderCleared)
        publication = self._publications.get(event.streamID)
        if publication is not None and publication.stream is not None:
            publication.stream.headerCleared(event.name)

    def _publishEnded(self, event: Event) -> None:
        assert isinstance(event, PublishEnded)
        self._unpublish(event.streamID, event.reason)
        self._arm()

    def _playEnded(self, event: Event) -> None:
        assert isinstance(event, PlayEnded)
        playback = self._playbacks.pop(event.streamID, None)
        if playback is not None:
            playback.stop(event.reason)
        self._arm()

    def _sessionEnded(self, event: Event) -> None:
        assert isinstance(event, SessionEnded)
        self._endReason = event.reason
        self._faulty = event.label != "closed"

    def _unpublish(self, streamID: int, reason: str) -> None:
        publication = self._publications.pop(streamID)
        self._dispatch.unpublished(streamID)
        self.resumeReading(publication)
        if publication.stream is not None:
            self._hub.sourceLost(publication.stream, publication, reason)

    # The end and the clock.

    def _hangUp(self) -> None:
        """
        Close once our last words are out; a peer that does not take them is cut
        off.
        """
        if self._lingering:
            return
        self._lingering = True
        transport = self.transport
        assert transport is not None
        self._sender.close()
        if self._readers is not None:
            self._readers.remove(transport)
        transport.loseConnection()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._clock.callLater(LINGER, self._cutOff)

    def _cutOff(self) -> None:
        self._timer = None
        self.abort()

    def abort(self) -> None:
        """
        Cut the connection off, whatever the peer has not taken yet.
        """
        abort = getattr(self.transport, "abortConnection", None)
        if abort is not None:
            abort()

    def _arm(self) -> None:
        """
        Wake up when the session wants it, or earlier.
        """
        if self._closing:
            return
        deadline = self._session.deadline()
        if deadline is None:
            return
        delay = max(0.0, deadline - self._clock.seconds())
        if self._timer is None:
            self._timer = self._clock.callLater(delay, self._timeUp)
        elif self._timer.getTime() > deadline:
            self._timer.reset(delay)

    def _timeUp(self) -> None:
        self._timer = None
        self._do(self._session.checkTime(self._clock.seconds()))
        self._arm()


_REACTIONS: dict[type, Callable[[RTMPProtocol, Event], None]] = {
    ConnectRequested: RTMPProtocol._connectRequested,
    PublishRequested: RTMPProtocol._publishRequested,
    PlayRequested: RTMPProtocol._playRequested,
    PauseRequested: RTMPProtocol._pauseRequested,
    MediumSelected: RTMPProtocol._mediumSelected,
    HeaderCleared: RTMPProtocol._headerCleared,
    PublishEnded: RTMPProtocol._publishEnded,
    PlayEnded: RTMPProtocol._playEnded,
    SessionEnded: RTMPProtocol._sessionEnded,
}


def _peerName(address: IAddress) -> str:
    host = getattr(address, "host", None)
    return f"{host}:{address.port}" if host else "unix socket"  # type: ignore[attr-defined]


def _hasMore(socket: socket.socket) -> bool:
    """
    @return: whether there is something to read: bytes, or the end.
    """
    try:
        socket.recv(1, MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _lostReason(reason: Failure) -> str:
    if reason.check(ConnectionDone):
        return "closed by the peer"
    return f"connection lost: {reason.getErrorMessage()}"


def _producer(transport: ITransport | None) -> IPushProducer:
    """
    Every stream transport of Twisted is a push producer.
    """
    return cast(IPushProducer, transport)


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
    ) -> None:
        """
        @param settings: towards all clients.
        @param authorizer: decides who may publish and play; everybody if not given.
        @param play: towards viewers.
        @param isPaced: whether sockets are read only every few milliseconds when
            there is much to do, and those of publishers when a picture may be there.
        """
        self.hub = hub
        self.connections: set[RTMPProtocol] = set()
        self._closed: list[Deferred[None]] = []
        self._settings = settings or ServerSettings()
        self._authorizer = authorizer or AllowAll()
        self._viewing = Viewing(
            hub.clock, play or PlaySettings(), self._settings.chunkSize
        )
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
            self._authorizer,
            self._viewing,
            self._readers,
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
