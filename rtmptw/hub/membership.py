"""
One sink's part in a multicast.
"""

from rtmptw.hub.ledger import Ledger
from rtmptw.hub.multicast import Multicast
from rtmptw.interfaces import IMulticastSink, IMulticastTarget


class Membership:
    """
    Lets a sink take its frames together with others for a while, and books them.

    @ivar target: what it would share with them.
    @ivar multicast: what it gets its frames through; C{None} while it gets them one
        by one.
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
        @param ledger: the sink's books.
        """
        self.target: IMulticastTarget = sink.multicast
        self.multicast: Multicast | None = None
        self._sink = sink
        self._ledger = ledger
        self._framesBefore: int = 0
        self._bytesBefore: int = 0

    def join(self, multicast: Multicast) -> None:
        """
        Take what comes through a multicast from now on.
        """
        self.multicast = multicast
        self._framesBefore = multicast.frames
        self._bytesBefore = multicast.bytes
        # If this shows that the sink is full, it leaves again at once.
        self.target.join(self._sink)

    def leave(self) -> Multicast | None:
        """
        Take no more of it.

        @return: what was left; C{None} if there was nothing to leave.
        """
        multicast = self.multicast
        if multicast is not None:
            self.settle()
            self.multicast = None
            self.target.leave(self._sink)
        return multicast

    def settle(self) -> None:
        """
        Book what has come through the multicast so far.
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
