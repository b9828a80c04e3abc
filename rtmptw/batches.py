"""
Batches: items are collected in the reactor's thread and written in a lane, one batch at
a time.
"""

from collections.abc import Callable
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.python.failure import Failure

from rtmptw.lane import Lane

#: Larger writes are not faster.
FLUSH_BYTES: Final = 256 * 1024
#: If the server is killed, it loses the items of about this many seconds.
FLUSH_SECONDS: Final = 1.0
#: The publisher is paused when this many bytes are collected or being written, and
#: resumed at half: two seconds of 32 Mbit/s, which the disk of a busy machine may need.
MAX_BYTES: Final = 8 * 1024 * 1024
#: No limit: more items than are ever collected.
ANY_NUMBER: Final = 1 << 60


class BatchOwner(Protocol):
    """
    Collects the items for a L{BatchWriter}. All methods are called in the reactor's
    thread.
    """

    def takeBatch(self, isEnding: bool) -> Callable[[], object] | None:
        """
        Hand over the collected items and start a new batch.

        @param isEnding: whether no more items follow. This method is then called again
            after each batch until it returns C{None}: the last one may close a file.
        @return: a function that writes the batch, to be called in the lane; C{None} if
            there is nothing to write.
        """

    def batchWritten(self, result: Any) -> str:
        """
        A batch was written.

        @param result: the result of the function in the lane.
        @return: why nothing more can be written; empty to continue.
        """

    def batchFailed(self, failure: Failure) -> str:
        """
        The function in the lane raised an exception.

        @return: why nothing more can be written; empty to continue.
        """


class BatchWriter:
    """
    Decides when to write, writes, and pauses the producer while too much is queued.

    The owner keeps the items and reports their sizes. A batch is written when
    C{flushBytes} are collected, when the first item is C{flushSeconds} old, or when the
    owner asks for it; never two at a time. The lane is made with the first batch and
    closed after the last.

    @ivar isUsed: whether anything was written, or is being written.
    """

    __slots__ = (
        "_done",
        "_flushBytes",
        "_flushSeconds",
        "_flying",
        "_flyingItems",
        "_isBusy",
        "_isEnding",
        "_isFlushWanted",
        "_isPaused",
        "_items",
        "_lane",
        "_makeLane",
        "_maxBytes",
        "_maxItems",
        "_name",
        "_owner",
        "_producer",
        "_reactor",
        "_timer",
        "_waiting",
        "isUsed",
    )

    def __init__(
        self,
        reactor: Any,
        owner: BatchOwner,
        name: str,
        makeLane: Callable[[Any, str], Lane] = Lane,
        producer: IPushProducer | None = None,
        flushBytes: int = FLUSH_BYTES,
        flushSeconds: float = FLUSH_SECONDS,
        maxBytes: int = MAX_BYTES,
        maxItems: int = ANY_NUMBER,
    ) -> None:
        """
        @param reactor: provides C{IReactorTime} and C{IReactorThreads}.
        @param owner: collects the items.
        @param name: the name of the lane's thread.
        @param makeLane: makes the lane that writes.
        @param producer: paused while too much is queued, stopped when nothing more can
            be written; C{None} if there is none.
        @param maxBytes: the producer is paused when more bytes are collected or being
            written, and resumed at half of this.
        @param maxItems: the same limit in items.
        """
        self._reactor = reactor
        # None at the end: this frees the owner at once, without the garbage collector.
        self._owner: BatchOwner | None = owner
        self._name = name
        self._makeLane = makeLane
        self._producer = producer
        self._flushBytes = flushBytes
        self._flushSeconds = flushSeconds
        self._maxBytes = maxBytes
        self._maxItems = maxItems
        self.isUsed = False
        self._lane: Lane | None = None
        self._waiting = 0
        self._items = 0
        self._flying = 0
        self._flyingItems = 0
        self._isBusy = False
        self._isFlushWanted = False
        self._isPaused = False
        self._isEnding = False
        self._timer: Any = None
        self._done: Deferred[None] | None = None

    def added(self, size: int, isUrgent: bool = False) -> None:
        """
        The owner has collected one more item.

        @param size: its size in bytes.
        @param isUrgent: whether to write it without waiting for more items.
        """
        self._waiting += size
        self._items += 1
        if isUrgent or self._waiting >= self._flushBytes:
            self.flush()
        elif self._timer is None:
            self._timer = self._reactor.callLater(
                self._flushSeconds, self._secondsPassed
            )
        if not self._isPaused and (
            self._waiting + self._flying > self._maxBytes
            or self._items + self._flyingItems > self._maxItems
        ):
            self._isPaused = True
            if self._producer is not None:
                self._producer.pauseProducing()

    def flush(self) -> None:
        """
        Write the collected items, now or when the current write is done.
        """
        if self._isBusy:
            self._isFlushWanted = True
        else:
            self._write()

    def finish(self) -> "Deferred[None] | None":
        """
        Write everything that is left; no more items follow. Call it once.

        @return: a L{Deferred} that fires when that is done and the lane is closed;
            C{None} if it is done already.
        """
        self._isEnding = True
        self._goOn()
        if self._owner is None:
            return None
        self._done = done = Deferred[None]()
        return done

    def _secondsPassed(self) -> None:
        self._timer = None
        self.flush()

    def _write(self) -> bool:
        """
        @return: whether there was something to write.
        """
        self._isFlushWanted = False
        self._stopTimer()
        work = None if self._owner is None else self._owner.takeBatch(self._isEnding)
        if work is None:
            return False
        self._flying, self._waiting = self._waiting, 0
        self._flyingItems, self._items = self._items, 0
        self._isBusy = True
        if self._lane is None:
            self.isUsed = True
            self._lane = self._makeLane(self._reactor, self._name)
        written: Deferred[Any] = self._lane.run(work)
        written.addCallback(self._written)
        written.addErrback(self._failed)
        return True

    def _written(self, result: Any) -> None:
        assert self._owner is not None
        self._settle(self._owner.batchWritten(result))

    def _failed(self, failure: Failure) -> None:
        assert self._owner is not None
        self._settle(self._owner.batchFailed(failure))

    def _settle(self, reason: str) -> None:
        """
        A batch is done.
        """
        self._isBusy = False
        self._flying = self._flyingItems = 0
        if reason:
            self._giveUp()
        self._goOn()
        if (
            self._isPaused
            and not self._isEnding
            and (self._waiting + self._flying) * 2 <= self._maxBytes
            and (self._items + self._flyingItems) * 2 <= self._maxItems
        ):
            self._isPaused = False
            if self._producer is not None:
                self._producer.resumeProducing()

    def _giveUp(self) -> None:
        self._waiting = self._items = 0
        if not self._isEnding:
            self._isEnding = True
            if self._producer is not None:
                self._producer.stopProducing()

    def _goOn(self) -> None:
        """
        Write a batch if it is due. At the end, write everything, then close the lane.
        """
        if not self._isEnding:
            if self._isFlushWanted or self._waiting >= self._flushBytes:
                self._write()
        elif not self._isBusy and not self._write():
            self._owner = self._producer = None
            if self._lane is not None:
                lane, self._lane = self._lane, None
                lane.close()
            done, self._done = self._done, None
            if done is not None:
                done.callback(None)

    def _stopTimer(self) -> None:
        if self._timer is not None:
            timer, self._timer = self._timer, None
            timer.cancel()
