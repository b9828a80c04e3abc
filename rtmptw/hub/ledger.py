"""
Counters of one sink, which account for every frame of its stream.
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

# Reasons for dropped frames; sinks can add their own.
AWAITING_KEYFRAME: Final = "awaiting-keyframe"
NOT_NEWEST: Final = "not-newest"
SINK_FAILED: Final = "sink-failed"
DETACHED: Final = "detached"
SUPERSEDED: Final = "superseded"
NOT_WANTED: Final = "not-wanted"
NOT_TAKEN: Final = "not-taken"


class Ledger:
    """
    The counters, always exact:
    C{received = delivered + queued + sum(dropped.values())}.

    @ivar received: frames offered to the sink's outlet.
    @ivar delivered: frames the sink has accepted.
    @ivar queued: frames queued for the sink.
    @ivar dropped: frames the sink will never get, by reason.
    @ivar bytes: payload bytes delivered.
    @ivar firstTimestamp: of the first frame delivered that was not a header, in ms;
        C{None} before that.
    @ivar lastTimestamp: of the last such frame; meaningless before that.
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
        # Never None: when compiled, that would create an object for each frame.
        self.lastTimestamp: int = 0

    def drop(self, reason: str, frames: int = 1) -> None:
        """
        Count frames that the sink will not get.
        """
        if frames:
            self.dropped[reason] = self.dropped.get(reason, 0) + frames

    def lose(self, reason: str, frames: int, size: int) -> None:
        """
        Count frames as dropped that the sink has accepted but could not deliver.

        @param size: their payload bytes; 0 if unknown.
        """
        self.delivered -= frames
        self.bytes -= size
        self.drop(reason, frames)

    def deliver(self, frame: Frame) -> None:
        """
        Count a frame that the sink has accepted.
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
        The number of frames dropped, for any reason.
        """
        return sum(self.dropped.values())

    @property
    def balanced(self) -> bool:
        """
        Whether every frame is accounted for.
        """
        return self.received == self.delivered + self.queued + self.droppedFrames
