"""
AMF3 (Action Message Format AMF 3, 2013): what Flash sends after AMF0's marker for it.

The tables of strings, objects and classes that a value can refer to are empty at the
start of each value: in RTMP the switch from AMF0 is for one value only (Enhanced
RTMP v2, AMF3 clarification).
"""

import struct
from collections.abc import Callable

from rtmptw.errors import LocalProtocolError, RemoteProtocolError
from rtmptw.rtmp.amf import (
    UNDEFINED,
    XML,
    AMF3Array,
    AMF3Dictionary,
    AMF3Vector,
    AMFDate,
    AMFObject,
    AMFReference,
    Cursor,
    Value,
    VectorType,
    XMLDocument,
    checkDepth,
    encodedText,
)

UNDEFINED_MARKER = 0x00
NULL = 0x01
FALSE = 0x02
TRUE = 0x03
INTEGER = 0x04
DOUBLE = 0x05
STRING = 0x06
XML_DOCUMENT = 0x07
DATE = 0x08
ARRAY = 0x09
OBJECT = 0x0A
XML_MARKER = 0x0B
BYTE_ARRAY = 0x0C
DICTIONARY = 0x11

_DOUBLE = struct.Struct(">d")
#: For vectors of numbers: the struct format and the size in bytes of an item.
_ITEMS = {
    VectorType.INT: ("i", 4),
    VectorType.UINT: ("I", 4),
    VectorType.DOUBLE: ("d", 8),
}
#: The largest 29-bit number; lengths and references share these bits with flags.
_MAX_U29 = 0x1FFFFFFF
_MIN_INTEGER = -0x10000000
_MAX_INTEGER = 0x0FFFFFFF


class _Reader:
    """
    Decode one value.

    @ivar strings: the string table.
    @ivar traits: the class table: name, names of the properties, whether instances
        have dynamic ones.
    @ivar objects: the length of the object table.
    """

    __slots__ = ("cursor", "objects", "strings", "traits")

    def __init__(self, cursor: Cursor) -> None:
        self.cursor = cursor
        self.strings: list[str] = []
        self.traits: list[tuple[str, list[str], bool]] = []
        self.objects = 0

    def value(self) -> Value:
        """
        @return: the next value.

        @raise RemoteProtocolError: if there is none, or it is not valid AMF3.
        """
        return self.cursor.reader(_READERS, "AMF3")(self)

    def _u29(self) -> int:
        number = 0
        for _ in range(3):
            byte = self.cursor.byte()
            number = number << 7 | byte & 0x7F
            if byte < 0x80:
                return number
        # All bits of the fourth byte count (section 1.3.1).
        return number << 8 | self.cursor.byte()

    def _lookUp(self, table: str, index: int, length: int) -> None:
        if index >= length:
            raise RemoteProtocolError(
                "amf-bad-reference",
                f"reference to {table} {index}, there are only {length}",
            )

    def _text(self) -> str:
        number = self._u29()
        if not number & 1:
            self._lookUp("string", number >> 1, len(self.strings))
            return self.strings[number >> 1]
        text = self.cursor.text(number >> 1)
        if text:
            self.strings.append(text)
        return text

    def _object29(self) -> tuple[AMFReference | None, int]:
        """
        @return: the reference, if there is one instead of a value; else C{None}, and
            the number before the value without its lowest bit.
        """
        number = self._u29()
        if not number & 1:
            self._lookUp("object", number >> 1, self.objects)
            return AMFReference(number >> 1), 0
        self.objects += 1
        return None, number >> 1

    def _undefined(self) -> Value:
        return UNDEFINED

    def _null(self) -> Value:
        return None

    def _false(self) -> Value:
        return False

    def _true(self) -> Value:
        return True

    def _integer(self) -> Value:
        number = self._u29()
        return number - 0x20000000 if number > _MAX_INTEGER else number

    def _double(self) -> Value:
        number: float = _DOUBLE.unpack(self.cursor.take(8))[0]
        return number

    def _string(self) -> Value:
        return self._text()

    def _xmlDocument(self) -> Value:
        reference, size = self._object29()
        return reference or XMLDocument(self.cursor.text(size))

    def _xml(self) -> Value:
        reference, size = self._object29()
        return reference or XML(self.cursor.text(size))

    def _byteArray(self) -> Value:
        reference, size = self._object29()
        return reference or self.cursor.take(size)

    def _date(self) -> Value:
        reference, _ = self._object29()
        return reference or AMFDate(_DOUBLE.unpack(self.cursor.take(8))[0])

    def _dynamicProperties(self) -> list[tuple[str, Value]]:
        properties: list[tuple[str, Value]] = []
        while key := self._text():
            properties.append((key, self.value()))
        return properties

    def _values(self, count: int) -> list[Value]:
        # Each takes at least one byte: do not start on a count that cannot be true.
        self.cursor.need(count)
        return [self.value() for _ in range(count)]

    def _array(self) -> Value:
        reference, count = self._object29()
        if reference:
            return reference
        self.cursor.enter()
        associative = self._dynamicProperties()
        dense = self._values(count)
        self.cursor.leave()
        return AMF3Array(dense, associative)

    def _traitsOf(self, number: int) -> tuple[str, list[str], bool]:
        if not number & 1:
            self._lookUp("class", number >> 1, len(self.traits))
            return self.traits[number >> 1]
        if number & 2:
            className = self._text()
            raise RemoteProtocolError(
                "amf-externalizable",
                f"objects of the externalizable class {className!r} cannot be decoded",
            )
        className = self._text()
        count = number >> 3
        self.cursor.need(count)
        names = [self._text() for _ in range(count)]
        traits = (className, names, bool(number & 4))
        self.traits.append(traits)
        return traits

    def _object(self) -> Value:
        reference, number = self._object29()
        if reference:
            return reference
        self.cursor.enter()
        className, names, dynamic = self._traitsOf(number)
        properties = [(name, self.value()) for name in names]
        if dynamic:
            properties += self._dynamicProperties()
        self.cursor.leave()
        return AMFObject(properties, className)

    def _numbers(self, itemType: VectorType) -> Value:
        reference, count = self._object29()
        if reference:
            return reference
        fixed = self.cursor.byte() != 0
        letter, size = _ITEMS[itemType]
        encoded = self.cursor.take(count * size)
        self.cursor.met(count)
        items: list[Value] = list(struct.unpack(f">{count}{letter}", encoded))
        return AMF3Vector(itemType, items, fixed)

    def _ints(self) -> Value:
        return self._numbers(VectorType.INT)

    def _uints(self) -> Value:
        return self._numbers(VectorType.UINT)

    def _doubles(self) -> Value:
        return self._numbers(VectorType.DOUBLE)

    def _vector(self) -> Value:
        reference, count = self._object29()
        if reference:
            return reference
        self.cursor.enter()
        fixed = self.cursor.byte() != 0
        typeName = self._text()
        items = self._values(count)
        self.cursor.leave()
        return AMF3Vector(VectorType.OBJECT, items, fixed, typeName)

    def _dictionary(self) -> Value:
        reference, count = self._object29()
        if reference:
            return reference
        self.cursor.enter()
        weakKeys = self.cursor.byte() != 0
        self.cursor.need(2 * count)
        pairs = [(self.value(), self.value()) for _ in range(count)]
        self.cursor.leave()
        return AMF3Dictionary(pairs, weakKeys)


_READERS: dict[int, Callable[[_Reader], Value]] = {
    UNDEFINED_MARKER: _Reader._undefined,
    NULL: _Reader._null,
    FALSE: _Reader._false,
    TRUE: _Reader._true,
    INTEGER: _Reader._integer,
    DOUBLE: _Reader._double,
    STRING: _Reader._string,
    XML_DOCUMENT: _Reader._xmlDocument,
    DATE: _Reader._date,
    ARRAY: _Reader._array,
    OBJECT: _Reader._object,
    XML_MARKER: _Reader._xml,
    BYTE_ARRAY: _Reader._byteArray,
    VectorType.INT: _Reader._ints,
    VectorType.UINT: _Reader._uints,
    VectorType.DOUBLE: _Reader._doubles,
    VectorType.OBJECT: _Reader._vector,
    DICTIONARY: _Reader._dictionary,
}


def read(cursor: Cursor) -> Value:
    """
    Decode one value, after L{rtmptw.rtmp.amf0} has read the switch to AMF3.

    @raise RemoteProtocolError: as L{decode} does.
    """
    return _Reader(cursor).value()


def decode(data: bytes, offset: int = 0) -> tuple[Value, int]:
    """
    Decode one value.

    @return: the value, and the offset behind it.

    @raise RemoteProtocolError: if the bytes at C{offset} are not an AMF3 value, or
        an externalizable one, whose length only its class knows. The labels are
        those of L{rtmptw.rtmp.amf0.decodeAll}.
    """
    cursor = Cursor(data, offset)
    return read(cursor), cursor.offset


class _Writer:
    """
    Encode one value. Each string is sent only once: a few thousand references to a
    long string must not become as many copies.

    @ivar pieces: the bytes.
    @ivar strings: the string table.
    @ivar objects: the marker of each value in the object table.
    """

    __slots__ = ("depth", "objects", "pieces", "strings")

    def __init__(self, depth: int) -> None:
        self.pieces: list[bytes] = []
        self.strings: dict[str, int] = {}
        self.objects: list[int] = []
        self.depth = depth

    def value(self, value: Value) -> None:
        """
        Append a value.

        @raise LocalProtocolError: if it cannot be encoded in AMF3.
        """
        if value is None:
            self.pieces.append(bytes([NULL]))
        elif value is UNDEFINED:
            self.pieces.append(bytes([UNDEFINED_MARKER]))
        elif isinstance(value, bool):
            self.pieces.append(bytes([TRUE if value else FALSE]))
        elif isinstance(value, int) and _MIN_INTEGER <= value <= _MAX_INTEGER:
            self.pieces.append(bytes([INTEGER]))
            self._u29(value & _MAX_U29)
        elif isinstance(value, int | float):
            self.pieces.append(bytes([DOUBLE]))
            self._double(value)
        elif isinstance(value, str):
            self.pieces.append(bytes([STRING]))
            self._text(value)
        elif isinstance(value, bytes):
            self._blob(BYTE_ARRAY, value)
        elif isinstance(value, XMLDocument):
            self._blob(XML_DOCUMENT, encodedText(value.text))
        elif isinstance(value, XML):
            self._blob(XML_MARKER, encodedText(value.text))
        elif isinstance(value, AMFDate):
            self._begin(DATE, 0)
            self._double(value.milliseconds)
        elif isinstance(value, AMFReference):
            self._reference(value)
        else:
            self.depth += 1
            checkDepth(self.depth)
            self._container(value)
            self.depth -= 1

    def _container(self, value: Value) -> None:
        if type(value) is AMFObject:
            self._object(value)
        elif isinstance(value, dict):
            self._object(AMFObject(list(value.items())))
        elif isinstance(value, AMF3Array):
            self._array(value)
        elif isinstance(value, list):
            self._array(AMF3Array(value, []))
        elif isinstance(value, AMF3Vector):
            self._vector(value)
        elif isinstance(value, AMF3Dictionary):
            self._begin(DICTIONARY, len(value.pairs))
            self.pieces.append(bytes([value.weakKeys]))
            for key, item in value.pairs:
                self.value(key)
                self.value(item)
        else:
            raise LocalProtocolError(f"AMF3 cannot encode a {type(value).__name__}")

    def _u29(self, number: int) -> None:
        if number > _MAX_U29:
            raise LocalProtocolError(
                f"a length or count with its flags is {number}, "
                f"at most {_MAX_U29} is allowed"
            )
        if number < 0x80:
            encoded = [number]
        elif number < 0x4000:
            encoded = [number >> 7 | 0x80, number & 0x7F]
        elif number < 0x200000:
            encoded = [number >> 14 | 0x80, number >> 7 & 0x7F | 0x80, number & 0x7F]
        else:
            encoded = [
                number >> 22 | 0x80,
                number >> 15 & 0x7F | 0x80,
                number >> 8 & 0x7F | 0x80,
                number & 0xFF,
            ]
        self.pieces.append(bytes(encoded))

    def _double(self, number: float) -> None:
        try:
            self.pieces.append(_DOUBLE.pack(number))
        except struct.error as error:
            raise LocalProtocolError(f"not an AMF3 number: {error}") from error

    def _text(self, text: str) -> None:
        index = self.strings.get(text)
        if index is not None:
            self._u29(index << 1)
            return
        encoded = encodedText(text)
        if encoded:
            self.strings[text] = len(self.strings)
        self._u29(len(encoded) << 1 | 1)
        self.pieces.append(encoded)

    def _begin(self, marker: int, number: int) -> None:
        """
        Begin a value that can be referred to.
        """
        self.objects.append(marker)
        self.pieces.append(bytes([marker]))
        self._u29(number << 1 | 1)

    def _blob(self, marker: int, encoded: bytes) -> None:
        self._begin(marker, len(encoded))
        self.pieces.append(encoded)

    def _reference(self, reference: AMFReference) -> None:
        if not 0 <= reference.index < len(self.objects):
            raise LocalProtocolError(
                f"reference to object {reference.index}, "
                f"there are only {len(self.objects)}"
            )
        self.pieces.append(bytes([self.objects[reference.index]]))
        self._u29(reference.index << 1)

    def _dynamicProperties(self, properties: list[tuple[str, Value]]) -> None:
        for key, item in properties:
            if not key:
                raise LocalProtocolError("an AMF3 array cannot have empty names")
            self._text(key)
            self.value(item)
        self._text("")

    def _array(self, array: AMF3Array) -> None:
        self._begin(ARRAY, len(array.dense))
        self._dynamicProperties(array.associative)
        for item in array.dense:
            self.value(item)

    def _object(self, value: AMFObject) -> None:
        # Flash rejects properties that the class does not declare, and an empty name
        # would end the dynamic properties.
        if value.className or any(not key for key, _ in value.properties):
            self._begin(OBJECT, len(value.properties) << 3 | 0b001)
            self._text(value.className)
            for key, _ in value.properties:
                self._text(key)
            for _, item in value.properties:
                self.value(item)
        else:
            self._begin(OBJECT, 0b101)
            self._text("")
            self._dynamicProperties(value.properties)

    def _vector(self, vector: AMF3Vector) -> None:
        self._begin(vector.itemType, len(vector.items))
        self.pieces.append(bytes([vector.fixed]))
        if vector.itemType is VectorType.OBJECT:
            self._text(vector.typeName)
            for item in vector.items:
                self.value(item)
            return
        letter, _ = _ITEMS[vector.itemType]
        try:
            self.pieces.append(
                struct.pack(f">{len(vector.items)}{letter}", *vector.items)
            )
        except struct.error as error:
            raise LocalProtocolError(
                f"not a vector of {vector.itemType.name}: {error}"
            ) from error


def encode(value: Value, depth: int = 0) -> bytes:
    """
    Encode one value.

    @param value: what L{decode} returns, or the same with C{list} for arrays and
        C{dict} for objects. Integers that do not fit in 29 bits become doubles.
    @param depth: the number of AMF0 values that the value is nested in.

    @raise LocalProtocolError: if it cannot be encoded in AMF3.
    """
    writer = _Writer(depth)
    writer.value(value)
    return b"".join(writer.pieces)
