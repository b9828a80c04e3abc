"""
Tests of the server as a service.
"""

import json
import os
import signal
import tempfile
from queue import Queue
from typing import Any
from unittest import mock

from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from rtmptw.app.ledgerfile import LedgerFile, toJSON
from rtmptw.app.service import (
    SOURCES_TIMEOUT,
    Config,
    RTMPService,
    ignoreHangUp,
)
from rtmptw.errors import SinkError
from rtmptw.frames import StreamInfo
from rtmptw.hub.ledger import Ledger
from rtmptw.hub.stream import SinkReport
from rtmptw.interfaces import IFrameSink, IFrameSourceFactory
from rtmptw.plugins.sink import FrameSinkFactory
from rtmptw.rtmp.serversession import ServerSettings
from rtmptw.rtmpserver.factory import RTMPFactory
from rtmptw.rtmpserver.play import PlaySettings
from rtmptw.server import STOP_WITHIN
from rtmptw.testing import RecordingSink
from tests.hub import test_hub as hubtests
from tests.rtmpserver.test_protocol import Connection


class Factory(FrameSinkFactory):
    """
    A sink factory that records its calls.
    """

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.sink = RecordingSink()
        self.stopped: Deferred[None] | None = None

    def startFactory(self, reactor: object) -> None:
        self.calls.append(reactor)

    def buildSink(self, stream: StreamInfo) -> IFrameSink | None:
        self.calls.append(stream.name)
        return self.sink

    def stopFactory(self) -> "Deferred[None] | None":
        self.calls.append("stop")
        return self.stopped


class BrokenFactory(FrameSinkFactory):
    """
    A sink factory that cannot start.
    """

    def startFactory(self, reactor: object) -> None:
        raise SinkError("the disk is not there")

    def buildSink(self, stream: StreamInfo) -> IFrameSink | None:
        raise AssertionError("it has not started")


@implementer(IFrameSourceFactory)
class Source(Service):
    """
    A source and its factory, which record their calls.
    """

    stream = "live/cam"

    def __init__(self, calls: list[Any], trouble: Exception | None = None) -> None:
        self.calls = calls
        self.trouble = trouble
        self.stopped: Deferred[None] = Deferred()

    def buildSource(self, hub: Any, reactor: Any) -> IService:
        self.hub = hub
        self.reactor = reactor
        return self

    def startService(self) -> None:
        if self.trouble is not None:
            raise self.trouble
        self.calls.append("source starts")

    def stopService(self) -> "Deferred[None]":
        self.calls.append("source stops")
        return self.stopped


class ServiceTests(SynchronousTestCase):
    """
    The service, from start to stop.
    """

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.sinks = Factory()

    def start(self, **config: Any) -> RTMPService:
        """
        @return: a started service.
        """
        service = RTMPService(
            Config(sinks=(("test", self.sinks),), **config), self.reactor
        )
        service.startService()
        return service

    def test_listens(self) -> None:
        """
        The service listens on every configured port.
        """
        self.start(ports=("tcp:1935:interface=127.0.0.1", "unix:/tmp/rtmp.sock"))
        ((port, factory, _, interface),) = self.reactor.tcpServers
        self.assertEqual((port, interface), (1935, "127.0.0.1"))
        ((path, other, *_),) = self.reactor.unixServers
        self.assertEqual(path, "/tmp/rtmp.sock")
        self.assertIs(factory, other)

    def test_startsSinksOnce(self) -> None:
        """
        A sink factory is started once, then builds a sink per stream, and is stopped at
        the end.
        """
        service = self.start()
        connection = Connection(service.factory)
        connection.publish()
        done = service.stopService()
        connection.lose()
        self.successResultOf(done)
        self.assertEqual(self.sinks.calls, [self.reactor, "live/cam", "stop"])
        self.assertEqual(self.sinks.sink.ended, ["the server stops"])

    def test_aSinkThatCannotStart(self) -> None:
        """
        If a sink cannot start, the server does not start.
        """
        service = RTMPService(
            Config(sinks=(("broken", BrokenFactory()),)), self.reactor
        )
        with self.assertRaises(SinkError):
            service.startService()

    def test_settingsReachConnections(self) -> None:
        """
        The session settings apply to each connection.
        """
        service = self.start(settings=ServerSettings(handshakeTimeout=1.0))
        connection = Connection(service.factory)
        self.reactor.advance(1.1)
        self.assertTrue(connection.transport.disconnecting)
        connection.lose()

    def test_graceAndCacheReachTheHub(self) -> None:
        """
        The grace time and C{gopCache} apply to the hub.
        """
        service = self.start(graceTime=5.0, gopCache=False)
        connection = Connection(service.factory)
        connection.publish()
        connection.frame()
        late = RecordingSink()
        service.hub.streams["live/cam"].attach("late", late)
        self.assertEqual(late.frames, [])
        connection.lose()
        self.assertEqual(list(service.hub.streams), ["live/cam"])
        self.reactor.advance(5.1)
        self.assertEqual(list(service.hub.streams), [])

    def test_graceAfterAStop(self) -> None:
        """
        A publisher that ends its stream with a command ends it at once, unless the
        configuration sets the grace time for that too.
        """
        for waits in (False, True):
            for stop in ("FCUnpublish", "closeStream", "deleteStream"):
                service = self.start(graceTime=5.0, graceAfterStop=waits)
                connection = Connection(service.factory)
                connection.publish()
                values = (1.0,) if stop == "deleteStream" else ("cam",)
                streamID = int(stop == "closeStream")
                connection.client.command(stop, 0.0, None, *values, streamID=streamID)
                self.assertEqual(list(service.hub.streams), ["live/cam"] * waits)
                self.reactor.advance(5.1)
                self.assertEqual(list(service.hub.streams), [])
                connection.lose()

    def test_waitsForSinksAtTheEnd(self) -> None:
        """
        The stop waits until the sinks and their factories have finished.
        """
        service = self.start()
        connection = Connection(service.factory)
        connection.publish()
        self.sinks.sink.finished = Deferred()
        self.sinks.stopped = Deferred()
        done = service.stopService()
        connection.lose()
        self.assertNoResult(done)
        self.sinks.sink.finished.callback(None)
        self.assertNoResult(done)
        self.sinks.stopped.callback(None)
        self.successResultOf(done)

    def test_butNotForEver(self) -> None:
        """
        The stop does not wait longer than its time limit for a sink, for example one on
        a dead disk.
        """
        service = self.start()
        connection = Connection(service.factory)
        connection.publish()
        self.sinks.sink.finished = Deferred()
        done = service.stopService()
        connection.lose()
        self.sinks.stopped = Deferred()
        self.reactor.advance(STOP_WITHIN - 0.1)
        self.assertNoResult(done)
        self.reactor.advance(0.2)
        # The time limit is common to all; later ones do not get extra time.
        self.reactor.advance(0)
        self.successResultOf(done)

    def test_whatViewersGetReachesThem(self) -> None:
        """
        The play settings, whether sockets are read in turns, and the memory limit reach
        the connections' factory.
        """
        play = PlaySettings(waits=False, merge=0.5)
        with mock.patch.object(
            RTMPFactory, "__init__", autospec=True, side_effect=RTMPFactory.__init__
        ) as made:
            self.start(play=play, isPaced=False, memory=5)
            self.start()
        self.assertEqual(
            [call.args[4:] for call in made.call_args_list],
            [(play, False, 5), (PlaySettings(), True, 0)],
        )

    def test_sources(self) -> None:
        """
        A source starts after the sinks, and stops before their streams end.
        """
        source = Source(self.sinks.calls)
        service = self.start(sources=(source,))
        self.assertEqual(self.sinks.calls, [self.reactor, "source starts"])
        self.assertEqual((source.hub, source.reactor), (service.hub, self.reactor))
        service.hub.publish("live", "cam", hubtests.Source(Clock()))
        done = service.stopService()
        self.assertNoResult(done)
        self.assertEqual(self.sinks.calls[2:], ["live/cam", "source stops"])
        self.assertEqual(self.sinks.sink.ended, [])
        source.stopped.callback(None)
        self.successResultOf(done)
        self.assertEqual(self.sinks.sink.ended, ["the server stops"])

    def test_aSourceThatDoesNotStop(self) -> None:
        """
        A source that does not stop leaves the sinks enough time to finish.
        """
        source = Source([])
        service = self.start(sources=(source,))
        service.hub.publish("live", "cam", hubtests.Source(Clock()))
        done = service.stopService()
        self.reactor.advance(SOURCES_TIMEOUT - 0.1)
        self.assertEqual(self.sinks.sink.ended, [])
        with capturedLogs() as events:
            self.reactor.advance(0.2)
        self.assertEqual(self.sinks.sink.ended, ["the server stops"])
        self.successResultOf(done)
        self.assertIn(
            "sources did not stop within 3 s; stopping the server without them",
            [formatEvent(event) for event in events],
        )

    def test_aSourceThatCannotStart(self) -> None:
        """
        If a source cannot start, the server does not start.
        """
        source = Source([], SinkError("there are no certificates"))
        error = self.assertRaises(SinkError, self.start, sources=(source,))
        self.assertEqual(str(error), "there are no certificates")

    def test_anErrorAtTheEnd(self) -> None:
        """
        If a factory cannot stop, the error is logged, and the stop continues.
        """
        service = self.start()
        self.sinks.stopped = fail(RuntimeError("stuck"))
        self.successResultOf(service.stopService())
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_idleConnectionsAreClosed(self) -> None:
        """
        Connections that publish nothing are closed at the stop.
        """
        service = self.start()
        connection = Connection(service.factory)
        self.successResultOf(service.stopService())
        self.assertTrue(connection.transport.disconnecting)
        connection.lose()


class SignalTests(SynchronousTestCase):
    """
    Signals sent to the process.
    """

    def test_withoutHangUp(self) -> None:
        """
        On Windows, which has no SIGHUP, no handler is installed.
        """

        class Windows:
            SIGTERM = signal.SIGTERM

        before = signal.getsignal(signal.SIGHUP)
        with mock.patch("rtmptw.app.service.signal", Windows):
            ignoreHangUp(MemoryReactorClock())
        self.assertIs(signal.getsignal(signal.SIGHUP), before)


class ThreadlessReactor(MemoryReactorClock):
    """
    A reactor that runs calls from threads one at a time.
    """

    def __init__(self) -> None:
        super().__init__()
        self._waiting: Queue[tuple[Any, Any, Any]] = Queue()

    def callFromThread(self, function: Any, *args: Any, **kwargs: Any) -> None:
        self._waiting.put((function, args, kwargs))

    def turn(self) -> None:
        """
        Wait for the next call, and run it.
        """
        function, args, kwargs = self._waiting.get(timeout=60)
        function(*args, **kwargs)


class LedgerFileTests(SynchronousTestCase):
    """
    The ledger file has one JSON object per line.
    """

    def report(self, name: str = "live/cam") -> SinkReport:
        """
        @return: the final report of a sink.
        """
        ledger = Ledger()
        ledger.received = 12
        ledger.delivered = 10
        ledger.drop("too-slow", 2)
        ledger.bytes = 1000
        ledger.firstTimestamp = 0
        ledger.lastTimestamp = 400
        return SinkReport(name, "file", ledger, {"back": 1}, "unpublished", "")

    def test_line(self) -> None:
        """
        A line has all fields of a report.
        """
        self.assertEqual(
            json.loads(toJSON(self.report())),
            {
                "stream": "live/cam",
                "sink": "file",
                "received": 12,
                "delivered": 10,
                "dropped": {"too-slow": 2},
                "bytes": 1000,
                "firstTimestamp": 0,
                "lastTimestamp": 400,
                "repairs": {"back": 1},
                "ended": "unpublished",
                "failure": "",
            },
        )

    def test_appends(self) -> None:
        """
        Lines are appended to the file in order, each once.
        """
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "ledger")
            for turn in range(2):
                reactor = ThreadlessReactor()
                file = LedgerFile(path)
                file.open(reactor)
                for number in range(3):
                    file.add(self.report(f"live/{turn}{number}"))
                done = Deferred.fromCoroutine(file.close())
                while not done.called:
                    reactor.turn()
                self.successResultOf(done)
            with open(path) as lines:
                names = [json.loads(line)["stream"] for line in lines]
        self.assertEqual(names, [f"live/{t}{n}" for t in range(2) for n in range(3)])

    def test_cannotBeWritten(self) -> None:
        """
        A ledger file that cannot be written is an error at the start.
        """
        with self.assertRaises(SinkError) as caught:
            LedgerFile("/nowhere/at/all").open(ThreadlessReactor())
        self.assertIn("/nowhere/at/all", str(caught.exception))
