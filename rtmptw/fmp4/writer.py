"""
One file of fragments: what follows what, and when a fragment ends.
"""

from rtmptw.fmp4.fragment import Entry, entries, fragment, index
from rtmptw.fmp4.run import Run
from rtmptw.fmp4.timing import Timing
from rtmptw.fmp4.track import Track

#: A fragment of so many bytes ends, however short it is: it waits in memory.
MAX_FRAGMENT = 8 * 1024 * 1024
#: Key frames that the index names, each with 28 bytes. When there are more, every
#: second one is forgotten.
MAX_INDEX = 65_536


class _Line:
    """
    A track while its samples come.
    """

    __slots__ = ("isSound", "number", "rate", "run", "timing")

    def __init__(self, track: Track) -> None:
        description = track.description
        self.number = track.number
        self.rate = description.rate
        self.isSound = description.size is None
        self.timing = Timing(description.rate, description.block)
        self.run = Run(track.number, self.isSound)


class Writer:
    """
    Collects samples until a fragment is whole.

    @ivar milliseconds: from the beginning to the end of the last sample.
    @ivar waiting: how many samples are in the fragment that is not whole.
    @ivar age: how many ms lie between the first of these and the last.
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
        @param length: the ms after which a fragment ends.
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
        A track begins; its place is the number of those before it.
        """
        self._lines.append(_Line(track))

    def isDue(self, milliseconds: int, isKey: bool) -> bool:
        """
        @param milliseconds: when the next sample is decoded.
        @param isKey: whether it is a key frame, with which a fragment had better begin.
        @return: whether the fragment is to end before it.
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

        @param place: of its track.
        @param milliseconds: when it is decoded; not negative.
        @param offset: ms from then until it is shown; may be negative.
        @param isKey: whether decoding can start with it.
        @param block: of sound, how many ticks it lasts; 0 if all are equal.

        @return: whether its time had to be another, to be later than the one before.
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

        @param position: of it in the file.
        @return: the fragment, in pieces; nothing if there is nothing in it.
        """
        if not self.waiting:
            return []
        runs: list[Run] = []
        for line in self._lines:
            run = line.run
            if run.times:
                run.end = run.times[-1] + line.timing.step
                runs.append(run)
                line.run = Run(line.number, line.isSound)
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
        hasPictures = any([not line.isSound for line in self._lines])
        # Players seek by key frames; sound has its own only where there is nothing
        # else.
        for entry in entries(runs, position):
            if hasPictures == (not runs[entry.run - 1].isSound):
                self._index.append(entry)

    def index(self) -> bytes:
        """
        @return: what ends a file: where readers can begin.
        """
        return index(self._index) if self._index else b""
