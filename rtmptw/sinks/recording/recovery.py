"""
Finishes recordings that were interrupted: the disk was full, the server died, the power
failed. Everything here blocks: it runs in a lane.
"""

import os
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import TextIO

from rtmptw.flv import body as flv
from rtmptw.flv import file as flvfile
from rtmptw.frames import Frame, FrameKind, Role
from rtmptw.sinks import disk
from rtmptw.sinks.naming import PART_SUFFIX, SUFFIX
from rtmptw.sinks.recording.contents import (
    BASE_RESERVE,
    INDEX_RESERVE,
    MAX_METADATA,
    Contents,
    Properties,
    encoderProperties,
    isMedia,
    isOurs,
)
from rtmptw.sinks.recording.part import (
    NO_LOCKS,
    Finished,
    compact,
    nameFinished,
    rewriteHead,
)

_KINDS = frozenset(int(kind) for kind in FrameKind)
_SUFFIXES = SUFFIX + PART_SUFFIX
#: The suffixes of the record sink's unfinished files, other than FLV.
_CONTAINERS = (".mp4.part", ".mkv.part", ".ts.part")
#: The largest metadata tag that we ever write.
_MAX_RESERVE = 2 * MAX_METADATA + BASE_RESERVE + INDEX_RESERVE
#: The block size for checking that the rest of a file is all zeros.
_BLOCK = 1024 * 1024
#: The interval of the progress line, and the delay of the first, in seconds.
_PROGRESS_SECONDS = 1.0
#: Reading the clock costs more than skipping a tag: do it once per this many tags.
_TAGS_PER_LOOK = 1000


class Verdict(Enum):
    """
    What was done with a C{.part} file.
    """

    #: It is a complete recording now.
    FINISHED = "finished"
    #: It contained no frames, and was removed.
    REMOVED = "removed"
    #: It is being written, or no longer exists: nothing was done.
    BUSY = "busy"
    #: It is not a recording of ours: nothing was done.
    FOREIGN = "foreign"


@dataclass(frozen=True, slots=True)
class Recovered:
    """
    The result of a recovery.

    @ivar path: the C{.part} file.
    @ivar verdict: what was done with it.
    @ivar finished: the recording, if it is one now.
    @ivar cut: the number of bytes cut off after the last complete tag.
    @ivar why: why it was left alone, if it is not one of ours.
    """

    path: str
    verdict: Verdict
    finished: Finished | None = None
    cut: int = 0
    why: str = ""


def findParts(directory: str, suffix: str = "") -> list[str]:
    """
    @param suffix: what their names end with; if empty, any C{.part} that is not a
        container of the record sink.

    @return: all such files under the directory, sorted by name; symbolic links are not
        followed.
    """
    found: list[str] = []
    for folder, _, names in os.walk(directory):
        for name in names:
            path = os.path.join(folder, name)
            isWanted = (
                name.endswith(suffix)
                if suffix
                else name.endswith(PART_SUFFIX) and not name.endswith(_CONTAINERS)
            )
            if isWanted and not os.path.islink(path):
                found.append(path)
    return sorted(found)


class Progress:
    """
    Shows the progress of a long recovery in one line on a terminal.
    """

    def __init__(
        self,
        terminal: TextIO | None,
        total: int,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        @param terminal: where to write it; nothing is written if it is not a terminal
            (a pipe, a log).
        @param total: the total number of bytes to read.
        @param seconds: the clock.
        """
        self._terminal = terminal if terminal and terminal.isatty() else None
        self._total = total
        self._seconds = seconds
        self._next = seconds() + _PROGRESS_SECONDS
        self._done = 0
        self._shown = False

    def at(self, position: int) -> None:
        """
        Report the position C{position} in the current file.
        """
        if self._terminal is not None and self._seconds() >= self._next:
            self._next = self._seconds() + _PROGRESS_SECONDS
            self._shown = True
            walked = self._done + position
            percent = 100 * walked // max(self._total, 1)
            self._terminal.write(
                f"\rrecovering recordings: {walked} of {self._total} bytes, {percent}% "
            )
            self._terminal.flush()

    def passed(self, size: int) -> None:
        """
        Report that a file of C{size} bytes is done.
        """
        self._done += size

    def end(self) -> None:
        """
        End the line.
        """
        if self._terminal is not None and self._shown:
            self._terminal.write("\n")
            self._terminal.flush()


def sizeOf(paths: list[str]) -> int:
    """
    @return: the total size of those files that exist.
    """
    total = 0
    for path in paths:
        try:
            total += os.lstat(path).st_size
        except FileNotFoundError:
            continue
    return total


def recoverPart(path: str, progress: Progress | None = None) -> Recovered:
    """
    Finish one C{.part} file, unless another process holds its lock.

    @raise OSError: if that fails.
    """
    try:
        descriptor = os.open(path, disk.OLD)
    except FileNotFoundError:
        return Recovered(path, Verdict.BUSY)
    try:
        try:
            disk.lock(descriptor)
            if os.fstat(descriptor).st_ino != os.lstat(path).st_ino:
                return Recovered(path, Verdict.BUSY)
        except (BlockingIOError, FileNotFoundError):
            return Recovered(path, Verdict.BUSY)
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            # Without locks we cannot tell whether it is being written.
            return Recovered(path, Verdict.FOREIGN, why="it cannot be locked")
        size = os.fstat(descriptor).st_size
        recovered = rescue(descriptor, path, progress)
        if progress is not None:
            progress.passed(size)
        return recovered
    finally:
        os.close(descriptor)


def rescue(descriptor: int, path: str, progress: Progress | None = None) -> Recovered:
    """
    Finish an open C{.part} file that nothing else writes to: cut it after its last
    complete tag, complete the metadata, and give it its final name; or remove it if it
    contains no frames.

    @raise OSError: if that fails.
    """
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or not path.endswith(_SUFFIXES):
        return Recovered(path, Verdict.FOREIGN, why="it is not one of our recordings")
    size = status.st_size
    read = partial(_read, descriptor)
    head = read(0, flvfile.FIRST_TAG + flvfile.TAG_HEADER_SIZE + flvfile.WALK_PREFIX)
    if not _mayBeOurs(head):
        return Recovered(path, Verdict.FOREIGN, why="it is not one of our recordings")
    contents = Contents()
    reserve = 0
    end = flvfile.FIRST_TAG
    clock = 0
    for number, mark in enumerate(flvfile.walk(read, size)):
        if mark.position == flvfile.FIRST_TAG:
            reserve = mark.size
        else:
            # The field has 32 bits; a recording may be longer.
            clock += _signed(mark.timestamp - clock)
            if mark.kind != FrameKind.DATA:
                frame = _frameAt(read, mark, clock)
                if isMedia(frame):
                    # A damaged timestamp may be negative.
                    contents.add(frame, max(0, clock), mark.position)
        end = mark.end
        if progress is not None and number % _TAGS_PER_LOOK == 0:
            progress.at(end)
    cut = max(0, size - end)
    if not contents.frames:
        if _isUnfinished(read, end, size):
            disk.release(descriptor)
            os.unlink(path)
            return Recovered(path, Verdict.REMOVED, cut=cut)
        return Recovered(path, Verdict.FOREIGN, why="its beginning is damaged")
    if not BASE_RESERVE <= reserve <= _MAX_RESERVE:
        return Recovered(path, Verdict.FOREIGN, why="its metadata tag is not ours")
    body = read(flvfile.FIRST_TAG + flvfile.TAG_HEADER_SIZE, reserve)
    contents.size = end
    if cut:
        os.ftruncate(descriptor, end)
    kept = _kept(body)
    short, reserve = compact(descriptor, path, kept, contents, reserve)
    try:
        rewriteHead(short, kept, contents, reserve)
        finished = nameFinished(short, path, contents)
        return Recovered(path, Verdict.FINISHED, finished, cut)
    finally:
        if short != descriptor:
            os.close(short)


def _frameAt(
    read: Callable[[int, int], bytes], mark: flvfile.Mark, timestamp: int
) -> Frame:
    """
    @return: the frame of a tag, with only as much of its body as is needed to tell what
        it is.
    """
    kind = FrameKind(mark.kind)
    frame = flv.frameFromMessage(kind, timestamp, mark.prefix)
    if frame.role is Role.UNKNOWN and mark.size > flvfile.WALK_PREFIX:
        # Several tracks in one body: their headers are spread all over it.
        body = read(mark.position + flvfile.TAG_HEADER_SIZE, mark.size)
        frame = flv.frameFromMessage(kind, timestamp, body)
    return frame


def _kept(body: bytes) -> Properties:
    # The power may have failed while the metadata was rewritten: then the encoder's
    # properties are lost, but the recording must not be.
    return encoderProperties(body, _MAX_RESERVE) or []


def _mayBeOurs(head: bytes) -> bool:
    """
    @return: whether a file that begins like this, and may end there, is one of ours.
    """
    start = flvfile.fileHeader(True, True)
    flags = flvfile.FLAGS_OFFSET
    rest = flvfile.TAG_HEADER_SIZE + flvfile.FIRST_TAG
    kind = head[flvfile.FIRST_TAG : flvfile.FIRST_TAG + 1]
    return (
        start.startswith(head[:flags])
        and start[flags + 1 :].startswith(head[flags + 1 : flvfile.FIRST_TAG])
        and kind in (b"", bytes([FrameKind.DATA]))
        and isOurs(head[rest:])
    )


def _isUnfinished(read: Callable[[int, int], bytes], position: int, size: int) -> bool:
    """
    @return: whether there is nothing at C{position} but a truncated tag, or zeros in
        place of a tag or its end.
    """
    head = read(position, flvfile.TAG_HEADER_SIZE)
    if len(head) < flvfile.TAG_HEADER_SIZE:
        return True
    if head[0]:
        if head[0] not in _KINDS or any(head[8:]):
            return False
        position += flvfile.wholeSize(int.from_bytes(head[1:4], "big"))
    while position < size:
        block = read(position, _BLOCK)
        if block.strip(b"\0"):
            return False
        position += len(block)
    return True


def _read(descriptor: int, position: int, size: int) -> bytes:
    data = disk.readAt(descriptor, size, position)
    # pread reads less only at the end of a file, or when a signal interrupts a network
    # file system.
    while len(data) < size:
        more = disk.readAt(descriptor, size - len(data), position + len(data))
        if not more:
            break
        data += more
    return data


def _signed(difference: int) -> int:
    """
    @return: the difference of two 32-bit timestamps as the shorter way around.
    """
    return (difference + 2**31) % 2**32 - 2**31
