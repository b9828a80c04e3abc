"""
Awaits a Deferred in a coroutine run by either Twisted or asyncio.
"""

import asyncio
from collections.abc import Generator
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

T = TypeVar("T")


class Awaited(Generic[T]):
    """
    C{await Awaited(deferred)} works in a Twisted coroutine, like C{await deferred}, and
    in an asyncio task whose event loop is the reactor's. Cancelling the task cancels
    the C{Deferred}.
    """

    def __init__(self, deferred: "Deferred[T]") -> None:
        self._deferred = deferred

    def __await__(self) -> Generator[Any, Any, T]:
        task = _task()
        if task is None:
            result: T = yield from self._deferred
            return result
        return (yield from self._inTask(task.get_loop()))

    def _inTask(self, loop: asyncio.AbstractEventLoop) -> Generator[Any, Any, T]:
        """
        Await within a running task. The task may have called a Twisted coroutine, which
        awaits us.
        """
        outcome: list[Any] = []
        future: Any = loop.create_future()
        # What awaiting a future sets.
        future._asyncio_future_blocking = True
        step: Deferred[None] = Deferred(lambda step: self._deferred.cancel())

        def arrived(result: Any) -> None:
            outcome.append(result)
            if not future.done():
                future.set_result(None)
            if not step.called:
                step.callback(None)

        self._deferred.addBoth(arrived)
        try:
            if not outcome and (yield future) is future:
                # Twisted sends anything but a Deferred straight back; a task waits for
                # the future.
                yield step
        except BaseException:
            # The task was cancelled: the result is no longer wanted.
            self._deferred.cancel()
            raise
        result = outcome[0]
        if isinstance(result, Failure):
            result.raiseException()
        found: T = result
        return found


def _task() -> "asyncio.Task[Any] | None":
    """
    @return: the asyncio task that runs in this thread, if there is one.
    """
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None
