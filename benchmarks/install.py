"""
Installs the peers, as far as they are available.
"""

import os
import shutil
import subprocess
import venv
from collections.abc import Callable, Sequence

from benchmarks.build import SOURCES, compiler, program
from benchmarks.errors import BenchmarkError
from benchmarks.scenarios import Ability
from benchmarks.servers import (
    SERVERS,
    compiledFolder,
    linkBenchmarks,
    nmsFolder,
    notCompiled,
    peersPython,
)

#: The Debian packages that we need, and a test for each whether it is installed.
_PACKAGES: tuple[tuple[str, Callable[[], object]], ...] = (
    ("gcc", compiler),
    ("libc6-dev", compiler),
    ("nginx", lambda: not SERVERS["nginx"].whyNot(Ability.PLAY)),
    ("libnginx-mod-rtmp", lambda: not SERVERS["nginx"].whyNot(Ability.PLAY)),
    ("ffmpeg", lambda: shutil.which("ffmpeg")),
    ("nodejs", lambda: shutil.which("node")),
    ("npm", lambda: shutil.which("npm")),
)
#: Tested with these; later ones of the same major version should work.
_NMS = {2: "node-media-server@2", 4: "node-media-server@4"}
_PYTHON = ("pyrtmp", "rtmplite3")


def _run(command: Sequence[str], **environment: str) -> None:
    """
    @raise BenchmarkError: if it fails.
    """
    done = subprocess.run(
        command,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        lines = done.stdout.strip().splitlines()[-3:]
        raise BenchmarkError(f"{' '.join(command)}: {' / '.join(lines)}")


def _debian() -> None:
    wanted = [name for name, isThere in _PACKAGES if not isThere()]
    if not wanted:
        return
    command = f"apt-get install {' '.join(wanted)}"
    if shutil.which("apt-get") is None:
        raise BenchmarkError(
            f"there is no apt-get; the Debian packages are: {' '.join(wanted)}"
        )
    if os.geteuid() != 0:
        raise BenchmarkError(f"this needs root: {command}")
    _run(["apt-get", "-q", "update"])
    _run(
        ["apt-get", "-q", "install", "-y", "--no-install-recommends", *wanted],
        DEBIAN_FRONTEND="noninteractive",
    )


def _nms(major: int) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise BenchmarkError("there is no npm to install Node-Media-Server")
    folder = nmsFolder(major)
    folder.mkdir(parents=True, exist_ok=True)
    _run(
        [
            *(npm, "install", "--no-audit", "--no-fund", "--prefix", str(folder)),
            _NMS[major],
        ]
    )


def _python() -> None:
    python = peersPython()
    if not python.exists():
        venv.create(python.parents[1], with_pip=True)
    _run([str(python), "-m", "pip", "install", "--quiet", *_PYTHON])


def _compiled() -> None:
    """
    @raise BenchmarkError: if this checkout cannot be compiled.
    """
    if not notCompiled():
        return
    folder = compiledFolder()
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
    _run([str(python), "-m", "pip", "install", "--quiet", str(SOURCES.parent)])
    linkBenchmarks()
    reason = notCompiled()
    if reason:
        raise BenchmarkError(reason)


def install() -> int:
    """
    Install everything that is missing, and report failures.

    @return: the number of failures.
    """
    failed = 0
    for what, step in (
        ("Debian's packages", _debian),
        ("Node-Media-Server 2", lambda: _nms(2)),
        ("Node-Media-Server 4", lambda: _nms(4)),
        ("pyrtmp and rtmplite3", _python),
        ("rtmptw, compiled", _compiled),
        ("the load generator", lambda: program("rtmpload")),
        ("the floor", lambda: program("relay")),
    ):
        try:
            step()
        except BenchmarkError as error:
            failed += 1
            print(f"{what}: not installed: {error}", flush=True)
        else:
            print(f"{what}: installed", flush=True)
    return failed
