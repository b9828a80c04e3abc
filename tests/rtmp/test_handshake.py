"""
Tests of the handshake.
"""

import hmac
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rtmptw.errors import RemoteProtocolError
from rtmptw.rtmp.handshake import (
    PLAYER_KEY,
    PLAYER_KEY_FULL,
    SERVER_KEY,
    SERVER_KEY_FULL,
    SIZE,
    Await,
    ClientHandshake,
    Expect,
    Schema,
    ServerHandshake,
    digestOffset,
    findDigest,
)
from tests.vectors import vectors


def pseudoRandom(count: int) -> bytes:
    """
    Bytes that do not have to be random.
    """
    return (b"random bytes that repeat " * (count // 25 + 1))[:count]


def newHandshake() -> ServerHandshake:
    """
    A handshake that begins at 1.234 s.
    """
    return ServerHandshake(1234, pseudoRandom)


def signedC1(schema: Schema, version: str = "80000702") -> bytes:
    """
    A C1 as Flash or FFmpeg signs it.
    """
    time = bytes([1, 2, 3, 4])
    block = time + bytes.fromhex(version) + pseudoRandom(SIZE - 8)
    at = digestOffset(block, schema)
    unsigned = block[:at] + block[at + 32 :]
    return block[:at] + hmac.digest(PLAYER_KEY, unsigned, "sha256") + block[at + 32 :]


class VectorTests(SynchronousTestCase):
    """
    The byte-level cases.
    """

    def test_everyVectorHoweverItIsCut(self) -> None:
        """
        Each sample is answered in the same way whole, byte by byte and at its splits.
        """
        count = 0
        for vector in vectors("handshake"):
            expected = vector["expect"]
            data = bytes.fromhex(vector["input_hex"])
            self.assertEqual(data[0], expected["version"])
            for cuts in [[], list(range(1, len(data))), *vector.get("splits", [])]:
                self._check(vector["name"], data, cuts, expected)
            count += 1
        self.assertEqual(count, 6)

    def _check(
        self, name: str, data: bytes, cuts: list[int], expected: dict[str, Any]
    ) -> None:
        handshake = newHandshake()
        answer = b""
        tail = b""
        start = 0
        try:
            for cut in [*cuts, len(data)]:
                if handshake.expecting is Expect.CHUNKS:
                    tail += data[start:cut]
                else:
                    answer += handshake.receive(data[start:cut])
                    tail = handshake.remainder
                start = cut
        except RemoteProtocolError as error:
            self.assertEqual(error.label, expected.get("error"), name)
            self.assertLessEqual(start, 1, "decided later than on the first byte")
            return
        self.assertNotIn("error", expected, name)
        schema = expected["schema"]
        self.assertEqual(handshake.schema, schema if schema is None else Schema(schema))
        self.assertEqual(len(answer), 1 + 2 * SIZE, name)
        c1 = data[1 : SIZE + 1]
        if schema is None:
            self.assertEqual(answer[5:9], bytes(4), "S1 must not look signed")
            self.assertEqual(answer[1 + SIZE + 8 :], c1[8:], "S2 must echo C1")
        else:
            self.assertEqual(
                digestOffset(c1, Schema(schema)), expected["digest_offset"], name
            )
            self.assertEqual(c1[4:8].hex(), expected["peer_version"])
        if "after_handshake_hex" in expected:
            self.assertEqual(tail.hex(), expected["after_handshake_hex"])


class ServerHandshakeTests(SynchronousTestCase):
    """
    What each kind of client gets.
    """

    def test_answersAllAtOnce(self) -> None:
        """
        S0, S1 and S2 are sent as soon as C1 is complete: FFmpeg sends nothing before
        that.
        """
        handshake = newHandshake()
        self.assertEqual(handshake.receive(b"\3" + bytes(SIZE - 1)), b"")
        answer = handshake.receive(b"\0")
        self.assertEqual(len(answer), 1 + 2 * SIZE)
        self.assertEqual(answer[0], 3)
        self.assertEqual(int.from_bytes(answer[1:5], "big"), 1234)
        self.assertEqual(handshake.expecting, Expect.C2)

    def test_signedAnswer(self) -> None:
        """
        A client that signs C1, in either schema, gets S1 signed in the same schema and
        S2 signed over its own digest.
        """
        for schema in Schema:
            c1 = signedC1(schema)
            handshake = newHandshake()
            answer = handshake.receive(b"\3" + c1)
            self.assertEqual(handshake.schema, schema)
            s1, s2 = answer[1 : SIZE + 1], answer[SIZE + 1 :]
            self.assertEqual(s1[:8].hex(), "000004d204050001")
            self.assertEqual((len(s1), len(s2)), (SIZE, SIZE))
            self.assertEqual(
                findDigest(s1, SERVER_KEY), (schema, digestOffset(s1, schema))
            )
            at = digestOffset(c1, schema)
            key = hmac.digest(SERVER_KEY_FULL, c1[at : at + 32], "sha256")
            self.assertEqual(s2[-32:], hmac.digest(key, s2[:-32], "sha256"))

    def test_aVersionWithoutADigestIsPlain(self) -> None:
        """
        Non-zero bytes 4 to 7 without a digest are a plain handshake.
        """
        handshake = newHandshake()
        c1 = bytes(4) + b"\x09\0\x7c\2" + pseudoRandom(SIZE - 8)
        answer = handshake.receive(b"\3" + c1)
        self.assertIsNone(handshake.schema)
        self.assertEqual(answer[SIZE + 1 :], c1)

    def test_whereADigestLies(self) -> None:
        """
        The sum of four bytes gives its offset, one of 728 in a block of 764 bytes.
        """
        for numbers, place in (
            ("00000000", 0),
            ("01020408", 15),
            ("ffffffff", 1020 - 728),
            ("ffffd900", 727),
            ("ffffda00", 0),
        ):
            for schema, start in ((Schema.KEY_FIRST, 772), (Schema.DIGEST_FIRST, 8)):
                block = b"\xff" * start + bytes.fromhex(numbers)
                block += b"\xff" * (SIZE - len(block))
                found = digestOffset(block, schema)
                self.assertEqual(found, start + 4 + place, numbers)

    def test_whichVersionSaysSigned(self) -> None:
        """
        Any whose four bytes are not all zero, whatever comes before or after it.
        """
        for schema in Schema:
            for version in ("01000000", "00010000", "00000100", "00000001"):
                handshake = newHandshake()
                handshake.receive(b"\3" + signedC1(schema, version))
                self.assertIs(handshake.schema, schema)
            handshake = newHandshake()
            answer = handshake.receive(b"\3" + signedC1(schema, "00000000"))
            self.assertIsNone(handshake.schema)
            self.assertEqual(answer[5:9], bytes(4))

    def test_ourClockHas32Bits(self) -> None:
        """
        It wraps after that.
        """
        handshake = ServerHandshake(0x1_F234_5679, pseudoRandom)
        answer = handshake.receive(b"\3" + bytes(SIZE))
        self.assertEqual(answer[:9].hex(), "03f234567900000000")

    def test_theLastByteOfC2(self) -> None:
        """
        It ends the handshake; no byte after it is needed.
        """
        handshake = newHandshake()
        handshake.receive(b"\3" + bytes(SIZE))
        handshake.receive(bytes(SIZE - 1))
        self.assertIs(handshake.expecting, Expect.C2)
        handshake.receive(b"\0")
        self.assertIs(handshake.expecting, Expect.CHUNKS)
        self.assertEqual(handshake.remainder, b"")

    def test_anyC2Will(self) -> None:
        """
        GStreamer overwrites part of the echo, nginx-rtmp sends back what it received.
        """
        handshake = newHandshake()
        handshake.receive(b"\3" + bytes(SIZE))
        self.assertEqual(handshake.receive(b"\xff" * SIZE + b"tail"), b"")
        self.assertEqual(handshake.expecting, Expect.CHUNKS)
        self.assertEqual(handshake.remainder, b"tail")

    def test_saysWhatItWas(self) -> None:
        """
        The error says what the first byte looks like.
        """
        for first, word in (
            (b"\x16", "TLS"),
            *((bytes([letter]), "HTTP") for letter in b"GPHODCT"),
            (b"\x06", "RTMPE (encrypted, version 6)"),
            (b"\x08", "RTMPE (encrypted, version 8)"),
            (b"\x09", "RTMPE (encrypted, version 9)"),
            (b"\x02", "version 2"),
            (b"\x07", "RTMP version 7"),
            (b"\x1f", "version 31"),
            (b"\x20", "0x20"),
            (b"\xfe", "0xfe"),
        ):
            with self.assertRaises(RemoteProtocolError) as caught:
                newHandshake().receive(first + b"\3")
            self.assertEqual(caught.exception.label, "unsupported-version")
            self.assertIn(word, str(caught.exception))

    @given(st.lists(st.integers(1, 2000), max_size=6), st.sampled_from(list(Schema)))
    def test_anyCuts(self, sizes: list[int], schema: Schema) -> None:
        """
        The answer and the remainder are the same wherever the data is cut.
        """
        data = b"\3" + signedC1(schema) + bytes(SIZE) + b"the rest"
        whole = newHandshake()
        wanted = whole.receive(data)
        handshake = newHandshake()
        answer = tail = b""
        position = 0
        for size in [*sizes, len(data)]:
            piece = data[position : position + size]
            position += size
            if handshake.expecting is Expect.CHUNKS:
                tail += piece
            else:
                answer += handshake.receive(piece)
                tail = handshake.remainder
        self.assertEqual(answer, wanted)
        self.assertEqual(tail, whole.remainder)

    def test_theStatesDiffer(self) -> None:
        """
        No state is an alias of another.
        """
        self.assertEqual([state.name for state in Expect], ["C0", "C1", "C2", "CHUNKS"])
        self.assertEqual([state.name for state in Await], ["S0", "S1", "S2", "CHUNKS"])

    def test_keysMatchTheirUse(self) -> None:
        """
        The full keys are the text plus the common tail.
        """
        self.assertEqual(len(PLAYER_KEY_FULL), 62)
        self.assertEqual(len(SERVER_KEY_FULL), 68)
        self.assertEqual(PLAYER_KEY_FULL[30:], SERVER_KEY_FULL[36:])


class ClientTests(SynchronousTestCase):
    """
    The client's side.
    """

    def setUp(self) -> None:
        self.client = ClientHandshake(1234, pseudoRandom)

    def test_whatItSends(self) -> None:
        """
        A plain C1, and S1 as C2.
        """
        late = ClientHandshake(0x1_2345_6789, pseudoRandom).begin()
        self.assertEqual(late[:9], b"\3\x23\x45\x67\x89" + bytes(4))
        sent = self.client.begin()
        self.assertEqual(sent[:9], b"\3" + (1234).to_bytes(4, "big") + bytes(4))
        self.assertEqual(len(sent), 1 + SIZE)
        s1 = bytes(range(256)) * 6
        self.assertEqual(self.client.receive(b"\3" + s1[:-1]), b"")
        self.assertIs(self.client.awaiting, Await.S1)
        self.assertEqual(self.client.receive(s1[-1:]), s1)
        self.assertIs(self.client.awaiting, Await.S2)
        self.assertEqual(self.client.receive(bytes(SIZE - 1)), b"")
        self.assertIs(self.client.awaiting, Await.S2)
        self.assertEqual(self.client.receive(b"\0"), b"")
        self.assertIs(self.client.awaiting, Await.CHUNKS)
        self.assertEqual(self.client.remainder, b"")

    def test_anyEcho(self) -> None:
        """
        nginx-rtmp sends C1 back as S1, and S2 can be anything.
        """
        c1 = self.client.begin()[1:]
        self.assertEqual(self.client.receive(b"\3" + c1 + bytes(SIZE) + b"more"), c1)
        self.assertIs(self.client.awaiting, Await.CHUNKS)
        self.assertEqual(self.client.remainder, b"more")

    @given(st.lists(st.integers(1, 3100), max_size=20))
    def test_withOurServerHoweverItIsCut(self, cuts: list[int]) -> None:
        """
        Both sides complete, and the data after the handshake is passed on.
        """
        client, server = ClientHandshake(1234, pseudoRandom), newHandshake()
        sizes = iter(cuts)
        toServer, toClient = client.begin(), b""
        while toServer or toClient:
            size = next(sizes, 5000)
            toClient += server.receive(toServer[:size])
            toServer = toServer[size:]
            if server.expecting is Expect.CHUNKS:
                toClient += b"!"
                break
            toServer += client.receive(toClient[:size])
            toClient = toClient[size:]
        if client.awaiting is not Await.CHUNKS:
            client.receive(toClient)
            toClient = client.remainder
        self.assertIs(client.awaiting, Await.CHUNKS)
        self.assertEqual(toClient, b"!")

    def test_noServer(self) -> None:
        """
        Anything else is detected by its first byte.
        """
        for first, word in (
            (b"\x15", "TLS"),
            (b"\x16", "0x16"),
            (b"H", "HTTP"),
            (b"\2", "0x02"),
            (b"\6", "0x06"),
        ):
            with self.assertRaises(RemoteProtocolError) as caught:
                ClientHandshake(0, pseudoRandom).receive(first + b"\3")
            self.assertEqual(caught.exception.label, "unsupported-version")
            self.assertIn(word, str(caught.exception))
