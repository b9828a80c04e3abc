"""
The decoded frames of one stream name, across all its publishers.
"""

from collections import deque
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from rtmptw._pyav.decoding import Decoded
from rtmptw.arrays.live import ENDED, LIVE, WAITING
from rtmptw.arrays.reactors import ReactorThread
from rtmptw.delivery import Policy
from rtmptw.frames import Frame, FrameKind, Role
from rtmptw.hub.stream import Stream
from rtmptw.sinks.decode.decoding import MEDIA, DecodedFrame, Wanted
from rtmptw.sinks.decode.loop import DecodedFrames

#: The formats of arrays.
FORMATS = ("bgr24", "rgb24", "gray")
#: Seconds without a frame after which a message mentions it.
SILENT = 1.0

_WORDS = {"video": "video", "audio": "audio", "both": "video or audio"}


class Front(Protocol):
    """
    Gets the frames for the program's thread.
    """

    def put(self, frames: "StreamFrames", item: Decoded | DecodedFrame) -> None:
        """
        Take a frame. Called in the reactor's thread.
        """

    def fail(self, failure: Failure) -> None:
        """
        No frame can follow, because of an error of our own.
        """

    def wake(self) -> None:
        """
        No frame follows: the capture has ended.
        """


class Place(Protocol):
    """
    Where the streams of an intake come from. Called in the reactor's thread.
    """

    def missing(self, name: str) -> str:
        """
        @return: why nobody publishes the stream, for messages. Called in any thread.
        """

    def left(self, intake: "Intake") -> "Deferred[None]":
        """
        The intake has ended: clean up.

        @return: fires when that is done.
        """


class StreamFrames(DecodedFrames):
    """
    The frames of one publisher of the stream.
    """

    def __init__(self, intake: "Intake", options: "Options") -> None:
        super().__init__(
            intake.home.reactor,
            format=options.format,
            policy=options.policy,
            size=options.size,
            fps=options.fps,
            keyframes=options.keyframes,
            media=options.media,
            track=options.track,
            patient=True,
        )
        self.outlet: Any = None
        self._intake = intake

    def frameReceived(self, frame: Frame) -> None:
        """
        Count the frame as well.
        """
        self._intake.came(frame)
        super().frameReceived(frame)

    def frameArrived(self, frame: Frame, arrived: datetime) -> None:
        """
        Count the frame as well.
        """
        self._intake.came(frame)
        super().frameArrived(frame, arrived)

    def streamEnded(self, reason: str) -> "Deferred[None]":
        """
        Tell the intake as well.
        """
        self._intake.streamEnded(self, reason)
        return super().streamEnded(reason)

    @property
    def dropped(self) -> int:
        """
        The number of frames skipped in favor of newer ones.
        """
        lost = 0 if self.outlet is None else sum(self.outlet.ledger.dropped.values())
        return int(self.replaced + lost)


@dataclass(frozen=True, slots=True)
class Options:
    """
    The options of L{capture<rtmptw.arrays.capture.capture>}. A wrong one raises
    C{ValueError}.
    """

    every: bool = False
    format: str = "bgr24"
    size: tuple[int, int] | None = None
    fps: float = 0.0
    keyframes: bool = False
    media: str = "video"
    track: int = 0

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise ValueError(
                f"a capture gives bgr24, rgb24 or gray, not {self.format!r}"
            )
        # Not every program is type-checked.
        size: object = self.size
        if size is not None and not (
            isinstance(size, tuple | list)
            and len(size) == 2
            and all(isinstance(side, int) and side > 0 for side in size)
        ):
            raise ValueError(
                "a capture's size is width and height, such as (640, 360), not "
                f"{size!r}"
            )
        # Checks the other options.
        Wanted(
            self.format,
            self.policy,
            self.size,
            self.fps,
            self.keyframes,
            self.media,
            self.track,
        ).form()

    @property
    def policy(self) -> str:
        """
        The delivery policy of the hub.
        """
        return Policy.LOSSLESS.value if self.every else Policy.LATEST.value


@dataclass(frozen=True, slots=True)
class CaptureCounts:
    """
    The number of frames so far.

    @ivar received: those that publishers sent, of the media that was asked for.
    @ivar read: those that the program took.
    @ivar dropped: those that were skipped in favor of newer ones; 0 with C{every=True}.
    @ivar damaged: those that could not be decoded.
    @ivar streams: how many times a publisher started; not a number of frames.
    """

    received: int
    read: int
    dropped: int
    damaged: int
    streams: int


class Intake:
    """
    Attaches to each stream of one name, one after the other. Methods are called in the
    reactor's thread; attributes and properties may be read in any.

    @ivar state: C{"waiting"} for a publisher, C{"live"} or C{"ended"}.
    @ivar query: the query that a publisher's URL must have.
    """

    def __init__(
        self, home: ReactorThread, name: str, query: str, options: Options
    ) -> None:
        self.home = home
        self.name = name
        self.query = query
        self.state = WAITING
        self.front: Front | None = None
        #: Whether to convert frames before the front gets them, in another thread.
        self.isConverting = False
        self._options = options
        self._kinds = MEDIA[options.media]
        self._place: Place | None = None
        self._line: deque[StreamFrames] = deque()
        self._stream: Stream | None = None
        self._current: StreamFrames | None = None
        self._isWanted = False
        self._isBusy = False
        self._taking: Deferred[Decoded | None] | None = None
        self._ended = ""
        self._ending: Deferred[None] | None = None
        # Counts of the current stream, or of the last one.
        self._came = 0
        self._hadKey = False
        self._given = 0
        self._last = 0.0
        self._gone = ""
        # Counts of all streams.
        self._received = self._read = self._dropped = self._damaged = 0
        self._streams = 0

    @property
    def waiting(self) -> int:
        """
        The number of streams with frames that were not taken yet.
        """
        return len(self._line)

    @property
    def counts(self) -> CaptureCounts:
        """
        The number of frames so far.
        """
        line = list(self._line)
        return CaptureCounts(
            self._received,
            self._read,
            self._dropped + sum(frames.dropped for frames in line),
            self._damaged + sum(frames.refused for frames in line),
            self._streams,
        )

    def openedAt(self, place: Place) -> None:
        """
        @param place: where the streams come from.
        """
        self._place = place
        self.home.add(self)

    @property
    def why(self) -> str:
        """
        A sentence: what it waits for, or why it has ended. Empty while frames arrive.
        """
        if self.state == ENDED:
            return self._ended
        stream = self._stream
        if self.state == WAITING or stream is None:
            place = self._place
            missing = (
                "it is not open yet" if place is None else place.missing(self.name)
            )
            return f"{self._gone}; since then {missing}" if self._gone else missing
        source = stream.source
        who = "nobody" if source is None else source.peer
        media = _WORDS[self._options.media]
        if not self._came:
            return f"{who} publishes it, but has sent no {media} frame yet"
        if not self._given and not self._hadKey:
            return f"{who} publishes it, but has sent no key frame yet"
        if not self._given:
            return f"{who} publishes it, but none of its frames could be decoded yet"
        silence = monotonic() - self._last
        if silence > SILENT:
            return (
                f"{who} publishes it, but has sent no {media} frame for {silence:.1f} s"
            )
        return ""

    # Called by the place that streams come from.

    def begin(self, stream: Stream) -> None:
        """
        A stream begins.
        """
        if self.state == ENDED:
            return
        if not self._options.every:
            # Frames of earlier streams are no longer the newest.
            for frames in list(self._line):
                self._leave(frames)
        frames = self._current = StreamFrames(self, self._options)
        self._line.append(frames)
        self._stream = stream
        self._streams += 1
        self._came = self._given = 0
        self._hadKey = FrameKind.VIDEO not in self._kinds
        self._last = monotonic()
        self.state = LIVE
        number = sum(outlet.name.startswith("capture") for outlet in stream.outlets)
        name = f"capture#{number + 1}" if number else "capture"
        frames.outlet = stream.attach(name, frames, viewer=True)
        self._advance()

    def came(self, frame: Frame) -> None:
        """
        The publisher has sent a frame.
        """
        if frame.kind in self._kinds and frame.role is Role.CODED:
            self._received += 1
            self._came += 1
            self._last = monotonic()
            self._hadKey = self._hadKey or (
                frame.kind is FrameKind.VIDEO and frame.isKey
            )

    def streamEnded(self, frames: StreamFrames, reason: str) -> None:
        """
        A stream has ended. Its frames may still be taken.
        """
        if self._current is frames and self.state == LIVE:
            self.state = WAITING
            self._stream = None
            self._gone = f"the publisher disconnected: {reason}"

    # Called by the front.

    def fetch(self) -> None:
        """
        The front wants a frame.
        """
        self._isWanted = True
        self._advance()

    def withdraw(self) -> None:
        """
        The front wants no frame for now. One that is already being converted still
        comes.
        """
        self._isWanted = False
        if self._taking is not None:
            self._taking.cancel()

    def _advance(self) -> None:
        while (
            self._isWanted and self._taking is None and not self._isBusy and self._line
        ):
            taking = self._taking = self._line[0].take()
            taking.addCallbacks(self._taken, self._notTaken, (self._line[0],))

    def _taken(self, decoded: Decoded | None, frames: StreamFrames) -> None:
        self._taking = None
        front = self.front
        if decoded is None:
            if frames.failure and front is not None and not self._ended:
                front.fail(Failure(RuntimeError(f"{self.name}: {frames.failure}")))
            self._leave(frames)
            self._advance()
            return
        self._isWanted = False
        self._read += 1
        self._given += 1
        if front is None:
            return
        if not self.isConverting:
            front.put(frames, decoded)
            return
        self._isBusy = True
        converting = frames.convert(decoded)
        converting.addCallbacks(lambda made: front.put(frames, made), front.fail)
        converting.addBoth(self._converted)

    def _converted(self, result: object) -> None:
        self._isBusy = False
        self._advance()

    def _notTaken(self, failure: Failure) -> None:
        self._taking = None

    def _leave(self, frames: StreamFrames) -> None:
        """
        Drop the frames of a stream that were not taken.
        """
        if frames not in self._line:
            return
        self._line.remove(frames)
        self._dropped += frames.dropped + frames.waiting
        self._damaged += frames.refused
        frames.close()

    def end(self, reason: str) -> "Deferred[None]":
        """
        End: leave all streams, and the place that they come from.

        @return: fires when that is done.
        """
        if self._ending is None:
            self.state = ENDED
            self._ended = reason
            self.home.discard(self)
            self.withdraw()
            for frames in list(self._line):
                self._leave(frames)
            self._ending = Deferred()
            place, self._stream = self._place, None
            if place is None:
                self._ending.callback(None)
            else:
                place.left(self).chainDeferred(self._ending)
            if self.front is not None:
                self.front.wake()
        waiter: Deferred[None] = Deferred()
        self._ending.addBoth(lambda result: waiter.callback(None))
        return waiter
