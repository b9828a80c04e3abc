"""
Tests of L{rtmptw.sources.media}, without a real process.
"""

import json
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from rtmptw._pyav.demuxing import ENDED, FAILED
from rtmptw.backoff import LONGEST_WAIT
from rtmptw.delivery import Delivery, Policy
from rtmptw.flv import file as flvfile
from rtmptw.frames import Frame
from rtmptw.hub.hub import StreamHub
from rtmptw.interfaces import IDemanded, IFrameSource
from rtmptw.plugins.registry import pullFactory, sourceFactory
from rtmptw.sources.media import (
    END_TIMEOUT,
    MAX_LINES,
    MediaPull,
    MediaPullFactory,
)
from rtmptw.sources.pulling import LINGER_ON_DEMAND
from rtmptw.testing import RecordingSink, makeFrames
from tests.hub.test_hub import SinkFactory, Source


class Process:
    """
    The fake of a started process.
    """

    def __init__(
        self, protocol: ProcessProtocol, arguments: tuple[str, ...], environment: Any
    ) -> None:
        self.protocol: Any = protocol
        self.arguments = arguments
        self.environment = environment
        self.pid = 4711
        self.order = b""
        self.calls: list[str] = []

    def write(self, data: bytes) -> None:
        self.order += data

    def closeStdin(self) -> None:
        self.calls.append("closeStdin")

    def signalProcess(self, name: str) -> None:
        self.calls.append(name)

    def loseConnection(self) -> None:
        self.calls.append("loseConnection")

    def pauseProducing(self) -> None:
        self.calls.append("pause")

    def resumeProducing(self) -> None:
        self.calls.append("resume")

    def say(self, frames: list[Frame]) -> None:
        """
        Write media.
        """
        data = flvfile.fileHeader(True, True)
        for frame in frames:
            data += flvfile.tag(frame.kind, frame.timestamp, frame.payload)
        self.protocol.outReceived(data)

    def complain(self, words: str) -> None:
        """
        Write to standard error.
        """
        self.protocol.errReceived(words.encode())

    def end(self, status: int = 0, signal: int | None = None) -> None:
        """
        End the process.
        """
        reason: Exception = (
            ProcessDone(0)
            if status == 0 and signal is None
            else ProcessTerminated(None if signal else status, signal)
        )
        self.protocol.processEnded(Failure(reason))


class Reactor(Clock):
    """
    A reactor that starts fake processes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.processes: list[Process] = []
        self.refuses = False

    def spawnProcess(
        self, protocol: Any, program: str, args: tuple[str, ...], env: Any
    ) -> None:
        if self.refuses:
            raise OSError(11, "Resource temporarily unavailable")
        process = Process(protocol, args, env)
        protocol.transport = process
        self.processes.append(process)


class MediaPullTestCase(SynchronousTestCase):
    """
    A hub, and a log.
    """

    def setUp(self) -> None:
        self.reactor = Reactor()
        self.factory = SinkFactory(Delivery(Policy.LOSSLESS, maxFrames=10))
        self.hub = StreamHub(self.reactor, [("record", self.factory)])
        self.said: list[str] = []
        globalLogPublisher.addObserver(cast(ILogObserver, self._observe))
        self.addCleanup(
            globalLogPublisher.removeObserver, cast(ILogObserver, self._observe)
        )

    def _observe(self, event: Any) -> None:
        if event["log_namespace"].endswith("MediaPull"):
            self.said.append(formatEvent(event))

    def pull(
        self, url: str = "rtsp://me:secret@camera/1?key=2", onDemand: bool = False
    ) -> MediaPull:
        """
        @return: a started pull.
        """
        pull = MediaPull(
            self.hub, self.reactor, url, "live", "cam", onDemand, random=lambda: 0.0
        )
        pull.startService()
        return pull

    @property
    def process(self) -> Process:
        """
        The last process.
        """
        return self.reactor.processes[-1]

    @property
    def sink(self) -> Any:
        """
        The sink of the last stream.
        """
        return self.factory.sinks[-1]


class MediaPullTests(MediaPullTestCase):
    """
    A pull that is always on.
    """

    def test_interfaces(self) -> None:
        """
        It is a source, on demand or not.
        """
        pull = self.pull()
        self.assertTrue(verifyObject(IFrameSource, pull))
        self.assertTrue(verifyObject(IDemanded, pull))

    def test_secrets(self) -> None:
        """
        The secrets in a URL are neither in the process's arguments nor in the log.
        """
        pull = self.pull()
        self.assertNotIn("camera", " ".join(self.process.arguments))
        self.assertEqual(
            json.loads(self.process.order),
            {"url": "rtsp://me:secret@camera/1?key=2", "loop": False},
        )
        self.assertEqual(self.process.calls, ["closeStdin"])
        self.assertEqual(pull.peer, "rtsp://camera/1")
        self.process.complain("no answer\n")
        self.process.end(FAILED)
        self.assertEqual(
            self.said,
            [
                "live/cam: pull from rtsp://camera/1: no answer; retrying, "
                "after 1 s at first, then up to 30 s"
            ],
        )

    def test_frames(self) -> None:
        """
        All that the process writes is published, from the first frame on.
        """
        self.pull()
        self.assertEqual(dict(self.hub.streams), {})
        frames = makeFrames()
        self.process.say(frames)
        self.assertEqual(
            [(frame.timestamp, frame.payload) for frame in self.sink.frames],
            [(frame.timestamp, frame.payload) for frame in frames],
        )
        self.assertEqual(self.sink.stream.encoder, "pull")
        self.assertEqual(self.sink.stream.peer, "rtsp://camera/1")

    def test_aFileEnds(self) -> None:
        """
        The stream ends, and the pull does not restart.
        """
        self.pull("film.mp4")
        self.process.say(makeFrames())
        self.process.end()
        self.assertEqual(self.sink.ended, ["end of file"])
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertIn("end of file after", self.said[-1])

    def test_aCameraEnds(self) -> None:
        """
        It is retried with a growing delay, which is logged once.
        """
        self.pull()
        self.process.say(makeFrames())
        self.process.end(ENDED)
        self.assertEqual(self.sink.ended, ["FFmpeg's process ended"])
        waits = []
        for count in range(2, 10):
            (call,) = self.reactor.getDelayedCalls()
            waits.append(call.getTime() - self.reactor.seconds())
            self.reactor.advance(waits[-1])
            self.assertEqual(len(self.reactor.processes), count)
            self.process.complain("FFmpeg cannot read it: No route to host\n")
            self.process.end(FAILED)
        self.assertEqual(waits, [1, 2, 4, 8, 16, LONGEST_WAIT, LONGEST_WAIT, 30])
        self.assertEqual(len(self.said), len(set(self.said)))
        self.assertLess(len(self.said), 5)

    def test_afterAGoodLife(self) -> None:
        """
        It is retried soon.
        """
        self.pull()
        for _ in range(3):
            self.process.end(FAILED)
            self.reactor.advance(60)
        self.process.say(makeFrames())
        self.reactor.advance(60)
        self.process.end(ENDED)
        (call,) = self.reactor.getDelayedCalls()
        self.assertEqual(call.getTime() - self.reactor.seconds(), 1)

    def test_aCrash(self) -> None:
        """
        A crash of FFmpeg affects nothing else.
        """
        self.pull()
        self.process.say(makeFrames())
        self.process.end(signal=11)
        self.assertEqual(self.sink.ended, ["FFmpeg's process was killed by signal 11"])
        self.assertEqual(len(self.reactor.getDelayedCalls()), 1)

    def test_noFLV(self) -> None:
        """
        The process's output is validated.
        """
        self.pull()
        self.process.protocol.outReceived(b"Traceback (most recent call last)")
        self.assertEqual(self.process.calls[-2:], ["KILL", "loseConnection"])
        self.process.end(signal=9)
        self.assertIn("wrote invalid FLV", self.said[-1])

    def test_aTrackIsLeftOut(self) -> None:
        """
        The process logs it; its end has another reason.
        """
        self.pull("film.mkv")
        self.process.complain("its audio is left out\n")
        self.process.say(makeFrames())
        self.assertEqual(
            self.said, ["live/cam: pull from film.mkv: its audio is left out"]
        )
        self.process.end()
        self.assertEqual(self.sink.ended, ["end of file"])

    def test_manyComplaints(self) -> None:
        """
        Not all error messages are logged.
        """
        self.pull()
        for number in range(100):
            self.process.complain(f"{number}" * 1000 + "\n")
        self.assertEqual(len(self.said), MAX_LINES)
        self.assertLess(max(map(len, self.said)), 600)

    def test_noProcess(self) -> None:
        """
        If no process can be started, the pull retries.
        """
        self.reactor.refuses = True
        self.pull()
        self.assertIn("cannot start a process", self.said[-1])
        self.reactor.refuses = False
        self.reactor.advance(1)
        self.assertEqual(len(self.reactor.processes), 1)

    def test_backpressure(self) -> None:
        """
        While a sink is full, the process's output is not read.
        """
        pull = self.pull()
        frames = makeFrames()
        self.process.say(frames[:1])
        self.sink.producer.pauseProducing()
        for frame in frames[1:]:
            data = flvfile.tag(frame.kind, frame.timestamp, frame.payload)
            self.process.protocol.outReceived(data)
        self.assertEqual(self.process.calls[-1], "pause")
        self.reactor.advance(5)
        self.assertEqual(pull.silentFor(), 0)
        self.sink.producer.resumeProducing()
        self.assertEqual(self.process.calls[-1], "resume")
        self.assertEqual(len(self.sink.frames), len(frames))
        self.reactor.advance(5)
        self.assertEqual(pull.silentFor(), 5)

    def test_stop(self) -> None:
        """
        The stream ends, and the process is killed and waited for.
        """
        pull = self.pull()
        self.process.say(makeFrames())
        stopped = pull.stopService()
        self.assertEqual(self.sink.ended, ["the pull was stopped"])
        self.assertEqual(self.process.calls[-2:], ["KILL", "loseConnection"])
        self.assertNoResult(stopped)
        self.process.end(signal=9)
        self.successResultOf(stopped)
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertIsNone(pull.pid)

    def test_stopWhatCannotBeKilled(self) -> None:
        """
        The pull does not wait for it for ever.
        """
        stopped = self.pull().stopService()
        self.reactor.advance(END_TIMEOUT)
        self.successResultOf(stopped)
        self.process.end(signal=9)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_stopWhileItWaits(self) -> None:
        """
        No timer is left.
        """
        pull = self.pull()
        self.process.end(FAILED)
        self.successResultOf(pull.stopService())
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_nameTaken(self) -> None:
        """
        It is logged, and the pull retries.
        """
        self.hub.publish("live", "cam", Source(self.reactor))
        self.pull()
        self.process.say(makeFrames())
        self.assertEqual(self.process.calls[-2:], ["KILL", "loseConnection"])
        self.process.say(makeFrames())
        self.process.end(signal=9)
        self.assertIn("it cannot be published here: live/cam is", self.said[-1])
        self.assertEqual(self.sink.frames, [])
        self.assertEqual(len(self.reactor.getDelayedCalls()), 1)

    def test_takenOver(self) -> None:
        """
        It is logged, and the pull retries.
        """
        self.pull()
        self.process.say(makeFrames())
        self.hub.end("live/cam", "ended by hand")
        self.process.end(signal=9)
        self.assertIn("ended by hand", self.said[-1])
        self.reactor.advance(1)
        self.assertEqual(len(self.reactor.processes), 2)


class OnDemandTests(MediaPullTestCase):
    """
    A pull on demand.
    """

    def want(self) -> "Deferred[Any]":
        """
        Request the stream.
        """
        wanted = self.hub.whenPublished("live", "cam")
        wanted.addErrback(lambda failure: None)
        return wanted

    def test_demand(self) -> None:
        """
        The pull starts with the first player and stops a while after the last has left.
        """
        pull = self.pull(onDemand=True)
        self.assertEqual(self.reactor.processes, [])
        self.want()
        self.process.say(makeFrames())
        viewer = self.hub.streams["live/cam"].attach("player", RecordingSink(), True)
        self.reactor.advance(60)
        self.assertEqual(len(self.hub.streams), 1)
        viewer.detach("gone")
        self.reactor.advance(LINGER_ON_DEMAND - 1)
        self.assertEqual(len(self.hub.streams), 1)
        self.reactor.advance(1)
        self.assertEqual(dict(self.hub.streams), {})
        self.assertEqual(self.process.calls[-2:], ["KILL", "loseConnection"])
        self.process.end(signal=9)
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        # Another player comes.
        self.want()
        self.assertEqual(len(self.reactor.processes), 2)
        pull.stopService()
        self.process.end(signal=9)

    def test_cameBackInTime(self) -> None:
        """
        For a player that only reloads the page, the pull continues.
        """
        self.pull(onDemand=True)
        self.want().cancel()
        self.reactor.advance(LINGER_ON_DEMAND - 1)
        self.want()
        self.reactor.advance(60)
        self.assertEqual(len(self.reactor.processes), 1)
        self.assertEqual(self.process.calls, ["closeStdin"])

    def test_wantedWhileItEnds(self) -> None:
        """
        The next process starts when the last one has ended.
        """
        self.pull(onDemand=True)
        self.want().cancel()
        self.reactor.advance(LINGER_ON_DEMAND)
        self.want()
        self.assertEqual(len(self.reactor.processes), 1)
        self.process.end(signal=9)
        self.assertEqual(len(self.reactor.processes), 2)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_aFileForTheNextViewer(self) -> None:
        """
        A file that has ended is played again for the next player.
        """
        self.pull("film.mp4", onDemand=True)
        self.want()
        self.process.say(makeFrames())
        self.process.end()
        self.assertEqual(dict(self.hub.streams), {})
        self.want()
        self.assertEqual(len(self.reactor.processes), 2)


class PullOptionTests(SynchronousTestCase):
    """
    C{--pull=FILE}.
    """

    def test_loop(self) -> None:
        """
        The option applies to files; RTMP has no such option.
        """
        reactor = Reactor()
        factory = pullFactory("film.mp4=live/film#loop=1")
        self.assertEqual(
            factory, MediaPullFactory("film.mp4", "live", "film", loop=True)
        )
        self.assertEqual(factory.stream, "live/film")
        service: Any = factory.buildSource(StreamHub(reactor), reactor)
        self.assertIsInstance(service, MediaPull)
        service.startService()
        (process,) = reactor.processes
        self.assertEqual(json.loads(process.order), {"url": "film.mp4", "loop": True})
        for wrong in ("rtmp://h/live/film#loop=1", "film.mp4=live/film#loop=yes"):
            self.assertRaises(UsageError, pullFactory, wrong)
        error = self.assertRaises(UsageError, pullFactory, "film.mp4=a/b#lop=1")
        self.assertEqual(
            str(error),
            "The media source has no option 'lop', only as=APP/NAME, demand=0|1, "
            "loop=0|1; did you mean 'loop'?",
        )

    def test_withoutALoop(self) -> None:
        """
        A file is published once.
        """
        reactor = Reactor()
        for text in ("film.mp4=live/film", "film.mp4=live/film#loop=0"):
            service: Any = pullFactory(text).buildSource(StreamHub(reactor), reactor)
            service.startService()
            order = json.loads(reactor.processes[-1].order)
            self.assertEqual(order, {"url": "film.mp4", "loop": False})

    def test_aNumberSignInAPath(self) -> None:
        """
        In anything but a URL the last number sign begins the options.
        """
        factory = pullFactory("film#1.mp4=live/film#loop=1")
        self.assertEqual(
            factory, MediaPullFactory("film#1.mp4", "live", "film", loop=True)
        )

    def test_source(self) -> None:
        """
        C{--source=media:...} is the same.
        """
        self.assertEqual(
            sourceFactory("media:rtsp://h:554/x/cam#as=live/a&demand=1&loop=1"),
            MediaPullFactory("rtsp://h:554/x/cam", "live", "a", True, True),
        )
        self.assertEqual(
            sourceFactory("media:rtsp://h/x/cam"),
            MediaPullFactory("rtsp://h/x/cam", "x", "cam"),
        )
