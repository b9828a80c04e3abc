"""
The queues for sinks that may lose frames: how they make room for new ones.
"""

from collections import deque
from collections.abc import Callable

from rtmptw.delivery import Delivery
from rtmptw.frames import Frame, FrameKind, Role
from rtmptw.hub.backlog import Backlog
from rtmptw.hub.lag import Lag
from rtmptw.hub.ledger import NOT_NEWEST, SUPERSEDED, TOO_SLOW, Ledger
from rtmptw.hub.selection import Selection
from rtmptw.keyframes import LeadingTrack


class KeyframeBacklog(Backlog):
    """
    Makes room by dropping the newest queued group of pictures (GOP), or, if it is the
    only one, its last frames; and all frames that follow until the next key frame. So
    delivered video always begins with a key frame and has no gaps before the next drop.
    Without video it drops the oldest frames. Headers are kept.
    """

    __slots__ = ("_lag", "_leading", "_selection")

    def __init__(
        self,
        limits: Delivery,
        ledger: Ledger,
        seconds: Callable[[], float],
        leading: LeadingTrack,
        selection: Selection,
        lag: Lag,
    ) -> None:
        """
        @param leading: decides where a group begins.
        @param selection: is told to wait for a key frame.
        @param lag: is told how long the queue was.
        """
        super().__init__(limits, ledger, seconds)
        self._leading = leading
        self._selection = selection
        self._lag = lag

    def _giveWay(self) -> bool:
        self._lag.fallBehind(self._waitingTime(), self._bytes)
        while self._isOver(1):
            if not (self._dropGroup() or self._dropOldest()):
                self._dropSuperseded()
                break
        return False

    def _dropGroup(self) -> bool:
        """
        Drop the newest group of pictures, or its end.

        @return: whether there was video to drop.
        """
        queue = self._queue
        begin = 0
        newest = -1
        for index in range(len(queue) - 1, -1, -1):
            frame = queue[index]
            if frame.kind is FrameKind.VIDEO and frame.role is Role.CODED:
                newest = max(newest, index)
                if frame.isKey and self._leading.leads(frame):
                    begin = index
                    # The key frame may consist of several messages.
                    while begin and (
                        queue[begin - 1].kind is FrameKind.VIDEO
                        and queue[begin - 1].timestamp == frame.timestamp
                        and not queue[begin - 1].isHeader
                    ):
                        begin -= 1
                    break
        if newest < 0:
            return False
        if begin == 0:
            # The sink already has its beginning, or it is the only one: keep as much
            # of it as possible.
            begin = newest
        self._selection.awaitKeyframe(queue[newest].timestamp)
        kept: list[Frame] = []
        dropped = 0
        while len(queue) > begin:
            frame = queue.pop()
            since = self._since.pop()
            if frame.isHeader:
                kept.append(frame)
            else:
                self._bytes -= frame.size
                dropped += 1
        queue.extend(reversed(kept))
        self._since.extend(since for _frame in kept)
        self._ledger.queued -= dropped
        self._ledger.drop(TOO_SLOW, dropped)
        return True

    def _dropOldest(self) -> bool:
        """
        Drop the oldest frame that is not a header.

        @return: whether there was one.
        """
        for index, frame in enumerate(self._queue):
            if not frame.isHeader:
                self._remove(index, frame, TOO_SLOW)
                return True
        return False

    def _dropSuperseded(self) -> None:
        """
        Drop headers that a later one replaces. Only headers are queued by now:
        GStreamer repeats its metadata eleven times a second.
        """
        latest = {
            (frame.kind, frame.role, frame.tracks, frame.name): frame
            for frame in self._queue
        }
        kept = deque(frame for frame in self._queue if frame in latest.values())
        dropped = len(self._queue) - len(kept)
        self._queue = kept
        for _count in range(dropped):
            self._since.popleft()
        self._bytes = sum(frame.size for frame in kept)
        self._ledger.queued -= dropped
        self._ledger.drop(SUPERSEDED, dropped)

    def _remove(self, index: int, frame: Frame, reason: str) -> None:
        """
        Drop the frame at an index of the queue.
        """
        del self._queue[index]
        del self._since[index]
        self._bytes -= frame.size
        self._ledger.queued -= 1
        self._ledger.drop(reason)


class LatestBacklog(KeyframeBacklog):
    """
    Keeps only the newest frame of each track. If that still exceeds the limits, it
    makes room like L{KeyframeBacklog}.
    """

    __slots__ = ()

    def add(self, frame: Frame) -> bool:
        """
        Queue a frame, in place of an older one of its track.

        @return: as L{Backlog.add}.
        """
        if not frame.isHeader:
            for index, older in enumerate(self._queue):
                if (
                    older.kind is frame.kind
                    and older.tracks == frame.tracks
                    and not older.isHeader
                ):
                    self._remove(index, older, NOT_NEWEST)
                    break
        return super().add(frame)
