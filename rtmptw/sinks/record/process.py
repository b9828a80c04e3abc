"""
Containers that FFmpeg writes, in a child process: FFmpeg gets untrusted input, which
may crash its process.

Everything here blocks: it runs in a lane.
"""

import json
import os
import random
import time
from collections.abc import Callable, Mapping

from twisted.logger import Logger

from rtmptw.backoff import Backoff
from rtmptw.errors import SinkError
from rtmptw.frames import FrameKind
from rtmptw.remux.container import Counts
from rtmptw.remux.heads import Head, TrackError, TrackKey
from rtmptw.samples import Sample
from rtmptw.sinks.asked import AskedProcess
from rtmptw.sinks.child import GOOD_LIFE, JITTER
from rtmptw.sinks.disk import nameless
from rtmptw.sinks.process import Lines
from rtmptw.sinks.wire import (
    Kind,
    jsonMessage,
    message,
    sampleMessage,
)

_PROGRAM = "rtmptw.sinks.record.program"


class OpenFile:
    """
    The file that a child writes to.

    @ivar descriptor: its descriptor.
    @ivar path: its name.
    @ivar size: its size in bytes, as last reported by the child.
    """

    def __init__(self, descriptor: int, path: str = "") -> None:
        self.descriptor = descriptor
        self.path = path
        self.size = 0


class ContainerProcess:
    """
    One container file, written by a child. If the child dies, what it has written is
    kept, and all further samples for the file are lost.

    @ivar counts: what the child last reported, plus the bytes given to it since.
    @ivar process: the child.
    @ivar lost: samples given to the child but not written.
    @ivar lostBytes: the bytes of those samples.
    """

    def __init__(
        self,
        file: OpenFile,
        container: str,
        options: Mapping[str, str],
        heads: Mapping[TrackKey, Head],
        base: int,
        lines: Lines,
    ) -> None:
        """
        Start the child, and wait until it has begun the file.

        @param container: FFmpeg's name for the format.
        @param options: options of the muxer.
        @param heads: the tracks, in order.
        @param base: the timestamp that becomes 0, in ms.
        @param lines: logs the child's output.

        @raise TrackError: if FFmpeg rejects one of the tracks.

        @raise SinkError: if FFmpeg cannot write the container.

        @raise OSError: if the child cannot be started.
        """
        self.counts = Counts()
        self._written = Counts()
        self.lost = 0
        self.lostBytes = 0
        self._file = file
        self._heads = heads
        # Samples since the file last grew: FFmpeg buffers samples, too.
        self._samples = 0
        self._sampleBytes = 0
        self.process = AskedProcess(_PROGRAM, lines, (file.descriptor,))
        order = {
            "path": file.path,
            "descriptor": file.descriptor,
            "format": container,
            "options": dict(options),
            "base": base,
            "heads": [
                [
                    int(kind),
                    track,
                    head.codec.value,
                    head.config is not None,
                    head.first is not None,
                ]
                for (kind, track), head in heads.items()
            ],
        }
        self._pending = [jsonMessage(Kind.ORDER, order)]
        for head in heads.values():
            self._pending += [
                sampleMessage(sample)
                for sample in (head.config, head.first)
                if sample is not None
            ]
        self._ask(b"")

    @property
    def how(self) -> str:
        """
        How the child ended, if it ended early; otherwise empty.
        """
        return self.process.how

    def takes(self, key: TrackKey, head: Head) -> bool:
        """
        @return: C{False}: FFmpeg's muxers have to know all tracks at the beginning.
        """
        return False

    def write(self, sample: Sample) -> None:
        """
        Buffer a coded sample for the child.
        """
        if self.how:
            self.lost += 1
            self.lostBytes += len(sample.data)
        else:
            self._samples += 1
            self._sampleBytes += len(sample.data)
            # For the size limit; the child reports which samples it has refused.
            self.counts.bytes += len(sample.data)
            self._pending.append(sampleMessage(sample))

    def flush(self) -> None:
        """
        Make the child write all samples so far.

        @raise SinkError: if that fails, because the disk is full for example.
        """
        if not self.how:
            self._ask(message(Kind.FLUSH))

    def finish(self) -> None:
        """
        Make the child complete the file.

        @raise SinkError: as for L{flush}.
        """
        if not self.how:
            self._ask(message(Kind.FINISH))
            self.process.close()

    def abandon(self) -> None:
        """
        Kill the child.
        """
        if not self.how:
            self.process.close(kill=True)

    def _ask(self, question: bytes) -> None:
        """
        Send the buffered samples and a request, and handle the answer.
        """
        data = b"".join([*self._pending, question])
        self._pending = []
        answer = self.process.ask(data)
        if answer is None:
            self._lose()
            return
        kind, body = answer
        if kind is Kind.FAILED:
            self.process.close()
            raise SinkError(body.decode("utf-8", "replace"))
        try:
            said = json.loads(body)
            if kind is Kind.UNFIT:
                key = FrameKind(said[0]), int(said[1])
                self.process.close()
                raise TrackError(key, self._heads[key].codec, str(said[2]))
            self.counts = Counts(**said["counts"])
            self._written = Counts(**said["counts"])
            size = int(said["size"])
        except (ValueError, TypeError, LookupError):
            self.process.die("sent an invalid answer", kill=True)
            self._lose()
            return
        if size != self._file.size:
            self._file.size = size
            self._samples = self._sampleBytes = 0

    def _lose(self) -> None:
        self.counts = self._written
        self.lost += self._samples
        self.lostBytes += self._sampleBytes


class ContainerProcesses:
    """
    The successive children of one recording.
    """

    _log = Logger()

    def __init__(
        self,
        name: str,
        label: str,
        seconds: Callable[[], float] = time.monotonic,
        rand: Callable[[], float] = random.random,
    ) -> None:
        """
        @param name: the stream's name.
        @param label: the child's name in the log.
        @param seconds: the monotonic clock.
        @param rand: returns random numbers from 0 to 1.
        """
        self._name = name
        self._label = label
        self._seconds = seconds
        self._lines = Lines(seconds, name, label)
        self._backoff = Backoff(rand, 1.0, 1 + JITTER)
        self._current: ContainerProcess | None = None
        self._isTold = False
        self._path = ""
        self._goOnAt = 0.0

    def begin(
        self,
        file: OpenFile,
        container: str,
        options: Mapping[str, str],
        heads: Mapping[TrackKey, Head],
        base: int,
    ) -> ContainerProcess:
        """
        Start a L{ContainerProcess}, with the same arguments. If a track makes the child
        die, find out which.

        @raise TrackError: as for L{ContainerProcess}, or if a track makes the child
            die.
        """
        for head in heads.values():
            head.complete()
        self._isTold = False
        self._path = file.path
        self._current = None
        current = ContainerProcess(file, container, options, heads, base, self._lines)
        if current.how:
            self._blame(container, options, heads)
        self._current = current
        return current

    def _blame(
        self,
        container: str,
        options: Mapping[str, str],
        heads: Mapping[TrackKey, Head],
    ) -> None:
        """
        Start a child for each track alone, with a file without a name.

        @raise TrackError: for the first track that makes its child die.
        """
        for key, head in heads.items():
            descriptor = nameless("trial")
            try:
                trial = ContainerProcess(
                    OpenFile(descriptor),
                    container,
                    options,
                    {key: head},
                    0,
                    self._lines,
                )
                trial.abandon()
            finally:
                os.close(descriptor)
            if trial.how:
                raise TrackError(
                    key, head.codec, f"it makes FFmpeg's process fail: {trial.how}"
                )

    @property
    def isOver(self) -> bool:
        """
        Whether the last child has died, and it is time to try another.
        """
        current = self._current
        return (
            current is not None
            and bool(current.how)
            and self._isTold
            and self._seconds() >= self._goOnAt
        )

    def lost(self) -> tuple[int, int]:
        """
        Log that the child has died, unless that was logged already.

        @return: the number of samples lost since the last call, and their bytes.
        """
        current = self._current
        if current is None:
            return 0, 0
        if current.how and not self._isTold:
            self._isTold = True
            if current.process.seconds >= GOOD_LIFE:
                self._backoff.reset()
            wait = self._backoff.next()
            self._goOnAt = self._seconds() + wait
            self._log.error(
                "{name}: {label}: {how} after {seconds:.1f} s, {lost} frames lost. "
                "{path} is kept up to there; another file begins with the next key "
                "frame after {wait:.1f} s",
                name=self._name,
                label=self._label,
                how=current.how,
                seconds=current.process.seconds,
                lost=current.lost,
                path=self._path,
                wait=wait,
            )
        lost, current.lost = current.lost, 0
        size, current.lostBytes = current.lostBytes, 0
        return lost, size
