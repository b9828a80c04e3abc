"""
Pictures and sound of Python, encoded and made into frames.

Nothing here knows Twisted; everything here blocks while FFmpeg encodes, and lets other
threads run meanwhile.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import av.error
from av.video.frame import PictureType

from rtmptw._pyav.flv import TrackMuxer
from rtmptw.errors import SinkError
from rtmptw.frames import Frame, FrameKind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    #: What can be encoded, for those who check types; numpy may be missing.
    Picture = av.VideoFrame | NDArray[Any]
    Sound = av.AudioFrame
    Packet = av.Packet[Any]
    #: The stream that packets are of.
    Template = av.VideoStream | av.AudioStream

#: FLV counts so.
_MILLISECONDS = Fraction(1, 1000)
#: What an encoder is told of the pictures a second, for its rate control; their times
#: are their own.
DEFAULT_RATE = 30
#: What every player can show.
DEFAULT_PIXELS = "yuv420p"

#: What a picture says of its colours, and a decoder must know.
_COLOURS = ("color_range", "colorspace", "color_trc", "color_primaries")

#: Options that are ours.
_RATE, _PIXELS = "rate", "pix_fmt"

#: For live pictures: nothing waits in the encoder. A key frame each 60 pictures.
_DEFAULTS: Mapping[str, Mapping[str, str]] = {
    "libx264": {"preset": "veryfast", "tune": "zerolatency", "g": "60"},
    "libx265": {
        "preset": "ultrafast",
        "tune": "zerolatency",
        "g": "60",
        "x265-params": "log-level=none",
    },
    "aac": {"b": "128k"},
}


@dataclass(frozen=True)
class Encoder:
    """
    Which encoder to use, and how.

    @ivar name: FFmpeg's.
    @ivar options: of the encoder, as FFmpeg's program takes them. C{rate}, the
        pictures a second or samples a second, and C{pix_fmt} are for us.
    """

    name: str
    options: Mapping[str, str] = field(default_factory=dict)

    def check(self, kind: FrameKind) -> None:
        """
        @raise ValueError: if there is no such encoder for this kind.
        """
        word = kind.name.lower()
        try:
            codec = av.Codec(self.name, "w")
        except ValueError:
            codec = None
        if codec is None or codec.type != word:
            raise ValueError(
                f"FFmpeg {av.ffmpeg_version_info} has no {word} encoder {self.name!r}"
            )
        try:
            if int(self.options.get(_RATE, "1")) < 1:
                raise ValueError
            av.VideoFormat(self.options.get(_PIXELS, DEFAULT_PIXELS))
        except ValueError:
            raise ValueError(
                f"the encoder {self.name} needs a whole number as its rate and a name "
                f"of FFmpeg's as its pix_fmt, not {dict(self.options)}"
            ) from None

    def encoderOptions(self) -> dict[str, str]:
        """
        @return: those of FFmpeg's encoder.
        """
        options = {**_DEFAULTS.get(self.name, {}), **self.options}
        options.pop(_RATE, None)
        options.pop(_PIXELS, None)
        return options


class _EncodedTrack(TrackMuxer):
    """
    A track that is encoded here.
    """

    def __init__(
        self, encoder: Encoder, tags: Mapping[str, Any], **properties: Any
    ) -> None:
        """
        @param tags: of the codec context.
        @param properties: of the stream.
        """
        self._begin()
        try:
            stream = self._container.add_stream(
                encoder.name, options=encoder.encoderOptions(), **properties
            )
        except ValueError:
            raise SinkError(
                f"RTMP cannot carry what the encoder {encoder.name} makes"
            ) from None
        context = stream.codec_context
        for name, value in tags.items():
            setattr(context, name, value)
        try:
            context.open()
        except (av.error.FFmpegError, ValueError) as error:
            said = getattr(error, "strerror", "") or str(error)
            self._container.close()
            raise SinkError(
                f"the encoder {encoder.name} does not start with the options "
                f"{encoder.encoderOptions()}: {said}"
            ) from None
        unused = ", ".join(sorted(context.options))
        if unused:
            self._container.close()
            raise SinkError(
                f"the encoder {encoder.name} of FFmpeg {av.ffmpeg_version_info} has no "
                f"option {unused}"
            )
        self._start(stream, encoder.name)
        self._context = context
        self._latest: int | None = None

    def finish(self) -> list[Frame]:
        """
        @return: what the encoder still has.

        @raise SinkError: if it fails.
        """
        return self._encode(None)

    def _encode(self, frame: Any) -> list[Frame]:
        try:
            packets = self._context.encode(frame)
        except (av.error.FFmpegError, ValueError) as error:
            said = getattr(error, "strerror", "") or str(error)
            raise SinkError(f"the encoder {self._context.name} fails: {said}") from None
        return [made for packet in packets for made in self.mux(packet)]


class PictureTrack(_EncodedTrack):
    """
    Encodes pictures of one size.
    """

    def __init__(self, encoder: Encoder, first: av.VideoFrame) -> None:
        """
        @param first: of the size of all.

        @raise SinkError: if the encoder does not take it.
        """
        self.size = first.width, first.height
        self._pixels = encoder.options.get(_PIXELS, DEFAULT_PIXELS)
        tags = {}
        if first.format.name == self._pixels:
            # What is converted has other colours.
            tags = {
                tag: value
                for tag in _COLOURS
                if (value := getattr(first, tag, None)) is not None
            }
        super().__init__(
            encoder,
            tags,
            rate=int(encoder.options.get(_RATE, DEFAULT_RATE)),
            width=first.width,
            height=first.height,
            pix_fmt=self._pixels,
            time_base=_MILLISECONDS,
        )

    def encode(self, picture: av.VideoFrame, timestamp: int) -> list[Frame]:
        """
        @param picture: is as it was, afterwards.
        @param timestamp: in ms; one that is not after the one before is put there.
        @return: what the encoder gives now.

        @raise SinkError: if it fails.
        """
        if self._latest is not None:
            timestamp = max(timestamp, self._latest + 1)
        self._latest = timestamp
        if picture.format.name != self._pixels:
            picture = picture.reformat(format=self._pixels)
        kept = picture.pts, picture.time_base, picture.pict_type
        picture.pts = timestamp
        picture.time_base = _MILLISECONDS
        # What type it had is of no interest to this encoder.
        picture.pict_type = PictureType.NONE
        try:
            return self._encode(picture)
        finally:
            picture.pts, timeBase, picture.pict_type = kept
            if timeBase:
                picture.time_base = timeBase


class SoundTrack(_EncodedTrack):
    """
    Encodes sound of one format.
    """

    def __init__(self, encoder: Encoder, first: av.AudioFrame) -> None:
        """
        @param first: of the format of all.

        @raise SinkError: if the encoder does not take it.
        """
        self.form = formOf(first)
        rate = int(encoder.options.get(_RATE, first.sample_rate))
        super().__init__(
            encoder,
            {},
            rate=_rateFor(encoder.name, rate),
            layout=first.layout.name,
        )

    def encode(self, sound: av.AudioFrame, seconds: Fraction) -> list[Frame]:
        """
        @param sound: is as it was, afterwards.
        @param seconds: when its first sample is heard.
        @return: what the encoder gives now.

        @raise SinkError: if it fails.
        """
        kept = sound.pts, sound.time_base
        sound.pts = round(seconds * sound.sample_rate)
        sound.time_base = Fraction(1, sound.sample_rate)
        try:
            return self._encode(sound)
        finally:
            sound.pts, timeBase = kept
            if timeBase:
                sound.time_base = timeBase


def pictureOf(picture: "Picture", form: str) -> av.VideoFrame:
    """
    @param picture: a frame, or an array of numpy.
    @param form: the pixel format of an array.

    @raise ValueError: if it is neither, or not of this format.
    """
    if isinstance(picture, av.VideoFrame):
        return picture
    shape = getattr(picture, "shape", None)
    try:
        return av.VideoFrame.from_ndarray(picture, format=form)
    except (AttributeError, NotImplementedError, TypeError, ValueError):
        what = type(picture).__name__ + (f" of {shape}" if shape else "")
        raise ValueError(
            f"a picture is an av.VideoFrame, or an array of numpy that is {form}, "
            f"not {what}"
        ) from None


def formOf(sound: av.AudioFrame) -> tuple[str, str, int]:
    """
    @return: what must not change within a track.
    """
    return sound.format.name, sound.layout.name, sound.sample_rate


def _rateFor(name: str, rate: int) -> int:
    """
    @return: the rate, or the nearest one that the encoder has.
    """
    rates = av.Codec(name, "w").audio_rates
    if not rates or rate in rates:
        return rate
    return min(rates, key=lambda known: (abs(known - rate), -known))
