"""
Tests of streams and the hub.
"""

from datetime import UTC, datetime
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from rtmptw.delivery import TO_KEYFRAME, Delivery, Policy
from rtmptw.errors import NotAllowed
from rtmptw.frames import Frame, FrameKind, Role, StreamInfo
from rtmptw.hub import gop
from rtmptw.hub.hub import FEED_PATIENCE, STALE_SECONDS, StreamHub
from rtmptw.hub.stream import SinkReport
from rtmptw.interfaces import IFrameSink, IFrameSource
from rtmptw.plugins.sink import FrameSinkFactory
from rtmptw.testing import RecordingSink, audioFrame, makeFrames, videoFrame


@implementer(IFrameSource)
class Source:
    """
    A publisher's place holder: what a hub asks of it.
    """

    def __init__(self, clock: Clock, peer: str = "127.0.0.1:1000") -> None:
        self.peer = peer
        self.encoder = "test"
        self.isFed = False
        self.calls: list[str] = []
        self._clock = clock
        self.lastReceived = clock.seconds()

    def pauseSource(self) -> None:
        self.calls.append("pause")

    def resumeSource(self) -> None:
        self.calls.append("resume")

    def silentFor(self) -> float:
        return self._clock.seconds() - self.lastReceived

    def sourceReplaced(self, reason: str) -> None:
        self.calls.append(reason)


class SinkFactory(FrameSinkFactory):
    """
    Keeps the sinks it makes.
    """

    def __init__(self, delivery: Delivery | None = None) -> None:
        self.sinks: list[RecordingSink] = []
        self._delivery = delivery

    def buildSink(self, stream: StreamInfo) -> IFrameSink | None:
        sink = RecordingSink(self._delivery) if self._delivery else RecordingSink()
        self.sinks.append(sink)
        return sink


class BrokenFactory(FrameSinkFactory):
    """
    Cannot build.
    """

    def buildSink(self, stream: StreamInfo) -> IFrameSink | None:
        raise RuntimeError("cannot build, on purpose")


class PickyFactory(FrameSinkFactory):
    """
    Wants no stream.
    """

    def buildSink(self, stream: StreamInfo) -> IFrameSink | None:
        return None


class HubTests(SynchronousTestCase):
    """
    Arrivals, takeovers, departures.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.reports: list[SinkReport] = []
        self.sinks = SinkFactory()

    def newHub(self, graceTime: float = 0.0, gopCache: bool = True) -> StreamHub:
        """
        A hub with one recording sink a stream.
        """
        return StreamHub(
            self.clock,
            [("test", self.sinks)],
            graceTime=graceTime,
            gopCache=gopCache,
            sinkEnded=self.reports.append,
            wallClock=lambda: datetime(2026, 11, 22, tzinfo=UTC),
        )

    def test_everyFrameToEverySink(self) -> None:
        """
        Two sinks get all frames of a stream, and their books say so.
        """
        other = SinkFactory()
        hub = StreamHub(
            self.clock,
            [("one", self.sinks), ("two", other)],
            sinkEnded=self.reports.append,
        )
        source = Source(self.clock)
        stream = hub.publish("live", "cam", source)
        frames = makeFrames()
        for frame in frames:
            stream.frameReceived(frame)
        self.assertEqual(list(hub.streams), ["live/cam"])
        hub.sourceLost(stream, source, "gone")
        self.assertEqual(self.sinks.sinks[0].frames, frames)
        self.assertEqual(other.sinks[0].frames, frames)
        self.assertEqual(self.sinks.sinks[0].ended, ["gone"])
        self.assertEqual(hub.streams, {})
        self.assertEqual(
            [(r.stream, r.sink, r.ledger.delivered, r.ended) for r in self.reports],
            [
                ("live/cam", "one", len(frames), "gone"),
                ("live/cam", "two", len(frames), "gone"),
            ],
        )

    def test_oneBrokenSinkHurtsNobody(self) -> None:
        """
        A factory that fails, and one that does not want the stream, leave the
        others alone.
        """
        hub = StreamHub(
            self.clock,
            [("bad", BrokenFactory()), ("no", PickyFactory()), ("good", self.sinks)],
        )
        stream = hub.publish("live", "cam", Source(self.clock))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual([outlet.name for outlet in stream.outlets], ["good"])

    def test_theSameNameTwice(self) -> None:
        """
        A second publisher is refused while the first is alive, and the first does
        not notice.
        """
        hub = self.newHub()
        first = Source(self.clock)
        stream = hub.publish("live", "cam", first)
        self.clock.advance(STALE_SECONDS - 0.1)
        with self.assertRaises(NotAllowed) as caught:
            hub.publish("live", "cam", Source(self.clock, "127.0.0.2:1"))
        self.assertEqual(caught.exception.code, "NetStream.Publish.BadName")
        self.assertEqual(first.calls, [])
        self.assertIs(stream.source, first)
        self.assertEqual(len(self.sinks.sinks), 1)

    def test_aSilentPublisherGivesWay(self) -> None:
        """
        After three silent seconds a new publisher takes over, and the recording
        goes on.
        """
        hub = self.newHub()
        first, second = Source(self.clock), Source(self.clock, "127.0.0.2:1")
        stream = hub.publish("live", "cam", first)
        stream.frameReceived(videoFrame(0, True))
        stream.frameReceived(videoFrame(40))
        self.clock.advance(STALE_SECONDS)
        second.lastReceived = self.clock.seconds()
        self.assertIs(hub.publish("live", "cam", second), stream)
        self.assertEqual(first.calls, ["taken over by 127.0.0.2:1"])
        hub.sourceLost(stream, first, "late news")
        stream.frameReceived(videoFrame(0, True))
        (sink,) = self.sinks.sinks
        self.assertEqual([f.timestamp for f in sink.frames], [0, 40, 73])
        self.assertEqual(sink.ended, [])
        self.assertEqual(stream.timeline.repairs, {"source": 1})

    def test_theSameCredentialsTakeOverAtOnce(self) -> None:
        """
        Who shows what the first one showed need not wait; nobody else.
        """
        hub = self.newHub()
        first = Source(self.clock)
        stream = hub.publish("live", "cam", first, "token=1")
        for credentials in (None, "token=2"):
            with self.assertRaises(NotAllowed):
                hub.publish("live", "cam", Source(self.clock), credentials)
        second = Source(self.clock)
        self.assertIs(hub.publish("live", "cam", second, "token=1"), stream)
        self.assertIs(stream.source, second)

    def test_graceTime(self) -> None:
        """
        A publisher that comes back in time continues its stream; after it, the
        stream ends.
        """
        hub = self.newHub(graceTime=5)
        first, second = Source(self.clock), Source(self.clock)
        stream = hub.publish("live", "cam", first)
        stream.frameReceived(videoFrame(0, True))
        hub.sourceLost(stream, first, "cable pulled")
        self.clock.advance(4.9)
        self.assertIs(hub.publish("live", "cam", second), stream)
        self.clock.advance(100)
        stream.frameReceived(videoFrame(0, True))
        hub.sourceLost(stream, second, "cable pulled")
        self.clock.advance(4.9)
        (sink,) = self.sinks.sinks
        self.assertEqual(sink.ended, [])
        self.clock.advance(0.2)
        self.assertEqual(sink.ended, ["cable pulled"])
        self.assertEqual([f.timestamp for f in sink.frames], [0, 33])
        self.assertEqual(hub.streams, {})
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_aFullSinkPausesTheSource(self) -> None:
        """
        The publisher is paused while one lossless sink is full, until the last of
        them has room.
        """
        limits = Delivery(Policy.LOSSLESS, 0, 0, 4)
        factory = SinkFactory(limits)
        hub = StreamHub(self.clock, [("a", factory), ("b", factory)])
        source = Source(self.clock)
        stream = hub.publish("live", "cam", source)
        a, b = stream.outlets
        a.pauseProducing()
        b.pauseProducing()
        for frame in makeFrames(seconds=0.2):
            stream.frameReceived(frame)
        self.assertEqual(source.calls, ["pause"])
        a.resumeProducing()
        self.assertEqual(source.calls, ["pause"])
        b.resumeProducing()
        self.assertEqual(source.calls, ["pause", "resume"])

    def test_aFullSinkThatLeavesFreesTheSource(self) -> None:
        """
        Detaching the sink that was full lets the publisher go on.
        """
        factory = SinkFactory(Delivery(Policy.LOSSLESS, 0, 0, 4))
        hub = StreamHub(self.clock, [("a", factory)])
        source = Source(self.clock)
        stream = hub.publish("live", "cam", source)
        stream.outlets[0].pauseProducing()
        for frame in makeFrames(seconds=0.2):
            stream.frameReceived(frame)
        stream.outlets[0].detach("enough")
        self.assertEqual(source.calls, ["pause", "resume"])
        self.assertEqual(stream.outlets, ())

    def test_aNewSourceOfAFullStreamIsPaused(self) -> None:
        """
        Who takes over waits for the full sink as the one before did.
        """
        factory = SinkFactory(Delivery(Policy.LOSSLESS, 0, 0, 4))
        hub = StreamHub(self.clock, [("a", factory)], graceTime=5)
        source, second = Source(self.clock), Source(self.clock)
        stream = hub.publish("live", "cam", source)
        stream.outlets[0].pauseProducing()
        for frame in makeFrames(seconds=0.2):
            stream.frameReceived(frame)
        hub.sourceLost(stream, source, "gone")
        hub.publish("live", "cam", second)
        self.assertEqual(second.calls, ["pause"])
        stream.outlets[0].resumeProducing()
        self.assertEqual(second.calls, ["pause", "resume"])

    def test_shutdownWaitsForSinks(self) -> None:
        """
        At the end every stream is ended, publishers are told, nobody may come, and
        it is over when the sinks are.
        """
        hub = self.newHub(graceTime=60)
        source, lost = Source(self.clock), Source(self.clock)
        hub.publish("live", "one", source)
        hub.sourceLost(hub.publish("live", "two", lost), lost, "gone")
        for sink in self.sinks.sinks:
            sink.finished = Deferred()
        done = hub.shutdown("the server stops")
        self.assertEqual(source.calls, ["the server stops"])
        with self.assertRaises(NotAllowed):
            hub.publish("live", "three", Source(self.clock))
        for sink in self.sinks.sinks:
            self.assertEqual(sink.ended, ["the server stops"])
            self.assertNoResult(done)
            assert sink.finished is not None
            sink.finished.callback(None)
        self.successResultOf(done)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_feedsEndAfterWhatTheyAreFedFrom(self) -> None:
        """
        A program that makes one stream of another has time for what is on its way;
        one that never ends is ended.
        """
        for inTime in (True, False):
            hub = self.newHub()
            feed = Source(self.clock)
            feed.isFed = True
            out = hub.publish("out", "cam", feed)
            hub.publish("live", "cam", Source(self.clock))
            fed, live = self.sinks.sinks[-2:]
            live.finished = Deferred()
            done = hub.shutdown("the server stops")
            self.assertEqual((live.ended, fed.ended), (["the server stops"], []))
            self.assertNoResult(done)
            if inTime:
                out.frameReceived(videoFrame(0, True))
                hub.sourceLost(out, feed, "closed")
                self.assertEqual((len(fed.frames), fed.ended), (1, ["closed"]))
            else:
                self.clock.advance(FEED_PATIENCE)
                self.assertEqual(fed.ended, ["the server stops"])
            live.finished.callback(None)
            self.successResultOf(done)
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_theLedgerOfASinkThatLeft(self) -> None:
        """
        A sink that is attached and detached while the stream runs has books of its
        own.
        """
        hub = self.newHub()
        source = Source(self.clock)
        stream = hub.publish("live", "cam", source)
        frames = makeFrames()
        for frame in frames[:20]:
            stream.frameReceived(frame)
        guest = RecordingSink()
        outlet = stream.attach("guest", guest)
        for frame in frames[20:40]:
            stream.frameReceived(frame)
        outlet.detach("seen enough")
        for frame in frames[40:]:
            stream.frameReceived(frame)
        self.assertEqual(
            [(r.sink, r.ended) for r in self.reports], [("guest", "seen enough")]
        )
        self.assertEqual(guest.frames, frames[:40])
        hub.sourceLost(stream, source, "gone")
        self.assertEqual(len(self.reports), 2)

    def test_theLastLineSaysWhatWasWrong(self) -> None:
        """
        A stream's end is one line: how many frames, and all that was not as it
        should be.
        """
        lines: list[str] = []

        def observe(event: Any) -> None:
            lines.append(formatEvent(event))

        globalLogPublisher.addObserver(cast(ILogObserver, observe))
        self.addCleanup(globalLogPublisher.removeObserver, cast(ILogObserver, observe))
        factory = SinkFactory(Delivery(Policy.LOSSLESS, 0, 0, 4))
        hub = StreamHub(self.clock, [("a", factory)], graceTime=1)
        first, second = Source(self.clock), Source(self.clock)
        stream = hub.publish("live", "cam", first)
        stream.frameReceived(videoFrame(0, True))
        hub.sourceLost(stream, first, "gone")
        hub.publish("live", "cam", second)
        stream.outlets[0].pauseProducing()
        for number in range(6):
            stream.frameReceived(audioFrame(number * 23))
        stream.frameReceived(Frame(FrameKind.AUDIO, 140, b"", Role.UNKNOWN))
        lines.clear()
        hub.end("live/cam", "enough")
        (line,) = lines
        for part in (
            "live/cam: ended",
            "enough",
            "1 video, 7 audio, 0 data frames",
            "1 timestamp repairs (source)",
            "1 bodies not understood",
            "paused 1 times",
            "2 publishers",
        ):
            self.assertIn(part, line)

    def test_theEndInTheGraceTime(self) -> None:
        """
        A stream that waits for its publisher can be ended; its timer goes with it.
        """
        hub = self.newHub(graceTime=60)
        source = Source(self.clock)
        hub.sourceLost(hub.publish("live", "cam", source), source, "gone")
        self.successResultOf(hub.end("live/cam", "enough"))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.sinks.sinks[0].ended, ["enough"])


class LateSinkTests(SynchronousTestCase):
    """
    What a sink gets that comes when the stream runs.
    """

    def publish(self, gopCache: bool, frames: list[Frame]) -> list[Frame]:
        """
        @return: what a sink gets that is attached after C{frames}.
        """
        clock = Clock()
        hub = StreamHub(clock, gopCache=gopCache)
        stream = hub.publish("live", "cam", Source(clock))
        for frame in frames:
            stream.frameReceived(frame)
        sink = RecordingSink(TO_KEYFRAME)
        stream.attach("late", sink)
        return sink.frames

    def test_headersAndTheGroup(self) -> None:
        """
        Metadata, video and audio headers, then all since the last key frame.
        """
        frames = makeFrames(seconds=3)
        metadata = Frame(FrameKind.DATA, 0, b"m", Role.DATA, name="onMetaData")
        got = self.publish(True, [*frames, metadata])
        last = max(n for n, frame in enumerate(frames) if frame.isKey)
        self.assertEqual(got, [metadata, frames[0], frames[1], *frames[last:]])

    def test_withoutTheCache(self) -> None:
        """
        Only headers.
        """
        frames = makeFrames(seconds=3)
        self.assertEqual(self.publish(False, frames), frames[:2])

    def test_theNewestHeaderOnly(self) -> None:
        """
        A header that was replaced is not shown to newcomers.
        """
        frames = makeFrames(seconds=1)
        again = makeFrames(seconds=0)[0]
        got = self.publish(True, [*frames, again])
        self.assertIs(got[0], again)
        self.assertNotIn(frames[0], got)

    def test_theGroupIsBounded(self) -> None:
        """
        A group that is too long, too large or of too many frames is not kept; the
        next one is.
        """
        key = videoFrame(0, True)
        for frames in (
            [videoFrame(0, True), videoFrame(gop.MAX_MILLISECONDS + 1)],
            [videoFrame(n, n == 0) for n in range(gop.MAX_FRAMES + 1)],
            [videoFrame(0, True), videoFrame(1, size=gop.MAX_BYTES)],
        ):
            self.assertEqual(self.publish(True, frames), [])
            key = videoFrame(frames[-1].timestamp + 1, True)
            self.assertEqual(self.publish(True, [*frames, key]), [key])
        edge = [videoFrame(0, True), videoFrame(gop.MAX_MILLISECONDS)]
        self.assertEqual(self.publish(True, edge), edge)

    def test_aKeyframeOfAnotherTrackBeginsNoGroup(self) -> None:
        """
        With several video tracks the lowest one leads.
        """
        first = videoFrame(0, True)
        other = videoFrame(40, True)
        other.tracks = (1,)
        self.assertEqual(self.publish(True, [first, other]), [first, other])
        self.assertEqual(
            self.publish(True, [other, videoFrame(80, True)])[0].timestamp, 80
        )

    def test_whenTheLeadingTrackEnds(self) -> None:
        """
        Groups begin with the key frames of the next one.
        """
        other = videoFrame(80, True)
        other.tracks = (1,)
        end = Frame(FrameKind.VIDEO, 120, b"\x17\x02\0\0\0", Role.END)
        again = videoFrame(160, True)
        again.tracks = (1,)
        got = self.publish(True, [videoFrame(40, True), other, end, again])
        self.assertEqual(got, [again])

    def test_theTracksOfAnotherSource(self) -> None:
        """
        Of two it has only the second: that one leads, with the group of pictures and
        without.
        """
        for gopCache in (True, False):
            clock = Clock()
            hub = StreamHub(clock, graceTime=5, gopCache=gopCache)
            first = Source(clock)
            stream = hub.publish("live", "cam", first)
            stream.frameReceived(videoFrame(0, True))
            hub.sourceLost(stream, first, "cable pulled")
            hub.publish("live", "cam", Source(clock))
            sink = RecordingSink(TO_KEYFRAME)
            stream.attach("late", sink)
            self.assertEqual(sink.frames, [])
            other = videoFrame(40, True)
            other.tracks = (1,)
            stream.frameReceived(other)
            self.assertEqual(sink.frames, [other])
            late = RecordingSink(TO_KEYFRAME)
            stream.attach("later", late)
            self.assertEqual(late.frames, [other] if gopCache else [])

    def test_withoutTheCacheTheLowestTrackLeadsToo(self) -> None:
        """
        Whoever comes between its key frame and that of another waits for the next.
        """
        clock = Clock()
        stream = StreamHub(clock, gopCache=False).publish("live", "cam", Source(clock))
        stream.frameReceived(videoFrame(0, True))
        sink = RecordingSink(TO_KEYFRAME)
        stream.attach("late", sink)
        other = videoFrame(40, True)
        other.tracks = (1,)
        key = videoFrame(80, True)
        for frame in (other, videoFrame(41), key):
            stream.frameReceived(frame)
        self.assertEqual(sink.frames, [key])

    def test_unknownBodiesAreCounted(self) -> None:
        """
        A body that nobody understands is passed on, and counted.
        """
        clock = Clock()
        hub = StreamHub(clock)
        stream = hub.publish("live", "cam", Source(clock))
        stream.frameReceived(Frame(FrameKind.AUDIO, 0, b"", Role.UNKNOWN))
        self.assertEqual(stream.malformed, 1)

    def test_aClearedHeader(self) -> None:
        """
        Metadata that the publisher withdraws is not shown to newcomers.
        """
        clock = Clock()
        hub = StreamHub(clock)
        stream = hub.publish("live", "cam", Source(clock))
        stream.frameReceived(
            Frame(FrameKind.DATA, 0, b"m", Role.DATA, name="onMetaData")
        )
        stream.headerCleared("onMetaData")
        sink = RecordingSink()
        stream.attach("late", sink)
        self.assertEqual(sink.frames, [])
