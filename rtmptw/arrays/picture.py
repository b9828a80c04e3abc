"""
A video frame as a numpy array that knows when it is to be shown.
"""

from datetime import datetime
from typing import Any

import numpy

from rtmptw.frames import FrameKind
from rtmptw.sinks.decode.decoding import DecodedFrame


class FrameArray(numpy.ndarray[Any, Any]):
    """
    A video frame: an array of C{uint8} whose shape is (height, width, 3), for gray
    (height, width). OpenCV and everything else that takes arrays takes it. What is
    made of it, a part for example, knows the same of itself.

    @ivar pts: when to show it, in seconds on the stream's clock: it begins anywhere.
    @ivar arrived: when what it was decoded from came, by the wall clock.
    @ivar keyframe: whether it is a key frame.
    @ivar track: the Enhanced RTMP track id; 0 if there is one track.
    """

    kind = FrameKind.VIDEO
    pts: float
    arrived: datetime
    keyframe: bool
    track: int

    def __array_finalize__(self, before: Any) -> None:
        if isinstance(before, FrameArray):
            self.__dict__.update(before.__dict__)

    @property
    def image(self) -> "FrameArray":
        """
        The array itself: loops over C{stream.frames()} read C{frame.image}, and work
        here too.
        """
        return self


def arrayFrom(frame: DecodedFrame) -> FrameArray:
    """
    @param frame: a video frame whose image is an array.
    @return: the same array, not a copy.
    """
    array = frame.image.view(FrameArray)
    array.pts = frame.pts
    array.arrived = frame.arrived
    array.keyframe = frame.keyframe
    array.track = frame.track
    found: FrameArray = array
    return found
