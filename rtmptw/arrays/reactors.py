"""
The reactor that captures and writers use, and ways to call into its thread.

If the program runs Twisted's reactor, that one is used. Otherwise the first capture or
writer starts a private reactor in a thread of its own. That is not
C{twisted.internet.reactor}: the program can still install and run it later, as a
notebook may.
"""

import atexit
import contextlib
import os
import queue
import sys
import threading
import warnings
from collections.abc import Callable
from time import monotonic
from typing import Any, Protocol, cast
from weakref import WeakSet

from twisted.internet.defer import DeferredList, DeferredLock, maybeDeferred
from twisted.logger import STDLibLogObserver, globalLogBeginner
from twisted.python import threadable
from twisted.python.failure import Failure

#: The longest single wait, in seconds. Between waits a thread checks whether the
#: reactor still runs. Windows notices Ctrl-C only then.
SLICE = 0.5
#: Seconds that the reactor's thread has to close everything when the program ends.
EXIT_WITHIN = 8.0


class Guest(Protocol):
    """
    Something that runs in a reactor, and must be ended before that stops.
    """

    def end(self, reason: str) -> Any:
        """
        End it. Called in the reactor's thread.

        @return: a C{Deferred}, or C{None} if it has ended.
        """


class Closing(Protocol):
    """
    Something that the program should close.
    """

    def close(self) -> None:
        """
        Close it. Called in any thread except the reactor's.
        """


class ReactorThread:
    """
    A reactor, and the thread that runs it.

    @ivar reactor: the reactor.
    @ivar isOver: whether it has stopped, or is about to stop.
    @ivar opened: captures and writers that the program has not closed.
    @ivar doors: the open ports, for L{rtmptw.arrays.door}; used in the reactor's thread
        only.
    @ivar lock: held while a port opens or closes.
    """

    def __init__(self, reactor: Any, thread: threading.Thread | None) -> None:
        """
        @param thread: the thread that runs the reactor, if it is ours.
        """
        self.reactor = reactor
        self.isOver = False
        self.opened: WeakSet[Closing] = WeakSet()
        self.doors: dict[tuple[str, int], Any] = {}
        self.lock = DeferredLock()
        self._thread = thread
        self._guests: set[Guest] = set()
        self._process = os.getpid()
        self.later(self._begin)

    def _begin(self) -> None:
        self.reactor.addSystemEventTrigger("before", "shutdown", self._stops)

    def _stops(self) -> Any:
        """
        The reactor is about to stop: end everything, so that no thread waits for it.
        """
        self.isOver = True
        return DeferredList(
            [maybeDeferred(guest.end, "the reactor stops") for guest in [*self._guests]]
        )

    def add(self, guest: Guest) -> None:
        """
        In the reactor's thread: add a guest.
        """
        self._guests.add(guest)

    def discard(self, guest: Guest) -> None:
        """
        In the reactor's thread: remove a guest that has ended.
        """
        self._guests.discard(guest)

    @property
    def isHere(self) -> bool:
        """
        Whether the reactor runs in this thread.
        """
        if self._thread is not None:
            return threading.current_thread() is self._thread
        return bool(cast(Any, threadable).isInIOThread())

    def check(self, blocking: str, twin: str) -> None:
        """
        @param blocking: what is about to block, for the message.
        @param twin: what to use instead.

        @raise RuntimeError: in the reactor's thread, and in a forked child.
        """
        if self._process != os.getpid():
            raise RuntimeError(
                f"{blocking} belongs to the process that opened it, and this is a "
                "forked child: open one here"
            )
        if self.isHere:
            raise RuntimeError(
                f"{blocking} blocks, and the thread of Twisted's reactor must not: use "
                f"rtmptw.{twin} here, or call this in another thread"
            )

    def later(self, function: Callable[..., object], *arguments: Any) -> None:
        """
        Call a function in the reactor's thread, soon.
        """
        if self._process == os.getpid():
            self.reactor.callFromThread(function, *arguments)

    def call(
        self,
        function: Callable[..., Any],
        *arguments: Any,
        within: float | None = None,
    ) -> Any:
        """
        Call a function in the reactor's thread, and wait for its result. Ctrl-C ends
        the wait.

        @param within: the maximum wait in seconds.
        @return: its result, or the result of the C{Deferred} that it returns.

        @raise TimeoutError: if it takes longer.
        @raise RuntimeError: if the reactor stops in the meantime.
        """
        answers: queue.SimpleQueue[Any] = queue.SimpleQueue()

        def ask() -> None:
            maybeDeferred(function, *arguments).addBoth(answers.put)

        self.later(ask)
        end = None if within is None else monotonic() + within
        while True:
            left = SLICE if end is None else min(SLICE, max(end - monotonic(), 0.0))
            try:
                answer = answers.get(timeout=left)
            except queue.Empty:
                if self.isOver:
                    raise RuntimeError("the reactor has stopped") from None
                if end is not None and monotonic() >= end:
                    raise TimeoutError(f"no answer for {within:g} s") from None
                continue
            if isinstance(answer, Failure):
                answer.raiseException()
            return answer

    def finish(self) -> None:
        """
        The program ends: close what is still open, and stop the reactor if it is ours.
        """
        for opened in list(self.opened):
            # An error with one must not keep the others open.
            with contextlib.suppress(Exception):
                opened.close()
        if self._thread is not None and self._thread.is_alive():
            self.reactor.callFromThread(self.reactor.stop)
            self._thread.join(EXIT_WITHIN)


_lock = threading.Lock()
_own: ReactorThread | None = None
_lent: ReactorThread | None = None


def reactorThread() -> ReactorThread:
    """
    @return: the program's reactor if that runs, in any thread; otherwise our own.
    """
    global _own, _lent
    with _lock:
        running = _running()
        if running is not None:
            if _lent is None or _lent.reactor is not running or _lent.isOver:
                _lent = ReactorThread(running, None)
                atexit.register(_lent.finish)
            return _lent
        if _own is None or _own.isOver:
            _own = _start()
            atexit.register(_own.finish)
        return _own


def _running() -> Any:
    """
    @return: the program's reactor, if it runs.
    """
    reactor: Any = sys.modules.get("twisted.internet.reactor")
    return reactor if reactor is not None and reactor.running else None


def _start() -> ReactorThread:
    reactor = _ownReactor()
    thread = threading.Thread(
        target=reactor.run,
        kwargs={"installSignalHandlers": False},
        name="rtmptw",
        # The program ends when its own threads have ended. L{ReactorThread.finish} runs
        # at exit and waits for this one.
        daemon=True,
    )
    if cast(Any, globalLogBeginner)._temporaryObserver is not None:
        # Nothing observes Twisted's log, so send it to Python's, which the program may
        # use. Leave the program's warnings alone.
        showwarning = warnings.showwarning
        globalLogBeginner.beginLoggingTo(
            [STDLibLogObserver("rtmptw")], discardBuffer=True, redirectStandardIO=False
        )
        warnings.showwarning = showwarning
    thread.start()
    return ReactorThread(reactor, thread)


def _ownReactor() -> Any:
    """
    @return: a new reactor that is not the program's.
    """
    reactor: Any
    try:
        from twisted.internet.epollreactor import EPollReactor
    except ImportError:
        from twisted.internet.selectreactor import SelectReactor

        reactor = SelectReactor()
    else:
        reactor = EPollReactor()
    # C{isInIOThread} must keep its meaning for the program's own reactor.
    reactor._registerAsIOThread = False
    return reactor


def _forked() -> None:
    """
    A forked child does not have our thread; it starts another when it needs one. Close
    its copies of our sockets, so that the port is free once the parent closes it.
    """
    global _own, _lent, _lock
    parent, _own, _lent = _own, None, None
    _lock = threading.Lock()
    if parent is None:
        return
    for descriptor in [*parent.reactor.getReaders(), *parent.reactor.getWriters()]:
        socket = getattr(descriptor, "socket", None)
        if socket is not None:
            socket.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
