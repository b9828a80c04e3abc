"""
One sink's membership in a multicast.
"""

from rtmptw.hub.ledger import Ledger
from rtmptw.hub.multicast import Multicast
from rtmptw.interfaces import IMulticastSink, IMulticastTarget


class Membership:
    """
    Lets a sink receive its frames together with others for a while, and counts them.

    @ivar target: the multicast target that such sinks share.
    @ivar multicast: the multicast the sink is in; C{None} while it gets its frames
        individually.
    """

    __slots__ = (
        "_bytesBefore",
        "_framesBefore",
        "_ledger",
        "_sink",
        "multicast",
        "target",
    )

    def __init__(self, sink: IMulticastSink, ledger: Ledger) -> None:
        """
        @param ledger: the sink's ledger.
        """
        self.target: IMulticastTarget = sink.multicast
        self.multicast: Multicast | None = None
        self._sink = sink
        self._ledger = ledger
        self._framesBefore: int = 0
        self._bytesBefore: int = 0

    def join(self, multicast: Multicast) -> None:
        """
        Receive frames through a multicast from now on.
        """
        self.multicast = multicast
        self._framesBefore = multicast.frames
        self._bytesBefore = multicast.bytes
        # If the sink turns out to be full here, it leaves again at once.
        self.target.join(self._sink)

    def leave(self) -> Multicast | None:
        """
        Leave the multicast, if the sink is in one.

        @return: the multicast left; C{None} if there was none.
        """
        multicast = self.multicast
        if multicast is not None:
            self.settle()
            self.multicast = None
            self.target.leave(self._sink)
        return multicast

    def settle(self) -> None:
        """
        Count the frames received through the multicast so far.
        """
        multicast = self.multicast
        if multicast is None:
            return
        frames = multicast.frames - self._framesBefore
        if frames:
            ledger = self._ledger
            ledger.received += frames
            ledger.delivered += frames
            ledger.bytes += multicast.bytes - self._bytesBefore
            if multicast.isTimed:
                ledger.lastTimestamp = multicast.lastTimestamp
            self._framesBefore = multicast.frames
            self._bytesBefore = multicast.bytes
