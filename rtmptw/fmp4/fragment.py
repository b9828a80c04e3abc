"""
Fragments: C{moof} and C{mdat} (ISO/IEC 14496-12, 8.8), and the index at the end of a
file (8.8.9).
"""

from collections.abc import Sequence

from rtmptw.fmp4.boxes import box, fullBox, u32, u64
from rtmptw.fmp4.run import KEY, Run

# tfhd: 8.8.7.1.
_DEFAULT_FLAGS = 0x000020
_BASE_IS_MOOF = 0x020000
# trun: 8.8.8.1.
_DATA_OFFSET = 0x000001
_AUDIO_RUN = _DATA_OFFSET | 0x000300
_VIDEO_RUN = _DATA_OFFSET | 0x000F00

_HEADER = 8
#: The largest size that fits into 32 bits. A larger mdat box has a longer header.
_LARGE = 2**32 - 1


class Entry:
    """
    A position from which a reader can start.

    @ivar number: the track's number.
    @ivar time: presentation time of the sync sample, in ticks of the track.
    @ivar position: of the C{moof} box in the file.
    @ivar run: index of the track in the fragment, from 1.
    @ivar sample: index of the sample in the run, from 1.
    """

    __slots__ = ("number", "position", "run", "sample", "time")

    def __init__(
        self, number: int, time: int, position: int, run: int, sample: int
    ) -> None:
        self.number = number
        self.time = time
        self.position = position
        self.run = run
        self.sample = sample


def fragment(sequence: int, runs: Sequence[Run]) -> list[bytes]:
    """
    @param sequence: the fragment's number, from 1; must increase.
    @param runs: one for each track that has samples.

    @return: a fragment in pieces; the payloads are not copied.
    """
    total = sum(run.size for run in runs)
    large = total + _HEADER > _LARGE
    head = fullBox(b"mfhd", 0, 0, u32(sequence))
    rows = [run.entries() for run in runs]
    trafs = [_traf(run, row, 0) for run, row in zip(runs, rows, strict=True)]
    first = 2 * _HEADER + len(head) + sum(map(len, trafs)) + (8 if large else 0)
    trafs = []
    for run, row in zip(runs, rows, strict=True):
        trafs.append(_traf(run, row, first))
        first += run.size
    if large:
        media = u32(1) + b"mdat" + u64(total + 2 * _HEADER)
    else:
        media = u32(total + _HEADER) + b"mdat"
    pieces = [box(b"moof", head, *trafs) + media]
    for run in runs:
        pieces += run.payloads
    return pieces


def _traf(run: Run, rows: bytes, position: int) -> bytes:
    """
    @param rows: the entries of its samples.
    @param position: offset of its samples from the beginning of the fragment.
    """
    flags = _BASE_IS_MOOF
    fields = [u32(run.number)]
    if run.isAudio:
        flags |= _DEFAULT_FLAGS
        fields.append(u32(KEY))
    return box(
        b"traf",
        fullBox(b"tfhd", 0, flags, *fields),
        fullBox(b"tfdt", 1, 0, u64(run.times[0])),
        fullBox(
            b"trun",
            1,
            _AUDIO_RUN if run.isAudio else _VIDEO_RUN,
            u32(len(run.times), position),
            rows,
        ),
    )


def entries(runs: Sequence[Run], position: int) -> list[Entry]:
    """
    @param runs: the runs of a fragment.
    @param position: of the fragment in the file.
    @return: the positions from which a reader can start, one per track at most.
    """
    found = []
    for place, run in enumerate(runs, 1):
        key = run.firstKey()
        if key >= 0:
            time = max(0, run.shownAt(key))
            found.append(Entry(run.number, time, position, place, key + 1))
    return found


def index(found: Sequence[Entry]) -> bytes:
    """
    @return: an C{mfra} box: the index for the end of the file.
    """
    tables = []
    for number in sorted({entry.number for entry in found}):
        rows = [entry for entry in found if entry.number == number]
        # The run and sample numbers take 32 bits, as there may be many samples.
        tables.append(
            fullBox(
                b"tfra",
                1,
                0,
                u32(number, 0x3F, len(rows)),
                *[
                    u64(row.time, row.position) + u32(row.run, 1, row.sample)
                    for row in rows
                ],
            )
        )
    size = _HEADER + sum(map(len, tables)) + 16
    return box(b"mfra", *tables, fullBox(b"mfro", 0, 0, u32(size)))
