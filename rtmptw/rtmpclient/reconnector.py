"""
Connections to a server that reconnect whenever they are lost.
"""

import os
import random
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IStreamClientEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import Attribute, Interface, implementer

from rtmptw.backoff import LONGEST_WAIT, Backoff
from rtmptw.frames import Frame
from rtmptw.rtmp.adobe import nextAuthentication
from rtmptw.rtmp.url import RTMPTarget
from rtmptw.rtmpclient.protocol import (
    Ending,
    IRTMPClientUser,
    RTMPClientFactory,
    RTMPClientProtocol,
)

#: A connection that lasted this many seconds was a good one, and resets the backoff.
#: (nginx-rtmp, for example, accepts what it denies, and then closes.)
STABLE_TIME = 10.0
#: Random part of the waits, in both directions: a hundred relays that lost the same
#: server should not reconnect in the same instant.
JITTER = 0.25
#: Refusals in a row that may be steps of Adobe's authentication.
_MAX_AUTHENTICATIONS = 2
#: Label of a session that we ended because it is of no use now.
_UNWANTED = "unwanted"


class IReconnectorUser(Interface):
    """
    Wants a stream published or played, with retries until it is.
    """

    what: str = Attribute("What it does, for the log: C{live/cam: relay to}.")

    done: str = Attribute('What happens to frames, for the log: "sent", "received".')

    def connected(protocol: RTMPClientProtocol) -> None:
        """
        The server has accepted the request.
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
    Connects to a server, and reconnects whenever that fails or ends, until it is
    stopped. The wait before a retry is 1 s at first and doubles each time, up to a
    limit. Each change is logged, without secrets.

    @ivar state: C{"idle"}, C{"connecting"}, C{"connected"} or C{"waiting"}.
    @ivar trouble: the last error; empty while connected.
    @ivar isRefused: whether the last error is a refusal by the server.
    @ivar untaken: number of frames that the last session sent and the server's system
        has not acknowledged.
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
        @param endpointFor: returns the endpoint for each try.
        @param longestWait: the longest wait between two tries, in seconds.
        @param random: returns a number from 0 to 1.
        """
        self.state = "idle"
        self.trouble = ""
        self.isRefused = False
        self.untaken = 0
        self._reactor = reactor
        self._target = target
        self._publishes = publishes
        self._user = user
        self._endpointFor = endpointFor
        self._backoff = Backoff(random, 1 - JITTER, 1 + JITTER, longestWait)
        self._isWanted = False
        self._said = ("", 0.0)
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
        Make the first try. If a stop is in progress, do so once it is done.
        """
        self._isWanted = True
        if self.state == "idle":
            self._backoff.reset()
            self._said = ("", 0.0)
            self._try()

    def stop(self, reason: str, within: float) -> "Deferred[None]":
        """
        Stop: if connected, close the stream properly and send what waits.

        @param within: seconds after which the connection is cut off.
        @return: fires when the connection is closed.
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
        Disconnect, because the connection is of no use now, and try again later.
        """
        if self._protocol is not None:
            self._protocol.hangUp(_UNWANTED, reason)

    def _cutItOff(self) -> None:
        self._cutOff = None
        if self._protocol is not None:
            self._log.warn(
                "{what} {target}: cut off before the server had taken everything",
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
        self.isRefused = False
        words = self._target.withoutSecrets(failure.getErrorMessage()).rstrip(".")
        self._failed(f"cannot connect: {words}")

    # From the protocol.

    def streamAccepted(self, protocol: RTMPClientProtocol) -> None:
        """
        Tell the user.
        """
        self.state = "connected"
        self.trouble = ""
        self.isRefused = False
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
        Pass a frame on. A player counts as connected with the first frame.
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
        Try again: at once if the server asks for authentication, otherwise later.
        """
        self._protocol = None
        self.untaken = ending.untaken
        words = ending.reason
        if self.state != "connected":
            if self._authenticate(ending.refusal):
                self._try()
            else:
                self.isRefused = bool(ending.refusal)
                refused = "refused" if ending.refusal else "not connected"
                self._failed(f"{refused}: {words}")
            return
        seconds = self._reactor.seconds() - self._since
        isInOrder = ending.label == "nobody-publishes" or (
            ending.label == "stream-ended" and ending.frames
        )
        if ending.label != _UNWANTED and (isInOrder or seconds >= STABLE_TIME):
            self._backoff.reset()
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
        Log the failure, and schedule the next try.
        """
        stopping, self._stopping = self._stopping, None
        if stopping is None or self.state != "connected":
            # An end that we asked for is not an error.
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
        usual, wait = self._backoff.usual, self._backoff.next()
        self._timer = self._reactor.callLater(wait, self._try)
        if self._said != (trouble, usual):
            # A repeated error is logged once.
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
