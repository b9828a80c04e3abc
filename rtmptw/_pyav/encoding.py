"""
Encodes video and audio from Python and makes frames of it.

Nothing here uses Twisted; all calls block while FFmpeg encodes, with the GIL released.
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

    #: What can be encoded, for type checkers; numpy may be missing.
    Image = av.VideoFrame | NDArray[Any]
    Audio = av.AudioFrame
    Packet = av.Packet[Any]
    #: The stream to which packets belong.
    Template = av.VideoStream | av.AudioStream

#: FLV's time base.
_MILLISECONDS = Fraction(1, 1000)
#: Frame rate that an encoder is given for its rate control. The frames' own timestamps
#: are used.
DEFAULT_RATE = 30
#: A pixel format that every player supports.
DEFAULT_PIXELS = "yuv420p"

#: Color attributes of a frame that a decoder must know.
_COLOURS = ("color_range", "colorspace", "color_trc", "color_primaries")

#: Options that rtmptw handles itself.
_RATE, _PIXELS = "rate", "pix_fmt"

#: For live video: the encoder holds nothing back, and every 60th frame is a key frame.
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
    The encoder to use, and its options.

    @ivar name: FFmpeg's name of the encoder.
    @ivar options: options of the encoder, as for the ffmpeg program. C{rate} (the frame
        rate or sample rate) and C{pix_fmt} are handled here.
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
                f"the encoder {self.name} needs a whole number as its rate and a pixel "
                f"format of FFmpeg as its pix_fmt, not {dict(self.options)}"
            ) from None

    def encoderOptions(self) -> dict[str, str]:
        """
        @return: the options for FFmpeg's encoder.
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
        @param tags: attributes of the codec context.
        @param properties: properties of the stream.
        """
        self._begin()
        try:
            stream = self._container.add_stream(
                encoder.name, options=encoder.encoderOptions(), **properties
            )
        except ValueError:
            raise SinkError(
                f"RTMP cannot carry the codec of the encoder {encoder.name}"
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
        @return: the frames that the encoder has held back.

        @raise SinkError: if encoding fails.
        """
        return self._encode(None)

    def _encode(self, frame: Any) -> list[Frame]:
        try:
            packets = self._context.encode(frame)
        except (av.error.FFmpegError, ValueError) as error:
            said = getattr(error, "strerror", "") or str(error)
            raise SinkError(f"the encoder {self._context.name} fails: {said}") from None
        return [made for packet in packets for made in self.mux(packet)]


class VideoTrack(_EncodedTrack):
    """
    Encodes video frames of one size.
    """

    def __init__(self, encoder: Encoder, first: av.VideoFrame) -> None:
        """
        @param first: a frame of the size that all have.

        @raise SinkError: if the encoder does not accept it.
        """
        self.size = first.width, first.height
        self._pixels = encoder.options.get(_PIXELS, DEFAULT_PIXELS)
        tags = {}
        if first.format.name == self._pixels:
            # A converted frame has other colors.
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

    def encode(self, image: av.VideoFrame, timestamp: int) -> list[Frame]:
        """
        @param image: the frame, left unchanged.
        @param timestamp: in ms; moved to 1 ms after the previous one if it is not
            later.
        @return: the frames that the encoder delivers now.

        @raise SinkError: if encoding fails.
        """
        if self._latest is not None:
            timestamp = max(timestamp, self._latest + 1)
        self._latest = timestamp
        if image.format.name != self._pixels:
            image = image.reformat(format=self._pixels)
        kept = image.pts, image.time_base, image.pict_type
        image.pts = timestamp
        image.time_base = _MILLISECONDS
        # Its former type must not influence this encoder.
        image.pict_type = PictureType.NONE
        try:
            return self._encode(image)
        finally:
            image.pts, timeBase, image.pict_type = kept
            if timeBase:
                image.time_base = timeBase


class AudioTrack(_EncodedTrack):
    """
    Encodes audio of one format.
    """

    def __init__(self, encoder: Encoder, first: av.AudioFrame) -> None:
        """
        @param first: a frame of the format that all have.

        @raise SinkError: if the encoder does not accept it.
        """
        self.form = formOf(first)
        rate = int(encoder.options.get(_RATE, first.sample_rate))
        super().__init__(
            encoder,
            {},
            rate=_rateFor(encoder.name, rate),
            layout=first.layout.name,
        )

    def encode(self, audio: av.AudioFrame, seconds: Fraction) -> list[Frame]:
        """
        @param audio: the audio frame, left unchanged.
        @param seconds: the time of its first sample.
        @return: the frames that the encoder delivers now.

        @raise SinkError: if encoding fails.
        """
        kept = audio.pts, audio.time_base
        audio.pts = round(seconds * audio.sample_rate)
        audio.time_base = Fraction(1, audio.sample_rate)
        try:
            return self._encode(audio)
        finally:
            audio.pts, timeBase = kept
            if timeBase:
                audio.time_base = timeBase


def videoFrameOf(image: "Image", form: str) -> av.VideoFrame:
    """
    @param image: a PyAV frame, or a numpy array.
    @param form: the pixel format of an array.

    @raise ValueError: if it is neither, or does not have this format.
    """
    if isinstance(image, av.VideoFrame):
        return image
    shape = getattr(image, "shape", None)
    try:
        return av.VideoFrame.from_ndarray(image, format=form)
    except (AttributeError, NotImplementedError, TypeError, ValueError):
        what = type(image).__name__ + (f" of {shape}" if shape else "")
        raise ValueError(
            f"an image must be an av.VideoFrame or a numpy array in format {form}, "
            f"not {what}"
        ) from None


def formOf(audio: av.AudioFrame) -> tuple[str, str, int]:
    """
    @return: the properties that must not change within a track.
    """
    return audio.format.name, audio.layout.name, audio.sample_rate


def _rateFor(name: str, rate: int) -> int:
    """
    @return: the rate, or the nearest one that the encoder supports.
    """
    rates = av.Codec(name, "w").audio_rates
    if not rates or rate in rates:
        return rate
    return min(rates, key=lambda known: (abs(known - rate), -known))
