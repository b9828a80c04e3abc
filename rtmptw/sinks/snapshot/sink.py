"""
Keeps pictures of streams as JPEG or PNG files.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IPushProducer
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from rtmptw._pyav.pictures import IMAGES, parseSize
from rtmptw.batches import BatchWriter
from rtmptw.clock import wallClock
from rtmptw.delivery import LATEST, Delivery
from rtmptw.errors import SinkError
from rtmptw.frames import Frame, FrameKind, StreamInfo
from rtmptw.interfaces import IFrameSink, IFrameSinkFactory
from rtmptw.lane import Lane
from rtmptw.plugins.arguments import Argument, Arguments, First
from rtmptw.plugins.sink import FrameSinkFactory
from rtmptw.plugins.values import Choice, Number, Text
from rtmptw.sinks.naming import (
    PART_SUFFIX,
    Template,
    checkDirectory,
    milliseconds,
)
from rtmptw.sinks.process import checkProcesses
from rtmptw.sinks.snapshot.camera import Camera
from rtmptw.sinks.snapshot.process import CameraProcess
from rtmptw.sinks.snapshot.run import Clean

#: Calls of L{SnapshotSink.take} that may wait for one picture.
MAX_WAITING = 256


@dataclass(frozen=True, slots=True)
class Snapshots:
    """
    What C{--sink=snapshot:...} asks for.

    @ivar directory: where files are put.
    @ivar template: their names within it; its suffix says the kind of image, C{.jpg} or
        C{.png}.
    @ivar every: so many ms of media are between two files, and more until the next key
        frame; C{None} to write none, and make images only when asked to.
    @ivar size: width and height; as they are if C{None}.
    @ivar process: whether images are made in a process of its own for each stream.
    """

    directory: str = "snapshots"
    template: Template = field(
        default_factory=lambda: Template("{app}/{stream}", ".jpg")
    )
    every: int | None = 10_000
    size: tuple[int, int] | None = None
    process: bool = False


#: What C{--sink=snapshot} takes.
ARGUMENTS = Arguments(
    "snapshot sink",
    Argument(
        "every",
        Number("seconds", 0),
        "so many of media are between two pictures, and more until the next key frame",
        "10",
    ),
    Argument("format", Choice(IMAGES), "the kind of image", IMAGES[0]),
    Argument(
        "name",
        Text("TEMPLATE"),
        "its name there, the suffix may be left out",
        Snapshots().template.text,
    ),
    Argument("size", Text("WxH", parseSize), "what pictures are scaled to"),
    Argument(
        "process",
        Choice({"no": False, "yes": True}),
        "whether FFmpeg's decoder runs in a process of its own",
        "no",
    ),
    first=First(Text("DIRECTORY"), "the folder of the pictures", Snapshots().directory),
)


def _take(
    camera: Camera | CameraProcess, frames: list[Frame], now: datetime, path: str
) -> bytes:
    """
    @param path: the file to write; empty for none.
    @return: the image.

    @raise SinkError: if there is none.

    @raise OSError: if the file cannot be written.
    """
    image = camera.take(frames, now)
    if path:
        _replace(path, image)
    return image


def _replace(path: str, data: bytes) -> None:
    """
    Write a file so that whoever opens it finds the old one or the new one, whole.
    """
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    part = path + PART_SUFFIX
    with open(part, "wb") as file:
        file.write(data)
    os.replace(part, path)


@implementer(IFrameSink)
class SnapshotSink:
    """
    Takes pictures of one stream: of its key frames, which need no other frames; where
    there are none, of the first picture that is whole after a recovery point.

    Only what an image is wanted of is decoded, in the lane of a L{BatchWriter}. Kept
    are the last key frame (or the pictures since the recovery point) and the codec
    headers, and nothing more; so it is never full.

    @ivar written: how many files were written.
    @ivar failures: how many images could not be made or written.
    """

    _log = Logger()

    #: It takes each frame at once: nothing ever waits.
    delivery: Delivery = LATEST
    failure: str = ""

    def __init__(
        self,
        reactor: Any,
        snapshots: Snapshots,
        lane: Callable[[Any, str], Lane] = Lane,
        now: Callable[[], datetime] = wallClock,
    ) -> None:
        """
        @param reactor: provides C{IReactorThreads}.
        @param snapshots: what to write where.
        @param lane: makes the lane to work in.
        @param now: the wall clock, for names.
        """
        self.written = 0
        self.failures = 0
        self._reactor = reactor
        self._snapshots = snapshots
        self._makeLane = lane
        self._now = now
        self._camera: Camera | CameraProcess | None = None
        self._stream: StreamInfo | None = None
        self._writer: BatchWriter | None = None
        self._clean = Clean()
        self._next: int | None = None
        self._isDue = False
        self._isFailing = False
        self._waiters: list[Deferred[bytes]] = []
        # Of the image that is being made.
        self._path = ""
        self._served: list[Deferred[bytes]] = []
        self._isClosed = False
        self._isEnded = False
        self._reason = ""

    def streamStarted(self, stream: StreamInfo, producer: IPushProducer) -> None:
        """
        Take the stream's name.
        """
        self._stream = stream
        kind = self._snapshots.template.suffix.removeprefix(".")
        size = self._snapshots.size
        if self._snapshots.process:
            self._camera = CameraProcess(kind, size, stream.name)
        else:
            self._camera = Camera(kind, size)
        self._writer = BatchWriter(
            self._reactor, self, f"snapshot {stream.name}", self._makeLane
        )

    def frameReceived(self, frame: Frame) -> None:
        """
        Keep it if a picture can be made with it, and write that if it is time.
        """
        if frame.kind is FrameKind.VIDEO and self._clean.follow(frame):
            self._checkTime(frame.timestamp)
            if self._isWanted and self._writer is not None:
                self._writer.flush()

    def streamEnded(self, reason: str) -> "Deferred[None]":
        """
        Finish what is begun; nobody waits for a picture any more.

        @return: a L{Deferred} that fires when that is done.
        """
        self._isEnded = True
        self._reason = reason
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.errback(SinkError(f"the stream has ended: {reason}"))
        assert self._writer is not None
        done = self._writer.finish() or succeed(None)
        return done.addCallback(self._sayEnd)

    def take(self) -> "Deferred[bytes]":
        """
        Ask for an image of the newest key frame; in the reactor's thread.

        @return: fires with a whole file, JPEG or PNG. Before the first key frame it
            waits for that. Fails with L{SinkError} if there is none: the stream has
            ended, cannot be decoded, or too many wait.
        """
        if self._isEnded:
            return fail(SinkError(f"the stream has ended: {self._reason}"))
        if len(self._waiters) >= MAX_WAITING:
            return fail(SinkError(f"{MAX_WAITING} wait for a picture already"))
        waiter: Deferred[bytes] = Deferred()
        self._waiters.append(waiter)
        if self._isWanted and self._writer is not None:
            self._writer.flush()
        return waiter

    def _checkTime(self, timestamp: int) -> None:
        every = self._snapshots.every
        if every is None:
            return
        last = self._next
        # A clock that was set back is another clock.
        if last is None or timestamp >= last or timestamp < last - every:
            self._next = timestamp + every
            self._isDue = True

    @property
    def _isWanted(self) -> bool:
        """
        Whether there is a picture, and somebody wants its image.
        """
        return bool(self._clean.frames) and (self._isDue or bool(self._waiters))

    def _nextPath(self) -> str:
        stream = self._stream
        assert stream is not None
        name = self._snapshots.template.path(
            stream.app, stream.stream, self._now(), self.written + 1
        )
        return os.path.join(self._snapshots.directory, name)

    # From the writer.

    def takeBatch(self, isEnding: bool) -> Callable[[], bytes | None] | None:
        """
        @return: what makes an image of the newest key frame; at the end, what frees the
            decoder, where it works.
        """
        assert self._writer is not None and self._camera is not None
        if self._isWanted:
            self._path = self._nextPath() if self._isDue else ""
            self._isDue = False
            self._served, self._waiters = self._waiters, []
            frames = self._clean.frames
            return partial(_take, self._camera, frames, self._now(), self._path)
        if isEnding and self._writer.isUsed and not self._isClosed:
            self._isClosed = True
            return self._camera.close
        return None

    def batchWritten(self, image: bytes | None) -> str:
        """
        Give the image to whoever waits for it.
        """
        if image is not None:
            self._isFailing = False
            if self._path:
                self.written += 1
            served, self._served = self._served, []
            for waiter in served:
                waiter.callback(image)
        return ""

    def batchFailed(self, failure: Failure) -> str:
        """
        There is no image this time.
        """
        self.failures += not self._isClosed
        assert self._stream is not None
        error = failure.value
        if not isinstance(error, (SinkError, OSError)):
            # A bug.
            self._log.failure("{name}: no snapshot", failure, name=self._stream.name)
        elif not self._isFailing:
            self._log.error(
                "{name}: no snapshot{path}: {error}",
                name=self._stream.name,
                path=self._path and f" {self._path}",
                error=getattr(error, "strerror", None) or str(error),
            )
        self._isFailing = True
        served, self._served = self._served, []
        for waiter in served:
            waiter.errback(SinkError(f"no picture: {error}"))
        return ""

    def _sayEnd(self, result: None) -> None:
        assert self._stream is not None
        self._log.info(
            "{name}: {written} snapshots{failures}; {reason}",
            name=self._stream.name,
            written=self.written,
            failures=f", {self.failures} failed" if self.failures else "",
            reason=self._reason,
        )


@implementer(IFrameSinkFactory)
class SnapshotSinkFactory(FrameSinkFactory):
    """
    Makes a L{SnapshotSink} for every stream.
    """

    arguments = ARGUMENTS

    def __init__(
        self, snapshots: Snapshots, lane: Callable[[Any, str], Lane] = Lane
    ) -> None:
        """
        @param snapshots: what to write where.
        @param lane: makes the lanes to work in.
        """
        self.snapshots = snapshots
        self._lane = lane
        self._reactor: Any = None

    @classmethod
    def fromString(cls, argstring: str) -> "SnapshotSinkFactory":
        r"""
        Keep a picture of every stream, as an image that is replaced by newer ones::

            --sink=snapshot[:DIRECTORY][:every=SECONDS][:format=jpg|png]
                  [:name=TEMPLATE][:size=WxH][:process=no|yes]

        A picture is taken of the first key frame, and then of the next one after so
        many seconds of media; 0 is each key frame. TEMPLATE is the name of a file in
        DIRECTORY, as the file sink has it (--help-sink-type=file), but a file of the
        same name is replaced.

        start, date, time and epoch are when the picture was taken and part counts them:
        with one of these in the name, older pictures stay.

        FFmpeg decodes what strangers send. With process=yes it does so in a process for
        each stream: one that crashes is named in the log and started again.

        A colon in DIRECTORY or TEMPLATE is written "\:".

        @raise UsageError: with one sentence, if that is not what it is.
        """
        return cls(parseSnapshots(argstring))

    def startFactory(self, reactor: object) -> None:
        """
        @raise SinkError: if no files can be made in the directory, or there can be no
            process and one is wanted.
        """
        if self.snapshots.process:
            checkProcesses("snapshot sink with process=yes")
        checkDirectory(self.snapshots.directory)
        self._reactor = reactor

    def buildSink(self, stream: StreamInfo) -> SnapshotSink:
        """
        @return: a new L{SnapshotSink}.
        """
        return SnapshotSink(self._reactor, self.snapshots, self._lane)


def parseSnapshots(argstring: str) -> Snapshots:
    """
    Understand the arguments of C{--sink=snapshot}.

    @raise UsageError: with one sentence, if that is not what it is.
    """
    said = ARGUMENTS.read(argstring)
    return Snapshots(
        said["DIRECTORY"],
        Template(said["name"], f".{said['format']}"),
        milliseconds(said["every"]),
        said["size"],
        said["process"],
    )
