"""
rtmptw as a client: the glue between Twisted and a client's session, and what keeps a
connection going.
"""

import os
import random
from collections.abc import Callable
from typing import Any, cast

from twisted.internet import tcp
from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IAddress,
    IConsumer,
    IDelayedCall,
    IPushProducer,
    IReactorTime,
    IStreamClientEndpoint,
    ITCPTransport,
)
from twisted.internet.protocol import ClientFactory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import Attribute, Interface, implementer

from rtmptw.errors import SinkError
from rtmptw.frames import Frame
from rtmptw.session.adobe import nextAuthentication
from rtmptw.session.client import ClientSession
from rtmptw.session.events import (
    ClientEvent,
    FrameReceived,
    HeaderCleared,
    SessionEnded,
    StreamAccepted,
    StreamRefused,
)
from rtmptw.session.target import RTMPTarget

#: Seconds for a name to be looked up and a connection to be made.
CONNECT_TIMEOUT = 10.0
#: A server that takes nothing of what waits for it for so many seconds is gone.
STALL_TIMEOUT = 30.0
#: A server that does not take our last words is cut off after so many seconds.
LINGER = 5.0
#: The first wait before another try, and the longest, in seconds.
SHORTEST_WAIT = 1.0
LONGEST_WAIT = 30.0
#: A connection that lasted so many seconds was a good one: the waits begin anew.
#: nginx-rtmp, for one, grants what it denies, and closes then.
STABLE_TIME = 10.0
#: By how much waits differ by chance, each way: a hundred relays that lost the same
#: server should not come back to it in the same instant.
_JITTER = 0.25
#: So many refusals in a row may be parts of a dialogue about who we are.
_MAX_AUTHENTICATIONS = 2
#: Label of a conversation that we ended because we have no use for it now.
_UNWANTED = "unwanted"


class IRTMPClientUser(Interface):
    """
    Who publishes to a server, or plays from it, through an L{RTMPClientProtocol}.
    """

    def streamAccepted(protocol: "RTMPClientProtocol") -> None:
        """
        The server grants it: frames may be sent, or will come.
        """

    def frameReceived(frame: Frame) -> None:
        """
        A frame of the stream that is played.
        """

    def headerCleared(name: str) -> None:
        """
        The stream that is played withdraws a data header.
        """

    def sendingPaused() -> None:
        """
        So much waits to be sent that more should not be given for now.
        """

    def sendingResumed() -> None:
        """
        All that waited was sent.
        """

    def conversationEnded(ending: "Ending") -> None:
        """
        The connection is closed. Nothing follows.
        """


class Ending:
    """
    How a conversation ended.

    @ivar label: a short fixed word, of L{SessionEnded}.
    @ivar reason: a sentence, without secrets of the URL.
    @ivar refusal: the server's very words, if it refused; else empty.
    @ivar frames: how many were sent or received.
    """

    __slots__ = ("frames", "label", "reason", "refusal")

    def __init__(self, label: str, reason: str, refusal: str, frames: int) -> None:
        self.label = label
        self.reason = reason
        self.refusal = refusal
        self.frames = frames


@implementer(IPushProducer)
class RTMPClientProtocol(Protocol):
    """
    One connection to a server.

    It is its own transport's producer, and passes on to its user when to send.
    """

    def __init__(
        self, clock: IReactorTime, target: RTMPTarget, publishes: bool, user: Any
    ) -> None:
        """
        @param user: provides L{IRTMPClientUser}.
        """
        self.peer = ""
        self._clock = clock
        self._user = user
        self._session = ClientSession(clock.seconds(), os.urandom, target, publishes)
        self._timer: IDelayedCall | None = None
        self._stalled: IDelayedCall | None = None
        self._refusal = ""
        self._ended: SessionEnded | None = None
        self._paused = False
        self._lost = False
        self._isHangingUp = False

    # From the transport.

    def connectionMade(self) -> None:
        """
        Begin the conversation, and its clock.
        """
        transport = cast(Any, self.transport)
        address = transport.getPeer()
        self.peer = f"{address.host}:{address.port}"
        if ITCPTransport.providedBy(transport):
            transport.setTcpNoDelay(True)
            transport.setTcpKeepAlive(True)
        if IConsumer.providedBy(transport):
            transport.registerProducer(self, True)
        self._send()
        self._arm()

    def dataReceived(self, data: bytes) -> None:
        """
        Give bytes to the session and do what it says.
        """
        self._do(self._session.receive(data, self._clock.seconds()))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The end.
        """
        self._lost = True
        self._do(self._session.connectionLost(_lostReason(reason)))
        for timer in (self._timer, self._stalled):
            if timer is not None:
                timer.cancel()
        self._timer = self._stalled = None
        ended = self._ended
        assert ended is not None
        self._user.conversationEnded(
            Ending(ended.label, ended.reason, self._refusal, self._session.frames)
        )

    # From the transport as our consumer.

    def pauseProducing(self) -> None:
        """
        The transport's buffer is full. (It says so at each write.)
        """
        if self._ended is None and self._stalled is None:
            self._stalled = self._clock.callLater(STALL_TIMEOUT, self._stalledTooLong)
            self._user.sendingPaused()

    def resumeProducing(self) -> None:
        """
        The transport's buffer is empty.
        """
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None
        if self._ended is None:
            self._user.sendingResumed()

    def stopProducing(self) -> None:
        """
        The connection is lost; C{connectionLost} follows.
        """

    def _stalledTooLong(self) -> None:
        self._stalled = None
        self._end("stalled", f"the server took nothing for {STALL_TIMEOUT:g} s")
        self.abort()

    # From the user.

    def sendFrame(self, frame: Frame, timestamp: int) -> bool:
        """
        Publish a frame.

        @param timestamp: in ms, in place of the frame's own.
        @return: whether it was taken; not if the conversation is over.
        """
        if self._ended is not None:
            return False
        self._session.sendFrame(frame, timestamp)
        self._send()
        return True

    def pauseReading(self) -> None:
        """
        Read nothing from the server until L{resumeReading}.
        """
        if not self._paused and not self._lost and self._ended is None:
            self._paused = True
            self._session.readingPaused()
            cast(IPushProducer, self.transport).pauseProducing()

    def resumeReading(self) -> None:
        """
        Read on.
        """
        if self._paused and not self._lost:
            self._paused = False
            self._session.readingResumed(self._clock.seconds())
            cast(IPushProducer, self.transport).resumeProducing()
            self._arm()

    def finish(self, reason: str) -> None:
        """
        Say farewell, send what waits, and close when the server has read it. The
        user bounds the time with L{abort}.
        """
        if self._ended is None:
            # Paused or not, its end must be noticed.
            self.resumeReading()
            self._do(self._session.close(reason))

    def hangUp(self, label: str, reason: str) -> None:
        """
        End the conversation without farewell.

        @param label: a short fixed word, for L{Ending}.
        """
        if self._ended is None:
            self._end(label, reason)
            self._hangUp()

    def abort(self) -> None:
        """
        Close at once; what was not sent yet is lost.
        """
        if not self._lost:
            self._end("closed", "given up")
            cast(Any, self.transport).abortConnection()

    def _end(self, label: str, reason: str) -> None:
        if self._ended is None:
            self._session.close(reason)
            self._ended = SessionEnded(label, reason)

    # From the session.

    def _do(self, events: list[ClientEvent]) -> None:
        for event in events:
            if type(event) is FrameReceived:
                if self._ended is None:
                    self._user.frameReceived(event.frame)
            elif isinstance(event, HeaderCleared):
                self._user.headerCleared(event.name)
            elif isinstance(event, StreamAccepted):
                self._user.streamAccepted(self)
            elif isinstance(event, StreamRefused):
                self._refusal = event.description or event.code
            elif self._ended is None:
                assert isinstance(event, SessionEnded)
                self._ended = event
        if not self._lost:
            self._send()
            if self._ended is None:
                self._arm()
            elif events:
                self._hangUp()

    def _send(self) -> None:
        data = self._session.dataToSend()
        if data and self.transport is not None:
            self.transport.write(data)

    def _hangUp(self) -> None:
        """
        Close once our last words are out.

        Only our half, if that is possible: a server that still says something would
        be answered with a reset, and what it had not read yet of our stream would be
        lost. It closes the other half when it has read to the end.
        """
        if self._isHangingUp:
            return
        self._isHangingUp = True
        transport = cast(Any, self.transport)
        if IConsumer.providedBy(transport):
            transport.unregisterProducer()
        assert self._ended is not None
        isPlain = isinstance(transport, tcp.Connection) and not transport.TLS
        if isPlain and self._ended.label == "closed":
            transport.loseWriteConnection()
        else:
            # TLS waits for the server's goodbye by itself.
            transport.loseConnection()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._ended.label != "closed":
            self._timer = self._clock.callLater(LINGER, self._lingered)

    def _lingered(self) -> None:
        self._timer = None
        self.abort()

    def _arm(self) -> None:
        """
        Wake up when the session wants it, or earlier.
        """
        deadline = self._session.deadline()
        if deadline is None:
            return
        if self._timer is None:
            delay = max(0.0, deadline - self._clock.seconds())
            self._timer = self._clock.callLater(delay, self._timeUp)

    def _timeUp(self) -> None:
        self._timer = None
        self._do(self._session.checkTime(self._clock.seconds()))


def _lostReason(reason: Failure) -> str:
    if reason.check(ConnectionDone):
        return "the server closed the connection"
    return f"the connection was lost: {reason.getErrorMessage()}"


class RTMPClientFactory(ClientFactory):
    """
    Makes the protocol of one connection to a server::

        endpoint = clientEndpoint(reactor, target)
        endpoint.connect(RTMPClientFactory(reactor, target, True, user))
    """

    noisy = False

    def __init__(
        self, clock: IReactorTime, target: RTMPTarget, publishes: bool, user: Any
    ) -> None:
        """
        @param publishes: whether to publish; if not, to play.
        @param user: provides L{IRTMPClientUser}.
        """
        self._clock = clock
        self._target = target
        self._publishes = publishes
        self._user = user

    def buildProtocol(self, addr: IAddress | None) -> RTMPClientProtocol:
        """
        @return: the protocol of the connection.
        """
        return RTMPClientProtocol(
            self._clock, self._target, self._publishes, self._user
        )


def clientEndpoint(
    reactor: Any, target: RTMPTarget, trustRoot: Any = None
) -> IStreamClientEndpoint:
    """
    @param trustRoot: for rtmps, whose certificates to trust, from
        L{trustRootFrom}; C{None} for those that the system trusts.
    @return: where to connect. The name is looked up at each connection.
    """
    endpoint: Any = HostnameEndpoint(
        reactor, target.host, target.port, timeout=CONNECT_TIMEOUT
    )
    if target.scheme == "rtmps":
        from twisted.internet.ssl import optionsForClientTLS

        endpoint = wrapClientTLS(
            optionsForClientTLS(target.host, trustRoot=trustRoot), endpoint
        )
    return cast(IStreamClientEndpoint, endpoint)


def checkTLS() -> None:
    """
    Look whether there is what rtmps needs.

    @raise SinkError: if not.
    """
    try:
        import service_identity  # noqa: F401
        import twisted.internet.ssl  # noqa: F401
    except ImportError as error:
        raise SinkError(
            f"rtmps:// needs TLS ({error}): pip install 'rtmptw[tls]'"
        ) from error


def trustRootFrom(path: str) -> Any:
    """
    @param path: of a PEM file with certificates.
    @return: what trusts these certificates and no others.

    @raise SinkError: if they cannot be had.
    """
    checkTLS()
    from OpenSSL.crypto import Error
    from twisted.internet.ssl import Certificate, trustRootFromCertificates

    end = b"-----END CERTIFICATE-----"
    try:
        with open(path, "rb") as file:
            pieces = file.read().split(end)[:-1]
        if not pieces:
            raise SinkError(f"{path} holds no certificate in PEM form")
        return trustRootFromCertificates(
            [Certificate.loadPEM(piece + end) for piece in pieces]
        )
    except OSError as error:
        raise SinkError(f"{path} cannot be read: {error.strerror}") from error
    except (Error, ValueError) as error:
        raise SinkError(f"{path} holds no certificate that can be read") from error


class IReconnectorUser(Interface):
    """
    Who wants a stream published or played for as long as it takes.
    """

    what: str = Attribute("What it does, for the log: C{live/cam: relay to}.")

    done: str = Attribute('What becomes of frames, for the log: "sent", "received".')

    def connected(protocol: RTMPClientProtocol) -> None:
        """
        The server has granted it.
        """

    def disconnected() -> None:
        """
        A try has failed, or the connection is lost. Another try follows.
        """

    def frameReceived(frame: Frame) -> None:
        """
        As in L{IRTMPClientUser}.
        """

    def headerCleared(name: str) -> None:
        """
        As in L{IRTMPClientUser}.
        """

    def sendingPaused() -> None:
        """
        As in L{IRTMPClientUser}.
        """

    def sendingResumed() -> None:
        """
        As in L{IRTMPClientUser}.
        """


@implementer(IRTMPClientUser)
class Reconnector:
    """
    Connects to a server, and again when that fails or ends, until it is stopped. It
    waits 1 s before the second try, then twice as long each time, up to a bound. Says
    each change in the log, without secrets.

    @ivar state: C{"idle"}, C{"connecting"}, C{"connected"} or C{"waiting"}.
    @ivar trouble: what went wrong last; empty while connected.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        target: RTMPTarget,
        publishes: bool,
        user: Any,
        endpointFor: Callable[[RTMPTarget], IStreamClientEndpoint],
        longestWait: float = LONGEST_WAIT,
        random: Callable[[], float] = random.random,
    ) -> None:
        """
        @param user: provides L{IReconnectorUser}.
        @param endpointFor: gives where to connect, for each try.
        @param longestWait: between two tries, in seconds.
        @param random: gives numbers from 0 to 1.
        """
        self.state = "idle"
        self.trouble = ""
        self._reactor = reactor
        self._target = target
        self._publishes = publishes
        self._user = user
        self._endpointFor = endpointFor
        self._longestWait = longestWait
        self._random = random
        self._isWanted = False
        self._said = ("", 0.0)
        self._tries = 0
        self._authentications = 0
        self._authenticated = target
        self._attempt: Deferred[Any] | None = None
        self._protocol: RTMPClientProtocol | None = None
        self._timer: IDelayedCall | None = None
        self._since = 0.0
        self._isSaid = False
        self._stopping: Deferred[None] | None = None
        self._cutOff: IDelayedCall | None = None

    def start(self) -> None:
        """
        Try for the first time. If it is being stopped, as soon as that is done.
        """
        self._isWanted = True
        if self.state == "idle":
            self._tries = 0
            self._said = ("", 0.0)
            self._try()

    def stop(self, reason: str, within: float) -> "Deferred[None]":
        """
        End it: say farewell and send what waits, if there is a connection.

        @param within: after so many seconds the connection is cut off.
        @return: fires when the connection is gone.
        """
        self._isWanted = False
        if self._stopping is not None:
            return self._stopping
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.state in ("idle", "waiting"):
            self.state = "idle"
            return succeed(None)
        stopping: Deferred[None] = Deferred()
        self._stopping = stopping
        self._cutOff = self._reactor.callLater(within, self._cutItOff)
        if self.state == "connected" and self._protocol is not None:
            self._protocol.finish(reason)
        elif self._protocol is not None:
            self._protocol.abort()
        elif self._attempt is not None:
            self._attempt.cancel()
        return stopping

    def tryLater(self, reason: str) -> None:
        """
        The connection is of no use now: end it, and try again later.
        """
        if self._protocol is not None:
            self._protocol.hangUp(_UNWANTED, reason)

    def _cutItOff(self) -> None:
        self._cutOff = None
        if self._protocol is not None:
            self._log.warn(
                "{what} {target}: cut off; it had not taken all yet",
                what=self._user.what,
                target=self._target.shown,
            )
            self._protocol.abort()

    def _try(self) -> None:
        self._timer = None
        self.state = "connecting"
        factory = RTMPClientFactory(
            self._reactor, self._authenticated, self._publishes, self
        )
        self._attempt = self._endpointFor(self._target).connect(factory)
        self._attempt.addCallbacks(self._connectionMade, self._notConnected)

    def _connectionMade(self, protocol: RTMPClientProtocol) -> None:
        self._attempt = None
        self._protocol = protocol
        if self._stopping is not None:
            self._protocol.abort()

    def _notConnected(self, failure: Failure) -> None:
        self._attempt = None
        words = self._target.withoutSecrets(failure.getErrorMessage()).rstrip(".")
        self._failed(f"cannot connect: {words}")

    # From the protocol.

    def streamAccepted(self, protocol: RTMPClientProtocol) -> None:
        """
        Tell it.
        """
        self.state = "connected"
        self.trouble = ""
        self._authentications = 0
        self._since = self._reactor.seconds()
        self._isSaid = False
        if self._publishes:
            self._sayConnected(protocol)
        self._user.connected(protocol)

    def _sayConnected(self, protocol: RTMPClientProtocol) -> None:
        self._isSaid = True
        self._said = ("", 0.0)
        self._log.info(
            "{what} {target}: connected to {peer}",
            what=self._user.what,
            target=self._target.shown,
            peer=protocol.peer,
        )

    def frameReceived(self, frame: Frame) -> None:
        """
        Pass it on. With the first frame, a player is connected for good.
        """
        if not self._isSaid and self._protocol is not None:
            self._sayConnected(self._protocol)
        self._user.frameReceived(frame)

    def headerCleared(self, name: str) -> None:
        """
        Pass it on.
        """
        self._user.headerCleared(name)

    def sendingPaused(self) -> None:
        """
        Pass it on.
        """
        self._user.sendingPaused()

    def sendingResumed(self) -> None:
        """
        Pass it on.
        """
        self._user.sendingResumed()

    def conversationEnded(self, ending: Ending) -> None:
        """
        Try again: at once if the server wants to know who we are, else later.
        """
        self._protocol = None
        words = ending.reason
        if self.state != "connected":
            if self._authenticate(ending.refusal):
                self._try()
            else:
                refused = "refused" if ending.refusal else "not connected"
                self._failed(f"{refused}: {words}")
            return
        seconds = self._reactor.seconds() - self._since
        isInOrder = ending.label == "nobody-publishes" or (
            ending.label == "stream-ended" and ending.frames
        )
        if ending.label != _UNWANTED and (isInOrder or seconds >= STABLE_TIME):
            # It works; the waits begin anew.
            self._tries = 0
        if self._publishes or ending.frames:
            ended = "ended" if self._stopping is not None else "lost"
            words = (
                f"{ended} after {seconds:.1f} s, {ending.frames} frames "
                f"{self._user.done}: {words}"
            )
        self._failed(words)

    def _authenticate(self, refusal: str) -> bool:
        target = self._target
        self._authenticated = target
        if self._stopping is not None or self._authentications >= _MAX_AUTHENTICATIONS:
            self._authentications = 0
            return False
        query = nextAuthentication(refusal, target.user, target.password, os.urandom)
        if query is None:
            self._authentications = 0
            return False
        self._authentications += 1
        self._authenticated = target.authenticatedBy(query)
        return True

    def _failed(self, trouble: str) -> None:
        """
        Say what happened, and when the next try is.
        """
        stopping, self._stopping = self._stopping, None
        if stopping is None or self.state != "connected":
            # An end that we asked for is none.
            self.trouble = trouble
        if stopping is not None:
            self.state = "idle"
            self._say(trouble)
            if self._cutOff is not None:
                self._cutOff.cancel()
                self._cutOff = None
            stopping.callback(None)
            if self._isWanted:
                self.start()
            return
        self.state = "waiting"
        usual, wait = self._nextWait()
        self._timer = self._reactor.callLater(wait, self._try)
        if self._said != (trouble, usual):
            # The same again is no news.
            self._say(f"{trouble}; next try in {wait:.0f} s")
        self._said = (trouble, usual)
        self._user.disconnected()

    def _say(self, words: str) -> None:
        self._log.info(
            "{what} {target}: {words}",
            what=self._user.what,
            target=self._target.shown,
            words=words,
        )

    def _nextWait(self) -> tuple[float, float]:
        """
        @return: the wait before the next try, without and with the part of chance.
        """
        usual = min(SHORTEST_WAIT * 2.0**self._tries, self._longestWait)
        # No number grows without bound.
        self._tries = min(self._tries + 1, 16)
        wait = usual * (1 - _JITTER + 2 * _JITTER * self._random())
        return usual, min(max(wait, SHORTEST_WAIT), self._longestWait)
