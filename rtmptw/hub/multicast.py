"""
One frame for many sinks at once: those that keep pace share a target, and their books.
"""

from rtmptw.frames import Frame
from rtmptw.interfaces import IMulticastTarget


class Multicast:
    """
    Gives each frame of a stream once to a target that many sinks share, and counts for
    all of them. What one sink got is the difference between two readings.

    @ivar target: takes the frames.
    @ivar members: how many sinks it stands for.
    @ivar frames: given so far.
    @ivar bytes: of their payloads.
    @ivar isTimed: whether a frame was given that was no header.
    @ivar lastTimestamp: of the last one, in ms.
    """

    __slots__ = ("bytes", "frames", "isTimed", "lastTimestamp", "members", "target")

    def __init__(self, target: IMulticastTarget) -> None:
        self.target = target
        self.members: int = 0
        self.frames: int = 0
        self.bytes: int = 0
        self.isTimed: bool = False
        self.lastTimestamp: int = 0

    def frameReceived(self, frame: Frame) -> None:
        """
        Give the next frame.
        """
        self.frames += 1
        self.bytes += frame.size
        if not frame.isHeader:
            self.isTimed = True
            self.lastTimestamp = frame.timestamp
        self.target.frameReceived(frame)
