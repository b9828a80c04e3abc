"""
Tests for L{rtmptw.sinks.record} and L{rtmptw.sinks.send}: container files and targets.
"""

import fcntl
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from unittest import mock

from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from rtmptw import backoff
from rtmptw.batches import FLUSH_BYTES
from rtmptw.delivery import Policy
from rtmptw.errors import SinkError
from rtmptw.flv.body import frameFromMessage
from rtmptw.frames import Frame, FrameKind
from rtmptw.interfaces import IFrameSink, IFrameSinkFactory
from rtmptw.remux.about import Hearsay
from rtmptw.remux.heads import Head, TrackKey
from rtmptw.remux.opening import Opening
from rtmptw.samples import samplesOf
from rtmptw.sinks import asked
from rtmptw.sinks.file.factory import FileSink, FileSinkFactory
from rtmptw.sinks.program import ownProgram
from rtmptw.sinks.record import process as _process
from rtmptw.sinks.record import recorder as _recorder
from rtmptw.sinks.record import sink as recordSink
from rtmptw.sinks.record.factory import RecordSinkFactory, parseContainerRecording
from rtmptw.sinks.record.process import ContainerProcess, ContainerProcesses
from rtmptw.sinks.record.recorder import RecordFile, partsOf, recoverContainer
from rtmptw.sinks.record.sink import RecordSink
from rtmptw.sinks.send.factory import SendSinkFactory
from rtmptw.sinks.send.target import parseTarget
from rtmptw.testing import (
    FrameSinkTestsMixin,
    RecordingProducer,
    audioFrame,
    makeFrames,
    makeStreamInfo,
    videoFrame,
)
from tests._pyav.test_muxing import framesOf, packetsOf, same, wantedFor
from tests.live.media import (
    AV1_OPUS,
    H264_AAC,
    HEVC_AAC,
    VP9_FLAC,
    Media,
    encode,
    readTags,
)
from tests.sinks.test_file import HeldLane, ImmediateLane
from tests.test_lane import ThreadClock

ROOT = Path(__file__).parents[2]


class RecordSinkContractTests(FrameSinkTestsMixin, SynchronousTestCase):
    """
    The record sink fulfills the contract of sinks.
    """

    def makeSink(self) -> IFrameSink:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        recording = parseContainerRecording(folder.name)
        return RecordSink(ThreadClock(), recording, ImmediateLane)


def currentProcess(sink: RecordSink) -> "subprocess.Popen[bytes]":
    """
    @return: the child process that writes for a sink.
    """
    assert sink._recorder is not None
    container = sink._recorder._container
    assert isinstance(container, ContainerProcess)
    return container.process.child


def headsOf(media: Media) -> dict[TrackKey, Head]:
    """
    @return: the tracks of a stream.
    """
    opening = Opening(Hearsay())
    for frame in framesOf(encode(media)):
        for sample in samplesOf(frame):
            (opening.configure if sample.isConfig else opening.add)(sample)
    return opening.tracks()


class RecordTestCase(SynchronousTestCase):
    """
    A directory, a clock and a publisher.
    """

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.clock = Clock()
        self.publisher = RecordingProducer()

    def makeSink(
        self, arguments: str = "", lane: Any = ImmediateLane
    ) -> RecordSink | FileSink:
        """
        @return: a sink whose stream has started.
        """
        factory = RecordSinkFactory.fromString(f"{self.folder}{arguments}")
        sink: RecordSink | FileSink
        if isinstance(factory, FileSinkFactory):
            sink = FileSink(self.clock, factory.recording, lane)
        else:
            sink = RecordSink(self.clock, factory.recording, lane)
        sink.streamStarted(makeStreamInfo(), self.publisher)
        return sink

    def record(
        self, frames: Iterable[Frame], arguments: str = ""
    ) -> RecordSink | FileSink:
        """
        Record all frames.
        """
        sink = self.makeSink(arguments)
        for frame in frames:
            sink.frameReceived(frame)
        finished = sink.streamEnded("over")
        if finished is not None:
            self.successResultOf(finished)
        return sink

    def files(self) -> list[Path]:
        """
        @return: all files in the directory.
        """
        return sorted(path for path in self.folder.rglob("*") if path.is_file())


class RecordTests(RecordTestCase):
    """
    Recording a stream.
    """

    def test_everyPacketOfEveryContainer(self) -> None:
        """
        Every packet is in a file with its final name.
        """
        source = encode(H264_AAC)
        for name in ("mp4", "mkv", "ts", "flv"):
            sink = self.record(framesOf(source), f":format={name}:name={{stream}}")
            path = self.folder / f"test.{name}"
            self.assertEqual(sink.failure, "")
            same(packetsOf(str(path), name), wantedFor(source, name), name)
        self.assertEqual(len(self.files()), 4)
        self.assertNotIn("stop", self.publisher.calls)

    def test_tracksThatFFmpegDies(self) -> None:
        """
        FFmpeg's FLV muxer ends the process at Speex, and at Opus without its header.
        For FLV every message is written unchanged instead.
        """
        opusHead = b"\x90OpusOpusHead\x01\x01" + bytes(10)
        for name, bodies in {
            "speex": [b"\xb2" + bytes([number] * 70) for number in range(100)],
            "opus": [
                b"\x91Opus" + bytes([0xFC] + [number] * 90) for number in range(100)
            ],
            "late": [
                opusHead if number == 50 else b"\x91Opus\xfc" + bytes([number] * 9)
                for number in range(100)
            ],
        }.items():
            frames = [
                frameFromMessage(FrameKind.AUDIO, number * 20, body)
                for number, body in enumerate(bodies)
            ]
            sink = self.record(frames, f":format=flv:name={name}.flv")
            self.assertEqual(sink.failure, "")
            tags = readTags(self.folder / f"{name}.flv")
            self.assertEqual(
                [(t.timestamp, t.payload) for t in tags if t.kind == FrameKind.AUDIO],
                [(frame.timestamp, frame.payload) for frame in frames],
            )

    def test_theNameByDefault(self) -> None:
        """
        The default name is that of the file sink, with another suffix; the default
        format is MP4.
        """
        self.record(makeFrames())
        (path,) = self.files()
        name = str(path.relative_to(self.folder))
        self.assertRegex(name, r"^live/test/2026-11-22_\d\d-00-00-000000\.mp4$")

    def test_noNameIsOverwritten(self) -> None:
        """
        The next file of the same name gets C{-2}.
        """
        for _ in range(2):
            self.record(makeFrames(), ":name=a.mp4")
        self.assertEqual([path.name for path in self.files()], ["a-2.mp4", "a.mp4"])

    def test_rotation(self) -> None:
        """
        Files rotate by time, at key frames; no packet is lost or repeated.
        """
        source = encode(Media(frames=150, options=H264_AAC.options))
        wanted = packetsOf(source)
        self.record(framesOf(source), ":name={part}.mp4:rotate=2")
        together: dict[str, list[Any]] = {"video": [], "audio": []}
        self.assertEqual(
            [path.name for path in self.files()], ["1.mp4", "2.mp4", "3.mp4"]
        )
        for path in self.files():
            for kind, packets in packetsOf(str(path)).items():
                together[kind] += [packet[0] for packet in packets]
        for kind, packets in wanted.items():
            print(f"{kind}: {len(together[kind])} of {len(packets)} packets in 3 files")
            self.assertEqual(together[kind], [packet[0] for packet in packets])

    def test_rotationBySize(self) -> None:
        """
        A new file begins at the first key frame after C{maxSize}.
        """
        frames = makeFrames(10, keyframeEvery=25)
        group = sum(len(frame.payload) for frame in frames) // 10
        self.record(frames, f":name={{part}}.mkv:format=mkv:maxSize={group * 3}")
        self.assertIn(len(self.files()), (3, 4))

    def test_aCodecThatTheContainerCannotHold(self) -> None:
        """
        It is left out, with a one-sentence message; the rest is recorded.
        """
        source = encode(AV1_OPUS)
        with capturedLogs() as events:
            sink = self.record(framesOf(source), ":format=ts:name=x")
        said = [formatEvent(event) for event in events]
        self.assertEqual((self.publisher.calls, sink.failure), ([], ""))
        self.assertEqual(
            said[0],
            "live/test: AV1 is left out: ts cannot hold AV1; format=mp4 or format=mkv "
            "or format=flv can",
        )
        self.assertEqual(len(said), 2)
        wanted = wantedFor(source, "ts")
        got = packetsOf(str(self.folder / "x.ts"), "ts")
        same(got, {"audio": wanted["audio"]}, "without the pictures")

    def test_nothingThatTheContainerCanHold(self) -> None:
        """
        No file is left.
        """
        with capturedLogs() as events:
            self.record(framesOf(encode(VP9_FLAC)), ":format=ts")
        self.assertEqual(len(events), 2)
        self.assertEqual(self.files(), [])

    def test_anotherConfigurationIsSaidInOneLine(self) -> None:
        """
        The change is logged in one line, and nothing is lost.
        """
        sources = encode(H264_AAC), encode(HEVC_AAC)
        with capturedLogs() as events:
            self.record([f for source in sources for f in framesOf(source)])
        lines = [formatEvent(event) for event in events]
        # The audio configuration changes with the video's, but a little later.
        self.assertTrue(1 <= len(lines) - 1 <= 2, lines)
        self.assertIn("a new file begins: new HEVC configuration", "".join(lines))
        hashes = [
            packet[0]
            for path in self.files()
            for packet in packetsOf(str(path)).get("video", [])
        ]
        wanted = [p[0] for source in sources for p in packetsOf(source)["video"]]
        print(f"two codecs: {len(hashes)} of {len(wanted)} pictures")
        self.assertEqual(sorted(hashes), sorted(wanted))

    def test_aFullDisk(self) -> None:
        """
        A full disk stops the recording with a one-sentence message; the file so far
        gets its name and can be played.
        """
        source = encode(Media(frames=150, options=H264_AAC.options))
        sink = self.makeSink(":name=x.mkv:format=mkv:fragment=0.6")

        def limited(module: str) -> tuple[tuple[str, ...], Any]:
            arguments, environment = ownProgram(module)
            # Simulates a full disk: 117 blocks of 512 bytes.
            shell = 'ulimit -f 117; exec "$0" "$@"'
            return ("sh", "-c", shell, *arguments), environment

        self.patch(asked, "ownProgram", limited)
        with capturedLogs() as events:
            for frame in framesOf(source):
                sink.frameReceived(frame)
                self.clock.advance(0.04)
        self.assertEqual(sink.failure, "File too large")
        self.assertEqual(self.publisher.calls, ["stop"])
        (event,) = events
        self.assertIn("x.mkv: File too large", formatEvent(event))
        self.assertEqual([path.name for path in self.files()], ["x.mkv"])
        self.assertIsNone(sink.streamEnded("it stopped"))
        wanted = packetsOf(source)["video"]
        got = packetsOf(str(self.files()[0]))["video"]
        print(f"full disk: {len(got)} of {len(wanted)} pictures are there")
        self.assertGreater(len(got), 10)
        self.assertEqual(
            [packet[0] for packet in got], [packet[0] for packet in wanted[: len(got)]]
        )

    def test_aProcessThatDies(self) -> None:
        """
        The server survives: the file so far is kept, another begins with the next key
        frame, the log has the signal, and lost frames are counted.
        """
        self.patch(backoff, "FIRST_WAIT", 0.0)
        source = encode(Media(frames=150, options=H264_AAC.options))
        frames = framesOf(source)
        for kind in ("mkv", "ts"):
            self.publisher.dropped = {}
            sink = self.makeSink(f":name={{part}}.{kind}:format={kind}")
            assert isinstance(sink, RecordSink)
            with capturedLogs() as events:
                for number, frame in enumerate(frames):
                    sink.frameReceived(frame)
                    self.clock.advance(0.04)
                    if number == 150:
                        process = currentProcess(sink)
                        os.kill(process.pid, signal.SIGABRT)
                        process.wait()
                self.assertIsNone(sink.streamEnded("over"))
            said = "\n".join(formatEvent(event) for event in events)
            self.assertIn(
                f"live/test: record {kind}: ended by signal 6 (SIGABRT) after", said
            )
            self.assertEqual((sink.failure, self.publisher.calls), ("", []))
            paths = [self.folder / f"{part}.{kind}" for part in (1, 2)]
            self.assertEqual([p for p in self.files() if p.suffix == f".{kind}"], paths)
            got = [packetsOf(str(path)) for path in paths]
            wanted = packetsOf(source)
            count = 0
            for track, packets in wanted.items():
                there = [one[0] for part in got for one in part[track]]
                every = [one[0] for one in packets]
                first = len(got[0][track])
                # MPEG-TS has start codes and ADTS headers.
                if kind == "mkv":
                    self.assertEqual(there[:first], every[:first])
                    self.assertEqual(there[first:], every[first - len(there) :])
                count += len(there)
            total = sum(len(packets) for packets in wanted.values())
            lost = self.publisher.dropped["process-ended"]
            print(f"{kind}: {count} of {total} packets in two files, {lost} lost")
            # FFmpeg may have written more than the server knows, and has held up to 200
            # ms to interleave the tracks.
            self.assertGreaterEqual(count + lost, total - 14)
            self.assertLess(lost, 80, "from there to the next key frame")

    def test_aProcessThatDiesAgainAndAgain(self) -> None:
        """
        It is restarted with a growing delay, not at each key frame.
        """
        now = [0.0]
        processes = ContainerProcesses("live/test", "record", lambda: now[0], lambda: 0)
        for wait in (1.0, 2.0, 4.0):
            file = RecordFile.make(str(self.folder / "x.mkv"))
            container = processes.begin(file, "matroska", {}, headsOf(H264_AAC), 0)
            container.process.child.kill()
            container.flush()
            file.close()
            self.assertEqual(container.how, "ended by signal 9 (SIGKILL)")
            self.assertFalse(processes.isOver)
            with capturedLogs() as events:
                processes.lost()
            self.assertIn(f"after {wait} s", formatEvent(events[0]))
            now[0] += wait - 0.1
            self.assertFalse(processes.isOver)
            now[0] += 0.2
            self.assertTrue(processes.isOver)

    def test_aTrackThatKillsTheProcess(self) -> None:
        """
        The track is found and left out; every frame of the other is recorded.
        """
        self.patch(_process, "_PROGRAM", "tests.sinks.deadlymuxer")
        # The tests may be in another directory than the package.
        root = str(Path(__file__).parents[2])
        with mock.patch.dict(os.environ, {"PYTHONPATH": root}):
            self.assertTracksAreFound()

    def assertTracksAreFound(self) -> None:
        """
        One of two tracks ends every process that gets it.
        """
        source = encode(AV1_OPUS)
        with capturedLogs() as events:
            sink = self.record(framesOf(source), ":name={part}.mkv:format=mkv")
        said = [formatEvent(event) for event in events]
        self.assertIn(
            "live/test: OPUS is left out: it makes FFmpeg's process fail: "
            "ended by signal 6 (SIGABRT)",
            said,
        )
        (path,) = self.files()
        self.assertEqual(path.name, "1.mkv")
        got, wanted = packetsOf(str(path)), packetsOf(source)
        self.assertEqual(list(got), ["video"])
        # Matroska removes the temporal delimiters of AV1.
        times = [
            [(key, pts - one["video"][0][2]) for _hash, key, pts, _dts in one["video"]]
            for one in (got, wanted)
        ]
        self.assertEqual(len(times[0]), AV1_OPUS.frames)
        self.assertEqual(times[0], times[1])
        self.assertEqual(sink.failure, "")

    def test_aProcessThatHangs(self) -> None:
        """
        It is killed, and does not block the server.
        """
        file = RecordFile.make(str(self.folder / "x.mkv"))
        self.addCleanup(file.close)
        processes = ContainerProcesses("live/test", "record")
        with capturedLogs():
            container = processes.begin(file, "matroska", {}, headsOf(H264_AAC), 0)
            self.patch(asked, "STALL_SECONDS", 0.5)
            os.kill(container.process.child.pid, signal.SIGSTOP)
            container.flush()
        self.assertEqual(container.how, "did not respond for 0.5 s")
        self.assertIsNotNone(container.process.child.returncode)

    def test_aBugOfOursIsNotHidden(self) -> None:
        """
        The bug is logged with its traceback and ends the sink, and the file keeps its
        name.
        """

        def flush(container: ContainerProcess) -> None:
            raise RuntimeError("a bug")

        self.patch(ContainerProcess, "flush", flush)
        sink = self.record(makeFrames(), ":name=x.mkv:format=mkv")
        self.assertEqual(sink.failure, "a bug")
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual([path.name for path in self.files()], ["x.mkv.part"])

    def test_aSlowDiskPausesThePublisher(self) -> None:
        """
        The publisher is paused above the limit, until half of it is written; nothing is
        lost.
        """
        self.patch(recordSink, "MAX_FRAMES", 60)
        lanes: list[HeldLane] = []

        def makeLane(reactor: Any, name: str) -> HeldLane:
            lanes.append(HeldLane(reactor, name))
            return lanes[-1]

        source = encode(H264_AAC)
        sink = self.makeSink(":name=x.mp4", makeLane)
        frames = framesOf(source)
        for frame in frames[:50]:
            sink.frameReceived(frame)
        self.clock.advance(1)
        for frame in frames[50:]:
            sink.frameReceived(frame)
        self.assertEqual(self.publisher.calls, ["pause"])
        lanes[0].letGo()
        self.clock.advance(1)
        lanes[0].letGo()
        self.assertEqual(self.publisher.calls, ["pause", "resume"])
        finished = sink.streamEnded("over")
        assert finished is not None
        self.assertNoResult(finished)
        while lanes[0].held:
            lanes[0].letGo()
        self.successResultOf(finished)
        same(packetsOf(str(self.folder / "x.mp4")), packetsOf(source), "slow disk")

    def test_whatIsCollectedIsHandedOverSoon(self) -> None:
        """
        Frames are passed on after a tenth of a second or at a size limit; for MP4, when
        a fragment is complete.
        """
        lanes: list[HeldLane] = []

        def makeLane(reactor: Any, name: str) -> HeldLane:
            lanes.append(HeldLane(reactor, name))
            return lanes[-1]

        sink = self.makeSink(":fragment=2", makeLane)
        sink.frameReceived(makeFrames()[0])
        self.clock.advance(1.89)
        self.assertEqual(lanes, [])
        self.clock.advance(0.02)
        self.assertEqual(len(lanes.pop().held), 1)
        sink = self.makeSink(":format=mkv", lane=makeLane)
        frames = makeFrames()
        sink.frameReceived(frames[0])
        self.clock.advance(0.09)
        self.assertEqual(lanes, [])
        self.clock.advance(0.02)
        self.assertEqual(len(lanes[0].held), 1)
        lanes[0].letGo()
        sink.frameReceived(videoFrame(0, True, size=FLUSH_BYTES - 1))
        self.assertEqual(lanes[0].held, [])
        sink.frameReceived(audioFrame(1, size=1))
        self.assertEqual(len(lanes[0].held), 1)

    def test_aFragmentIsOnTheDiskInTime(self) -> None:
        """
        At any moment a copy of the unfinished file plays up to the last second, or as
        C{fragment} says, in every container.
        """
        frames = framesOf(
            encode(Media(frames=150, options=(("preset", "ultrafast"), ("g", "1000"))))
        )
        # In order of time, as a paced publisher sends them.
        end = max(frame.timestamp for frame in frames)
        for name, seconds in (
            ("mp4", 1),
            ("mkv", 1),
            ("ts", 1),
            ("flv", 1),
            ("mp4", 3),
        ):
            folder = f"{name}{seconds}"
            sink = self.makeSink(
                f"/{folder}:format={name}:name=x.{name}:fragment={seconds}"
            )
            lags = []
            for frame in frames:
                sink.frameReceived(frame)
                step = frame.timestamp / 1000 - self.clock.seconds() % 100
                self.clock.advance(max(0, step))
                begun = frame.timestamp > 1000 * (1 + seconds)
                if begun and frame.kind is FrameKind.VIDEO:
                    part = (self.folder / folder / f"x.{name}.part").read_bytes()
                    played = packetsOf(io.BytesIO(part), name)["video"]
                    lags.append(frame.timestamp - max(p[2] for p in played))
            finished = sink.streamEnded("over")
            if finished is not None:
                self.successResultOf(finished)
            print(f"{folder}: at most {max(lags)} of {end} ms are lost")
            self.assertLessEqual(max(lags), seconds * 1000)
            if name == "mp4":
                self.assertGreater(max(lags), seconds * 500, "fragment= was ignored")
            self.clock = Clock()


class RecoveryTests(RecordTestCase):
    """
    Recovering what a killed server leaves.
    """

    def leave(self, name: str = "mp4") -> Path:
        """
        @return: an unfinished file.
        """
        self.record(framesOf(encode(H264_AAC)), f":name=x:format={name}")
        path = self.folder / f"x.{name}"
        return path.rename(f"{path}.part")

    def recover(self, name: str = "mp4") -> list[str]:
        """
        @return: the log sentences.
        """
        container = parseContainerRecording(f":format={name}").container
        said = [
            recoverContainer(path, container)
            for path in partsOf(str(self.folder), container)
        ]
        return [sentence for sentence in said if sentence]

    def test_itGetsItsName(self) -> None:
        """
        The file gets its final name; an MP4 file is cut after its last complete
        fragment.
        """
        # The rest of a truncated write.
        for name, rest in {
            "mp4": b"\0\0\1\0moof" + bytes(20),
            "mkv": b"\x1f\x43\xb6\x75\x01",
            "ts": b"\x47\x01",
        }.items():
            part = self.leave(name)
            size = part.stat().st_size
            with part.open("ab") as file:
                file.write(rest)
            (sentence,) = self.recover(name)
            self.assertIn(f"x.{name}: ", sentence)
            self.assertFalse(part.exists())
            final = self.folder / f"x.{name}"
            kept = 0 if name == "mp4" else len(rest)
            self.assertEqual(final.stat().st_size, size + kept)
            same(packetsOf(str(final), name), wantedFor(encode(H264_AAC), name), name)

    def test_oneThatHoldsNothingIsRemoved(self) -> None:
        """
        A file with only a header is removed.
        """
        (self.folder / "x.mp4.part").write_bytes(b"\0\0\0\x10ftypisom\0\0\0\0")
        self.assertIn("removed", self.recover()[0])
        self.assertEqual(self.files(), [])

    def test_oneThatIsBeingWrittenIsLeftAlone(self) -> None:
        """
        Its lock is held.
        """
        self.patch(_recorder, "_LOCK_SECONDS", 0.001)
        part = self.leave()
        with part.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            self.assertEqual(self.recover(), [])
        self.assertEqual(self.files(), [part])

    def test_othersAreLeftAlone(self) -> None:
        """
        Files of other formats and of the file sink are left alone.
        """
        self.leave("mkv")
        self.assertEqual(self.recover("mp4"), [])
        (self.folder / "x.mkv.part").unlink()
        part = self.leave("flv")
        for name in ("mp4", "mkv", "ts"):
            self.assertEqual(self.recover(name), [])
        self.assertEqual(self.files(), [part])

    def test_anFLVFileGetsItsName(self) -> None:
        """
        A truncated tag is cut off, and every frame before it is kept.
        """
        part = self.leave("flv")
        size = part.stat().st_size
        with part.open("ab") as file:
            file.write(b"\x09\0\0\x50\0")
        made = RecordSinkFactory.fromString(f"{self.folder}:format=flv")
        assert isinstance(made, FileSinkFactory)
        factory = FileSinkFactory(made.recording, ImmediateLane)
        with capturedLogs() as events:
            factory.startFactory(self.clock)
            finished = factory.stopFactory()
            assert finished is not None
            self.successResultOf(finished)
        self.assertIn("recovered ", formatEvent(events[0]))
        final = self.folder / "x.flv"
        self.assertEqual(self.files(), [final])
        self.assertEqual(final.stat().st_size, size)
        same(packetsOf(str(final), "flv"), wantedFor(encode(H264_AAC), "flv"), "flv")

    def test_oneThatCannotBeFinishedDoesNotStopTheOthers(self) -> None:
        """
        Neither a directory of such a name nor a bug triggered by a file stops the
        recovery.
        """
        parts = {}
        for name in "bdf":
            part = self.leave()
            parts[name] = part.rename(self.folder / f"{name}.mp4.part")
        (self.folder / "a.mp4.part").mkdir()
        (self.folder / "c.mp4.part").write_bytes(b"")
        whole = _recorder._wholeBoxes

        def fails(descriptor: int, size: int) -> int:
            if os.path.samestat(os.fstat(descriptor), parts["d"].stat()):
                raise OverflowError("a bug")
            return whole(descriptor, size)

        self.patch(_recorder, "_wholeBoxes", fails)
        factory = RecordSinkFactory(
            parseContainerRecording(str(self.folder)), ImmediateLane
        )
        factory.startFactory(self.clock)
        finished = factory.stopFactory()
        assert finished is not None
        self.successResultOf(finished)
        self.assertEqual(
            [path.name for path in self.files()], ["b.mp4", "d.mp4.part", "f.mp4"]
        )
        self.assertEqual(len(self.flushLoggedErrors(OverflowError)), 1)
        wanted = wantedFor(encode(H264_AAC), "mp4")
        for name in "bf":
            same(packetsOf(str(self.folder / f"{name}.mp4"), "mp4"), wanted, name)

    def test_theFactoryRecoversAtItsStart(self) -> None:
        """
        The recovery is logged; the file sink in the same directory logs nothing.
        """
        self.leave()
        with capturedLogs() as events:
            for factory in (
                RecordSinkFactory(
                    parseContainerRecording(str(self.folder)), ImmediateLane
                ),
                FileSinkFactory(
                    FileSinkFactory.fromString(str(self.folder)).recording,
                    ImmediateLane,
                ),
            ):
                factory.startFactory(self.clock)
                finished = factory.stopFactory()
                assert finished is not None
                self.successResultOf(finished)
        (event,) = events
        self.assertIn("recovered ", formatEvent(event))


class ArgumentTests(SynchronousTestCase):
    """
    C{--sink=record:...}.
    """

    def test_good(self) -> None:
        """
        Every option is read.
        """
        recording = parseContainerRecording(
            r"a\:b:format=ts:name={app}.ts:rotate=60:maxSize=1000:fragment=2"
        )
        self.assertEqual((recording.directory, recording.container.name), ("a:b", "ts"))
        self.assertEqual(
            (recording.rotate, recording.maxSize, recording.fragment),
            (60000, 1000, 2000),
        )
        recording = parseContainerRecording("")
        self.assertEqual(
            (recording.directory, recording.fragment), ("recordings", 1000)
        )
        self.assertTrue(
            verifyObject(IFrameSinkFactory, RecordSinkFactory.fromString(""))
        )

    def test_bad(self) -> None:
        """
        A one-sentence message says what would be right.
        """
        for arguments, sentence in {
            "x:format=avi": "'avi' is not one of mp4, mkv, ts, flv",
            "x:y": r"no option 'y', only format=.*; write a colon in a directory or ",
            "x:rotate=1:rotate=2": "rotate= twice",
            "x:rotate=often": "'often' is not a number of seconds .1 or more",
            "x:maxSize=0": "maxSize",
            "x:fragment=0.1": "'0.1' is not a number of seconds .0.6 or more",
            "x:colour=red": "has no option 'colour', only format=mp4.mkv.ts.flv, name=",
            "x:name=../x": "'..' component",
            "x\0": "NUL",
        }.items():
            with self.assertRaisesRegex(UsageError, sentence):
                RecordSinkFactory.fromString(arguments)

    def test_aDirectoryThatCannotBeUsed(self) -> None:
        """
        The server does not start.
        """
        factory = RecordSinkFactory.fromString("/dev/null/x")
        self.assertRaises(SinkError, factory.startFactory, Clock())


class TargetTests(SynchronousTestCase):
    """
    C{--sink=send:...}.
    """

    def test_formats(self) -> None:
        """
        The format is derived from the scheme or suffix, or given.
        """
        for url, container in {
            "rtsp://h/x": "rtsp",
            "udp://h:1": "mpegts",
            "srt://h:1": "mpegts",
            "http://h/x/index.m3u8": "hls",
            "/srv/{app}/{name}.m3u8": "hls",
            "x.mpd": "dash",
            "rtmps://h/a/b": "flv",
            "x.webm#format=webm": "webm",
            "rtsp://h/x#format=flv": "flv",
        }.items():
            self.assertEqual(parseTarget(url).container, container, url)

    def test_bad(self) -> None:
        """
        A one-sentence message says what would be right, without the URL's secrets.
        """
        for arguments, sentence in {
            "": "needs a URL",
            "#format=hls": "needs a URL",
            "http://u:secret@host/x?k=secret": "from host; add #format=",
            "x.m3u8#format": "'format' needs a value: format=NAME",
            "x.m3u8#hls_time": "'hls_time' needs a value: hls_time=VALUE",
            "x.m3u8#=4": "no option '', only format=NAME, OPTION=VALUE",
            "x.m3u8#a=1&a=2": "got a= twice",
            "http://[x": "not valid",
        }.items():
            with self.assertRaisesRegex(UsageError, sentence) as caught:
                SendSinkFactory.fromString(arguments)
            self.assertNotIn("secret", str(caught.exception))
        factory = SendSinkFactory.fromString("x.y#format=nonsense")
        self.assertRaises(SinkError, factory.startFactory, Clock())

    def test_theCommand(self) -> None:
        """
        Names and options are written to the process's input; the log has only the host.
        """
        target = parseTarget(
            "udp://user:hunter22@host:1234/{app}/{name}?key=tops3cret#pkt=13167"
        )
        command = target.command(makeStreamInfo("a b", "x/../y"))
        self.assertEqual(command.label, "send to host:1234")
        self.assertNotIn("hunter22", " ".join(command.arguments) + repr(command))
        order = json.loads(command.preamble)
        self.assertEqual(
            order["url"],
            "udp://user:hunter22@host:1234/a%20b/x%2F..%2Fy?key=tops3cret",
        )
        self.assertEqual(order["options"], {"pes_payload_size": "0", "pkt": "13167"})
        for secret in ("hunter22", "key=tops3cret", "13167", order["url"]):
            self.assertIn(secret, command.secrets)
        self.assertIs(command.delivery.policy, Policy.TO_KEYFRAME)
        path = parseTarget("hls/{name}.m3u8").command(makeStreamInfo("a", "x/../y"))
        self.assertEqual(json.loads(path.preamble)["url"], "hls/x~2F..~2Fy.m3u8")


class SendingTests(SynchronousTestCase):
    """
    The process that sends a stream.
    """

    def run_(self, url: str, container: str, source: str, **options: str) -> Any:
        """
        Run the process.
        """
        order = {"url": url, "format": container, "options": options}
        return subprocess.run(
            [sys.executable, "-m", "rtmptw._pyav.sending"],
            input=json.dumps(order).encode() + b"\n" + Path(source).read_bytes(),
            capture_output=True,
            cwd=ROOT,
            timeout=60,
        )

    def test_itSendsAll(self) -> None:
        """
        The stream is written to a file in a new directory.
        """
        with tempfile.TemporaryDirectory() as folder:
            source = encode(H264_AAC)
            done = self.run_(f"{folder}/new/x.mkv", "matroska", source)
            self.assertEqual((done.returncode, done.stderr), (0, b""))
            self.assertIn(b"sent 173 frames, 2.469 s, 0 timestamps", done.stdout)
            same(packetsOf(f"{folder}/new/x.mkv"), packetsOf(source), "a process")

    def test_itSaysWhyNot(self) -> None:
        """
        A one-sentence error does not contain the target.
        """
        for url, container, media, sentence in (
            ("http://127.0.0.1:1/secret", "mpegts", H264_AAC, b"Connection refused"),
            ("/dev/null/secret/x", "mpegts", H264_AAC, b"cannot send: "),
        ):
            done = self.run_(url, container, encode(media))
            self.assertEqual(done.returncode, 1)
            self.assertIn(sentence, done.stdout)
            self.assertEqual(len(done.stdout.splitlines()), 1, done.stdout)
            self.assertNotIn(b"secret", done.stdout + done.stderr)

    def test_itSaysWhatItLeavesOut(self) -> None:
        """
        Each omitted track is reported in one sentence; the others are sent.
        """
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        for name, container, media, sentences in (
            ("x.ts", "mpegts", VP9_FLAC, [b"VP9 is left out: ", b"FLAC is left out: "]),
            ("x.wav", "wav", H264_AAC, [b"H264 is left out: FFmpeg's wav refuses it"]),
        ):
            path = f"{folder.name}/{name}"
            done = self.run_(path, container, encode(media))
            self.assertEqual(done.returncode, 0, done.stdout)
            lines = done.stdout.splitlines()
            for sentence in sentences:
                self.assertEqual(sum(line.startswith(sentence) for line in lines), 1)
            self.assertEqual(os.path.exists(path), name == "x.wav")
