"""
Tests for L{rtmptw.rtmp.amf3}.
"""

import struct
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rtmptw.errors import LocalProtocolError, RemoteProtocolError
from rtmptw.rtmp import amf0, amf3
from rtmptw.rtmp.amf import (
    MAX_DEPTH,
    MAX_VALUES,
    UNDEFINED,
    UNSUPPORTED,
    XML,
    AMF3Array,
    AMF3Dictionary,
    AMF3Value,
    AMF3Vector,
    AMFDate,
    AMFObject,
    AMFReference,
    ECMAArray,
    Value,
    VectorType,
    XMLDocument,
)
from tests.vectors import vectors


def tagged(value: Value) -> list[Any]:
    """
    @return: the value as the vectors write it.
    """
    match value:
        case None:
            return ["null"]
        case bool():
            return ["boolean", value]
        case int():
            return ["integer", value]
        case str():
            return ["string", value]
        case AMF3Array():
            dense = [tagged(item) for item in value.dense]
            return ["array", dense, taggedProperties(value.associative)]
        case AMFObject():
            return ["object", value.className, taggedProperties(value.properties)]
    names: dict[Value, str] = {UNDEFINED: "undefined"}
    return [names[value]]


def taggedProperties(properties: list[tuple[str, Value]]) -> list[list[Any]]:
    """
    @return: the properties as the vectors write them.
    """
    return [[name, tagged(item)] for name, item in properties]


texts = st.text(max_size=20) | st.binary(max_size=20).map(
    lambda data: data.decode("utf-8", "surrogateescape")
)
numbers = st.floats(allow_nan=False)


def vectorsOf(
    itemType: VectorType, items: st.SearchStrategy[Value]
) -> st.SearchStrategy[Value]:
    """
    @return: vectors.
    """
    return st.builds(
        AMF3Vector, st.just(itemType), st.lists(items, max_size=4), st.booleans()
    )


simple: st.SearchStrategy[Value] = st.one_of(
    st.none(),
    st.booleans(),
    numbers,
    st.integers(-(2**28), 2**28 - 1),
    texts,
    st.binary(max_size=20),
    st.just(UNDEFINED),
    st.builds(XMLDocument, texts),
    st.builds(XML, texts),
    st.builds(AMFDate, numbers),
    vectorsOf(VectorType.INT, st.integers(-(2**31), 2**31 - 1)),
    vectorsOf(VectorType.UINT, st.integers(0, 2**32 - 1)),
    vectorsOf(VectorType.DOUBLE, numbers),
)


def compound(children: st.SearchStrategy[Value]) -> st.SearchStrategy[Value]:
    """
    @return: values that contain others.
    """
    lists = st.lists(children, max_size=4)
    properties = st.lists(st.tuples(texts, children), max_size=4)
    named = st.lists(st.tuples(texts.filter(bool), children), max_size=4)
    return st.one_of(
        st.builds(AMFObject, properties, texts),
        st.builds(AMF3Array, lists, named),
        st.builds(AMF3Vector, st.just(VectorType.OBJECT), lists, st.booleans(), texts),
        st.builds(
            AMF3Dictionary,
            st.lists(st.tuples(children, children), max_size=3),
            st.booleans(),
        ),
    )


values = st.recursive(simple, compound, max_leaves=15)


class VectorTests(SynchronousTestCase):
    """
    The shared vectors.
    """

    def test_everyVectorDecodesAsItSays(self) -> None:
        """
        A value up to the last byte, or its class of error; and encoding the value again
        gives the same value.
        """
        cases = vectors("amf3")
        self.assertEqual(len(cases), 13)
        for case in cases:
            data, expected = bytes.fromhex(case["input_hex"]), case["expect"]
            if "error" in expected:
                error = self.assertRaises(RemoteProtocolError, amf3.decode, data)
                self.assertEqual(error.label, expected["error"], case["name"])
                continue
            value, end = amf3.decode(data)
            self.assertEqual(tagged(value), expected["values"], case["name"])
            self.assertEqual(end, len(data), case["name"])
            again, _ = amf3.decode(amf3.encode(value))
            self.assertEqual(again, value, case["name"])

    def test_everyVectorIsEncodedAsItCame(self) -> None:
        """
        Except for classes, which we encode again with each object.
        """
        for case in vectors("amf3"):
            if "error" in case["expect"] or "traits-reference" in case["name"]:
                continue
            data = bytes.fromhex(case["input_hex"])
            self.assertEqual(amf3.encode(amf3.decode(data)[0]), data, case["name"])


class DecodingTests(SynchronousTestCase):
    """
    Bytes from peers.
    """

    def assertDecodes(self, encoded: str, value: Value) -> None:
        """
        These bytes decode to this value, up to the last byte.
        """
        data = bytes.fromhex(encoded)
        self.assertEqual(amf3.decode(data), (value, len(data)))

    def assertIs3(self, encoded: str, value: Value) -> None:
        """
        These bytes decode to this value, and it encodes to these bytes.
        """
        self.assertDecodes(encoded, value)
        self.assertEqual(amf3.encode(value), bytes.fromhex(encoded))

    def assertFault(self, label: str, data: bytes) -> str:
        """
        Decoding fails with this label.

        @return: the message.
        """
        error = self.assertRaises(RemoteProtocolError, amf3.decode, data)
        self.assertEqual(error.label, label)
        return str(error)

    def test_oneValueAtAnOffset(self) -> None:
        """
        Bytes before it are skipped, bytes after it remain.
        """
        self.assertEqual(amf3.decode(b"\xff\x04\x05\xff", 1), (5, 3))

    def test_integersAreSigned(self) -> None:
        """
        29 bits, two's complement.
        """
        for encoded, number in (
            ("00", 0),
            ("7f", 0x7F),
            ("81 00", 0x80),
            ("ff 7f", 0x3FFF),
            ("81 80 00", 0x4000),
            ("83 85 06", 0xC286),
            ("ff ff 7f", 0x1FFFFF),
            ("80 c0 80 00", 0x200000),
            ("81 82 83 84", 0x410384),
            ("bf ff ff ff", 0x0FFFFFFF),
            ("c0 80 80 00", -0x10000000),
            ("c1 82 83 84", 0x410384 - 0x10000000),
            ("ff ff ff ff", -1),
        ):
            self.assertIs3(f"04 {encoded}", number)

    def test_theSimplest(self) -> None:
        """
        A marker, and the value if it has one.
        """
        self.assertIs3("00", UNDEFINED)
        self.assertIs3("01", None)
        self.assertIs3("02", False)
        self.assertIs3("03", True)
        self.assertIs3("05 bff8000000000000", -1.5)
        self.assertIs3("06 01", "")
        self.assertIs3("06 05 c3a4", "\u00e4")

    def test_whatHasBytesOfItsOwn(self) -> None:
        """
        Dates, XML of both kinds, and byte arrays.
        """
        self.assertIs3("08 01 3ff0000000000000", AMFDate(1.0))
        self.assertIs3("07 09 3c612f3e", XMLDocument("<a/>"))
        self.assertIs3("0b 09 3c612f3e", XML("<a/>"))
        self.assertIs3("0c 05 00ff", b"\x00\xff")

    def test_vectorsAndDictionaries(self) -> None:
        """
        The types that Flash Player 10 added.
        """
        self.assertIs3(
            "0d 05 01 00000001 ffffffff", AMF3Vector(VectorType.INT, [1, -1], True)
        )
        self.assertIs3("0e 03 00 ffffffff", AMF3Vector(VectorType.UINT, [0xFFFFFFFF]))
        self.assertIs3(
            "0f 03 00 3ff0000000000000", AMF3Vector(VectorType.DOUBLE, [1.0])
        )
        self.assertIs3(
            "10 05 00 0343 01 0401",
            AMF3Vector(VectorType.OBJECT, [None, 1], False, "C"),
        )
        self.assertIs3("11 03 01 0401 06 0361", AMF3Dictionary([(1, "a")], True))
        self.assertIs3("11 01 00", AMF3Dictionary([]))
        self.assertIs3("10 01 01 01", AMF3Vector(VectorType.OBJECT, [], True))
        self.assertDecodes("0d 01 02", AMF3Vector(VectorType.INT, [], True))
        self.assertDecodes("10 01 02 01", AMF3Vector(VectorType.OBJECT, [], True))
        self.assertDecodes("11 01 02", AMF3Dictionary([], True))
        self.assertIs(AMF3Vector(VectorType.INT, []).fixed, False)
        self.assertIs(AMF3Dictionary([]).weakKeys, False)

    def test_sealedPropertiesThenDynamic(self) -> None:
        """
        A class can declare some properties and allow others.
        """
        self.assertDecodes(
            "0a 1b 0343 0361 0401 0362 0402 01",
            AMFObject([("a", 1), ("b", 2)], "C"),
        )

    def test_aReferenceIsToAllButTheSimplest(self) -> None:
        """
        Each such value has an index in the table, assigned as it begins.
        """
        self.assertDecodes(
            "09 0d 01  08 01 3ff0000000000000  0c 01  0902  0900  0c04  0904",
            AMF3Array(
                [
                    AMFDate(1.0),
                    b"",
                    AMFReference(1),
                    AMFReference(0),
                    AMFReference(2),
                    AMFReference(2),
                ],
                [],
            ),
        )

    def test_aReferenceMayStandForAnyKind(self) -> None:
        """
        Whatever the marker is, the reference is returned and not followed.
        """
        for marker in (
            "07",
            "08",
            "09",
            "0a",
            "0b",
            "0c",
            "0d",
            "0e",
            "0f",
            "10",
            "11",
        ):
            self.assertDecodes(
                f"09 03 01 {marker} 00", AMF3Array([AMFReference(0)], [])
            )

    def test_referencesToNothing(self) -> None:
        """
        Such references of every kind are rejected.
        """
        for data in ("0600", "0700", "0800", "0900", "0b00", "0c00", "0d00", "1000"):
            fault = self.assertFault("amf-bad-reference", bytes.fromhex(data))
            self.assertIn(" 0, there are only 0", fault)
        for data in ("0a00", "0a01", "1100", "0a0b00"):
            self.assertFault("amf-bad-reference", bytes.fromhex(data))

    def test_referencesBehindTheLast(self) -> None:
        """
        They are rejected too.
        """
        for data, what in (
            ("09 05 01 06 0361 06 02", "string"),
            ("09 05 01 0a 0b 01 01 0a 05", "class"),
            ("09 03 01 0c 02", "object"),
        ):
            fault = self.assertFault("amf-bad-reference", bytes.fromhex(data))
            self.assertEqual(fault, f"reference to {what} 1, there are only 1")

    def test_tablesBeginEmptyWithEachValue(self) -> None:
        """
        The second switch to AMF3 does not know the tables of the first.
        """
        first = amf0.encode(AMF3Value("a"))
        self.assertEqual(amf0.decodeAll(first + first), [AMF3Value("a")] * 2)
        error = self.assertRaises(
            RemoteProtocolError, amf0.decodeAll, first + b"\x11\x06\x00"
        )
        self.assertEqual(error.label, "amf-bad-reference")

    def test_anUnknownMarker(self) -> None:
        """
        It is rejected.
        """
        for marker in (0x12, 0x80, 0xFF):
            fault = self.assertFault("amf-bad-marker", bytes([marker]))
            said = f"unknown AMF3 marker 0x{marker:02x} at offset 0"
            self.assertEqual(fault, said)

    def test_whatIsLackingIsSaid(self) -> None:
        """
        With its offset, before memory is allocated for it.
        """
        for data, wanted in (
            ("04 80", (1, 2, 0)),
            ("04 808080", (1, 4, 0)),
            ("05 00000000000000", (8, 1, 7)),
            ("06 07 6161", (3, 2, 2)),
            ("07 07 6161", (3, 2, 2)),
            ("08 01 00000000000000", (8, 2, 7)),
            ("09 07 01 0101", (3, 3, 2)),
            ("0a 33 01 0101", (3, 3, 2)),
            ("0b 07 6161", (3, 2, 2)),
            ("0c 07 6161", (3, 2, 2)),
            ("0d 07 00 0000000000000000000000", (12, 3, 11)),
            ("0e 07 00 0000000000000000000000", (12, 3, 11)),
            ("0f 05 00 000000000000000000000000000000", (16, 3, 15)),
            ("10 07 00 01 0101", (3, 4, 2)),
            ("11 07 00 0101010101", (6, 3, 5)),
        ):
            fault = self.assertFault("amf-truncated", bytes.fromhex(data))
            size, offset, left = wanted
            said = f"{size} bytes needed at offset {offset}, only {left} left"
            self.assertEqual(fault, said, data)

    def test_theClassThatCannotBeReadIsNamed(self) -> None:
        """
        The length of an externalizable object is unknown.
        """
        fault = self.assertFault("amf-externalizable", b"\x0a\x07\x05ab\x01")
        self.assertIn("'ab'", fault)

    def test_aDepthBombIsRefused(self) -> None:
        """
        In arrays, objects, vectors and dictionaries; also 64 KiB of nesting.
        """
        array = b"\x09\x03\x01"
        amf3.decode(array * MAX_DEPTH + b"\x01")
        self.assertFault("amf-too-deep", array * (MAX_DEPTH + 1) + b"\x01")
        for end in (
            b"\x09\x01\x01",
            b"\x0a\x0b\x01\x01",
            b"\x10\x01\0\x01",
            b"\x11\x01\0",
        ):
            amf3.decode(array * (MAX_DEPTH - 1) + end)
            self.assertFault("amf-too-deep", array * MAX_DEPTH + end)
            siblings = (b"\x09" + bytes([2 * 20 + 1]) + b"\x01") + end * 20
            amf3.decode(array * (MAX_DEPTH - 2) + siblings)
            before = b"\x09\x07\x01" + end + end
            self.assertFault("amf-too-deep", before + array * (MAX_DEPTH - 1) + end)
        for bomb in (array, b"\x0a\x0b\x01\x03a", b"\x10\x03\x00\x01", b"\x11\x03\x00"):
            fault = self.assertFault("amf-too-deep", bomb * (65536 // len(bomb)))
            self.assertIn("nested 17 deep", fault)

    def test_depthIsThatOfWhatIsOpen(self) -> None:
        """
        Values next to each other are not nested.
        """
        inner: Value = [1]
        for _ in range(MAX_DEPTH - 2):
            inner = [inner]
        amf3.encode([inner, inner, inner])
        amf3.encode([inner], 0)
        with self.assertRaises(LocalProtocolError):
            amf3.encode([inner], 1)
        with self.assertRaises(LocalProtocolError):
            amf3.encode([inner, inner, [inner]])

    def test_aDictionaryOfTheSmallestValues(self) -> None:
        """
        A key and a value take at least one byte each, and need no more.
        """
        data = b"\x11\x05\x00" + b"\x02\x03" * 2
        value, _ = amf3.decode(data)
        self.assertEqual(value, AMF3Dictionary([(False, True), (False, True)], False))
        self.assertFault("amf-truncated", data[:-1])

    def test_theSecondClassAndObject(self) -> None:
        """
        References count from 0, separately for each kind.
        """
        first, second = b"\x0a\x13\x03a\x03x\x00", b"\x0a\x13\x03b\x03y\x02"
        # An array with an object of each class, another of the second class by
        # reference to the class, and a reference to the second object.
        again, reference = b"\x0a\x05\x02", b"\x0a\x04"
        data = b"\x09\x09\x01" + first + second + again + reference
        value, _ = amf3.decode(data)
        b = AMFObject([("y", False)], "b")
        self.assertEqual(
            value,
            AMF3Array([AMFObject([("x", UNDEFINED)], "a"), b, b, AMFReference(2)], []),
        )
        self.assertFault("amf-bad-reference", data[:-1] + b"\x08")

    def test_hugeCountsAreNotBelieved(self) -> None:
        """
        No memory is allocated for values that are not there.
        """
        for data in (
            "06ffffffff61",
            "0affffff7b0161",
            "0dffffffff00",
            "0effffffff00",
            "0fffffffff00",
            "10ffffffff0001",
            "11ffffffff00",
        ):
            fault = self.assertFault("amf-truncated", bytes.fromhex(data))
            self.assertIn("bytes needed", fault)

    def test_tooManyValuesAreRefused(self) -> None:
        """
        Also those in vectors.
        """
        number = MAX_VALUES << 1 | 1
        u29 = bytes([number >> 14 | 0x80, number >> 7 & 0x7F | 0x80, number & 0x7F])
        vector = AMF3Vector(VectorType.INT, [0] * (MAX_VALUES - 1))
        self.assertEqual(amf3.decode(amf3.encode(vector))[0], vector)
        self.assertFault(
            "amf-too-many-values", b"\x09" + u29 + b"\x01" * (MAX_VALUES + 1)
        )
        ints = b"\x0d" + u29 + b"\x00" + bytes(4 * MAX_VALUES)
        self.assertFault("amf-too-many-values", ints)

    @given(st.binary(max_size=200))
    def test_anyBytesGiveAValueOrTheirFault(self, data: bytes) -> None:
        """
        Any bytes give a value or RemoteProtocolError, nothing else.
        """
        try:
            value, _ = amf3.decode(data)
        except RemoteProtocolError as error:
            self.assertTrue(error.label.startswith("amf-"))
        else:
            amf3.encode(value)

    @given(values, st.data())
    def test_damagedValuesGiveAValueOrTheirFault(
        self, value: Value, data: st.DataObject
    ) -> None:
        """
        Also when they are mostly valid; and a truncated value is never accepted.
        """
        encoded = bytearray(amf3.encode(value))
        cut = data.draw(st.integers(0, len(encoded) - 1))
        self.assertRaises(RemoteProtocolError, amf3.decode, bytes(encoded[:cut]))
        encoded[cut] = data.draw(st.integers(0, 255))
        try:
            found, _ = amf3.decode(bytes(encoded))
        except RemoteProtocolError as error:
            self.assertTrue(error.label.startswith("amf-"))
        else:
            amf3.encode(found)


class EncodingTests(SynchronousTestCase):
    """
    Our own values.
    """

    @given(values)
    def test_whatIsSentIsWhatIsReceived(self, value: Value) -> None:
        """
        Every value, in any nesting, alone and within AMF0; and its types.
        """
        encoded = amf3.encode(value)
        found, end = amf3.decode(encoded)
        self.assertEqual((found, end), (value, len(encoded)))
        self.assertEqual(repr(found), repr(value))
        wrapped = AMF3Value(value)
        self.assertEqual(
            amf0.decodeAll(amf0.encode(wrapped, "after")), [wrapped, "after"]
        )

    @given(st.integers(-(2**28), 2**28 - 1))
    def test_integersOf29BitsAreIntegers(self, number: int) -> None:
        """
        In the shortest form.
        """
        encoded = amf3.encode(number)
        self.assertEqual(amf3.decode(encoded), (number, len(encoded)))
        lengths = [0x80, 0x4000, 0x200000, 2**29]
        unsigned = number & 0x1FFFFFFF
        expected = next(n for n, end in enumerate(lengths, 1) if unsigned < end)
        self.assertEqual(len(encoded), 1 + expected)

    def test_largerIntegersAreDoubles(self) -> None:
        """
        On either side.
        """
        for number in (2**28, -(2**28) - 1, 2**40):
            encoded = b"\x05" + struct.pack(">d", number)
            self.assertEqual(amf3.encode(number), encoded)

    def test_aStringIsSentOnce(self) -> None:
        """
        Later only its index: a peer cannot make us copy it thousands of times.
        """
        encoded = amf3.encode(AMF3Array(["a" * 30000] * 1000, []))
        self.assertLess(len(encoded), 33000)
        self.assertEqual(amf3.decode(encoded)[0], AMF3Array(["a" * 30000] * 1000, []))

    def test_referencesAreSentOn(self) -> None:
        """
        With the marker of the value they refer to.
        """
        value = AMF3Array([b"x", AMFReference(1), AMFReference(0)], [])
        encoded = amf3.encode(value)
        self.assertEqual(encoded, bytes.fromhex("09 07 01 0c0378 0c02 0900"))
        self.assertEqual(amf3.decode(encoded)[0], value)

    def test_pythonsOwnContainers(self) -> None:
        """
        A list is an array, a dict an object.
        """
        value: Value = {"a": [1, {}]}
        self.assertEqual(
            amf3.decode(amf3.encode(value))[0],
            AMFObject([("a", AMF3Array([1, AMFObject([])], []))]),
        )

    def test_aClassDeclaresItsProperties(self) -> None:
        """
        Flash rejects undeclared properties. An object without a class declares none,
        unless a name is empty.
        """
        self.assertEqual(
            amf3.encode(AMFObject([("a", 1)], "Foo")),
            bytes.fromhex("0a 13 07466f6f 0361 0401"),
        )
        self.assertEqual(
            amf3.encode(AMFObject([("a", 1)])), bytes.fromhex("0a 0b 01 0361 0401 01")
        )
        self.assertEqual(
            amf3.encode(AMFObject([("", 1)])), bytes.fromhex("0a 13 01 01 0401")
        )

    def test_whatCannotBeSaidIsOurFault(self) -> None:
        """
        It raises an error instead of encoding something else.
        """
        knot = AMF3Array([], [])
        knot.dense.append(knot)
        for value in (
            UNSUPPORTED,
            10**400,
            "\ud800",
            AMFDate(10**400),
            ECMAArray([]),
            AMF3Value(None),
            AMFReference(0),
            [AMFReference(1)],
            [AMFReference(-1)],
            AMF3Array([], [("", None)]),
            AMF3Vector(VectorType.INT, [2**31]),
            AMF3Vector(VectorType.UINT, [-1]),
            AMF3Vector(VectorType.DOUBLE, ["a"]),
            AMF3Vector(VectorType.DOUBLE, [10**400]),
            bytes(2**28),
            knot,
        ):
            self.assertRaises(LocalProtocolError, amf3.encode, value)
