"""
How much memory clients may fill.
"""

import os
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from functools import partial
from typing import Any, Final

from twisted.logger import Logger

from rtmptw.hub.hub import StreamHub
from rtmptw.rtmpserver.connection import Connection

#: One connection may hold so many bytes: an unfinished frame of 8K video, a group of
#: pictures, and what waits for the slowest sink are half of it.
MOST_EACH: Final = 64 * 1024 * 1024
#: After so many bytes from all clients it is looked at who holds how much, or after a
#: part of what there is in all.
LOOK_AFTER: Final = 32 * 1024 * 1024
_LOOK_PART: Final = 16

#: What a machine is taken to have that does not say.
_UNKNOWN: Final = 4 * 1024 * 1024 * 1024

#: Where a container says how much memory it may have: with version 2 and 1 of Linux'
#: control groups.
_CONTAINER: Final = (
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
)


def halfOfTheMachine(files: Iterable[str] = _CONTAINER) -> int:
    """
    @param files: where a container may have less.
    @return: half of the bytes that this machine, or its container, has.
    """
    least = _machine()
    for path in files:
        # "max" is no number.
        with suppress(OSError, ValueError), open(path, encoding="ascii") as file:
            least = min(least, int(file.read()))
    return least // 2


def _machine() -> int:
    """
    @return: the bytes that this machine has; where nobody can tell, as on Windows, what
        nearly every one has.
    """
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError):
        return _UNKNOWN


class Budget:
    """
    The memory that all clients share. Who fills it most loses what it holds, and its
    connection; not who comes last.

    What is counted are frames and parts of messages, once for each stream, and what
    waits in our buffers for a client: not what Python and the sockets need for them.

    @ivar limit: in bytes.
    """

    _log = Logger()

    def __init__(
        self, limit: int, hub: StreamHub, connections: Collection[Connection]
    ) -> None:
        """
        @param limit: in bytes; 0 is half of what the machine has.
        @param connections: all there are.
        """
        self.limit: int = limit or halfOfTheMachine()
        self._hub = hub
        self._connections = connections
        self._step: int = min(LOOK_AFTER, self.limit // _LOOK_PART)
        self._left: int = self._step

    def received(self, size: int) -> None:
        """
        A client has sent so many bytes.
        """
        self._left -= size
        if self._left <= 0:
            self._left = self._step
            self.look()

    def look(self) -> None:
        """
        Count, and let those lose who hold too much.
        """
        held: list[tuple[int, int, str, Callable[[str], Any]]] = []
        for connection in self._connections:
            size = connection.heldBytes()
            if size:
                entry = (size, len(held), connection.peer, connection.cutOff)
                held.append(entry)
        for stream in self._hub.streams.values():
            if stream.source is None:
                # It waits for its publisher to come back.
                end = partial(self._hub.end, stream.name)
                held.append((stream.heldBytes(), len(held), stream.name, end))
        held.sort(reverse=True)
        total: int = sum(entry[0] for entry in held)
        for size, _number, name, lose in held:
            if size > MOST_EACH:
                reason = f"it held {size} bytes, one client may hold {MOST_EACH}"
            elif total > self.limit:
                reason = (
                    f"clients held {total} bytes, {self.limit} are allowed "
                    f"(--memory), and it held most of all: {size}"
                )
            else:
                break
            self._log.warn("{name}: cut off: {reason}", name=name, reason=reason)
            lose(reason)
            total -= size
