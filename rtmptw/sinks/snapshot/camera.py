"""
Makes images of pictures; in a lane, or in a process of its own.
"""

from datetime import datetime

from rtmptw._pyav.decoding import Decoder
from rtmptw._pyav.pictures import encodeImage
from rtmptw.errors import SinkError
from rtmptw.frames import Frame, FrameKind


class Camera:
    """
    Makes images of pictures.
    """

    def __init__(self, kind: str, size: tuple[int, int] | None) -> None:
        """
        @param kind: of image: C{jpg} or C{png}.
        @param size: width and height; as they are if C{None}.
        """
        self._kind = kind
        self._size = size
        self._decoder = Decoder({FrameKind.VIDEO}, keyframesOnly=True)

    def take(self, frames: list[Frame], now: datetime) -> bytes:
        """
        @param frames: headers and a key frame; or headers, and the pictures from a
            recovery point on until one that is whole.
        @return: the image of the last.

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
