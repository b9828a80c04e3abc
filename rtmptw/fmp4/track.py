"""
Tracks, as described in an init segment.
"""

from dataclasses import dataclass, field

from rtmptw.codecs.video import Color


@dataclass(frozen=True, slots=True)
class Display:
    """
    The color volume of the mastering display (SMPTE ST 2086).

    @ivar primaries: x and y of green, blue and red, as fractions.
    @ivar white: x and y of the white point.
    @ivar luminance: the highest and the lowest, in cd/m2.
    """

    primaries: tuple[float, float, float, float, float, float]
    white: tuple[float, float]
    luminance: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Light:
    """
    Color information from outside the bitstream.

    @ivar color: replaces what the bitstream signals; C{None} if unknown.
    @ivar display: C{None} if unknown.
    @ivar levels: the highest light level of a pixel, and the highest average of a
        frame, in cd/m2; C{None} if unknown.
    """

    color: Color | None = None
    display: Display | None = None
    levels: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class About:
    """
    What is known of a track besides its codec.

    @ivar size: video size in pixels, used if there is no better source; C{None} if not
        signaled.
    @ivar light: color information of the video.
    @ivar speakers: the channel numbers of Enhanced RTMP, in order; empty if not
        signaled.
    """

    size: tuple[int, int] | None = None
    light: Light = field(default_factory=Light)
    speakers: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Description:
    """
    The contents of a sample description.

    @ivar entry: the sample entry box.
    @ivar rate: ticks per second: the sample rate of audio, 1000 for video.
    @ivar block: ticks of each packet; 0 if unknown or variable.
    @ivar size: display size of video, in pixels; C{None} for audio.
    """

    entry: bytes
    rate: int
    block: int = 0
    size: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Track:
    """
    A track.

    @ivar number: counted from 1.
    """

    number: int
    description: Description
