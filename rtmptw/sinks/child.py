"""
Feeds streams to child processes, and restarts them.
"""

import json
import os
import random
import shutil
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.logger import Logger, LogLevel
from zope.interface import implementer

from rtmptw.backoff import Backoff
from rtmptw.delivery import PROCESS_ENDED, Delivery
from rtmptw.errors import SinkError
from rtmptw.frames import CodecHeaders, Frame, FrameKind, Role, StreamInfo
from rtmptw.interfaces import IFrameSink
from rtmptw.sinks.process import (
    FINISH_SECONDS,
    REPORTS,
    ChildProcess,
    Lines,
)
from rtmptw.sinks.wire import Kind, MessageReader, numberOf

#: The random part added to a restart delay, as a fraction of it, so that children do
#: not all restart at once.
JITTER = 0.3
#: Seconds a child must have run for the restart delay to be reset.
GOOD_LIFE = 30.0
#: Seconds without reading any input after which a child counts as stuck.
STALL_SECONDS = 30.0


class Encoding(Protocol):
    """
    How a stream is written to a child's input.
    """

    def begin(self, headers: list[Frame], first: Frame) -> bytes:
        """
        @param headers: metadata and sequence headers so far.
        @param first: the first frame.
        @return: the bytes before the first frame.

        @raise SinkError: if the stream cannot be encoded.
        """

    def encode(self, frame: Frame, timestamp: int) -> bytes:
        """
        @param timestamp: ms since the first frame.
        @return: the frame's bytes; may be empty.

        @raise SinkError: if it cannot be encoded.
        """

    def end(self, reason: str) -> bytes:
        """
        @param reason: why the stream ended.
        @return: the bytes after the last frame.
        """


@dataclass(frozen=True)
class Command:
    """
    How to start and feed a child.

    @ivar label: the child's name in the log; must not contain secrets.
    @ivar arguments: the program and its arguments.
    @ivar makeEncoding: makes the encoding of its input, for each child anew.
    @ivar delivery: how frames are queued for it.
    @ivar environment: its environment; C{None} for the server's.
    @ivar preamble: bytes to write first.
    @ivar secrets: texts to mask in the log.
    @ivar finish: seconds it has to exit after its input ends.
    @ivar stall: seconds without reading its input after which it is killed; 0 for
        never.
    @ivar reports: whether it is one of ours, and reports what it does with frames, see
        L{rtmptw.sinks.wire}.
    @ivar descriptors: called for each child; returns the files to pass to it, by their
        number in the child. The input of such a child stays open until it ends.
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
    reports: bool = False
    descriptors: Callable[[], Mapping[int, int]] | None = None


class _Fed:
    """
    What a child has been given.

    @ivar base: the timestamp that is 0 for the child.
    @ivar frames: the number of messages written to it.
    """

    def __init__(self, encoding: Encoding) -> None:
        self.encoding = encoding
        self.base = 0
        self.frames = 0
        self.reader = MessageReader()
        # The sizes of the frames that it has not processed yet.
        self._sizes: deque[int] = deque()
        self._done = 0

    def fed(self, frame: Frame) -> None:
        """
        A frame was written to the child, which will report when it has processed it.
        """
        self._sizes.append(frame.size)

    def done(self, count: int) -> None:
        """
        @param count: the total number of frames that the child has processed.
        """
        for _ in range(min(count - self._done, len(self._sizes))):
            self._sizes.popleft()
            self._done += 1

    def lost(self) -> tuple[int, int]:
        """
        @return: the number of frames written but not processed, and their bytes.
        """
        return len(self._sizes), sum(self._sizes)


@implementer(IFrameSink, IPushProducer)
class ChildSink:
    """
    Feeds one stream to a child process. It is the producer of the child's input.

    @ivar failure: why it ended before the stream did; empty if it has not failed.
    @ivar starts: the number of children started.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        command: Command,
        rand: Callable[[], float] = random.random,
        said: Callable[[Kind, bytes], None] | None = None,
    ) -> None:
        """
        @param reactor: provides C{IReactorTime} and C{IReactorProcess}.
        @param rand: returns random numbers from 0 to 1.
        @param said: called with messages of the child that are not about frames.
        """
        self._said = said
        self.delivery = command.delivery
        self.failure = ""
        self.starts = 0
        self._reactor = reactor
        self._command = command
        self._name = ""
        self._producer: Any = None
        self._headers = CodecHeaders()
        self._hasVideo = False
        self._child: ChildProcess | None = None
        self._fed: _Fed | None = None
        self._lines: Lines | None = None
        self._timer: Any = None
        self._retry: Any = None
        self._backoff = Backoff(rand, 1.0, 1 + JITTER)
        self._skipped = 0
        self._isClogged = False
        self._isFull = False
        self._ended = False
        self._done: Deferred[None] | None = None

    # Called by the stream: IFrameSink.

    def streamStarted(self, stream: StreamInfo, producer: IPushProducer) -> None:
        """
        Remember the stream. The child is started with the first frame.
        """
        self._name = stream.name
        self._producer = producer
        command = self._command
        self._lines = Lines(
            self._reactor.seconds, stream.name, command.label, command.secrets
        )

    def frameReceived(self, frame: Frame) -> None:
        """
        Write the frame to the child.
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
        End the child's input, and give the child time to exit.

        @return: fires when the child has ended; C{None} if there is none.
        """
        self._ended = True
        self._cancelRetry()
        if self._child is None:
            return None
        self._done = done = Deferred[None]()
        if not self._child.isEnding:
            self._cancelTimer()
            assert self._fed is not None
            ending = self._fed.encoding.end(reason)
            if ending:
                self._child.transport.write(ending)
            self._child.end(close=self._command.descriptors is None)
        return done

    def tell(self, data: bytes) -> None:
        """
        Write a message that is not a frame to the child, if there is one.
        """
        if self._child is not None:
            self._child.transport.write(data)

    @property
    def isAlive(self) -> bool:
        """
        Whether there is a child, or will be.
        """
        return self._child is not None or not self._ended

    @property
    def unprocessed(self) -> int:
        """
        The number of frames written to the child that it has not reported as processed;
        0 if the program sends no such reports.
        """
        return 0 if self._fed is None else self._fed.lost()[0]

    def kill(self) -> None:
        """
        Kill the child now.
        """
        if self._child is not None:
            self._child.kill()

    def _startWith(self, frame: Frame) -> None:
        """
        Start a child, if its input can begin with this frame.
        """
        isFirst = not self.starts
        if self._retry is not None or (
            not isFirst and self._hasVideo and not frame.isKey
        ):
            self._skip(frame)
            return
        command = self._command
        program = command.arguments[0]
        self.starts += 1
        if shutil.which(program) is None:
            self._startAgain(f"program {os.path.basename(program)} not found")
            self._skip(frame)
            return
        encoding = command.makeEncoding()
        opening = encoding.begin(self._headers.frames(), frame)
        assert self._lines is not None
        self._fed = fed = _Fed(encoding)
        fed.base = frame.timestamp
        child = ChildProcess(self._reactor, self, self._lines, command.finish)
        self._child = child
        more: dict[str, Any] = {}
        if command.reports:
            more["childFDs"] = {0: "w", 1: "r", 2: "r", REPORTS: "r"}
            if command.descriptors is not None:
                more["childFDs"].update(command.descriptors())
        try:
            self._reactor.spawnProcess(
                child,
                program,
                [os.fsencode(argument) for argument in command.arguments],
                env=command.environment,
                **more,
            )
        except OSError as error:
            self._child = None
            self._startAgain(f"cannot be started: {error.strerror}")
            self._skip(frame)
            return
        self._log.info(
            "{name}: {label} started as process {pid}{skipped}",
            name=self._name,
            label=command.label,
            pid=child.transport.pid,
            skipped=f"; {self._skipped} frames skipped" if self._skipped else "",
        )
        self._skipped = 0
        child.transport.write(command.preamble + opening)
        self._feed(child, frame)

    def _feed(self, child: ChildProcess, frame: Frame) -> None:
        if child.isEnding:
            if frame.role is Role.CODED:
                self._skip(frame)
            return
        fed = self._fed
        assert fed is not None
        timestamp = max(0, frame.timestamp - fed.base)
        data = fed.encoding.encode(frame, timestamp)
        if data:
            fed.frames += 1
            if self._command.reports:
                fed.fed(frame)
            child.transport.write(data)

    def _skip(self, frame: Frame) -> None:
        """
        Count a frame as dropped: there is no child to take it.
        """
        self._skipped += 1
        self._producer.framesDropped(PROCESS_ENDED, 1, frame.size)

    def _fail(self, reason: str) -> None:
        self.failure = reason
        self._log.error(
            "{name}: {label}: {reason}",
            name=self._name,
            label=self._command.label,
            reason=reason,
        )
        self._producer.stopProducing()

    # Called by the child's input: IPushProducer.

    def pauseProducing(self) -> None:
        """
        The buffer of the child's input is full.
        """
        self._isClogged = True
        self._producer.pauseProducing()
        if self._child is not None and not self._child.isEnding and self._command.stall:
            self._cancelTimer()
            self._timer = self._reactor.callLater(self._command.stall, self._stalled)

    def resumeProducing(self) -> None:
        """
        The child reads its input again.
        """
        if self._child is not None and not self._child.isEnding:
            self._cancelTimer()
        self._isClogged = False
        self._goOn()

    def _goOn(self) -> None:
        """
        Resume the producer, unless the child or its input is still full.
        """
        if not self._ended and not self._isClogged and not self._isFull:
            self._producer.resumeProducing()

    def stopProducing(self) -> None:
        """
        The child's input is closed; L{childDeaf} follows.
        """

    # Called by the child process: ChildOwner.

    def childStarted(self, child: ChildProcess) -> None:
        """
        Become the producer of the child's input.
        """
        child.transport.registerProducer(self, True)

    def childReported(self, child: ChildProcess, data: bytes) -> None:
        """
        One of our own children has sent messages.
        """
        assert self._fed is not None
        try:
            for kind, body in self._fed.reader.receive(data):
                self._take(self._fed, kind, body)
        except (ValueError, TypeError, LookupError) as error:
            self._log.warn(
                "{name}: {label} sent an invalid message, killing it: {error}",
                name=self._name,
                label=self._command.label,
                error=str(error),
            )
            child.kill()

    def _take(self, fed: _Fed, kind: Kind, body: bytes) -> None:
        if kind is Kind.DONE:
            fed.done(numberOf(body)[0])
        elif kind is Kind.DROPPED:
            reason, frames, size = json.loads(body)
            self._producer.framesDropped(str(reason), int(frames), int(size))
        elif kind is Kind.PAUSE:
            self._isFull = True
            self._producer.pauseProducing()
        elif kind is Kind.RESUME:
            self._isFull = False
            self._goOn()
        elif kind is Kind.LOG:
            level, text = json.loads(body)
            assert self._lines is not None
            self._lines.say(str(text), LogLevel.levelWithName(level))
        elif kind is Kind.FAILED:
            if not self._ended and not self.failure:
                self._fail(body.decode("utf-8", "replace"))
        elif self._said is not None:
            self._said(kind, body)
        else:
            raise ValueError(f"unexpected message {kind.name}")

    def childDeaf(self, child: ChildProcess) -> None:
        """
        The child has closed its input; the child process itself waits for the exit.
        """
        self._cancelTimer()

    def childEnded(self, child: ChildProcess, how: str) -> None:
        """
        The child has ended: start another later, unless the stream has ended.
        """
        self._cancelTimer()
        self._child = None
        fed, self._fed = self._fed, None
        assert fed is not None
        seconds = self._reactor.seconds() - child.since
        lost, size = fed.lost()
        if lost:
            self._producer.framesDropped(PROCESS_ENDED, lost, size)
        what = f"{how} after {seconds:.1f} s and {fed.frames} messages"
        if lost:
            what += f", {lost} frames not processed"
        if self._ended:
            log = self._log.info if how == "exit status 0" else self._log.warn
            log(
                "{name}: {label}: {what}",
                name=self._name,
                label=self._command.label,
                what=what,
            )
            done, self._done = self._done, None
            if done is not None:
                done.callback(None)
            return
        if seconds >= GOOD_LIFE:
            self._backoff.reset()
        self._startAgain(what)
        # The next child cannot begin with what was queued for this one.
        self._isClogged = self._isFull = False
        self._producer.resumeProducing()

    def _startAgain(self, why: str) -> None:
        wait = self._backoff.next()
        self._log.warn(
            "{name}: {label}: {why}; restarting in {wait:.1f} s",
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
            "{name}: {label} has read nothing for {seconds:g} s, killing it",
            name=self._name,
            label=self._command.label,
            seconds=self._command.stall,
        )
        self._child.kill()

    def _cancelTimer(self) -> None:
        if self._timer is not None:
            timer, self._timer = self._timer, None
            if timer.active():
                timer.cancel()

    def _cancelRetry(self) -> None:
        if self._retry is not None:
            timer, self._retry = self._retry, None
            timer.cancel()


class Children:
    """
    The child sinks of one factory, so that no child outlives it.
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
        Kill all remaining children; nothing waits for them any longer.
        """
        for sink in self._sinks:
            sink.kill()
        self._sinks = []
