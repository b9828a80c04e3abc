"""
The base of the programs that run in our child processes: they read messages from
standard input, and write their own to descriptor 3. See L{rtmptw.sinks.wire}.
"""

import faulthandler
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from twisted.internet.interfaces import IHalfCloseableProtocol, ILoggingContext
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.stdio import StandardIO
from twisted.logger import (
    ILogObserver,
    LogEvent,
    LogLevel,
    formatEvent,
    globalLogBeginner,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from rtmptw.frames import Frame
from rtmptw.sinks.process import FINISH_SECONDS, REPORTS
from rtmptw.sinks.wire import (
    Kind,
    MessageReader,
    frameOf,
    jsonMessage,
    message,
    numberMessage,
    numberOf,
)

#: The longest text for the log; of a traceback the end is kept, which matters most.
_MAX_TEXT = 8000


def ownProgram(module: str) -> tuple[tuple[str, ...], Mapping[str, str]]:
    """
    @param module: a module of rtmptw to run.
    @return: a child's arguments and environment. The arguments contain no secrets:
        every user of the machine can read them.
    """
    package = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
    return (sys.executable, "-u", "-m", module), {**os.environ, "PYTHONPATH": path}


@implementer(ILoggingContext, IHalfCloseableProtocol)
class Program(Protocol):
    """
    The child's end of the connection to the server; a base class.
    """

    transport: Any

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._reader = MessageReader()
        self._isEnded = False
        self._name = ""

    def dataReceived(self, data: bytes) -> None:
        """
        Handle messages from the server.
        """
        for kind, body in self._reader.receive(data):
            if kind is Kind.ORDER:
                order = json.loads(body)
                self._name = str(order.get("name", ""))
                self.ordered(order)
            elif kind is Kind.HEADER:
                self.headerCame(*frameOf(body))
            elif kind is Kind.FRAME:
                self.frameCame(*frameOf(body))
            elif kind is Kind.REQUEST:
                self.asked(*numberOf(body))
            elif kind is Kind.FREE:
                self.freed(numberOf(body)[0])
            elif kind is Kind.END:
                self._end(body.decode("utf-8", "replace"))

    def readConnectionLost(self) -> None:
        """
        The server sends nothing more, but can still be written to. If it has not sent
        C{END}, it has died, and nothing else would end this process if it hangs.
        """
        if not self._isEnded:
            self._reactor.callLater(FINISH_SECONDS, os._exit, 1)
        self._end("the server is gone")

    writeConnectionLost = readConnectionLost

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        All output is written: stop.
        """
        self._end("the server is gone")
        if self._reactor.running:
            self._reactor.stop()

    def _end(self, reason: str) -> None:
        if not self._isEnded:
            self._isEnded = True
            self.over(reason)

    # To override.

    def ordered(self, order: Any) -> None:
        """
        The order has arrived: what to do.
        """

    def headerCame(self, frame: Frame, arrived: datetime) -> None:
        """
        A header from before the first frame.
        """

    def frameCame(self, frame: Frame, arrived: datetime) -> None:
        """
        The next frame.
        """

    def asked(self, number: int, body: bytes) -> None:
        """
        A request.
        """

    def freed(self, slot: int) -> None:
        """
        A slot in shared memory is free again.
        """

    def over(self, reason: str) -> None:
        """
        The stream has ended. Must end by calling L{leave}.
        """
        self.leave()

    # To call.

    def leave(self) -> None:
        """
        End the process when all output is written.
        """
        self.transport.loseConnection()

    def done(self, frames: int) -> None:
        """
        Report the total number of frames processed so far.
        """
        self.transport.write(numberMessage(Kind.DONE, frames))

    def dropped(self, reason: str, frames: int, size: int) -> None:
        """
        Report dropped frames.
        """
        self.transport.write(jsonMessage(Kind.DROPPED, [reason, frames, size]))

    def failed(self, why: str) -> None:
        """
        Report that it has failed for good.
        """
        self.transport.write(message(Kind.FAILED, why.encode("utf-8", "replace")))

    def answer(self, number: int, body: bytes) -> None:
        """
        Answer a request.
        """
        self.transport.write(numberMessage(Kind.ANSWER, number, body))

    def refuse(self, number: int, why: str) -> None:
        """
        Answer a request with an error.
        """
        self.transport.write(
            numberMessage(Kind.REFUSED, number, why.encode("utf-8", "replace"))
        )

    def log(self, event: LogEvent) -> None:
        """
        Observe log events here: send them to the server, which adds the stream's name.
        """
        text = (formatEvent(event) or "").removeprefix(f"{self._name}: ")
        failure = event.get("log_failure")
        if failure is not None:
            text += "\n" + failure.getTraceback()[-_MAX_TEXT:]
        level = event.get("log_level", LogLevel.info)
        if level is not LogLevel.debug and text:
            self.transport.write(jsonMessage(Kind.LOG, [level.name, text[-_MAX_TEXT:]]))

    def logPrefix(self) -> str:
        """
        @return: the stream's name, for Twisted's log.
        """
        return self._name


def run(make: Callable[[Any], Program]) -> None:
    """
    Run a program until it leaves.
    """
    # This is a process of its own: there is no caller to pass a reactor.
    from twisted.internet import reactor as theReactor  # noqa: TID251

    reactor: Any = theReactor
    # Print a traceback when FFmpeg crashes.
    faulthandler.enable()
    # Ctrl-C and the closing of a terminal are for the server, which then ends our
    # input.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    program = make(reactor)
    onPipes: Any = StandardIO
    onPipes(program, stdin=0, stdout=REPORTS)
    observer = cast(ILogObserver, program.log)
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)
    reactor.run(installSignalHandlers=False)
