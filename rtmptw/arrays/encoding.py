"""
Encodes arrays into frames, with timestamps that suit a live stream.
"""

from collections.abc import Mapping
from fractions import Fraction

import numpy
from numpy.typing import NDArray

from rtmptw._pyav.encoding import Encoder, VideoTrack, videoFrameOf
from rtmptw._pyav.flv import metadataFrame
from rtmptw.errors import SinkError
from rtmptw.frames import Frame, FrameKind

#: Seconds by which a loop may be late while its frames stay evenly spaced. Beyond that
#: timestamps follow the clock.
MAX_LATE = 0.25
#: The formats of arrays, with their number of colors; 0 is gray.
FORMATS: Mapping[str, int] = {"bgr24": 3, "rgb24": 3, "gray": 0}

_NAME = "rtmptw writer"


class Times:
    """
    The times of frames: evenly spaced according to the rate as long as the program
    keeps up. If the program is slower than the rate, each frame has the time when it
    was written. If it is faster, times run ahead of the clock, as in a file.
    """

    def __init__(self, rate: float) -> None:
        """
        @param rate: frames per second.
        """
        self._space = 1.0 / rate
        self._zero: float | None = None
        self._last = 0.0

    def next(self, now: float, at: float | None = None) -> float:
        """
        @param now: seconds on a monotonic clock.
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
    Encodes arrays of one shape. Its methods block.
    """

    def __init__(
        self, size: tuple[int, int], rate: float, format: str, options: dict[str, str]
    ) -> None:
        """
        @param size: width and height.
        @param options: C{codec}, and options of FFmpeg's encoder.

        @raise ValueError: if an argument is wrong; the text says which.
        """
        self.size = width, height = _checkSize(size)
        if not 0 < rate <= 1000:
            raise ValueError(
                f"a writer's rate is in frames per second, such as 30, not {rate!r}"
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
        self._track: VideoTrack | None = None
        # Made at once, to find out whether the encoder works with these options.
        try:
            self._first: VideoTrack | None = self._newTrack()
        except SinkError as error:
            raise ValueError(str(error)) from None

    def check(self, array: object) -> NDArray[numpy.uint8]:
        """
        @return: the array, contiguous in memory.

        @raise TypeError: if it is not an array of bytes.
        @raise ValueError: if its shape is wrong.
        """
        wanted = f"a writer takes {self._format} arrays of uint8, shape {self._shape}"
        if not isinstance(array, numpy.ndarray):
            raise TypeError(f"{wanted}, not {type(array).__name__}")
        if array.dtype != numpy.uint8:
            raise TypeError(f"{wanted}, not of {array.dtype}")
        if array.shape != self._shape:
            raise ValueError(f"{wanted}, not {array.shape}")
        return numpy.ascontiguousarray(array)

    def _newTrack(self) -> VideoTrack:
        blank = numpy.zeros(self._shape, numpy.uint8)
        return VideoTrack(self._encoder, videoFrameOf(blank, self._format))

    def begin(self) -> list[Frame]:
        """
        Start again: the next frame is a key frame, after a new sequence header.

        @return: the metadata.
        """
        track, self._first = self._first, None
        self._track = track = track or self._newTrack()
        return [metadataFrame([track.metadata], _NAME)]

    def encode(self, array: NDArray[numpy.uint8], seconds: float) -> list[Frame]:
        """
        @param array: from L{check}.
        @return: the frames that the encoder has ready.

        @raise SinkError: if the encoder fails.
        """
        assert self._track is not None
        return self._track.encode(
            videoFrameOf(array, self._format), round(Fraction(seconds) * 1000)
        )

    def finish(self) -> list[Frame]:
        """
        @return: the frames that were still in the encoder.
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
            f"a writer's size is width and height, such as (1280, 720), not {size!r}"
        )
    width, height = size
    if width % 2 or height % 2:
        raise ValueError(
            f"a writer's width and height must be even, as most encoders and players "
            f"require; {width}x{height} is not"
        )
    return width, height
