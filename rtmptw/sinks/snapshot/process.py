"""
A camera in a child process: FFmpeg's decoder gets untrusted input, which may crash its
process. Everything here blocks: it runs in a lane.
"""

import random
import time
from collections.abc import Callable
from datetime import datetime

from rtmptw.backoff import Backoff
from rtmptw.errors import SinkError
from rtmptw.frames import Frame
from rtmptw.sinks.asked import AskedProcess
from rtmptw.sinks.child import GOOD_LIFE, JITTER
from rtmptw.sinks.process import Lines
from rtmptw.sinks.wire import Kind, frameMessage, jsonMessage, message

_PROGRAM = "rtmptw.sinks.snapshot.program"


class CameraProcess:
    """
    Like L{Camera<rtmptw.sinks.snapshot.camera.Camera>}, in a child process. The child
    is started when first needed. If it dies, it is restarted with a growing delay.
    """

    def __init__(
        self,
        kind: str,
        size: tuple[int, int] | None,
        name: str,
        seconds: Callable[[], float] = time.monotonic,
        rand: Callable[[], float] = random.random,
    ) -> None:
        """
        @param kind: the image format: C{jpg} or C{png}.
        @param size: width and height to scale to; C{None} not to scale.
        @param name: the stream's name.
        @param seconds: the monotonic clock.
        @param rand: returns random numbers from 0 to 1.
        """
        self._order = {"kind": kind, "size": size}
        self._seconds = seconds
        self._lines = Lines(seconds, name, "snapshot")
        self._backoff = Backoff(rand, 1.0, 1 + JITTER)
        self._goOnAt = float("-inf")
        self._process: AskedProcess | None = None

    def take(self, frames: list[Frame], now: datetime) -> bytes:
        """
        @param frames: headers and a key frame.
        @return: the image.

        @raise SinkError: if there is no image: the frame cannot be decoded, or the
            child has died.

        @raise OSError: if the child cannot be started.
        """
        data = b""
        process = self._process
        if process is None:
            wait = self._goOnAt - self._seconds()
            if wait > 0:
                raise SinkError(f"its process restarts in {wait:.1f} s")
            process = self._process = AskedProcess(_PROGRAM, self._lines)
            data = jsonMessage(Kind.ORDER, self._order)
        data += b"".join(frameMessage(Kind.FRAME, frame, now) for frame in frames)
        answer = process.ask(data + message(Kind.FLUSH))
        if answer is None:
            self._process = None
            if process.seconds >= GOOD_LIFE:
                self._backoff.reset()
            wait = self._backoff.next()
            self._goOnAt = self._seconds() + wait
            raise SinkError(
                f"its process: {process.how} after {process.seconds:.1f} s; "
                f"restarting in {wait:.1f} s"
            )
        kind, body = answer
        if kind is not Kind.ANSWER:
            raise SinkError(body.decode("utf-8", "replace"))
        return body

    def close(self) -> None:
        """
        End the child.
        """
        if self._process is not None:
            process, self._process = self._process, None
            process.close()
