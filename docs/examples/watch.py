"""
A server, and a loop over the pictures of one stream.

Usage: python watch.py [ENDPOINT]
"""

import sys
from typing import Any

from twisted.internet.endpoints import serverFromString
from twisted.internet.task import react

from rtmptw.hub.hub import StreamHub
from rtmptw.rtmpserver.protocol import RTMPFactory
from rtmptw.server import Server


async def main(reactor: Any, where: str = "tcp:1935") -> None:
    hub = StreamHub(reactor, [])
    factory = RTMPFactory(hub)
    port = await serverFromString(reactor, where).listen(factory)
    print(f"listening on port {port.getHost().port}", flush=True)
    # begin
    server = Server(hub, factory, reactor)
    stream = await server.whenPublished("live/cam")
    async for frame in stream.frames(format="gray", policy="lossless"):
        print(f"{frame.pts:.2f} s: {frame.image.mean():.1f}", flush=True)
    # end


react(main, sys.argv[1:])
