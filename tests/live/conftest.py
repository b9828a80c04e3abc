"""
Fixtures of the live tests.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest_twisted

from tests.live.harness import LiveServer
from tests.live.programs import ANY_PORT, BIN, Program


@pytest_twisted.async_yield_fixture()
async def serve(tmp_path: Path) -> AsyncIterator[Callable[..., Awaitable[LiveServer]]]:
    """
    Return a function that starts servers with the arguments of L{LiveServer}. They are
    stopped after the test.
    """
    from twisted.internet import reactor

    servers: list[LiveServer] = []

    async def start(**arguments: Any) -> LiveServer:
        folder = tmp_path / f"recordings{len(servers)}"
        server = LiveServer(reactor, folder, **arguments)
        servers.append(server)
        return await server.start()

    yield start
    for server in servers:
        await server.stop()


@pytest_twisted.async_yield_fixture()
async def serverProcess(
    tmp_path: Path,
) -> AsyncIterator[Callable[..., Awaitable[tuple[Program, int]]]]:
    """
    Return a function that starts server processes in the test's folder, with the
    options of C{twistd rtmp}, on a free port. Those that still run after the test are
    killed.
    """
    from twisted.internet import reactor

    programs: list[Program] = []

    async def start(
        *options: str, command: tuple[str, ...] = ("twistd", "-n", "--pidfile=")
    ) -> tuple[Program, int]:
        if not any(option.startswith(("--port", "--config")) for option in options):
            options = (f"--port={ANY_PORT}", *options)
        program = Program(
            reactor,
            str(BIN / command[0]),
            *command[1:],
            "rtmp",
            *options,
            folder=tmp_path,
        )
        programs.append(program)
        match = await program.says(r"RTMPFactory starting on (\d+)")
        return program, int(match[1])

    yield start
    for program in programs:
        if not program.done.called:
            program.signal("KILL")
            await program.done
