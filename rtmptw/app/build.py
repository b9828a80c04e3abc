"""
The running rtmptw: its version, and whether it is compiled.
"""

import sys
from collections.abc import Sequence
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from types import ModuleType

import rtmptw
from rtmptw.rtmp import chunkreader

#: A module that every compiled build has compiled.
_WITNESS = Path("rtmptw", "rtmp", "chunkreader")


def isCompiled(module: ModuleType = chunkreader) -> bool:
    """
    @param module: a module that is compiled in a compiled build.
    @return: whether this is a compiled build.
    """
    return (module.__file__ or "").endswith(tuple(EXTENSION_SUFFIXES))


def description() -> str:
    """
    @return: the version and the build: C{rtmptw 1.0 (compiled)}.
    """
    build = "compiled" if isCompiled() else "pure Python"
    return f"rtmptw {rtmptw.__version__} ({build})"


def hiddenBuild(path: Sequence[str] = sys.path) -> str:
    """
    @param path: Python's module search path.
    @return: the folder of an installed, compiled rtmptw that does not run because this
        one precedes it; empty if there is none.
    """
    if isCompiled():
        return ""
    for folder in path:
        for suffix in EXTENSION_SUFFIXES:
            if Path(folder, f"{_WITNESS}{suffix}").exists():
                return folder
    return ""
