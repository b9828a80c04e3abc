"""
How the server has a stream decoded, and your code called, in a child process.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from rtmptw.delivery import Delivery, Policy
from rtmptw.frames import StreamInfo
from rtmptw.sinks.child import Command
from rtmptw.sinks.decode.decoding import Wanted
from rtmptw.sinks.encodings import MessageEncoding
from rtmptw.sinks.program import ownProgram

#: A process takes a while to start; how late its pictures may be it sees to itself.
_PATIENT = Delivery(
    Policy.TO_KEYFRAME, maxMilliseconds=10_000, maxBytes=16 * 1024 * 1024
)
#: Seconds in which your module has to be imported when the server starts.
_IMPORT_SECONDS = 120
_PROGRAM = "rtmptw.sinks.decode.program"
_FRAMES_PROGRAM = "rtmptw.sinks.decode.framesprogram"
#: The number of the memory in the child.
MEMORY = 4
#: Seconds in which a child has to give away what is left: whoever takes it is waited
#: for elsewhere.
_LEFT_SECONDS = 3600.0
#: In place of an order: look whether there is such code.
CHECK = "check"


def mediaOf(name: str) -> str:
    """
    Look in a child whether your code is there: the server need not import it.

    @param name: C{package.module.callable}.
    @return: what a class has methods for; empty if it is a function.

    @raise ValueError: with a sentence, if it will not do.
    """
    arguments, environment = ownProgram(_PROGRAM)
    try:
        answer = subprocess.run(
            [*arguments, CHECK],
            input=json.dumps({"path": sys.path, "callable": name}),
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            timeout=_IMPORT_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise ValueError(
            f"Cannot import {name!r}: that takes more than {_IMPORT_SECONDS} s."
        ) from None
    try:
        # Its own last line: the module may have printed something.
        said = json.loads(answer.stdout.splitlines()[-1])
        error, media = str(said["error"]), str(said["media"])
    except (ValueError, IndexError, KeyError, TypeError):
        raise ValueError(
            f"Cannot import {name!r}: the process that tried ended with "
            f"{answer.returncode}."
        ) from None
    if error:
        raise ValueError(error)
    return media


def commandFor(
    name: str, wanted: Wanted, detach: bool, finish: float, stream: StreamInfo
) -> Command:
    """
    @param name: C{package.module.callable}.
    @param detach: whether the first exception in your code ends the sink.
    @param finish: seconds that it has after the end of the stream.
    @return: the child that decodes a stream.
    """
    arguments, environment = ownProgram(_PROGRAM)
    order = {
        **_order(wanted, stream),
        "path": sys.path,
        "callable": name,
        "detach": detach,
    }
    return Command(
        f"decode {name}",
        arguments,
        lambda: MessageEncoding(order),
        _delivery(wanted),
        environment,
        finish=finish,
        # Your code may take as long as it likes.
        stall=0.0,
        reports=True,
    )


def commandForFrames(
    wanted: Wanted, descriptors: Callable[[], Mapping[int, int]], stream: StreamInfo
) -> Command:
    """
    @param descriptors: gives the memory of each child.
    @return: the child that decodes a stream for a loop in the server.
    """
    arguments, environment = ownProgram(_FRAMES_PROGRAM)
    order = _order(wanted, stream)
    return Command(
        "decode",
        arguments,
        lambda: MessageEncoding(order),
        _delivery(wanted),
        environment,
        finish=_LEFT_SECONDS,
        stall=0.0,
        reports=True,
        descriptors=descriptors,
    )


def _order(wanted: Wanted, stream: StreamInfo) -> dict[str, Any]:
    return {
        "wanted": asdict(wanted),
        "name": stream.name,
        "stream": {**asdict(stream), "startedAt": stream.startedAt.isoformat()},
    }


def _delivery(wanted: Wanted) -> Delivery:
    delivery = wanted.delivery
    return delivery if delivery.policy is Policy.LOSSLESS else _PATIENT


def wantedFrom(order: Any) -> Wanted:
    """
    @return: what an order asks for.
    """
    said = order["wanted"]
    return Wanted(**{**said, "size": said["size"] and tuple(said["size"])})


def streamFrom(order: Any) -> StreamInfo:
    """
    @return: the stream that an order is about.
    """
    said = order["stream"]
    startedAt = datetime.fromisoformat(said["startedAt"])
    return StreamInfo(**{**said, "startedAt": startedAt})
