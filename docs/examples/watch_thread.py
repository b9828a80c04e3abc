"""
A server with a plain loop, in a thread, over the video frames of one stream.

Usage: python watch_thread.py [ENDPOINT]
"""

import sys

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import react
from twisted.internet.threads import deferToThread

from rtmptw import DecodedFrames, Server


# begin
def loop(frames: DecodedFrames) -> None:
    for frame in frames.iterate():
        print(f"{frame.pts:.2f} s: {frame.image.shape}", flush=True)


async def main(reactor: IReactorTime, where: str = "tcp:1935") -> None:
    server = Server(reactor)
    port = await server.listen(where)
    print(f"listening on port {port.getHost().port}", flush=True)
    stream = await server.whenPublished("live/cam")
    await deferToThread(loop, stream.frames(format="bgr24", size=(48, 32)))
    # end


react(main, sys.argv[1:])
