"""
Tests for L{rtmptw.sinks.wire}: the messages between the server and its children.
"""

import json
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rtmptw.sinks.wire import (
    MAX_MESSAGE,
    Kind,
    MessageReader,
    frameMessage,
    frameOf,
    jsonMessage,
    message,
    numberMessage,
    numberOf,
)
from rtmptw.testing import audioFrame, makeFrames, videoFrame


class WireTests(SynchronousTestCase):
    """
    Messages.
    """

    def test_frames(self) -> None:
        """
        Frames are transferred unchanged, with any timestamp and their arrival time.
        """
        arrived = datetime(2026, 11, 28, 1, 2, 3, 500_000, tzinfo=UTC)
        frames = [*makeFrames(), videoFrame(2**40), audioFrame(-5)]
        data = b"".join(frameMessage(Kind.FRAME, frame, arrived) for frame in frames)
        got = MessageReader().receive(data)
        self.assertEqual({kind for kind, _body in got}, {Kind.FRAME})
        for frame, (_kind, body) in zip(frames, got, strict=True):
            came, when = frameOf(body)
            self.assertEqual(
                (came.kind, came.timestamp, came.payload, came.role, came.isKey),
                (frame.kind, frame.timestamp, frame.payload, frame.role, frame.isKey),
            )
            self.assertEqual(when, arrived)

    @given(st.lists(st.binary(max_size=40), max_size=6), st.integers(1, 9))
    def test_cutAnywhere(self, bodies: list[bytes], step: int) -> None:
        """
        The messages do not depend on how the data is split.
        """
        data = b"".join(numberMessage(Kind.ANSWER, 7, body) for body in bodies)
        reader = MessageReader()
        got = [
            item
            for position in range(0, len(data), step)
            for item in reader.receive(data[position : position + step])
        ]
        self.assertEqual(
            [numberOf(body) for _kind, body in got], [(7, b) for b in bodies]
        )

    def test_bytes(self) -> None:
        """
        The exact bytes, for children written in another language.
        """
        self.assertEqual(message(Kind.END, b"over"), b"\0\0\0\x05\x04over")
        self.assertEqual(numberMessage(Kind.DONE, 258), b"\0\0\0\x05\x10\0\0\1\2")
        data = jsonMessage(Kind.DROPPED, ["too-slow", 2, 100])
        ((kind, body),) = MessageReader().receive(data)
        self.assertIs(kind, Kind.DROPPED)
        self.assertEqual(json.loads(body), ["too-slow", 2, 100])

    def test_nonsense(self) -> None:
        """
        Invalid data is refused at once: a child may send anything.
        """
        for data in (
            b"\0\0\0\0\x01",
            b"\0\0\0\x01\x63",
            (MAX_MESSAGE + 1).to_bytes(4, "big") + b"\x01",
        ):
            self.assertRaises(ValueError, MessageReader().receive, data)
        self.assertRaises(ValueError, numberOf, b"\0\0")
