"""
A server with a loop over the video frames of one stream.

Usage: python watch.py [ENDPOINT]
"""

import sys

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import react

from rtmptw import Server


async def main(reactor: IReactorTime, where: str = "tcp:1935") -> None:
    # begin
    server = Server(reactor)
    port = await server.listen(where)
    print(f"listening on port {port.getHost().port}", flush=True)
    stream = await server.whenPublished("live/cam")
    async for frame in stream.frames(format="gray", policy="lossless"):
        print(f"{frame.pts:.2f} s: {frame.image.mean():.1f}", flush=True)
    # end


react(main, sys.argv[1:])
