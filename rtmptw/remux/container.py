"""
What writes one container, as those see it who decide what goes there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from rtmptw.remux.heads import Head, TrackKey
from rtmptw.samples import Sample


@dataclass(slots=True)
class Counts:
    """
    What a muxer did.

    @ivar packets: how many were written.
    @ivar bytes: of their payloads.
    @ivar repaired: how many had a timestamp that no container takes, and got the next
        best.
    @ivar refused: how many FFmpeg could make nothing of.
    @ivar milliseconds: from the first to the end of the last.
    """

    packets: int = 0
    bytes: int = 0
    repaired: int = 0
    refused: int = 0
    milliseconds: int = 0


class Output(Protocol):
    """
    The file that a container goes to.
    """

    def write(self, data: bytes) -> int:
        """
        Take all of it, behind what it has.
        """

    def seek(self, offset: int, whence: int = 0) -> int:
        """
        Go on elsewhere.
        """

    def flush(self) -> None:
        """
        Write what is kept.

        @raise OSError: if that cannot be done.
        """


class Container(Protocol):
    """
    One container that is being written.

    @ivar counts: what was written.
    """

    counts: Counts

    def takes(self, key: TrackKey, head: Head) -> bool:
        """
        Take one more track, if that can be done in the middle.

        @return: whether it is taken.
        """

    def write(self, sample: Sample) -> None:
        """
        Write a coded sample of one of the tracks.

        @raise OSError: if the target cannot be written.
        """

    def flush(self) -> None:
        """
        Write what is kept and need not be.

        @raise OSError: if the target cannot be written.
        """

    def finish(self) -> None:
        """
        Write the container's end.

        @raise OSError: if the target cannot be written.
        """

    def abandon(self) -> None:
        """
        Free what is held for something that went wrong. Nothing is raised.
        """


class Begin(Protocol):
    """
    Begins the next container.
    """

    def __call__(self, heads: Mapping[TrackKey, Head], base: int) -> Container:
        """
        @param heads: the tracks, in order.
        @param base: the timestamp that becomes 0, in ms.

        @raise TrackError: if the container cannot hold one of these.

        @raise SinkError: if it cannot hold them.

        @raise OSError: if it cannot be written.
        """
