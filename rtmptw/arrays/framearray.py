"""
A video frame as a numpy array with a timestamp.
"""

from datetime import datetime
from typing import Any

import numpy

from rtmptw.frames import FrameKind
from rtmptw.sinks.decode.decoding import DecodedFrame


class FrameArray(numpy.ndarray[Any, Any]):
    """
    A video frame: an array of C{uint8} with shape (height, width, 3), or (height,
    width) for gray. It works with OpenCV and everything else that takes arrays. Arrays
    made from it, such as slices, keep its attributes.

    @ivar pts: when to show it, in seconds on the stream's clock, which may start at any
        value.
    @ivar arrived: when the encoded frame arrived, by the wall clock.
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
        The array itself, so that a loop written for C{stream.frames()}, which reads
        C{frame.image}, works here too.
        """
        return self


def arrayFrom(frame: DecodedFrame) -> FrameArray:
    """
    @param frame: a video frame, with an array as its image.
    @return: a view of the same array, not a copy.
    """
    array = frame.image.view(FrameArray)
    array.pts = frame.pts
    array.arrived = frame.arrived
    array.keyframe = frame.keyframe
    array.track = frame.track
    found: FrameArray = array
    return found
