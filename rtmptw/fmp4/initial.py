"""
The init segment: C{ftyp} and C{moov} (ISO/IEC 14496-12, 8.2).
"""

from collections.abc import Sequence

from rtmptw.fmp4.boxes import UNITY, box, fullBox, u16, u32, u64
from rtmptw.fmp4.track import Track

#: Ticks per second of the whole file.
MOVIE_RATE = 1000

#: The language code "und", undetermined: five bits for each letter.
_UNDETERMINED = 0x55C4
#: The file type box.
FILE_TYPE = box(b"ftyp", b"iso6", u32(512), b"iso6", b"cmfc", b"mp41")
#: Flags of a track: it is enabled, and it is part of the presentation.
_ENABLED = 1
_IN_MOVIE = 2
_AUDIO = 1
_VIDEO = 2


def initSegment(tracks: Sequence[Track], duration: int = 0) -> bytes:
    """
    @param tracks: the tracks, in order.
    @param duration: of all fragments, in ms; 0 if unknown.
    """
    return FILE_TYPE + movie(tracks, duration)


def movie(tracks: Sequence[Track], duration: int = 0) -> bytes:
    """
    @return: only the C{moov} box.
    """
    following = max(track.number for track in tracks) + 1
    head = fullBox(
        b"mvhd",
        0,
        0,
        u32(0, 0, MOVIE_RATE, 0, 0x10000, 0x1000000, 0, 0),
        UNITY,
        u32(0, 0, 0, 0, 0, 0, following),
    )
    extends = fullBox(b"mehd", 1, 0, u64(duration)) if duration else b""
    defaults = [fullBox(b"trex", 0, 0, u32(t.number, 1, 0, 0, 0)) for t in tracks]
    leading = {
        (track.description.size is None): track for track in reversed(tracks)
    }.values()
    traks = [_trak(track, track in leading) for track in tracks]
    return box(b"moov", head, *traks, box(b"mvex", extends, *defaults))


def _trak(track: Track, isFirst: bool) -> bytes:
    """
    @param isFirst: whether it is the first of its kind. Players play one track of a
        kind; the others are alternatives.
    """
    size = track.description.size
    group = _AUDIO if size is None else _VIDEO
    volume = 0x100 if size is None else 0
    width, height = size or (0, 0)
    head = fullBox(
        b"tkhd",
        0,
        _ENABLED * isFirst | _IN_MOVIE,
        u32(0, 0, track.number, 0, 0, 0, 0),
        u16(0, group, volume, 0),
        UNITY,
        u32(width << 16, height << 16),
    )
    return box(b"trak", head, _media(track))


def _media(track: Track) -> bytes:
    description = track.description
    isAudio = description.size is None
    head = fullBox(b"mdhd", 0, 0, u32(0, 0, description.rate, 0), u16(_UNDETERMINED, 0))
    kind, name = (b"soun", b"SoundHandler") if isAudio else (b"vide", b"VideoHandler")
    handler = fullBox(b"hdlr", 0, 0, u32(0), kind, u32(0, 0, 0), name, b"\0")
    if isAudio:
        information = fullBox(b"smhd", 0, 0, u32(0))
    else:
        information = fullBox(b"vmhd", 0, 1, u32(0, 0))
    data = box(b"dinf", fullBox(b"dref", 0, 0, u32(1), fullBox(b"url ", 0, 1)))
    table = box(
        b"stbl",
        fullBox(b"stsd", 0, 0, u32(1), description.entry),
        fullBox(b"stts", 0, 0, u32(0)),
        fullBox(b"stsc", 0, 0, u32(0)),
        fullBox(b"stsz", 0, 0, u32(0, 0)),
        fullBox(b"stco", 0, 0, u32(0)),
    )
    return box(b"mdia", head, handler, box(b"minf", information, data, table))
