"""
User code that does not return.
"""

import time

from rtmptw.sinks.decode.sink import DecodedFrame, DecodedStream


class Stuck:
    """
    Never returns from its constructor.
    """

    def __init__(self, stream: DecodedStream) -> None:
        # It must not return; the test ends its process long before.
        time.sleep(3600)

    def videoFrame(self, frame: DecodedFrame) -> None:
        """
        Never called.
        """
