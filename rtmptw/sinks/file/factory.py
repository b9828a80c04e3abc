"""
Makes the sinks that record FLV files without losing a frame, and recovers unfinished
files.
"""

import os
import sys
from collections.abc import Callable
from datetime import datetime
from typing import Any, TextIO

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from zope.interface import implementer

from rtmptw.clock import wallClock
from rtmptw.frames import StreamInfo
from rtmptw.interfaces import IFrameSinkFactory
from rtmptw.lane import Lane
from rtmptw.sinks.file.sink import FileSink
from rtmptw.sinks.naming import (
    ARGUMENTS,
    Recording,
    checkDirectory,
    parseRecording,
)
from rtmptw.sinks.recording.recovery import (
    Progress,
    Recovered,
    Verdict,
    findParts,
    recoverPart,
    sizeOf,
)

__all__ = ["FileSink", "FileSinkFactory"]


@implementer(IFrameSinkFactory)
class FileSinkFactory:
    """
    Makes a L{FileSink} for every stream. At its start it finishes the files that an
    earlier server left unfinished in its directory.
    """

    _log = Logger()

    arguments = ARGUMENTS

    def __init__(
        self,
        recording: Recording | None = None,
        lane: Callable[[Any, str], Lane] = Lane,
        now: Callable[[], datetime] = wallClock,
        terminal: TextIO | None = sys.__stderr__,
    ) -> None:
        """
        @param recording: what to record, and where.
        @param lane: makes the lanes to write in.
        @param now: the wall clock, for the names of later parts.
        @param terminal: where to show the progress of a long recovery. Not
            C{sys.stderr}, which twistd redirects to the log.
        """
        self.recording = recording or Recording()
        self._lane = lane
        self._now = now
        self._terminal = terminal
        self._reactor: Any = None
        self._stopping = False
        self._recovery: Deferred[None] | None = None

    @classmethod
    def fromString(cls, argstring: str) -> "FileSinkFactory":
        r"""
        Record every stream to an FLV file, with every frame and without changes::

            --sink=file[:DIRECTORY][:name=TEMPLATE][:rotate=SECONDS][:maxSize=BYTES]

        TEMPLATE is the name of a file in DIRECTORY. It may contain these fields::

            {app}     the application       {start}  2026-11-22_23-59-59-123456
            {stream}  the stream            {date}   2026-11-22
            {part}    1, 2, ...             {time}   23-59-59
                                            {epoch}  1795391999

        Times are local. Unsafe characters in the name of an application or stream are
        written as %2F and the like. Files are never overwritten: if the name is taken,
        -2 is appended.

        With maxSize, a new file starts at the last key frame before that size. No frame
        is lost or repeated between two files.

        To use a colon, an equals sign or a backslash in an argument, put a backslash
        before it::

            --sink='file:/srv/video\:1:name={app}-{stream}.flv:rotate=3600'

        The name of a file ends in .part while it is being written. If the server is
        killed, these files are completed when it starts again.

        @raise UsageError: with a one-sentence message, if the arguments are invalid.
        """
        return cls(parseRecording(argstring))

    def startFactory(self, reactor: Any) -> None:
        """
        Check that files can be written, and start to finish the unfinished ones.

        @raise SinkError: if the directory cannot be used.
        """
        self._reactor = reactor
        directory = self.recording.directory
        checkDirectory(directory)
        if os.path.isdir(directory):
            self._recovery = Deferred.fromCoroutine(self._recover(directory))
            self._recovery.addErrback(self._recoveryBroken)

    def buildSink(self, stream: StreamInfo) -> FileSink:
        """
        @return: a new L{FileSink}.
        """
        return FileSink(self._reactor, self.recording, self._lane, self._now)

    def stopFactory(self) -> "Deferred[None] | None":
        """
        @return: a L{Deferred} that fires when work on unfinished files has stopped.
            Files not yet begun are left for the next start.
        """
        self._stopping = True
        return self._recovery

    async def _recover(self, directory: str) -> None:
        lane = self._lane(self._reactor, f"recover {directory}")
        try:
            paths = await lane.run(findParts, directory)
            if not paths:
                return
            total = await lane.run(sizeOf, paths)
            progress = Progress(self._terminal, total)
            for path in paths:
                if self._stopping:
                    break
                try:
                    self._logRecovered(await lane.run(recoverPart, path, progress))
                except OSError as error:
                    self._log.error(
                        "cannot recover {path}: {reason}", path=path, reason=error
                    )
                except Exception:
                    # A bug that one file triggers must not keep the others from being
                    # finished.
                    self._log.failure("cannot recover {path}", path=path)
            progress.end()
        finally:
            lane.close()

    def _logRecovered(self, recovered: Recovered) -> None:
        match recovered.verdict:
            case Verdict.FINISHED:
                finished = recovered.finished
                assert finished is not None
                self._log.info(
                    "recovered {path}: {seconds:.3f} s, {frames} frames, "
                    "{size} bytes, {cut} bytes cut off",
                    path=finished.path,
                    seconds=finished.seconds,
                    frames=finished.frames,
                    size=finished.size,
                    cut=recovered.cut,
                )
            case Verdict.REMOVED:
                self._log.info(
                    "removed {path}: it contains no frames", path=recovered.path
                )
            case Verdict.FOREIGN:
                self._log.warn(
                    "left {path} alone: {why}", path=recovered.path, why=recovered.why
                )
            case Verdict.BUSY:
                pass

    def _recoveryBroken(self, failure: Any) -> None:
        self._log.failure("recovery of unfinished recordings failed", failure=failure)
