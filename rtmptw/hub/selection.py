"""
Which frames of a stream are for one sink.
"""

from rtmptw.frames import Frame, FrameKind
from rtmptw.hub.ledger import AWAITING_KEYFRAME, NOT_WANTED
from rtmptw.keyframes import KeyGate, LeadingTrack


class Selection:
    """
    Skips what a sink does not want, and what it could not decode.

    @ivar isActive: whether any frame may be skipped.
    """

    __slots__ = ("_gate", "_unwanted", "isActive")

    def __init__(self, leading: LeadingTrack) -> None:
        """
        @param leading: of the stream.
        """
        self.isActive: bool = False
        self._gate = KeyGate(leading)
        self._unwanted: frozenset[FrameKind] = frozenset()

    def awaitKeyframe(self, timestamp: int, soundWaits: bool = True) -> None:
        """
        Skip what cannot be decoded before the next key frame.

        @param timestamp: of the last picture, or the stream's time now, in ms.
        @param soundWaits: whether sound is skipped, too.
        """
        self._gate.close(timestamp, soundWaits)
        self.isActive = True

    def select(self, unwanted: frozenset[FrameKind]) -> None:
        """
        Skip these kinds. Video that is wanted again begins with a key frame.
        """
        if FrameKind.VIDEO in self._unwanted and FrameKind.VIDEO not in unwanted:
            self._gate.closeAgain()
        self._unwanted = unwanted
        self.isActive = self._gate.isClosed or bool(unwanted)

    def whySkipped(self, frame: Frame) -> str:
        """
        @return: why a frame is not for this sink, for its books; empty if it is.
        """
        if frame.isHeader:
            return ""
        if frame.kind in self._unwanted:
            return NOT_WANTED
        if not self._gate.passes(frame):
            return AWAITING_KEYFRAME
        self.isActive = self._gate.isClosed or bool(self._unwanted)
        return ""
