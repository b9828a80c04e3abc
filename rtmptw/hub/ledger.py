"""
The books of one sink: where every frame that came for it went.
"""

from typing import Final

from rtmptw.delivery import TOO_SLOW
from rtmptw.frames import Frame

__all__ = [
    "AWAITING_KEYFRAME",
    "DETACHED",
    "NOT_NEWEST",
    "NOT_WANTED",
    "SINK_FAILED",
    "SUPERSEDED",
    "TOO_SLOW",
    "Ledger",
]

# Why frames are dropped, beside what sinks may say.
AWAITING_KEYFRAME: Final = "awaiting-keyframe"
NOT_NEWEST: Final = "not-newest"
SINK_FAILED: Final = "sink-failed"
DETACHED: Final = "detached"
SUPERSEDED: Final = "superseded"
NOT_WANTED: Final = "not-wanted"
NOT_TAKEN: Final = "not-taken"


class Ledger:
    """
    Counts, exact at every moment:
    C{received = delivered + queued + sum(dropped.values())}.

    @ivar received: frames offered to the sink's outlet.
    @ivar delivered: frames the sink has taken.
    @ivar queued: frames that wait for it.
    @ivar dropped: frames it will never get, by reason.
    @ivar bytes: payload bytes delivered.
    @ivar firstTimestamp: of the first frame delivered that was no header, in ms;
        C{None} before.
    @ivar lastTimestamp: of the last one; says nothing before.
    """

    __slots__ = (
        "bytes",
        "delivered",
        "dropped",
        "firstTimestamp",
        "lastTimestamp",
        "queued",
        "received",
    )

    def __init__(self) -> None:
        self.received: int = 0
        self.delivered: int = 0
        self.queued: int = 0
        self.dropped: dict[str, int] = {}
        self.bytes: int = 0
        self.firstTimestamp: int | None = None
        # Never None: compiled, that would be an object made for each frame.
        self.lastTimestamp: int = 0

    def drop(self, reason: str, frames: int = 1) -> None:
        """
        Book frames that the sink will not get.
        """
        if frames:
            self.dropped[reason] = self.dropped.get(reason, 0) + frames

    def lose(self, reason: str, frames: int, size: int) -> None:
        """
        Book frames as dropped that the sink has taken, and that did not get where they
        were to go.

        @param size: their payload bytes; 0 if that is not known.
        """
        self.delivered -= frames
        self.bytes -= size
        self.drop(reason, frames)

    def deliver(self, frame: Frame) -> None:
        """
        Book a frame that the sink has taken.
        """
        self.delivered += 1
        self.bytes += frame.size
        if not frame.isHeader:
            self.lastTimestamp = frame.timestamp
            if self.firstTimestamp is None:
                self.firstTimestamp = frame.timestamp

    @property
    def droppedFrames(self) -> int:
        """
        The frames it will never get, for whatever reason.
        """
        return sum(self.dropped.values())

    @property
    def balanced(self) -> bool:
        """
        Whether every frame is accounted for.
        """
        return self.received == self.delivered + self.queued + self.droppedFrames
