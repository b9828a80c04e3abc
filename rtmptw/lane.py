"""
Lanes: worker threads for blocking calls. All threads of rtmptw's sinks are made here.
"""

import threading
from collections.abc import Callable
from functools import partial
from typing import Any, ParamSpec, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from rtmptw.errors import SinkError

P = ParamSpec("P")
T = TypeVar("T")


class Lane:
    """
    One worker thread for one sink. It runs calls in order, one at a time. The thread is
    started on first use.

    @ivar pending: how many calls have not finished yet.
    """

    #: A caller that queues more calls without waiting for results has lost control of
    #: its memory. Sinks normally have one or two calls pending.
    MAX_PENDING = 64

    def __init__(self, reactor: IReactorFromThreads, name: str) -> None:
        self._reactor = reactor
        self.pending = 0
        self._pool = ThreadPool(0, 1, name)
        # A thread that hangs on a dead disk must not keep the process alive.
        self._pool.threadFactory = partial(threading.Thread, daemon=True)  # type: ignore[assignment]
        self._pool.start()

    def run(
        self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> "Deferred[T]":
        """
        Call C{function} in the lane's thread.

        @return: a L{Deferred} that fires with its result, in the reactor's thread.

        @raise SinkError: if L{MAX_PENDING} calls are pending already.
        """
        if self.pending >= self.MAX_PENDING:
            raise SinkError(f"{self.pending} blocking calls are pending in one lane")
        self.pending += 1
        result: Deferred[T] = deferToThreadPool(
            self._reactor, self._pool, function, *args, **kwargs
        )
        result.addBoth(self._finished)
        return result

    def _finished(self, result: Any) -> Any:
        self.pending -= 1
        return result

    def close(self) -> None:
        """
        End the thread and wait for it. Call this only when nothing is pending.
        """
        self._pool.stop()
