"""
How much memory clients may use.
"""

import os
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from functools import partial
from typing import Any, Final

from twisted.logger import Logger

from rtmptw.hub.hub import StreamHub
from rtmptw.rtmpserver.connection import Connection

#: Bytes that one connection may hold. An unfinished frame of 8K video, a GOP and the
#: queue of the slowest sink take half of it.
MOST_EACH: Final = 64 * 1024 * 1024
#: Memory use is checked each time clients have sent this many bytes in all, or this
#: fraction of the limit if that is less.
LOOK_AFTER: Final = 32 * 1024 * 1024
_LOOK_PART: Final = 16

#: Bytes of memory assumed for a machine that does not report how much it has.
_UNKNOWN: Final = 4 * 1024 * 1024 * 1024

#: Files in which a container's memory limit is found (Linux control groups, version 2
#: and version 1).
_CONTAINER: Final = (
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
)


def halfOfTheMachine(files: Iterable[str] = _CONTAINER) -> int:
    """
    @param files: where a lower limit of a container may be found.
    @return: half of the bytes of memory that this machine, or its container, has.
    """
    least = _machine()
    for path in files:
        # "max" is not a number.
        with suppress(OSError, ValueError), open(path, encoding="ascii") as file:
            least = min(least, int(file.read()))
    return least // 2


def _machine() -> int:
    """
    @return: this machine's memory in bytes, or L{_UNKNOWN} where the system does not
        report it, as on Windows.
    """
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError):
        return _UNKNOWN


class Budget:
    """
    The memory that all clients share. When it is exhausted, the client that uses most
    of it is disconnected and its memory freed, not the newest client.

    Counted are frames and partial messages, once for each stream, and what our buffers
    hold for a client, but not the overhead of Python and the sockets.

    @ivar limit: in bytes.
    """

    _log = Logger()

    def __init__(
        self, limit: int, hub: StreamHub, connections: Collection[Connection]
    ) -> None:
        """
        @param limit: in bytes; 0 means half of the machine's memory.
        @param connections: all connections of the server.
        """
        self.limit: int = limit or halfOfTheMachine()
        self._hub = hub
        self._connections = connections
        self._step: int = min(LOOK_AFTER, self.limit // _LOOK_PART)
        self._left: int = self._step

    def received(self, size: int) -> None:
        """
        Count bytes that a client has sent.
        """
        self._left -= size
        if self._left <= 0:
            self._left = self._step
            self.look()

    def look(self) -> None:
        """
        Add up what clients hold, and cut off those that hold too much.
        """
        held: list[tuple[int, int, str, Callable[[str], Any]]] = []
        for connection in self._connections:
            size = connection.heldBytes()
            if size:
                entry = (size, len(held), connection.peer, connection.cutOff)
                held.append(entry)
        for stream in self._hub.streams.values():
            if stream.source is None:
                # The stream waits for its publisher to come back.
                end = partial(self._hub.end, stream.name)
                held.append((stream.heldBytes(), len(held), stream.name, end))
        held.sort(reverse=True)
        total: int = sum(entry[0] for entry in held)
        for size, _number, name, lose in held:
            if size > MOST_EACH:
                reason = f"it held {size} bytes, the limit per client is {MOST_EACH}"
            elif total > self.limit:
                reason = (
                    f"clients held {total} bytes in all, the limit is {self.limit} "
                    f"(--memory), and it held the most: {size}"
                )
            else:
                break
            self._log.warn("{name}: cut off: {reason}", name=name, reason=reason)
            lose(reason)
            total -= size
