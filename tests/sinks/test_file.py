"""
Tests for L{rtmptw.sinks.file}: recordings, their names, and their recovery.
"""

import errno
import fcntl
import io
import math
import os
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta, timezone
from fractions import Fraction
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import av
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, execute
from twisted.internet.interfaces import IPushProducer
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs, formatEvent
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from rtmptw.batches import FLUSH_BYTES
from rtmptw.delivery import LOSSLESS
from rtmptw.errors import SinkError
from rtmptw.flv import body as flv
from rtmptw.flv import file as flvfile
from rtmptw.flv.file import Tag, TagReader
from rtmptw.frames import Frame, FrameKind, Role, StreamInfo
from rtmptw.interfaces import IFrameSink, IFrameSinkFactory, IFrameSinkPlugin
from rtmptw.lane import Lane
from rtmptw.plugins.sink import SinkPlugin
from rtmptw.rtmp import amf0
from rtmptw.rtmp.amf import AMFObject, AMFReference, ECMAArray, Value
from rtmptw.sinks import naming as _naming
from rtmptw.sinks.file import sink as _filesink
from rtmptw.sinks.file.factory import FileSink, FileSinkFactory
from rtmptw.sinks.naming import Recording, Template, escape, parseRecording
from rtmptw.sinks.recording import contents as _contents
from rtmptw.sinks.recording import part as _flvwriter
from rtmptw.sinks.recording import recovery as _recovery
from rtmptw.sinks.recording.contents import (
    INDEX_RESERVE,
    Contents,
    metadataTag,
    reserveFor,
)
from rtmptw.sinks.recording.recovery import Progress, Verdict, recoverPart
from tests.test_lane import ThreadClock

STARTED = datetime(2026, 11, 22, 23, 59, 59, 123456, UTC)
STREAM = StreamInfo("live", "show", "192.0.2.1:5000", "FMLE/3.0", STARTED)
ROOT = Path(__file__).parents[2]


class ImmediateLane(Lane):
    """
    A lane that runs its work at once.
    """

    def __init__(self, reactor: Any, name: str) -> None:
        self.pending = 0
        self.closed = False

    def run(
        self, function: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> "Deferred[Any]":
        """
        Run it now.
        """
        assert not self.closed
        return execute(function, *args)

    def close(self) -> None:
        """
        End the lane.
        """
        assert not self.closed
        self.closed = True


class HeldLane(ImmediateLane):
    """
    A lane whose work is held until released, like a slow disk.
    """

    def __init__(self, reactor: Any, name: str) -> None:
        super().__init__(reactor, name)
        self.held: list[tuple[Deferred[Any], Callable[..., Any], Any]] = []

    def run(
        self, function: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> "Deferred[Any]":
        """
        Queue it until released.
        """
        result: Deferred[Any] = Deferred()
        self.held.append((result, function, args))
        return result

    def letGo(self) -> None:
        """
        Run the oldest held work.
        """
        result, function, args = self.held.pop(0)
        execute(function, *args).chainDeferred(result)


@implementer(IPushProducer)
class Publisher:
    """
    A producer that remembers what the sink told it.
    """

    def __init__(self) -> None:
        self.told: list[str] = []

    def pauseProducing(self) -> None:
        self.told.append("pause")

    def resumeProducing(self) -> None:
        self.told.append("resume")

    def stopProducing(self) -> None:
        self.told.append("stop")


def frame(kind: int, timestamp: int, payload: bytes) -> Frame:
    """
    @return: a frame as it arrives from a publisher.
    """
    return flv.frameFromMessage(FrameKind(kind), timestamp, payload)


def video(timestamp: int, key: bool = False, size: int = 20) -> Frame:
    """
    @return: a coded H.264 frame.
    """
    head = b"\x17\x01\0\0\0" if key else b"\x27\x01\0\0\0"
    return frame(9, timestamp, head + timestamp.to_bytes(8, "big", signed=True) * size)


def audio(timestamp: int, size: int = 1) -> Frame:
    """
    @return: a coded AAC frame.
    """
    return frame(
        8, timestamp, b"\xaf\x01" + timestamp.to_bytes(8, "big", signed=True) * size
    )


def data(timestamp: int, name: str, *values: Any) -> Frame:
    """
    @return: a data message.
    """
    return frame(18, timestamp, amf0.encode(name, *values))


def metadata(timestamp: int = 0, **properties: Any) -> Frame:
    """
    @return: an onMetaData message.
    """
    return data(timestamp, "onMetaData", ECMAArray(list(properties.items())))


VIDEO_HEADER = frame(9, 0, b"\x17\x00\0\0\0\x01\x64\x00\x1e\xff")
AUDIO_HEADER = frame(8, 0, b"\xaf\x00\x12\x10")
VIDEO_END = frame(9, 0, b"\x17\x02\0\0\0")


def show(seconds: int = 6) -> list[Frame]:
    """
    @return: video at 25 frames per second with a key frame every 2 s, interleaved with
        audio.
    """
    frames = [metadata(width=640.0, encoder="test"), VIDEO_HEADER, AUDIO_HEADER]
    times = [(ms, video(ms, ms % 2000 == 0)) for ms in range(0, seconds * 1000, 40)]
    times += [(ms, audio(ms)) for ms in range(5, seconds * 1000, 23)]
    return frames + [frame for _, frame in sorted(times, key=lambda item: item[0])]


def tagsOf(path: str | os.PathLike[str]) -> list[Tag]:
    """
    @return: all tags of a complete FLV file.
    """
    reader = TagReader()
    tags = reader.receive(Path(path).read_bytes())
    assert not reader.waiting, reader.waiting
    return tags


def coded(tags: Iterable[Tag]) -> list[Tag]:
    """
    @return: the tags with coded audio or video.
    """
    return [
        tag
        for tag in tags
        if frame(tag.kind, 0, tag.payload).role is Role.CODED and tag.kind != 18
    ]


def asTag(frame: Frame, base: int = 0) -> Tag:
    """
    @return: a frame as it is in a file.
    """
    return Tag(frame.kind, frame.timestamp - base, frame.payload)


def propertiesOf(values: object) -> list[tuple[str, Any]]:
    """
    @return: the properties of a metadata message.
    """
    assert isinstance(values, AMFObject)
    return values.properties


def head(tags: list[Tag]) -> dict[str, Any]:
    """
    @return: the properties of the metadata tag at the beginning.
    """
    name, values = amf0.decodeAll(tags[0].payload)
    assert name == "onMetaData"
    return dict(propertiesOf(values))


def index(tags: list[Tag]) -> list[tuple[float, float]]:
    """
    @return: times and positions of the key frame index in the metadata tag.
    """
    keyframes = dict(head(tags)["keyframes"].properties)
    return list(zip(keyframes["times"], keyframes["filepositions"], strict=True))


def said(events: Sequence[Any], level: Any = None) -> list[str]:
    """
    @return: the log lines.
    """
    return [
        formatEvent(event)
        for event in events
        if level is None or event["log_level"] is level
    ]


@cache
def realMedia() -> bytes:
    """
    @return: six seconds of H.264 with B-frames and AAC in an FLV file written by
        FFmpeg.
    """
    target = io.BytesIO()
    with av.open(target, "w", format="flv") as container:
        picture = container.add_stream("libx264", rate=25)
        assert isinstance(picture, av.VideoStream)
        picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
        picture.options = {"bf": "2", "g": "25", "b-adapt": "0", "preset": "veryfast"}
        sound = container.add_stream("aac", rate=44100)
        for number in range(150):
            image = av.VideoFrame(64, 48, "yuv420p")
            for plane in image.planes:
                plane.update(bytes([number * 3 % 256]) * plane.buffer_size)
            image.pts, image.time_base = number, Fraction(1, 25)
            container.mux(picture.encode(image))
        for number in range(258):
            samples = av.AudioFrame(format="fltp", layout="stereo", samples=1024)
            for channel in samples.planes:
                channel.update(bytes(channel.buffer_size))
            samples.sample_rate = 44100
            samples.pts, samples.time_base = number * 1024, Fraction(1, 44100)
            container.mux(sound.encode(samples))
        container.mux(picture.encode(None))
        container.mux(sound.encode(None))
    return target.getvalue()


def realFrames() -> list[Frame]:
    """
    @return: L{realMedia} as frames from a publisher.
    """
    tags = TagReader().receive(realMedia())
    return [frame(tag.kind, tag.timestamp, tag.payload) for tag in tags]


class RecordingTestCase(SynchronousTestCase):
    """
    A directory, a clock and a publisher.
    """

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = directory.name
        self.clock: Any = Clock()
        self.publisher = Publisher()

    def makeSink(
        self, arguments: str = ":name=x.flv", lane: Any = ImmediateLane, **more: Any
    ) -> FileSink:
        """
        @return: a sink whose stream has started.
        """
        recording = parseRecording(self.directory + arguments)
        sink = FileSink(self.clock, recording, lane, **more)
        sink.streamStarted(STREAM, self.publisher)
        return sink

    def record(
        self, frames: Iterable[Frame], arguments: str = ":name=x.flv", **more: Any
    ) -> list[str]:
        """
        Record all frames.

        @return: the files in the directory afterwards.
        """
        sink = self.makeSink(arguments, **more)
        for each in frames:
            sink.frameReceived(each)
        self.assertIsNone(sink.streamEnded("done"))
        self.assertEqual(sink.failure, "")
        self.assertEqual(self.publisher.told, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        return self.files()

    def files(self) -> list[str]:
        """
        @return: the files in the directory, sorted by name.
        """
        root = Path(self.directory)
        return sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file())

    def path(self, name: str = "x.flv") -> str:
        """
        @return: the path of a file of that name.
        """
        return os.path.join(self.directory, name)

    def tags(self, name: str = "x.flv") -> list[Tag]:
        """
        @return: the tags of a recording.
        """
        return tagsOf(self.path(name))


class RealMediaTests(RecordingTestCase):
    """
    FFmpeg reads recordings of real H.264 and AAC.
    """

    def packets(self, source: Any) -> list[tuple[str, int, int, bytes]]:
        """
        @return: the packets that FFmpeg reads.
        """
        with av.open(source) as container:
            return [
                (packet.stream.type, packet.pts, packet.dts, bytes(packet))
                for packet in container.demux()
                if packet.size
            ]

    def test_everyPacketIsThereWithItsTimes(self) -> None:
        """
        Video with B-frames and audio have the pts, dts and bytes that were sent.
        """
        self.assertEqual(self.record(realFrames()), ["x.flv"])
        sent = self.packets(io.BytesIO(realMedia()))
        self.assertEqual(self.packets(self.path()), sent)
        self.assertEqual(sum(kind == "video" for kind, *_ in sent), 150)
        self.assertTrue(any(pts != dts for _, pts, dts, _ in sent))

    def test_everyTagIsThereUnchanged(self) -> None:
        """
        The bodies are unchanged and in the same order.
        """
        self.record(realFrames())
        sent = TagReader().receive(realMedia())
        self.assertEqual(self.tags()[1:], sent[1:])

    def test_theDurationIsRight(self) -> None:
        """
        The duration is the end of the last video frame; FFmpeg agrees.
        """
        self.record(realFrames())
        with av.open(self.path()) as container:
            assert container.duration is not None
            self.assertEqual(container.duration / av.time_base, 6.08)
        # The first video frame is presented at 80 ms, because of the B-frames.
        self.assertEqual(head(self.tags())["duration"], 6.08)

    def test_theIndexLeadsToTheKeyFrames(self) -> None:
        """
        Every position is that of a key frame's tag, every time is its timestamp, and
        seeking works.
        """
        self.record(realFrames())
        content = Path(self.path()).read_bytes()
        found = index(self.tags())
        self.assertEqual(len(found), 6)
        for seconds, position in found:
            [tag, *_] = TagReader().receive(
                flvfile.fileHeader(True, True) + content[int(position) :]
            )
            self.assertTrue(frame(tag.kind, 0, tag.payload).isKey)
            self.assertEqual(tag.timestamp, round(seconds * 1000))
        with av.open(self.path()) as container:
            stream = container.streams.video[0]
            # FFmpeg has read the index before it has read that far.
            known = {(each.timestamp, each.pos) for each in stream.index_entries}
            self.assertLessEqual({(round(ms * 1000), at) for ms, at in found}, known)
            for second in (4, 1, 5, 0):
                container.seek(second * 1000 + 500, stream=stream)
                packet = next(container.demux(stream))
                self.assertTrue(packet.is_keyframe)
                assert packet.pts is not None
                self.assertLessEqual(packet.pts, second * 1000 + 500)
                self.assertGreater(packet.pts, second * 1000 - 520)

    def test_aShortFileHasNoReserve(self) -> None:
        """
        Unused index space is removed at the end, and the index is still right. If that
        fails, the file is complete, but larger.
        """
        sizes = []
        for fails in False, True:
            if fails:
                self.patch(os, "sendfile", self.full)
            self.assertEqual(self.record(realFrames()), ["x.flv"])
            tags = self.tags()
            self.assertEqual(tags[1:], TagReader().receive(realMedia())[1:])
            content = Path(self.path()).read_bytes()
            sizes.append(len(content))
            self.assertEqual(head(tags)["filesize"], len(content))
            places = [int(position) for _, position in index(tags)]
            self.assertEqual([content[place] for place in places], [9] * 6)
            os.unlink(self.path())
        print(f"{sizes[0]} bytes, not {sizes[1]}, of {len(realMedia())}")
        self.assertLess(sizes[0], len(realMedia()) + 2048)
        self.assertGreater(sizes[1], len(realMedia()) + 256 * 1024)

    def full(self, *arguments: object) -> int:
        """
        Raise the error of a full disk.
        """
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def test_theEncodersMetadataIsKept(self) -> None:
        """
        FFmpeg's own properties are kept, in order; the duration is ours.
        """
        self.record(realFrames())
        sent = [tag for tag in TagReader().receive(realMedia()) if tag.kind == 18]
        encoder = propertiesOf(amf0.decodeAll(sent[0].payload)[1])
        ours = head(self.tags())
        self.assertEqual(ours["width"], 64.0)
        kept = [name for name, _ in encoder if name not in _contents._OUR_NAMES]
        self.assertEqual([name for name in ours if name in kept], kept)
        self.assertEqual(ours["filesize"], os.path.getsize(self.path()))

    def test_rotatedPartsPlay(self) -> None:
        """
        Each part decodes from its first packet, and together they have all packets.
        """
        names = self.record(realFrames(), ":name={part}.flv:rotate=2")
        self.assertEqual(names, ["1.flv", "2.flv", "3.flv"])
        total = 0
        for name in names:
            with av.open(self.path(name)) as container:
                images = list(container.decode(video=0))
                self.assertTrue(images[0].key_frame)
                self.assertEqual((images[0].width, images[0].height), (64, 48))
                total += len(images)
        self.assertEqual(total, 150)


class FileTests(RecordingTestCase):
    """
    The contents of a file, and when they are written.
    """

    def test_itIsALosslessSink(self) -> None:
        """
        It is a sink, and asks for lossless delivery.
        """
        sink = self.makeSink()
        self.assertTrue(verifyObject(IFrameSink, sink))
        self.assertEqual(sink.delivery, LOSSLESS)

    def test_aPublisherThatSendsNothingLeavesNoFile(self) -> None:
        """
        Neither no frames nor headers alone create a file.
        """
        self.assertEqual(self.record([]), [])
        quiet = [metadata(), VIDEO_HEADER, AUDIO_HEADER, data(0, "onTextData", "x")]
        self.assertEqual(self.record(quiet), [])

    def test_theFileIsCalledPartWhileItIsWritten(self) -> None:
        """
        The file is created with the first media, and gets its final name when it is
        complete.
        """
        sink = self.makeSink()
        sink.frameReceived(VIDEO_HEADER)
        self.assertEqual(self.files(), [])
        sink.frameReceived(video(0, True))
        self.assertEqual(self.files(), ["x.flv.part"])
        sink.streamEnded("done")
        self.assertEqual(self.files(), ["x.flv"])

    def test_theOpenFileIsLocked(self) -> None:
        """
        Because of the lock, another server's recovery leaves it alone.
        """
        sink = self.makeSink()
        sink.frameReceived(video(0, True))
        with open(self.path("x.flv.part")) as other:
            self.assertRaises(
                BlockingIOError, fcntl.flock, other, fcntl.LOCK_EX | fcntl.LOCK_NB
            )
        self.assertIs(recoverPart(self.path("x.flv.part")).verdict, Verdict.BUSY)
        sink.streamEnded("done")
        with open(self.path()) as other:
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def test_directoriesAreMade(self) -> None:
        """
        Directories in the default name are created.
        """
        self.record(show(1), "/deep/down")
        local = STARTED.astimezone().strftime("%Y-%m-%d_%H-%M-%S-%f")
        self.assertEqual(self.files(), [f"deep/down/live/show/{local}.flv"])

    def test_everyFrameIsThereInOrder(self) -> None:
        """
        Every frame follows the headers with its own payload and timestamp.
        """
        frames = show()
        self.record(frames)
        self.assertEqual(self.tags()[1:], [asTag(frame) for frame in frames[1:]])

    def test_framesThatNobodyUnderstandsAreRecorded(self) -> None:
        """
        An unknown codec counts as media; an empty body is recorded, too.
        """
        unknown = Frame(FrameKind.VIDEO, 40, b"\x1f\xff\xff", Role.UNKNOWN)
        empty = Frame(FrameKind.AUDIO, 41, b"", Role.UNKNOWN)
        self.record([unknown, empty])
        self.assertEqual(self.tags()[1:], [asTag(unknown), asTag(empty)])

    def test_videoWithoutItsHeader(self) -> None:
        """
        H.264 frames without a sequence header get an empty one in each file, without
        which FFmpeg cannot open the file; none is added if there is a real one.
        """
        stand = Tag(9, 40, _filesink.NO_PARAMETER_SETS)
        late = frame(9, 80, VIDEO_HEADER.payload)
        frames = [audio(0), video(40, True), late, video(80), video(2000, True)]
        self.record(frames, ":name={part}.flv:rotate=2")
        self.assertEqual(
            self.tags("1.flv")[1:],
            [asTag(audio(0)), stand, *(asTag(each) for each in frames[1:4])],
        )
        self.assertEqual(self.tags("2.flv")[1].payload, VIDEO_HEADER.payload)
        self.assertEqual(len(self.tags("2.flv")), 3)

    def test_theSizeThatOBSSaysDoesNotStay(self) -> None:
        """
        OBS sends C{fileSize: 0}, which is removed; our C{filesize} is right.
        """
        self.record([metadata(fileSize=0.0, width=640.0), video(0, True)])
        said = head(self.tags())
        self.assertNotIn("fileSize", said)
        self.assertEqual(
            (said["width"], said["filesize"]), (640.0, os.path.getsize(self.path()))
        )

    def test_theFlagsSayWhatCame(self) -> None:
        """
        The flags in the file header and in the metadata match the contents.
        """
        for frames, byte, expected in [
            ([audio(0), audio(23)], 4, (False, True)),
            ([video(0, True)], 1, (True, False)),
            ([video(0, True), audio(3)], 5, (True, True)),
            ([VIDEO_HEADER, audio(3)], 4, (False, True)),
        ]:
            self.record(frames)
            self.assertEqual(Path(self.path()).read_bytes()[4], byte)
            said = head(self.tags())
            self.assertEqual((said["hasVideo"], said["hasAudio"]), expected)
            os.unlink(self.path())

    def test_theMetadataSaysWhatIsThere(self) -> None:
        """
        The metadata has the duration including the last frame's, the sizes and the last
        key frame.
        """
        self.record([*show(4), video(4000, True)])
        content = Path(self.path()).read_bytes()
        said = head(self.tags())
        self.assertEqual(said["duration"], 4.04)
        self.assertEqual(said["filesize"], len(content))
        self.assertEqual(said["lasttimestamp"], 4.0)
        self.assertEqual(said["lastkeyframetimestamp"], 4.0)
        self.assertTrue(said["hasKeyframes"])
        self.assertTrue(said["canSeekToEnd"])
        position = int(said["lastkeyframelocation"])
        self.assertEqual(
            content[position:], flvfile.tag(9, 4000, video(4000, True).payload)
        )
        self.assertEqual([seconds for seconds, _ in index(self.tags())], [0, 2, 4])

    def test_ourPropertiesReplaceTheEncoders(self) -> None:
        """
        An encoder's duration of 0 is replaced; its other properties are kept in order.
        """
        sent = metadata(
            zebra="z", duration=0.0, width=640.0, keyframes=[1.0], nested=AMFObject([])
        )
        self.record([sent, video(0, True), video(40)])
        said = head(self.tags())
        names = [name for name in said if name in ("zebra", "width", "nested")]
        self.assertEqual(names, ["zebra", "width", "nested"])
        self.assertEqual(said["duration"], 0.08)
        self.assertNotIn("keyframes", said)
        self.assertEqual(
            len(said), len(propertiesOf(amf0.decodeAll(self.tags()[0].payload)[1]))
        )

    def test_theSameMetadataIsNotWrittenAgain(self) -> None:
        """
        GStreamer repeats its metadata eleven times a second; only changes are written.
        """
        first, other = metadata(width=1.0), metadata(width=2.0)
        self.record([first, video(0, True), first, other, other, audio(9), first])
        scripts = [tag.payload for tag in self.tags()[1:] if tag.kind == 18]
        self.assertEqual(scripts, [other.payload, first.payload])

    def test_metadataThatIsLateIsWritten(self) -> None:
        """
        Late metadata is written as a script tag in its place; the next part has it in
        its metadata tag.
        """
        late = metadata(2, width=640.0)
        self.record(
            [VIDEO_HEADER, video(0, True), late, video(2000, True)],
            ":name={part}.flv:rotate=2",
        )
        self.assertEqual(self.tags("1.flv")[3], asTag(late))
        self.assertEqual(head(self.tags("2.flv"))["width"], 640.0)

    def test_metadataThatCannotBeReadIsKeptAsItIs(self) -> None:
        """
        Metadata that is invalid, too large or not an array is written unchanged in a
        tag after ours.
        """
        for payload in [
            amf0.encode("onMetaData") + b"\x08\x00\x00",
            amf0.encode("onMetaData", "just a string"),
            amf0.encode("onMetaData", ECMAArray([("x", AMFReference(0))])),
            amf0.encode("onMetaData", ECMAArray([("x", ["y" * 1000] * 100)])),
        ]:
            self.record([frame(18, 0, payload), video(0, True)])
            self.assertEqual(self.tags()[1], Tag(18, 0, payload))
            os.unlink(self.path())

    def test_otherDataMessagesAreWritten(self) -> None:
        """
        Data messages are written, even those before the first video frame.
        """
        early, cue = data(0, "onTextData", "a"), data(50, "onCuePoint", "b")
        self.record([early, VIDEO_HEADER, video(40, True), cue, cue])
        self.assertEqual(
            self.tags()[1:],
            [asTag(each) for each in (VIDEO_HEADER, early, video(40, True), cue, cue)],
        )

    def test_dataBeforeTheFirstMediaHasABound(self) -> None:
        """
        The oldest data messages are dropped, with one warning.
        """
        many = [data(0, "n", float(number)) for number in range(300)]
        with capturedLogs() as events:
            self.record([*many, audio(0)])
        self.assertEqual(
            [tag.payload for tag in self.tags() if tag.kind == 18][1:],
            [each.payload for each in many[-_filesink.MAX_EARLY_FRAMES :]],
        )
        self.assertEqual(len(said(events, LogLevel.warn)), 1)
        sink = self.makeSink()
        for _ in range(3):
            sink.frameReceived(data(0, "n", ["x" * 1000] * 500))
        self.assertEqual(len(sink._early), 2)

    def test_theFinishedFileIsLogged(self) -> None:
        """
        One line has the path, seconds, frames and bytes.
        """
        with capturedLogs() as events:
            self.record([video(0, True), video(40), audio(41)])
        [line] = said(events)
        size = os.path.getsize(self.path())
        self.assertEqual(
            line, f"recorded {self.path()}: 0.080 s, 3 frames, {size} bytes"
        )

    def test_anExistingFileIsNeverOverwritten(self) -> None:
        """
        If a finished or unfinished file has the name, a number is added.
        """
        for name in ("x.flv", "x-2.flv.part"):
            Path(self.path(name)).write_bytes(b"precious")
        self.record([audio(0)])
        self.assertEqual(self.files(), ["x-2.flv.part", "x-3.flv", "x.flv"])
        for name in ("x.flv", "x-2.flv.part"):
            self.assertEqual(Path(self.path(name)).read_bytes(), b"precious")

    def test_aFileThatAppearsMeanwhileIsNotOverwritten(self) -> None:
        """
        Another file takes the name during the recording.
        """
        sink = self.makeSink()
        sink.frameReceived(video(0, True))
        Path(self.path()).write_bytes(b"precious")
        sink.streamEnded("done")
        self.assertEqual(self.files(), ["x-2.flv", "x.flv"])
        self.assertEqual(Path(self.path()).read_bytes(), b"precious")

    def test_fileSystemsWithoutLinksWork(self) -> None:
        """
        FAT and some network file systems can only rename.
        """

        def link(*args: Any, **keywords: Any) -> None:
            raise OSError(errno.EPERM, "Operation not permitted")

        self.patch(os, "link", link)
        Path(self.path()).write_bytes(b"precious")
        self.record([audio(0)])
        self.assertEqual(self.files(), ["x-2.flv", "x.flv"])
        self.assertEqual(Path(self.path()).read_bytes(), b"precious")

    def test_fileSystemsWithoutLocksWork(self) -> None:
        """
        Without locks a file that is being written cannot be told apart, so none is
        recovered.
        """

        def flock(*args: Any) -> None:
            raise OSError(errno.ENOLCK, "No locks available")

        self.patch(fcntl, "flock", flock)
        sink = self.makeSink()
        sink.frameReceived(video(0, True))
        self.assertIs(recoverPart(self.path("x.flv.part")).verdict, Verdict.FOREIGN)
        sink.streamEnded("done")
        self.assertEqual(self.files(), ["x.flv"])

    def test_nothingIsLeftOpen(self) -> None:
        """
        All descriptors are closed at the end of a recording.
        """
        before = len(os.listdir("/proc/self/fd"))
        self.record(show(5), ":name={part}.flv:rotate=1")
        self.assertEqual(len(os.listdir("/proc/self/fd")), before)


class TimestampTests(RecordingTestCase):
    """
    Timestamps in a file.
    """

    def times(self, frames: Iterable[Frame], name: str = "x.flv") -> list[int]:
        """
        @return: the timestamps of the coded frames in the file.
        """
        self.record(frames)
        times = [tag.timestamp for tag in coded(self.tags(name))]
        os.unlink(self.path(name))
        return times

    def test_aStreamThatStartsNearZeroKeepsItsClock(self) -> None:
        """
        First timestamps up to ten seconds are kept.
        """
        self.assertEqual(self.times([video(80, True), audio(60)]), [80, 60])
        self.assertEqual(self.times([video(10_000, True)]), [10_000])

    def test_aStreamThatStartsLateOrBeforeZeroStartsAtZero(self) -> None:
        """
        The first coded frame is at 0, the steps are kept, and timestamps that would be
        negative are 0.
        """
        self.assertEqual(
            self.times([video(10_001, True), audio(10_024), audio(9_990)]), [0, 23, 0]
        )
        self.assertEqual(self.times([video(-40, True), audio(-17)]), [0, 23])

    def test_timesPast32BitsWrap(self) -> None:
        """
        The field has 32 bits; the steps are kept.
        """
        late = 2**32 - 20
        frames = [video(0, True), video(late), video(late + 40)]
        self.assertEqual(self.times(frames), [0, late, 20])

    def test_headersAndDataWithoutAClockGetThePresent(self) -> None:
        """
        Many are sent with 0 and get the current timestamp; close ones keep their own.
        """
        self.record(
            [
                video(9_000, True),
                video(19_000, True),
                data(0, "zero"),
                data(18_990, "before"),
                data(19_010, "after"),
                data(10**9, "never"),
            ]
        )
        scripts = [tag.timestamp for tag in self.tags()[1:] if tag.kind == 18]
        self.assertEqual(scripts, [19_000, 18_990, 19_010, 19_000])

    def test_headersAtTheHeadAreNotLaterThanTheFirstFrame(self) -> None:
        """
        Nor are they negative.
        """
        late = frame(9, 90_000, VIDEO_HEADER.payload)
        self.record([late, AUDIO_HEADER, video(50_000, True)])
        self.assertEqual([tag.timestamp for tag in self.tags()[1:]], [0, 0, 0])


class RotationTests(RecordingTestCase):
    """
    A recording in several files.
    """

    def test_aNewFileBeginsAtAKeyFrame(self) -> None:
        """
        It begins after the given seconds of media; no frame is lost or repeated.
        """
        frames = show(10)
        names = self.record(frames, ":name={part}.flv:rotate=3")
        self.assertEqual(names, ["1.flv", "2.flv", "3.flv"])
        parts = [coded(self.tags(name)) for name in names]
        bodies = [tag.payload for part in parts for tag in part]
        self.assertEqual(bodies, [each.payload for each in frames[3:]])
        for part in parts[1:]:
            self.assertTrue(frame(part[0].kind, 0, part[0].payload).isKey)
        # Key frames are at 0, 2, 4, ...: three seconds are over at 4 and at 8.
        self.assertEqual(
            [part[0].payload for part in parts[1:]],
            [video(4000, True).payload, video(8000, True).payload],
        )

    def test_everyPartBeginsWithMetadataAndHeaders(self) -> None:
        """
        A part can be played without the previous one.
        """
        for name in self.record(show(10), ":name={part}.flv:rotate=3"):
            tags = self.tags(name)
            self.assertEqual(head(tags)["width"], 640.0)
            self.assertEqual(head(tags)["filesize"], os.path.getsize(self.path(name)))
            self.assertEqual(tags[1].payload, VIDEO_HEADER.payload)
            self.assertEqual(tags[2].payload, AUDIO_HEADER.payload)
            self.assertLessEqual(tags[1].timestamp, tags[3].timestamp)

    def test_theStepsStayAcrossParts(self) -> None:
        """
        Audio that is older than the key frame but follows it keeps its distance.
        """
        frames = [
            video(0, True), audio(0), video(1000), audio(940), audio(970),
            video(2000, True), audio(1955), audio(1978), video(2040),
        ]  # fmt: skip
        self.record(frames, ":name={part}.flv:rotate=2")
        second = coded(self.tags("2.flv"))
        # The largest lag was 60 ms, so the key frame of the next part is at 60 ms.
        self.assertEqual([tag.timestamp for tag in second], [60, 15, 38, 100])

    def test_aBrokenClockDoesNotDelayTheNextPart(self) -> None:
        """
        A lag of an hour does not count as interleaving.
        """
        frames = [video(0, True), video(3_600_000), audio(0), video(3_700_000, True)]
        self.record(frames, ":name={part}.flv:rotate=2")
        self.assertEqual(coded(self.tags("2.flv"))[0].timestamp, _filesink.MAX_LAG)

    def test_audioAloneRotatesAtAnyFrame(self) -> None:
        """
        Without video there are no key frames to wait for.
        """
        frames = [AUDIO_HEADER, *(audio(ms) for ms in range(0, 3000, 100))]
        names = self.record(frames, ":name={part}.flv:rotate=1")
        self.assertEqual([len(coded(self.tags(name))) for name in names], [10, 10, 10])

    def test_audioGoesOnRotatingWhenTheVideoHasEnded(self) -> None:
        """
        The encoder has announced the end of the video.
        """
        frames = [video(0, True), VIDEO_END, *(audio(ms) for ms in range(0, 2500, 100))]
        self.assertEqual(len(self.record(frames, ":name={part}.flv:rotate=1")), 3)

    def test_whileThereIsVideoAudioDoesNotRotate(self) -> None:
        """
        Every part begins with a video frame.
        """
        frames = [video(0, True), *(audio(ms) for ms in range(0, 5000, 100))]
        frames[30:30] = [video(2900)]
        self.assertEqual(self.record(frames, ":name={part}.flv:rotate=1"), ["1.flv"])

    def test_audioGoesOnRotatingWhenTheVideoStaysAway(self) -> None:
        """
        Video is missing for three seconds, without an announced end.
        """
        frames = [video(0, True), *(audio(ms) for ms in range(0, 6000, 100))]
        names = self.record(frames, ":name={part}.flv:rotate=1")
        counts = [len(coded(self.tags(name))) for name in names]
        self.assertEqual(counts, [31, 10, 10, 10])

    def test_theOtherTracksKeyFramesDoNotRotate(self) -> None:
        """
        With several tracks, parts begin at key frames of the first.
        """
        frames = [video(0, True), video(2000, True), video(4000, True)]
        frames[1].tracks = (1,)
        names = self.record(frames, ":name={part}.flv:rotate=1")
        self.assertEqual([len(coded(self.tags(name))) for name in names], [2, 1])

    def test_theLowestTrackRotates(self) -> None:
        """
        The lowest track decides, even if it starts later; after its end, the next one.
        """
        frames = [
            video(0, True), video(10, True), video(2000, True), video(2010, True),
            VIDEO_END, audio(4000), video(4010, True), audio(6020),
        ]  # fmt: skip
        for n in (0, 2, 6):
            frames[n].tracks = (1,)
        names = self.record(frames, ":name={part}.flv:rotate=1")
        self.assertEqual([len(coded(self.tags(name))) for name in names], [3, 2, 2])

    def test_filesStaySmallerThanAsked(self) -> None:
        """
        A new part begins before the group of pictures that would exceed the size.
        """
        frames = [video(ms, ms % 1000 == 0, 500) for ms in range(0, 20_000, 100)]
        names = self.record(frames, ":name={part}.flv:maxSize=200000")
        self.assertGreater(len(names), 3)
        for name in names:
            self.assertLessEqual(os.path.getsize(self.path(name)), 200_000)
        for name in names[:-1]:
            self.assertGreater(os.path.getsize(self.path(name)), 150_000)
        total = sum(len(coded(self.tags(name))) for name in names)
        self.assertEqual(total, len(frames))

    def test_aGroupThatIsTooLargeIsNotCut(self) -> None:
        """
        Every part has at least one group of pictures.
        """
        names = self.record(show(6), ":name={part}.flv:maxSize=10")
        self.assertEqual(names, ["1.flv", "2.flv", "3.flv"])

    def test_partsAreNamedByWhenTheyBegin(self) -> None:
        """
        The first is named after the stream's start, the others after the wall clock.
        """
        later = STARTED + timedelta(hours=1)
        self.record(show(4), ":name={epoch}.flv:rotate=2", now=lambda: later)
        epoch = int(STARTED.timestamp())
        self.assertEqual(self.files(), [f"{epoch}.flv", f"{epoch + 3600}.flv"])

    def test_withoutAFieldThatChangesPartsAreNumbered(self) -> None:
        """
        Parts never overwrite each other.
        """
        self.assertEqual(
            self.record(show(6), ":name=x.flv:rotate=2"),
            ["x-2.flv", "x-3.flv", "x.flv"],
        )

    def test_aSlowDiskGetsThePartsInOrder(self) -> None:
        """
        Several parts may be queued during a write.
        """
        sink = self.makeSink(":name={part}.flv:rotate=2", HeldLane)
        frames = show(9)
        for each in frames:
            sink.frameReceived(each)
        lane: Any = cast(Any, sink._writer)._lane
        self.assertEqual(len(lane.held), 1)
        done: Any = sink.streamEnded("done")
        lane.letGo()
        lane.letGo()
        self.successResultOf(done)
        names = self.files()
        self.assertEqual(names, ["1.flv", "2.flv", "3.flv", "4.flv", "5.flv"])
        total = sum(len(coded(self.tags(name))) for name in names)
        self.assertEqual(total, len(frames) - 3)


class FlushTests(RecordingTestCase):
    """
    When data is written to disk.
    """

    def written(self) -> list[int]:
        """
        @return: the timestamps of the coded frames on disk.
        """
        return [tag.timestamp for tag in coded(self.tags("x.flv.part"))]

    def test_atEachKeyFrame(self) -> None:
        """
        Everything up to the key frame is written.
        """
        sink = self.makeSink()
        for each in [video(0, True), video(40), audio(50), video(80, True), video(120)]:
            sink.frameReceived(each)
        self.assertEqual(self.written(), [0, 40, 50, 80])

    def test_atLeastEverySecond(self) -> None:
        """
        Data is written after a second; there is no timer while nothing is buffered.
        """
        sink = self.makeSink()
        sink.frameReceived(video(0, True))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        sink.frameReceived(video(40))
        self.clock.advance(0.5)
        sink.frameReceived(video(80))
        self.assertEqual(self.written(), [0])
        self.clock.advance(0.5)
        self.assertEqual(self.written(), [0, 40, 80])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        sink.streamEnded("done")

    def test_whenMuchIsCollected(self) -> None:
        """
        256 KiB are written before the second is over.
        """
        sink = self.makeSink()
        sink.frameReceived(video(0, True))
        size = FLUSH_BYTES // 3
        for ms in (40, 80):
            sink.frameReceived(video(ms, size=size // 8))
        self.assertEqual(self.written(), [0])
        sink.frameReceived(video(120, size=size // 8))
        self.assertEqual(self.written(), [0, 40, 80, 120])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_oneWriteAtATime(self) -> None:
        """
        Frames that arrive during a write are buffered for the next.
        """
        sink = self.makeSink(lane=HeldLane)
        sink.frameReceived(video(0, True))
        lane: Any = cast(Any, sink._writer)._lane
        for ms in (40, 80, 120):
            sink.frameReceived(video(ms, True))
        self.clock.advance(1)
        self.assertEqual(len(lane.held), 1)
        lane.letGo()
        self.assertEqual(len(lane.held), 1)
        self.assertEqual(self.written(), [0])
        lane.letGo()
        self.assertEqual(self.written(), [0, 40, 80, 120])
        self.assertEqual(lane.held, [])
        sink.frameReceived(video(160))
        self.assertEqual(lane.held, [])
        done: Any = sink.streamEnded("done")
        self.assertNoResult(done)
        lane.letGo()
        self.successResultOf(done)
        self.assertTrue(lane.closed)
        self.assertEqual(self.files(), ["x.flv"])

    def test_aSlowDiskPausesThePublisher(self) -> None:
        """
        The publisher is paused above the limit, until half of it is written.
        """
        sink = self.makeSink(lane=HeldLane)
        sink.frameReceived(video(0, True))
        lane: Any = cast(Any, sink._writer)._lane
        megabyte = 1024 * 1024 // 8
        for ms in range(1, 8):
            sink.frameReceived(video(ms, size=megabyte))
        self.assertEqual(self.publisher.told, [])
        sink.frameReceived(video(8, size=megabyte))
        sink.frameReceived(video(9, size=megabyte))
        self.assertEqual(self.publisher.told, ["pause"])
        lane.letGo()
        # All buffered data is being written now, which is still more than half.
        self.assertEqual(self.publisher.told, ["pause"])
        lane.letGo()
        self.assertEqual(self.publisher.told, ["pause", "resume"])
        done: Any = sink.streamEnded("done")
        lane.letGo()
        self.successResultOf(done)
        self.assertEqual(len(coded(self.tags())), 10)

    def test_shortWritesAreContinued(self) -> None:
        """
        write(2) may write only a part of the data.
        """
        write = os.write
        self.patch(os, "write", lambda fd, data: write(fd, bytes(data[:1000])))
        pwrite = os.pwrite
        self.patch(os, "pwrite", lambda fd, data, at: pwrite(fd, bytes(data[:999]), at))
        frames = show(3)
        self.record(frames)
        self.assertEqual(self.tags()[1:], [asTag(frame) for frame in frames[1:]])


class DiskTests(RecordingTestCase):
    """
    The disk is full, or missing.
    """

    def fillDiskAt(self, limit: int) -> None:
        """
        Make every write fail that would make a file larger than C{limit}.
        """
        write = os.write

        def full(descriptor: int, data: Any) -> int:
            room = limit - os.fstat(descriptor).st_size
            if room <= 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            return write(descriptor, data[:room])

        self.patch(os, "write", full)

    def test_whatIsWrittenStaysReadable(self) -> None:
        """
        The file is cut after its last complete tag, completed and named; one error is
        logged; the sink reports its failure to the stream.
        """
        limit = 300_000
        self.fillDiskAt(limit)
        sink = self.makeSink()
        frames = [
            VIDEO_HEADER,
            *(video(ms, ms % 200 == 0, 100) for ms in range(0, 20_000, 40)),
        ]
        with capturedLogs() as events:
            for each in frames:
                sink.frameReceived(each)
        self.assertEqual(sink.failure, "No space left on device")
        self.assertEqual(self.publisher.told, ["stop"])
        self.assertIsNone(sink.streamEnded("detached"))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.files(), ["x.flv"])
        tags = self.tags()
        count = len(coded(tags))
        self.assertEqual(tags[1:], [asTag(frame) for frame in frames[: count + 1]])
        size = os.path.getsize(self.path())
        # The space for an index was removed at the end.
        self.assertGreater(size + INDEX_RESERVE, limit - 1000)
        said_ = head(tags)
        self.assertEqual(said_["filesize"], size)
        self.assertEqual(said_["duration"], (tags[-1].timestamp + 40) / 1000)
        self.assertEqual(len(index(tags)), math.ceil(count / 5))
        [error] = said(events, LogLevel.error)
        self.assertIn("No space left on device", error)
        self.assertIn(self.path("x.flv.part"), error)
        [line] = said(events, LogLevel.info)
        self.assertIn(f"recorded {self.path()}: ", line)

    def test_aDiskThatIsFullAtOnceLeavesNothing(self) -> None:
        """
        Not even a partial header is left.
        """
        self.fillDiskAt(1000)
        sink = self.makeSink()
        sink.frameReceived(video(0, True))
        self.assertEqual(sink.failure, "No space left on device")
        self.assertEqual(self.files(), [])
        self.assertEqual(self.publisher.told, ["stop"])

    def test_aDiskThatFailsAltogetherLeavesThePart(self) -> None:
        """
        The next start of the server tries again.
        """
        sink = self.makeSink()
        sink.frameReceived(video(0, True))

        def broken(*args: Any) -> int:
            raise OSError(errno.EIO, "Input/output error")

        self.patch(_flvwriter, "rewrite", broken)
        self.fillDiskAt(0)
        sink.frameReceived(video(40, True))
        self.assertEqual(
            sink.failure, "No space left on device; then Input/output error"
        )
        self.assertEqual(self.files(), ["x.flv.part"])

    def test_aDirectoryThatCannotBeMade(self) -> None:
        """
        There is a file in place of the directory.
        """
        Path(self.path("live")).write_bytes(b"")
        sink = self.makeSink(":name={app}/x.flv")
        with capturedLogs() as events:
            sink.frameReceived(video(0, True))
        self.assertEqual(sink.failure, "File exists")
        self.assertEqual(self.publisher.told, ["stop"])
        [error] = said(events, LogLevel.error)
        self.assertIn(self.path("live/x.flv.part"), error)

    def test_theEarlierPartsStay(self) -> None:
        """
        Only the part that is being written is affected.
        """
        self.fillDiskAt(20_000)
        sink = self.makeSink(":name={part}.flv:rotate=1:maxSize=100000")
        first = [video(ms, ms == 0, 1) for ms in range(0, 1000, 40)]
        second = [video(ms, ms == 1000, 100) for ms in range(1000, 2000, 40)]
        for each in first + second:
            sink.frameReceived(each)
        sink.streamEnded("done")
        self.assertEqual(sink.failure, "No space left on device")
        self.assertEqual(self.files(), ["1.flv", "2.flv"])
        self.assertEqual(coded(self.tags("1.flv")), [asTag(each) for each in first])
        self.assertGreater(len(coded(self.tags("2.flv"))), 10)

    def test_framesAfterwardsAreIgnored(self) -> None:
        """
        Frames may still arrive after the sink has failed.
        """
        self.fillDiskAt(0)
        sink = self.makeSink()
        for each in show(1):
            sink.frameReceived(each)
        self.assertEqual(self.publisher.told, ["stop"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_theStreamEndsWhileTheWriteFails(self) -> None:
        """
        Shutdown waits until the file is saved as far as possible, and does not hang.
        """
        sink = self.makeSink(lane=HeldLane)
        sink.frameReceived(video(0, True))
        self.fillDiskAt(0)
        done: Any = sink.streamEnded("done")
        lane: Any = cast(Any, sink._writer)._lane
        lane.letGo()
        self.successResultOf(done)
        self.assertEqual(sink.failure, "No space left on device")
        self.assertEqual(self.publisher.told, [])
        self.assertTrue(lane.closed)

    def test_aBugOfOursEndsTheRecordingAlone(self) -> None:
        """
        The bug is logged with its traceback, and nothing hangs.
        """
        sink = self.makeSink()
        sink.frameReceived(video(0, True))
        patch = self.patch(_flvwriter, "writeAll", lambda *args: 1 / 0)
        sink.frameReceived(video(40, True))
        patch.restore()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertIn("division", sink.failure)
        self.assertEqual(self.publisher.told, ["stop"])
        self.assertIsNone(sink.streamEnded("detached"))
        # The lock is released: the next start finishes the file.
        self.assertIs(recoverPart(self.path("x.flv.part")).verdict, Verdict.FINISHED)

    def test_aRealLimitOfTheSystem(self) -> None:
        """
        With RLIMIT_FSIZE the kernel writes a part of the data and then fails.
        """
        program = (
            "import resource, signal, sys\n"
            "from tests.sinks.test_file import *\n"
            "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))\n"
            "sink = FileSink(Clock(), parseRecording(sys.argv[1]), ImmediateLane)\n"
            "publisher = Publisher()\n"
            "sink.streamStarted(STREAM, publisher)\n"
            "for ms in range(0, 40_000, 40):\n"
            "    sink.frameReceived(video(ms, ms % 2000 == 0, 100))\n"
            "print(sink.failure, publisher.told)\n"
        )
        result = subprocess.run(
            [sys.executable, "-c", program, self.directory + ":name=x.flv"],
            cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        self.assertEqual(result.stdout, "File too large ['stop']\n", result.stderr)
        self.assertEqual(self.files(), ["x.flv"])
        self.assertLessEqual(os.path.getsize(self.path()), 400_000)
        tags = coded(self.tags())
        self.assertEqual(
            tags,
            [
                asTag(video(ms, ms % 2000 == 0, 100))
                for ms in range(0, 40 * len(tags), 40)
            ],
        )


class MetadataTests(SynchronousTestCase):
    """
    The metadata tag has a fixed size, whatever its contents.
    """

    def contents(self, keyFrames: int, step: int = 2000) -> Contents:
        """
        @return: the contents of a file with that many key frames.
        """
        contents = Contents()
        for number in range(keyFrames):
            contents.add(video(0, True), number * step, number * 1_000_000)
        return contents

    def entries(self, contents: Contents) -> list[tuple[float, float]]:
        """
        @return: the index entries written.
        """
        reserve = reserveFor([], 0, 0)
        tag = metadataTag([], contents, reserve)
        self.assertEqual(len(tag), flvfile.wholeSize(reserve))
        data = flvfile.fileHeader(True, True) + tag
        return index(TagReader().receive(data))

    def test_itIsFilledExactly(self) -> None:
        """
        The size is exact for any number of key frames and any properties.
        """
        for count in [*range(20), 100, 1000, 14_000, 15_000, 20_000]:
            contents = self.contents(count)
            for kept in ([], [("x", "y" * (count % 50))]):
                for rotate, maxSize in [(0, 0), (1000, 0), (0, 1), (60_000, 10**9)]:
                    reserve = reserveFor(kept, rotate, maxSize)
                    tag = metadataTag(kept, contents, reserve)
                    self.assertEqual(len(tag), flvfile.wholeSize(reserve))

    def test_aDayStillSeeksWell(self) -> None:
        """
        For 24 hours with a key frame every 2 s the index is thinned evenly to one every
        6 s, and keeps the first and the last.
        """
        found = self.entries(self.contents(43_200))
        self.assertEqual(found[0], (0.0, 0.0))
        self.assertEqual(found[-1], (86_398.0, 43_199e6))
        steps = {b[0] - a[0] for a, b in pairwise(found)}
        self.assertLessEqual(max(steps), 6)
        self.assertGreaterEqual(min(steps), 4)

    def test_aMorningIsIndexedInFull(self) -> None:
        """
        Eight hours with a key frame every 2 s fit completely.
        """
        self.assertEqual(len(self.entries(self.contents(14_400))), 14_400)

    def test_theIndexInMemoryHasABound(self) -> None:
        """
        Even if every frame is a key frame, the index is even and bounded.
        """
        contents = self.contents(300_000, 20)
        self.assertLessEqual(len(contents._times), _contents.MAX_INDEX)
        found = self.entries(contents)
        steps = [b[0] - a[0] for a, b in pairwise(found)]
        self.assertLess(max(steps) - min(steps), 0.2)
        self.assertGreater(found[-1][0], 5990)

    def test_ffmpegsStringBoundIsKept(self) -> None:
        """
        FFmpeg stops reading metadata at a string of 1024 bytes.
        """
        tag = metadataTag([], Contents(), reserveFor([], 0, 0))
        _name, values = amf0.decodeAll(tag[11:-4])
        filler = dict(propertiesOf(values))["filler"]
        self.assertLess(max(map(len, filler)), 1024)

    def test_propertiesThatDoNotFitAreLeftOut(self) -> None:
        """
        After a crash there may be more properties than there is room for.
        """
        kept: list[tuple[str, Value]] = [("x", "y" * 2000)]
        tag = metadataTag(kept, self.contents(3), _contents.BASE_RESERVE)
        self.assertEqual(len(tag), flvfile.wholeSize(_contents.BASE_RESERVE))
        _name, values = amf0.decodeAll(tag[11:-4])
        self.assertNotIn("x", dict(propertiesOf(values)))

    def test_aPauseIsNoDuration(self) -> None:
        """
        The duration of the last frame is that of the previous one, not that of a gap.
        """
        contents = Contents()
        for ms in (0, 40, 80, 60_000):
            contents.add(audio(0), ms, 0)
        self.assertEqual(contents.duration, 60_040)

    def test_framesThatAreShownLaterCount(self) -> None:
        """
        The duration is the end of presentation, not of decoding.
        """
        contents = Contents()
        for ms, later in ((0, 40), (40, 120), (80, 0)):
            contents.add(
                frame(9, ms, b"\x27\x01" + later.to_bytes(3, "big") + b"x"), ms, 0
            )
        self.assertEqual(contents.duration, 200)


class RecoveryTests(RecordingTestCase):
    """
    Finishing the files that a killed server left.
    """

    def unfinished(self, frames: Iterable[Frame], name: str = "x.flv.part") -> bytes:
        """
        Leave an unfinished recording of all the frames.

        @return: its bytes.
        """
        sink = self.makeSink()
        for each in frames:
            sink.frameReceived(each)
        cast(Any, sink._writer).flush()
        assert sink._part is not None
        sink._part.close()
        if name != "x.flv.part":
            os.rename(self.path("x.flv.part"), self.path(name))
        return Path(self.path(name)).read_bytes()

    def test_aRecoveredFileIsAsGoodAsAFinishedOne(self) -> None:
        """
        The recovered file is identical to a finished one.
        """
        frames = show(5)
        self.record(frames, ":name=good.flv")
        self.unfinished(frames)
        recovered = recoverPart(self.path("x.flv.part"))
        self.assertIs(recovered.verdict, Verdict.FINISHED)
        self.assertEqual(recovered.cut, 0)
        self.assertEqual(self.files(), ["good.flv", "x.flv"])
        self.assertEqual(
            Path(self.path()).read_bytes(), Path(self.path("good.flv")).read_bytes()
        )

    def test_realMediaIsRecovered(self) -> None:
        """
        FFmpeg reads every complete packet of a truncated file.
        """
        frames = realFrames()
        while frames[-1].role is not Role.CODED:
            frames.pop()
        content = self.unfinished(frames)
        Path(self.path("x.flv.part")).write_bytes(content[:-5])
        recoverPart(self.path("x.flv.part"))
        with av.open(self.path()) as container:
            found = [bytes(packet) for packet in container.demux() if packet.size]
        with av.open(io.BytesIO(realMedia()), "r") as container:
            sent = [bytes(packet) for packet in container.demux() if packet.size]
        self.assertTrue(found == sent[:-1], (len(found), len(sent)))

    @settings(
        deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
    )
    @given(st.data())
    def test_cutAnywhereTheWholeTagsAreThere(self, draw: Any) -> None:
        """
        The file has exactly the tags before the cut; without a complete frame it is
        removed.
        """
        with tempfile.TemporaryDirectory() as directory:
            content = self.sample()
            marks = list(
                flvfile.walk(lambda at, size: content[at : at + size], len(content))
            )
            # The metadata tag takes most of the file; most cuts should be after it.
            size = draw.draw(
                st.one_of(
                    st.integers(marks[0].end, len(content)),
                    st.integers(0, marks[0].end),
                )
            )
            path = os.path.join(directory, "y.flv.part")
            Path(path).write_bytes(content[:size])
            recovered = recoverPart(path)
            whole = [mark for mark in marks if mark.end <= size]
            if len(coded(self.asTags(content, whole))):
                self.assertIs(recovered.verdict, Verdict.FINISHED)
                self.assertEqual(os.listdir(directory), ["y.flv"])
                tags = tagsOf(os.path.join(directory, "y.flv"))
                self.assertEqual(tags[1:], self.asTags(content, whole)[1:])
                self.assertEqual(head(tags)["filesize"], whole[-1].end)
                self.assertEqual(head(tags)["width"], 640.0)
            else:
                self.assertIs(recovered.verdict, Verdict.REMOVED)
                self.assertEqual(os.listdir(directory), [])

    def asTags(self, content: bytes, marks: Any) -> list[Tag]:
        """
        @return: the tags at the marks.
        """
        return [
            Tag(mark.kind, mark.timestamp, content[mark.position + 11 :][: mark.size])
            for mark in marks
        ]

    def sample(self) -> bytes:
        """
        @return: an unfinished recording with a small metadata tag.
        """
        with tempfile.TemporaryDirectory() as directory:
            recording = Recording(directory, Template("s.flv"), maxSize=10**5)
            sink = FileSink(Clock(), recording, ImmediateLane)
            sink.streamStarted(STREAM, Publisher())
            for each in show(1):
                sink.frameReceived(each)
            cast(Any, sink._writer).flush()
            assert sink._part is not None
            sink._part.close()
            return Path(directory, "s.flv.part").read_bytes()

    def test_zerosAtTheEndAreCutOff(self) -> None:
        """
        A power failure leaves zeros on some file systems.
        """
        content = self.unfinished(show(3))
        Path(self.path("x.flv.part")).write_bytes(content + bytes(100_000))
        recovered = recoverPart(self.path("x.flv.part"))
        self.assertEqual(recovered.cut, 100_000)
        self.assertEqual(self.tags()[1:], TagReader().receive(content)[1:])

    def test_anImpossibleTagEndsTheFile(self) -> None:
        """
        At a wrong back pointer the file is cut; everything before it is kept.
        """
        frames = show(3)
        content = bytearray(self.unfinished(frames))
        content[-1] ^= 1
        Path(self.path("x.flv.part")).write_bytes(content)
        recoverPart(self.path("x.flv.part"))
        self.assertEqual(self.tags()[1:], [asTag(frame) for frame in frames[1:-1]])

    def test_aClockThatHasWrappedIsUnderstood(self) -> None:
        """
        After 49 days the timestamps wrap, the duration does not.
        """
        days = 2**32 + 1000
        frames = [video(ms, True) for ms in range(0, days, 2**30)]
        self.unfinished([*frames, video(days, True)])
        recoverPart(self.path("x.flv.part"))
        self.assertEqual(head(self.tags())["lasttimestamp"], days / 1000)

    def test_severalTracksInOneBodyAreUnderstood(self) -> None:
        """
        Their headers are spread all over the body: the index is that of a finished
        file.
        """
        tracks = b"".join(
            bytes([number]) + (100).to_bytes(3, "big") + bytes(100) for number in (0, 1)
        )
        bodies = [b"\x96\x13avc1" + tracks, b"\xa6\x13avc1" + tracks]
        frames = [frame(9, ms, bodies[ms % 200 > 0]) for ms in range(0, 600, 40)]
        self.record(frames, ":name=good.flv")
        self.assertEqual(len(index(self.tags("good.flv"))), 3)
        self.unfinished(frames)
        recoverPart(self.path("x.flv.part"))
        self.assertEqual(
            Path(self.path()).read_bytes(), Path(self.path("good.flv")).read_bytes()
        )

    def test_nothingIsOverwritten(self) -> None:
        """
        The recovered file gets a number if its name is taken.
        """
        self.unfinished(show(1))
        Path(self.path()).write_bytes(b"precious")
        recoverPart(self.path("x.flv.part"))
        self.assertEqual(self.files(), ["x-2.flv", "x.flv"])
        self.assertEqual(Path(self.path()).read_bytes(), b"precious")

    def test_aFileThatHasBothNamesLosesOne(self) -> None:
        """
        The server died between adding the new name and removing the old one.
        """
        self.record(show(1))
        os.link(self.path(), self.path("x.flv.part"))
        content = Path(self.path()).read_bytes()
        recovered = recoverPart(self.path("x.flv.part"))
        self.assertIs(recovered.verdict, Verdict.FINISHED)
        self.assertEqual(self.files(), ["x.flv"])
        self.assertEqual(Path(self.path()).read_bytes(), content)

    def test_aHeadThatWasHalfRewrittenIsRepaired(self) -> None:
        """
        The power failed while the index was written.
        """
        content = bytearray(self.unfinished(show(3)))
        content[600:5000] = b"\xff" * 4400
        Path(self.path("x.flv.part")).write_bytes(content)
        recovered = recoverPart(self.path("x.flv.part"))
        self.assertIs(recovered.verdict, Verdict.FINISHED)
        self.assertEqual(head(self.tags())["duration"], 3.018)

    def test_whatIsNotOursIsLeftAlone(self) -> None:
        """
        Downloads, files of other recorders, damaged files, links and pipes are left
        alone.
        """
        ours = self.unfinished(show(1), "keep")
        os.unlink(self.path("keep"))
        damaged = bytearray(ours)
        damaged[13 + 4 :] = b"\xff" * (len(ours) - 17)
        small = flvfile.fileHeader(True, True) + flvfile.tag(
            18, 0, ours[13 + 11 : 13 + 11 + 100]
        )
        for name, content in {
            "empty.part": b"",
            "zip.flv.part": b"PK\x03\x04" + bytes(100),
            "zeros.flv.part": bytes(1000),
            "other.flv.part": realMedia(),
            "notflv.part": ours,
            "damaged.flv.part": bytes(damaged),
            "small.flv.part": small + flvfile.tag(8, 0, audio(0).payload),
            "video.flv.part": flvfile.fileHeader(True, True) + flvfile.tag(9, 0, b"x"),
        }.items():
            Path(self.path(name)).write_bytes(content)
            recovered = recoverPart(self.path(name))
            self.assertIs(recovered.verdict, Verdict.FOREIGN, name)
            self.assertTrue(recovered.why)
            self.assertEqual(Path(self.path(name)).read_bytes(), content)
        os.mkfifo(self.path("pipe.flv.part"))
        recovered = recoverPart(self.path("pipe.flv.part"))
        self.assertIs(recovered.verdict, Verdict.FOREIGN)
        self.assertTrue(stat.S_ISFIFO(os.stat(self.path("pipe.flv.part")).st_mode))

    def test_headersWithoutAFrameAreRemoved(self) -> None:
        """
        A metadata tag followed by zeros is removed, too.
        """
        content = self.unfinished([VIDEO_HEADER, AUDIO_HEADER, video(0, True)])
        cut = len(content) - 1
        for left in (content[:cut], content[:100], b"", content[:-200] + bytes(999)):
            Path(self.path("x.flv.part")).write_bytes(left)
            recovered = recoverPart(self.path("x.flv.part"))
            self.assertIs(recovered.verdict, Verdict.REMOVED)
            self.assertEqual(self.files(), [])

    def test_oneThatIsGoneMeanwhileIsNoMatter(self) -> None:
        """
        Another server was faster.
        """
        self.assertIs(recoverPart(self.path("gone.flv.part")).verdict, Verdict.BUSY)

    def test_aKilledServerLosesNothingItHadWritten(self) -> None:
        """
        SIGKILL in the middle of a recording, then a recovery.
        """
        program = (
            "import sys\n"
            "from tests.sinks.test_file import *\n"
            "sink = FileSink(Clock(), parseRecording(sys.argv[1]), ImmediateLane)\n"
            "sink.streamStarted(STREAM, Publisher())\n"
            "for ms in range(0, 10**9, 40):\n"
            "    sink.frameReceived(video(ms, ms % 200 == 0))\n"
            "    if ms % 200 == 0:\n"
            "        print(ms, flush=True)\n"
        )
        with subprocess.Popen(
            [sys.executable, "-c", program, self.directory + ":name=x.flv"],
            cwd=ROOT, stdout=subprocess.PIPE, text=True,
        ) as process:  # fmt: skip
            assert process.stdout is not None
            flushed = 0
            for line in process.stdout:
                flushed = int(line)
                if flushed >= 20_000:
                    self.assertIs(
                        recoverPart(self.path("x.flv.part")).verdict, Verdict.BUSY
                    )
                    process.send_signal(signal.SIGKILL)
                    break
            # Everything that it reported before it died, it had written.
            flushed = max([flushed, *map(int, process.stdout)])
        recovered = recoverPart(self.path("x.flv.part"))
        self.assertIs(recovered.verdict, Verdict.FINISHED)
        found = coded(self.tags())
        self.assertGreaterEqual(found[-1].timestamp, flushed)
        self.assertEqual(
            found,
            [
                asTag(video(ms, ms % 200 == 0))
                for ms in range(0, found[-1].timestamp + 1, 40)
            ],
        )


class Terminal(io.StringIO):
    """
    A terminal, or not.
    """

    def __init__(self, real: bool) -> None:
        super().__init__()
        self.real = real

    def isatty(self) -> bool:
        return self.real


class ProgressTests(SynchronousTestCase):
    """
    The progress line on the terminal.
    """

    def test_aLongRecoveryShowsHowFarItIs(self) -> None:
        """
        The line is shown after a second, and updated every second.
        """
        clock, terminal = Clock(), Terminal(True)
        progress = Progress(terminal, 2000, clock.seconds)
        progress.at(100)
        self.assertEqual(terminal.getvalue(), "")
        progress.passed(1000)
        clock.advance(1)
        progress.at(500)
        progress.at(501)
        self.assertEqual(
            terminal.getvalue(), "\rrecovering recordings: 1500 of 2000 bytes, 75% "
        )
        progress.end()
        self.assertTrue(terminal.getvalue().endswith("% \n"))

    def test_aShortRecoverySaysNothing(self) -> None:
        """
        A short recovery shows nothing, nor does one whose standard error is not a
        terminal.
        """
        clock, short, piped = Clock(), Terminal(True), Terminal(False)
        Progress(short, 10, clock.seconds).end()
        for terminal in (piped, None):
            progress = Progress(terminal, 10, clock.seconds)
            clock.advance(10)
            progress.at(5)
            progress.end()
        self.assertEqual(short.getvalue() + piped.getvalue(), "")


class FactoryTests(RecordingTestCase):
    """
    The factory makes sinks, and finishes unfinished files.
    """

    leave: Any = RecoveryTests.unfinished

    def makeFactory(self, **more: Any) -> FileSinkFactory:
        """
        @return: a factory for the directory.
        """
        more = {"lane": ImmediateLane, **more}
        return FileSinkFactory(parseRecording(self.directory), **more)

    def test_itIsAFactory(self) -> None:
        """
        It makes one sink for each stream.
        """
        factory = FileSinkFactory.fromString("")
        self.assertTrue(verifyObject(IFrameSinkFactory, factory))
        self.assertEqual(factory.recording.directory, "recordings")
        self.assertIsInstance(factory.buildSink(STREAM), FileSink)
        self.assertIsNone(factory.stopFactory())

    def test_thePluginFindsIt(self) -> None:
        """
        The plugin finds it by its dotted name, with its help.
        """
        name = "rtmptw.sinks.file.factory.FileSinkFactory.fromString"
        plugin = SinkPlugin("file", "", name)
        self.assertTrue(verifyObject(IFrameSinkPlugin, plugin))
        factory = plugin.factoryFor("/srv")
        assert isinstance(factory, FileSinkFactory)
        self.assertEqual(factory.recording.directory, "/srv")
        for word in ("{stream}", "rotate=", "maxSize=", r"video\:1"):
            self.assertIn(word, plugin.sinkHelp)

    def test_unfinishedRecordingsAreFinishedAtTheStart(self) -> None:
        """
        All under the directory are finished, with a log line each.
        """
        os.makedirs(self.path("live/show"))
        self.leave(show(1), "live/show/a.flv.part")
        self.leave(show(2), "b.flv.part")
        Path(self.path("head.flv.part")).write_bytes(b"FLV")
        Path(self.path("other.part")).write_bytes(b"other")
        os.symlink("/etc/hostname", self.path("link.flv.part"))
        factory = self.makeFactory()
        with capturedLogs() as events:
            factory.startFactory(self.clock)
            self.successResultOf(cast("Deferred[None]", factory.stopFactory()))
        self.assertEqual(
            self.files(), ["b.flv", "link.flv.part", "live/show/a.flv", "other.part"]
        )
        lines = said(events)
        self.assertEqual(len(lines), 4)
        self.assertIn("b.flv: 2.0", lines[0])
        self.assertIn("head.flv.part: it contains no frames", lines[1])
        self.assertIn("live/show/a.flv: 1.0", lines[2])
        self.assertEqual(
            said(events, LogLevel.warn),
            [f"left {self.path('other.part')} alone: it is not one of our recordings"],
        )

    def test_recordingsThatAreBeingWrittenAreLeftAlone(self) -> None:
        """
        They may be written by another server or by our own sinks.
        """
        sink = self.makeSink()
        sink.frameReceived(video(0, True))
        factory = self.makeFactory()
        with capturedLogs() as events:
            factory.startFactory(self.clock)
        self.assertEqual((said(events), self.files()), ([], ["x.flv.part"]))
        sink.streamEnded("done")
        self.assertEqual(self.files(), ["x.flv"])

    def test_aDamagedOneDoesNotStopTheOthers(self) -> None:
        """
        A file with a wrong bit in a timestamp, which is then negative, is finished,
        too; one that is not a recording is left alone.
        """
        self.leave(show(1), "a.flv.part")
        content = bytearray(self.leave(show(2), "b.flv.part"))
        marks = flvfile.walk(lambda at, n: bytes(content[at : at + n]), len(content))
        first = next(
            mark
            for mark in marks
            if mark.kind == FrameKind.VIDEO and mark.prefix[1:2] == b"\1"
        )
        # The timestamp field of its first key frame.
        content[first.position + 7] = 0xCC
        Path(self.path("b.flv.part")).write_bytes(content)
        os.mkdir(self.path("c.flv.part"))
        Path(self.path("d.flv.part")).write_bytes(b"")
        self.leave(show(3), "e.flv.part")
        factory = self.makeFactory()
        factory.startFactory(self.clock)
        finished = factory.stopFactory()
        assert finished is not None
        self.successResultOf(finished)
        self.assertEqual(self.files(), ["a.flv", "b.flv", "e.flv"])
        for name, seconds in (("a", 1), ("b", 2), ("e", 3)):
            self.assertEqual(
                [tag.payload for tag in coded(self.tags(f"{name}.flv"))],
                [frame.payload for frame in show(seconds) if frame.role is Role.CODED],
            )

    def test_aBugInOneDoesNotStopTheOthers(self) -> None:
        """
        The bug is logged with its traceback.
        """
        self.leave(show(1), "a.flv.part")
        self.leave(show(1), "b.flv.part")
        rescue = _recovery.rescue

        def fails(descriptor: int, path: str, progress: Any = None) -> Any:
            if path.endswith("a.flv.part"):
                raise OverflowError("a bug")
            return rescue(descriptor, path, progress)

        self.patch(_recovery, "rescue", fails)
        factory = self.makeFactory()
        factory.startFactory(self.clock)
        finished = factory.stopFactory()
        assert finished is not None
        self.successResultOf(finished)
        self.assertEqual(self.files(), ["a.flv.part", "b.flv"])
        self.assertEqual(len(self.flushLoggedErrors(OverflowError)), 1)

    def test_oneThatCannotBeFinishedDoesNotStopTheOthers(self) -> None:
        """
        The error is logged.
        """
        self.leave(show(1), "a.flv.part")
        self.leave(show(1), "b.flv.part")
        rescue = _recovery.rescue

        def failing(descriptor: int, path: str, progress: Any) -> Any:
            if path.endswith("a.flv.part"):
                raise OSError(errno.EIO, "Input/output error")
            return rescue(descriptor, path, progress)

        self.patch(_recovery, "rescue", failing)
        factory = self.makeFactory()
        with capturedLogs() as events:
            factory.startFactory(self.clock)
        self.assertEqual(self.files(), ["a.flv.part", "b.flv"])
        [line] = said(events, LogLevel.error)
        self.assertIn("Input/output error", line)

    def test_theServerStartsWhileItRuns(self) -> None:
        """
        Stopping waits for the current file, and leaves the rest.
        """
        self.leave(show(1), "a.flv.part")
        self.leave(show(1), "b.flv.part")
        lanes: list[HeldLane] = []

        def makeLane(reactor: Any, name: str) -> HeldLane:
            lanes.append(HeldLane(reactor, name))
            return lanes[0]

        factory = self.makeFactory(lane=makeLane)
        factory.startFactory(self.clock)
        [lane] = lanes
        lane.letGo()
        lane.letGo()
        stopped: Any = factory.stopFactory()
        self.assertNoResult(stopped)
        lane.letGo()
        self.successResultOf(stopped)
        self.assertTrue(lane.closed)
        self.assertEqual(self.files(), ["a.flv", "b.flv.part"])

    def test_aDirectoryThatIsNoneStopsTheServer(self) -> None:
        """
        The server fails at its start rather than at the first stream.
        """
        Path(self.path("file")).write_bytes(b"")
        for directory in ("file", "file/below"):
            factory = FileSinkFactory(Recording(self.path(directory)))
            error = self.assertRaises(SinkError, factory.startFactory, self.clock)
            self.assertIn(f"{self.path('file')} is not a directory", str(error))

    def test_aDirectoryThatIsNotWritableStopsTheServer(self) -> None:
        """
        The same if a parent directory of one to be created is not writable.
        """
        self.patch(os, "access", lambda path, mode: False)
        factory = FileSinkFactory(Recording(self.path("new")))
        error = self.assertRaises(SinkError, factory.startFactory, self.clock)
        self.assertIn(f"{self.directory} is not writable", str(error))

    def test_aDirectoryThatIsNotThereYetIsFine(self) -> None:
        """
        It is created with the first recording.
        """
        factory = FileSinkFactory(Recording(self.path("new")))
        factory.startFactory(self.clock)
        self.assertIsNone(factory.stopFactory())
        self.assertEqual(os.listdir(self.directory), [])


class ThreadTests(RecordingTestCase):
    """
    Recording with real threads.
    """

    leave: Any = RecoveryTests.unfinished

    def setUp(self) -> None:
        super().setUp()
        self.clock = ThreadClock()

    def test_aRecordingIsWrittenByAThread(self) -> None:
        """
        All frames are in the files, in order, when the sink reports its end.
        """
        frames = show(20)
        sink = self.makeSink(":name={part}.flv:rotate=8", Lane)
        for each in frames:
            sink.frameReceived(each)
        done: Any = sink.streamEnded("done")
        self.assertNoResult(done)
        self.successResultOf(self.clock.waitFor(done))
        names = self.files()
        self.assertEqual(names, ["1.flv", "2.flv", "3.flv"])
        found = [tag.payload for name in names for tag in coded(self.tags(name))]
        self.assertEqual(found, [frame.payload for frame in frames[3:]])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_aFullDiskIsReportedByAThread(self) -> None:
        """
        The sink fails.
        """
        sink = self.makeSink(lane=Lane)
        self.patch(_naming, "MAX_SAME_NAME", 2)
        Path(self.path()).write_bytes(b"precious")
        sink.frameReceived(video(0, True))
        self.clock.waitUntil(lambda: bool(self.publisher.told))
        self.assertEqual(self.publisher.told, ["stop"])
        self.assertEqual(sink.failure, "too many recordings have this name")
        self.assertIsNone(sink.streamEnded("detached"))

    def test_recoveryRunsInAThread(self) -> None:
        """
        Starting does not wait for it, stopping does.
        """
        self.leave(show(3))
        factory = FileSinkFactory(Recording(self.directory))
        factory.startFactory(self.clock)
        recovery = factory._recovery
        assert recovery is not None
        self.assertNoResult(recovery)
        self.clock.waitFor(recovery)
        self.assertEqual(self.files(), ["x.flv"])
        self.successResultOf(cast("Deferred[None]", factory.stopFactory()))


names = st.text(max_size=300) | st.sampled_from(
    ["", ".", "..", "/", "../..", "a/../../b", "\0", "ü" * 300, "\ud800", "x" * 5000]
)


class NamingTests(SynchronousTestCase):
    """
    Whatever the name of a stream, its file is in the directory.
    """

    def test_harmlessNamesStayAsTheyAre(self) -> None:
        """
        Letters, digits, dots, dashes and underscores are kept.
        """
        self.assertEqual(escape("Live_show-1.hd"), "Live_show-1.hd")

    def test_whatIsUnsafeIsEscaped(self) -> None:
        """
        The slash is escaped, too: a name is one component.
        """
        for name, escaped in {
            "": "_",
            ".": "%2E",
            "..": "%2E.",
            ".hidden": "%2Ehidden",
            "a/b": "a%2Fb",
            "../../etc/passwd": "%2E.%2F..%2Fetc%2Fpasswd",
            "a\0b": "a%00b",
            "100%": "100%25",
            "a b:c": "a%20b%3Ac",
            "grün": "gr%C3%BCn",
            "\ud800": "%ED%A0%80",
            "-rf": "-rf",
        }.items():
            self.assertEqual(escape(name), escaped)

    def test_longNamesAreCutAndStayDifferent(self) -> None:
        """
        A hash of the whole name is added.
        """
        one, other = escape("x" * 1000), escape("x" * 1001)
        self.assertEqual((len(one), len(other)), (200, 200))
        self.assertNotEqual(one, other)
        self.assertEqual(escape("x" * 200), "x" * 200)

    @given(names, names)
    @example("..", "..")
    @example("\ud800", "x" * 5000)
    def test_noNameLeavesTheDirectory(self, app: str, stream: str) -> None:
        """
        With any template, every component is a plain name of limited length.
        """
        for text in (
            "{app}/{stream}/{start}.flv", "{app}{stream}.flv", "{app}-{stream}-{part}",
            ".{app}.flv", "{stream}",
        ):  # fmt: skip
            path = Template(text).path(app, stream, STARTED, 1)
            self.assertEqual(path.count("/"), text.count("/"))
            for component in path.split("/"):
                self.assertNotIn(component, ("", ".", ".."))
                self.assertNotIn("\0", component)
                self.assertLessEqual(
                    len(f"{component}-9999.part".encode()), 255, component
                )
            self.assertTrue(path.endswith(".flv"))
            self.assertEqual(os.path.normpath(path), path)

    def test_theFieldsOfATemplate(self) -> None:
        """
        Fields are filled with local time and the number of the part.
        """
        start = datetime(2026, 1, 2, 3, 4, 5, 6, timezone(timedelta(hours=5)))
        local = start.astimezone()
        text = "{app}+{stream}+{date}+{time}+{start}+{epoch}+{part}.flv"
        self.assertEqual(
            Template(text).path("a", "s", start, 3),
            f"a+s+{local:%Y-%m-%d}+{local:%H-%M-%S}+{local:%Y-%m-%d_%H-%M-%S}-000006"
            f"+{int(start.timestamp())}+3.flv",
        )

    def test_templatesThatLeadElsewhereAreRefused(self) -> None:
        """
        Templates that leave the directory are refused with a message.
        """
        for text, word in {
            "/etc/{stream}.flv": "absolute",
            "../{stream}.flv": "component",
            "a/../../b.flv": "component",
            "./x.flv": "component",
            "a//b.flv": "component",
            "": "file name",
            "{app}/": "file name",
            "a\0.flv": "NUL",
            "{user}.flv": "{user}",
            "{}.flv": "{}",
            "{app.x}.flv": "{app.x}",
            "{part:03}.flv": "no format",
            "{app!r}.flv": "no format",
            "{app": "not a template",
        }.items():
            error = self.assertRaises(UsageError, Template, text)
            self.assertIn(word, str(error))


class ArgumentTests(SynchronousTestCase):
    """
    The argument string of C{--sink=file}.
    """

    def test_withoutArguments(self) -> None:
        """
        The defaults apply.
        """
        for text in ("", ":"[:0]):
            recording = parseRecording(text)
            self.assertEqual(recording.directory, "recordings")
            self.assertEqual(recording.template.text, "{app}/{stream}/{start}.flv")
            self.assertEqual((recording.rotate, recording.maxSize), (0, 0))

    def test_allArguments(self) -> None:
        """
        Directory, name, seconds and bytes are read.
        """
        recording = parseRecording("/srv/v:name={stream}.flv:rotate=1.5:maxSize=1e9")
        self.assertEqual(recording.directory, "/srv/v")
        self.assertEqual(recording.template.text, "{stream}.flv")
        self.assertEqual((recording.rotate, recording.maxSize), (1500, 10**9))

    def test_theDirectoryMayBeLeftOut(self) -> None:
        """
        Options alone are enough.
        """
        for text in ("rotate=60", ":rotate=60"):
            recording = parseRecording(text)
            self.assertEqual(recording.directory, "recordings")
            self.assertEqual(recording.rotate, 60_000)

    def test_aBackslashMakesAColonLiteral(self) -> None:
        """
        Escaping works as in Twisted's endpoint descriptions.
        """
        recording = parseRecording(r"C\:\\x\=y:name=a\:b=c.flv")
        self.assertEqual(recording.directory, r"C:\x=y")
        self.assertEqual(recording.template.text, "a:b=c.flv")

    def test_whatIsNotUnderstoodIsSaid(self) -> None:
        """
        Invalid arguments are refused with a one-sentence message.
        """
        for text, word in {
            "x:format=mp4": "no option 'format'",
            "x:rotate=soon": "'soon'",
            "x:rotate=0": "'0'",
            "x:rotate=-5": "'-5'",
            "x:rotate=nan": "'nan'",
            "x:rotate=1e99": "'1e99'",
            "x:maxSize=": "''",
            "x:maxSize=inf": "'inf'",
            "x:y": "'y'",
            "x:rotate=5:rotate=6": "rotate= twice",
            "x:name=../y": "component",
            "x\0y": "NUL",
        }.items():
            error = self.assertRaises(UsageError, parseRecording, text)
            self.assertIn(word, str(error))
            self.assertTrue(str(error).endswith("."))
