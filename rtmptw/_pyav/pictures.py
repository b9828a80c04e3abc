"""
Decoded pictures and samples in the form that is wanted: PyAV's frames, numpy arrays,
JPEG and PNG.
"""

import re
from fractions import Fraction
from importlib.util import find_spec
from typing import Any

import av
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

#: PyAV's own frames, which need no numpy.
NATIVE = "native"
#: FFmpeg's names of the arrays that there are.
ARRAYS = ("rgb24", "bgr24", "gray")

#: The encoders of images, with the pixels that they take, and the colours.
_IMAGES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "jpg": (
        "mjpeg",
        "yuvj420p",
        {"dst_colorspace": Colorspace.ITU601, "dst_color_range": ColorRange.JPEG},
    ),
    "png": ("png", "rgb24", {}),
}
#: The kinds of image that there are, which are suffixes too.
IMAGES = tuple(_IMAGES)
#: The most pixels in a row or a column: what JPEG can hold.
MAX_SIDE = 65500
#: Of a JPEG, from 1, the best, to 31.
_QUANTIZER = "3"
_MILLISECOND = Fraction(1, 1000)
#: The shape of most pixels: the width by the height.
SQUARE = Fraction(1)
#: Pixels wider than four times their height, or higher, are in no picture.
_ODDEST = 4


def checkFormat(name: str) -> None:
    """
    @raise ValueError: with a sentence, if pictures cannot be given in this form.
    """
    if name not in (NATIVE, *ARRAYS):
        raise ValueError(
            f"The format {name!r} is none of {', '.join((NATIVE, *ARRAYS))}."
        )
    if name in ARRAYS and find_spec("numpy") is None:
        raise ValueError(
            f"The format {name} is a numpy array, and numpy is not installed; install "
            f"it, or use format={NATIVE}."
        )


def parseSize(text: str) -> tuple[int, int]:
    """
    @param text: C{640x360} for example.
    @return: width and height.

    @raise ValueError: if it is no size; the end of a sentence says so.
    """
    found = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text, re.ASCII)
    if found is not None:
        width, height = int(found[1]), int(found[2])
        if 1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE:
            return width, height
    raise ValueError(f"{text!r} is not like 640x360")


class PictureForm:
    """
    Gives pictures one form.
    """

    def __init__(self, format: str, size: tuple[int, int] | None) -> None:
        """
        @param format: L{NATIVE} or one of L{ARRAYS}.
        @param size: width and height; as they are if C{None}.
        """
        self._format = format
        self._size = size or (None, None)
        # It keeps FFmpeg's scaler from one picture to the next.
        self._reformatter = VideoReformatter()

    def picture(self, frame: Any) -> Any:
        """
        @return: PyAV's frame, or an array: height, width and, but for gray, three
            bytes. An array can be written to.
        """
        width, height = self._size
        wanted = None if self._format == NATIVE else self._format
        # In this thread: with threads of its own the scaler keeps them as long as it
        # is there, for each stream.
        made = self._reformatter.reformat(frame, width, height, wanted, threads=1)
        if wanted is None:
            return made
        array = made.to_ndarray()
        if made is frame or not array.flags.c_contiguous:
            # The decoder still needs its own, and rows may have something between them.
            array = array.copy()
        return array

    def samples(self, frame: Any) -> Any:
        """
        @return: PyAV's frame, or an array: channels and samples, in the decoder's own
            type.
        """
        if self._format == NATIVE:
            return frame
        array = frame.to_ndarray()
        if frame.format.is_planar:
            return array
        return array.reshape(-1, frame.layout.nb_channels).T


def encodeImage(
    frame: Any,
    kind: str,
    size: tuple[int, int] | None = None,
    pixelShape: Fraction = SQUARE,
) -> bytes:
    """
    @param frame: PyAV's frame.
    @param kind: one of L{IMAGES}.
    @param size: width and height; as they are if C{None}, with square pixels.
    @param pixelShape: the width of a pixel, by its height.
    @return: a whole file. A JPEG says nothing of its colours: they are those of JFIF,
        BT.601 with the full range, whatever those of the frame are.
    """
    encoder, pixels, colours = _IMAGES[kind]
    width, height = size or _square(frame, pixelShape)
    picture = VideoReformatter().reformat(
        frame, width, height, pixels, threads=1, **colours
    )
    context: Any = av.CodecContext.create(encoder, "w")
    context.width, context.height = picture.width, picture.height
    context.pix_fmt = pixels
    context.time_base = _MILLISECOND
    # As many as there are cores, for one picture, take longer to come than it does.
    context.thread_count = 1
    if kind == "jpg":
        context.options = {"qmin": _QUANTIZER, "qmax": _QUANTIZER}
    packets = context.encode(picture) + context.encode(None)
    return b"".join(bytes(packet) for packet in packets)


def _square(frame: Any, pixelShape: Fraction) -> tuple[int, int]:
    """
    @return: the size that the frame has with square pixels.
    """
    width = round(frame.width * pixelShape)
    if not 1 / _ODDEST <= pixelShape <= _ODDEST or width > MAX_SIDE:
        # No camera has such pixels; somebody wants us to make a very large picture.
        width = frame.width
    return max(width, 1), frame.height
