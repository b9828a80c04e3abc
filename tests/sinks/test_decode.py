"""
Tests for L{rtmptw.sinks.decode.sink}.
"""

import itertools
import os
import sys
import types
from datetime import timedelta
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from rtmptw._pyav.decoding import Decoder
from rtmptw.clock import wallClock
from rtmptw.delivery import Policy
from rtmptw.flv.body import frameFromMessage
from rtmptw.frames import Frame, FrameKind
from rtmptw.interfaces import IFrameSink, IFrameSinkFactory, IHubUser
from rtmptw.lane import Lane
from rtmptw.sinks.decode import decoding as _decoding
from rtmptw.sinks.decode.decoding import MAX_AUDIO, MAX_CODED, MAX_VIDEO, Wanted
from rtmptw.sinks.decode.loop import END_PATIENCE
from rtmptw.sinks.decode.sink import (
    DecodedFrame,
    DecodedFrames,
    DecodedStream,
    DecodeSink,
    DecodeSinkFactory,
    UserCode,
)
from rtmptw.testing import FrameSinkTestsMixin, RecordingProducer, makeStreamInfo
from tests._pyav.hashes import decodedByFFmpeg, hashOf
from tests._pyav.test_decoding import framesOf
from tests.live.media import H264_AAC, VIDEO_ONLY, Media, encode
from tests.sinks.test_file import HeldLane, ImmediateLane
from tests.test_lane import ThreadClock

STREAM = makeStreamInfo("live", "cam")


class Recorder:
    """
    A typical user class.
    """

    made: list["Recorder"] = []

    def __init__(self, stream: DecodedStream) -> None:
        self.stream = stream
        self.video: list[DecodedFrame] = []
        self.audio: list[DecodedFrame] = []
        self.reasons: list[str] = []
        self.made.append(self)

    def videoFrame(self, frame: DecodedFrame) -> None:
        self.video.append(frame)

    def audioFrame(self, frame: DecodedFrame) -> None:
        self.audio.append(frame)

    def ended(self, reason: str) -> None:
        self.reasons.append(reason)


class Listener:
    """
    A class that wants audio only, and has no method for the end.
    """

    def __init__(self, stream: DecodedStream) -> None:
        self.heard: list[DecodedFrame] = []
        Recorder.made.append(self)  # type: ignore[arg-type]

    def audioFrame(self, frame: DecodedFrame) -> None:
        self.heard.append(frame)


class Nothing:
    """
    A class without methods for frames.
    """


def ignore(frame: DecodedFrame, stream: DecodedStream) -> None:
    """
    A typical user function.
    """


class Lanes:
    """
    Makes lanes; those that call user code may be held.
    """

    def __init__(self, held: str = "") -> None:
        self._held = held
        self.made: list[Any] = []

    def __call__(self, reactor: Any, name: str) -> Any:
        isHeld = bool(self._held) and name.startswith(self._held)
        self.made.append((HeldLane if isHeld else ImmediateLane)(reactor, name))
        return self.made[-1]

    @property
    def held(self) -> HeldLane:
        """
        The held lane.
        """
        (lane,) = [lane for lane in self.made if isinstance(lane, HeldLane)]
        return lane


class SinkCase(SynchronousTestCase):
    """
    Makes sinks whose code is called at once.
    """

    def setUp(self) -> None:
        self.patch(Recorder, "made", [])
        self.clock = Clock()
        self.lanes = Lanes()
        self.producer = RecordingProducer()

    def sink(
        self, code: Any, detach: bool = False, hub: Any = None, **options: Any
    ) -> DecodeSink:
        """
        @return: a sink whose stream has started.
        """
        found = UserCode.fromObject("code", code)
        if found.objects is not None:
            options.setdefault("media", found.media())
        sink = DecodeSink(self.clock, found, Wanted(**options), detach, hub, self.lanes)
        sink.streamStarted(STREAM, self.producer)
        return sink

    def feed(self, sink: IFrameSink, path: str, end: bool = True) -> list[str]:
        """
        Pass a file to it, and the end.

        @return: what it logs at the end.
        """
        for frame in framesOf(path):
            sink.frameReceived(frame)
        if not end:
            return []
        with capturedLogs() as events:
            finished: Any = sink.streamEnded("over")
        self.successResultOf(finished)
        return [formatEvent(event) for event in events]


class CallTests(SinkCase):
    """
    Calls of functions and classes.
    """

    def test_aFunction(self) -> None:
        """
        It gets every video frame, with the stream; audio only on request.
        """
        got: list[Any] = []
        hub = object()
        sink = self.sink(lambda *both: got.append(both), hub=hub)
        path = encode(H264_AAC)
        said = self.feed(sink, path)
        wanted = decodedByFFmpeg(path)
        hashes = [hashOf(frame.image) for frame, _stream in got]
        self.assertEqual(hashes, wanted[FrameKind.VIDEO])
        frame, stream = got[0]
        self.assertEqual((stream.name, stream.info), ("live/cam", STREAM))
        self.assertIs(stream.hub, hub)
        self.assertIs(stream.reactor, self.clock)
        self.assertEqual((frame.kind, frame.track), (FrameKind.VIDEO, 0))
        self.assertTrue(frame.keyframe)
        self.assertIsNone(frame.samples)
        self.assertEqual([f.keyframe for f, _stream in got].count(True), 3)
        steps = {round(b.pts - a.pts, 9) for (a, _), (b, _) in itertools.pairwise(got)}
        self.assertEqual(steps, {0.04})
        self.assertIsNotNone(frame.arrived.tzinfo)
        self.assertEqual(
            said,
            ["live/cam: code got 60 of 60 decoded frames (60 video, 0 audio); over"],
        )

    def test_media(self) -> None:
        """
        For a function C{media} selects the frames.
        """
        path = encode(H264_AAC)
        wanted = decodedByFFmpeg(path)
        for media, count in (("audio", 113), ("both", 173), ("video", 60)):
            got: list[DecodedFrame] = []
            sink = self.sink(
                lambda frame, stream, got=got: got.append(frame), media=media
            )
            self.feed(sink, path)
            self.assertEqual(len(got), count)
            sound = [one for one in got if one.kind is FrameKind.AUDIO]
            if sound:
                hashes = [hashOf(one.samples) for one in sound]
                self.assertEqual(hashes, wanted[FrameKind.AUDIO])
                self.assertEqual({one.rate for one in sound}, {48000})
                self.assertIsNone(sound[0].image)
                self.assertTrue(sound[0].keyframe)

    def test_aClass(self) -> None:
        """
        One object is created for each stream; it gets the frames that it has methods
        for, and the end.
        """
        self.feed(self.sink(Recorder), encode(H264_AAC))
        self.feed(self.sink(Recorder), encode(VIDEO_ONLY))
        first, second = Recorder.made
        self.assertEqual((len(first.video), len(first.audio)), (60, 113))
        self.assertEqual((len(second.video), len(second.audio)), (60, 0))
        self.assertEqual(first.reasons, ["over"])
        self.assertEqual(first.stream.name, "live/cam")

    def test_whatAClassHasNoMethodForIsNotDecoded(self) -> None:
        """
        Other frames are not decoded.
        """
        sink = self.sink(Listener)
        self.feed(sink, encode(H264_AAC))
        (listener,) = Recorder.made
        self.assertEqual(len(listener.heard), 113)  # type: ignore[attr-defined]
        self.assertEqual(sink._decoding.counts.decoded[FrameKind.VIDEO], 0)

    def test_aStreamWithoutFrames(self) -> None:
        """
        An object is created, and told of the end.
        """
        sink = self.sink(Recorder)
        self.successResultOf(sink.streamEnded("nothing came"))
        self.assertEqual(Recorder.made[0].reasons, ["nothing came"])
        self.assertTrue(all(lane.closed for lane in self.lanes.made))

    def test_lanesAreClosed(self) -> None:
        """
        No thread is left at the end.
        """
        self.feed(self.sink(Recorder), encode(VIDEO_ONLY))
        self.assertEqual([lane.closed for lane in self.lanes.made], [True, True])

    def test_whatCannotBeDecodedIsSaidOnce(self) -> None:
        """
        It is logged once, and counted at the end.
        """
        sink = self.sink(ignore)
        with capturedLogs() as events:
            for number in range(3):
                body = b"\x14" + bytes(20)
                sink.frameReceived(_frame(number, body))
        self.assertEqual(
            [formatEvent(event) for event in events],
            ["live/cam: there is no decoder for VP6"],
        )
        with capturedLogs() as events:
            self.successResultOf(sink.streamEnded("over"))
        self.assertIn("3 coded frames not decoded", formatEvent(events[0]))


def _frame(timestamp: int, body: bytes) -> Frame:
    return frameFromMessage(FrameKind.VIDEO, timestamp, body)


class ErrorTests(SinkCase):
    """
    Exceptions in user code.
    """

    def test_continue(self) -> None:
        """
        Each is counted, the first is logged with its traceback, and all frames follow.
        """
        got = []

        def fail(frame: DecodedFrame, stream: DecodedStream) -> None:
            got.append(frame)
            raise ValueError(f"number {len(got)}")

        sink = self.sink(fail)
        said = self.feed(sink, encode(VIDEO_ONLY))
        self.assertEqual((len(got), sink.errors, sink.failure), (60, 60, ""))
        (failure,) = self.flushLoggedErrors(ValueError)
        self.assertEqual(str(failure.value), "number 1")
        self.assertIn("in fail", failure.getTraceback())
        self.assertIn("60 errors", said[-1])
        self.assertEqual(self.producer.calls, [])

    def test_someLater(self) -> None:
        """
        Another one is logged after a while.
        """

        def fail(frame: DecodedFrame, stream: DecodedStream) -> None:
            self.clock.advance(1.0)
            raise ValueError("again")

        self.feed(self.sink(fail), encode(VIDEO_ONLY))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 6)

    def test_detach(self) -> None:
        """
        The first one ends the sink; the object is still told of the end.
        """

        class Failing(Recorder):
            def videoFrame(self, frame: DecodedFrame) -> None:
                super().videoFrame(frame)
                raise ValueError("no")

        sink = self.sink(Failing, detach=True)
        for frame in framesOf(encode(VIDEO_ONLY)):
            sink.frameReceived(frame)
        self.assertEqual(sink.failure, "ValueError in code")
        self.assertEqual(self.producer.calls, ["stop"])
        self.successResultOf(sink.streamEnded("the sink stopped"))
        (made,) = Recorder.made
        self.assertEqual(len(made.video), 1)
        self.assertEqual(made.reasons, ["the sink stopped"])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_anObjectThatCannotBeMade(self) -> None:
        """
        The sink ends in any case; the stream continues.
        """

        class Unmade(Recorder):
            def __init__(self, stream: DecodedStream) -> None:
                raise RuntimeError("no model")

        sink = self.sink(Unmade)
        self.assertEqual(sink.failure, "RuntimeError in code")
        self.assertEqual(self.producer.calls, ["stop"])
        sink.frameReceived(framesOf(encode(VIDEO_ONLY))[0])
        self.successResultOf(sink.streamEnded("the sink stopped"))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_atTheEnd(self) -> None:
        """
        The sink ends all the same.
        """

        class Sulking(Recorder):
            def ended(self, reason: str) -> None:
                raise RuntimeError("no end")

        self.feed(self.sink(Sulking), encode(VIDEO_ONLY))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_exit(self) -> None:
        """
        User code that tries to end the process ends the sink.
        """

        def leave(frame: DecodedFrame, stream: DecodedStream) -> None:
            sys.exit("enough")

        sink = self.sink(leave)
        for frame in framesOf(encode(VIDEO_ONLY)):
            sink.frameReceived(frame)
        self.assertEqual((sink.failure, self.producer.calls), ("enough", ["stop"]))
        self.successResultOf(sink.streamEnded("the sink stopped"))
        self.assertEqual(len(self.flushLoggedErrors(SystemExit)), 1)

    def test_aBugInTheDecoder(self) -> None:
        """
        The sink ends, with a traceback in the log.
        """

        def broken(self: Decoder, *arguments: Any) -> None:
            raise KeyError("bug")

        self.patch(Decoder, "decode", broken)
        sink = self.sink(Recorder)
        sink.frameReceived(framesOf(encode(VIDEO_ONLY))[1])
        self.assertEqual((sink.failure, self.producer.calls), ("'bug'", ["stop"]))
        self.successResultOf(sink.streamEnded("the sink stopped"))
        self.assertEqual(Recorder.made[0].reasons, ["the sink stopped"])
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)


class PolicyTests(SinkCase):
    """
    User code that is slower than the stream.
    """

    def run_(self, policy: str) -> tuple[DecodeSink, list[float]]:
        """
        Pass a stream to code that does not return.
        """
        self.lanes = Lanes("call")
        got: list[float] = []
        sink = self.sink(lambda frame, stream: got.append(frame.pts), policy=policy)
        self.lanes.held.letGo()
        coded = [f for f in framesOf(encode(VIDEO_ONLY)) if f.kind is FrameKind.VIDEO]
        for frame in coded:
            sink.frameReceived(frame)
        return sink, got

    def playSlowly(self, media: str) -> tuple[int, int, list[FrameKind]]:
        """
        Pass video and audio to code that does not return, then release it.

        @return: how many audio frames had been decoded by then, how many calls there
            were in the end, and what the code got.
        """
        self.lanes = Lanes("call")
        got: list[FrameKind] = []
        sink = self.sink(lambda frame, stream: got.append(frame.kind), media=media)
        self.lanes.held.letGo()
        for frame in framesOf(encode(H264_AAC)):
            sink.frameReceived(frame)
        decoded = sink._decoding.counts.decoded[FrameKind.AUDIO]
        finished = sink.streamEnded("over")
        calls = self.drain()
        self.successResultOf(finished)
        return decoded, calls, got

    def test_audio(self) -> None:
        """
        More audio frames than video frames may wait, and all are delivered in the end.
        """
        decoded, _calls, got = self.playSlowly("audio")
        self.assertTrue(MAX_AUDIO < decoded <= 2 * MAX_AUDIO, decoded)
        self.assertEqual(got, [FrameKind.AUDIO] * 113)

    def test_audioAndVideo(self) -> None:
        """
        Audio does not make the batches of video frames smaller.
        """
        _decoded, calls, got = self.playSlowly("both")
        self.assertLessEqual(calls, 60 / MAX_VIDEO + 5)
        self.assertEqual(
            (got.count(FrameKind.VIDEO), got.count(FrameKind.AUDIO)), (60, 113)
        )

    def drain(self) -> int:
        """
        @return: how many calls were waiting, one after another.
        """
        count = 0
        while self.lanes.held.held:
            self.lanes.held.letGo()
            count += 1
        return count

    def test_lossless(self) -> None:
        """
        A few decoded frames wait, the decoder stops, and coded frames wait; above the
        limit the producer is paused. Every video frame is delivered in the end.
        """
        self.patch(_decoding, "MAX_CODED", 20)
        sink, got = self.run_("lossless")
        self.assertEqual(self.producer.calls, ["pause"])
        # Frames passed to the code, and frames that wait.
        decoded = sink._decoding.counts.decoded[FrameKind.VIDEO]
        self.assertLessEqual(decoded, 2 * MAX_VIDEO + 1)
        finished = sink.streamEnded("over")
        self.drain()
        self.successResultOf(finished)
        self.assertEqual(got, [number / 25 for number in range(60)])
        self.assertEqual(sink._decoding.skipped, 0)

    def test_resume(self) -> None:
        """
        The producer is resumed at half of the limit.
        """
        self.patch(_decoding, "MAX_CODED", 20)
        sink, got = self.run_("lossless")
        while not got or self.producer.paused:
            waiting = len(sink._decoding._coded)
            self.lanes.held.letGo()
        self.assertEqual(self.producer.calls, ["pause", "resume"])
        self.assertGreater(waiting, 10)
        self.assertLessEqual(len(sink._decoding._coded), 10)
        finished = sink.streamEnded("over")
        self.drain()
        self.successResultOf(finished)

    def test_bytesCountToo(self) -> None:
        """
        There is a limit for bytes, too.
        """
        self.patch(_decoding, "MAX_CODED_BYTES", 1000)
        sink, _got = self.run_("lossless")
        self.assertEqual(self.producer.calls, ["pause"])
        self.assertLess(len(sink._decoding._coded), MAX_CODED)
        finished = sink.streamEnded("over")
        self.drain()
        self.successResultOf(finished)

    def test_latest(self) -> None:
        """
        All frames are decoded, and the code gets the latest when it returns.
        """
        sink, got = self.run_("latest")
        self.assertEqual((self.producer.calls, got), ([], []))
        self.lanes.held.letGo()
        self.assertEqual(len(got), 1)
        self.lanes.held.letGo()
        newest = got[-1]
        self.assertGreater(newest, 57 / 25)
        finished = sink.streamEnded("over")
        with capturedLogs() as events:
            self.drain()
        self.successResultOf(finished)
        self.assertEqual(got[-1], 59 / 25)
        decoded = sink._decoding.counts.decoded[FrameKind.VIDEO]
        self.assertEqual(decoded, 60)
        skipped = sink._decoding.skipped
        self.assertEqual(skipped + len(got), 60)
        self.assertIn(f", {skipped} skipped for newer ones;", formatEvent(events[-1]))

    def test_latestOfEachKind(self) -> None:
        """
        Audio frames do not replace video frames.
        """
        self.lanes = Lanes("call")
        got: list[DecodedFrame] = []
        sink = self.sink(
            lambda frame, stream: got.append(frame), policy="latest", media="both"
        )
        self.lanes.held.letGo()
        self.feed(sink, encode(H264_AAC), end=False)
        self.lanes.held.letGo()
        got.clear()
        self.lanes.held.letGo()
        self.assertEqual({one.kind for one in got}, {FrameKind.VIDEO, FrameKind.AUDIO})
        self.assertEqual(len(got), 2)
        finished = sink.streamEnded("over")
        self.drain()
        self.successResultOf(finished)

    def test_deliveries(self) -> None:
        """
        How the outlet queues coded frames: it drops none with lossless, and never one
        that a later frame depends on.
        """
        policies = {
            policy: Wanted(policy=policy).delivery.policy
            for policy in ("lossless", "latest", "to-keyframe")
        }
        self.assertEqual(
            policies,
            {
                "lossless": Policy.LOSSLESS,
                "latest": Policy.TO_KEYFRAME,
                "to-keyframe": Policy.TO_KEYFRAME,
            },
        )
        latest, toKey = (Wanted(policy=p).delivery for p in ("latest", "to-keyframe"))
        self.assertLess(latest.maxMilliseconds, toKey.maxMilliseconds)
        self.assertIs(self.sink(ignore, policy="latest").delivery, latest)

    def test_toKeyframe(self) -> None:
        """
        Frames that are not late are not skipped, and nothing waits.
        """
        self.patch(_decoding, "MAX_CODED", 20)
        sink, got = self.run_("to-keyframe")
        self.assertEqual(self.producer.calls, [])
        finished = sink.streamEnded("over")
        self.drain()
        self.successResultOf(finished)
        self.assertEqual(got, [number / 25 for number in range(60)])
        self.assertEqual(self.producer.dropped, {})

    def playLive(self, policy: str, seconds: float) -> list[tuple[float, DecodedFrame]]:
        """
        Pass 16 s of video in real time to code that takes C{seconds} for each frame.

        @return: what the code got, and how many seconds after it arrived.
        """
        start = wallClock()
        now = [start]
        got: list[tuple[float, DecodedFrame]] = []

        def code(frame: DecodedFrame, stream: DecodedStream) -> None:
            got.append(((now[0] - frame.arrived).total_seconds(), frame))
            now[0] += timedelta(seconds=seconds)

        self.lanes = Lanes("call")
        sink = DecodeSink(
            self.clock,
            UserCode.fromObject("code", code),
            Wanted(policy=policy),
            lane=self.lanes,
            now=lambda: now[0],
        )
        sink.streamStarted(STREAM, self.producer)
        self.lanes.held.letGo()
        media = Media(audio="", frames=400, options=VIDEO_ONLY.options)
        for frame in framesOf(encode(media)):
            came = start + timedelta(milliseconds=frame.timestamp)
            while now[0] < came and self.lanes.held.held:
                self.lanes.held.letGo()
            now[0] = max(now[0], came)
            sink.frameArrived(frame, came)
        finished = sink.streamEnded("over")
        with capturedLogs() as events:
            self.drain()
        self.successResultOf(finished)
        self.said = formatEvent(events[-1])
        return got

    def test_neverLaterThanItSays(self) -> None:
        """
        Code that is ten times too slow gets no frame older than two seconds; it
        continues with key frames, and skipped frames are counted.
        """
        got = self.playLive("to-keyframe", 0.4)
        latest = max(late for late, _frame in got)
        print(f"to-keyframe: {len(got)} of 400 pictures, {latest:.2f} s at most")
        self.assertLessEqual(latest, 2.0)
        self.assertGreater(len(got), 16 / 0.4 / 2)
        self.assertEqual(self.producer.dropped, {"too-slow": 400 - len(got)})
        self.assertIn("skipped because they were late", self.said)
        times = [round(frame.pts * 25) for _late, frame in got]
        for (before, after), (_late, frame) in zip(
            itertools.pairwise(times), got[1:], strict=True
        ):
            self.assertTrue(after == before + 1 or frame.keyframe, (before, after))

    def test_fastCodeIsNeverLate(self) -> None:
        """
        No frame is skipped if the code is fast enough.
        """
        got = self.playLive("to-keyframe", 0.03)
        self.assertEqual((len(got), self.producer.dropped), (400, {}))


class OptionTests(SinkCase):
    """
    The arguments of C{--sink=decode}.
    """

    def setUp(self) -> None:
        super().setUp()
        module = types.ModuleType("rtmptw_users_code")
        module.ignore = ignore  # type: ignore[attr-defined]
        module.Recorder = Recorder  # type: ignore[attr-defined]
        module.Listener = Listener  # type: ignore[attr-defined]
        module.Nothing = Nothing  # type: ignore[attr-defined]
        module.number = 5  # type: ignore[attr-defined]
        self.patch(sys, "modules", {**sys.modules, "rtmptw_users_code": module})

    def factory(self, text: str) -> DecodeSinkFactory:
        """
        @return: the factory of an argument string.
        """
        return DecodeSinkFactory.fromString(f"rtmptw_users_code.{text}")

    def result(self, options: str, path: str = "") -> list[DecodedFrame]:
        """
        @return: what a class gets with these arguments.
        """
        factory = self.factory(f"Recorder{options}")
        factory.startFactory(self.clock)
        sink = DecodeSink(
            self.clock,
            factory.code,
            factory.wanted,
            factory.detach,
            None,
            self.lanes,
        )
        sink.streamStarted(STREAM, self.producer)
        self.feed(sink, path or encode(VIDEO_ONLY))
        return Recorder.made[-1].video

    def test_theFactory(self) -> None:
        """
        It passes the reactor and the hub to its sinks.
        """
        factory = self.factory("ignore")
        self.assertTrue(verifyObject(IFrameSinkFactory, factory))
        self.assertTrue(verifyObject(IHubUser, factory))
        hub = object()
        factory.setHub(hub)
        factory.startFactory(self.clock)
        sink = factory.buildSink(STREAM)
        assert isinstance(sink, DecodeSink)
        self.assertEqual((sink._hub, sink._reactor), (hub, self.clock))
        factory.stopFactory()

    def test_format(self) -> None:
        """
        Frames are arrays, or PyAV's own.
        """
        self.assertEqual(self.result("")[0].image.format.name, "yuv420p")
        self.assertEqual(self.result(":format=native")[0].image.width, 96)
        bgr = self.result(":format=bgr24")[0].image
        self.assertEqual(bgr.shape, (64, 96, 3))
        rgb = self.result(":format=rgb24")[0].image
        self.assertTrue((rgb[:, :, ::-1] == bgr).all())
        self.assertEqual(self.result(":format=gray")[0].image.shape, (64, 96))

    def test_size(self) -> None:
        """
        Frames are scaled.
        """
        frames = self.result(":size=48x32:format=bgr24")
        self.assertEqual(frames[0].image.shape, (32, 48, 3))

    def test_fps(self) -> None:
        """
        There are fewer frames.
        """
        self.assertEqual(len(self.result(":fps=5")), 12)

    def test_keyframes(self) -> None:
        """
        Other frames are not even decoded.
        """
        self.assertEqual(len(self.result(":keyframes=1")), 3)
        self.assertEqual(len(self.result(":keyframes=0")), 60)

    def test_track(self) -> None:
        """
        The stream has no other track.
        """
        self.assertEqual(len(self.result(":track=0")), 60)
        self.assertEqual(self.result(":track=1"), [])

    def test_policy(self) -> None:
        """
        It also selects the delivery of the outlet.
        """
        self.assertEqual(self.factory("ignore").wanted.policy, "lossless")
        for policy in ("lossless", "latest", "to-keyframe"):
            wanted = self.factory(f"ignore:policy={policy}").wanted
            self.assertEqual(wanted.policy, policy)

    def test_media(self) -> None:
        """
        It applies to functions; for classes their methods decide.
        """
        media = {
            text: self.factory(text).wanted.media
            for text in (
                "ignore",
                "ignore:media=audio",
                "ignore:media=both",
                "Recorder",
                "Listener",
            )
        }
        self.assertEqual(
            list(media.values()), ["video", "audio", "both", "both", "audio"]
        )

    def test_onError(self) -> None:
        """
        The sink continues by default.
        """
        self.assertFalse(self.factory("ignore").detach)
        self.assertFalse(self.factory("ignore:onError=continue").detach)
        self.assertTrue(self.factory("ignore:onError=detach").detach)

    def test_refused(self) -> None:
        """
        Invalid arguments are refused with a message.
        """
        for text, said in (
            ("ignore:format=yuv", "not one of native, rgb24, bgr24, gray"),
            ("ignore:policy=disconnect", "not one of lossless, latest, to-keyframe"),
            ("ignore:size=big", "not like 640x360"),
            ("ignore:fps=0", "not a number of frames per second (0.001 or more)"),
            ("ignore:keyframes=yes", "keyframes 'yes' is not one of 0, 1"),
            ("ignore:track=300", "track '300' is not a whole number (0 to 255)"),
            ("ignore:track=-1", "not a whole number (0 to 255)"),
            ("ignore:media=text", "not one of video, audio, both"),
            ("ignore:onError=stop", "onError 'stop' is not one of continue, detach"),
            ("ignore:fps=5:fps=6", "got fps= twice"),
            ("ignore:speed=5", "has no option 'speed'"),
            ("ignore:latest", "has no option 'latest'"),
            ("Recorder:media=video", "media= is for functions"),
            ("Nothing", "neither videoFrame nor audioFrame"),
            ("number", "is neither a function nor a class: int"),
            ("missing", "Cannot import 'rtmptw_users_code.missing'"),
        ):
            error = self.assertRaises(UsageError, self.factory, text)
            self.assertIn(said, str(error))
            self.assertNotIn("\n", str(error))

    def test_nothingToCall(self) -> None:
        """
        The callable must be given.
        """
        for text in ("", ":format=gray", "format=gray"):
            error = self.assertRaises(UsageError, DecodeSinkFactory.fromString, text)
            self.assertIn("decode:package.module.callable", str(error))

    def test_importsThatFail(self) -> None:
        """
        A user's module may fail in any way.
        """
        with open("rtmptw_broken_code.py", "w") as file:
            file.write("1 / 0\n")
        self.patch(sys, "path", [".", *sys.path])
        for name, said in (
            ("rtmptw_broken_code.f", "ZeroDivisionError: division by zero"),
            ("rtmptw_no_such_module.f", "rtmptw_no_such_module"),
            ("rtmptw_users_code", "is a module; add a function"),
            ("..", "Cannot import '..'"),
        ):
            error = self.assertRaises(UsageError, DecodeSinkFactory.fromString, name)
            self.assertIn(said, str(error))
            self.assertNotIn("\n", str(error))


class IterationCase(SinkCase):
    """
    Makes frames for loops.
    """

    def frames(self, **options: Any) -> DecodedFrames:
        """
        @return: the started frames.
        """
        frames = DecodedFrames(self.clock, lane=self.lanes, **options)
        frames.streamStarted(STREAM, self.producer)
        return frames


class IterationTests(IterationCase):
    """
    Loops in a coroutine.
    """

    def loop(self, frames: DecodedFrames, most: int = 0) -> "Deferred[list[Any]]":
        """
        Take all frames, or a number of them.
        """

        async def take() -> list[Any]:
            got = []
            async for frame in frames:
                got.append(frame)
                if len(got) == most:
                    break
            return got

        return Deferred.fromCoroutine(take())

    def test_everyFrame(self) -> None:
        """
        The loop gets every video frame, and ends with the stream.
        """
        frames = self.frames(format="gray", size=(48, 32))
        looping = self.loop(frames)
        self.feed(frames, encode(VIDEO_ONLY))
        got = self.successResultOf(looping)
        self.assertEqual([one.pts for one in got], [n / 25 for n in range(60)])
        self.assertEqual({one.image.shape for one in got}, {(32, 48)})
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_options(self) -> None:
        """
        The options are those of the sink.
        """
        for options, count in (
            ({"fps": 5.0}, 12),
            ({"keyframes": True}, 3),
            ({"media": "audio"}, 113),
            ({"media": "both"}, 173),
            ({"track": 1}, 0),
        ):
            frames = self.frames(**options)
            looping = self.loop(frames)
            self.feed(frames, encode(H264_AAC))
            self.assertEqual(len(self.successResultOf(looping)), count)
        self.assertRaises(ValueError, self.frames, policy="newest")

    def test_aLoopThatComesLate(self) -> None:
        """
        It gets the first decoded frames; the rest is queued.
        """
        frames = self.frames()
        self.feed(frames, encode(VIDEO_ONLY), end=False)
        decoded = frames._decoding.counts.decoded[FrameKind.VIDEO]
        self.assertLessEqual(decoded, MAX_VIDEO)
        finished = frames.streamEnded("over")
        self.assertNoResult(finished)
        self.assertEqual(len(self.successResultOf(self.loop(frames))), 60)
        self.successResultOf(finished)

    def test_aLoopThatNeverComes(self) -> None:
        """
        It does not block the server's end for ever.
        """
        frames = self.frames()
        self.feed(frames, encode(VIDEO_ONLY), end=False)
        finished = frames.streamEnded("over")
        self.clock.advance(END_PATIENCE - 1)
        self.assertNoResult(finished)
        self.clock.advance(1)
        self.successResultOf(finished)
        self.assertEqual(self.successResultOf(self.loop(frames)), [])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_leaving(self) -> None:
        """
        C{break} detaches the sink, and queued frames are dropped.
        """
        frames = self.frames()
        self.feed(frames, encode(VIDEO_ONLY), end=False)
        got = self.successResultOf(self.loop(frames, 10))
        self.assertEqual(len(got), 10)
        self.assertEqual(self.producer.calls, ["stop"])
        self.successResultOf(frames.streamEnded("the sink stopped"))
        self.assertEqual(self.successResultOf(self.loop(frames)), [])
        self.assertEqual(self.producer.calls, ["stop"])

    def test_close(self) -> None:
        """
        A waiting loop ends.
        """
        frames = self.frames()
        looping = self.loop(frames)
        self.assertNoResult(looping)
        frames.close()
        frames.close()
        self.assertEqual(self.successResultOf(looping), [])
        self.assertEqual(self.producer.calls, ["stop"])
        self.successResultOf(frames.streamEnded("the sink stopped"))

    def test_cancel(self) -> None:
        """
        A coroutine cancelled while it waits leaves its loop.
        """
        frames = self.frames()
        looping = self.loop(frames)
        looping.cancel()
        self.failureResultOf(looping)
        self.assertEqual(self.producer.calls, ["stop"])
        self.successResultOf(frames.streamEnded("the sink stopped"))

    def test_oneLoop(self) -> None:
        """
        Two loops would take each other's frames.
        """
        frames = self.frames()
        first = self.loop(frames)
        self.failureResultOf(self.loop(frames), RuntimeError)
        # The coroutine has left its loop.
        self.assertEqual(self.successResultOf(first), [])
        self.successResultOf(frames.streamEnded("the sink stopped"))

    def test_latest(self) -> None:
        """
        A slow loop gets the latest frames.
        """
        frames = self.frames(policy="latest")
        self.feed(frames, encode(VIDEO_ONLY), end=False)
        finished = frames.streamEnded("over")
        got = self.successResultOf(self.loop(frames))
        self.assertEqual([one.pts for one in got], [59 / 25])
        self.successResultOf(finished)

    def test_aBugInTheDecoder(self) -> None:
        """
        The loop ends.
        """

        def broken(self: Decoder, *arguments: Any) -> None:
            raise KeyError("bug")

        self.patch(Decoder, "decode", broken)
        frames = self.frames()
        looping = self.loop(frames)
        frames.frameReceived(framesOf(encode(VIDEO_ONLY))[1])
        self.assertEqual(self.successResultOf(looping), [])
        self.assertEqual((frames.failure, self.producer.calls), ("'bug'", ["stop"]))
        self.successResultOf(frames.streamEnded("the sink stopped"))
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_neverAttached(self) -> None:
        """
        It can be closed.
        """
        DecodedFrames(self.clock).close()


class ThreadTests(SynchronousTestCase):
    """
    With real threads.
    """

    def test_theSink(self) -> None:
        """
        All video frames are delivered in order.
        """
        clock = ThreadClock()
        got: list[str] = []
        code = UserCode.fromObject(
            "code", lambda frame, stream: got.append(hashOf(frame.image))
        )
        sink = DecodeSink(clock, code, Wanted())
        sink.streamStarted(STREAM, RecordingProducer())
        path = encode(H264_AAC)
        for frame in framesOf(path):
            sink.frameReceived(frame)
        finished = sink.streamEnded("over")
        self.successResultOf(clock.waitFor(finished))
        self.assertEqual(got, decodedByFFmpeg(path)[FrameKind.VIDEO])

    def test_noThreadStays(self) -> None:
        """
        Neither decoder nor scaler keeps a thread, however often a stream starts and
        ends, and whatever still refers to its sink.
        """
        clock = ThreadClock()
        frames = framesOf(encode(VIDEO_ONLY))
        sinks = []
        counts = []
        for _stream in range(6):
            got: list[Any] = []
            code = UserCode.fromObject(
                "code", lambda frame, stream, got=got: got.append(frame.image.shape)
            )
            sink = DecodeSink(clock, code, Wanted(format="gray", size=(320, 240)))
            sinks.append(sink)
            sink.streamStarted(STREAM, RecordingProducer())
            for frame in frames:
                sink.frameReceived(frame)
            self.successResultOf(clock.waitFor(sink.streamEnded("over")))
            self.assertEqual(got, [(240, 320)] * VIDEO_ONLY.frames)
            counts.append(len(os.listdir("/proc/self/task")))
        # A thread that has just ended may still be listed; leaked ones add up.
        self.assertLess(counts[-1] - counts[0], 2, counts)

    def test_aLoop(self) -> None:
        """
        A plain loop in a thread of its own takes all frames.
        """
        clock = ThreadClock()
        frames = DecodedFrames(clock)
        frames.streamStarted(STREAM, RecordingProducer())
        lane = Lane(clock, "loop")
        looping = lane.run(lambda: [hashOf(one.image) for one in frames.iterate()])
        path = encode(H264_AAC)
        for frame in framesOf(path):
            frames.frameReceived(frame)
        finished = frames.streamEnded("over")
        got = self.successResultOf(clock.waitFor(looping))
        self.successResultOf(clock.waitFor(finished))
        lane.close()
        self.assertEqual(got, decodedByFFmpeg(path)[FrameKind.VIDEO])


class FunctionContractTests(FrameSinkTestsMixin, SynchronousTestCase):
    """
    The sink with a function fulfills the contract.
    """

    def makeSink(self) -> IFrameSink:
        return DecodeSink(
            Clock(),
            UserCode.fromObject("ignore", ignore),
            Wanted(media="both"),
            lane=Lanes(),
        )


class ClassContractTests(FrameSinkTestsMixin, SynchronousTestCase):
    """
    The sink with a class and the policy C{latest} fulfills the contract.
    """

    def makeSink(self) -> IFrameSink:
        return DecodeSink(
            Clock(),
            UserCode.fromObject("Recorder", Recorder),
            Wanted(media="both", policy="latest"),
            lane=Lanes(),
        )


class IterationContractTests(FrameSinkTestsMixin, SynchronousTestCase):
    """
    A sink whose loop never starts fulfills the contract.
    """

    def makeSink(self) -> IFrameSink:
        self.clock = Clock()
        return DecodedFrames(self.clock, media="both", lane=Lanes())

    def finish(self, finished: "Deferred[None] | None") -> None:
        self.clock.advance(END_PATIENCE)
        super().finish(finished)
