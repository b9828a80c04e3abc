"""
Decides which frames go to which container.
"""

from collections.abc import Callable, Set
from typing import Final

from rtmptw.frames import Codec, Frame, FrameKind, Role
from rtmptw.keyframes import Beginnings, LeadingTrack
from rtmptw.remux.about import Hearsay
from rtmptw.remux.configs import NEEDY, isGood
from rtmptw.remux.container import Begin, Container
from rtmptw.remux.heads import Head, TrackError, TrackKey
from rtmptw.remux.kinds import codecName
from rtmptw.remux.opening import MAX_TRACKS, Opening
from rtmptw.samples import Sample, samplesOf

#: Larger steps back of a timestamp, in ms, are not lag: the track's clock is another.
MAX_LAG: Final = 10_000
#: Most samples and bytes held for the next container: 1.5 minutes of audio. When more
#: would wait, a container begins without a key frame.
MAX_HELD = 4096
MAX_HELD_BYTES: Final = 16 * 1024 * 1024

#: Why samples that cannot be decoded are left out.
NO_HEADER: Final = "its codec header is missing"

_CODED: Final = Role.CODED
_CONFIG: Final = Role.CONFIG
_END: Final = Role.END
_VIDEO: Final = FrameKind.VIDEO


class Remuxer:
    """
    Turns a stream into one container after another.

    When the current container cannot hold what comes (a late track, another codec,
    another configuration), a new one begins at the next key frame. Until then, samples
    that do not fit are held, and the other tracks continue. The only samples lost are
    those that cannot be decoded because their codec header never comes.
    """

    def __init__(
        self,
        begin: Begin,
        end: Callable[[Container, str], None],
        isFull: Callable[[int, int], bool] = lambda milliseconds, size: False,
        codecs: Set[Codec] | None = None,
        leaveOut: Callable[[Codec, str], None] = lambda codec, why: None,
    ) -> None:
        """
        @param begin: called for each container.
        @param end: called with a container that is complete, and how the tracks change;
            empty if they do not.
        @param isFull: called where the next container can begin, with the ms and bytes
            of the current one; returns whether the next one should begin.
        @param codecs: the codecs that the containers can hold; C{None} if unknown.
        @param leaveOut: called once for each codec whose samples are left out, with the
            reason; empty if C{codecs} does not include it.
        """
        self._begin = begin
        self._end = end
        self._isFull = isFull
        self._codecs = codecs
        self._leaveOut = leaveOut
        self._leftOut: set[Codec] = set()
        # The last two codecs that the containers can hold.
        self._oneCodec: Codec | None = None
        self._otherCodec: Codec | None = None
        self._hearsay = Hearsay()
        self._opening = Opening(self._hearsay)
        self._tracks: dict[TrackKey, Head] = {}
        self._container: Container | None = None
        self._turning: bool = False
        self._leading = LeadingTrack()
        self._beginnings = Beginnings(self._leading)
        self._started: int = 0
        self._highest: int = -(2**62)
        self._lag: int = 0
        # What the current container cannot take: the tracks as they will be, and the
        # samples held for them.
        self._next: dict[TrackKey, Head] = {}
        self._held: list[Sample] = []
        self._heldBytes: int = 0
        # Held tracks that need containers of their own, as their configuration has
        # changed again since.
        self._earlier: list[tuple[TrackKey, Head, list[Sample]]] = []
        # Tracks that no container accepts, until they get a new configuration.
        self._refused: set[TrackKey] = set()

    def write(self, frame: Frame) -> None:
        """
        Process the next frame.

        @raise SinkError: if the container cannot hold the stream.

        @raise OSError: if the target cannot be written.
        """
        role = frame.role
        if role is not _CODED and role is not _CONFIG:
            if role is _END:
                self._leading.follow(frame)
            else:
                self._hearsay.hear(frame)
            return
        samples = samplesOf(frame)
        for sample in samples:
            # Looking a codec up in a set would cost more than all the rest here.
            codec = sample.codec
            before: Codec | None = self._oneCodec
            if codec is before or codec is self._otherCodec:
                continue
            if not self._holds(codec):
                samples = [each for each in samples if self._holds(each.codec)]
                break
            self._oneCodec = codec
            self._otherCodec = before
        if not samples:
            return
        if role is _CONFIG:
            for sample in samples:
                self._configure(sample)
            return
        if frame.isKey:
            self._leading.follow(frame)
        begins = self._beginnings.begins(frame)
        for sample in samples:
            self._take(sample, begins)

    def _holds(self, codec: Codec) -> bool:
        if self._codecs is None or codec in self._codecs:
            return True
        self._say(codec, "")
        return False

    def _say(self, codec: Codec, why: str) -> None:
        if codec not in self._leftOut:
            self._leftOut.add(codec)
            self._leaveOut(codec, why)

    def finish(self) -> None:
        """
        Write what waits, and the container's end: the stream is over.

        @raise SinkError: see L{write}.

        @raise OSError: see L{write}.
        """
        try:
            if self._container is None and self._opening.tracks():
                self._open()
            self._letFirst()
            if self._container is not None and (self._earlier or self._isPending):
                self._turn(self._highest, isForced=True)
                if self._opening.tracks():
                    self._open()
            self._endPart("")
            for head in (*self._next.values(), *self._opening.heads.values()):
                if head.config is None and head.codec in NEEDY:
                    self._say(head.codec, NO_HEADER)
        finally:
            self.close()

    def close(self) -> None:
        """
        Free all resources after an error.
        """
        if self._container is not None:
            container, self._container = self._container, None
            container.abandon()

    # Configurations.

    def _configure(self, sample: Sample) -> None:
        key = sample.kind, sample.track
        if not isGood(sample.codec, sample.data):
            known = self._tracks.get(key) or self._opening.heads.get(key)
            if known is not None and known.config is not None:
                # It is invalid; keep the previous one.
                return
        self._refused.discard(key)
        opening = self._opening
        if self._container is None and not opening.isFor(sample) and opening.tracks():
            self._open()
        # Not in the condition above: the compiler would rely on its result.
        if self._container is None:
            opening.configure(sample)
        else:
            self._change(key, sample)

    def _change(self, key: TrackKey, sample: Sample) -> None:
        """
        Handle a configuration that comes while a container is written.
        """
        current = self._next.get(key) or self._tracks.get(key)
        if current is None or not current.differs(sample):
            if current is None and len(self._tracks) + len(self._next) < MAX_TRACKS:
                self._next[key] = Head(sample.codec, sample)
            return
        waiting = self._next.get(key)
        if waiting is not None and waiting.first is not None:
            if waiting.codec is sample.codec and waiting.config is None:
                # The held samples wait for this configuration.
                waiting.config = sample
                self._settle(key, waiting)
                return
            # The held samples need another decoder than those to come.
            self._setAside(key, waiting)
        track = self._tracks.get(key)
        if track is not None and not track.differs(sample):
            # The configuration is the current one again.
            self._next.pop(key, None)
        else:
            self._next[key] = Head(sample.codec, sample)

    # Samples.

    def _take(self, sample: Sample, begins: bool) -> None:
        """
        @param begins: whether a container can begin with it.
        """
        timestamp = sample.timestamp
        if timestamp > self._highest:
            self._highest = timestamp
        elif self._highest - timestamp > self._lag:
            self._lag = min(self._highest - timestamp, MAX_LAG)
        if self._container is None:
            self._wait(sample)
            return
        key = sample.kind, sample.track
        isRefused = key in self._refused
        track = self._tracks.get(key)
        if begins and self._isToTurn(key, track, sample):
            self._turn(timestamp, None if isRefused else sample)
        elif isRefused:
            return
        elif track is not None and (
            (key not in self._next and track.codec is sample.codec)
            or self._isOld(key, track, sample)
        ):
            self._container.write(sample)
        else:
            self._hold(key, sample)
            if begins and self._isPending:
                self._turn(timestamp)

    def _isOld(self, key: TrackKey, track: Head, sample: Sample) -> bool:
        """
        @return: whether a sample of a changing track is still for the current decoder:
            video frames are, up to the next key frame.
        """
        head = self._next.get(key)
        return (
            sample.kind is _VIDEO
            and not sample.isKey
            and track.codec is sample.codec
            and (head is None or head.first is None)
        )

    def _isToTurn(self, key: TrackKey, track: Head | None, sample: Sample) -> bool:
        assert self._container is not None
        if self._earlier or self._isPending:
            return True
        if track is not None and (key in self._next or track.codec is not sample.codec):
            return True
        milliseconds = sample.timestamp - self._started
        return self._isFull(milliseconds, self._container.counts.bytes)

    @property
    def _isPending(self) -> bool:
        """
        Whether there are held samples that the next container could contain.
        """
        if not self._held:
            return False
        return any(head.isReady for head in self._next.values())

    def _hold(self, key: TrackKey, sample: Sample) -> None:
        """
        Hold a sample for the next container.
        """
        head = self._next.get(key)
        if head is None or head.codec is not sample.codec:
            if head is None and len(self._tracks) + len(self._next) >= MAX_TRACKS:
                return
            if head is not None and head.first is not None:
                self._setAside(key, head)
            known = self._opening.heads.get(key)
            config = None
            if known is not None and known.codec is sample.codec:
                # It was configured long before its first sample.
                config = known.config
            head = self._next[key] = Head(sample.codec, config)
        if sample.isKey and head.first is None:
            head.first = sample
        self._held.append(sample)
        self._heldBytes += len(sample.data)
        if key not in self._tracks and key not in self._refused:
            self._settle(key, head)
        if len(self._held) > MAX_HELD or self._heldBytes > MAX_HELD_BYTES:
            self._makeRoom(sample.timestamp)

    def _makeRoom(self, timestamp: int) -> None:
        """
        Too much is held: begin a container without a key frame, or drop a sample that
        cannot be decoded.
        """
        self._letFirst()
        if self._isPending:
            self._turn(timestamp, isForced=True)
        else:
            dropped = self._held.pop(0)
            self._heldBytes -= len(dropped.data)
            self._say(dropped.codec, NO_HEADER)

    def _letFirst(self) -> None:
        """
        Let held tracks begin in the middle, as there is no key frame.
        """
        for each in self._held:
            head = self._next[each.kind, each.track]
            if head.first is None:
                head.first = each

    def _setAside(self, key: TrackKey, head: Head) -> None:
        """
        Schedule a container of its own for the held samples of a track.
        """
        waiting = [each for each in self._held if key == (each.kind, each.track)]
        self._held = [each for each in self._held if key != (each.kind, each.track)]
        del self._next[key]
        if head.isReady:
            self._earlier.append((key, head, waiting))
        else:
            self._say(head.codec, NO_HEADER)
            self._heldBytes -= sum(len(each.data) for each in waiting)

    def _settle(self, key: TrackKey, head: Head) -> None:
        """
        Add a late track to the container, if it can be added.
        """
        container = self._container
        if container is None or key in self._tracks or not head.isReady:
            return
        head.about = self._hearsay.of(*key)
        if not container.takes(key, head):
            return
        self._tracks[key] = head
        self._opening.heads[key] = head
        del self._next[key]
        held, self._held = self._held, []
        self._heldBytes = 0
        for sample in held:
            if key == (sample.kind, sample.track):
                container.write(sample)
            else:
                self._held.append(sample)
                self._heldBytes += len(sample.data)

    # Containers.

    def _turn(
        self, timestamp: int, sample: Sample | None = None, isForced: bool = False
    ) -> None:
        """
        End the container, and begin the next one with the held samples.

        @param timestamp: where the next one begins.
        @param sample: its next sample; C{None} if that is held, too.
        @param isForced: whether this is not a place to begin, so that tracks continue
            in the middle.
        """
        whys = []
        for key, head in self._next.items():
            if key in self._tracks:
                whys.append(f"new {codecName(head.codec)} configuration")
            elif head.isReady:
                whys.append(f"new {codecName(head.codec)} track")
        held, self._held = self._held, []
        self._heldBytes = 0
        going = {*self._tracks, *self._next} if isForced else set()
        self._endPart(", ".join(whys))
        self._writeEarlier()
        opening = self._opening
        opening.again(timestamp, going)
        for key, head in self._next.items():
            if head.first is not None or head.config is None:
                opening.heads[key] = head
            else:
                opening.configure(head.config)
        self._next = {}
        self._started = timestamp
        for each in held:
            opening.add(each)
        if sample is not None:
            self._wait(sample)

    def _writeEarlier(self) -> None:
        earlier, self._earlier = self._earlier, []
        for key, head, samples in earlier:
            head.about = self._hearsay.of(*key)
            try:
                container = self._begin({key: head}, samples[0].timestamp)
            except TrackError as error:
                self._say(error.codec, str(error))
                continue
            self._container = container
            for sample in samples:
                container.write(sample)
            self._endPart(f"new {codecName(head.codec)} configuration")

    def _wait(self, sample: Sample) -> None:
        key = sample.kind, sample.track
        if key in self._refused:
            return
        self._opening.add(sample)
        if self._opening.ready:
            self._open()

    def _open(self) -> None:
        """
        Begin a container with the samples that wait.
        """
        opening = self._opening
        samples = opening.samples
        if not self._turning:
            self._started = samples[0].timestamp
        tracks = opening.tracks()
        while tracks:
            inside = [each for each in samples if (each.kind, each.track) in tracks]
            base = min(each.timestamp for each in inside)
            if self._turning:
                # Later samples may be as late as earlier ones.
                base = min(base, self._started - self._lag)
            for key, head in tracks.items():
                head.about = self._hearsay.of(*key)
            try:
                self._container = self._begin(tracks, base)
                break
            except TrackError as error:
                self._say(error.codec, str(error))
                self._refused.add(error.key)
                del tracks[error.key], opening.heads[error.key]
        opening.again(self._started)
        if self._container is None:
            return
        self._tracks = tracks
        self._turning = True
        for each in samples:
            key = each.kind, each.track
            if key in tracks:
                self._container.write(each)
            elif key in opening.heads:
                # Its codec header is missing, but may still come.
                head = opening.heads[key]
                self._next.setdefault(key, Head(head.codec, head.config, head.first))
                self._held.append(each)
                self._heldBytes += len(each.data)

    def _endPart(self, why: str) -> None:
        if self._container is not None:
            container, self._container = self._container, None
            self._tracks = {}
            self._end(container, why)
