"""
Tests for L{rtmptw.sinks.null.factory}.
"""

from datetime import UTC, datetime

from twisted.logger import capturedLogs, formatEvent
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from rtmptw.frames import Frame, FrameKind, Role, StreamInfo
from rtmptw.interfaces import IFrameSink, IFrameSinkFactory
from rtmptw.sinks.null.factory import NullSink, NullSinkFactory
from rtmptw.testing import RecordingProducer

STREAM = StreamInfo("live", "show", "1.2.3.4:5", "OBS", datetime.now(UTC))


class NullSinkTests(SynchronousTestCase):
    """
    The sink that counts.
    """

    def test_itCountsFramesAndBytesByKind(self) -> None:
        """
        It logs the counts at the end of the stream.
        """
        factory = NullSinkFactory.fromString("")
        self.assertTrue(verifyObject(IFrameSinkFactory, factory))
        factory.startFactory(object())
        sink = factory.buildSink(STREAM)
        self.assertIsInstance(sink, NullSink)
        self.assertTrue(verifyObject(IFrameSink, sink))
        sink.streamStarted(STREAM, RecordingProducer())
        for kind, payload in [
            (FrameKind.VIDEO, b"12345"),
            (FrameKind.VIDEO, b"123"),
            (FrameKind.AUDIO, b"1"),
        ]:
            sink.frameReceived(Frame(kind, 0, payload, Role.CODED))
        with capturedLogs() as events:
            sink.streamEnded("done")
        self.assertEqual(
            sink.frames, {FrameKind.AUDIO: 1, FrameKind.VIDEO: 2, FrameKind.DATA: 0}
        )
        self.assertEqual(sink.bytes, 9)
        [event] = events
        self.assertEqual(
            formatEvent(event),
            "live/show: 2 video, 1 audio and 0 data frames, 9 bytes, not kept; done",
        )
        self.assertIsNone(factory.stopFactory())

    def test_itTakesNoArguments(self) -> None:
        """
        Arguments are refused with a message.
        """
        error = self.assertRaises(UsageError, NullSinkFactory.fromString, "x=1")
        self.assertEqual(str(error), "The null sink takes no arguments, not 'x=1'.")
