"""
Tests of RTMP pulls.
"""

import tempfile
from pathlib import Path
from typing import Any

from twisted.application.service import IService
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from rtmptw.app.options import Options
from rtmptw.app.service import RTMPService
from rtmptw.delivery import Delivery, Policy
from rtmptw.errors import SinkError
from rtmptw.hub.hub import STALE_SECONDS, StreamHub
from rtmptw.interfaces import IDemanded, IFrameSource, IFrameSourceFactory
from rtmptw.plugins.registry import pullFactory, sourceFactory
from rtmptw.rtmp.patience import SILENCE_TIMEOUT
from rtmptw.rtmpclient.pull import END_TIMEOUT, RTMPPull, RTMPPullFactory
from rtmptw.rtmpclient.reconnector import IReconnectorUser
from rtmptw.sources.media import MediaPull, MediaPullFactory
from rtmptw.sources.pulling import LINGER_ON_DEMAND
from rtmptw.testing import RecordingSink, makeFrames, videoFrame
from tests.hub.test_hub import SinkFactory, Source
from tests.rtmp.scripted import data
from tests.rtmp.test_states import MALFORMED, playEnds
from tests.rtmpclient.test_protocol import Connection, Endpoint

URL = "rtmp://example.com/live/there"


class PullTestCase(SynchronousTestCase):
    """
    A hub and a server to pull from.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.endpoint = Endpoint()
        self.sinks = SinkFactory()
        self.hub = StreamHub(self.clock, [("sink", self.sinks)])

    def start(self, onDemand: bool = False) -> RTMPPull:
        self.pull = RTMPPull(
            self.hub,
            self.clock,
            URL,
            "live",
            "cam",
            onDemand,
            endpointFor=lambda reactor, target, trustRoot: self.endpoint.forTarget(
                target
            ),
        )
        self.pull.startService()
        return self.pull

    def send(self, connection: Connection, frames: list[Any]) -> None:
        for frame in frames:
            connection.message(frame.kind, frame.payload, timestamp=frame.timestamp)

    def stop(self) -> None:
        stopped = self.pull.stopService()
        if self.endpoint.tries == 0 and self.connection is not None:
            self.connection.lose()
        self.successResultOf(stopped)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    connection: Connection | None = None

    def accept(self) -> Connection:
        self.connection = self.endpoint.accept()
        self.connection.start()
        return self.connection


class PermanentTests(PullTestCase):
    """
    Pulls of C{--pull}.
    """

    def test_interfaces(self) -> None:
        """
        A pull provides its interfaces.
        """
        pull = self.start()
        for interface in (IFrameSource, IDemanded, IReconnectorUser, IService):
            self.assertTrue(verifyObject(interface, pull))
        self.stop()

    def test_frames(self) -> None:
        """
        The stream is published here with its first frame, and has every frame.
        """
        self.start()
        connection = self.accept()
        self.assertEqual(connection.names()[-1], "play")
        self.assertEqual(dict(self.hub.streams), {})
        self.assertTrue(self.pull.isConnected)
        frames = makeFrames()
        self.send(connection, frames)
        stream = self.hub.streams["live/cam"]
        self.assertEqual(stream.info.peer, "rtmp://example.com/live")
        (sink,) = self.sinks.sinks
        self.assertEqual(
            [(f.kind, f.timestamp, f.payload) for f in sink.frames],
            [(f.kind, f.timestamp, f.payload) for f in frames],
        )
        self.stop()
        self.assertEqual(sink.ended, ["the pull was stopped"])

    def test_ends(self) -> None:
        """
        When the stream ends on the server it ends here, and the pull connects again.
        """
        self.start()
        connection = self.accept()
        self.send(connection, makeFrames())
        connection.status("NetStream.Play.UnpublishNotify")
        connection.lose()
        self.assertFalse(self.pull.isConnected)
        (sink,) = self.sinks.sinks
        (reason,) = sink.ended
        self.assertIn("the server ended the stream", reason)
        self.clock.advance(1.3)
        connection = self.accept()
        self.send(connection, makeFrames())
        self.assertEqual(len(self.sinks.sinks), 2)
        self.stop()

    def test_endsWithNonsense(self) -> None:
        """
        A server that sends a malformed chunk together with the end of the stream is
        asked again as usual.
        """
        self.start()
        connection = self.accept()
        self.send(connection, makeFrames())
        connection.send(playEnds(connection) + MALFORMED[0])
        self.assertTrue(connection.isClosing)
        connection.lose()
        (sink,) = self.sinks.sinks
        (reason,) = sink.ended
        self.assertIn("the server ended the stream", reason)
        self.clock.advance(1.3)
        connection = self.accept()
        self.send(connection, makeFrames())
        self.assertEqual(len(self.sinks.sinks), 2)
        self.stop()

    def test_grace(self) -> None:
        """
        Within the grace time, a pull that reconnects continues its stream.
        """
        self.hub = StreamHub(self.clock, [("sink", self.sinks)], graceTime=60)
        self.start()
        self.send(self.accept(), makeFrames())
        assert self.connection is not None
        self.connection.lose()
        self.clock.advance(1.3)
        self.send(self.accept(), makeFrames())
        (sink,) = self.sinks.sinks
        self.assertEqual(len(sink.frames), 2 * len(makeFrames()))
        self.pull.stopService()
        self.connection.lose()
        self.hub.shutdown("enough")
        self.assertEqual(len(sink.ended), 1)

    def test_headerCleared(self) -> None:
        """
        Clearing a header works before the stream is published here and after.
        """
        self.start()
        connection = self.accept()
        clear = data("@clearDataFrame", "onMetaData")
        connection.message(18, clear)
        connection.message(18, data("onMetaData"))
        self.assertEqual(len(self.hub.streams["live/cam"].headers.frames()), 1)
        connection.message(18, clear)
        self.assertEqual(self.hub.streams["live/cam"].headers.frames(), [])
        self.stop()

    def test_taken(self) -> None:
        """
        If the stream is already published here, its publisher is not affected, and the
        pull tries again.
        """
        source = Source(self.clock)
        stream = self.hub.publish("live", "cam", source)
        self.start()
        connection = self.accept()
        self.send(connection, makeFrames()[:3])
        self.assertTrue(connection.isClosing)
        connection.lose()
        self.assertIs(stream.source, source)
        self.assertEqual(source.calls, [])
        self.hub.sourceLost(stream, source, "gone")
        self.clock.advance(1.3)
        self.send(self.accept(), makeFrames())
        self.assertIs(self.hub.streams["live/cam"].source, self.pull)
        self.stop()

    def test_takenOver(self) -> None:
        """
        If the pull is silent, another publisher can take over the stream and keeps it.
        """
        self.start()
        connection = self.accept()
        self.send(connection, makeFrames())
        self.clock.advance(STALE_SECONDS + 0.1)
        self.assertEqual(self.pull.silentFor(), STALE_SECONDS + 0.1)
        source = Source(self.clock)
        stream = self.hub.publish("live", "cam", source)
        self.assertTrue(connection.isClosing)
        self.send(connection, makeFrames())
        connection.lose()
        self.assertIs(stream.source, source)
        self.assertEqual(self.sinks.sinks[0].ended, [])
        self.stop()
        self.hub.shutdown("enough")

    def test_pressure(self) -> None:
        """
        A lossless sink that is full pauses the reading, which does not count as
        silence.
        """
        self.sinks = SinkFactory(Delivery(Policy.LOSSLESS, 0, 100, 0))
        self.hub = StreamHub(self.clock, [("sink", self.sinks)])
        self.start()
        connection = self.accept()
        self.send(connection, makeFrames()[:3])
        (sink,) = self.sinks.sinks
        assert sink.producer is not None
        sink.producer.pauseProducing()
        self.send(connection, makeFrames()[3:20])
        self.assertEqual(connection.transport.producerState, "paused")
        self.clock.advance(SILENCE_TIMEOUT * 2)
        self.assertEqual(self.pull.silentFor(), 0.0)
        sink.producer.resumeProducing()
        self.assertEqual(connection.transport.producerState, "producing")
        self.assertEqual(self.pull.silentFor(), 0.0)
        self.assertFalse(connection.isClosing)
        self.stop()

    def test_silence(self) -> None:
        """
        A server that falls silent is disconnected, and the stream ends.
        """
        self.start()
        connection = self.accept()
        self.send(connection, makeFrames()[:3])
        self.clock.advance(SILENCE_TIMEOUT)
        self.assertTrue(connection.isClosing)
        connection.lose()
        self.assertEqual(len(self.sinks.sinks[0].ended), 1)
        self.stop()

    def test_stopInTime(self) -> None:
        """
        A server that does not close delays the stop only until the time limit.
        """
        self.start()
        connection = self.accept()
        self.send(connection, makeFrames())
        stopped = self.pull.stopService()
        connection.hear()
        self.assertEqual(connection.names()[-1], "deleteStream")
        self.assertEqual(len(self.sinks.sinks[0].ended), 1)
        self.assertNoResult(stopped)
        self.clock.advance(END_TIMEOUT)
        self.successResultOf(stopped)

    def test_hubCloses(self) -> None:
        """
        When the hub shuts down, the pull closes its connection.
        """
        self.start()
        connection = self.accept()
        self.send(connection, makeFrames())
        self.hub.shutdown("enough")
        self.assertTrue(connection.isClosing)
        self.send(connection, makeFrames())
        connection.lose()
        self.stop()


class OnDemandTests(PullTestCase):
    """
    Pulls of C{--pull-on-demand}.
    """

    def test_demand(self) -> None:
        """
        The pull begins when the first player asks, and ends some time after the last
        has left.
        """
        self.start(onDemand=True)
        self.clock.advance(60)
        self.assertEqual(self.endpoint.targets, [])
        self.assertTrue(self.hub.isOnDemand("live", "cam"))
        waiting = self.hub.whenPublished("live", "cam")
        self.assertEqual(self.endpoint.tries, 1)
        connection = self.accept()
        self.assertNoResult(waiting)
        streams: list[Any] = []
        viewer = RecordingSink()
        waiting.addCallback(
            lambda stream: streams.append(stream.attach("viewer", viewer, viewer=True))
        )
        self.send(connection, makeFrames())
        self.assertEqual(len(viewer.frames), len(makeFrames()))
        (outlet,) = streams
        outlet.detach("gone")
        self.clock.advance(LINGER_ON_DEMAND - 0.1)
        self.assertIn("live/cam", self.hub.streams)
        # Another player comes in time.
        stream = self.hub.streams["live/cam"]
        outlet = stream.attach("viewer", RecordingSink(), viewer=True)
        self.clock.advance(1)
        self.send(connection, [videoFrame(9000, True)])
        self.assertIn("live/cam", self.hub.streams)
        outlet.detach("gone")
        self.clock.advance(LINGER_ON_DEMAND)
        self.assertEqual(dict(self.hub.streams), {})
        connection.hear()
        self.assertEqual(connection.names()[-1], "deleteStream")
        # Another player comes while the connection is closing.
        waiting = self.hub.whenPublished("live", "cam")
        self.assertEqual(self.endpoint.tries, 0)
        connection.lose()
        self.assertEqual(self.endpoint.tries, 1)
        self.accept()
        self.stop()
        self.assertFalse(self.hub.isOnDemand("live", "cam"))
        waiting.cancel()
        self.failureResultOf(waiting)

    def test_askedInVain(self) -> None:
        """
        If all players leave before the stream is available, the pull stops trying.
        """
        self.start(onDemand=True)
        waiting = self.hub.whenPublished("live", "cam")
        self.endpoint.refuse()
        waiting.cancel()
        self.failureResultOf(waiting)
        self.clock.advance(LINGER_ON_DEMAND)
        tries = len(self.endpoint.targets)
        self.clock.advance(120)
        self.assertEqual(len(self.endpoint.targets), tries)
        self.stop()

    def test_stoppedWhileLingering(self) -> None:
        """
        A stop cancels the pending end of an unused pull.
        """
        self.start(onDemand=True)
        waiting = self.hub.whenPublished("live", "cam")
        waiting.cancel()
        self.failureResultOf(waiting)
        self.stop()


class OptionsTests(SynchronousTestCase):
    """
    The options of pulls, as strings.
    """

    def test_good(self) -> None:
        """
        URLs, with and without a name for the stream here, are read.
        """
        for text, url, name, ca in (
            (URL, URL, "live/there", ""),
            (f"{URL}?token=a=b/c", f"{URL}?token=a=b/c", "live/there", ""),
            (f"{URL}=here/a/b", URL, "here/a/b", ""),
            (f"{URL}=here/a&b", URL, "here/a&b", ""),
            (f"{URL}=/here/cam/", URL, "here/cam", ""),
            (f"{URL}?token=a=b#as=here/cam", f"{URL}?token=a=b", "here/cam", ""),
            (f"{URL}#as=here/a#b", URL, "here/a#b", ""),
            ("rtmps://h/a/b=x/y#ca=/x", "rtmps://h/a/b", "x/y", "/x"),
            ("rtmps://h/a/b#ca=/x&as=x/y", "rtmps://h/a/b", "x/y", "/x"),
            ("RTMPS://h/a/b#ca=/x", "RTMPS://h/a/b", "a/b", "/x"),
        ):
            pull = pullFactory(text)
            assert isinstance(pull, RTMPPullFactory)
            self.assertEqual((pull.url, pull.stream, pull.ca), (url, name, ca))
            self.assertFalse(pull.onDemand)
        for text, url, name in (
            ("http://h/live/cam.flv=live/cam", "http://h/live/cam.flv", "live/cam"),
            ("http://h/x/live/cam", "http://h/x/live/cam", "live/cam"),
        ):
            media = pullFactory(text)
            assert isinstance(media, MediaPullFactory)
            self.assertEqual((media.url, media.stream), (url, name))
            self.assertFalse(media.onDemand)

    def test_source(self) -> None:
        """
        C{--source=rtmp:...} has the same options.
        """
        self.assertEqual(
            sourceFactory("rtmp:rtmps://h/a/b#as=x/y&demand=1&ca=/x"),
            RTMPPullFactory("rtmps://h/a/b", "x", "y", True, "/x"),
        )
        self.assertEqual(
            sourceFactory(f"rtmp:{URL}"), RTMPPullFactory(URL, "live", "there")
        )
        self.assertTrue(verifyObject(IFrameSourceFactory, pullFactory(URL)))
        error = self.assertRaises(UsageError, sourceFactory, "rtmp:")
        self.assertIn("rtmp:rtmp://HOST/APP/NAME", str(error))

    def test_bad(self) -> None:
        """
        Bad options are refused in one sentence that says what is valid, without
        secrets.
        """
        for text, words in (
            ("", "URL=APP/NAME"),
            ("rtmp://h/live", "APP/NAME"),
            ("rtmp:///live/s3cret", "host"),
            (f"{URL}=here", "URL=APP/NAME"),
            (f"{URL}=here//there", "URL=APP/NAME"),
            (f"{URL}#ca=/x", "rtmps://"),
            (f"{URL}#nonsense", "nonsense"),
            (f"{URL}#loop=1", "as=APP/NAME, demand=0|1, ca=FILE"),
            ("http://h/live/cam#ca=/x", "as=APP/NAME, demand=0|1, loop=0|1"),
            (f"{URL}#as=a/b&as=c/d", "twice"),
            ("srt://h:9000", "URL=APP/NAME"),
            ("http://[h/live/cam", "URL=APP/NAME"),
        ):
            with self.assertRaises(UsageError) as caught:
                pullFactory(text)
            sentence = str(caught.exception)
            self.assertIn(words, sentence)
            self.assertTrue(sentence.endswith((".", "APP/NAME.")), sentence)
            self.assertNotIn("s3cret", sentence)

    def test_service(self) -> None:
        """
        A URL of RTMP makes an RTMP pull, any other a media pull by FFmpeg.
        """
        clock = Clock()
        hub = StreamHub(clock)
        pull = pullFactory(f"{URL}=a/b", onDemand=True).buildSource(hub, clock)
        assert isinstance(pull, RTMPPull)
        self.assertEqual(pull.what, "a/b: pull from")
        media = pullFactory("http://u:p@h/live/cam", True).buildSource(hub, clock)
        assert isinstance(media, MediaPull)
        self.assertEqual(media.peer, "http://h/live/cam")
        # On demand, neither does anything at the start.
        for service in (pull, media):
            service.startService()
        self.assertEqual(set(hub._demands), {"a/b", "live/cam"})
        self.assertEqual(clock.getDelayedCalls(), [])

    def configured(self, *arguments: str) -> Any:
        options = Options()
        options.parseOptions(list(arguments))
        return options.config

    def test_commandLine(self) -> None:
        """
        Both options can be repeated, and also work in a configuration file.
        """
        config = self.configured(
            f"--pull={URL}", "--pull=rtmp://h/x/y", f"--pull-on-demand={URL}=a/b"
        )
        self.assertEqual(
            config.sources,
            (
                RTMPPullFactory(URL, "live", "there"),
                RTMPPullFactory("rtmp://h/x/y", "x", "y"),
                RTMPPullFactory(URL, "a", "b", True),
            ),
        )
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "rtmptw.toml"
            path.write_text(f'pull = "{URL}"\npull-on-demand = ["{URL}=a/b"]\n')
            config = self.configured(f"--config={path}")
        self.assertEqual(
            config.sources,
            (
                RTMPPullFactory(URL, "live", "there"),
                RTMPPullFactory(URL, "a", "b", True),
            ),
        )
        self.assertEqual(self.configured().sources, ())

    def test_badCommandLine(self) -> None:
        """
        Bad pulls on the command line are refused in one sentence.
        """
        for arguments, words in (
            (
                [f"--pull={URL}", f"--pull-on-demand={URL}"],
                "two of them publish live/there",
            ),
            (
                [f"--source=rtmp:{URL}#as=a/b", f"--pull={URL}=a/b"],
                "two of them publish a/b",
            ),
            (["--pull=nonsense"], "URL=APP/NAME"),
        ):
            with self.assertRaises(SystemExit) as caught:
                self.configured(*arguments)
            self.assertIn(words, str(caught.exception.code))

    def test_startsWithTheServer(self) -> None:
        """
        The server's service has the pulls as children.
        """
        config = self.configured(f"--pull-on-demand={URL}")
        service = RTMPService(config, Clock())
        pulls = [child for child in service if isinstance(child, RTMPPull)]
        self.assertEqual([pull.what for pull in pulls], ["live/there: pull from"])

    def test_certificates(self) -> None:
        """
        Certificates are read when the pull starts.
        """
        clock = Clock()
        pull = pullFactory("rtmps://h/a/b#ca=/nowhere/at/all").buildSource(
            StreamHub(clock), clock
        )
        with self.assertRaises(SinkError):
            pull.startService()
        waiting: Deferred[None] = Deferred()
        pull.stopService().chainDeferred(waiting)
        self.successResultOf(waiting)
