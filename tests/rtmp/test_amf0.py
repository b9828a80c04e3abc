"""
Tests for L{rtmptw.rtmp.amf0} and L{rtmptw.rtmp.amf}.
"""

import math
import struct
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rtmptw.errors import LocalProtocolError, RemoteProtocolError
from rtmptw.rtmp import amf0
from rtmptw.rtmp.amf import (
    MAX_DEPTH,
    MAX_VALUES,
    UNDEFINED,
    UNSUPPORTED,
    AMF3Value,
    AMFDate,
    AMFObject,
    AMFReference,
    ECMAArray,
    LongString,
    Value,
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
        case float():
            special = math.isnan(value) or math.isinf(value)
            return ["number", str(value) if special else value]
        case LongString():
            return ["long-string", value]
        case str():
            return ["string", value]
        case list():
            return ["strict-array", [tagged(item) for item in value]]
        case ECMAArray():
            return ["ecma-array", value.count, taggedProperties(value)]
        case AMFObject(className=""):
            return ["object", taggedProperties(value)]
        case AMFObject():
            return ["typed-object", value.className, taggedProperties(value)]
        case XMLDocument():
            return ["xml", value.text]
        case AMFReference():
            return ["reference", value.index]
    names: dict[Value, str] = {UNDEFINED: "undefined", UNSUPPORTED: "unsupported"}
    return [names[value]]


def taggedProperties(value: AMFObject) -> list[list[Any]]:
    """
    @return: the properties as the vectors write them.
    """
    return [[name, tagged(item)] for name, item in value]


def cases() -> list[dict[str, Any]]:
    """
    @return: the vectors in AMF0.
    """
    hostile = [case for case in vectors("hostile") if case.get("decoder") == "amf0"]
    commands = [case for case in vectors("command") if "input_hex" in case]
    return vectors("amf0") + commands + hostile


def encodedInput(case: dict[str, Any]) -> bytes:
    """
    @return: the AMF0 in a vector, without a format selector.
    """
    data = bytes.fromhex(case["input_hex"])
    if case.get("message_type") in (15, 16, 17) and data[:1] == b"\0":
        return data[1:]
    return data


surrogateTexts = st.binary(max_size=20).map(
    lambda data: data.decode("utf-8", "surrogateescape")
)
texts = st.text(max_size=20) | surrogateTexts
simple: st.SearchStrategy[Value] = st.one_of(
    st.none(),
    st.booleans(),
    st.floats(allow_nan=False),
    texts,
    st.sampled_from([UNDEFINED, UNSUPPORTED]),
    st.builds(LongString, texts),
    st.builds(XMLDocument, texts),
    st.builds(AMFDate, st.floats(allow_nan=False), st.integers(-32768, 32767)),
    st.builds(AMF3Value, st.integers(-(2**28), 2**28 - 1)),
)


def compound(children: st.SearchStrategy[Value]) -> st.SearchStrategy[Value]:
    """
    @return: values that contain others.
    """
    properties = st.lists(st.tuples(texts, children), max_size=4)
    return st.one_of(
        st.lists(children, max_size=4),
        st.builds(AMFObject, properties, texts),
        st.builds(ECMAArray, properties, st.none() | st.integers(0, 2**32 - 1)),
    )


values = st.recursive(simple, compound, max_leaves=15)


class VectorTests(SynchronousTestCase):
    """
    The shared vectors.
    """

    def test_everyVectorDecodesAsItSays(self) -> None:
        """
        Values, or its class of error.
        """
        self.assertEqual(len(cases()), 17 + 11 + 2)
        for case in cases():
            data, expected = encodedInput(case), case["expect"]
            if "error" in expected:
                error = self.assertRaises(RemoteProtocolError, amf0.decodeAll, data)
                self.assertEqual(error.label, expected["error"], case["name"])
            else:
                found = [tagged(value) for value in amf0.decodeAll(data)]
                self.assertEqual(found, expected["values"], case["name"])

    def test_everyVectorIsEncodedAsItCame(self) -> None:
        """
        What we forward is what we received, byte for byte.
        """
        for case in cases():
            if "error" in case["expect"] or case.get("reencode") is False:
                continue
            data = encodedInput(case)
            self.assertEqual(amf0.encode(*amf0.decodeAll(data)), data, case["name"])


class DecodingTests(SynchronousTestCase):
    """
    Bytes from peers.
    """

    def assertFault(self, label: str, data: bytes, lenient: bool = False) -> str:
        """
        Decoding fails with this label.

        @return: the message.
        """
        error = self.assertRaises(
            RemoteProtocolError, amf0.decodeAll, data, lenient=lenient
        )
        self.assertEqual(error.label, label)
        return str(error)

    def test_oneValueAtAnOffset(self) -> None:
        """
        Bytes before it are skipped, bytes after it remain.
        """
        data = b"\xff" + amf0.encode("name") + b"\xff"
        self.assertEqual(amf0.decode(data, 1), ("name", len(data) - 1))
        self.assertEqual(amf0.decodeAll(data[:-1], 1), ["name"])

    def test_nothingIsNoValue(self) -> None:
        """
        An empty message has no values; decoding a single value requires one.
        """
        self.assertEqual(amf0.decodeAll(b""), [])
        error = self.assertRaises(RemoteProtocolError, amf0.decode, b"")
        self.assertEqual(error.label, "amf-truncated")

    def test_aDateKeepsItsZone(self) -> None:
        """
        Milliseconds and a signed zone.
        """
        data = b"\x0b" + struct.pack(">dh", 1e12, -60)
        self.assertEqual(amf0.decodeAll(data), [AMFDate(1e12, -60)])
        self.assertEqual(amf0.encode(AMFDate(1e12, -60)), data)
        self.assertEqual(AMFDate(1e12).zone, 0)

    def test_anEmptyNameIsAName(self) -> None:
        """
        Only an empty name with the end marker ends an object.
        """
        data = bytes.fromhex("03 0000 05 0000 0101 000009")
        self.assertEqual(amf0.decodeAll(data), [AMFObject([("", None), ("", True)])])

    def test_anObjectMayHoldReferences(self) -> None:
        """
        Also one to itself, which is not followed.
        """
        data = bytes.fromhex("03 000161 070000 000009")
        self.assertEqual(amf0.decodeAll(data), [AMFObject([("a", AMFReference(0))])])

    def test_referencesCountArraysToo(self) -> None:
        """
        Objects, ECMA arrays, strict arrays and typed objects, in order.
        """
        holders: list[Value] = [
            AMFObject([]),
            ECMAArray([]),
            [],
            AMFObject([], "C"),
        ]
        encoded = amf0.encode(*holders)
        message = [*holders, AMFReference(3)]
        self.assertEqual(amf0.decodeAll(encoded + b"\x07\x00\x03"), message)
        self.assertEqual(amf0.encode(*message), encoded + b"\x07\x00\x03")
        fault = self.assertFault("amf-bad-reference", encoded + b"\x07\x00\x04")
        self.assertEqual(fault, "reference to object 4, there are only 4")

    def test_metadataMayLackItsEnd(self) -> None:
        """
        Some encoders end an object where the message ends, with or without the empty
        name; a command must not.
        """
        whole = amf0.encode("onMetaData", ECMAArray([("a", AMFObject([("b", 1)]))]))
        expected: list[Value] = [
            "onMetaData",
            ECMAArray([("a", AMFObject([("b", 1.0)]))]),
        ]
        for cut in (1, 3, 4, 6):
            data = whole[:-cut]
            self.assertEqual(amf0.decodeAll(data, lenient=True), expected, cut)
            self.assertFault("amf-truncated", data)
            self.assertRaises(RemoteProtocolError, amf0.decodeAll, data)

    def test_lenientIsNotCareless(self) -> None:
        """
        A truncated value, or half a name, is still an error.
        """
        whole = amf0.encode(ECMAArray([("abc", 1.0)]))
        for cut in (2, 4, 10, 12, 13, 15):
            self.assertFault("amf-truncated", whole[:-cut], lenient=True)
        self.assertFault("amf-truncated", b"\x0a\x00\x00\x00\x01", lenient=True)

    def test_whatIsLackingIsSaid(self) -> None:
        """
        With its offset, wherever a message is cut.
        """
        for data, wanted in (
            ("00 3ff00000000000", (8, 1, 7)),
            ("01", (1, 1, 0)),
            ("02 00", (2, 1, 1)),
            ("02 0003 6162", (3, 3, 2)),
            ("0c 000001", (4, 1, 3)),
            ("0c 00000003 6162", (3, 5, 2)),
            ("07 00", (2, 1, 1)),
            ("0b 000000000000000000", (10, 1, 9)),
            ("08 000000", (4, 1, 3)),
            ("0a 000000", (4, 1, 3)),
            ("0a 00000003 0505", (3, 5, 2)),
            ("03 0000", (1, 3, 0)),
            ("03 0001 61", (1, 4, 0)),
            ("10 0001", (1, 3, 0)),
            ("11", (1, 1, 0)),
        ):
            fault = self.assertFault("amf-truncated", bytes.fromhex(data))
            size, offset, left = wanted
            said = f"{size} bytes needed at offset {offset}, only {left} left"
            self.assertEqual(fault, said, data)

    def test_anUnknownMarker(self) -> None:
        """
        It is rejected, with its offset. The markers of movie clips and record sets are
        reserved.
        """
        for marker in (0x04, 0x09, 0x0E, 0x12, 0xFF):
            fault = self.assertFault("amf-bad-marker", bytes([0x05, marker]))
            said = f"unknown AMF0 marker 0x{marker:02x} at offset 1"
            self.assertEqual(fault, said)

    def test_aDepthBombIsRefused(self) -> None:
        """
        Sixteen levels are accepted, seventeen are not, and neither is 64 KiB of
        nesting.
        """
        array, end = b"\x0a\x00\x00\x00\x01", b"\x05"
        amf0.decodeAll(array * MAX_DEPTH + end)
        for data in (
            array * (MAX_DEPTH + 1) + end,
            array * (65536 // len(array)),
            b"\x03\x00\x01a" * (65536 // 4),
            b"\x08\x00\x00\x00\x00\x00\x01a" * (65536 // 8),
            b"\x10\x00\x00\x00\x01a" * (65536 // 6),
        ):
            fault = self.assertFault("amf-too-deep", data)
            self.assertIn("nested 17 deep", fault)
            self.assertIn("at most 16", fault)
        for end in (b"\x03\0\0\x09", b"\x08\0\0\0\0\0\0\x09", b"\x10\0\0\0\0\x09"):
            amf0.decodeAll(array * (MAX_DEPTH - 1) + end)
            self.assertFault("amf-too-deep", array * MAX_DEPTH + end)
            # Values before it make no difference.
            before = b"\x0a\0\0\0\x03" + end + end
            self.assertFault("amf-too-deep", before + array * (MAX_DEPTH - 1) + end)

    def test_depthCountsThroughTheSwitch(self) -> None:
        """
        AMF3 within AMF0 does not restart the count.
        """
        array0, array3 = b"\x0a\x00\x00\x00\x01", b"\x09\x03\x01"
        amf0.decodeAll(array0 * 8 + b"\x11" + array3 * 8 + b"\x01")
        self.assertFault("amf-too-deep", array0 * 8 + b"\x11" + array3 * 9 + b"\x01")

    def test_siblingsAreNotDeep(self) -> None:
        """
        Values that have ended are no longer counted.
        """
        deep: Value = None
        for _ in range(MAX_DEPTH - 1):
            deep = [deep]
        wide: list[Value] = [[deep, deep], AMFObject([]), ECMAArray([])]
        message = [wide[0], *wide * 20]
        self.assertEqual(amf0.decodeAll(amf0.encode(*message)), message)

    def test_aHugeCountIsNotBelieved(self) -> None:
        """
        No memory is allocated for values that are not there.
        """
        fault = self.assertFault("amf-truncated", b"\x0a\xff\xff\xff\xff\x05")
        self.assertEqual(fault, "4294967295 bytes needed at offset 5, only 1 left")

    def test_tooManyValuesAreRefused(self) -> None:
        """
        Values up to the limit are accepted, in an array or not.
        """
        self.assertEqual(len(amf0.decodeAll(b"\x05" * MAX_VALUES)), 131_072)
        fault = self.assertFault("amf-too-many-values", b"\x05" * (MAX_VALUES + 1))
        self.assertEqual(
            fault, f"{MAX_VALUES + 1} values, at most {MAX_VALUES} are allowed"
        )
        array = b"\x0a" + MAX_VALUES.to_bytes(4, "big") + b"\x05" * MAX_VALUES
        self.assertFault("amf-too-many-values", array)

    @given(st.binary(max_size=200), st.booleans())
    def test_anyBytesGiveValuesOrTheirFault(self, data: bytes, lenient: bool) -> None:
        """
        Any bytes give values or RemoteProtocolError, nothing else.
        """
        try:
            amf0.encode(*amf0.decodeAll(data, lenient=lenient))
        except RemoteProtocolError as error:
            self.assertTrue(error.label.startswith("amf-"))

    @given(values, st.data())
    def test_damagedValuesGiveValuesOrTheirFault(
        self, value: Value, data: st.DataObject
    ) -> None:
        """
        Also when they are mostly valid; and a truncated value is never accepted.
        """
        encoded = bytearray(amf0.encode(value))
        cut = data.draw(st.integers(0, len(encoded) - 1))
        self.assertRaises(RemoteProtocolError, amf0.decode, bytes(encoded[:cut]))
        encoded[cut] = data.draw(st.integers(0, 255))
        try:
            amf0.encode(*amf0.decodeAll(bytes(encoded)))
        except RemoteProtocolError as error:
            self.assertTrue(error.label.startswith("amf-"))


class EncodingTests(SynchronousTestCase):
    """
    Our own values.
    """

    @given(st.lists(values, max_size=3))
    def test_whatIsSentIsWhatIsReceived(self, message: list[Value]) -> None:
        """
        Every value, in any nesting; and encoding it again gives the same bytes.
        """
        encoded = amf0.encode(*message)
        found = amf0.decodeAll(encoded)
        self.assertEqual(found, message)
        self.assertEqual(amf0.encode(*found), encoded)

    def test_eachKindToTheByte(self) -> None:
        """
        The same value always gives the same bytes.
        """
        empty = "000009"
        values: list[tuple[str, Value]] = [
            ("00 bff8000000000000", -1.5),
            ("01 00", False),
            ("01 01", True),
            ("02 0002 c3a4", "\u00e4"),
            ("03 0001 61 05 " + empty, AMFObject([("a", None)])),
            ("05", None),
            ("06", UNDEFINED),
            ("08 00000014 0001 61 05 " + empty, ECMAArray([("a", None)], 20)),
            ("08 00000001 0001 61 05 " + empty, ECMAArray([("a", None)])),
            ("0a 00000002 05 06", [None, UNDEFINED]),
            ("0b 3ff0000000000000 ffc4", AMFDate(1.0, -60)),
            ("0c 00000001 61", LongString("a")),
            ("0d", UNSUPPORTED),
            ("0f 00000004 3c612f3e", XMLDocument("<a/>")),
            ("10 0001 43 0001 61 05 " + empty, AMFObject([("a", None)], "C")),
            ("11 04 05", AMF3Value(5)),
            ("0a 00000001 07 0000", [AMFReference(0)]),
        ]
        for written, value in values:
            data = bytes.fromhex(written)
            self.assertEqual(amf0.encode(value), data, written)
            (found,) = amf0.decodeAll(data)
            self.assertEqual((found, type(found)), (value, type(value)), written)
            if isinstance(value, ECMAArray):
                assert isinstance(found, ECMAArray)
                self.assertEqual(found.count, value.count)
        self.assertEqual(amf0.decodeAll(b"\x01\x02"), [True])

    def test_depthHasALimit(self) -> None:
        """
        Sixteen levels, including AMF3; values that have ended are no longer counted.
        """
        for around in (
            lambda value: [value],
            lambda value: AMFObject([("a", value)]),
            lambda value: {"a": value},
        ):
            deep: Value = None
            for _ in range(MAX_DEPTH - 1):
                deep = around(deep)
            message = [deep, around(None), [deep, around(None), AMF3Value(3), deep]]
            amf0.encode(*message, [AMF3Value([None]), deep])
            # Values before it make no difference.
            tooDeep: list[Value] = [
                around(around(deep)),
                [around(None), around(None), [deep]],
            ]
            for value in tooDeep:
                with self.assertRaises(LocalProtocolError) as caught:
                    amf0.encode(around(None), around(None), value)
                self.assertEqual(
                    str(caught.exception),
                    "values nested 17 deep, at most 16 are allowed",
                )
        deep = AMF3Value([None])
        for _ in range(MAX_DEPTH - 1):
            deep = [deep]
        amf0.encode(deep)
        self.assertRaises(LocalProtocolError, amf0.encode, [deep])

    def test_referencesHave16Bits(self) -> None:
        """
        That many objects can be referred to, and not one more.
        """
        many: list[Value] = [[]] * 0x10001
        most, more = AMFReference(0xFFFF), AMFReference(0x10000)
        with self.assertRaises(LocalProtocolError) as caught:
            amf0.encode(*many, most, more)
        self.assertIn("reference to object 65536", str(caught.exception))

    def test_nanKeepsItsBits(self) -> None:
        """
        A duration that is not a number is forwarded unchanged.
        """
        data = bytes.fromhex("007ff8000000000001")
        self.assertEqual(amf0.encode(*amf0.decodeAll(data)), data)

    def test_integersAreNumbers(self) -> None:
        """
        AMF0 has only doubles; booleans stay booleans.
        """
        self.assertEqual(amf0.decodeAll(amf0.encode(1, True)), [1.0, True])
        self.assertEqual(amf0.encode(1), amf0.encode(1.0))
        self.assertNotEqual(amf0.encode(True), amf0.encode(1.0))

    def test_aDictIsAnObject(self) -> None:
        """
        In order.
        """
        self.assertEqual(
            amf0.decodeAll(amf0.encode({"b": 1.0, "a": {"c": None}})),
            [AMFObject([("b", 1.0), ("a", AMFObject([("c", None)]))])],
        )

    def test_aStringBeyond65535BytesIsLong(self) -> None:
        """
        Counted in bytes, not in characters.
        """
        self.assertEqual(amf0.encode("a" * 65535)[:3], b"\x02\xff\xff")
        named = AMFObject([("a" * 65535, None)])
        self.assertEqual(amf0.encode(named)[:4], b"\x03\xff\xffa")
        for text in ("a" * 65536, "\u00e4" * 32768):
            encoded = amf0.encode(text)
            self.assertEqual(encoded[:5], b"\x0c\x00\x01\x00\x00")
            self.assertEqual(amf0.decodeAll(encoded), [text])

    def test_theHintOfAnArrayIsSentOn(self) -> None:
        """
        The hint that we received is sent unchanged; that of our own arrays is correct.
        """
        self.assertEqual(amf0.encode(ECMAArray([], 20))[:5], b"\x08\x00\x00\x00\x14")
        self.assertEqual(amf0.encode(ECMAArray([], 0))[:5], b"\x08\x00\x00\x00\x00")
        most = ECMAArray([], 0xFFFFFFFF)
        self.assertEqual(amf0.encode(most)[:5], b"\x08\xff\xff\xff\xff")
        ours = ECMAArray([("a", None)])
        self.assertEqual(amf0.encode(ours)[:5], b"\x08\x00\x00\x00\x01")

    def test_whatCannotBeSaidIsOurFault(self) -> None:
        """
        It raises an error instead of encoding something else.
        """
        knot: list[Value] = []
        knot.append(knot)
        for value in (
            b"bytes",
            10**400,
            AMFDate(0, 40000),
            AMFDate(10**400, 0),
            AMFReference(0),
            [AMFReference(-1)],
            [AMFReference(1)],
            AMFObject([("a" * 65536, None)]),
            AMFObject([], "a" * 65536),
            ECMAArray([], -1),
            ECMAArray([], 2**32),
            "\ud800",
            AMF3Value(AMFObject([], "\ud800")),
            AMF3Value(UNSUPPORTED),
            knot,
        ):
            self.assertRaises(LocalProtocolError, amf0.encode, value)


class ValueTests(SynchronousTestCase):
    """
    The values themselves.
    """

    def test_theLastOfDuplicatesCounts(self) -> None:
        """
        All are kept, in order.
        """
        value = AMFObject([("a", 1.0), ("b", None), ("a", 2.0)])
        self.assertEqual(value.get("a"), 2.0)
        self.assertEqual(value.get("b", "default"), None)
        self.assertEqual(value.get("c", "default"), "default")
        self.assertEqual(list(value), [("a", 1.0), ("b", None), ("a", 2.0)])

    def test_objectsAreEqualByWhatTheyHold(self) -> None:
        """
        Type, class and properties count; the hint of an array does not.
        """
        self.assertEqual(AMFObject([("a", None)]), AMFObject([("a", None)]))
        self.assertNotEqual(AMFObject([("a", None)]), AMFObject([("b", None)]))
        self.assertNotEqual(AMFObject([]), AMFObject([], "C"))
        self.assertNotEqual(AMFObject([]), ECMAArray([]))
        self.assertNotEqual(ECMAArray([]), AMFObject([]))
        self.assertNotEqual(AMFObject([]), [])
        self.assertEqual(ECMAArray([]), ECMAArray([], 20))

    def test_valuesSayWhatTheyAre(self) -> None:
        """
        For failed tests, and for logs.
        """
        self.assertEqual(repr(UNDEFINED), "UNDEFINED")
        self.assertEqual(repr(UNSUPPORTED), "UNSUPPORTED")
        self.assertEqual(repr(AMFObject([("a", None)])), "AMFObject([('a', None)])")
        self.assertEqual(repr(AMFObject([], "C")), "AMFObject([], className='C')")
        self.assertEqual(repr(ECMAArray([])), "ECMAArray([])")

    def test_whatIsNotDefinedIsFalse(self) -> None:
        """
        Like null.
        """
        self.assertFalse(UNDEFINED)
        self.assertFalse(UNSUPPORTED)
        self.assertTrue(AMFObject([]))

    def test_objectsAreNoKeys(self) -> None:
        """
        Because they are mutable.
        """
        self.assertRaises(TypeError, hash, AMFObject([]))
