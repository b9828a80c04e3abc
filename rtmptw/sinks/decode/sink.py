"""
Passes decoded video and audio frames to your Python code.
"""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.usage import UsageError
from zope.interface import implementer

from rtmptw._pyav.decoding import Decoded
from rtmptw._pyav.images import ARRAYS, NATIVE, parseSize
from rtmptw.clock import wallClock
from rtmptw.delivery import TOO_SLOW, Delivery
from rtmptw.frames import Frame, FrameKind, StreamInfo
from rtmptw.interfaces import IFrameSink, IFrameSinkFactory, IHubUser
from rtmptw.lane import Lane
from rtmptw.plugins.arguments import Argument, Arguments, First
from rtmptw.plugins.sink import FrameSinkFactory
from rtmptw.plugins.values import Choice, Number, Text, typed
from rtmptw.sinks.child import Children, ChildSink
from rtmptw.sinks.decode.decoding import (
    MEDIA,
    POLICIES,
    DecodedFrame,
    Decoding,
    Wanted,
)
from rtmptw.sinks.decode.lateness import Lateness
from rtmptw.sinks.decode.loop import DecodedFrames
from rtmptw.sinks.decode.process import commandFor, mediaOf
from rtmptw.sinks.decode.usercode import Caller, DecodedStream, Outcome, UserCode
from rtmptw.sinks.process import FINISH_SECONDS, checkProcesses
from rtmptw.sinks.wording import counted

__all__ = [
    "DecodeSink",
    "DecodeSinkFactory",
    "DecodedFrame",
    "DecodedFrames",
    "DecodedStream",
    "UserCode",
]

PROCESS = Argument(
    "process",
    Choice({"no": False, "yes": True}),
    "whether FFmpeg's decoder and your code run in a child process",
    "no",
)
FINISH = Argument(
    "finish",
    Number("seconds", 1),
    "with process=yes, how long that process may take to exit after the stream ends",
    typed(FINISH_SECONDS),
)

#: The arguments of C{--sink=decode}.
ARGUMENTS = Arguments(
    "decode sink",
    Argument(
        "format",
        Choice((NATIVE, *ARRAYS)),
        "PyAV's own frames, or numpy arrays (bgr24 is OpenCV's format)",
        NATIVE,
    ),
    Argument(
        "policy",
        Choice(POLICIES),
        "what to do if your code is slower than the stream",
        POLICIES[0],
    ),
    Argument("size", Text("WxH", parseSize), "the size to scale video frames to"),
    Argument(
        "fps",
        Number("frames per second", 0.001, metavar="N"),
        "the most video frames per second of media",
    ),
    Argument(
        "keyframes",
        Choice({"0": False, "1": True}),
        "whether to decode key frames only",
        "0",
    ),
    Argument(
        "media",
        Choice(tuple(MEDIA)),
        "what a function gets, video if not given; for a class its methods decide",
    ),
    Argument(
        "track",
        Number("", 0, 255, isWhole=True, metavar="N"),
        "the Enhanced RTMP track",
        "0",
    ),
    PROCESS,
    FINISH,
    Argument(
        "onError",
        Choice({"continue": False, "detach": True}),
        "whether to continue with the next frame after an exception in your code, or "
        "to stop",
        "continue",
    ),
    first=First(
        Text("CALLABLE"),
        "the name of a function or class",
        example="decode:package.module.callable",
    ),
)

#: The interval, in seconds, at which repeated exceptions are logged.
_SAY_AGAIN = 10.0


@implementer(IFrameSink)
class DecodeSink:
    """
    Decodes one stream and calls your code with the decoded frames.

    The decoder and your code have a lane each, so that they work at the same time.
    Calls of your code never overlap.

    @ivar failure: why it ended before the stream did; empty if it has not failed.
    @ivar given: the number of frames passed to your code.
    @ivar errors: the number of calls that raised an exception.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        code: UserCode,
        wanted: Wanted,
        detach: bool = False,
        hub: Any = None,
        lane: Callable[[Any, str], Lane] = Lane,
        now: Callable[[], datetime] = wallClock,
        progressed: Callable[[], None] = lambda: None,
    ) -> None:
        """
        @param reactor: provides C{IReactorTime} and C{IReactorThreads}.
        @param detach: whether the first exception ends the sink.
        @param hub: the hub that your code gets.
        @param lane: makes lanes.
        @param now: the wall clock.
        @param progressed: called when L{waiting} may have become smaller.
        """
        self.failure = ""
        self.given = 0
        self.errors = 0
        self.delivery: Delivery = wanted.delivery
        self._reactor = reactor
        self._code = code
        self._wanted = wanted
        self._detach = detach
        self._hub = hub
        self._progressed = progressed
        self._makeLane = lane
        self._decoding = Decoding(reactor, wanted, self._goOn, lane, now)
        self._lateness = Lateness(wanted.oldest, now)
        self._late = 0
        self._name = ""
        self._producer: IPushProducer | None = None
        self._lane: Lane | None = None
        self._caller: Caller | None = None
        self._isCalling = False
        self._calling = 0
        self._isMade = False
        self._saidAt = float("-inf")
        self._reason = ""
        self._done: Deferred[None] | None = None

    def streamStarted(self, stream: StreamInfo, producer: IPushProducer) -> None:
        """
        Create the object, if your code is a class.
        """
        self._name = stream.name
        self._producer = producer
        self._lane = self._makeLane(self._reactor, f"call {self._code.name}")
        self._decoding.start(stream, producer)
        self._caller = Caller(
            self._code,
            DecodedStream(stream, self._hub, self._reactor),
            self._wanted.form(),
            self._detach,
            self._lateness,
        )
        self._run(self._started, partial(self._lane.run, self._caller.start))

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
        The number of frames waiting to be decoded, or passed to your code and not
        returned.
        """
        return self._decoding.waiting + self._calling

    def streamEnded(self, reason: str) -> "Deferred[None]":
        """
        Decode all that is queued, pass it to your code, and tell your code of the end.

        @return: a L{Deferred} that fires when your code has returned.
        """
        self._reason = reason
        self._done = done = Deferred[None]()
        if self.failure:
            self._decoding.abandon()
        else:
            self._decoding.end()
        self._goOn()
        return done

    def _run(
        self,
        then: Callable[[Outcome], None],
        work: Callable[[], "Deferred[Outcome]"],
    ) -> None:
        self._isCalling = True
        working = work()
        working.addCallback(self._returned, then)
        working.addErrback(self._broken)

    def _call(self, caller: Caller, decoded: list[Decoded]) -> "Deferred[Outcome]":
        assert self._lane is not None
        if caller.isAsync:
            return Deferred.fromCoroutine(self._give(caller, self._lane, decoded))
        return self._lane.run(caller.call, decoded)

    def _callEnd(self, caller: Caller) -> "Deferred[Outcome]":
        assert self._lane is not None
        if caller.isEndAsync:
            return Deferred.fromCoroutine(caller.endAsync(self._reason))
        return self._lane.run(caller.end, self._reason)

    async def _give(
        self, caller: Caller, lane: Lane, decoded: list[Decoded]
    ) -> Outcome:
        """
        Like C{Caller.call}, for code that is awaited.
        """
        outcome = Outcome()
        for one in decoded:
            frame = await lane.run(caller.convert, one)
            if frame is None:
                continue
            outcome.add(await caller.give(frame, lane.run))
            if outcome.isOver:
                break
        return outcome

    def _returned(self, outcome: Outcome, then: Callable[[Outcome], None]) -> None:
        self._isCalling = False
        self._calling = 0
        self.given += outcome.given
        self._tellErrors(outcome)
        late = self._lateness.skipped - self._late
        if late:
            self._late += late
            cast(Any, self._producer).framesDropped(TOO_SLOW, late, 0)
        then(outcome)

    def _started(self, outcome: Outcome) -> None:
        self._isMade = not outcome.isOver
        self._called(outcome)

    def _called(self, outcome: Outcome) -> None:
        if outcome.isOver and outcome.failure is not None:
            self._fail(f"{_nameOf(outcome.failure)} in {self._code.name}")
        self._goOn()

    def _goOn(self) -> None:
        """
        Pass decoded frames to your code, unless it is busy; after the last one, the
        end.
        """
        if self._decoding.failure and not self.failure:
            self._fail(self._decoding.failure)
        if self._isCalling or self._lane is None:
            return
        assert self._caller is not None
        # Before taking anything: taking makes the decoder continue, which calls this.
        self._isCalling = True
        decoded = [] if self.failure else self._decoding.take()
        self._isCalling = False
        if decoded:
            self._calling = len(decoded)
            self._run(self._called, partial(self._call, self._caller, decoded))
        self._progressed()
        if decoded:
            return
        if self._done is not None and self._decoding.isOver:
            if self._isMade:
                self._isMade = False
                self._run(self._finish, partial(self._callEnd, self._caller))
            else:
                self._finish(Outcome())

    def _tellErrors(self, outcome: Outcome) -> None:
        """
        Log the first exception with its traceback; then one now and then, with the
        count.
        """
        self.errors += outcome.errors
        if outcome.failure is None:
            return
        now = self._reactor.seconds()
        if now - self._saidAt >= _SAY_AGAIN:
            self._saidAt = now
            self._log.failure(
                "{name}: error in {code}, {errors} so far",
                outcome.failure,
                name=self._name,
                code=self._code.name,
                errors=self.errors,
            )

    def _broken(self, failure: Failure) -> None:
        """
        Handle a bug of ours, or an exception of your code that ends its thread.
        """
        self._isCalling = False
        self._log.failure("{name}: decoding stopped early", failure, name=self._name)
        self._fail(failure.getErrorMessage() or _nameOf(failure))
        self._goOn()

    def _fail(self, reason: str) -> None:
        self.failure = reason
        self._decoding.abandon()
        if self._done is None:
            assert self._producer is not None
            self._producer.stopProducing()

    def _finish(self, outcome: Outcome) -> None:
        counts = self._decoding.counts
        skipped = self._decoding.skipped
        self._log.info(
            "{name}: {code} got {given} of {decoded} decoded frames ({video} video, "
            "{audio} audio){skipped}{late}{thinned}{early}{refused}{errors}; "
            "{reason}",
            name=self._name,
            code=self._code.name,
            given=self.given,
            decoded=sum(counts.decoded.values()),
            video=counts.decoded[FrameKind.VIDEO],
            audio=counts.decoded[FrameKind.AUDIO],
            skipped=counted(skipped, "skipped for newer ones"),
            late=counted(self._late, "skipped because they were late"),
            thinned=counted(counts.thinned, "skipped to limit fps"),
            early=counted(counts.early, "coded video frames before a key frame"),
            refused=counted(counts.refused, "coded frames not decoded"),
            errors=counted(self.errors, "errors"),
            reason=self._reason,
        )
        self._decoding.close()
        assert self._lane is not None
        lane, self._lane = self._lane, None
        lane.close()
        done, self._done = self._done, None
        assert done is not None
        done.callback(None)


def _nameOf(failure: Failure) -> str:
    return type(failure.value).__name__


@implementer(IFrameSinkFactory, IHubUser)
class DecodeSinkFactory(FrameSinkFactory):
    """
    Makes sinks that decode streams and call your code.
    """

    arguments = ARGUMENTS

    def __init__(
        self,
        code: UserCode,
        wanted: Wanted,
        detach: bool = False,
        process: bool = False,
        finish: float = FINISH_SECONDS,
    ) -> None:
        """
        @param code: with C{process} only its name is used; the child imports it.
        @param detach: whether the first exception in your code ends a sink.
        @param process: whether FFmpeg and your code run in a child process for each
            stream.
        @param finish: seconds the child has to exit after the stream ends.
        """
        self.code = code
        self.wanted = wanted
        self.detach = detach
        self.process = process
        self.finish = finish
        self._hub: Any = None
        self._reactor: Any = None
        self._children = Children()

    @classmethod
    def fromString(cls, argstring: str) -> "DecodeSinkFactory":
        r"""
        Decode every stream and pass the video or audio frames to your Python code::

            --sink=decode:CALLABLE[:format=native|rgb24|bgr24|gray]
                  [:policy=lossless|latest|to-keyframe][:size=WxH][:fps=N]
                  [:keyframes=0|1][:media=video|audio|both][:track=N]
                  [:process=no|yes][:finish=SECONDS][:onError=continue|detach]

        CALLABLE is package.module.name, found on Python's module path (PYTHONPATH). A
        function is called with each video frame and the stream: function(frame,
        stream); with media=audio or media=both it also gets audio frames. A class is
        called with the stream to create one object for it. The object may have the
        methods videoFrame(frame), audioFrame(frame) and ended(reason). All calls are
        made in a thread, one at a time for each stream. Functions declared async are
        awaited in the reactor's thread, where they must not block.

        A frame has image (video) or samples (audio), pts in seconds, arrived (the wall
        clock time of its arrival), keyframe, track and kind. image and samples are
        PyAV's own frames, or numpy arrays.

        If your code is slower than the stream: with policy=lossless it gets every
        frame, and the publisher has to wait; with policy=latest it gets the latest
        frame, and older ones are skipped; with policy=to-keyframe it gets every frame,
        but if it is two seconds behind, frames are dropped up to a key frame.

        An exception in your code is logged and counted, and the next frame follows;
        with onError=detach no more frames follow. The stream itself continues.

        FFmpeg decodes untrusted input. With process=yes it runs in a child process for
        each stream, together with your code: a crash is logged, and the process is
        restarted after 1 second, then 2, up to 30, and continues with a key frame.
        stream.hub is None there. When the stream ends, finish is how long the process
        may take to exit.

        @raise UsageError: with a one-sentence message, if the arguments are invalid.
        """
        said = ARGUMENTS.read(argstring)
        name = said["CALLABLE"]
        media = said["media"]
        try:
            if said["process"]:
                code, methods = UserCode(name), mediaOf(name)
            else:
                code = UserCode.fromName(name)
                methods = "" if code.objects is None else code.media()
            if methods:
                if media is not None:
                    raise ValueError(
                        f"media= is for functions; for the class {name} its methods "
                        "decide."
                    )
                media = methods
            wanted = Wanted(
                said["format"],
                said["policy"],
                said["size"],
                said["fps"] or 0.0,
                said["keyframes"],
                media or "video",
                said["track"],
            )
        except ValueError as error:
            raise UsageError(f"The decode sink: {error}") from None
        return cls(code, wanted, said["onError"], said["process"], said["finish"])

    def setHub(self, hub: object) -> None:
        """
        Store the hub, for your code.
        """
        self._hub = hub

    def startFactory(self, reactor: object) -> None:
        """
        Store the reactor.

        @raise SinkError: if a child process is wanted and cannot be started.
        """
        if self.process:
            checkProcesses("decode sink with process=yes")
        self._reactor = reactor

    def buildSink(self, stream: StreamInfo) -> DecodeSink | ChildSink:
        """
        @return: a new sink.
        """
        if self.process:
            command = commandFor(
                self.code.name, self.wanted, self.detach, self.finish, stream
            )
            return self._children.add(ChildSink(self._reactor, command))
        return DecodeSink(self._reactor, self.code, self.wanted, self.detach, self._hub)

    def stopFactory(self) -> None:
        """
        Kill the remaining child processes.
        """
        self._children.kill()
