"""
The states of a chunk reader and all transitions between them.

A state is named for what is expected next. It is left as soon as that has arrived,
which may be one byte at a time:

  - basic header: 1 byte, 2 or 3 with a long id (RTMP 1.0, section 5.3.1.1);
  - message header: 11 bytes for type 0, 7 for type 1, 3 for type 2 (5.3.1.2);
  - extended timestamp: 4 bytes (5.3.1.3); for type 3, as many as it takes to see
    that the peer omits it;
  - payload: the rest of the message, but at most the chunk size;
  - release: a call of L{rtmptw.rtmp.chunkreader.ChunkReader.release}, or of
    L{rtmptw.rtmp.chunkreader.ChunkReader.takeTurn} if the reader rests;
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
    #: The peer has broken the protocol, or the reader was told to give up.
    NOTHING = "nothing"


class ChunkStep(Enum):
    """
    What changes the reader's state.
    """

    #: A basic header is complete, and a message header follows.
    TYPE_0_TO_2 = "type 0 to 2"
    #: A basic header is complete, and an extended timestamp follows, unless an old
    #: encoder omits it.
    TYPE_3_EXTENDED = "type 3 extended"
    #: A message header has this instead of a timestamp.
    MARKER = "ffffff"
    #: The header is complete, and payload follows.
    WHOLE = "header whole"
    #: The header is complete, and so is the message: its length is 0.
    EMPTY = "empty message"
    #: A chunk is complete, and perhaps its message too.
    CHUNK = "chunk whole"
    #: The receiver holds delivery, or releases it.
    HOLD = "hold"
    RELEASE = "released"
    #: The work of this turn is done.
    REST = "rest"
    #: The peer has broken the protocol, or the reader was told to give up.
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
