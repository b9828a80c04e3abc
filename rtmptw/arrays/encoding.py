"""
Arrays made into frames, with times that suit a live stream.
"""

from collections.abc import Mapping
from fractions import Fraction

import numpy
from numpy.typing import NDArray

from rtmptw._pyav.encoding import Encoder, PictureTrack, pictureOf
from rtmptw._pyav.flv import metadataFrame
from rtmptw.errors import SinkError
from rtmptw.frames import Frame, FrameKind

#: A loop may be late by so many seconds, and its frames are still evenly spaced; when
#: it is later, time goes on with the clock.
MAX_LATE = 0.25
#: What an array may be.
FORMATS: Mapping[str, int] = {"bgr24": 3, "rgb24": 3, "gray": 0}

_NAME = "rtmptw writer"


class Times:
    """
    When frames are to be shown: evenly spaced, as the rate says, as long as the program
    keeps up. A program that is slower than the rate gives each frame the time when it
    came; one that is faster writes into the future, as into a file.
    """

    def __init__(self, rate: float) -> None:
        """
        @param rate: frames a second.
        """
        self._space = 1.0 / rate
        self._zero: float | None = None
        self._last = 0.0

    def next(self, now: float, at: float | None = None) -> float:
        """
        @param now: seconds on a clock that does not jump.
        @param at: the program's own time of this frame, in seconds.
        @return: the frame's time, in seconds since the first.
        """
        if at is not None:
            if self._zero is None:
                self._zero = at
            self._last = max(at - self._zero, 0.0)
        elif self._zero is None:
            self._zero = now
        else:
            due = self._last + self._space
            elapsed = now - self._zero
            self._last = elapsed if elapsed - due > MAX_LATE else due
        return self._last


class ArrayEncoder:
    """
    Encodes arrays of one shape. It blocks while it does.
    """

    def __init__(
        self, size: tuple[int, int], rate: float, format: str, options: dict[str, str]
    ) -> None:
        """
        @param size: width and height.
        @param options: C{codec}, and those of FFmpeg's encoder.

        @raise TypeError: if something is not what it should be.
        @raise ValueError: with a sentence, if it cannot be had so.
        """
        self.size = width, height = _checkSize(size)
        if not 0 < rate <= 1000:
            raise ValueError(
                f"a writer's rate is the frames a second, like 30, not {rate!r}"
            )
        if format not in FORMATS:
            raise ValueError(
                f"a writer takes bgr24, rgb24 or gray, not {format!r} arrays"
            )
        self.rate = rate
        self._format = format
        colors = FORMATS[format]
        self._shape = (height, width, colors) if colors else (height, width)
        options = dict(options)
        name = options.pop("codec")
        options.setdefault("rate", str(max(1, round(rate))))
        self._encoder = Encoder(name, options)
        self._encoder.check(FrameKind.VIDEO)
        self._track: PictureTrack | None = None
        # The first one shows whether the encoder works with these options.
        try:
            self._first: PictureTrack | None = self._newTrack()
        except SinkError as error:
            raise ValueError(str(error)) from None

    def check(self, array: object) -> NDArray[numpy.uint8]:
        """
        @return: the array, in one piece.

        @raise TypeError: if it is no array of bytes.
        @raise ValueError: if it has another shape.
        """
        wanted = f"a writer takes {self._format} arrays of uint8, shape {self._shape}"
        if not isinstance(array, numpy.ndarray):
            raise TypeError(f"{wanted}, not {type(array).__name__}")
        if array.dtype != numpy.uint8:
            raise TypeError(f"{wanted}, not of {array.dtype}")
        if array.shape != self._shape:
            raise ValueError(f"{wanted}, not {array.shape}")
        return numpy.ascontiguousarray(array)

    def _newTrack(self) -> PictureTrack:
        blank = numpy.zeros(self._shape, numpy.uint8)
        return PictureTrack(self._encoder, pictureOf(blank, self._format))

    def begin(self) -> list[Frame]:
        """
        Begin anew: the next frame is a key frame, and its headers come before it.

        @return: the metadata.
        """
        track, self._first = self._first, None
        self._track = track = track or self._newTrack()
        return [metadataFrame([track.metadata], _NAME)]

    def encode(self, array: NDArray[numpy.uint8], seconds: float) -> list[Frame]:
        """
        @param array: from L{check}.
        @return: what the encoder gives now.

        @raise SinkError: if it fails.
        """
        assert self._track is not None
        return self._track.encode(
            pictureOf(array, self._format), round(Fraction(seconds) * 1000)
        )

    def finish(self) -> list[Frame]:
        """
        @return: what the encoder still has.
        """
        track, self._track = self._track, None
        return [] if track is None else track.finish()


def _checkSize(size: object) -> tuple[int, int]:
    if (
        not isinstance(size, tuple | list)
        or len(size) != 2
        or not all(isinstance(side, int) and 0 < side <= 16384 for side in size)
    ):
        raise ValueError(
            f"a writer's size is width and height, like (1280, 720), not {size!r}"
        )
    width, height = size
    if width % 2 or height % 2:
        raise ValueError(
            f"a writer's width and height are even, as most encoders and players need "
            f"them, not {width}x{height}"
        )
    return width, height
