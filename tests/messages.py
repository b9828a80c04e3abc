"""
A receiver of messages that calls a function with each.
"""

from collections.abc import Callable

from rtmptw.rtmp.chunkreader import MessageReceiver


class Calling(MessageReceiver):
    """
    Calls C{take} with all that is known of a message: type, timestamp, message
    stream, payload, chunk stream.
    """

    def __init__(self, take: Callable[[int, int, int, bytes, int], None]) -> None:
        self._take = take

    def messageReceived(
        self,
        messageType: int,
        timestamp: int,
        streamID: int,
        payload: bytes,
        chunkStreamID: int,
    ) -> None:
        self._take(messageType, timestamp, streamID, payload, chunkStreamID)
