"""
Tests of what is reported about the running build.
"""

import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from types import ModuleType

from twisted.internet.testing import MemoryReactorClock
from twisted.logger import LogLevel, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

import rtmptw
from rtmptw import __main__ as command
from rtmptw.app import build, options
from rtmptw.app.service import Config


class BuildTests(SynchronousTestCase):
    """
    A compiled build, a pure Python build, and one that hides the other.
    """

    def test_whatIsCompiled(self) -> None:
        """
        A module is compiled if its file is an extension module.
        """
        module = ModuleType("chunkreader")
        module.__file__ = f"/x/chunkreader{EXTENSION_SUFFIXES[0]}"
        self.assertTrue(build.isCompiled(module))
        module.__file__ = "/x/chunkreader.py"
        self.assertFalse(build.isCompiled(module))

    def test_description(self) -> None:
        """
        The description has the version and the kind of build.
        """
        for isCompiled, name in ((True, "compiled"), (False, "pure Python")):
            self.patch(build, "isCompiled", lambda isCompiled=isCompiled: isCompiled)
            self.assertEqual(
                build.description(), f"rtmptw {rtmptw.__version__} ({name})"
            )

    def test_hidden(self) -> None:
        """
        Pure Python that comes first on the path hides an installed compiled build.
        """
        checkout, installed = Path(self.mktemp()), Path(self.mktemp())
        for folder, suffix in ((checkout, ".py"), (installed, EXTENSION_SUFFIXES[0])):
            (folder / "rtmptw" / "rtmp").mkdir(parents=True)
            (folder / "rtmptw" / "rtmp" / f"chunkreader{suffix}").touch()
        path = [str(checkout), str(installed)]
        self.patch(build, "isCompiled", lambda: False)
        self.assertEqual(build.hiddenBuild(path), str(installed))
        self.assertEqual(build.hiddenBuild([str(checkout)]), "")
        self.patch(build, "isCompiled", lambda: True)
        self.assertEqual(build.hiddenBuild(path), "")

    def test_saidAtTheStart(self) -> None:
        """
        The log says which build starts, and warns if it hides a compiled one.
        """
        service = options._CommandLineService(Config(), MemoryReactorClock())
        self.addCleanup(service._closeStderr)
        for hidden in ("", "/usr/lib/python3"):
            self.patch(options, "hiddenBuild", lambda hidden=hidden: hidden)
            with capturedLogs() as events:
                service._sayBuild()
            first, *others = events
            self.assertEqual(formatEvent(first), f"{build.description()} starts")
            self.assertEqual(len(others), 1 if hidden else 0)
            for event in others:
                self.assertIs(event["log_level"], LogLevel.warn)
                said = formatEvent(event)
                self.assertIn(f"not the compiled one in {hidden}", said)
                self.assertIn("start in another folder, or without PYTHONPATH", said)

    def test_asAProgram(self) -> None:
        """
        C{python -m rtmptw ARGUMENTS} is C{twistd -n rtmp ARGUMENTS}.
        """
        ran: list[list[str]] = []
        self.patch(command, "run", lambda: ran.append(sys.argv))
        self.patch(sys, "argv", ["/x/rtmptw/__main__.py", "--sink=file", "--help"])
        command.main()
        self.assertEqual(
            ran, [["rtmptw", "--nodaemon", "rtmp", "--sink=file", "--help"]]
        )
