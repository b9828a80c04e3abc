"""
Frames of a live stream for a plain loop, in the manner of C{cv2.VideoCapture}.
"""

import contextlib
import threading
from collections import deque
from collections.abc import Iterator
from time import monotonic
from typing import Any, Generic, Literal, TypeVar, cast, overload

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from rtmptw._pyav.decoding import Decoded
from rtmptw.arrays.address import nameIn, targetFrom
from rtmptw.arrays.door import Door, openDoor
from rtmptw.arrays.framearray import FrameArray, arrayFrom
from rtmptw.arrays.intake import CaptureCounts, Intake, Options, StreamFrames
from rtmptw.arrays.live import CLOSED, ENDED, TIMEOUT, Blocking
from rtmptw.arrays.pulled import Pulled
from rtmptw.arrays.reactors import SLICE, ReactorThread, reactorThread
from rtmptw.frames import FrameKind
from rtmptw.rtmp.url import RTMPTarget
from rtmptw.sinks.decode.decoding import DecodedFrame

#: Seconds that closing a capture may take before the program goes on without it.
CLOSE_WITHIN = 5.0
#: Seconds for which a frame counts as the newest. An older one is skipped.
_FRESH = 0.2

#: What a capture gives: arrays for video, C{DecodedFrame} for audio.
Item = FrameArray | DecodedFrame
#: The type of the items of one capture.
ItemT = TypeVar("ItemT", bound=Item)


class Queue:
    """
    A queue of frames from the reactor's thread to the program's. The two threads share
    nothing else.

    @ivar changed: guards the other attributes, and is notified when they change.
    @ivar failure: what went wrong, if no more frames can follow.
    @ivar isOver: whether the capture has ended.
    """

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.items: deque[tuple[float, StreamFrames, Any]] = deque()
        self.failure: Failure | None = None
        self.isOver = False

    def put(self, frames: StreamFrames, item: Decoded | DecodedFrame) -> None:
        """
        Add a frame.
        """
        with self.changed:
            self.items.append((monotonic(), frames, item))
            self.changed.notify()

    def fail(self, failure: Failure) -> None:
        """
        End with an error of our own.
        """
        with self.changed:
            self.failure = failure
            self.changed.notify_all()

    def wake(self) -> None:
        """
        End: drop the frames that were not taken, and wake the thread that waits.
        """
        with self.changed:
            self.isOver = True
            self.items.clear()
            self.changed.notify_all()

    def take(self, isNewest: bool) -> tuple[StreamFrames, Any] | None:
        """
        Take the next frame, if there is one. The caller holds C{changed}.

        @param isNewest: whether to skip frames that are no longer the newest.
        """
        while self.items:
            since, frames, item = self.items.popleft()
            if not isNewest or monotonic() - since <= _FRESH:
                return frames, item
        return None


class Capture(Blocking[CaptureCounts], Generic[ItemT]):
    """
    The frames of one live stream, for a loop. L{capture} makes it.

    It is an iterator and a context manager::

        with rtmptw.capture("rtmp://0.0.0.0:1935/live/cam") as frames:
            for frame in frames:
                ...

    After C{break} you can loop over it again. The frames in between are skipped, or
    wait if C{every=True}. Only one thread may read at a time.

    @ivar url: where it listens, or plays from. If you asked for port 0, this has the
        port that was found.
    """

    _label = "capture of"

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
        self._home = home
        self._every = options.every
        self._queue = Queue()
        self._reading = threading.Lock()
        self._intake = makeIntake(home, target, pull, options)
        self._intake.front = self._queue
        super().__init__(url, target, timeout, self._intake)
        self._finalizer = self._whenCollected(home.later, self._intake.end, CLOSED)
        try:
            self.url = home.call(openIntake, home, url, target, pull, self._intake)
        except BaseException:
            # Ctrl-C too.
            self._finalizer()
            raise
        home.opened.add(self)

    # The loop.

    def __iter__(self) -> Iterator[ItemT]:
        return self

    def __next__(self) -> ItemT:
        """
        Wait for the next frame.

        @raise TimeoutError: if no frame comes within C{timeout} seconds. You may call
            it again.
        @raise RuntimeError: in the reactor's thread, which must not wait.
        """
        item = self._next(self.timeout)
        if item is None:
            raise StopIteration
        return item

    def read(self) -> tuple[bool, ItemT | None]:
        """
        Wait for the next frame, in the manner of C{cv2.VideoCapture.read}.

        @return: C{(True, frame)}; or C{(False, None)} if no frame comes within
            C{timeout} seconds, or the capture is closed. C{why} says what it waits for,
            C{isOpened} whether a frame can still come.
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
                # After Ctrl-C too: a later call must get a frame that is new then.
                self._home.later(self._intake.withdraw)

    # The end.

    def close(self) -> None:
        """
        End the loop, disconnect the publisher and free the port. Calling it again does
        nothing.
        """
        if not self._finalizer.detach():
            return
        home = self._home
        home.opened.discard(self)
        if home.isHere:
            self._intake.end(CLOSED)
        elif not home.isOver:
            # If this takes too long, or the reactor stops, closing finishes without us.
            with contextlib.suppress(TimeoutError, RuntimeError):
                home.call(self._intake.end, CLOSED, within=CLOSE_WITHIN)


def itemOf(frame: DecodedFrame) -> Item:
    """
    @return: the frame as the program gets it.
    """
    return arrayFrom(frame) if frame.kind is FrameKind.VIDEO else frame


def waitedFor(name: str, timeout: float | None, why: str) -> str:
    """
    @return: the text of a C{TimeoutError}.
    """
    return f"no frame of {name} for {timeout:g} s: {why or 'the stream is slow'}"


def checkWhere(target: RTMPTarget, pull: bool) -> None:
    """
    @raise ValueError: if a capture cannot listen there, or play from there.
    """
    if not pull and target.scheme == "rtmps":
        raise ValueError(
            "a capture listens at rtmp:// only; use rtmps:// with pull=True, or a "
            "Server to listen with TLS"
        )
    if pull and not target.port:
        raise ValueError("a capture cannot play from port 0")


def makeIntake(
    home: ReactorThread, target: RTMPTarget, pull: bool, options: Options
) -> Intake:
    """
    @return: the part in the reactor's thread, which gets the frames.
    """
    query = "" if pull else target.stream.partition("?")[2]
    return Intake(home, nameIn(target), query, options)


def openIntake(
    home: ReactorThread, url: str, target: RTMPTarget, pull: bool, intake: Intake
) -> "Deferred[str]":
    """
    In the reactor's thread: start to listen, or to play.

    @return: fires with the URL when it listens, or has started to play. Fails with
        C{OSError} if it cannot listen.
    """
    if pull:
        intake.openedAt(Pulled(home, url, target, intake))
        return succeed(url)

    async def listen() -> str:
        door: Door = await openDoor(home, target.host, target.port, intake)
        if intake.state == ENDED:
            # The program closed it in the meantime.
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
    Receive a live stream and give its frames to a loop, as numpy arrays. You need no
    server: the capture itself listens for one publisher. Give OBS or FFmpeg the same
    URL. When the publisher disconnects, the loop waits until it is back. Several
    captures can listen on one port, for the same stream or for different ones.

    @param url: where to listen, such as C{rtmp://0.0.0.0:1935/live/cam}. Host 0.0.0.0
        means all addresses of this machine, port 0 any free port. If the URL has a
        query (C{?key=...}), publishers must have the same.
    @param pull: play the stream from the server at C{url}, instead of listening.
    @param every: give every frame, and make the publisher wait for a slow loop.
        Otherwise give the newest frame and skip those before it.
    @param timeout: seconds without a frame before the loop raises C{TimeoutError};
        C{None} waits for ever.
    @param format: of the arrays: C{bgr24} (as OpenCV has it), C{rgb24} or C{gray}.
    @param size: width and height to scale frames to.
    @param fps: the maximum number of frames for one second of the stream; 0 is all.
    @param keyframes: whether to decode key frames only.
    @param media: C{video}, C{audio} or C{both}. Audio frames come as
        L{DecodedFrame<rtmptw.sinks.decode.decoding.DecodedFrame>}.
    @param track: the Enhanced RTMP track id.

    @raise ValueError: if an argument is wrong; the text says which.
    @raise OSError: if it cannot listen there, for example because the port is in use.
    @raise RuntimeError: in the thread of Twisted's reactor, which must not wait.
    """
    options = Options(every, format, size, fps, keyframes, media, track)
    return Capture(url, pull, timeout, options)
