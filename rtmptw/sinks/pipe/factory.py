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
from rtmptw.plugins.arguments import numberFrom
from rtmptw.plugins.sink import FrameSinkFactory
from rtmptw.sinks.child import (
    FINISH_SECONDS,
    STALL_SECONDS,
    Children,
    ChildSink,
    Command,
    Encoding,
)
from rtmptw.sinks.encodings import AnnexBEncoding, FLVEncoding
from rtmptw.sinks.naming import escape

_FORMATS: dict[str, Callable[[], Encoding]] = {
    "flv": FLVEncoding,
    "annexb": AnnexBEncoding,
}
_POLICIES: dict[str, Delivery] = {"to-keyframe": TO_KEYFRAME, "lossless": LOSSLESS}


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

            format=flv      FLV: metadata, codec headers, frames from time 0 on
            format=annexb   H.264 or HEVC with start codes: pictures only
            policy=to-keyframe   a program that is slow misses groups of pictures
            policy=lossless      it makes the publisher wait
            finish=5        seconds the program has to end when the stream has
            stall=30        seconds after which it is killed if it reads nothing

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
    line, mark, fragment = argstring.rpartition(" #")
    if not mark:
        line, fragment = argstring, ""
    try:
        arguments = tuple(shlex.split(line))
    except ValueError as error:
        raise UsageError(
            f"The pipe sink cannot split its command line: {error}."
        ) from None
    if not arguments:
        raise UsageError(
            "The pipe sink needs a command line, such as pipe:ffmpeg -i - x.mkv."
        )
    said: dict[str, Any] = {}
    for option in fragment.split("&") if fragment else ():
        key, _, value = option.partition("=")
        if key in said or (key == "policy" and "delivery" in said):
            raise UsageError(f"The pipe sink got {key}= twice.")
        if key == "format":
            said[key] = _choose(key, value, _FORMATS)
        elif key == "policy":
            said["delivery"] = _choose(key, value, _POLICIES)
        elif key in ("finish", "stall"):
            said[key] = numberFrom("pipe", key, value)
        else:
            raise UsageError(
                f"The pipe sink has no option {option!r}, only format=, policy=, "
                "finish= and stall=."
            )
    return PipeOptions(arguments, **said)


def _choose(key: str, value: str, choices: dict[str, Any]) -> Any:
    if value not in choices:
        raise UsageError(
            f"The pipe sink's {key} {value!r} is none of {', '.join(choices)}."
        )
    return choices[value]
