"""
Runs twistd with an rtmptw that lacks one of the means that make it fast::

    python -m benchmarks.without MEAN [arguments of twistd]

What each of them buys is the difference. There are no options for this: nobody should
want it.
"""

import importlib.util
import select
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

from zope.interface import classImplementsOnly


def _set(module: str, **values: object) -> None:
    for name, value in values.items():
        setattr(importlib.import_module(module), name, value)


def _readers() -> None:
    # Twisted has its own name for it by then.
    importlib.import_module("twisted.internet.epollreactor")
    del select.epoll


def _multicast() -> None:
    from rtmptw.interfaces import IFrameSink
    from rtmptw.rtmpserver.play import PacingPlaySink

    classImplementsOnly(PacingPlaySink, IFrameSink)


def _slots() -> None:
    # Before others have taken it by name.
    slotted: type = importlib.import_module("rtmptw.frames").Frame
    left = {"__slots__", *vars(slotted)["__slots__"]}
    body = {key: value for key, value in vars(slotted).items() if key not in left}
    _set("rtmptw.frames", Frame=type("Frame", slotted.__bases__, body))


def _direct() -> None:
    # No connection is one.
    _set("rtmptw.net.sender", tcp=SimpleNamespace(Connection=()))


def _turns() -> None:
    from rtmptw.net.turns import Turns

    Turns.readingBegins = lambda self: None  # type: ignore[method-assign]


def _hold() -> None:
    options = importlib.import_module("rtmptw.app.options")
    read = options.configFrom

    def configFrom(values: Mapping[str, Any]) -> Any:
        config = read(values)
        return replace(config, play=replace(config.play, hold=0.0))

    _set("rtmptw.app.options", configFrom=configFrom)


_NEVER = (float("inf"), 0.0)


@dataclass(frozen=True, slots=True)
class Mean:
    """
    One of the means.

    @ivar what: in words.
    @ivar scenario: where to see what it buys.
    @ivar remove: takes it away, before anything else is imported.
    @ivar isCompiled: whether it can be taken from the compiled build too. Else it is
        taken from pure Python, and compared with that.
    """

    what: str
    scenario: str
    remove: Callable[[], None]
    isCompiled: bool = True


#: By name.
MEANS: dict[str, Mean] = {
    "hold": Mean(
        "sound waits for the next picture",
        "fanout200",
        _hold,
    ),
    "waiting": Mean(
        "publishers' sockets wait for the next picture",
        "ingest200",
        # The kernel refuses it.
        lambda: _set("rtmptw.net.readers", ACKNOWLEDGE_WITHIN=0),
    ),
    "multicast": Mean(
        "one call for all viewers that keep pace", "fanout500", _multicast
    ),
    "direct": Mean(
        "bytes go to the socket directly", "fanout200", _direct, isCompiled=False
    ),
    "turns": Mean(
        "what viewers get leaves when all sockets have been read",
        "latency5",
        _turns,
        isCompiled=False,
    ),
    "pacing": Mean(
        "sockets are read every few ms under load",
        "ingest200",
        # As many as there are: the compiled build has counted them.
        lambda: _set(
            "rtmptw.net.readers", PACES=(_NEVER,) * 3, UNWATCHED_PACES=(_NEVER,)
        ),
    ),
    "readers": Mean(
        "sockets are read together, not by the reactor", "ingest200", _readers
    ),
    "large-reads": Mean(
        "256 KiB a read of a fast publisher",
        "fast60000",
        lambda: _set("rtmptw.net.readers", LARGE_READ_SIZE=65536),
    ),
    "spans": Mean(
        "pictures in several chunks lie where they were read",
        "fast4096",
        lambda: _set("rtmptw.rtmp.fastpath", MAX_IN_PLACE=0),
    ),
    "behind": Mean(
        "fast publishers are read again without a turn of the reactor",
        "fast60000",
        lambda: _set("rtmptw.net.readers", BEHIND=0.0),
    ),
    "slots": Mean("frames have slots", "fast4096", _slots, isCompiled=False),
    "gc": Mean(
        "the garbage collector is kept off frames",
        "ingest200",
        lambda: _set("rtmptw.app.options", spareFrames=lambda: None),
    ),
}


def isCompiled() -> bool:
    """
    @return: whether the rtmptw that is imported here is the compiled one.
    """
    spec = importlib.util.find_spec("rtmptw.frames")
    return spec is not None and not str(spec.origin).endswith(".py")


def main() -> None:
    """
    Take it away, and go on as twistd.
    """
    name, *arguments = sys.argv[1:]
    mean = MEANS[name]
    if isCompiled() and not mean.isCompiled:
        sys.exit(
            f"{name} is compiled into this rtmptw and cannot be taken from it: "
            "run this where the sources are"
        )
    mean.remove()
    sys.argv[:] = ["twistd", *arguments]
    from twisted.scripts.twistd import run

    run()


if __name__ == "__main__":
    main()
