"""
Records one stream in FLV files.
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

# To look a member up in its class costs more than to compare it.
_VIDEO: Final = FrameKind.VIDEO
_AUDIO: Final = FrameKind.AUDIO
_END: Final = Role.END
_CONFIG: Final = Role.CONFIG
_H264: Final = Codec.H264

#: A stream whose first frame is later than this joined a clock that runs already,
#: and its recording starts at 0. Earlier ones keep the encoder's own clock: audio
#: that starts 40 ms after the video stays there.
MAX_START = 10_000
#: Audio and video that lie further apart are two clocks, not interleaving: a new
#: part does not start so late for their sake.
MAX_LAG = 10_000
#: A header or data message further from the present than this has no clock at all
#: (many are sent with 0), and gets the present.
MAX_STRAY = 10_000
#: A codec header for H.264 that says nothing but that the length of each NAL unit has
#: four bytes, as everybody sends it.
NO_PARAMETER_SETS: Final = b"\x17\0\0\0\0\x01\x42\x00\x1f\xff\xe0\x00"
#: Data messages kept for a file that is not begun for want of audio and video.
MAX_EARLY_FRAMES = 256
MAX_EARLY_BYTES = 1024 * 1024


@dataclass(slots=True)
class _Batch:
    """
    What goes to one file with one write.

    @ivar contents: what the file holds, if it ends with this batch.
    """

    part: FLVPart
    pieces: list[bytes] = field(default_factory=list)
    contents: Contents | None = None


@dataclass(slots=True)
class _Outcome:
    """
    What came of a write.

    @ivar failure: what went wrong; empty if nothing did.
    @ivar path: the file with which it went wrong.
    """

    finished: list[Finished] = field(default_factory=list)
    failure: str = ""
    path: str = ""


def _perform(batches: list[_Batch]) -> _Outcome:
    """
    Write; runs in the lane.
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
            # A bug: the file stays for the next start, but not its lock.
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
        # It keeps its name, and the next start of the server tries again.
        outcome.failure += f"; then {error.strerror or type(error).__name__}"
    finally:
        part.close()


class FileSink:
    """
    Records one stream, in one file or, with rotation, in several.

    The files are written by a L{BatchWriter}; this is its owner.

    @ivar failure: why the recording ended before the stream did, such as
        C{"No space left on device"}; empty while all is well.
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
        @param recording: what to record where.
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

        # The clock of the stream.
        self._highest: int | None = None
        self._lag = 0

        # The part that is being collected.
        self._part: FLVPart | None = None
        self._parts = 0
        self._contents = Contents()
        self._base = 0
        self._partStart = 0
        self._groupStart = 0
        self._metadata = b""
        self._isDescribed: bool = False

        # What is on its way to the disk.
        self._writer: BatchWriter | None = None
        self._batches: list[_Batch] = []
        self._added = 0

    def streamStarted(self, stream: StreamInfo, producer: IPushProducer) -> None:
        """
        Nothing is made yet: a stream without a frame leaves no file.
        """
        self._stream = stream
        self._name = stream.name
        self._writer = BatchWriter(
            self._reactor, self, f"record {stream.name}", self._makeLane, producer
        )

    def frameReceived(self, frame: Frame) -> None:
        """
        Collect it, and write what is collected when it is time.
        """
        if self.failure:
            return
        if frame.isHeader:
            self._headers.remember(frame)
            if frame.role is _CONFIG and frame.kind is _VIDEO:
                self._isDescribed = True
        elif frame.role is _END and frame.kind is _VIDEO:
            # If no more key frames come, the audio turns the pages from now on.
            self._leading.follow(frame)
        isTimed = isMedia(frame)
        if isTimed:
            self._mediaReceived(frame)
        elif self._part is None:
            self._keepEarly(frame)
        elif frame.name != "onMetaData" or not frame.isHeader:
            self._append(frame, self._clamped(frame))
        elif frame.payload != self._metadata:
            # GStreamer repeats the same one eleven times a second.
            self._metadata = frame.payload
            self._append(frame, self._clamped(frame))
        size, self._added = self._added, 0
        if size:
            assert self._writer is not None
            # With a key frame it is written at once: whatever happens then, all up to
            # a picture is there.
            self._writer.added(size, isTimed and frame.isKey)

    def streamEnded(self, reason: str) -> "Deferred[None] | None":
        """
        Complete the file and give it its name.

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
            # The group that begins is probably as large as the one that ends.
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
        @return: whether the part is to end rather than go on to C{size} bytes.
        """
        rotate, maxSize = self._recording.rotate, self._recording.maxSize
        return (rotate > 0 and timestamp - self._partStart >= rotate) or (
            0 < maxSize < size
        )

    def _clamped(self, frame: Frame) -> int:
        """
        @return: when a frame that is neither audio nor video has its place in the
            file: its own time, if that is near enough to the present.
        """
        highest = self._highest
        timestamp = frame.timestamp
        if highest is not None and abs(timestamp - highest) > MAX_STRAY:
            timestamp = highest
        return max(0, timestamp - self._base)

    def _keepEarly(self, frame: Frame) -> None:
        """
        Keep what comes before the first audio or video, for the head of the file.
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
                    "audio or video are recorded",
                    name=self._name,
                    frames=len(self._early),
                )

    # Parts.

    def _beginPart(self, first: Frame, base: int) -> None:
        """
        Begin a file with C{first}: metadata and codec headers stand before it.
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
        # Until the end tells, a reader had better look for both.
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
        Stand in for the header of pictures that have none, or get it later: without
        any, FFmpeg opens nothing of the file, not even its sound.
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

    # From the writer.

    def takeBatch(self, isEnding: bool) -> Callable[[], _Outcome] | None:
        """
        @return: what writes all that is collected.
        """
        batches, self._batches = self._batches, []
        return partial(_perform, batches) if batches else None

    def batchWritten(self, outcome: _Outcome) -> str:
        """
        Say which files are complete, and what went wrong.
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
                "recording ends early: {path}: {reason}",
                path=outcome.path,
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
        self._part = None
        self._batches = []


# Not as a decorator: mypyc makes a plain class of one that has any.
classImplements(FileSink, IFrameSink)
