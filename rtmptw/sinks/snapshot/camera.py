"""
Makes images of video frames; runs in a lane, or in a child process.
"""

from datetime import datetime

from rtmptw._pyav.decoding import Decoder
from rtmptw._pyav.images import encodeImage
from rtmptw.errors import SinkError
from rtmptw.frames import Frame, FrameKind


class Camera:
    """
    Decodes video frames and encodes images.
    """

    def __init__(self, kind: str, size: tuple[int, int] | None) -> None:
        """
        @param kind: the image format: C{jpg} or C{png}.
        @param size: width and height to scale to; C{None} not to scale.
        """
        self._kind = kind
        self._size = size
        self._decoder = Decoder({FrameKind.VIDEO}, keyframesOnly=True)

    def take(self, frames: list[Frame], now: datetime) -> bytes:
        """
        @param frames: headers and a key frame; or headers, and the video frames from a
            recovery point until the image is complete.
        @return: an image of the last frame.

        @raise SinkError: if it cannot be decoded.
        """
        decoder = self._decoder
        isRun = sum(not frame.isHeader for frame in frames) > 1
        if isRun:
            decoder = Decoder({FrameKind.VIDEO}, eager=True, anywhere=True)
        decoded = [one for frame in frames for one in decoder.decode(frame, now)]
        shape = decoder.pixelShape
        if isRun:
            decoded += decoder.finish()
        if not decoded:
            troubles = decoder.troubles
            raise SinkError(troubles.pop() if troubles else "FFmpeg cannot decode it")
        return encodeImage(decoded[-1].frame, self._kind, self._size, shape)

    def close(self) -> None:
        """
        Free the decoder.
        """
        self._decoder.finish()
