"""
One continuous clock for a stream, made from the timestamps of its sources.

Real encoders wrap at 2^32 or at 2^31 (FFmpeg), start at -1 (macOS OBS), give sequence
headers and ends timestamp 0 in the middle (OBS), restart at 0, or jump when their
clock is set.
A plausible step passes unchanged; anything else is repaired, and counted. All tracks
share one clock, as in the encoder. If a track's timestamps jump, only that track leaves
the clock (moving all would turn one track's jump into a jump of the others,
ossrs/srs#2776). It continues with its own steps, and returns to the clock as soon as
its timestamps do. If the other tracks make the same jump, the encoder's clock was set:
then all tracks follow.
"""

from typing import Final

from rtmptw.frames import DEFAULT_TRACKS, Frame, FrameKind, Role

# All times are in ms.

#: A smaller step back is normal jitter of an encoder, and passed on.
MAX_BACK: Final = 1000
#: A larger step forward, beyond where the other tracks are, is a pause only if the
#: others make it too.
MAX_STEP: Final = 1000
#: A larger step forward is a new clock and not a pause: no publisher may be silent for
#: so long, and no file sent faster than real time shows one video frame for so long.
MAX_FORWARD: Final = 60_000
#: A track that is further behind the stream has stopped.
LIVE: Final = 3000
#: How many former clock offsets of a track are remembered.
MAX_LEFT: Final = 4
#: The assumed step of a track while none is known: a video frame at 30 per second.
DEFAULT_STEP: Final = 33

# Looking up an enum member in its class costs more than comparing it.
_CODED: Final = Role.CODED
_VIDEO: Final = FrameKind.VIDEO
_AUDIO: Final = FrameKind.AUDIO

#: Roles whose timestamps are unreliable: these frames follow the media.
_FOLLOWERS: Final = frozenset(
    {Role.CONFIG, Role.METADATA, Role.CHANNELS, Role.END, Role.DATA, Role.COMMAND}
)


class _Track:
    """
    The clock state of one track.

    @ivar offset: what to add to a timestamp of the source.
    @ivar wire: the last timestamp of the source, unwrapped.
    @ivar position: the last timestamp assigned.
    @ivar step: the last step forward.
    @ivar left: former offsets, the newest last.
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

    @ivar position: the largest timestamp assigned, in ms.
    @ivar isTrusted: whether a pause in one track is accepted without the others
        confirming it: true for a source that is a Python program.
    @ivar repairs: the number of repairs by kind: C{"header"} for a header or end far
        from the media around it, C{"back"} and C{"forward"} for jumps, C{"source"}
        for a new source that continues the stream, C{"wrap"} for a clock of 24 or 31
        bits that wrapped.
    """

    def __init__(self) -> None:
        self._tracks: dict[tuple[FrameKind, int], _Track] = {}
        # The tracks of nearly all frames.
        self._video: _Track | None = None
        self._audio: _Track | None = None
        # The offset of the clock that the tracks share.
        self._offset = 0
        # The last timestamp of the source, unwrapped, if it has sent any. Not an
        # optional number: when compiled, that would create an object for each frame.
        self._hasReference = False
        self._reference = 0
        self._continuing = False
        self.position = 0
        self.isTrusted = False
        self.repairs: dict[str, int] = {}

    def sourceReplaced(self) -> None:
        """
        The next frames are from another source. Its first coded frame continues from
        the last one of the old source.
        """
        self._tracks.clear()
        self._video = self._audio = None
        self._continuing = self._continuing or self._hasReference
        self._hasReference = False

    def repair(self, frame: Frame) -> None:
        """
        Convert a frame's timestamp to the stream's clock.

        @param frame: with the timestamp from the wire, 0 to 2^32 - 1, which is
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
        @return: the timestamp for a frame whose own is unreliable.
        """
        if not self._hasReference:
            # Before the media FFmpeg, OBS and GStreamer always send 0.
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
        Return a track to the clock it has left, if that gives the better step.
        """
        offset = self._known(track, wire)
        if offset is not None:
            there = self._expected(track) - wire
            if abs(offset - there) < abs(track.offset - there):
                self._move(track, offset)

    def _jump(self, track: _Track, wire: int, step: int) -> None:
        """
        Handle a timestamp that does not continue from the last one of its track.
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
            # The track was too far ahead before. It cannot go back, so the others
            # follow it.
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
        @return: the offset of another track that has left the clock in the same way,
            which confirms the jump; C{None} if there is none.
        """
        for other in others:
            offset = other.offset
            if offset != self._offset and self._fits(track, wire + offset):
                if isPause and offset < self._offset:
                    # Both tracks paused: they are still on the clock.
                    self._move(other, self._offset)
                else:
                    self._offset = offset
                return self._offset
        return None

    def _newClock(
        self, track: _Track, wire: int, rest: int | None, others: list[_Track]
    ) -> int:
        """
        @param rest: the intended step, if known.
        @return: the offset for a track that continues on a clock of its own.
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
        @return: whether a timestamp, converted by the shared clock, is near the
            position of another track on that clock.
        """
        offset = self._offset
        return any(
            other.offset == offset and abs(wire + offset - other.position) <= MAX_STEP
            for other in others
        )

    def _known(self, track: _Track, wire: int) -> int | None:
        """
        @return: the offset of the shared clock if the track can continue with it; else
            the newest suitable offset among its former ones; C{None} if none is.
        """
        if self._fits(track, wire + self._offset):
            return self._offset
        for offset in reversed(track.left):
            if self._fits(track, wire + offset):
                return offset
        return None

    def _fits(self, track: _Track, timestamp: int) -> bool:
        """
        @return: whether the track can continue at this timestamp.
        """
        return track.position - MAX_BACK < timestamp <= self.position + MAX_STEP

    def _expected(self, track: _Track) -> int:
        """
        @return: the expected next timestamp of the track.
        """
        expected = track.position + track.step
        if self.position - expected > MAX_BACK:
            # It has paused.
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
    @return: the real step if the clock has wrapped at fewer than 32 bits; C{None} if
        there is no plausible one.
    """
    # FFmpeg's FLV muxer keeps 31 bits. Smaller steps are left to the 24-bit check.
    rest = (step + 0x40000000) % 0x80000000 - 0x40000000
    if rest != step and MAX_STEP < rest <= MAX_FORWARD:
        return rest
    # A step back sent as a delta, which has 24 bits and no sign; and clocks of 24 bits.
    rest = (step + 0x800000) % 0x1000000 - 0x800000
    if -MAX_BACK < rest <= MAX_STEP:
        return rest
    return None
