"""
Feeds streams to child processes, and starts them again.
"""

import os
import random
import re
import shutil
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from rtmptw.backoff import Backoff
from rtmptw.delivery import Delivery
from rtmptw.errors import SinkError
from rtmptw.frames import CodecHeaders, Frame, FrameKind, Role, StreamInfo
from rtmptw.interfaces import IFrameSink

#: Up to so much of the wait is added by chance, so that not all children come at once.
JITTER = 0.3
#: A child that has lived so many seconds was in order; the wait begins anew.
GOOD_LIFE = 30.0

#: Seconds a child has to finish when its input has ended, then is asked to end, then
#: so many more until it is killed. Together less than the server's own shutdown takes.
FINISH_SECONDS = 5.0
KILL_SECONDS = 2.0
#: A child that takes nothing for so many seconds hangs.
STALL_SECONDS = 30.0
#: A child that has ended may have left a child of its own that holds our pipes.
PIPES_SECONDS = 1.0

#: What a child may say: bytes of a line, and lines in some seconds.
MAX_LINE = 500
MAX_LINES = 20
LINES_SECONDS = 10.0


class Encoding(Protocol):
    """
    What a child gets to read.
    """

    def begin(self, headers: list[Frame], first: Frame) -> bytes:
        """
        @param headers: metadata and codec headers so far.
        @param first: the frame that comes first.
        @return: what stands before it.

        @raise SinkError: if the stream cannot be said in this way.
        """

    def encode(self, frame: Frame, timestamp: int) -> bytes:
        """
        @param timestamp: in ms since the first frame.
        @return: the frame's bytes; may be none.

        @raise SinkError: if it cannot be said in this way.
        """


@dataclass(frozen=True)
class Command:
    """
    How to start a child.

    @ivar label: what to call it in the log: no secret is in it.
    @ivar arguments: the program and its arguments.
    @ivar makeEncoding: makes what it reads, for each child.
    @ivar delivery: how frames wait for it.
    @ivar environment: of the child; C{None} for ours.
    @ivar preamble: what it gets to read first.
    @ivar secrets: texts that must not come into the log.
    @ivar finish: seconds it has to finish when its input has ended.
    @ivar stall: seconds after which it is killed if it takes nothing.
    """

    label: str
    arguments: Sequence[str]
    makeEncoding: Callable[[], Encoding]
    delivery: Delivery
    environment: Mapping[str, str] | None = field(default=None, repr=False)
    preamble: bytes = field(default=b"", repr=False)
    secrets: Sequence[str] = field(default=(), repr=False)
    finish: float = FINISH_SECONDS
    stall: float = STALL_SECONDS


class _Child(ProcessProtocol):
    """
    A child that runs, as Twisted sees it.
    """

    transport: Any

    def __init__(self, sink: "ChildSink", encoding: Encoding) -> None:
        self.sink = sink
        self.encoding = encoding
        #: The timestamp that is 0 to it; C{None} before its first frame.
        self.base: int | None = None
        self.frames = 0
        self.since = 0.0
        self.isEnding = False
        self._partial = b""

    def connectionMade(self) -> None:
        """
        It runs.
        """
        self.transport.registerProducer(self.sink, True)

    def outReceived(self, data: bytes) -> None:
        """
        It says something.
        """
        lines = re.split(rb"[\r\n]+", self._partial + data)
        self._partial = lines.pop()[-MAX_LINE:]
        for line in lines:
            self.sink.childSaid(line)

    errReceived = outReceived

    def inConnectionLost(self) -> None:
        """
        It reads no more.
        """
        self.sink.childDeaf(self)

    def processExited(self, reason: Failure) -> None:
        """
        What it said last may still be to be read.
        """
        self.sink.childExited(self)

    def processEnded(self, reason: Failure) -> None:
        """
        It is gone, and all is read.
        """
        self.sink.childSaid(self._partial)
        self.sink.childEnded(self, reason)

    def signal(self, number: int) -> None:
        """
        Send it a signal, if it is still there.
        """
        with suppress(ProcessExitedAlready):
            self.transport.signalProcess(number)


@implementer(IFrameSink, IPushProducer)
class ChildSink:
    """
    Feeds one stream to a child. To the child's input this is the producer.

    @ivar failure: why it ended before the stream did; empty while all is well.
    @ivar starts: how many children there were.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        command: Command,
        rand: Callable[[], float] = random.random,
    ) -> None:
        """
        @param reactor: provides C{IReactorTime} and C{IReactorProcess}.
        @param rand: gives numbers from 0 to 1.
        """
        self.delivery = command.delivery
        self.failure = ""
        self.starts = 0
        self._reactor = reactor
        self._command = command
        self._name = ""
        self._producer: IPushProducer | None = None
        self._headers = CodecHeaders()
        self._hasVideo = False
        self._child: _Child | None = None
        self._timer: Any = None
        self._retry: Any = None
        self._backoff = Backoff(rand, 1.0, 1 + JITTER)
        self._skipped = 0
        self._ended = False
        self._done: Deferred[None] | None = None
        self._lines = 0
        self._linesSince = float("-inf")

    # The stream's side.

    def streamStarted(self, stream: StreamInfo, producer: IPushProducer) -> None:
        """
        The child is started with the first frame.
        """
        self._name = stream.name
        self._producer = producer

    def frameReceived(self, frame: Frame) -> None:
        """
        Give it to the child.
        """
        if self.failure or self._ended:
            return
        if frame.isHeader:
            self._headers.remember(frame)
        isCoded = frame.role is Role.CODED
        if isCoded and frame.kind is FrameKind.VIDEO:
            self._hasVideo = True
        try:
            if self._child is not None:
                self._feed(self._child, frame)
            elif isCoded:
                self._startWith(frame)
        except SinkError as error:
            self._fail(str(error))

    def streamEnded(self, reason: str) -> "Deferred[None] | None":
        """
        End the child's input, and wait for the child to end, for a while.

        @return: fires when no child is left.
        """
        self._ended = True
        self._cancelRetry()
        if self._child is None:
            return None
        self._done = done = Deferred[None]()
        if not self._child.isEnding:
            self._child.isEnding = True
            self._after(self._command.finish, self._terminate)
            # With a producer that is paused it would never be closed.
            self._child.transport.unregisterProducer()
            self._child.transport.closeStdin()
        return done

    @property
    def isAlive(self) -> bool:
        """
        Whether there is a child, or will be.
        """
        return self._child is not None or not self._ended

    def kill(self) -> None:
        """
        Leave no child behind, now.
        """
        if self._child is not None:
            self._child.signal(signal.SIGKILL)

    def _startWith(self, frame: Frame) -> None:
        """
        Start a child, if it can begin with this frame.
        """
        isFirst = not self.starts
        if self._retry is not None or (
            not isFirst and self._hasVideo and not frame.isKey
        ):
            self._skipped += 1
            return
        command = self._command
        program = command.arguments[0]
        self.starts += 1
        if shutil.which(program) is None:
            self._startAgain(f"there is no program {os.path.basename(program)}")
            self._skipped += 1
            return
        encoding = command.makeEncoding()
        opening = encoding.begin(self._headers.frames(), frame)
        child = _Child(self, encoding)
        child.since = self._reactor.seconds()
        child.base = frame.timestamp
        self._child = child
        try:
            self._reactor.spawnProcess(
                child,
                program,
                [os.fsencode(argument) for argument in command.arguments],
                env=command.environment,
            )
        except OSError as error:
            self._child = None
            self._startAgain(f"cannot be started: {error.strerror}")
            self._skipped += 1
            return
        self._log.info(
            "{name}: {label} started as process {pid}{skipped}",
            name=self._name,
            label=command.label,
            pid=child.transport.pid,
            skipped=f"; {self._skipped} frames were skipped" if self._skipped else "",
        )
        self._skipped = 0
        child.transport.write(command.preamble + opening)
        self._feed(child, frame)

    def _feed(self, child: _Child, frame: Frame) -> None:
        if child.isEnding:
            self._skipped += frame.role is Role.CODED
            return
        assert child.base is not None
        timestamp = max(0, frame.timestamp - child.base)
        data = child.encoding.encode(frame, timestamp)
        if data:
            child.frames += 1
            child.transport.write(data)

    def _fail(self, reason: str) -> None:
        self.failure = reason
        self._log.error(
            "{name}: {label}: {reason}",
            name=self._name,
            label=self._command.label,
            reason=reason,
        )
        assert self._producer is not None
        self._producer.stopProducing()

    # The child's side: IPushProducer.

    def pauseProducing(self) -> None:
        """
        The child's input is full.
        """
        assert self._producer is not None
        self._producer.pauseProducing()
        if self._child is not None and not self._child.isEnding:
            self._after(self._command.stall, self._stalled)

    def resumeProducing(self) -> None:
        """
        The child reads on.
        """
        if self._child is not None and not self._child.isEnding:
            self._cancelTimer()
        assert self._producer is not None
        if not self._ended:
            self._producer.resumeProducing()

    def stopProducing(self) -> None:
        """
        The child's input is gone; L{childDeaf} follows.
        """

    # And what it tells.

    def childSaid(self, line: bytes) -> None:
        """
        Log a line of the child's, if there are not too many.
        """
        text = line.decode("utf-8", "replace").strip()[:MAX_LINE]
        if not text:
            return
        now = self._reactor.seconds()
        if now - self._linesSince >= LINES_SECONDS:
            self._tellLeftOut()
            self._lines = 0
            self._linesSince = now
        self._lines += 1
        if self._lines <= MAX_LINES:
            for secret in self._command.secrets:
                text = text.replace(secret, "...")
            self._log.info(
                "{name}: {label}: {text}",
                name=self._name,
                label=self._command.label,
                text=text,
            )

    def _tellLeftOut(self) -> None:
        if self._lines > MAX_LINES:
            self._log.info(
                "{name}: {label}: {count} more lines",
                name=self._name,
                label=self._command.label,
                count=self._lines - MAX_LINES,
            )
        self._lines = 0

    def childDeaf(self, child: _Child) -> None:
        """
        The child has closed its input.
        """
        if child is self._child and not child.isEnding:
            # Most probably it is just ending; it gets the time to.
            child.isEnding = True
            self._after(self._command.finish, self._terminate)

    def childExited(self, child: _Child) -> None:
        """
        The child has ended; wait for its last words, but not for its children.
        """
        if child is self._child:
            child.isEnding = True
            self._after(PIPES_SECONDS, child.transport.loseConnection)

    def childEnded(self, child: _Child, reason: Failure) -> None:
        """
        The child is gone.
        """
        self._cancelTimer()
        self._tellLeftOut()
        self._child = None
        seconds = self._reactor.seconds() - child.since
        how = _howEnded(reason)
        if self._ended:
            log = self._log.info if how == "exit status 0" else self._log.warn
            log(
                "{name}: {label}: {how} after {seconds:.1f} s and {frames} messages",
                name=self._name,
                label=self._command.label,
                how=how,
                seconds=seconds,
                frames=child.frames,
            )
            done, self._done = self._done, None
            if done is not None:
                done.callback(None)
            return
        if seconds >= GOOD_LIFE:
            self._backoff.reset()
        self._startAgain(f"{how} after {seconds:.1f} s and {child.frames} messages")
        assert self._producer is not None
        # What waited for this child cannot be what the next one begins with.
        self._producer.resumeProducing()

    def _startAgain(self, why: str) -> None:
        wait = self._backoff.next()
        self._log.warn(
            "{name}: {label}: {why}; it is started again in {wait:.1f} s",
            name=self._name,
            label=self._command.label,
            why=why,
            wait=wait,
        )
        self._retry = self._reactor.callLater(wait, self._retryNow)

    def _retryNow(self) -> None:
        self._retry = None

    def _stalled(self) -> None:
        self._timer = None
        assert self._child is not None
        self._log.warn(
            "{name}: {label} takes nothing for {seconds:g} s and is killed",
            name=self._name,
            label=self._command.label,
            seconds=self._command.stall,
        )
        self._child.isEnding = True
        self.kill()

    def _terminate(self) -> None:
        self._timer = None
        if self._child is not None:
            self._child.signal(signal.SIGTERM)
            self._after(KILL_SECONDS, self._killNow)

    def _killNow(self) -> None:
        self._timer = None
        self.kill()

    def _after(self, seconds: float, act: Callable[[], None]) -> None:
        self._cancelTimer()
        self._timer = self._reactor.callLater(seconds, act)

    def _cancelTimer(self) -> None:
        if self._timer is not None:
            timer, self._timer = self._timer, None
            if timer.active():
                timer.cancel()

    def _cancelRetry(self) -> None:
        if self._retry is not None:
            timer, self._retry = self._retry, None
            timer.cancel()


def _howEnded(reason: Failure) -> str:
    status: Any = reason.value
    number = getattr(status, "signal", None)
    if number is not None:
        return f"ended by signal {number}"
    return f"exit status {getattr(status, 'exitCode', None)}"


class Children:
    """
    The sinks of one factory, to leave none of their children behind.
    """

    def __init__(self) -> None:
        self._sinks: list[ChildSink] = []

    def add(self, sink: ChildSink) -> ChildSink:
        """
        @return: the sink.
        """
        self._sinks = [other for other in self._sinks if other.isAlive]
        self._sinks.append(sink)
        return sink

    def kill(self) -> None:
        """
        Kill those that are left: nobody waits any longer.
        """
        for sink in self._sinks:
            sink.kill()
        self._sinks = []
