"""
All frames of a published stream, in an asyncio task beside others.

Usage: python see_async.py [URL]
"""

import asyncio
import sys

import rtmptw


async def look(frames: rtmptw.AsyncCapture[rtmptw.FrameArray]) -> None:
    number = 0
    async for frame in frames:
        number += 1
        print(f"{number}: {frame.pts:.2f} s, mean {frame.mean():.1f}", flush=True)


async def main(url: str = "rtmp://0.0.0.0:1935/live/cam") -> None:
    async with rtmptw.captureAsync(url, every=True, timeout=None) as frames:
        print(f"publish to {frames.url}", flush=True)
        looking = asyncio.create_task(look(frames))
        # The program can do anything else meanwhile; here it waits for Enter.
        await asyncio.to_thread(sys.stdin.readline)
        looking.cancel()
    print(frames.counts)


asyncio.run(main(*sys.argv[1:]))
