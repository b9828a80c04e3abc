"""
The child that writes containers, with a muxer that ends its process at Opus, as some of
FFmpeg's do at untrusted input::

    python -m tests.sinks.deadlymuxer
"""

import os
import sys
from typing import Any

from rtmptw._pyav.muxing import Muxer
from rtmptw.frames import Codec
from rtmptw.sinks.record import program


class DeadlyMuxer(Muxer):
    """
    Ends its process at Opus.
    """

    def __init__(self, *arguments: Any) -> None:
        heads = arguments[3]
        if any(head.codec is Codec.OPUS for head in heads.values()):
            os.abort()
        super().__init__(*arguments)


if __name__ == "__main__":
    vars(program)["Muxer"] = DeadlyMuxer
    sys.exit(program.main())
