"""
Starts the child processes that decode a stream and call your code.
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

#: A process takes a while to start; it checks the age of its frames itself.
_PATIENT = Delivery(
    Policy.TO_KEYFRAME, maxMilliseconds=10_000, maxBytes=16 * 1024 * 1024
)
#: The time limit for importing your module when the server starts, in seconds.
_IMPORT_SECONDS = 120
_PROGRAM = "rtmptw.sinks.decode.program"
_FRAMES_PROGRAM = "rtmptw.sinks.decode.framesprogram"
#: The descriptor of the shared memory in the child.
MEMORY = 4
#: Seconds a child has to deliver the remaining frames: the time limit for a slow loop
#: is in L{rtmptw.sinks.decode.loop}.
_LEFT_SECONDS = 3600.0
#: The argument that makes the child only check that your code can be imported.
CHECK = "check"


def mediaOf(name: str) -> str:
    """
    Check in a child that your code can be imported, so that the server need not import
    it.

    @param name: C{package.module.callable}.
    @return: the media that a class has methods for; empty for a function.

    @raise ValueError: with a sentence, if it cannot be used.
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
            f"Cannot import {name!r}: it takes more than {_IMPORT_SECONDS} s."
        ) from None
    try:
        # Only the last line is the answer: the module may have printed something.
        said = json.loads(answer.stdout.splitlines()[-1])
        error, media = str(said["error"]), str(said["media"])
    except (ValueError, IndexError, KeyError, TypeError):
        raise ValueError(
            f"Cannot import {name!r}: the process that tried exited with status "
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
    @param finish: seconds the child has after the stream ends.
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
        # Your code may take any time.
        stall=0.0,
        reports=True,
    )


def commandForFrames(
    wanted: Wanted, descriptors: Callable[[], Mapping[int, int]], stream: StreamInfo
) -> Command:
    """
    @param descriptors: returns the shared memory for each child.
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
