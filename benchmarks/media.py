"""
A media file for scenarios in which frames are decoded or remuxed.
"""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from benchmarks.build import cache
from benchmarks.errors import BenchmarkError

#: The number of video frames: twenty seconds at 30 frames per second.
PICTURES = 600
_ENCODE = (
    "-hide_banner -loglevel error -nostdin -f lavfi -i "
    f"testsrc2=size=1280x720:rate=30:duration={PICTURES // 30} -f lavfi -i "
    f"sine=frequency=440:sample_rate=44100:duration={PICTURES // 30} "
    "-map 0:v -map 1:a -c:v libx264 -preset veryfast -b:v 1870k -maxrate 1870k "
    "-bufsize 1870k -g 60 -bf 0 -pix_fmt yuv420p -c:a aac -b:a 128k -f flv"
)


@dataclass(frozen=True, slots=True)
class Media:
    """
    An FLV file with H.264 and AAC, and L{PICTURES} video frames.

    @ivar payloadBytes: the size of its audio and video messages in bytes.
    @ivar messages: the number of these messages.
    """

    path: Path
    payloadBytes: int
    messages: int


def readMedia(path: Path) -> Media:
    """
    Count the messages of an FLV file (FLV specification E.3, E.4.1).
    """
    data = path.read_bytes()
    position = int.from_bytes(data[5:9], "big") + 4
    total = messages = 0
    while position + 11 <= len(data):
        size = int.from_bytes(data[position + 1 : position + 4], "big")
        if data[position] in (8, 9):
            total += size
            messages += 1
        position += 11 + size + 4
    return Media(path, total, messages)


def media() -> Media:
    """
    Encode the file, unless it exists.

    @raise BenchmarkError: if there is no C{ffmpeg}, or it fails.
    """
    path = cache() / "media-720p30.flv"
    if not path.exists():
        ffmpeg = shutil.which("ffmpeg")
        if ffmpeg is None:
            raise BenchmarkError("there is no ffmpeg to encode a file: install it")
        made = path.with_suffix(".part")
        done = subprocess.run(
            [ffmpeg, *_ENCODE.split(), "-y", str(made)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise BenchmarkError(f"ffmpeg cannot encode a file: {done.stderr.strip()}")
        made.replace(path)
    return readMedia(path)
