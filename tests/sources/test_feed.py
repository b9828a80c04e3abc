"""
Tests of L{rtmptw.sources.feed}: a stream fed from Python.
"""

import itertools
import threading
import time
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import av
from twisted.internet.task import Clock
from twisted.python import threadable
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from rtmptw.delivery import LOSSLESS, Delivery, Policy
from rtmptw.errors import NotAllowed, SinkError
from rtmptw.frames import Codec, Frame, FrameKind, Role
from rtmptw.hub.hub import StreamHub
from rtmptw.interfaces import IFrameSource
from rtmptw.sources import feed as module
from rtmptw.sources.feed import Feed, FeedEnded, FeedFull, publish
from rtmptw.sources.passing import MAX_AHEAD, MAX_HELD
from rtmptw.testing import audioFrame, makeFrames, videoFrame
from tests.hub.test_hub import SinkFactory, Source
from tests.live.media import H264_AAC, HEIGHT, WIDTH, encode
from tests.test_lane import ThreadClock

RATE = 48000


def image(seconds: float | None = None) -> Any:
    """
    @return: an image, with a timestamp if given.
    """
    made = av.VideoFrame(WIDTH, HEIGHT, "yuv420p")
    for plane in made.planes:
        plane.update(bytes(plane.buffer_size))
    if seconds is not None:
        made.time_base = Fraction(1, 90000)
        made.pts = round(seconds * 90000)
    return made


def sound(seconds: float | None = None, samples: int = 1024) -> Any:
    """
    @return: silence, with a timestamp if given.
    """
    made = av.AudioFrame("fltp", "mono", samples)
    made.planes[0].update(bytes(made.planes[0].buffer_size))
    made.sample_rate = RATE
    if seconds is not None:
        made.time_base = Fraction(1, RATE)
        made.pts = round(seconds * RATE)
    return made


def coded(frames: list[Frame], kind: FrameKind) -> list[Frame]:
    """
    @return: the coded frames of one kind.
    """
    return [
        frame for frame in frames if frame.role is Role.CODED and frame.kind is kind
    ]


def times(frames: list[Frame], kind: FrameKind) -> list[int]:
    """
    @return: the times of the coded frames of one kind.
    """
    return [frame.timestamp for frame in coded(frames, kind)]


class FeedTestCase(SynchronousTestCase):
    """
    A hub with a sink that keeps all frames.
    """

    def setUp(self) -> None:
        # The thread that runs the tests is the reactor's.
        self.patch(threadable, "ioThread", threading.get_ident())
        self.clock = self.makeClock()
        self.factory = SinkFactory(self.delivery)
        self.hub = StreamHub(self.clock, [("record", self.factory)])

    delivery: Delivery = LOSSLESS

    def makeClock(self) -> Clock:
        """
        @return: the reactor.
        """
        return Clock()

    def publish(self, **options: Any) -> Feed:
        """
        @return: a feed of live/out.
        """
        return publish(self.hub, "live/out", **options)

    @property
    def sink(self) -> Any:
        """
        The sink of the last stream.
        """
        return self.factory.sinks[-1]

    @property
    def frames(self) -> list[Frame]:
        """
        The frames that it got.
        """
        frames: list[Frame] = self.sink.frames
        return frames


class FeedTests(FeedTestCase):
    """
    Feeding in the reactor's thread.
    """

    def test_providesIFrameSource(self) -> None:
        """
        The stream has the feed as its source.
        """
        feed = self.publish()
        self.assertTrue(verifyObject(IFrameSource, feed))
        info = self.hub.streams["live/out"].info
        self.assertEqual((info.app, info.stream), ("live", "out"))
        self.assertEqual((info.peer, info.encoder), ("this process", "rtmptw feed"))

    def test_names(self) -> None:
        """
        The part before the last slash is the application.
        """
        publish(self.hub, "a/b/c")
        self.assertEqual((self.sink.stream.app, self.sink.stream.stream), ("a/b", "c"))
        publish(self.hub, "c")
        self.assertEqual((self.sink.stream.app, self.sink.stream.stream), ("", "c"))
        for wrong in ("", "live/", "/x"):
            self.assertRaises(ValueError, publish, self.hub, wrong)

    def test_nameTaken(self) -> None:
        """
        The caller gets an error; with the right credentials the name can be taken over.
        """
        self.publish(credentials="secret")
        refusal = self.assertRaises(NotAllowed, self.publish)
        self.assertEqual(refusal.code, "NetStream.Publish.BadName")
        second = self.publish(credentials="secret")
        second.video(image(0))
        self.assertEqual(len(coded(self.frames, FrameKind.VIDEO)), 1)

    def test_takenOver(self) -> None:
        """
        The old feed ends.
        """
        first = self.publish()
        first.video(image(0))
        self.clock.advance(10)
        self.assertEqual(first.silentFor(), 10)
        self.publish()
        self.assertIn("replaced", first.ended)
        error = self.assertRaises(FeedEnded, first.video, image(1))
        self.assertIn("live/out has ended: replaced by this process", str(error))

    def test_everyFrame(self) -> None:
        """
        N images give N frames, at once, with their times; the first follows a header.
        """
        feed = self.publish()
        for number in range(50):
            feed.video(image(number / 25))
            self.assertEqual(len(coded(self.frames, FrameKind.VIDEO)), number + 1)
        feed.close()
        self.assertEqual(
            times(self.frames, FrameKind.VIDEO), [number * 40 for number in range(50)]
        )
        self.assertEqual(
            [(frame.kind, frame.role) for frame in self.frames[:3]],
            [
                (FrameKind.DATA, Role.DATA),
                (FrameKind.VIDEO, Role.CONFIG),
                (FrameKind.VIDEO, Role.CODED),
            ],
        )
        self.assertEqual(self.sink.ended, ["the feed was closed"])
        self.assertEqual(dict(self.hub.streams), {})

    def test_arrays(self) -> None:
        """
        numpy arrays, red or blue first.
        """
        import numpy

        array = numpy.zeros((HEIGHT, WIDTH, 3), numpy.uint8)
        array[:, :, 0] = 255
        values = {}
        for form in ("rgb24", "bgr24"):
            feed = publish(self.hub, f"live/{form}")
            feed.video(array, at=0, format=form)
            feed.close()
            decoder: Any = av.CodecContext.create("h264", "r")
            config, first = (
                frame for frame in self.frames if frame.kind is FrameKind.VIDEO
            )
            decoder.extradata = config.payload[5:]
            packets = (av.Packet(first.payload[5:]), None)
            (shown,) = (one for each in packets for one in decoder.decode(each))
            red, _green, blue = shown.to_ndarray(format="rgb24")[0, 0]
            values[form] = int(red) > 200, int(blue) > 200
        self.assertEqual(values, {"rgb24": (True, False), "bgr24": (False, True)})

    def test_anEncoderWithADelay(self) -> None:
        """
        Delayed frames come at the end, with composition times.
        """
        feed = self.publish(video="libx264:tune=film:bf=2:g=25:preset=medium")
        for number in range(30):
            feed.video(image(1 + number / 25))
        before = len(coded(self.frames, FrameKind.VIDEO))
        feed.close("that was it")
        shown = sorted(
            frame.timestamp + frame.compositionTime
            for frame in coded(self.frames, FrameKind.VIDEO)
        )
        self.assertLess(before, 30)
        self.assertEqual(shown, [1000 + number * 40 for number in range(30)])
        self.assertEqual(self.sink.ended, ["that was it"])

    def test_otherEncoders(self) -> None:
        """
        Encoders are selected by name.
        """
        feed = self.publish(
            video="libvpx-vp9:deadline=realtime:cpu-used=8", audio="libopus:b=64k"
        )
        for number in range(10):
            feed.video(image(number / 25))
            feed.audio(sound(number / 25, RATE // 25))
        feed.close()
        self.assertEqual(
            {frame.codec for frame in self.frames if frame.codec},
            {Codec.VP9, Codec.OPUS},
        )
        self.assertEqual(len(coded(self.frames, FrameKind.VIDEO)), 10)

    def test_badEncoders(self) -> None:
        """
        They are refused before anything is published.
        """
        for options in (
            {"video": "nope"},
            {"video": "aac"},
            {"audio": "libx264"},
            {"video": "libx264:fast"},
        ):
            self.assertRaises(ValueError, self.publish, **options)
        self.assertEqual(dict(self.hub.streams), {})

    def test_anOptionNobodyKnows(self) -> None:
        """
        An unknown option fails with the first image.
        """
        feed = self.publish(video="libx264:presett=slow")
        error = self.assertRaises(SinkError, feed.video, image(0))
        self.assertIn("has no option presett", str(error))

    def test_audioAndVideoHaveOneClock(self) -> None:
        """
        Times come from C{at}, or from the frame itself.
        """
        feed = self.publish()
        feed.video(image(7.0))
        feed.audio(sound(7.0))
        feed.video(image(0.5), at=7.04)
        for number in range(1, 6):
            feed.audio(sound(), at=7.0 + number * 1024 / RATE)
        feed.close()
        self.assertEqual(times(self.frames, FrameKind.VIDEO), [7000, 7040])
        # The encoder prepends 1024 samples.
        step = 1024 / RATE * 1000
        self.assertEqual(
            times(self.frames, FrameKind.AUDIO),
            [round(7000 + number * step) for number in range(-1, 6)],
        )

    def test_wallClock(self) -> None:
        """
        Without times, it is the time since the first frame. Audio continues where the
        previous audio ended, unless that is far off.
        """
        now = [50.0]
        self.patch(time, "monotonic", lambda: now[0])
        feed = self.publish()
        feed.video(image())
        feed.audio(sound(samples=4800))
        for _ in range(5):
            now[0] += 0.11
            feed.audio(sound(samples=4800))
        now[0] += 2
        feed.video(image())
        for _ in range(3):
            feed.audio(sound(samples=4800))
        feed.close()
        self.assertEqual(times(self.frames, FrameKind.VIDEO), [0, 2550])
        stamps = times(self.frames, FrameKind.AUDIO)
        steps = {b - a for a, b in itertools.pairwise(stamps)}
        # 1024 samples each; one gap.
        self.assertEqual(sorted(steps)[:2], [21, 22])
        self.assertEqual(len([step for step in steps if step > 1000]), 1)

    def test_aNewSize(self) -> None:
        """
        There is a new header, and no frame is lost.
        """
        feed = self.publish(video="libx264:bf=2:tune=film")
        for number in range(10):
            feed.video(image(number / 25))
        for number in range(10, 20):
            feed.video(av.VideoFrame(WIDTH * 2, HEIGHT, "yuv420p"), at=number / 25)
        feed.close()
        self.assertEqual(len(coded(self.frames, FrameKind.VIDEO)), 20)
        headers = [
            frame.payload
            for frame in self.frames
            if frame.kind is FrameKind.VIDEO and frame.role is Role.CONFIG
        ]
        self.assertEqual(len(set(headers)), 2)

    def test_anotherKindOfAudio(self) -> None:
        """
        There is a new header, and no audio is lost.
        """
        feed = self.publish()
        for number in range(5):
            feed.audio(sound(number * 1024 / RATE))
        other = av.AudioFrame("s16", "stereo", 1024)
        other.planes[0].update(bytes(other.planes[0].buffer_size))
        other.sample_rate = 44100
        for number in range(5):
            feed.audio(other, at=1 + number * 1024 / 44100)
        feed.close()
        self.assertEqual(sum(frame.role is Role.CONFIG for frame in self.frames), 2)
        self.assertEqual(len(coded(self.frames, FrameKind.AUDIO)), 12)

    def test_packets(self) -> None:
        """
        Packets are passed on as encoded.
        """
        feed = self.publish()
        count = {FrameKind.VIDEO: 0, FrameKind.AUDIO: 0}
        with av.open(encode(H264_AAC)) as container:
            for packet in container.demux():
                feed.packet(packet)
                kind = FrameKind[packet.stream.type.upper()]
                count[kind] += bool(packet.size)
                data = bytes(packet)
                if data:
                    self.assertTrue(self.frames[-1].payload.endswith(data))
            feed.close()
        for kind, number in count.items():
            self.assertEqual(len(coded(self.frames, kind)), number)
        self.assertEqual(count[FrameKind.VIDEO], H264_AAC.frames)
        self.assertEqual(sum(frame.role is Role.CONFIG for frame in self.frames), 2)

    def test_packetsOfNothing(self) -> None:
        """
        A packet needs a template.
        """
        feed = self.publish()
        error = self.assertRaises(ValueError, feed.packet, av.Packet(b"x"))
        self.assertIn("template", str(error))

    def test_frames(self) -> None:
        """
        Frames of another stream have the same payloads and times, and are new objects.
        """
        feed = self.publish()
        given = makeFrames(start=-20)
        for frame in given:
            feed.frame(frame)
        feed.close()
        self.assertEqual(
            [(frame.timestamp, frame.payload) for frame in self.frames],
            [(frame.timestamp, frame.payload) for frame in given],
        )
        self.assertFalse({id(frame) for frame in given} & {id(f) for f in self.frames})

    def test_metadataDoesNotSayThatThereIsOneTrack(self) -> None:
        """
        A reader that waits for all tracks before it begins a file must not be misled.
        """
        feed = self.publish()
        feed.video(image(0))
        self.assertEqual(self.frames[0].name, "onMetaData")
        self.assertIn(b"width", self.frames[0].payload)
        self.assertNotIn(b"codecid", self.frames[0].payload)

    def test_closedTwice(self) -> None:
        """
        The second call does nothing; a closed feed refuses frames.
        """
        feed = self.publish()
        feed.close("enough")
        feed.close("more than enough")
        self.assertEqual(feed.ended, "enough")
        self.assertEqual(self.sink.ended, ["enough"])
        for call in (feed.video, feed.audio, feed.frame):
            given: Any = {
                "video": image(0),
                "audio": sound(0),
                "frame": audioFrame(0),
            }[call.__name__]
            error = self.assertRaises(FeedEnded, call, given)
            self.assertEqual(str(error), "live/out has ended: enough")

    def test_shutdown(self) -> None:
        """
        The server is stopping.
        """
        feed = self.publish()
        feed.video(image(0))
        self.hub.shutdown("the server stops")
        self.assertRaises(FeedEnded, feed.video, image(1))
        feed.close()
        self.assertEqual(self.sink.ended, ["the server stops"])
        self.assertRaises(NotAllowed, self.publish)


class FullTests(FeedTestCase):
    """
    A slow sink, and the reactor's thread, which cannot wait for it.
    """

    delivery = Delivery(Policy.LOSSLESS, maxMilliseconds=0, maxFrames=10)

    def test_frames(self) -> None:
        """
        The queue has a limit, the next frame is refused, and none is lost.
        """
        feed = self.publish()
        self.sink.producer.pauseProducing()
        given = 0
        while True:
            try:
                feed.frame(audioFrame(given * 20))
            except FeedFull as full:
                self.assertIn("live/out: queue full, 256 frames wait", str(full))
                break
            given += 1
        # The frames that the stream took before it was full, and those queued here.
        self.assertEqual(given, 11 + module.MAX_WAITING)
        self.assertEqual(feed.silentFor(), 0)
        self.sink.producer.resumeProducing()
        self.clock.advance(0)
        feed.frame(audioFrame(given * 20))
        feed.close()
        self.assertEqual(
            times(self.frames, FrameKind.AUDIO),
            [number * 20 for number in range(given + 1)],
        )
        print(f"fed {given + 1} of {given + 1} frames")

    def test_closedWhileFull(self) -> None:
        """
        The stream ends when all frames have been taken.
        """
        feed = self.publish()
        self.sink.producer.pauseProducing()
        for number in range(50):
            feed.frame(audioFrame(number * 20))
        feed.close("done")
        self.assertEqual(self.sink.ended, [])
        self.sink.producer.resumeProducing()
        self.clock.advance(0)
        self.assertEqual(len(self.frames), 50)
        self.assertEqual(self.sink.ended, ["done"])


class PassOnTests(FeedTestCase):
    """
    The audio of another stream, with video of one's own.
    """

    def setUp(self) -> None:
        super().setUp()
        self.source = Source(self.clock)
        self.camera = self.hub.publish("live", "cam", self.source)
        self.feed = self.publish()
        self.feed.passOn("live/cam")

    def test_inStep(self) -> None:
        """
        Audio waits for the video, and is complete and unchanged.
        """
        given = makeFrames(seconds=10)
        audioFrames = [frame for frame in given if frame.kind is FrameKind.AUDIO]
        for frame in given:
            self.camera.frameReceived(frame)
        # The header is not held.
        self.assertEqual([f.payload for f in self.frames], [audioFrames[0].payload])
        for number in range(250):
            self.feed.frame(videoFrame(number * 40, number == 0))
            latest = times(self.frames, FrameKind.AUDIO)[-1]
            self.assertLessEqual(latest, number * 40 + MAX_AHEAD)
            if 25 < number < 230:
                self.assertGreater(latest, number * 40 + MAX_AHEAD - 50)
        self.feed.close()
        got = [frame for frame in self.frames if frame.kind is FrameKind.AUDIO]
        same = sum(
            (a.payload, a.timestamp) == (b.payload, b.timestamp)
            for a, b in zip(got, audioFrames, strict=True)
        )
        print(f"passed on {same} of {len(audioFrames)} frames")
        self.assertEqual(same, len(audioFrames))
        self.assertFalse({id(frame) for frame in audioFrames} & {id(f) for f in got})

    def test_noVideo(self) -> None:
        """
        Audio does not wait for video for ever.
        """
        for number in range(MAX_HELD + 100):
            self.camera.frameReceived(audioFrame(number * 20))
        self.assertEqual(len(self.frames), 100)
        self.feed.close()
        self.assertEqual(len(self.frames), MAX_HELD + 100)

    def test_slow(self) -> None:
        """
        If a sink of the feed is full, the other stream is paused in the end.
        """
        self.sink.producer.pauseProducing()
        limit = LOSSLESS.maxFrames
        for number in range(3 * limit + MAX_HELD):
            if "pause" in self.source.calls:
                break
            self.camera.frameReceived(audioFrame(number * 20))
        self.assertIn("pause", self.source.calls)
        self.sink.producer.resumeProducing()
        self.clock.advance(0)
        self.assertEqual(self.source.calls[-1], "resume")
        self.feed.close()
        self.assertEqual(len(self.frames), number)

    def test_theOtherEndsFirst(self) -> None:
        """
        Held frames are still passed on.
        """
        for number in range(100):
            self.camera.frameReceived(audioFrame(number * 20))
        self.hub.end("live/cam", "over")
        self.feed.frame(videoFrame(2000, True))
        self.feed.close()
        self.assertEqual(len(coded(self.frames, FrameKind.AUDIO)), 100)

    def test_weEndFirst(self) -> None:
        """
        The other stream continues, without our sink.
        """
        self.feed.close()
        self.assertEqual([outlet.name for outlet in self.camera.outlets], ["record"])
        self.camera.frameReceived(audioFrame(0))

    def test_aNewHeader(self) -> None:
        """
        It stays between the old frames and those it applies to.
        """
        first, *rest = (
            frame for frame in makeFrames() if frame.kind is FrameKind.AUDIO
        )
        given = [
            first,
            *rest[:10],
            Frame(first.kind, 0, b"\xaf\0\x11\x90", first.role, first.codec),
            *rest[10:],
        ]
        for frame in given:
            self.camera.frameReceived(frame)
        self.assertEqual(len(self.frames), 1)
        self.feed.close()
        self.assertEqual(
            [frame.payload for frame in self.frames],
            [frame.payload for frame in given],
        )

    def test_otherKinds(self) -> None:
        """
        Other kinds are passed on if requested. Video that is passed on is not held.
        """
        other = publish(self.hub, "live/all")
        other.passOn("live/cam", FrameKind.VIDEO, FrameKind.AUDIO)
        for number, frame in enumerate(makeFrames()):
            self.camera.frameReceived(frame)
            self.assertEqual(len(self.frames), number + 1)
        self.assertEqual(number + 1, len(makeFrames()))

    def test_nobodyPublishesIt(self) -> None:
        """
        The other stream does not exist.
        """
        error = self.assertRaises(ValueError, self.feed.passOn, "live/nope")
        self.assertEqual(str(error), "live/nope is not published")


class ThreadTests(FeedTestCase):
    """
    Feeding in other threads.
    """

    delivery = Delivery(Policy.LOSSLESS, maxMilliseconds=0, maxFrames=10)
    clock: ThreadClock

    def makeClock(self) -> ThreadClock:
        return ThreadClock()

    def start(self, work: Callable[[], Any]) -> dict[str, Any]:
        """
        Run something in another thread.

        @return: a dictionary that gets its outcome, as C{result} or C{error}.
        """
        outcome: dict[str, Any] = {}

        def run() -> None:
            try:
                outcome["result"] = work()
            except Exception as error:
                outcome["error"] = error
            # The outcome is waited for.
            self.clock.callFromThread(lambda: None)

        thread = threading.Thread(target=run)
        thread.start()
        self.addCleanup(thread.join)
        return outcome

    def do(self, work: Callable[[], Any]) -> Any:
        """
        Run something in another thread, and meanwhile what it calls in the reactor's
        thread.

        @return: what it returned.
        """
        outcome = self.start(work)
        self.clock.waitUntil(lambda: bool(outcome))
        if "error" in outcome:
            raise outcome["error"]
        return outcome["result"]

    def test_everything(self) -> None:
        """
        Publish, feed and close.
        """

        def work() -> None:
            feed = self.publish()
            for number in range(100):
                feed.video(image(number / 25))
                feed.audio(sound(number / 25, RATE // 25))
            feed.close("done")

        self.do(work)
        self.clock.waitUntil(lambda: bool(self.sink.ended))
        self.assertEqual(
            times(self.frames, FrameKind.VIDEO), [number * 40 for number in range(100)]
        )
        self.assertEqual(len(coded(self.frames, FrameKind.AUDIO)), 189)
        self.assertEqual(self.sink.ended, ["done"])

    def test_refused(self) -> None:
        """
        The thread gets the error.
        """
        self.publish()
        self.assertRaises(NotAllowed, self.do, self.publish)

    def test_backpressure(self) -> None:
        """
        The thread waits while a sink is full, and no frame is lost.
        """
        feed = self.publish()
        fed = []

        def work() -> None:
            for number in range(1000):
                feed.frame(audioFrame(number * 20))
                fed.append(number)
            feed.close()

        self.sink.producer.pauseProducing()
        outcome = self.start(work)
        self.clock.waitUntil(lambda: feed.isPaused)
        # It cannot get further than this.
        most = 11 + module.MAX_WAITING
        for _ in range(5):
            self.assertLessEqual(len(fed), most)
            self.assertEqual(outcome, {})
            self.sink.producer.resumeProducing()
            self.sink.producer.pauseProducing()
            self.clock.advance(0)
            most += 11 + module.MAX_WAITING
        self.sink.producer.resumeProducing()
        self.clock.advance(0)
        self.clock.waitUntil(lambda: bool(self.sink.ended))
        self.assertEqual(outcome, {"result": None})
        self.assertEqual(
            times(self.frames, FrameKind.AUDIO),
            [number * 20 for number in range(1000)],
        )
        print("fed 1000 of 1000 frames")

    def test_theEndWakesWhoWaits(self) -> None:
        """
        A thread that waits for a slow sink gets the end of the stream as an error.
        """
        feed = self.publish()

        def work() -> None:
            for number in range(100_000):
                feed.frame(audioFrame(number * 20))

        self.sink.producer.pauseProducing()
        outcome = self.start(work)
        self.clock.waitUntil(lambda: feed.isPaused)
        self.hub.shutdown("the server stops")
        self.clock.waitUntil(lambda: bool(outcome))
        self.assertIsInstance(outcome["error"], FeedEnded)
        self.assertEqual(str(outcome["error"]), "live/out has ended: the server stops")

    def test_passOn(self) -> None:
        """
        Pass on the audio of a stream, requested in a thread.
        """
        camera = self.hub.publish("live", "cam", Source(self.clock))
        feed = self.publish()
        self.do(lambda: feed.passOn("live/cam"))
        camera.frameReceived(audioFrame(0))
        self.do(lambda: feed.frame(videoFrame(0, True)))
        self.clock.waitUntil(lambda: bool(coded(self.frames, FrameKind.AUDIO)))
