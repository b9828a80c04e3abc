"""
The sink that keeps nothing: how it counts.
"""

from twisted.internet.interfaces import IPushProducer
from twisted.logger import Logger
from zope.interface import classImplements

from rtmptw.delivery import LOSSLESS, Delivery
from rtmptw.frames import Frame, FrameKind, StreamInfo
from rtmptw.interfaces import IFrameSink


class NullSink:
    """
    Counts the frames of a stream and forgets them.

    @ivar frames: how many came, by kind.
    @ivar bytes: the bytes of their payloads.
    """

    _log = Logger()

    delivery: Delivery = LOSSLESS

    def __init__(self) -> None:
        self.frames: dict[FrameKind, int] = dict.fromkeys(FrameKind, 0)
        self.bytes = 0
        self._name = ""

    def streamStarted(self, stream: StreamInfo, producer: IPushProducer) -> None:
        """
        Take the stream's name, for the log.
        """
        self._name = stream.name

    def frameReceived(self, frame: Frame) -> None:
        """
        Count it.
        """
        self.frames[frame.kind] += 1
        self.bytes += len(frame.payload)

    def streamEnded(self, reason: str) -> None:
        """
        Log the counts.
        """
        self._log.info(
            "{name}: {video} video, {audio} audio and {data} data frames, "
            "{bytes} bytes, not kept; {reason}",
            name=self._name,
            video=self.frames[FrameKind.VIDEO],
            audio=self.frames[FrameKind.AUDIO],
            data=self.frames[FrameKind.DATA],
            bytes=self.bytes,
            reason=reason,
        )


# Not as a decorator: mypyc makes a plain class of one that has any.
classImplements(NullSink, IFrameSink)
