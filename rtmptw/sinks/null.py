"""
The sink that keeps nothing.
"""

from twisted.internet.interfaces import IPushProducer
from twisted.logger import Logger
from twisted.python.usage import UsageError
from zope.interface import classImplements

from rtmptw.delivery import LOSSLESS, Delivery
from rtmptw.frames import Frame, FrameKind, StreamInfo
from rtmptw.interfaces import IFrameSink
from rtmptw.sinkplugin import FrameSinkFactory


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


class NullSinkFactory(FrameSinkFactory):
    """
    Makes sinks that count frames and keep nothing.
    """

    @classmethod
    def fromString(cls, argstring: str) -> "NullSinkFactory":
        """
        Count the frames of each stream, log the counts at its end, keep nothing.
        Takes no arguments::

            --sink=null

        @raise UsageError: if there are arguments.
        """
        if argstring:
            raise UsageError(f"The null sink takes no arguments, not {argstring!r}.")
        return cls()

    def buildSink(self, stream: StreamInfo) -> NullSink:
        """
        @return: a new L{NullSink}.
        """
        return NullSink()
