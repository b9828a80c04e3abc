"""
A child that decodes one stream, and calls your code::

    python -m rtmptw.sinks.decode.program

A crash caused by the stream, FFmpeg or your code ends this process, and not the server.
The messages are those of L{rtmptw.sinks.wire}.
"""

import json
import sys
from typing import Any

from rtmptw.sinks.decode.feeding import FeedingProgram
from rtmptw.sinks.decode.process import CHECK, streamFrom, wantedFrom
from rtmptw.sinks.decode.sink import DecodeSink
from rtmptw.sinks.decode.usercode import UserCode
from rtmptw.sinks.program import run


class DecodeProgram(FeedingProgram):
    """
    Decodes the stream and calls your code.
    """

    def ordered(self, order: Any) -> None:
        """
        Import the code, and start the sink.
        """
        sys.path[:] = order["path"]
        try:
            code = UserCode.fromName(order["callable"])
        except ValueError as error:
            self.failed(str(error))
            return
        sink = DecodeSink(
            self._reactor,
            code,
            wantedFrom(order),
            order["detach"],
            progressed=self.progressed,
        )
        self.sink = sink
        sink.streamStarted(streamFrom(order), self)


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
