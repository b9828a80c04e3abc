"""
The servers that are compared: rtmptw, others and the floor.
"""

import json
import os
import shlex
import shutil
import socket
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.build import SOURCES, cache, compiler, program
from benchmarks.errors import BenchmarkError
from benchmarks.media import media
from benchmarks.scenarios import Ability, Scenario
from benchmarks.without import MEANS, Mean

_ROOT = SOURCES.parent
_PEERS = SOURCES / "peers"
_NGINX_RTMP = Path("/usr/lib/nginx/modules/ngx_rtmp_module.so")
_LIVE = frozenset({Ability.PLAY, Ability.INGEST, Ability.IDLE})
_OURS = _LIVE | {Ability.RECORD, Ability.REMUX, Ability.DECODE}
#: Idle connections must stay open while they are measured.
_PATIENT = "--request-timeout=600"


@dataclass(frozen=True, slots=True)
class Place:
    """
    The environment of a server during one measurement.

    @ivar port: its port on 127.0.0.1.
    @ivar folder: its temporary folder.
    @ivar scenario: the scenario that is measured.
    """

    port: int
    folder: Path
    scenario: Scenario

    @property
    def recordings(self) -> Path:
        """
        The folder for its recordings.
        """
        return self.folder / "recordings"

    @property
    def ledger(self) -> Path:
        """
        The ledger file of rtmptw.
        """
        return self.folder / "ledger.jsonl"

    @property
    def progress(self) -> Path:
        """
        The file to which a program without a port writes its progress.
        """
        return self.folder / "progress"


@dataclass(frozen=True, slots=True)
class Server:
    """
    A server that can be started.

    @ivar what: a description in one line.
    @ivar command: makes its command line.
    @ivar missing: returns why an ability is not available; empty if it is.
    @ivar abilities: its abilities if nothing is missing.
    @ivar isRaw: whether it only moves bytes, without RTMP.
    @ivar hasPort: whether it is a server; if not, it is a program that reads the file.
    @ivar port: the port of its command line; 0 is any.
    @ivar environment: additional environment variables.
    """

    name: str
    what: str
    command: Callable[[Place], list[str]]
    missing: Callable[[Ability], str]
    abilities: frozenset[Ability]
    isRaw: bool = False
    hasPort: bool = True
    port: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)

    def whyNot(self, ability: Ability) -> str:
        """
        @return: why it does not take part in scenarios of this kind; empty if it does.
        """
        if ability not in self.abilities:
            return f"cannot {ability.value}"
        return self.missing(ability)


def freePort() -> int:
    """
    @return: a free port of 127.0.0.1.
    """
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


# rtmptw.


def compiledFolder() -> Path:
    """
    @return: the virtual environment with the compiled build of this checkout.
    """
    return cache() / "peers" / "rtmptw"


def _site() -> Path | None:
    return next(compiledFolder().glob("lib/python3*/site-packages"), None)


def notCompiled() -> str:
    """
    @return: why there is no compiled build of this checkout; empty if there is one.
    """
    install = "python -m benchmarks install"
    site = _site()
    if site is None or not any(site.glob("rtmptw__mypyc.*")):
        return f"there is no compiled build; run: {install}"
    for ours in (_ROOT / "rtmptw").rglob("*.py"):
        theirs = site / ours.relative_to(_ROOT)
        if not theirs.exists() or theirs.read_bytes() != ours.read_bytes():
            return f"the compiled build is from other sources; run: {install}"
    return ""


def linkBenchmarks() -> None:
    """
    Make this package importable in the compiled build's environment, without the
    sources beside it.
    """
    site = _site()
    if site is not None and not (site / SOURCES.name).exists():
        (site / SOURCES.name).symlink_to(SOURCES)


def _argument(path: Path) -> str:
    return str(path).replace("\\", "\\\\").replace(":", "\\:")


def _sink(place: Place) -> str:
    folder = _argument(place.recordings)
    return {
        Ability.RECORD: f"file:{folder}",
        Ability.REMUX: f"record:{folder}:format=mp4",
        Ability.DECODE: "decode:benchmarks.pictures.look:media=both",
    }.get(place.scenario.ability, "null")


def _arguments(place: Place, options: Iterable[str]) -> list[str]:
    more = [_PATIENT] if place.scenario.ability is Ability.IDLE else []
    if not place.scenario.players:
        # Not with players: the ledger would have a line for each of them.
        more.append(f"--ledger={place.ledger}")
    return [
        "-n",
        "--pidfile=",
        "rtmp",
        f"--port=tcp:{place.port}:interface=127.0.0.1",
        f"--sink={_sink(place)}",
        *options,
        *more,
    ]


def _rtmptw(
    name: str, what: str, abilities: frozenset[Ability], *options: str
) -> Server:
    """
    The compiled build of this checkout.
    """
    return Server(
        name,
        what,
        lambda place: [
            str(compiledFolder() / "bin" / "twistd"),
            *_arguments(place, options),
        ],
        lambda ability: notCompiled(),
        abilities,
        environment={"PYTHONPATH": ""},
    )


def _without(name: str, mean: Mean) -> Server:
    """
    Return rtmptw without one of its optimizations.
    """
    what = f"rtmptw without this: {mean.what}"
    if not mean.isCompiled:
        return _pure(f"rtmptw-without-{name}", f"{what} (pure Python)", name)
    return Server(
        f"rtmptw-without-{name}",
        what,
        lambda place: [
            str(compiledFolder() / "bin" / "python"),
            *("-m", "benchmarks.without", name),
            *_arguments(place, ()),
        ],
        lambda ability: notCompiled(),
        _LIVE,
        environment={"PYTHONPATH": ""},
    )


def _pure(name: str, what: str, without: str = "") -> Server:
    """
    The pure Python checkout, with the Python that runs this.

    @param without: the optimization to remove.
    """
    twistd = Path(sys.executable).parent / "twistd"
    program = [sys.executable, "-m", "benchmarks.without", without]

    def missing(ability: Ability) -> str:
        if not twistd.exists():
            return f"there is no twistd beside {sys.executable}; install rtmptw there"
        return ""

    paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH", "")])]
    return Server(
        name,
        what,
        lambda place: [
            *(program if without else [str(twistd)]),
            *_arguments(place, ()),
        ],
        missing,
        _LIVE if without else _OURS,
        environment={"PYTHONPATH": os.pathsep.join(paths)},
    )


# nginx with libnginx-mod-rtmp.


def nginxProgram() -> str | None:
    """
    @return: the path of nginx, which Debian installs in /usr/sbin.
    """
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def _nginxMissing(ability: Ability) -> str:
    if nginxProgram() is None or not _NGINX_RTMP.exists():
        return "nginx or libnginx-mod-rtmp is not installed"
    return ""


def nginxConfiguration(place: Place, options: str, asRoot: bool) -> str:
    """
    @param options: directives for the C{server} block.
    @param asRoot: whether nginx runs as root; its worker would otherwise be the user
        nobody, which cannot write recordings.
    """
    folder = place.folder
    record = ""
    if place.scenario.ability is Ability.RECORD:
        record = f"record all; record_path {place.recordings}; record_unique on;"
    return f"""load_module {_NGINX_RTMP};
{"user root;" if asRoot else ""}
daemon off; worker_processes 1; worker_rlimit_nofile 16384;
pid {folder}/pid; error_log {folder}/error.log error;
events {{ worker_connections 8192; use epoll; }}
rtmp {{
  access_log off;
  server {{
    listen 127.0.0.1:{place.port}; {options}
    application live {{ live on; {record} }}
  }}
}}
"""


def _nginx(name: str, what: str, options: str) -> Server:
    def command(place: Place) -> list[str]:
        folder = place.folder
        file = folder / "nginx.conf"
        file.write_text(nginxConfiguration(place, options, os.geteuid() == 0))
        return [
            nginxProgram() or "nginx",
            "-c",
            str(file),
            "-p",
            str(folder),
            "-e",
            str(folder / "error.log"),
        ]

    return Server(name, what, command, _nginxMissing, _LIVE | {Ability.RECORD})


# Node-Media-Server, pyrtmp and rtmplite3, where the command "install" puts them.


def nmsFolder(major: int) -> Path:
    """
    @return: the folder in which npm installs a Node-Media-Server.
    """
    return cache() / "peers" / f"nms{major}"


def peersPython() -> Path:
    """
    @return: the Python for the peers that are written in Python.
    """
    return cache() / "peers" / "python" / "bin" / "python"


def _nms(major: int) -> Server:
    package = nmsFolder(major) / "node_modules" / "node-media-server"

    def command(place: Place) -> list[str]:
        configuration: dict[str, object] = {
            "bind": "127.0.0.1",
            "logType": 0,
            "rtmp": {"port": place.port, "chunk_size": 60000, "gop_cache": True},
            "auth": {"play": False, "publish": False},
            "store": {"path": str(place.folder / "store")},
        }
        if place.scenario.ability is Ability.RECORD:
            configuration["record"] = {"auto": True, "path": str(place.recordings)}
        return [
            shutil.which("node") or "node",
            str(_PEERS / "nms.js"),
            str(package),
            json.dumps(configuration),
        ]

    def missing(ability: Ability) -> str:
        if shutil.which("node") is None:
            return "node is not installed"
        if not package.exists():
            return "not installed; run: python -m benchmarks install"
        return ""

    return Server(
        f"nms{major}",
        f"Node-Media-Server {major}",
        command,
        missing,
        _LIVE | {Ability.RECORD} if major >= 4 else _LIVE,
    )


def _pythonPeer(package: str) -> Callable[[Ability], str]:
    def missing(ability: Ability) -> str:
        folders = peersPython().parents[1].glob(f"lib/python3*/site-packages/{package}")
        if not any(folders):
            return "not installed; run: python -m benchmarks install"
        return ""

    return missing


def _pyrtmpCommand(place: Place) -> list[str]:
    command = [str(peersPython()), str(_PEERS / "pyrtmp_server.py"), str(place.port)]
    if place.scenario.ability is Ability.RECORD:
        command.append(str(place.recordings))
    return command


def _rtmpliteCommand(place: Place) -> list[str]:
    return [
        *(str(peersPython()), "-m", "rtmplite3.rtmp", "-i", "127.0.0.1"),
        *("-p", str(place.port), "-r", f"{place.folder}/"),
    ]


# The floor.


def _floor(name: str, what: str, *options: str) -> Server:
    def command(place: Place) -> list[str]:
        return [str(program("relay")), str(place.port), *options]

    def missing(ability: Ability) -> str:
        return "" if compiler() else "there is no C compiler"

    return Server(
        name,
        what,
        command,
        missing,
        frozenset({Ability.PLAY, Ability.INGEST}),
        isRaw=True,
    )


def _ffmpegCommand(place: Place) -> list[str]:
    path = str(media().path)
    command = [
        *(shutil.which("ffmpeg") or "ffmpeg", "-hide_banner", "-loglevel", "error"),
        *("-nostdin", "-nostats", "-stats_period", "0.1"),
        *("-progress", str(place.progress), "-stream_loop", "-1"),
    ]
    if place.scenario.ability is Ability.DECODE:
        return [*command, "-i", path, "-f", "null", "-"]
    # Limit the rate to that of the publishers, so that the disk does not fill up.
    return [
        *(*command, "-readrate", str(place.scenario.publishers), "-i", path),
        *("-c", "copy", "-f", "mp4", "-movflags", "frag_keyframe+empty_moov"),
        str(place.recordings / "copy.mp4"),
    ]


def _ffmpegMissing(ability: Ability) -> str:
    return "" if shutil.which("ffmpeg") else "ffmpeg is not installed"


_PLAY = frozenset({Ability.PLAY})

#: All named servers.
SERVERS: dict[str, Server] = {
    server.name: server
    for server in (
        _rtmptw("rtmptw", "rtmptw with default options", _OURS),
        _rtmptw("rtmptw-merge50", "rtmptw, 50 ms per write", _PLAY, "--merge=50"),
        _rtmptw("rtmptw-merge350", "rtmptw, 350 ms per write", _PLAY, "--merge=350"),
        _rtmptw("rtmptw-low-delay", "rtmptw, no batching", _OURS, "--low-delay=on"),
        _pure("rtmptw-pure", "rtmptw in pure Python"),
        *(_without(name, mean) for name, mean in MEANS.items()),
        _nginx("nginx", "nginx-rtmp with default options", ""),
        _nginx("nginx-chunk65536", "nginx-rtmp, chunk size 65536", "chunk_size 65536;"),
        _nginx(
            "nginx-tuned",
            "nginx-rtmp, chunk size 65536, video frames wait for the next audio or key "
            "frame",
            "chunk_size 65536; buffer 1s;",
        ),
        _nms(2),
        _nms(4),
        Server(
            "pyrtmp",
            "pyrtmp's simple server",
            _pyrtmpCommand,
            _pythonPeer("pyrtmp"),
            frozenset({Ability.INGEST, Ability.RECORD, Ability.IDLE}),
        ),
        Server(
            "rtmplite3",
            "rtmplite3",
            _rtmpliteCommand,
            _pythonPeer("rtmplite3"),
            _LIVE,
        ),
        _floor("floor", "moves bytes, parses nothing"),
        _floor("floor-merge20", "the floor, 20 ms per write", "20"),
        _floor("floor-tick20", "the floor, polls every 20 ms", "0", "20"),
        Server(
            "ffmpeg",
            "ffmpeg reading the same file",
            _ffmpegCommand,
            _ffmpegMissing,
            frozenset({Ability.REMUX, Ability.DECODE}),
            hasPort=False,
        ),
    )
}

#: The servers that C{--quick} measures.
QUICK = ("rtmptw", "rtmptw-pure", "nginx")


def customServer(text: str) -> Server:
    """
    Return a server that is given as C{NAME=COMMAND@PORT}. It takes part in scenarios
    with players, publishers and idle connections, but not in those with recordings,
    whose place is unknown.

    @raise BenchmarkError: if the text has another form.
    """
    name, equals, rest = text.partition("=")
    command, at, port = rest.rpartition("@")
    words = shlex.split(command) if command else []
    if (
        not (name and equals and words and at)
        or not port.isdecimal()
        or not 0 < int(port) < 65536
    ):
        raise BenchmarkError(
            f"--server={text}: a server is NAME=COMMAND@PORT, such as "
            "'srs=objs/srs -c srs.conf@1935'"
        )

    def missing(ability: Ability) -> str:
        return "" if shutil.which(words[0]) else f"there is no program {words[0]}"

    return Server(name, command, lambda place: words, missing, _LIVE, port=int(port))


def chooseServers(names: Iterable[str], custom: Iterable[str]) -> list[Server]:
    """
    @param names: the names of known servers.
    @param custom: other servers, as C{NAME=COMMAND@PORT}.

    @raise BenchmarkError: if there is no such server.
    """
    servers = []
    for name in names:
        if name not in SERVERS:
            raise BenchmarkError(
                f"there is no server {name!r}; choose from: {', '.join(SERVERS)}"
            )
        servers.append(SERVERS[name])
    servers += map(customServer, custom)
    return servers
