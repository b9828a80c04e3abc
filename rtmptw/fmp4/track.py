"""
Tracks, as an init segment describes them.
"""

from dataclasses import dataclass, field

from rtmptw.codecs.picture import Color


@dataclass(frozen=True, slots=True)
class Display:
    """
    The light of the display on which pictures were mastered (SMPTE ST 2086).

    @ivar primaries: x and y of green, blue and red, as fractions.
    @ivar white: x and y.
    @ivar luminance: the highest and the lowest, in cd/m2.
    """

    primaries: tuple[float, float, float, float, float, float]
    white: tuple[float, float]
    luminance: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Light:
    """
    What is known of the colors of pictures besides their coding.

    @ivar color: instead of what the pictures say of themselves; C{None} if nothing is
        known.
    @ivar display: C{None} if it is not known.
    @ivar levels: the highest light of a pixel, and of a picture on the average, in
        cd/m2; C{None} if that is not known.
    """

    color: Color | None = None
    display: Display | None = None
    levels: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class About:
    """
    What is known of a track besides its codec.

    @ivar size: of the pictures, in pixels, for want of a better source; C{None} if
        nobody says.
    @ivar light: of the pictures.
    @ivar speakers: where each channel is to be heard, as Enhanced RTMP numbers them;
        empty if nobody says.
    """

    size: tuple[int, int] | None = None
    light: Light = field(default_factory=Light)
    speakers: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Description:
    """
    What is in a sample description.

    @ivar entry: the sample entry, a box.
    @ivar rate: ticks in a second: the rate of the sound, or 1000.
    @ivar block: ticks that each packet lasts; 0 if that is not known or varies.
    @ivar size: of the pictures on a display, in pixels; C{None} of sound.
    """

    entry: bytes
    rate: int
    block: int = 0
    size: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Track:
    """
    A track.

    @ivar number: from 1 on.
    """

    number: int
    description: Description
