"""
Fixtures of the live tests.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest_twisted

from tests.live.harness import LiveServer


@pytest_twisted.async_yield_fixture()
async def serve(tmp_path: Path) -> AsyncIterator[Callable[..., Awaitable[LiveServer]]]:
    """
    Starts servers, with the arguments of L{LiveServer}, and stops them in the end.
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
