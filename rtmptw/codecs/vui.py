"""
The beginning of the video usability information, which is the same in H.264 (E.1.1) and
H.265 (E.2.1).
"""

from rtmptw.codecs.bits import BitReader
from rtmptw.codecs.video import EXTENDED_SHAPE, PIXEL_SHAPES, Color


def readUsability(reader: BitReader) -> tuple[tuple[int, int], Color | None]:
    """
    @param reader: at its first bit.

    @return: the pixel aspect ratio and the color, if signaled.

    @raise RemoteProtocolError: if it is truncated.
    """
    shape = (1, 1)
    if reader.flag():
        number = reader.bits(8)
        if number == EXTENDED_SHAPE:
            wide, high = reader.bits(16), reader.bits(16)
            if wide and high:
                shape = (wide, high)
        elif number < len(PIXEL_SHAPES):
            shape = PIXEL_SHAPES[number]
    if reader.flag():
        # Overscan.
        reader.skip(1)
    color = None
    if reader.flag():
        reader.skip(3)
        isFull = reader.flag()
        color = Color(isFull=isFull)
        if reader.flag():
            color = Color(reader.bits(8), reader.bits(8), reader.bits(8), isFull)
    return shape, color
