"""
One unbroken clock for a stream, from the timestamps its sources send.

Real encoders wrap at 2^32 or at 2^31 (FFmpeg), start at -1 (macOS OBS), stamp
headers and the end of a sequence with 0 in the middle (OBS), restart at 0, or jump
when their clock is set.
A step that makes sense passes unchanged; anything else is repaired, and counted.
All tracks share one clock, as those of the encoder do. A track whose timestamp goes
astray leaves the clock by itself (to move both then takes one track's jump for the
other's, ossrs/srs#2776), goes on with its own steps, and comes back to the clock as
soon as its timestamps do. If the others go where it went, the clock was set: they meet
there.
"""

from typing import Final

from rtmptw.frames import DEFAULT_TRACKS, Frame, FrameKind, Role

#: A step back of less than this is an encoder's own unevenness and is passed on.
MAX_BACK: Final = 1000
#: A step forward of more than this, and beyond where the other tracks are, is a pause
#: only if the others make it too.
MAX_STEP: Final = 1000
#: A step forward of more than this is a new clock and no pause: no publisher may be
#: silent for so long, and no unpaced file shows a picture for so long.
MAX_FORWARD: Final = 60_000
#: A track that is so far behind the stream has stopped.
LIVE: Final = 3000
#: So many clocks that a track has left are remembered.
MAX_LEFT: Final = 4
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
    @ivar left: the offsets it had before, the newest last.
    """

    __slots__ = ("left", "offset", "position", "step", "wire")

    def __init__(self, offset: int, wire: int) -> None:
        self.offset = offset
        self.wire = wire
        self.position = wire + offset
        self.step = DEFAULT_STEP
        self.left: list[int] = []


class Timeline:
    """
    Repairs the timestamps of one stream.

    @ivar position: the largest timestamp given out, in ms.
    @ivar isTrusted: whether the source means its steps, and needs nobody to confirm a
        pause: a Python program does.
    @ivar repairs: how often which repair was needed: C{"header"} a header or end
        far from the media around it, C{"back"} and C{"forward"} jumps, C{"source"}
        a new source that continues the stream, C{"wrap"} a clock of 24 or 31 bits
        that began anew.
    """

    def __init__(self) -> None:
        self._tracks: dict[tuple[FrameKind, int], _Track] = {}
        # Those of nearly all frames.
        self._video: _Track | None = None
        self._audio: _Track | None = None
        # The offset of the clock that the tracks share.
        self._offset = 0
        # The last timestamp of the source, unwrapped, if it has sent any. Not one
        # number or none: compiled, that would be an object made for each frame.
        self._hasReference = False
        self._reference = 0
        self._continuing = False
        self.position = 0
        self.isTrusted = False
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
            if -MAX_BACK < step <= MAX_STEP:
                if track.offset != self._offset:
                    self._comeBack(track, wire)
                if step > 0:
                    track.step = step
            else:
                self._jump(track, wire, step)
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
        offset = self._offset
        if self._continuing:
            self._continuing = False
            offset = self._offset = self.position + DEFAULT_STEP - wire
            self._count("source")
        elif self._tracks and not (
            -MAX_FORWARD <= wire + offset - self.position <= MAX_FORWARD
        ):
            # A second track on a clock of its own.
            self._count("forward" if wire + offset > self.position else "back")
            offset = self.position - wire
        track = self._tracks[kind, number] = _Track(offset, wire)
        if number == DEFAULT_TRACKS[0]:
            if kind is _VIDEO:
                self._video = track
            elif kind is _AUDIO:
                self._audio = track
        return track

    def _comeBack(self, track: _Track, wire: int) -> None:
        """
        A track that has left the clock goes on. It comes back if that is the better
        step.
        """
        offset = self._known(track, wire)
        if offset is not None:
            there = self._expected(track) - wire
            if abs(offset - there) < abs(track.offset - there):
                self._move(track, offset)

    def _jump(self, track: _Track, wire: int, step: int) -> None:
        """
        A timestamp that does not go on from the last one of its track.
        """
        isPause = MAX_STEP < step <= MAX_FORWARD and track.offset == self._offset
        offset = self._known(track, wire)
        if isPause and offset == self._offset:
            # A gap in this track alone.
            return
        others = [
            other
            for other in self._tracks.values()
            if other is not track and other.position >= self.position - LIVE
        ]
        if isPause and (self.isTrusted or not others):
            return
        rest = _rest(step)
        kind = "forward" if step > 0 else "back"
        self._count(kind if rest is None else "wrap")
        if offset != self._offset and self._isWhereOthersAre(wire, others):
            # It was too far ahead before. Nothing goes back, so they follow.
            before = self._offset
            self._offset = offset = self._expected(track) - wire
            for other in others:
                if other.offset == before:
                    self._move(other, offset)
        if offset is None:
            offset = self._follower(track, wire, isPause, others)
        if offset is None:
            offset = self._newClock(track, wire, rest, others)
        self._move(track, offset)

    def _follower(
        self, track: _Track, wire: int, isPause: bool, others: list[_Track]
    ) -> int | None:
        """
        @return: the offset of another track that has left the clock in the same way, if
            there is one: so that was no accident.
        """
        for other in others:
            offset = other.offset
            if offset != self._offset and self._fits(track, wire + offset):
                if isPause and offset < self._offset:
                    # Both were silent: they are where they should be.
                    self._move(other, self._offset)
                else:
                    self._offset = offset
                return self._offset
        return None

    def _newClock(
        self, track: _Track, wire: int, rest: int | None, others: list[_Track]
    ) -> int:
        """
        @param rest: the step that was meant, if that is known.
        @return: the offset for a track that goes on by itself.
        """
        if rest is not None:
            offset = track.position + rest - wire
        elif others:
            offset = self._expected(track) - wire
        else:
            offset = self.position + track.step - wire
        if all(other.offset != self._offset for other in others):
            self._offset = offset
        return offset

    def _isWhereOthersAre(self, wire: int, others: list[_Track]) -> bool:
        """
        Whether the clock that others are on says the same of them as of a timestamp.
        """
        offset = self._offset
        return any(
            other.offset == offset and abs(wire + offset - other.position) <= MAX_STEP
            for other in others
        )

    def _known(self, track: _Track, wire: int) -> int | None:
        """
        @return: the offset of the clock if the track can go on with it; else the newest
            of those it has left that makes sense; C{None} if none does.
        """
        if self._fits(track, wire + self._offset):
            return self._offset
        for offset in reversed(track.left):
            if self._fits(track, wire + offset):
                return offset
        return None

    def _fits(self, track: _Track, timestamp: int) -> bool:
        """
        Whether the track can go on there.
        """
        return track.position - MAX_BACK < timestamp <= self.position + MAX_STEP

    def _expected(self, track: _Track) -> int:
        """
        @return: when the track goes on, as far as anybody can say.
        """
        expected = track.position + track.step
        if self.position - expected > MAX_BACK:
            # It has been away.
            return self.position
        return expected

    def _move(self, track: _Track, offset: int) -> None:
        before = track.offset
        if offset != before:
            left = track.left
            if before not in left:
                left.append(before)
                if len(left) > MAX_LEFT:
                    del left[0]
            track.offset = offset

    def _count(self, kind: str) -> None:
        self.repairs[kind] = self.repairs.get(kind, 0) + 1


def _rest(step: int) -> int | None:
    """
    @return: the step that was meant by a clock of fewer bits than 32; C{None} if there
        is none that makes sense.
    """
    # FFmpeg's FLV muxer keeps 31 bits. Of small steps all that is below counts, too.
    rest = (step + 0x40000000) % 0x80000000 - 0x40000000
    if rest != step and MAX_STEP < rest <= MAX_FORWARD:
        return rest
    # A step back sent as a difference, which has 24 bits and no sign; and clocks that
    # stop at 24 bits.
    rest = (step + 0x800000) % 0x1000000 - 0x800000
    if -MAX_BACK < rest <= MAX_STEP:
        return rest
    return None
