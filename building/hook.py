"""
Adds compiled modules to the wheel, if they can be compiled. If not, the wheel is pure
Python: the install fails only if it was told to.
"""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

#: The time limit for compiling in seconds; it takes one minute.
PATIENCE = 900.0
#: If this environment variable is set, an install that does not compile fails.
REQUIRED = "RTMPTW_REQUIRE_COMPILED"
#: The name of the library that all compiled modules share: a file beside the package.
GROUP = "rtmptw"

# It is run as a script, beside the package.
_COMPILE = Path(__file__).with_name("compile.py")
# The session "types" checks the types.
_CONFIGURATION = """
[mypy]
plugins = mypy_zope:plugin
follow_imports = silent
ignore_missing_imports = True
incremental = False

[mypy-twisted.*]
follow_imports = skip

[mypy-twisted.internet.defer,twisted.internet.interfaces]
follow_imports = silent
"""


class CannotCompile(Exception):
    """
    Nothing was compiled. The message says why.
    """


def run(command: list[str], folder: Path, patience: float) -> None:
    """
    @raise CannotCompile: if the program fails, or takes longer than C{patience}
        seconds.
    """
    # In its own process group, so that all compilers can be killed with it.
    process = subprocess.Popen(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        said, _ = process.communicate(timeout=patience)
    except BaseException as reason:
        # Ctrl-C reaches only this process.
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        if isinstance(reason, subprocess.TimeoutExpired):
            raise CannotCompile(f"it took longer than {patience:g} s") from reason
        raise
    if process.returncode:
        lines = said.strip().splitlines() or [f"status {process.returncode}"]
        raise CannotCompile(lines[-1])


def compileModules(
    root: Path, modules: list[str], hot: list[str], cold: list[str], folder: Path
) -> list[Path]:
    """
    @param root: the folder of the package.
    @param modules: the files to compile, relative to it.
    @param hot: those of them that are optimized most.
    @param cold: those of them that are optimized least.
    @param folder: an empty folder to work in.
    @return: the compiled files, below C{folder / "out"}.

    @raise CannotCompile: if they cannot be compiled.
    """
    if importlib.util.find_spec("mypyc") is None:
        raise CannotCompile("there is no C compiler, or no mypyc")
    shutil.copytree(
        root / "rtmptw", folder / "rtmptw", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copy(_COMPILE, folder)
    (folder / "mypy.ini").write_text(_CONFIGURATION)
    warm = [module for module in modules if module not in {*hot, *cold}]
    run(
        [sys.executable, _COMPILE.name, GROUP, *hot, "--", *warm, "--", *cold],
        folder,
        PATIENCE,
    )
    made = [path for path in (folder / "out").rglob("*") if path.is_file()]
    if len(made) != len(modules) + 1:
        raise CannotCompile(
            f"{len(made)} files were made for {len(modules)} modules and their shared "
            "library"
        )
    return made


class CompiledModules(BuildHookInterface[Any]):
    """
    The build hook.
    """

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """
        Compile.
        """
        self._folder = ""
        if version == "editable":
            self._notWanted("an editable install is not compiled")
            return
        if os.environ.get("RTMPTW_PURE"):
            self._notWanted("RTMPTW_PURE is set")
            return
        self._folder = tempfile.mkdtemp(prefix="rtmptw-compile-")
        folder = Path(self._folder)
        modules, hot, cold = (
            self.config[which] for which in ("modules", "hot", "cold")
        )
        try:
            made = compileModules(Path(self.root), modules, hot, cold, folder)
        except (CannotCompile, OSError) as reason:
            self._notCompiled(str(reason))
            return
        for path in made:
            where = path.relative_to(folder / "out").as_posix()
            build_data["force_include"][str(path)] = where
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def _notWanted(self, why: str) -> None:
        """
        @raise SystemExit: if compiling is required.
        """
        if os.environ.get(REQUIRED):
            self.app.abort(f"{REQUIRED} is set, but rtmptw is not compiled: {why}")

    def _notCompiled(self, why: str) -> None:
        """
        @raise SystemExit: if compiling is required.
        """
        self._notWanted(why)
        self.app.display_warning(f"rtmptw is not compiled: {why}")

    def finalize(
        self, version: str, build_data: dict[str, Any], artifact_path: str
    ) -> None:
        """
        Remove temporary files.
        """
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)
