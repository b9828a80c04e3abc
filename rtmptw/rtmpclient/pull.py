"""
Plays streams from other servers, and publishes them here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit

from twisted.application.service import IService
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.logger import Logger
from twisted.python.reflect import namedAny
from twisted.python.usage import UsageError
from zope.interface import implementer

from rtmptw.errors import NotAllowed
from rtmptw.frames import Frame, publicName
from rtmptw.hub.hub import StreamHub
from rtmptw.hub.stream import Stream
from rtmptw.rtmp.url import DEFAULT_PORTS, RTMPTarget
from rtmptw.rtmpclient.endpoint import checkTLS, clientEndpoint, trustRootFrom
from rtmptw.rtmpclient.protocol import RTMPClientProtocol
from rtmptw.rtmpclient.reconnector import IReconnectorUser, Reconnector
from rtmptw.sources.pulling import Pulling

#: Seconds for our farewell at the end.
END_TIMEOUT = 2.0


@dataclass(frozen=True, slots=True)
class Pull:
    """
    A stream to pull: what one option of the command line says.

    @ivar url: where from; for rtmps perhaps with C{#ca=FILE}, for what has an end with
        C{#loop=1}.
    @ivar app: the application of its name here.
    @ivar name: its name there.
    @ivar onDemand: whether only while somebody wants to see it.
    """

    url: str
    app: str
    name: str
    onDemand: bool = False

    @classmethod
    def fromString(cls, text: str, onDemand: bool = False) -> "Pull":
        """
        Read C{URL[=APP/NAME]} or C{URL#as=APP/NAME}; without a name, the stream is
        called here what it is called there. In a URL with a query each C{=} belongs to
        the query, so there only the second form will do.

        @raise UsageError: with one sentence.
        """
        url, _, fragment = text.partition("#")
        local, others = "", []
        for option in fragment.split("&") if fragment else []:
            if option.startswith("as="):
                local = option.removeprefix("as=")
            else:
                others.append(option)
        if not local and "?" not in url:
            url, _, local = url.partition("=")
        isRTMP = url.partition("://")[0].lower() in DEFAULT_PORTS
        if not local:
            local = _nameIn(url, isRTMP)
        app, _, name = local.strip("/").rpartition("/")
        if not app or not name or "//" in local:
            raise UsageError(
                f"A stream that is pulled needs a name here such as live/cam, not "
                f"{local!r}: URL=APP/NAME, or URL#as=APP/NAME."
            )
        for option in others:
            isCA = option.startswith("ca=") and url.lower().startswith("rtmps:")
            if not isCA and (isRTMP or option != "loop=1"):
                raise UsageError(
                    f"The option {option} is not one of as=APP/NAME and, for rtmps://, "
                    "ca=FILE, or, for a file, loop=1."
                )
        if isRTMP:
            _targetOf(url)
        pulled = "#".join([url, *others[-1:]])
        return cls(pulled, app, name, onDemand)

    def service(self, hub: StreamHub, reactor: Any) -> IService:
        """
        @return: what pulls it: for rtmp and rtmps an L{RTMPPull}, for all else
            L{rtmptw.sources.media.MediaPull<rtmptw.sources.media>}.
        """
        scheme = self.url.partition("://")[0].lower()
        make: Any = (
            RTMPPull
            if scheme in DEFAULT_PORTS
            else namedAny("rtmptw.sources.media.MediaPull")
        )
        return cast(
            IService,
            make(hub, reactor, self.url, self.app, self.name, self.onDemand),
        )


def _nameIn(url: str, isRTMP: bool) -> str:
    """
    @return: what the stream is called there.
    """
    if isRTMP:
        target = _targetOf(url)
        return publicName(target.app, target.stream.partition("?")[0])
    try:
        path = urlsplit(url).path
    except ValueError:
        return ""
    return "/".join([part for part in path.split("/") if part][-2:])


def _targetOf(url: str) -> RTMPTarget:
    try:
        return RTMPTarget.fromURL(url)
    except ValueError as error:
        raise UsageError(f"A stream to pull needs a URL: {error}.") from error


@implementer(IReconnectorUser)
class RTMPPull(Pulling):
    """
    Plays one stream from a server and publishes it here, for as long as it runs, or
    while it is wanted. When the stream ends there, it ends here, and is tried again.
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
        endpointFor: Callable[[Any, RTMPTarget, Any], IStreamClientEndpoint] = (
            clientEndpoint
        ),
    ) -> None:
        """
        @param url: where from; C{#ca=FILE} names the certificates to trust.
        @param app: the application of its name here.
        @param name: its name there.
        @param onDemand: whether to wait until somebody wants to see it.
        @param endpointFor: called with the reactor, the target and the certificates to
            trust.

        @raise ValueError: if the URL is none of RTMP.
        """
        url, _, option = url.partition("#")
        self._target = RTMPTarget.fromURL(url)
        self._ca = option.removeprefix("ca=")
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
        )

    @property
    def isConnected(self) -> bool:
        """
        Whether the server has granted the stream; frames may be still to come.
        """
        return self._protocol is not None

    # The service.

    def startService(self) -> None:
        """
        Begin, or wait until it is wanted.

        @raise SinkError: if TLS or the certificates cannot be had.
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
        Frames may come. The stream begins here with the first of them: a server may
        grant a stream that nobody publishes.
        """
        self._protocol = protocol
        self._paused = False

    def disconnected(self) -> None:
        """
        The stream ends here too.
        """
        self._protocol = None
        self._lost(self._reconnector.trouble)

    def frameReceived(self, frame: Frame) -> None:
        """
        Give it to the stream.
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
        Pass it on.
        """
        if self.stream is not None:
            self.stream.headerCleared(name)

    def sendingPaused(self) -> None:
        """
        What we say is short and may wait.
        """

    def sendingResumed(self) -> None:
        """
        As above.
        """
