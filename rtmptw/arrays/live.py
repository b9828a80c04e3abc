"""
What captures and writers share: their state, their counts and the ways to close them.
"""

import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, Protocol, Self, TypeVar

from rtmptw.arrays.address import nameIn
from rtmptw.rtmp.url import RTMPTarget

if TYPE_CHECKING:
    from types import TracebackType

#: The states of a capture or a writer.
WAITING, LIVE, ENDED = "waiting", "live", "ended"
#: Seconds without a frame, or without a server, before a C{TimeoutError}: OpenCV's
#: default.
TIMEOUT = 30.0
#: Why a capture or a writer has ended when the program closed it.
CLOSED = "it was closed"

CountsT = TypeVar("CountsT", covariant=True)


class Progress(Protocol[CountsT]):
    """
    What knows how a stream is doing. It may be asked in any thread.
    """

    @property
    def state(self) -> str:
        """
        L{WAITING}, L{LIVE} or L{ENDED}.
        """

    @property
    def why(self) -> str:
        """
        What it waits for, or why it has ended; empty while all is well.
        """

    @property
    def counts(self) -> CountsT:
        """
        The number of frames so far.
        """


class LiveArrays(Generic[CountsT]):
    """
    A live stream of arrays, in or out.

    @ivar url: where it listens, plays from or publishes to.
    @ivar name: the public name of the stream.
    @ivar timeout: seconds before a C{TimeoutError}; C{None} waits for ever.
    """

    #: What it is, for C{repr}.
    _label = ""

    def __init__(
        self,
        url: str,
        target: RTMPTarget,
        timeout: float | None,
        progress: Progress[CountsT],
    ) -> None:
        self.url = url
        self.name = nameIn(target)
        self.timeout = timeout
        self._progress = progress

    def _whenCollected(
        self, function: Callable[..., object], *arguments: object
    ) -> "weakref.finalize[Any, Any]":
        """
        Call something when the program closes this, or no longer refers to it.
        """
        finalizer = weakref.finalize(self, function, *arguments)
        # When the program ends, L{ReactorThread.finish} closes what is open.
        finalizer.atexit = False
        return finalizer

    @property
    def state(self) -> str:
        """
        C{"waiting"} for a publisher or a server, C{"live"}, or C{"ended"} once it is
        closed. A capture stays live while it has frames that were not read.
        """
        return self._progress.state

    @property
    def why(self) -> str:
        """
        A sentence: what it waits for, what is wrong, or why it has ended. Empty while
        frames flow.
        """
        return self._progress.why

    @property
    def counts(self) -> CountsT:
        """
        The number of frames so far.
        """
        return self._progress.counts

    def isOpened(self) -> bool:
        """
        @return: whether it has not ended.
        """
        return self.state != ENDED

    def __repr__(self) -> str:
        why = self.why
        return f"<{self._label} {self.name}: {self.state}{why and f', {why}'}>"


class Blocking(LiveArrays[CountsT], ABC):
    """
    One for a plain program: a context manager with OpenCV's C{release}.
    """

    @abstractmethod
    def close(self) -> None:
        """
        End the stream. Calling it again does nothing.
        """

    def release(self) -> None:
        """
        The same as L{close}, under the name that OpenCV uses.
        """
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: "TracebackType | None",
    ) -> None:
        self.close()


class Awaitable(LiveArrays[CountsT], ABC):
    """
    One for asyncio: an asynchronous context manager.
    """

    @abstractmethod
    async def open(self) -> Self:
        """
        Start. C{async with} calls it, and so does the first frame.
        """

    @abstractmethod
    async def aclose(self) -> None:
        """
        End the stream, and wait until it has ended. Calling it again does nothing.
        """

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: "TracebackType | None",
    ) -> None:
        await self.aclose()
