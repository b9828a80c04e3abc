"""
Tests of the chunk reader with the chunks that encoders write, each in its own way: the
result is the same whole and cut anywhere.
"""

from dataclasses import dataclass
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.rtmp.test_chunkreader import readAll

#: Type, timestamp and payload.
Sent = tuple[int, int, bytes]

EXTENDED = 0xFFFFFF


@dataclass(frozen=True)
class Manner:
    """
    How an encoder writes chunks.

    @ivar name: of the encoder.
    @ivar repeats: what it sends as the extended timestamp of a type 3 chunk: the field
        of the first chunk, the absolute timestamp, zeros, or nothing.
    @ivar usesDeltas: whether it uses headers of types 1 to 3 where it can.
    @ivar chunkSize: in bytes.
    @ivar interleaves: whether it sends an audio chunk between two video chunks.
    """

    name: str
    repeats: str
    usesDeltas: bool
    chunkSize: int
    interleaves: bool = False


MANNERS = (
    Manner("FFmpeg", "wire", True, 128),
    Manner("FFmpeg towards a server with larger chunks", "wire", True, 60000),
    Manner("OBS", "wire", True, 4096),
    Manner("OBS before 30.2", "nothing", True, 128),
    Manner("GStreamer", "wire", True, 128, True),
    Manner("librtmp", "wire", True, 128),
    Manner("SRS", "absolute", False, 60000),
    Manner("SRS with small chunks", "absolute", True, 128),
    Manner("gortmplib", "zeros", True, 4096),
    Manner("gortmplib with small chunks", "zeros", False, 128),
    Manner("an encoder without deltas", "nothing", False, 128, True),
)


class Encoder:
    """
    Writes messages like a certain encoder.
    """

    def __init__(self, manner: Manner) -> None:
        self._manner = manner
        # For each chunk stream: timestamp, length and type, and the field on the wire.
        self._last: dict[int, tuple[int, int, int, int]] = {}

    def chunks(self, chunkStreamID: int, message: Sent) -> list[bytes]:
        """
        @return: the chunks of a message.
        """
        kind, time, payload = message
        manner = self._manner
        last = self._last.get(chunkStreamID)
        size, head = len(payload), 0
        field = time
        if last is not None and manner.usesDeltas:
            field = (time - last[0]) & 0xFFFFFFFF
            head = 1
            if last[1:3] == (size, kind):
                head = 3 if last[3] == field else 2
        extended = b""
        if field >= EXTENDED:
            extended = field.to_bytes(4, "big")
        header = min(field, EXTENDED).to_bytes(3, "big")
        if head < 2:
            header += size.to_bytes(3, "big") + bytes([kind])
        if head == 0:
            header += (1).to_bytes(4, "little")
        if head == 3:
            header = b""
        again = {
            "wire": extended,
            "absolute": time.to_bytes(4, "big") if extended else b"",
            "zeros": bytes(4) if extended else b"",
            "nothing": b"",
        }[manner.repeats]
        first = again if head == 3 else extended
        begin = bytes([head << 6 | chunkStreamID]) + header + first
        chunks = [begin + payload[: manner.chunkSize]]
        for at in range(manner.chunkSize, size, manner.chunkSize):
            following = payload[at : at + manner.chunkSize]
            chunks.append(bytes([0xC0 | chunkStreamID]) + again + following)
        self._last[chunkStreamID] = (time, size, kind, field)
        return chunks

    def session(self, messages: list[Sent]) -> bytes:
        """
        @return: the bytes of all messages, in the order of their last chunks.
        """
        wire = []
        waiting: list[bytes] = []
        for message in messages:
            chunks = self.chunks(4 if message[0] == 8 else 6, message)
            if self._manner.interleaves and message[0] == 8:
                waiting += chunks
                continue
            wire.append(chunks[0])
            wire += waiting
            waiting = []
            wire += chunks[1:]
        return b"".join(wire + waiting)


def frames(draw: Any, start: int, isPlain: bool) -> list[Sent]:
    """
    @param isPlain: whether no chunk begins with zeros.
    @return: video and audio frames from this timestamp on.
    """
    sent: list[Sent] = []
    time = start
    for number in range(draw(st.integers(2, 4))):
        length = draw(st.sampled_from([5, 100, 128, 129, 300, 400]))
        # NAL units have their length in front, which begins with zeros.
        unit = (
            b"A" * 12 if isPlain else draw(st.sampled_from([bytes(12), b"\0\0\0\x41"]))
        )
        body = (bytes([number]) + unit * 40)[:length]
        sent.append((9, time & 0xFFFFFFFF, body))
        if draw(st.booleans()):
            sent.append((8, time & 0xFFFFFFFF, b"\xaf\1" + bytes([number]) * 6))
        time += draw(st.sampled_from([0, 1, 40, 0xFFFFFF, 0x1000000]))
    return sent


#: Around the end of 24-bit and of 32-bit timestamps.
STARTS = st.sampled_from([0, 0xFFFFFE, 0x1000000, 0x1000028, 0x01020304, 0xFFFFFFF0])


class MannerTests(SynchronousTestCase):
    """
    Sessions of each kind of encoder.
    """

    def assertRead(
        self, wire: bytes, wanted: list[Sent] | None, cuts: list[int]
    ) -> None:
        """
        The messages are the same whole and cut, and those that were sent if these are
        given.
        """
        state = {"chunk_size": self.manner.chunkSize}
        whole, error, _ = readAll(wire, [], state)
        found = [(message[0], message[1], message[3]) for message in whole]
        if wanted is not None:
            self.assertEqual((found, error), (wanted, None), self.manner.name)
        for cut in [cuts, *([each] for each in cuts)]:
            again, label, _ = readAll(wire, cut, state)
            self.assertEqual((again, label), (whole, error), self.manner.name)

    @given(st.sampled_from(MANNERS), STARTS, st.data())
    def test_whatWasSentIsRead(self, manner: Manner, start: int, data: Any) -> None:
        """
        Every message with its timestamp and bytes, in the order of their ends.
        """
        self.manner = manner
        sent = frames(data.draw, start, isPlain=True)
        wire = Encoder(manner).session(sent)
        cuts = sorted(data.draw(st.sets(st.integers(1, len(wire) - 1), max_size=4)))
        wanted = sent if not manner.interleaves else None
        self.assertRead(wire, wanted, cuts)
        if manner.interleaves:
            whole, error, _ = readAll(wire, [], {"chunk_size": manner.chunkSize})
            self.assertIsNone(error)
            self.assertEqual(sorted((m[0], m[1], m[3]) for m in whole), sorted(sent))

    @given(st.sampled_from(MANNERS), STARTS, st.data())
    def test_whatLooksLikeATime(self, manner: Manner, start: int, data: Any) -> None:
        """
        The decision is the same wherever the data is cut. A peer that repeats the field
        of the first chunk is always understood; so is one that repeats nothing, once it
        has shown that.
        """
        self.manner = manner
        sent = frames(data.draw, start, isPlain=False)
        isPlain = data.draw(st.booleans())
        if isPlain:
            # The peer has shown before which it is.
            sent = [(9, start, b"plain" * 100), *sent]
        wire = Encoder(manner).session(sent)
        cuts = sorted(data.draw(st.sets(st.integers(1, len(wire) - 1), max_size=4)))
        isKnown = manner.repeats == "wire" and not manner.interleaves
        self.assertRead(wire, sent if isKnown else None, cuts)

    def test_thoseWhoRepeatNothing(self) -> None:
        """
        A long stream of an old OBS, which begins after 4 h 40 min: all video frames
        with chunks that begin with the zeros of a NAL unit's length arrive whole.
        """
        self.manner = MANNERS[3]
        begin = (9, 0x1000000, b"\x17\0\0\0\0" + b"config" * 50)
        image = b"\x27\1\0\0\0" + (bytes(3) + b"\x41" + b"A" * 124) * 3
        unit = bytes(128 * 3)
        sent = [begin] + [
            (9, 0x1000000 + 40 * number, image[:128] + unit + bytes([number]))
            for number in range(1, 50)
        ]
        manner = Manner("old OBS, absolute times", "nothing", False, 128)
        wire = Encoder(manner).session(sent)
        self.assertRead(wire, sent, [1])
