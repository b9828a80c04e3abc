"""
The values of AMF0 and AMF3 that Python has no word for, and what both decoders
share.

Null, booleans, numbers and strings are Python's own; the rest is here. Strings are
C{str}, and bytes that are not UTF-8 are kept in them as lone surrogates
(C{surrogateescape}): stream keys and titles come in every encoding.

Decoded values are always trees. A reference to a value met before is an
L{AMFReference} and is not followed, so a peer can neither tie a knot nor have a few
bytes grow to gigabytes when they are walked, printed or sent on.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Final, Literal, TypeAlias, TypeVar

from rtmptw.errors import LocalProtocolError, RemoteProtocolError

#: How deep values may be nested. The deepest that anybody sends has five levels
#: (colorInfo and the maps of track properties, Enhanced RTMP v2); each costs us
#: stack, and a message of 64 KiB could hold 13,000.
MAX_DEPTH = 16
#: How many values one message may hold. The metadata of a long recording, with an index
#: of its key frames, has some 30,000; 10 MiB of nulls would keep us busy for seconds.
MAX_VALUES = 131_072


class _Marker(Enum):
    UNDEFINED = "UNDEFINED"
    UNSUPPORTED = "UNSUPPORTED"

    def __repr__(self) -> str:
        return self.value

    def __bool__(self) -> bool:
        return False


#: ActionScript's C{undefined}: not even null. False, as C{None} is.
UNDEFINED: Final = _Marker.UNDEFINED
#: In place of a value that the sender could not say in AMF0 (section 2.15).
UNSUPPORTED: Final = _Marker.UNSUPPORTED


class AMFObject:
    """
    An object: anonymous, or of a class.

    @ivar properties: names and values as they were sent: in order, and with
        duplicates, for those who pass them on.
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
        @return: the property of this name, the last if there are several;
            C{default} if there is none.
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
    An associative array (AMF0 section 2.10): what metadata comes in.

    @ivar count: the number of properties as the sender gave it. Only a hint: OBS
        writes 20 whatever follows, others 0. Arrays that differ in nothing else
        are equal.
    """

    __slots__ = ("count",)

    def __init__(
        self, properties: "list[tuple[str, Value]]", count: int | None = None
    ) -> None:
        super().__init__(properties)
        self.count = len(properties) if count is None else count


class LongString(str):
    """
    A string in the form for more than 65,535 bytes (AMF0 section 2.14), which is
    sent in it again though it may be shorter. Otherwise like any other.
    """

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class AMFDate:
    """
    A moment.

    @ivar milliseconds: since 1970-01-01 UTC.
    @ivar zone: what AMF0 reserves for a time zone (section 2.13), -32768 to 32767;
        should be 0, and AMF3 has none.
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
    An XML value of ActionScript 3, which is called E4X (AMF3 section 3.13).
    """

    text: str


@dataclass(frozen=True, slots=True)
class AMFReference:
    """
    The value met before under this number, once more.

    @ivar index: from 0, in order of appearance; in AMF0 of objects and arrays in
        the message (section 2.9), in AMF3 of all but the simplest in the value.
    """

    index: int


@dataclass(frozen=True, slots=True)
class AMF3Value:
    """
    A value in AMF3 among those in AMF0 (AMF0 section 3.1).
    """

    value: "Value"


@dataclass(slots=True)
class AMF3Array:
    """
    An array of AMF3 (section 3.11).

    @ivar dense: the values at 0, 1, 2 and so on.
    @ivar associative: those under names, in order; no name is empty.
    """

    dense: "list[Value]"
    associative: "list[tuple[str, Value]]"


class VectorType(IntEnum):
    """
    What a vector is of; the values are the AMF3 markers.
    """

    INT = 0x0D
    UINT = 0x0E
    DOUBLE = 0x0F
    OBJECT = 0x10


@dataclass(slots=True)
class AMF3Vector:
    """
    A vector (AMF3 of Flash Player 10, section 3.15).

    @ivar itemType: what it is of.
    @ivar items: 32-bit integers, doubles or, for C{OBJECT}, any values.
    @ivar fixed: whether its length is.
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

    @ivar pairs: keys, which may be any values, and what they stand for.
    @ivar weakKeys: whether the keys are weak references.
    """

    pairs: "list[tuple[Value, Value]]"
    weakKeys: bool = False


#: Whatever is sent or received. Only AMF3 gives C{int} (AMF0 numbers are C{float}),
#: C{bytes} and what is called AMF3; a C{dict} may be sent as an object and is never
#: received.
Value: TypeAlias = (
    "bool | int | float | str | bytes | list[Value] | dict[str, Value]"
    " | Literal[_Marker.UNDEFINED, _Marker.UNSUPPORTED]"
    " | AMFObject | AMFDate | XMLDocument | XML | AMFReference | AMF3Value"
    " | AMF3Array | AMF3Vector | AMF3Dictionary | None"
)


T = TypeVar("T")


class Cursor:
    """
    Where in the bytes of a message a decoder is, and what it may still spend.

    @ivar offset: of the next byte.
    @ivar depth: so many values are begun and not ended.
    @ivar count: so many values were met.
    """

    __slots__ = ("_most", "count", "data", "depth", "offset")

    def __init__(self, data: bytes, offset: int, most: int = MAX_VALUES) -> None:
        """
        @param most: how many values there may be.
        """
        self.data = data
        self.offset = offset
        self.depth = 0
        self.count = 0
        self._most = most

    @property
    def left(self) -> int:
        """
        So many bytes are left.
        """
        return len(self.data) - self.offset

    def need(self, size: int) -> None:
        """
        @raise RemoteProtocolError: if fewer than C{size} bytes are left.
        """
        if size > self.left:
            raise RemoteProtocolError(
                "amf-truncated",
                f"{size} bytes wanted at offset {self.offset}, {self.left} are left",
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
        Meet the next value.

        @return: what C{readers} have for its marker.

        @raise RemoteProtocolError: if they have nothing, or nothing is left.
        """
        self.met()
        marker = self.byte()
        read = readers.get(marker)
        if read is None:
            raise RemoteProtocolError(
                "amf-bad-marker",
                f"no {dialect} value begins with the marker 0x{marker:02x}"
                f" at offset {self.offset - 1}",
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

        @raise RemoteProtocolError: if that makes too many.
        """
        self.count += number
        if self.count > self._most:
            raise RemoteProtocolError(
                "amf-too-many-values", f"{self.count} values, at most {self._most}"
            )

    def enter(self) -> None:
        """
        Begin a value that holds others.

        @raise RemoteProtocolError: if that is too deep.
        """
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise RemoteProtocolError(
                "amf-too-deep",
                f"values nested {self.depth} deep at offset {self.offset},"
                f" at most {MAX_DEPTH}",
            )

    def leave(self) -> None:
        """
        End a value that holds others.
        """
        self.depth -= 1


def encodedText(text: str) -> bytes:
    """
    @return: the bytes of a string.

    @raise LocalProtocolError: if it holds surrogates that stand for no byte.
    """
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise LocalProtocolError(f"no string of AMF: {error}") from error


def checkDepth(depth: int) -> None:
    """
    @raise LocalProtocolError: if a value to be sent is nested too deep, or holds
        itself.
    """
    if depth > MAX_DEPTH:
        raise LocalProtocolError(f"values nested {depth} deep, at most {MAX_DEPTH}")
