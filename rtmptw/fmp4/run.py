"""
The samples of one track in one fragment.
"""

from struct import Struct
from typing import Final

_packVideo: Final = Struct(">IIIi").pack
_packAudio: Final = Struct(">II").pack

#: Flags of a sample (ISO/IEC 14496-12, 8.8.3.1): whether it depends on others, and
#: whether it is not a sync sample.
KEY: Final = 0x02000000
NOT_KEY: Final = 0x01010000


class Run:
    """
    The samples of one track in one fragment.

    @ivar number: the track's number.
    @ivar isAudio: whether it is audio: each sample is a sync sample, and its
        presentation time is its decoding time.
    @ivar size: bytes of the payloads.
    @ivar times: decoding times of the samples, in ticks of the track.
    @ivar end: decoding time of the next sample, as far as known.
    @ivar offsets: for video, presentation time minus decoding time, in ticks; may be
        negative.
    @ivar keys: for video, whether decoding can start with the sample.
    @ivar payloads: the bytes of each sample.
    """

    __slots__ = (
        "end",
        "isAudio",
        "keys",
        "number",
        "offsets",
        "payloads",
        "size",
        "times",
    )

    def __init__(self, number: int, isAudio: bool) -> None:
        self.number = number
        self.isAudio = isAudio
        self.size: int = 0
        self.end: int = 0
        self.times: list[int] = []
        self.offsets: list[int] = []
        self.keys: list[bool] = []
        self.payloads: list[bytes] = []

    def add(self, data: bytes, time: int, offset: int, isKey: bool) -> None:
        """
        Add the next sample.

        @param time: decoding time in ticks; later than that of the previous sample.
        """
        self.size += len(data)
        self.times.append(time)
        self.payloads.append(data)
        if not self.isAudio:
            self.offsets.append(offset)
            self.keys.append(isKey)

    def entries(self) -> bytes:
        """
        @return: the samples' entries for a C{trun} box: duration and size and, for
            video, also flags and offset.
        """
        times, payloads = self.times, self.payloads
        ends = times[1:]
        ends.append(max(self.end, times[-1] + 1))
        rows: list[bytes] = []
        if self.isAudio:
            for place, data in enumerate(payloads):
                rows.append(_packAudio(ends[place] - times[place], len(data)))
        else:
            keys, offsets = self.keys, self.offsets
            for place, data in enumerate(payloads):
                rows.append(
                    _packVideo(
                        ends[place] - times[place],
                        len(data),
                        KEY if keys[place] else NOT_KEY,
                        offsets[place],
                    )
                )
        return b"".join(rows)

    def firstKey(self) -> int:
        """
        @return: the index of the first sample from which decoding can start; -1 if
            there is none.
        """
        if self.isAudio:
            return 0
        return self.keys.index(True) if True in self.keys else -1

    def shownAt(self, place: int) -> int:
        """
        @return: the presentation time of a sample, in ticks.
        """
        return self.times[place] + (0 if self.isAudio else self.offsets[place])
