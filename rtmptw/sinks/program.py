"""
What runs in a child of ours: a program that reads messages from its standard input, and
writes its own to descriptor 3. See L{rtmptw.sinks.wire}.
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

#: The longest text for the log; of a traceback the end says most.
_MAX_TEXT = 8000


def ownProgram(module: str) -> tuple[tuple[str, ...], Mapping[str, str]]:
    """
    @param module: one of rtmptw, to be run.
    @return: a child's arguments and its environment. Nothing secret is in the
        arguments, which every user of the machine can read.
    """
    package = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
    return (sys.executable, "-u", "-m", module), {**os.environ, "PYTHONPATH": path}


@implementer(ILoggingContext, IHalfCloseableProtocol)
class Program(Protocol):
    """
    A child's side of the conversation, to inherit from.
    """

    transport: Any

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._reader = MessageReader()
        self._isEnded = False
        self._name = ""

    def dataReceived(self, data: bytes) -> None:
        """
        The server says something.
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
        The server has nothing more to say: what there is to say to it can still be
        said. If it has not said that it is over, it is gone, and nobody would end this
        process if it hangs.
        """
        if not self._isEnded:
            self._reactor.callLater(FINISH_SECONDS, os._exit, 1)
        self._end("the server is gone")

    writeConnectionLost = readConnectionLost

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        All is said.
        """
        self._end("the server is gone")
        if self._reactor.running:
            self._reactor.stop()

    def _end(self, reason: str) -> None:
        if not self._isEnded:
            self._isEnded = True
            self.over(reason)

    # To be written.

    def ordered(self, order: Any) -> None:
        """
        It is told what to do.
        """

    def headerCame(self, frame: Frame, arrived: datetime) -> None:
        """
        A header, from before.
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
        A place in shared memory is free again.
        """

    def over(self, reason: str) -> None:
        """
        Nothing follows. Ends with L{leave}.
        """
        self.leave()

    # To be called.

    def leave(self) -> None:
        """
        End the process, when all is said.
        """
        self.transport.loseConnection()

    def done(self, frames: int) -> None:
        """
        Say how many frames it is done with, of all so far.
        """
        self.transport.write(numberMessage(Kind.DONE, frames))

    def dropped(self, reason: str, frames: int, size: int) -> None:
        """
        Say that frames came to nothing.
        """
        self.transport.write(jsonMessage(Kind.DROPPED, [reason, frames, size]))

    def failed(self, why: str) -> None:
        """
        Say that it can do no more.
        """
        self.transport.write(message(Kind.FAILED, why.encode("utf-8", "replace")))

    def answer(self, number: int, body: bytes) -> None:
        """
        Answer a request.
        """
        self.transport.write(numberMessage(Kind.ANSWER, number, body))

    def refuse(self, number: int, why: str) -> None:
        """
        Say why a request has no answer.
        """
        self.transport.write(
            numberMessage(Kind.REFUSED, number, why.encode("utf-8", "replace"))
        )

    def log(self, event: LogEvent) -> None:
        """
        Observe what is logged here: the server logs it, and has the stream's name.
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
        For Twisted.
        """
        return self._name


def run(make: Callable[[Any], Program]) -> None:
    """
    Run a program until it leaves.
    """
    # A process of its own, in which nobody could hand it in.
    from twisted.internet import reactor as theReactor  # noqa: TID251

    reactor: Any = theReactor
    # A crash of FFmpeg says where it happened.
    faulthandler.enable()
    # Ctrl-C and a terminal that is closed are for the server, which then ends our
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
