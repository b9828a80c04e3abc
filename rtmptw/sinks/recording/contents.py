"""
The contents of a recording, and the metadata tag at its beginning that describes them.
"""

from array import array
from typing import Final, TypeAlias

from rtmptw.errors import ProtocolError
from rtmptw.flv import file as flvfile
from rtmptw.frames import Frame, FrameKind, Role
from rtmptw.rtmp import amf0
from rtmptw.rtmp.amf import AMFObject, AMFReference, ECMAArray, Value

# Looking up an enum member in its class costs more than the comparison.
_VIDEO: Final = FrameKind.VIDEO
_CODED: Final = Role.CODED

#: Names and values, in order.
Properties: TypeAlias = list[tuple[str, Value]]

#: Bytes reserved for the index of key frames at the beginning of every file. An entry
#: takes 18: 14,500 fit, which is every key frame of 8 hours at one in 2 s, or of 24
#: hours at one in 6 s. With less, seeking in a day-long file is coarse; more is what
#: every HTTP viewer has to download first.
INDEX_RESERVE = 256 * 1024
#: The bytes of an index entry, two AMF numbers: a time and a position.
INDEX_ENTRY = 18
#: Bytes reserved for our properties other than the index, the filler's overhead and
#: rounding.
BASE_RESERVE = 1024
#: The largest encoder metadata that is merged into our metadata tag. Encoders send some
#: 500 bytes; larger metadata is written as a script tag of its own.
MAX_METADATA = 64 * 1024
#: Key frames held in memory for the index, four times what is written. If there are
#: more, every second one is discarded.
MAX_INDEX = 65_536
#: The longest step between timestamps, in ms, that is taken for a frame's duration;
#: longer ones are gaps.
MAX_STEP = 1000

#: The first property of our metadata tag; identifies our own files.
_OURS: tuple[str, Value] = ("recorder", "rtmptw")
#: FFmpeg rejects AMF strings of 1024 bytes and more.
_FILLER_STRING = 1000
_STRING_OVERHEAD = 3
#: Names and markers of the index take 47 bytes; the rest is for a filler of 1 or 2
#: bytes, which is not possible.
_INDEX_FRAMING = 64

_METADATA_NAME = b"\x02\x00\x0aonMetaData"
#: The name, the ECMA array marker and its count (which varies), then our first
#: property.
_COUNT_SIZE = 4
_MARKER = b"\x00\x08recorder\x02\x00\x06rtmptw"
_TEMPLATE_HEAD = _METADATA_NAME + b"\x08" + bytes(_COUNT_SIZE) + _MARKER


class Contents:
    """
    A tally of the contents of one file, kept while tags are written or read.

    @ivar frames: coded audio and video frames.
    @ivar size: the size of the file so far, in bytes.
    @ivar hasAudio: whether there are audio frames.
    @ivar hasVideo: whether there are video frames.
    """

    __slots__ = (
        "_ends",
        "_last",
        "_lastKey",
        "_latest",
        "_met",
        "_positions",
        "_steps",
        "_stride",
        "_times",
        "frames",
        "hasAudio",
        "hasVideo",
        "size",
    )

    def __init__(self) -> None:
        self.frames = 0
        self.size = 0
        self.hasAudio = False
        self.hasVideo = False
        self._last = 0
        #: By kind: the last timestamp, the last step, the end of presentation.
        self._latest: dict[FrameKind, int] = {}
        self._steps = {FrameKind.AUDIO: 0, FrameKind.VIDEO: 0}
        self._ends = {FrameKind.AUDIO: 0, FrameKind.VIDEO: 0}
        self._lastKey: tuple[int, int] | None = None
        #: Every C{_stride}th key frame, of C{_met} seen so far.
        self._times = array("Q")
        self._positions = array("Q")
        self._stride = 1
        self._met = 0

    def add(self, frame: Frame, timestamp: int, position: int) -> None:
        """
        Count a coded frame.

        @param timestamp: its timestamp in the file, in ms.
        @param position: the position of its tag.
        """
        kind = frame.kind
        self.frames += 1
        if kind is _VIDEO:
            self.hasVideo = True
            if frame.isKey:
                self._addKey(timestamp, position)
        else:
            self.hasAudio = True
        step = timestamp - self._latest.get(kind, timestamp)
        if 0 < step <= MAX_STEP:
            self._steps[kind] = step
        self._latest[kind] = timestamp
        end = timestamp + max(0, frame.compositionTime)
        if end > self._ends[kind]:
            self._ends[kind] = end
        if timestamp > self._last:
            self._last = timestamp

    def _addKey(self, timestamp: int, position: int) -> None:
        self._lastKey = timestamp, position
        if self._met % self._stride == 0:
            if len(self._times) == MAX_INDEX:
                self._times = self._times[::2]
                self._positions = self._positions[::2]
                self._stride *= 2
            self._times.append(timestamp)
            self._positions.append(position)
        self._met += 1

    def move(self, size: int) -> None:
        """
        Shift all positions by C{size} bytes, towards the beginning if it is negative.
        """
        self._positions = array("Q", [place + size for place in self._positions])
        if self._lastKey is not None:
            self._lastKey = self._lastKey[0], self._lastKey[1] + size
        self.size += size

    @property
    def entries(self) -> int:
        """
        The largest number of key frames in the index.
        """
        return len(self._times)

    @property
    def duration(self) -> int:
        """
        Milliseconds from 0 to the end of the last frame.
        """
        return max(self._ends[kind] + self._steps[kind] for kind in self._ends)

    def properties(self) -> Properties:
        """
        @return: the properties of the file for the metadata tag, without the index.
        """
        lastKey = self._lastKey
        position = lastKey[1] if lastKey else 0
        keyTime = lastKey[0] if lastKey else 0
        latestVideo = self._latest.get(FrameKind.VIDEO)
        return [
            ("duration", self.duration / 1000),
            ("filesize", float(self.size)),
            ("lasttimestamp", self._last / 1000),
            ("lastkeyframetimestamp", keyTime / 1000),
            ("lastkeyframelocation", float(position)),
            ("hasVideo", self.hasVideo),
            ("hasAudio", self.hasAudio),
            ("hasMetadata", True),
            ("hasKeyframes", lastKey is not None),
            ("canSeekToEnd", lastKey is not None and keyTime == latestVideo),
        ]

    def index(self, most: int) -> Properties:
        """
        @param most: the largest number of entries that fits.

        @return: the C{keyframes} property, thinned out evenly if necessary. Empty if
            there are fewer than two key frames: there is nothing to look up, and FFmpeg
            complains.
        """
        count = len(self._times)
        if min(count, most) < 2:
            return []
        most = min(count, most)
        # Spread evenly; the first and the last are always kept.
        picks = [number * (count - 1) // (most - 1) for number in range(most)]
        times: list[Value] = [self._times[pick] / 1000 for pick in picks]
        positions: list[Value] = [float(self._positions[pick]) for pick in picks]
        return [
            ("keyframes", AMFObject([("times", times), ("filepositions", positions)]))
        ]


#: The properties that we set, whatever the encoder sent. OBS and other users of libobs
#: send C{fileSize: 0}.
_OUR_NAMES = frozenset(
    {name for name, _ in Contents().properties()}
    | {"keyframes", "filler", "fileSize", _OURS[0]}
)


def isMedia(frame: Frame) -> bool:
    """
    @return: whether it is audio or video that must not be lost: coded, or of an unknown
        role. An empty body does not count.
    """
    return frame.role is _CODED or (
        frame.role is Role.UNKNOWN
        and frame.kind is not FrameKind.DATA
        and frame.size > 1
    )


def encoderProperties(payload: bytes, limit: int = MAX_METADATA) -> Properties | None:
    """
    @param payload: an onMetaData message.
    @param limit: the largest size, in bytes.

    @return: its properties without those that we set; C{None} if it is too large or
        cannot be parsed, and has to be written as a tag of its own.
    """
    if len(payload) > limit:
        return None
    try:
        values = amf0.decodeAll(payload, lenient=True)
        for value in values[1:]:
            if isinstance(value, AMFObject):
                kept = [item for item in value.properties if item[0] not in _OUR_NAMES]
                # References count the preceding objects, which we change.
                if any(_refers(each) for _, each in kept):
                    return None
                # Raises if we cannot encode it: then it has to be written unchanged.
                amf0.encode(ECMAArray(kept))
                return kept
    except ProtocolError:
        pass
    return None


def _refers(value: Value) -> bool:
    if isinstance(value, AMFObject):
        return any(_refers(each) for _, each in value.properties)
    if isinstance(value, list):
        return any(map(_refers, value))
    return isinstance(value, AMFReference)


def reserveFor(kept: Properties, rotate: int, maxSize: int) -> int:
    """
    @param kept: the encoder's properties.
    @param rotate: ms after which a part ends; 0 for never.
    @param maxSize: bytes at which a part ends; 0 for never.

    @return: the size of the metadata tag's body.
    """
    index = INDEX_RESERVE
    if rotate:
        # Allow for two key frames per second, which is a lot.
        index = min(index, rotate // 500 * INDEX_ENTRY)
    if maxSize:
        # Keep the index small relative to the file.
        index = min(index, maxSize // 32)
    return len(amf0.encode(ECMAArray(kept))) + BASE_RESERVE + index


def reserveNeeded(kept: Properties, contents: Contents) -> int:
    """
    @return: the size that the metadata tag's body needs for all properties, when
        nothing is added any more.
    """
    bare = len(_body([*kept, *contents.properties()], 0))
    entries = contents.entries * INDEX_ENTRY
    return max(bare + _INDEX_FRAMING + entries, BASE_RESERVE)


def _body(items: Properties, pad: int) -> bytes:
    """
    @param pad: the bytes by which to enlarge the body with a filler; not 1 or 2.
    """
    full = _STRING_OVERHEAD + _FILLER_STRING
    count = -(-pad // full)
    filler: list[Value] = [
        " " * (pad * (number + 1) // count - pad * number // count - _STRING_OVERHEAD)
        for number in range(count)
    ]
    return amf0.encode("onMetaData", ECMAArray([_OURS, *items, ("filler", filler)]))


def isOurs(body: bytes) -> bool:
    """
    @param body: the first bytes of the body of a file's first tag.

    @return: whether they can be the beginning of a metadata tag of ours.
    """
    before = len(_METADATA_NAME) + 1
    after = before + _COUNT_SIZE
    length = len(_TEMPLATE_HEAD)
    return (
        body[:before] == _TEMPLATE_HEAD[: min(before, len(body))]
        and body[after:length] == _TEMPLATE_HEAD[after : max(after, len(body))]
    )


def metadataTag(kept: Properties, contents: Contents, reserve: int) -> bytes:
    """
    @param kept: the encoder's properties; left out if there is no room.
    @param reserve: the exact size of the body, from L{reserveFor}; at least
        L{BASE_RESERVE}.

    @return: the whole metadata tag.
    """
    said = contents.properties()
    room = reserve - _INDEX_FRAMING
    if len(_body([*kept, *said], 0)) > room:
        kept = []
    bare = len(_body([*kept, *said], 0))
    items = [*kept, *said, *contents.index((room - bare) // INDEX_ENTRY)]
    body = _body(items, reserve - len(_body(items, 0)))
    return flvfile.tag(FrameKind.DATA, 0, body)
