"""
A child that decodes one stream for a loop in the server::

    python -m rtmptw.sinks.decode.framesprogram

It writes the decoded frames to shared memory, and describes each in a message; see
L{rtmptw.sinks.wire}.
"""

from typing import Any

from twisted.internet.defer import Deferred

from rtmptw.sinks.decode.decoding import DecodedFrame
from rtmptw.sinks.decode.feeding import FeedingProgram
from rtmptw.sinks.decode.loop import DecodedFrames
from rtmptw.sinks.decode.memory import SLOTS, Memory
from rtmptw.sinks.decode.process import MEMORY, streamFrom, wantedFrom
from rtmptw.sinks.program import run
from rtmptw.sinks.wire import Kind, jsonMessage, message


class FramesProgram(FeedingProgram):
    """
    Sends decoded frames to the server.
    """

    def __init__(self, reactor: Any) -> None:
        super().__init__(reactor)
        self._memory = Memory(MEMORY)
        self._slots = set(range(SLOTS))
        self._size = 0
        self._freed: Deferred[None] | None = None

    def ordered(self, order: Any) -> None:
        """
        Start the sink and the loop.
        """
        wanted = wantedFrom(order)
        frames = DecodedFrames(
            self._reactor,
            format=wanted.format,
            policy=wanted.policy,
            size=wanted.size,
            fps=wanted.fps,
            keyframes=wanted.keyframes,
            media=wanted.media,
            track=wanted.track,
            patient=True,
        )
        self.sink = frames
        frames.streamStarted(streamFrom(order), self)
        Deferred.fromCoroutine(self._loop(frames)).addErrback(self._broken)

    async def _loop(self, frames: DecodedFrames) -> None:
        async for frame in frames:
            array = frame.samples if frame.image is None else frame.image
            if array.size:
                await self._send(frame, array)
            self.progressed()

    async def _send(self, frame: DecodedFrame, array: Any) -> None:
        if array.nbytes > self._size:
            # Enlarge all slots, when they are empty.
            while len(self._slots) < SLOTS:
                await self._wait()
            self._size = array.nbytes
        while not self._slots:
            await self._wait()
        slot = self._slots.pop()
        position = slot * self._size
        self._memory.write(position, array)
        said = {
            "slot": slot,
            "position": position,
            "shape": array.shape,
            "type": array.dtype.str,
            "kind": int(frame.kind),
            "track": frame.track,
            "pts": frame.pts,
            "arrived": frame.arrived.timestamp(),
            "key": frame.keyframe,
            "rate": frame.rate,
        }
        self.transport.write(jsonMessage(Kind.IMAGE, said))

    def _wait(self) -> "Deferred[None]":
        self._freed = Deferred()
        return self._freed

    def freed(self, slot: int) -> None:
        """
        The server has read the frame in a slot.
        """
        self._slots.add(slot)
        freed, self._freed = self._freed, None
        if freed is not None:
            freed.callback(None)

    def readConnectionLost(self) -> None:
        """
        The server has died: while it lives it keeps our input open, to report free
        slots.
        """
        self.connectionLost()

    def pauseProducing(self) -> None:
        """
        Ask for no more frames; messages about free slots still come.
        """
        self.transport.write(message(Kind.PAUSE))

    def resumeProducing(self) -> None:
        """
        Ask for frames again.
        """
        self.transport.write(message(Kind.RESUME))

    def _broken(self, failure: Any) -> None:
        self.failed(failure.getErrorMessage() or type(failure.value).__name__)


if __name__ == "__main__":
    run(FramesProgram)
