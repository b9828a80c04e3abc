"""
Constants of the chunk stream (RTMP 1.0, section 5.3) for its reader and its writer,
and the limits on what a peer can make us buffer.
"""

from dataclasses import dataclass
from typing import Final

#: What both sides use until a Set Chunk Size (RTMP 1.0, section 5.4.1).
DEFAULT_CHUNK_SIZE = 128
#: No message is longer (its length has 24 bits). A larger chunk size means the same
#: (RTMP 1.0, section 5.4.1) and is treated as this one.
MAX_CHUNK_SIZE = 0xFFFFFF
#: In the 24-bit timestamp field: a 32-bit timestamp follows the message header.
EXTENDED_MARKER: Final = 0xFFFFFF
SET_CHUNK_SIZE: Final = 1
ABORT: Final = 2
AUDIO: Final = 8
VIDEO: Final = 9
DATA_AMF3: Final = 15
DATA_AMF0: Final = 18
AGGREGATE: Final = 22

#: Message types that carry media. The larger limit applies to them.
MEDIA: Final = frozenset({AUDIO, VIDEO, DATA_AMF3, DATA_AMF0, AGGREGATE})


@dataclass(frozen=True, slots=True)
class Limits:
    """
    Limits on what a peer can make the reader buffer, in bytes unless noted.

    @ivar maxMedia: size of one audio, video, data or aggregate message. A key frame
        of 8K video fits in 10 MiB; nginx-rtmp allows 1 MiB, gortmplib 10 MiB.
    @ivar maxCommand: size of one message of any other type. No real command comes
        near 64 KiB.
    @ivar maxPartial: total declared length of all unfinished messages of several
        chunks: one of the largest kind, with room for others.
    @ivar maxChunkStreams: number of chunk streams. Encoders use 2 to 5, but a peer
        can choose from 65,597 ids.
    """

    maxMedia: int = 10 * 1024 * 1024
    maxCommand: int = 64 * 1024
    maxPartial: int = 16 * 1024 * 1024
    maxChunkStreams: int = 64
