"""
The video format of a track.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Color:
    """
    The color space: code points of ISO/IEC 23091-2.

    @ivar primaries: 1 BT.709, 9 BT.2020; 2 unknown.
    @ivar transfer: 1 BT.709, 16 PQ, 18 HLG; 2 unknown.
    @ivar matrix: 1 BT.709, 9 BT.2020; 2 unknown.
    @ivar isFull: whether the full range is used, as in JPEG.
    """

    primaries: int = 2
    transfer: int = 2
    matrix: int = 2
    isFull: bool = False


@dataclass(frozen=True, slots=True)
class VideoFormat:
    """
    The video format of a track.

    @ivar width: in pixels.
    @ivar height: in pixels.
    @ivar shape: the pixel aspect ratio, as width and height; C{(1, 1)} if not signaled.
    @ivar color: C{None} if not signaled.
    """

    width: int
    height: int
    shape: tuple[int, int] = (1, 1)
    color: Color | None = None


#: Pixel aspect ratios by index: H.264 Table E-1, H.265 Table E.1.
PIXEL_SHAPES = (
    (1, 1),
    (1, 1),
    (12, 11),
    (10, 11),
    (16, 11),
    (40, 33),
    (24, 11),
    (20, 11),
    (32, 11),
    (80, 33),
    (18, 11),
    (15, 11),
    (64, 33),
    (160, 99),
    (4, 3),
    (3, 2),
    (2, 1),
)
#: The index of a pixel aspect ratio that is given in numbers.
EXTENDED_SHAPE = 255
