"""
Tests of payloads that stay in the read buffer until they are used.
"""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rtmptw.flv.body import frameFromMessage, frameFromSpan
from rtmptw.frames import DEFAULT_TRACKS, HEAD, Frame, FrameKind, Role, Span
from rtmptw.rtmp.chunkreader import ChunkReader, MessageReceiver
from rtmptw.rtmp.chunkwriter import encodeMessage
from rtmptw.rtmp.fastpath import LEAST_KEPT, MAX_IN_PLACE
from tests.flv.test_body import cases

#: The fields of a frame.
FIELDS = (
    "codec",
    "compositionTime",
    "isHeader",
    "isKey",
    "kind",
    "name",
    "payload",
    "role",
    "size",
    "timestamp",
    "tracks",
)


def fields(frame: Frame) -> dict[str, object]:
    """
    @return: all attributes of a frame, including its payload.
    """
    return {name: getattr(frame, name) for name in FIELDS}


class Receiver(MessageReceiver):
    """
    Records what it receives, and how.
    """

    def __init__(self) -> None:
        self.cut: list[bytes] = []
        self.spans: list[Span] = []

    def messageReceived(
        self,
        messageType: int,
        timestamp: int,
        streamID: int,
        payload: bytes,
        chunkStreamID: int,
    ) -> None:
        self.cut.append(payload)

    def spanReceived(
        self,
        messageType: int,
        timestamp: int,
        streamID: int,
        span: Span,
        chunkStreamID: int,
    ) -> None:
        self.spans.append(span)


def read(wire: bytes, chunkSize: int) -> Receiver:
    """
    Read bytes in one call.
    """
    receiver = Receiver()
    reader = ChunkReader(receiver)
    reader.chunkSize = chunkSize
    reader.receive(wire)
    return receiver


class SpanTests(SynchronousTestCase):
    """
    What a reader leaves in its buffer.
    """

    @settings(deadline=None)
    @given(
        st.integers(1, 5000),
        st.sampled_from([1, HEAD - 1, HEAD, 128, 1000, 4096, 60000]),
        st.binary(max_size=HEAD),
    )
    def test_mediaInWholeMessages(
        self, size: int, chunkSize: int, before: bytes
    ) -> None:
        """
        Audio and video of any size and chunk size, if all of it is there in several
        chunks; unless there are too many chunks to check at once, or the first is too
        small to describe the frame.
        """
        payload = (bytes(range(251)) * 20)[:size]
        for kind in (8, 9):
            wire = encodeMessage(5, 8, 0, 1, before, chunkSize)
            wire += encodeMessage(6, kind, 0, 1, payload, chunkSize)
            receiver = read(wire + wire, chunkSize)
            if HEAD <= chunkSize < size <= chunkSize * (MAX_IN_PLACE + 1):
                self.assertEqual(receiver.cut, [before, before])
                self.assertEqual([span.cut() for span in receiver.spans], [payload] * 2)
                self.assertEqual(receiver.spans[1].head(), payload[:HEAD])
                self.assertEqual(receiver.spans[1].size, size)
            else:
                self.assertEqual(receiver.cut, [before, payload] * 2)

    def test_whatIsCutAtOnce(self) -> None:
        """
        Messages that are not audio or video, and messages of a single chunk.
        """
        for kind, chunkSize in ((18, 4096), (20, 4096), (9, 5000), (8, 60000)):
            wire = encodeMessage(6, kind, 0, 1, bytes(5000), chunkSize)
            receiver = read(wire, chunkSize)
            self.assertEqual(receiver.cut, [bytes(5000)])
            self.assertEqual(receiver.spans, [])

    def test_littleKeepsLittle(self) -> None:
        """
        At most twice the size of the payloads is kept: if most of the buffer is
        something else, they are copied.
        """
        size = LEAST_KEPT
        message = encodeMessage(6, 9, 0, 1, bytes(size), 4096)
        for junk in (size - 500, size + 500):
            wire = encodeMessage(4, 18, 0, 1, bytes(junk), 4096) + message
            (span,) = read(wire, 4096).spans
            self.assertEqual(span.cut(), bytes(size))
            wanted = len(wire) if junk < size else len(message) - 12
            self.assertEqual(len(span._block), wanted)

    def test_eachReadIsLookedAtAlone(self) -> None:
        """
        Payloads in the previous buffer do not count.
        """
        receiver = Receiver()
        reader = ChunkReader(receiver)
        reader.chunkSize = 4096
        blocks: list[int] = []
        for lying, junk, kept in (
            (60_000, 0, 60_026 + 12),
            (5000, 60_000, 5001),
            # Half of it, and one byte less.
            (32_768, 32_730, 65_536),
            (32_767, 32_731, 32_767 + 7),
        ):
            reader.receive(
                encodeMessage(6, 9, 0, 1, bytes(lying), 4096)
                + encodeMessage(4, 18, 0, 1, bytes(junk), 4096)
            )
            blocks.append(kept)
            self.assertEqual([len(span._block) for span in receiver.spans], blocks)

    def test_smallReadsAreNotKept(self) -> None:
        """
        Small payloads are not kept in it either, because the memory allocated for the
        read was large.
        """
        message = encodeMessage(6, 9, 0, 1, bytes(1000), 500)
        (span,) = read(message, 500).spans
        self.assertEqual(span.cut(), bytes(1000))
        self.assertEqual(len(span._block), 1001)
        spans = read(message * (LEAST_KEPT // len(message) + 1), 500).spans
        self.assertGreaterEqual(len(spans[0]._block), LEAST_KEPT)

    def test_howMuchIsKept(self) -> None:
        """
        From 32,768 bytes on, if at least half of them are payloads.
        """
        for size, lying, isKept in (
            (32768, 32768 - 20, True),
            (32767, 32767 - 20, False),
            (65536, 32768, True),
            (65536, 32767, False),
            (65537, 32768, True),
            (65537, 32767, False),
        ):
            chunkSize = lying // 8 + 1
            # With seven one-byte headers between the chunks.
            wire = encodeMessage(6, 9, 0, 1, bytes(lying), chunkSize)
            self.assertEqual(len(wire), 12 + 7 + lying)
            following = encodeMessage(4, 18, 0, 1, bytes(65536), chunkSize)
            wire += following[: size - len(wire)]
            self.assertEqual(len(wire), size)
            (span,) = read(wire, chunkSize).spans
            self.assertEqual(span.cut(), bytes(lying))
            self.assertEqual(len(span._block), size if isKept else lying + 7)

    def test_howLongAMessageLies(self) -> None:
        """
        Up to 513 chunks.
        """
        for size, lies in ((513 * HEAD, True), (513 * HEAD + 1, False)):
            receiver = read(encodeMessage(6, 9, 0, 1, bytes(size), HEAD), HEAD)
            self.assertEqual(len(receiver.spans), lies)
            self.assertEqual(len(receiver.cut), not lies)

    def test_notIfItIsInterrupted(self) -> None:
        """
        A message interrupted by another one, or incomplete, is assembled.
        """
        long = encodeMessage(6, 9, 0, 1, bytes(10_000), 4096)
        short = encodeMessage(4, 8, 0, 1, bytes(10), 4096)
        for at in (12 + 4096, 12 + 2 * 4096 + 1):
            receiver = read(long[:at] + short + long[at:], 4096)
            self.assertEqual(receiver.cut, [bytes(10), bytes(10_000)])
            self.assertEqual(receiver.spans, [])
        receiver = Receiver()
        reader = ChunkReader(receiver)
        reader.chunkSize = 4096
        for part in (long[:-1], long[-1:]):
            reader.receive(part)
        self.assertEqual(receiver.cut, [bytes(10_000)])


class FrameTests(SynchronousTestCase):
    """
    Frames of such payloads.
    """

    def test_theySayTheSame(self) -> None:
        """
        Like a frame of the same payload copied out, for every sample alone and with
        more data after it; and only coded media stays in the buffer.
        """
        lying = 0
        for kind, case, body in cases():
            for payload in (body, body + bytes(range(200))):
                if len(payload) <= HEAD:
                    # The first chunk has that much, and there is another.
                    continue
                size = len(payload)
                block = b"before" + payload[:HEAD] + b"\xc6" + payload[HEAD:] + b"after"
                span = Span(block, 6, 7 + size, HEAD, size, size)
                frame = frameFromSpan(kind, 7, span)
                lies = frame._span is not None
                wanted = frameFromMessage(kind, 7, payload)
                self.assertEqual(fields(frame), fields(wanted), case["name"])
                self.assertEqual(repr(frame), repr(wanted))
                if lies:
                    lying += 1
                    self.assertIs(wanted.role, Role.CODED)
                    self.assertEqual(wanted.tracks, DEFAULT_TRACKS)
        self.assertGreaterEqual(lying, 8)

    def test_itIsCutOnce(self) -> None:
        """
        After that the buffer can be freed.
        """
        wanted = b"\x27\1\0\0\0" + bytes(500)
        (span,) = read(encodeMessage(6, 9, 0, 1, wanted, 128), 128).spans
        frame = frameFromSpan(FrameKind.VIDEO, 0, span)
        self.assertEqual(frame.size, 505)
        payload = frame.payload
        self.assertEqual(payload, wanted)
        self.assertIs(frame.payload, payload)
        self.assertIsNone(frame._span)
        self.assertIs(frame.retimed(40).payload, payload)
