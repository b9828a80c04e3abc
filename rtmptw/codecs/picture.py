"""
What is known of the pictures of a track.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Color:
    """
    How numbers become light: the code points of ISO/IEC 23091-2.

    @ivar primaries: 1 BT.709, 9 BT.2020; 2 unknown.
    @ivar transfer: 1 BT.709, 16 PQ, 18 HLG; 2 unknown.
    @ivar matrix: 1 BT.709, 9 BT.2020; 2 unknown.
    @ivar isFull: whether all numbers are used, as in JPEG.
    """

    primaries: int = 2
    transfer: int = 2
    matrix: int = 2
    isFull: bool = False


@dataclass(frozen=True, slots=True)
class Picture:
    """
    The pictures of a track.

    @ivar width: in pixels.
    @ivar height: in pixels.
    @ivar shape: how wide and how high a pixel is; C{(1, 1)} if nobody says.
    @ivar color: C{None} if nobody says.
    """

    width: int
    height: int
    shape: tuple[int, int] = (1, 1)
    color: Color | None = None


#: Pixel shapes by number: H.264 Table E-1, H.265 Table E.1.
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
#: The pixel shape has numbers of its own.
EXTENDED_SHAPE = 255
