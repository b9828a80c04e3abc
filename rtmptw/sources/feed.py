"""
A stream that Python feeds: pictures, sound, packets of PyAV, frames of another stream.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.interfaces import IReactorTime
from twisted.internet.threads import blockingCallFromThread
from twisted.logger import Logger
from twisted.python import threadable
from zope.interface import implementer

from rtmptw._pyav.encoding import Encoder, PictureTrack, SoundTrack, formOf, pictureOf
from rtmptw._pyav.flv import TrackMuxer, metadataFrame
from rtmptw.frames import Frame, FrameKind, Role, publicName
from rtmptw.hub.hub import StreamHub
from rtmptw.hub.stream import Stream
from rtmptw.interfaces import IFrameSource
from rtmptw.plugins.arguments import splitArguments
from rtmptw.sources.passing import Passing, copyOf

if TYPE_CHECKING:
    from rtmptw._pyav.encoding import Packet, Picture, Sound, Template

#: Frames that wait to be given to the stream: a thread waits while there are so many;
#: in the reactor's thread, which cannot wait, one more is refused.
MAX_WAITING = 256
#: Sound without times of its own follows on what came before it, until it is so many
#: seconds off the clock.
MAX_DRIFT = 0.25
DEFAULT_VIDEO = "libx264"
DEFAULT_AUDIO = "aac"

_ENCODER = "rtmptw feed"


class FeedEnded(Exception):
    """
    The stream is over: the feed was closed, somebody else has taken the name over, or
    the server stops.
    """


class FeedFull(Exception):
    """
    A sink of the stream is so slow that nothing more may wait for it, and the reactor's
    thread cannot.
    """


def publish(
    hub: StreamHub,
    name: str,
    *,
    video: str | None = None,
    audio: str | None = None,
    reactor: IReactorTime | None = None,
    credentials: str | None = None,
) -> "Feed":
    """
    Begin a stream of one's own. In any thread.

    @param name: of the stream, C{"live/out"}: all up to the last slash is the
        application.
    @param video: the encoder of the pictures and its options, as in
        C{"libx264:preset=fast:b=2M:g=50"}; L{DEFAULT_VIDEO} if not given. C{rate} are
        the pictures a second, for its rate control, C{pix_fmt} the pixel format.
    @param audio: likewise for the sound; L{DEFAULT_AUDIO} if not given.
    @param reactor: with which the hub works (C{IReactorTime},
        C{IReactorFromThreads}); the hub's clock if not given.
    @param credentials: what another source must show to take the name over at once.

    @return: what takes pictures and sound.

    @raise ValueError: if the name is none, or there is no such encoder.

    @raise NotAllowed: if somebody publishes this name, or the server stops.
    """
    app, slash, stream = name.rpartition("/")
    if not stream or (slash and not app):
        raise ValueError(f"a stream is called live/out for example, not {name!r}")
    feed = Feed(
        hub,
        hub.clock if reactor is None else reactor,
        _encoderFrom(video or DEFAULT_VIDEO, FrameKind.VIDEO),
        _encoderFrom(audio or DEFAULT_AUDIO, FrameKind.AUDIO),
    )
    feed.begin(app, stream, credentials)
    return feed


def _encoderFrom(text: str, kind: FrameKind) -> Encoder:
    (_, name), *rest = splitArguments(text)
    options = {}
    for key, value in rest:
        if not key:
            raise ValueError(
                f"an option of the encoder {name} needs a value: KEY=VALUE, not "
                f"{value!r}"
            )
        options[key] = value
    encoder = Encoder(name, options)
    encoder.check(kind)
    return encoder


@implementer(IFrameSource)
class Feed:
    """
    Feeds one stream. Every method can be called in any thread: a thread waits while the
    stream is full, and so does not get ahead of its slowest lossless sink.

    Times are seconds, and the same for pictures and sound: what is to be seen and heard
    together has the same. They are C{at}, if that is given; else what the frame says
    (C{pts}); else the time since the first frame.

    @ivar name: the stream's public name.
    @ivar ended: why it is over; empty while it is not.
    """

    _log = Logger()

    peer: Final = "this process"
    encoder: Final = _ENCODER
    isFed: Final = True

    def __init__(
        self, hub: StreamHub, reactor: IReactorTime, video: Encoder, audio: Encoder
    ) -> None:
        self.name = ""
        self.ended = ""
        self._hub = hub
        self._reactor: Any = reactor
        self._encoders = {FrameKind.VIDEO: video, FrameKind.AUDIO: audio}
        self._stream: Stream | None = None
        # Held while something is encoded, which takes time: what the reactor calls
        # never takes it, but for what its own thread feeds.
        self._encoding = threading.RLock()
        self._pictures: PictureTrack | None = None
        self._sound: SoundTrack | None = None
        self._packets: dict[FrameKind, tuple[Any, TrackMuxer]] = {}
        self._described: dict[FrameKind, Any] = {}
        self._started: float | None = None
        self._nextSound: float | None = None
        # Held only for a moment. Guards what follows.
        self._changed = threading.Condition()
        self._queue: deque[Frame] = deque()
        self._isPaused = False
        self._isCalled = False
        self._isClosing = ""
        self._lastFed = 0.0
        # Only of the reactor's thread.
        self._passing: Passing | None = None

    def begin(self, app: str, stream: str, credentials: str | None) -> None:
        """
        Publish it.

        @raise NotAllowed: as L{publish}.
        """
        self.name = publicName(app, stream)
        self._inReactor(self._begin, app, stream, credentials)

    def _begin(self, app: str, stream: str, credentials: str | None) -> None:
        self._lastFed = self._reactor.seconds()
        self._stream = self._hub.publish(app, stream, self, credentials)

    def _inReactor(self, function: Callable[..., None], *args: Any) -> None:
        if _inReactorThread():
            function(*args)
        else:
            blockingCallFromThread(self._reactor, function, *args)

    # What feeds it.

    def video(
        self, picture: "Picture", at: float | None = None, format: str = "rgb24"
    ) -> None:
        """
        Encode a picture and give it to the stream. When the size changes, a new codec
        header is sent.

        @param picture: an C{av.VideoFrame}, or an array of numpy of
            height x width x 3 bytes.
        @param format: of an array: C{"rgb24"}, C{"bgr24"}, or another of FFmpeg's.

        @raise ValueError: if it is neither.

        @raise FeedEnded: if the stream is over.

        @raise FeedFull: in the reactor's thread.

        @raise SinkError: if the encoder does not work.
        """
        image = pictureOf(picture, format)
        self._waitForRoom()
        with self._encoding:
            seconds = self._timeOf(image, at)
            if seconds is None:
                seconds = Fraction(self._now())
            frames = []
            track = self._pictures
            if track is not None and track.size != (image.width, image.height):
                self._pictures = None
                frames = track.finish()
                track = None
            if track is None:
                encoder = self._encoders[FrameKind.VIDEO]
                track = self._pictures = PictureTrack(encoder, image)
                frames += self._describe(track)
            frames += track.encode(image, round(seconds * 1000))
            self._hand(frames)

    def audio(self, sound: "Sound", at: float | None = None) -> None:
        """
        Encode sound and give it to the stream. When its format changes, a new codec
        header is sent.

        @param sound: an C{av.AudioFrame} of any format and length.

        @raise FeedEnded: if the stream is over.

        @raise FeedFull: in the reactor's thread.

        @raise SinkError: if the encoder does not work.
        """
        self._waitForRoom()
        with self._encoding:
            seconds = self._timeOf(sound, at)
            if seconds is None:
                seconds = Fraction(self._soundNow())
            self._nextSound = float(seconds) + sound.samples / sound.sample_rate
            frames = []
            track = self._sound
            if track is not None and track.form != formOf(sound):
                self._sound = None
                frames = track.finish()
                track = None
            if track is None:
                track = self._sound = SoundTrack(self._encoders[FrameKind.AUDIO], sound)
                frames += self._describe(track)
            frames += track.encode(sound, seconds)
            self._hand(frames)

    def packet(self, packet: "Packet", template: "Template | None" = None) -> None:
        """
        Give the stream a packet that is encoded already.

        @param packet: an C{av.Packet} with C{pts}, C{dts} and C{time_base}.
        @param template: the stream that it is of, as a container of PyAV has it; if not
            given, C{packet.stream}. When it changes, a new codec header is sent.

        @raise FeedEnded: if the stream is over.

        @raise FeedFull: in the reactor's thread.

        @raise SinkError: if RTMP cannot carry it.

        @raise ValueError: if there is no template, or it is neither video nor audio.
        """
        known: Any = packet.stream if template is None else template
        if known is None or known.type not in ("video", "audio"):
            raise ValueError(
                "a packet needs the stream of audio or video that it is of as its "
                "template"
            )
        self._waitForRoom()
        with self._encoding:
            kind = FrameKind.VIDEO if known.type == "video" else FrameKind.AUDIO
            before, muxer = self._packets.get(kind, (None, None))
            frames = []
            if muxer is None or before is not known:
                muxer = TrackMuxer(known)
                self._packets[kind] = known, muxer
                frames = self._describe(muxer)
            self._hand(frames + muxer.mux(packet))

    def frame(self, frame: Frame) -> None:
        """
        Give the stream a frame of another stream, unchanged, with the same time.

        @raise FeedEnded: if the stream is over.

        @raise FeedFull: in the reactor's thread.
        """
        self._waitForRoom()
        self._hand([copyOf(frame)])

    def passOn(self, name: str, *kinds: FrameKind) -> None:
        """
        Pass on the sound of another stream of the same hub, from its last key frame on,
        unchanged and with the same times. So that it stays beside the pictures, which
        take a while to be made, it waits for those that are fed; if pictures are passed
        on too, nothing waits.

        @param name: the other stream's public name.
        @param kinds: what to pass on; sound if not given.

        @raise ValueError: if nobody publishes it.
        """
        wanted = frozenset(kinds or (FrameKind.AUDIO,))
        self._inReactor(self._passOn, name, wanted)

    def _passOn(self, name: str, kinds: frozenset[FrameKind]) -> None:
        stream = self._hub.streams.get(name)
        if stream is None:
            raise ValueError(f"nobody publishes {name}")
        self._passing = Passing(self, kinds)
        stream.attach(f"feed of {self.name}", self._passing)

    def close(self, reason: str = "the feed was closed") -> None:
        """
        End the stream, after all that was given to it and what the encoders still have.
        May be called again.

        @raise SinkError: if an encoder does not work.
        """
        with self._encoding:
            frames = []
            try:
                for track in (self._pictures, self._sound):
                    if track is not None and not self.ended:
                        frames += track.finish()
            finally:
                self._pictures = self._sound = None
                self._packets = {}
                with self._changed:
                    self._isClosing = self._isClosing or reason
                self._append(frames)

    # Times.

    def _timeOf(self, frame: Any, at: float | None) -> Fraction | None:
        if at is not None:
            return Fraction(at)
        if frame.pts is None or not frame.time_base:
            return None
        base = frame.time_base
        return Fraction(frame.pts * base.numerator, base.denominator)

    def _now(self) -> float:
        """
        @return: seconds since the first frame that had no time.
        """
        now = time.monotonic()
        if self._started is None:
            self._started = now
        return now - self._started

    def _soundNow(self) -> float:
        now = self._now()
        follows = self._nextSound
        if follows is not None and abs(now - follows) <= MAX_DRIFT:
            return follows
        return now

    def _describe(self, track: TrackMuxer) -> list[Frame]:
        """
        @return: the metadata, with this track.
        """
        # Without the codecs: who read of one only would not wait for the other.
        self._described[track.kind] = [
            (name, value)
            for name, value in track.metadata
            if name not in ("videocodecid", "audiocodecid")
        ]
        return [metadataFrame(list(self._described.values()), _ENCODER)]

    # The way to the stream.

    def _waitForRoom(self) -> None:
        isWaiting = not _inReactorThread()
        with self._changed:
            while True:
                self._checkEnd()
                isFull = len(self._queue) >= MAX_WAITING
                if not isFull and not (self._isPaused and isWaiting):
                    return
                if not isWaiting:
                    raise FeedFull(
                        f"{self.name}: {MAX_WAITING} frames wait for a sink that is "
                        "too slow"
                    )
                self._changed.wait()

    def _checkEnd(self) -> None:
        over = self.ended or self._isClosing
        if over:
            raise FeedEnded(f"{self.name} is over: {over}")

    def _hand(self, frames: Sequence[Frame]) -> None:
        with self._changed:
            self._checkEnd()
        self._append(frames)

    def _append(self, frames: Sequence[Frame]) -> None:
        with self._changed:
            self._queue.extend(frames)
            isCalled, self._isCalled = self._isCalled, True
        if _inReactorThread():
            self._drain()
        elif not isCalled:
            self._reactor.callFromThread(self._drain)

    def _drain(self) -> None:
        """
        In the reactor's thread: give the stream what waits.
        """
        while True:
            with self._changed:
                stream = self._stream
                if stream is None or self._isPaused or not self._queue:
                    self._isCalled = False
                    reason = "" if self._queue else self._isClosing
                    break
                frame = self._queue.popleft()
                self._lastFed = self._reactor.seconds()
                if len(self._queue) < MAX_WAITING:
                    self._changed.notify_all()
            self._give(stream, frame)
        if stream is not None and reason:
            if self._passing is not None:
                self._passing.finish(stream)
            self._end(reason)
            self._hub.sourceLost(stream, self, reason)

    def _give(self, stream: Stream, frame: Frame) -> None:
        stream.frameReceived(frame)
        if (
            self._passing is not None
            and frame.kind is FrameKind.VIDEO
            and frame.role is Role.CODED
        ):
            # It is on the stream's clock now.
            self._passing.picturesAt(stream, frame.timestamp)

    def _end(self, reason: str) -> None:
        self._stream = None
        if self._passing is not None:
            passing, self._passing = self._passing, None
            passing.stop()
        with self._changed:
            self.ended = self.ended or reason
            self._queue.clear()
            self._changed.notify_all()

    # IFrameSource.

    def pauseSource(self) -> None:
        """
        A lossless sink is full.
        """
        with self._changed:
            self._isPaused = True

    def resumeSource(self) -> None:
        """
        It has room again.
        """
        with self._changed:
            self._isPaused = False
            self._lastFed = self._reactor.seconds()
            self._changed.notify_all()
        self._reactor.callLater(0, self._goOn)

    def _goOn(self) -> None:
        self._drain()
        stream = self._stream
        if self._passing is not None and stream is not None:
            self._passing.goOn(stream)

    @property
    def isPaused(self) -> bool:
        """
        Whether a lossless sink is full.
        """
        return self._isPaused

    @property
    def stream(self) -> Stream | None:
        """
        What is fed; C{None} when it is over. For the reactor's thread.
        """
        return self._stream

    def silentFor(self) -> float:
        """
        @return: the seconds since the last frame; 0 while none are wanted.
        """
        if self._isPaused:
            return 0.0
        return float(self._reactor.seconds() - self._lastFed)

    def sourceReplaced(self, reason: str) -> None:
        """
        The stream is over for us.
        """
        self._end(reason)


def _inReactorThread() -> bool:
    """
    Whether the reactor runs in this thread, or will: it has not begun yet.
    """
    known: Any = threadable
    return known.ioThread is None or bool(known.isInIOThread())
