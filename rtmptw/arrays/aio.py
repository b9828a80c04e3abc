"""
Captures and writers for asyncio, in any of its loops.
"""

import asyncio
import contextlib
import functools
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Generic, Literal, Self, TypeVar, cast, overload

from twisted.internet.defer import maybeDeferred
from twisted.python.failure import Failure

from rtmptw._pyav.decoding import Decoded
from rtmptw.arrays.address import targetFrom
from rtmptw.arrays.capture import (
    Item,
    ItemT,
    checkWhere,
    itemOf,
    makeIntake,
    openIntake,
    waitedFor,
)
from rtmptw.arrays.encoding import ArrayEncoder
from rtmptw.arrays.framearray import FrameArray
from rtmptw.arrays.intake import CaptureCounts, Options, StreamFrames
from rtmptw.arrays.live import CLOSED, TIMEOUT, Awaitable
from rtmptw.arrays.reactors import ReactorThread, reactorThread
from rtmptw.arrays.sending import WriterCounts
from rtmptw.arrays.writer import Writer, encoderFor
from rtmptw.sinks.decode.decoding import DecodedFrame

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

T = TypeVar("T")


async def _ask(
    home: ReactorThread, function: Callable[..., Any], *arguments: Any
) -> Any:
    """
    Call a function in the reactor's thread, and wait for its result. Cancelling the
    task ends the wait, not the call.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()

    def arrived(result: Any) -> None:
        if future.done():
            return
        if isinstance(result, Failure):
            future.set_exception(cast(BaseException, result.value))
        else:
            future.set_result(result)

    def answered(result: Any) -> None:
        with contextlib.suppress(RuntimeError):
            # If the loop is closed, nothing waits for the result.
            loop.call_soon_threadsafe(arrived, result)

    def ask() -> None:
        maybeDeferred(function, *arguments).addBoth(answered)

    home.later(ask)
    return await future


class _Queue:
    """
    A queue of frames from the reactor's thread to a loop of asyncio.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.items: deque[Any] = deque()
        self.failure: Failure | None = None
        self.isOver = False
        self.waiter: asyncio.Future[None] | None = None
        self._loop = loop

    def put(self, frames: StreamFrames, item: Decoded | DecodedFrame) -> None:
        """
        Add a frame.
        """
        self._tell(self.items.append, item)

    def fail(self, failure: Failure) -> None:
        """
        End with an error of our own.
        """
        self._tell(setattr, self, "failure", failure)

    def wake(self) -> None:
        """
        End, and wake the task that waits.
        """
        self._tell(setattr, self, "isOver", True)

    def _tell(self, function: Callable[..., object], *arguments: Any) -> None:
        def tell() -> None:
            function(*arguments)
            if self.waiter is not None and not self.waiter.done():
                self.waiter.set_result(None)

        with contextlib.suppress(RuntimeError):
            # If the loop is closed, nothing waits for the frame.
            self._loop.call_soon_threadsafe(tell)


class AsyncCapture(Awaitable[CaptureCounts], Generic[ItemT]):
    """
    L{Capture<rtmptw.arrays.capture.Capture>} for asyncio. L{captureAsync} makes it. It
    starts to listen, or to play, with C{async with} or the first frame. Only one task
    may read at a time.

    @ivar url: where it listens, or plays from. If you asked for port 0, this has the
        port that was found.
    """

    _label = "capture of"

    def __init__(
        self, url: str, pull: bool, timeout: float | None, options: Options
    ) -> None:
        """
        Use L{captureAsync}.
        """
        target = targetFrom(url, "a capture")
        checkWhere(target, pull)
        home = reactorThread()
        self._home = home
        self._target = target
        self._pull = pull
        self._every = options.every
        self._intake = makeIntake(home, target, pull, options)
        self._intake.isConverting = True
        self._queue: _Queue | None = None
        super().__init__(url, target, timeout, self._intake)
        self._finalizer = self._whenCollected(home.later, self._intake.end, CLOSED)

    async def open(self) -> Self:
        """
        Start to listen, or to play. C{async with} calls it, and so does the first
        frame.

        @raise OSError: if it cannot listen there, for example because the port is in
            use.
        """
        if self._queue is None:
            self._queue = _Queue(asyncio.get_running_loop())
            self._intake.front = self._queue
            try:
                self.url = await _ask(
                    self._home,
                    *(openIntake, self._home, self.url, self._target, self._pull),
                    self._intake,
                )
            except BaseException:
                # After a cancellation too.
                self.close()
                raise
        return self

    def __aiter__(self) -> AsyncIterator[ItemT]:
        return self

    async def __anext__(self) -> ItemT:
        """
        Wait for the next frame. After a cancellation or a timeout of your own you may
        call it again; with C{every=True}, no frame is lost by that.

        @raise TimeoutError: if no frame comes within C{timeout} seconds. You may call
            it again.
        """
        item = await self._next()
        if item is None:
            raise StopAsyncIteration
        return item

    async def read(self) -> tuple[bool, ItemT | None]:
        """
        Wait for the next frame.

        @return: C{(True, frame)}; or C{(False, None)} if no frame comes within
            C{timeout} seconds, or the capture is closed.
        """
        try:
            item = await self._next()
        except TimeoutError:
            item = None
        return item is not None, item

    async def _next(self) -> ItemT | None:
        await self.open()
        queue = self._queue
        assert queue is not None
        if queue.waiter is not None:
            raise RuntimeError(f"another task is reading the frames of {self.name}")
        if not self._every:
            # These came after the last call had given up; they are no longer new.
            queue.items.clear()
        self._home.later(self._intake.fetch)
        queue.waiter = asyncio.get_running_loop().create_future()
        try:
            if not (queue.items or queue.failure or queue.isOver):
                async with asyncio.timeout(self.timeout) as limit:
                    await queue.waiter
        except TimeoutError:
            if not limit.expired():
                raise
            raise TimeoutError(waitedFor(self.name, self.timeout, self.why)) from None
        finally:
            queue.waiter = None
            self._home.later(self._intake.withdraw)
        if queue.items:
            return cast(ItemT, itemOf(queue.items.popleft()))
        if queue.failure is not None:
            queue.failure.raiseException()
        return None

    def close(self) -> None:
        """
        End the loop, without waiting until it has ended. Calling it again does nothing.
        """
        self._finalizer()

    async def aclose(self) -> None:
        """
        End the loop, and wait until the port is free. Calling it again does nothing.
        """
        self._finalizer.detach()
        await _ask(self._home, self._intake.end, CLOSED)


class AsyncWriter(Awaitable[WriterCounts]):
    """
    L{Writer<rtmptw.arrays.writer.Writer>} for asyncio. L{writerAsync} makes it. It
    encodes in a thread of its own, so the loop keeps running.
    """

    _label = "writer of"

    def __init__(self, url: str, timeout: float | None, encoder: ArrayEncoder) -> None:
        """
        Use L{writerAsync}.
        """
        self._writer = Writer(url, timeout, encoder)
        super().__init__(url, targetFrom(url, "a writer"), timeout, self._writer)
        self._isOpen = False
        self._executor = ThreadPoolExecutor(1, "rtmptw writer")

    async def _run(self, function: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, function)

    async def open(self) -> Self:
        """
        Connect. C{async with} calls it, and so does the first frame.

        @raise TimeoutError: if no server takes the stream in time.
        @raise ConnectionError: if the server refuses it; the text has the server's
            reason.
        """
        if not self._isOpen:
            self._isOpen = True
            try:
                await self._run(self._writer.open)
            except BaseException:
                # The thread may still be waiting.
                self._writer.abandon()
                self._executor.shutdown(wait=False)
                raise
        return self

    async def write(
        self, array: "NDArray[numpy.uint8]", time: float | None = None
    ) -> None:
        """
        Publish a frame, as L{Writer.write<rtmptw.arrays.writer.Writer.write>} does. If
        the task is cancelled, the frame is still written.
        """
        await self.open()
        await self._run(functools.partial(self._writer.write, array, time))

    async def aclose(self) -> None:
        """
        Send everything, and end the stream. Calling it again does nothing.
        """
        if self._isOpen and self._writer.isOpened():
            await self._run(self._writer.close)
        self._executor.shutdown(wait=False)


@overload
def captureAsync(
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
) -> AsyncCapture[FrameArray]: ...


@overload
def captureAsync(
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
) -> AsyncCapture[Item]: ...


def captureAsync(
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
) -> AsyncCapture[FrameArray] | AsyncCapture[Item]:
    """
    L{capture<rtmptw.arrays.capture.capture>} for asyncio, with the same arguments::

        async with rtmptw.captureAsync("rtmp://0.0.0.0:1935/live/cam") as frames:
            async for frame in frames:
                ...

    It works in any loop of asyncio: under Twisted's asyncio reactor in that reactor,
    otherwise in a thread of its own. Frames are converted in another thread.

    @raise ValueError: if an argument is wrong; the text says which.
    """
    options = Options(every, format, size, fps, keyframes, media, track)
    return AsyncCapture(url, pull, timeout, options)


def writerAsync(
    url: str,
    *,
    size: tuple[int, int],
    rate: float = 30.0,
    timeout: float | None = TIMEOUT,
    format: Literal["bgr24", "rgb24", "gray"] = "bgr24",
    codec: str = "libx264",
    options: Mapping[str, str | int | float] | None = None,
) -> AsyncWriter:
    """
    L{writer<rtmptw.arrays.writer.writer>} for asyncio, with the same arguments::

        async with rtmptw.writerAsync(url, size=(640, 480), rate=30) as out:
            await out.write(array)

    @raise ValueError: if an argument is wrong; the text says which.
    """
    return AsyncWriter(url, timeout, encoderFor(size, rate, format, codec, options))
