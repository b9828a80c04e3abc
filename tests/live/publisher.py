"""
Publishes a file with FFmpeg, in a process of its own:

    python -m tests.live.publisher '{"source": ..., "target": ...}'

Prints C{paused} where it is told to pause, and goes on when it gets a line.
"""

import json
import sys

import av.logging

from tests.live.media import Mux


def pause() -> None:
    """
    Say so, and wait for a line.
    """
    print("paused", flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    # What the server says to FFmpeg is on standard error.
    av.logging.restore_default_callback()
    av.logging.set_level(av.logging.ERROR)
    print(Mux(**json.loads(sys.argv[1])).run(pause), flush=True)
