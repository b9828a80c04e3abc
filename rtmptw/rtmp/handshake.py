"""
The handshake (RTMP 1.0, section 5.2): C0, C1, C2 and S0, S1, S2. Our server uses the
plain or the signed form, whichever the client begins (signing came with Flash). Our
client uses the plain form, which every server accepts.

The server sends S0, S1 and S2 together as soon as C1 is complete: FFmpeg and
GStreamer do not send C2 before they have S2, nor librtmp before it has S1.
"""

import hmac
from collections.abc import Callable
from enum import IntEnum

from rtmptw.errors import RemoteProtocolError

#: Size of C1, C2, S1 and S2, in bytes.
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
#: Bytes 4 to 7 of a signed S1. FFmpeg as a player requires a digest if the first of
#: them is 3 or more.
_SIGNED_VERSION = bytes([4, 5, 0, 1])


class Expect(IntEnum):
    """
    What a server expects next.
    """

    C0 = 0
    C1 = 1
    C2 = 2
    CHUNKS = 3


class Schema(IntEnum):
    """
    The position of the digest: which of two 764-byte blocks contains it.
    """

    #: The key's block first, then the digest's (Flash Player 10.1 and later).
    KEY_FIRST = 0
    #: The digest's block first (FFmpeg, nginx-rtmp, SRS).
    DIGEST_FIRST = 1


def digestOffset(block: bytes, schema: Schema) -> int:
    """
    @param block: C1 or S1, 1536 bytes.
    @return: the offset of its digest according to C{schema}.
    """
    start = 772 if schema is Schema.KEY_FIRST else 8
    return sum(block[start : start + 4]) % 728 + start + 4


def _digest(key: bytes, block: bytes, offset: int) -> bytes:
    return hmac.digest(key, block[:offset] + block[offset + _DIGEST :], "sha256")


def findDigest(block: bytes, key: bytes) -> tuple[Schema, int] | None:
    """
    @return: the schema and the digest's offset if C{block} is signed with C{key};
        else C{None}.
    """
    for schema in Schema:
        offset = digestOffset(block, schema)
        found = block[offset : offset + _DIGEST]
        if hmac.compare_digest(found, _digest(key, block, offset)):
            return schema, offset
    return None


class ServerHandshake:
    """
    The server's side: takes C0, C1 and C2, cut anywhere, and returns the answer.

    C2 is not verified: FFmpeg and GStreamer do not send a strict echo.

    @ivar expecting: what the next bytes are; C{Expect.CHUNKS} when done.
    @ivar schema: how the client signed C1; C{None} if it did not.
    @ivar remainder: when done, the bytes after C2. rtmpdump sends its first command
        in the same segment.
    """

    def __init__(self, milliseconds: int, randomBytes: Callable[[int], bytes]) -> None:
        """
        @param milliseconds: our clock, for S1.
        @param randomBytes: returns a given number of random bytes.
        """
        self._milliseconds = milliseconds & 0xFFFFFFFF
        self._randomBytes = randomBytes
        self._buffer = b""
        self.expecting = Expect.C0
        self.schema: Schema | None = None
        self.remainder = b""

    def receive(self, data: bytes) -> bytes:
        """
        Handle the next bytes.

        @return: the bytes to send; often none.

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
        # Four zeros mean "not signed"; other values do not always mean "signed".
        signed = findDigest(c1, PLAYER_KEY) if any(c1[4:8]) else None
        if signed is None:
            s1 = time + bytes(4) + self._randomBytes(SIZE - 8)
            # GStreamer compares the echo from byte 8 onward.
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
    The client's side: returns C0 and C1, takes S0, S1 and S2, cut anywhere, and
    returns C2.

    The server's echo is not verified: nginx-rtmp sends our C1 back as S1, and
    rejecting a server that echoes something else gains nothing.

    @ivar awaiting: what the next bytes are; C{Await.CHUNKS} when done.
    @ivar remainder: when done, the bytes after S2.
    """

    def __init__(self, milliseconds: int, randomBytes: Callable[[int], bytes]) -> None:
        """
        @param milliseconds: our clock, for C1.
        @param randomBytes: returns a given number of random bytes.
        """
        # The four zeros mean "not signed".
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
        Handle the next bytes.

        @return: the bytes to send: C2 when S1 is complete, else none.

        @raise RemoteProtocolError: C{unsupported-version}, on the first byte, if
            this is not a plain RTMP server. The message says what it looks like.
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
        looks = "HTTP: that port does not speak RTMP"
    else:
        looks = f"not an RTMP server: its first byte is 0x{version:02x}"
    return RemoteProtocolError("unsupported-version", looks)


def _unsupported(version: int) -> RemoteProtocolError:
    if version == 0x16:
        looks = "TLS: this port speaks plain RTMP; rtmps:// needs an ssl: endpoint"
    elif chr(version) in "GPHODCT":
        looks = "HTTP: this port speaks RTMP, not RTMPT or web pages"
    elif version in (6, 8, 9):
        looks = f"RTMPE (encrypted, version {version}): use rtmp:// or rtmps://"
    elif version < 32:
        looks = f"RTMP version {version}: only version 3 is supported"
    else:
        looks = f"not an RTMP client: its first byte is 0x{version:02x}"
    return RemoteProtocolError("unsupported-version", looks)
