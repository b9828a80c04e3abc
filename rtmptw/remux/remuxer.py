"""
Decides which frames go to which container.
"""

from collections.abc import Callable

from rtmptw.frames import Frame, Role
from rtmptw.keyframes import LeadingTrack
from rtmptw.remux.container import Begin, Container, TrackKey
from rtmptw.remux.heads import Head
from rtmptw.remux.kinds import codecName
from rtmptw.remux.opening import MAX_TRACKS, Opening
from rtmptw.samples import Sample, samplesOf

#: A track whose timestamps step back further has its clock from elsewhere.
MAX_LAG = 10_000


class Remuxer:
    """
    Turns a stream into one container after another: a new one begins where the
    tracks change, and where it is asked for.
    """

    def __init__(
        self,
        begin: Begin,
        end: Callable[[Container, str], None],
        isFull: Callable[[int, int], bool] = lambda milliseconds, size: False,
    ) -> None:
        """
        @param begin: called for each container.
        @param end: called with a container that is done, and how the tracks change;
            empty if they do not.
        @param isFull: called with the ms and bytes that the container has, where the
            next one can begin: whether it is to.
        """
        self._begin = begin
        self._end = end
        self._isFull = isFull
        self._opening = Opening()
        self._configs: dict[TrackKey, Sample] = {}
        self._tracks: dict[TrackKey, Head] = {}
        self._container: Container | None = None
        self._turning = False
        self._leading = LeadingTrack()
        self._started = 0
        self._highest: int | None = None
        self._lag = 0

    def write(self, frame: Frame) -> None:
        """
        Take the next frame.

        @raise SinkError: if the container cannot hold the stream.

        @raise OSError: if the target cannot be written.
        """
        if frame.name == "onMetaData":
            self._opening.announce(frame.payload)
        samples = samplesOf(frame)
        if samples or frame.role is Role.END:
            self._leading.follow(frame)
        begins = self._leading.begins(frame)
        for sample in samples:
            if sample.isConfig:
                self._configure(sample)
            else:
                self._clock(sample)
                if self._container is not None:
                    self._turnIfDue(sample, begins)
                if self._container is not None:
                    self._container.write(sample)
                else:
                    self._wait(sample)

    def finish(self) -> None:
        """
        The stream is over: write what waits, and the end.

        @raise SinkError: as L{write}.

        @raise OSError: as L{write}.
        """
        try:
            if self._container is None and self._opening.tracks():
                self._open()
            self._endPart("")
        finally:
            self.close()

    def close(self) -> None:
        """
        Free what is held for something that went wrong.
        """
        if self._container is not None:
            container, self._container = self._container, None
            container.abandon()

    def _configure(self, sample: Sample) -> None:
        key = sample.kind, sample.track
        if self._container is None:
            self._opening.configure(sample)
        elif key not in self._tracks or self._tracks[key].differs(sample):
            # Not before there is something that it is for: FFmpeg's own FLV container
            # ends FLAC with a configuration that has the checksum of it all.
            if key in self._configs or len(self._configs) < MAX_TRACKS:
                self._configs[key] = sample
        else:
            self._configs.pop(key, None)

    def _clock(self, sample: Sample) -> None:
        """
        Learn how far the tracks lie apart.
        """
        if self._highest is None or sample.timestamp > self._highest:
            self._highest = sample.timestamp
        else:
            behind = self._highest - sample.timestamp
            self._lag = max(self._lag, min(behind, MAX_LAG))

    def _turnIfDue(self, sample: Sample, begins: bool) -> None:
        """
        End the container if it cannot take the sample, or is full.

        @param begins: whether the next one can begin with it.
        """
        assert self._container is not None
        key = sample.kind, sample.track
        track = self._tracks.get(key)
        if track is None:
            if key in self._opening.heads or len(self._opening.heads) < MAX_TRACKS:
                self._endPart(f"{codecName(sample.codec)} comes in")
        elif key in self._configs or track.codec is not sample.codec:
            self._endPart(f"the {codecName(sample.codec)} changes")
        elif begins:
            milliseconds = sample.timestamp - self._started
            if self._isFull(milliseconds, self._container.counts.bytes):
                self._endPart("")

    def _wait(self, sample: Sample) -> None:
        self._opening.add(sample)
        if self._opening.ready:
            self._open()

    def _open(self) -> None:
        """
        Begin a container with what waits.
        """
        self._tracks = self._opening.tracks()
        samples = [
            sample
            for sample in self._opening.samples
            if (sample.kind, sample.track) in self._tracks
        ]
        base = min(sample.timestamp for sample in samples)
        if self._turning:
            # What comes may be as late as what came.
            base = min(base, samples[0].timestamp - self._lag)
        self._started = samples[0].timestamp
        self._container = self._begin(self._tracks, base)
        self._turning = True
        self._opening.again()
        for sample in samples:
            self._container.write(sample)

    def _endPart(self, why: str) -> None:
        if self._container is not None:
            container, self._container = self._container, None
            self._end(container, why)
            for config in self._configs.values():
                self._opening.configure(config)
            self._configs = {}
