"""
Tests for L{rtmptw.sinks.snapshot.sink}.
"""

import io
import os
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import av
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from rtmptw import backoff
from rtmptw.errors import SinkError
from rtmptw.flv.body import frameFromMessage
from rtmptw.frames import Frame, FrameKind
from rtmptw.interfaces import IFrameSink, IFrameSinkFactory
from rtmptw.lane import Lane
from rtmptw.sinks.naming import Template
from rtmptw.sinks.snapshot import camera
from rtmptw.sinks.snapshot.process import CameraProcess
from rtmptw.sinks.snapshot.sink import (
    MAX_WAITING,
    Snapshots,
    SnapshotSink,
    SnapshotSinkFactory,
    parseSnapshots,
)
from rtmptw.testing import FrameSinkTestsMixin, RecordingProducer, makeStreamInfo
from tests._pyav.test_decoding import framesOf, smallImages
from tests.live.media import H264_AAC, VIDEO_ONLY, Media, encode
from tests.sinks.test_file import HeldLane, ImmediateLane
from tests.test_lane import ThreadClock

STREAM = makeStreamInfo("live", "cam")
#: One key frame, followed by an intra refresh from left to right.
REFRESHED = Media(
    audio="",
    frames=200,
    options=(
        ("preset", "ultrafast"),
        ("tune", "zerolatency"),
        ("g", "25"),
        ("x264-params", "intra-refresh=1"),
    ),
)
NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
PNG = Template("{stream}-{part}", ".png")


def pixels(image: bytes) -> bytes:
    """
    @return: the pixels of an image file.
    """
    with av.open(io.BytesIO(image), "r") as container:
        (picture,) = container.decode(video=0)
    return picture.to_ndarray(format="rgb24").tobytes()


def keyFrames(path: str) -> list[bytes]:
    """
    @return: the key frames of a file, decoded by FFmpeg.
    """
    with av.open(path) as container:
        return [
            frame.to_ndarray(format="rgb24").tobytes()
            for frame in container.decode(video=0)
            if frame.key_frame
        ]


class SnapshotCase(SynchronousTestCase):
    """
    Makes sinks that work at once.
    """

    def setUp(self) -> None:
        self.folder = self.mktemp()
        self.producer = RecordingProducer()

    def sink(self, lane: Any = ImmediateLane, **options: Any) -> SnapshotSink:
        """
        @return: a sink whose stream has started.
        """
        snapshots = Snapshots(self.folder, **options)
        sink = SnapshotSink(Clock(), snapshots, lane, lambda: NOW)
        sink.streamStarted(STREAM, self.producer)
        return sink

    def feed(self, sink: SnapshotSink, frames: list[Frame]) -> None:
        """
        Pass frames to it.
        """
        for frame in frames:
            sink.frameReceived(frame)

    def end(self, sink: SnapshotSink) -> str:
        """
        @return: what it logs at its end.
        """
        with capturedLogs() as events:
            finished = sink.streamEnded("over")
        self.successResultOf(finished)
        return formatEvent(events[-1])

    def names(self) -> list[str]:
        """
        @return: the names of all files.
        """
        return sorted(
            os.path.relpath(os.path.join(folder, name), self.folder)
            for folder, _folders, names in os.walk(self.folder)
            for name in names
        )


class FileTests(SnapshotCase):
    """
    Image files.
    """

    def test_everyKeyFrame(self) -> None:
        """
        Each image is what FFmpeg decodes.
        """
        path = encode(H264_AAC)
        sink = self.sink(template=PNG, every=0)
        self.feed(sink, framesOf(path))
        self.assertEqual(
            self.end(sink), "live/cam: 3 snapshots; over", "the line at the end"
        )
        self.assertEqual(self.names(), ["cam-1.png", "cam-2.png", "cam-3.png"])
        got = [pixels(Path(self.folder, name).read_bytes()) for name in self.names()]
        wanted = keyFrames(path)
        count = sum(a == b for a, b in zip(got, wanted, strict=True))
        print(f"snapshots: {count} of {len(wanted)} key frames")
        self.assertEqual(got, wanted)

    def test_theFirstComesAtOnce(self) -> None:
        """
        The first image is written with the first key frame, before any other frame.
        """
        frames = framesOf(encode(H264_AAC))
        first = next(index for index, frame in enumerate(frames) if frame.isKey)
        sink = self.sink()
        self.feed(sink, frames[:first])
        self.assertEqual(self.names(), [])
        self.feed(sink, frames[first : first + 1])
        self.assertEqual(self.names(), ["live/cam.jpg"])

    def test_every(self) -> None:
        """
        C{every} counts seconds of media: key frames are at 0, 1 and 2.
        """
        for every, count in ((0, 3), (999, 3), (1000, 3), (1500, 2), (5000, 1)):
            sink = self.sink(every=every)
            self.feed(sink, framesOf(encode(VIDEO_ONLY)))
            self.assertEqual(sink.written, count, every)

    def test_aClockThatStepsBack(self) -> None:
        """
        The sink does not wait for the old timestamp.
        """
        sink = self.sink(every=1500)
        frames = framesOf(encode(VIDEO_ONLY))
        for frame in frames:
            frame.timestamp += 100_000
        self.feed(sink, frames)
        self.feed(sink, framesOf(encode(VIDEO_ONLY)))
        self.assertEqual(sink.written, 4)

    def test_aFileIsReplacedWhole(self) -> None:
        """
        Readers of the old file keep it, others find the new one; nothing else is left.
        It has the usual permissions.
        """
        sink = self.sink(every=0)
        frames = framesOf(encode(VIDEO_ONLY))
        second = [i for i, frame in enumerate(frames) if frame.isKey][1]
        self.feed(sink, frames[:second])
        (name,) = self.names()
        path = Path(self.folder, name)
        before = path.read_bytes()
        with open(path, "rb") as file:
            self.feed(sink, frames[second:])
            self.assertEqual(file.read(), before)
        self.assertNotEqual(path.read_bytes(), before)
        self.assertEqual(self.names(), [name])
        umask = os.umask(0)
        os.umask(umask)
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o666 & ~umask)

    def test_names(self) -> None:
        """
        A publisher's name cannot leave the directory.
        """
        snapshots = Snapshots(self.folder)
        sink = SnapshotSink(Clock(), snapshots, ImmediateLane, lambda: NOW)
        sink.streamStarted(makeStreamInfo("..", "../x"), self.producer)
        self.feed(sink, framesOf(encode(VIDEO_ONLY)))
        self.assertEqual(self.names(), ["%2E./%2E.%2Fx.jpg"])

    def test_size(self) -> None:
        """
        The image is scaled.
        """
        sink = self.sink(size=(48, 32))
        self.feed(sink, framesOf(encode(VIDEO_ONLY)))
        with av.open(os.path.join(self.folder, "live/cam.jpg")) as container:
            (picture,) = container.decode()
        self.assertEqual((picture.width, picture.height), (48, 32))

    def test_theShapeOfPixels(self) -> None:
        """
        The stream's pixel aspect ratio is applied; pixels of the image are square.
        """
        wide = Media(
            audio="",
            options=(("preset", "ultrafast"), ("x264-params", "sar=16/11")),
        )
        sink = self.sink()
        self.feed(sink, framesOf(encode(wide)))
        with av.open(os.path.join(self.folder, "live/cam.jpg")) as container:
            (picture,) = container.decode()
        self.assertEqual((picture.width, picture.height), (140, 64))

    def test_intraRefresh(self) -> None:
        """
        Without key frames the sink writes the first complete image after a recovery
        point, as FFmpeg decodes it, even if attached late; in a child process, too.
        """
        frames = framesOf(encode(REFRESHED))
        with av.open(encode(REFRESHED)) as container:
            wanted = [
                frame.to_ndarray(format="rgb24").tobytes()
                for frame in container.decode(video=0)
            ]
        # x264 marks recovery points as key frames; drones do not.
        unmarked = [
            frameFromMessage(frame.kind, frame.timestamp, b"\x27" + frame.payload[1:])
            if frame.isKey
            else frame
            for frame in frames
        ]
        for marked, process in ((True, False), (False, False), (False, True)):
            stream = frames if marked else unmarked
            coded = [frame for frame in stream if not frame.isHeader]
            late = [frame for frame in stream if frame.isHeader] + coded[30:]
            kind = f"{marked}-{process}"
            name = Template(f"{{stream}}-{kind}-{{part}}", ".png")
            sink = self.sink(template=name, every=0, process=process)
            self.feed(sink, late)
            self.assertRegex(self.end(sink), r"live/cam: [2-9] snapshots; over")
            got = [
                pixels(Path(self.folder, name).read_bytes())
                for name in self.names()
                if kind in name
            ]
            numbers = [wanted.index(one) for one in got]
            print(f"intra refresh: pictures {numbers} of {len(wanted)}")
            self.assertEqual(numbers, sorted(numbers))
            self.assertGreater(numbers[0], 30)

    def test_aStreamThatChanges(self) -> None:
        """
        The configuration and the size change.
        """
        sink = self.sink(template=PNG, every=0)
        self.feed(sink, framesOf(encode(VIDEO_ONLY)) + framesOf(smallImages()))
        path = encode(VIDEO_ONLY)
        wanted = keyFrames(path) + keyFrames(smallImages())
        got = [
            pixels(Path(self.folder, f"cam-{number + 1}.png").read_bytes())
            for number in range(len(wanted))
        ]
        self.assertEqual(got, wanted)

    def test_aSlowDisk(self) -> None:
        """
        It blocks nothing, and there is no backlog: the next image is of the latest
        frame.
        """
        lanes: list[HeldLane] = []

        def held(reactor: Any, name: str) -> HeldLane:
            lanes.append(HeldLane(reactor, name))
            return lanes[-1]

        sink = self.sink(held, template=PNG, every=0)
        path = encode(VIDEO_ONLY)
        self.feed(sink, framesOf(path))
        (lane,) = lanes
        self.assertEqual(len(lane.held), 1)
        finished = sink.streamEnded("over")
        self.assertNoResult(finished)
        while lane.held:
            lane.letGo()
        self.successResultOf(finished)
        self.assertTrue(lane.closed)
        self.assertEqual(self.producer.calls, [])
        got = [pixels(Path(self.folder, name).read_bytes()) for name in self.names()]
        wanted = keyFrames(path)
        self.assertEqual(got, [wanted[0], wanted[2]])


class TakeTests(SnapshotCase):
    """
    Images on request.
    """

    def test_theNewest(self) -> None:
        """
        The request is answered at once if there is a key frame, otherwise at the first.
        """
        path = encode(H264_AAC)
        frames = framesOf(path)
        sink = self.sink(template=PNG, every=None)
        early = sink.take()
        self.assertNoResult(early)
        second = [i for i, frame in enumerate(frames) if frame.isKey][1]
        self.feed(sink, frames[:second])
        wanted = keyFrames(path)
        self.assertEqual(pixels(self.successResultOf(early)), wanted[0])
        self.feed(sink, frames[second:])
        self.assertEqual(pixels(self.successResultOf(sink.take())), wanted[2])
        # No files are written.
        self.assertEqual(self.names(), [])
        self.assertIn("0 snapshots", self.end(sink))

    def test_besideFiles(self) -> None:
        """
        The returned image and the file are the same.
        """
        sink = self.sink()
        taken = sink.take()
        self.feed(sink, framesOf(encode(VIDEO_ONLY)))
        written = Path(self.folder, "live/cam.jpg").read_bytes()
        self.assertEqual(self.successResultOf(taken), written)

    def test_theEnd(self) -> None:
        """
        At the end, waiting and new requests fail.
        """
        sink = self.sink()
        waiting = sink.take()
        self.end(sink)
        for taken in (waiting, sink.take()):
            failure = self.failureResultOf(taken, SinkError)
            self.assertEqual(str(failure.value), "the stream has ended: over")

    def test_tooMany(self) -> None:
        """
        Too many requests are refused.
        """
        sink = self.sink()
        waiting = [sink.take() for _ in range(MAX_WAITING)]
        self.failureResultOf(sink.take(), SinkError)
        self.feed(sink, framesOf(encode(VIDEO_ONLY)))
        for taken in waiting:
            self.successResultOf(taken)

    def test_inAThread(self) -> None:
        """
        A real lane works.
        """
        clock = ThreadClock()
        sink = SnapshotSink(clock, Snapshots(self.folder, every=None), Lane)
        sink.streamStarted(STREAM, self.producer)
        self.feed(sink, framesOf(encode(VIDEO_ONLY)))
        taken = self.successResultOf(clock.waitFor(sink.take()))
        self.assertEqual(taken[:3], b"\xff\xd8\xff")
        self.successResultOf(clock.waitFor(sink.streamEnded("over")))


class ProcessTests(SnapshotCase):
    """
    C{process=yes}.
    """

    def setUp(self) -> None:
        super().setUp()
        self.patch(backoff, "FIRST_WAIT", 0.0)

    def child(self, sink: SnapshotSink) -> Any:
        """
        @return: the child process that makes images.
        """
        shooting: Any = sink._camera
        return shooting._process.child

    def test_everyKeyFrame(self) -> None:
        """
        A child process makes the same images, and ends with the stream.
        """
        path = encode(H264_AAC)
        sink = self.sink(template=PNG, every=0, process=True)
        self.feed(sink, framesOf(path))
        taken = self.successResultOf(sink.take())
        child = self.child(sink)
        self.assertIsNone(child.poll())
        self.assertEqual(self.end(sink), "live/cam: 3 snapshots; over")
        self.assertEqual(child.returncode, 0)
        got = [pixels(Path(self.folder, name).read_bytes()) for name in self.names()]
        wanted = keyFrames(path)
        print(f"snapshots of a process: {len(got)} of {len(wanted)} key frames")
        self.assertEqual(got, wanted)
        self.assertEqual(pixels(taken), wanted[-1])

    def test_size(self) -> None:
        """
        Size and format are passed to the child.
        """
        sink = self.sink(size=(48, 32), process=True)
        self.feed(sink, framesOf(encode(VIDEO_ONLY)))
        self.end(sink)
        with av.open(os.path.join(self.folder, "live/cam.jpg")) as container:
            (picture,) = container.decode()
        self.assertEqual((picture.width, picture.height), (48, 32))

    def test_aProcessThatDies(self) -> None:
        """
        One image is lost; the log has the stream and the signal, and another process
        makes the next image.
        """
        path = encode(H264_AAC)
        frames = framesOf(path)
        second = [i for i, frame in enumerate(frames) if frame.isKey][1]
        sink = self.sink(template=PNG, every=0, process=True)
        self.feed(sink, frames[:second])
        first = self.child(sink)
        first.kill()
        with capturedLogs() as events:
            self.feed(sink, frames[second:])
        (said,) = [formatEvent(event) for event in events]
        self.assertRegex(
            said,
            r"^live/cam: no snapshot .*cam-2.png: its process: ended by signal 9 "
            r"\(SIGKILL\) after \S+ s; restarting in 0.0 s$",
        )
        self.assertIn("2 snapshots, 1 failed", self.end(sink))
        got = [pixels(Path(self.folder, name).read_bytes()) for name in self.names()]
        wanted = keyFrames(path)
        self.assertEqual(got, [wanted[0], wanted[2]])

    def test_aWaitThatGrows(self) -> None:
        """
        Requests before the restart are refused with the remaining time.
        """
        now = [0.0]
        self.patch(backoff, "FIRST_WAIT", 1.0)
        process = CameraProcess("jpg", None, "live/cam", lambda: now[0], lambda: 0.0)
        frames = framesOf(encode(VIDEO_ONLY))[:3]
        time = datetime.now(UTC)
        for wait in (1.0, 2.0, 4.0):
            self.assertEqual(process.take(frames, time)[:3], b"\xff\xd8\xff")
            child: Any = process._process
            child.child.kill()
            error = self.assertRaises(SinkError, process.take, frames, time)
            self.assertIn(f"restarting in {wait} s", str(error))
            now[0] += wait - 0.5
            error = self.assertRaises(SinkError, process.take, frames, time)
            self.assertEqual(str(error), "its process restarts in 0.5 s")
            now[0] += 0.6
        process.take(frames, time)
        process.close()

    def test_whatCannotBeDecoded(self) -> None:
        """
        The error is reported, and the process keeps running.
        """
        sink = self.sink(process=True)
        taken = sink.take()
        body = b"\x14" + bytes(20)
        self.feed(sink, [frameFromMessage(FrameKind.VIDEO, 0, body)])
        failure = self.failureResultOf(taken, SinkError)
        self.assertIn("there is no decoder for VP6", str(failure.value))
        self.assertIsNone(self.child(sink).poll())
        self.end(sink)


class TroubleTests(SnapshotCase):
    """
    Errors.
    """

    def test_theDisk(self) -> None:
        """
        The error is logged once and the sink tries again; the stream continues.
        Requests fail with the error, too.
        """
        Path(self.folder).write_bytes(b"in the way")
        sink = self.sink(every=0)
        taken = sink.take()
        frames = framesOf(encode(VIDEO_ONLY))
        _second, third = (i for i, frame in enumerate(frames) if frame.isKey and i > 3)
        with capturedLogs() as events:
            self.feed(sink, frames[:third])
        (said,) = map(formatEvent, events)
        self.assertEqual(
            said, f"live/cam: no snapshot {self.folder}/live/cam.jpg: Not a directory"
        )
        self.failureResultOf(taken, SinkError)
        os.unlink(self.folder)
        self.feed(sink, frames[third:])
        self.assertEqual(self.names(), ["live/cam.jpg"])
        self.assertEqual(self.end(sink), "live/cam: 1 snapshots, 2 failed; over")
        self.assertEqual(self.producer.calls, [])

    def test_noDecoder(self) -> None:
        """
        It is logged once.
        """
        sink = self.sink(every=0)
        with capturedLogs() as events:
            for number in range(3):
                body = b"\x14" + bytes(20)
                sink.frameReceived(frameFromMessage(FrameKind.VIDEO, number, body))
        (said,) = map(formatEvent, events)
        self.assertEqual(
            said,
            f"live/cam: no snapshot {self.folder}/live/cam.jpg: "
            "there is no decoder for VP6",
        )
        self.assertEqual(sink.failures, 3)

    def test_aBug(self) -> None:
        """
        It is logged with a traceback.
        """

        def broken(*arguments: Any) -> bytes:
            raise KeyError("bug")

        self.patch(camera, "encodeImage", broken)
        sink = self.sink()
        self.feed(sink, framesOf(encode(VIDEO_ONLY)))
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        self.end(sink)


class OptionTests(SynchronousTestCase):
    """
    The arguments of C{--sink=snapshot}.
    """

    def test_defaults(self) -> None:
        """
        One JPEG file for each stream, replaced every ten seconds.
        """
        snapshots = parseSnapshots("")
        self.assertEqual((snapshots.directory, snapshots.every), ("snapshots", 10_000))
        path = snapshots.template.path("live", "cam", NOW, 1)
        self.assertEqual((path, snapshots.size), ("live/cam.jpg", None))

    def test_all(self) -> None:
        """
        Every argument is read.
        """
        snapshots = parseSnapshots(
            "/srv/a\\:b:every=2.5:format=png:name={stream}-{part}:size=320x180"
        )
        self.assertEqual((snapshots.directory, snapshots.every), ("/srv/a:b", 2500))
        self.assertEqual(snapshots.template.path("live", "cam", NOW, 7), "cam-7.png")
        self.assertEqual(snapshots.size, (320, 180))
        self.assertEqual(parseSnapshots("x:name=a.jpg").template.suffix, ".jpg")
        self.assertEqual(parseSnapshots("x:every=0").every, 0)
        self.assertIs(parseSnapshots("x:process=yes").process, True)
        self.assertIs(parseSnapshots("x").process, False)

    def test_refused(self) -> None:
        """
        Invalid arguments are refused with a message.
        """
        for text, said in (
            ("x:y", "no option 'y', only every=SECONDS, format=jpg|png"),
            ("x:speed=5", "has no option 'speed'"),
            ("x:every=1:every=2", "got every= twice"),
            ("x:every=often", "not a number of seconds (0 or more)"),
            ("x:format=gif", "not one of jpg, png"),
            ("x:size=huge", "not like 640x360"),
            ("x:name=../y", "'..' component"),
            ("a\0b", "NUL"),
        ):
            error = self.assertRaises(UsageError, parseSnapshots, text)
            self.assertIn(said, str(error))

    def test_theFactory(self) -> None:
        """
        It checks the directory before the server starts.
        """
        folder = self.mktemp()
        factory = SnapshotSinkFactory.fromString(folder)
        self.assertTrue(verifyObject(IFrameSinkFactory, factory))
        factory.startFactory(Clock())
        sink = factory.buildSink(STREAM)
        self.assertTrue(verifyObject(IFrameSink, sink))
        Path(folder).write_bytes(b"in the way")
        self.assertRaises(SinkError, factory.startFactory, Clock())


class ContractTests(FrameSinkTestsMixin, SynchronousTestCase):
    """
    The sink fulfills the contract; its frames are not decodable video.
    """

    def makeSink(self) -> IFrameSink:
        return SnapshotSink(Clock(), Snapshots(self.mktemp()), ImmediateLane)
