"""
Selects the frames of a stream that one sink gets.
"""

from rtmptw.frames import Frame, FrameKind
from rtmptw.hub.ledger import AWAITING_KEYFRAME, NOT_WANTED
from rtmptw.keyframes import KeyGate, LeadingTrack


class Selection:
    """
    Skips frames that a sink does not want, or could not decode.

    @ivar isActive: whether any frame may be skipped now.
    """

    __slots__ = ("_gate", "_unwanted", "isActive")

    def __init__(self, leading: LeadingTrack) -> None:
        """
        @param leading: the stream's leading video track.
        """
        self.isActive: bool = False
        self._gate = KeyGate(leading)
        self._unwanted: frozenset[FrameKind] = frozenset()

    def awaitKeyframe(self, timestamp: int, audioWaits: bool = True) -> None:
        """
        Skip frames that cannot be decoded, until the next key frame.

        @param timestamp: of the last video frame, or the stream's time now, in ms.
        @param audioWaits: whether audio is skipped too.
        """
        self._gate.close(timestamp, audioWaits)
        self.isActive = True

    def select(self, unwanted: frozenset[FrameKind]) -> None:
        """
        Skip these kinds of frames. Video that is turned on again begins with a key
        frame.
        """
        if FrameKind.VIDEO in self._unwanted and FrameKind.VIDEO not in unwanted:
            self._gate.closeAgain()
        self._unwanted = unwanted
        self.isActive = self._gate.isClosed or bool(unwanted)

    def whySkipped(self, frame: Frame) -> str:
        """
        @return: why a frame is skipped, for the ledger; empty if it is not.
        """
        if frame.isHeader:
            return ""
        if frame.kind in self._unwanted:
            return NOT_WANTED
        if not self._gate.passes(frame):
            return AWAITING_KEYFRAME
        self.isActive = self._gate.isClosed or bool(self._unwanted)
        return ""
