"""
All frames of a published stream, in a plain loop.

Usage: python see.py [URL]
"""

import sys

import rtmptw

url = sys.argv[1] if len(sys.argv) > 1 else "rtmp://0.0.0.0:1935/live/cam"
with rtmptw.capture(url, every=True, timeout=None) as frames:
    print(f"publish to {frames.url}", flush=True)
    for number, frame in enumerate(frames, 1):
        print(f"{number}: {frame.pts:.2f} s, {frame.shape}", flush=True)
