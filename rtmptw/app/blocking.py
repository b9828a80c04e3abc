"""
Reports what blocks the reactor.
"""

import sys
import threading
import traceback
from collections.abc import Callable
from time import monotonic
from typing import Any, cast

from twisted.application.service import Service
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

#: A reactor blocked for longer, in seconds, is logged: clients notice.
LIMIT = 1.0
#: How many calls the log line names, the innermost first.
CALLS = 4


def callsOf(thread: int) -> str:
    """
    @param thread: the identifier of a thread.
    @return: what it is doing: file, line and function of the innermost calls.
    """
    frame = sys._current_frames().get(thread)
    calls = [] if frame is None else traceback.extract_stack(frame)[-CALLS:]
    return ", called from ".join(
        f"{call.filename}:{call.lineno} in {call.name}" for call in reversed(calls)
    )


class BlockingWatch(Service):
    """
    Logs when the reactor was blocked, for how long and by what, for example by a sink
    that blocks in C{frameReceived}. All streams wait meanwhile.

    It watches from another thread. Code that never releases the GIL, as in a few
    libraries, also blocks that thread: the log line then says for how long, but not by
    what.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: IReactorTime,
        limit: float = LIMIT,
        calls: Callable[[int], str] = callsOf,
    ) -> None:
        """
        @param limit: a reactor blocked for longer, in seconds, is logged.
        """
        self._reactor = reactor
        self._limit = limit
        self._calls = calls
        self._beat = 0.0
        self._culprit = ""
        self._timer: IDelayedCall | None = None
        self._isOver = threading.Event()
        self._watched = 0

    def startService(self) -> None:
        """
        Start watching. Call this in the reactor's thread.
        """
        cast(Any, super()).startService()
        self._watched = threading.get_ident()
        self._beat = monotonic()
        self._timer = self._reactor.callLater(self._limit / 2, self._tick)
        self._isOver.clear()
        threading.Thread(target=self._look, name="blocking watch", daemon=True).start()

    def stopService(self) -> Any:
        """
        Stop watching.
        """
        self._isOver.set()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return cast(Any, super()).stopService()

    def _tick(self) -> None:
        now = monotonic()
        blocked = now - self._beat
        culprit, self._culprit = self._culprit, ""
        self._beat = now
        self._timer = self._reactor.callLater(self._limit / 2, self._tick)
        if blocked > self._limit:
            self._log.warn(
                "reactor blocked for {seconds:.1f} s, all streams waited: {culprit}",
                seconds=blocked,
                culprit=culprit or "cause unknown",
            )

    def _look(self) -> None:
        """
        Note what the reactor is doing when it is late. This runs in its own thread.
        """
        while not self._isOver.wait(self._limit / 4):
            if not self._culprit and monotonic() - self._beat > self._limit * 0.75:
                self._culprit = self._calls(self._watched)
