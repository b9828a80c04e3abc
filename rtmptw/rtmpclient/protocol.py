"""
rtmptw as a client: the glue between Twisted and a client session, and the timers of a
connection.
"""

import os
from collections import deque
from typing import Any, cast

from twisted.internet import tcp
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IAddress,
    IConsumer,
    IDelayedCall,
    IPushProducer,
    IReactorTime,
    ITCPTransport,
)
from twisted.internet.protocol import ClientFactory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import Interface, implementer

from rtmptw.frames import Frame
from rtmptw.net.ports import peerName
from rtmptw.net.sender import acknowledged
from rtmptw.rtmp.clientsession import ClientSession
from rtmptw.rtmp.events import (
    ClientEvent,
    FramesReceived,
    HeaderCleared,
    SessionEnded,
    StreamAccepted,
    StreamRefused,
)
from rtmptw.rtmp.url import RTMPTarget

#: Seconds after which a server that takes none of the queued data is given up.
STALL_TIMEOUT = 30.0
#: Seconds after which a server that does not take our last bytes is cut off.
LINGER = 5.0
#: Number of frames between two checks of what the server has acknowledged.
_LOOK_EACH = 256
#: Bytes that TLS 1.3 adds to a record, and the largest size of a record.
_RECORD_OVERHEAD = 22
_RECORD = 16384


class IRTMPClientUser(Interface):
    """
    Publishes to a server, or plays from it, through an L{RTMPClientProtocol}.
    """

    def streamAccepted(protocol: "RTMPClientProtocol") -> None:
        """
        The server has accepted the request: frames may be sent, or will arrive.
        """

    def frameReceived(frame: Frame) -> None:
        """
        Take a frame of the stream that is played.
        """

    def headerCleared(name: str) -> None:
        """
        The publisher of the played stream has withdrawn a data header.
        """

    def sendingPaused() -> None:
        """
        The send buffer is full: send nothing more for now. Called only after
        C{streamAccepted}.
        """

    def sendingResumed() -> None:
        """
        The send buffer is empty. Called only after C{sendingPaused}.
        """

    def conversationEnded(ending: "Ending") -> None:
        """
        The connection is closed. This is the last call.
        """


class Ending:
    """
    How a session ended.

    @ivar label: a short fixed word, as in L{SessionEnded}.
    @ivar reason: a sentence, without secrets from the URL.
    @ivar refusal: the server's own words if it refused, otherwise empty.
    @ivar frames: number of frames sent or received.
    @ivar untaken: how many of them the server's system had not acknowledged, as far as
        ours can tell.
    """

    __slots__ = ("frames", "label", "reason", "refusal", "untaken")

    def __init__(
        self, label: str, reason: str, refusal: str, frames: int, untaken: int = 0
    ) -> None:
        self.label = label
        self.reason = reason
        self.refusal = refusal
        self.frames = frames
        self.untaken = untaken


@implementer(IPushProducer)
class RTMPClientProtocol(Protocol):
    """
    One connection to a server.

    It is the producer of its own transport, and tells its user when to send.
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
        self._isAccepted = False
        self._isPlain = False
        # What the server had acknowledged before the first frame; and, counted from
        # there, where each frame ends that it may not have acknowledged yet.
        self._base: int | None = None
        self._offset = 0
        self._untaken: deque[int] = deque()
        self._paused = False
        self._lost = False
        self._isHangingUp = False
        self._isResting = False
        self._lossReason = connectionDone

    # From the transport.

    def connectionMade(self) -> None:
        """
        Start the session and its clock.
        """
        transport = cast(Any, self.transport)
        self.peer = peerName(transport.getPeer())
        self._isPlain = isinstance(transport, tcp.Connection) and not transport.TLS
        if ITCPTransport.providedBy(transport):
            transport.setTcpNoDelay(True)
            transport.setTcpKeepAlive(True)
        if IConsumer.providedBy(transport):
            transport.registerProducer(self, True)
        self._send()
        self._arm()

    def dataReceived(self, data: bytes) -> None:
        """
        Process received bytes.
        """
        self._do(self._session.receive(data, self._clock.seconds()))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        Handle the end of the connection.
        """
        self._lost = True
        self._lossReason = reason
        if not self._isResting:
            self._conversationEnded()

    def _conversationEnded(self) -> None:
        """
        The connection is lost, and all received data is processed.
        """
        reason = self._lossReason
        if self._isHangingUp and reason.check(ConnectionDone):
            # The server has read everything.
            self._untaken.clear()
        self._do(self._session.connectionLost(_lostReason(reason)))
        for timer in (self._timer, self._stalled):
            if timer is not None:
                timer.cancel()
        self._timer = self._stalled = None
        ended = self._ended
        assert ended is not None
        self._user.conversationEnded(
            Ending(
                ended.label,
                ended.reason,
                self._refusal,
                self._session.frames,
                len(self._untaken),
            )
        )

    # From the transport, as its producer.

    def pauseProducing(self) -> None:
        """
        The transport's buffer is full. (The transport says so at each write.)
        """
        if self._ended is None and self._stalled is None:
            self._stalled = self._clock.callLater(STALL_TIMEOUT, self._stalledTooLong)
            if self._isAccepted:
                self._user.sendingPaused()

    def resumeProducing(self) -> None:
        """
        The transport's buffer is empty.

        TLS also calls this when its handshake is over. Then our own handshake was
        waiting, and frames must not follow yet.
        """
        wasPaused = self._stalled is not None
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None
        if wasPaused and self._isAccepted and self._ended is None:
            self._user.sendingResumed()

    def stopProducing(self) -> None:
        """
        The connection is lost; C{connectionLost} follows. The socket is still open.
        """
        self._lookWhatWasTaken()

    def _stalledTooLong(self) -> None:
        self._stalled = None
        self._end("stalled", f"the server took no data for {STALL_TIMEOUT:g} s")
        self.abort()

    # From the user.

    def sendFrame(self, frame: Frame, timestamp: int) -> bool:
        """
        Publish a frame.

        @param timestamp: in ms, replaces the frame's own.
        @return: whether it was accepted; false once the session is over.
        """
        if self._ended is not None:
            return False
        self._session.sendFrame(frame, timestamp)
        self._offset += self._send()
        untaken = self._untaken
        untaken.append(self._offset)
        if len(untaken) % _LOOK_EACH == 0:
            self._lookWhatWasTaken()
        return True

    def pauseReading(self) -> None:
        """
        Stop reading from the server until L{resumeReading}.
        """
        if not self._paused and not self._lost and self._ended is None:
            self._paused = True
            self._session.readingPaused()
            if not self._isResting:
                cast(IPushProducer, self.transport).pauseProducing()

    def resumeReading(self) -> None:
        """
        Resume reading.
        """
        if self._paused and not self._lost:
            self._paused = False
            self._session.readingResumed(self._clock.seconds())
            if not self._isResting:
                cast(IPushProducer, self.transport).resumeProducing()
            self._arm()

    def finish(self, reason: str) -> None:
        """
        Close the stream properly, send what waits, and close the connection once the
        server has read it. The user limits the time with L{abort}.
        """
        if self._ended is None:
            # Even if paused, we must notice the connection's end.
            self.resumeReading()
            self._do(self._session.close(reason))

    def hangUp(self, label: str, reason: str) -> None:
        """
        End the session without closing the stream first.

        @param label: a short fixed word, for L{Ending}.
        """
        if self._ended is None:
            self._end(label, reason)
            self._hangUp()

    def abort(self) -> None:
        """
        Close at once, and discard what has not been sent.
        """
        if not self._lost:
            self._end("closed", "given up")
            self._lookWhatWasTaken()
            cast(Any, self.transport).abortConnection()

    def _end(self, label: str, reason: str) -> None:
        if self._ended is None:
            self._session.close(reason)
            self._ended = SessionEnded(label, reason)

    # From the session.

    def _do(self, events: list[ClientEvent]) -> None:
        for event in events:
            if isinstance(event, FramesReceived):
                for frame in event.frames:
                    if self._ended is None:
                        self._user.frameReceived(frame)
            elif isinstance(event, HeaderCleared):
                self._user.headerCleared(event.name)
            elif isinstance(event, StreamAccepted):
                isFull = self._stalled is not None
                self._isAccepted = True
                # The server has read everything sent before.
                self._base = acknowledged(self.transport)
                self._user.streamAccepted(self)
                if isFull and self._stalled is not None and self._ended is None:
                    self._user.sendingPaused()
            elif isinstance(event, StreamRefused):
                self._refusal = event.description or event.code
            elif self._ended is None:
                assert isinstance(event, SessionEnded)
                self._ended = event
        if self._session.isResting and not self._isResting:
            self._rest()
        if not self._lost:
            self._send()
            if self._ended is None:
                self._arm()
            elif events:
                self._hangUp()

    def _rest(self) -> None:
        """
        Pause reading: more was received than one turn of the reactor should process.
        """
        self._isResting = True
        if not self._paused and not self._lost:
            cast(IPushProducer, self.transport).pauseProducing()
        self._clock.callLater(0, self._takeTurn)

    def _takeTurn(self) -> None:
        self._do(self._session.takeTurn(self._clock.seconds()))
        if self._session.isResting:
            self._clock.callLater(0, self._takeTurn)
            return
        self._isResting = False
        if self._lost:
            self._conversationEnded()
        elif not self._paused and self._ended is None:
            cast(IPushProducer, self.transport).resumeProducing()

    def _send(self) -> int:
        """
        @return: the most bytes that this makes on the wire.
        """
        data = self._session.dataToSend()
        if not data or self.transport is None:
            return 0
        self.transport.write(data)
        if self._isPlain:
            return len(data)
        return len(data) + _RECORD_OVERHEAD * (1 + len(data) // _RECORD)

    def _lookWhatWasTaken(self) -> None:
        """
        Forget the frames that the server's system has acknowledged.
        """
        taken = acknowledged(self.transport)
        untaken = self._untaken
        if taken is None or self._base is None:
            untaken.clear()
            return
        taken -= self._base
        while untaken and untaken[0] <= taken:
            untaken.popleft()

    def _hangUp(self) -> None:
        """
        Close once our last bytes are sent.

        If possible, close only our half. If the server still sent something, it would
        be answered with a reset, and the part of our stream that it had not read yet
        would be lost. The server closes the other half when it has read everything.
        """
        if self._isHangingUp:
            return
        self._isHangingUp = True
        transport = cast(Any, self.transport)
        if IConsumer.providedBy(transport):
            self._lookWhatWasTaken()
            transport.unregisterProducer()
        assert self._ended is not None
        if self._isPlain and self._ended.label == "closed":
            transport.loseWriteConnection()
        else:
            # TLS waits for the server's close alert by itself.
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
        Set the timer for the session's next deadline.
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
