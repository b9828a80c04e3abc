"""
Describes the machine and the software versions of a measurement.
"""

import json
import platform
import re
import shutil
import subprocess
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.build import SOURCES
from benchmarks.servers import nginxProgram, nmsFolder, notCompiled, peersPython


def _said(command: Sequence[str | None], pattern: str) -> str:
    """
    @return: the version that a program prints; empty if there is none.
    """
    words = [word for word in command if word is not None]
    if len(words) < len(command):
        return ""
    try:
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
    except OSError:
        return ""
    found = re.search(pattern, done.stdout + done.stderr)
    return found[1] if found else ""


def _package(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _nms(major: int) -> str:
    file = nmsFolder(major) / "node_modules" / "node-media-server" / "package.json"
    return str(json.loads(file.read_text())["version"]) if file.exists() else ""


def _pythonPeer(name: str) -> str:
    """
    @return: the version of a package in the peers' own Python.
    """
    place = peersPython().parents[1].glob(f"lib/python3*/site-packages/{name}-*info")
    return next((path.name.split("-")[1].removesuffix(".dist") for path in place), "")


def _processor() -> str:
    found = re.search(
        r"^model name\s*:\s*(.+)$",
        Path("/proc/cpuinfo").read_text(),
        re.MULTILINE,
    )
    return found[1] if found else platform.machine()


def describeMachine(cores: tuple[int, int] | None) -> dict[str, Any]:
    """
    @return: the description for the top of the report; it can be written as JSON.
    """
    nginx = nginxProgram()
    versions = {
        "Python": platform.python_version(),
        "Twisted": _package("twisted"),
        "rtmptw": _said(
            ["git", "-C", str(SOURCES.parent), "describe", "--always", "--dirty"],
            r"(\S+)",
        )
        or _package("rtmptw"),
        "its compiled build": "" if notCompiled() else "of the same sources",
        "nginx": _said([nginx, "-v"], r"nginx/(\S+)"),
        "libnginx-mod-rtmp": _said(
            [
                shutil.which("dpkg-query"),
                "-W",
                "-f",
                "${Version}",
                "libnginx-mod-rtmp",
            ],
            r"^(\d\S*)",
        ),
        "Node-Media-Server 2": _nms(2),
        "Node-Media-Server 4": _nms(4),
        "pyrtmp": _pythonPeer("pyrtmp"),
        "rtmplite3": _pythonPeer("rtmplite3"),
        "FFmpeg": _said([shutil.which("ffmpeg"), "-version"], r"version (\S+)"),
    }
    return {
        "processor": _processor(),
        "cores": list(cores) if cores else [],
        "system": f"{platform.system()} {platform.release()}",
        "versions": {name: version for name, version in versions.items() if version},
    }
