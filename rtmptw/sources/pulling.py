"""
The base of all pulls: a service that publishes a stream to the hub, always or on
demand.
"""

from abc import ABC, abstractmethod
from typing import Any, cast

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from zope.interface import implementer

from rtmptw.hub.hub import StreamHub
from rtmptw.hub.stream import Stream
from rtmptw.interfaces import IDemanded, IFrameSource

#: Seconds for which a stream on demand is still pulled after the last player has left,
#: so that reloading a page does not restart the pull.
LINGER_ON_DEMAND = 5.0


@implementer(IFrameSource, IDemanded)
class Pulling(Service, ABC):
    """
    Pulls a stream from somewhere and publishes it here, as long as the service runs, or
    on demand.

    @ivar stream: the stream that gets the frames; C{None} if there is none.
    """

    encoder = "pull"
    isFed = False
    peer: str

    def __init__(
        self, hub: StreamHub, reactor: Any, app: str, name: str, onDemand: bool
    ) -> None:
        """
        @param app: the application of its name here.
        @param name: its name in the application.
        @param onDemand: whether to pull only while there is a player.
        """
        self._hub = hub
        self._reactor = reactor
        self._app = app
        self._name = name
        self._onDemand = onDemand
        self.stream: Stream | None = None
        self._paused = False
        self._lastReceived = 0.0
        self._unwantedTimer: IDelayedCall | None = None

    # To override.

    @abstractmethod
    def _begin(self) -> None:
        """
        Start to pull, unless it is pulling already.
        """

    @abstractmethod
    def _stop(self, reason: str) -> "Deferred[None]":
        """
        Stop pulling.

        @return: fires when all resources are released.
        """

    @abstractmethod
    def _tryLater(self, reason: str) -> None:
        """
        Give up for now, and retry later.
        """

    @abstractmethod
    def _setReading(self, isReading: bool) -> None:
        """
        Stop or resume reading.
        """

    # The service.

    def startService(self) -> None:
        """
        Start to pull, or wait for demand.
        """
        cast(Any, super()).startService()
        if self._onDemand:
            self._hub.addDemanded(self._app, self._name, self)
        else:
            self._begin()

    def stopService(self) -> "Deferred[None]":
        """
        Stop pulling.

        @return: fires when all resources are released.
        """
        cast(Any, super()).stopService()
        if self._onDemand:
            self._hub.removeDemanded(self._app, self._name)
        self._lingerNoMore()
        return self._stop("the pull was stopped")

    # IDemanded.

    def demandBegun(self) -> None:
        """
        There is a player: start to pull.
        """
        self._lingerNoMore()
        self._begin()

    def demandEnded(self) -> None:
        """
        The last player has left: stop to pull after a while.
        """
        self._lingerNoMore()
        self._unwantedTimer = self._reactor.callLater(LINGER_ON_DEMAND, self._unwanted)

    def _unwanted(self) -> None:
        self._unwantedTimer = None
        self._stop("the last player has left")

    def _lingerNoMore(self) -> None:
        if self._unwantedTimer is not None:
            self._unwantedTimer.cancel()
            self._unwantedTimer = None

    # IFrameSource.

    def pauseSource(self) -> None:
        """
        Stop reading.
        """
        self._paused = True
        self._setReading(False)

    def resumeSource(self) -> None:
        """
        Resume reading.
        """
        self._paused = False
        self._lastReceived = self._reactor.seconds()
        self._setReading(True)

    def silentFor(self) -> float:
        """
        @return: seconds since data was last received; 0 while paused.
        """
        if self._paused:
            return 0.0
        return cast(float, self._reactor.seconds() - self._lastReceived)

    def sourceReplaced(self, reason: str) -> None:
        """
        Another source has taken over the stream: retry later.
        """
        self.stream = None
        self._tryLater(reason)

    def _lost(self, reason: str) -> None:
        stream, self.stream = self.stream, None
        if stream is not None:
            self._hub.sourceLost(stream, self, reason)
