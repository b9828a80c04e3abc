"""
Delivery policies: how frames are queued for a sink, and what happens when it is slow.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

# Reasons for dropped frames in the ledger, which sinks may give.
#: The frames were later than the policy allows.
TOO_SLOW: Final = "too-slow"
#: The frames were in a child process that ended, or came while there was none.
PROCESS_ENDED: Final = "process-ended"

#: How far a slow live player may be behind, in ms; more would no longer be live.
#: (SRS keeps 30 s, MediaMTX 512 messages, nginx-rtmp 256 messages.)
DEFAULT_MILLISECONDS = 2000
#: Bytes that may be queued for one sink: two seconds of 32 Mbit/s.
DEFAULT_BYTES = 8 * 1024 * 1024
#: Frames that may be queued for one sink. This bounds the overhead of tiny frames.
DEFAULT_FRAMES = 10_000


class Policy(Enum):
    """
    What happens when a sink's queue exceeds its limits.
    """

    #: The publisher's socket is paused until the sink has caught up.
    LOSSLESS = "lossless"
    #: The newest frames are dropped up to the next key frame; headers are never
    #: dropped. What is delivered can be decoded: whole groups of pictures, or their
    #: beginnings.
    TO_KEYFRAME = "to-keyframe"
    #: Only the newest frame of each track is queued; headers are never dropped.
    LATEST = "latest"
    #: The sink is detached.
    DISCONNECT = "disconnect"


@dataclass(frozen=True, slots=True)
class Delivery:
    """
    The policy and limits of a sink's queue.

    @ivar policy: what happens when a limit is exceeded.
    @ivar maxMilliseconds: how long a frame may be queued, in ms; 0 is no limit. It is
        measured by the wall clock: an unpaced encoder sends minutes of media in a
        second, and a sink that keeps up with it is not behind.
    @ivar maxBytes: how many payload bytes may be queued; 0 is no limit.
    @ivar maxFrames: how many frames may be queued; 0 is no limit.
    @ivar patience: seconds after which a sink that has dropped frames and not caught up
        since is detached; 0 is never. For L{Policy.TO_KEYFRAME}.
    """

    policy: Policy
    maxMilliseconds: int = DEFAULT_MILLISECONDS
    maxBytes: int = DEFAULT_BYTES
    maxFrames: int = DEFAULT_FRAMES
    patience: float = 0.0

    def __post_init__(self) -> None:
        for name in ("maxMilliseconds", "maxBytes", "maxFrames", "patience"):
            value = getattr(self, name)
            if value < 0:
                raise ValueError(f"{name} is {value}, must be 0 (no limit) or more")


#: For recorders and other sinks that cannot tolerate a loss, however slow they are.
LOSSLESS = Delivery(Policy.LOSSLESS, maxMilliseconds=0, maxFrames=2500)
#: For live players.
TO_KEYFRAME = Delivery(Policy.TO_KEYFRAME)
#: For sinks that need only the current frame.
LATEST = Delivery(Policy.LATEST)
#: For sinks that prefer disconnection to a gap.
DISCONNECT = Delivery(Policy.DISCONNECT)
