"""
The AMF0 and AMF3 types that Python lacks, and what both decoders share.

Null, booleans, numbers and strings are Python's own; the rest is here. Strings are
C{str}; bytes that are not UTF-8 are kept in them as lone surrogates
(C{surrogateescape}), because stream keys and titles come in every encoding.

Decoded values are always trees. A reference to an earlier value is an
L{AMFReference} and is not followed. So a peer cannot build a cycle, or a few bytes
that grow to gigabytes when they are walked, printed or forwarded.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Final, Literal, TypeAlias, TypeVar

from rtmptw.errors import LocalProtocolError, RemoteProtocolError

#: Maximum nesting depth of values. Real messages have up to five levels (colorInfo
#: and the maps of track properties, Enhanced RTMP v2). Each level costs stack, and a
#: message of 64 KiB could hold 13,000.
MAX_DEPTH = 16
#: Maximum number of values in one message. The metadata of a long recording, with an
#: index of its key frames, has some 30,000; 10 MiB of nulls would take seconds.
MAX_VALUES = 131_072


class _Marker(Enum):
    UNDEFINED = "UNDEFINED"
    UNSUPPORTED = "UNSUPPORTED"

    def __repr__(self) -> str:
        return self.value

    def __bool__(self) -> bool:
        return False


#: ActionScript's C{undefined}, which is not null. False in a condition, like C{None}.
UNDEFINED: Final = _Marker.UNDEFINED
#: Stands for a value that the sender could not encode in AMF0 (section 2.15).
UNSUPPORTED: Final = _Marker.UNSUPPORTED


class AMFObject:
    """
    An object, anonymous or typed.

    @ivar properties: names and values in the order sent, including duplicates, so
        that they can be forwarded unchanged.
    @ivar className: empty for an anonymous object.
    """

    __slots__ = ("className", "properties")

    def __init__(
        self, properties: "list[tuple[str, Value]]", className: str = ""
    ) -> None:
        self.properties = properties
        self.className = className

    def get(self, key: str, default: "Value" = None) -> "Value":
        """
        @return: the value of the last property with this name; C{default} if there
            is none.
        """
        for name, value in reversed(self.properties):
            if name == key:
                return value
        return default

    def __iter__(self) -> "Iterator[tuple[str, Value]]":
        return iter(self.properties)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, AMFObject) or type(self) is not type(other):
            return NotImplemented
        return self.className == other.className and self.properties == other.properties

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        className = f", className={self.className!r}" if self.className else ""
        return f"{type(self).__name__}({self.properties!r}{className})"


class ECMAArray(AMFObject):
    """
    An associative array (AMF0 section 2.10), the usual form of metadata.

    @ivar count: the number of properties that the sender claims. Only a hint: OBS
        always writes 20, others 0. Ignored when arrays are compared.
    """

    __slots__ = ("count",)

    def __init__(
        self, properties: "list[tuple[str, Value]]", count: int | None = None
    ) -> None:
        super().__init__(properties)
        self.count = len(properties) if count is None else count


class LongString(str):
    """
    A string that was received as an AMF0 long string (section 2.14) and is encoded
    as one again, even if it is short enough for the other form. Otherwise a plain
    string.
    """

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class AMFDate:
    """
    A date and time.

    @ivar milliseconds: since 1970-01-01 UTC.
    @ivar zone: the field that AMF0 reserves for a time zone (section 2.13), -32768
        to 32767; should be 0. AMF3 has no such field.
    """

    milliseconds: float
    zone: int = 0


@dataclass(frozen=True, slots=True)
class XMLDocument:
    """
    An XMLDocument of ActionScript (AMF0 section 2.17, AMF3 section 3.7).
    """

    text: str


@dataclass(frozen=True, slots=True)
class XML:
    """
    An XML value of ActionScript 3, known as E4X (AMF3 section 3.13).
    """

    text: str


@dataclass(frozen=True, slots=True)
class AMFReference:
    """
    A reference to an earlier value.

    @ivar index: counted from 0 in order of appearance: in AMF0 among the objects and
        arrays of the message (section 2.9), in AMF3 among the values of a complex
        type within the value.
    """

    index: int


@dataclass(frozen=True, slots=True)
class AMF3Value:
    """
    An AMF3 value embedded in AMF0 (AMF0 section 3.1).
    """

    value: "Value"


@dataclass(slots=True)
class AMF3Array:
    """
    An AMF3 array (section 3.11).

    @ivar dense: the values at 0, 1, 2 and so on.
    @ivar associative: the named values, in order; no name is empty.
    """

    dense: "list[Value]"
    associative: "list[tuple[str, Value]]"


class VectorType(IntEnum):
    """
    The item type of a vector; the values are the AMF3 markers.
    """

    INT = 0x0D
    UINT = 0x0E
    DOUBLE = 0x0F
    OBJECT = 0x10


@dataclass(slots=True)
class AMF3Vector:
    """
    A vector (AMF3 of Flash Player 10, section 3.15).

    @ivar itemType: the type of its items.
    @ivar items: 32-bit integers, doubles or, for C{OBJECT}, any values.
    @ivar fixed: whether its length is fixed.
    @ivar typeName: the class of the items, for C{OBJECT}; may be empty.
    """

    itemType: VectorType
    items: "list[Value]"
    fixed: bool = False
    typeName: str = ""


@dataclass(slots=True)
class AMF3Dictionary:
    """
    A dictionary (AMF3 of Flash Player 10, section 3.16).

    @ivar pairs: keys and values, each of any type.
    @ivar weakKeys: whether the keys are weak references.
    """

    pairs: "list[tuple[Value, Value]]"
    weakKeys: bool = False


#: Any value that is sent or received. Only AMF3 decodes to C{int} (AMF0 numbers are
#: C{float}), C{bytes} and the AMF3 classes; a C{dict} can be sent, as an object, but
#: is never received.
Value: TypeAlias = (
    "bool | int | float | str | bytes | list[Value] | dict[str, Value]"
    " | Literal[_Marker.UNDEFINED, _Marker.UNSUPPORTED]"
    " | AMFObject | AMFDate | XMLDocument | XML | AMFReference | AMF3Value"
    " | AMF3Array | AMF3Vector | AMF3Dictionary | None"
)


T = TypeVar("T")


class Cursor:
    """
    A decoder's position in the bytes of a message, and its use of the limits.

    @ivar offset: of the next byte.
    @ivar depth: the number of values that are begun and not yet ended.
    @ivar count: the number of values met so far.
    """

    __slots__ = ("_most", "count", "data", "depth", "offset")

    def __init__(self, data: bytes, offset: int, most: int = MAX_VALUES) -> None:
        """
        @param most: the maximum number of values.
        """
        self.data = data
        self.offset = offset
        self.depth = 0
        self.count = 0
        self._most = most

    @property
    def left(self) -> int:
        """
        The number of bytes left.
        """
        return len(self.data) - self.offset

    def need(self, size: int) -> None:
        """
        @raise RemoteProtocolError: if fewer than C{size} bytes are left.
        """
        if size > self.left:
            raise RemoteProtocolError(
                "amf-truncated",
                f"{size} bytes needed at offset {self.offset}, only {self.left} left",
            )

    def byte(self) -> int:
        """
        @return: the next byte.

        @raise RemoteProtocolError: if there is none.
        """
        self.need(1)
        byte = self.data[self.offset]
        self.offset += 1
        return byte

    def reader(self, readers: Mapping[int, T], dialect: str) -> T:
        """
        Read the marker of the next value, and count the value.

        @return: the entry of C{readers} for the marker.

        @raise RemoteProtocolError: if there is no such entry, or no byte left.
        """
        self.met()
        marker = self.byte()
        read = readers.get(marker)
        if read is None:
            raise RemoteProtocolError(
                "amf-bad-marker",
                f"unknown {dialect} marker 0x{marker:02x} at offset {self.offset - 1}",
            )
        return read

    def take(self, size: int) -> bytes:
        """
        @return: the next C{size} bytes.

        @raise RemoteProtocolError: if there are fewer.
        """
        self.need(size)
        end = self.offset + size
        taken = self.data[self.offset : end]
        self.offset = end
        return taken

    def text(self, size: int) -> str:
        """
        @return: the next C{size} bytes as a string.

        @raise RemoteProtocolError: if there are fewer.
        """
        return self.take(size).decode("utf-8", "surrogateescape")

    def met(self, number: int = 1) -> None:
        """
        Count values.

        @raise RemoteProtocolError: if there are now too many.
        """
        self.count += number
        if self.count > self._most:
            raise RemoteProtocolError(
                "amf-too-many-values",
                f"{self.count} values, at most {self._most} are allowed",
            )

    def enter(self) -> None:
        """
        Begin a value that contains others.

        @raise RemoteProtocolError: if it is nested too deeply.
        """
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise RemoteProtocolError(
                "amf-too-deep",
                f"values nested {self.depth} deep at offset {self.offset},"
                f" at most {MAX_DEPTH} are allowed",
            )

    def leave(self) -> None:
        """
        End a value that contains others.
        """
        self.depth -= 1


def encodedText(text: str) -> bytes:
    """
    @return: the bytes of a string.

    @raise LocalProtocolError: if it has surrogates that stand for no byte.
    """
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise LocalProtocolError(f"not encodable as a string: {error}") from error


def checkDepth(depth: int) -> None:
    """
    @raise LocalProtocolError: if a value to be sent is nested too deeply, or
        contains itself.
    """
    if depth > MAX_DEPTH:
        raise LocalProtocolError(
            f"values nested {depth} deep, at most {MAX_DEPTH} are allowed"
        )
