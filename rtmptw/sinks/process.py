"""
The child process of a sink: logs its output, and ends it when necessary.
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

#: Seconds a child has to exit after its input ends; it then gets SIGTERM, and SIGKILL
#: C{KILL_SECONDS} later. The sum is less than the server's own shutdown timeout.
FINISH_SECONDS = 5.0
KILL_SECONDS = 2.0
#: Seconds to read what is left in the pipes after a child has exited: a child of its
#: own may still hold them open.
PIPES_SECONDS = 1.0

#: Limits for a child's log lines: bytes per line, and lines per C{LINES_SECONDS}.
MAX_LINE = 500
MAX_LINES = 20
LINES_SECONDS = 10.0

#: The descriptor on which our own child processes write their messages.
REPORTS = 3


def checkProcesses(of: str) -> None:
    """
    @param of: what needs a child process of ours: C{decode sink with process=yes}.

    @raise SinkError: if the system cannot start one: it gives a child only three files,
        and ours need more.
    """
    if not IS_POSIX:
        raise SinkError(
            f"the {of} needs a child process with more than three open files, which "
            "this system cannot start"
        )


class Lines:
    """
    Logs the output of children, with a rate limit.
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
        @param name: the stream's name; empty if there are several streams.
        @param label: the child's name in the log.
        @param secrets: texts to mask in the log.
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
        Log how many lines exceeded the limit, if any.
        """
        if self._count > MAX_LINES:
            self._log.info(
                "{prefix}: {count} more lines not logged",
                prefix=self._prefix,
                count=self._count - MAX_LINES,
            )
        self._count = 0


class ChildOwner(Protocol):
    """
    The owner of a child process.
    """

    def childStarted(self, child: Any) -> None:
        """
        The child has started.
        """

    def childReported(self, child: Any, data: bytes) -> None:
        """
        The child has written to the descriptor L{REPORTS}.
        """

    def childDeaf(self, child: Any) -> None:
        """
        The child has closed its input; it is probably exiting.
        """

    def childEnded(self, child: Any, how: str) -> None:
        """
        The child has ended, and all its output has been read.

        @param how: how it ended: C{exit status 0} for example.
        """


class ChildProcess(ProcessProtocol):
    """
    The Twisted protocol of a running child.

    @ivar isEnding: whether its input has ended.
    @ivar since: when it was started.
    """

    transport: Any

    def __init__(
        self, reactor: Any, owner: ChildOwner, lines: Lines, finish: float
    ) -> None:
        """
        @param finish: seconds the child has to exit after its input ends.
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
        The child has started.
        """
        self._owner.childStarted(self)

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """
        The child has written to any of its descriptors.
        """
        if childFD == REPORTS:
            self._owner.childReported(self, data)
        else:
            self.outReceived(data)

    def outReceived(self, data: bytes) -> None:
        """
        Log the child's output, line by line.
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
        The child has closed its input.
        """
        if not self.isEnding:
            self._endSoon()
            self._owner.childDeaf(self)

    def end(self, close: bool = True) -> None:
        """
        Close the child's input; terminate the child if it has not exited in time.

        @param close: C{False} to leave its input open, for messages other than frames.
        """
        if not self.isEnding:
            self._endSoon()
            if not close:
                return
            # With a paused producer it would never be closed.
            self.transport.unregisterProducer()
            self.transport.closeStdin()

    def kill(self) -> None:
        """
        Kill the child now.
        """
        self.isEnding = True
        self._signal("KILL")

    def processExited(self, reason: Failure) -> None:
        """
        The child has exited; its last output may not have been read yet.
        """
        self.isEnding = True
        self._after(PIPES_SECONDS, self.transport.loseConnection)

    def processEnded(self, reason: Failure) -> None:
        """
        The child has exited, and its output has been read.
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
        Send the child a signal by name, if it is still running.
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
    @return: the words that a signal ended a process, with its number and name.
    """
    try:
        return f"ended by signal {number} ({signal.Signals(number).name})"
    except ValueError:
        return f"ended by signal {number}"
