"""
The media server as a Twisted service, made from a L{Config}.
"""

import signal
from dataclasses import dataclass, field
from typing import Any, cast

from twisted.application.internet import StreamServerEndpointService
from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Factory
from twisted.logger import Logger

from rtmptw.app.ledgerfile import LedgerFile
from rtmptw.errors import StartError
from rtmptw.hub.stream import SinkReport
from rtmptw.interfaces import (
    IFrameSinkFactory,
    IFrameSourceFactory,
    IStreamAuthorizer,
)
from rtmptw.net.ports import serverEndpoint
from rtmptw.rtmp.serversession import ServerSettings
from rtmptw.rtmpserver.play import PlaySettings
from rtmptw.server import STOP_WITHIN, Server

#: The time limit in seconds for sources to stop and ports to close. A source that takes
#: longer must not use up the sinks' time.
SOURCES_TIMEOUT = 3.0

DEFAULT_PORT = "tcp:1935"


@dataclass(frozen=True, slots=True)
class Config:
    """
    The configuration of a server.

    @ivar ports: endpoint descriptions to listen on.
    @ivar sinks: the sinks' names and factories.
    @ivar settings: settings for all connections.
    @ivar graceTime: how long a stream waits for its publisher to come back, in seconds.
    @ivar graceAfterStop: whether it also waits for a publisher that has stopped, not
        only for one whose connection was lost.
    @ivar gopCache: whether late sinks get the frames since the last key frame.
    @ivar play: settings for players.
    @ivar isPaced: whether sockets are read only every few milliseconds under load.
    @ivar memory: the bytes that all clients together may occupy; 0 is half of the
        machine's memory.
    @ivar ledger: the path of the ledger file; empty for none.
    @ivar manhole: the endpoint description of a Python prompt over SSH; empty for
        none.
    @ivar sources: factories of sources, which publish streams here.
    """

    ports: tuple[str, ...] = (DEFAULT_PORT,)
    sinks: tuple[tuple[str, IFrameSinkFactory], ...] = ()
    settings: ServerSettings = field(default_factory=ServerSettings)
    graceTime: float = 0.0
    graceAfterStop: bool = False
    gopCache: bool = True
    play: PlaySettings = field(default_factory=PlaySettings)
    isPaced: bool = True
    memory: int = 0
    ledger: str = ""
    manhole: str = ""
    sources: tuple[IFrameSourceFactory, ...] = ()


class RTMPService(MultiService):
    """
    The media server.

    @ivar server: the server, for Python programs and the manhole.
    @ivar hub: its streams.
    @ivar factory: its connections.
    """

    _log = Logger()

    def __init__(
        self,
        config: Config,
        reactor: IReactorTime,
        authorizer: IStreamAuthorizer | None = None,
    ) -> None:
        """
        @raise StartError: if the manhole cannot be set up.
        """
        super().__init__()
        self._config = config
        self._reactor: Any = reactor
        self._ledger = LedgerFile(config.ledger) if config.ledger else None
        self.server = Server(
            reactor,
            sinks=config.sinks,
            authorizer=authorizer,
            settings=config.settings,
            play=config.play,
            graceTime=config.graceTime,
            graceAfterStop=config.graceAfterStop,
            gopCache=config.gopCache,
            isPaced=config.isPaced,
            memory=config.memory,
            sinkEnded=self._sinkEnded,
        )
        self.hub = self.server.hub
        self.factory = self.server.factory
        for description in config.ports:
            _PortService(reactor, description, self.factory).setServiceParent(self)
        if config.manhole:
            _PortService(
                reactor, config.manhole, _manhole(self.server)
            ).setServiceParent(self)
        for source in config.sources:
            service = source.buildSource(self.hub, reactor)
            cast(Any, service).setServiceParent(self)

    def startService(self) -> None:
        """
        Start the sinks, then listen.

        @raise SinkError: if a sink cannot start.
        """
        if self._ledger is not None:
            self._ledger.open(self._reactor)
        self.server.start()
        super().startService()
        if not self._config.sinks:
            self._log.warn("no --sink given: streams are accepted but not kept")

    def _sinkEnded(self, report: SinkReport) -> None:
        ledger = report.ledger
        self._log.info(
            "{stream}: {sink} got {delivered} of {received} frames, {bytes} bytes"
            "{dropped}: {ended}{failure}",
            stream=report.stream,
            sink=report.sink,
            delivered=ledger.delivered,
            received=ledger.received,
            bytes=ledger.bytes,
            dropped="".join(
                f", {count} dropped ({reason})"
                for reason, count in sorted(ledger.dropped.items())
            ),
            ended=report.ended,
            failure=f"; {report.failure}" if report.failure else "",
        )
        if self._ledger is not None:
            self._ledger.add(report)

    def stopService(self) -> "Deferred[None]":
        """
        Stop listening, end all streams, and wait until the sinks have finished.
        """
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        stopBy = self._reactor.seconds() + STOP_WITHIN
        sources = maybeDeferred(MultiService.stopService, self)
        if not await self.server.waitFor(
            sources, self._reactor.seconds() + SOURCES_TIMEOUT
        ):
            self._log.error(
                "sources did not stop within {seconds:g} s; stopping the server "
                "without them",
                seconds=SOURCES_TIMEOUT,
            )
        await self.server.end(
            "the server stops", max(0.0, stopBy - self._reactor.seconds())
        )
        if self._ledger is not None:
            closing = Deferred.fromCoroutine(self._ledger.close())
            if not await self.server.waitFor(closing, stopBy):
                self._log.error("ledger: not written completely before the time limit")


def _manhole(server: Server) -> Factory:
    """
    @raise StartError: with one sentence, if the manhole cannot be set up.
    """
    try:
        from rtmptw.app.manhole import manholeFactory
    except ImportError as error:
        raise StartError(
            f"--manhole needs {error.name}: pip install 'twisted[conch]'"
        ) from error
    try:
        return cast(Factory, manholeFactory(lambda: {"server": server}))
    except (OSError, ValueError) as error:
        raise StartError(f"--manhole: no usable host key: {error}") from error


class _PortService(StreamServerEndpointService):
    """
    A port that reports in one sentence why it cannot listen.
    """

    def __init__(self, reactor: Any, description: str, factory: Factory) -> None:
        super().__init__(serverEndpoint(reactor, description), factory)
        self._description = description
        self._raiseSynchronously = True

    def privilegedStartService(self) -> None:
        """
        Listen.

        @raise StartError: with that sentence, if it cannot listen.
        """
        try:
            super().privilegedStartService()
        except Exception as error:
            # Endpoints raise exceptions of many types: CannotListenError,
            # OverflowError, ...
            raise StartError(
                f"cannot listen on {self._description}: {error}"
            ) from error


def exitCleanly(reactor: Any) -> None:
    """
    Stop the reactor on SIGTERM and SIGINT, so that the process exits with status 0
    after a clean stop. (By default, C{twistd} then kills itself with the same signal.)
    """

    def stop(number: int, frame: object) -> None:
        reactor.callFromThread(stopOnce)

    def stopOnce() -> None:
        if reactor.running:
            reactor.stop()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)


def ignoreHangUp(reactor: Any) -> None:
    """
    Log SIGHUP and continue. Other servers reload their configuration on SIGHUP; this
    one does not. By default, the signal would kill the process in the middle of its
    streams. Windows has no such signal.
    """

    def say(number: int, frame: object) -> None:
        # A signal handler interrupts any code, even the log.
        reactor.callFromThread(
            Logger().info,
            "SIGHUP ignored: the server does not reload its configuration; restart it "
            "to apply changes",
        )

    hangUp = getattr(signal, "SIGHUP", None)
    if hangUp is not None:
        signal.signal(hangUp, say)
