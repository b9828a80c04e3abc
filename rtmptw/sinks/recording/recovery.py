"""
Finishes recordings that were not: the disk was full, the server died, the power
went. Everything here blocks: it runs in a lane.
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
#: What the record sink leaves unfinished, beside FLV.
_CONTAINERS = (".mp4.part", ".mkv.part", ".ts.part")
#: The largest metadata tag we ever make.
_MAX_RESERVE = 2 * MAX_METADATA + BASE_RESERVE + INDEX_RESERVE
#: How many bytes are looked at together when the rest of a file may be all zeros.
_BLOCK = 1024 * 1024
#: How often a progress line is written, and how long nobody wants one, in seconds.
_PROGRESS_SECONDS = 1.0
#: Looking at the clock costs more than stepping over a tag.
_TAGS_PER_LOOK = 1000


class Verdict(Enum):
    """
    What became of a C{.part}.
    """

    #: It is a whole recording now.
    FINISHED = "finished"
    #: It held no frame, and is gone.
    REMOVED = "removed"
    #: Somebody is writing it, or it is gone already: nothing was done.
    BUSY = "busy"
    #: It is not one of ours: nothing was done.
    FOREIGN = "foreign"


@dataclass(frozen=True, slots=True)
class Recovered:
    """
    @ivar path: the C{.part}.
    @ivar verdict: what became of it.
    @ivar finished: the recording, if it is one now.
    @ivar cut: the bytes after the last whole tag that were cut off.
    @ivar why: for a foreign one, what speaks against it.
    """

    path: str
    verdict: Verdict
    finished: Finished | None = None
    cut: int = 0
    why: str = ""


def findParts(directory: str, suffix: str = "") -> list[str]:
    """
    @param suffix: how their names end; unless given, any C{.part} will do that the
        record sink does not see to.

    @return: every such file under the directory, in order of name; links to other
        places are not followed.
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
    A line on a terminal that says how far a long recovery is.
    """

    def __init__(
        self,
        terminal: TextIO | None,
        total: int,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        @param terminal: where to; nothing is written if it is none (a pipe, a log).
        @param total: the bytes there are to walk over.
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
        The walk is at C{position} of the current file.
        """
        if self._terminal is not None and self._seconds() >= self._next:
            self._next = self._seconds() + _PROGRESS_SECONDS
            self._shown = True
            walked = self._done + position
            percent = 100 * walked // max(self._total, 1)
            self._terminal.write(
                f"\rfinishing recordings: {walked} of {self._total} bytes, {percent}% "
            )
            self._terminal.flush()

    def passed(self, size: int) -> None:
        """
        A file of C{size} bytes is done.
        """
        self._done += size

    def end(self) -> None:
        """
        Leave the line.
        """
        if self._terminal is not None and self._shown:
            self._terminal.write("\n")
            self._terminal.flush()


def sizeOf(paths: list[str]) -> int:
    """
    @return: the bytes of those files that are there.
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
    Finish one C{.part}, unless somebody holds its lock.

    @raise OSError: if that cannot be done.
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
            # Without locks nobody can tell whether it is being written.
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
    Make the best of an open C{.part} that nobody else writes: cut it after its last
    whole tag, complete the head, give it its name; or remove it if it holds nothing.

    @raise OSError: if that cannot be done.
    """
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or not path.endswith(_SUFFIXES):
        return Recovered(path, Verdict.FOREIGN, why="it is no recording of ours")
    size = status.st_size
    read = partial(_read, descriptor)
    head = read(0, flvfile.FIRST_TAG + flvfile.TAG_HEADER_SIZE + flvfile.WALK_PREFIX)
    if not _mayBeOurs(head):
        return Recovered(path, Verdict.FOREIGN, why="it is no recording of ours")
    contents = Contents()
    reserve = 0
    end = flvfile.FIRST_TAG
    clock = 0
    for number, mark in enumerate(flvfile.walk(read, size)):
        if mark.position == flvfile.FIRST_TAG:
            reserve = mark.size
        else:
            # The field has 32 bits, a recording may go on.
            clock += _signed(mark.timestamp - clock)
            if mark.kind != FrameKind.DATA:
                frame = _frameAt(read, mark, clock)
                if isMedia(frame):
                    # A damaged one may be before the beginning.
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
        return Recovered(path, Verdict.FOREIGN, why="it is damaged at its beginning")
    if not BASE_RESERVE <= reserve <= _MAX_RESERVE:
        return Recovered(path, Verdict.FOREIGN, why="its metadata is not ours")
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
    @return: the frame of a tag, with no more of its body than it takes to tell what
        it is.
    """
    kind = FrameKind(mark.kind)
    frame = flv.frameFromMessage(kind, timestamp, mark.prefix)
    if frame.role is Role.UNKNOWN and mark.size > flvfile.WALK_PREFIX:
        # Several tracks in one body: their headers are all over it.
        body = read(mark.position + flvfile.TAG_HEADER_SIZE, mark.size)
        frame = flv.frameFromMessage(kind, timestamp, body)
    return frame


def _kept(body: bytes) -> Properties:
    # The power may have gone while the head was rewritten: then there is no telling
    # what the encoder said, and the recording is worth more.
    return encoderProperties(body, _MAX_RESERVE) or []


def _mayBeOurs(head: bytes) -> bool:
    """
    @return: whether a file that begins so, and maybe ends there, is one of ours.
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
    @return: whether there is nothing at C{position} but a tag of which the end is
        missing, or zeros where it should be.
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
    # pread gives less only at the end, or when a signal comes in a network's way.
    while len(data) < size:
        more = disk.readAt(descriptor, size - len(data), position + len(data))
        if not more:
            break
        data += more
    return data


def _signed(difference: int) -> int:
    """
    @return: a difference of two 32 bit clocks as the shorter way round.
    """
    return (difference + 2**31) % 2**32 - 2**31
