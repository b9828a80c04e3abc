"""
The decoded frames of one name, as its publishers come and go.
"""

from collections import deque
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from rtmptw._pyav.decoding import Decoded
from rtmptw.arrays.reactors import ReactorThread
from rtmptw.delivery import Policy
from rtmptw.frames import Frame, FrameKind, Role
from rtmptw.hub.stream import Stream
from rtmptw.sinks.decode.decoding import MEDIA, DecodedFrame, Wanted
from rtmptw.sinks.decode.loop import DecodedFrames

#: What a capture can be asked for as its state.
WAITING, LIVE, ENDED = "waiting", "live", "ended"
#: What arrays may be.
FORMATS = ("bgr24", "rgb24", "gray")
#: A publisher that sends nothing for so many seconds is worth a word.
SILENT = 1.0

_WORDS = {"video": "video", "audio": "audio", "both": "video or audio"}


class Front(Protocol):
    """
    Who takes the frames, in a thread of its own.
    """

    def put(self, frames: "StreamFrames", item: Decoded | DecodedFrame) -> None:
        """
        Take one. In the reactor's thread.
        """

    def fail(self, failure: Failure) -> None:
        """
        None can be had any more, by a fault of ours.
        """

    def wake(self) -> None:
        """
        Nothing follows.
        """


class Place(Protocol):
    """
    Where the streams of an intake come from. In the reactor's thread.
    """

    def missing(self, name: str) -> str:
        """
        @return: why nobody publishes it, for a person. In any thread.
        """

    def left(self, intake: "Intake") -> "Deferred[None]":
        """
        The intake wants no more.

        @return: fires when nothing is left of it.
        """


class StreamFrames(DecodedFrames):
    """
    The frames of one stream: it is over with its publisher.
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
        Count it, too.
        """
        self._intake.came(frame)
        super().frameReceived(frame)

    def frameArrived(self, frame: Frame, arrived: datetime) -> None:
        """
        Count it, too.
        """
        self._intake.came(frame)
        super().frameArrived(frame, arrived)

    def streamEnded(self, reason: str) -> "Deferred[None]":
        """
        Tell it, too.
        """
        self._intake.streamEnded(self, reason)
        return super().streamEnded(reason)

    @property
    def dropped(self) -> int:
        """
        How many frames were left out for newer ones.
        """
        lost = 0 if self.outlet is None else sum(self.outlet.ledger.dropped.values())
        return int(self.replaced + lost)


@dataclass(frozen=True, slots=True)
class Options:
    """
    What a capture gives. See L{rtmptw.arrays.capture.capture}. What is not possible is
    a C{ValueError}.
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
        # What is said where nobody checks types.
        size: object = self.size
        if size is not None and not (
            isinstance(size, tuple | list)
            and len(size) == 2
            and all(isinstance(side, int) and side > 0 for side in size)
        ):
            raise ValueError(
                f"a capture's size is width and height, like (640, 360), not {size!r}"
            )
        # Says what else is not possible.
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
        How frames are to be delivered.
        """
        return Policy.LOSSLESS.value if self.every else Policy.LATEST.value


@dataclass(frozen=True, slots=True)
class CaptureCounts:
    """
    How many frames there were so far.

    @ivar received: that the publishers have sent; of what was asked for.
    @ivar read: that the program has taken.
    @ivar dropped: that were left out for newer ones; none with C{every=True}.
    @ivar damaged: that could not be decoded.
    @ivar streams: how often somebody began to publish.
    """

    received: int
    read: int
    dropped: int
    damaged: int
    streams: int


class Intake:
    """
    Attached to each stream of one name, one after the other. Everything is called in
    the reactor's thread; what is only looked at may be looked at in any.

    @ivar state: C{"waiting"} for a publisher, C{"live"} or C{"ended"}.
    @ivar query: what a publisher must have after the question mark of its URL.
    """

    def __init__(
        self, home: ReactorThread, name: str, query: str, options: Options
    ) -> None:
        self.home = home
        self.name = name
        self.query = query
        self.state = WAITING
        self.front: Front | None = None
        #: Whether frames are converted here, off the reactor's thread.
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
        # Of the stream that is live, or was last.
        self._came = 0
        self._hadKey = False
        self._given = 0
        self._last = 0.0
        self._gone = ""
        # Of all streams.
        self._received = self._read = self._dropped = self._damaged = 0
        self._streams = 0

    @property
    def waiting(self) -> int:
        """
        How many streams have frames that were not taken yet.
        """
        return len(self._line)

    @property
    def counts(self) -> CaptureCounts:
        """
        How many frames there were so far.
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
        @param place: where its streams come from.
        """
        self._place = place
        self.home.add(self)

    @property
    def why(self) -> str:
        """
        What is waited for, or why it is over, as a sentence; empty while frames come.
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
            return f"{who} publishes it, and has sent no {media} frame yet"
        if not self._given and not self._hadKey:
            return f"{who} publishes it, and no key frame has come yet"
        if not self._given:
            return f"{who} publishes it, and none of its frames could be decoded yet"
        silence = monotonic() - self._last
        if silence > SILENT:
            return (
                f"{who} publishes it, and has sent no {media} frame for {silence:.1f} s"
            )
        return ""

    # From where the streams come.

    def begin(self, stream: Stream) -> None:
        """
        Somebody publishes it.
        """
        if self.state == ENDED:
            return
        if not self._options.every:
            # Of them there is nothing newest any more.
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
        It has sent a frame.
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
        One of the streams has ended; its frames may still be taken.
        """
        if self._current is frames and self.state == LIVE:
            self.state = WAITING
            self._stream = None
            self._gone = f"its publisher has gone: {reason}"

    # What the front calls.

    def fetch(self) -> None:
        """
        The front wants one more frame.
        """
        self._isWanted = True
        self._advance()

    def withdraw(self) -> None:
        """
        It does not, for now. One that is on its way comes all the same.
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
        Nothing more is taken of these.
        """
        if frames not in self._line:
            return
        self._line.remove(frames)
        self._dropped += frames.dropped + frames.waiting
        self._damaged += frames.refused
        frames.close()

    def end(self, reason: str) -> "Deferred[None]":
        """
        It is over.

        @return: fires when nothing is left of it.
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
