"""
For people who write sinks: frames, doubles and a contract, all without sockets::

    class MySinkTests(FrameSinkTestsMixin, SynchronousTestCase):
        def makeSink(self):
            return MySink()

Nothing in rtmptw imports this.
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

#: What L{makeFrames} says the video is: H.264 High 4.0, one SPS, one PPS.
VIDEO_CONFIG = bytes.fromhex(
    "17000000000164002affe1000967640028acd940780201000468ebe3cb"
)
#: AAC LC, 44.1 kHz, stereo.
AUDIO_CONFIG = bytes.fromhex("af001210")


def makeStreamInfo(app: str = "live", stream: str = "test") -> StreamInfo:
    """
    @return: what a sink is told of a stream.
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
    @param timestamp: in ms.
    @param size: of the payload, in bytes, at least 9.
    @return: a coded H.264 frame; no two timestamps give the same payload.
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
    Make a stream as encoders send it: the codec headers at 0, then coded frames in
    the order of their timestamps.

    @param keyframeEvery: in frames.
    @param start: the first timestamp, in ms.
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
    Stands for the outlet: writes down what the sink asks of it.

    @ivar calls: C{"pause"}, C{"resume"} and C{"stop"}, in order.
    @ivar dropped: how many frames the sink says it has dropped, by reason.
    @ivar droppedBytes: the bytes of those.
    """

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.dropped: dict[str, int] = {}
        self.droppedBytes = 0

    def framesDropped(self, reason: str, frames: int, size: int) -> None:
        """
        Write it down.
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
        Write it down.
        """
        self.calls.append("pause")

    def resumeProducing(self) -> None:
        """
        Write it down.
        """
        self.calls.append("resume")

    def stopProducing(self) -> None:
        """
        Write it down.
        """
        self.calls.append("stop")


@implementer(IFrameSink)
class RecordingSink:
    """
    Keeps all that it is told.

    @ivar stream: what it was told of its stream.
    @ivar producer: pause and resume it to be a slow sink.
    @ivar frames: all it got.
    @ivar failure: set it to be a sink that has failed.
    @ivar ended: the reasons it was given; one, if all is right.
    @ivar finished: given to whoever ends it, if set.
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
        Keep it.
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
    What every sink must stand. Write L{makeSink}; L{finish} too, if your sink ends
    only later.
    """

    def makeSink(self) -> IFrameSink:
        """
        @return: a new sink, not started.
        """
        raise AssertionError(f"{type(self).__name__} has no makeSink")

    def finish(self, finished: "Deferred[None] | None") -> None:
        """
        Wait until the sink has put all away, after it was ended.
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
        It has all that is asked for, with the right signatures, and a delivery.
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
        A stream that never shows a picture.
        """
        self.assertNotIn("stop", self._feed(makeFrames(video=False)).calls)

    def test_takesVideoOnly(self) -> None:
        """
        A stream without sound.
        """
        self.assertNotIn("stop", self._feed(makeFrames(audio=False)).calls)

    def test_standsAStreamWithoutFrames(self) -> None:
        """
        A publisher that says nothing and leaves.
        """
        self.assertNotIn("stop", self._feed([]).calls)

    def test_standsHeadersOnly(self) -> None:
        """
        A publisher that leaves after its headers.
        """
        self.assertNotIn("stop", self._feed(makeFrames(seconds=0)).calls)

    def test_standsBodiesNobodyUnderstands(self) -> None:
        """
        Empty bodies and unknown codecs are passed on as they came.
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
