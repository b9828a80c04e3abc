"""
One frame for many sinks at once: sinks that keep up share a target and its counters.
"""

from rtmptw.frames import Frame
from rtmptw.interfaces import IMulticastTarget


class Multicast:
    """
    Passes each frame of a stream once to a target that many sinks share, and counts for
    all of them. What one sink received is the difference between two readings.

    @ivar target: receives the frames.
    @ivar members: the number of sinks in this multicast.
    @ivar frames: the number of frames passed so far.
    @ivar bytes: their payload bytes.
    @ivar isTimed: whether any of them was not a header.
    @ivar lastTimestamp: of the last such frame, in ms.
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
        Pass the next frame to the target.
        """
        self.frames += 1
        self.bytes += frame.size
        if not frame.isHeader:
            self.isTimed = True
            self.lastTimestamp = frame.timestamp
        self.target.frameReceived(frame)
