"""
Tools to test sinks: frames, test doubles and the tests that every sink must pass, all
without sockets::

    class MySinkTests(FrameSinkTestsMixin, SynchronousTestCase):
        def makeSink(self):
            return MySink()

Nothing in rtmptw imports this module.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer
from zope.interface.verify import verifyObject

from rtmptw.delivery import LOSSLESS, Delivery
from rtmptw.frames import Codec, Frame, FrameKind, Role, StreamInfo
from rtmptw.interfaces import IFrameProducer, IFrameSink

if TYPE_CHECKING:
    from twisted.trial.unittest import SynchronousTestCase as _Base
else:
    _Base = object

#: The video sequence header of L{makeFrames}: H.264 High 4.0, one SPS, one PPS.
VIDEO_CONFIG = bytes.fromhex(
    "17000000000164002affe1000967640028acd940780201000468ebe3cb"
)
#: The audio sequence header of L{makeFrames}: AAC LC, 44.1 kHz, stereo.
AUDIO_CONFIG = bytes.fromhex("af001210")


def makeStreamInfo(app: str = "live", stream: str = "test") -> StreamInfo:
    """
    @return: the information about a stream that a sink gets.
    """
    return StreamInfo(
        app,
        stream,
        "127.0.0.1:50000",
        "FMLE/3.0 (test)",
        datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC),
    )


def videoFrame(
    timestamp: int, isKey: bool = False, size: int = 100, compositionTime: int = 0
) -> Frame:
    """
    @param timestamp: the timestamp in ms.
    @param size: the size of the payload in bytes, at least 9.
    @return: a coded H.264 frame; different timestamps give different payloads.
    """
    body = timestamp.to_bytes(8, "big", signed=True) * (size // 8 + 1)
    payload = (
        (b"\x17" if isKey else b"\x27")
        + b"\x01"
        + compositionTime.to_bytes(3, "big", signed=True)
        + body
    )[:size]
    return Frame(
        FrameKind.VIDEO,
        timestamp,
        payload,
        Role.CODED,
        Codec.H264,
        isKey,
        compositionTime,
    )


def audioFrame(timestamp: int, size: int = 40) -> Frame:
    """
    @return: a coded AAC frame.
    """
    body = timestamp.to_bytes(8, "big", signed=True) * (size // 8 + 1)
    return Frame(
        FrameKind.AUDIO,
        timestamp,
        (b"\xaf\x01" + body)[:size],
        Role.CODED,
        Codec.AAC,
    )


def makeFrames(
    seconds: float = 2.0,
    framesPerSecond: int = 25,
    keyframeEvery: int = 25,
    video: bool = True,
    audio: bool = True,
    start: int = 0,
) -> list[Frame]:
    """
    Make a stream as encoders send it: the sequence headers at 0, then coded frames in
    the order of their timestamps.

    @param keyframeEvery: the key frame interval in frames.
    @param start: the first timestamp in ms.
    """
    headers = []
    if video:
        headers.append(Frame(FrameKind.VIDEO, 0, VIDEO_CONFIG, Role.CONFIG, Codec.H264))
    if audio:
        headers.append(Frame(FrameKind.AUDIO, 0, AUDIO_CONFIG, Role.CONFIG, Codec.AAC))
    coded: list[Frame] = []
    if video:
        coded += [
            videoFrame(
                start + number * 1000 // framesPerSecond, number % keyframeEvery == 0
            )
            for number in range(int(seconds * framesPerSecond))
        ]
    if audio:
        coded += [
            audioFrame(start + number * 1024 * 1000 // 44100)
            for number in range(int(seconds * 44100 / 1024))
        ]
    coded.sort(key=lambda frame: frame.timestamp)
    return headers + coded


@implementer(IFrameProducer)
class RecordingProducer:
    """
    A producer for tests that records the sink's calls.

    @ivar calls: C{"pause"}, C{"resume"} and C{"stop"}, in order.
    @ivar dropped: how many frames the sink reported as dropped, by reason.
    @ivar droppedBytes: the size of those in bytes.
    """

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.dropped: dict[str, int] = {}
        self.droppedBytes = 0

    def framesDropped(self, reason: str, frames: int, size: int) -> None:
        """
        Record the call.
        """
        self.dropped[reason] = self.dropped.get(reason, 0) + frames
        self.droppedBytes += size

    @property
    def paused(self) -> bool:
        """
        Whether the sink has paused it.
        """
        return self.calls[-1:] == ["pause"]

    def pauseProducing(self) -> None:
        """
        Record the call.
        """
        self.calls.append("pause")

    def resumeProducing(self) -> None:
        """
        Record the call.
        """
        self.calls.append("resume")

    def stopProducing(self) -> None:
        """
        Record the call.
        """
        self.calls.append("stop")


@implementer(IFrameSink)
class RecordingSink:
    """
    A sink for tests that keeps everything it gets.

    @ivar stream: the information about its stream.
    @ivar producer: pause and resume it to simulate a slow sink.
    @ivar frames: all frames it got.
    @ivar failure: set it to simulate a sink that has failed.
    @ivar ended: the reasons given to L{streamEnded}; exactly one if all is well.
    @ivar finished: the result of L{streamEnded}.
    """

    def __init__(self, delivery: Delivery = LOSSLESS) -> None:
        self.delivery = delivery
        self.failure = ""
        self.stream: StreamInfo | None = None
        self.producer: IPushProducer | None = None
        self.frames: list[Frame] = []
        self.ended: list[str] = []
        self.finished: Deferred[None] | None = None

    def streamStarted(self, stream: StreamInfo, producer: IPushProducer) -> None:
        """
        Keep both.
        """
        self.stream = stream
        self.producer = producer

    def frameReceived(self, frame: Frame) -> None:
        """
        Keep the frame.
        """
        self.frames.append(frame)

    def streamEnded(self, reason: str) -> "Deferred[None] | None":
        """
        Keep the reason.
        """
        self.ended.append(reason)
        return self.finished


class FrameSinkTestsMixin(_Base):
    """
    Tests that every sink must pass. Implement L{makeSink}; also L{finish}, if your sink
    needs time to finish.
    """

    def makeSink(self) -> IFrameSink:
        """
        @return: a new sink, not started.
        """
        raise AssertionError(f"{type(self).__name__} has no makeSink")

    def finish(self, finished: "Deferred[None] | None") -> None:
        """
        Wait until the sink has finished after the end of its stream.
        """
        if finished is not None:
            self.successResultOf(finished)

    def _feed(self, frames: Iterable[Frame]) -> RecordingProducer:
        sink = self.makeSink()
        producer = RecordingProducer()
        sink.streamStarted(makeStreamInfo(), producer)
        for frame in frames:
            sink.frameReceived(frame)
        self.finish(sink.streamEnded("the test is over"))
        return producer

    def test_providesIFrameSink(self) -> None:
        """
        It has all methods with the right signatures, and a delivery.
        """
        sink = self.makeSink()
        self.assertTrue(verifyObject(IFrameSink, sink))
        self.assertIsInstance(sink.delivery, Delivery)

    def test_takesAWholeStream(self) -> None:
        """
        Audio and video with their headers.
        """
        self.assertNotIn("stop", self._feed(makeFrames()).calls)

    def test_takesAudioOnly(self) -> None:
        """
        A stream without video.
        """
        self.assertNotIn("stop", self._feed(makeFrames(video=False)).calls)

    def test_takesVideoOnly(self) -> None:
        """
        A stream without audio.
        """
        self.assertNotIn("stop", self._feed(makeFrames(audio=False)).calls)

    def test_standsAStreamWithoutFrames(self) -> None:
        """
        A publisher that sends nothing and leaves.
        """
        self.assertNotIn("stop", self._feed([]).calls)

    def test_standsHeadersOnly(self) -> None:
        """
        A publisher that leaves after its headers.
        """
        self.assertNotIn("stop", self._feed(makeFrames(seconds=0)).calls)

    def test_standsBodiesNobodyUnderstands(self) -> None:
        """
        Empty bodies and unknown codecs, which are passed on unchanged.
        """
        frames = makeFrames()
        strange = [
            Frame(FrameKind.AUDIO, 100, b"", Role.UNKNOWN),
            Frame(FrameKind.VIDEO, 120, b"\xff\xfe", Role.UNKNOWN),
            Frame(FrameKind.DATA, 140, b"\x02\x00\x01x", Role.DATA, name="x"),
        ]
        producer = self._feed(frames[:10] + strange + frames[10:])
        self.assertNotIn("stop", producer.calls)

    def test_standsTimestampsOfAnySize(self) -> None:
        """
        A stream's clock does not wrap: 2^24, 2^32 and slightly negative occur.
        """
        for start in (-1, 0xFFFFFF - 500, 2**32 - 500):
            self.assertNotIn("stop", self._feed(makeFrames(start=start)).calls)
