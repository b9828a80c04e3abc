"""
Find the tests that run a line, and how long each test takes.
"""

import time
import unittest
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from coverage import Coverage
from twisted.logger import globalLogBeginner
from twisted.trial.unittest import SynchronousTestCase

TestCase = unittest.TestCase | SynchronousTestCase


@dataclass(frozen=True)
class Covering:
    """
    The result of a run of all tests.

    @ivar seconds: how long each test took, by its name.
    @ivar lines: by path and line number, the tests that run the line.
    @ivar onImport: the lines that run when their file is imported.
    """

    seconds: dict[str, float]
    lines: dict[tuple[str, int], frozenset[str]]
    onImport: frozenset[tuple[str, int]]

    def testsOf(self, path: str, line: int, first: int, last: int) -> list[str]:
        """
        @param line: the changed line.
        @param first: the first line of the function that it is in.
        @param last: the last line of the function.
        @return: the tests that may notice the change, the shortest first.
        """
        tests = self.lines.get((path, line), frozenset())
        if not tests:
            # A part of a statement that has no code of its own.
            tests = frozenset().union(
                *(
                    self.lines.get((path, other), frozenset())
                    for other in range(first, last + 1)
                )
            )
        if not tests or (path, line) in self.onImport:
            # A constant, a table or a default may affect any test.
            tests = frozenset(self.seconds)
        return sorted(tests, key=self.seconds.__getitem__)


def coveringOf(root: Path, paths: list[str], names: list[str]) -> Covering:
    """
    Run the tests once. No module of the project may have been imported before.

    @param paths: the files that are changed.
    @param names: the modules of the tests.
    @raise RuntimeError: if a test fails.
    """
    # Errors that tests log on purpose are not shown.
    globalLogBeginner.beginLoggingTo([], redirectStandardIO=False)
    measured = Coverage(
        include=[str(root / path) for path in paths], data_file=None, config_file=False
    )
    measured.start()
    seconds: dict[str, float] = {}
    result = unittest.TestResult()
    for test in testsIn(names):
        measured.switch_context(test.id())
        began = time.monotonic()
        test.run(result)
        seconds[test.id()] = time.monotonic() - began
        if not result.wasSuccessful():
            failed = [*result.failures, *result.errors]
            raise RuntimeError(f"a test fails without a change: {failed[0][1]}")
        measured.switch_context("")
    measured.stop()
    data = measured.get_data()
    lines: dict[tuple[str, int], frozenset[str]] = {}
    onImport = set()
    for path in paths:
        for line, tests in data.contexts_by_lineno(str(root / path)).items():
            lines[path, line] = frozenset(filter(None, tests))
            if "" in tests:
                onImport.add((path, line))
    return Covering(seconds, lines, frozenset(onImport))


def testsIn(names: list[str]) -> Iterator[TestCase]:
    """
    @param names: modules, classes or tests.
    @return: every test in them.
    """

    def walk(suite: unittest.TestSuite | TestCase) -> Iterator[TestCase]:
        if isinstance(suite, unittest.TestSuite):
            for part in suite:
                yield from walk(part)
        else:
            yield suite

    yield from walk(unittest.defaultTestLoader.loadTestsFromNames(names))
