"""
What a feed takes from another stream, unchanged.
"""

from collections import deque
from typing import Protocol

from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from rtmptw.delivery import LOSSLESS
from rtmptw.frames import Frame, FrameKind, Role, StreamInfo
from rtmptw.hub.stream import Stream
from rtmptw.interfaces import IFrameSink

#: A frame waits while it is so many ms ahead of the pictures that are made here, ...
MAX_AHEAD = 500
#: ... but not more than so many: ten seconds of AAC. The pictures may have stopped.
MAX_HELD = 512


class Fed(Protocol):
    """
    What is fed.
    """

    @property
    def stream(self) -> Stream | None:
        """
        The stream, while there is one.
        """

    @property
    def isPaused(self) -> bool:
        """
        Whether it takes nothing now.
        """


def copyOf(frame: Frame) -> Frame:
    """
    @return: a frame for another stream: each puts its own on its own clock.
    """
    return frame.retimed(frame.timestamp & 0xFFFFFFFF)


@implementer(IFrameSink)
class Passing:
    """
    The sink of another stream, whose frames a feed passes on. All in the reactor's
    thread.

    Pictures take a while to be decoded, changed and encoded. What goes with them waits,
    so that a recording or a player has both at about the same time.
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
        It begins.
        """
        self._producer = producer

    def frameReceived(self, frame: Frame) -> None:
        """
        Keep it until it is time for it.
        """
        stream = self._feed.stream
        if frame.kind not in self._kinds or stream is None:
            return
        if not self._held and frame.role is Role.CONFIG:
            # So that whoever opens a file for the pictures knows of the sound.
            stream.frameReceived(copyOf(frame))
            return
        self._held.append(frame)
        self.goOn(stream)

    def streamEnded(self, reason: str) -> None:
        """
        What is held stays until the pictures have come.
        """
        self._producer = None

    def picturesAt(self, stream: Stream, timestamp: int) -> None:
        """
        There are pictures up to here.
        """
        self._upTo = timestamp + MAX_AHEAD
        self.goOn(stream)

    def goOn(self, stream: Stream) -> None:
        """
        Pass on what it is time for.
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
        The feed ends: pass on all that is held.
        """
        while self._held:
            stream.frameReceived(copyOf(self._held.popleft()))

    def stop(self) -> None:
        """
        The feed has ended.
        """
        self._held.clear()
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.stopProducing()
