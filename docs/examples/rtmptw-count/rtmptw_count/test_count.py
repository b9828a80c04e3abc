"""
Tests for L{rtmptw_count}.
"""

from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from rtmptw.testing import (
    FrameSinkTestsMixin,
    RecordingProducer,
    makeFrames,
    makeStreamInfo,
)
from rtmptw_count import CountSinkFactory


class CountSinkTests(FrameSinkTestsMixin, SynchronousTestCase):
    """
    The sink passes the tests for every sink, and counts.
    """

    def makeSink(self):
        return CountSinkFactory("").buildSink(makeStreamInfo())

    def test_itCountsCodedFrames(self):
        """
        Sequence headers are not counted as frames.
        """
        frames = makeFrames(seconds=1.0, audio=False)
        sink = CountSinkFactory("hello").buildSink(makeStreamInfo())
        sink.streamStarted(makeStreamInfo(), RecordingProducer())
        for frame in frames:
            sink.frameReceived(frame)
        with capturedLogs() as events:
            sink.streamEnded("the test is over")
        self.assertEqual(formatEvent(events[0]), "hello: live/test had 25 frames")
