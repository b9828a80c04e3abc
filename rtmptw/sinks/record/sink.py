"""
Records streams in MP4, Matroska, MPEG-TS and FLV files, and sends them to whatever
FFmpeg can write to; without transcoding.
"""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from rtmptw._pyav.muxing import CONTAINERS, checkFormat
from rtmptw.batches import BatchWriter
from rtmptw.clock import wallClock
from rtmptw.delivery import LOSSLESS, Delivery
from rtmptw.frames import Frame, StreamInfo
from rtmptw.interfaces import IFrameSink, IFrameSinkFactory
from rtmptw.lane import Lane
from rtmptw.plugins.arguments import Argument, Arguments, First
from rtmptw.plugins.sink import FrameSinkFactory
from rtmptw.plugins.values import Choice, Number, Text
from rtmptw.sinks.child import Children, ChildSink
from rtmptw.sinks.file.factory import FileSinkFactory
from rtmptw.sinks.naming import (
    ROTATE,
    SIZE,
    Recording,
    Template,
    checkDirectory,
    milliseconds,
)
from rtmptw.sinks.record.recorder import (
    COLLECTED,
    HELD_BACK,
    ContainerRecording,
    Outcome,
    Recorder,
    partsOf,
    recoverContainer,
)
from rtmptw.sinks.send.target import ARGUMENTS as SEND_ARGUMENTS
from rtmptw.sinks.send.target import Target, parseTarget
from rtmptw.sinks.wording import counted

#: Frames of no size cost memory, too.
MAX_FRAMES = 4096

#: What C{--sink=record} takes.
ARGUMENTS = Arguments(
    "record sink",
    Argument("format", Choice(tuple(CONTAINERS)), "the container", "mp4"),
    Argument(
        "name",
        Text("TEMPLATE"),
        "its name there; {app}/{stream}/{start}.mp4 unless given, or with the suffix "
        "of another format",
    ),
    ROTATE,
    SIZE,
    Argument(
        "fragment",
        Number("seconds", (COLLECTED + HELD_BACK) / 500),
        "no more than so many are lost if the server is killed",
        "1",
    ),
    first=First(Text("DIRECTORY"), "the folder of the recordings", "recordings"),
)


@implementer(IFrameSink)
class RecordSink:
    """
    Records one stream.

    FFmpeg works in the lane of a L{BatchWriter}; this is its owner.

    @ivar failure: why the recording ended before the stream did; empty while all is
        well.
    """

    _log = Logger()

    delivery: Delivery = LOSSLESS

    def __init__(
        self,
        reactor: Any,
        recording: ContainerRecording,
        lane: Callable[[Any, str], Lane] = Lane,
        now: Callable[[], datetime] = wallClock,
    ) -> None:
        """
        @param reactor: provides C{IReactorTime} and C{IReactorThreads}.
        @param recording: what to record where.
        @param lane: makes the lane to write in.
        @param now: the wall clock, for the names of later parts.
        """
        self.failure = ""
        self._reactor = reactor
        self._recording = recording
        self._makeLane = lane
        self._now = now
        self._name = ""
        self._recorder: Recorder | None = None
        self._writer: BatchWriter | None = None
        self._frames: list[Frame] = []
        self._isFinished = False

    def streamStarted(self, stream: StreamInfo, producer: IPushProducer) -> None:
        """
        Nothing is made yet: a stream without a frame leaves no file.
        """
        self._name = stream.name
        self._recorder = Recorder(self._recording, stream, self._now)
        self._writer = BatchWriter(
            self._reactor,
            self,
            f"record {stream.name}",
            self._makeLane,
            producer,
            flushSeconds=COLLECTED / 1000,
            maxItems=MAX_FRAMES,
        )

    def frameReceived(self, frame: Frame) -> None:
        """
        Collect it, and hand over what is collected when it is time.
        """
        if self.failure:
            return
        self._frames.append(frame)
        assert self._writer is not None
        self._writer.added(frame.size)

    def streamEnded(self, reason: str) -> "Deferred[None] | None":
        """
        Complete the file and give it its name.

        @return: a L{Deferred} that fires when that is done.
        """
        assert self._writer is not None
        return self._writer.finish()

    # From the writer.

    def takeBatch(self, isEnding: bool) -> Callable[[], Outcome] | None:
        """
        @return: what writes all that is collected; at the end, what completes the file.
        """
        assert self._recorder is not None and self._writer is not None
        frames, self._frames = self._frames, []
        if frames:
            return partial(self._recorder.write, frames)
        if isEnding and self._writer.isUsed and not self._isFinished:
            self._isFinished = True
            return self._recorder.finish
        return None

    def batchWritten(self, outcome: Outcome) -> str:
        """
        Say which files are complete, and what went wrong.
        """
        for recorded in outcome.recorded:
            counts = recorded.counts
            self._log.info(
                "recorded {path}: {seconds:.3f} s, {packets} frames, {size} bytes"
                "{repaired}{refused}{why}",
                path=recorded.path,
                seconds=counts.milliseconds / 1000,
                packets=counts.packets,
                size=recorded.size,
                repaired=counted(counts.repaired, "timestamps repaired"),
                refused=counted(counts.refused, "frames that FFmpeg refused"),
                why=recorded.why and f"; a new file begins: {recorded.why}",
            )
        if outcome.failure:
            self._log.error(
                "{name}: recording ends early: {path}{reason}",
                name=self._name,
                path=outcome.path and f"{outcome.path}: ",
                reason=outcome.failure,
            )
            self._fail(outcome.failure)
        return self.failure

    def batchFailed(self, failure: Failure) -> str:
        """
        Something of ours is wrong, not the disk.
        """
        self._log.failure("recording ends early", failure=failure)
        self._fail(failure.getErrorMessage() or type(failure.value).__name__)
        return self.failure

    def _fail(self, reason: str) -> None:
        self.failure = reason
        self._frames = []
        self._isFinished = True


@implementer(IFrameSinkFactory)
class RecordSinkFactory:
    """
    Makes a L{RecordSink} for every stream, and gives their names at its start to the
    files that an earlier server left unfinished in its directory.
    """

    _log = Logger()

    arguments = ARGUMENTS

    def __init__(
        self,
        recording: ContainerRecording,
        lane: Callable[[Any, str], Lane] = Lane,
        now: Callable[[], datetime] = wallClock,
    ) -> None:
        """
        @param recording: what to record where.
        @param lane: makes the lanes to write in.
        @param now: the wall clock, for the names of later parts.
        """
        self.recording = recording
        self._lane = lane
        self._now = now
        self._reactor: Any = None
        self._recovery: Deferred[None] | None = None

    @classmethod
    def fromString(cls, argstring: str) -> "RecordSinkFactory | FileSinkFactory":
        r"""
        Record every stream in a container, without transcoding, with every frame::

            --sink=record[:DIRECTORY][:format=mp4|mkv|ts|flv][:name=TEMPLATE]
                  [:rotate=SECONDS][:maxSize=BYTES][:fragment=SECONDS]

        TEMPLATE is the name of a file in DIRECTORY, as the file sink has it
        (--help-sink-type=file).

        An MP4 file is fragmented, for when the server is killed. FLV is written as the
        file sink does, every message as it came. With maxSize, a new file begins at the
        first key frame after so many bytes. So it does where a track comes in or
        changes.

        A stream with a codec that the container cannot hold is not recorded, and the
        log says what could hold it.

        A file is called .part while it is being written. Those that a killed server
        leaves get their names when it starts again.

        @raise UsageError: with one sentence, if the arguments are not understood.
        """
        recording = parseContainerRecording(argstring)
        if recording.container is CONTAINERS["flv"]:
            return FileSinkFactory(asFLV(recording))
        return cls(recording)

    def startFactory(self, reactor: Any) -> None:
        """
        Look whether files can be written, and begin to name unfinished ones.

        @raise SinkError: if the directory cannot be used.
        """
        self._reactor = reactor
        checkDirectory(self.recording.directory)
        self._recovery = Deferred.fromCoroutine(self._recover())
        self._recovery.addErrback(
            lambda failure: self._log.failure(
                "unfinished recordings stay as they are", failure=failure
            )
        )

    def buildSink(self, stream: StreamInfo) -> RecordSink:
        """
        @return: a new L{RecordSink}.
        """
        return RecordSink(self._reactor, self.recording, self._lane, self._now)

    def stopFactory(self) -> "Deferred[None] | None":
        """
        @return: fires when no unfinished file is being worked on any more.
        """
        return self._recovery

    async def _recover(self) -> None:
        recording = self.recording
        lane = self._lane(self._reactor, f"recover {recording.directory}")
        try:
            container = recording.container
            for path in await lane.run(partsOf, recording.directory, container):
                try:
                    sentence = await lane.run(recoverContainer, path, container)
                    if sentence:
                        self._log.info("{sentence}", sentence=sentence)
                except OSError as error:
                    self._log.error(
                        "cannot finish {path}: {reason}", path=path, reason=error
                    )
                except Exception:
                    # A bug that one file shows is no reason to leave the others.
                    self._log.failure("cannot finish {path}", path=path)
        finally:
            lane.close()


class SendSinkFactory(FrameSinkFactory):
    """
    Makes sinks that send streams elsewhere, each by a process of its own.
    """

    arguments = SEND_ARGUMENTS

    def __init__(self, target: Target) -> None:
        """
        @param target: where to.
        """
        self.target = target
        self._reactor: Any = None
        self._children = Children()

    @classmethod
    def fromString(cls, argstring: str) -> "SendSinkFactory":
        """
        Send every stream to whatever FFmpeg can write to, without transcoding::

            --sink=send:udp://HOST:PORT
            --sink=send:rtsp://HOST/{app}/{name}
            --sink=send:/srv/hls/{app}/{name}/index.m3u8

        {app} and {name} stand for what the stream is called. The format follows from
        rtsp, udp, tcp, srt, rtp and rtmp, and from names that end in .m3u8 or .mpd.
        Others, and options of FFmpeg's muxer, follow a number sign::

            --sink='send:http://HOST/in#format=mpegts'
            --sink='send:hls/{name}.m3u8#hls_time=4&hls_list_size=0'

        Options of a protocol stand in the URL, as FFmpeg has them:
        udp://HOST:PORT?pkt_size=1316.

        FFmpeg works in a process of its own. If that ends, or if the target takes
        nothing for 10 seconds, it is started again after a second, then two, up to 30,
        and begins with a key frame. Frames for a target that is too slow are dropped up
        to a key frame: nobody else waits.

        @raise UsageError: with one sentence, if the arguments are not understood.
        """
        return cls(parseTarget(argstring))

    def startFactory(self, reactor: object) -> None:
        """
        Take the reactor; look whether FFmpeg knows the format.

        @raise SinkError: if it does not.
        """
        self._reactor = reactor
        checkFormat(self.target.container)

    def buildSink(self, stream: StreamInfo) -> ChildSink:
        """
        @return: a new sink.
        """
        command = self.target.command(stream)
        return self._children.add(ChildSink(self._reactor, command))

    def stopFactory(self) -> None:
        """
        Leave no process behind.
        """
        self._children.kill()


def asFLV(recording: ContainerRecording) -> Recording:
    """
    FFmpeg's FLV muxer ends the process when it meets a track that it does not
    expect, such as Speex, or Opus without its header. Ours takes everything.

    @return: the same, for the file sink.
    """
    return Recording(
        recording.directory, recording.template, recording.rotate, recording.maxSize
    )


def parseContainerRecording(argstring: str) -> ContainerRecording:
    """
    Understand the arguments of C{--sink=record}.

    @raise UsageError: with one sentence, if that is not what it is.
    """
    said = ARGUMENTS.read(argstring)
    container = said["format"]
    name = said["name"] or f"{{app}}/{{stream}}/{{start}}.{container}"
    return ContainerRecording(
        said["DIRECTORY"],
        Template(name, f".{container}"),
        CONTAINERS[container],
        milliseconds(said["rotate"]),
        said["maxSize"] or 0,
        milliseconds(said["fragment"]),
    )
