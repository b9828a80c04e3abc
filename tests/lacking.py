"""
A server without what Windows or macOS lack. C{python -m tests.lacking windows} removes
it from this Python, then FFmpeg publishes to a capture, and to a server that records,
relays and decodes, and the frames are counted. The result is printed as JSON.

This cannot show what Windows does differently under the same names.
"""

import errno
import itertools
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]

#: What neither Windows nor macOS has.
_LINUX = {
    os: (
        *("memfd_create", "sched_getaffinity", "fdatasync", "O_TMPFILE", "pipe2"),
        *("posix_fallocate", "copy_file_range", "eventfd"),
    ),
    select: ("epoll",),
    socket: (
        *("SOCK_NONBLOCK", "TCP_INFO", "TCP_QUICKACK", "TCP_CORK", "SO_RCVLOWAT"),
        *("TCP_NOTSENT_LOWAT", "TCP_USER_TIMEOUT"),
    ),
}
#: What Windows lacks in addition.
_POSIX = {
    os: (
        *("pread", "pwrite", "preadv", "pwritev", "sendfile", "statvfs", "sysconf"),
        *("O_DIRECTORY", "O_CLOEXEC", "O_NOFOLLOW", "link"),
        *("set_blocking", "mkfifo", "getloadavg", "geteuid", "fchmod", "chown"),
    ),
    signal: ("SIGHUP", "SIGKILL", "SIGUSR1", "SIGUSR2", "SIGPIPE", "SIGQUIT"),
    select: ("poll",),
    socket: ("SO_REUSEPORT", "sendmsg", "CMSG_LEN"),
}
_MODULES = ("resource", "pwd", "grp", "termios", "tty", "pty", "syslog")
_SYSTEMS = ("windows", "macos")


def _take(names: dict[Any, tuple[str, ...]]) -> None:
    for module, attributes in names.items():
        for name in attributes:
            if hasattr(module, name):
                delattr(module, name)


def _refusing(
    function: Callable[..., None], whole: Callable[..., str]
) -> Callable[..., None]:
    """
    @return: the function, but it refuses files that this process has open.
    """

    def refuse(path: Any, *others: Any, **more: Any) -> None:
        wanted = {whole(one) for one in (path, *others)}
        for number in os.listdir("/proc/self/fd"):
            try:
                isOpen = os.readlink(f"/proc/self/fd/{number}") in wanted
            except OSError:
                continue
            if isOpen:
                raise PermissionError(errno.EACCES, "the file is open", path)
        function(path, *others, **more)

    return refuse


def takeAway(system: str) -> None:
    """
    Remove what C{windows} or C{macos} lacks, for all modules that are not imported yet,
    which includes all of rtmptw.
    """
    _take(_LINUX)
    if system != "windows":
        return
    fcntl: Any = __import__("fcntl")

    def locking(descriptor: int, mode: int, size: int) -> None:
        # As on Windows, a lock held by another descriptor is refused, even in the same
        # process.
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise PermissionError(errno.EACCES, "Permission denied") from error

    _take(_POSIX)
    for name in ("fcntl", *_MODULES):
        sys.modules[name] = None  # type: ignore[assignment]
    windows: Any = types.ModuleType("msvcrt")
    windows.locking, windows.LK_NBLCK = locking, 2
    sys.modules["msvcrt"] = windows
    for name in ("rename", "replace", "unlink", "remove"):
        setattr(os, name, _refusing(getattr(os, name), os.path.realpath))


def installReactor(system: str) -> Any:
    """
    Return the reactor that Twisted uses on that system. On Windows, its child processes
    get only three file descriptors. Twisted itself and the modules that it needs are
    imported first, and keep what this system has.
    """
    from twisted.internet import selectreactor, stdio

    assert stdio.StandardIO is not None

    selectreactor.install()
    from twisted.internet import reactor as chosen

    reactor: Any = chosen
    if system == "windows":
        spawn = reactor.spawnProcess

        def spawnProcess(*arguments: Any, **more: Any) -> Any:
            if more.get("childFDs") is not None:
                raise ValueError("on this system a child process has three files")
            return spawn(*arguments, **more)

        reactor.spawnProcess = spawnProcess
    return reactor


#: The frames passed to C{look}.
images: list[object] = []


def look(frame: object, stream: object) -> None:
    """
    The user code of the decode sink.
    """
    images.append(frame)


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="rtmptw-lacking-") as folder:
        before = Path.cwd()
        os.chdir(folder)
        try:
            yield Path(folder)
        finally:
            os.chdir(before)


def refusals() -> dict[str, str]:
    """
    @return: by sink, the errors of those that need what is missing.
    """
    from rtmptw.errors import SinkError
    from rtmptw.plugins.registry import sinkFactory

    said: dict[str, str] = {}
    for sink in (
        *("record:out:format=mkv", "record:out:format=ts", "snapshot:out:process=yes"),
        "decode:tests.lacking.look:process=yes",
    ):
        try:
            sinkFactory(sink).startFactory(None)
        except SinkError as error:
            said[sink] = str(error)
    return said


def recovered(recording: Path) -> list[str]:
    """
    @param recording: a complete recording.
    @return: the verdicts for a copy without its end, first while it is locked and then
        unlocked, and for a copy without frames.
    """
    from rtmptw.sinks import disk
    from rtmptw.sinks.recording.recovery import recoverPart

    whole = recording.read_bytes()
    part, empty = Path("cut.flv.part"), Path("empty.flv.part")
    part.write_bytes(whole[:-5])
    empty.write_bytes(whole[:13])
    said = []
    descriptor = os.open(part, disk.OLD)
    try:
        disk.lock(descriptor)
        said.append(recoverPart(str(part)).verdict.value)
    finally:
        os.close(descriptor)
    return said + [recoverPart(str(path)).verdict.value for path in (part, empty)]


def captured() -> list[int]:
    """
    @return: how many frames a capture with a reactor of its own has read and received.
    """
    from rtmptw import capture
    from tests.live.media import Media, Mux, encode

    media = Media(frames=25)
    url = "rtmp://127.0.0.1:0/live/cam"
    with capture(url, every=True, timeout=30.0) as frames:
        mux = json.dumps(asdict(Mux(encode(media), frames.url)))
        command = [sys.executable, "-m", "tests.live.publisher", mux]
        with subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.DEVNULL
        ) as publisher:
            read = sum(1 for _frame in itertools.islice(frames, media.frames))
        assert publisher.returncode == 0
        return [read, frames.counts.received]


async def run(reactor: Any, folder: Path) -> dict[str, Any]:
    """
    @return: the counts of what was sent, recorded, relayed and decoded.
    """
    import av

    from rtmptw.app.options import Options
    from rtmptw.app.service import RTMPService
    from tests.live.harness import Publisher
    from tests.live.media import Media, Mux, encode, mediaTags, reference

    source = encode(Media(frames=25))
    sent = reference(source)

    async def serve(*arguments: str) -> tuple[RTMPService, int]:
        options = Options()
        options.parseOptions(["--port=tcp:0:interface=127.0.0.1", *arguments])
        service = RTMPService(options.config, reactor)
        service.privilegedStartService()
        service.startService()
        (port,) = [one for one in service if hasattr(one, "endpoint")]
        listening: Any = await port._waitingForPort
        return service, listening.getHost().port

    target, portOfTarget = await serve("--sink=file:relayed")
    origin, port = await serve(
        *("--sink=file", "--sink=record:mp4", "--sink=decode:tests.lacking.look"),
        f"--sink=relay:rtmp://127.0.0.1:{portOfTarget}/live/cam",
        "--ledger=ledger",
    )
    url = f"rtmp://127.0.0.1:{port}/live/cam"
    await Publisher(reactor, Mux(source, url)).done
    await origin.stopService()
    await target.stopService()

    def packets(path: Path) -> int:
        with av.open(str(path)) as container:
            return sum(packet.size > 0 for packet in container.demux())

    def files(name: str) -> list[Path]:
        return sorted(path for path in (folder / name).rglob("*") if path.is_file())

    return {
        "sent": len(sent),
        "packets": packets(Path(source)),
        "file": [len(mediaTags(path)) for path in files("recordings")],
        "mp4": [packets(path) for path in files("mp4")],
        "relayed": [len(mediaTags(path)) for path in files("relayed")],
        "decoded": len(images),
        "unfinished": [path.name for path in files(".") if path.suffix == ".part"],
        "recovered": recovered(files("recordings")[0]),
    }


def main(system: str) -> None:
    """
    Remove what the system lacks, run the servers, and print the result.
    """
    reactor = installReactor(system)
    takeAway(system)
    from twisted.internet.defer import Deferred
    from twisted.internet.task import react
    from twisted.logger import globalLogBeginner, textFileLogObserver

    globalLogBeginner.beginLoggingTo(
        [textFileLogObserver(sys.stderr)], redirectStandardIO=False
    )
    with _folder() as folder:
        read = captured()

        async def do() -> None:
            counts = await run(reactor, folder)
            counts["captured"] = read
            if system == "windows":
                counts["refused"] = refusals()
            print(json.dumps(counts))

        react(lambda _: Deferred.fromCoroutine(do()), _reactor=reactor)


if __name__ == "__main__":
    if sys.argv[1:] not in [[system] for system in _SYSTEMS]:
        raise SystemExit(f"usage: python -m tests.lacking {' or '.join(_SYSTEMS)}")
    # Under its module name, by which the decode sink finds C{look}.
    from tests import lacking

    lacking.main(sys.argv[1])
