"""
An FLV file that is being written. Everything here blocks: it runs in a lane.
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

#: Errors of file systems without locks; we write all the same.
NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})


#: The largest file that is copied to remove unused index space (takes less than a
#: second), and the smallest saving that is worth it, in bytes.
MAX_COPIED = 32 * 1024 * 1024
LEAST_SAVED = 4096
#: Flag to create a file without a name; 0 if the system cannot do that.
_NAMELESS = getattr(os, "O_TMPFILE", 0)


@dataclass(frozen=True, slots=True)
class Finished:
    """
    A complete recording with its final name.

    @ivar path: its path.
    @ivar seconds: its duration.
    @ivar frames: the number of coded audio and video frames.
    @ivar size: its size in bytes.
    """

    path: str
    seconds: float
    frames: int
    size: int


def writeAll(descriptor: int, data: bytes) -> None:
    """
    Write all the data; write(2) may write only a part of it.

    @raise OSError: as write(2).
    """
    # For a regular file, a partial write means that the disk is full or a limit is
    # reached: the next call raises that error.
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def rewrite(descriptor: int, data: bytes, position: int) -> None:
    """
    Overwrite data at a position.

    @raise OSError: as pwrite(2).
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
    Write the final metadata tag and flags at the beginning of the file, and sync it to
    disk.

    @param kept: the encoder's properties.
    @param reserve: the size of the metadata tag's body.

    @raise OSError: if that fails.
    """
    rewrite(descriptor, metadataTag(kept, contents, reserve), flvfile.FIRST_TAG)
    flags = flvfile.flags(contents.hasAudio, contents.hasVideo)
    rewrite(descriptor, flags, flvfile.FLAGS_OFFSET)
    os.fsync(descriptor)


def nameFinished(descriptor: int, partPath: str, contents: Contents) -> Finished:
    """
    Give a finished file its final name.

    @param descriptor: the open file. The caller must still close it; it may be
        unusable.

    @raise OSError: if that fails.
    """
    disk.release(descriptor)
    path = giveFinalName(partPath)
    syncDirectory(os.path.dirname(path))
    return Finished(path, contents.duration / 1000, contents.frames, contents.size)


def syncDirectory(directory: str) -> None:
    """
    Sync a directory to disk, if the system and the file system can.
    """
    # Not every system can do that; the file itself is safe.
    with suppress(OSError):
        flags = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0)
        descriptor = os.open(directory or ".", flags)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def openPart(wanted: str) -> tuple[int, str]:
    """
    Create and lock a C{.part} file; neither its name nor the final one exists yet.

    @param wanted: the preferred final name.

    @return: the open file and its name.

    @raise OSError: if that fails.
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
    One file of a recording. It is created, locked and named C{.part} at the first
    write.

    @ivar path: its name while it is written; before the first write, its name if that
        is not taken.
    @ivar descriptor: the open file; C{None} before the first write and after the end.
    """

    def __init__(self, path: str, kept: Properties, reserve: int) -> None:
        """
        @param path: the preferred final name.
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
        Append data.

        @raise OSError: if that fails; some of the data may be in the file.
        """
        if self.descriptor is None:
            self.descriptor, self.path = openPart(self._wanted)
        writeAll(self.descriptor, b"".join(pieces))

    def finish(self, contents: Contents) -> Finished:
        """
        Complete the metadata, close the file, and give it its final name.

        @raise OSError: if that fails; L{close} must still be called.
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
        Close the file, if open; that releases the lock.
        """
        if self.descriptor is not None:
            descriptor, self.descriptor = self.descriptor, None
            os.close(descriptor)


def compact(
    descriptor: int, path: str, kept: Properties, contents: Contents, reserve: int
) -> tuple[int, int]:
    """
    Remove unused index space from a short file by replacing it with a shorter copy. If
    that fails, the file is unchanged.

    @param path: its name.
    @param kept: the encoder's properties.
    @param reserve: the size of the metadata tag's body.
    @return: the open and locked file, and the size of its metadata tag's body.
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
        # Only after the copy is complete. Python makes link(2) follow the symbolic link
        # only if it is given the descriptor of a directory.
        os.link(f"/proc/self/fd/{copy}", aside, src_dir_fd=copy)
        os.rename(aside, path)
    except OSError:
        # The disk is full, or the file system cannot create files without a name.
        contents.move(saved)
        if copy >= 0:
            os.close(copy)
            with suppress(OSError):
                os.unlink(aside)
        return descriptor, reserve
    return copy, needed


def lock(descriptor: int) -> None:
    """
    Lock a file, if the file system supports locks.

    @raise OSError: if another process holds the lock.
    """
    try:
        disk.lock(descriptor)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise


def _lockNew(descriptor: int, path: str) -> bool:
    """
    @return: C{False} if a recovery in another process locked the new file first; it may
        have removed it.
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
