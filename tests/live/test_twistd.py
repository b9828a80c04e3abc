"""
The server as a process that a person starts, stops and kills.
"""

import json
import os
import re
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import av
import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import (
    TCP4ClientEndpoint,
    UNIXClientEndpoint,
    connectProtocol,
)
from twisted.internet.protocol import Protocol
from twisted.internet.task import LoopingCall

from rtmptw.rtmp.handshake import SIZE
from tests.live.harness import Publisher, PublisherFailed
from tests.live.media import H264_AAC, Mux, compare, encode, mediaTags, reference
from tests.live.programs import ANY_PORT, BIN, PATIENCE, Program

#: The bytes reserved at the beginning of a recording for its header.
HEAD = 264 * 1024


class Server:
    """
    A server process.

    @ivar port: the port it listens on.
    """

    def __init__(self, program: Program, port: int, folder: Path) -> None:
        self.program = program
        self.port = port
        self.folder = folder

    def url(self, name: str = "cam") -> str:
        """
        @return: the URL to publish a stream to.
        """
        return f"rtmp://127.0.0.1:{self.port}/live/{name}"

    def recordings(self, suffix: str = ".flv") -> list[Path]:
        """
        @return: the recordings of C{live/cam}.
        """
        return sorted((self.folder / "recordings" / "live" / "cam").glob(f"*{suffix}"))

    def onDisk(self) -> "Deferred[None]":
        """
        @return: fires when an unfinished file has frames, and not only its header.
        """
        from twisted.internet import reactor

        def look() -> None:
            if any(path.stat().st_size > HEAD for path in self.recordings(".part")):
                looking.stop()

        looking = LoopingCall(look)
        stopped = looking.start(0.02).addTimeout(PATIENCE, reactor)
        return stopped.addCallback(lambda result: None)

    def ledger(self) -> list[dict[str, Any]]:
        """
        @return: the lines of its ledger file.
        """
        lines = (self.folder / "ledger").read_text().splitlines()
        return [json.loads(line) for line in lines]


Start = Callable[..., Awaitable[Server]]


@pytest.fixture()
def start(serverProcess: Callable[..., Any], tmp_path: Path) -> Start:
    """
    Return a function that starts server processes. Without options they record and keep
    a ledger.
    """

    async def begin(*options: str, **more: Any) -> Server:
        options = options or ("--sink=file", "--ledger=ledger")
        program, port = await serverProcess(*options, **more)
        return Server(program, port, tmp_path)

    return begin


@pytest_twisted.ensureDeferred
async def test_records(start: Start) -> None:
    """
    With C{twistd -n rtmp --sink=file}, every frame is in the file and counted in the
    ledger.
    """
    from twisted.internet import reactor

    server = await start()
    mux = Mux(encode(H264_AAC), server.url())
    await Publisher(reactor, mux).done
    await server.program.says("live/cam: ended")
    (path,) = server.recordings()
    compare(mediaTags(path), reference(mux.source), "twistd")
    (line,) = server.ledger()
    assert line["stream"] == "live/cam" and line["sink"] == "file"
    assert line["received"] == line["delivered"] == len(mediaTags(path)) + 1
    assert line["dropped"] == {}


@pytest.mark.parametrize("name", ["TERM", "INT"])
@pytest_twisted.ensureDeferred
async def test_stopsInOrder(start: Start, name: str) -> None:
    """
    After SIGTERM or SIGINT during a stream, the file is complete and renamed, the
    ledger is written, and the exit status is 0 within ten seconds.
    """
    from twisted.internet import reactor

    server = await start()
    mux = Mux(encode(H264_AAC), server.url(), pauseAfter=160)
    publisher = Publisher(reactor, mux)
    await publisher.paused
    await server.onDisk()
    begun = reactor.seconds()
    server.program.signal(name)
    assert await server.program.done == 0
    assert reactor.seconds() - begun < 10
    publisher.goOn()
    with pytest.raises(PublisherFailed):
        await publisher.done
    (path,) = server.recordings()
    assert server.recordings(".part") == []
    recorded = mediaTags(path)
    (line,) = server.ledger()
    assert line["ended"] == "the server stops"
    assert line["received"] == line["delivered"] == len(recorded) + 1
    compare(recorded, reference(mux.source)[: len(recorded)], f"SIG{name}")
    with av.open(str(path)) as container:
        assert container.duration is not None and container.duration > 0


@pytest_twisted.ensureDeferred
async def test_hangUp(start: Start) -> None:
    """
    Each of two SIGHUPs during a stream is logged, and every frame is recorded. SIGTERM
    still stops the server.
    """
    from twisted.internet import reactor

    server = await start()
    mux = Mux(encode(H264_AAC), server.url(), pauseAfter=160)
    publisher = Publisher(reactor, mux)
    await publisher.paused
    await server.onDisk()
    for turn in range(2):
        server.program.signal("HUP")
        await server.program.saysTimes(
            "SIGHUP ignored: the server does not reload", turn + 1
        )
    assert not server.program.done.called
    publisher.goOn()
    await publisher.done
    await server.program.says("live/cam: ended")
    server.program.signal("TERM")
    assert await server.program.done == 0
    (path,) = server.recordings()
    sent = reference(mux.source)
    compare(mediaTags(path), sent, "SIGHUP")
    (line,) = server.ledger()
    assert line["received"] == line["delivered"] == len(sent) + 1
    assert line["dropped"] == {}


@pytest_twisted.ensureDeferred
async def test_twist(start: Start) -> None:
    """
    C{twist rtmp} works too.
    """
    from twisted.internet import reactor

    server = await start(command=("twist", "--log-format=text"))
    mux = Mux(encode(H264_AAC), server.url())
    await Publisher(reactor, mux).done
    await server.program.says("live/cam: ended")
    (path,) = server.recordings()
    compare(mediaTags(path), reference(mux.source), "twist")
    server.program.signal("TERM")
    assert await server.program.done == 0


@pytest_twisted.ensureDeferred
async def test_afterKill(start: Start) -> None:
    """
    After kill -9 of the server during a stream, the next start completes the file,
    which has at least everything up to the last key frame.
    """
    from twisted.internet import reactor

    server = await start()
    mux = Mux(encode(H264_AAC), server.url(), pauseAfter=160)
    publisher = Publisher(reactor, mux)
    await publisher.paused
    await server.onDisk()
    server.program.signal("KILL")
    assert await server.program.done == -9
    publisher.goOn()
    with pytest.raises(PublisherFailed):
        await publisher.done
    assert server.recordings() == []
    again = await start()
    await again.program.says("recovered ")
    (path,) = server.recordings()
    assert server.recordings(".part") == []
    recorded, sent = mediaTags(path), reference(mux.source)
    # Video frames 0, 25 and 50 are key frames, and 160 packets reach beyond the last.
    keys = [n for n, tag in enumerate(sent) if tag.payload[:2] == b"\x17\x01"]
    assert len(keys) == 3 and len(recorded) > keys[-1]
    compare(recorded, sent[: len(recorded)], "after kill -9")
    with av.open(str(path)) as container:
        count = sum(packet.dts is not None for packet in container.demux())
    assert count == len(recorded) - 2, "FFmpeg reads every frame of it"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--nonsense"],
        ["--port=bad:1"],
        ["--port=tcp:99999999"],
        ["--port=unix:/dev/null/rtmp.sock"],
        ["--sink=nope"],
        ["--sink=file:x:rotate=often"],
        ["--pull=rtmp://127.0.0.1/nameless"],
        ["--source=nope"],
        ["--source=rtmp:rtmps://127.0.0.1/a/b#ca=/nowhere/at/all"],
        ["--chunk-size=0"],
        ["--config=/nowhere/at/all"],
        ["--sink=file:/dev/null/recordings"],
        ["--ledger=/dev/null/ledger"],
        ["--port=tcp:{port}:interface=127.0.0.1"],
    ],
    ids=lambda arguments: arguments[0],
)
@pytest_twisted.ensureDeferred
async def test_badCommandLines(
    start: Start, tmp_path: Path, arguments: list[str]
) -> None:
    """
    A bad command line is answered with one sentence, no traceback, and exit status 1.
    """
    from twisted.internet import reactor

    if "{port}" in arguments[0]:
        server = await start()
        arguments = [arguments[0].format(port=server.port)]
    elif "--port" not in arguments[0]:
        arguments = [*arguments, f"--port={ANY_PORT}"]
    program = Program(
        reactor,
        str(BIN / "twistd"),
        "-n",
        "--pidfile=",
        "rtmp",
        *arguments,
        folder=tmp_path,
    )
    assert await program.done == 1
    said = (program.output + program.complaints).splitlines()
    sentences = [line for line in said if "rtmptw: " in line]
    assert len(sentences) == 1, said
    assert not any("Traceback" in line for line in said), said
    assert program.complaints.splitlines() == sentences, said


class Daemon:
    """
    C{twistd rtmp} without C{-n}, which leaves a process in the background.

    @ivar program: the process in the foreground, which waits for the start.
    @ivar log: the daemon's log file.
    @ivar pidFile: the file with its process ID.
    """

    def __init__(self, reactor: Any, folder: Path, *options: str) -> None:
        self._reactor = reactor
        self.log = folder / "twistd.log"
        self.pidFile = folder / "twistd.pid"
        self.program = Program(
            reactor,
            str(BIN / "twistd"),
            f"--pidfile={self.pidFile}",
            f"--logfile={self.log}",
            f"--rundir={folder}",
            "rtmp",
            *options,
            folder=folder,
        )

    def processes(self) -> list[int]:
        """
        @return: the IDs of its running processes, in the foreground and in the
            background.
        """
        wanted = f"--pidfile={self.pidFile}".encode()
        found: list[int] = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            # A process may end meanwhile.
            with suppress(OSError):
                if wanted in path.read_bytes().split(b"\0"):
                    found.append(int(path.parent.name))
        return found

    async def started(self) -> int:
        """
        @return: the exit status of the process in the foreground.
        """
        return await self.program.done.addTimeout(PATIENCE, self._reactor)

    async def until(self, condition: Callable[[], bool]) -> None:
        """
        Check a condition until it is true.
        """

        def look() -> None:
            if condition():
                looking.stop()

        looking = LoopingCall(look)
        await looking.start(0.02).addTimeout(PATIENCE, self._reactor)

    def signal(self, name: str) -> None:
        """
        Send the daemon a signal.
        """
        os.kill(int(self.pidFile.read_text()), getattr(signal, f"SIG{name}"))

    def kill(self) -> None:
        """
        Kill all its processes.
        """
        for process in self.processes():
            os.kill(process, signal.SIGKILL)


StartDaemon = Callable[..., Daemon]


@pytest.fixture()
def startDaemon(tmp_path: Path) -> Iterator[StartDaemon]:
    """
    Return a function that starts servers in the background. Those that still run after
    the test are killed.
    """
    from twisted.internet import reactor

    if not Path("/proc/self/cmdline").exists():
        pytest.skip("there is no /proc to find daemons in")
    daemons: list[Daemon] = []

    def begin(*options: str) -> Daemon:
        daemons.append(Daemon(reactor, tmp_path, *options))
        return daemons[-1]

    yield begin
    for daemon in daemons:
        daemon.kill()


@pytest_twisted.ensureDeferred
async def test_daemon(startDaemon: StartDaemon, tmp_path: Path) -> None:
    """
    Without C{-n}, the process in the foreground ends with status 0 when the server
    listens. The server records every frame, SIGHUP or not, and SIGTERM stops it.
    """
    from twisted.internet import reactor

    daemon = startDaemon(f"--port={ANY_PORT}", "--sink=file")
    assert await daemon.started() == 0
    assert daemon.program.complaints == ""
    port = re.search(r"RTMPFactory starting on (\d+)", daemon.log.read_text())
    assert port is not None
    mux = Mux(encode(H264_AAC), f"rtmp://127.0.0.1:{port[1]}/live/cam", pauseAfter=160)
    publisher = Publisher(reactor, mux)
    await publisher.paused
    daemon.signal("HUP")
    await daemon.until(lambda: "SIGHUP ignored" in daemon.log.read_text())
    publisher.goOn()
    await publisher.done
    await daemon.until(lambda: "live/cam: ended" in daemon.log.read_text())
    daemon.signal("TERM")
    await daemon.until(lambda: not daemon.processes())
    assert not daemon.pidFile.exists()
    (path,) = (tmp_path / "recordings" / "live" / "cam").glob("*")
    compare(mediaTags(path), reference(mux.source), "by a daemon")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--port={taken}"], "cannot listen on {taken}: .*Address already in use.*"),
        (["--sink=file:/dev/null/x"], "cannot write to /dev/null/x: .*"),
        (["--ledger=/dev/null/x"], "cannot write --ledger=/dev/null/x: .*"),
        (
            ["--manhole={taken}"],
            "cannot listen on {taken}: .*Address already in use.*",
        ),
    ],
    ids=["port", "sink", "ledger", "manhole"],
)
@pytest_twisted.ensureDeferred
async def test_aDaemonThatCannotStart(
    start: Start,
    startDaemon: StartDaemon,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    arguments: list[str],
    sentence: str,
) -> None:
    """
    If the start fails without C{-n}, the process in the foreground ends with status 1
    and one sentence, to which Twisted adds a pointer to the log. The log has the
    sentence, and no process and no PID file are left.
    """
    if arguments[0].startswith("--manhole"):
        pytest.importorskip("bcrypt", reason="rtmptw[manhole] is not installed")
    monkeypatch.setenv("HOME", str(tmp_path))
    server = await start()
    taken = f"tcp:{server.port}:interface=127.0.0.1"
    options = [argument.format(taken=taken) for argument in arguments]
    if not options[0].startswith("--port"):
        options.append(f"--port={ANY_PORT}")
    daemon = startDaemon(*options)
    assert await daemon.started() == 1
    first, *others = daemon.program.complaints.splitlines()
    assert re.fullmatch(f"rtmptw: {sentence.format(taken=taken)}", first)
    assert others == [
        "An error has occurred: b'rtmptw.app.options.CannotStart'",
        "Please look at log file for more information.",
    ]
    log = daemon.log.read_text()
    assert f"cannot start: {first.removeprefix('rtmptw: ')}\n" in log
    assert "Traceback" not in log
    await daemon.until(lambda: not daemon.processes())
    assert not daemon.pidFile.exists()


@pytest.mark.parametrize("foreground", [True, False], ids=["foreground", "daemon"])
@pytest_twisted.ensureDeferred
async def test_aManholeWithoutAKey(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, foreground: bool
) -> None:
    """
    A file that is no manhole key is reported in one sentence, without its content,
    which may be secret.
    """
    from twisted.internet import reactor

    pytest.importorskip("bcrypt", reason="rtmptw[manhole] is not installed")
    monkeypatch.setenv("HOME", str(tmp_path))
    key = tmp_path / ".local" / "state" / "rtmptw" / "manhole_key"
    key.parent.mkdir(parents=True)
    key.write_text("s3cret")
    program = Program(
        reactor,
        str(BIN / "twistd"),
        *(["-n"] if foreground else []),
        "--pidfile=",
        "rtmp",
        f"--port={ANY_PORT}",
        f"--manhole={ANY_PORT}",
        folder=tmp_path,
    )
    assert await program.done.addTimeout(PATIENCE, reactor) == 1
    assert program.complaints == (
        f"rtmptw: --manhole: no usable host key: {key} does not contain a valid key\n"
    )
    assert program.output == ""


@pytest_twisted.ensureDeferred
async def test_configurationFile(start: Start, tmp_path: Path) -> None:
    """
    A configuration file can set where to listen, what to record, and the grace time,
    within which a publisher that comes back continues its recording.
    """
    from twisted.internet import reactor

    (tmp_path / "rtmptw.toml").write_text(
        f'port = "{ANY_PORT}"\n'
        'sink = ["file:recordings:name={app}/{stream}/all.flv", "null"]\n'
        'ledger = "ledger"\ngrace = 60\ngrace-after = "stop"\n'
    )
    server = await start("--config=rtmptw.toml")
    mux = Mux(encode(H264_AAC), server.url())
    for turn in range(2):
        await Publisher(reactor, mux).done
        await server.program.saysTimes("closed after", turn + 1)
    server.program.signal("TERM")
    assert await server.program.done == 0
    recorded = mediaTags(tmp_path / "recordings" / "live" / "cam" / "all.flv")
    sent = reference(mux.source)
    compare(recorded[: len(sent)], sent, "by a configuration file")
    compare(recorded[len(sent) :], sent, "come back")
    assert {line["sink"] for line in server.ledger()} == {"file", "null"}


@pytest_twisted.ensureDeferred
async def test_twoPorts(start: Start, tmp_path: Path) -> None:
    """
    With two C{--port} options, one of them a UNIX socket, the server listens on both.
    """
    from twisted.internet import reactor

    path = tmp_path / "rtmp.sock"
    # In this order, because Twisted logs a UNIX socket before it listens there.
    server = await start(f"--port=unix:{path}", f"--port={ANY_PORT}", "--sink=null")
    await server.program.says(r"starting on '?.*rtmp\.sock")
    await server.program.says(r"starting on \d+")

    class Client(Protocol):
        def __init__(self) -> None:
            self.heard = b""
            self.answered: Deferred[None] = Deferred()
            self.closed: Deferred[None] = Deferred()

        def connectionMade(self) -> None:
            assert self.transport is not None
            self.transport.write(b"\3" + bytes(SIZE))

        def dataReceived(self, data: bytes) -> None:
            self.heard += data
            if len(self.heard) == 1 + 2 * SIZE:
                self.answered.callback(None)

        def connectionLost(self, reason: object = None) -> None:
            self.closed.callback(None)

    clients = [
        await connectProtocol(endpoint, Client())
        for endpoint in (
            UNIXClientEndpoint(reactor, str(path)),
            TCP4ClientEndpoint(reactor, "127.0.0.1", server.port),
        )
    ]
    await gatherResults([client.answered for client in clients])
    server.program.signal("TERM")
    await gatherResults([client.closed for client in clients])
    assert await server.program.done == 0
