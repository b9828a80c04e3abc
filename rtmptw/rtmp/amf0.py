"""
AMF0 (Action Message Format AMF 0, 2007): the encoding of commands and metadata.
"""

import struct
from collections.abc import Callable

from rtmptw.errors import LocalProtocolError, RemoteProtocolError
from rtmptw.rtmp import amf3
from rtmptw.rtmp.amf import (
    MAX_VALUES,
    UNDEFINED,
    UNSUPPORTED,
    AMF3Value,
    AMFDate,
    AMFObject,
    AMFReference,
    Cursor,
    ECMAArray,
    LongString,
    Value,
    XMLDocument,
    checkDepth,
    encodedText,
)

NUMBER = 0x00
BOOLEAN = 0x01
STRING = 0x02
OBJECT = 0x03
NULL = 0x05
UNDEFINED_MARKER = 0x06
REFERENCE = 0x07
ECMA_ARRAY = 0x08
OBJECT_END = 0x09
STRICT_ARRAY = 0x0A
DATE = 0x0B
LONG_STRING = 0x0C
UNSUPPORTED_MARKER = 0x0D
XML_DOCUMENT = 0x0F
TYPED_OBJECT = 0x10
AVMPLUS = 0x11

_DOUBLE = struct.Struct(">d")
_NUMBER = struct.Struct(">Bd")
_DATE = struct.Struct(">dh")
#: An empty name and the object end marker.
_END = b"\x00\x00\x09"

_MAX_SHORT = 0xFFFF
_MAX_LONG = 0xFFFFFFFF


class _Reader:
    """
    Decode the values of one message.

    @ivar lenient: whether the last object may lack its end marker.
    @ivar complexValues: the number of values so far that can be referred to.
    """

    __slots__ = ("complexValues", "cursor", "lenient")

    def __init__(self, cursor: Cursor, lenient: bool) -> None:
        self.cursor = cursor
        self.lenient = lenient
        self.complexValues = 0

    def value(self) -> Value:
        """
        @return: the next value.

        @raise RemoteProtocolError: if there is none, or it is not valid AMF0.
        """
        return self.cursor.reader(_READERS, "AMF0")(self)

    def _number(self) -> Value:
        number: float = _DOUBLE.unpack(self.cursor.take(8))[0]
        return number

    def _boolean(self) -> Value:
        return self.cursor.byte() != 0

    def _shortText(self) -> str:
        return self.cursor.text(int.from_bytes(self.cursor.take(2), "big"))

    def _longText(self) -> str:
        return self.cursor.text(int.from_bytes(self.cursor.take(4), "big"))

    def _string(self) -> Value:
        return self._shortText()

    def _longString(self) -> Value:
        return LongString(self._longText())

    def _xmlDocument(self) -> Value:
        return XMLDocument(self._longText())

    def _null(self) -> Value:
        return None

    def _undefined(self) -> Value:
        return UNDEFINED

    def _unsupported(self) -> Value:
        return UNSUPPORTED

    def _reference(self) -> Value:
        index = int.from_bytes(self.cursor.take(2), "big")
        if index >= self.complexValues:
            raise RemoteProtocolError(
                "amf-bad-reference",
                f"reference to object {index}, there are only {self.complexValues}",
            )
        return AMFReference(index)

    def _date(self) -> Value:
        milliseconds, zone = _DATE.unpack(self.cursor.take(10))
        return AMFDate(milliseconds, zone)

    def _object(self) -> Value:
        return AMFObject(self._properties())

    def _typedObject(self) -> Value:
        className = self._shortText()
        return AMFObject(self._properties(), className)

    def _ecmaArray(self) -> Value:
        count = int.from_bytes(self.cursor.take(4), "big")
        return ECMAArray(self._properties(), count)

    def _strictArray(self) -> Value:
        cursor = self.cursor
        self.complexValues += 1
        cursor.enter()
        count = int.from_bytes(cursor.take(4), "big")
        # Each takes at least one byte: do not start on a count that cannot be true.
        cursor.need(count)
        values = [self.value() for _ in range(count)]
        cursor.leave()
        return values

    def _properties(self) -> list[tuple[str, Value]]:
        cursor = self.cursor
        self.complexValues += 1
        cursor.enter()
        properties: list[tuple[str, Value]] = []
        while not self._atLenientEnd():
            key = self._shortText()
            if not key:
                if self._atLenientEnd():
                    break
                # An empty name before any other marker is an ordinary property.
                cursor.need(1)
                if cursor.data[cursor.offset] == OBJECT_END:
                    cursor.offset += 1
                    break
            properties.append((key, self.value()))
        cursor.leave()
        return properties

    def _atLenientEnd(self) -> bool:
        return self.lenient and self.cursor.left == 0

    def _amf3(self) -> Value:
        return AMF3Value(amf3.read(self.cursor))


_READERS: dict[int, Callable[[_Reader], Value]] = {
    NUMBER: _Reader._number,
    BOOLEAN: _Reader._boolean,
    STRING: _Reader._string,
    OBJECT: _Reader._object,
    NULL: _Reader._null,
    UNDEFINED_MARKER: _Reader._undefined,
    REFERENCE: _Reader._reference,
    ECMA_ARRAY: _Reader._ecmaArray,
    STRICT_ARRAY: _Reader._strictArray,
    DATE: _Reader._date,
    LONG_STRING: _Reader._longString,
    UNSUPPORTED_MARKER: _Reader._unsupported,
    XML_DOCUMENT: _Reader._xmlDocument,
    TYPED_OBJECT: _Reader._typedObject,
    AVMPLUS: _Reader._amf3,
}


def decode(data: bytes, offset: int = 0) -> tuple[Value, int]:
    """
    Decode one value.

    @return: the value, and the offset behind it.

    @raise RemoteProtocolError: if the bytes at C{offset} are not an AMF0 value; see
        L{decodeAll} for the labels.
    """
    cursor = Cursor(data, offset)
    return _Reader(cursor, False).value(), cursor.offset


def decodeAll(
    data: bytes, offset: int = 0, lenient: bool = False, most: int = MAX_VALUES
) -> list[Value]:
    """
    Decode all values of a message.

    @param lenient: whether the end of the data may stand for the end of an object
        or ECMA array: the metadata of some encoders lacks the end marker.
    @param most: the maximum number of values, including nested ones.

    @return: the values; references in them are to objects and arrays of this
        message.

    @raise RemoteProtocolError: if something is not a valid value, labelled
        C{amf-truncated}, C{amf-bad-marker}, C{amf-bad-reference},
        C{amf-externalizable}, C{amf-too-deep} or C{amf-too-many-values}.
    """
    values, fault = decodeSome(data, offset, lenient, most)
    if fault is not None:
        raise fault
    return values


def decodeSome(
    data: bytes, offset: int, lenient: bool, most: int
) -> tuple[list[Value], RemoteProtocolError | None]:
    """
    Decode the values of a message up to the first invalid one.

    @param lenient: as for L{decodeAll}.
    @param most: as for L{decodeAll}.

    @return: the valid values, and what is wrong with the next; C{None} if all are
        valid.
    """
    cursor = Cursor(data, offset, most)
    reader = _Reader(cursor, lenient)
    values: list[Value] = []
    try:
        while cursor.left > 0:
            values.append(reader.value())
    except RemoteProtocolError as fault:
        return values, fault
    return values, None


class _Writer:
    """
    Encode the values of one message.

    @ivar pieces: the bytes.
    @ivar complexValues: the number of values so far that can be referred to.
    """

    __slots__ = ("complexValues", "depth", "pieces")

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.complexValues = 0
        self.depth = 0

    def value(self, value: Value) -> None:
        """
        Append a value.

        @raise LocalProtocolError: if it cannot be encoded in AMF0.
        """
        if value is None:
            self.pieces.append(bytes([NULL]))
        elif value is UNDEFINED:
            self.pieces.append(bytes([UNDEFINED_MARKER]))
        elif value is UNSUPPORTED:
            self.pieces.append(bytes([UNSUPPORTED_MARKER]))
        elif isinstance(value, bool):
            self.pieces.append(bytes([BOOLEAN, value]))
        elif isinstance(value, int | float):
            self._number(value)
        elif isinstance(value, str):
            self._string(value)
        elif isinstance(value, AMFObject):
            self._object(value)
        elif isinstance(value, dict):
            self._object(AMFObject(list(value.items())))
        elif isinstance(value, list):
            self._strictArray(value)
        elif isinstance(value, AMFDate):
            self._date(value)
        elif isinstance(value, XMLDocument):
            self._longText(XML_DOCUMENT, encodedText(value.text))
        elif isinstance(value, AMFReference):
            self._reference(value)
        elif isinstance(value, AMF3Value):
            self.pieces.append(bytes([AVMPLUS]))
            self.pieces.append(amf3.encode(value.value, self.depth))
        else:
            raise LocalProtocolError(f"AMF0 cannot encode a {type(value).__name__}")

    def _number(self, number: float) -> None:
        try:
            self.pieces.append(_NUMBER.pack(NUMBER, number))
        except struct.error as error:
            raise LocalProtocolError(f"not an AMF0 number: {error}") from error

    def _string(self, text: str) -> None:
        encoded = encodedText(text)
        if isinstance(text, LongString) or len(encoded) > _MAX_SHORT:
            self._longText(LONG_STRING, encoded)
        else:
            self.pieces.append(bytes([STRING]))
            self._shortText(encoded)

    def _shortText(self, encoded: bytes) -> None:
        if len(encoded) > _MAX_SHORT:
            raise LocalProtocolError(
                f"a name of {len(encoded)} bytes, at most {_MAX_SHORT} are allowed"
            )
        self.pieces.append(len(encoded).to_bytes(2, "big"))
        self.pieces.append(encoded)

    def _longText(self, marker: int, encoded: bytes) -> None:
        self.pieces.append(bytes([marker]))
        self._count(len(encoded))
        self.pieces.append(encoded)

    def _count(self, count: int) -> None:
        if not 0 <= count <= _MAX_LONG:
            raise LocalProtocolError(f"a count of {count}, must be 0 to {_MAX_LONG}")
        self.pieces.append(count.to_bytes(4, "big"))

    def _enter(self) -> None:
        self.complexValues += 1
        self.depth += 1
        checkDepth(self.depth)

    def _object(self, value: AMFObject) -> None:
        self._enter()
        if isinstance(value, ECMAArray):
            self.pieces.append(bytes([ECMA_ARRAY]))
            self._count(value.count)
        elif value.className:
            self.pieces.append(bytes([TYPED_OBJECT]))
            self._shortText(encodedText(value.className))
        else:
            self.pieces.append(bytes([OBJECT]))
        for key, item in value.properties:
            self._shortText(encodedText(key))
            self.value(item)
        self.pieces.append(_END)
        self.depth -= 1

    def _strictArray(self, values: list[Value]) -> None:
        self._enter()
        self.pieces.append(bytes([STRICT_ARRAY]))
        self._count(len(values))
        for value in values:
            self.value(value)
        self.depth -= 1

    def _date(self, date: AMFDate) -> None:
        try:
            encoded = _DATE.pack(date.milliseconds, date.zone)
        except struct.error as error:
            raise LocalProtocolError(f"not an AMF0 date: {date}: {error}") from error
        self.pieces.append(bytes([DATE]))
        self.pieces.append(encoded)

    def _reference(self, reference: AMFReference) -> None:
        if not 0 <= reference.index < min(self.complexValues, _MAX_SHORT + 1):
            raise LocalProtocolError(
                f"reference to object {reference.index}, "
                f"there are only {self.complexValues}"
            )
        self.pieces.append(bytes([REFERENCE]))
        self.pieces.append(reference.index.to_bytes(2, "big"))


def encode(*values: Value) -> bytes:
    """
    Encode the values of a message.

    @param values: what L{decodeAll} returns, or the same with C{int} for numbers
        and C{dict} for objects. A string of more than 65,535 bytes becomes a long
        string; a command name must be shorter (librtmp knows only the short form).

    @raise LocalProtocolError: if a value cannot be encoded in AMF0.
    """
    writer = _Writer()
    for value in values:
        writer.value(value)
    return b"".join(writer.pieces)
