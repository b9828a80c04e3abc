"""
A child process of a sink: what it says comes into the log, and it ends when it has to.
"""

import re
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol

from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from rtmptw.errors import SinkError
from rtmptw.sinks.disk import IS_POSIX

#: Seconds a child has to finish when its input has ended, then is asked to end, then
#: so many more until it is killed. Together less than the server's own shutdown takes.
FINISH_SECONDS = 5.0
KILL_SECONDS = 2.0
#: A child that has ended may have left a child of its own that holds our pipes.
PIPES_SECONDS = 1.0

#: What a child may say: bytes of a line, and lines in some seconds.
MAX_LINE = 500
MAX_LINES = 20
LINES_SECONDS = 10.0

#: Where a child that is one of ours says what a program has to read.
REPORTS = 3


def checkProcesses(of: str) -> None:
    """
    @param of: what needs a process of ours: C{decode sink with process=yes}.

    @raise SinkError: if the system has no such, because a child gets three files and
        needs more.
    """
    if not IS_POSIX:
        raise SinkError(
            f"the {of} needs a child process with more than three open files, which "
            "this system cannot start"
        )


class Lines:
    """
    Logs what children say, if it is not too much.
    """

    _log = Logger()

    def __init__(
        self,
        seconds: Callable[[], float],
        name: str,
        label: str,
        secrets: Sequence[str] = (),
    ) -> None:
        """
        @param seconds: the monotonic clock.
        @param name: of the stream; empty if there are several.
        @param label: what to call the child.
        @param secrets: texts that must not come into the log.
        """
        self._seconds = seconds
        self._prefix = f"{name}: {label}" if name else label
        self._secrets = secrets
        self._count = 0
        self._since = float("-inf")

    def say(self, text: str, level: LogLevel = LogLevel.info) -> None:
        """
        Log a line, or a few that belong together.
        """
        text = text.strip()
        if not text:
            return
        now = self._seconds()
        if now - self._since >= LINES_SECONDS:
            self.tellLeftOut()
            self._since = now
        self._count += 1
        if self._count <= MAX_LINES:
            for secret in self._secrets:
                text = text.replace(secret, "...")
            self._log.emit(level, "{prefix}: {text}", prefix=self._prefix, text=text)

    def tellLeftOut(self) -> None:
        """
        Say how many lines were too many, if any were.
        """
        if self._count > MAX_LINES:
            self._log.info(
                "{prefix}: {count} more lines",
                prefix=self._prefix,
                count=self._count - MAX_LINES,
            )
        self._count = 0


class ChildOwner(Protocol):
    """
    Who has started a child.
    """

    def childStarted(self, child: Any) -> None:
        """
        It runs.
        """

    def childReported(self, child: Any, data: bytes) -> None:
        """
        It has written something to the descriptor L{REPORTS}.
        """

    def childDeaf(self, child: Any) -> None:
        """
        It has closed its input, and is probably just ending.
        """

    def childEnded(self, child: Any, how: str) -> None:
        """
        It is gone, and all that it said has been read.

        @param how: C{exit status 0} for example.
        """


class ChildProcess(ProcessProtocol):
    """
    A child that runs, as Twisted sees it.

    @ivar isEnding: whether it gets nothing to read any more.
    @ivar since: when it was started.
    """

    transport: Any

    def __init__(
        self, reactor: Any, owner: ChildOwner, lines: Lines, finish: float
    ) -> None:
        """
        @param finish: seconds it has to finish when its input has ended.
        """
        self.isEnding = False
        self.since: float = reactor.seconds()
        self._reactor = reactor
        self._owner = owner
        self._lines = lines
        self._finish = finish
        self._partial = b""
        self._timer: Any = None

    def connectionMade(self) -> None:
        """
        It runs.
        """
        self._owner.childStarted(self)

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """
        It says something.
        """
        if childFD == REPORTS:
            self._owner.childReported(self, data)
        else:
            self.outReceived(data)

    def outReceived(self, data: bytes) -> None:
        """
        It says something to people.
        """
        lines = re.split(rb"[\r\n]+", self._partial + data)
        self._partial = lines.pop()[-MAX_LINE:]
        for line in lines:
            self._say(line)

    errReceived = outReceived

    def _say(self, line: bytes) -> None:
        self._lines.say(line.decode("utf-8", "replace").strip()[:MAX_LINE])

    def inConnectionLost(self) -> None:
        """
        It reads no more.
        """
        if not self.isEnding:
            self._endSoon()
            self._owner.childDeaf(self)

    def end(self, close: bool = True) -> None:
        """
        Close its input; if it has not ended after a while, end it.

        @param close: C{False} to leave its input open, as there is more to say than
            frames.
        """
        if not self.isEnding:
            self._endSoon()
            if not close:
                return
            # With a producer that is paused it would never be closed.
            self.transport.unregisterProducer()
            self.transport.closeStdin()

    def kill(self) -> None:
        """
        End it now.
        """
        self.isEnding = True
        self._signal("KILL")

    def processExited(self, reason: Failure) -> None:
        """
        What it said last may still be to be read.
        """
        self.isEnding = True
        self._after(PIPES_SECONDS, self.transport.loseConnection)

    def processEnded(self, reason: Failure) -> None:
        """
        It is gone, and all is read.
        """
        self._cancelTimer()
        self._say(self._partial)
        self._lines.tellLeftOut()
        self._owner.childEnded(self, _howEnded(reason))

    def _endSoon(self) -> None:
        self.isEnding = True
        self._after(self._finish, self._terminate)

    def _terminate(self) -> None:
        self._signal("TERM")
        self._after(KILL_SECONDS, self.kill)

    def _signal(self, name: str) -> None:
        """
        Send it a signal by name, if it is still there.
        """
        with suppress(ProcessExitedAlready):
            self.transport.signalProcess(name)

    def _after(self, seconds: float, act: Callable[[], None]) -> None:
        self._cancelTimer()
        self._timer = self._reactor.callLater(seconds, act)

    def _cancelTimer(self) -> None:
        if self._timer is not None:
            timer, self._timer = self._timer, None
            if timer.active():
                timer.cancel()


def _howEnded(reason: Failure) -> str:
    status: Any = reason.value
    number = getattr(status, "signal", None)
    if number is None:
        return f"exit status {getattr(status, 'exitCode', None)}"
    return bySignal(number)


def bySignal(number: int) -> str:
    """
    @return: that a signal ended a process, by its number and its name.
    """
    try:
        return f"ended by signal {number} ({signal.Signals(number).name})"
    except ValueError:
        return f"ended by signal {number}"
