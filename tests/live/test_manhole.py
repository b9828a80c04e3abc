"""
The manhole, a Python prompt inside the server, with OpenSSH's client.
"""

import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import pytest_twisted

from tests.live.harness import Publisher
from tests.live.media import H264_AAC, Mux, encode
from tests.live.programs import ANY_PORT, Program, need

ServerProcess = Callable[..., Awaitable[tuple[Program, int]]]


def ssh(reactor: object, key: Path, port: str, user: str = "") -> Program:
    """
    Log in to the manhole.
    """
    return Program(
        reactor,
        "/usr/bin/env",
        "ssh",
        "-tt",
        "-i",
        str(key),
        "-oIdentitiesOnly=yes",
        "-oBatchMode=yes",
        "-oStrictHostKeyChecking=no",
        "-oUserKnownHostsFile=/dev/null",
        *([f"-l{user}"] if user else []),
        f"-p{port}",
        "127.0.0.1",
    )


@pytest_twisted.ensureDeferred
async def test_thePrompt(
    serverProcess: ServerProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The user who runs the server can log in, see its streams and kick a publisher.
    Another key and another user name are refused.
    """
    from twisted.internet import reactor

    need("ssh")
    pytest.importorskip("bcrypt", reason="the extra rtmptw[manhole] is not installed")
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True)
    for name in ("mine", "other"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / name],
            check=True,
        )
    (home / ".ssh" / "authorized_keys").write_text((tmp_path / "mine.pub").read_text())
    monkeypatch.setenv("HOME", str(home))
    server, port = await serverProcess("--sink=null", f"--manhole={ANY_PORT}")
    prompt = (await server.says(r"ConchFactory starting on (\d+)"))[1]
    for key, user in (("other", ""), ("mine", "nobody")):
        refused = ssh(reactor, tmp_path / key, prompt, user)
        assert await refused.done != 0
        assert "Permission denied" in refused.complaints
    url = f"rtmp://127.0.0.1:{port}/live/cam"
    publisher = Publisher(reactor, Mux(encode(H264_AAC), url, paced=True))
    await server.says("live/cam: published by")
    session = ssh(reactor, tmp_path / "mine", prompt)
    await session.says(">>>")
    session.write(b"print(len(server.streams), 'stream')\n")
    await session.says("\n1 stream")
    session.write(b"server\n")
    await session.says(r"\nlive/cam  127\.0\.0\.1:\d+  \S+")
    session.write(b"server.stream('live/cam').kick('by hand')\n")
    await server.says("live/cam: ended after .*: by hand")
    session.write(b"\4")
    await session.done
    assert "closed" in session.complaints
    # FFmpeg fails because its connection was closed.
    publisher.done.addErrback(lambda failure: None)
    await publisher.done
    hostKey = home / ".local" / "state" / "rtmptw" / "manhole_key"
    assert hostKey.stat().st_mode & 0o777 == 0o600
    made = hostKey.read_bytes()
    server.signal("TERM")
    assert await server.done == 0
    assert "Traceback" not in server.output
    again, _port = await serverProcess("--sink=null", f"--manhole={ANY_PORT}")
    await again.says("ConchFactory starting")
    assert hostKey.read_bytes() == made
