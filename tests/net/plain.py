"""
A plain TCP connection without a network: its socket takes as much as it is told to.
"""

import socket
from typing import Any

from twisted.internet import tcp


class PlainSocket:
    """
    Stands for the kernel.

    @ivar sent: what it has taken.
    @ivar room: how many bytes it still takes; with none it is full.
    @ivar error: raised by each call that is to send, if set.
    @ivar options: what was set, by level and name.
    """

    family = socket.AF_INET

    def __init__(self, room: int = 1 << 30) -> None:
        self.sent = bytearray()
        self.room = room
        self.error: OSError | None = None
        self.options: dict[tuple[int, int], int] = {}

    def send(self, data: bytes) -> int:
        """
        Take what there is room for, as send(2) does without blocking.
        """
        if self.error is not None:
            raise self.error
        if not self.room:
            raise BlockingIOError
        taken = data[: self.room]
        self.sent += taken
        self.room -= len(taken)
        return len(taken)

    def setsockopt(self, level: int, name: int, value: int) -> None:
        """
        Write it down.
        """
        self.options[level, name] = value


class PlainTransport(tcp.Connection):
    """
    Twisted's connection around a L{PlainSocket}: what it is given waits.

    @ivar waiting: what Twisted would send later.
    @ivar producers: who produces for it; C{None} for nobody any more.
    """

    def __init__(self, plain: PlainSocket) -> None:
        self.socket: Any = plain
        self.waiting = bytearray()
        self.producers: list[object] = []

    def write(self, data: bytes) -> None:
        """
        Keep it.
        """
        self.waiting += data

    def registerProducer(self, producer: object, streaming: bool) -> None:
        """
        Write it down, and how it wants to be asked.
        """
        self.producers.append((producer, streaming))

    def unregisterProducer(self) -> None:
        """
        Write it down.
        """
        self.producers.append(None)
