"""
Decoded pictures and samples in the form that is wanted: PyAV's frames, numpy arrays,
JPEG and PNG.
"""

import re
from fractions import Fraction
from importlib.util import find_spec
from typing import Any

import av
from av.video.reformatter import VideoReformatter

#: PyAV's own frames, which need no numpy.
NATIVE = "native"
#: FFmpeg's names of the arrays that there are.
ARRAYS = ("rgb24", "bgr24", "gray")

#: The encoders of images, with the pixels that they take.
_IMAGES = {"jpg": ("mjpeg", "yuvj420p"), "png": ("png", "rgb24")}
#: The kinds of image that there are, which are suffixes too.
IMAGES = tuple(_IMAGES)
#: The most pixels in a row or a column: what JPEG can hold.
MAX_SIDE = 65500
#: Of a JPEG, from 1, the best, to 31.
_QUANTIZER = "3"


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
        made = self._reformatter.reformat(frame, width, height, wanted)
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


def encodeImage(frame: Any, kind: str, size: tuple[int, int] | None = None) -> bytes:
    """
    @param frame: PyAV's frame.
    @param kind: one of L{IMAGES}.
    @param size: width and height; as they are if C{None}.
    @return: a whole file.
    """
    encoder, pixels = _IMAGES[kind]
    width, height = size or (None, None)
    picture = VideoReformatter().reformat(frame, width, height, pixels)
    context: Any = av.CodecContext.create(encoder, "w")
    context.width, context.height = picture.width, picture.height
    context.pix_fmt = pixels
    context.time_base = Fraction(1, 1000)
    if kind == "jpg":
        context.options = {"qmin": _QUANTIZER, "qmax": _QUANTIZER}
    packets = context.encode(picture) + context.encode(None)
    return b"".join(bytes(packet) for packet in packets)
