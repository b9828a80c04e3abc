"""
A player that reads everything and sends nothing.
"""

from unittest.mock import patch

import pytest_twisted
from twisted.internet.task import LoopingCall

from rtmptw.rtmp import serversession
from rtmptw.testing import makeFrames
from tests.live.test_play import Serve
from tests.live.viewers import Viewer
from tests.rtmpserver.test_play import Source


@pytest_twisted.ensureDeferred
async def test_aPlayerThatSaysNothing(serve: Serve) -> None:
    """
    A player that never answers is not disconnected while its system acknowledges what
    it is sent: it gets every frame, long after the ping timeout.
    """
    with (
        patch.object(serversession, "PING_AFTER", 0.3),
        patch.object(serversession, "PING_PATIENCE", 0.1),
    ):
        server = await serve()
        source = Source()
        stream = server.hub.publish("live", "cam", source)
        viewer = Viewer(server.port, 0, None)

        def isPlaying() -> bool:
            viewer.read(0.0)
            return viewer.isPlaying and bool(stream.viewers)

        await server.until(isPlaying)
        frames = makeFrames(seconds=2)
        left = list(frames)
        clock = LoopingCall(lambda: stream.frameReceived(left.pop(0)))
        clock.clock = server.reactor
        clock.start(2 / len(frames))

        def isDone() -> bool:
            viewer.read(0.0)
            if not left and clock.running:
                clock.stop()
            return not left

        await server.until(isDone)
        assert stream.viewers == 1
        audioFrames = len(frames) - 2 - 50
        await server.until(lambda: isDone() and viewer.audioFrames == audioFrames)
        assert len(viewer.times) == 50
        assert not viewer.isOver
        server.hub.sourceLost(stream, source, "over")
        viewer.socket.close()
        print(
            f"a silent player: {len(viewer.times)} video and {viewer.audioFrames} "
            "audio frames"
        )
