"""
How frames are delivered to a sink, and what gives way when it is slow.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

# Why frames are dropped, in the books, where a sink may say so.
#: They came later than the policy allows.
TOO_SLOW: Final = "too-slow"
#: They were in a process that ended, or came while there was none.
PROCESS_ENDED: Final = "process-ended"

#: What a slow live viewer may be behind; more is not live any more
#: (SRS keeps 30 s, MediaMTX 512 messages, nginx-rtmp 256 messages).
DEFAULT_MILLISECONDS = 2000
#: Bytes that may wait for one sink: two seconds of 32 Mbit/s.
DEFAULT_BYTES = 8 * 1024 * 1024
#: Frames that may wait for one sink; bounds the overhead of tiny frames.
DEFAULT_FRAMES = 10_000


class Policy(Enum):
    """
    What happens when a sink is behind by more than its limits.
    """

    #: The publisher's socket is paused until the sink has caught up.
    LOSSLESS = "lossless"
    #: The newest frames are dropped, up to the next key frame; never headers. What
    #: is delivered can be decoded: groups of pictures, whole or their beginnings.
    TO_KEYFRAME = "to-keyframe"
    #: Only the newest frame of each track waits; never a header is dropped.
    LATEST = "latest"
    #: The sink is detached.
    DISCONNECT = "disconnect"


@dataclass(frozen=True, slots=True)
class Delivery:
    """
    The delivery a sink asks for.

    @ivar policy: what gives way.
    @ivar maxMilliseconds: how long a frame may wait, in ms; 0 is no limit. By the
        wall clock: an unpaced encoder sends minutes of media in a second, and who
        takes them as fast is not behind.
    @ivar maxBytes: how many payload bytes may wait; 0 is no limit.
    @ivar maxFrames: how many frames may wait; 0 is no limit.
    @ivar patience: seconds after which a sink that has dropped frames and not
        caught up since is detached; 0 is for ever. For L{Policy.TO_KEYFRAME}.
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
                raise ValueError(f"{name} {value}, at least 0 (0 is no limit)")


#: For recorders and whatever cannot repair a loss. However long it takes.
LOSSLESS = Delivery(Policy.LOSSLESS, maxMilliseconds=0, maxFrames=2500)
#: For live viewers.
TO_KEYFRAME = Delivery(Policy.TO_KEYFRAME)
#: For those who want to see what is now.
LATEST = Delivery(Policy.LATEST)
#: For those who would rather be gone than see a gap.
DISCONNECT = Delivery(Policy.DISCONNECT)
