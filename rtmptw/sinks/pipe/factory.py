"""
Gives streams to other programs, on their standard input.
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

#: What C{--sink=pipe} takes.
ARGUMENTS = Arguments(
    "pipe sink",
    Argument(
        "format",
        Choice(_FORMATS),
        "what the program reads: FLV with metadata, codec headers and frames from time "
        "0 on, or the pictures of H.264 or HEVC alone, with start codes",
        "flv",
    ),
    Argument(
        "policy",
        Choice(_POLICIES),
        "whether a program that is slow misses groups of pictures, or makes the "
        "publisher wait",
        "to-keyframe",
    ),
    Argument(
        "finish",
        Number("seconds", 1),
        "the program has so many to end when the stream has",
        typed(FINISH_SECONDS),
    ),
    Argument(
        "stall",
        Number("seconds", 1),
        "it is killed if it reads nothing for so many",
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
    What C{--sink=pipe:...} asks for.

    @ivar arguments: the program and its arguments, with C{{app}} and C{{name}}.
    @ivar format: what it reads.
    @ivar delivery: how frames wait for it.
    @ivar finish: seconds it has to finish when the stream has ended.
    @ivar stall: seconds after which it is killed if it takes nothing.
    """

    arguments: tuple[str, ...]
    format: Callable[[], Encoding] = FLVEncoding
    delivery: Delivery = TO_KEYFRAME
    finish: float = FINISH_SECONDS
    stall: float = STALL_SECONDS


class PipeSinkFactory(FrameSinkFactory):
    """
    Makes sinks that feed a child process each.
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
        Start a program for every stream and give it the stream on its standard input,
        as FLV::

            --sink='pipe:ffmpeg -i - -c copy -f hls /srv/{name}.m3u8'

        The command line is split as a shell does it, but no shell runs it. {app} and
        {name} stand for what the stream is called, without what is unsafe in a file
        name. What the program says is in the log.

        Options follow a number sign that begins a word, with ampersands between them::

            --sink='pipe:ffmpeg -i - -c copy {name}.mkv #policy=lossless&finish=20'

        A program that ends while the stream goes on is started again after a second,
        then two, up to 30; it begins with a key frame.

        @raise UsageError: with one sentence, if the arguments are not understood.
        """
        return cls(parsePipe(argstring))

    def startFactory(self, reactor: object) -> None:
        """
        Take the reactor, and look whether there is such a program.

        @raise SinkError: if there is not.
        """
        self._reactor = reactor
        program = self.options.arguments[0]
        if "{" not in program and shutil.which(program) is None:
            raise SinkError(f"cannot pipe to {program}: there is no such program")

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
        Leave no child behind.
        """
        self._children.kill()


def _safe(name: str) -> str:
    """
    @return: a publisher's name that can stand in a command: no path, no option.
    """
    escaped = escape(name)
    return "%2D" + escaped[1:] if escaped.startswith("-") else escaped


def parsePipe(argstring: str) -> PipeOptions:
    """
    Understand the arguments of C{--sink=pipe}.

    @raise UsageError: with one sentence, if that is not what it is.
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
