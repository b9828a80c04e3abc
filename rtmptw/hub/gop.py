"""
The frames since the last key frame: a late sink needs them to show video immediately.
"""

from typing import Final

from rtmptw.frames import Frame, FrameKind, Role
from rtmptw.keyframes import LeadingTrack

#: A longer group is not kept, because a new player would start with that much latency.
#: x264's default of 250 frames takes 17 s at 15 frames per second.
MAX_MILLISECONDS: Final = 20_000
#: Maximum number of messages kept that may be the first parts of a key frame.
MAX_PARTS: Final = 64
#: Limits the overhead of tiny frames (SRS uses the same number).
MAX_FRAMES: Final = 2500
#: Ten seconds at 13 Mbit/s.
MAX_BYTES: Final = 16 * 1024 * 1024


class GroupOfPictures:
    """
    Keeps the current group of pictures (GOP). A group that exceeds the limits is
    dropped entirely, because half of one cannot be decoded.
    """

    def __init__(self, leading: LeadingTrack) -> None:
        """
        @param leading: decides which key frames begin a group; the stream updates it
            with each frame before the frame is added here.
        """
        self._leading = leading
        self._frames: list[Frame] = []
        self._bytes = 0
        # While there is no group: the messages of the current video frame.
        self._parts: list[Frame] = []

    def add(self, frame: Frame) -> None:
        """
        Add the next frame of the stream, which must not be a header.
        """
        frames = self._frames
        if frame.isKey and self._leading.leads(frame):
            timestamp = frame.timestamp
            if not (frames and _isPart(frames[0], timestamp)):
                # A video frame can consist of several messages: begin with the first.
                before = frames or self._parts
                begin = len(before)
                while begin and _isPart(before[begin - 1], timestamp):
                    begin -= 1
                self._frames = [*before[begin:], frame]
                self._bytes = sum([part.size for part in self._frames])
                self._parts = []
                return
        elif not frames:
            if frame.kind is FrameKind.VIDEO:
                self._addPart(frame)
            return
        frames.append(frame)
        self._bytes += frame.size
        if (
            self._bytes > MAX_BYTES
            or frame.timestamp - frames[0].timestamp > MAX_MILLISECONDS
            or len(frames) > MAX_FRAMES
        ):
            self.clear()

    def _addPart(self, frame: Frame) -> None:
        """
        Keep a message that may turn out to be the first part of a key frame.
        """
        parts = self._parts
        if parts and (
            len(parts) >= MAX_PARTS
            or parts[0].timestamp != frame.timestamp
            or self.heldBytes() > MAX_BYTES
        ):
            parts.clear()
        parts.append(frame)

    def clear(self) -> None:
        """
        Drop the group, and wait for the next key frame.
        """
        self._frames = []
        self._bytes = 0
        self._parts = []

    def heldBytes(self) -> int:
        """
        @return: the payload bytes kept.
        """
        return self._bytes + sum([part.size for part in self._parts])

    def frames(self) -> list[Frame]:
        """
        @return: the group, beginning with its key frame; empty if there is none.
            End-of-sequence frames are omitted, because the stream continues.
        """
        return [
            frame
            for frame in self._frames
            if not (frame.kind is FrameKind.VIDEO and frame.role is Role.END)
        ]


def _isPart(frame: Frame, timestamp: int) -> bool:
    """
    @return: whether a frame is part of the video frame with this timestamp.
    """
    return frame.kind is FrameKind.VIDEO and frame.timestamp == timestamp
