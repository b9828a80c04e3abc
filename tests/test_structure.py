"""
Tests of the structure: what imports what, and the state tables.
"""

import subprocess
import sys
import xml.etree.ElementTree
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from runpy import run_path
from typing import Any

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from rtmptw.rtmp.chunkstates import CHUNK_TRANSITIONS, Expect
from rtmptw.rtmp.states import (
    STREAM_TRANSITIONS,
    TRANSITIONS,
    ServerState,
    StreamState,
)

ROOT = Path(__file__).resolve().parent.parent


def importedBy(module: str) -> set[str]:
    """
    @return: the names of all modules loaded when C{module} is imported.
    """
    program = f"import sys, {module}; print(*sys.modules)"
    output = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    ).stdout
    return set(output.split())


class ImportTests(SynchronousTestCase):
    """
    What an import loads.
    """

    def test_aSessionIsPlainPython(self) -> None:
        """
        A session needs no Twisted, so that any program can run it.
        """
        imported = importedBy("rtmptw.rtmp.serversession")
        self.assertIn("rtmptw.rtmp.chunkreader", imported)
        for name in imported:
            self.assertNotIn(name.partition(".")[0], ("twisted", "zope", "av"))

    def test_thePluginFileImportsNoReactor(self) -> None:
        """
        The plugin file imports no reactor, because every C{twistd} imports it before it
        chooses one.
        """
        imported = importedBy("twisted.plugins.rtmptw_plugin")
        self.assertIn("rtmptw.plugins.sink", imported)
        for name in (
            "twisted.internet.reactor",
            "av",
            "rtmptw.sinks",
            "rtmptw.app.options",
        ):
            self.assertNotIn(name, imported)

    def test_theServerNeedsNoTests(self) -> None:
        """
        The server does not import L{rtmptw.testing}, which is for authors of sinks.
        """
        imported = importedBy(
            "rtmptw.app.options, rtmptw.sinks.file.factory, rtmptw.sinks.null.factory"
        )
        self.assertIn("rtmptw.app.service", imported)
        self.assertNotIn("rtmptw.testing", imported)


class PluginFolderTests(SynchronousTestCase):
    """
    The folders that add to Twisted's package.
    """

    def test_theyAreNoPackages(self) -> None:
        """
        They have no C{__init__.py}, which would hide Twisted.
        """
        if not (ROOT / "rtmptw").exists():
            raise SkipTest("an installed rtmptw is tested, without its sources")
        examples = ROOT / "docs" / "examples"
        for folder in (ROOT, examples / "rtmptw-count", examples / "rtmptw-pattern"):
            for package in ("twisted", "twisted/plugins"):
                self.assertTrue((folder / package).is_dir(), folder)
                self.assertFalse((folder / package / "__init__.py").exists(), folder)


class TransitionTests(SynchronousTestCase):
    """
    The tables of L{rtmptw.rtmp.states} and of the chunk reader.
    """

    def assertComplete(
        self, table: Mapping[Any, Mapping[Any, Enum]], states: type[Enum]
    ) -> None:
        """
        Check that every state has a row and can be reached from the first.
        """
        self.assertEqual(set(table), set(states))
        reached = {next(iter(states))}
        while True:
            further = {end for state in reached for end in table[state].values()}
            if further <= reached:
                break
            reached |= further
        self.assertEqual(reached, set(states))

    def test_everyStateOfAConversation(self) -> None:
        """
        The table of a connection is complete.
        """
        self.assertComplete(TRANSITIONS, ServerState)

    def test_everyStateOfAMessageStream(self) -> None:
        """
        The table of a message stream is complete.
        """
        self.assertComplete(STREAM_TRANSITIONS, StreamState)

    def test_everyStateOfTheChunkReader(self) -> None:
        """
        The table of the chunk reader is complete; L{tests.rtmp.test_chunkstates} takes
        each edge.
        """
        self.assertComplete(CHUNK_TRANSITIONS, Expect)

    def test_theyCanBeDrawn(self) -> None:
        """
        The diagrams for the documentation have every state and step.
        """
        draw = run_path(str(ROOT / "docs" / "machines.py"))["draw"]
        for table in (TRANSITIONS, STREAM_TRANSITIONS, CHUNK_TRANSITIONS):
            image = xml.etree.ElementTree.fromstring(draw(table, "a & b"))
            words = {
                word
                for element in image.iter("{http://www.w3.org/2000/svg}text")
                for word in (element.text or "").split(", ")
            }
            for state, steps in table.items():
                self.assertIn(state.value, words)
                for step in steps:
                    self.assertIn(step.value, words)
