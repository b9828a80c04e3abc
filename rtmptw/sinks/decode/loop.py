"""
Decoded frames for a loop of yours, in a coroutine or a thread.
"""

import queue
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime
from typing import Any, cast

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import (
    IPushProducer,
    IReactorCore,
    IReactorFromThreads,
    IReactorTime,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from rtmptw._pyav.decoding import Decoded
from rtmptw._pyav.images import NATIVE
from rtmptw.clock import wallClock
from rtmptw.delivery import TOO_SLOW, Delivery
from rtmptw.frames import Frame, StreamInfo
from rtmptw.interfaces import IFrameSink
from rtmptw.lane import Lane
from rtmptw.sinks.decode.awaited import Awaited
from rtmptw.sinks.decode.decoding import DecodedFrame, Decoding, Wanted
from rtmptw.sinks.decode.lateness import Lateness
from rtmptw.sinks.decode.remote import DecodingProcess, Remote
from rtmptw.sinks.process import checkProcesses

#: Seconds after the end of the stream for which a loop may take nothing before the
#: remaining frames are dropped: the server's shutdown waits for it.
END_PATIENCE = 30.0
#: The interval at which a waiting thread checks whether the loop is over, in seconds.
_LOOK_AGAIN = 1.0


@implementer(IFrameSink)
class DecodedFrames:
    """
    A sink whose decoded frames a loop takes. In the reactor's thread, use::

        async for frame in frames:
            ...

    in a Twisted coroutine, or in an asyncio task if its event loop is the reactor's. In
    any other thread, use::

        for frame in frames.iterate():
            ...

    The loop ends with the stream. Leaving it earlier (C{break}, an exception,
    cancelling the task) detaches the sink; so does L{close}, and leaving C{async with
    frames}. Attach it to one stream, and use one loop. With the policy C{lossless}, a
    loop that takes no frames makes the publisher wait.

    @ivar failure: why it ended before the stream did; empty if it has not failed.
    @ivar given: the number of frames that the loop has taken.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: IReactorTime,
        *,
        format: str = "native",
        policy: str = "lossless",
        size: tuple[int, int] | None = None,
        fps: float = 0.0,
        keyframes: bool = False,
        media: str = "video",
        track: int = 0,
        process: bool = False,
        patient: bool = False,
        lane: Callable[[IReactorFromThreads, str], Lane] = Lane,
        now: Callable[[], datetime] = wallClock,
    ) -> None:
        """
        @param reactor: provides C{IReactorTime} and C{IReactorThreads}.
        @param format: C{native} for PyAV's own frames; C{rgb24}, C{bgr24} or C{gray}
            for numpy arrays.
        @param policy: C{lossless}: every frame, and the publisher waits for the loop;
            C{latest}: always the latest frame; C{to-keyframe}: every frame, but if the
            loop is two seconds behind, frames are dropped up to a key frame.
        @param size: width and height to scale video frames to.
        @param fps: the most video frames per second of media.
        @param keyframes: whether to decode key frames only.
        @param media: C{video}, C{audio} or C{both}.
        @param track: the Enhanced RTMP track id.
        @param process: whether FFmpeg decodes in a child process, which passes arrays
            through shared memory.
        @param patient: whether to wait without limit for a loop that takes no frames
            after the end of the stream.
        @param lane: makes lanes.
        @param now: the wall clock.

        @raise ValueError: with a sentence, if an argument is invalid.
        @raise SinkError: if a child process is wanted and cannot be started.
        """
        wanted = Wanted(format, policy, size, fps, keyframes, media, track)
        self.delivery: Delivery = wanted.delivery
        self.failure = ""
        self.given = 0
        self._reactor: Any = reactor
        self._isPatient = patient
        self._makeLane = lane
        self._decoding: Any
        self._form: Any
        if process:
            if format == NATIVE:
                raise ValueError(
                    "A child process passes arrays: choose an array format."
                )
            checkProcesses("decoding with process=True")
            self._form = self._decoding = DecodingProcess(reactor, wanted, self._goOn)
        else:
            self._form = wanted.form()
            self._decoding = Decoding(reactor, wanted, self._goOn, lane, now)
        self._lateness = Lateness(wanted.oldest, now)
        self._name = ""
        self._reason = ""
        self._producer: IPushProducer | None = None
        self._waiter: Deferred[Decoded | None] | None = None
        self._lane: Lane | None = None
        self._isLooping = False
        self._isConverting = False
        self._isClosed = False
        self._isFinished = False
        self._done: Deferred[None] | None = None
        self._timer: Any = None
        self._trigger: Any = None

    # Called by the stream: IFrameSink.

    def streamStarted(self, stream: StreamInfo, producer: IPushProducer) -> None:
        """
        The stream starts.
        """
        self._name = stream.name
        self._producer = producer
        self._decoding.start(stream, producer)

    def frameReceived(self, frame: Frame) -> None:
        """
        Decode the frame.
        """
        self._decoding.receive(frame)

    def frameArrived(self, frame: Frame, arrived: datetime) -> None:
        """
        Like L{frameReceived}, for a frame that arrived some time ago.
        """
        self._decoding.receive(frame, arrived)

    @property
    def waiting(self) -> int:
        """
        The number of frames waiting to be decoded or to be taken.
        """
        return int(self._decoding.waiting)

    @property
    def replaced(self) -> int:
        """
        The number of decoded frames replaced by newer ones, with the policy C{latest}.
        """
        return int(self._decoding.skipped)

    @property
    def refused(self) -> int:
        """
        The number of frames that could not be decoded.
        """
        return int(self._decoding.counts.refused)

    def streamEnded(self, reason: str) -> "Deferred[None]":
        """
        Decode all that is queued.

        @return: a L{Deferred} that fires when the loop has taken all frames, was left,
            or has taken none for L{END_PATIENCE} seconds.
        """
        self._reason = reason
        self._done = done = Deferred[None]()
        if self._isClosed or self.failure:
            self._decoding.abandon()
        else:
            self._waitForLoop()
            self._decoding.end()
        self._goOn()
        return done

    # Called by the loop.

    def close(self) -> None:
        """
        Detach the sink; the loop ends. To be called in the reactor's thread.
        """
        if self._isClosed:
            return
        self._isClosed = True
        if self._done is None and self._producer is not None and not self._isFinished:
            self._producer.stopProducing()
        else:
            self._decoding.abandon()
        self._goOn()

    def __aiter__(self) -> AsyncIterator[DecodedFrame]:
        return self._loop()

    async def _loop(self) -> AsyncIterator[DecodedFrame]:
        # A generator, because Python closes it when the loop is left.
        try:
            while (decoded := await Awaited(self.take())) is not None:
                yield await Awaited(self.convert(decoded))
        finally:
            self.close()

    async def __aenter__(self) -> "DecodedFrames":
        return self

    async def __aexit__(self, *exception: object) -> None:
        self.close()

    def iterate(self) -> Iterator[DecodedFrame]:
        """
        Iterate in a thread other than the reactor's; blocks that thread while there is
        no frame.
        """
        self._reactor.callFromThread(self._watchReactor)
        try:
            while (decoded := self._blockingNext()) is not None:
                yield self.give(decoded)
        finally:
            self._reactor.callFromThread(self.close)

    def _blockingNext(self) -> Decoded | None:
        answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._reactor.callFromThread(self._answer, answers)
        while True:
            try:
                answer = answers.get(timeout=_LOOK_AGAIN)
            except queue.Empty:
                # A stopping reactor waits for its threads, and no longer answers.
                if self._isClosed or self._isFinished:
                    return None
            else:
                if isinstance(answer, Failure):
                    answer.raiseException()
                return cast("Decoded | None", answer)

    def _answer(self, answers: "queue.SimpleQueue[Any]") -> None:
        maybeDeferred(self.take).addBoth(answers.put)

    def _watchReactor(self) -> None:
        """
        End the loop if the reactor stops before the stream has ended.
        """
        if IReactorCore.providedBy(self._reactor) and not self._isFinished:
            self._trigger = self._reactor.addSystemEventTrigger(
                "before", "shutdown", self._reactorStops
            )

    def _reactorStops(self) -> None:
        self._trigger = None
        if self._done is None:
            self.close()

    def take(self) -> "Deferred[Decoded | None]":
        """
        Take the next frame, for other kinds of loops. To be called in the reactor's
        thread.

        @return: fires with the next frame, to be converted with L{give} or L{convert};
            with C{None} after the last one. Cancel it to stop waiting: no frame is
            lost.
        """
        if self._waiter is not None or self._isConverting:
            raise RuntimeError(f"only one loop can take the frames of {self._name}")
        if self._isClosed or self._isFinished:
            return succeed(None)
        self._isLooping = True
        waiter: Deferred[Decoded | None] = Deferred(self._cancelled)
        self._waiter = waiter
        self._goOn()
        return waiter

    def _cancelled(self, waiter: "Deferred[Any]") -> None:
        self._waiter = None

    def give(self, decoded: Decoded) -> DecodedFrame:
        """
        Scale and convert a frame; in any thread, but only one at a time.
        """
        return cast(DecodedFrame, self._form.give(decoded))

    def convert(self, decoded: Decoded) -> "Deferred[DecodedFrame]":
        """
        Like L{give}, outside the reactor's thread.

        @return: fires with the converted frame.
        """
        if self._lane is None:
            self._lane = self._makeLane(self._reactor, f"convert {self._name}")
        self._isConverting = True
        return self._lane.run(self.give, decoded).addBoth(self._converted)

    def _converted(self, result: Any) -> Any:
        self._isConverting = False
        self._goOn()
        return result

    # Between the two.

    def _goOn(self) -> None:
        if self._decoding.failure and not self.failure:
            self.failure = self._decoding.failure
            self.close()
        waiter = self._waiter
        if waiter is not None:
            # Before taking anything: taking makes the decoder continue, which calls
            # this.
            self._waiter = None
            taken = self._takeOne()
            if taken:
                self.given += 1
                self._waitForLoop()
                waiter.callback(taken[0])
            elif self._isClosed or self._decoding.isOver:
                self._isLooping = False
                waiter.callback(None)
            else:
                self._waiter = waiter
        if self._done is None or not self._decoding.isOver or self._isConverting:
            return
        # A loop in a thread must be told of the end while the reactor still runs.
        if self._isClosed or not self._isLooping:
            self._finish()

    def _takeOne(self) -> list[Any]:
        """
        @return: the next frame that is not too old, in a list; empty if there is none.
        """
        taken: list[Any]
        while taken := self._decoding.take(1):
            if self._lateness.admits(taken[0]):
                break
            if isinstance(taken[0], Remote):
                self._decoding.letGo(taken[0])
            cast(Any, self._producer).framesDropped(TOO_SLOW, 1, 0)
        return list(taken)

    def _waitForLoop(self) -> None:
        """
        After the end of the stream, start or restart the timeout of the loop.
        """
        if self._done is None or self._isPatient:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._reactor.callLater(END_PATIENCE, self._waitedLong)

    def _waitedLong(self) -> None:
        self._timer = None
        self._log.warn(
            "{name}: the loop has taken no frames for {seconds:g} s; dropping the rest",
            name=self._name,
            seconds=END_PATIENCE,
        )
        self.close()

    def _finish(self) -> None:
        done, self._done = self._done, None
        if self._trigger is not None:
            trigger, self._trigger = self._trigger, None
            self._reactor.removeSystemEventTrigger(trigger)
        self._isFinished = True
        if self._timer is not None:
            timer, self._timer = self._timer, None
            timer.cancel()
        self._decoding.close()
        if self._lane is not None:
            lane, self._lane = self._lane, None
            lane.close()
        counts = self._decoding.counts
        self._log.info(
            "{name}: loop got {given} of {decoded} decoded frames, {skipped} skipped "
            "for newer ones, {refused} not decoded; {reason}",
            name=self._name,
            given=self.given,
            decoded=sum(counts.decoded.values()),
            skipped=self._decoding.skipped + self._lateness.skipped,
            refused=counts.refused,
            reason=self._reason,
        )
        assert done is not None
        done.callback(None)
