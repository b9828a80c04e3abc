"""
A real server on loopback for the live tests.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort
from twisted.internet.task import LoopingCall, deferLater

from rtmptw.frames import FrameKind
from rtmptw.hub.stream import SinkReport, Stream
from rtmptw.interfaces import IFrameSinkFactory, IFrameSource, IStreamAuthorizer
from rtmptw.rtmp.serversession import ServerSettings
from rtmptw.rtmpserver.play import PlaySettings
from rtmptw.server import Server
from rtmptw.sinks.file.factory import FileSinkFactory
from rtmptw.sinks.naming import parseRecording
from tests.live.media import Mux
from tests.live.programs import PATIENCE, Program
from tests.live.tls import certificate

#: The root of the checkout.
ROOT = Path(__file__).parents[2]


class PublisherFailed(Exception):
    """
    FFmpeg could not publish. The message is what it wrote to standard error.
    """


class Publisher:
    """
    A process in which FFmpeg publishes.

    @ivar done: fires when the process has ended; fails with L{PublisherFailed}.
    """

    def __init__(self, reactor: Any, mux: Mux) -> None:
        self._program = Program(
            reactor,
            sys.executable,
            "-m",
            "tests.live.publisher",
            json.dumps(asdict(mux)),
            folder=ROOT,
        )
        self.done: Deferred[None] = self._program.done.addCallback(self._ended)

    @property
    def paused(self) -> "Deferred[Any]":
        """
        Fires when the publisher pauses.
        """
        return self._program.says("paused")

    def goOn(self) -> None:
        """
        Continue after a pause.
        """
        self._program.write(b"\n")

    def kill(self) -> None:
        """
        Kill the process, as C{kill -9} does.
        """
        self._program.signal("KILL")

    def _ended(self, status: int) -> None:
        if status != 0:
            raise PublisherFailed(self._program.complaints[-500:])


class LiveServer:
    """
    A server that records every stream, and keeps the final report of every sink.

    @ivar reports: the final reports of the sinks, by stream and sink.
    """

    def __init__(
        self,
        reactor: Any,
        folder: Path,
        others: list[tuple[str, IFrameSinkFactory]] | None = None,
        settings: ServerSettings | None = None,
        graceTime: float = 0.0,
        graceAfterStop: bool = False,
        authorizer: IStreamAuthorizer | None = None,
        arguments: str = "",
        play: PlaySettings | None = None,
        gopCache: bool = True,
        isSecure: bool = False,
    ) -> None:
        """
        @param isSecure: whether to speak TLS.
        """
        self.reactor = reactor
        self.isSecure = isSecure
        self.folder = folder
        files = FileSinkFactory(parseRecording(f"{folder}{arguments}"))
        self.reports: dict[tuple[str, str], SinkReport] = {}
        self.server = Server(
            reactor,
            sinks=[("file", files), *(others or [])],
            authorizer=authorizer,
            settings=settings,
            play=play,
            graceTime=graceTime,
            graceAfterStop=graceAfterStop,
            gopCache=gopCache,
            sinkEnded=self._sinkEnded,
        )
        self.hub = self.server.hub
        self.factory = self.server.factory
        self._port: IListeningPort | None = None

    async def start(self) -> "LiveServer":
        """
        Listen on a free port.
        """
        description = "tcp:0:interface=127.0.0.1"
        if self.isSecure:
            made, key = certificate()
            description = f"ssl:0:interface=127.0.0.1:privateKey={key}:certKey={made}"
        self._port = await self.server.listen(description)
        return self

    @property
    def port(self) -> int:
        """
        The port number.
        """
        assert self._port is not None
        return self._port.getHost().port  # type: ignore[attr-defined, no-any-return]

    def url(self, name: str = "cam", app: str = "live") -> str:
        """
        @return: the URL to publish a stream to, or to play it from.
        """
        if self.isSecure:
            return f"rtmps://localhost:{self.port}/{app}/{name}"
        return f"rtmp://127.0.0.1:{self.port}/{app}/{name}"

    def stream(self, name: str = "live/cam") -> Stream:
        """
        @return: a live stream.
        """
        return self.hub.streams[name]

    def source(self, name: str = "live/cam") -> IFrameSource:
        """
        @return: the source of a live stream.
        """
        source = self.stream(name).source
        assert source is not None
        return source

    def received(self, name: str = "live/cam") -> int:
        """
        @return: the number of audio and video frames that a live stream has received; 0
            if there is no such stream.
        """
        stream = self.hub.streams.get(name)
        if stream is None:
            return 0
        return stream.counts[FrameKind.AUDIO] + stream.counts[FrameKind.VIDEO]

    def _sinkEnded(self, report: SinkReport) -> None:
        self.reports[report.stream, report.sink] = report

    async def until(self, condition: Callable[[], bool]) -> None:
        """
        Check a condition every 5 ms until it is true.

        @raise TimeoutError: if it is not true in time.
        """
        met: Deferred[None] = Deferred()

        def look() -> None:
            if condition() and not met.called:
                met.callback(None)

        looking = LoopingCall(look)
        looking.clock = self.reactor
        stopped = looking.start(0.005)
        try:
            await met.addTimeout(PATIENCE, self.reactor)
        finally:
            looking.stop()
            await stopped

    async def publish(self, mux: Mux) -> None:
        """
        Publish from another process, and wait until it has ended.

        @raise PublisherFailed: if FFmpeg reports an error.
        """
        await Publisher(self.reactor, mux).done

    async def ended(self, name: str = "live/cam", sink: str = "file") -> SinkReport:
        """
        @return: the final report of a sink, once the sink has finished.
        """
        await self.until(lambda: (name, sink) in self.reports)
        return self.reports[name, sink]

    def files(self, name: str = "live/cam", suffix: str = ".flv") -> list[Path]:
        """
        @return: the recordings of a stream, sorted by name.
        """
        return sorted((self.folder / name).glob(f"*{suffix}"))

    async def stop(self) -> None:
        """
        Stop the server, and wait until all connections are closed.
        """
        await self.server.stop("the test is over")
        assert not self.factory.connections
        # Worker threads deliver their last results in the next turn of the reactor.
        await deferLater(self.reactor, 0)
