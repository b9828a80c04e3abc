"""
An RTMP server inside a program of your own: it counts the frames of each stream.

Usage: python embed.py [ENDPOINT]
"""

import sys
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IPushProducer
from twisted.internet.task import react
from zope.interface import implementer

from rtmptw.delivery import LOSSLESS
from rtmptw.frames import Frame, Role, StreamInfo
from rtmptw.hub.hub import StreamHub
from rtmptw.interfaces import IFrameSink
from rtmptw.plugins.sink import FrameSinkFactory
from rtmptw.rtmpserver.protocol import RTMPFactory


@implementer(IFrameSink)
class Counter:
    delivery = LOSSLESS

    def streamStarted(self, stream: StreamInfo, producer: IPushProducer) -> None:
        self.name = stream.name
        self.frames = 0

    def frameReceived(self, frame: Frame) -> None:
        if frame.role is Role.CODED:
            self.frames += 1

    def streamEnded(self, reason: str) -> None:
        print(f"{self.name}: {self.frames} frames, {reason}", flush=True)


class CounterFactory(FrameSinkFactory):
    def buildSink(self, stream: StreamInfo) -> Counter:
        return Counter()


# begin
async def main(reactor: Any, where: str = "tcp:1935") -> None:
    hub = StreamHub(reactor, [("count", CounterFactory())])
    endpoint = serverFromString(reactor, where)
    port = await endpoint.listen(RTMPFactory(hub))
    print(f"listening on port {port.getHost().port}", flush=True)
    reactor.addSystemEventTrigger("before", "shutdown", hub.shutdown, "it ends")
    await Deferred()


react(main, sys.argv[1:])
# end
