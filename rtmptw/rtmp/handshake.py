"""
The handshake (RTMP 1.0, section 5.2): C0, C1, C2 against S0, S1, S2. The server's
side is plain or signed, as the client begins it (Flash brought signing); the
client's side is plain, which every server takes.

All clients get S0, S1 and S2 in one piece as soon as C1 is whole: FFmpeg and
GStreamer send no C2 before they have S2, librtmp none before it has S1.
"""

import hmac
from collections.abc import Callable
from enum import IntEnum

from rtmptw.errors import RemoteProtocolError

#: C1, C2, S1 and S2 are this long, in bytes.
SIZE = 1536
VERSION = 3

_TAIL = bytes.fromhex(
    "f0eec24a8068bee82e00d0d1029e7e576eec5d2d29806fab93b8e636cfeb31ae"
)
#: Signs C1; with the tail, C2.
PLAYER_KEY = b"Genuine Adobe Flash Player 001"
PLAYER_KEY_FULL = PLAYER_KEY + _TAIL
#: Signs S1; with the tail, S2.
SERVER_KEY = b"Genuine Adobe Flash Media Server 001"
SERVER_KEY_FULL = SERVER_KEY + _TAIL

_DIGEST = 32
#: Bytes 4 to 7 of a signed S1. FFmpeg as a player asks for a digest if the first of
#: them is 3 or more, and we have one.
_SIGNED_VERSION = bytes([4, 5, 0, 1])


class Expect(IntEnum):
    """
    What the next bytes are.
    """

    C0 = 0
    C1 = 1
    C2 = 2
    CHUNKS = 3


class Schema(IntEnum):
    """
    Where the digest lies: which of two 764-byte blocks holds it.
    """

    #: The key's block first, then the digest's (Flash Player 10.1 and later).
    KEY_FIRST = 0
    #: The digest's block first (FFmpeg, nginx-rtmp, SRS).
    DIGEST_FIRST = 1


def digestOffset(block: bytes, schema: Schema) -> int:
    """
    @param block: C1 or S1, 1536 bytes.
    @return: where its digest lies, by C{schema}.
    """
    start = 772 if schema is Schema.KEY_FIRST else 8
    return sum(block[start : start + 4]) % 728 + start + 4


def _digest(key: bytes, block: bytes, offset: int) -> bytes:
    return hmac.digest(key, block[:offset] + block[offset + _DIGEST :], "sha256")


def findDigest(block: bytes, key: bytes) -> tuple[Schema, int] | None:
    """
    @return: the schema and the offset by which C{block} is signed with C{key}, or
        C{None} if it is not.
    """
    for schema in Schema:
        offset = digestOffset(block, schema)
        found = block[offset : offset + _DIGEST]
        if hmac.compare_digest(found, _digest(key, block, offset)):
            return schema, offset
    return None


class ServerHandshake:
    """
    Takes C0, C1 and C2, cut anywhere, and says what to answer.

    C2 is not verified: FFmpeg and GStreamer do not send a strict echo.

    @ivar expecting: what the next bytes are; C{Expect.CHUNKS} when all is done.
    @ivar schema: how the client signed C1; C{None} if it did not.
    @ivar remainder: after the end, the bytes behind C2. rtmpdump sends its first
        command in the same segment.
    """

    def __init__(self, milliseconds: int, randomBytes: Callable[[int], bytes]) -> None:
        """
        @param milliseconds: our clock, for S1.
        @param randomBytes: gives so many random bytes.
        """
        self._milliseconds = milliseconds & 0xFFFFFFFF
        self._randomBytes = randomBytes
        self._buffer = b""
        self.expecting = Expect.C0
        self.schema: Schema | None = None
        self.remainder = b""

    def receive(self, data: bytes) -> bytes:
        """
        Take the next bytes.

        @return: what to send; often nothing.

        @raise RemoteProtocolError: C{unsupported-version}, on the first byte, if
            this is not plain RTMP. The message says what it looks like.
        """
        self._buffer += data
        if self.expecting is Expect.C0 and self._buffer:
            if self._buffer[0] != VERSION:
                raise _unsupported(self._buffer[0])
            self.expecting = Expect.C1
        answer = b""
        if self.expecting is Expect.C1 and len(self._buffer) > SIZE:
            answer = self._answer(self._buffer[1 : SIZE + 1])
            self._buffer = self._buffer[SIZE + 1 :]
            self.expecting = Expect.C2
        if self.expecting is Expect.C2 and len(self._buffer) >= SIZE:
            self.remainder = self._buffer[SIZE:]
            self.expecting = Expect.CHUNKS
        return answer

    def _answer(self, c1: bytes) -> bytes:
        """
        @return: S0, S1 and S2.
        """
        time = self._milliseconds.to_bytes(4, "big")
        # Four zeros say "not signed"; others do not always mean the contrary.
        signed = findDigest(c1, PLAYER_KEY) if any(c1[4:8]) else None
        if signed is None:
            s1 = time + bytes(4) + self._randomBytes(SIZE - 8)
            # GStreamer compares the echo from byte 8 on.
            return bytes([VERSION]) + s1 + c1
        self.schema, offset = signed
        clientDigest = c1[offset : offset + _DIGEST]
        s1 = time + _SIGNED_VERSION + self._randomBytes(SIZE - 8)
        at = digestOffset(s1, self.schema)
        s1 = s1[:at] + _digest(SERVER_KEY, s1, at) + s1[at + _DIGEST :]
        body = self._randomBytes(SIZE - _DIGEST)
        key = hmac.digest(SERVER_KEY_FULL, clientDigest, "sha256")
        return bytes([VERSION]) + s1 + body + hmac.digest(key, body, "sha256")


class Await(IntEnum):
    """
    What a client expects next.
    """

    S0 = 0
    S1 = 1
    S2 = 2
    CHUNKS = 3


class ClientHandshake:
    """
    Gives C0 and C1, takes S0, S1 and S2, cut anywhere, and gives C2.

    What the server echoes is not verified: nginx-rtmp sends our C1 back as S1, and
    nothing is gained by hanging up on a server that echoes something else.

    @ivar awaiting: what the next bytes are; C{Await.CHUNKS} when all is done.
    @ivar remainder: after the end, the bytes behind S2.
    """

    def __init__(self, milliseconds: int, randomBytes: Callable[[int], bytes]) -> None:
        """
        @param milliseconds: our clock, for C1.
        @param randomBytes: gives so many random bytes.
        """
        # The four zeros say that it is not signed.
        self._c1 = (
            (milliseconds & 0xFFFFFFFF).to_bytes(4, "big")
            + bytes(4)
            + randomBytes(SIZE - 8)
        )
        self._buffer = b""
        self.awaiting = Await.S0
        self.remainder = b""

    def begin(self) -> bytes:
        """
        @return: C0 and C1, to send first.
        """
        return bytes([VERSION]) + self._c1

    def receive(self, data: bytes) -> bytes:
        """
        Take the next bytes.

        @return: what to send: C2 when S1 is whole, else nothing.

        @raise RemoteProtocolError: C{unsupported-version}, on the first byte, if
            this is no plain RTMP server. The message says what it looks like.
        """
        self._buffer += data
        if self.awaiting is Await.S0 and self._buffer:
            if self._buffer[0] != VERSION:
                raise _notAServer(self._buffer[0])
            self.awaiting = Await.S1
        answer = b""
        if self.awaiting is Await.S1 and len(self._buffer) > SIZE:
            # FFmpeg's and librtmp's echo: the whole of S1.
            answer = self._buffer[1 : SIZE + 1]
            self._buffer = self._buffer[SIZE + 1 :]
            self.awaiting = Await.S2
        if self.awaiting is Await.S2 and len(self._buffer) >= SIZE:
            self.remainder = self._buffer[SIZE:]
            self.awaiting = Await.CHUNKS
        return answer


def _notAServer(version: int) -> RemoteProtocolError:
    if version == 0x15:
        looks = "TLS: that port speaks rtmps://, not rtmp://"
    elif version == ord("H"):
        looks = "HTTP: that port speaks no RTMP"
    else:
        looks = f"first byte 0x{version:02x}: no RTMP server begins so"
    return RemoteProtocolError("unsupported-version", looks)


def _unsupported(version: int) -> RemoteProtocolError:
    if version == 0x16:
        looks = "a TLS hello: this port speaks plain RTMP, rtmps needs an ssl: endpoint"
    elif chr(version) in "GPHODCT":
        looks = "HTTP: this port speaks RTMP, not RTMPT or web pages"
    elif version in (6, 8, 9):
        looks = f"RTMPE (encrypted, version {version}): use rtmp:// or rtmps://"
    elif version < 32:
        looks = f"RTMP version {version}: only version 3 is spoken here"
    else:
        looks = f"first byte 0x{version:02x}: no RTMP client begins so"
    return RemoteProtocolError("unsupported-version", looks)
