"""
Runs the tests with one change at a time, in copies of the checkout.
"""

import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.mutation.mutants import Mutant

#: A change that makes the tests take so many seconds has been noticed.
PATIENCE = 300.0
#: What the tests need.
_NEEDED = ("rtmptw", "tests", "twisted", "docs", "benchmarks", "pyproject.toml")


def survivorsOf(
    root: Path,
    mutants: Iterable[Mutant],
    workers: int,
    done: Callable[[Mutant, bool], None],
) -> list[Mutant]:
    """
    @param done: called with each change, and whether no test has noticed it.
    @return: those that none has noticed.
    """
    waiting: queue.SimpleQueue[Mutant] = queue.SimpleQueue()
    for mutant in mutants:
        waiting.put(mutant)
    survivors: list[Mutant] = []
    lock = threading.Lock()

    def work() -> None:
        with tempfile.TemporaryDirectory(prefix="rtmptw-mutation-") as folder:
            copy = _copy(root, Path(folder))
            while True:
                try:
                    mutant = waiting.get_nowait()
                except queue.Empty:
                    return
                survived = _survives(root, copy, mutant)
                with lock:
                    if survived:
                        survivors.append(mutant)
                    done(mutant, survived)

    threads = [threading.Thread(target=work) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return survivors


def testsOf(root: Path, path: str) -> list[str]:
    """
    @return: the tests of a file, its own ones first.
    """
    module = Path(path)
    package = root / "tests" / module.parent.name
    own = package / f"test_{module.stem}.py"
    names = sorted(test.stem for test in package.glob("test_*.py") if test != own)
    if own.exists():
        names.insert(0, own.stem)
    return [f"tests.{module.parent.name}.{name}" for name in names]


def _copy(root: Path, folder: Path) -> Path:
    for name in _NEEDED:
        source = root / name
        if source.is_dir():
            shutil.copytree(
                source,
                folder / name,
                ignore=shutil.ignore_patterns("__pycache__", "_build"),
            )
        else:
            shutil.copy(source, folder / name)
    # Once, so that a run compiles what has changed and nothing else.
    subprocess.run(
        [sys.executable, "-m", "compileall", "-q", folder / "rtmptw", folder / "tests"],
        check=True,
    )
    return folder


def _survives(root: Path, copy: Path, mutant: Mutant) -> bool:
    path = mutant.place.path
    target = copy / path
    kept = target.read_bytes()
    for cached in (target.parent / "__pycache__").glob(f"{target.stem}.*"):
        cached.unlink()
    target.write_text(mutant.source, encoding="utf-8")
    try:
        return _passes(copy, testsOf(root, path))
    finally:
        target.write_bytes(kept)


def _passes(copy: Path, names: list[str]) -> bool:
    environment = {
        **os.environ,
        "PYTHONPATH": str(copy),
        "PYTHONDONTWRITEBYTECODE": "1",
        # The same examples each time.
        "CI": "true",
    }
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "twisted.trial", "--exitfirst"),
            *("--temp-directory", str(copy / "_trial_temp")),
            *names,
        ],
        cwd=copy,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        return process.wait(PATIENCE) == 0
    except subprocess.TimeoutExpired:
        return False
    finally:
        if process.poll() is None:
            os.killpg(process.pid, 9)
            process.wait()
