"""
What the chunk stream (RTMP 1.0, section 5.3) says of itself, for its reader and its
writer, and what a peer may make us hold of it.
"""

from dataclasses import dataclass
from typing import Final

#: What both sides use until a Set Chunk Size (RTMP 1.0, section 5.4.1).
DEFAULT_CHUNK_SIZE = 128
#: No message is longer (its length has 24 bits), so a larger chunk size means the
#: same (RTMP 1.0, section 5.4.1) and is taken as this one.
MAX_CHUNK_SIZE = 0xFFFFFF
#: In a 24-bit timestamp field: a 32-bit one follows the message header.
EXTENDED_MARKER: Final = 0xFFFFFF
SET_CHUNK_SIZE: Final = 1
ABORT: Final = 2
AUDIO: Final = 8
VIDEO: Final = 9
DATA_AMF3: Final = 15
DATA_AMF0: Final = 18
AGGREGATE: Final = 22

#: Message types that carry media, with the larger bound.
MEDIA: Final = frozenset({AUDIO, VIDEO, DATA_AMF3, DATA_AMF0, AGGREGATE})


@dataclass(frozen=True, slots=True)
class Limits:
    """
    What a peer may make the reader hold, in bytes unless said.

    @ivar maxMedia: one audio, video, data or aggregate message. 10 MiB holds a
        key frame of 8K video; nginx-rtmp takes 1 MiB, gortmplib 10 MiB.
    @ivar maxCommand: one message of any other type. No command comes near 64 KiB.
    @ivar maxPartial: the declared lengths of all messages begun but not finished
        in several chunks: one of the largest kind and room for the others.
    @ivar maxChunkStreams: how many chunk streams (a count); encoders use 2 to 5,
        and there are 65,597 ids to invent.
    """

    maxMedia: int = 10 * 1024 * 1024
    maxCommand: int = 64 * 1024
    maxPartial: int = 16 * 1024 * 1024
    maxChunkStreams: int = 64
