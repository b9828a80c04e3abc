"""
A server that also serves images of its streams over HTTP: GET /live/cam

Usage: python thumbnail.py [RTMP ENDPOINT [HTTP ENDPOINT]]
"""

import sys
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.task import react
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from rtmptw import FrameSinkFactory, Server, SinkError, StreamInfo
from rtmptw.sinks.snapshot.sink import Snapshots, SnapshotSink


# begin
class Images(FrameSinkFactory, Resource):
    isLeaf = True

    def __init__(self, reactor: Any) -> None:
        Resource.__init__(self)
        self.reactor = reactor
        self.sinks: dict[str, SnapshotSink] = {}

    def buildSink(self, stream: StreamInfo) -> SnapshotSink:
        # Nothing is written, and nothing is decoded until it is requested.
        sink = SnapshotSink(self.reactor, Snapshots(every=None, size=(320, 180)))
        self.sinks[stream.name] = sink
        return sink

    def render_GET(self, request: Any) -> object:
        sink = self.sinks.get(request.path.decode().strip("/"))
        Deferred.fromCoroutine(self.answer(request, sink))
        return NOT_DONE_YET

    async def answer(self, request: Any, sink: SnapshotSink | None) -> None:
        try:
            image = await sink.take() if sink is not None else b""
        except SinkError:
            image = b""
        request.setHeader(b"content-type", b"image/jpeg")
        request.setResponseCode(200 if image else 404)
        request.write(image)
        request.finish()
        # end


async def main(
    reactor: Any, rtmp: str = "tcp:1935", http: str = "tcp:8080:interface=127.0.0.1"
) -> None:
    images = Images(reactor)
    web = await serverFromString(reactor, http).listen(Site(images))
    print(f"images on port {web.getHost().port}", flush=True)
    port = await Server(reactor, sinks=[images]).listen(rtmp)
    print(f"listening on port {port.getHost().port}", flush=True)
    await Deferred()


react(main, sys.argv[1:])
