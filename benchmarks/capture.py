"""
Measures the latency of frames and the CPU time in a program that reads a live stream
with C{rtmptw.capture}, C{cv2.VideoCapture} or PyAV.

The creation time of a frame is drawn into it, in black and white squares, so that all
readers are measured in the same way.
"""

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from statistics import median
from typing import Any

from benchmarks.errors import BenchmarkError

#: The published video: width, height, frames per second.
_WIDTH, _HEIGHT, _RATE = 1280, 720, 25
#: The squares that encode the time: their size in pixels, and their number.
_SQUARE, _BITS = 40, 32
#: Seconds of publishing before a reader starts, and seconds of reading.
_BEFORE, _SECONDS = 3.0, 15.0
#: Seconds that a slow reader needs per frame.
_SLOW = 0.3
READERS = ("rtmptw.capture", "cv2.VideoCapture", "PyAV")
_NEEDS = {"cv2.VideoCapture": "cv2"}


def _now() -> int:
    """
    @return: the time in ms on a clock that all processes share.
    """
    return int(time.monotonic() * 1000)


def draw(picture: Any, moment: int) -> None:
    """
    Draw a time into the top of an array.
    """
    for bit in range(_BITS):
        left = bit * _SQUARE
        picture[:_SQUARE, left : left + _SQUARE] = 255 * (moment >> bit & 1)


def drawn(picture: Any) -> int:
    """
    @return: the time that is drawn there.
    """
    middle = _SQUARE // 2
    row = picture[middle, middle::_SQUARE, 0]
    return sum(int(value > 127) << bit for bit, value in enumerate(row[:_BITS]))


def publish(url: str) -> None:
    """
    Publish until killed.
    """
    import numpy

    import rtmptw

    noise = numpy.random.default_rng(1).integers(0, 255, (_HEIGHT, 256, 3), "u1")
    picture = numpy.tile(noise // 4 + 64, (1, 6, 1))
    options: dict[str, str | int] = {"preset": "ultrafast", "g": 2 * _RATE}
    with rtmptw.writer(url, size=(_WIDTH, _HEIGHT), rate=_RATE, options=options) as out:
        print("ready", flush=True)
        begun = time.monotonic()
        number = 0
        while True:
            frame = picture[:, number % 256 : number % 256 + _WIDTH].copy()
            due = begun + number / _RATE
            time.sleep(max(0.0, due - time.monotonic()))
            draw(frame, _now())
            out.write(frame)
            number += 1


def _withCapture(url: str) -> Iterator[Any]:
    import rtmptw

    with rtmptw.capture(url, pull=True) as frames:
        yield from frames


def _withOpenCV(url: str) -> Iterator[Any]:
    import cv2  # type: ignore[import-not-found, unused-ignore]

    video = cv2.VideoCapture(url)
    while True:
        isThere, frame = video.read()
        if not isThere:
            return
        yield frame


def _withPyAV(url: str) -> Iterator[Any]:
    import av

    with av.open(url) as container:
        for frame in container.decode(video=0):
            yield frame.to_ndarray(format="bgr24")


_LOOPS: dict[str, Callable[[str], Iterator[Any]]] = dict(
    zip(READERS, (_withCapture, _withOpenCV, _withPyAV), strict=True)
)


def read(reader: str, url: str, pause: float) -> None:
    """
    Read for some time, and print the measurements.
    """
    late: list[int] = []
    begun = cost = 0.0
    for frame in _LOOPS[reader](url):
        late.append(_now() - drawn(frame))
        now = time.monotonic()
        if not begun:
            begun, cost = now, time.process_time()
        if now - begun > _SECONDS:
            break
        time.sleep(pause)
    seconds = time.monotonic() - begun
    print(
        json.dumps(
            {
                "first": late[0],
                "median": median(late),
                "last": late[-1],
                "frames": len(late),
                "cpu": 100 * (time.process_time() - cost) / seconds,
            }
        )
    )


def _child(*arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, *arguments], stdout=subprocess.PIPE, text=True
    )


def _says(process: "subprocess.Popen[str]", pattern: str) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        found = re.search(pattern, line)
        if found:
            return found[0]
    raise BenchmarkError(f"a process ended without printing {pattern!r}")


def runCapture(out: Callable[[str], object] = print) -> None:
    """
    Measure each reader, fast and slow, and print a table.

    @raise BenchmarkError: if a process fails.
    """
    out(
        f"{_WIDTH}x{_HEIGHT}, {_RATE} frames per second, for {_SECONDS:g} s; latency "
        "in ms from the creation of a frame until the program has it"
    )
    out(f"{'':34}{'first':>8}{'median':>8}{'last':>8}{'frames':>8}{'CPU %':>8}")
    twistd = "from twisted.scripts.twistd import run; run()"
    server = _child(
        *("-c", twistd, "-n", "--pidfile=", "rtmp"), "--port=tcp:0:interface=127.0.0.1"
    )
    children = [server]
    try:
        port = _says(server, r"RTMPFactory starting on (\d+)").split()[-1]
        url = f"rtmp://127.0.0.1:{port}/live/cam"
        children.append(_child("-m", "benchmarks.capture", "publish", url))
        _says(children[-1], "ready")
        time.sleep(_BEFORE)
        for pause in (0.0, _SLOW):
            for reader in READERS:
                if find_spec(_NEEDS.get(reader, "av")) is None:
                    out(f"{reader}: not installed")
                    continue
                reading = _child("-m", "benchmarks.capture", reader, url, str(pause))
                children.append(reading)
                found = json.loads(_says(reading, r"\{.*\}"))
                reading.wait()
                name = f"{reader}, {pause:g} s per frame" if pause else reader
                out(
                    f"{name:34}{found['first']:8.0f}{found['median']:8.0f}"
                    f"{found['last']:8.0f}{found['frames']:8}{found['cpu']:8.0f}"
                )
    finally:
        for child in children:
            child.kill()
            child.wait()
            assert child.stdout is not None
            child.stdout.close()


if __name__ == "__main__":
    if sys.argv[1] == "publish":
        publish(sys.argv[2])
    else:
        read(sys.argv[1], sys.argv[2], float(sys.argv[3]))
