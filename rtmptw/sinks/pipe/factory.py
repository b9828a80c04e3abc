"""
Makes the sinks that write streams to the standard input of other programs.
"""

import os
import shlex
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from twisted.python.usage import UsageError

from rtmptw.delivery import LOSSLESS, TO_KEYFRAME, Delivery
from rtmptw.errors import SinkError
from rtmptw.frames import StreamInfo
from rtmptw.plugins.arguments import Argument, Arguments, First, Fragment
from rtmptw.plugins.sink import FrameSinkFactory
from rtmptw.plugins.values import Choice, Number, Text, typed
from rtmptw.sinks.child import (
    STALL_SECONDS,
    Children,
    ChildSink,
    Command,
    Encoding,
)
from rtmptw.sinks.encodings import AnnexBEncoding, FLVEncoding
from rtmptw.sinks.naming import escape
from rtmptw.sinks.process import FINISH_SECONDS

_FORMATS: dict[str, Callable[[], Encoding]] = {
    "flv": FLVEncoding,
    "annexb": AnnexBEncoding,
}
_POLICIES: dict[str, Delivery] = {"to-keyframe": TO_KEYFRAME, "lossless": LOSSLESS}

#: The arguments of C{--sink=pipe}.
ARGUMENTS = Arguments(
    "pipe sink",
    Argument(
        "format",
        Choice(_FORMATS),
        "what the program reads: FLV with metadata, sequence headers and frames from "
        "time 0 on, or only the H.264 or HEVC video frames, with start codes",
        "flv",
    ),
    Argument(
        "policy",
        Choice(_POLICIES),
        "whether frames are dropped for a slow program, up to the next key frame, or "
        "the publisher has to wait",
        "to-keyframe",
    ),
    Argument(
        "finish",
        Number("seconds", 1),
        "how long the program may take to exit after the stream ends",
        typed(FINISH_SECONDS),
    ),
    Argument(
        "stall",
        Number("seconds", 1),
        "the program is killed if it reads nothing for this long",
        typed(STALL_SECONDS),
    ),
    first=First(
        Text("COMMAND LINE"), "a command line", example="pipe:ffmpeg -i - x.mkv"
    ),
    spelling=Fragment(" #"),
)


@dataclass(frozen=True, slots=True)
class PipeOptions:
    """
    The options of C{--sink=pipe:...}.

    @ivar arguments: the program and its arguments, with C{{app}} and C{{name}}.
    @ivar format: the encoding of its input.
    @ivar delivery: how frames are queued for it.
    @ivar finish: seconds it has to exit after the stream ends.
    @ivar stall: seconds without reading its input after which it is killed.
    """

    arguments: tuple[str, ...]
    format: Callable[[], Encoding] = FLVEncoding
    delivery: Delivery = TO_KEYFRAME
    finish: float = FINISH_SECONDS
    stall: float = STALL_SECONDS


class PipeSinkFactory(FrameSinkFactory):
    """
    Makes sinks that each feed a child process.
    """

    arguments = ARGUMENTS

    def __init__(self, options: PipeOptions) -> None:
        """
        @param options: what to run, and how.
        """
        self.options = options
        self._reactor: Any = None
        self._children = Children()

    @classmethod
    def fromString(cls, argstring: str) -> "PipeSinkFactory":
        r"""
        Start a program for every stream and write the stream to its standard input, as
        FLV::

            --sink='pipe:ffmpeg -i - -c copy -f hls /srv/{name}.m3u8'

        The command line is split as in a shell, but no shell runs it. {app} and {name}
        stand for the stream's application and name, with unsafe characters escaped. The
        output of the program goes to the log.

        Options follow a number sign at the beginning of a word, separated by
        ampersands::

            --sink='pipe:ffmpeg -i - -c copy {name}.mkv #policy=lossless&finish=20'

        A program that exits before the stream ends is restarted after 1 second, then 2,
        up to 30; its input then begins with a key frame.

        @raise UsageError: with a one-sentence message, if the arguments are invalid.
        """
        return cls(parsePipe(argstring))

    def startFactory(self, reactor: object) -> None:
        """
        Store the reactor; check that the program exists.

        @raise SinkError: if it does not.
        """
        self._reactor = reactor
        program = self.options.arguments[0]
        if "{" not in program and shutil.which(program) is None:
            raise SinkError(f"cannot pipe to {program}: program not found")

    def buildSink(self, stream: StreamInfo) -> ChildSink:
        """
        @return: a new sink.
        """
        options = self.options
        arguments = [
            argument.replace("{app}", _safe(stream.app)).replace(
                "{name}", _safe(stream.stream)
            )
            for argument in options.arguments
        ]
        command = Command(
            f"pipe to {os.path.basename(arguments[0])}",
            arguments,
            options.format,
            options.delivery,
            finish=options.finish,
            stall=options.stall,
        )
        return self._children.add(ChildSink(self._reactor, command))

    def stopFactory(self) -> None:
        """
        Kill the remaining child processes.
        """
        self._children.kill()


def _safe(name: str) -> str:
    """
    @return: a publisher's name made safe for a command line: neither a path nor an
        option.
    """
    escaped = escape(name)
    return "%2D" + escaped[1:] if escaped.startswith("-") else escaped


def parsePipe(argstring: str) -> PipeOptions:
    """
    Parse the arguments of C{--sink=pipe}.

    @raise UsageError: with a one-sentence message, if they are invalid.
    """
    said = ARGUMENTS.read(argstring)
    try:
        arguments = tuple(shlex.split(said["COMMAND LINE"]))
    except ValueError as error:
        raise UsageError(
            f"The pipe sink cannot split its command line: {error}."
        ) from None
    if not arguments:
        raise UsageError("The pipe sink's command line is empty.")
    return PipeOptions(
        arguments, said["format"], said["policy"], said["finish"], said["stall"]
    )
