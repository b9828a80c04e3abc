"""
Makes the sinks that record to container files, and recovers unfinished files.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from zope.interface import implementer

from rtmptw.clock import wallClock
from rtmptw.frames import StreamInfo
from rtmptw.interfaces import IFrameSinkFactory
from rtmptw.lane import Lane
from rtmptw.plugins.arguments import Argument, Arguments, First
from rtmptw.plugins.values import Choice, Number, Text
from rtmptw.remux.kinds import CONTAINERS
from rtmptw.sinks.file.factory import FileSinkFactory
from rtmptw.sinks.naming import (
    ROTATE,
    SIZE,
    Recording,
    Template,
    checkDirectory,
    milliseconds,
)
from rtmptw.sinks.process import checkProcesses
from rtmptw.sinks.record.recorder import (
    COLLECTED,
    HELD_BACK,
    ContainerRecording,
    partsOf,
    recoverContainer,
)
from rtmptw.sinks.record.sink import RecordSink

#: The arguments of C{--sink=record}.
ARGUMENTS = Arguments(
    "record sink",
    Argument("format", Choice(tuple(CONTAINERS)), "the container format", "mp4"),
    Argument(
        "name",
        Text("TEMPLATE"),
        "the file name in DIRECTORY; {app}/{stream}/{start}.mp4 if not given, or with "
        "the suffix of another format",
    ),
    ROTATE,
    SIZE,
    Argument(
        "fragment",
        Number("seconds", (COLLECTED + HELD_BACK) / 500),
        "how much media is lost at most if the server is killed",
        "1",
    ),
    first=First(Text("DIRECTORY"), "the directory for recordings", "recordings"),
)


@implementer(IFrameSinkFactory)
class RecordSinkFactory:
    """
    Makes a L{RecordSink} for every stream. At its start it recovers the files that an
    earlier server left unfinished in its directory.
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
        @param recording: what to record, and where.
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
        Record every stream to container files, with every frame and without
        transcoding::

            --sink=record[:DIRECTORY][:format=mp4|mkv|ts|flv][:name=TEMPLATE]
                  [:rotate=SECONDS][:maxSize=BYTES][:fragment=SECONDS]

        TEMPLATE is the name of a file in DIRECTORY, with the fields of the file sink
        (--help-sink-type=file).

        MP4 files are fragmented, so that they can be played if the server is killed.
        FLV files are those of the file sink, with every message unchanged. With
        maxSize, a new file starts at the first key frame after that size. A new file
        also starts where a track changes; no packet is lost.

        A codec that the container cannot hold is left out, and the log names the
        formats that can hold it.

        The name of a file ends in .part while it is being written. If the server is
        killed, these files get their final names when it starts again.

        @raise UsageError: with a one-sentence message, if the arguments are invalid.
        """
        recording = parseContainerRecording(argstring)
        if recording.container is CONTAINERS["flv"]:
            return FileSinkFactory(asFLV(recording))
        return cls(recording)

    def startFactory(self, reactor: Any) -> None:
        """
        Check that files can be written, and start to recover unfinished ones.

        @raise SinkError: if the directory cannot be used, or this system cannot write
            the container.
        """
        self._reactor = reactor
        container = self.recording.container.name
        if container != "mp4":
            checkProcesses(f"record sink with format={container}")
        checkDirectory(self.recording.directory)
        self._recovery = Deferred.fromCoroutine(self._recover())
        self._recovery.addErrback(
            lambda failure: self._log.failure(
                "recovery of unfinished recordings failed", failure=failure
            )
        )

    def buildSink(self, stream: StreamInfo) -> RecordSink:
        """
        @return: a new L{RecordSink}.
        """
        return RecordSink(self._reactor, self.recording, self._lane, self._now)

    def stopFactory(self) -> "Deferred[None] | None":
        """
        @return: fires when work on unfinished files has stopped.
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
                        "cannot recover {path}: {reason}", path=path, reason=error
                    )
                except Exception:
                    # A bug that one file triggers must not keep the others from being
                    # recovered.
                    self._log.failure("cannot recover {path}", path=path)
        finally:
            lane.close()


def asFLV(recording: ContainerRecording) -> Recording:
    """
    Convert the options to those of the file sink. FFmpeg's FLV muxer ends the process
    when it gets an unexpected track, such as Speex, or Opus without its header. The
    file sink records everything.

    @return: the same options for the file sink.
    """
    return Recording(
        recording.directory, recording.template, recording.rotate, recording.maxSize
    )


def parseContainerRecording(argstring: str) -> ContainerRecording:
    """
    Parse the arguments of C{--sink=record}.

    @raise UsageError: with a one-sentence message, if they are invalid.
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
