"""
Real players: every frame that the encoder's own muxer wrote reaches each of them.
"""

import shlex
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import pytest_twisted

from tests.live.harness import LiveServer, Publisher
from tests.live.media import (
    AV1_OPUS,
    H264_AAC,
    HEVC_AAC,
    VIDEO,
    Media,
    Mux,
    compare,
    encode,
    mediaTags,
    reference,
)
from rtmptw.wire.flvfile import Tag
from tests.live.programs import Program, need, needElements

Serve = Callable[..., Awaitable[LiveServer]]

PLAYERS = {
    "ffmpeg": "ffmpeg -hide_banner -loglevel error -nostdin -i {url} -c copy -f flv "
    "-flvflags no_duration_filesize {path}",
    "rtmpdump": "rtmpdump -q --live -r {url} -o {path}",
    "rtmp2src": "gst-launch-1.0 -q rtmp2src location={url} ! filesink location={path}",
}


class Player:
    """
    A program that plays into an FLV file.
    """

    def __init__(self, server: LiveServer, name: str, path: Path) -> None:
        if name == "rtmp2src":
            needElements("rtmp2src")
        else:
            need(name)
        self.name = name
        self.path = path
        self.program = Program(
            server.reactor,
            "/usr/bin/env",
            *shlex.split(PLAYERS[name].format(url=server.url(), path=path)),
        )

    def wanted(self, tags: list[Tag]) -> list[Tag]:
        """
        @return: what is to be in its file. librtmp and GStreamer take video of less
            than six bytes, which is the end of a sequence, for an error, and drop it.
        """
        if self.name == "ffmpeg":
            return tags
        return [tag for tag in tags if tag.kind != VIDEO or len(tag.payload) > 5]

    async def ended(self) -> None:
        """
        Wait until it has ended by itself.
        """
        status = await self.program.done
        assert status == 0, f"{self.name}: {status}: {self.program.complaints[-1000:]}"


@pytest.mark.parametrize("paced", [False, True], ids=["unpaced", "paced"])
@pytest.mark.parametrize("name", PLAYERS)
@pytest_twisted.ensureDeferred
async def test_thereFromTheStart(
    serve: Serve, tmp_path: Path, name: str, paced: bool
) -> None:
    """
    A player that came before the publisher gets every payload, and the end.
    """
    server = await serve()
    player = Player(server, name, tmp_path / "played.flv")
    await server.until(lambda: server.hub.awaited == {"live/cam": 1})
    source = encode(H264_AAC)
    await server.publish(Mux(source, server.url(), paced=paced))
    await player.ended()
    compare(
        mediaTags(player.path),
        player.wanted(reference(source)),
        f"{name}, paced: {paced}",
    )
