"""
Names what keeps the reactor from its work.
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

#: Seconds in which the reactor does nothing else that are worth a line: clients notice.
LIMIT = 1.0
#: So many calls are named, the innermost first.
CALLS = 4


def callsOf(thread: int) -> str:
    """
    @param thread: its identifier.
    @return: what it does now: file, line and function of the innermost calls.
    """
    frame = sys._current_frames().get(thread)
    calls = [] if frame is None else traceback.extract_stack(frame)[-CALLS:]
    return ", called from ".join(
        f"{call.filename}:{call.lineno} in {call.name}" for call in reversed(calls)
    )


class BlockingWatch(Service):
    """
    Says when the reactor was blocked, for how long, and by what: a sink that does its
    work in C{frameReceived}, for example. All streams wait for that.

    A thread looks from outside. What holds Python's lock all the time, as few libraries
    do, it cannot see at work; the line then says how long it took and not what it was.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: IReactorTime,
        limit: float = LIMIT,
        calls: Callable[[int], str] = callsOf,
    ) -> None:
        """
        @param limit: seconds that are worth a line.
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
        Begin, in the thread of the reactor.
        """
        cast(Any, super()).startService()
        self._watched = threading.get_ident()
        self._beat = monotonic()
        self._timer = self._reactor.callLater(self._limit / 2, self._tick)
        self._isOver.clear()
        threading.Thread(target=self._look, name="blocking watch", daemon=True).start()

    def stopService(self) -> Any:
        """
        Look no more.
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
                "all streams waited for {seconds:.1f} s: {culprit}",
                seconds=blocked,
                culprit=culprit or "nothing says for what",
            )

    def _look(self) -> None:
        """
        In a thread of its own: note what the reactor does when it is late.
        """
        while not self._isOver.wait(self._limit / 4):
            if not self._culprit and monotonic() - self._beat > self._limit * 0.75:
                self._culprit = self._calls(self._watched)
