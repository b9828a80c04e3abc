"""
Which rtmptw runs: its version, and whether it is compiled.
"""

import sys
from collections.abc import Sequence
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from types import ModuleType

import rtmptw
from rtmptw.rtmp import chunkreader

#: Of the modules that are compiled, one that always is.
_WITNESS = Path("rtmptw", "rtmp", "chunkreader")


def isCompiled(module: ModuleType = chunkreader) -> bool:
    """
    @param module: one of those that are compiled in a compiled build.
    @return: whether this is such a build.
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
    @param path: where Python looks for packages.
    @return: the folder of a compiled rtmptw that is installed and does not run, because
        the one that runs comes first; empty if there is none.
    """
    if isCompiled():
        return ""
    for folder in path:
        for suffix in EXTENSION_SUFFIXES:
            if Path(folder, f"{_WITNESS}{suffix}").exists():
                return folder
    return ""
