"""
The server's use of memory. This prints the figures of docs/memory.rst.
"""

import re
import resource
import socket
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest_twisted
from twisted.internet.threads import deferToThread

from rtmptw.rtmp.amf import AMFObject
from rtmptw.rtmp.chunkwriter import ChunkWriter
from rtmptw.rtmp.handshake import SIZE
from rtmptw.rtmp.message import Command
from tests.live.programs import Program

CONNECTIONS = 1000
STREAM_BYTES = 100_000_000


def residentBytes(pid: int) -> int:
    """
    @return: the resident memory of a process.
    """
    status = Path(f"/proc/{pid}/status").read_text()
    match = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert match is not None
    return int(match[1]) * 1024


def connect(port: int) -> socket.socket:
    """
    @return: a connection that has completed the handshake.
    """
    client = socket.create_connection(("127.0.0.1", port))
    client.sendall(b"\3" + bytes(SIZE))
    waiting = 1 + 2 * SIZE
    while waiting:
        waiting -= len(client.recv(waiting))
    client.sendall(bytes(SIZE))
    return client


def stream(port: int) -> None:
    """
    Publish 100 MB of video: a key frame of 100 kB per second, other frames of 15 kB.
    """
    client = connect(port)
    writer = ChunkWriter()

    def command(name: str, number: float, *values: object, on: int = 0) -> bytes:
        kind, payload = Command(name, number, values).encode()  # type: ignore[arg-type]
        return writer.write(3, kind, 0, on, payload)

    client.sendall(
        command("connect", 1.0, AMFObject([("app", "live")]))
        + command("createStream", 2.0, None)
        + command("publish", 3.0, None, "cam", "live", on=1)
        + writer.write(2, 1, 0, 0, (60000).to_bytes(4, "big"))
    )
    sent = number = 0
    while sent < STREAM_BYTES:
        isKey = number % 25 == 0
        head = b"\x17\1\0\0\0" if isKey else b"\x27\1\0\0\0"
        payload = head + bytes(100_000 if isKey else 15_000)
        client.sendall(writer.write(6, 9, number * 40, 1, payload))
        sent += len(payload)
        number += 1
    client.sendall(command("FCUnpublish", 4.0, None, "cam"))
    client.shutdown(socket.SHUT_WR)
    while client.recv(65536):
        # Wait until the server has read everything and closes.
        pass
    client.close()


@pytest_twisted.ensureDeferred
async def test_memoryIsBounded(
    tmp_path: Path, serverProcess: Callable[..., Awaitable[tuple[Program, int]]]
) -> None:
    """
    1,000 idle connections, and 100 MB of one stream into a file, take only bounded
    memory.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 3 * CONNECTIONS:
        wanted = 3 * CONNECTIONS if hard < 0 else min(3 * CONNECTIONS, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    program, port = await serverProcess("--request-timeout=300", "--sink=file")
    assert program.transport is not None
    pid = program.transport.pid
    before = residentBytes(pid)
    clients = await deferToThread(lambda: [connect(port) for _ in range(CONNECTIONS)])
    await deferToThread(lambda: connect(port).close())
    await program.says("closed after")
    idle = (residentBytes(pid) - before) / CONNECTIONS
    for client in clients:
        client.close()
    await program.saysTimes("closed after", CONNECTIONS + 1)
    unused = residentBytes(pid)
    await deferToThread(stream, port)
    await program.says("live/cam: ended")
    grown = residentBytes(pid) - unused
    print(
        f"Python {sys.version.split()[0]}: {before / 2**20:.0f} MiB at the start, "
        f"{idle / 1024:.1f} KiB for an idle connection, "
        f"{grown / 2**20:.1f} MiB more after {STREAM_BYTES / 1e6:.0f} MB"
    )
    assert idle < 32 * 1024
    assert grown < 64 * 2**20
