"""
Publishes streams to other servers.
"""

import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IDelayedCall,
    IPushProducer,
    IStreamClientEndpoint,
)
from twisted.python.usage import UsageError
from zope.interface import implementer

from rtmptw.backoff import LONGEST_WAIT
from rtmptw.delivery import Delivery, Policy
from rtmptw.frames import CodecHeaders, Frame, FrameKind, Role, StreamInfo
from rtmptw.hub.gop import GroupOfPictures
from rtmptw.interfaces import IFrameSink
from rtmptw.keyframes import KeyGate, LeadingTrack
from rtmptw.plugins.arguments import Argument, Arguments, First, Fragment
from rtmptw.plugins.sink import FrameSinkFactory
from rtmptw.plugins.values import Number, Text, typed
from rtmptw.rtmp.url import RTMPTarget
from rtmptw.rtmpclient.endpoint import checkTLS, clientEndpoint, trustRootFrom
from rtmptw.rtmpclient.protocol import RTMPClientProtocol
from rtmptw.rtmpclient.reconnector import IReconnectorUser, Reconnector

#: Seconds that a frame may wait for the server, while connecting for the first time or
#: while the server is slow. SRS lets players lag as much.
BUFFER = 30.0
#: Most bytes queued: 20 s of 6 Mbit/s.
MAX_BYTES = 16 * 1024 * 1024
#: Most frames queued: limits the overhead of tiny frames to a few times as much.
MAX_FRAMES = 50_000
#: Seconds for the server to take what is queued at the end of a stream. (The process
#: promises to exit within ten seconds of being told to stop.)
END_TIMEOUT = 6.0
#: A stream whose first timestamp is below this many ms keeps its timestamps.
_NEAR_ZERO = 1000


#: The longest wait that is accepted, in seconds: longer ones are mistakes.
_MAX_SECONDS = 3600

#: Arguments of C{--sink=relay}.
ARGUMENTS = Arguments(
    "relay",
    Argument(
        "retry",
        Number("seconds", 1, _MAX_SECONDS),
        "the longest wait between two tries",
        typed(LONGEST_WAIT),
    ),
    Argument(
        "buffer",
        Number("seconds", 0, _MAX_SECONDS),
        "time a frame may wait for a slow server; 0: no limit except 16 MiB",
        typed(BUFFER),
    ),
    Argument("only", Text("APP/NAME"), "relay this stream and no other"),
    Argument(
        "ca", Text("FILE"), "trust the certificates in this PEM file, for rtmps://"
    ),
    first=First(Text("URL"), "a URL", example="relay:rtmp://HOST/APP/NAME"),
    spelling=Fragment(),
)


@dataclass(frozen=True, slots=True)
class RelayOptions:
    """
    The options that follow the URL of a relay.

    @ivar retry: the longest wait between two tries, in seconds.
    @ivar buffer: seconds that a frame may wait for the server; 0 is no limit.
    @ivar only: the public name of the only stream to relay; empty for all.
    @ivar ca: a file with the certificates to trust; empty for the system's.
    """

    retry: float = LONGEST_WAIT
    buffer: float = BUFFER
    only: str = ""
    ca: str = ""


class _Clock:
    """
    The timestamps of one connection. They begin at 0, as those of an encoder that
    reconnects do. (OBS restarts at 0 with each connection, so every service accepts
    that; timestamps that begin in the middle leave a gap in recordings made there.)
    """

    def __init__(self) -> None:
        self._start: int | None = None

    def stamp(self, frame: Frame) -> int:
        """
        @return: the timestamp to send, in ms.
        """
        if self._start is None:
            if frame.role is not Role.CODED:
                # Headers come first, and their timestamps mean nothing.
                return 0
            near = 0 <= frame.timestamp < _NEAR_ZERO
            self._start = 0 if near else frame.timestamp
        return max(frame.timestamp - self._start, 0)


@implementer(IFrameSink, IReconnectorUser)
class RelaySink:
    """
    Publishes one stream to one server, and reconnects whenever the connection is lost.

    Until the first try has succeeded or failed, frames wait in the outlet, so that a
    server that accepts the stream gets all of it. After a failure frames are dropped,
    except for the current GOP: the next connection begins with it.

    @ivar sent: number of frames passed to a connection.
    @ivar repeated: how many of them had arrived before that connection was made.
    @ivar missed: number of frames that arrived while there was no connection.
    @ivar untaken: number of frames passed to a connection that the server had not
        acknowledged when it was lost; not included in C{sent}.
    @ivar failure: the error for the ledger; empty while connected.
    """

    done = "sent"

    def __init__(
        self,
        connect: Callable[["RelaySink"], Reconnector],
        clock: Any,
        buffer: float = BUFFER,
    ) -> None:
        """
        @param connect: makes the L{Reconnector} for this sink.
        @param clock: provides C{IReactorTime}.
        @param buffer: see L{RelayOptions}.
        """
        self.delivery = Delivery(
            Policy.TO_KEYFRAME, int(buffer * 1000), MAX_BYTES, MAX_FRAMES
        )
        self.what = "relay to"
        self.sent = 0
        self.repeated = 0
        self.missed = 0
        self.untaken = 0
        self._reconnector = connect(self)
        self._reactor = clock
        self._producer: IPushProducer | None = None
        self._protocol: RTMPClientProtocol | None = None
        self._clock = _Clock()
        self._headers = CodecHeaders()
        self._leading = LeadingTrack()
        self._group = GroupOfPictures(self._leading)
        self._gate = KeyGate(self._leading)
        self._isFirstTry = True
        self._pending: list[Frame] = []
        self._videoTime: int | None = None
        self._ending: Deferred[None] | None = None
        self._endTimer: IDelayedCall | None = None
        self._reason = ""

    @property
    def isConnected(self) -> bool:
        """
        Whether the server takes the stream now.
        """
        return self._protocol is not None

    @property
    def failure(self) -> str:
        """
        The error for the ledger.
        """
        parts = []
        if self.missed:
            parts.append(f"{self.missed} frames came while not connected")
        if self.untaken:
            parts.append(f"{self.untaken} frames were not acknowledged by the server")
        what = ", ".join(parts)
        trouble = self._reconnector.trouble
        return f"{what}: {trouble}" if what and trouble else what or trouble

    @property
    def lost(self) -> int:
        """
        Number of frames passed to this sink that the server does not have.
        """
        return self.missed + self.untaken

    # From the outlet.

    def streamStarted(self, stream: StreamInfo, producer: IPushProducer) -> None:
        """
        Connect; frames wait until that is done.
        """
        self.what = f"{stream.name}: relay to"
        self._producer = producer
        producer.pauseProducing()
        self._reconnector.start()

    def frameReceived(self, frame: Frame) -> None:
        """
        Send a frame if there is a connection.
        """
        if self._protocol is not None:
            self._keep(frame)
            self._send(frame)
        elif self._isFirstTry:
            # The stream is over, and the outlet delivers all it has.
            self._pending.append(frame)
        else:
            self._keep(frame)
            self.missed += 1

    def streamEnded(self, reason: str) -> "Deferred[None] | None":
        """
        Send what waits, and close the connection.

        @return: fires when the server has taken everything, or after L{END_TIMEOUT}.
        """
        self._reason = reason
        if self._protocol is not None:
            return self._reconnector.stop(reason, END_TIMEOUT)
        if not (self._isFirstTry and self._pending):
            return self._reconnector.stop(reason, 0)
        self._ending = Deferred()
        self._endTimer = self._reactor.callLater(END_TIMEOUT, self._tooLate)
        return self._ending

    def _tooLate(self) -> None:
        self._endTimer = None
        self._giveUp()

    def _giveUp(self) -> None:
        """
        Stop: the stream has ended, and no connection was made in time.
        """
        self.missed += len(self._pending)
        self._pending = []
        self._stop(0)

    def _stop(self, within: float) -> None:
        ending, self._ending = self._ending, None
        assert ending is not None
        if self._endTimer is not None:
            self._endTimer.cancel()
            self._endTimer = None
        self._reconnector.stop(self._reason, within).chainDeferred(ending)

    # From the connection.

    def connected(self, protocol: RTMPClientProtocol) -> None:
        """
        Start sending: all frames after the first try, later the headers and the current
        GOP.
        """
        self._protocol = protocol
        self._clock = _Clock()
        if self._ending is not None:
            for frame in self._pending:
                self._send(frame)
            self._pending = []
            self._stop(END_TIMEOUT)
        elif self._isFirstTry:
            self._isFirstTry = False
            self._resume()
        else:
            group = self._group.frames()
            self._gate = KeyGate(self._leading)
            if self._videoTime is not None and not group:
                self._gate.close(self._videoTime)
            for frame in self._headers.frames() + group:
                self._send(frame)
                self.repeated += 1

    def disconnected(self) -> None:
        """
        Drop frames from now on.
        """
        self._protocol = None
        self._isFirstTry = False
        untaken = self._reconnector.untaken
        self.sent -= untaken
        self.untaken += untaken
        if self._ending is not None:
            self._giveUp()
        else:
            self._resume()

    def sendingPaused(self) -> None:
        """
        Pause: the outlet keeps what follows.
        """
        if self._producer is not None:
            self._producer.pauseProducing()

    def sendingResumed(self) -> None:
        """
        Resume.
        """
        self._resume()

    def _resume(self) -> None:
        if self._producer is not None:
            self._producer.resumeProducing()

    def headerCleared(self, name: str) -> None:
        """
        Do nothing: a server that we publish to does not send this.
        """

    # Frames.

    def _keep(self, frame: Frame) -> None:
        """
        Keep what the next connection must begin with.
        """
        if frame.isHeader:
            self._headers.remember(frame)
            return
        self._leading.follow(frame)
        self._group.add(frame)
        if frame.kind is FrameKind.VIDEO and frame.role is Role.CODED:
            self._videoTime = frame.timestamp

    def _send(self, frame: Frame) -> None:
        protocol = self._protocol
        if (
            protocol is None
            or not self._gate.passes(frame)
            or not protocol.sendFrame(frame, self._clock.stamp(frame))
        ):
            self.missed += 1
        else:
            self.sent += 1


class RelaySinkFactory(FrameSinkFactory):
    """
    Makes sinks that publish each stream to another server.
    """

    arguments = ARGUMENTS

    def __init__(
        self,
        target: RTMPTarget,
        options: RelayOptions | None = None,
        endpointFor: Callable[[Any, RTMPTarget, Any], IStreamClientEndpoint] = (
            clientEndpoint
        ),
        random: Callable[[], float] = random.random,
    ) -> None:
        """
        @param target: the server; C{{app}} and C{{name}} in it are filled in for each
            stream.
        @param endpointFor: called with the reactor, the target and the certificates to
            trust.
        @param random: returns a number from 0 to 1.
        """
        self.target = target
        self.options = options or RelayOptions()
        self._endpointFor = endpointFor
        self._random = random
        self._reactor: Any = None
        self._trustRoot: Any = None

    @classmethod
    def fromString(cls, argstring: str) -> "RelaySinkFactory":
        """
        Publish each stream to another server, and reconnect whenever the connection is
        lost::

            --sink=relay:rtmp://HOST[:PORT]/APP/NAME
            --sink=relay:rtmps://HOST[:PORT]/APP/KEY#only=live/cam
            --sink=relay:rtmp://HOST/{app}/{name}

        {app} and {name} stand for the stream's name here. A user and a password may
        precede the host (USER:PASSWORD@HOST), for servers that use Adobe's
        authentication. The path is split as FFmpeg does: the application is its first
        part, or its first two if there are three.

        If the server cannot be reached or refuses, another try follows after 1 to 30
        seconds, and nothing else waits for it. A new connection begins at a key frame,
        with timestamp 0. If the server is too slow, frames are dropped, up to the next
        key frame.

        Options follow a #, with & between them.

        @raise UsageError: with one sentence, if the arguments are invalid.
        """
        said = ARGUMENTS.read(argstring)
        url = said["URL"]
        options = RelayOptions(
            said["retry"], said["buffer"], said["only"] or "", said["ca"] or ""
        )
        for placeholder in re.findall(r"\{(\w*)\}", url):
            if placeholder not in ("app", "name"):
                raise UsageError(
                    f"The relay's URL contains {{{placeholder}}}; the placeholders are "
                    "{app} and {name}."
                )
        try:
            target = RTMPTarget.fromURL(url)
        except ValueError as error:
            raise UsageError(f"The relay needs a URL: {error}.") from error
        if options.ca and target.scheme != "rtmps":
            raise UsageError("The relay's option ca=FILE is for rtmps:// only.")
        return cls(target, options)

    def startFactory(self, reactor: object) -> None:
        """
        Keep the reactor, and check that what rtmps needs is there.

        @raise SinkError: if TLS is not available or the certificates cannot be used.
        """
        self._reactor = reactor
        if self.options.ca:
            self._trustRoot = trustRootFrom(self.options.ca)
        elif self.target.scheme == "rtmps":
            checkTLS()

    def buildSink(self, stream: StreamInfo) -> RelaySink | None:
        """
        @return: a new L{RelaySink}; C{None} for a stream that is not to be relayed.
        """
        if self.options.only not in ("", stream.name):
            return None
        target = self.target.forStream(stream.app, stream.stream)
        endpointFor = partial(self._endpointFor, self._reactor)

        def connect(sink: RelaySink) -> Reconnector:
            return Reconnector(
                self._reactor,
                target,
                True,
                sink,
                lambda target: endpointFor(target, self._trustRoot),
                self.options.retry,
                self._random,
            )

        return RelaySink(connect, self._reactor, self.options.buffer)
