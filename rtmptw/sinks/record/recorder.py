"""
Records one stream to container files. Everything here blocks: it runs in a lane.
"""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from rtmptw.errors import SinkError
from rtmptw.frames import Codec, Frame, StreamInfo
from rtmptw.remux.container import Container, Counts
from rtmptw.remux.heads import Head, TrackError, TrackKey
from rtmptw.remux.kinds import ContainerKind, codecName
from rtmptw.remux.mp4 import MP4
from rtmptw.remux.remuxer import Remuxer
from rtmptw.sinks import disk
from rtmptw.sinks.naming import PART_SUFFIX, giveFinalName
from rtmptw.sinks.naming import Template as NameTemplate
from rtmptw.sinks.record.process import ContainerProcesses, OpenFile
from rtmptw.sinks.recording.part import NO_LOCKS, openPart, rewrite, syncDirectory
from rtmptw.sinks.recording.recovery import findParts

#: How long frames are collected before they are passed to FFmpeg, and how long FFmpeg
#: keeps them to interleave the tracks, in ms. If the server is killed, both are lost,
#: in addition to the incomplete fragment.
COLLECTED = 100
HELD_BACK = 200

#: The recovery of another sink locks each unfinished file for a moment.
_LOCK_TRIES = 5
_LOCK_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class ContainerRecording:
    """
    The options of C{--sink=record:...}.

    @ivar directory: the directory for recordings; all files are within it.
    @ivar template: the file names within it.
    @ivar container: the container format.
    @ivar rotate: ms of media after which a new file begins; 0 for never.
    @ivar maxSize: the size that a file should not exceed, in bytes of media; 0 for no
        limit.
    @ivar fragment: ms of media that are lost at most if the server is killed.
    """

    directory: str
    template: NameTemplate
    container: ContainerKind
    rotate: int = 0
    maxSize: int = 0
    fragment: int = 1000

    @property
    def collected(self) -> int:
        """
        How long frames are collected, in ms. For MP4 it is a whole fragment: passing
        frames on earlier gains nothing.
        """
        isMP4 = self.container.name == "mp4"
        return self.fragment - COLLECTED if isMP4 else COLLECTED


@dataclass(frozen=True, slots=True)
class Recorded:
    """
    A complete recording with its final name.

    @ivar why: how the tracks changed, if that ended it; otherwise empty.
    """

    path: str
    size: int
    counts: Counts
    why: str = ""


@dataclass(slots=True)
class Outcome:
    """
    The result of writing or finishing.

    @ivar leftOut: a sentence for each codec that is left out.
    @ivar failure: what went wrong; empty if nothing did.
    @ivar path: the file that it went wrong with.
    @ivar lost: frames lost because a child process died, including those until the next
        one started.
    @ivar lostBytes: the bytes of those frames.
    """

    recorded: list[Recorded] = field(default_factory=list)
    leftOut: list[str] = field(default_factory=list)
    failure: str = ""
    path: str = ""
    lost: int = 0
    lostBytes: int = 0


class RecordFile(OpenFile):
    """
    The file that FFmpeg writes to. It buffers all data until it is flushed, so that
    only L{flush} can fail on a full disk.

    It replaces FFmpeg's own file I/O because PyAV before 19 holds the GIL while FFmpeg
    opens a file or writes its header.

    @ivar descriptor: the open file.
    @ivar path: its name, which ends in C{.part}.
    @ivar size: its size in bytes.
    @ivar closed: whether it is closed; data written afterwards is dropped.
    """

    def __init__(self, descriptor: int, path: str) -> None:
        """
        @param descriptor: the open file.
        """
        super().__init__(descriptor, path)
        self.name = path
        self.closed = False
        self._position = 0
        self._pending: list[tuple[int, list[bytes]]] = []
        self._end = -1

    @classmethod
    def make(cls, wanted: str) -> "RecordFile":
        """
        Create a file.

        @param wanted: the preferred final name.

        @raise OSError: if that fails.
        """
        return cls(*openPart(wanted))

    def write(self, data: bytes) -> int:
        """
        Buffer data.
        """
        if not self.closed:
            if self._position != self._end:
                self._pending.append((self._position, []))
            self._pending[-1][1].append(data)
            self._end = self._position + len(data)
            self.size = max(self.size, self._end)
        self._position += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """
        Move the position.
        """
        if whence == os.SEEK_CUR:
            offset += self._position
        elif whence == os.SEEK_END:
            offset += self.size
        self._position = offset
        return offset

    def tell(self) -> int:
        """
        @return: the position.
        """
        return self._position

    def flush(self) -> None:
        """
        Write the buffered data.

        @raise OSError: if that fails.
        """
        pending, self._pending = self._pending, []
        self._end = -1
        for position, pieces in pending:
            rewrite(self.descriptor, b"".join(pieces), position)

    def finish(self) -> str:
        """
        Write the buffered data, sync it to disk, and give the file its final name.

        @return: the name.

        @raise OSError: if that fails.
        """
        self.flush()
        os.fsync(self.descriptor)
        disk.release(self.descriptor)
        path = giveFinalName(self.path)
        syncDirectory(os.path.dirname(path))
        self.close()
        return path

    def close(self) -> None:
        """
        Close the file; that releases the lock.
        """
        if not self.closed:
            self.closed = True
            os.close(self.descriptor)

    def remove(self) -> None:
        """
        Close and remove the file, which contains nothing.
        """
        disk.release(self.descriptor)
        os.unlink(self.path)
        self.close()


class Recorder:
    """
    Records one stream, to one file or to several.
    """

    def __init__(
        self,
        recording: ContainerRecording,
        stream: StreamInfo,
        now: Callable[[], datetime],
    ) -> None:
        """
        @param now: the wall clock, for the names of later parts.
        """
        self._recording = recording
        self._stream = stream
        self._now = now
        self._parts = 0
        self._file: RecordFile | None = None
        self._container: Container | None = None
        self._outcome = Outcome()
        self._processes = ContainerProcesses(
            stream.name, f"record {recording.container.name}"
        )
        codecs = recording.container.codecs
        # The remuxer refers to our methods. Setting it to None at the end breaks the
        # cycle: both are freed at once, with the remuxer's samples, and not only by the
        # garbage collector.
        self._remuxer: Remuxer | None = Remuxer(
            self._begin, self._end, self._isFull, codecs, self._leaveOut
        )

    def write(self, frames: list[Frame]) -> Outcome:
        """
        Write the next frames of the stream.
        """
        return self._perform(lambda: self._writeAll(frames))

    def finish(self) -> Outcome:
        """
        Complete the file and give it its final name.
        """
        assert self._remuxer is not None
        outcome = self._perform(self._remuxer.finish)
        self._remuxer = None
        return outcome

    def _writeAll(self, frames: list[Frame]) -> None:
        remuxer = self._remuxer
        assert remuxer is not None
        for frame in frames:
            remuxer.write(frame)
        if self._container is not None:
            self._container.flush()

    def _perform(self, work: Callable[[], None]) -> Outcome:
        self._outcome = outcome = Outcome()
        try:
            work()
        except (OSError, SinkError) as error:
            outcome.failure = getattr(error, "strerror", "") or str(error)
            self._giveUp(outcome)
        except BaseException:
            # A bug: leave the file to the next start of the server, but release its
            # lock and stop the child that writes it.
            if self._container is not None:
                self._container.abandon()
            if self._file is not None:
                self._file.close()
            raise
        outcome.lost, outcome.lostBytes = self._processes.lost()
        return outcome

    def _giveUp(self, outcome: Outcome) -> None:
        """
        Stop recording; keep what is written, which can be played.
        """
        file, self._file = self._file, None
        self._container = None
        if file is not None:
            outcome.path = file.path
            file.close()
        if self._remuxer is not None:
            self._remuxer.close()
            self._remuxer = None
        if file is not None:
            try:
                size = os.stat(file.path).st_size
                if size:
                    outcome.path = giveFinalName(file.path)
                else:
                    os.unlink(file.path)
            except OSError:
                # The next start of the server tries again.
                pass

    def _begin(self, heads: Mapping[TrackKey, Head], base: int) -> Container:
        recording, stream = self._recording, self._stream
        self._parts += 1
        start = stream.startedAt if self._parts == 1 else self._now()
        name = recording.template.path(stream.app, stream.stream, start, self._parts)
        file = self._file = RecordFile.make(os.path.join(recording.directory, name))
        try:
            self._container = _beginContainer(
                recording, self._processes, file, heads, base
            )
        except TrackError:
            # The remuxer tries again without that track.
            file.remove()
            self._file = None
            self._parts -= 1
            raise
        return self._container

    def _end(self, container: Container, why: str) -> None:
        file = self._file
        assert file is not None
        self._container = None
        container.finish()
        counts = container.counts
        if counts.packets:
            path = file.finish()
            self._outcome.recorded.append(Recorded(path, file.size, counts, why))
        else:
            file.remove()
        self._file = None

    def _leaveOut(self, codec: Codec, why: str) -> None:
        name = codecName(codec)
        reason = why or self._recording.container.refusal(codec)
        self._outcome.leftOut.append(f"{name} is left out: {reason}")

    def _isFull(self, milliseconds: int, size: int) -> bool:
        rotate, maxSize = self._recording.rotate, self._recording.maxSize
        return (
            0 < rotate <= milliseconds or 0 < maxSize <= size or self._processes.isOver
        )


def _beginContainer(
    recording: ContainerRecording,
    processes: ContainerProcesses,
    file: RecordFile,
    heads: Mapping[TrackKey, Head],
    base: int,
) -> Container:
    """
    @return: the writer of the container.

    @raise SinkError: if the container cannot hold the tracks.

    @raise OSError: if the file cannot be written.
    """
    kind = recording.container
    if kind.name == "mp4":
        return MP4(file, heads, base, recording.fragment - COLLECTED, COLLECTED)
    fragment = max(recording.fragment - COLLECTED - HELD_BACK, 1)
    return processes.begin(file, kind.format, kind.options(fragment), heads, base)


def partsOf(directory: str, container: ContainerKind) -> list[str]:
    """
    @return: the unfinished recordings of a container under a directory.
    """
    return findParts(directory, f".{container.name}{PART_SUFFIX}")


def recoverContainer(path: str, container: ContainerKind) -> str:
    """
    Give an unfinished recording its final name, unless it is being written. An MP4 file
    is cut after its last complete fragment; the other formats can be played unchanged.

    @return: a sentence for the log; empty if there is nothing to do.

    @raise OSError: if that fails.
    """
    try:
        descriptor = os.open(path, disk.OLD)
    except FileNotFoundError:
        return ""
    try:
        if not _lock(descriptor, path):
            return ""
        size = os.fstat(descriptor).st_size
        end = _wholeBoxes(descriptor, size) if container.name == "mp4" else size
        if not end:
            disk.release(descriptor)
            os.unlink(path)
            return f"removed {path}: it contains no frames"
        if end < size:
            os.ftruncate(descriptor, end)
        os.fsync(descriptor)
        disk.release(descriptor)
        final = giveFinalName(path)
        return f"recovered {final}: {end} bytes"
    finally:
        os.close(descriptor)


def _lock(descriptor: int, path: str) -> bool:
    for _ in range(_LOCK_TRIES):
        try:
            disk.lock(descriptor)
            return os.fstat(descriptor).st_ino == os.lstat(path).st_ino
        except BlockingIOError:
            time.sleep(_LOCK_SECONDS)
        except FileNotFoundError:
            return False
        except OSError as error:
            if error.errno in NO_LOCKS:
                # Without locks we cannot tell whether it is being written.
                return False
            raise
    return False


def _wholeBoxes(descriptor: int, size: int) -> int:
    """
    @return: where the last complete fragment of an MP4 file ends; 0 if there is none.
    """
    position = end = 0
    while True:
        head = disk.readAt(descriptor, 16, position)
        if len(head) < 8:
            return end
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        if length < 8 or position + length > size:
            return end
        position += length
        if head[4:8] in (b"mdat", b"mfra"):
            end = position
