"""
One FLV file on its way to the disk. Everything here blocks: it runs in a lane.
"""

import errno
import os
from contextlib import suppress
from dataclasses import dataclass

from rtmptw.flv import file as flvfile
from rtmptw.sinks import disk
from rtmptw.sinks.naming import PART_SUFFIX, giveFinalName, sameNames
from rtmptw.sinks.recording.contents import (
    Contents,
    Properties,
    metadataTag,
    reserveNeeded,
)

#: File systems that know no locks answer so; we write all the same.
NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})


#: A file of so many bytes is copied for less than a second, to save at least so many.
MAX_COPIED = 32 * 1024 * 1024
LEAST_SAVED = 4096
#: Opens a file that has no name yet, where the system knows such.
_NAMELESS = getattr(os, "O_TMPFILE", 0)


@dataclass(frozen=True, slots=True)
class Finished:
    """
    A recording that is whole and has its name.

    @ivar path: where it is.
    @ivar seconds: its duration.
    @ivar frames: coded audio and video frames in it.
    @ivar size: its bytes.
    """

    path: str
    seconds: float
    frames: int
    size: int


def writeAll(descriptor: int, data: bytes) -> None:
    """
    Write it all, however little of it each call takes.

    @raise OSError: what write(2) says.
    """
    # An ordinary file takes less than it is given only when the disk is full or a
    # limit is reached: the next call then says so.
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def rewrite(descriptor: int, data: bytes, position: int) -> None:
    """
    Write over what is there.

    @raise OSError: what pwrite(2) says.
    """
    rest = memoryview(data)
    while rest:
        written = disk.writeAt(descriptor, rest, position)
        rest = rest[written:]
        position += written


def rewriteHead(
    descriptor: int, kept: Properties, contents: Contents, reserve: int
) -> None:
    """
    Say at the head what the file holds, and see it on the disk.

    @param kept: the encoder's properties.
    @param reserve: the size of the metadata tag's body.

    @raise OSError: if that cannot be done.
    """
    rewrite(descriptor, metadataTag(kept, contents, reserve), flvfile.FIRST_TAG)
    flags = flvfile.flags(contents.hasAudio, contents.hasVideo)
    rewrite(descriptor, flags, flvfile.FLAGS_OFFSET)
    os.fsync(descriptor)


def nameFinished(descriptor: int, partPath: str, contents: Contents) -> Finished:
    """
    Give a finished file its final name.

    @param descriptor: of the file; it is still to be closed, and may be of no use.

    @raise OSError: if that cannot be done.
    """
    disk.release(descriptor)
    path = giveFinalName(partPath)
    syncDirectory(os.path.dirname(path))
    return Finished(path, contents.duration / 1000, contents.frames, contents.size)


def syncDirectory(directory: str) -> None:
    """
    See names on the disk, if the file system can.
    """
    # Not every system can, and the file itself is safe.
    with suppress(OSError):
        flags = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0)
        descriptor = os.open(directory or ".", flags)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def openPart(wanted: str) -> tuple[int, str]:
    """
    Make and lock a C{.part} of which nobody has the name, nor the final one.

    @param wanted: the final name that is wanted.

    @return: the open file and its name.

    @raise OSError: if that cannot be done.
    """
    os.makedirs(os.path.dirname(wanted) or ".", exist_ok=True)
    for path in sameNames(wanted):
        part = path + PART_SUFFIX
        if os.path.lexists(path):
            continue
        try:
            descriptor = os.open(part, disk.NEW, 0o666)
        except FileExistsError:
            continue
        if _lockNew(descriptor, part):
            return descriptor, part
        os.close(descriptor)
    raise AssertionError("sameNames ends by raising")


class FLVPart:
    """
    One file of a recording: made, locked and named C{.part} with the first write.

    @ivar path: the name while it is written; before the first write the one it will
        have if nobody has it.
    @ivar descriptor: the open file; C{None} before the first write and after the end.
    """

    def __init__(self, path: str, kept: Properties, reserve: int) -> None:
        """
        @param path: the final name that is wanted.
        @param kept: the encoder's properties for the metadata.
        @param reserve: the size of the metadata tag's body.
        """
        self.path = path + PART_SUFFIX
        self.descriptor: int | None = None
        self._wanted = path
        self._kept = kept
        self._reserve = reserve

    def write(self, pieces: list[bytes]) -> None:
        """
        Append.

        @raise OSError: if that cannot be done; some of it may be in the file.
        """
        if self.descriptor is None:
            self.descriptor, self.path = openPart(self._wanted)
        writeAll(self.descriptor, b"".join(pieces))

    def finish(self, contents: Contents) -> Finished:
        """
        Complete the head, close, and give the file its name.

        @raise OSError: if that cannot be done; L{close} is still to be called.
        """
        assert self.descriptor is not None
        short, reserve = compact(
            self.descriptor, self.path, self._kept, contents, self._reserve
        )
        if short != self.descriptor:
            os.close(self.descriptor)
            self.descriptor = short
        rewriteHead(short, self._kept, contents, reserve)
        finished = nameFinished(short, self.path, contents)
        self.close()
        return finished

    def close(self) -> None:
        """
        Close what is open; the lock goes with it.
        """
        if self.descriptor is not None:
            descriptor, self.descriptor = self.descriptor, None
            os.close(descriptor)


def compact(
    descriptor: int, path: str, kept: Properties, contents: Contents, reserve: int
) -> tuple[int, int]:
    """
    Give back what is reserved for an index and was not needed, if the file is short:
    its own copy takes its name. What goes wrong leaves it as it is.

    @param path: its name.
    @param kept: the encoder's properties.
    @param reserve: the size of the metadata tag's body.
    @return: what is open now, locked, and the size of the body there.
    """
    needed = reserveNeeded(kept, contents)
    saved = reserve - needed
    if saved < LEAST_SAVED or contents.size > MAX_COPIED or not _NAMELESS:
        return descriptor, reserve
    copy = -1
    aside = path + "~"
    contents.move(-saved)
    try:
        directory = os.path.dirname(path) or "."
        copy = os.open(directory, _NAMELESS | os.O_RDWR | os.O_CLOEXEC, 0o666)
        lock(copy)
        head = metadataTag(kept, contents, needed)
        writeAll(copy, os.pread(descriptor, flvfile.FIRST_TAG, 0) + head)
        position = flvfile.FIRST_TAG + len(head) + saved
        end = contents.size + saved
        while position < end:
            sent = os.sendfile(copy, descriptor, position, end - position)
            if not sent:
                raise OSError(errno.EIO, "the file is shorter than was written")
            position += sent
        # Not before it is whole. Python follows the link only if there is a descriptor
        # of a directory.
        os.link(f"/proc/self/fd/{copy}", aside, src_dir_fd=copy)
        os.rename(aside, path)
    except OSError:
        # A disk that is full, or a file system that has no files without a name.
        contents.move(saved)
        if copy >= 0:
            os.close(copy)
            with suppress(OSError):
                os.unlink(aside)
        return descriptor, reserve
    return copy, needed


def lock(descriptor: int) -> None:
    """
    Lock it, where there are locks.

    @raise OSError: if somebody else has.
    """
    try:
        disk.lock(descriptor)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise


def _lockNew(descriptor: int, path: str) -> bool:
    """
    @return: C{False} if a recovery in another process had the new file before we
        had locked it, and may have removed it.
    """
    try:
        disk.lock(descriptor)
        return os.fstat(descriptor).st_ino == os.lstat(path).st_ino
    except (BlockingIOError, FileNotFoundError):
        return False
    except OSError as error:
        if error.errno in NO_LOCKS:
            return True
        os.close(descriptor)
        raise
