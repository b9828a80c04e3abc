"""
Tests of the relay sink.
"""

import tempfile
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase

from rtmptw.delivery import Policy
from rtmptw.errors import SinkError
from rtmptw.frames import Codec, Frame, FrameKind, Role
from rtmptw.hub.hub import StreamHub
from rtmptw.hub.stream import SinkReport, Stream
from rtmptw.rtmp.url import RTMPTarget
from rtmptw.rtmpclient.relay import (
    BUFFER,
    END_TIMEOUT,
    MAX_BYTES,
    MAX_FRAMES,
    RelayOptions,
    RelaySink,
    RelaySinkFactory,
)
from rtmptw.testing import (
    AUDIO_CONFIG,
    VIDEO_CONFIG,
    FrameSinkTestsMixin,
    audioFrame,
    makeFrames,
    makeStreamInfo,
    videoFrame,
)
from tests.hub.test_hub import Source
from tests.rtmpclient.test_protocol import Endpoint

URL = "rtmp://example.com/live/s3cret"


def relayTo(
    clock: Clock, endpoint: Endpoint, url: str = URL, **options: Any
) -> RelaySinkFactory:
    """
    @return: a factory of relays to a server that the test plays.
    """
    factory = RelaySinkFactory(
        RTMPTarget.fromURL(url),
        RelayOptions(**options),
        lambda reactor, target, trustRoot: endpoint.forTarget(target),
        lambda: 0.5,
    )
    factory.startFactory(clock)
    return factory


class RelayTestCase(SynchronousTestCase):
    """
    A stream with one relay.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.endpoint = Endpoint()
        self.reports: list[SinkReport] = []
        self.source = Source(self.clock)

    def publish(self, **options: Any) -> Stream:
        factory = relayTo(self.clock, self.endpoint, **options)
        self.hub = StreamHub(
            self.clock, [("relay", factory)], sinkEnded=self.reports.append
        )
        self.stream = self.hub.publish("live", "cam", self.source)
        (outlet,) = self.stream.outlets
        assert isinstance(outlet.sink, RelaySink)
        self.sink = outlet.sink
        self.outlet = outlet
        return self.stream

    def give(self, frames: list[Frame]) -> None:
        for frame in frames:
            self.stream.frameReceived(frame)

    def end(self) -> "Deferred[Any]":
        return self.hub.end("live/cam", "enough")

    def report(self) -> SinkReport:
        """
        @return: the final report, whose ledger must be balanced.
        """
        self.assertEqual(self.clock.getDelayedCalls(), [])
        (report,) = self.reports
        self.assertTrue(report.ledger.balanced)
        self.assertEqual(
            report.ledger.delivered,
            self.sink.sent - self.sink.repeated,
        )
        return report


def wire(frames: list[Frame], start: int = 0) -> list[tuple[int, int, bytes]]:
    """
    @return: frames as the server receives them: kind, timestamp and payload.
    """
    return [(f.kind, max(0, f.timestamp - start), f.payload) for f in frames]


class FirstConnectionTests(RelayTestCase):
    """
    A relay until a server first accepts the stream.
    """

    def test_nothingIsLost(self) -> None:
        """
        Frames that an unpaced publisher sends before the server has answered are kept,
        and none is lost.
        """
        self.publish()
        frames = makeFrames(seconds=30)
        self.give(frames)
        connection = self.endpoint.accept()
        connection.start()
        self.assertEqual(self.source.calls, [], "the publisher does not wait")
        ended = self.end()
        connection.hear()
        self.assertEqual(connection.media(), wire(makeFrames(seconds=30)))
        self.assertEqual(connection.names()[-2:], ["FCUnpublish", "deleteStream"])
        self.assertNoResult(ended)
        connection.lose()
        self.successResultOf(ended)
        report = self.report()
        self.assertEqual((report.failure, report.ledger.dropped), ("", {}))

    def test_overBeforeItBegan(self) -> None:
        """
        If the stream ends before the server has answered, the server still gets all of
        it.
        """
        self.publish()
        self.give(makeFrames())
        ended = self.end()
        connection = self.endpoint.accept()
        connection.start()
        self.assertEqual(connection.media(), wire(makeFrames()))
        self.assertEqual(connection.names()[-1], "deleteStream")
        connection.lose()
        self.successResultOf(ended)
        self.assertEqual(self.report().failure, "")

    def test_overAndDead(self) -> None:
        """
        If no server has accepted the ended stream, the relay finishes when the try is
        refused, or at the time limit.
        """
        for isRefused in (True, False):
            self.setUp()
            self.publish()
            self.give(makeFrames())
            ended = self.end()
            self.assertNoResult(ended)
            if isRefused:
                self.endpoint.refuse()
            else:
                self.clock.advance(END_TIMEOUT)
            self.successResultOf(ended)
            self.assertIn(
                f"{len(makeFrames())} frames came while not connected",
                self.report().failure,
            )

    def test_dead(self) -> None:
        """
        A dead server never pauses the publisher. The queued frames are dropped and
        counted.
        """
        self.publish()
        self.give(makeFrames())
        self.assertEqual(self.outlet.ledger.queued, len(makeFrames()))
        self.endpoint.refuse()
        self.assertEqual(self.outlet.ledger.queued, 0)
        self.give(makeFrames(start=2000)[2:])
        count = 2 * len(makeFrames()) - 2
        self.assertEqual((self.sink.sent, self.sink.missed), (0, count))
        self.assertEqual(self.source.calls, [])
        self.successResultOf(self.end())
        self.assertIn("cannot connect", self.report().failure)

    def test_bounds(self) -> None:
        """
        The queue for the first connection is bounded, and keeps the beginning.
        """
        self.publish()
        for number in range(3 * MAX_BYTES // 1_000_000):
            self.stream.frameReceived(
                videoFrame(number * 40, number % 4 == 0, size=1_000_000)
            )
        self.assertLess(self.outlet.ledger.queued * 1_000_000, MAX_BYTES)
        self.assertGreater(self.outlet.ledger.droppedFrames, 0)
        connection = self.endpoint.accept()
        connection.start()
        self.assertEqual(connection.media()[0][:2], (9, 0))
        ended = self.end()
        connection.lose()
        self.successResultOf(ended)
        self.report()


class ReconnectionTests(RelayTestCase):
    """
    A relay after its connection was lost.
    """

    def test_beginsAtAKeyFrame(self) -> None:
        """
        A new connection begins with the sequence headers and the current group of
        pictures, at timestamp 0.
        """
        self.publish()
        frames = makeFrames(seconds=2.5)
        first, rest = frames[:40], frames[40:]
        self.give(first)
        connection = self.endpoint.accept()
        connection.start()
        self.assertEqual(len(connection.media()), 40)
        connection.lose(ConnectionLost())
        self.assertFalse(self.sink.isConnected)
        self.give(rest)
        self.clock.advance(1.01)
        connection = self.endpoint.accept()
        connection.start()
        more = makeFrames(seconds=1, start=2520, keyframeEvery=100)[2:]
        self.give(more)
        connection.hear()
        frames = makeFrames(seconds=2.5)
        key = max(n for n, frame in enumerate(frames) if frame.isKey)
        group = frames[key:] + makeFrames(seconds=1, start=2520, keyframeEvery=100)[2:]
        expected = [(9, 0, VIDEO_CONFIG), (8, 0, AUDIO_CONFIG)]
        self.assertEqual(connection.media(), expected + wire(group, 2000))
        self.assertEqual(self.sink.missed, len(frames) - 40)
        ended = self.end()
        connection.lose()
        self.successResultOf(ended)
        self.assertIn("frames came while not connected", self.report().failure)

    def test_waitsForAKeyFrame(self) -> None:
        """
        Without a complete group of pictures, the relay waits for the next key frame.
        If none comes within 3 s, audio is sent on its own.
        """
        self.publish()
        self.endpoint.refuse()
        # Longer than a group of pictures is kept.
        self.give(
            [videoFrame(0, True), *(videoFrame(n) for n in range(500, 21_500, 500))]
        )
        self.clock.advance(1.01)
        connection = self.endpoint.accept()
        connection.start()
        self.give([audioFrame(21_510), videoFrame(21_520), audioFrame(21_530)])
        self.give([audioFrame(time) for time in (22_300, 23_200, 23_900)])
        connection.hear()
        self.assertEqual(connection.media(), [])
        self.give([audioFrame(24_700)])
        connection.hear()
        self.assertEqual(len(connection.media()), 1)
        self.give([videoFrame(24_710, True), audioFrame(24_705), videoFrame(24_750)])
        connection.hear()
        self.assertEqual(
            [time for _kind, time, _payload in connection.media()], [0, 10, 5, 50]
        )
        self.endWith(connection)

    def test_waitsForTheLeadingTrack(self) -> None:
        """
        A key frame of another track does not start the video, because the first track's
        frames could not be decoded.
        """
        self.publish()
        self.endpoint.refuse()
        self.give(
            [videoFrame(0, True), *(videoFrame(n) for n in range(500, 21_500, 500))]
        )
        self.clock.advance(1.01)
        connection = self.endpoint.accept()
        connection.start()
        other = videoFrame(21_520, True)
        other.tracks = (1,)
        key = videoFrame(21_600, True)
        self.give([other, videoFrame(21_560), key, videoFrame(21_640)])
        connection.hear()
        self.assertEqual(connection.media(), wire([key, videoFrame(21_640)], 21_600))
        self.endWith(connection)

    def endWith(self, connection: Any) -> None:
        ended = self.end()
        connection.lose()
        self.successResultOf(ended)
        self.report()

    def test_audioOnly(self) -> None:
        """
        A stream of audio only does not wait for a key frame.
        """
        self.publish()
        self.endpoint.refuse()
        self.give(makeFrames(video=False))
        self.clock.advance(1.01)
        connection = self.endpoint.accept()
        connection.start()
        self.give([audioFrame(2000), audioFrame(2023)])
        connection.hear()
        self.assertEqual(
            connection.media(),
            [(8, 0, AUDIO_CONFIG), *wire([audioFrame(2000), audioFrame(2023)], 2000)],
        )
        self.endWith(connection)

    def test_newHeaders(self) -> None:
        """
        A new connection gets the latest sequence headers.
        """
        self.publish()
        connection = self.endpoint.accept()
        connection.start()
        self.give(makeFrames(seconds=0.2))
        connection.lose()
        config = Frame(
            FrameKind.VIDEO, 300, VIDEO_CONFIG + b"new", Role.CONFIG, Codec.H264
        )
        self.give([config, videoFrame(320, True)])
        self.clock.advance(1.01)
        connection = self.endpoint.accept()
        connection.start()
        self.assertEqual(
            [payload for _kind, _time, payload in connection.media()],
            [config.payload, AUDIO_CONFIG, videoFrame(320, True).payload],
        )
        self.endWith(connection)

    def test_endedWhileLost(self) -> None:
        """
        If the stream ends while the relay waits or tries to connect, the relay finishes
        at once.
        """
        for isTrying in (False, True):
            self.setUp()
            self.publish()
            self.endpoint.refuse()
            self.give(makeFrames())
            if isTrying:
                self.clock.advance(1.01)
            self.successResultOf(self.end())
            self.report()

    def test_endedByTheServer(self) -> None:
        """
        If the server ends the stream, frames are dropped without failure until it has
        closed.
        """
        self.publish()
        connection = self.endpoint.accept()
        connection.start()
        self.give(makeFrames(seconds=0.2))
        connection.status("NetStream.Unpublish.Success")
        self.give([audioFrame(300)])
        self.assertEqual(self.sink.missed, 1)
        connection.lose()
        self.successResultOf(self.end())
        self.report()


class SlowTests(RelayTestCase):
    """
    A server that does not keep up.
    """

    def test_waits(self) -> None:
        """
        While the connection is paused, frames are queued in the outlet. They are sent
        when it resumes, and the publisher is not paused.
        """
        self.publish()
        connection = self.endpoint.accept()
        connection.start()
        frames = makeFrames()
        self.give(frames[:10])
        connection.protocol.pauseProducing()
        self.give(frames[10:])
        connection.hear()
        self.assertEqual(len(connection.media()), 10)
        self.assertEqual(self.outlet.ledger.queued, len(frames) - 10)
        connection.protocol.resumeProducing()
        connection.hear()
        self.assertEqual(connection.media(), wire(makeFrames()))
        self.assertEqual(self.source.calls, [])
        ended = self.end()
        connection.lose()
        self.successResultOf(ended)
        self.assertEqual(self.report().ledger.dropped, {})

    def test_buffer(self) -> None:
        """
        With C{buffer=1}, at most one second is queued.
        """
        self.publish(buffer=1.0)
        connection = self.endpoint.accept()
        connection.start()
        connection.protocol.pauseProducing()
        for frame in makeFrames(seconds=5):
            self.clock.advance(max(0.0, frame.timestamp / 1000 - self.clock.seconds()))
            self.give([frame])
        self.assertGreater(sum(self.outlet.ledger.dropped.values()), 200)
        connection.protocol.resumeProducing()
        ended = self.end()
        connection.hear()
        times = [time for _kind, time, _payload in connection.media()]
        self.assertLessEqual(max(times), 1000)
        connection.lose()
        self.successResultOf(ended)
        self.report()

    def test_bounds(self) -> None:
        """
        The queue has limits in seconds, bytes and frames.
        """
        self.publish()
        delivery = self.sink.delivery
        self.assertIs(delivery.policy, Policy.TO_KEYFRAME)
        self.assertEqual(
            (delivery.maxMilliseconds, delivery.maxBytes, delivery.maxFrames),
            (int(BUFFER * 1000), MAX_BYTES, MAX_FRAMES),
        )
        self.endpoint.refuse()
        self.successResultOf(self.end())

    def test_endWhileSlow(self) -> None:
        """
        At the end everything queued is sent, within a time limit.
        """
        self.publish()
        connection = self.endpoint.accept()
        connection.start()
        connection.protocol.pauseProducing()
        self.give(makeFrames())
        ended = self.end()
        connection.hear()
        self.assertEqual(connection.media(), wire(makeFrames()))
        self.assertNoResult(ended)
        self.clock.advance(END_TIMEOUT)
        self.assertTrue(connection.isLost)
        self.successResultOf(ended)
        self.report()


class ClockTests(RelayTestCase):
    """
    The timestamps that a server gets.
    """

    def test_longStreams(self) -> None:
        """
        The timestamps of a relay that starts late begin at 0, the headers' too. A frame
        slightly earlier gets 0.
        """
        self.publish()
        self.give(makeFrames(start=5_000_000)[:3])
        self.give([audioFrame(4_999_990), videoFrame(5_000_040)])
        connection = self.endpoint.accept()
        connection.start()
        self.assertEqual(
            [time for _kind, time, _payload in connection.media()], [0, 0, 0, 0, 40]
        )
        ended = self.end()
        connection.lose()
        self.successResultOf(ended)

    def test_nearZero(self) -> None:
        """
        Timestamps that begin near 0 are not changed.
        """
        self.publish()
        self.give([audioFrame(23), videoFrame(20, True), videoFrame(60)])
        connection = self.endpoint.accept()
        connection.start()
        self.assertEqual(
            [time for _kind, time, _payload in connection.media()], [23, 20, 60]
        )
        ended = self.end()
        connection.lose()
        self.successResultOf(ended)


class OptionsTests(SynchronousTestCase):
    """
    The options of C{--sink=relay:...}.
    """

    def refused(self, argstring: str) -> str:
        with self.assertRaises(UsageError) as caught:
            RelaySinkFactory.fromString(argstring)
        sentence = str(caught.exception)
        self.assertTrue(sentence.endswith("."), sentence)
        self.assertNotIn("s3cret", sentence)
        return sentence

    def test_all(self) -> None:
        """
        Each option is read.
        """
        factory = RelaySinkFactory.fromString(
            "rtmps://example.com/live/s3cret?a=b#retry=5&buffer=2.5&only=live/cam&ca=/x"
        )
        self.assertEqual(factory.options, RelayOptions(5.0, 2.5, "live/cam", "/x"))
        self.assertEqual(factory.target.stream, "s3cret?a=b")
        self.assertEqual(RelaySinkFactory.fromString(URL).options, RelayOptions())

    def test_bad(self) -> None:
        """
        Bad options are refused in one sentence that says what is valid, without
        secrets.
        """
        for argstring, words in (
            ("", "rtmp://"),
            ("http://h/live/s3cret", "rtmp://"),
            ("rtmp://h/live", "APP/NAME"),
            (f"{URL}#retry=0", "1 to 3600"),
            (f"{URL}#retry=often", "1 to 3600"),
            (f"{URL}#buffer=-1", "0 to 3600"),
            (f"{URL}#only=", "only=APP/NAME"),
            (f"{URL}#nonsense=1", "retry=SECONDS"),
            (f"{URL}#nonsense", "retry=SECONDS"),
            (f"{URL}#retry=1&retry=2", "twice"),
            (f"{URL}#ca=/x", "rtmps://"),
            ("rtmp://h/{aap}/{name}", "{aap}"),
        ):
            self.assertIn(words, self.refused(argstring))

    def test_retry(self) -> None:
        """
        C{retry=1} limits the waits between tries.
        """
        clock, endpoint = Clock(), Endpoint()
        sink = relayTo(clock, endpoint, retry=1.0).buildSink(makeStreamInfo())
        hub = StreamHub(clock)
        stream = hub.publish("live", "cam", Source(clock))
        assert sink is not None
        stream.attach("relay", sink)
        for _ in range(5):
            endpoint.refuse()
            clock.advance(1.01)
        self.assertEqual(len(endpoint.targets), 6)
        hub.end("live/cam", "enough")

    def test_only(self) -> None:
        """
        With C{only=live/test}, no other stream is relayed.
        """
        factory = relayTo(Clock(), Endpoint(), only="live/test")
        self.assertIsNotNone(factory.buildSink(makeStreamInfo()))
        self.assertIsNone(factory.buildSink(makeStreamInfo(stream="test2")))

    def test_placeholders(self) -> None:
        """
        C{{app}} and C{{name}} in the URL are replaced.
        """
        clock, endpoint = Clock(), Endpoint()
        factory = relayTo(clock, endpoint, "rtmp://h/to-{app}/{name}?k")
        hub = StreamHub(clock, [("relay", factory)])
        hub.publish("live", "a/b", Source(clock))
        (target,) = endpoint.targets
        self.assertEqual((target.app, target.stream), ("to-live", "a/b?k"))
        hub.end("live/a/b", "enough")

    def test_certificates(self) -> None:
        """
        The file of C{ca=FILE} is read when the server starts.
        """
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "ca.pem"
            factory = RelaySinkFactory.fromString(f"rtmps://h/a/b#ca={path}")
            with self.assertRaises(SinkError):
                factory.startFactory(Clock())
        RelaySinkFactory.fromString("rtmps://h/a/b").startFactory(Clock())


class ContractTests(FrameSinkTestsMixin, SynchronousTestCase):
    """
    The relay fulfills the contract of sinks with a server that accepts everything.
    """

    def makeSink(self) -> RelaySink:
        self.clock, self.endpoint = Clock(), Endpoint()
        sink = relayTo(self.clock, self.endpoint).buildSink(makeStreamInfo())
        assert sink is not None
        return sink

    def finish(self, finished: "Deferred[None] | None") -> None:
        assert finished is not None
        if self.endpoint.tries:
            connection = self.endpoint.accept()
            connection.start()
            connection.lose()
        self.successResultOf(finished)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class UnreachableContractTests(ContractTests):
    """
    The relay fulfills the contract of sinks without a server.
    """

    def finish(self, finished: "Deferred[None] | None") -> None:
        assert finished is not None
        if self.endpoint.tries:
            self.endpoint.refuse()
        self.successResultOf(finished)
        self.assertEqual(self.clock.getDelayedCalls(), [])
