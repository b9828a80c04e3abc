"""
Records one stream to FLV files.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import classImplements

from rtmptw.batches import BatchWriter
from rtmptw.clock import wallClock
from rtmptw.delivery import LOSSLESS, Delivery
from rtmptw.flv import file as flvfile
from rtmptw.frames import Codec, CodecHeaders, Frame, FrameKind, Role, StreamInfo
from rtmptw.interfaces import IFrameSink
from rtmptw.keyframes import Beginnings, LeadingTrack
from rtmptw.lane import Lane
from rtmptw.sinks.naming import Recording
from rtmptw.sinks.recording.contents import (
    Contents,
    Properties,
    encoderProperties,
    isMedia,
    metadataTag,
    reserveFor,
)
from rtmptw.sinks.recording.part import Finished, FLVPart
from rtmptw.sinks.recording.recovery import (
    rescue,
)

# Looking up an enum member in its class costs more than the comparison.
_VIDEO: Final = FrameKind.VIDEO
_AUDIO: Final = FrameKind.AUDIO
_END: Final = Role.END
_CONFIG: Final = Role.CONFIG
_H264: Final = Codec.H264

#: A stream whose first timestamp is larger than this (in ms) uses a clock that was
#: already running; its recording starts at 0. Smaller timestamps are kept: audio that
#: starts 40 ms after the video stays there.
MAX_START = 10_000
#: Audio and video further apart than this (in ms) use two clocks and are not merely
#: interleaved: a new part does not start that much later because of them.
MAX_LAG = 10_000
#: A header or data message further than this (in ms) from the current timestamp has no
#: usable clock (many are sent with 0), and gets the current timestamp.
MAX_STRAY = 10_000
#: A sequence header for H.264 without parameter sets. It only says that each NAL unit
#: has a length of four bytes, which all encoders use.
NO_PARAMETER_SETS: Final = b"\x17\0\0\0\0\x01\x42\x00\x1f\xff\xe0\x00"
#: Limits for data messages that are kept until the first audio or video frame begins a
#: file.
MAX_EARLY_FRAMES = 256
MAX_EARLY_BYTES = 1024 * 1024


@dataclass(slots=True)
class _Batch:
    """
    The data of one write to one file.

    @ivar contents: what the file contains, if it ends with this batch.
    """

    part: FLVPart
    pieces: list[bytes] = field(default_factory=list)
    contents: Contents | None = None


@dataclass(slots=True)
class _Outcome:
    """
    The result of a write.

    @ivar failure: what went wrong; empty if nothing did.
    @ivar path: the file that it went wrong with.
    """

    finished: list[Finished] = field(default_factory=list)
    failure: str = ""
    path: str = ""


def _perform(batches: list[_Batch]) -> _Outcome:
    """
    Write the batches; runs in the lane.
    """
    outcome = _Outcome()
    for batch in batches:
        part = batch.part
        try:
            part.write(batch.pieces)
            if batch.contents is not None:
                outcome.finished.append(part.finish(batch.contents))
        except OSError as error:
            outcome.failure = f"{error.strerror or type(error).__name__}"
            outcome.path = part.path
            _salvage(part, outcome)
            break
        except BaseException:
            # A bug: leave the file to the next start of the server, but release its
            # lock.
            part.close()
            raise
    return outcome


def _salvage(part: FLVPart, outcome: _Outcome) -> None:
    if part.descriptor is None:
        return
    try:
        saved = rescue(part.descriptor, part.path)
        if saved.finished is not None:
            outcome.finished.append(saved.finished)
    except OSError as error:
        # The file keeps its C{.part} name; the next start of the server tries again.
        outcome.failure += f"; then {error.strerror or type(error).__name__}"
    finally:
        part.close()


class FileSink:
    """
    Records one stream, to one file or, with rotation, to several.

    The files are written by a L{BatchWriter}, whose owner this is.

    @ivar failure: why the recording stopped before the stream ended, such as C{"No
        space left on device"}; empty if it has not failed.
    """

    _log = Logger()

    delivery: Delivery = LOSSLESS

    def __init__(
        self,
        reactor: Any,
        recording: Recording,
        lane: Callable[[Any, str], Lane] = Lane,
        now: Callable[[], datetime] = wallClock,
    ) -> None:
        """
        @param reactor: provides C{IReactorTime} and C{IReactorThreads}.
        @param recording: what to record, and where.
        @param lane: makes the lane to write in.
        @param now: the wall clock, for the names of later parts.
        """
        self.failure = ""
        self._reactor = reactor
        self._recording = recording
        self._makeLane = lane
        self._now = now

        self._stream: StreamInfo | None = None
        self._name = ""
        self._headers = CodecHeaders()
        self._early: list[Frame] = []
        self._earlyBytes = 0
        self._earlyLost = False
        self._leading = LeadingTrack()
        self._beginnings = Beginnings(self._leading)

        # The stream's clock.
        self._highest: int | None = None
        self._lag = 0

        # The part that is being recorded.
        self._part: FLVPart | None = None
        self._parts = 0
        self._contents = Contents()
        self._base = 0
        self._partStart = 0
        self._groupStart = 0
        self._metadata = b""
        self._isDescribed: bool = False

        # What is waiting to be written.
        self._writer: BatchWriter | None = None
        self._batches: list[_Batch] = []
        self._added = 0

    def streamStarted(self, stream: StreamInfo, producer: IPushProducer) -> None:
        """
        Prepare to write. No file is created yet: a stream without frames leaves none.
        """
        self._stream = stream
        self._name = stream.name
        self._writer = BatchWriter(
            self._reactor, self, f"record {stream.name}", self._makeLane, producer
        )

    def frameReceived(self, frame: Frame) -> None:
        """
        Buffer the frame, and write the buffer when it is time.
        """
        if self.failure:
            return
        if frame.isHeader:
            self._headers.remember(frame)
            if frame.role is _CONFIG and frame.kind is _VIDEO:
                self._isDescribed = True
        elif frame.role is _END and frame.kind is _VIDEO:
            # If no more key frames follow, audio frames decide where parts begin.
            self._leading.follow(frame)
        isTimed = isMedia(frame)
        if isTimed:
            self._mediaReceived(frame)
        elif self._part is None:
            self._keepEarly(frame)
        elif frame.name != "onMetaData" or not frame.isHeader:
            self._append(frame, self._clamped(frame))
        elif frame.payload != self._metadata:
            # GStreamer repeats the same metadata eleven times a second.
            self._metadata = frame.payload
            self._append(frame, self._clamped(frame))
        size, self._added = self._added, 0
        if size:
            assert self._writer is not None
            # A key frame is written at once: whatever happens later, the recording has
            # everything up to a complete image.
            self._writer.added(size, isTimed and frame.isKey)

    def streamEnded(self, reason: str) -> "Deferred[None] | None":
        """
        Complete the file and give it its final name.

        @return: a L{Deferred} that fires when that is done.
        """
        self._endPart()
        assert self._writer is not None
        return self._writer.finish()

    # Frames.

    def _mediaReceived(self, frame: Frame) -> None:
        timestamp = frame.timestamp
        if frame.isKey:
            self._leading.follow(frame)
        if self._part is None:
            self._beginnings.begins(frame)
            early = 0 <= timestamp <= MAX_START
            self._beginPart(frame, 0 if early else timestamp)
        elif self._beginnings.begins(frame):
            size = self._contents.size
            # The group of pictures that begins is probably as large as the one that
            # ends.
            expected = size + size - self._groupStart
            self._groupStart = size
            if self._isFull(timestamp, expected):
                self._endPart()
                self._beginPart(frame, timestamp - self._lag)
        if self._highest is None or timestamp > self._highest:
            self._highest = timestamp
        else:
            self._lag = max(self._lag, min(self._highest - timestamp, MAX_LAG))
        mapped = max(0, timestamp - self._base)
        if not self._isDescribed and frame.codec is _H264:
            self._describe(mapped)
        position = self._contents.size
        self._append(frame, mapped)
        self._contents.add(frame, mapped, position)

    def _isFull(self, timestamp: int, size: int) -> bool:
        """
        @return: whether to end the part rather than let it grow to C{size} bytes.
        """
        rotate, maxSize = self._recording.rotate, self._recording.maxSize
        return (rotate > 0 and timestamp - self._partStart >= rotate) or (
            0 < maxSize < size
        )

    def _clamped(self, frame: Frame) -> int:
        """
        @return: the timestamp in the file of a frame that is neither audio nor video:
            its own, if that is close enough to the current one.
        """
        highest = self._highest
        timestamp = frame.timestamp
        if highest is not None and abs(timestamp - highest) > MAX_STRAY:
            timestamp = highest
        return max(0, timestamp - self._base)

    def _keepEarly(self, frame: Frame) -> None:
        """
        Keep a data message that precedes the first audio or video frame; it is written
        at the beginning of the file.
        """
        if frame.isHeader:
            return
        self._early.append(frame)
        self._earlyBytes += frame.size
        while len(self._early) > MAX_EARLY_FRAMES or self._earlyBytes > MAX_EARLY_BYTES:
            self._earlyBytes -= self._early.pop(0).size
            if not self._earlyLost:
                self._earlyLost = True
                self._log.warn(
                    "{name}: only the last {frames} data messages before the first "
                    "audio or video frame are recorded",
                    name=self._name,
                    frames=len(self._early),
                )

    # Parts.

    def _beginPart(self, first: Frame, base: int) -> None:
        """
        Begin a file with C{first}, preceded by metadata and sequence headers.
        """
        assert self._stream is not None
        self._parts += 1
        self._base = base
        self._partStart = first.timestamp
        recording = self._recording
        start = self._stream.startedAt if self._parts == 1 else self._now()
        path = recording.template.path(
            self._stream.app, self._stream.stream, start, self._parts
        )
        kept: Properties = []
        headers: list[Frame] = []
        self._metadata = b""
        for header in self._headers.frames():
            if header.name == "onMetaData":
                self._metadata = header.payload
                properties = encoderProperties(header.payload)
                if properties is not None:
                    kept = properties
                    continue
            headers.append(header)
        self._isDescribed = any(
            [header.kind is _VIDEO and header.role is _CONFIG for header in headers]
        )
        reserve = reserveFor(kept, recording.rotate, recording.maxSize)
        self._part = FLVPart(os.path.join(recording.directory, path), kept, reserve)
        self._contents = Contents()
        # Until the end of the recording both flags are set, so that a reader expects
        # audio and video.
        opening = flvfile.fileHeader(True, True)
        tag = metadataTag(kept, self._contents, reserve)
        size = len(opening) + len(tag)
        self._batch().pieces += (opening, tag)
        self._contents.size += size
        self._added += size
        self._groupStart = self._contents.size
        early, self._early = self._early, []
        for frame in (*headers, *early):
            timestamp = min(frame.timestamp, first.timestamp) - base
            self._append(frame, max(0, timestamp))

    def _describe(self, timestamp: int) -> None:
        """
        Write a sequence header for H.264 frames that have none, or get one only later:
        without any, FFmpeg cannot open the file at all, not even its audio.
        """
        self._isDescribed = True
        self._append(
            Frame(_VIDEO, timestamp, NO_PARAMETER_SETS, _CONFIG, _H264), timestamp
        )

    def _endPart(self) -> None:
        if self._part is not None:
            self._batch().contents = self._contents
            self._part = None

    # Bytes.

    def _append(self, frame: Frame, timestamp: int) -> None:
        payload = frame.payload
        size = len(payload)
        self._batch().pieces += (
            flvfile.tagHeader(frame.kind, timestamp, size),
            payload,
            flvfile.previousSize(size),
        )
        size = flvfile.wholeSize(size)
        self._contents.size += size
        self._added += size

    def _batch(self) -> _Batch:
        assert self._part is not None
        if not self._batches or self._batches[-1].part is not self._part:
            self._batches.append(_Batch(self._part))
        return self._batches[-1]

    # Called by the writer.

    def takeBatch(self, isEnding: bool) -> Callable[[], _Outcome] | None:
        """
        @return: a function that writes all that is buffered.
        """
        batches, self._batches = self._batches, []
        return partial(_perform, batches) if batches else None

    def batchWritten(self, outcome: _Outcome) -> str:
        """
        Log which files are complete, and what went wrong.
        """
        for finished in outcome.finished:
            self._log.info(
                "recorded {path}: {seconds:.3f} s, {frames} frames, {size} bytes",
                path=finished.path,
                seconds=finished.seconds,
                frames=finished.frames,
                size=finished.size,
            )
        if outcome.failure:
            self._log.error(
                "recording stopped early: {path}: {reason}",
                path=outcome.path,
                reason=outcome.failure,
            )
            self._fail(outcome.failure)
        return self.failure

    def batchFailed(self, failure: Failure) -> str:
        """
        Handle a bug of ours; errors of the disk are in the outcome.
        """
        self._log.failure(
            "{name}: recording stopped early", name=self._name, failure=failure
        )
        self._fail(failure.getErrorMessage() or type(failure.value).__name__)
        return self.failure

    def _fail(self, reason: str) -> None:
        self.failure = reason
        self._part = None
        self._batches = []


# Not as a decorator: mypyc compiles a decorated class as a plain Python class.
classImplements(FileSink, IFrameSink)
