"""
Passes frames of another stream to a feed, unchanged.
"""

from collections import deque
from typing import Protocol

from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from rtmptw.delivery import LOSSLESS
from rtmptw.frames import Frame, FrameKind, Role, StreamInfo
from rtmptw.hub.stream import Stream
from rtmptw.interfaces import IFrameSink

#: A frame is held while it is more than this ahead of the feed's video frames, in ms.
MAX_AHEAD = 500
#: The most frames held, ten seconds of AAC: there may be no more video frames.
MAX_HELD = 512


class Fed(Protocol):
    """
    The feed that gets the frames.
    """

    @property
    def stream(self) -> Stream | None:
        """
        The feed's stream; C{None} if there is none.
        """

    @property
    def isPaused(self) -> bool:
        """
        Whether the feed takes no frames at the moment.
        """


def copyOf(frame: Frame) -> Frame:
    """
    @return: a copy of a frame for another stream: each stream maps timestamps to a
        clock of its own.
    """
    return frame.retimed(frame.timestamp & 0xFFFFFFFF)


@implementer(IFrameSink)
class Passing:
    """
    The sink of another stream, which passes frames to a feed. All methods must be
    called in the reactor's thread.

    Video frames take a while to be decoded, changed and encoded. Frames that go with
    them are held, so that recordings and players get both at about the same time.
    """

    delivery = LOSSLESS
    failure = ""

    def __init__(self, feed: Fed, kinds: frozenset[FrameKind]) -> None:
        self._feed = feed
        self._kinds = kinds
        self._held: deque[Frame] = deque()
        self._upTo: int | None = None
        self._producer: IPushProducer | None = None
        self._isFull = False

    def streamStarted(self, stream: StreamInfo, producer: IPushProducer) -> None:
        """
        The other stream starts.
        """
        self._producer = producer

    def frameReceived(self, frame: Frame) -> None:
        """
        Hold the frame until it is due.
        """
        stream = self._feed.stream
        if frame.kind not in self._kinds or stream is None:
            return
        if not self._held and frame.role is Role.CONFIG:
            # Pass it on at once: whoever opens a file at the first video frame must
            # know that there is audio.
            stream.frameReceived(copyOf(frame))
            return
        self._held.append(frame)
        self.goOn(stream)

    def streamEnded(self, reason: str) -> None:
        """
        The other stream has ended. Held frames still wait for the video frames.
        """
        self._producer = None

    def videoAt(self, stream: Stream, timestamp: int) -> None:
        """
        The feed's video has reached C{timestamp}.
        """
        self._upTo = timestamp + MAX_AHEAD
        self.goOn(stream)

    def goOn(self, stream: Stream) -> None:
        """
        Pass on the frames that are due.
        """
        held = self._held
        while held and not self._feed.isPaused:
            isDue = self._upTo is not None and held[0].timestamp <= self._upTo
            if (
                FrameKind.VIDEO not in self._kinds
                and not isDue
                and len(held) <= MAX_HELD
            ):
                break
            stream.frameReceived(copyOf(held.popleft()))
        self._setFull(len(held) > MAX_HELD)

    def _setFull(self, isFull: bool) -> None:
        if self._producer is None or self._isFull == isFull:
            return
        self._isFull = isFull
        if isFull:
            self._producer.pauseProducing()
        else:
            self._producer.resumeProducing()

    def finish(self, stream: Stream) -> None:
        """
        The feed ends: pass on all held frames.
        """
        while self._held:
            stream.frameReceived(copyOf(self._held.popleft()))

    def stop(self) -> None:
        """
        The feed has ended: detach from the other stream.
        """
        self._held.clear()
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.stopProducing()
