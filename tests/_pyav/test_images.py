"""
Tests for L{rtmptw._pyav.images}.
"""

import io
import sys
from fractions import Fraction
from typing import Any

import av
import numpy
from av.video.reformatter import ColorRange, Colorspace
from twisted.trial.unittest import SynchronousTestCase

from rtmptw._pyav.images import (
    ARRAYS,
    IMAGES,
    ImageForm,
    checkFormat,
    encodeImage,
    parseSize,
)
from tests.live.media import H264_AAC, VP9_FLAC, encode


def firstFrame(path: str, kind: str) -> Any:
    """
    @return: PyAV's frame.
    """
    with av.open(path) as container:
        return next(container.decode(**{kind: 0}))


class ImageFormTests(SynchronousTestCase):
    """
    Decoded video and audio in the wanted form.
    """

    def setUp(self) -> None:
        self.image = firstFrame(encode(H264_AAC), "video")

    def test_native(self) -> None:
        """
        The native form is PyAV's frame.
        """
        form = ImageForm("native", None)
        self.assertIs(form.image(self.image), self.image)
        audio = firstFrame(encode(H264_AAC), "audio")
        self.assertIs(form.samples(audio), audio)

    def test_arrays(self) -> None:
        """
        Arrays have the same values as PyAV's, in the shape that numpy users expect.
        """
        shapes = {"rgb24": (64, 96, 3), "bgr24": (64, 96, 3), "gray": (64, 96)}
        self.assertEqual(set(shapes), set(ARRAYS))
        for format, shape in shapes.items():
            array = ImageForm(format, None).image(self.image)
            self.assertEqual((array.shape, array.dtype), (shape, numpy.uint8))
            wanted = self.image.to_ndarray(format=format)
            self.assertTrue(numpy.array_equal(array, wanted))

    def test_arraysAreYours(self) -> None:
        """
        Arrays can be drawn on without affecting the decoder, even if its frames have
        this format already. Their rows are contiguous, whatever the width.
        """
        gray = av.VideoFrame(50, 30, "gray")
        gray.planes[0].update(bytes(gray.planes[0].buffer_size))
        array = ImageForm("gray", None).image(gray)
        array[:] = 255
        self.assertEqual(gray.to_ndarray().max(), 0)
        for format in ARRAYS:
            array = ImageForm(format, (50, 31)).image(self.image)
            self.assertTrue(array.flags.writeable and array.flags.c_contiguous)

    def test_blueGreenRed(self) -> None:
        """
        BGR has the channels of RGB in reverse order.
        """
        rgb = ImageForm("rgb24", None).image(self.image)
        bgr = ImageForm("bgr24", None).image(self.image)
        self.assertTrue(numpy.array_equal(rgb[:, :, ::-1], bgr))
        self.assertFalse(numpy.array_equal(rgb, bgr))

    def test_size(self) -> None:
        """
        Arrays and frames are scaled.
        """
        array = ImageForm("bgr24", (50, 31)).image(self.image)
        self.assertEqual(array.shape, (31, 50, 3))
        frame = ImageForm("native", (50, 30)).image(self.image)
        self.assertEqual((frame.width, frame.height), (50, 30))
        self.assertEqual(frame.format.name, "yuv420p")
        self.assertEqual(self.image.width, 96)

    def test_aFormKeepsUpWithChanges(self) -> None:
        """
        Video frames may change their size in the middle.
        """
        form = ImageForm("gray", (20, 10))
        for size in ((96, 64), (48, 32), (96, 64)):
            image = av.VideoFrame(*size, "yuv420p")
            self.assertEqual(form.image(image).shape, (10, 20))

    def test_samples(self) -> None:
        """
        Audio arrays have channels by samples, whether FFmpeg's format is planar (AAC)
        or packed.
        """
        form = ImageForm("bgr24", None)
        audio = firstFrame(encode(H264_AAC), "audio")
        array = form.samples(audio)
        self.assertEqual((array.shape, array.dtype), ((1, 1024), numpy.float32))
        audio = firstFrame(encode(VP9_FLAC), "audio")
        self.assertEqual(form.samples(audio).dtype, numpy.int16)
        mixed = av.AudioFrame("s16", "stereo", 4)
        mixed.planes[0].update(numpy.arange(8, dtype=numpy.int16).tobytes())
        self.assertEqual(form.samples(mixed).tolist(), [[0, 2, 4, 6], [1, 3, 5, 7]])


class CheckTests(SynchronousTestCase):
    """
    Invalid values.
    """

    def test_formats(self) -> None:
        """
        The error lists the formats.
        """
        for format in ("native", *ARRAYS):
            checkFormat(format)
        error = self.assertRaises(ValueError, checkFormat, "yuv")
        self.assertEqual(
            str(error), "The format 'yuv' is none of native, rgb24, bgr24, gray."
        )

    def test_withoutNumpy(self) -> None:
        """
        Without numpy there are no arrays, and the error says so; PyAV's frames are
        available.
        """
        self.patch(sys, "modules", {**sys.modules, "numpy": None})
        checkFormat("native")
        error = self.assertRaises(ValueError, checkFormat, "bgr24")
        self.assertIn("numpy is not installed", str(error))

    def test_sizes(self) -> None:
        """
        Width, x, height.
        """
        self.assertEqual(parseSize("640x360"), (640, 360))
        for text in (
            "640",
            "640x",
            "x360",
            "0x5",
            "5x0",
            "-5x5",
            "70000x1",
            "4x4x4",
            "",
        ):
            error = self.assertRaises(ValueError, parseSize, text)
            self.assertEqual(str(error), f"{text!r} is not like 640x360")


class ImageTests(SynchronousTestCase):
    """
    JPEG and PNG.
    """

    def decoded(self, data: bytes) -> Any:
        """
        @return: the decoded image of a file.
        """
        with av.open(io.BytesIO(data), "r") as container:
            (image,) = container.decode(video=0)
        return image

    def test_PNG(self) -> None:
        """
        PNG loses nothing except in the color conversion.
        """
        image = firstFrame(encode(H264_AAC), "video")
        data = encodeImage(image, "png")
        self.assertEqual(data[:8], b"\x89PNG\r\n\x1a\n")
        got = self.decoded(data).to_ndarray(format="rgb24")
        self.assertTrue(numpy.array_equal(got, image.to_ndarray(format="rgb24")))

    def test_JPEG(self) -> None:
        """
        A JPEG is as bright as the frame, including black and white: JPEG has another
        range than video.
        """
        for level in (16, 128, 235):
            image = av.VideoFrame(96, 64, "yuv420p")
            for plane, value in zip(image.planes, (level, 128, 128), strict=True):
                plane.update(bytes([value]) * plane.buffer_size)
            data = encodeImage(image, "jpg")
            self.assertEqual((data[:3], data[-2:]), (b"\xff\xd8\xff", b"\xff\xd9"))
            got = self.decoded(data)
            self.assertEqual(got.format.name, "yuvj420p")
            wanted = round((level - 16) * 255 / 219)
            self.assertLess(abs(got.to_ndarray()[:64].mean() - wanted), 2)

    def test_aJPEGIsNear(self) -> None:
        """
        An image with detail is preserved well.
        """
        image = firstFrame(encode(H264_AAC), "video")
        got = self.decoded(encodeImage(image, "jpg")).to_ndarray(format="gray")
        wanted = image.to_ndarray(format="gray")
        self.assertLess(abs(got.astype(int) - wanted).mean(), 3)

    def test_size(self) -> None:
        """
        Images are scaled, to odd sizes, too.
        """
        image = firstFrame(encode(H264_AAC), "video")
        for kind in IMAGES:
            for size in ((48, 32), (33, 17)):
                got = self.decoded(encodeImage(image, kind, size))
                self.assertEqual((got.width, got.height), size)

    def test_theColoursOfHighDefinition(self) -> None:
        """
        A JPEG is BT.601 with the full range, whatever the frame is: red stays the same
        red.
        """
        red = numpy.full((64, 96, 3), (200, 30, 40), numpy.uint8)
        source = av.VideoFrame.from_ndarray(red, format="rgb24")
        for space in (Colorspace.ITU709, Colorspace.ITU601, Colorspace.BT2020):
            for limits in (ColorRange.MPEG, ColorRange.JPEG):
                image = source.reformat(
                    format="yuv420p",
                    dst_colorspace=space,
                    dst_color_range=limits,
                    threads=1,
                )
                for kind in IMAGES:
                    got = self.decoded(encodeImage(image, kind))
                    pixel = got.to_ndarray(format="rgb24")[32, 48].astype(int)
                    distance = abs(pixel - red[0, 0]).max()
                    self.assertLess(distance, 5, (space, limits, kind, pixel))

    def test_theShapeOfPixels(self) -> None:
        """
        Images have square pixels; pixel aspect ratios that no camera has are ignored.
        """
        image = firstFrame(encode(H264_AAC), "video")
        for shape, width in (
            (Fraction(4, 3), 128),
            (Fraction(1, 2), 48),
            (Fraction(10000), 96),
            (Fraction(1, 10000), 96),
        ):
            for kind in IMAGES:
                got = self.decoded(encodeImage(image, kind, pixelShape=shape))
                self.assertEqual((got.width, got.height), (width, 64), shape)
        got = self.decoded(encodeImage(image, "jpg", (40, 30), Fraction(4, 3)))
        self.assertEqual((got.width, got.height), (40, 30), "what was asked for")

    def test_tenBits(self) -> None:
        """
        Video of more than eight bits is accepted, too.
        """
        image = av.VideoFrame(96, 64, "yuv420p10le")
        for plane in image.planes:
            plane.update(b"\x00\x02" * (plane.buffer_size // 2))
        for kind in IMAGES:
            self.assertEqual(self.decoded(encodeImage(image, kind)).width, 96)
