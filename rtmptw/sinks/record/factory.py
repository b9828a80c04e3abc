"""
Makes the sinks that record in containers, and finishes what an earlier server left.
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
        first key frame after so many bytes. So it does where a track changes, and no
        packet is lost.

        A codec that the container cannot hold is left out, and the log says what could
        hold it.

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

        @raise SinkError: if the directory cannot be used, or the container not here.
        """
        self._reactor = reactor
        container = self.recording.container.name
        if container != "mp4":
            checkProcesses(f"record sink with format={container}")
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
