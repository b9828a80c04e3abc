"""
Code as users should not write it.
"""

import time

from rtmptw.sinks.decode.sink import DecodedFrame, DecodedStream


class Stuck:
    """
    Never gets ready.
    """

    def __init__(self, stream: DecodedStream) -> None:
        # What it does is not to return; the test ends its process long before.
        time.sleep(3600)

    def videoFrame(self, frame: DecodedFrame) -> None:
        """
        Nobody calls it.
        """
