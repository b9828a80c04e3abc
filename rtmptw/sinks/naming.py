"""
Where a recording is put, and the argument string that says so.
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

#: What stays as it is in a file name; the rest is percent-escaped. Safe on every
#: file system and in a shell.
_SAFE = frozenset((string.ascii_letters + string.digits + "-_.").encode())
#: The longest path component. Linux and macOS allow 255 bytes; C{-123}, C{.flv} and
#: C{.part} are still to come, and file systems that encrypt names take a share.
MAX_COMPONENT = 200
#: Hexadecimal digits that tell cut names apart.
_HASH_DIGITS = 16
#: How many recordings may want one name before we say that something is wrong.
MAX_SAME_NAME = 10_000

SUFFIX = ".flv"
#: What is added to the name of a recording while it is being written.
PART_SUFFIX = ".part"

#: A link cannot be made: the file system knows none, this file has too many, or
#: there is no room for a second name; renaming may still be possible.
_NO_LINKS = frozenset(
    {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
    | {errno.ENOSPC, errno.EDQUOT}
)


def escape(name: str) -> str:
    """
    @return: the name of an application or stream as one path component, whatever
        the peer put in it: never empty, never C{.} or C{..}, never hidden.
    """
    # A peer's name need not be text: what was not UTF-8 is a lone surrogate here.
    data = name.encode("utf-8", "surrogatepass")
    escaped = "".join(chr(byte) if byte in _SAFE else f"%{byte:02X}" for byte in data)
    if escaped.startswith("."):
        escaped = "%2E" + escaped[1:]
    return shorten(escaped) or "_"


def shorten(component: str) -> str:
    """
    @return: the component, or if it is longer than L{MAX_COMPONENT} bytes its
        beginning and a hash of it all.
    """
    data = component.encode("utf-8", "surrogateescape")
    if len(data) <= MAX_COMPONENT:
        return component
    digest = sha256(data).hexdigest()[:_HASH_DIGITS]
    kept = data[: MAX_COMPONENT - 1 - _HASH_DIGITS].decode("utf-8", "ignore")
    return f"{kept}-{digest}"


class Template:
    """
    A file name with C{{fields}} in it.

    @cvar FIELDS: the fields there are.
    """

    FIELDS = ("app", "stream", "start", "date", "time", "epoch", "part")

    def __init__(self, text: str, suffix: str = SUFFIX) -> None:
        """
        @param suffix: with which every name ends.

        @raise UsageError: if names made of it could not be relied on to be names
            of files within the directory.
        """
        self.text = text
        self.suffix = suffix
        if not text or text.endswith("/"):
            raise UsageError(f"The name {text!r} ends without naming a file.")
        if text.startswith("/"):
            raise UsageError(f"The name {text!r} is absolute; say DIRECTORY before it.")
        if "\0" in text:
            raise UsageError(f"The name {text!r} has a NUL in it.")
        try:
            pieces = list(string.Formatter().parse(text))
        except ValueError as error:
            raise UsageError(f"The name {text!r} is no template: {error}.") from None
        for _, name, spec, conversion in pieces:
            if name is not None and name not in self.FIELDS:
                known = ", ".join(f"{{{known}}}" for known in self.FIELDS)
                raise UsageError(
                    f"The name {text!r} has {{{name}}}, which is none of {known}."
                )
            if spec or conversion:
                raise UsageError(
                    f"The name {text!r} formats {{{name}}}, which is not possible."
                )
        if {"", ".", ".."} & set(text.split("/")):
            raise UsageError(f"The name {text!r} has an empty, '.' or '..' component.")

    def path(self, app: str, stream: str, start: datetime, part: int) -> str:
        """
        @param start: when the part begins, with a time zone; written as local time.
        @param part: which part of the recording it is, from 1.

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
        # A template that is ".flv" and nothing else leaves an empty name.
        components.append((shorten(name.format(**values)) or "_") + self.suffix)
        return "/".join(components)


def sameNames(path: str) -> Iterator[str]:
    """
    @return: the names to try for a recording: C{x.flv}, C{x-2.flv}, C{x-3.flv}...

    @raise OSError: EEXIST, past L{MAX_SAME_NAME} of them.
    """
    yield path
    stem, suffix = os.path.splitext(path)
    for number in range(2, MAX_SAME_NAME):
        yield f"{stem}-{number}{suffix}"
    raise FileExistsError(errno.EEXIST, "too many recordings have this name", path)


def giveFinalName(partPath: str) -> str:
    """
    Rename a finished C{.part} without overwriting anything; blocks.

    @return: the name it has now.

    @raise OSError: if that cannot be done; the file then keeps its name.
    """
    for path in sameNames(partPath.removesuffix(PART_SUFFIX)):
        try:
            # rename(2) overwrites, link(2) does not.
            if not IS_POSIX:
                # There it overwrites nothing, and a link needs the right to make one.
                _renameTo(partPath, path)
                return path
            os.link(partPath, path, follow_symlinks=False)
        except FileExistsError:
            if IS_POSIX and _sameFile(partPath, path):
                # We died once between the link and the unlink.
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
    @raise FileExistsError: if there is such a file.
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
    What C{--sink=file:...} asks for.

    @ivar directory: where recordings are put; nothing is ever put elsewhere.
    @ivar template: their names within it.
    @ivar rotate: the milliseconds of media after which a new file begins; 0 never.
    @ivar maxSize: the bytes a file should not exceed; 0 is no limit.
    """

    directory: str = "recordings"
    template: Template = field(
        default_factory=lambda: Template("{app}/{stream}/{start}.flv")
    )
    rotate: int = 0
    maxSize: int = 0


#: What the sinks that write files have in common.
ROTATE = Argument(
    "rotate",
    Number("seconds", 1),
    "a new file begins at the first key frame after so many seconds of media",
)
SIZE = Argument(
    "maxSize",
    Number("bytes", 1, isWhole=True),
    "a new file begins where this one would have more bytes",
)

#: What C{--sink=file} takes.
ARGUMENTS = Arguments(
    "file sink",
    Argument(
        "name", Text("TEMPLATE", Template), "its name there", Recording().template.text
    ),
    ROTATE,
    SIZE,
    first=First(
        Text("DIRECTORY"), "the folder of the recordings", Recording().directory
    ),
)


def parseRecording(argstring: str) -> Recording:
    """
    Understand the arguments of C{--sink=file}.

    @raise UsageError: with one sentence, if that is not what it is.
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
    @return: so many ms; 0 if nothing was said.
    """
    return round((seconds or 0) * 1000)


def checkDirectory(directory: str) -> None:
    """
    @raise SinkError: if no files can be made in the directory.
    """
    existing = os.path.abspath(directory)
    while not os.path.lexists(existing) and existing != os.path.dirname(existing):
        existing = os.path.dirname(existing)
    if not os.path.isdir(existing):
        raise SinkError(f"cannot record in {directory}: {existing} is no directory")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise SinkError(f"cannot record in {directory}: {existing} is not writable")
