"""
Pictures of which an image can be made, in streams with and without key frames.
"""

from rtmptw.codecs.recovery import recoveryOf
from rtmptw.frames import CodecHeaders, Frame, FrameKind, Role
from rtmptw.samples import samplesOf

#: The most that is kept until a picture is whole: of a refresh that takes longer no
#: image is made.
MAX_BYTES = 8 * 1024 * 1024


class Clean:
    """
    Finds in a stream what can be decoded on its own: a key frame, or, where there are
    none, the pictures from a recovery point on until all is refreshed.

    @ivar frames: the last that there were, with the headers before them; none before
        the first.
    """

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self._headers = CodecHeaders()
        self._run: list[Frame] = []
        self._left = 0
        self._bytes = 0

    def follow(self, frame: Frame) -> bool:
        """
        Take the next frame of video.

        @return: whether L{frames} are new.
        """
        if frame.isHeader:
            self._headers.remember(frame)
        elif frame.role is not Role.CODED or frame.kind is not FrameKind.VIDEO:
            return False
        elif self._run:
            return self._refreshes(frame)
        else:
            self._left = _recovery(frame)
            # Encoders that refresh column by column mark where that begins as a key
            # frame, which it is not yet.
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
    @return: what its recovery point says; -1 if it has none.
    """
    return max(
        (recoveryOf(sample.codec, sample.data) for sample in samplesOf(frame)),
        default=-1,
    )
