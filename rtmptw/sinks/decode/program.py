"""
A child that decodes one stream, and calls your code::

    python -m rtmptw.sinks.decode.program

What is broken in the stream, in FFmpeg or in your code ends this process, and not the
server. L{rtmptw.sinks.wire} has what is said.
"""

import json
import sys
from datetime import datetime
from typing import Any

from zope.interface import implementer

from rtmptw.frames import Frame, StreamInfo
from rtmptw.interfaces import IFrameProducer
from rtmptw.sinks.decode.decoding import Wanted
from rtmptw.sinks.decode.process import CHECK
from rtmptw.sinks.decode.sink import DecodeSink
from rtmptw.sinks.decode.usercode import UserCode
from rtmptw.sinks.program import Program, run


@implementer(IFrameProducer)
class DecodeProgram(Program):
    """
    To the sink in here it is the producer: what that says goes to the server.
    """

    def __init__(self, reactor: Any) -> None:
        super().__init__(reactor)
        self._sink: DecodeSink | None = None
        self._received = 0
        self._done = 0

    def ordered(self, order: Any) -> None:
        """
        Import the code, and start the sink.
        """
        sys.path[:] = order["path"]
        wanted = order["wanted"]
        wanted["size"] = wanted["size"] and tuple(wanted["size"])
        said = order["stream"]
        said["startedAt"] = datetime.fromisoformat(said["startedAt"])
        try:
            code = UserCode.fromName(order["callable"])
        except ValueError as error:
            self.failed(str(error))
            return
        self._sink = DecodeSink(
            self._reactor,
            code,
            Wanted(**wanted),
            order["detach"],
            progressed=self._progressed,
        )
        self._sink.streamStarted(StreamInfo(**said), self)

    def headerCame(self, frame: Frame, arrived: datetime) -> None:
        """
        Give it to the sink.
        """
        if self._sink is not None:
            self._sink.frameArrived(frame, arrived)

    def frameCame(self, frame: Frame, arrived: datetime) -> None:
        """
        Give it to the sink.
        """
        self._received += 1
        if self._sink is not None:
            self._sink.frameArrived(frame, arrived)
        self._progressed()

    def over(self, reason: str) -> None:
        """
        Let your code have what waits.
        """
        if self._sink is None:
            self.leave()
        else:
            self._sink.streamEnded(reason).addBoth(self._finished)

    def _finished(self, result: Any) -> None:
        self._progressed()
        self.leave()

    def _progressed(self) -> None:
        waiting = 0 if self._sink is None else self._sink.waiting
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
        assert self._sink is not None
        self.failed(self._sink.failure)
        # What follows is the end.
        self.transport.resumeProducing()

    def framesDropped(self, reason: str, frames: int, size: int) -> None:
        """
        The books are in the server.
        """
        self.dropped(reason, frames, size)


def check() -> None:
    """
    Answer L{rtmptw.sinks.decode.process.mediaOf}.
    """
    asked = json.loads(sys.stdin.read())
    sys.path[:] = asked["path"]
    error = media = ""
    try:
        code = UserCode.fromName(asked["callable"])
        media = "" if code.objects is None else code.media()
    except ValueError as wrong:
        error = str(wrong)
    print("\n" + json.dumps({"error": error, "media": media}), flush=True)


if __name__ == "__main__":
    if sys.argv[1:] == [CHECK]:
        check()
    else:
        run(DecodeProgram)
