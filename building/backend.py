"""
The build backend of rtmptw: hatchling, with the additional requirements for compiling
if this machine can compile.
"""

import os
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling import build as hatchling

#: mypyc, its requirements, and the packages whose types it needs.
REQUIREMENTS = [
    "mypy>=2.4,<2.5",
    "mypy-zope>=1.0.17",
    "setuptools>=77",
    "twisted>=24.11",
    "zope.interface>=7.1",
]
#: If this environment variable is set, nothing is compiled.
PURE = "RTMPTW_PURE"

_SOURCE = """
#include <Python.h>
PyMODINIT_FUNC PyInit_probe(void) { return NULL; }
"""


def canCompile() -> bool:
    """
    @return: whether an extension module can be compiled here, and compiling is allowed.
    """
    if (
        os.environ.get(PURE)
        or os.name != "posix"
        or sys.implementation.name != "cpython"
        or sysconfig.get_config_var("Py_GIL_DISABLED")
    ):
        return False
    command = os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc"
    include = sysconfig.get_path("include")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "probe.c")
        source.write_text(_SOURCE)
        try:
            done = subprocess.run(
                [
                    *command.split(),
                    *("-shared", "-fPIC", "-I", include, str(source)),
                    *("-o", str(source.with_suffix(".so"))),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=60,
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
    return done.returncode == 0


def get_requires_for_build_wheel(
    config_settings: dict[str, Any] | None = None,
) -> list[str]:
    """
    @return: the requirements to build a wheel. Not for editable installs, which stay
        pure Python so that changes to the sources take effect.
    """
    needed = hatchling.get_requires_for_build_wheel(config_settings)
    return [*needed, *(REQUIREMENTS if canCompile() else [])]


def __getattr__(name: str) -> Any:
    """
    Return everything else from hatchling. It has fewer functions when pip asks.
    """
    return getattr(hatchling, name)
