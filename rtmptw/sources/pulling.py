"""
What all pulls have in common: a stream of the hub, a service, and demand.
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

#: A stream on demand is still pulled so many seconds after the last viewer has left:
#: somebody who only reloads the page need not wait for it anew.
LINGER_ON_DEMAND = 5.0


@implementer(IFrameSource, IDemanded)
class Pulling(Service, ABC):
    """
    Publishes here what it gets from elsewhere, for as long as it runs, or while that is
    wanted.

    @ivar stream: the stream that it gives its frames; C{None} if there is none.
    """

    encoder = "pull"
    isFed = False
    peer: str

    def __init__(
        self, hub: StreamHub, reactor: Any, app: str, name: str, onDemand: bool
    ) -> None:
        """
        @param app: the application of its name here.
        @param name: its name there.
        @param onDemand: whether to wait until somebody wants to see it.
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

    # What each kind does in its way.

    @abstractmethod
    def _begin(self) -> None:
        """
        Work, if it does not already.
        """

    @abstractmethod
    def _stop(self, reason: str) -> "Deferred[None]":
        """
        Work no more.

        @return: fires when nothing is left of it.
        """

    @abstractmethod
    def _tryLater(self, reason: str) -> None:
        """
        What comes is of no use now.
        """

    @abstractmethod
    def _setReading(self, isReading: bool) -> None:
        """
        Read nothing more, or read on.
        """

    # The service.

    def startService(self) -> None:
        """
        Begin, or wait until it is wanted.
        """
        cast(Any, super()).startService()
        if self._onDemand:
            self._hub.addDemanded(self._app, self._name, self)
        else:
            self._begin()

    def stopService(self) -> "Deferred[None]":
        """
        End.

        @return: fires when nothing is left of it.
        """
        cast(Any, super()).stopService()
        if self._onDemand:
            self._hub.removeDemanded(self._app, self._name)
        self._lingerNoMore()
        return self._stop("the pull stops")

    # IDemanded.

    def demandBegun(self) -> None:
        """
        Somebody wants to see it.
        """
        self._lingerNoMore()
        self._begin()

    def demandEnded(self) -> None:
        """
        Nobody does any more.
        """
        self._lingerNoMore()
        self._unwantedTimer = self._reactor.callLater(LINGER_ON_DEMAND, self._unwanted)

    def _unwanted(self) -> None:
        self._unwantedTimer = None
        self._stop("nobody watches it any more")

    def _lingerNoMore(self) -> None:
        if self._unwantedTimer is not None:
            self._unwantedTimer.cancel()
            self._unwantedTimer = None

    # IFrameSource.

    def pauseSource(self) -> None:
        """
        Read nothing more.
        """
        self._paused = True
        self._setReading(False)

    def resumeSource(self) -> None:
        """
        Read on.
        """
        self._paused = False
        self._lastReceived = self._reactor.seconds()
        self._setReading(True)

    def silentFor(self) -> float:
        """
        @return: the seconds since something came; 0 while we do not read.
        """
        if self._paused:
            return 0.0
        return cast(float, self._reactor.seconds() - self._lastReceived)

    def sourceReplaced(self, reason: str) -> None:
        """
        Somebody else publishes it here now: try again later.
        """
        self.stream = None
        self._tryLater(reason)

    def _lost(self, reason: str) -> None:
        stream, self.stream = self.stream, None
        if stream is not None:
            self._hub.sourceLost(stream, self, reason)
