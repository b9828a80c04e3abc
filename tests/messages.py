"""
A receiver of messages that calls a function with each one.
"""

from collections.abc import Callable

from rtmptw.rtmp.chunkreader import MessageReceiver


class Calling(MessageReceiver):
    """
    Calls C{take} with the type, timestamp, message stream ID, payload and chunk stream
    ID of each message.
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
