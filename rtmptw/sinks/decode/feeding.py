"""
A child that gives the frames it is sent to a sink of its own.
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
    A sink that says how many frames it still has, and is told when they came.
    """

    failure: str

    @property
    def waiting(self) -> int:
        """
        How many frames it has not done anything with.
        """

    def frameArrived(self, frame: Frame, arrived: datetime) -> None:
        """
        As C{frameReceived}.
        """

    def streamEnded(self, reason: str) -> "Deferred[None]":
        """
        Nothing follows.
        """


@implementer(IFrameProducer)
class FeedingProgram(Program):
    """
    To the sink in here it is the producer: what that says goes to the server.

    @ivar sink: C{None} until it is made.
    """

    def __init__(self, reactor: Any) -> None:
        super().__init__(reactor)
        self.sink: ArrivalSink | None = None
        self._received = 0
        self._done = 0

    def headerCame(self, frame: Frame, arrived: datetime) -> None:
        """
        Give it to the sink.
        """
        if self.sink is not None:
            self.sink.frameArrived(frame, arrived)

    def frameCame(self, frame: Frame, arrived: datetime) -> None:
        """
        Give it to the sink.
        """
        self._received += 1
        if self.sink is not None:
            self.sink.frameArrived(frame, arrived)
        self.progressed()

    def over(self, reason: str) -> None:
        """
        Let the sink do what is left.
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
        Say how many frames the sink is done with, if they are more.
        """
        waiting = 0 if self.sink is None else self.sink.waiting
        done = self._received - waiting
        if done > self._done:
            self._done = done
            self.done(done)

    # What the sink says: IFrameProducer.

    def pauseProducing(self) -> None:
        """
        Read no more.
        """
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """
        Read on.
        """
        self.transport.resumeProducing()

    def stopProducing(self) -> None:
        """
        The sink has failed.
        """
        assert self.sink is not None
        self.failed(self.sink.failure)
        # What follows is the end.
        self.transport.resumeProducing()

    def framesDropped(self, reason: str, frames: int, size: int) -> None:
        """
        The books are in the server.
        """
        self.dropped(reason, frames, size)
