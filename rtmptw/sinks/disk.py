"""
File operations that differ between systems: locks, reading and writing at a position,
renaming open files. Everything here blocks.
"""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

fcntl: Any
try:
    fcntl = import_module("fcntl")
except ImportError:
    # Windows.
    fcntl = None

#: Whether an open file can be renamed, removed, and passed to a child: not on Windows.
IS_POSIX = fcntl is not None
#: Flags to create a file for reading and writing; child processes do not inherit it.
NEW = (
    os.O_RDWR
    | os.O_CREAT
    | os.O_EXCL
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)
#: Flags to open an existing file. A FIFO or a symbolic link in its place must not block
#: or mislead us.
OLD = (
    os.O_RDWR
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_BINARY", 0)
)
#: The byte that is locked on Windows: the last that its C library can lock. Others can
#: neither read nor write it there.
_LOCKED_BYTE = 2**31 - 2


@contextmanager
def _at(descriptor: int, position: int) -> Iterator[None]:
    """
    Seek to a position; restore the previous one afterwards.
    """
    before = os.lseek(descriptor, 0, os.SEEK_CUR)
    os.lseek(descriptor, position, os.SEEK_SET)
    try:
        yield
    finally:
        os.lseek(descriptor, before, os.SEEK_SET)


def lock(descriptor: int) -> None:
    """
    Lock a file until it is closed.

    @raise BlockingIOError: if another process holds the lock.
    @raise OSError: if locking fails; the file system may not support locks.
    """
    if fcntl is not None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return
    msvcrt: Any = import_module("msvcrt")
    with _at(descriptor, _LOCKED_BYTE):
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EDEADLK):
                raise BlockingIOError(errno.EAGAIN, "the file is locked") from error
            raise


def nameless(label: str) -> int:
    """
    @param label: a name for it, shown by tools that list a process's open files.
    @return: the descriptor of a new file without a name.
    """
    if hasattr(os, "memfd_create"):
        return os.memfd_create(label)
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def release(descriptor: int) -> None:
    """
    Close the file behind a descriptor on Windows, where an open file cannot be renamed
    or removed. The descriptor itself must still be closed.
    """
    if not IS_POSIX:
        nowhere = os.open(os.devnull, os.O_RDWR)
        os.dup2(nowhere, descriptor, inheritable=False)
        os.close(nowhere)


def readAt(descriptor: int, size: int, position: int) -> bytes:
    """
    @return: at most C{size} bytes from a position on.

    @raise OSError: as pread(2).
    """
    if hasattr(os, "pread"):
        return os.pread(descriptor, size, position)
    with _at(descriptor, position):
        return os.read(descriptor, size)


def writeAt(descriptor: int, data: memoryview, position: int) -> int:
    """
    Write at a position.

    @return: the number of bytes written.

    @raise OSError: as pwrite(2).
    """
    if hasattr(os, "pwrite"):
        return os.pwrite(descriptor, data, position)
    with _at(descriptor, position):
        return os.write(descriptor, data)
