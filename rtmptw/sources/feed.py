"""
A stream fed from Python: images, audio, PyAV packets, frames of another stream.
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

from rtmptw._pyav.encoding import AudioTrack, Encoder, VideoTrack, formOf, videoFrameOf
from rtmptw._pyav.flv import TrackMuxer, metadataFrame
from rtmptw.frames import Frame, FrameKind, Role, publicName
from rtmptw.hub.hub import StreamHub
from rtmptw.hub.stream import Stream
from rtmptw.interfaces import IFrameSource
from rtmptw.plugins.arguments import splitArguments
from rtmptw.sources.passing import Passing, copyOf

if TYPE_CHECKING:
    from rtmptw._pyav.encoding import Audio, Image, Packet, Template

#: The most frames queued for the stream. Beyond that a thread has to wait; in the
#: reactor's thread, which cannot wait, the frame is refused.
MAX_WAITING = 256
#: Audio without timestamps continues where the previous audio frame ended, unless that
#: is more than this off the clock, in seconds.
MAX_DRIFT = 0.25
DEFAULT_VIDEO = "libx264"
DEFAULT_AUDIO = "aac"

_ENCODER = "rtmptw feed"


class FeedEnded(Exception):
    """
    The stream has ended: the feed was closed, another source has taken over the name,
    or the server is stopping.
    """


class FeedFull(Exception):
    """
    The queue is full, because a sink of the stream is too slow, and the reactor's
    thread cannot wait.
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
    Publish a stream of your own. May be called in any thread.

    @param name: the stream's name, C{"live/out"}: the part before the last slash is the
        application.
    @param video: the video encoder and its options: C{"libx264:preset=fast:b=2M:g=50"}
        for example; L{DEFAULT_VIDEO} if not given. C{rate} is the frame rate, for its
        rate control, C{pix_fmt} the pixel format.
    @param audio: the audio encoder and its options; L{DEFAULT_AUDIO} if not given.
    @param reactor: the reactor of the hub (C{IReactorTime}, C{IReactorFromThreads});
        the hub's clock if not given.
    @param credentials: what another source must present to take over the name at once.

    @return: the feed.

    @raise ValueError: if the name is invalid, or there is no such encoder.

    @raise NotAllowed: if the name is already published, or the server is stopping.
    """
    app, slash, stream = name.rpartition("/")
    if not stream or (slash and not app):
        raise ValueError(f"{name!r} is not a stream name such as live/out")
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
                f"an option of the encoder {name} must be KEY=VALUE, not {value!r}"
            )
        options[key] = value
    encoder = Encoder(name, options)
    encoder.check(kind)
    return encoder


@implementer(IFrameSource)
class Feed:
    """
    Feeds one stream. All methods may be called in any thread. A thread has to wait
    while the stream is full, so it does not get ahead of the slowest lossless sink.

    Times are in seconds, on one clock for video and audio: what belongs together has
    the same time. The time of a frame is C{at}, if given; otherwise its own (C{pts});
    otherwise the time since the first frame.

    @ivar name: the stream's public name.
    @ivar ended: why the stream has ended; empty if it has not.
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
        # Held during encoding, which takes time: never acquired in methods that the
        # reactor calls, except to feed in the reactor's thread.
        self._encoding = threading.RLock()
        self._video: VideoTrack | None = None
        self._audio: AudioTrack | None = None
        self._packets: dict[FrameKind, tuple[Any, TrackMuxer]] = {}
        self._described: dict[FrameKind, Any] = {}
        self._started: float | None = None
        self._nextAudio: float | None = None
        # Held only briefly. Guards the following attributes.
        self._changed = threading.Condition()
        self._queue: deque[Frame] = deque()
        self._isPaused = False
        self._isCalled = False
        self._isClosing = ""
        self._lastFed = 0.0
        # Only used in the reactor's thread.
        self._passing: Passing | None = None

    def begin(self, app: str, stream: str, credentials: str | None) -> None:
        """
        Publish the stream.

        @raise NotAllowed: as for L{publish}.
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

    # Feeding.

    def video(
        self, image: "Image", at: float | None = None, format: str = "rgb24"
    ) -> None:
        """
        Encode an image and pass it to the stream. If the size changes, a new sequence
        header is sent.

        @param image: an C{av.VideoFrame}, or a numpy array of height x width x 3
            bytes.
        @param format: the pixel format of an array: C{"rgb24"}, C{"bgr24"}, or any
            other of FFmpeg's.

        @raise ValueError: if it is neither.

        @raise FeedEnded: if the stream has ended.

        @raise FeedFull: in the reactor's thread, if the queue is full.

        @raise SinkError: if the encoder fails.
        """
        frame = videoFrameOf(image, format)
        self._waitForRoom()
        with self._encoding:
            seconds = self._timeOf(frame, at)
            if seconds is None:
                seconds = Fraction(self._now())
            frames = []
            track = self._video
            if track is not None and track.size != (frame.width, frame.height):
                self._video = None
                frames = track.finish()
                track = None
            if track is None:
                encoder = self._encoders[FrameKind.VIDEO]
                track = self._video = VideoTrack(encoder, frame)
                frames += self._describe(track)
            frames += track.encode(frame, round(seconds * 1000))
            self._hand(frames)

    def audio(self, audio: "Audio", at: float | None = None) -> None:
        """
        Encode audio and pass it to the stream. If its format changes, a new sequence
        header is sent.

        @param audio: an C{av.AudioFrame} of any format and length.

        @raise FeedEnded: if the stream has ended.

        @raise FeedFull: in the reactor's thread, if the queue is full.

        @raise SinkError: if the encoder fails.
        """
        self._waitForRoom()
        with self._encoding:
            seconds = self._timeOf(audio, at)
            if seconds is None:
                seconds = Fraction(self._audioNow())
            self._nextAudio = float(seconds) + audio.samples / audio.sample_rate
            frames = []
            track = self._audio
            if track is not None and track.form != formOf(audio):
                self._audio = None
                frames = track.finish()
                track = None
            if track is None:
                track = self._audio = AudioTrack(self._encoders[FrameKind.AUDIO], audio)
                frames += self._describe(track)
            frames += track.encode(audio, seconds)
            self._hand(frames)

    def packet(self, packet: "Packet", template: "Template | None" = None) -> None:
        """
        Pass an encoded packet to the stream.

        @param packet: an C{av.Packet} with C{pts}, C{dts} and C{time_base}.
        @param template: the packet's stream in a PyAV container; C{packet.stream} if
            not given. If it changes, a new sequence header is sent.

        @raise FeedEnded: if the stream has ended.

        @raise FeedFull: in the reactor's thread, if the queue is full.

        @raise SinkError: if RTMP cannot carry it.

        @raise ValueError: if there is no template, or it is neither video nor audio.
        """
        known: Any = packet.stream if template is None else template
        if known is None or known.type not in ("video", "audio"):
            raise ValueError(
                "a packet needs a template: the audio or video stream that it "
                "belongs to"
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
        Pass a frame of another stream to the stream, unchanged, with the same
        timestamp.

        @raise FeedEnded: if the stream has ended.

        @raise FeedFull: in the reactor's thread, if the queue is full.
        """
        self._waitForRoom()
        self._hand([copyOf(frame)])

    def passOn(self, name: str, *kinds: FrameKind) -> None:
        """
        Pass on the audio of another stream of the same hub, from its last key frame on,
        unchanged and with the same timestamps. Audio is held until the video frames fed
        here, which take a while to make, have caught up. If video is passed on too,
        nothing is held.

        @param name: the other stream's public name.
        @param kinds: what to pass on; audio if not given.

        @raise ValueError: if the other stream is not published.
        """
        wanted = frozenset(kinds or (FrameKind.AUDIO,))
        self._inReactor(self._passOn, name, wanted)

    def _passOn(self, name: str, kinds: frozenset[FrameKind]) -> None:
        stream = self._hub.streams.get(name)
        if stream is None:
            raise ValueError(f"{name} is not published")
        self._passing = Passing(self, kinds)
        stream.attach(f"feed of {self.name}", self._passing)

    def close(self, reason: str = "the feed was closed") -> None:
        """
        End the stream, after all frames fed so far and those still in the encoders. May
        be called more than once.

        @raise SinkError: if an encoder fails.
        """
        with self._encoding:
            frames = []
            try:
                for track in (self._video, self._audio):
                    if track is not None and not self.ended:
                        frames += track.finish()
            finally:
                self._video = self._audio = None
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
        @return: seconds since the first frame without a time.
        """
        now = time.monotonic()
        if self._started is None:
            self._started = now
        return now - self._started

    def _audioNow(self) -> float:
        now = self._now()
        follows = self._nextAudio
        if follows is not None and abs(now - follows) <= MAX_DRIFT:
            return follows
        return now

    def _describe(self, track: TrackMuxer) -> list[Frame]:
        """
        @return: the metadata, including this track's.
        """
        # Without the codec ids: a reader that sees only one would not wait for the
        # other.
        self._described[track.kind] = [
            (name, value)
            for name, value in track.metadata
            if name not in ("videocodecid", "audiocodecid")
        ]
        return [metadataFrame(list(self._described.values()), _ENCODER)]

    # The queue.

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
                        f"{self.name}: queue full, {MAX_WAITING} frames wait for a "
                        "slow sink"
                    )
                self._changed.wait()

    def _checkEnd(self) -> None:
        over = self.ended or self._isClosing
        if over:
            raise FeedEnded(f"{self.name} has ended: {over}")

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
        Pass the queued frames to the stream; in the reactor's thread.
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
            # Its timestamp is on the stream's clock now.
            self._passing.videoAt(stream, frame.timestamp)

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
        The lossless sinks have room again.
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
        The stream; C{None} if it has ended. Only for the reactor's thread.
        """
        return self._stream

    def silentFor(self) -> float:
        """
        @return: seconds since the last frame; 0 while paused.
        """
        if self._isPaused:
            return 0.0
        return float(self._reactor.seconds() - self._lastFed)

    def sourceReplaced(self, reason: str) -> None:
        """
        Another source has taken over the stream.
        """
        self._end(reason)


def _inReactorThread() -> bool:
    """
    Whether this is the reactor's thread; also true if the reactor has not started yet.
    """
    known: Any = threadable
    return known.ioThread is None or bool(known.isInIOThread())
