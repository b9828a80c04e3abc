"""
Which decoded frames come too late for whoever wants no old ones.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from rtmptw._pyav.decoding import Decoded
from rtmptw.frames import FrameKind


class Lateness:
    """
    Looks at each decoded frame before it is given away, in one thread at a time. After
    a picture that is too late, pictures go on with a key frame.

    @ivar skipped: how many frames came too late, or between one that did and the next
        key frame.
    """

    def __init__(self, patience: timedelta | None, now: Callable[[], datetime]) -> None:
        """
        @param patience: how old a frame may be; C{None} for any age.
        @param now: the wall clock.
        """
        self.skipped = 0
        self._patience = patience
        self._now = now
        self._awaitsKey = False

    def admits(self, decoded: Decoded) -> bool:
        """
        @return: whether it is to be given away.
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
