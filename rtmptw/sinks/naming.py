"""
Names of recordings, and the argument string that selects them.
"""

import errno
import os
import string
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256

from twisted.python.usage import UsageError

from rtmptw.errors import SinkError
from rtmptw.plugins.arguments import Argument, Arguments, First
from rtmptw.plugins.values import Number, Text
from rtmptw.sinks.disk import IS_POSIX

#: Bytes kept in a file name; all others are percent-escaped. Safe on every file system
#: and in a shell.
_SAFE = frozenset((string.ascii_letters + string.digits + "-_.").encode())
#: The longest path component. Linux and macOS allow 255 bytes; C{-123}, C{.flv} and
#: C{.part} are added later, and file systems that encrypt names need some of it.
MAX_COMPONENT = 200
#: Hexadecimal digits of the hash that distinguishes shortened names.
_HASH_DIGITS = 16
#: At this many recordings with one name, something must be wrong.
MAX_SAME_NAME = 10_000

SUFFIX = ".flv"
#: The suffix of a recording while it is being written.
PART_SUFFIX = ".part"

#: Errors of link(2) after which rename(2) may still work: the file system has no links,
#: the file has too many, or there is no room for another directory entry.
_NO_LINKS = frozenset(
    {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
    | {errno.ENOSPC, errno.EDQUOT}
)


def escape(name: str) -> str:
    """
    @return: the name of an application or stream as one path component, whatever the
        peer sent: never empty, C{.}, C{..} or hidden.
    """
    # A peer's name need not be valid UTF-8: invalid bytes are lone surrogates here.
    data = name.encode("utf-8", "surrogatepass")
    escaped = "".join(chr(byte) if byte in _SAFE else f"%{byte:02X}" for byte in data)
    if escaped.startswith("."):
        escaped = "%2E" + escaped[1:]
    return shorten(escaped) or "_"


def shorten(component: str) -> str:
    """
    @return: the component; if it is longer than L{MAX_COMPONENT} bytes, its beginning
        and a hash of the whole.
    """
    data = component.encode("utf-8", "surrogateescape")
    if len(data) <= MAX_COMPONENT:
        return component
    digest = sha256(data).hexdigest()[:_HASH_DIGITS]
    kept = data[: MAX_COMPONENT - 1 - _HASH_DIGITS].decode("utf-8", "ignore")
    return f"{kept}-{digest}"


class Template:
    """
    A file name template with C{{fields}}.

    @cvar FIELDS: the known fields.
    """

    FIELDS = ("app", "stream", "start", "date", "time", "epoch", "part")

    def __init__(self, text: str, suffix: str = SUFFIX) -> None:
        """
        @param suffix: what every name ends with.

        @raise UsageError: if the template could produce anything but a file name within
            the directory.
        """
        self.text = text
        self.suffix = suffix
        if not text or text.endswith("/"):
            raise UsageError(f"The name {text!r} does not end in a file name.")
        if text.startswith("/"):
            raise UsageError(f"The name {text!r} is absolute; use DIRECTORY for that.")
        if "\0" in text:
            raise UsageError(f"The name {text!r} contains a NUL character.")
        try:
            pieces = list(string.Formatter().parse(text))
        except ValueError as error:
            raise UsageError(f"The name {text!r} is not a template: {error}.") from None
        for _, name, spec, conversion in pieces:
            if name is not None and name not in self.FIELDS:
                known = ", ".join(f"{{{known}}}" for known in self.FIELDS)
                raise UsageError(
                    f"The name {text!r} has an unknown field {{{name}}}; use {known}."
                )
            if spec or conversion:
                raise UsageError(
                    f"The name {text!r} formats {{{name}}}; fields take no format."
                )
        if {"", ".", ".."} & set(text.split("/")):
            raise UsageError(f"The name {text!r} has an empty, '.' or '..' component.")

    def path(self, app: str, stream: str, start: datetime, part: int) -> str:
        """
        @param start: when the part begins, with a time zone; the name has local time.
        @param part: the number of the part, from 1.

        @return: a relative path that ends in the suffix.
        """
        local = start.astimezone()
        values = {
            "app": escape(app),
            "stream": escape(stream),
            "start": local.strftime("%Y-%m-%d_%H-%M-%S-%f"),
            "date": local.strftime("%Y-%m-%d"),
            "time": local.strftime("%H-%M-%S"),
            "epoch": str(int(start.timestamp())),
            "part": str(part),
        }
        *folders, name = self.text.removesuffix(self.suffix).split("/")
        components = [shorten(folder.format(**values)) for folder in folders]
        # If the template is just ".flv", the name is empty.
        components.append((shorten(name.format(**values)) or "_") + self.suffix)
        return "/".join(components)


def sameNames(path: str) -> Iterator[str]:
    """
    @return: the names to try for a recording: C{x.flv}, C{x-2.flv}, C{x-3.flv}...

    @raise OSError: EEXIST, after L{MAX_SAME_NAME} names.
    """
    yield path
    stem, suffix = os.path.splitext(path)
    for number in range(2, MAX_SAME_NAME):
        yield f"{stem}-{number}{suffix}"
    raise FileExistsError(errno.EEXIST, "too many recordings have this name", path)


def giveFinalName(partPath: str) -> str:
    """
    Rename a finished C{.part} without overwriting anything; blocks.

    @return: the new name.

    @raise OSError: if that fails; the file keeps its old name.
    """
    for path in sameNames(partPath.removesuffix(PART_SUFFIX)):
        try:
            # rename(2) overwrites, link(2) does not.
            if not IS_POSIX:
                # On Windows rename does not overwrite, and links need a privilege.
                _renameTo(partPath, path)
                return path
            os.link(partPath, path, follow_symlinks=False)
        except FileExistsError:
            if IS_POSIX and _sameFile(partPath, path):
                # An earlier server died between link and unlink.
                os.unlink(partPath)
                return path
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            if not os.path.lexists(path):
                os.rename(partPath, path)
                return path
        else:
            os.unlink(partPath)
            return path
    raise AssertionError("sameNames ends by raising")


def _renameTo(partPath: str, path: str) -> None:
    """
    @raise FileExistsError: if the path exists.
    """
    if os.path.lexists(path):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
    os.rename(partPath, path)


def _sameFile(one: str, other: str) -> bool:
    first, second = os.lstat(one), os.lstat(other)
    return (first.st_dev, first.st_ino) == (second.st_dev, second.st_ino)


@dataclass(frozen=True, slots=True)
class Recording:
    """
    The options of C{--sink=file:...}.

    @ivar directory: the directory for recordings; all files are within it.
    @ivar template: the file names within it.
    @ivar rotate: milliseconds of media after which a new file begins; 0 for never.
    @ivar maxSize: the size that a file should not exceed, in bytes; 0 for no limit.
    """

    directory: str = "recordings"
    template: Template = field(
        default_factory=lambda: Template("{app}/{stream}/{start}.flv")
    )
    rotate: int = 0
    maxSize: int = 0


#: Arguments common to the sinks that record.
ROTATE = Argument(
    "rotate",
    Number("seconds", 1),
    "start a new file at the first key frame after this many seconds of media",
)
SIZE = Argument(
    "maxSize",
    Number("bytes", 1, isWhole=True),
    "start a new file when this one reaches about this many bytes",
)

#: The arguments of C{--sink=file}.
ARGUMENTS = Arguments(
    "file sink",
    Argument(
        "name",
        Text("TEMPLATE", Template),
        "the file name in DIRECTORY",
        Recording().template.text,
    ),
    ROTATE,
    SIZE,
    first=First(
        Text("DIRECTORY"), "the directory for recordings", Recording().directory
    ),
)


def parseRecording(argstring: str) -> Recording:
    """
    Parse the arguments of C{--sink=file}.

    @raise UsageError: with a one-sentence message, if they are invalid.
    """
    said = ARGUMENTS.read(argstring)
    return Recording(
        said["DIRECTORY"],
        said["name"],
        milliseconds(said["rotate"]),
        said["maxSize"] or 0,
    )


def milliseconds(seconds: float | None) -> int:
    """
    @return: the seconds in ms; 0 for C{None}.
    """
    return round((seconds or 0) * 1000)


def checkDirectory(directory: str) -> None:
    """
    @raise SinkError: if files cannot be created in the directory.
    """
    existing = os.path.abspath(directory)
    while not os.path.lexists(existing) and existing != os.path.dirname(existing):
        existing = os.path.dirname(existing)
    if not os.path.isdir(existing):
        raise SinkError(f"cannot write to {directory}: {existing} is not a directory")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise SinkError(f"cannot write to {directory}: {existing} is not writable")
