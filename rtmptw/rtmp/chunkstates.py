"""
The states of a chunk reader and all transitions between them.

A state is named for what is expected next. Each but the last two is left with the
bytes it needs, which may come one at a time:

  - basic header: 1 byte, 2 or 3 with a long id (RTMP 1.0, section 5.3.1.1);
  - message header: 11 bytes for type 0, 7 for type 1, 3 for type 2 (5.3.1.2);
  - extended timestamp: 4 bytes (5.3.1.3); for type 3, as many as it takes to see
    that the peer leaves it out;
  - payload: what is left of the message, the chunk size at most;
  - release: L{rtmptw.rtmp.chunkreader.ChunkReader.release}, or
    L{rtmptw.rtmp.chunkreader.ChunkReader.takeTurn} if it rests;
  - nothing: never left.
"""

from enum import Enum
from typing import Final


class Expect(Enum):
    """
    What is expected next.
    """

    BASIC_HEADER = "basic header"
    MESSAGE_HEADER = "message header"
    EXTENDED_TIMESTAMP = "extended timestamp"
    PAYLOAD = "payload"
    #: Delivery is held.
    RELEASE = "release"
    #: After a fault, or given up.
    NOTHING = "nothing"


class ChunkStep(Enum):
    """
    What moves the reader.
    """

    #: A basic header with a message header behind it.
    TYPE_0_TO_2 = "type 0 to 2"
    #: One with an extended timestamp behind it, or none by an old encoder.
    TYPE_3_EXTENDED = "type 3 extended"
    #: In a message header, instead of the timestamp.
    MARKER = "ffffff"
    #: The header is whole, and payload follows,
    WHOLE = "header whole"
    #: or none: the message has a length of 0 and is whole too.
    EMPTY = "empty message"
    #: The end of a chunk, and perhaps of its message.
    CHUNK = "chunk whole"
    #: The receiver's doing.
    HOLD = "hold"
    RELEASE = "released"
    #: The work of a turn is done.
    REST = "rest"
    #: A fault of the peer, or given up.
    END = "end"


CHUNK_TRANSITIONS: Final[dict[Expect, dict[ChunkStep, Expect]]] = {
    Expect.BASIC_HEADER: {
        ChunkStep.TYPE_0_TO_2: Expect.MESSAGE_HEADER,
        ChunkStep.TYPE_3_EXTENDED: Expect.EXTENDED_TIMESTAMP,
        ChunkStep.WHOLE: Expect.PAYLOAD,
        ChunkStep.EMPTY: Expect.BASIC_HEADER,
        ChunkStep.HOLD: Expect.RELEASE,
        ChunkStep.REST: Expect.RELEASE,
        ChunkStep.END: Expect.NOTHING,
    },
    Expect.MESSAGE_HEADER: {
        ChunkStep.MARKER: Expect.EXTENDED_TIMESTAMP,
        ChunkStep.WHOLE: Expect.PAYLOAD,
        ChunkStep.EMPTY: Expect.BASIC_HEADER,
        ChunkStep.END: Expect.NOTHING,
    },
    Expect.EXTENDED_TIMESTAMP: {
        ChunkStep.WHOLE: Expect.PAYLOAD,
        ChunkStep.EMPTY: Expect.BASIC_HEADER,
        ChunkStep.END: Expect.NOTHING,
    },
    Expect.PAYLOAD: {
        ChunkStep.CHUNK: Expect.BASIC_HEADER,
        ChunkStep.END: Expect.NOTHING,
    },
    Expect.RELEASE: {
        ChunkStep.RELEASE: Expect.BASIC_HEADER,
        ChunkStep.END: Expect.NOTHING,
    },
    Expect.NOTHING: {},
}
