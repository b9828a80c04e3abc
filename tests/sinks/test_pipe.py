"""
Tests for L{rtmptw.sinks.pipe.factory}: streams written to other programs.
"""

import os
import signal
import sys
import tempfile
from typing import Any

from twisted.internet.error import (
    ProcessDone,
    ProcessExitedAlready,
    ProcessTerminated,
)
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.python.failure import Failure
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from rtmptw.delivery import LOSSLESS, TO_KEYFRAME
from rtmptw.errors import SinkError
from rtmptw.flv.body import frameFromMessage
from rtmptw.flv.file import TagReader
from rtmptw.frames import Frame, FrameKind
from rtmptw.interfaces import IFrameSink, IFrameSinkFactory
from rtmptw.sinks import child as _child
from rtmptw.sinks.child import ChildSink
from rtmptw.sinks.encodings import AnnexBEncoding, FLVEncoding
from rtmptw.sinks.pipe.factory import PipeSinkFactory, parsePipe
from rtmptw.sinks.process import MAX_LINES
from rtmptw.testing import (
    FrameSinkTestsMixin,
    RecordingProducer,
    audioFrame,
    makeFrames,
    makeStreamInfo,
    videoFrame,
)
from tests._pyav.test_muxing import framesOf
from tests.live.media import AUDIO_ONLY, H264_AAC, HEVC_AAC, VP9_FLAC, encode


class Process:
    """
    A child controlled by the test.

    @ivar input: the data written to it.
    @ivar signals: the signals sent to it.
    """

    pid = 4711

    def __init__(self, protocol: Any, arguments: list[bytes], obeys: bool) -> None:
        self.protocol = protocol
        self.arguments = [os.fsdecode(argument) for argument in arguments]
        self.input = b""
        self.signals: list[int] = []
        self.closed = False
        self.over = False
        self.producer: Any = None
        self._obeys = obeys

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        assert streaming
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None

    def write(self, data: bytes) -> None:
        assert not self.closed
        self.input += data

    def closeStdin(self) -> None:
        assert self.producer is None, "Twisted would wait for it"
        self.closed = True
        if self._obeys:
            self.end()

    def signalProcess(self, name: str) -> None:
        if self.over:
            raise ProcessExitedAlready
        number = signal.Signals[f"SIG{name}"]
        self.signals.append(number)
        if number == signal.SIGKILL:
            self.end(signalled=number)

    def loseConnection(self) -> None:
        """
        Close the pipes.
        """

    def end(self, status: int = 0, signalled: int | None = None) -> None:
        """
        End, and notify the protocol.
        """
        if self.over:
            return
        self.over = True
        error: Exception = ProcessTerminated(status or None, signalled)
        if not status and signalled is None:
            error = ProcessDone(0)
        self.protocol.processExited(Failure(error))
        self.protocol.processEnded(Failure(error))


class ProcessClock(Clock):
    """
    A reactor that starts children which do nothing.

    @ivar children: the children started.
    @ivar obeys: whether they end when their input ends.
    """

    def __init__(self) -> None:
        super().__init__()
        self.children: list[Process] = []
        self.obeys = True

    def spawnProcess(
        self, protocol: Any, program: str, arguments: list[bytes], env: Any = None
    ) -> None:
        process = Process(protocol, arguments, self.obeys)
        self.children.append(process)
        protocol.transport = process
        protocol.connectionMade()


class PipeSinkContractTests(FrameSinkTestsMixin, SynchronousTestCase):
    """
    The pipe sink fulfills the contract of sinks.
    """

    def makeSink(self) -> IFrameSink:
        factory = PipeSinkFactory.fromString(f"{sys.executable} x")
        factory.startFactory(ProcessClock())
        return factory.buildSink(makeStreamInfo())


class PipeTestCase(SynchronousTestCase):
    """
    A clock that starts children, and a publisher.
    """

    def setUp(self) -> None:
        self.clock = ProcessClock()
        self.publisher = RecordingProducer()
        self.patch(_child, "JITTER", 0.0)

    def start(
        self, options: str = "", app: str = "live", name: str = "test"
    ) -> ChildSink:
        """
        @return: a sink whose stream has started.
        """
        self.factory = PipeSinkFactory.fromString(
            f"{sys.executable} {{app}}/{{name}} {{name}}{options}"
        )
        self.factory.startFactory(self.clock)
        stream = makeStreamInfo(app, name)
        sink = self.factory.buildSink(stream)
        sink.streamStarted(stream, self.publisher)
        return sink

    def feed(self, sink: ChildSink, frames: list[Frame]) -> None:
        """
        Pass frames to it.
        """
        for frame in frames:
            sink.frameReceived(frame)


class FeedTests(PipeTestCase):
    """
    The input of a child.
    """

    def test_aWholeStreamAsFLV(self) -> None:
        """
        It has every frame from the first on, with timestamps from 0.
        """
        sink = self.start()
        frames = makeFrames(start=5000)
        self.feed(sink, frames)
        (child,) = self.clock.children
        reader = TagReader()
        tags = reader.receive(child.input)
        count = sum(
            tag.payload == frame.payload
            for tag, frame in zip(tags, frames, strict=True)
        )
        print(f"piped {count} of {len(frames)} frames")
        self.assertEqual(count, len(frames))
        self.assertEqual([tag.timestamp for tag in tags[:3]], [0, 0, 0])
        self.assertEqual(tags[-1].timestamp, frames[-1].timestamp - 5000)
        self.assertTrue(reader.hasAudio and reader.hasVideo)
        finished = sink.streamEnded("over")
        self.assertTrue(child.closed)
        assert finished is not None
        self.successResultOf(finished)

    def test_theHeadPromisesWhatComes(self) -> None:
        """
        A program waits for what the file header announces.
        """
        for frames, has in (
            (makeFrames(video=False), (True, False)),
            (makeFrames(audio=False), (False, True)),
            # Its metadata announces both.
            (framesOf(encode(H264_AAC))[:3], (True, True)),
        ):
            headers = [frame for frame in frames if frame.isHeader]
            first = next((f for f in frames if not f.isHeader), videoFrame(0, True))
            reader = TagReader()
            reader.receive(FLVEncoding().begin(headers[:1], first))
            self.assertEqual((reader.hasAudio, reader.hasVideo), has)

    def test_names(self) -> None:
        """
        A publisher's name can be neither a path nor an option.
        """
        sink = self.start(app="../etc", name="-rf $HOME")
        self.feed(sink, makeFrames())
        self.assertEqual(
            self.clock.children[0].arguments,
            [sys.executable, "%2E.%2Fetc/%2Drf%20%24HOME", "%2Drf%20%24HOME"],
        )

    def test_nobodyIsStartedForNothing(self) -> None:
        """
        A stream without media starts no program.
        """
        sink = self.start()
        self.feed(sink, makeFrames(seconds=0))
        self.assertIsNone(sink.streamEnded("over"))
        self.assertEqual(self.clock.children, [])

    def test_aChildThatIsFullPausesThePublisher(self) -> None:
        """
        The publisher is resumed when the child reads again.
        """
        sink = self.start()
        self.feed(sink, makeFrames())
        (child,) = self.clock.children
        child.producer.pauseProducing()
        self.assertEqual(self.publisher.calls, ["pause"])
        self.clock.advance(29)
        child.producer.resumeProducing()
        self.assertEqual(self.publisher.calls, ["pause", "resume"])
        self.clock.advance(100)
        self.assertEqual(child.signals, [])


class RestartTests(PipeTestCase):
    """
    Children that end before the stream does.
    """

    def test_startedAgainAtAKeyFrame(self) -> None:
        """
        The child is restarted with a delay that doubles each time; headers precede the
        key frame.
        """
        sink = self.start()
        self.feed(sink, makeFrames(seconds=1))
        with capturedLogs() as events:
            self.clock.children[0].end(status=3)
            self.feed(sink, [videoFrame(1000, True)])
            self.clock.advance(0.9)
            self.feed(sink, [videoFrame(1040, True)])
            self.assertEqual(len(self.clock.children), 1)
            self.clock.advance(0.1)
            self.feed(
                sink, [videoFrame(1080), audioFrame(1100), videoFrame(1120, True)]
            )
            self.feed(sink, [videoFrame(1160)])
        said = [formatEvent(event) for event in events]
        self.assertRegex(
            said[0],
            r"^live/test: pipe to python\S*: exit status 3 after 0.0 s and 68 "
            r"messages; restarting in 1.0 s$",
        )
        self.assertRegex(said[1], "started as process 4711; 4 frames skipped$")
        self.assertEqual(self.publisher.dropped, {"process-ended": 4}, "in the books")
        tags = TagReader().receive(self.clock.children[1].input)
        self.assertEqual(
            [(tag.kind, tag.timestamp) for tag in tags],
            [(9, 0), (8, 0), (9, 0), (9, 40)],
        )
        self.assertEqual(tags[2].payload, videoFrame(1120, True).payload)
        for wait in (2, 4, 8, 16, 30, 30):
            self.clock.children[-1].end(signalled=9)
            count = len(self.clock.children)
            self.clock.advance(wait - 0.1)
            self.feed(sink, [videoFrame(9000, True)])
            self.assertEqual(len(self.clock.children), count)
            self.clock.advance(0.1)
            self.feed(sink, [videoFrame(9000, True)])
            self.assertEqual(len(self.clock.children), count + 1)
        self.clock.advance(31)
        self.clock.children[-1].end()
        self.clock.advance(1)
        self.feed(sink, [videoFrame(9000, True)])
        self.assertEqual(sink.starts, 9, "a good life makes the wait short again")

    def test_audioAloneStartsAnywhere(self) -> None:
        """
        Without video there is no key frame to wait for.
        """
        sink = self.start()
        self.feed(sink, makeFrames(video=False))
        self.clock.children[0].end()
        self.clock.advance(1)
        self.feed(sink, [audioFrame(3000)])
        self.assertEqual(len(self.clock.children), 2)

    def test_aProgramThatIsNotThere(self) -> None:
        """
        At the start of the server it is an error; later the sink retries.
        """
        factory = PipeSinkFactory.fromString("/no/such/program x")
        self.assertRaises(SinkError, factory.startFactory, self.clock)
        with tempfile.TemporaryDirectory() as folder:
            path = f"{folder}/x"
            os.symlink("/bin/cat", path)
            factory = PipeSinkFactory.fromString(path)
            factory.startFactory(self.clock)
            os.unlink(path)
            sink = factory.buildSink(makeStreamInfo())
            sink.streamStarted(makeStreamInfo(), self.publisher)
            with capturedLogs() as events:
                self.feed(sink, [videoFrame(0, True)])
            self.assertIn("program x not found; restarting", formatEvent(events[0]))
            self.assertIsNone(sink.streamEnded("over"))

    def test_aChildThatTakesNothing(self) -> None:
        """
        It is killed after C{stall} seconds, and another is started.
        """
        for options, seconds in (("", 30), (" #stall=3", 3)):
            sink = self.start(options)
            self.feed(sink, makeFrames())
            child = self.clock.children[-1]
            child.producer.pauseProducing()
            self.clock.advance(seconds - 0.1)
            self.assertEqual(child.signals, [])
            self.clock.advance(0.2)
            self.assertEqual(child.signals, [signal.SIGKILL])
            self.assertEqual(self.publisher.calls[-2:], ["pause", "resume"])
            self.clock.advance(1)
            self.feed(sink, [videoFrame(9000, True)])
            self.assertIsNot(self.clock.children[-1], child)

    def test_aChildThatClosesItsInput(self) -> None:
        """
        It gets time to exit, and is then terminated.
        """
        sink = self.start()
        self.feed(sink, makeFrames())
        (child,) = self.clock.children
        size = len(child.input)
        child.protocol.inConnectionLost()
        self.feed(sink, [videoFrame(9000, True)])
        self.assertEqual(len(child.input), size)
        self.clock.advance(5)
        self.assertEqual(child.signals, [signal.SIGTERM])
        self.clock.advance(2)
        self.assertEqual(child.signals, [signal.SIGTERM, signal.SIGKILL])


class EndTests(PipeTestCase):
    """
    The end of the stream.
    """

    def test_aChildThatDoesNotEnd(self) -> None:
        """
        It gets SIGTERM after C{finish} seconds, and is killed two seconds later.
        """
        self.clock.obeys = False
        for options, seconds in (("", 5), (" #finish=20", 20)):
            sink = self.start(options)
            self.feed(sink, makeFrames())
            child = self.clock.children[-1]
            child.producer.pauseProducing()
            finished = sink.streamEnded("over")
            assert finished is not None
            self.assertTrue(child.closed)
            self.clock.advance(seconds - 0.1)
            self.assertEqual(child.signals, [])
            self.clock.advance(0.1)
            self.assertEqual(child.signals, [signal.SIGTERM])
            self.assertNoResult(finished)
            self.clock.advance(2)
            self.assertEqual(child.signals, [signal.SIGTERM, signal.SIGKILL])
            self.successResultOf(finished)
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_whileItWaitsToStart(self) -> None:
        """
        No further child is started.
        """
        sink = self.start()
        self.feed(sink, makeFrames())
        self.clock.children[0].end()
        self.assertIsNone(sink.streamEnded("over"))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_theServerStops(self) -> None:
        """
        Remaining children are killed.
        """
        self.clock.obeys = False
        sink = self.start(" #finish=100")
        self.feed(sink, makeFrames())
        finished = sink.streamEnded("over")
        assert finished is not None
        self.factory.stopFactory()
        self.successResultOf(finished)
        self.assertEqual(self.clock.children[0].signals, [signal.SIGKILL])
        self.factory.stopFactory()


class SayTests(PipeTestCase):
    """
    The output of a child.
    """

    def test_itIsLogged(self) -> None:
        """
        It is logged line by line, including an unterminated last line, up to a limit.
        """
        sink = self.start()
        self.feed(sink, makeFrames())
        (child,) = self.clock.children
        with capturedLogs() as events:
            child.protocol.errReceived(b"frame=1\rhel")
            child.protocol.outReceived(b"lo\xff {x}\n\n")
            child.protocol.errReceived(b"line\n" * 100)
            self.clock.advance(10)
            child.protocol.errReceived(b"x" * 5000 + b"\nlast")
            child.end()
        said = [formatEvent(event).partition(": ")[2] for event in events]
        self.assertTrue(said[0].endswith(": frame=1"))
        self.assertTrue(said[1].endswith(": hello\ufffd {x}"))
        self.assertEqual(len([text for text in said if text.endswith(": line")]), 18)
        self.assertIn(f"{102 - MAX_LINES} more lines", said[MAX_LINES])
        self.assertLess(len(said[MAX_LINES + 1]), 600)
        self.assertTrue(said[MAX_LINES + 2].endswith(": last"))


class AnnexBTests(PipeTestCase):
    """
    C{format=annexb}.
    """

    def test_everyFrame(self) -> None:
        """
        The byte stream has every unit, and the parameter sets before each key frame.
        """
        for media in (H264_AAC, HEVC_AAC):
            frames = framesOf(encode(media))
            encoding = AnnexBEncoding()
            coded = [frame for frame in frames if frame.kind is FrameKind.VIDEO]
            headers = [frame for frame in coded if frame.isHeader]
            self.assertEqual(encoding.begin(headers, coded[1]), b"")
            pieces = [encoding.encode(frame, 0) for frame in frames]
            images = [piece for piece in pieces if piece]
            print(f"{media.video}: {len(images)} of {media.frames} pictures")
            self.assertEqual(len(images), media.frames)
            keys = sum(frame.isKey for frame in coded)
            parameters = images[0][: images[0].index(b"\0\0\0\1", 8)]
            self.assertEqual(b"".join(images).count(parameters), keys)

    def test_anotherCodec(self) -> None:
        """
        Another codec ends the sink, with a one-sentence message.
        """
        sink = self.start(" #format=annexb")
        with capturedLogs() as events:
            self.feed(sink, framesOf(encode(VP9_FLAC)))
        self.assertEqual(self.publisher.calls, ["stop"])
        self.assertEqual(
            sink.failure,
            "VP9 has no byte stream with start codes; use format=flv",
        )
        self.assertIn(sink.failure, formatEvent(events[-1]))

    def test_brokenBodies(self) -> None:
        """
        Invalid bodies are skipped.
        """
        encoding = AnnexBEncoding()
        for body in (b"\x17\x00\0\0\0\1\2", b"\x17\x01\0\0\0\0\0\0\xff\1", b"\x17\x01"):
            frame = frameFromMessage(FrameKind.VIDEO, 0, body)
            self.assertEqual(encoding.encode(frame, 0), b"")

    def test_audioIsLeftOut(self) -> None:
        """
        Audio is skipped.
        """
        encoding = AnnexBEncoding()
        for frame in framesOf(encode(AUDIO_ONLY)):
            self.assertEqual(encoding.encode(frame, 0), b"")


class ArgumentTests(SynchronousTestCase):
    """
    C{--sink=pipe:...}.
    """

    def test_good(self) -> None:
        """
        The command line is split as in a shell; a number sign within a word is part of
        it.
        """
        options = parsePipe("a 'b c' color=#fff:x")
        self.assertEqual(options.arguments, ("a", "b c", "color=#fff:x"))
        self.assertIs(options.format, FLVEncoding)
        self.assertIs(options.delivery, TO_KEYFRAME)
        options = parsePipe("a b #format=annexb&policy=lossless&finish=20&stall=9")
        self.assertEqual(options.arguments, ("a", "b"))
        self.assertIs(options.format, AnnexBEncoding)
        self.assertIs(options.delivery, LOSSLESS)
        self.assertEqual((options.finish, options.stall), (20, 9))
        factory = PipeSinkFactory(options)
        self.assertTrue(verifyObject(IFrameSinkFactory, factory))

    def test_theDeliveryIsTheSinks(self) -> None:
        """
        C{policy} selects the delivery.
        """
        factory = PipeSinkFactory.fromString(f"{sys.executable} #policy=lossless")
        self.assertIs(factory.buildSink(makeStreamInfo()).delivery, LOSSLESS)

    def test_bad(self) -> None:
        """
        A one-sentence message says what would be right.
        """
        for arguments, sentence in {
            "": "needs a command line",
            " #format=flv": "needs a command line",
            "a 'b": "No closing quotation",
            "a #format=raw": "'raw' is not one of flv, annexb",
            "a #policy=x": "'x' is not one of to-keyframe, lossless",
            "a #policy=lossless&policy=lossless": "policy= twice",
            "a #finish=0": "'0' is not a number of seconds .1 or more",
            "a #colour=red": "no option 'colour', only format=flv.annexb, policy=",
        }.items():
            with self.assertRaisesRegex(UsageError, sentence):
                PipeSinkFactory.fromString(arguments)
