"""
Runs twistd with an rtmptw without one of its optimizations::

    python -m benchmarks.without MEAN [arguments of twistd]

The difference shows the gain of each. There are no options for this, because no
operator needs it.
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
    # Import this first: it keeps its own reference.
    importlib.import_module("twisted.internet.epollreactor")
    del select.epoll


def _multicast() -> None:
    from rtmptw.interfaces import IFrameSink
    from rtmptw.rtmpserver.play import PacingPlaySink

    classImplementsOnly(PacingPlaySink, IFrameSink)


def _slots() -> None:
    # Do this before other modules import it by name.
    slotted: type = importlib.import_module("rtmptw.frames").Frame
    left = {"__slots__", *vars(slotted)["__slots__"]}
    body = {key: value for key, value in vars(slotted).items() if key not in left}
    _set("rtmptw.frames", Frame=type("Frame", slotted.__bases__, body))


def _direct() -> None:
    # No connection is an instance of this.
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
    An optimization.

    @ivar what: a description.
    @ivar scenario: the scenario that shows its gain.
    @ivar remove: removes it, before anything else is imported.
    @ivar isCompiled: whether it can be removed from the compiled build. If not, it is
        removed from pure Python, and compared with that.
    """

    what: str
    scenario: str
    remove: Callable[[], None]
    isCompiled: bool = True


#: All optimizations by name.
MEANS: dict[str, Mean] = {
    "hold": Mean(
        "audio waits for the next video frame",
        "fanout200",
        _hold,
    ),
    "waiting": Mean(
        "publishers' sockets wait for the next video frame",
        "ingest200",
        # The kernel rejects this value.
        lambda: _set("rtmptw.net.readers", ACKNOWLEDGE_WITHIN=0),
    ),
    "multicast": Mean("one call for all players that keep up", "fanout500", _multicast),
    "direct": Mean(
        "bytes are written to the socket directly",
        "fanout200",
        _direct,
        isCompiled=False,
    ),
    "turns": Mean(
        "data for players is sent when all sockets have been read",
        "latency5",
        _turns,
        isCompiled=False,
    ),
    "pacing": Mean(
        "sockets are read every few ms under load",
        "ingest200",
        # The compiled build needs the original number of entries.
        lambda: _set(
            "rtmptw.net.readers", PACES=(_NEVER,) * 3, UNWATCHED_PACES=(_NEVER,)
        ),
    ),
    "readers": Mean(
        "sockets are read together, not by the reactor", "ingest200", _readers
    ),
    "large-reads": Mean(
        "256 KiB per read for fast publishers",
        "fast60000",
        lambda: _set("rtmptw.net.readers", LARGE_READ_SIZE=65536),
    ),
    "spans": Mean(
        "video frames in several chunks stay in the receive buffer",
        "fast4096",
        lambda: _set("rtmptw.rtmp.fastpath", MAX_IN_PLACE=0),
    ),
    "behind": Mean(
        "fast publishers are read again in the same reactor iteration",
        "fast60000",
        lambda: _set("rtmptw.net.readers", BEHIND=0.0),
    ),
    "slots": Mean("frames have slots", "fast4096", _slots, isCompiled=False),
    "gc": Mean(
        "the garbage collector does not examine frames",
        "ingest200",
        lambda: _set("rtmptw.app.options", spareFrames=lambda: None),
    ),
}


def isCompiled() -> bool:
    """
    @return: whether the imported rtmptw is compiled.
    """
    spec = importlib.util.find_spec("rtmptw.frames")
    return spec is not None and not str(spec.origin).endswith(".py")


def main() -> None:
    """
    Remove the optimization and run twistd.
    """
    name, *arguments = sys.argv[1:]
    mean = MEANS[name]
    if isCompiled() and not mean.isCompiled:
        sys.exit(
            f"{name} is compiled into this rtmptw and cannot be removed: "
            "run this in a checkout"
        )
    mean.remove()
    sys.argv[:] = ["twistd", *arguments]
    from twisted.scripts.twistd import run

    run()


if __name__ == "__main__":
    main()
