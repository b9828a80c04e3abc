"""
What writes one container, as those see it who decide what goes there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from rtmptw.errors import SinkError
from rtmptw.frames import Codec, FrameKind
from rtmptw.remux.heads import Head
from rtmptw.samples import Sample

#: A track: its kind and its number.
TrackKey = tuple[FrameKind, int]


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


class TrackError(SinkError):
    """
    A container cannot hold one of the tracks; it could hold the others.

    @ivar key: which.
    @ivar codec: of the track.
    """

    def __init__(self, key: TrackKey, codec: Codec, message: str) -> None:
        super().__init__(message)
        self.key = key
        self.codec = codec


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
