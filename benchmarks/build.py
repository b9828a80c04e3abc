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

#: Where the sources are.
SOURCES = Path(__file__).resolve().parent
_FLAGS = ("-O2", "-g", "-std=gnu11", "-Wall", "-Wextra", "-Wno-unused-parameter")


def cache() -> Path:
    """
    @return: the folder for what is built and installed, outside of the source tree;
        it exists.
    """
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    path = Path(home) / "rtmptw-benchmarks"
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BenchmarkError(
            f"{path} cannot be made ({error.strerror}); XDG_CACHE_HOME names the "
            "folder above it"
        ) from error
    return path


def compiler() -> str | None:
    """
    @return: the C compiler's command, if there is one.
    """
    return shutil.which(os.environ.get("CC") or "cc") or shutil.which("gcc")


def program(name: str) -> Path:
    """
    Build a program unless it has been built from this very source.

    @param name: of the source file, without C{.c}.
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
            "there is no C compiler to build the load generator with: install gcc, or "
            "name one in CC"
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
        # In one step, so that another run finds all of it or nothing.
        made.replace(built)
    return built
