"""
The sink that counts frames and keeps nothing.
"""

from typing import Final

from twisted.internet.interfaces import IPushProducer
from twisted.logger import Logger
from zope.interface import classImplements

from rtmptw.delivery import LOSSLESS, Delivery
from rtmptw.frames import Frame, FrameKind, StreamInfo
from rtmptw.interfaces import IFrameSink

_VIDEO: Final = FrameKind.VIDEO
_AUDIO: Final = FrameKind.AUDIO


class NullSink:
    """
    Counts the frames of a stream and discards them.

    @ivar bytes: the total size of their payloads.
    """

    _log = Logger()

    failure: str = ""
    delivery: Delivery = LOSSLESS

    def __init__(self) -> None:
        self._video: int = 0
        self._audio: int = 0
        self._data: int = 0
        self.bytes: int = 0
        self._name = ""

    @property
    def frames(self) -> dict[FrameKind, int]:
        """
        The number of frames received, by kind.
        """
        return {
            FrameKind.AUDIO: self._audio,
            FrameKind.VIDEO: self._video,
            FrameKind.DATA: self._data,
        }

    def streamStarted(self, stream: StreamInfo, producer: IPushProducer) -> None:
        """
        Remember the stream's name, for the log.
        """
        self._name = stream.name

    def frameReceived(self, frame: Frame) -> None:
        """
        Count the frame.
        """
        kind = frame.kind
        if kind is _VIDEO:
            self._video += 1
        elif kind is _AUDIO:
            self._audio += 1
        else:
            self._data += 1
        self.bytes += frame.size

    def streamEnded(self, reason: str) -> None:
        """
        Log the counts.
        """
        self._log.info(
            "{name}: {video} video, {audio} audio and {data} data frames, "
            "{bytes} bytes, not kept; {reason}",
            name=self._name,
            video=self._video,
            audio=self._audio,
            data=self._data,
            bytes=self.bytes,
            reason=reason,
        )


# Not as a decorator: mypyc compiles a decorated class as a plain Python class.
classImplements(NullSink, IFrameSink)
