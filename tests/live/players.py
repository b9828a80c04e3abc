"""
Real players.
"""

import shlex
from pathlib import Path

from rtmptw.flv.file import Tag
from tests.live.harness import LiveServer
from tests.live.media import VIDEO
from tests.live.programs import Program, need, needElements

PLAYERS = {
    "ffmpeg": "ffmpeg -hide_banner -loglevel error -nostdin -i {url} -c copy -f flv "
    "-flvflags no_duration_filesize {path}",
    "rtmpdump": "rtmpdump -q --live -r {url} -o {path}",
    "rtmp2src": "gst-launch-1.0 -q rtmp2src location={url} ! filesink location={path}",
}


def needPlayer(name: str) -> None:
    """
    Skip the test if a player is not installed. A test that first starts something else
    must call this before.
    """
    if name == "rtmp2src":
        needElements("rtmp2src")
    else:
        need(name)


class Player:
    """
    A program that plays a stream into an FLV file.
    """

    def __init__(
        self, server: LiveServer, name: str, path: Path, stream: str = "cam"
    ) -> None:
        needPlayer(name)
        self.name = name
        self.path = path
        self.program = Program(
            server.reactor,
            "/usr/bin/env",
            *shlex.split(PLAYERS[name].format(url=server.url(stream), path=path)),
        )

    def wanted(self, tags: list[Tag]) -> list[Tag]:
        """
        @return: the tags that its file should have. librtmp and GStreamer mistake video
            of less than six bytes, which is the end of a sequence, for an error, and
            drop it.
        """
        if self.name == "ffmpeg":
            return tags
        return [tag for tag in tags if tag.kind != VIDEO or len(tag.payload) > 5]

    async def ended(self) -> None:
        """
        Wait until it has ended without being stopped; it must have succeeded.
        """
        status = await self.program.done
        assert status == 0, f"{self.name}: {status}: {self.program.complaints[-1000:]}"
