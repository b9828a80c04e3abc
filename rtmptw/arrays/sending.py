"""
Encoded frames on their way from a writer to the server.
"""

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Any

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from rtmptw.arrays.live import ENDED, LIVE, WAITING
from rtmptw.arrays.reactors import ReactorThread
from rtmptw.frames import Frame, FrameKind, Role
from rtmptw.rtmp.url import RTMPTarget
from rtmptw.rtmpclient.endpoint import checkTLS, clientEndpoint
from rtmptw.rtmpclient.protocol import RTMPClientProtocol
from rtmptw.rtmpclient.reconnector import IReconnectorUser, Reconnector

#: The longest time between two attempts to connect, in seconds.
LONGEST_WAIT = 5.0
#: The maximum number of frames on their way from the program's thread to the reactor's.
MAX_HANDED = 32
#: The number of frames that are remembered, to tell the kinds of those that a lost
#: connection did not take.
_REMEMBERED = 4096


@dataclass(frozen=True, slots=True)
class WriterCounts:
    """
    The number of frames so far.

    @ivar written: those that the program gave to C{write}.
    @ivar sent: those that were sent, and have arrived as far as we can tell.
    @ivar dropped: those that came without a connection, or were lost with one.
    @ivar connections: the number of connections, not of frames.

    After C{close}, C{sent} and C{dropped} add up to C{written}.
    """

    written: int
    sent: int
    dropped: int
    connections: int


@implementer(IReconnectorUser)
class Sending:
    """
    Publishes to one server, and reconnects. All methods are called in the reactor's
    thread unless they say otherwise.

    @ivar changed: guards the attributes below, and is notified when they change.
    @ivar connection: the number of the current connection; 0 if there is none.
    @ivar since: when the last connection was lost, on C{monotonic}'s clock.
    @ivar isFull: whether the connection's buffer is full.
    @ivar isRefused: whether the server refused the last attempt.
    @ivar trouble: what went wrong last; empty while connected.
    @ivar ended: why the stream has ended; empty while it has not.
    @ivar handed: the number of frames handed over and not sent yet.
    @ivar connections: the number of connections so far.
    @ivar sent: the number of video frames that the server's system has, as far as ours
        can tell.
    @ivar lost: the number of video frames handed over and lost.
    @ivar written: the number of frames that the program has written. Belongs to the
        program's thread, as does C{unsent}.
    @ivar unsent: the number of those that were never handed over.
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
        self.written = 0
        self.unsent = 0
        self._home = home
        self._target = target
        self._reconnector: Reconnector | None = None
        self._protocol: RTMPClientProtocol | None = None
        # Of the last frames that were sent, whether each is one of video.
        self._kinds: deque[bool] = deque(maxlen=_REMEMBERED)
        self._ending: Deferred[None] | None = None

    @property
    def state(self) -> str:
        """
        In any thread: C{"waiting"} for a connection, C{"live"} or C{"ended"}.
        """
        if self.ended:
            return ENDED
        return LIVE if self.connection else WAITING

    @property
    def why(self) -> str:
        """
        In any thread: what is wrong, or why the stream has ended; empty while all is
        well.
        """
        return self.ended or self.trouble

    @property
    def counts(self) -> WriterCounts:
        """
        In any thread: the number of frames so far.
        """
        return WriterCounts(
            self.written, self.sent, self.unsent + self.lost, self.connections
        )

    def start(self) -> None:
        """
        Connect.

        @raise SinkError: if the URL asks for TLS, and TLS is not installed.
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
        In the program's thread: send frames, unless the connection that they are for
        is lost.
        """
        self._home.later(self._send, frames, connection)
        # Counted afterwards: if Ctrl-C comes in between, the count is too low, which
        # does no harm.
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
        Send the frames that were handed over, and end the stream.

        @param within: the number of seconds that the server has to take them.
        @return: fires when the server has taken them, or the time is over.
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
        # After a regular end there is no call to L{disconnected}.
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
        The server has accepted the stream.
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
        The connection is lost, or could not be made.
        """
        self._forget()

    def frameReceived(self, frame: Frame) -> None:
        """
        Ignore it: a server sends no frames to a publisher.
        """

    def headerCleared(self, name: str) -> None:
        """
        Ignore it, for the same reason.
        """

    def sendingPaused(self) -> None:
        """
        The connection's buffer is full.
        """
        with self.changed:
            self.isFull = True

    def sendingResumed(self) -> None:
        """
        The buffer has room again.
        """
        with self.changed:
            self.isFull = False
            self.changed.notify_all()
