"""
A child process that passes the frames it receives to a sink of its own.
"""

from datetime import datetime
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from zope.interface import implementer

from rtmptw.frames import Frame
from rtmptw.interfaces import IFrameProducer
from rtmptw.sinks.program import Program


class ArrivalSink(Protocol):
    """
    A sink that reports how many frames it still has, and is told when each frame
    arrived.
    """

    failure: str

    @property
    def waiting(self) -> int:
        """
        The number of frames that it has not processed yet.
        """

    def frameArrived(self, frame: Frame, arrived: datetime) -> None:
        """
        Like C{frameReceived}, with the arrival time.
        """

    def streamEnded(self, reason: str) -> "Deferred[None]":
        """
        The stream has ended.
        """


@implementer(IFrameProducer)
class FeedingProgram(Program):
    """
    The producer of the sink in this process: passes on what the sink reports to the
    server.

    @ivar sink: C{None} until it is made.
    """

    def __init__(self, reactor: Any) -> None:
        super().__init__(reactor)
        self.sink: ArrivalSink | None = None
        self._received = 0
        self._done = 0

    def headerCame(self, frame: Frame, arrived: datetime) -> None:
        """
        Pass the header to the sink.
        """
        if self.sink is not None:
            self.sink.frameArrived(frame, arrived)

    def frameCame(self, frame: Frame, arrived: datetime) -> None:
        """
        Pass the frame to the sink.
        """
        self._received += 1
        if self.sink is not None:
            self.sink.frameArrived(frame, arrived)
        self.progressed()

    def over(self, reason: str) -> None:
        """
        Let the sink process the remaining frames.
        """
        if self.sink is None:
            self.leave()
        else:
            self.sink.streamEnded(reason).addBoth(self._finished)

    def _finished(self, result: Any) -> None:
        self.progressed()
        self.leave()

    def progressed(self) -> None:
        """
        Report how many frames the sink has processed, if there are more.
        """
        waiting = 0 if self.sink is None else self.sink.waiting
        done = self._received - waiting
        if done > self._done:
            self._done = done
            self.done(done)

    # Called by the sink: IFrameProducer.

    def pauseProducing(self) -> None:
        """
        Stop reading.
        """
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """
        Continue reading.
        """
        self.transport.resumeProducing()

    def stopProducing(self) -> None:
        """
        The sink has failed.
        """
        assert self.sink is not None
        self.failed(self.sink.failure)
        # Resume, because the end is still to be read.
        self.transport.resumeProducing()

    def framesDropped(self, reason: str, frames: int, size: int) -> None:
        """
        Report the dropped frames to the server, which counts them.
        """
        self.dropped(reason, frames, size)
