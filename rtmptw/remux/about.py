"""
Track properties that a stream signals outside samples and codec headers.
"""

from rtmptw.codecs.video import Color
from rtmptw.errors import ProtocolError
from rtmptw.flv import body as flv
from rtmptw.fmp4.track import About, Display, Light
from rtmptw.frames import Frame, FrameKind, Role
from rtmptw.rtmp import amf0
from rtmptw.rtmp.amf import AMFObject, Value

#: Longer messages are cut off here.
_MAX_METADATA = 64 * 1024
_MAX_SIDE = 0xFFFF
_MAX_SPEAKERS = 64


class Hearsay:
    """
    Collects what the stream signals about its tracks.

    @ivar kinds: kinds of the tracks that onMetaData announces.
    """

    def __init__(self) -> None:
        self.kinds: set[FrameKind] = set()
        self._size: tuple[int, int] | None = None
        self._lights: dict[int, Light] = {}
        self._speakers: dict[int, tuple[int, ...]] = {}

    def hear(self, frame: Frame) -> None:
        """
        Parse a frame that is neither a sample nor a codec header. Invalid data is
        ignored.
        """
        try:
            if frame.name == "onMetaData" and frame.isHeader:
                self._announce(frame.payload)
            elif frame.role is Role.METADATA:
                self._color(frame.payload)
            elif frame.role is Role.CHANNELS:
                self._channels(frame.payload)
        except ProtocolError:
            return

    def of(self, kind: FrameKind, track: int) -> About:
        """
        @return: what is known of a track.
        """
        if kind is FrameKind.VIDEO:
            return About(self._size, self._lights.get(track, Light()))
        return About(speakers=self._speakers.get(track, ()))

    def _announce(self, payload: bytes) -> None:
        for value in amf0.decodeAll(payload[:_MAX_METADATA], lenient=True):
            if isinstance(value, AMFObject):
                said = dict(value.properties)
                if "videocodecid" in said:
                    self.kinds.add(FrameKind.VIDEO)
                if "audiocodecid" in said:
                    self.kinds.add(FrameKind.AUDIO)
                width, height = _number(said, "width"), _number(said, "height")
                if 0 < width <= _MAX_SIDE and 0 < height <= _MAX_SIDE:
                    self._size = int(width), int(height)

    def _color(self, payload: bytes) -> None:
        tag = flv.parseVideo(payload)
        pairs = [(each.trackID, each.data) for each in tag.tracks] or [(0, tag.data)]
        for track, data in pairs:
            values = amf0.decodeAll(data[:_MAX_METADATA], lenient=True)
            if len(values) > 1 and values[0] == "colorInfo":
                said = _properties(values[1])
                if said:
                    self._lights[track] = _light(said)
                else:
                    # An empty object withdraws it.
                    self._lights.pop(track, None)

    def _channels(self, payload: bytes) -> None:
        tag = flv.parseAudio(payload)
        pairs = [(each.trackID, each.channels) for each in tag.tracks]
        for track, channels in pairs or [(0, tag.channels)]:
            if channels is None or not 0 < channels.count <= _MAX_SPEAKERS:
                continue
            speakers: tuple[int, ...] = ()
            if channels.order == flv.ChannelOrder.CUSTOM:
                speakers = channels.mapping
            elif channels.order == flv.ChannelOrder.NATIVE:
                speakers = tuple(n for n in range(32) if channels.mask >> n & 1)
            if len(speakers) == channels.count:
                self._speakers[track] = speakers


def _properties(value: Value) -> dict[str, Value]:
    return dict(value.properties) if isinstance(value, AMFObject) else {}


def _number(said: dict[str, Value], name: str) -> float:
    value = said.get(name)
    # Neither True nor infinite, NaN or absurd numbers.
    return value if isinstance(value, float) and abs(value) < 1e12 else -1.0


def _light(said: dict[str, Value]) -> Light:
    """
    Parse C{colorInfo}: Enhanced RTMP v2, Metadata Frame.
    """
    coded = _properties(said.get("colorConfig"))
    points = [
        _number(coded, name)
        for name in ("colorPrimaries", "transferCharacteristics", "matrixCoefficients")
    ]
    color = None
    if any(0 <= point < 256 for point in points):
        first, second, third = [int(p) if 0 <= p < 256 else 2 for p in points]
        color = Color(first, second, third)
    levels = None
    light = _properties(said.get("hdrCll"))
    most, average = _number(light, "maxCLL"), _number(light, "maxFall")
    if most > 0 or average > 0:
        levels = _level(most), _level(average)
    return Light(color, _display(_properties(said.get("hdrMdcv"))), levels)


def _level(value: float) -> int:
    return min(max(round(value), 0), 0xFFFF)


def _display(said: dict[str, Value]) -> Display | None:
    names = ("greenX", "greenY", "blueX", "blueY", "redX", "redY")
    green, greenY, blue, blueY, red, redY = [_number(said, name) for name in names]
    white = _number(said, "whitePointX"), _number(said, "whitePointY")
    luminance = _number(said, "maxLuminance"), _number(said, "minLuminance")
    known = (green, greenY, blue, blueY, red, redY, *white, *luminance)
    if any(number < 0 for number in known):
        return None
    return Display((green, greenY, blue, blueY, red, redY), white, luminance)
