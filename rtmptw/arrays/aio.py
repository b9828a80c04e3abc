"""
Captures and writers for asyncio, in whatever loop the program runs.
"""

import asyncio
import contextlib
import functools
import weakref
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, cast, overload

from twisted.internet.defer import maybeDeferred
from twisted.python.failure import Failure

from rtmptw._pyav.decoding import Decoded
from rtmptw.arrays.address import nameIn, targetFrom
from rtmptw.arrays.capture import (
    CLOSED,
    TIMEOUT,
    Item,
    ItemT,
    checkWhere,
    itemOf,
    makeIntake,
    openIntake,
    waitedFor,
)
from rtmptw.arrays.encoding import ArrayEncoder
from rtmptw.arrays.intake import ENDED, CaptureCounts, Options, StreamFrames
from rtmptw.arrays.picture import FrameArray
from rtmptw.arrays.reactors import ReactorThread, reactorThread
from rtmptw.arrays.writer import Writer, WriterCounts, encoderFor
from rtmptw.sinks.decode.decoding import DecodedFrame

if TYPE_CHECKING:
    from types import TracebackType

    import numpy
    from numpy.typing import NDArray

T = TypeVar("T")


async def _ask(
    home: ReactorThread, function: Callable[..., Any], *arguments: Any
) -> Any:
    """
    Call something in the reactor's thread, and wait in a task. A task that is cancelled
    waits no more; what was called goes on.
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
            # The loop may be closed; then nobody waits.
            loop.call_soon_threadsafe(arrived, result)

    def ask() -> None:
        maybeDeferred(function, *arguments).addBoth(answered)

    home.later(ask)
    return await future


class _Queue:
    """
    Where the reactor's thread puts frames for a loop of asyncio.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.items: deque[Any] = deque()
        self.failure: Failure | None = None
        self.isOver = False
        self.waiter: asyncio.Future[None] | None = None
        self._loop = loop

    def put(self, frames: StreamFrames, item: Decoded | DecodedFrame) -> None:
        """
        One more.
        """
        self._tell(self.items.append, item)

    def fail(self, failure: Failure) -> None:
        """
        None any more, by a fault of ours.
        """
        self._tell(setattr, self, "failure", failure)

    def wake(self) -> None:
        """
        None any more.
        """
        self._tell(setattr, self, "isOver", True)

    def _tell(self, function: Callable[..., object], *arguments: Any) -> None:
        def tell() -> None:
            function(*arguments)
            if self.waiter is not None and not self.waiter.done():
                self.waiter.set_result(None)

        with contextlib.suppress(RuntimeError):
            # The loop may be closed; then nobody waits.
            self._loop.call_soon_threadsafe(tell)


class AsyncCapture(Generic[ItemT]):
    """
    A loop of asyncio over the frames of one stream. L{captureAsync} makes it. It
    listens, or plays, from C{async with} or the first frame on. One task reads at a
    time. What can be asked of it is what L{rtmptw.arrays.capture.Capture} can be asked.

    @ivar url: where it listens, or plays from; with the port that was found for 0.
    @ivar name: the public name of the stream.
    """

    def __init__(
        self, url: str, pull: bool, timeout: float | None, options: Options
    ) -> None:
        """
        Use L{captureAsync}.
        """
        target = targetFrom(url, "a capture")
        checkWhere(target, pull)
        home = reactorThread()
        self.url = url
        self.name = nameIn(target)
        self.timeout = timeout
        self._home = home
        self._target = target
        self._pull = pull
        self._every = options.every
        self._intake = makeIntake(home, target, pull, options)
        self._intake.isConverting = True
        self._queue: _Queue | None = None
        self._finalizer = weakref.finalize(self, home.later, self._intake.end, CLOSED)
        self._finalizer.atexit = False

    @property
    def state(self) -> str:
        """
        C{"waiting"}, C{"live"} or C{"ended"}.
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

    async def open(self) -> "AsyncCapture[ItemT]":
        """
        Begin to listen, or to play. C{async with} and the first frame do, too.

        @raise OSError: if it cannot listen there, because the port is taken for
            example.
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
                # Cancelled as well.
                self.close()
                raise
        return self

    def __aiter__(self) -> AsyncIterator[ItemT]:
        return self

    async def __anext__(self) -> ItemT:
        """
        Wait for the next frame. A task that is cancelled meanwhile, or was given less
        time, can go on later: with C{every=True}, nothing is left out.

        @raise TimeoutError: if there is none for so long; call it again to go on.
        """
        item = await self._next()
        if item is None:
            raise StopAsyncIteration
        return item

    async def read(self) -> tuple[bool, ItemT | None]:
        """
        @return: whether there is a next frame, and the frame; C{(False, None)} after
            C{timeout} seconds without one, and when it is closed.
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
            raise RuntimeError(f"the frames of {self.name} are for one task")
        if not self._every:
            # That came when nobody waited any more.
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
        End it, without waiting for that. Again does nothing.
        """
        self._finalizer()

    async def aclose(self) -> None:
        """
        End it, and wait until the port is free.
        """
        self._finalizer.detach()
        await _ask(self._home, self._intake.end, CLOSED)

    async def __aenter__(self) -> "AsyncCapture[ItemT]":
        return await self.open()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: "TracebackType | None",
    ) -> None:
        await self.aclose()


class AsyncWriter:
    """
    Encodes arrays and publishes them. L{writerAsync} makes it. Encoding is done in a
    thread, so that the loop goes on meanwhile. What can be asked of it is what
    L{rtmptw.arrays.writer.Writer} can be asked.

    @ivar url: where it publishes.
    @ivar name: the public name of the stream.
    """

    def __init__(self, url: str, timeout: float | None, encoder: ArrayEncoder) -> None:
        """
        Use L{writerAsync}.
        """
        self._writer = Writer(url, timeout, encoder)
        self.url = url
        self.name = self._writer.name
        self._isOpen = False
        self._executor = ThreadPoolExecutor(1, "rtmptw writer")

    @property
    def state(self) -> str:
        """
        C{"waiting"} for a connection, C{"live"} or C{"ended"}.
        """
        return self._writer.state

    @property
    def why(self) -> str:
        """
        What is wrong, or why it has ended, as a sentence; empty while all is well.
        """
        return self._writer.why

    @property
    def counts(self) -> WriterCounts:
        """
        How many frames there were so far.
        """
        return self._writer.counts

    def isOpened(self) -> bool:
        """
        @return: whether it is not closed.
        """
        return self._writer.isOpened()

    async def _run(self, function: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, function)

    async def open(self) -> "AsyncWriter":
        """
        Connect. C{async with} and the first frame do, too.

        @raise TimeoutError: if nobody takes the stream in time.
        @raise ConnectionError: if the server refuses it, with what it said.
        """
        if not self._isOpen:
            self._isOpen = True
            try:
                await self._run(self._writer.open)
            except BaseException:
                # The thread may still wait.
                self._writer.abandon()
                self._executor.shutdown(wait=False)
                raise
        return self

    async def write(
        self, array: "NDArray[numpy.uint8]", time: float | None = None
    ) -> None:
        """
        Publish a frame, as L{Writer.write<rtmptw.arrays.writer.Writer.write>} does. A
        task that is cancelled meanwhile has written it all the same.
        """
        await self.open()
        await self._run(functools.partial(self._writer.write, array, time))

    async def aclose(self) -> None:
        """
        Send everything, and end the stream. Again does nothing.
        """
        if self._isOpen and self._writer.isOpened():
            await self._run(self._writer.close)
        self._executor.shutdown(wait=False)

    async def __aenter__(self) -> "AsyncWriter":
        return await self.open()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: "TracebackType | None",
    ) -> None:
        await self.aclose()


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

    Any loop will do: under Twisted's asyncio reactor it works there, else in a thread
    of its own. Frames are converted off the loop.

    @raise ValueError: with a sentence, if something of this is not possible.
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

    @raise ValueError: with a sentence, if something of this is not possible.
    """
    return AsyncWriter(url, timeout, encoderFor(size, rate, format, codec, options))
