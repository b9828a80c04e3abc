"""
Containers that are written by FFmpeg, in a process of their own: FFmpeg gets what
strangers sent, and may end its process for it.

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

    @ivar descriptor: of it.
    @ivar path: its name.
    @ivar size: its bytes, as far as the child has said so.
    """

    def __init__(self, descriptor: int, path: str = "") -> None:
        self.descriptor = descriptor
        self.path = path
        self.size = 0


class ContainerProcess:
    """
    One container, written by a child. If that dies, what is written stays, and what
    comes until the end of the container is lost.

    @ivar counts: what was written when the child last said so; the bytes of what it
        has got since are in it.
    @ivar process: the child.
    @ivar lost: samples that it was given and has not written.
    @ivar lostBytes: of those.
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
        Start the child, and wait until it has begun.

        @param container: FFmpeg's name of the format.
        @param options: of the muxer.
        @param heads: the tracks, in order.
        @param base: the timestamp that becomes 0, in ms.
        @param lines: what the child says.

        @raise TrackError: if FFmpeg does not take one of the tracks.

        @raise SinkError: if it does not take them.

        @raise OSError: if there can be no child.
        """
        self.counts = Counts()
        self._written = Counts()
        self.lost = 0
        self.lostBytes = 0
        self._file = file
        self._heads = heads
        # Samples since the file last grew: FFmpeg collects them, too.
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
        How the child ended, if it did so before its time; empty else.
        """
        return self.process.how

    def takes(self, key: TrackKey, head: Head) -> bool:
        """
        FFmpeg's muxers know their tracks from the beginning on.
        """
        return False

    def write(self, sample: Sample) -> None:
        """
        Keep a coded sample for the child.
        """
        if self.how:
            self.lost += 1
            self.lostBytes += len(sample.data)
        else:
            self._samples += 1
            self._sampleBytes += len(sample.data)
            # For whoever asks how full it is; the child knows what it has refused.
            self.counts.bytes += len(sample.data)
            self._pending.append(sampleMessage(sample))

    def flush(self) -> None:
        """
        Have the child write what there is.

        @raise SinkError: if it cannot, because the disk is full for example.
        """
        if not self.how:
            self._ask(message(Kind.FLUSH))

    def finish(self) -> None:
        """
        Have the child complete the file.

        @raise SinkError: as L{flush}.
        """
        if not self.how:
            self._ask(message(Kind.FINISH))
            self.process.close()

    def abandon(self) -> None:
        """
        End the child.
        """
        if not self.how:
            self.process.close(kill=True)

    def _ask(self, question: bytes) -> None:
        """
        Send what is kept and a question, and take the answer.
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
            self.process.die("said what it cannot mean", kill=True)
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
    The children of one recording, one after the other.
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
        @param name: of the stream.
        @param label: what to call a child.
        @param seconds: the monotonic clock.
        @param rand: gives numbers from 0 to 1.
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
        As L{ContainerProcess}. If the child dies of a track, that is named.

        @raise TrackError: as L{ContainerProcess}, or because of that.
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
        Let a child begin with each track alone, in a file that nobody has.

        @raise TrackError: if one cannot.
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
                    key, head.codec, f"FFmpeg's process {trial.how} with it"
                )

    @property
    def isOver(self) -> bool:
        """
        Whether the last child has died, and another may be tried.
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
        Log what became of the child, if there is news.

        @return: how many samples were lost since the last call, and their bytes.
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
                "{name}: {label}: {how} after {seconds:.1f} s, and {lost} frames are "
                "lost. What is written of {path} stays; another file begins with a "
                "key frame in {wait:.1f} s",
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
