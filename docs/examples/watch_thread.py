"""
A server, and a plain loop in a thread over the pictures of one stream.

Usage: python watch_thread.py [ENDPOINT]
"""

import sys
from typing import Any

from twisted.internet.endpoints import serverFromString
from twisted.internet.task import react
from twisted.internet.threads import deferToThread

from rtmptw.hub.hub import StreamHub
from rtmptw.rtmpserver.protocol import RTMPFactory
from rtmptw.server import Server


# begin
def loop(frames: Any) -> None:
    for frame in frames.iterate():
        print(f"{frame.pts:.2f} s: {frame.image.shape}", flush=True)


async def watch(server: Server) -> None:
    stream = await server.whenPublished("live/cam")
    await deferToThread(loop, stream.frames(format="bgr24", size=(48, 32)))
    # end


async def main(reactor: Any, where: str = "tcp:1935") -> None:
    hub = StreamHub(reactor, [])
    factory = RTMPFactory(hub)
    port = await serverFromString(reactor, where).listen(factory)
    print(f"listening on port {port.getHost().port}", flush=True)
    await watch(Server(hub, factory, reactor))


react(main, sys.argv[1:])
