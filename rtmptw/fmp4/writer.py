"""
One fragmented file: the order of its parts, and when a fragment ends.
"""

from rtmptw.fmp4.fragment import Entry, entries, fragment, index
from rtmptw.fmp4.run import Run
from rtmptw.fmp4.timing import Timing
from rtmptw.fmp4.track import Track

#: Bytes at which a fragment ends, however short it is, because it is kept in memory.
MAX_FRAGMENT = 8 * 1024 * 1024
#: Most key frames in the index, each with 28 bytes. When there are more, every second
#: one is removed.
MAX_INDEX = 65_536


class _Line:
    """
    A track while it is written.
    """

    __slots__ = ("isAudio", "number", "rate", "run", "timing")

    def __init__(self, track: Track) -> None:
        description = track.description
        self.number = track.number
        self.rate = description.rate
        self.isAudio = description.size is None
        self.timing = Timing(description.rate, description.block)
        self.run = Run(track.number, self.isAudio)


class Writer:
    """
    Collects samples until a fragment is complete.

    @ivar milliseconds: from the beginning to the end of the last sample.
    @ivar waiting: number of samples in the current fragment.
    @ivar age: ms between the first and the last of these.
    """

    __slots__ = (
        "_bytes",
        "_first",
        "_index",
        "_length",
        "_lines",
        "_met",
        "_sequence",
        "_stride",
        "age",
        "milliseconds",
        "waiting",
    )

    def __init__(self, length: int) -> None:
        """
        @param length: ms after which a fragment ends.
        """
        self._length = length
        self._lines: list[_Line] = []
        self._sequence: int = 0
        self._bytes: int = 0
        self._first: int = -1
        self._index: list[Entry] = []
        self._met: int = 0
        self._stride: int = 1
        self.milliseconds: int = 0
        self.waiting: int = 0
        self.age: int = 0

    def addTrack(self, track: Track) -> None:
        """
        Add a track; its place is the number of tracks before it.
        """
        self._lines.append(_Line(track))

    def isDue(self, milliseconds: int, isKey: bool) -> bool:
        """
        @param milliseconds: decoding time of the next sample.
        @param isKey: whether it is a key frame, with which a fragment should begin.
        @return: whether the fragment should end before it.
        """
        if not self.waiting:
            return False
        elapsed = milliseconds - self._first
        return (
            elapsed >= self._length
            or (isKey and 2 * elapsed >= self._length)
            or self._bytes >= MAX_FRAGMENT
        )

    def add(
        self,
        place: int,
        data: bytes,
        milliseconds: int,
        offset: int,
        isKey: bool,
        block: int = 0,
    ) -> bool:
        """
        Add the next sample.

        @param place: the place of its track.
        @param milliseconds: decoding time; not negative.
        @param offset: presentation time minus decoding time, in ms; may be negative.
        @param isKey: whether decoding can start with it.
        @param block: for audio, its ticks; 0 if all samples have the same number.

        @return: whether its time had to be changed to be later than the previous one.
        """
        line = self._lines[place]
        time = line.timing.place(milliseconds, block)
        got = time if line.rate == 1000 else (2000 * time + line.rate) // 2 // line.rate
        line.run.add(data, time, offset, isKey)
        self.waiting += 1
        self._bytes += len(data)
        if self._first < 0 or milliseconds < self._first:
            self._first = milliseconds
        if milliseconds - self._first > self.age:
            self.age = milliseconds - self._first
        end = got + line.timing.step * 1000 // line.rate
        if end > self.milliseconds:
            self.milliseconds = end
        return got != milliseconds

    def cut(self, position: int) -> list[bytes]:
        """
        End the fragment.

        @param position: of the fragment in the file.
        @return: the fragment in pieces; empty if there are no samples.
        """
        if not self.waiting:
            return []
        runs: list[Run] = []
        for line in self._lines:
            run = line.run
            if run.times:
                run.end = run.times[-1] + line.timing.step
                runs.append(run)
                line.run = Run(line.number, line.isAudio)
        self._sequence += 1
        self.waiting = self._bytes = self.age = 0
        self._first = -1
        if self._met % self._stride == 0:
            self._remember(runs, position)
        self._met += 1
        return fragment(self._sequence, runs)

    def _remember(self, runs: list[Run], position: int) -> None:
        if len(self._index) >= MAX_INDEX:
            self._index = self._index[::2]
            self._stride *= 2
        hasVideo = any([not line.isAudio for line in self._lines])
        # Players seek to key frames; audio is in the index only if there is no video.
        for entry in entries(runs, position):
            if hasVideo == (not runs[entry.run - 1].isAudio):
                self._index.append(entry)

    def index(self) -> bytes:
        """
        @return: the index for the end of the file: where readers can start.
        """
        return index(self._index) if self._index else b""
