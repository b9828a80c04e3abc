"""
Skips decoded frames that are too old.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from rtmptw._pyav.decoding import Decoded
from rtmptw.frames import FrameKind


class Lateness:
    """
    Checks the age of each decoded frame before it is delivered; may be used by one
    thread at a time. After a video frame that is too old, video continues with a key
    frame.

    @ivar skipped: the number of frames skipped: too old, or between such a frame and
        the next key frame.
    """

    def __init__(self, patience: timedelta | None, now: Callable[[], datetime]) -> None:
        """
        @param patience: the largest age of a frame; C{None} for no limit.
        @param now: the wall clock.
        """
        self.skipped = 0
        self._patience = patience
        self._now = now
        self._awaitsKey = False

    def admits(self, decoded: Decoded) -> bool:
        """
        @return: whether to deliver the frame.
        """
        if self._patience is None:
            return True
        isLate = self._now() - decoded.arrived > self._patience
        if decoded.kind is FrameKind.VIDEO:
            self._awaitsKey = isLate or (
                self._awaitsKey and not decoded.frame.key_frame
            )
            isLate = self._awaitsKey
        self.skipped += isLate
        return not isLate
