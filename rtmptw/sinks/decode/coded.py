"""
The queue of coded frames for the decoder; drops frames if the decoder is slow.
"""

from collections import deque
from datetime import datetime, timedelta

from rtmptw.delivery import DEFAULT_BYTES, DEFAULT_FRAMES
from rtmptw.frames import Frame, FrameKind, Role


class CodedFrames:
    """
    Coded frames in order of arrival. If there is a patience, no frame waits longer: it
    is dropped, and video continues with the next key frame that is recent enough.
    Headers are never dropped.

    @ivar bytes: the size of the waiting frames.
    """

    def __init__(self, patience: timedelta | None = None, track: int = 0) -> None:
        """
        @param patience: how long a frame may wait; C{None} for no limit.
        @param track: the Enhanced RTMP id of the video track.
        """
        self.bytes = 0
        self._patience = patience
        self._track = track
        self._frames: deque[tuple[Frame, datetime]] = deque()
        self._awaitsKey = False
        self._dropped = 0
        self._droppedBytes = 0

    def __len__(self) -> int:
        return len(self._frames)

    def add(self, frame: Frame, arrived: datetime, now: datetime) -> None:
        """
        Add the next frame.
        """
        if self._patience is not None and frame.role is Role.CODED:
            self.expire(now)
            isFull = self.bytes > DEFAULT_BYTES or len(self._frames) >= DEFAULT_FRAMES
            if isFull and frame.kind is FrameKind.VIDEO:
                self._awaitsKey = True
            if isFull or not self._isOfUse(frame):
                self._drop(frame)
                return
        self._frames.append((frame, arrived))
        self.bytes += frame.size

    def expire(self, now: datetime) -> None:
        """
        Drop frames that have waited too long.
        """
        patience = self._patience
        if patience is None or not self._frames or now - self._frames[0][1] <= patience:
            return
        kept: deque[tuple[Frame, datetime]] = deque()
        self.bytes = 0
        for frame, arrived in self._frames:
            since = arrived
            if frame.role is not Role.CODED:
                since = now
            elif now - arrived > patience:
                self._awaitsKey |= frame.kind is FrameKind.VIDEO
                self._drop(frame)
                continue
            elif not self._isOfUse(frame):
                self._drop(frame)
                continue
            kept.append((frame, since))
            self.bytes += frame.size
        self._frames = kept

    def first(self) -> Frame:
        """
        @return: the oldest frame.
        """
        return self._frames[0][0]

    def take(self) -> tuple[Frame, datetime]:
        """
        Remove the oldest frame.

        @return: the frame, and when it arrived.
        """
        taken = self._frames.popleft()
        self.bytes -= taken[0].size
        return taken

    def clear(self) -> None:
        """
        Discard all frames.
        """
        self._frames.clear()
        self.bytes = 0

    def takeDropped(self) -> tuple[int, int]:
        """
        @return: the number of frames dropped since the last call, and their bytes.
        """
        dropped = self._dropped, self._droppedBytes
        self._dropped = self._droppedBytes = 0
        return dropped

    def _isOfUse(self, frame: Frame) -> bool:
        if not self._awaitsKey or frame.kind is not FrameKind.VIDEO:
            return True
        self._awaitsKey = not (frame.isKey and self._track in frame.tracks)
        return not self._awaitsKey

    def _drop(self, frame: Frame) -> None:
        self._dropped += 1
        self._droppedBytes += frame.size
