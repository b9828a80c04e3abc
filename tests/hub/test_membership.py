"""
Tests of one sink's membership in a multicast.
"""

from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from rtmptw.frames import Frame
from rtmptw.hub.ledger import Ledger
from rtmptw.hub.membership import Membership
from rtmptw.hub.multicast import Multicast
from rtmptw.interfaces import IMulticastSink, IMulticastTarget
from rtmptw.testing import RecordingSink, makeFrames, videoFrame


@implementer(IMulticastTarget)
class Target:
    """
    Records who joins and leaves.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[str, IMulticastSink]] = []

    def frameReceived(self, frame: Frame) -> None:
        pass

    def join(self, sink: IMulticastSink) -> None:
        self.calls.append(("join", sink))

    def leave(self, sink: IMulticastSink) -> None:
        self.calls.append(("leave", sink))


@implementer(IMulticastSink)
class Sink(RecordingSink):
    """
    Can receive frames together with others.
    """

    def __init__(self, target: Target) -> None:
        super().__init__()
        self.multicast = target


class MembershipTests(SynchronousTestCase):
    """
    What is counted, and who is told.
    """

    def setUp(self) -> None:
        self.target = Target()
        self.sink = Sink(self.target)
        self.ledger = Ledger()
        self.membership = Membership(self.sink, self.ledger)
        self.multicast = Multicast(self.target)

    def send(self, *frames: Frame) -> None:
        """
        Send frames to all members.
        """
        for frame in frames:
            self.multicast.frameReceived(frame)

    def booked(self) -> tuple[int, int, int, int]:
        """
        Frames received and delivered, bytes, and the last timestamp.
        """
        self.membership.settle()
        ledger = self.ledger
        self.assertTrue(ledger.balanced)
        return ledger.received, ledger.delivered, ledger.bytes, ledger.lastTimestamp

    def test_noMember(self) -> None:
        """
        Without a multicast there is nothing to count, and nothing to leave.
        """
        self.assertIs(self.membership.target, self.target)
        self.assertIsNone(self.membership.multicast)
        self.assertEqual(self.booked(), (0, 0, 0, 0))
        self.assertIsNone(self.membership.leave())
        self.assertEqual(self.target.calls, [])

    def test_booksWhatComesWhileItIsAMember(self) -> None:
        """
        Frames before and after are not counted; each frame is counted once, however
        often the ledger is read.
        """
        self.send(videoFrame(0, size=1000), videoFrame(40, size=1000))
        self.membership.join(self.multicast)
        self.assertIs(self.membership.multicast, self.multicast)
        self.assertEqual(self.target.calls, [("join", self.sink)])
        self.assertEqual(self.booked(), (0, 0, 0, 0))
        self.send(videoFrame(80, size=100))
        self.assertEqual(self.booked(), (1, 1, 100, 80))
        self.assertEqual(self.booked(), (1, 1, 100, 80))
        self.send(videoFrame(120, size=20), videoFrame(160, size=30))
        self.assertIs(self.membership.leave(), self.multicast)
        self.assertEqual(self.target.calls[1:], [("leave", self.sink)])
        self.send(videoFrame(200))
        self.assertEqual(self.booked(), (3, 3, 150, 160))
        self.assertIsNone(self.membership.leave())
        self.membership.join(self.multicast)
        self.send(videoFrame(240, size=50))
        self.assertEqual(self.booked(), (4, 4, 200, 240))

    def test_whatIsCountedForAll(self) -> None:
        """
        Frames, bytes, and the timestamp of the last frame that is not a header.
        """
        multicast = self.multicast

        def counts() -> tuple[int, int, bool, int]:
            return (
                multicast.frames,
                multicast.bytes,
                multicast.isTimed,
                multicast.lastTimestamp,
            )

        self.assertEqual((multicast.members, counts()), (0, (0, 0, False, 0)))
        headers = makeFrames(0)
        size = sum(header.size for header in headers)
        self.send(*headers)
        self.assertEqual(counts(), (2, size, False, 0))
        self.send(videoFrame(40, size=100), headers[0])
        self.assertEqual(counts(), (4, size + 100 + headers[0].size, True, 40))

    def test_headersHaveNoTime(self) -> None:
        """
        The last timestamp does not change.
        """
        self.ledger.lastTimestamp = 40
        self.membership.join(self.multicast)
        headers = makeFrames(0)
        self.send(*headers)
        size = sum(header.size for header in headers)
        self.assertEqual(self.booked(), (2, 2, size, 40))
