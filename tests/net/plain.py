"""
A plain TCP connection without a network: its socket takes as many bytes as the test
allows.
"""

import socket
from typing import Any

from twisted.internet import tcp


class PlainSocket:
    """
    Stands in for the kernel's socket.

    @ivar sent: the bytes taken so far.
    @ivar room: how many more bytes it takes; it is full at 0.
    @ivar error: raised by each call of L{send}, if set.
    @ivar options: the options set, by level and name.
    """

    family = socket.AF_INET

    def __init__(self, room: int = 1 << 30) -> None:
        self.sent = bytearray()
        self.room = room
        self.error: OSError | None = None
        self.options: dict[tuple[int, int], int] = {}

    def send(self, data: bytes) -> int:
        """
        Take what there is room for, as a non-blocking send(2) does.
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
        Record the option.
        """
        self.options[level, name] = value


class PlainTransport(tcp.Connection):
    """
    Twisted's connection around a L{PlainSocket}. Keeps what is written to it.

    @ivar waiting: what Twisted would send later.
    @ivar producers: the registered producer; C{None} after it was unregistered.
    """

    def __init__(self, plain: PlainSocket) -> None:
        self.socket: Any = plain
        self.waiting = bytearray()
        self.producers: list[object] = []

    def write(self, data: bytes) -> None:
        """
        Keep the data.
        """
        self.waiting += data

    def registerProducer(self, producer: object, streaming: bool) -> None:
        """
        Record the producer and whether it is streaming.
        """
        self.producers.append((producer, streaming))

    def unregisterProducer(self) -> None:
        """
        Record that there is no producer.
        """
        self.producers.append(None)
