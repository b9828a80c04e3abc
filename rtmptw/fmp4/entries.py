"""
Sample entries (ISO/IEC 14496-12, 12.1.3 and 12.2.3) and the boxes in them.
"""

from rtmptw.codecs.audio import AudioFormat
from rtmptw.codecs.video import Color, VideoFormat
from rtmptw.fmp4.boxes import box, fullBox, u16, u32
from rtmptw.fmp4.track import Display, Light

#: 72 dots per inch, as a fixed-point number.
_RESOLUTION = 0x480000
_NAME = bytes(32)
_DEPTH = 0x18
#: Units per 1: chromaticities count in 0.00002, luminances in 0.0001 (ISO/IEC 23001-8).
_CHROMATICITY = 50_000
_LUMINANCE = 10_000
#: Output channel positions of ISO/IEC 23091-3, indexed by the channel numbers of
#: Enhanced RTMP v2 (AudioChannel).
_POSITIONS = bytes.fromhex("00010203080906070a0405191113121416151a17181d1b1c")
_UNKNOWN_POSITION = 127
_CHANNELS_ARE_SPEAKERS = 1


def visualEntry(
    kind: bytes, config: tuple[bytes, bytes], video: VideoFormat, light: Light
) -> bytes:
    """
    @param kind: the four letters of the sample entry.
    @param config: the codec configuration box: its four letters and contents.
    """
    more = [box(config[0], config[1])]
    color = light.color
    if color is not None and video.color is not None:
        # Only the bitstream signals whether it uses the full range.
        color = Color(color.primaries, color.transfer, color.matrix, video.color.isFull)
    color = color or video.color
    if color is not None:
        points = u16(color.primaries, color.transfer, color.matrix)
        more.append(box(b"colr", b"nclx", points, bytes([color.isFull << 7])))
    if video.shape[0] != video.shape[1]:
        more.append(box(b"pasp", u32(*video.shape)))
    if light.display is not None:
        more.append(box(b"mdcv", _mastering(light.display)))
    if light.levels is not None:
        more.append(box(b"clli", u16(*light.levels)))
    return box(
        kind,
        bytes(6),
        u16(1, 0, 0),
        u32(0, 0, 0),
        u16(video.width, video.height),
        u32(_RESOLUTION, _RESOLUTION, 0),
        u16(1),
        _NAME,
        u16(_DEPTH, -1),
        *more,
    )


def _mastering(display: Display) -> bytes:
    points = [
        min(max(round(value * _CHROMATICITY), 0), 0xFFFF)
        for value in (*display.primaries, *display.white)
    ]
    lights = [
        min(max(round(value * _LUMINANCE), 0), 0xFFFFFFFF)
        for value in display.luminance
    ]
    return u16(*points) + u32(*lights)


def audioEntry(
    kind: bytes, audio: AudioFormat, config: bytes, speakers: tuple[int, ...]
) -> bytes:
    """
    @param kind: the four letters of the sample entry.
    @param config: the codec configuration box.
    @param speakers: channel numbers of Enhanced RTMP; empty if not signaled.
    """
    # A rate that does not fit is only in the configuration.
    rate = audio.rate << 16 if audio.rate <= 0xFFFF else 0
    channels = len(speakers) or audio.channels
    layout = b""
    if speakers:
        positions = [
            _POSITIONS[number] if number < len(_POSITIONS) else _UNKNOWN_POSITION
            for number in speakers
        ]
        layout = fullBox(
            b"chnl", 0, 0, bytes([_CHANNELS_ARE_SPEAKERS, 0]), bytes(positions)
        )
    return box(
        kind,
        bytes(6),
        u16(1),
        u32(0, 0),
        u16(channels, audio.bits, 0, 0),
        u32(rate),
        config,
        layout,
    )


def elementaryStream(objectType: int, config: bytes) -> bytes:
    """
    @param objectType: the MPEG-4 object type.
    @param config: the decoder's configuration; may be empty.
    @return: an C{esds} box (ISO/IEC 14496-14, 5.6).
    """
    specific = _descriptor(5, config) if config else b""
    # 0x15 is an audio stream, not upstream. Bit rates are left 0.
    decoder = bytes([objectType, 0x15]) + bytes(11) + specific
    stream = bytes(3) + _descriptor(4, decoder) + _descriptor(6, b"\2")
    return fullBox(b"esds", 0, 0, _descriptor(3, stream))


def _descriptor(tag: int, contents: bytes) -> bytes:
    size = len(contents)
    lengths = [size >> shift & 127 | (128 if shift else 0) for shift in (21, 14, 7, 0)]
    return bytes([tag, *lengths]) + contents
