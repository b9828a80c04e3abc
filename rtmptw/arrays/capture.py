"""
Frames for a plain loop, as C{cv2.VideoCapture} gives them.
"""

import contextlib
import threading
import weakref
from collections import deque
from collections.abc import Iterator
from time import monotonic
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, cast, overload

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from rtmptw._pyav.decoding import Decoded
from rtmptw.arrays.address import nameIn, targetFrom
from rtmptw.arrays.door import Door, openDoor
from rtmptw.arrays.intake import ENDED, CaptureCounts, Intake, Options, StreamFrames
from rtmptw.arrays.picture import FrameArray, arrayFrom
from rtmptw.arrays.pulled import Pulled
from rtmptw.arrays.reactors import SLICE, ReactorThread, reactorThread
from rtmptw.frames import FrameKind
from rtmptw.rtmp.url import RTMPTarget
from rtmptw.sinks.decode.decoding import DecodedFrame

if TYPE_CHECKING:
    from types import TracebackType

#: Seconds without a frame after which a program is told: as long as OpenCV waits.
TIMEOUT = 30.0
#: Seconds for a capture to be closed.
CLOSE_WITHIN = 5.0
#: A newest frame that nobody has come for within so many seconds is none any more.
_FRESH = 0.2

#: What a capture gives: arrays, and for audio C{DecodedFrame}.
Item = FrameArray | DecodedFrame
#: What one does.
ItemT = TypeVar("ItemT", bound=Item)


class Queue:
    """
    Where the reactor's thread puts frames for another. The two have nothing else in
    common.

    @ivar failure: why there can be none any more.
    """

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.items: deque[tuple[float, StreamFrames, Any]] = deque()
        self.failure: Failure | None = None
        self.isOver = False

    def put(self, frames: StreamFrames, item: Decoded | DecodedFrame) -> None:
        """
        One more.
        """
        with self.changed:
            self.items.append((monotonic(), frames, item))
            self.changed.notify()

    def fail(self, failure: Failure) -> None:
        """
        None any more, by a fault of ours.
        """
        with self.changed:
            self.failure = failure
            self.changed.notify_all()

    def wake(self) -> None:
        """
        None any more.
        """
        with self.changed:
            self.isOver = True
            self.items.clear()
            self.changed.notify_all()

    def take(self, isNewest: bool) -> tuple[StreamFrames, Any] | None:
        """
        With C{changed} held: the next, if there is one.

        @param isNewest: whether one that has waited is of no interest.
        """
        while self.items:
            since, frames, item = self.items.popleft()
            if not isNewest or monotonic() - since <= _FRESH:
                return frames, item
        return None


class Capture(Generic[ItemT]):
    """
    A loop over the frames of one stream. L{capture} makes it.

    It is an iterator and a context manager::

        with rtmptw.capture("rtmp://0.0.0.0:1935/live/cam") as frames:
            for frame in frames:
                ...

    A loop that is left with C{break} can be gone on with; the frames in between are
    left out, or, with C{every=True}, wait. Only one thread reads at a time.

    @ivar url: where it listens, or plays from; with the port that was found for 0.
    @ivar name: the public name of the stream.
    """

    def __init__(
        self,
        url: str,
        pull: bool,
        timeout: float | None,
        options: Options,
    ) -> None:
        """
        Use L{capture}.
        """
        what = "a capture"
        target = targetFrom(url, what)
        checkWhere(target, pull)
        home = reactorThread()
        home.check(what, "captureAsync")
        self.url = url
        self.name = nameIn(target)
        self.timeout = timeout
        self._home = home
        self._every = options.every
        self._queue = Queue()
        self._reading = threading.Lock()
        self._intake = makeIntake(home, target, pull, options)
        self._intake.front = self._queue
        self._finalizer = weakref.finalize(self, _endLater, home, self._intake)
        # What is left open is closed by L{ReactorThread.finish}.
        self._finalizer.atexit = False
        try:
            self.url = home.call(openIntake, home, url, target, pull, self._intake)
        except BaseException:
            # Ctrl-C as well.
            self._finalizer()
            raise
        home.opened.add(self)

    # What there is.

    @property
    def state(self) -> str:
        """
        C{"waiting"} for a publisher; C{"live"} while there is one, or frames of it;
        C{"ended"} when it is closed.
        """
        return self._intake.state

    @property
    def why(self) -> str:
        """
        What is waited for, or why it has ended, as a sentence; empty while frames come.
        """
        return self._intake.why

    @property
    def counts(self) -> CaptureCounts:
        """
        How many frames there were so far.
        """
        return self._intake.counts

    def isOpened(self) -> bool:
        """
        @return: whether it is not closed.
        """
        return self.state != ENDED

    # The loop.

    def __iter__(self) -> Iterator[ItemT]:
        return self

    def __next__(self) -> ItemT:
        """
        Wait for the next frame.

        @raise TimeoutError: if there is none for so long; call it again to go on.
        @raise RuntimeError: in the reactor's thread, which must not wait.
        """
        item = self._next(self.timeout)
        if item is None:
            raise StopIteration
        return item

    def read(self) -> tuple[bool, ItemT | None]:
        """
        As C{cv2.VideoCapture}: wait for the next frame.

        @return: whether there is one, and the frame. C{(False, None)} after C{timeout}
            seconds without one, and when it is closed: L{why} says what it waits for,
            L{isOpened} whether there can still be one.
        """
        try:
            item = self._next(self.timeout)
        except TimeoutError:
            item = None
        return item is not None, item

    def _next(self, timeout: float | None) -> ItemT | None:
        self._home.check("a capture", "captureAsync")
        with self._reading:
            taken = self._wait(timeout)
            if taken is None:
                return None
            frames, decoded = taken
            return cast(ItemT, itemOf(frames.give(decoded)))

    def _wait(self, timeout: float | None) -> tuple[StreamFrames, Any] | None:
        queue = self._queue
        end = None if timeout is None else monotonic() + timeout
        isAsked = False
        try:
            while True:
                with queue.changed:
                    taken = queue.take(not self._every)
                    if taken is not None:
                        isAsked = False
                        return taken
                    if queue.failure is not None:
                        queue.failure.raiseException()
                    if queue.isOver or self._home.isOver:
                        isAsked = False
                        return None
                    if isAsked:
                        now = monotonic()
                        if end is not None and now >= end:
                            raise TimeoutError(waitedFor(self.name, timeout, self.why))
                        queue.changed.wait(
                            SLICE if end is None else min(SLICE, end - now)
                        )
                        continue
                isAsked = True
                self._home.later(self._intake.fetch)
        finally:
            if isAsked:
                # Ctrl-C as well: the newest frame is that which comes next time.
                self._home.later(self._intake.withdraw)

    # The end.

    def close(self) -> None:
        """
        End it: loops end, the publisher is disconnected, the port is free. Again does
        nothing.
        """
        if not self._finalizer.detach():
            return
        home = self._home
        home.opened.discard(self)
        if home.isHere:
            self._intake.end(CLOSED)
        elif not home.isOver:
            # If it takes longer, or the reactor stops, it goes on without us.
            with contextlib.suppress(TimeoutError, RuntimeError):
                home.call(self._intake.end, CLOSED, within=CLOSE_WITHIN)

    def release(self) -> None:
        """
        L{close}, as C{cv2.VideoCapture} has it.
        """
        self.close()

    def __enter__(self) -> "Capture[ItemT]":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: "TracebackType | None",
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        why = self.why
        return f"<capture of {self.name}: {self.state}{why and f', {why}'}>"


CLOSED = "it was closed"


def _endLater(home: ReactorThread, intake: Intake) -> None:
    """
    Nobody has it any more.
    """
    home.later(intake.end, CLOSED)


def itemOf(frame: DecodedFrame) -> Item:
    """
    @return: what users get.
    """
    return arrayFrom(frame) if frame.kind is FrameKind.VIDEO else frame


def waitedFor(name: str, timeout: float | None, why: str) -> str:
    """
    @return: the sentence of a C{TimeoutError}.
    """
    return f"no frame of {name} for {timeout:g} s: {why or 'it is slow'}"


def checkWhere(target: RTMPTarget, pull: bool) -> None:
    """
    @raise ValueError: if nobody can listen, or play from, there.
    """
    if not pull and target.scheme == "rtmps":
        raise ValueError(
            "a capture listens at rtmp:// only; rtmps:// is for pull=True (a Server "
            "listens with TLS)"
        )
    if pull and not target.port:
        raise ValueError("there is no port 0 to play from")


def makeIntake(
    home: ReactorThread, target: RTMPTarget, pull: bool, options: Options
) -> Intake:
    """
    @return: what gets the frames.
    """
    query = "" if pull else target.stream.partition("?")[2]
    return Intake(home, nameIn(target), query, options)


def openIntake(
    home: ReactorThread, url: str, target: RTMPTarget, pull: bool, intake: Intake
) -> "Deferred[str]":
    """
    In the reactor's thread: begin.

    @return: fires with the URL, when it listens or has begun to play. Fails with
        C{OSError} if it cannot listen.
    """
    if pull:
        intake.openedAt(Pulled(home, url, target, intake))
        return succeed(url)

    async def listen() -> str:
        door: Door = await openDoor(home, target.host, target.port, intake)
        if intake.state == ENDED:
            # It was given up meanwhile.
            await door.left(intake)
        else:
            intake.openedAt(door)
        return f"rtmp://{door.where}/{target.app}/{target.stream}"

    return Deferred.fromCoroutine(listen())


@overload
def capture(
    url: str,
    *,
    pull: bool = ...,
    every: bool = ...,
    timeout: float | None = ...,
    format: Literal["bgr24", "rgb24", "gray"] = ...,
    size: tuple[int, int] | None = ...,
    fps: float = ...,
    keyframes: bool = ...,
    media: Literal["video"] = ...,
    track: int = ...,
) -> Capture[FrameArray]: ...


@overload
def capture(
    url: str,
    *,
    pull: bool = ...,
    every: bool = ...,
    timeout: float | None = ...,
    format: Literal["bgr24", "rgb24", "gray"] = ...,
    size: tuple[int, int] | None = ...,
    fps: float = ...,
    keyframes: bool = ...,
    media: Literal["audio", "both"],
    track: int = ...,
) -> Capture[Item]: ...


def capture(
    url: str,
    *,
    pull: bool = False,
    every: bool = False,
    timeout: float | None = TIMEOUT,
    format: Literal["bgr24", "rgb24", "gray"] = "bgr24",
    size: tuple[int, int] | None = None,
    fps: float = 0.0,
    keyframes: bool = False,
    media: Literal["video", "audio", "both"] = "video",
    track: int = 0,
) -> Capture[FrameArray] | Capture[Item]:
    """
    Take a live stream in, and give its frames to a loop, as arrays of numpy. No server
    is needed: it listens itself, for one publisher, whom OBS or FFmpeg are given the
    same URL. When the publisher goes, the loop waits for it to come back. Several can
    listen at one port, for different names or the same.

    @param url: where to listen: C{rtmp://0.0.0.0:1935/live/cam}, with 0.0.0.0 for all
        addresses of this machine, and port 0 for any that is free. What it has after a
        C{?}, the publisher must have, too.
    @param pull: whether to play the stream from the server there, and not listen.
    @param every: whether to give every frame, while the publisher waits for the loop.
        If not, always the newest, and those before it are left out.
    @param timeout: after so many seconds without a frame the loop raises
        C{TimeoutError}; never, if C{None}.
    @param format: of the arrays: C{bgr24}, as OpenCV has it, C{rgb24} or C{gray}.
    @param size: width and height to scale frames to.
    @param fps: so many frames a second of media at most.
    @param keyframes: decode key frames only.
    @param media: C{video}; or C{audio} or C{both}, whose audio frames come as
        L{DecodedFrame<rtmptw.sinks.decode.decoding.DecodedFrame>}.
    @param track: the Enhanced RTMP track id.

    @raise ValueError: with a sentence, if something of this is not possible.
    @raise OSError: if it cannot listen there, because the port is taken for example.
    @raise RuntimeError: in the thread of Twisted's reactor, which must not wait.
    """
    options = Options(every, format, size, fps, keyframes, media, track)
    return Capture(url, pull, timeout, options)
