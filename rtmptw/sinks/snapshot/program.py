"""
A child that makes images::

    python -m rtmptw.sinks.snapshot.program

It reads the frames for one image after another from standard input, and writes the
images to standard output. The messages are those of L{rtmptw.sinks.wire}.
"""

import faulthandler
import json

from rtmptw.clock import wallClock
from rtmptw.errors import SinkError
from rtmptw.frames import Frame
from rtmptw.sinks.snapshot.camera import Camera
from rtmptw.sinks.wire import Kind, answer, frameOf, message, messagesFrom


def main() -> None:
    """
    Make images until the input ends.
    """
    faulthandler.enable()
    camera: Camera | None = None
    frames: list[Frame] = []
    for kind, body in messagesFrom(0):
        if kind is Kind.ORDER:
            order = json.loads(body)
            camera = Camera(order["kind"], order["size"] and tuple(order["size"]))
        elif kind is Kind.FRAME:
            frames.append(frameOf(body)[0])
        elif kind is Kind.FLUSH and camera is not None:
            try:
                image = camera.take(frames, wallClock())
            except SinkError as error:
                answer(1, message(Kind.REFUSED, str(error).encode()))
            else:
                answer(1, message(Kind.ANSWER, image))
            frames = []


if __name__ == "__main__":
    main()
