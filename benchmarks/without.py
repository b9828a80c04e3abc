"""
Runs twistd with an rtmptw that lacks one of the means that make it fast::

    python -m benchmarks.without MEAN [arguments of twistd]

What each of them buys is the difference. There are no options for this: nobody should
want it.
"""

import importlib
import select
import sys
from collections.abc import Callable

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
    from rtmptw.outputs.play import PacingPlaySink

    classImplementsOnly(PacingPlaySink, IFrameSink)


_NEVER = (float("inf"), 0.0)

#: By name: what takes it away, and what it is.
MEANS: dict[str, tuple[Callable[[], None], str]] = {
    "hold": (lambda: _set("rtmptw.tap", HOLD=0.0), "sound waits for the next picture"),
    "multicast": (_multicast, "one call for all viewers that keep pace"),
    "pacing": (
        # As many as there are: the compiled build has counted them.
        lambda: _set("rtmptw._reading", PACES=(_NEVER,) * 3, UNWATCHED_PACES=(_NEVER,)),
        "sockets are read every few ms under load",
    ),
    "readers": (_readers, "sockets are read together, not by the reactor"),
    "large-reads": (
        lambda: _set("rtmptw._reading", READ_SIZE=65536),
        "256 KiB a read instead of 64",
    ),
    "gc": (
        lambda: _set("rtmptw.tap", spareFrames=lambda: None),
        "the garbage collector is kept off frames",
    ),
}


def main() -> None:
    """
    Take it away, and go on as twistd.
    """
    mean, *arguments = sys.argv[1:]
    MEANS[mean][0]()
    sys.argv[:] = ["twistd", *arguments]
    from twisted.scripts.twistd import run

    run()


if __name__ == "__main__":
    main()
