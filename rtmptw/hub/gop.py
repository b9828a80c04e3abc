"""
The frames since the last key frame: what a late sink needs to show a picture at
once.
"""

from typing import Final

from rtmptw.frames import Frame, FrameKind, Role
from rtmptw.keyframes import LeadingTrack

#: A longer group is not kept: whoever joins would lag by as much. 250 pictures, which
#: is what x264 makes by itself, are 17 s at 15 a second.
MAX_MILLISECONDS: Final = 20_000
#: So many parts of one picture are kept before its key frame is known.
MAX_PARTS: Final = 64
#: Bounds the overhead of tiny frames (SRS has the same number).
MAX_FRAMES: Final = 2500
#: Ten seconds of 13 Mbit/s.
MAX_BYTES: Final = 16 * 1024 * 1024


class GroupOfPictures:
    """
    Keeps the current group of pictures, within bounds: a group that grows beyond
    them is dropped whole, as half of one cannot be decoded.
    """

    def __init__(self, leading: LeadingTrack) -> None:
        """
        @param leading: says which key frames begin a group; somebody else lets it
            follow the frames, before they are added here.
        """
        self._leading = leading
        self._frames: list[Frame] = []
        self._bytes = 0
        # While there is no group: the picture that comes.
        self._parts: list[Frame] = []

    def add(self, frame: Frame) -> None:
        """
        Take the next frame of the stream, no header.
        """
        frames = self._frames
        if frame.isKey and self._leading.leads(frame):
            timestamp = frame.timestamp
            if not (frames and _isPart(frames[0], timestamp)):
                # A picture can come in several messages: it begins with the first.
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
        Keep what may be the beginning of a picture that has come to a key frame.
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
        Forget the group and wait for the next key frame.
        """
        self._frames = []
        self._bytes = 0
        self._parts = []

    def heldBytes(self) -> int:
        """
        @return: of the payloads that are kept.
        """
        return self._bytes + sum([part.size for part in self._parts])

    def frames(self) -> list[Frame]:
        """
        @return: the group from its key frame on; empty if there is none. The end
            of a sequence is left out, the stream goes on.
        """
        return [
            frame
            for frame in self._frames
            if not (frame.kind is FrameKind.VIDEO and frame.role is Role.END)
        ]


def _isPart(frame: Frame, timestamp: int) -> bool:
    """
    Whether a frame is part of the picture of this time.
    """
    return frame.kind is FrameKind.VIDEO and frame.timestamp == timestamp
