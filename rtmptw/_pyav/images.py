"""
Converts decoded video and audio frames to the wanted form: PyAV's frames, numpy arrays,
JPEG and PNG.
"""

import re
from fractions import Fraction
from importlib.util import find_spec
from typing import Any

import av
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

#: PyAV's own frames, which do not need numpy.
NATIVE = "native"
#: FFmpeg's names of the supported array formats.
ARRAYS = ("rgb24", "bgr24", "gray")

#: Encoders of images, with their pixel formats and color conversions.
_IMAGES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "jpg": (
        "mjpeg",
        "yuvj420p",
        {"dst_colorspace": Colorspace.ITU601, "dst_color_range": ColorRange.JPEG},
    ),
    "png": ("png", "rgb24", {}),
}
#: The supported image types, which are also the file suffixes.
IMAGES = tuple(_IMAGES)
#: The largest width and height that JPEG supports.
MAX_SIDE = 65500
#: JPEG quantizer, from 1 (best) to 31.
_QUANTIZER = "3"
_MILLISECOND = Fraction(1, 1000)
#: The pixel aspect ratio of most video, width by height.
SQUARE = Fraction(1)
#: Pixel aspect ratios above 4:1 or below 1:4 are ignored.
_ODDEST = 4


def checkFormat(name: str) -> None:
    """
    @raise ValueError: with a sentence, if this format is not available.
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
    @param text: for example C{640x360}.
    @return: width and height.

    @raise ValueError: if it is not a size, with the end of a sentence.
    """
    found = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text, re.ASCII)
    if found is not None:
        width, height = int(found[1]), int(found[2])
        if 1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE:
            return width, height
    raise ValueError(f"{text!r} is not like 640x360")


class ImageForm:
    """
    Converts video frames to one form.
    """

    def __init__(self, format: str, size: tuple[int, int] | None) -> None:
        """
        @param format: L{NATIVE} or one of L{ARRAYS}.
        @param size: width and height; C{None} to keep the frame's.
        """
        self._format = format
        self._size = size or (None, None)
        # Keeps FFmpeg's scaler from one frame to the next.
        self._reformatter = VideoReformatter()

    def image(self, frame: Any) -> Any:
        """
        @return: PyAV's frame, or a writable array with the dimensions height, width
            and, except for gray, 3.
        """
        width, height = self._size
        wanted = None if self._format == NATIVE else self._format
        # In this thread: the scaler would keep threads of its own as long as it exists,
        # for each stream.
        made = self._reformatter.reformat(frame, width, height, wanted, threads=1)
        if wanted is None:
            return made
        array = made.to_ndarray()
        if made is frame or not array.flags.c_contiguous:
            # The decoder still needs its own buffer, and rows may be padded.
            array = array.copy()
        return array

    def samples(self, frame: Any) -> Any:
        """
        @return: PyAV's frame, or an array with the dimensions channels and samples, in
            the decoder's own sample type.
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
    @param size: width and height; C{None} for the frame's, with square pixels.
    @param pixelShape: the pixel aspect ratio, width by height.
    @return: a complete file. A JPEG does not signal its colors: they are those of JFIF,
        BT.601 with the full range, whatever those of the frame are.
    """
    encoder, pixels, colours = _IMAGES[kind]
    width, height = size or _square(frame, pixelShape)
    image = VideoReformatter().reformat(
        frame, width, height, pixels, threads=1, **colours
    )
    context: Any = av.CodecContext.create(encoder, "w")
    context.width, context.height = image.width, image.height
    context.pix_fmt = pixels
    context.time_base = _MILLISECOND
    # For a single image, starting one thread per core takes longer than encoding.
    context.thread_count = 1
    if kind == "jpg":
        context.options = {"qmin": _QUANTIZER, "qmax": _QUANTIZER}
    packets = context.encode(image) + context.encode(None)
    return b"".join(bytes(packet) for packet in packets)


def _square(frame: Any, pixelShape: Fraction) -> tuple[int, int]:
    """
    @return: the size of the frame with square pixels.
    """
    width = round(frame.width * pixelShape)
    if not 1 / _ODDEST <= pixelShape <= _ODDEST or width > MAX_SIDE:
        # No camera has such pixels; the stream may be trying to make us use much
        # memory.
        width = frame.width
    return max(width, 1), frame.height
