"""
A camera in a process of its own: FFmpeg's decoder gets what strangers sent, and may end
its process for it. Everything here blocks: it runs in a lane.
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
    As L{Camera<rtmptw.sinks.snapshot.camera.Camera>}. The child is started when first
    needed, and again when it has died, after a wait that grows.
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
        @param kind: of image: C{jpg} or C{png}.
        @param size: width and height; as they are if C{None}.
        @param name: of the stream.
        @param seconds: the monotonic clock.
        @param rand: gives numbers from 0 to 1.
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

        @raise SinkError: if there is none: the frame cannot be decoded, or the child
            has died of it.

        @raise OSError: if there can be no child.
        """
        data = b""
        process = self._process
        if process is None:
            wait = self._goOnAt - self._seconds()
            if wait > 0:
                raise SinkError(f"its process is started again in {wait:.1f} s")
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
                f"its process {process.how} after {process.seconds:.1f} s; it is "
                f"started again in {wait:.1f} s"
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
