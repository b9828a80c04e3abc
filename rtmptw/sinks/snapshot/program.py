"""
A child that makes images::

    python -m rtmptw.sinks.snapshot.program

It gets the frames of one picture after the other on its standard input, and answers
with images on its standard output; L{rtmptw.sinks.wire} has what is said.
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
    Work until nothing more comes.
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
