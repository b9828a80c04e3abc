"""
A server without what Windows or macOS lack: C{python -m tests.lacking windows} takes
it away from this Python, then FFmpeg publishes to a server that records, relays and
decodes, and the frames are counted. What it prints is JSON.

What it cannot show is what Windows does differently with the same names.
"""

import errno
import json
import os
import select
import signal
import socket
import sys
import tempfile
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

#: What neither of them has.
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
#: What Windows has not, beside that.
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
    @return: the function, for files only that are not open here.
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
    Leave what has not been imported yet, which is all of rtmptw, with what there is on
    C{windows} or C{macos}.
    """
    _take(_LINUX)
    if system != "windows":
        return
    fcntl: Any = __import__("fcntl")

    def locking(descriptor: int, mode: int, size: int) -> None:
        # As there: another descriptor is refused, in this process too.
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
    @return: the reactor that Twisted has there; its children get three files on
        Windows. Twisted's own, which stands for that of another system, and what of
        Python it uses, take what is here.
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
                raise ValueError("on this system a child has three files")
            return spawn(*arguments, **more)

        reactor.spawnProcess = spawnProcess
    return reactor


#: How many pictures the decode sink has given.
pictures: list[object] = []


def look(frame: object, stream: object) -> None:
    """
    What the decode sink calls.
    """
    pictures.append(frame)


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
    @return: what is said to each sink that needs what is not there.
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
    @param recording: a whole one.
    @return: what becomes of one without its end, while it is locked and then; and of
        one without frames.
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


async def run(reactor: Any, folder: Path) -> dict[str, Any]:
    """
    @return: what was recorded and counted.
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
        "pictures": len(pictures),
        "unfinished": [path.name for path in files(".") if path.suffix == ".part"],
        "recovered": recovered(files("recordings")[0]),
    }


def main(system: str) -> None:
    """
    Do it all.
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

        async def do() -> None:
            counts = await run(reactor, folder)
            if system == "windows":
                counts["refused"] = refusals()
            print(json.dumps(counts))

        react(lambda _: Deferred.fromCoroutine(do()), _reactor=reactor)


if __name__ == "__main__":
    if sys.argv[1:] not in [[system] for system in _SYSTEMS]:
        raise SystemExit(f"say which system: {' or '.join(_SYSTEMS)}")
    # Under its own name, by which the decode sink finds it.
    from tests import lacking

    lacking.main(sys.argv[1])
