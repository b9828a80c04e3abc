"""
Decodes the frames of one stream: common to the decode sink and the iterators.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from twisted.internet.interfaces import IPushProducer
from twisted.logger import Logger

from rtmptw._pyav.decoding import Counts, Decoded, Decoder
from rtmptw._pyav.images import NATIVE, ImageForm, checkFormat
from rtmptw.delivery import LOSSLESS, TO_KEYFRAME, TOO_SLOW, Delivery, Policy
from rtmptw.frames import Frame, FrameKind, StreamInfo
from rtmptw.lane import Lane
from rtmptw.sinks.decode.coded import CodedFrames

#: Limits of the coded frames that wait for the decoder or are in it, if none may be
#: dropped. Beyond that the producer is paused; it resumes at half.
MAX_CODED = 64
MAX_CODED_BYTES = 4 * 1024 * 1024
#: The most decoded video frames that wait to be taken, and that are decoded in one
#: batch. One of 3840x2160 has 12 MB.
MAX_VIDEO = 4
#: The same for decoded audio frames, of a few KB each. More than come with that many
#: video frames, so that video limits a batch. Each batch costs two thread switches.
MAX_AUDIO = 16

#: The largest age of a coded frame, in ms, with the policy C{latest}.
MAX_AGE = 1000

VIDEO = frozenset({FrameKind.VIDEO})
AUDIO = frozenset({FrameKind.AUDIO})

#: The values of the argument C{media}.
MEDIA = {"video": VIDEO, "audio": AUDIO, "both": VIDEO | AUDIO}

_DELIVERIES = {
    Policy.LOSSLESS: LOSSLESS,
    # If even the decoder falls behind, coded frames are dropped up to the next key
    # frame. That is done here: the sink takes every frame at once.
    Policy.LATEST: Delivery(Policy.TO_KEYFRAME, maxMilliseconds=MAX_AGE),
    Policy.TO_KEYFRAME: TO_KEYFRAME,
}
#: The values of the argument C{policy}.
POLICIES = tuple(policy.value for policy in _DELIVERIES)


@dataclass(slots=True, eq=False)
class DecodedFrame:
    """
    A decoded video or audio frame.

    @ivar kind: video or audio.
    @ivar pts: the presentation time, in seconds on the stream's clock, which may start
        anywhere.
    @ivar arrived: the wall clock time at which the coded frame arrived.
    @ivar keyframe: whether it is a key frame; always true for audio.
    @ivar track: the Enhanced RTMP track id; 0 if there is one track.
    @ivar image: the video frame: C{av.VideoFrame}, or a numpy array of C{uint8} of
        shape (height, width, 3); for gray, (height, width).
    @ivar samples: the audio frame: C{av.AudioFrame}, or a numpy array of shape
        (channels, samples), of the decoder's own type: C{float32} for AAC, MP3 and
        Opus, integers for FLAC and G.711.
    @ivar rate: the sample rate; 0 for video.
    """

    kind: FrameKind
    pts: float
    arrived: datetime
    keyframe: bool
    track: int
    image: Any = None
    samples: Any = None
    rate: int = 0


@dataclass(frozen=True, slots=True)
class Wanted:
    """
    What to decode, and how to deliver it.

    @ivar format: C{native}, C{rgb24}, C{bgr24} or C{gray}.
    @ivar policy: C{lossless}, C{latest} or C{to-keyframe}.
    @ivar size: width and height to scale to; C{None} not to scale.
    @ivar fps: the most video frames per second of media; 0 for all.
    @ivar keyframes: whether to decode key frames only.
    @ivar media: C{video}, C{audio} or C{both}.
    @ivar track: the Enhanced RTMP track id.
    """

    format: str = NATIVE
    policy: str = Policy.LOSSLESS.value
    size: tuple[int, int] | None = None
    fps: float = 0.0
    keyframes: bool = False
    media: str = "video"
    track: int = 0

    def __post_init__(self) -> None:
        checkFormat(self.format)
        if self.policy not in POLICIES:
            raise ValueError(
                f"The policy {self.policy!r} is not one of {', '.join(POLICIES)}."
            )
        if self.media not in MEDIA:
            raise ValueError(
                f"The media {self.media!r} is not one of {', '.join(MEDIA)}."
            )
        if self.fps < 0:
            raise ValueError(f"The frame rate {self.fps} is negative.")
        if not 0 <= self.track <= 255:
            raise ValueError(f"The track {self.track} is not between 0 and 255.")

    @property
    def isLatest(self) -> bool:
        """
        Whether only the latest frame is wanted.
        """
        return self.policy == Policy.LATEST.value

    @property
    def patience(self) -> timedelta | None:
        """
        How long a coded frame may wait for the decoder; C{None} for no limit.
        """
        delivery = self.delivery
        if delivery.policy is Policy.LOSSLESS:
            return None
        return timedelta(milliseconds=delivery.maxMilliseconds)

    @property
    def oldest(self) -> timedelta | None:
        """
        The largest age of a decoded frame that is delivered; C{None} for no limit.
        (With the policy C{latest} there is none: the latest frame may have any age.)
        """
        return None if self.isLatest else self.patience

    @property
    def delivery(self) -> Delivery:
        """
        How coded frames are queued.
        """
        return _DELIVERIES[Policy(self.policy)]

    def decoder(self) -> Decoder:
        """
        @return: a new decoder.
        """
        return Decoder(
            MEDIA[self.media],
            self.track,
            eager=self.policy != Policy.LOSSLESS.value,
            keyframesOnly=self.keyframes,
            fps=self.fps,
        )

    def form(self) -> "Form":
        """
        @return: a new converter of decoded frames; may be used by one thread at a time.
        """
        return Form(ImageForm(self.format, self.size))


class Form:
    """
    Converts frames from the decoder to what users get.
    """

    def __init__(self, video: ImageForm) -> None:
        self._form = video

    def give(self, decoded: Decoded) -> DecodedFrame:
        """
        Scale and convert a frame; takes a while.
        """
        frame = decoded.frame
        isVideo = decoded.kind is FrameKind.VIDEO
        return DecodedFrame(
            decoded.kind,
            decoded.milliseconds / 1000,
            decoded.arrived,
            bool(frame.key_frame) if isVideo else True,
            decoded.track,
            image=self._form.image(frame) if isVideo else None,
            samples=None if isVideo else self._form.samples(frame),
            rate=0 if isVideo else frame.sample_rate,
        )


@dataclass(slots=True)
class _Batch:
    """
    The result of decoding a batch.

    @ivar skipped: the number of frames replaced by newer ones.
    """

    decoded: list[Decoded]
    skipped: int
    troubles: list[str]


class Decoding:
    """
    Decodes the frames of one stream in a lane; decoded frames wait to be taken. All
    methods must be called in the reactor's thread.

    If C{wanted.patience} is C{None}, at most L{MAX_CODED} coded frames are taken from
    the producer at a time; otherwise all are taken, and those that wait too long are
    dropped. At most L{MAX_VIDEO} video frames and L{MAX_AUDIO} audio frames wait,
    plus those that the decoder returns at its end; with the policy C{latest}, one of
    each kind.

    @ivar skipped: the number of decoded frames replaced by newer ones.
    @ivar failure: why decoding failed; empty if it has not.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        wanted: Wanted,
        changed: Callable[[], None],
        lane: Callable[[Any, str], Lane],
        now: Callable[[], datetime],
    ) -> None:
        """
        @param changed: called when there is something to take, or L{isOver} has become
            true.
        @param lane: makes the lane.
        @param now: the wall clock.
        """
        self.skipped = 0
        self.failure = ""
        self._reactor = reactor
        self._isLatest = wanted.isLatest
        self._decoder = wanted.decoder()
        self._changed = changed
        self._makeLane = lane
        self._now = now
        self._name = ""
        self._producer: IPushProducer | None = None
        self._lane: Lane | None = None
        self._isLossless = wanted.patience is None
        self._coded = CodedFrames(wanted.patience, wanted.track)
        self._flying = 0
        self._flyingBytes = 0
        self._decoded: deque[Decoded] = deque()
        self._isBusy = False
        self._isPaused = False
        self._isEnding = False
        self._isFlushed = False
        self._isAbandoned = False

    @property
    def counts(self) -> Counts:
        """
        The decoder's counts; final when L{isOver} is true.
        """
        return self._decoder.counts

    @property
    def waiting(self) -> int:
        """
        The number of frames waiting here, coded and decoded.
        """
        return len(self._coded) + self._flying + len(self._decoded)

    @property
    def isOver(self) -> bool:
        """
        Whether there is nothing to take, now or later.
        """
        return self._isFlushed and not self._isBusy and not self._decoded

    def start(self, stream: StreamInfo, producer: IPushProducer) -> None:
        """
        The stream starts.
        """
        self._name = stream.name
        self._producer = producer

    def receive(self, frame: Frame, arrived: datetime | None = None) -> None:
        """
        Take the next frame of the stream.

        @param arrived: when it arrived; C{None} for now.
        """
        if self._isEnding or not self._decoder.wants(frame):
            return
        now = self._now()
        self._coded.add(frame, arrived or now, now)
        self._step()
        self._tellDropped()
        if self._isLossless and not self._isPaused and self._isOverLimit(1):
            self._isPaused = True
            assert self._producer is not None
            self._producer.pauseProducing()

    def end(self) -> None:
        """
        The stream has ended: decode all that is queued.
        """
        self._isEnding = True
        self._step()

    def abandon(self) -> None:
        """
        Nothing more is wanted: drop all that is queued.
        """
        self._isEnding = self._isAbandoned = True
        self._coded.clear()
        self._decoded.clear()
        self._step()

    def take(self, most: int = MAX_VIDEO + MAX_AUDIO) -> list[Decoded]:
        """
        @return: at most C{most} decoded frames, the oldest first; decoding continues.
        """
        taken = [
            self._decoded.popleft() for _count in range(min(most, len(self._decoded)))
        ]
        self._step()
        return taken

    def close(self) -> None:
        """
        End the lane; may be called only when L{isOver} is true.
        """
        if self._lane is not None:
            lane, self._lane = self._lane, None
            lane.close()

    def _tellDropped(self) -> None:
        """
        Report frames dropped here, which count as delivered so far.
        """
        dropped, size = self._coded.takeDropped()
        if dropped:
            assert self._producer is not None
            cast(Any, self._producer).framesDropped(TOO_SLOW, dropped, size)

    def _isOverLimit(self, share: int) -> bool:
        return (len(self._coded) + self._flying) * share > MAX_CODED or (
            self._coded.bytes + self._flyingBytes
        ) * share > MAX_CODED_BYTES

    def _step(self) -> None:
        """
        Decode the next frames, if there is room for the result.
        """
        if self._isBusy or self._isFlushed:
            return
        batch = self._nextBatch()
        if batch:
            self._flying = len(batch)
            self._flyingBytes = sum(frame.size for frame, _ in batch)
            self._run(self._decode, batch)
        elif self._isEnding and not self._coded:
            self._isFlushed = True
            if self._lane is None:
                # Nothing was decoded.
                self._changed()
            else:
                self._run(self._flush)

    def _nextBatch(self) -> list[tuple[Frame, datetime]]:
        """
        @return: the next coded frames, as many as there is room for.
        """
        video = audio = 0
        if not self._isLatest:
            video = sum(one.kind is FrameKind.VIDEO for one in self._decoded)
            audio = len(self._decoded) - video
        batch = []
        self._coded.expire(self._now())
        while self._coded:
            if self._coded.first().kind is FrameKind.VIDEO:
                video += 1
            else:
                audio += 1
            if video > MAX_VIDEO or audio > MAX_AUDIO:
                break
            batch.append(self._coded.take())
        return batch

    def _run(self, work: Callable[..., _Batch], *arguments: Any) -> None:
        self._isBusy = True
        if self._lane is None:
            self._lane = self._makeLane(self._reactor, f"decode {self._name}")
        working = self._lane.run(work, *arguments)
        working.addCallback(self._done)
        working.addErrback(self._broken)

    # In the lane.

    def _decode(self, frames: list[tuple[Frame, datetime]]) -> _Batch:
        decoder = self._decoder
        return self._batch(
            [
                decoded
                for frame, arrived in frames
                for decoded in decoder.decode(frame, arrived)
            ]
        )

    def _flush(self) -> _Batch:
        return self._batch(self._decoder.finish())

    def _batch(self, decoded: list[Decoded]) -> _Batch:
        troubles = list(self._decoder.troubles)
        self._decoder.troubles.clear()
        if not self._isLatest:
            return _Batch(decoded, 0, troubles)
        newest = {one.kind: one for one in decoded}
        return _Batch(list(newest.values()), len(decoded) - len(newest), troubles)

    # In the reactor's thread again.

    def _done(self, batch: _Batch) -> None:
        self._isBusy = False
        self._flying = self._flyingBytes = 0
        for trouble in batch.troubles:
            self._log.warn("{name}: {trouble}", name=self._name, trouble=trouble)
        if not self._isAbandoned:
            self.skipped += batch.skipped
            if self._isLatest:
                self._replace(batch.decoded)
            else:
                self._decoded.extend(batch.decoded)
        self._tellDropped()
        if self._isPaused and not self._isEnding and not self._isOverLimit(2):
            self._isPaused = False
            assert self._producer is not None
            self._producer.resumeProducing()
        self._step()
        self._changed()

    def _replace(self, newer: list[Decoded]) -> None:
        kinds = {one.kind for one in newer}
        kept = [one for one in self._decoded if one.kind not in kinds]
        self.skipped += len(self._decoded) - len(kept)
        self._decoded = deque([*kept, *newer])

    def _broken(self, failure: Any) -> None:
        """
        Handle a bug of ours; an invalid stream does not raise.
        """
        self._log.failure("{name}: decoding stopped early", failure, name=self._name)
        self.failure = failure.getErrorMessage() or type(failure.value).__name__
        self._isBusy = False
        self._isFlushed = True
        self.abandon()
        self._changed()
