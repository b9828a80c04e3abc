"""
The beginning of the video usability information, which H.264 (E.1.1) and H.265 (E.2.1)
have in common.
"""

from rtmptw.codecs.bits import BitReader
from rtmptw.codecs.picture import EXTENDED_SHAPE, PIXEL_SHAPES, Color


def readUsability(reader: BitReader) -> tuple[tuple[int, int], Color | None]:
    """
    @param reader: at the first bit of it.

    @return: the pixel shape and the colors, if they are said.

    @raise RemoteProtocolError: if it ends too early.
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
