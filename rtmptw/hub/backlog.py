"""
The queue of frames for a sink, its limits, and what happens when they are exceeded.
"""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from rtmptw.delivery import Delivery
from rtmptw.frames import Frame
from rtmptw.hub.ledger import TOO_SLOW, Ledger

#: Means no limit.
_UNLIMITED: Final = 1 << 60


class Backlog:
    """
    The queue of frames for a sink, oldest first, counted in the sink's ledger. There
    is a subclass for each policy, which decides what happens when a limit is exceeded.

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
        @param limits: the limits of the queue.
        @param ledger: the sink's ledger.
        @param seconds: the monotonic clock.
        """
        self.isFull: bool = False
        self._ledger = ledger
        self._seconds = seconds
        self._maxBytes: int = limits.maxBytes or _UNLIMITED
        self._maxFrames: int = limits.maxFrames or _UNLIMITED
        self._maxMilliseconds: int = limits.maxMilliseconds or _UNLIMITED
        # The frames that a late sink begins with; they do not count toward its limits.
        self._first: deque[Frame] = deque()
        self._queue: deque[Frame] = deque()
        # When each frame of the queue was added.
        self._since: deque[float] = deque()
        self._bytes: int = 0

    def heldBytes(self) -> int:
        """
        @return: the payload bytes queued, including the frames that the sink begins
            with.
        """
        return self._bytes + sum(frame.size for frame in self._first)

    @property
    def isEmpty(self) -> bool:
        """
        Whether the queue is empty, apart from the frames that the sink begins with.
        """
        return not self._queue

    def beginWith(self, frames: Iterable[Frame]) -> int:
        """
        Queue frames before all others. None is dropped, however many there are.

        @return: the number of frames.
        """
        before = len(self._first)
        self._first.extend(frames)
        count = len(self._first) - before
        self._ledger.queued += count
        return count

    def add(self, frame: Frame) -> bool:
        """
        Queue a frame.

        @return: whether the outlet has to act: pause the source if L{isFull}, else
            detach the sink.
        """
        self._queue.append(frame)
        self._since.append(self._seconds())
        self._bytes += frame.size
        self._ledger.queued += 1
        return self._isOver(1) and self._giveWay()

    def take(self) -> Frame:
        """
        Remove the oldest frame from the queue, which must not be empty.

        @return: the frame.
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
        Check whether the source can resume, and if so clear L{isFull}. It can when the
        queue is down to half its limits, so that it does not stop and go with each
        frame.

        @return: whether the source was waiting and can resume.
        """
        if not self.isFull or self._isOver(2):
            return False
        self.isFull = False
        return True

    def drop(self, reason: str) -> None:
        """
        Drop all queued frames.

        @param reason: for the ledger.
        """
        self._ledger.drop(reason, len(self._first) + len(self._queue))
        self._ledger.queued = 0
        self._first.clear()
        self._queue.clear()
        self._since.clear()
        self._bytes = 0

    def _giveWay(self) -> bool:
        """
        Handle a queue that exceeds its limits.

        @return: as L{add}.
        """
        raise NotImplementedError

    def _isOver(self, share: int) -> bool:
        """
        @param share: 1 for the limits, 2 for half of them.
        @return: whether the queue exceeds that.
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
        @return: how long the oldest frame had waited when the newest was added, in ms.
        """
        since = self._since
        return int((since[-1] - since[0]) * 1000) if since else 0


class LosslessBacklog(Backlog):
    """
    Drops nothing: the source waits.
    """

    __slots__ = ()

    def _giveWay(self) -> bool:
        isNew = not self.isFull
        self.isFull = True
        return isNew


class DisconnectBacklog(Backlog):
    """
    Drops everything, and has the sink detached.
    """

    __slots__ = ()

    def _giveWay(self) -> bool:
        self.drop(TOO_SLOW)
        return True
