"""
Builds the two C programs: the load generator and the floor.
"""

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from benchmarks.errors import BenchmarkError

#: The folder with the sources.
SOURCES = Path(__file__).resolve().parent
_FLAGS = ("-O2", "-g", "-std=gnu11", "-Wall", "-Wextra", "-Wno-unused-parameter")


def cache() -> Path:
    """
    @return: the folder for built and installed programs, outside the source tree. It is
        created if needed.
    """
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    path = Path(home) / "rtmptw-benchmarks"
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BenchmarkError(
            f"cannot create {path} ({error.strerror}); set XDG_CACHE_HOME to use "
            "another folder"
        ) from error
    return path


def compiler() -> str | None:
    """
    @return: the command of the C compiler, if there is one.
    """
    return shutil.which(os.environ.get("CC") or "cc") or shutil.which("gcc")


def program(name: str) -> Path:
    """
    Build a program, unless it was already built from the same source.

    @param name: the name of the source file, without C{.c}.
    @return: the program.

    @raise BenchmarkError: if it cannot be built.
    """
    source = SOURCES / f"{name}.c"
    digest = hashlib.sha256(source.read_bytes()).hexdigest()[:12]
    built = cache() / f"{name}-{digest}"
    if built.exists():
        return built
    command = compiler()
    if command is None:
        raise BenchmarkError(
            "there is no C compiler to build the load generator: install gcc, or set CC"
        )
    with tempfile.TemporaryDirectory(dir=cache()) as folder:
        made = Path(folder) / name
        done = subprocess.run(
            [command, *_FLAGS, "-o", str(made), str(source)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if done.returncode:
            raise BenchmarkError(f"{command} cannot build {source}:\n{done.stdout}")
        # Atomically, so that a concurrent run finds the whole program or none.
        made.replace(built)
    return built
