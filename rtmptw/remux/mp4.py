"""
Writes samples into fragmented MP4.
"""

from collections.abc import Mapping
from typing import Final

from rtmptw.codecs import aac, av1, opus
from rtmptw.errors import RemoteProtocolError
from rtmptw.fmp4.boxes import box
from rtmptw.fmp4.describe import describe
from rtmptw.fmp4.initial import FILE_TYPE, movie
from rtmptw.fmp4.track import Track
from rtmptw.fmp4.writer import Writer
from rtmptw.frames import Codec, FrameKind
from rtmptw.remux.container import Counts, Output
from rtmptw.remux.heads import Head, TrackError, TrackKey
from rtmptw.samples import Sample

#: Bytes reserved after the description of the tracks, for tracks that are added later
#: and for the duration.
RESERVE: Final = 2048
_FREE_HEADER: Final = 8
#: Longer than any fragment, in ms.
NEVER: Final = 1 << 40

_AAC: Final = Codec.AAC
_AV1: Final = Codec.AV1
_OPUS: Final = Codec.OPUS
_VIDEO: Final = FrameKind.VIDEO


class MP4:
    """
    One MP4 file that is being written. What has been written so far can be played at
    any time.

    @ivar counts: statistics of what was written.
    """

    __slots__ = (
        "_base",
        "_end",
        "_head",
        "_least",
        "_output",
        "_places",
        "_tracks",
        "_writer",
        "counts",
    )

    def __init__(
        self,
        output: Output,
        heads: Mapping[TrackKey, Head],
        base: int,
        length: int,
        least: int = NEVER,
    ) -> None:
        """
        @param heads: the tracks, in order.
        @param base: the timestamp that becomes 0, in ms.
        @param length: ms after which a fragment ends.
        @param least: ms that a fragment must have for L{flush} to end it.

        @raise TrackError: if a track cannot be described.
        """
        self.counts = Counts()
        self._output = output
        self._base = base
        self._least = least
        self._writer = Writer(length)
        self._places: dict[TrackKey, int] = {}
        self._tracks: list[Track] = []
        for key, head in heads.items():
            self._tracks.append(_track(len(self._tracks) + 1, key, head))
            self._places[key] = len(self._places)
        for track in self._tracks:
            self._writer.addTrack(track)
        self._head: int = len(FILE_TYPE) + len(movie(self._tracks)) + RESERVE
        output.write(FILE_TYPE)
        output.write(self._described(0))
        self._end: int = self._head

    def _described(self, duration: int) -> bytes:
        """
        @return: the description of the tracks, padded to the space reserved for it;
            empty if it does not fit.
        """
        described = movie(self._tracks, duration)
        free = self._head - len(FILE_TYPE) - len(described) - _FREE_HEADER
        return described + box(b"free", bytes(free)) if free >= 0 else b""

    def takes(self, key: TrackKey, head: Head) -> bool:
        """
        Add a track in the middle, if its description fits.
        """
        try:
            track = _track(len(self._tracks) + 1, key, head)
        except TrackError:
            return False
        self._tracks.append(track)
        described = self._described(0)
        if not described:
            self._tracks.pop()
            return False
        self._rewrite(described)
        self._writer.addTrack(track)
        self._places[key] = len(self._places)
        return True

    def _rewrite(self, described: bytes) -> None:
        self._output.seek(len(FILE_TYPE))
        self._output.write(described)
        self._output.seek(self._end)

    def write(self, sample: Sample) -> None:
        """
        Write a coded sample of one of the tracks.
        """
        data = sample.data
        block = 0
        codec = sample.codec
        if codec is _AAC:
            if data[0] == 0xFF and aac.isADTS(data):
                data = aac.withoutADTS(data)
                if not data:
                    self.counts.refused += 1
                    return
        elif codec is _AV1:
            data = av1.withoutDelimiters(data)
        elif codec is _OPUS:
            block = opus.samplesIn(data)
        time = sample.timestamp - self._base
        offset = sample.compositionTime
        isMoved = time < 0
        if isMoved:
            time = 0
        if time + offset < 0:
            # Nothing is presented before the beginning.
            offset = -time
            isMoved = True
        writer = self._writer
        if writer.isDue(time, sample.isKey and sample.kind is _VIDEO):
            self._cut()
        place = self._places[sample.kind, sample.track]
        if writer.add(place, data, time, offset, sample.isKey, block) or isMoved:
            self.counts.repaired += 1
        counts = self.counts
        counts.packets += 1
        counts.bytes += len(data)
        counts.milliseconds = writer.milliseconds

    def _cut(self) -> None:
        output = self._output
        for piece in self._writer.cut(self._end):
            output.write(piece)
            self._end += len(piece)

    def flush(self) -> None:
        """
        Write all complete fragments; end the current one first if it is long enough.

        @raise OSError: if it cannot be written.
        """
        if self._writer.age >= self._least:
            self._cut()
        self._output.flush()

    def finish(self) -> None:
        """
        Write the last fragment, the index and the duration.

        @raise OSError: if it cannot be written.
        """
        self._cut()
        self._output.write(self._writer.index())
        described = self._described(self._writer.milliseconds)
        if described:
            self._rewrite(described)
        self._output.flush()

    def abandon(self) -> None:
        """
        Do nothing: there are no resources to free.
        """


def _track(number: int, key: TrackKey, head: Head) -> Track:
    config = head.config.data if head.config is not None else None
    first = head.first.data if head.first is not None else b""
    try:
        description = describe(head.codec, config, first, head.about)
    except RemoteProtocolError as error:
        raise TrackError(key, head.codec, str(error)) from None
    return Track(number, description)
