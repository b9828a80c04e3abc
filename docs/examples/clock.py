"""
Burns a clock into every stream and publishes the result as out/NAME, with its audio.

    PYTHONPATH=docs/examples twistd -n rtmp --sink=decode:clock.Clock --sink=file
"""

import av

from rtmptw.sinks.decode.sink import DecodedFrame, DecodedStream
from rtmptw.sources.feed import FeedEnded, publish

#: Each character is three points wide and five high.
FONT = {
    "0": "### # # # # # # ###",
    "1": " #  ##   #   #  ###",
    "2": "###   # ### #   ###",
    "3": "###   # ###   # ###",
    "4": "# # # # ###   #   #",
    "5": "### #   ###   # ###",
    "6": "### #   ### # # ###",
    "7": "###   #   #   #   #",
    "8": "### # # ### # # ###",
    "9": "### # # ###   # ###",
    ":": "     #       #     ",
}
LEFT, TOP, SCALE = 8, 8, 2


def draw(image: av.VideoFrame, text: str) -> None:
    """
    Write into the top left corner of the image's luma, white on black.
    """
    plane = image.planes[0]
    pixels = memoryview(plane)
    for y in range(5 * SCALE):
        row = "".join(
            FONT[character][y // SCALE * 4 :][:3].ljust(4) for character in text
        )
        bright = b"".join((b"\xeb" if dot == "#" else b"\x10") * SCALE for dot in row)
        bright = bright[: image.width - LEFT]
        begin = (TOP + y) * plane.line_size + LEFT
        if TOP + y < image.height:
            pixels[begin : begin + len(bright)] = bright


class Clock:
    """
    Made for each stream.
    """

    def __init__(self, stream: DecodedStream) -> None:
        self.feed = None
        # Not for the streams that we publish ourselves.
        if stream.info.app != "out":
            self.feed = publish(stream.hub, f"out/{stream.info.stream}")
            self.feed.passOn(stream.name)

    def videoFrame(self, frame: DecodedFrame) -> None:
        if self.feed is None or self.feed.ended:
            return
        image = frame.image.reformat(format="yuv420p")
        # The decoder still needs the original image.
        image.make_writable()
        draw(image, f"{frame.arrived:%H:%M:%S}")
        try:
            self.feed.video(image, at=frame.pts)
        except FeedEnded:
            # The server is stopping.
            self.feed = None

    def ended(self, reason: str) -> None:
        if self.feed is not None:
            self.feed.close(reason)
