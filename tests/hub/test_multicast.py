"""
Tests of sinks that receive their frames together.
"""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from rtmptw.delivery import Delivery, Policy
from rtmptw.frames import Frame, FrameKind, Role
from rtmptw.hub.outlet import Outlet
from rtmptw.hub.stream import Stream
from rtmptw.interfaces import IMulticastSink, IMulticastTarget
from rtmptw.testing import RecordingSink, audioFrame, makeStreamInfo, videoFrame


@implementer(IMulticastTarget)
class Target:
    """
    Passes each frame to each member at once.

    @ivar frames: the number of frames received.
    """

    def __init__(self) -> None:
        self.members: list[MulticastSink] = []
        self.frames = 0

    def frameReceived(self, frame: Frame) -> None:
        self.frames += 1
        for sink in list(self.members):
            sink.frames.append(frame)
            if sink.fullAfter is not None and len(sink.frames) >= sink.fullAfter:
                sink.fullAfter = None
                assert sink.producer is not None
                sink.producer.pauseProducing()

    def join(self, sink: IMulticastSink) -> None:
        assert isinstance(sink, MulticastSink)
        assert sink not in self.members
        self.members.append(sink)

    def leave(self, sink: IMulticastSink) -> None:
        assert isinstance(sink, MulticastSink)
        self.members.remove(sink)


@implementer(IMulticastSink)
class MulticastSink(RecordingSink):
    """
    Keeps all frames it gets, alone or with others.

    @ivar fullAfter: the number of frames after which it is full.
    """

    def __init__(self, target: Target) -> None:
        super().__init__(Delivery(Policy.TO_KEYFRAME, 0, 0, 5))
        self.multicast = target
        self.fullAfter: int | None = None


class MulticastTests(SynchronousTestCase):
    """
    The same frames, an exact ledger, and one call for all sinks that keep up.
    """

    def setUp(self) -> None:
        self.open()

    def open(self) -> None:
        """
        Begin a stream.
        """
        self.target = Target()
        self.stream = Stream(
            makeStreamInfo(), True, lambda report: None, Clock().seconds, lambda s: None
        )

    def attach(self) -> tuple[MulticastSink, Outlet]:
        """
        Attach one more sink.
        """
        sink = MulticastSink(self.target)
        return sink, self.stream.attach("sink", sink)

    def send(self, *frames: Frame) -> None:
        """
        Publish frames.
        """
        for frame in frames:
            self.stream.frameReceived(frame)

    def test_interfaces(self) -> None:
        """
        The stand-ins provide the interfaces.
        """
        self.assertTrue(verifyObject(IMulticastTarget, self.target))
        self.assertTrue(verifyObject(IMulticastSink, MulticastSink(self.target)))

    def test_together(self) -> None:
        """
        After its first frame a sink gets the rest together with the others.
        """
        sinks = [self.attach() for _ in range(3)]
        frames = [videoFrame(n * 40, n == 0) for n in range(10)]
        self.send(*frames)
        self.assertEqual(self.target.frames, 9)
        for sink, outlet in sinks:
            self.assertEqual(sink.frames, frames)
            ledger = outlet.ledger
            self.assertEqual((ledger.received, ledger.delivered), (10, 10))
            self.assertEqual(ledger.bytes, sum(len(f.payload) for f in frames))
            self.assertEqual((ledger.firstTimestamp, ledger.lastTimestamp), (0, 360))
        self.assertEqual(len(self.stream.outlets), 3)

    def test_aLateOne(self) -> None:
        """
        After the group of pictures a late sink has caught up, and joins the others at
        once.
        """
        first, _ = self.attach()
        frames = [videoFrame(n * 40, n == 0) for n in range(10)]
        self.send(*frames[:5])
        late, outlet = self.attach()
        self.assertEqual(self.target.members, [first, late])
        self.send(*frames[5:])
        self.assertEqual(late.frames, frames)
        self.assertEqual(outlet.ledger.delivered, 10)

    def test_whoIsFullLeaves(self) -> None:
        """
        In the middle of a frame: it has received that frame, and no other sink misses
        any.
        """
        slow, outlet = self.attach()
        quick, _ = self.attach()
        slow.fullAfter = 3
        frames = [videoFrame(n * 40, n == 0) for n in range(6)]
        self.send(*frames)
        self.assertEqual(self.target.members, [quick])
        self.assertEqual(slow.frames, frames[:3])
        self.assertEqual(outlet.ledger.queued, 3)
        self.assertEqual(outlet.ledger.delivered, 3)
        outlet.resumeProducing()
        self.assertEqual(slow.frames, frames)
        self.send(videoFrame(240), videoFrame(280))
        self.assertEqual(self.target.members, [quick, slow])
        self.assertEqual(len(slow.frames), 8)
        self.assertEqual(len(quick.frames), 8)

    def test_whoWantsNotAllLeaves(self) -> None:
        """
        It comes back when it wants all frames again.
        """
        sink, outlet = self.attach()
        self.send(videoFrame(0, True), videoFrame(40))
        outlet.select(frozenset({FrameKind.AUDIO}))
        self.assertEqual(self.target.members, [])
        self.send(audioFrame(41), videoFrame(80))
        self.assertEqual([f.timestamp for f in sink.frames], [0, 40, 80])
        self.assertEqual(self.target.members, [])
        outlet.select(frozenset())
        self.send(audioFrame(81))
        self.assertEqual(self.target.members, [sink])
        self.assertEqual(outlet.ledger.dropped, {"not-wanted": 1})

    def test_whoCannotKeepPace(self) -> None:
        """
        A sink that is full after its first frame, or detaches after it, does not join.
        """
        for isOver in (False, True):
            self.open()
            sink, outlet = self.attach()
            received = sink.frameReceived
            act = outlet.stopProducing if isOver else outlet.pauseProducing

            def slowly(frame: Frame, received: Any = received, act: Any = act) -> None:
                received(frame)
                act()

            sink.frameReceived = slowly  # type: ignore[method-assign]
            self.send(videoFrame(0, True), videoFrame(40))
            self.assertEqual(self.target.members, [])
            self.assertEqual(len(sink.frames), 1)
            self.assertEqual(outlet.ledger.queued, 0 if isOver else 1)

    def test_whoWaitsForAKeyFrameLeaves(self) -> None:
        """
        It comes back with the key frame.
        """
        sink, outlet = self.attach()
        self.send(videoFrame(0, True), videoFrame(40))
        outlet.awaitKeyframe(40)
        self.assertEqual(self.target.members, [])
        self.send(videoFrame(80), videoFrame(120, True), videoFrame(160))
        self.assertEqual([f.timestamp for f in sink.frames], [0, 40, 120, 160])
        self.assertEqual(self.target.members, [sink])

    def test_theEnd(self) -> None:
        """
        The end of one sink, and of the stream.
        """
        one, outlet = self.attach()
        two, other = self.attach()
        self.send(videoFrame(0, True), videoFrame(40))
        outlet.detach("enough")
        self.assertEqual(self.target.members, [two])
        self.send(videoFrame(80))
        other.pauseProducing()
        # No member is left: the target gets no more frames.
        self.assertEqual(self.target.frames, 2)
        self.send(videoFrame(120))
        self.assertEqual(self.target.frames, 2)
        self.stream.end("over")
        self.assertEqual(self.target.members, [])
        self.assertEqual((len(one.frames), len(two.frames)), (2, 4))
        self.assertEqual((one.ended, two.ended), (["enough"], ["over"]))
        self.assertEqual((outlet.ledger.delivered, other.ledger.delivered), (2, 4))

    def test_theEndComesLast(self) -> None:
        """
        A member leaves first, so it has received all frames collected for it.
        """
        for isOver in (False, True):
            self.open()
            sink, outlet = self.attach()
            members: list[list[MulticastSink]] = []

            def ended(reason: str, members: Any = members) -> None:
                members.append(list(self.target.members))

            sink.streamEnded = ended  # type: ignore[method-assign]
            self.send(videoFrame(0, True), videoFrame(40))
            self.assertEqual(self.target.members, [sink])
            if isOver:
                self.stream.end("over")
            else:
                outlet.detach("enough")
            self.assertEqual(members, [[]])

    @given(st.lists(st.tuples(st.sampled_from("kiahPRFSUDL"), st.integers(0, 4))))
    def test_whateverHappens(self, script: list[tuple[str, int]]) -> None:
        """
        Sinks are attached, paused, told to select, and detached: each gets the frames
        that its ledger shows, in order, every frame once, and no video frame without
        its key frame.
        """
        self.open()
        pairs = [self.attach(), self.attach()]
        for number, (letter, which) in enumerate(script):
            sink, outlet = pairs[which % len(pairs)]
            if letter == "k":
                self.send(videoFrame(number, True))
            elif letter == "i":
                self.send(videoFrame(number))
            elif letter == "a":
                self.send(audioFrame(number))
            elif letter == "h":
                self.send(
                    Frame(FrameKind.DATA, number, b"x", Role.DATA, name="onMetaData")
                )
            elif letter == "P":
                outlet.pauseProducing()
            elif letter == "R":
                outlet.resumeProducing()
            elif letter == "F":
                sink.fullAfter = len(sink.frames) + 2
            elif letter == "S":
                outlet.select(frozenset({FrameKind.AUDIO}))
            elif letter == "U":
                outlet.select(frozenset())
            elif letter == "D":
                outlet.detach("gone")
            elif len(pairs) < 5:
                pairs.append(self.attach())
            for each, its in pairs:
                self.assertTrue(its.ledger.balanced)
                self.assertEqual(its.ledger.delivered, len(each.frames))
        self.stream.end("over")
        self.assertEqual(self.target.members, [])
        for sink, outlet in pairs:
            self.assertEqual(len(sink.ended), 1)
            self.assertTrue(outlet.ledger.balanced)
            self.assertEqual(outlet.ledger.queued, 0)
            self.assertEqual(outlet.ledger.delivered, len(sink.frames))
            coded = [f for f in sink.frames if not f.isHeader]
            self.assertEqual(len({id(f) for f in coded}), len(coded))
            stamps = [f.timestamp for f in coded]
            self.assertEqual(stamps, sorted(stamps))
