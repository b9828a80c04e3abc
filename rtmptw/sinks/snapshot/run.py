"""
Finds the frames that an image can be made of, in streams with and without key frames.
"""

from rtmptw.codecs.recovery import recoveryOf
from rtmptw.frames import CodecHeaders, Frame, FrameKind, Role
from rtmptw.samples import samplesOf

#: The most bytes kept until an image is complete: no image is made of a refresh that
#: takes longer.
MAX_BYTES = 8 * 1024 * 1024


class Clean:
    """
    Finds what can be decoded on its own: a key frame or, in a stream without key
    frames, the video frames from a recovery point until the whole image is refreshed.

    @ivar frames: the latest such frames, preceded by the headers; empty before the
        first.
    """

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self._headers = CodecHeaders()
        self._run: list[Frame] = []
        self._left = 0
        self._bytes = 0

    def follow(self, frame: Frame) -> bool:
        """
        Take the next video frame.

        @return: whether L{frames} has changed.
        """
        if frame.isHeader:
            self._headers.remember(frame)
        elif frame.role is not Role.CODED or frame.kind is not FrameKind.VIDEO:
            return False
        elif self._run:
            return self._refreshes(frame)
        else:
            self._left = _recovery(frame)
            # Encoders with intra refresh may mark the start of a refresh as a key
            # frame, which cannot be decoded on its own.
            if self._left > 0 or (self._left == 0 and not frame.isKey):
                return self._refreshes(frame)
            if frame.isKey:
                self.frames = [*self._headers.frames(), frame]
                return True
        return False

    def _refreshes(self, frame: Frame) -> bool:
        if not self._run:
            self._bytes = 0
        elif self._left:
            self._left -= 1
        self._run.append(frame)
        self._bytes += frame.size
        if self._bytes > MAX_BYTES:
            self._run = []
        elif not self._left:
            run, self._run = self._run, []
            self.frames = [*self._headers.frames(), *run]
            return True
        return False


def _recovery(frame: Frame) -> int:
    """
    @return: the number of further frames that its recovery point announces; -1 if it
        has none.
    """
    return max(
        (recoveryOf(sample.codec, sample.data) for sample in samplesOf(frame)),
        default=-1,
    )
