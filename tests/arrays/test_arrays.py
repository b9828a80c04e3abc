"""
Tests of the parts of captures and writers, without sockets.
"""

import asyncio
import os
import pickle
import threading
from datetime import UTC, datetime
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SkipTest, SynchronousTestCase

try:
    import numpy
except ImportError as error:
    raise SkipTest("numpy is not installed") from error

from rtmptw.arrays.address import nameIn, targetFrom
from rtmptw.arrays.capture import capture
from rtmptw.arrays.door import MAX_STREAMS, Door
from rtmptw.arrays.encoding import ArrayEncoder, Times
from rtmptw.arrays.framearray import FrameArray, arrayFrom
from rtmptw.arrays.intake import Intake, Options
from rtmptw.arrays.reactors import ReactorThread
from rtmptw.arrays.writer import writer
from rtmptw.errors import NotAllowed
from rtmptw.frames import Frame, FrameKind, Role
from rtmptw.hub.stream import Stream
from rtmptw.rtmp.events import PlayRequested, PublishRequested
from rtmptw.sinks.decode.awaited import Awaited
from rtmptw.sinks.decode.decoding import DecodedFrame
from rtmptw.testing import audioFrame, makeFrames, videoFrame
from tests.hub.test_hub import Source
from tests.test_lane import ThreadClock


class AddressTests(SynchronousTestCase):
    """
    The URLs that a program may pass.
    """

    def test_anyPort(self) -> None:
        """
        Port 0 means any free port, and only in the place of a port.
        """
        for url, port in (
            ("rtmp://127.0.0.1:0/live/cam", 0),
            ("rtmp://[::1]:0/live/cam", 0),
            ("rtmp://0.0.0.0/live/cam", 1935),
            ("rtmp://host:19/live/a:0/cam", 19),
        ):
            self.assertEqual(targetFrom(url, "a capture").port, port, url)

    def test_theName(self) -> None:
        """
        The stream's name is the path, without the query.
        """
        target = targetFrom("rtmp://host/live/cam?key=1", "a capture")
        self.assertEqual(nameIn(target), "live/cam")

    def test_noURL(self) -> None:
        """
        A URL that is no string or no RTMP URL is refused with a sentence that says why.
        """
        with self.assertRaisesRegex(TypeError, "a capture needs a URL, not int"):
            targetFrom(7, "a capture")  # type: ignore[arg-type]
        with self.assertRaisesRegex(ValueError, "a writer needs a URL: .* name an app"):
            targetFrom("rtmp://host/live", "a writer")


class FrameArrayTests(SynchronousTestCase):
    """
    Arrays that know the presentation time of their frame.
    """

    def test_itIsTheArray(self) -> None:
        """
        The array is not a copy, and arrays derived from it keep its properties.
        """
        image = numpy.zeros((4, 6, 3), numpy.uint8)
        now = datetime.now(UTC)
        frame = arrayFrom(DecodedFrame(FrameKind.VIDEO, 1.5, now, True, 2, image=image))
        frame[0, 0] = 7
        self.assertEqual(image[0, 0].tolist(), [7, 7, 7])
        self.assertIsInstance(frame, numpy.ndarray)
        self.assertIs(frame.image, frame)
        self.assertIs(frame.kind, FrameKind.VIDEO)
        for made in (frame, frame[::2], frame // 2, frame.copy()):
            assert isinstance(made, FrameArray)
            self.assertEqual(
                (made.pts, made.arrived, made.keyframe, made.track), (1.5, now, True, 2)
            )

    def test_intoAnotherProcess(self) -> None:
        """
        A frame array that is pickled for another process arrives as an array.
        """
        image = numpy.arange(24, dtype=numpy.uint8).reshape(2, 4, 3)
        frame = arrayFrom(
            DecodedFrame(FrameKind.VIDEO, 1.5, datetime.now(UTC), True, 0, image=image)
        )
        self.assertEqual(pickle.loads(pickle.dumps(frame)).tolist(), image.tolist())


class TimesTests(SynchronousTestCase):
    """
    The timestamps of written frames.
    """

    def test_evenlySpaced(self) -> None:
        """
        Frames written a little early, a little late, or all at once get evenly spaced
        timestamps.
        """
        for moments in ([5.0, 5.01, 5.3, 5.31], [5.0] * 4):
            times = Times(10)
            found = [round(times.next(now), 6) for now in moments]
            self.assertEqual(found, [0.0, 0.1, 0.2, 0.3])

    def test_aSlowProgram(self) -> None:
        """
        If a program writes more slowly than its rate, timestamps follow the clock, so
        that the latency does not grow.
        """
        times = Times(10)
        found = [round(times.next(5.0 + 0.5 * number), 6) for number in range(4)]
        self.assertEqual(found, [0.0, 0.5, 1.0, 1.5])

    def test_itsOwnTimes(self) -> None:
        """
        A program's own timestamps may begin anywhere, and their steps are kept.
        """
        times = Times(10)
        found = [times.next(5.0, at) for at in (100.0, 100.25, 104.0, 99.0)]
        self.assertEqual(found, [0.0, 0.25, 4.0, 0.0])


class EncoderTests(SynchronousTestCase):
    """
    Arrays encoded as frames.
    """

    def test_eachArrayIsAFrameAtOnce(self) -> None:
        """
        Each array is one frame at once, after the metadata and the sequence header. An
        encoder that begins again starts with a key frame.
        """
        encoder = ArrayEncoder((64, 48), 25.0, "gray", {"codec": "libx264"})
        for _turn in range(2):
            (metadata,) = encoder.begin()
            self.assertEqual(metadata.name, "onMetaData")
            made = []
            for number in range(3):
                array = encoder.check(numpy.full((48, 64), number, numpy.uint8))
                made += encoder.encode(array, number / 25)
            self.assertEqual(
                [(frame.role, frame.isKey, frame.timestamp) for frame in made],
                [
                    (Role.CONFIG, False, 0),
                    (Role.CODED, True, 0),
                    (Role.CODED, False, 40),
                    (Role.CODED, False, 80),
                ],
            )
            self.assertEqual(encoder.finish(), [])

    def test_aPartOfAnArray(self) -> None:
        """
        A slice or a reversed view of an array is encoded as it looks.
        """
        encoder = ArrayEncoder((4, 2), 25.0, "bgr24", {"codec": "libx264"})
        array = numpy.arange(96, dtype=numpy.uint8).reshape(4, 8, 3)[::-2, ::2]
        self.assertEqual(encoder.check(array).tolist(), array.tolist())
        self.assertTrue(encoder.check(array).flags.c_contiguous)


class RefusedTests(SynchronousTestCase):
    """
    Options that are refused before anything is opened.
    """

    def test_captures(self) -> None:
        """
        Bad options of a capture are each refused with a sentence.
        """
        url = "rtmp://127.0.0.1:0/live/cam"
        cases: list[tuple[str, dict[str, Any]]] = [
            ("a capture gives bgr24, rgb24 or gray, not 'rgb'", {"format": "rgb"}),
            ("'pictures' is not one of video, audio, both", {"media": "pictures"}),
            ("size is width and height, such as .*, not 640", {"size": 640}),
            ("frame rate -1", {"fps": -1}),
            ("a capture cannot play from port 0", {"pull": True}),
        ]
        for words, options in cases:
            with self.assertRaisesRegex(ValueError, words):
                capture(url, **options)
        with self.assertRaisesRegex(ValueError, "listens at rtmp:// only"):
            capture("rtmps://127.0.0.1/live/cam")

    def test_writers(self) -> None:
        """
        Bad options of a writer are each refused with a sentence.
        """
        url = "rtmp://127.0.0.1:1/live/out"
        cases: list[tuple[str, dict[str, Any]]] = [
            ("size is width and height, such as .*, not 640", {"size": 640}),
            ("width and height must be even, .*; 65x48 is not", {"size": (65, 48)}),
            ("a writer's rate is in frames per second", {"rate": 0}),
            ("a writer takes bgr24, rgb24 or gray, not 'bgra'", {"format": "bgra"}),
            ("has no video encoder 'x264'", {"codec": "x264"}),
            ("has no option bitrate", {"options": {"bitrate": 1000}}),
        ]
        for words, options in cases:
            with self.assertRaisesRegex(ValueError, words):
                writer(url, **{"size": (64, 48), **options})


class DoorTests(SynchronousTestCase):
    """
    Who may publish to a capture, and what the capture reports about it.
    """

    def setUp(self) -> None:
        self.clock = ThreadClock()
        self.home = ReactorThread(self.clock, threading.current_thread())
        self.door = Door(self.home, "0.0.0.0", 1935)
        self.intake = Intake(self.home, "live/cam", "key=1", Options())
        self.door.enter(self.intake)
        self.intake.openedAt(self.door)

    def request(self, stream: str, query: str = "key=1") -> PublishRequested:
        """
        @return: a publish request by an encoder.
        """
        return PublishRequested(1, 1, "live", stream, query, "OBS")

    def test_itsPublisher(self) -> None:
        """
        A publisher with the capture's stream name and query is accepted.
        """
        self.assertEqual(self.intake.why, "nobody has connected to 0.0.0.0:1935")
        permit = self.door.authorizePublish(self.request("cam"), "192.0.2.7:5")
        self.assertEqual((permit.app, permit.stream), ("live", "cam"))

    def test_others(self) -> None:
        """
        Other publishers, and all players, are refused with a reason, and the program
        can read it.
        """
        with self.assertRaisesRegex(NotAllowed, "reads live/cow here, only live/cam"):
            self.door.authorizePublish(self.request("cow"), "192.0.2.7:5")
        self.assertEqual(
            self.intake.why,
            "192.0.2.7:5 tried to publish live/cow, which no capture here reads",
        )
        with self.assertRaisesRegex(NotAllowed, "query after the question mark"):
            self.door.authorizePublish(self.request("cam", "key=2"), "192.0.2.7:5")
        self.assertIn("did not send", self.intake.why)
        viewer = PlayRequested(1, 1, "live", "cam", "key=1", -2.0, -1.0, False)
        with self.assertRaisesRegex(NotAllowed, "receives streams only"):
            self.door.authorizePlay(viewer, "192.0.2.7:5")


class ReactorClock(ThreadClock):
    """
    A clock that ignores the end of the reactor.
    """

    def addSystemEventTrigger(self, *trigger: object) -> None:
        """
        Do nothing.
        """


class WhyTests(SynchronousTestCase):
    """
    What a capture says it waits for while its publisher comes, sends and leaves.
    """

    def setUp(self) -> None:
        self.clock = ReactorClock()
        self.home = ReactorThread(self.clock, threading.current_thread())
        self.door = Door(self.home, "0.0.0.0", 1935)
        self.hub = self.door.server.hub

    def intake(self, **options: Any) -> Intake:
        """
        @return: an intake that waits for its publisher.
        """
        intake = Intake(self.home, "live/cam", "", Options(**options))
        self.door.enter(intake)
        intake.openedAt(self.door)
        self.addCleanup(self.end, intake)
        return intake

    def end(self, intake: Intake) -> None:
        """
        End an intake, and check that nothing is left.
        """
        self.successResultOf(self.clock.waitFor(intake.end("it was closed")))
        self.assertEqual((intake.state, intake.why), ("ended", "it was closed"))
        self.assertEqual(intake.waiting, 0)

    def publish(self, *frames: Frame) -> Stream:
        """
        @return: a stream that has received these frames.
        """
        self.source = Source(self.clock, "192.0.2.7:5")
        stream = self.hub.publish("live", "cam", self.source)
        for frame in frames:
            stream.frameReceived(frame)
        return stream

    def test_noFrameYet(self) -> None:
        """
        If only audio has arrived, the capture waits for a video frame.
        """
        intake = self.intake()
        self.publish(audioFrame(0))
        self.assertEqual(intake.state, "live")
        self.assertEqual(
            intake.why, "192.0.2.7:5 publishes it, but has sent no video frame yet"
        )
        self.assertEqual(intake.counts.received, 0)

    def test_noKeyFrameYet(self) -> None:
        """
        If only other video frames have arrived, the capture waits for a key frame, and
        counts the others.
        """
        intake = self.intake()
        self.publish(videoFrame(0, False), videoFrame(40, False))
        self.assertEqual(
            intake.why, "192.0.2.7:5 publishes it, but has sent no key frame yet"
        )
        self.assertEqual(intake.counts.received, 2)

    def test_nothingDecoded(self) -> None:
        """
        If no frame could be decoded, the capture says so.
        """
        intake = self.intake()
        self.publish(videoFrame(0, True))
        self.assertEqual(
            intake.why,
            "192.0.2.7:5 publishes it, but none of its frames could be decoded yet",
        )

    def test_goneAndBack(self) -> None:
        """
        If the publisher leaves, the capture says why, and continues when it comes back.
        """
        intake = self.intake()
        stream = self.publish()
        self.hub.sourceLost(stream, self.source, "the cable was pulled")
        self.assertEqual(intake.state, "waiting")
        self.assertEqual(
            intake.why,
            "the publisher disconnected: the cable was pulled; since then nobody has "
            "connected to 0.0.0.0:1935",
        )
        self.publish()
        self.assertEqual((intake.state, intake.counts.streams), ("live", 2))

    def test_aProgramThatTakesNothing(self) -> None:
        """
        If the program reads no frames, a capture of every frame keeps a few streams and
        then refuses the next publisher. A capture of the newest frame keeps one.
        """
        every, newest = self.intake(every=True), self.intake()
        request = PublishRequested(1, 1, "live", "cam", "", "OBS")
        for _turn in range(MAX_STREAMS):
            self.door.authorizePublish(request, "192.0.2.7:5")
            stream = self.publish(*makeFrames(audio=False))
            self.hub.sourceLost(stream, self.source, "gone")
        self.assertEqual((every.waiting, newest.waiting), (MAX_STREAMS, 1))
        with self.assertRaisesRegex(NotAllowed, "is not reading its frames"):
            self.door.authorizePublish(request, "192.0.2.7:5")


class HomeTests(SynchronousTestCase):
    """
    Threads and processes in which a capture may not block.
    """

    def test_theReactorsThread(self) -> None:
        """
        In the reactor's thread, the error names the asynchronous function to use
        instead.
        """
        home = ReactorThread(ThreadClock(), threading.current_thread())
        with self.assertRaisesRegex(RuntimeError, "use rtmptw.captureAsync here"):
            home.check("a capture", "captureAsync")

    def test_aFork(self) -> None:
        """
        After a fork, the error says that the capture belongs to the parent process.
        """
        home = ReactorThread(ThreadClock(), None)
        self.patch(os, "getpid", lambda: -1)
        with self.assertRaisesRegex(RuntimeError, "belongs to the process"):
            home.check("a capture", "captureAsync")


class AwaitedTests(SynchronousTestCase):
    """
    A Deferred awaited in an asyncio task, and in a Twisted coroutine that a task calls.
    """

    def test_aTaskWaits(self) -> None:
        """
        A task that awaits a Deferred gets its result, or its failure as an exception.
        """

        async def main() -> None:
            good: Deferred[int] = Deferred()
            asyncio.get_running_loop().call_soon(good.callback, 7)
            self.assertEqual(await Awaited(good), 7)
            bad: Deferred[int] = Deferred()
            asyncio.get_running_loop().call_soon(bad.errback, ValueError("no"))
            with self.assertRaisesRegex(ValueError, "no"):
                await Awaited(bad)

        asyncio.run(main())

    def test_aTaskIsCancelled(self) -> None:
        """
        When the task is cancelled, the Deferred is cancelled.
        """
        cancelled: list[Deferred[int]] = []

        async def main() -> None:
            waiting: Deferred[int] = Deferred(cancelled.append)
            with self.assertRaises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await Awaited(waiting)

        asyncio.run(main())
        self.assertEqual(len(cancelled), 1)

    def test_TwistedWaitsInATask(self) -> None:
        """
        A Twisted coroutine that a task has called awaits a Deferred as Twisted does,
        without asyncio.
        """

        async def twisted(waiting: "Deferred[int]") -> int:
            return await Awaited(waiting) + 1

        async def main() -> None:
            loop = asyncio.get_running_loop()
            waiting: Deferred[int] = Deferred()
            coroutine = Deferred.fromCoroutine(twisted(waiting))
            loop.call_soon(waiting.callback, 7)
            self.assertEqual(await coroutine.asFuture(loop), 8)

        asyncio.run(main())
