"""
What a writer has encoded, on its way to the server.
"""

import threading
from collections import deque
from collections.abc import Sequence
from functools import partial
from time import monotonic
from typing import Any

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from rtmptw.arrays.reactors import ReactorThread
from rtmptw.frames import Frame, FrameKind, Role
from rtmptw.rtmp.url import RTMPTarget
from rtmptw.rtmpclient.endpoint import checkTLS, clientEndpoint
from rtmptw.rtmpclient.protocol import RTMPClientProtocol
from rtmptw.rtmpclient.reconnector import IReconnectorUser, Reconnector

#: The longest wait between two tries, in seconds.
LONGEST_WAIT = 5.0
#: So many frames may be on their way from the program's thread to the reactor's.
MAX_HANDED = 32
#: Of so many frames at most it is known, when a connection is lost, what they were.
_REMEMBERED = 4096


@implementer(IReconnectorUser)
class Sending:
    """
    Publishes to one server, and again when the connection is lost. Everything is called
    in the reactor's thread but where it says otherwise.

    @ivar changed: guards what follows, and is notified when it changes.
    @ivar connection: the number of the connection that there is; 0 while there is none.
    @ivar since: when there was a connection last, on C{monotonic}'s clock.
    @ivar isFull: whether the connection takes no more for now.
    @ivar isRefused: whether the server has refused, at the last try.
    @ivar trouble: what went wrong last; empty while connected.
    @ivar ended: why it is over; empty while it is not.
    @ivar handed: how many frames were handed over and not sent yet.
    @ivar connections: how many connections there were.
    @ivar sent: how many video frames the server's system has, as far as ours can tell.
    @ivar lost: how many it has not, though they were handed over.
    """

    done = "sent"

    def __init__(self, home: ReactorThread, target: RTMPTarget, name: str) -> None:
        self.what = f"{name}: writer to"
        self.changed = threading.Condition()
        self.connection = 0
        self.since = monotonic()
        self.isFull = False
        self.isRefused = False
        self.trouble = "it has not answered yet"
        self.ended = ""
        self.handed = 0
        self.connections = 0
        self.sent = 0
        self.lost = 0
        self._home = home
        self._target = target
        self._reconnector: Reconnector | None = None
        self._protocol: RTMPClientProtocol | None = None
        # Of the last frames that were sent, whether each is one of video.
        self._kinds: deque[bool] = deque(maxlen=_REMEMBERED)
        self._ending: Deferred[None] | None = None

    def start(self) -> None:
        """
        Connect.

        @raise SinkError: if TLS is wanted, and cannot be had.
        """
        if self.ended:
            return
        if self._target.scheme == "rtmps":
            checkTLS()
        reactor = self._home.reactor
        self._home.add(self)
        self._reconnector = Reconnector(
            reactor,
            self._target,
            True,
            self,
            partial(clientEndpoint, reactor),
            LONGEST_WAIT,
        )
        self._reconnector.start()

    def hand(self, frames: Sequence[Frame], connection: int) -> None:
        """
        In the program's thread: send frames, if the connection is still the one that
        they are for.
        """
        self._home.later(self._send, frames, connection)
        # After that, for Ctrl-C may come in between: too few are no harm.
        with self.changed:
            self.handed += len(frames)

    def _send(self, frames: Sequence[Frame], connection: int) -> None:
        protocol = self._protocol
        sent = lost = 0
        for frame in frames:
            isVideo = frame.kind is FrameKind.VIDEO and frame.role is Role.CODED
            if (
                protocol is not None
                and connection == self.connection
                and protocol.sendFrame(frame, frame.timestamp)
            ):
                self._kinds.append(isVideo)
                sent += isVideo
            else:
                lost += isVideo
        with self.changed:
            self.sent += sent
            self.lost += lost
            self.handed -= len(frames)
            self.changed.notify_all()

    def end(self, reason: str, within: float = 0.0) -> "Deferred[None]":
        """
        Send what was handed over, and say farewell.

        @param within: how many seconds the server has to take it.
        @return: fires when it has, or the time is over.
        """
        with self.changed:
            self.ended = self.ended or reason
            self.changed.notify_all()
        self._home.discard(self)
        if self._reconnector is None:
            return succeed(None)
        if self._ending is None:
            self._ending = self._reconnector.stop(reason, within)
            self._ending.addCallback(self._over)
        waiter: Deferred[None] = Deferred()

        def over(result: Any) -> Any:
            waiter.callback(None)
            return result

        self._ending.addBoth(over)
        return waiter

    def _over(self, result: None) -> None:
        # What ends as it should says no C{disconnected}.
        self._forget()

    def _forget(self) -> None:
        reconnector = self._reconnector
        assert reconnector is not None
        untaken = reconnector.untaken if self.connection else 0
        lost = sum(list(self._kinds)[-untaken:]) if untaken else 0
        self._kinds.clear()
        self._protocol = None
        with self.changed:
            if self.connection:
                self.since = monotonic()
            self.connection = 0
            self.isFull = False
            self.sent -= lost
            self.lost += lost
            self.trouble = reconnector.trouble
            self.isRefused = reconnector.isRefused
            self.changed.notify_all()

    # IReconnectorUser.

    def connected(self, protocol: RTMPClientProtocol) -> None:
        """
        The server takes the stream.
        """
        self._protocol = protocol
        with self.changed:
            self.connections += 1
            self.connection = self.connections
            self.trouble = ""
            self.isRefused = False
            self.changed.notify_all()

    def disconnected(self) -> None:
        """
        It does not, or no more.
        """
        self._forget()

    def frameReceived(self, frame: Frame) -> None:
        """
        Servers that are published to send none.
        """

    def headerCleared(self, name: str) -> None:
        """
        Nor do they say this.
        """

    def sendingPaused(self) -> None:
        """
        The connection is full.
        """
        with self.changed:
            self.isFull = True

    def sendingResumed(self) -> None:
        """
        It has room again.
        """
        with self.changed:
            self.isFull = False
            self.changed.notify_all()
