"""
Publish a file with FFmpeg, in a process of its own:

    python -m tests.live.publisher '{"source": ..., "target": ...}'

Print C{paused} at the pause, and continue after a line on standard input.
"""

import json
import sys

import av.logging

from tests.live.media import Mux


def pause() -> None:
    """
    Print C{paused}, and wait for a line.
    """
    print("paused", flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    # FFmpeg writes to standard error what the server tells it.
    av.logging.restore_default_callback()
    av.logging.set_level(av.logging.ERROR)
    print(Mux(**json.loads(sys.argv[1])).run(pause), flush=True)
