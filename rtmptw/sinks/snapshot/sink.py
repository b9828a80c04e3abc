"""
Writes snapshots of streams to JPEG or PNG files.
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

from rtmptw._pyav.images import IMAGES, parseSize
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

#: The number of calls of L{SnapshotSink.take} that may wait at the same time.
MAX_WAITING = 256


@dataclass(frozen=True, slots=True)
class Snapshots:
    """
    The options of C{--sink=snapshot:...}.

    @ivar directory: the directory for the files.
    @ivar template: the file names within it; its suffix selects the image format,
        C{.jpg} or C{.png}.
    @ivar every: ms of media between two files, plus the time to the next key frame;
        C{None} to write no files, and make images only on request.
    @ivar size: width and height to scale to; C{None} not to scale.
    @ivar process: whether images are made in a child process for each stream.
    """

    directory: str = "snapshots"
    template: Template = field(
        default_factory=lambda: Template("{app}/{stream}", ".jpg")
    )
    every: int | None = 10_000
    size: tuple[int, int] | None = None
    process: bool = False


#: The arguments of C{--sink=snapshot}.
ARGUMENTS = Arguments(
    "snapshot sink",
    Argument(
        "every",
        Number("seconds", 0),
        "write an image at the first key frame after this many seconds of media",
        "10",
    ),
    Argument("format", Choice(IMAGES), "the image format", IMAGES[0]),
    Argument(
        "name",
        Text("TEMPLATE"),
        "the file name in DIRECTORY; the suffix is optional",
        Snapshots().template.text,
    ),
    Argument("size", Text("WxH", parseSize), "the size to scale images to"),
    Argument(
        "process",
        Choice({"no": False, "yes": True}),
        "whether FFmpeg's decoder runs in a child process",
        "no",
    ),
    first=First(Text("DIRECTORY"), "the directory for images", Snapshots().directory),
)


def _take(
    camera: Camera | CameraProcess, frames: list[Frame], now: datetime, path: str
) -> bytes:
    """
    @param path: the file to write; empty for none.
    @return: the image.

    @raise SinkError: if no image can be made.

    @raise OSError: if the file cannot be written.
    """
    image = camera.take(frames, now)
    if path:
        _replace(path, image)
    return image


def _replace(path: str, data: bytes) -> None:
    """
    Write a file atomically: readers find the old or the new one, complete.
    """
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    part = path + PART_SUFFIX
    with open(part, "wb") as file:
        file.write(data)
    os.replace(part, path)


@implementer(IFrameSink)
class SnapshotSink:
    """
    Makes images of one stream: of its key frames or, in a stream without them, of the
    first complete image after a recovery point.

    Frames are decoded only when an image is wanted, in the lane of a L{BatchWriter}.
    The sink keeps just the last key frame (or the frames since the recovery point) and
    the sequence headers, so it is never full.

    @ivar written: the number of files written.
    @ivar failures: the number of images that could not be made or written.
    """

    _log = Logger()

    #: It takes each frame at once: its queue stays empty.
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
        @param snapshots: what to write, and where.
        @param lane: makes the lane to work in.
        @param now: the wall clock, for file names.
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
        # The path and the waiters of the image that is being made.
        self._path = ""
        self._served: list[Deferred[bytes]] = []
        self._isClosed = False
        self._isEnded = False
        self._reason = ""

    def streamStarted(self, stream: StreamInfo, producer: IPushProducer) -> None:
        """
        Prepare the decoder and the writer.
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
        Keep the frame if an image can be made of it, and make the image if it is time.
        """
        if frame.kind is FrameKind.VIDEO and self._clean.follow(frame):
            self._checkTime(frame.timestamp)
            if self._isWanted and self._writer is not None:
                self._writer.flush()

    def streamEnded(self, reason: str) -> "Deferred[None]":
        """
        Finish the image in progress; fail all waiting requests.

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
        Request an image of the latest key frame. To be called in the reactor's thread.

        @return: fires with the bytes of a JPEG or PNG file. Waits for the first key
            frame, if there has been none. Fails with L{SinkError} if the stream has
            ended or cannot be decoded, or if too many requests wait.
        """
        if self._isEnded:
            return fail(SinkError(f"the stream has ended: {self._reason}"))
        if len(self._waiters) >= MAX_WAITING:
            return fail(SinkError(f"{MAX_WAITING} requests already wait for an image"))
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
        # If the timestamps jump back, the stream has a new clock.
        if last is None or timestamp >= last or timestamp < last - every:
            self._next = timestamp + every
            self._isDue = True

    @property
    def _isWanted(self) -> bool:
        """
        Whether an image can be made and is wanted.
        """
        return bool(self._clean.frames) and (self._isDue or bool(self._waiters))

    def _nextPath(self) -> str:
        stream = self._stream
        assert stream is not None
        name = self._snapshots.template.path(
            stream.app, stream.stream, self._now(), self.written + 1
        )
        return os.path.join(self._snapshots.directory, name)

    # Called by the writer.

    def takeBatch(self, isEnding: bool) -> Callable[[], bytes | None] | None:
        """
        @return: a function that makes an image of the latest key frame; at the end, one
            that frees the decoder.
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
        Pass the image to the requests that wait for it.
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
        Log why there is no image, and fail the requests that wait for it.
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
            waiter.errback(SinkError(f"no image: {error}"))
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
        @param snapshots: what to write, and where.
        @param lane: makes the lanes to work in.
        """
        self.snapshots = snapshots
        self._lane = lane
        self._reactor: Any = None

    @classmethod
    def fromString(cls, argstring: str) -> "SnapshotSinkFactory":
        r"""
        Write an image of every stream, replaced every few seconds by a newer one::

            --sink=snapshot[:DIRECTORY][:every=SECONDS][:format=jpg|png]
                  [:name=TEMPLATE][:size=WxH][:process=no|yes]

        The first image is made of the first key frame, the next one of the first key
        frame after that many seconds of media; every=0 makes one of each key frame.
        TEMPLATE is the name of a file in DIRECTORY, with the fields of the file sink
        (--help-sink-type=file), but a file of the same name is replaced.

        start, date, time and epoch are the time of the image, and part is its number:
        with any of these in the name, older images are kept.

        FFmpeg decodes untrusted input. With process=yes it runs in a child process for
        each stream; a crash is logged, and the process is restarted.

        Write a colon in DIRECTORY or TEMPLATE as "\:".

        @raise UsageError: with a one-sentence message, if the arguments are invalid.
        """
        return cls(parseSnapshots(argstring))

    def startFactory(self, reactor: object) -> None:
        """
        @raise SinkError: if files cannot be created in the directory, or a child
            process is wanted and cannot be started.
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
    Parse the arguments of C{--sink=snapshot}.

    @raise UsageError: with a one-sentence message, if they are invalid.
    """
    said = ARGUMENTS.read(argstring)
    return Snapshots(
        said["DIRECTORY"],
        Template(said["name"], f".{said['format']}"),
        milliseconds(said["every"]),
        said["size"],
        said["process"],
    )
