"""
What systems do to files in different ways: locks, reading and writing at a position,
new names for files that are open. Everything here blocks.
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

#: Whether a file that is open can be renamed, removed, and given to a child: not on
#: Windows.
IS_POSIX = fcntl is not None
#: Opens a new file that others do not see, for reading and writing.
NEW = (
    os.O_RDWR
    | os.O_CREAT
    | os.O_EXCL
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)
#: Opens a file that is there. A fifo or a link, somebody's joke, must not stop us.
OLD = (
    os.O_RDWR
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_BINARY", 0)
)
#: The byte that is locked on Windows, where others can then neither read nor write it:
#: the last that its C library can lock.
_LOCKED_BYTE = 2**31 - 2


@contextmanager
def _at(descriptor: int, position: int) -> Iterator[None]:
    """
    Be at a position of a file, and then where it was before.
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

    @raise BlockingIOError: if somebody else has.
    @raise OSError: if that cannot be done; the file system may know no locks.
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
    @param label: what it is, for who looks at a process.
    @return: the descriptor of a new file that has no name.
    """
    if hasattr(os, "memfd_create"):
        return os.memfd_create(label)
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def release(descriptor: int) -> None:
    """
    Let go of a file that is to be renamed or removed, where that has to come first. The
    descriptor is still to be closed.
    """
    if not IS_POSIX:
        nowhere = os.open(os.devnull, os.O_RDWR)
        os.dup2(nowhere, descriptor, inheritable=False)
        os.close(nowhere)


def readAt(descriptor: int, size: int, position: int) -> bytes:
    """
    @return: at most so many bytes from a position on.

    @raise OSError: what pread(2) says.
    """
    if hasattr(os, "pread"):
        return os.pread(descriptor, size, position)
    with _at(descriptor, position):
        return os.read(descriptor, size)


def writeAt(descriptor: int, data: memoryview, position: int) -> int:
    """
    @return: how many bytes were written at a position.

    @raise OSError: what pwrite(2) says.
    """
    if hasattr(os, "pwrite"):
        return os.pwrite(descriptor, data, position)
    with _at(descriptor, position):
        return os.write(descriptor, data)
