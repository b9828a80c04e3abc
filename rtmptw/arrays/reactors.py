"""
The reactor that captures and writers work in, and the ways into its thread.

A program that runs Twisted's reactor lends it. Any other gets one of our own, in a
thread of its own, when it first needs one: not the one that C{twisted.internet.reactor}
is, so that the program can still choose and run that later, as a notebook may.
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

#: No wait is longer at a time, in seconds: in between a thread looks whether there is
#: still somebody to wait for. Windows notices Ctrl-C only then.
SLICE = 0.5
#: Seconds for everything to be put away when the program ends.
EXIT_WITHIN = 8.0


class Guest(Protocol):
    """
    What works in a reactor until the program ends it, or ends itself.
    """

    def end(self, reason: str) -> Any:
        """
        In the reactor's thread: end it.

        @return: a C{Deferred}, or C{None} if it is done.
        """


class Closing(Protocol):
    """
    What a program should have closed.
    """

    def close(self) -> None:
        """
        Close it, in any thread but the reactor's.
        """


class ReactorThread:
    """
    A reactor, and the thread that runs it.

    @ivar reactor: the reactor.
    @ivar isOver: whether it has stopped, or is about to.
    @ivar opened: what the program has opened, and perhaps not closed.
    @ivar doors: for L{rtmptw.arrays.door}; of the reactor's thread.
    @ivar lock: held while one of them opens or closes.
    """

    def __init__(self, reactor: Any, thread: threading.Thread | None) -> None:
        """
        @param thread: what runs the reactor, if that is ours.
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
        The reactor is about to stop: nobody must wait for it any more.
        """
        self.isOver = True
        return DeferredList(
            [maybeDeferred(guest.end, "the reactor stops") for guest in [*self._guests]]
        )

    def add(self, guest: Guest) -> None:
        """
        In the reactor's thread: somebody works here.
        """
        self._guests.add(guest)

    def discard(self, guest: Guest) -> None:
        """
        In the reactor's thread: it has ended.
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
        @param blocking: what blocks, for a person.
        @param twin: what to use in its place.

        @raise RuntimeError: if nothing may block here, or the program has forked.
        """
        if self._process != os.getpid():
            raise RuntimeError(
                f"{blocking} belongs to the process that opened it, and this is a fork "
                "of that: open one here"
            )
        if self.isHere:
            raise RuntimeError(
                f"{blocking} blocks, and this is the thread of Twisted's reactor, "
                f"which must not wait: use rtmptw.{twin} here, or call this in another "
                "thread"
            )

    def later(self, function: Callable[..., object], *arguments: Any) -> None:
        """
        Call something in the reactor's thread, soon.
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
        Call something in the reactor's thread, and wait, in another. Ctrl-C ends the
        wait.

        @param within: after so many seconds.
        @return: what it returns, or what its C{Deferred} fires with.

        @raise TimeoutError: if it takes longer.
        @raise RuntimeError: if the reactor stops meanwhile.
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
        The program ends: close what it has left open, and stop a reactor of ours.
        """
        for opened in list(self.opened):
            # Nothing that goes wrong with one must keep the others open.
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
    @return: the program's reactor if that runs, in whatever thread; else our own.
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
    @return: the program's reactor, if it has one that runs.
    """
    reactor: Any = sys.modules.get("twisted.internet.reactor")
    return reactor if reactor is not None and reactor.running else None


def _start() -> ReactorThread:
    reactor = _ownReactor()
    thread = threading.Thread(
        target=reactor.run,
        kwargs={"installSignalHandlers": False},
        name="rtmptw",
        # The program ends when its own threads have: nobody waits for this one, but
        # what runs at exit does.
        daemon=True,
    )
    if cast(Any, globalLogBeginner)._temporaryObserver is not None:
        # Nobody listens to Twisted's log: the program may know Python's. Its warnings
        # stay where they are.
        showwarning = warnings.showwarning
        globalLogBeginner.beginLoggingTo(
            [STDLibLogObserver("rtmptw")], discardBuffer=True, redirectStandardIO=False
        )
        warnings.showwarning = showwarning
    thread.start()
    return ReactorThread(reactor, thread)


def _ownReactor() -> Any:
    """
    @return: a reactor that is not the program's.
    """
    reactor: Any
    try:
        from twisted.internet.epollreactor import EPollReactor
    except ImportError:
        from twisted.internet.selectreactor import SelectReactor

        reactor = SelectReactor()
    else:
        reactor = EPollReactor()
    # What asks in which thread the reactor runs means the program's.
    reactor._registerAsIOThread = False
    return reactor


def _forked() -> None:
    """
    In the child of a fork there is no thread of ours: it gets another when it needs
    one. Its copies of our sockets are closed, or the port would stay taken when the
    parent closes it.
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
