"""
An RTMP server inside your own program: it counts the frames of each stream.

Usage: python embed.py [ENDPOINT]
"""

import sys

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import react

from rtmptw import Frame, FrameSink, FrameSinkFactory, Role, Server, StreamInfo


class Counter(FrameSink):
    frames = 0

    def frameReceived(self, frame: Frame) -> None:
        if frame.role is Role.CODED:
            self.frames += 1

    def streamEnded(self, reason: str) -> None:
        print(f"{self.stream.name}: {self.frames} frames, {reason}", flush=True)


class CounterFactory(FrameSinkFactory):
    def buildSink(self, stream: StreamInfo) -> Counter:
        return Counter()


# begin
async def main(reactor: IReactorTime, where: str = "tcp:1935") -> None:
    server = Server(reactor, sinks=[CounterFactory()])
    port = await server.listen(where)
    print(f"listening on port {port.getHost().port}", flush=True)
    await Deferred()


react(main, sys.argv[1:])
# end
