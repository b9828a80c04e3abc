"""
The interface of a container writer, for the code that decides what goes into it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from rtmptw.remux.heads import Head, TrackKey
from rtmptw.samples import Sample


@dataclass(slots=True)
class Counts:
    """
    Statistics of a muxer.

    @ivar packets: number of packets written.
    @ivar bytes: bytes of their payloads.
    @ivar repaired: how many had a timestamp that no container accepts, and got the next
        possible one.
    @ivar refused: number of packets that could not be written.
    @ivar milliseconds: duration from the first packet to the end of the last.
    """

    packets: int = 0
    bytes: int = 0
    repaired: int = 0
    refused: int = 0
    milliseconds: int = 0


class Output(Protocol):
    """
    The file that a container is written to.
    """

    def write(self, data: bytes) -> int:
        """
        Write all of the data at the current position.
        """

    def seek(self, offset: int, whence: int = 0) -> int:
        """
        Set the position.
        """

    def flush(self) -> None:
        """
        Flush the buffer.

        @raise OSError: if that fails.
        """


class Container(Protocol):
    """
    One container that is being written.

    @ivar counts: statistics of what was written.
    """

    counts: Counts

    def takes(self, key: TrackKey, head: Head) -> bool:
        """
        Add a track in the middle, if the container can.

        @return: whether it was added.
        """

    def write(self, sample: Sample) -> None:
        """
        Write a coded sample of one of the tracks.

        @raise OSError: if the target cannot be written.
        """

    def flush(self) -> None:
        """
        Write what is buffered but could be written.

        @raise OSError: if the target cannot be written.
        """

    def finish(self) -> None:
        """
        Write the container's end.

        @raise OSError: if the target cannot be written.
        """

    def abandon(self) -> None:
        """
        Free all resources after an error. Raises nothing.
        """


class Begin(Protocol):
    """
    Begins the next container.
    """

    def __call__(self, heads: Mapping[TrackKey, Head], base: int) -> Container:
        """
        @param heads: the tracks, in order.
        @param base: the timestamp that becomes 0, in ms.

        @raise TrackError: if the container cannot hold one of the tracks.

        @raise SinkError: if it cannot hold them together.

        @raise OSError: if it cannot be written.
        """
