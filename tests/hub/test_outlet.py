"""
Tests of the hub's side of a sink.
"""

from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IPushProducer
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from rtmptw.delivery import (
    DISCONNECT,
    LATEST,
    LOSSLESS,
    PROCESS_ENDED,
    TO_KEYFRAME,
    Delivery,
    Policy,
)
from rtmptw.frames import Frame, FrameKind, Role, StreamInfo
from rtmptw.hub.ledger import (
    AWAITING_KEYFRAME,
    DETACHED,
    NOT_NEWEST,
    SINK_FAILED,
    SUPERSEDED,
    TOO_SLOW,
)
from rtmptw.hub.multicast import Multicast
from rtmptw.hub.outlet import Outlet, OutletOwner
from rtmptw.interfaces import IMulticastTarget
from rtmptw.testing import (
    RecordingSink,
    audioFrame,
    makeFrames,
    makeStreamInfo,
    videoFrame,
)


class BrokenSink(RecordingSink):
    """
    Fails at the third frame.
    """

    def frameReceived(self, frame: Frame) -> None:
        super().frameReceived(frame)
        if len(self.frames) == 3:
            raise RuntimeError("broken on purpose")


def metadata(timestamp: int = 0, text: bytes = b"a") -> Frame:
    """
    An onMetaData message.
    """
    return Frame(FrameKind.DATA, timestamp, text, Role.DATA, name="onMetaData")


class Owner(OutletOwner):
    """
    Stands in for the stream: records what outlets ask of it.

    @ivar pressure: whether the outlet was full, at each change.
    @ivar left: the outlets that have ended before the stream.
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__(makeStreamInfo(), clock.seconds)
        self.pressure: list[bool] = []
        self.left: list[Outlet] = []

    def pressureChanged(self, outlet: Outlet) -> None:
        self.pressure.append(outlet.full)

    def outletEnded(self, outlet: Outlet) -> None:
        self.left.append(outlet)

    def join(self, outlet: Outlet, target: IMulticastTarget) -> Multicast:
        raise AssertionError("no sink here may be joined with others")

    def part(self, outlet: Outlet, multicast: Multicast) -> None:
        raise AssertionError("no sink here was joined with others")


class OutletTests(SynchronousTestCase):
    """
    Delivery by policy, with an exact ledger.
    """

    def open(self, sink: RecordingSink) -> Outlet:
        """
        An outlet of a started sink.
        """
        self.clock = Clock()
        owner = Owner(self.clock)
        self.pressure = owner.pressure
        self.left = owner.left
        outlet = Outlet("test", sink, owner)
        outlet.start()
        return outlet

    def offer(self, outlet: Outlet, *frames: Frame) -> None:
        """
        Offer frames; the ledger must balance after each.
        """
        for frame in frames:
            outlet.offer(frame)
            self.assertTrue(outlet.ledger.balanced)

    def test_deliversAtOnce(self) -> None:
        """
        A sink that is not full gets each frame immediately.
        """
        sink = RecordingSink()
        outlet = self.open(sink)
        self.assertFalse(outlet.isViewer)
        frames = makeFrames()
        self.offer(outlet, *frames)
        self.assertEqual(sink.frames, frames)
        self.assertEqual(outlet.ledger.delivered, len(frames))
        self.assertEqual(outlet.ledger.firstTimestamp, 0)
        self.assertEqual(outlet.ledger.lastTimestamp, frames[-1].timestamp)
        self.assertEqual(
            outlet.ledger.bytes, sum(len(frame.payload) for frame in frames)
        )

    def test_whatComesToNothing(self) -> None:
        """
        Frames that a sink has accepted and lost count as dropped, and so do their
        bytes.
        """
        sink = RecordingSink()
        outlet = self.open(sink)
        frames = makeFrames()
        self.offer(outlet, *frames)
        size = frames[-1].size + frames[-2].size
        outlet.framesDropped(PROCESS_ENDED, 2, size)
        ledger = outlet.ledger
        self.assertTrue(ledger.balanced)
        self.assertEqual(ledger.dropped, {"process-ended": 2})
        self.assertEqual(ledger.delivered, len(frames) - 2)
        self.assertEqual(ledger.bytes, sum(one.size for one in frames) - size)

    def test_losslessPausesTheSource(self) -> None:
        """
        The outlet of a lossless sink is full above its limits, and no longer full below
        half of them. No frame is lost, and the order is kept.
        """
        sink = RecordingSink(Delivery(Policy.LOSSLESS, 0, 0, 10))
        outlet = self.open(sink)
        outlet.pauseProducing()
        frames = makeFrames()
        self.offer(outlet, *frames[:10])
        self.assertEqual(self.pressure, [])
        self.offer(outlet, *frames[10:15])
        self.assertEqual(self.pressure, [True])
        outlet.resumeProducing()
        self.assertEqual(self.pressure, [True, False])
        self.assertEqual(sink.frames, frames[:15])

    def test_bytesCountToo(self) -> None:
        """
        The limit in bytes alone makes a sink full.
        """
        outlet = self.open(RecordingSink(Delivery(Policy.LOSSLESS, 0, 1000, 0)))
        outlet.pauseProducing()
        self.offer(outlet, videoFrame(0, True, 1000))
        self.assertFalse(outlet.full)
        self.offer(outlet, videoFrame(1, False, 9))
        self.assertTrue(outlet.full)

    def test_losslessIgnoresMediaTime(self) -> None:
        """
        An encoder faster than real time sends minutes in a second: that does not fill a
        recorder.
        """
        outlet = self.open(RecordingSink(LOSSLESS))
        outlet.pauseProducing()
        self.offer(outlet, videoFrame(0, True), videoFrame(600_000, True))
        self.assertFalse(outlet.full)

    def test_aSinkThatPausesWhileItTakes(self) -> None:
        """
        A sink can pause during the call that fills it, and resume during the call that
        empties it.
        """
        sink = RecordingSink()
        outlet = self.open(sink)
        received = sink.frameReceived

        def slowly(frame: Frame) -> None:
            received(frame)
            outlet.pauseProducing()

        sink.frameReceived = slowly  # type: ignore[method-assign]
        frames = makeFrames(seconds=0.2)
        self.offer(outlet, *frames)
        self.assertEqual(sink.frames, frames[:1])
        for count in range(2, len(frames) + 1):
            outlet.resumeProducing()
            self.assertEqual(sink.frames, frames[:count])
        self.assertEqual(outlet.ledger.queued, 0)

    def test_aFrameThatComesWhileASinkTakesOne(self) -> None:
        """
        A sink that causes the next frame while it handles one gets it afterwards, even
        if it resumes meanwhile; if it is full, later.
        """
        for isPausing, isResuming in ((False, False), (True, True), (True, False)):
            sink = RecordingSink()
            outlet = self.open(sink)
            received = sink.frameReceived
            frames = makeFrames(seconds=0.2)
            coming = list(frames)
            begun: list[Frame] = []

            def busily(
                frame: Frame,
                isPausing: bool = isPausing,
                isResuming: bool = isResuming,
                outlet: Outlet = outlet,
                received: Any = received,
                coming: list[Frame] = coming,
                begun: list[Frame] = begun,
            ) -> None:
                begun.append(frame)
                if coming:
                    if isPausing:
                        outlet.pauseProducing()
                    outlet.offer(coming.pop(0))
                    if isResuming:
                        outlet.resumeProducing()
                received(frame)

            sink.frameReceived = busily  # type: ignore[method-assign]
            outlet.offer(coming.pop(0))
            if isPausing and not isResuming:
                self.assertEqual(sink.frames, frames[:1])
                self.assertEqual(outlet.ledger.queued, 1)
                while outlet.ledger.queued:
                    outlet.resumeProducing()
            self.assertEqual(begun, frames)
            self.assertEqual(sink.frames, frames)
            self.assertTrue(outlet.ledger.balanced)

    def test_aSinkThatIsFullOfWhatCameMeanwhile(self) -> None:
        """
        It gets no more of them than it has room for.
        """
        sink = RecordingSink()
        outlet = self.open(sink)
        received = sink.frameReceived
        frames = makeFrames(seconds=0.2)

        def busily(frame: Frame) -> None:
            received(frame)
            if frame is frames[0]:
                outlet.offer(frames[1])
                outlet.offer(frames[2])
            else:
                outlet.pauseProducing()

        sink.frameReceived = busily  # type: ignore[method-assign]
        outlet.offer(frames[0])
        self.assertEqual(sink.frames, frames[:2])
        self.assertEqual(outlet.ledger.queued, 1)

    def test_aFrameThatComesWhenTheSourceMayGoOn(self) -> None:
        """
        The source sends at once, while other frames are still queued: the new frame
        comes after them.
        """
        sink = RecordingSink(Delivery(Policy.LOSSLESS, 0, 0, 2))
        self.clock = Clock()
        frames = [audioFrame(n) for n in range(4)]

        class Eager(Owner):
            def pressureChanged(self, outlet: Outlet) -> None:
                super().pressureChanged(outlet)
                if not outlet.full:
                    outlet.offer(frames[3])

        owner = Eager(self.clock)
        outlet = Outlet("test", sink, owner)
        outlet.start()
        outlet.pauseProducing()
        self.offer(outlet, *frames[:3])
        outlet.resumeProducing()
        self.assertEqual(owner.pressure, [True, False])
        self.assertEqual(sink.frames, frames)

    def test_whoeverWaitsForTheEnd(self) -> None:
        """
        All callers are told when the sink has finished.
        """
        sink = RecordingSink()
        sink.finished = Deferred()
        outlet = self.open(sink)
        waiting = outlet.whenEnded()
        outlet.detach("enough")
        self.assertNoResult(waiting)
        sink.finished.callback(None)
        self.successResultOf(waiting)

    def test_dropsToTheNextKeyframe(self) -> None:
        """
        A slow viewer gets the frames there was room for, and then a key frame: no frame
        is delivered without those it depends on. Audio is dropped with its video.
        """
        sink = RecordingSink(Delivery(Policy.TO_KEYFRAME, 0, 0, 10))
        outlet = self.open(sink)
        self.offer(outlet, videoFrame(0, True))
        outlet.pauseProducing()
        self.offer(outlet, *[videoFrame(n * 40) for n in range(1, 13)])
        self.assertEqual(outlet.ledger.dropped, {TOO_SLOW: 1, AWAITING_KEYFRAME: 1})
        outlet.resumeProducing()
        self.offer(
            outlet,
            audioFrame(481),
            videoFrame(520, True),
            audioFrame(521),
            videoFrame(560),
        )
        self.assertEqual(
            [frame.timestamp for frame in sink.frames],
            [*range(0, 440, 40), 520, 521, 560],
        )
        self.assertEqual(outlet.ledger.dropped, {TOO_SLOW: 1, AWAITING_KEYFRAME: 2})

    def test_dropsWholeGroups(self) -> None:
        """
        If there is a key frame in the queue, its group is dropped, and all frames
        before it are kept.
        """
        sink = RecordingSink(Delivery(Policy.TO_KEYFRAME, 0, 0, 10))
        outlet = self.open(sink)
        outlet.pauseProducing()
        self.offer(outlet, *[videoFrame(n * 40, n % 4 == 0) for n in range(14)])
        outlet.resumeProducing()
        self.offer(outlet, *[videoFrame(n * 40, n % 4 == 0) for n in range(14, 20)])
        self.assertEqual(
            [frame.timestamp // 40 for frame in sink.frames],
            [*range(8), *range(12, 20)],
        )
        # 8 to 10 when there was no more room, and 11 after them.
        self.assertEqual(outlet.ledger.dropped, {TOO_SLOW: 3, AWAITING_KEYFRAME: 1})

    def test_audioBeforeTheVideo(self) -> None:
        """
        A late viewer gets audio at once, and video from the next key frame.
        """
        sink = RecordingSink(TO_KEYFRAME)
        outlet = self.open(sink)
        outlet.awaitKeyframe(1000)
        frames = [audioFrame(1010), videoFrame(1020), videoFrame(1060, True)]
        self.offer(outlet, *frames)
        self.assertEqual(sink.frames, [frames[0], frames[2]])
        self.assertEqual(outlet.ledger.dropped, {AWAITING_KEYFRAME: 1})

    def test_patienceEnds(self) -> None:
        """
        A viewer that has not caught up in time is detached; the reason says how far
        behind it was and what it lost.
        """
        sink = RecordingSink(Delivery(Policy.TO_KEYFRAME, 0, 0, 10, patience=5))
        outlet = self.open(sink)
        outlet.pauseProducing()
        for number in range(12):
            self.offer(outlet, videoFrame(number * 40, number == 0))
            self.clock.advance(0.0625)
        self.clock.advance(4.8)
        self.offer(outlet, videoFrame(480))
        self.assertEqual(outlet.ended, "")
        self.clock.advance(0.2)
        self.offer(outlet, videoFrame(520))
        self.assertEqual(
            outlet.ended,
            "too slow for 5 s: up to 625 ms and 1100 bytes behind, 14 frames dropped",
        )
        self.assertEqual(self.left, [outlet])
        self.assertEqual(sink.ended, [outlet.ended])
        self.assertTrue(outlet.ledger.balanced)

    def test_whoCatchesUpIsForgiven(self) -> None:
        """
        The time starts again after the viewer has caught up, and one line says how far
        behind it was.
        """
        sink = RecordingSink(Delivery(Policy.TO_KEYFRAME, 0, 0, 10, patience=5))
        outlet = self.open(sink)
        lines: list[str] = []

        def observe(event: dict[str, Any]) -> None:
            lines.append(formatEvent(event))

        globalLogPublisher.addObserver(cast(ILogObserver, observe))
        self.addCleanup(globalLogPublisher.removeObserver, cast(ILogObserver, observe))
        for begin in (0, 100, 200):
            outlet.pauseProducing()
            for number in range(12):
                self.offer(outlet, videoFrame((begin + number) * 40, number == 0))
                self.clock.advance(0.0625)
            self.clock.advance(2.875)
            outlet.resumeProducing()
        self.assertEqual(outlet.ended, "")
        self.assertEqual(
            lines,
            [
                "live/test: test was too slow and has caught up after 3.0 s: up to "
                "625 ms and 1100 bytes behind, 2 frames dropped"
            ],
        )

    def test_whoeverWasNotBehind(self) -> None:
        """
        If it was not behind, an empty queue is not logged as catching up.
        """
        sink = RecordingSink(TO_KEYFRAME)
        outlet = self.open(sink)
        events: list[Any] = []
        observe = cast(ILogObserver, events.append)
        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        outlet.pauseProducing()
        self.offer(outlet, *makeFrames(seconds=0.2))
        outlet.resumeProducing()
        self.assertEqual(outlet.ledger.queued, 0)
        self.assertEqual(events, [])

    def test_timeIsBounded(self) -> None:
        """
        No frame waits longer than two seconds for a viewer.
        """
        outlet = self.open(RecordingSink(TO_KEYFRAME))
        outlet.pauseProducing()
        now = 0
        waited = 0
        for frame in makeFrames(seconds=20):
            if frame.timestamp > now:
                self.clock.advance((frame.timestamp - now) / 1000)
                now = frame.timestamp
            self.offer(outlet, frame)
            waiting = [f for f in outlet._backlog._queue if not f.isHeader]
            if waiting:
                waited = waiting[-1].timestamp - waiting[0].timestamp
                self.assertLessEqual(waited, 2000)
        self.assertGreater(waited, 1900)
        self.assertTrue(outlet.ledger.dropped)

    def test_unpacedIsNotBehind(self) -> None:
        """
        Minutes of media sent at once do not make a viewer slow.
        """
        sink = RecordingSink(TO_KEYFRAME)
        outlet = self.open(sink)
        frames = makeFrames(seconds=60)
        outlet.pauseProducing()
        self.offer(outlet, *frames)
        outlet.resumeProducing()
        self.assertEqual(sink.frames, frames)

    def test_whatASinkBeginsWithIsNeverDropped(self) -> None:
        """
        Ten seconds of a group of pictures do not count toward the limits of a viewer
        that receives them slowly; frames that arrive meanwhile do.
        """
        sink = RecordingSink(Delivery(Policy.TO_KEYFRAME, 0, 0, 10))
        outlet = self.open(sink)
        outlet.pauseProducing()
        first = [videoFrame(n * 40, n == 0) for n in range(250)]
        outlet.beginWith(first)
        self.assertEqual(outlet.ledger.queued, 250)
        self.offer(outlet, *[videoFrame(n * 40) for n in range(250, 261)])
        outlet.resumeProducing()
        self.assertEqual(
            [frame.timestamp // 40 for frame in sink.frames], list(range(260))
        )
        self.assertEqual(outlet.ledger.dropped, {TOO_SLOW: 1})
        self.assertTrue(outlet.ledger.balanced)

    def test_detachDropsTheBeginningToo(self) -> None:
        """
        A viewer that ends before it has received anything.
        """
        outlet = self.open(RecordingSink())
        outlet.pauseProducing()
        outlet.beginWith(makeFrames(seconds=1))
        outlet.detach("gone")
        self.assertTrue(outlet.ledger.balanced)
        self.assertEqual(outlet.ledger.queued, 0)

    def test_neverDropsHeaders(self) -> None:
        """
        However slow the viewer is, it gets every header.
        """
        sink = RecordingSink(Delivery(Policy.TO_KEYFRAME, 500, 2000, 8))
        outlet = self.open(sink)
        outlet.pauseProducing()
        frames = makeFrames(seconds=5)
        self.offer(outlet, metadata(), *frames)
        outlet.resumeProducing()
        self.assertEqual(sink.frames[:3], [sink.frames[0], *frames[:2]])
        self.assertEqual(sink.frames[0].name, "onMetaData")

    def test_headersAloneAreBoundedToo(self) -> None:
        """
        GStreamer repeats its metadata forever: the queue of a stalled viewer keeps only
        the last.
        """
        sink = RecordingSink(Delivery(Policy.TO_KEYFRAME, 0, 0, 8))
        outlet = self.open(sink)
        outlet.pauseProducing()
        for number in range(100):
            self.offer(outlet, metadata(number, b"%d" % number))
        self.assertLessEqual(outlet.ledger.queued, 8)
        outlet.resumeProducing()
        self.assertEqual(sink.frames[-1].payload, b"99")
        self.assertEqual(set(outlet.ledger.dropped), {SUPERSEDED})

    def test_audioOnlyDropsTheOldest(self) -> None:
        """
        Without video the newest audio is kept.
        """
        sink = RecordingSink(Delivery(Policy.TO_KEYFRAME, 0, 0, 5))
        outlet = self.open(sink)
        outlet.pauseProducing()
        self.offer(outlet, *[audioFrame(n * 23) for n in range(20)])
        outlet.resumeProducing()
        self.assertEqual(
            [frame.timestamp for frame in sink.frames], [n * 23 for n in range(15, 20)]
        )

    def test_latestKeepsOneOfEachTrack(self) -> None:
        """
        A sink that wants only current frames gets the newest video and audio frame.
        """
        sink = RecordingSink(LATEST)
        outlet = self.open(sink)
        outlet.pauseProducing()
        frames = makeFrames(seconds=1)
        self.offer(outlet, *frames)
        outlet.resumeProducing()
        self.assertEqual(sink.frames[:2], frames[:2])
        self.assertEqual(len(sink.frames), 4)
        self.assertEqual(
            {frame.kind: frame.timestamp for frame in sink.frames[2:]},
            {
                kind: max(f.timestamp for f in frames if f.kind is kind)
                for kind in (FrameKind.AUDIO, FrameKind.VIDEO)
            },
        )
        self.assertEqual(outlet.ledger.dropped, {NOT_NEWEST: len(frames) - 4})

    def test_disconnectsWhoIsTooSlow(self) -> None:
        """
        For sinks that prefer to be disconnected rather than lose frames.
        """
        sink = RecordingSink(Delivery(Policy.DISCONNECT, 0, 0, 5))
        outlet = self.open(sink)
        outlet.pauseProducing()
        self.offer(outlet, *[audioFrame(n * 23) for n in range(7)])
        self.assertEqual(sink.ended, ["too slow"])
        self.assertEqual(self.left, [outlet])
        self.assertEqual(outlet.ledger.received, 6)
        self.assertEqual(outlet.ledger.dropped, {TOO_SLOW: 6})
        self.assertEqual(DISCONNECT.policy, Policy.DISCONNECT)

    def test_anErrorInTheSink(self) -> None:
        """
        A sink that fails is ended, its traceback is logged, and the frame it failed on
        is counted.
        """
        sink = BrokenSink()
        outlet = self.open(sink)
        self.offer(outlet, *makeFrames())
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual(sink.ended, ["error in the sink"])
        self.assertEqual(outlet.ledger.dropped, {SINK_FAILED: 1})
        self.assertEqual(outlet.ledger.delivered, 2)
        self.assertEqual(self.left, [outlet])

    def test_anErrorWhileItDrains(self) -> None:
        """
        It makes no difference if the frame was queued; the rest of the queue is counted
        too, and the end is reported once.
        """
        sink = BrokenSink()
        outlet = self.open(sink)
        outlet.pauseProducing()
        self.offer(outlet, *makeFrames(seconds=0.2))
        received = outlet.ledger.received
        done = self.successResultOf(outlet.end("over"))
        self.assertIsNone(done)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual(len(sink.ended), 1)
        self.assertEqual(self.left, [])
        self.assertEqual(outlet.ledger.dropped, {SINK_FAILED: received - 2})
        self.assertTrue(outlet.ledger.balanced)

    def test_theEndComesAfterTheLastFrame(self) -> None:
        """
        Queued frames are delivered before the end, and the end waits for the sink.
        """
        sink = RecordingSink()
        sink.finished = Deferred()
        outlet = self.open(sink)
        outlet.pauseProducing()
        frames = makeFrames(seconds=0.2)
        self.offer(outlet, *frames)
        done = outlet.end("over")
        self.assertEqual(sink.frames, frames)
        self.assertEqual(sink.ended, ["over"])
        self.assertNoResult(done)
        sink.finished.callback(None)
        self.successResultOf(done)

    def test_detachDropsWhatWaits(self) -> None:
        """
        A sink that is detached gets nothing more; its queued frames are counted as
        dropped.
        """
        sink = RecordingSink()
        outlet = self.open(sink)
        outlet.pauseProducing()
        frames = makeFrames(seconds=0.2)
        self.offer(outlet, *frames)
        outlet.stopProducing()
        outlet.offer(frames[0])
        self.assertEqual(sink.frames, [])
        self.assertEqual(sink.ended, ["the sink stopped"])
        self.assertEqual(outlet.ledger.dropped, {DETACHED: len(frames)})
        self.assertTrue(outlet.ledger.balanced)

    def test_anErrorAtTheStart(self) -> None:
        """
        A sink that fails when its stream starts gets no frame.
        """
        sink = RecordingSink()

        def broken(stream: StreamInfo, producer: IPushProducer) -> None:
            raise RuntimeError("broken on purpose")

        sink.streamStarted = broken  # type: ignore[method-assign]
        outlet = self.open(sink)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        outlet.beginWith([videoFrame(0, True)])
        outlet.offer(videoFrame(0, True))
        self.assertEqual(sink.frames, [])
        self.assertEqual(outlet.ledger.received, 0)
        self.assertEqual(self.left, [outlet])

    def test_aSinkThatExits(self) -> None:
        """
        C{sys.exit()} in a sink ends only the sink, whenever it is called; the publisher
        is not affected.
        """

        def leave(*arguments: object) -> None:
            raise SystemExit("on purpose")

        for name in ("streamStarted", "frameReceived", "streamEnded"):
            sink = RecordingSink()
            setattr(sink, name, leave)
            outlet = self.open(sink)
            outlet.offer(videoFrame(0, True))
            self.successResultOf(outlet.end("over"))
            self.assertEqual(len(self.flushLoggedErrors(SystemExit)), 1, name)
            left = [] if name == "streamEnded" else [outlet]
            self.assertEqual(self.left, left, name)

    def test_anErrorAtTheEnd(self) -> None:
        """
        A sink that fails at its end, at once or later, is logged, and the end
        continues.
        """
        for result in (None, fail(RuntimeError("later"))):
            sink = RecordingSink()

            def ended(reason: str, result: Any = result) -> Any:
                if result is None:
                    raise RuntimeError("at once")
                return result

            sink.streamEnded = ended  # type: ignore[method-assign]
            self.successResultOf(self.open(sink).end("over"))
            self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_endingTwice(self) -> None:
        """
        Detaching an ended sink, or ending a detached one, tells the sink only once.
        """
        for first, second in (("end", "detach"), ("detach", "end")):
            sink = RecordingSink()
            outlet = self.open(sink)
            done = getattr(outlet, first)("over")
            self.assertIs(getattr(outlet, second)("again"), done)
            self.assertEqual(sink.ended, ["over"])

    def test_limitsBelowZero(self) -> None:
        """
        A limit cannot be negative.
        """
        with self.assertRaises(ValueError):
            Delivery(Policy.LATEST, maxFrames=-1)

    @given(
        st.sampled_from([Policy.LOSSLESS, Policy.TO_KEYFRAME, Policy.LATEST]),
        st.integers(0, 12),
        st.lists(st.sampled_from("kiahPR"), max_size=120),
    )
    def test_theBooksAlwaysBalance(
        self, policy: Policy, maxFrames: int, script: list[str]
    ) -> None:
        """
        In any sequence of frames, pauses and resumes, every frame is accounted for,
        order is kept, headers arrive, and no video frame arrives without its key frame.
        """
        sink = RecordingSink(Delivery(policy, 0, 0, maxFrames))
        outlet = self.open(sink)
        headers = 0
        for number, letter in enumerate(script):
            made: dict[str, Any] = {
                "k": lambda n=number: videoFrame(n, True),
                "i": lambda n=number: videoFrame(n),
                "a": lambda n=number: audioFrame(n),
                "h": lambda n=number: metadata(n),
            }
            if letter == "P":
                outlet.pauseProducing()
            elif letter == "R":
                outlet.resumeProducing()
            else:
                headers += letter == "h"
                outlet.offer(made[letter]())
            self.assertTrue(outlet.ledger.balanced)
        self.successResultOf(outlet.end("over"))
        self.assertTrue(outlet.ledger.balanced)
        self.assertEqual(outlet.ledger.queued, 0)
        self.assertEqual(outlet.ledger.delivered, len(sink.frames))
        stamps = [frame.timestamp for frame in sink.frames]
        self.assertEqual(stamps, sorted(stamps))
        if policy is Policy.LOSSLESS:
            self.assertEqual(outlet.ledger.dropped, {})
        if policy is Policy.TO_KEYFRAME:
            got = {frame.timestamp for frame in sink.frames}
            whole = True
            for number, letter in enumerate(script):
                if letter == "k":
                    whole = number in got
                elif letter == "i":
                    if number in got:
                        self.assertTrue(whole, f"frame {number} has lost its key")
                    else:
                        whole = False
