"""
Run the tests with one change at a time, each in a child process forked after everything
but the project is imported.
"""

import importlib
import importlib.abc
import importlib.util
import os
import pickle
import resource
import select
import signal
import sys
import tempfile
import time
import traceback
import unittest
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from tests.mutation.covering import Covering, coveringOf, testsIn
from tests.mutation.mutants import Mutant, Place, mutantOf, spanOf

Answer = TypeVar("Answer")
#: What the children need not import again: no module of the project, and no reactor.
_BEFORE = (
    "hypothesis.strategies",
    "twisted.internet.endpoints",
    "twisted.internet.task",
    "twisted.internet.testing",
    "twisted.protocols.tls",
    "twisted.trial.unittest",
)
#: A change counts as noticed if the tests take this many seconds longer.
_PATIENCE = 20.0
#: A change counts as noticed if the tests need this many bytes.
_MEMORY = 2 << 30


@dataclass(frozen=True)
class Outcome:
    """
    The result of one change.

    @ivar mutant: the change, or C{None} if it does not compile.
    @ivar noticed: the name of the test that noticed it, or C{""}.
    """

    place: Place
    mutant: Mutant | None
    noticed: str


class Trials:
    """
    Runs the tests in child processes.

    @ivar root: the root of the checkout.
    """

    def __init__(self, root: Path, paths: list[str], names: list[str]) -> None:
        self.root = root
        for name in _BEFORE:
            importlib.import_module(name)
        self._covering: Covering = _inChild(lambda: coveringOf(root, paths, names))
        self._running: dict[int, _Child] = {}

    def run(
        self,
        places: Iterable[Place],
        workers: int,
        done: Callable[[Outcome], None],
    ) -> None:
        """
        Try one change after another.

        @param workers: the number of children that run at the same time.
        @param done: called with each result.
        """
        for place in places:
            while len(self._running) >= workers:
                self._wait(done)
            child = self._begin(place)
            self._running[child.pipe] = child
        while self._running:
            self._wait(done)

    def _begin(self, place: Place) -> "_Child":
        first, last = spanOf(self.root, place)
        tests = self._covering.testsOf(place.path, place.line, first, last)
        seconds = sum(map(self._covering.seconds.__getitem__, tests))

        def work() -> Outcome:
            mutant = mutantOf(self.root, place)
            if mutant is None:
                return Outcome(place, None, "")
            return Outcome(place, mutant, _firstToFail(mutant, tests))

        return _Child(place, work, time.monotonic() + _PATIENCE + 5 * seconds)

    def _wait(self, done: Callable[[Outcome], None]) -> None:
        nearest = min(child.deadline for child in self._running.values())
        left = max(nearest - time.monotonic(), 0.0)
        ready, _, _ = select.select(list(self._running), [], [], left)
        now = time.monotonic()
        for pipe, child in list(self._running.items()):
            if pipe in ready and not child.read():
                del self._running[pipe]
                done(child.outcome())
            elif child.deadline <= now:
                del self._running[pipe]
                child.stop()
                done(Outcome(child.place, None, "the tests take too long"))


class _Child:
    """
    A child process that tries one change.

    @ivar pipe: the file descriptor that its answer is read from.
    @ivar deadline: the time after which it is killed.
    """

    def __init__(
        self, place: Place, work: Callable[[], Outcome], deadline: float
    ) -> None:
        self.place = place
        self.deadline = deadline
        self.pipe, self._pid = _fork(work)
        self._answer = b""

    def read(self) -> bool:
        """
        @return: whether there may be more to read.
        """
        piece = os.read(self.pipe, 1 << 16)
        self._answer += piece
        return bool(piece)

    def outcome(self) -> Outcome:
        """
        @return: its answer, once it has ended.
        """
        self._end()
        if not self._answer:
            return Outcome(self.place, None, "the interpreter ends")
        outcome: Outcome = pickle.loads(self._answer)
        return outcome

    def stop(self) -> None:
        """
        Kill it.
        """
        os.kill(self._pid, signal.SIGKILL)
        self._end()

    def _end(self) -> None:
        os.close(self.pipe)
        os.waitpid(self._pid, 0)


def _fork(work: Callable[[], Answer]) -> tuple[int, int]:
    """
    @return: the file descriptor from which the pickled answer of C{work} can be read,
        and the process ID of the child.
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writing)
        return reading, pid
    status = 1
    try:
        os.close(reading)
        nowhere = os.open(os.devnull, os.O_RDWR)
        for standard in range(2):
            os.dup2(nowhere, standard)
        with tempfile.TemporaryDirectory(prefix="rtmptw-mutation-") as folder:
            os.chdir(folder)
            answer = pickle.dumps(work())
        with open(writing, "wb") as pipe:
            pipe.write(answer)
        status = 0
    except BaseException:
        # No other process can report it.
        traceback.print_exc()
    finally:
        os._exit(status)


def _inChild(work: Callable[[], Answer]) -> Answer:
    pipe, pid = _fork(work)
    with open(pipe, "rb") as file:
        answer = file.read()
    os.waitpid(pid, 0)
    if not answer:
        raise SystemExit("the tests do not run without a change: see above")
    told: Answer = pickle.loads(answer)
    return told


def _firstToFail(mutant: Mutant, tests: Sequence[str]) -> str:
    """
    @return: the name of the first test that fails; empty if none does.
    """
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 2)
    sys.meta_path.insert(0, _Changed(mutant))
    result = unittest.TestResult()
    name = ""
    try:
        for name in tests:
            for test in testsIn([name]):
                test.run(result)
            if not result.wasSuccessful():
                return name
    except BaseException as error:
        # The changed module cannot be imported, or it ends the program.
        return f"{name}: {type(error).__name__}"
    return ""


class _Changed(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """
    Imports one module in its changed form.
    """

    def __init__(self, mutant: Mutant) -> None:
        self._source = mutant.source
        self._path = mutant.place.path
        self._name = mutant.place.path.removesuffix(".py").replace("/", ".")

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """
        @return: how to load the module, if it is the changed one.
        """
        if fullname != self._name:
            return None
        return importlib.util.spec_from_loader(fullname, self, origin=self._path)

    def get_source(self, fullname: str) -> str:
        """
        @return: the changed source.
        """
        return self._source
