"""
Tests of streams and the hub.
"""

import gc
from datetime import UTC, datetime
from typing import Any, cast
from weakref import ref

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from rtmptw.delivery import TO_KEYFRAME, Delivery, Policy
from rtmptw.errors import NotAllowed
from rtmptw.frames import Codec, Frame, FrameKind, Role, StreamInfo
from rtmptw.hub import gop
from rtmptw.hub.hub import StreamHub
from rtmptw.hub.stream import SinkReport, Stream
from rtmptw.interfaces import IDemanded, IFrameSink, IFrameSource
from rtmptw.plugins.sink import FrameSinkFactory
from rtmptw.testing import RecordingSink, audioFrame, makeFrames, videoFrame


@implementer(IFrameSource)
class Source:
    """
    A stand-in for a publisher, as the hub sees it.
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
    Keeps the sinks it creates.
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
    Fails to create a sink.
    """

    def buildSink(self, stream: StreamInfo) -> IFrameSink | None:
        raise RuntimeError("cannot build, on purpose")


class PickyFactory(FrameSinkFactory):
    """
    Rejects every stream.
    """

    def buildSink(self, stream: StreamInfo) -> IFrameSink | None:
        return None


class HubTests(SynchronousTestCase):
    """
    How streams begin, change publishers, and end.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.reports: list[SinkReport] = []
        self.sinks = SinkFactory()

    def newHub(
        self,
        graceTime: float = 0.0,
        gopCache: bool = True,
        graceAfterStop: bool = False,
    ) -> StreamHub:
        """
        A hub with one recording sink for each stream.
        """
        return StreamHub(
            self.clock,
            [("test", self.sinks)],
            graceTime=graceTime,
            graceAfterStop=graceAfterStop,
            gopCache=gopCache,
            sinkEnded=self.reports.append,
            wallClock=lambda: datetime(2026, 11, 22, tzinfo=UTC),
        )

    def observe(self) -> list[str]:
        """
        @return: the list that log events are added to from now on.
        """
        lines: list[str] = []

        def observe(event: Any) -> None:
            lines.append(formatEvent(event))

        globalLogPublisher.addObserver(cast(ILogObserver, observe))
        self.addCleanup(globalLogPublisher.removeObserver, cast(ILogObserver, observe))
        return lines

    def test_everyFrameToEverySink(self) -> None:
        """
        Two sinks get all frames of a stream, and their ledgers show it.
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
        A factory that fails, and one that does not want the stream, do not affect the
        others.
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
        A second publisher is rejected while the first is active, and the first is not
        affected.
        """
        hub = self.newHub()
        first = Source(self.clock)
        stream = hub.publish("live", "cam", first)
        self.clock.advance(2.9)
        with self.assertRaises(NotAllowed) as caught:
            hub.publish("live", "cam", Source(self.clock, "127.0.0.2:1"))
        self.assertEqual(caught.exception.code, "NetStream.Publish.BadName")
        self.assertEqual(first.calls, [])
        self.assertIs(stream.source, first)
        self.assertEqual(len(self.sinks.sinks), 1)

    def test_aSilentPublisherGivesWay(self) -> None:
        """
        After three seconds of silence a new publisher takes over, and the recording
        continues.
        """
        hub = self.newHub()
        first, second = Source(self.clock), Source(self.clock, "127.0.0.2:1")
        stream = hub.publish("live", "cam", first)
        stream.frameReceived(videoFrame(0, True))
        stream.frameReceived(videoFrame(40))
        self.clock.advance(3)
        second.lastReceived = self.clock.seconds()
        self.assertIs(hub.publish("live", "cam", second), stream)
        self.assertEqual(first.calls, ["replaced by 127.0.0.2:1"])
        hub.sourceLost(stream, first, "late news")
        stream.frameReceived(videoFrame(0, True))
        (sink,) = self.sinks.sinks
        self.assertEqual([f.timestamp for f in sink.frames], [0, 40, 73])
        self.assertEqual(sink.ended, [])
        self.assertEqual(stream.timeline.repairs, {"source": 1})

    def test_aPublisherThatLeavesWhenItIsReplaced(self) -> None:
        """
        At once: the stream continues with the new publisher.
        """
        hub = self.newHub()
        stream: Stream | None = None

        class Quick(Source):
            def sourceReplaced(self, reason: str) -> None:
                super().sourceReplaced(reason)
                assert stream is not None
                hub.sourceLost(stream, self, reason)

        stream = hub.publish("live", "cam", Quick(self.clock))
        self.clock.advance(3)
        second = Source(self.clock)
        self.assertIs(hub.publish("live", "cam", second), stream)
        self.assertIs(stream.source, second)
        self.assertIs(hub.streams["live/cam"], stream)
        self.assertEqual(self.sinks.sinks[0].ended, [])

    def test_theSameCredentialsTakeOverAtOnce(self) -> None:
        """
        A publisher with the same credentials as the first does not have to wait; any
        other does.
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

    def test_aCodecWithoutAHeader(self) -> None:
        """
        It replaces a codec that has one: from the second frame on, new sinks no longer
        get the old header. A single frame, or frames without a known codec, have no
        effect.
        """
        hub = self.newHub(gopCache=False)
        stream = hub.publish("live", "cam", Source(self.clock))

        def kept() -> list[tuple[FrameKind, Codec | None]]:
            return [(frame.kind, frame.codec) for frame in stream.headers.frames()]

        def give(kind: FrameKind, *codecs: Codec | None) -> None:
            for codec in codecs:
                stream.frameReceived(Frame(kind, 0, b"x", Role.CODED, codec))

        video, audio = (FrameKind.VIDEO, Codec.H264), (FrameKind.AUDIO, Codec.AAC)
        for kind, codec in (video, audio):
            stream.frameReceived(Frame(kind, 0, b"x", Role.CONFIG, codec))
            give(kind, codec, codec)
        give(FrameKind.AUDIO, Codec.MP3, Codec.AAC, Codec.MP3, None, None)
        give(FrameKind.AUDIO, Codec.DEVICE, Codec.DEVICE)
        give(FrameKind.VIDEO, Codec.SCREEN, Codec.VP6)
        second = Frame(FrameKind.VIDEO, 0, b"x", Role.CODED, Codec.AV1, tracks=(1,))
        for _time in range(2):
            stream.frameReceived(second)
        self.assertEqual(kept(), [video, audio])
        give(FrameKind.AUDIO, Codec.MP3, Codec.MP3)
        self.assertEqual(kept(), [video])
        give(FrameKind.VIDEO, Codec.SCREEN, Codec.SCREEN)
        self.assertEqual(kept(), [])
        # And back again.
        again = Frame(FrameKind.AUDIO, 0, b"x", Role.CONFIG, Codec.MP3)
        stream.frameReceived(again)
        self.assertEqual(kept(), [(FrameKind.AUDIO, Codec.MP3)])
        give(FrameKind.AUDIO, Codec.AAC, Codec.AAC)
        self.assertEqual(kept(), [])

    def test_whatASinkDidNotBringAnywhere(self) -> None:
        """
        Such frames were not delivered: the ledger shows it at the end, and balances.
        """
        hub = self.newHub()
        source = Source(self.clock)
        stream = hub.publish("live", "cam", source)
        for time in range(5):
            stream.frameReceived(videoFrame(time * 40, time == 0))
        (sink,) = self.sinks.sinks
        sink.lost = 2  # type: ignore[attr-defined]
        hub.sourceLost(stream, source, "gone")
        (report,) = self.reports
        self.assertEqual(report.ledger.delivered, 3)
        self.assertEqual(report.ledger.dropped, {"not-taken": 2})
        self.assertTrue(report.ledger.balanced)

    def test_graceIsForWhoWasLost(self) -> None:
        """
        If the publisher stopped, the stream ends at once, unless the hub waits after a
        stop too.
        """
        for waits in (False, True):
            hub = self.newHub(graceTime=5, graceAfterStop=waits)
            source = Source(self.clock)
            stream = hub.publish("live", "cam", source)
            hub.sourceLost(stream, source, "unpublished", isStop=True)
            self.assertEqual(list(hub.streams), ["live/cam"] * waits)
            self.clock.advance(4.9)
            self.assertEqual(list(hub.streams), ["live/cam"] * waits)
            self.clock.advance(0.2)
            self.assertEqual(hub.streams, {})

    def test_graceTime(self) -> None:
        """
        A publisher that comes back in time continues its stream; afterwards, the stream
        ends.
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
        Detaching the full sink resumes the publisher.
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
        A new publisher waits for the full sink, as the old one did.
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
        Shutdown ends every stream, tells the publishers, rejects new ones, and finishes
        when the sinks do.
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
        A program that makes one stream from another has time to finish; a program that
        never finishes is ended.
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
                self.clock.advance(2.9)
                self.assertEqual(fed.ended, [])
                self.clock.advance(0.1)
                self.assertEqual(fed.ended, ["the server stops"])
            live.finished.callback(None)
            self.successResultOf(done)
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_theLedgerOfASinkThatLeft(self) -> None:
        """
        A sink that is attached and detached while the stream runs has a ledger of its
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

    def test_sinksThatHaveEndedAreLetGo(self) -> None:
        """
        The stream keeps no reference to sinks that have ended, before it or with it,
        although its publisher may keep the stream.
        """
        # Ignore the objects that exist already.
        gc.freeze()
        self.addCleanup(gc.unfreeze)
        stream = StreamHub(self.clock).publish("live", "cam", Source(self.clock))
        for sink in (RecordingSink(), RecordingSink()):
            stream.attach("viewer", sink, True)
        left, ended = (ref(outlet.sink) for outlet in stream.outlets)
        stream.outlets[0].detach("seen enough")
        del sink
        gc.collect()
        self.assertIsNone(left())
        self.assertIsNotNone(ended())
        stream.end("over")
        gc.collect()
        self.assertIsNone(ended())

    def test_whySomebodyLeft(self) -> None:
        """
        When a sink ends before the stream, the log and its report give its failure, or
        else why it was detached. Viewers are not logged.
        """
        stream = self.newHub().publish("live", "cam", Source(self.clock))
        lines = self.observe()
        guest = RecordingSink()
        stream.attach("guest", guest).detach("seen enough")
        broken = RecordingSink()
        broken.failure = "the disk is full"
        stream.attach("disk", broken).stopProducing()
        stream.attach("viewer", RecordingSink(), True).detach("gone")
        self.assertEqual(
            lines,
            [
                "live/cam: sink guest detached: seen enough",
                "live/cam: sink disk detached: the disk is full",
            ],
        )
        self.assertEqual(
            [(r.stream, r.sink, r.ended, r.failure) for r in self.reports],
            [
                ("live/cam", "guest", "seen enough", ""),
                ("live/cam", "disk", "the disk is full", "the disk is full"),
                ("live/cam", "viewer", "gone", ""),
            ],
        )

    def test_theLastLineSaysWhatWasWrong(self) -> None:
        """
        The end of a stream is logged in one line: the number of frames, and all
        problems.
        """
        lines = self.observe()
        factory = SinkFactory(Delivery(Policy.LOSSLESS, 0, 0, 4))
        hub = StreamHub(
            self.clock,
            [("a", factory)],
            graceTime=1,
            wallClock=lambda: datetime.fromtimestamp(self.clock.seconds(), UTC),
        )
        first, second = Source(self.clock), Source(self.clock)
        stream = hub.publish("live", "cam", first)
        stream.frameReceived(videoFrame(0, True))
        hub.sourceLost(stream, first, "gone")
        hub.publish("live", "cam", second)
        stream.outlets[0].pauseProducing()
        for number in range(6):
            stream.frameReceived(audioFrame(number * 23))
        stream.frameReceived(Frame(FrameKind.AUDIO, 140, b"", Role.UNKNOWN))
        self.clock.advance(1.5)
        lines.clear()
        hub.end("live/cam", "enough")
        self.assertEqual(
            lines,
            [
                "live/cam: ended after 1.5 s: enough; 1 video, 7 audio, 0 data frames, "
                "340 bytes, 1 timestamp repairs (source), 1 invalid frames, "
                "paused 1 times for a slow sink, 2 publishers"
            ],
        )

    def test_theLastLineOfOneThatWasAsItShouldBe(self) -> None:
        """
        Without problems, the last line lists none; the first line names the sinks.
        """
        lines = self.observe()
        hub = StreamHub(
            self.clock,
            [("one", self.sinks), ("two", self.sinks)],
            wallClock=lambda: datetime.fromtimestamp(self.clock.seconds(), UTC),
        )
        stream = hub.publish("live", "cam", Source(self.clock))
        self.assertEqual((stream.bytes, stream.malformed, stream.pauses), (0, 0, 0))
        self.assertEqual((stream.publishers, stream.viewers), (1, 0))
        self.assertEqual(set(stream.counts.values()), {0})
        for number in range(3):
            stream.frameReceived(
                Frame(FrameKind.DATA, number, b"text", Role.DATA, name="onText")
            )
        stream.frameReceived(videoFrame(0, True))
        stream.frameReceived(videoFrame(40))
        stream.frameReceived(audioFrame(41))
        self.assertEqual(
            stream.counts,
            {FrameKind.AUDIO: 1, FrameKind.VIDEO: 2, FrameKind.DATA: 3},
        )
        hub.end("live/cam", "enough")
        self.assertEqual(
            lines,
            [
                "live/cam: published by 127.0.0.1:1000 (test), sinks: one, two",
                "live/cam: ended after 0.0 s: enough; 2 video, 1 audio, 3 data frames, "
                "252 bytes",
            ],
        )
        lines.clear()
        StreamHub(self.clock).publish("live", "cam", Source(self.clock))
        self.assertEqual(
            lines, ["live/cam: published by 127.0.0.1:1000 (test), sinks: none"]
        )

    def test_theEndInTheGraceTime(self) -> None:
        """
        A stream that waits for its publisher can be ended; this cancels its timer.
        """
        hub = self.newHub(graceTime=60)
        source = Source(self.clock)
        hub.sourceLost(hub.publish("live", "cam", source), source, "gone")
        error = self.assertRaises(ValueError, hub.kick, "live/cam", "go away")
        self.assertEqual(str(error), "live/cam has no publisher now")
        self.successResultOf(hub.end("live/cam", "enough"))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.sinks.sinks[0].ended, ["enough"])

    def test_aPublisherThatIsSentAway(self) -> None:
        """
        It is told why, and can come back as if it had left.
        """
        hub = self.newHub(graceTime=5)
        source = Source(self.clock)
        stream = hub.publish("live", "cam", source)
        hub.kick("live/cam", "go away")
        self.assertEqual(source.calls, ["go away"])
        self.assertIsNone(stream.source)
        self.assertIs(hub.publish("live", "cam", source), stream)
        hub.kick("live/cam", "go away")
        self.clock.advance(5)
        self.assertEqual(self.sinks.sinks[0].ended, ["go away"])
        for call in (hub.kick, hub.end):
            self.assertRaises(KeyError, call, "live/cam", "no such stream")


@implementer(IDemanded)
class Demanded:
    """
    Records what a source on demand is told.
    """

    def __init__(self) -> None:
        self.calls: list[str] = []

    def demandBegun(self) -> None:
        self.calls.append("begun")

    def demandEnded(self) -> None:
        self.calls.append("ended")


class DemandTests(SynchronousTestCase):
    """
    Callers that wait for a stream, viewers, and a source that runs only for them.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.hub = StreamHub(self.clock)
        self.demanded = Demanded()

    def wait(self) -> "Deferred[Stream]":
        """
        Wait for the stream.
        """
        return self.hub.whenPublished("live", "cam")

    def demand(self) -> Demanded:
        """
        Add the source on demand.
        """
        self.hub.addDemanded("live", "cam", self.demanded)
        return self.demanded

    def test_whoWaitsGetsTheStream(self) -> None:
        """
        A waiting caller gets the stream before its first frame; or at once if it is
        already live.
        """
        waiting = [self.wait(), self.wait()]
        self.assertEqual(self.hub.awaited, {"live/cam": 2})
        other = self.hub.publish("live", "other", Source(self.clock))
        for waiter in waiting:
            self.assertNoResult(waiter)
        stream = self.hub.publish("live", "cam", Source(self.clock))
        self.assertIsNot(stream, other)
        for waiter in (*waiting, self.wait()):
            self.assertIs(self.successResultOf(waiter), stream)
        self.assertEqual(self.hub.awaited, {})

    def test_demandByThoseWhoWait(self) -> None:
        """
        The demand begins with the first waiting caller, and ends with the last.
        """
        calls = self.demand().calls
        self.assertEqual(calls, [])
        first, second = self.wait(), self.wait()
        self.assertEqual(calls, ["begun"])
        for waiter, left, told in ((first, 1, 1), (second, 0, 2)):
            waiter.cancel()
            self.failureResultOf(waiter, CancelledError)
            self.assertEqual(sum(self.hub.awaited.values()), left)
            self.assertEqual(calls, ["begun", "ended"][:told])
        self.wait()
        self.assertEqual(calls, ["begun", "ended", "begun"])

    def test_demandByThoseWhoWatch(self) -> None:
        """
        The demand continues while there is a viewer; other sinks do not count.
        """
        calls = self.demand().calls
        watching = self.wait().addCallback(
            lambda stream: stream.attach("one", RecordingSink(), True)
        )
        stream = self.hub.publish("live", "cam", Source(self.clock))
        one = self.successResultOf(watching)
        two = stream.attach("two", RecordingSink(), True)
        stream.attach("record", RecordingSink())
        self.assertEqual((stream.viewers, calls), (2, ["begun"]))
        one.detach("seen enough")
        self.assertEqual((stream.viewers, calls), (1, ["begun"]))
        two.detach("seen enough")
        self.assertEqual((stream.viewers, calls), (0, ["begun", "ended"]))
        stream.attach("three", RecordingSink(), True)
        self.assertEqual((stream.viewers, calls), (1, ["begun", "ended", "begun"]))
        self.hub.end("live/cam", "enough")
        self.assertEqual((stream.viewers, calls[3:]), (0, ["ended"]))

    def test_whoWaitedAndDoesNotWatch(self) -> None:
        """
        The demand ends when a waiting caller does not attach a viewer.
        """
        self.demand()
        self.wait()
        self.hub.publish("live", "cam", Source(self.clock))
        self.assertEqual(self.demanded.calls, ["begun", "ended"])

    def test_aSourceThatComesLate(self) -> None:
        """
        It is told at once that there is demand.
        """
        self.wait()
        self.assertEqual(self.demand().calls, ["begun"])

    def test_oneSourceOfAName(self) -> None:
        """
        A second one is rejected; one that is removed is told nothing more.
        """
        self.assertFalse(self.hub.isOnDemand("live", "cam"))
        self.demand()
        self.assertTrue(self.hub.isOnDemand("live", "cam"))
        error = self.assertRaises(
            ValueError, self.hub.addDemanded, "live", "cam", Demanded()
        )
        self.assertEqual(str(error), "live/cam already has a source on demand")
        self.hub.removeDemanded("live", "cam")
        self.assertFalse(self.hub.isOnDemand("live", "cam"))
        self.wait()
        self.assertEqual(self.demanded.calls, [])
        with self.assertRaises(KeyError):
            self.hub.removeDemanded("live", "cam")

    def test_shutdown(self) -> None:
        """
        All waiting is cancelled, and no caller can wait or publish.
        """
        self.demand()
        waiting = [self.wait(), self.wait()]
        self.successResultOf(self.hub.shutdown("the server stops"))
        for waiter in waiting:
            self.failureResultOf(waiter, CancelledError)
        self.assertEqual(self.demanded.calls, ["begun", "ended"])
        for code, call in (
            ("NetStream.Play.Failed", self.wait),
            (
                "NetStream.Publish.Denied",
                lambda: self.hub.publish("live", "cam", Source(self.clock)),
            ),
        ):
            error = self.assertRaises(NotAllowed, call)
            self.assertEqual(error.code, code)
            self.assertEqual(str(error), f"{code}: the server stops")


class LateSinkTests(SynchronousTestCase):
    """
    What a sink gets if it is attached to a running stream.
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
        Metadata, video and audio headers, then all frames since the last key frame.
        """
        frames = makeFrames(seconds=3)
        metadata = Frame(FrameKind.DATA, 0, b"m", Role.DATA, name="onMetaData")
        got = self.publish(True, [*frames, metadata])
        last = max(n for n, frame in enumerate(frames) if frame.isKey)
        self.assertEqual(got, [metadata, frames[0], frames[1], *frames[last:]])

    def test_theCacheIsThere(self) -> None:
        """
        The GOP cache is on by default.
        """
        clock = Clock()
        stream = StreamHub(clock).publish("live", "cam", Source(clock))
        key = videoFrame(0, True)
        stream.frameReceived(key)
        sink = RecordingSink(TO_KEYFRAME)
        stream.attach("late", sink)
        self.assertEqual(sink.frames, [key])

    def test_withoutTheCache(self) -> None:
        """
        Only headers.
        """
        frames = makeFrames(seconds=3)
        self.assertEqual(self.publish(False, frames), frames[:2])

    def test_audioAlone(self) -> None:
        """
        A stream that has sent no video frame has sinks wait for none, even if it
        announced video.
        """
        for gopCache in (True, False):
            clock = Clock()
            hub = StreamHub(clock, gopCache=gopCache)
            stream = hub.publish("live", "cam", Source(clock))
            headers = makeFrames(0)
            for frame in (*headers, audioFrame(0)):
                stream.frameReceived(frame)
            sink = RecordingSink(TO_KEYFRAME)
            stream.attach("late", sink)
            sound = audioFrame(23)
            stream.frameReceived(sound)
            self.assertEqual(sink.frames, [*headers, sound])

    def test_theNewestHeaderOnly(self) -> None:
        """
        New sinks do not get a header that was replaced.
        """
        frames = makeFrames(seconds=1)
        again = makeFrames(seconds=0)[0]
        got = self.publish(True, [*frames, again])
        self.assertIs(got[0], again)
        self.assertNotIn(frames[0], got)

    def test_theGroupIsBounded(self) -> None:
        """
        A group that is too long, too large or has too many frames is not kept; the next
        one is.
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
        With several video tracks, the one with the lowest number leads.
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
        Groups then begin with the key frames of the next track.
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
        If the second source has only the second of two tracks, that one leads, with and
        without the GOP cache.
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
        A sink attached between its key frame and that of another track waits for its
        next one.
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
        A frame with an invalid body is passed on, and counted.
        """
        clock = Clock()
        hub = StreamHub(clock)
        stream = hub.publish("live", "cam", Source(clock))
        stream.frameReceived(Frame(FrameKind.AUDIO, 0, b"", Role.UNKNOWN))
        self.assertEqual(stream.malformed, 1)

    def test_aClearedHeader(self) -> None:
        """
        New sinks do not get metadata that the publisher has withdrawn.
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
