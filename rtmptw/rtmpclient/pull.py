"""
Plays streams from other RTMP servers and publishes them here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.logger import Logger
from twisted.python.usage import UsageError
from zope.interface import implementer

from rtmptw.backoff import LONGEST_WAIT
from rtmptw.errors import NotAllowed
from rtmptw.frames import Frame, publicName
from rtmptw.hub.hub import StreamHub
from rtmptw.hub.stream import Stream
from rtmptw.interfaces import IFrameSourceFactory
from rtmptw.plugins.arguments import Argument, Arguments, First, Fragment
from rtmptw.plugins.values import Text
from rtmptw.rtmp.url import RTMPTarget
from rtmptw.rtmpclient.endpoint import checkTLS, clientEndpoint, trustRootFrom
from rtmptw.rtmpclient.protocol import RTMPClientProtocol
from rtmptw.rtmpclient.reconnector import IReconnectorUser, Reconnector
from rtmptw.sources.naming import DEMAND, NAME, nameThere
from rtmptw.sources.pulling import Pulling

#: Seconds allowed for closing the stream at the end.
END_TIMEOUT = 2.0


#: Arguments of C{--source=rtmp}.
ARGUMENTS = Arguments(
    "rtmp source",
    NAME,
    DEMAND,
    Argument(
        "ca", Text("FILE"), "trust the certificates in this PEM file, for rtmps://"
    ),
    first=First(Text("URL"), "a URL", example="rtmp:rtmp://HOST/APP/NAME"),
    spelling=Fragment(),
)


@implementer(IFrameSourceFactory)
@dataclass(frozen=True, slots=True)
class RTMPPullFactory:
    """
    Makes the source that plays one stream from a server.

    @cvar arguments: the command line's arguments.
    @ivar url: the URL to play from.
    @ivar app: the application under which it is published here.
    @ivar name: the name under which it is published here.
    @ivar onDemand: whether to pull only while someone wants the stream.
    @ivar ca: a file with the certificates to trust; empty for the system's.
    """

    arguments: ClassVar[Arguments] = ARGUMENTS

    url: str
    app: str
    name: str
    onDemand: bool = False
    ca: str = ""

    @classmethod
    def fromString(cls, argstring: str) -> "RTMPPullFactory":
        """
        Play a stream from another RTMP server and publish it here::

            --source=rtmp:rtmp://HOST[:PORT]/APP/NAME
            --source='rtmp:rtmps://HOST/APP/NAME#as=live/cam&demand=1'

        --pull=URL and --pull-on-demand=URL are short for this. If the connection is
        lost, or the stream does not exist yet, another try follows after 1 to 30
        seconds.

        @raise UsageError: with one sentence, if the arguments are invalid.
        """
        said = ARGUMENTS.read(argstring)
        url = said["URL"]
        try:
            target = RTMPTarget.fromURL(url)
        except ValueError as error:
            raise UsageError(f"A stream to pull needs a URL: {error}.") from error
        if said["ca"] and target.scheme != "rtmps":
            raise UsageError("The rtmp source's option ca=FILE is for rtmps:// only.")
        there = publicName(target.app, target.stream.partition("?")[0])
        app, name = said["as"] or nameThere(there)
        return cls(url, app, name, said["demand"], said["ca"] or "")

    @property
    def stream(self) -> str:
        """
        The public name of the stream here.
        """
        return publicName(self.app, self.name)

    def buildSource(self, hub: StreamHub, reactor: Any) -> "RTMPPull":
        """
        @return: a new L{RTMPPull}.
        """
        return RTMPPull(
            hub, reactor, self.url, self.app, self.name, self.onDemand, self.ca
        )


@implementer(IReconnectorUser)
class RTMPPull(Pulling):
    """
    Plays one stream from a server and publishes it here, for as long as the service
    runs, or while the stream is wanted. When the stream ends there, it ends here, and
    another try follows.
    """

    _log = Logger()

    done = "received"

    def __init__(
        self,
        hub: StreamHub,
        reactor: Any,
        url: str,
        app: str,
        name: str,
        onDemand: bool = False,
        ca: str = "",
        endpointFor: Callable[[Any, RTMPTarget, Any], IStreamClientEndpoint] = (
            clientEndpoint
        ),
        longestWait: float = LONGEST_WAIT,
    ) -> None:
        """
        @param url: the URL to play from.
        @param app: the application under which it is published here.
        @param name: the name under which it is published here.
        @param onDemand: whether to wait until someone wants the stream.
        @param ca: a file with the certificates to trust; empty for the system's.
        @param endpointFor: called with the reactor, the target and the certificates to
            trust.
        @param longestWait: the longest wait between two tries, in seconds.

        @raise ValueError: if it is not an RTMP URL.
        """
        self._target = RTMPTarget.fromURL(url)
        self._ca = ca
        super().__init__(hub, reactor, app, name, onDemand)
        self._endpointFor = endpointFor
        self._trustRoot: Any = None
        self.what = f"{publicName(app, name)}: pull from"
        self.peer = self._target.shown
        self._protocol: RTMPClientProtocol | None = None
        self._reconnector = Reconnector(
            reactor,
            self._target,
            False,
            self,
            lambda target: endpointFor(reactor, target, self._trustRoot),
            longestWait,
        )

    @property
    def trouble(self) -> str:
        """
        The last error; empty while connected.
        """
        return self._reconnector.trouble

    @property
    def isConnected(self) -> bool:
        """
        Whether the server has accepted the request; frames may not have arrived yet.
        """
        return self._protocol is not None

    # The service.

    def startService(self) -> None:
        """
        Start, or wait until the stream is wanted.

        @raise SinkError: if TLS is not available or the certificates cannot be used.
        """
        if self._ca:
            self._trustRoot = trustRootFrom(self._ca)
        elif self._target.scheme == "rtmps":
            checkTLS()
        super().startService()

    def _begin(self) -> None:
        self._reconnector.start()

    def _stop(self, reason: str) -> "Deferred[None]":
        self._protocol = None
        stopped = self._reconnector.stop(reason, END_TIMEOUT)
        self._lost(reason)
        return stopped

    def _tryLater(self, reason: str) -> None:
        self._reconnector.tryLater(reason)

    def _setReading(self, isReading: bool) -> None:
        if self._protocol is not None:
            if isReading:
                self._protocol.resumeReading()
            else:
                self._protocol.pauseReading()

    # IReconnectorUser.

    def connected(self, protocol: RTMPClientProtocol) -> None:
        """
        Wait for frames. The stream begins here with the first one, because a server may
        accept a request for a stream that is not published.
        """
        self._protocol = protocol
        self._paused = False

    def disconnected(self) -> None:
        """
        End the stream here, too.
        """
        self._protocol = None
        self._lost(self._reconnector.trouble)

    def frameReceived(self, frame: Frame) -> None:
        """
        Pass a frame to the stream.
        """
        self._lastReceived = self._reactor.seconds()
        stream = self.stream
        if stream is None:
            stream = self._publish()
            if stream is None:
                return
        stream.frameReceived(frame)

    def _publish(self) -> Stream | None:
        try:
            self.stream = self._hub.publish(self._app, self._name, self)
        except NotAllowed as refusal:
            self._reconnector.tryLater(
                f"{publicName(self._app, self._name)} cannot be published here: "
                f"{refusal.description}"
            )
        return self.stream

    def headerCleared(self, name: str) -> None:
        """
        Pass it on to the stream.
        """
        if self.stream is not None:
            self.stream.headerCleared(name)

    def sendingPaused(self) -> None:
        """
        Do nothing: what we send is short and may wait.
        """

    def sendingResumed(self) -> None:
        """
        Do nothing, as above.
        """
