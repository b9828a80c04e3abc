"""
Decoded frames for a loop of yours, in a coroutine or in a thread.
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
from rtmptw._pyav.pictures import NATIVE
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

#: When the stream has ended, a loop that takes nothing for so many seconds gets no
#: more: the server's shutdown waits for it.
END_PATIENCE = 30.0
#: Seconds after which a thread that waits looks whether the loop is over.
_LOOK_AGAIN = 1.0


@implementer(IFrameSink)
class DecodedFrames:
    """
    A sink whose decoded frames a loop takes. In the reactor's thread::

        async for frame in frames:
            ...

    in a coroutine of Twisted, or in a task of asyncio if its loop is the reactor's. And
    in any other thread::

        for frame in frames.iterate():
            ...

    The loop ends with the stream. Leaving it earlier (C{break}, an exception, a task
    that is cancelled) detaches the sink; so does L{close}, and leaving C{async with
    frames}. Attach it to one stream, and use one loop. With the
    policy C{lossless}, a loop that takes nothing makes the publisher wait.

    @ivar failure: why it ended before the stream did; empty while all is well.
    @ivar given: how many frames the loop got.
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
            C{latest}: always the newest; C{to-keyframe}: every frame, up to where the
            loop is two seconds behind, then on from a key frame.
        @param size: width and height to scale pictures to.
        @param fps: so many pictures a second of media at most.
        @param keyframes: decode key frames only.
        @param media: C{video}, C{audio} or C{both}.
        @param track: the Enhanced RTMP track id.
        @param process: whether FFmpeg decodes in a process of its own, from which
            arrays come through shared memory.
        @param patient: whether a loop that takes nothing for a while after the end is
            waited for all the same.
        @param lane: makes lanes.
        @param now: the wall clock.

        @raise ValueError: with a sentence, if something of this is not possible.
        @raise SinkError: if there can be no process, and one is wanted.
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
                    "From a process of its own come arrays: say which format."
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

    # What the stream calls: IFrameSink.

    def streamStarted(self, stream: StreamInfo, producer: IPushProducer) -> None:
        """
        The stream begins.
        """
        self._name = stream.name
        self._producer = producer
        self._decoding.start(stream, producer)

    def frameReceived(self, frame: Frame) -> None:
        """
        Decode it.
        """
        self._decoding.receive(frame)

    def frameArrived(self, frame: Frame, arrived: datetime) -> None:
        """
        As L{frameReceived}, for a frame that came some time ago.
        """
        self._decoding.receive(frame, arrived)

    @property
    def waiting(self) -> int:
        """
        How many frames wait to be decoded or to be taken.
        """
        return int(self._decoding.waiting)

    @property
    def replaced(self) -> int:
        """
        How many decoded frames a newer one has replaced, with the policy C{latest}.
        """
        return int(self._decoding.skipped)

    @property
    def refused(self) -> int:
        """
        How many frames could not be decoded.
        """
        return int(self._decoding.counts.refused)

    def streamEnded(self, reason: str) -> "Deferred[None]":
        """
        Decode what waits.

        @return: a L{Deferred} that fires when the loop has taken it all, or was left,
            or has taken nothing for L{END_PATIENCE} seconds.
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

    # What the loop calls.

    def close(self) -> None:
        """
        Detach it; the loop ends. In the reactor's thread.
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
        # A generator, because Python closes it when its loop is left.
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
        For a loop in a thread that is not the reactor's; it blocks that thread while
        there is no frame.
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
                # A reactor that stops waits for its threads, and answers no more.
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
        End the loop if the reactor stops, and nobody ends the stream before.
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
        For a loop of another kind. In the reactor's thread.

        @return: fires with the next frame, which L{give} or L{convert} makes what users
            get; with C{None} if there is none any more. Cancel it to wait no longer:
            nothing is lost.
        """
        if self._waiter is not None or self._isConverting:
            raise RuntimeError(f"the frames of {self._name} are for one loop")
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
        Scale and convert, in any thread, but in one at a time.
        """
        return cast(DecodedFrame, self._form.give(decoded))

    def convert(self, decoded: Decoded) -> "Deferred[DecodedFrame]":
        """
        The same off the reactor's thread.

        @return: fires with what users get.
        """
        if self._lane is None:
            self._lane = self._makeLane(self._reactor, f"convert {self._name}")
        self._isConverting = True
        return self._lane.run(self.give, decoded).addBoth(self._converted)

    def _converted(self, result: Any) -> Any:
        self._isConverting = False
        self._goOn()
        return result

    # In between.

    def _goOn(self) -> None:
        if self._decoding.failure and not self.failure:
            self.failure = self._decoding.failure
            self.close()
        waiter = self._waiter
        if waiter is not None:
            # Before anything is taken: that makes the decoder go on, and call this.
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
        # A loop in a thread must learn of the end while the reactor still runs.
        if self._isClosed or not self._isLooping:
            self._finish()

    def _takeOne(self) -> list[Any]:
        """
        @return: the next one that is not too late, if there is one.
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
        From the end of the stream on.
        """
        if self._done is None or self._isPatient:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._reactor.callLater(END_PATIENCE, self._waitedLong)

    def _waitedLong(self) -> None:
        self._timer = None
        self._log.warn(
            "{name}: its frames are not taken for {seconds:g} s; they are dropped",
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
            "{name}: a loop got {given} of {decoded} decoded frames, {skipped} skipped "
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
