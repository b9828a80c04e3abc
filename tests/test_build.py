"""
Tests of building a wheel, with compiled modules and without.
"""

import importlib.util
import os
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

import rtmptw

ROOT = Path(__file__).parents[1]


#: Where the package is: in the checkout, or where the wheel is installed.
SOURCES = Path(rtmptw.__file__).parents[1]


def load(name: str) -> ModuleType:
    """
    @return: a module of the folder C{building}, which only pip imports.
    """
    spec = importlib.util.spec_from_file_location(
        name, ROOT / "building" / f"{name}.py"
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class BackendTests(SynchronousTestCase):
    """
    The requirements of a build that pip gets.
    """

    def setUp(self) -> None:
        self.backend = load("backend")
        # Pip calls the backend in this folder.
        self.addCleanup(os.chdir, Path.cwd())
        os.chdir(ROOT)

    def test_withACompiler(self) -> None:
        """
        A wheel needs mypyc, an editable install does not, and everything else is
        hatchling's.
        """
        self.patch(self.backend, "canCompile", lambda: True)
        needed = self.backend.get_requires_for_build_wheel()
        self.assertTrue(any(one.startswith("mypy>=") for one in needed), needed)
        self.assertFalse(
            any("mypy" in one for one in self.backend.get_requires_for_build_editable())
        )
        for name in ("build_wheel", "build_sdist", "build_editable"):
            self.assertTrue(hasattr(self.backend, name), name)
        self.assertFalse(hasattr(self.backend, "build_nothing"))

    def test_withoutACompiler(self) -> None:
        """
        Without a working compiler, or if the user wants pure Python, a wheel needs
        nothing more.
        """
        for variable, value in (
            ("CC", "false"),
            ("CC", "/nowhere/cc"),
            ("RTMPTW_PURE", "1"),
        ):
            before = os.environ.get(variable)
            os.environ[variable] = value
            try:
                self.assertFalse(self.backend.canCompile(), value)
                needed = self.backend.get_requires_for_build_wheel()
            finally:
                del os.environ[variable]
                if before is not None:
                    os.environ[variable] = before
            self.assertFalse(any("mypy" in one for one in needed), needed)


class Application:
    """
    The part of hatchling that shows warnings.
    """

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def abort(self, text: str) -> None:
        raise SystemExit(text)

    def display_warning(self, text: str) -> None:
        self.warnings.append(text)


class HookTests(SynchronousTestCase):
    """
    What the build hook puts into the wheel.
    """

    def setUp(self) -> None:
        self.hook = load("hook")
        self.application = Application()

    def build(self, version: str = "standard") -> dict[str, Any]:
        """
        @return: the data in which the hook tells hatchling what to put into the wheel.
        """
        hook = self.hook.CompiledModules(
            str(SOURCES),
            {"modules": ["rtmptw/errors.py"], "hot": [], "cold": []},
            None,
            None,
            "",
            "wheel",
            self.application,
        )
        data: dict[str, Any] = {"force_include": {}}
        hook.initialize(version, data)
        self.addCleanup(hook.finalize, version, data, "")
        return data

    def test_compiled(self) -> None:
        """
        The compiled modules are put where they are imported from, into a wheel for this
        platform.
        """

        def run(command: list[str], folder: Path, patience: float) -> None:
            self.assertEqual(command[0], sys.executable)
            self.assertTrue((folder / "rtmptw" / "frames.py").exists())
            (folder / "out" / "rtmptw").mkdir(parents=True)
            for made in ("rtmptw__mypyc.so", "rtmptw/errors.so"):
                (folder / "out" / made).touch()

        self.patch(self.hook.importlib.util, "find_spec", lambda name: object())
        self.patch(self.hook, "run", run)
        data = self.build()
        self.assertEqual(
            sorted(data.pop("force_include").values()),
            ["rtmptw/errors.so", "rtmptw__mypyc.so"],
        )
        self.assertEqual(data, {"pure_python": False, "infer_tag": True})
        self.assertEqual(self.application.warnings, [])

    def test_notCompiled(self) -> None:
        """
        If compiling fails for any reason, there is one warning, and the wheel is pure
        Python.
        """

        def broken(*arguments: object) -> None:
            raise self.hook.CannotCompile("the compiler has crashed")

        def full(*arguments: object) -> None:
            raise OSError(28, "No space left on device")

        def nothing(*arguments: object) -> None:
            pass

        self.patch(self.hook.importlib.util, "find_spec", lambda name: object())
        for fault, words in (
            (broken, "the compiler has crashed"),
            (full, "No space left on device"),
            (nothing, "0 files were made"),
        ):
            self.patch(self.hook, "run", fault)
            self.application.warnings.clear()
            self.assertEqual(self.build(), {"force_include": {}})
            (warning,) = self.application.warnings
            self.assertIn(words, warning)
        self.patch(self.hook.importlib.util, "find_spec", lambda name: None)
        self.application.warnings.clear()
        self.assertEqual(self.build(), {"force_include": {}})
        self.assertIn("no mypyc", self.application.warnings[0])

    def test_notWanted(self) -> None:
        """
        An editable install is not compiled, and neither is any if the user wants pure
        Python.
        """
        self.assertEqual(self.build("editable"), {"force_include": {}})
        os.environ["RTMPTW_PURE"] = "1"
        self.addCleanup(os.environ.pop, "RTMPTW_PURE")
        self.assertEqual(self.build(), {"force_include": {}})
        self.assertEqual(self.application.warnings, [])

    def test_required(self) -> None:
        """
        With RTMPTW_REQUIRE_COMPILED, an install that is not compiled fails, whatever
        the reason.
        """
        os.environ["RTMPTW_REQUIRE_COMPILED"] = "1"
        self.addCleanup(os.environ.pop, "RTMPTW_REQUIRE_COMPILED")
        self.patch(self.hook.importlib.util, "find_spec", lambda name: None)

        def refused(words: str, version: str = "standard") -> None:
            error = self.assertRaises(SystemExit, self.build, version)
            self.assertIn("RTMPTW_REQUIRE_COMPILED is set, but", str(error))
            self.assertIn(words, str(error))

        refused("no mypyc")
        refused("an editable install", "editable")
        os.environ["RTMPTW_PURE"] = "1"
        self.addCleanup(os.environ.pop, "RTMPTW_PURE")
        refused("RTMPTW_PURE is set")

    def test_programs(self) -> None:
        """
        If a program fails, its output is quoted. If it takes too long, it is killed
        with its children.
        """
        folder = Path(self.mktemp())
        folder.mkdir()
        for program, patience, words in (
            (
                "print('one'); print('the reason'); raise SystemExit(1)",
                60.0,
                "the reason",
            ),
            ("import signal; signal.pause()", 0.2, "longer than 0.2 s"),
        ):
            error = self.assertRaises(
                self.hook.CannotCompile,
                self.hook.run,
                [sys.executable, "-c", program],
                folder,
                patience,
            )
            self.assertIn(words, str(error))

    def test_theModulesAreThere(self) -> None:
        """
        Every file listed for compiling exists.
        """
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())
        wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
        hook = wheel["hooks"]["custom"]
        modules, hot, cold = (set(hook[which]) for which in ("modules", "hot", "cold"))
        self.assertIn("rtmptw/rtmp/chunkreader.py", hot)
        self.assertEqual(((hot | cold) - modules, hot & cold), (set(), set()))
        missing = [name for name in modules if not (SOURCES / name).exists()]
        self.assertEqual(missing, [])
