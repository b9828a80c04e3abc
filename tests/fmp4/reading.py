"""
Reads MP4 files, independently of the code that writes them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from struct import unpack_from

_PARENTS = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"mvex", b"moof", b"traf"}
_PARENTS |= {b"mfra"}


@dataclass(frozen=True)
class Got:
    """
    A sample as read from a file.

    @ivar time: decoding time, in ticks.
    @ivar isSync: whether decoding can start here.
    """

    time: int
    duration: int
    offset: int
    isSync: bool
    data: bytes


def boxes(
    data: bytes, start: int = 0, path: str = ""
) -> Iterator[tuple[str, int, int]]:
    """
    @return: for each box, parents first, its path and where its contents begin and end.
    """
    end = len(data)
    while start < end:
        size = int.from_bytes(data[start : start + 4], "big")
        kind = data[start + 4 : start + 8]
        head = 8
        if size == 1:
            size = int.from_bytes(data[start + 8 : start + 16], "big")
            head = 16
        assert head <= size <= end - start, (path, kind, size)
        here = f"{path}/{kind.decode('latin-1')}"
        yield here, start + head, start + size
        if kind in _PARENTS:
            inner = data[: start + size]
            yield from boxes(inner, start + head, here)
        start += size


def contents(data: bytes, path: str) -> list[bytes]:
    """
    @return: the contents of each box with a path.
    """
    return [data[a:b] for where, a, b in boxes(data) if where == path]


def entry(data: bytes, number: int = 0) -> bytes:
    """
    @return: the sample entry of a track.
    """
    return contents(data, "/moov/trak/mdia/minf/stbl/stsd")[number][8:]


def within(data: bytes, kind: bytes, fixed: int) -> bytes:
    """
    @param data: a sample entry.
    @param fixed: size of the fields before its boxes.
    @return: the contents of a box in it; empty if there is none.
    """
    for where, start, end in boxes(data[fixed:]):
        if where == "/" + kind.decode():
            return data[fixed + start : fixed + end]
    return b""


#: Size of the fields before the boxes in a sample entry.
VISUAL, AUDIO = 86, 36


def samples(data: bytes) -> dict[int, list[Got]]:
    """
    @return: all samples of the fragments, by track number.
    """
    found: dict[int, list[Got]] = {}
    moof = 0
    number = time = defaults = 0
    for where, start, end in boxes(data):
        if where == "/moof":
            moof = start - 8
        elif where == "/moof/traf/tfhd":
            flags, number = unpack_from(">II", data, start)
            assert flags & 0x20000
            defaults = unpack_from(">I", data, start + 8)[0] if flags & 0x20 else 0
        elif where == "/moof/traf/tfdt":
            assert data[start] == 1
            (time,) = unpack_from(">Q", data, start + 4)
        elif where == "/moof/traf/trun":
            flags, count, position = unpack_from(">III", data, start)
            assert flags >> 24 == 1, "signed offsets"
            place, position = start + 12, moof + position
            for _ in range(count):
                duration, size = unpack_from(">II", data, place)
                place += 8
                said, offset = defaults, 0
                if flags & 0xC00:
                    said, offset = unpack_from(">Ii", data, place)
                    place += 8
                payload = data[position : position + size]
                sample = Got(time, duration, offset, not said & 0x10000, payload)
                found.setdefault(number, []).append(sample)
                time += duration
                position += size
            assert place == end
    return found
