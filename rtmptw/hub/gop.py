"""
The frames since the last key frame: what a late sink needs to show a picture at
once.
"""

from typing import Final

from rtmptw.frames import Frame, FrameKind, Role
from rtmptw.keyframes import LeadingTrack

#: A longer group is not kept: whoever joins would lag by as much.
MAX_MILLISECONDS: Final = 10_000
#: Bounds the overhead of tiny frames (SRS has the same number).
MAX_FRAMES: Final = 2500
#: Ten seconds of 13 Mbit/s.
MAX_BYTES: Final = 16 * 1024 * 1024


class GroupOfPictures:
    """
    Keeps the current group of pictures, within bounds: a group that grows beyond
    them is dropped whole, as half of one cannot be decoded.

    @ivar bytes: of the payloads that are kept.
    """

    def __init__(self, leading: LeadingTrack) -> None:
        """
        @param leading: says which key frames begin a group; somebody else lets it
            follow the frames, before they are added here.
        """
        self._leading = leading
        self._frames: list[Frame] = []
        self.bytes = 0

    def add(self, frame: Frame) -> None:
        """
        Take the next frame of the stream, no header.
        """
        if frame.isKey and self._leading.leads(frame):
            self._frames = [frame]
            self.bytes = frame.size
            return
        frames = self._frames
        if not frames:
            return
        frames.append(frame)
        self.bytes += frame.size
        if (
            self.bytes > MAX_BYTES
            or frame.timestamp - frames[0].timestamp > MAX_MILLISECONDS
            or len(frames) > MAX_FRAMES
        ):
            self.clear()

    def clear(self) -> None:
        """
        Forget the group and wait for the next key frame.
        """
        self._frames = []
        self.bytes = 0

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
