"""
Other servers to publish to and to play from: nginx-rtmp, and a listening FFmpeg.
"""

import os
import socket
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from tests.live.programs import PATIENCE, Program, need

MODULE = Path("/usr/lib/nginx/modules/ngx_rtmp_module.so")

CONFIGURATION = """\
load_module {module};
{user}
daemon off;
worker_processes 1;
pid {folder}/pid;
error_log {folder}/error.log info;
events {{ worker_connections 256; }}
rtmp {{
  server {{
    listen 127.0.0.1:{port};
    chunk_size 4096;
    application live {{ live on; {live} }}
    application rec {{ live on; record all; record_path {folder}/rec; }}
    application closed {{ live on; deny publish all; }}
  }}
}}
"""


def freePort() -> int:
    """
    @return: a port of loopback that no program listens on now.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def listening(reactor: Any, port: int) -> None:
    """
    Wait until a program listens on a port of loopback. This reads the kernel's table
    instead of connecting, because FFmpeg accepts only one connection.
    """
    wanted = f"0100007F:{port:04X}"
    for _ in range(int(PATIENCE / 0.02)):
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[1] == wanted and fields[3] == "0A":
                return
        await deferLater(reactor, 0.02)
    raise TimeoutError(f"no program listens on port {port}")


class Nginx:
    """
    nginx-rtmp with three applications: C{live}; C{rec}, which records; and C{closed},
    which refuses all publishers.

    @ivar port: the port it listens on; the same after a restart.
    """

    def __init__(self, reactor: Any, folder: Path, live: str = "") -> None:
        """
        @param live: more directives for the application C{live}.
        """
        need("nginx")
        if not MODULE.exists():
            pytest.skip("nginx-rtmp is not installed")
        self.port = freePort()
        self.folder = folder
        self._reactor = reactor
        self._program: Program | None = None
        (folder / "rec").mkdir(parents=True)
        (folder / "nginx.conf").write_text(
            CONFIGURATION.format(
                module=MODULE,
                user="user root;" if os.getuid() == 0 else "",
                folder=folder,
                port=self.port,
                live=live,
            )
        )

    def url(self, path: str) -> str:
        """
        @return: the URL of C{APP/NAME} on it.
        """
        return f"rtmp://127.0.0.1:{self.port}/{path}"

    async def start(self) -> "Nginx":
        """
        Start nginx, and wait until it listens.
        """
        self._program = Program(
            self._reactor,
            "/usr/bin/env",
            "nginx",
            "-c",
            str(self.folder / "nginx.conf"),
            "-p",
            str(self.folder),
            "-e",
            str(self.folder / "error.log"),
        )
        await listening(self._reactor, self.port)
        return self

    async def stop(self, signal: str = "TERM") -> None:
        """
        Stop nginx and its workers.
        """
        program, self._program = self._program, None
        if program is None:
            return
        program.signal(signal)
        await program.done
        for _ in range(int(PATIENCE / 0.02)):
            # The master has ended. A worker ends when it notices.
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", self.port))
                except OSError:
                    await deferLater(self._reactor, 0.02)
                else:
                    return
        raise TimeoutError("nginx did not free its port")

    async def logged(self, words: str) -> None:
        """
        Wait until its log contains these words.
        """
        log = self.folder / "error.log"
        for _ in range(int(PATIENCE / 0.02)):
            if words in log.read_text():
                return
            await deferLater(self._reactor, 0.02)
        raise TimeoutError(f"nginx did not log {words}")

    def recordings(self) -> list[Path]:
        """
        @return: the recordings of C{rec}.
        """
        return sorted((self.folder / "rec").glob("*.flv"))


class ListeningFFmpeg:
    """
    C{ffmpeg -listen 1}, which accepts one stream and writes it to a file.

    @ivar done: fires with its exit status.
    """

    def __init__(self, reactor: Any, port: int, output: Path) -> None:
        need("ffmpeg")
        self._program = Program(
            reactor,
            "/usr/bin/env",
            "ffmpeg",
            "-hide_banner",
            "-loglevel",
            "error",
            "-nostdin",
            "-listen",
            "1",
            "-i",
            f"rtmp://127.0.0.1:{port}/live/cam",
            "-c",
            "copy",
            "-f",
            "flv",
            "-flvflags",
            "no_duration_filesize",
            str(output),
        )
        self.done: Deferred[int] = self._program.done
        self.program = self._program
