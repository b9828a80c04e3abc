"""
The glue between Twisted and a session: passes bytes in, events out and answers back. It
connects the parts that do the work, and decides nothing.
"""

import os
from collections.abc import Callable
from typing import Any, cast

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from rtmptw.hub.hub import StreamHub
from rtmptw.interfaces import PlayPermit, PublishPermit
from rtmptw.net.ports import peerName
from rtmptw.net.readers import Readers
from rtmptw.net.sender import Sender, socketOf
from rtmptw.net.shifts import Shifts
from rtmptw.rtmp.events import (
    AcknowledgementDue,
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
from rtmptw.rtmpserver.alarm import Alarm
from rtmptw.rtmpserver.answers import Answers
from rtmptw.rtmpserver.authorizing import Deciding
from rtmptw.rtmpserver.budget import Budget
from rtmptw.rtmpserver.dispatch import Dispatch
from rtmptw.rtmpserver.play import Viewing
from rtmptw.rtmpserver.playing import Playbacks
from rtmptw.rtmpserver.publishing import Publications
from rtmptw.rtmpserver.reading import Reading

# Of the module, not of the class: a log event would keep the connection alive, and
# Twisted keeps all events until the program begins to log.
_log = Logger()

#: Seconds after which a peer that does not take our last bytes is cut off.
LINGER = 5.0


class RTMPProtocol(Protocol):
    """
    One connection of a client that publishes or plays.

    A publisher that does not read our answers is not read from either.

    @ivar peer: the client's address, as C{host:port}.
    @ivar endReason: why the session ended; empty until it does.
    """

    def __init__(
        self,
        hub: StreamHub,
        settings: ServerSettings,
        deciding: Deciding,
        viewing: Viewing,
        readers: Readers | None,
        shifts: Shifts,
        budget: Budget,
        connectionEnded: Callable[["RTMPProtocol"], None],
    ) -> None:
        self.peer = "unknown"
        self.endReason = ""
        self._hub = hub
        self._clock = hub.clock
        self._settings = settings
        self._deciding = deciding
        self._viewing = viewing
        self._readers = readers
        self._shifts = shifts
        self._budget = budget
        self._connectionEnded = connectionEnded
        self._isGoingOn = False
        self._isResting = False
        self._lossReason = connectionDone
        # Bytes that the peer had acknowledged at the last check.
        self._taken: int | None = None
        self._isLost = False
        self._isLingering = False
        self._isFaulty = False

    # From the transport.

    def connectionMade(self) -> None:
        """
        Start the session and its clock.
        """
        transport = self.transport
        assert transport is not None
        self.peer = peerName(transport.getPeer())
        if ITCPTransport.providedBy(transport):
            # Answers are small and urgent; a dead peer must be noticed.
            transport.setTcpNoDelay(True)
            transport.setTcpKeepAlive(True)
        self._begun = self._clock.seconds()
        self._session = session = ServerSession(self._begun, os.urandom, self._settings)
        self._dispatch = dispatch = Dispatch(
            session, self._react, self._settle, self._budget
        )
        self._sender = Sender(transport, self._viewing.turns, self._fullChanged)
        self._answers = Answers(session, self._sender, socketOf(transport), self._clock)
        self._reading = Reading(
            transport, self._readers, dispatch, session, self._clock
        )
        self._publications = Publications(self._hub, dispatch, self._reading)
        self._playbacks = Playbacks(self._hub, self._viewing, self._sender)
        self._alarm = Alarm(self._clock)
        self._reading.start()
        self._arm()

    def dataReceived(self, data: bytes) -> None:
        """
        Process received bytes.
        """
        self._dispatch.receive(data, self._clock.seconds())

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        Handle the end of the connection. Data already received is still processed.
        """
        self._isLost = True
        self._reading.end()
        self._alarm.cancel()
        self._answers.close()
        self._lossReason = reason
        if not self._isResting:
            self._ended()

    def _ended(self) -> None:
        """
        The connection is lost, and all received data is processed.
        """
        why = self.endReason or _lostReason(self._lossReason)
        self._publications.endAll(why)
        self._playbacks.endAll(why)
        # Break all references from our parts to us, so that everything is freed at once
        # instead of by the garbage collector.
        self._session.connectionLost()
        self._dispatch.close()
        self._sender.stopProducing()
        # Faults of the peer are warnings; an orderly end is not.
        log = _log.warn if self._isFaulty else _log.info
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
        if self._publications.names:
            extra = f", published {self._publications.names}"
        if self._playbacks.names:
            extra += f", played {self._playbacks.names}"
        if self._session.strayMessages:
            extra += f", {self._session.strayMessages} frames without a stream ignored"
        if self._session.ignoredCommands:
            extra += f", {self._session.ignoredCommands} commands ignored"
        return extra

    def _fullChanged(self, isFull: bool) -> None:
        """
        The peer's connection is full, or has room again.
        """
        self._playbacks.fullChanged(isFull)
        if not isFull:
            self.resumeReading(self._sender)

    # For the hub, and for what is published and played.

    @property
    def isClosing(self) -> bool:
        """
        Whether nothing more will be sent to the peer.
        """
        return self._isLost or self._isLingering

    @property
    def isOver(self) -> bool:
        """
        Whether the session is over.
        """
        return bool(self.endReason) or self._isLost

    def pauseReading(self, reason: object) -> None:
        """
        Stop reading from the peer until L{resumeReading} is called with this C{reason}.
        """
        self._reading.pause(reason)

    def resumeReading(self, reason: object) -> None:
        """
        Drop a reason not to read. Does nothing if it is not one.
        """
        if self._reading.resume(reason):
            self._arm()

    def silentFor(self) -> float:
        """
        @return: seconds since the peer's last byte; 0 while we do not read.
        """
        return self._session.silentFor(self._clock.seconds())

    def close(self, reason: str) -> None:
        """
        End the session.
        """
        self._do(self._session.close(reason, self._clock.seconds()))

    def heldBytes(self) -> int:
        """
        @return: bytes held of received data and of data that waits to be sent.
        """
        if self._isLost:
            return 0
        return (
            self._session.heldBytes()
            + self._sender.heldBytes()
            + self._publications.heldBytes()
        )

    def cutOff(self, reason: str) -> None:
        """
        End the session at once, and free all that it holds.
        """
        self.close(reason)
        self.abort()

    def abort(self) -> None:
        """
        Cut off the connection, and discard what has not been sent.
        """
        abort = getattr(self.transport, "abortConnection", None)
        if abort is not None:
            abort()

    def playOver(self, streamID: int) -> None:
        """
        A stream that the peer plays has ended. The peer may play another.
        """
        self._session.endPlay(streamID, self._clock.seconds())
        self._do([])
        self._arm()

    # From the session.

    def _do(self, events: list[Event]) -> None:
        """
        Process events, then send what there is to send.
        """
        self._dispatch.give(events)
        self._finish()

    def _react(self, event: Event) -> None:
        _REACTIONS[type(event)](self, event)

    def _settle(self) -> None:
        """
        Handle the effects of events other than frames.
        """
        self._finish()
        if not self._publications:
            self._arm()

    def _finish(self) -> None:
        """
        Send what there is to send, and hang up if the session is over.
        """
        if self._session.unsaid and not self.isClosing:
            self._answers.send(
                mayWait=bool(self._publications.names)
                and not self.endReason
                and not self._playbacks
            )
            # A player that does not keep up may still pause, or stop.
            if self._sender.isClogged and (not self._playbacks or self._answers.isMuch):
                self.pauseReading(self._sender)
        if self._session.isResting and not self._isResting:
            self._isResting = True
            self.pauseReading(self._shifts)
            self._shifts.add(self._takeTurn)
        if self.endReason and not self._isLost:
            self._hangUp()

    def _takeTurn(self) -> bool:
        """
        Process more of what was received and was too much for one turn.

        @return: whether there is still more.
        """
        self._do(self._session.takeTurn(self._clock.seconds()))
        if self._session.isResting:
            return True
        self._isResting = False
        if self._isLost:
            self._ended()
        else:
            self.resumeReading(self._shifts)
        return False

    def _connectRequested(self, event: ConnectRequested) -> None:
        self._grant(event.requestID)
        self._goOn()

    def _grant(self, requestID: int) -> None:
        self._session.grant(requestID, self._clock.seconds())

    def _goOn(self) -> None:
        """
        Process what the peer sent after a request that is now granted, and after
        requests granted meanwhile. One read can bring thousands of requests; this loop
        answers them without recursion.
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

    def _requested(self, event: PublishRequested | PlayRequested) -> None:
        if isinstance(event, PlayRequested):
            event = self._playbacks.meant(event)
        answer = self._deciding.decide(event, self.peer)
        if not answer.called:
            # The session holds back what has been received; the kernel holds the rest.
            self.pauseReading(event)
        answer.addCallback(self._permitted, event)
        answer.addErrback(self._refused, event)

    def _permitted(
        self,
        permit: PublishPermit | PlayPermit,
        event: PublishRequested | PlayRequested,
    ) -> None:
        if not self._waitsFor(event):
            return
        if isinstance(event, PublishRequested):
            if not self._publications.begin(self, cast(PublishPermit, permit), event):
                return
            self._grant(event.requestID)
        else:
            playback = self._playbacks.begin(self, cast(PlayPermit, permit), event)
            self._taken = self._sender.acknowledged()
            self._grant(event.requestID)
            # The answer must come before the first frame.
            self._finish()
            playback.start()
        self._goOn()

    def _refused(
        self, failure: Failure, event: PublishRequested | PlayRequested
    ) -> None:
        refusal = self._deciding.refusalOf(failure, event, self.peer)
        if self._waitsFor(event):
            self._do(
                self._session.reject(
                    event.requestID,
                    refusal.code,
                    refusal.description,
                    self._clock.seconds(),
                )
            )
            self._goOn()

    def _waitsFor(self, event: PublishRequested | PlayRequested) -> bool:
        """
        Stop waiting for a decision.

        @return: whether the answer still matters: the connection may be gone by now.
        """
        self.resumeReading(event)
        return not self.isOver

    def _headerCleared(self, event: HeaderCleared) -> None:
        self._publications.clearHeader(event.streamID, event.name)

    def _pauseRequested(self, event: PauseRequested) -> None:
        self._playbacks.pause(event.streamID, event.isPaused)

    def _mediumSelected(self, event: MediumSelected) -> None:
        self._playbacks.select(event.streamID, event.kind, event.isWanted)

    def _acknowledgementDue(self, event: AcknowledgementDue) -> None:
        self._answers.acknowledgeLater()

    def _publishEnded(self, event: PublishEnded) -> None:
        self._publications.end(event.streamID, event.reason, event.isStop)
        self._arm()

    def _playEnded(self, event: PlayEnded) -> None:
        self._playbacks.end(event.streamID, event.reason)
        self._arm()

    def _sessionEnded(self, event: SessionEnded) -> None:
        self.endReason = event.reason
        self._isFaulty = event.label != "closed"

    # Hanging up, and the clock.

    def _hangUp(self) -> None:
        """
        Close once our last bytes are sent; a peer that does not take them is cut off.
        """
        if self._isLingering:
            return
        self._isLingering = True
        assert self.transport is not None
        self._answers.close()
        self._sender.close()
        self._reading.end()
        self.transport.loseConnection()
        self._alarm.cancel()
        self._alarm.arm(self._clock.seconds() + LINGER, self.abort)

    def _arm(self) -> None:
        """
        Set the alarm for the session's next deadline.
        """
        if self.isClosing:
            return
        deadline = self._session.deadline()
        if deadline is not None:
            self._alarm.arm(deadline, self._timeUp)

    def _timeUp(self) -> None:
        now = self._clock.seconds()
        if self._playbacks:
            taken = self._sender.acknowledged()
            if taken is not None and taken != self._taken:
                self._taken = taken
                self._session.taken(now)
        self._do(self._session.checkTime(now))
        self._goOn()


# Any: each event is passed to the method for its type.
_REACTIONS: dict[type, Callable[[RTMPProtocol, Any], None]] = {
    ConnectRequested: RTMPProtocol._connectRequested,
    PublishRequested: RTMPProtocol._requested,
    PlayRequested: RTMPProtocol._requested,
    PauseRequested: RTMPProtocol._pauseRequested,
    MediumSelected: RTMPProtocol._mediumSelected,
    HeaderCleared: RTMPProtocol._headerCleared,
    AcknowledgementDue: RTMPProtocol._acknowledgementDue,
    PublishEnded: RTMPProtocol._publishEnded,
    PlayEnded: RTMPProtocol._playEnded,
    SessionEnded: RTMPProtocol._sessionEnded,
}


def _lostReason(reason: Failure) -> str:
    if reason.check(ConnectionDone):
        return "closed by the peer"
    return f"connection lost: {reason.getErrorMessage()}"
