"""
One unbroken clock for a stream, from the timestamps its sources send.

Real encoders wrap at 2^32 or at 2^31 (FFmpeg), start at -1 (macOS OBS), stamp
headers and the end of a sequence with 0 in the middle (OBS), restart at 0, or jump
when their clock is set.
A step that makes sense passes unchanged; anything else is repaired, and counted.
Audio and video have correctors of their own that share one offset: a corrector
common to both takes one track's jump for the other's (ossrs/srs#2776).
"""

from typing import Final

from rtmptw.frames import DEFAULT_TRACKS, Frame, FrameKind, Role

#: A step back of less than this is an encoder's own unevenness and is passed on.
MAX_BACK: Final = 1000
#: A step forward of more than this is a new clock and no pause: no publisher may be
#: silent for so long, and no unpaced file shows a picture for so long.
MAX_FORWARD: Final = 60_000
#: What a track steps when nothing is known of it: a video frame at 30 a second.
DEFAULT_STEP: Final = 33

# To look a member up in its class costs more than to compare it.
_CODED: Final = Role.CODED
_VIDEO: Final = FrameKind.VIDEO
_AUDIO: Final = FrameKind.AUDIO

#: Roles whose timestamps mean little: they follow the media.
_FOLLOWERS: Final = frozenset(
    {Role.CONFIG, Role.METADATA, Role.CHANNELS, Role.END, Role.DATA, Role.COMMAND}
)


class _Track:
    """
    @ivar offset: what to add to a timestamp of the source.
    @ivar wire: the last timestamp of the source, unwrapped.
    @ivar position: the last timestamp given out.
    @ivar step: the last step forward.
    """

    __slots__ = ("offset", "position", "step", "wire")

    def __init__(self, offset: int, wire: int) -> None:
        self.offset = offset
        self.wire = wire
        self.position = wire + offset
        self.step = DEFAULT_STEP


class Timeline:
    """
    Repairs the timestamps of one stream.

    @ivar position: the largest timestamp given out, in ms.
    @ivar repairs: how often which repair was needed: C{"header"} a header or end
        far from the media around it, C{"back"} and C{"forward"} jumps, C{"source"}
        a new source that continues the stream, C{"wrap"} a clock of 31 bits that
        began anew.
    """

    def __init__(self) -> None:
        self._tracks: dict[tuple[FrameKind, int], _Track] = {}
        # Those of nearly all frames.
        self._video: _Track | None = None
        self._audio: _Track | None = None
        self._offset = 0
        # The last timestamp of the source, unwrapped, if it has sent any. Not one
        # number or none: compiled, that would be an object made for each frame.
        self._hasReference = False
        self._reference = 0
        self._continuing = False
        self.position = 0
        self.repairs: dict[str, int] = {}

    def sourceReplaced(self) -> None:
        """
        What comes next is from another source: its first coded frame follows the
        last one of the old source.
        """
        self._tracks.clear()
        self._video = self._audio = None
        self._continuing = self._continuing or self._hasReference
        self._hasReference = False

    def repair(self, frame: Frame) -> None:
        """
        Put a frame on the stream's clock.

        @param frame: with the timestamp of the wire, 0 to 2^32 - 1, which is
            replaced.
        """
        timestamp = frame.timestamp
        if not self._hasReference:
            # 0xFFFFFFFF is just before 0 (obsproject/obs-studio#10998).
            wire = timestamp - 0x100000000 if timestamp & 0x80000000 else timestamp
        else:
            reference = self._reference
            wire = reference + (
                ((timestamp - reference + 0x80000000) & 0xFFFFFFFF) - 0x80000000
            )
        kind = frame.kind
        track: _Track | None = None
        if frame.role is not _CODED:
            if frame.role in _FOLLOWERS:
                frame.timestamp = self._follow(wire)
                return
        elif frame.tracks is DEFAULT_TRACKS:
            track = self._video if kind is _VIDEO else self._audio
        if track is None:
            track = self._tracks.get((kind, frame.tracks[0]))
        if track is None:
            track = self._firstFrame(kind, frame.tracks[0], wire)
        else:
            step = wire - track.wire
            if step <= -MAX_BACK or step > MAX_FORWARD:
                self._jump(track, wire, "back" if wire < track.wire else "forward")
            elif step > 0:
                track.step = step
        self._hasReference = True
        self._reference = wire
        track.wire = wire
        track.position = frame.timestamp = wire + track.offset
        if track.position > self.position:
            self.position = track.position

    def _follow(self, wire: int) -> int:
        """
        @return: the time for a frame that has none of its own.
        """
        if not self._hasReference:
            # Before the media: FFmpeg, OBS and GStreamer say 0 whatever follows.
            return self.position if self._continuing else wire
        timestamp = wire + self._offset
        if abs(timestamp - self.position) > MAX_BACK:
            self._count("header")
            return self.position
        return timestamp

    def _firstFrame(self, kind: FrameKind, number: int, wire: int) -> _Track:
        if self._continuing:
            self._continuing = False
            self._offset = self.position + DEFAULT_STEP - wire
            self._count("source")
        elif self._tracks and not (
            -MAX_FORWARD <= wire + self._offset - self.position <= MAX_FORWARD
        ):
            # A second track on a clock of its own.
            self._count("forward" if wire + self._offset > self.position else "back")
            self._offset = self.position - wire
        track = self._tracks[kind, number] = _Track(self._offset, wire)
        if number == DEFAULT_TRACKS[0]:
            if kind is _VIDEO:
                self._video = track
            elif kind is _AUDIO:
                self._audio = track
        return track

    def _jump(self, track: _Track, wire: int, kind: str) -> None:
        """
        The track's clock was set. If the other one was set before it in the same
        way, the offset found then fits; else this finds it.
        """
        there = wire + self._offset - track.position
        # FFmpeg's FLV muxer keeps 31 bits: a step that makes sense modulo 2^31.
        rest = (wire - track.wire + 0x40000000) % 0x80000000 - 0x40000000
        wraps = -MAX_BACK < rest <= MAX_FORWARD
        self._count("wrap" if wraps else kind)
        if track.offset == self._offset or not -MAX_BACK < there <= MAX_FORWARD:
            if wraps:
                self._offset = track.position + rest - wire
            else:
                self._offset = max(self.position, track.position) + track.step - wire
        track.offset = self._offset

    def _count(self, kind: str) -> None:
        self.repairs[kind] = self.repairs.get(kind, 0) + 1
