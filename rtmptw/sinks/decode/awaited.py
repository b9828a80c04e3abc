"""
Waiting for a Deferred in a coroutine, whoever drives it: Twisted or asyncio.
"""

import asyncio
from collections.abc import Generator
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

T = TypeVar("T")


class Awaited(Generic[T]):
    """
    C{await Awaited(deferred)} works in a coroutine of Twisted, as C{await deferred},
    and in a task of asyncio whose loop is the reactor's. A task that is cancelled
    cancels the C{Deferred}.
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
        A task runs. It may have called a coroutine of Twisted, and that us.
        """
        outcome: list[Any] = []
        future: Any = loop.create_future()
        # As a future says that is awaited.
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
                # Twisted gives back at once what is no Deferred; a task waits.
                yield step
        except BaseException:
            # The task was cancelled: nobody waits for it any more.
            self._deferred.cancel()
            raise
        result = outcome[0]
        if isinstance(result, Failure):
            result.raiseException()
        found: T = result
        return found


def _task() -> "asyncio.Task[Any] | None":
    """
    @return: the task of asyncio that runs in this thread, if there is one.
    """
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None
