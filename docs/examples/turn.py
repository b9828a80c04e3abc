"""
Receive a stream, turn every frame upside down, and publish the result.

Usage: python turn.py FROM TO
"""

import sys

import rtmptw

source, target = sys.argv[1:]
with rtmptw.capture(source, every=True, timeout=20) as frames:
    print(f"publish to {frames.url}", flush=True)
    first = next(frames)
    height, width = first.shape[:2]
    frames.timeout = 2.0
    with rtmptw.writer(target, size=(width, height), rate=25) as out:
        out.write(first[::-1], time=first.pts)
        try:
            for frame in frames:
                out.write(frame[::-1], time=frame.pts)
        except TimeoutError as error:
            print(error)
print(out.counts)
