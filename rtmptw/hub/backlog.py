"""
What waits for a sink: how much may, and what is done when more does.
"""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from rtmptw.delivery import Delivery
from rtmptw.frames import Frame
from rtmptw.hub.ledger import TOO_SLOW, Ledger

#: Stands for no limit.
_UNLIMITED: Final = 1 << 60


class Backlog:
    """
    The frames that wait for a sink, oldest first, booked as they come and go. What
    gives way when there are too many is up to those who inherit from this: there is one
    for each policy.

    @ivar isFull: whether the source has to wait for this sink.
    """

    __slots__ = (
        "_bytes",
        "_first",
        "_ledger",
        "_maxBytes",
        "_maxFrames",
        "_maxMilliseconds",
        "_queue",
        "_seconds",
        "_since",
        "isFull",
    )

    def __init__(
        self, limits: Delivery, ledger: Ledger, seconds: Callable[[], float]
    ) -> None:
        """
        @param limits: more than these may not wait.
        @param ledger: the sink's books.
        @param seconds: the monotonic clock.
        """
        self.isFull: bool = False
        self._ledger = ledger
        self._seconds = seconds
        self._maxBytes: int = limits.maxBytes or _UNLIMITED
        self._maxFrames: int = limits.maxFrames or _UNLIMITED
        self._maxMilliseconds: int = limits.maxMilliseconds or _UNLIMITED
        # What a late sink begins with, which is not counted against its limits.
        self._first: deque[Frame] = deque()
        self._queue: deque[Frame] = deque()
        # When the frames of the queue came.
        self._since: deque[float] = deque()
        self._bytes: int = 0

    def heldBytes(self) -> int:
        """
        @return: of the payloads that wait, those that it began with among them.
        """
        return self._bytes + sum(frame.size for frame in self._first)

    @property
    def isEmpty(self) -> bool:
        """
        Whether nothing waits but what the sink is to begin with.
        """
        return not self._queue

    def beginWith(self, frames: Iterable[Frame]) -> int:
        """
        Let these wait before all others. However many they are, none is dropped.

        @return: how many they are.
        """
        before = len(self._first)
        self._first.extend(frames)
        count = len(self._first) - before
        self._ledger.queued += count
        return count

    def add(self, frame: Frame) -> bool:
        """
        Let a frame wait.

        @return: whether the outlet has to act: the source must wait (L{isFull}), or
            else the sink must go.
        """
        self._queue.append(frame)
        self._since.append(self._seconds())
        self._bytes += frame.size
        self._ledger.queued += 1
        return self._isOver(1) and self._giveWay()

    def take(self) -> Frame:
        """
        @return: the oldest frame, which waits no longer. There must be one.
        """
        self._ledger.queued -= 1
        if self._first:
            return self._first.popleft()
        frame = self._queue.popleft()
        self._since.popleft()
        self._bytes -= frame.size
        return frame

    def isRelieved(self) -> bool:
        """
        @return: whether the source had to wait and need not any longer. At half of what
            may wait, so as not to stop and go with each frame.
        """
        if not self.isFull or self._isOver(2):
            return False
        self.isFull = False
        return True

    def drop(self, reason: str) -> None:
        """
        Drop all that waits.

        @param reason: for the books.
        """
        self._ledger.drop(reason, len(self._first) + len(self._queue))
        self._ledger.queued = 0
        self._first.clear()
        self._queue.clear()
        self._since.clear()
        self._bytes = 0

    def _giveWay(self) -> bool:
        """
        More waits than may.

        @return: as L{add}.
        """
        raise NotImplementedError

    def _isOver(self, share: int) -> bool:
        """
        @return: whether more waits than may; with 2, more than half of that.
        """
        return (
            len(self._queue) * share > self._maxFrames
            or self._bytes * share > self._maxBytes
            or (
                self._maxMilliseconds != _UNLIMITED
                and self._waitingTime() * share > self._maxMilliseconds
            )
        )

    def _waitingTime(self) -> int:
        """
        @return: how long the oldest frame had waited when the newest came, in ms.
        """
        since = self._since
        return int((since[-1] - since[0]) * 1000) if since else 0


class LosslessBacklog(Backlog):
    """
    Nothing gives way: the source waits.
    """

    __slots__ = ()

    def _giveWay(self) -> bool:
        isNew = not self.isFull
        self.isFull = True
        return isNew


class DisconnectBacklog(Backlog):
    """
    The sink gives way.
    """

    __slots__ = ()

    def _giveWay(self) -> bool:
        self.drop(TOO_SLOW)
        return True
