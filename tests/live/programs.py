"""
Real programs, each in its own process.
"""

import functools
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

#: The longest wait of any test, in seconds. A test that takes longer hangs, and fails.
PATIENCE = 60.0
#: The folder with the scripts installed beside the Python that runs the tests.
BIN = Path(sys.executable).parent
#: An endpoint description of a free port on loopback.
ANY_PORT = "tcp:0:interface=127.0.0.1"


class Program(ProcessProtocol):
    """
    A running program.

    @ivar done: fires with the exit status when the program has ended; a signal is
        negative.
    @ivar output: what it has written to standard output so far.
    @ivar complaints: what it has written to standard error so far.
    """

    def __init__(self, reactor: Any, *command: str, folder: Path | None = None) -> None:
        self.done: Deferred[int] = Deferred()
        self.output = ""
        self.complaints = ""
        self._reactor = reactor
        self._waiting: list[
            tuple[Callable[[str], re.Match[str] | None], Deferred[re.Match[str]]]
        ] = []
        if folder is not None:
            # Twisted's C{path} is not used: with it Twisted forks. A child of a process
            # with threads in which PyAV has scaled frames may then hang before it
            # executes the other program: Python frees what those threads owned, and
            # FFmpeg waits for threads that the child does not have.
            command = ("env", f"--chdir={folder}", *command)
        reactor.spawnProcess(self, command[0], command, env=None)

    def signal(self, name: str) -> None:
        """
        Send it a signal, for example C{"TERM"}.
        """
        assert self.transport is not None
        self.transport.signalProcess(getattr(signal, f"SIG{name}"))

    def write(self, data: bytes) -> None:
        """
        Write to its standard input.
        """
        assert self.transport is not None
        self.transport.write(data)

    def says(self, pattern: str) -> "Deferred[re.Match[str]]":
        """
        @return: fires when its standard output matches the pattern.
        """
        return self._when(re.compile(pattern).search)

    def saysTimes(self, words: str, count: int) -> "Deferred[re.Match[str]]":
        """
        @return: fires when its standard output contains these words C{count} times.
        """
        return self._when(
            lambda output: (
                re.search(words, output) if output.count(words) >= count else None
            )
        )

    def _when(
        self, found: Callable[[str], re.Match[str] | None]
    ) -> "Deferred[re.Match[str]]":
        waiting: Deferred[re.Match[str]] = Deferred()
        self._waiting.append((found, waiting))
        self._look()
        return waiting.addTimeout(PATIENCE, self._reactor)

    def _look(self) -> None:
        for found, waiting in list(self._waiting):
            match = found(self.output)
            if match:
                self._waiting.remove((found, waiting))
                waiting.callback(match)

    def outReceived(self, data: bytes) -> None:
        self.output += data.decode(errors="replace")
        self._look()

    def errReceived(self, data: bytes) -> None:
        self.complaints += data.decode(errors="replace")

    def processEnded(self, reason: Failure) -> None:
        ended: Any = reason.value
        status = ended.exitCode
        self.done.callback(-ended.signal if status is None else status)


async def run(reactor: Any, *command: str) -> None:
    """
    Run a program to its end; it must succeed.
    """
    program = Program(reactor, *command)
    status = await program.done
    assert status == 0, f"{command[0]}: {status}: {program.complaints[-1000:]}"


def need(program: str) -> None:
    """
    Skip the test if a program is not installed.
    """
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")


@functools.cache
def _hasElement(element: str) -> bool:
    return (
        subprocess.run(
            ["gst-inspect-1.0", element], capture_output=True, check=False
        ).returncode
        == 0
    )


def needElements(*elements: str) -> None:
    """
    Skip the test if a GStreamer element is not installed.
    """
    need("gst-launch-1.0")
    for element in elements:
        if not _hasElement(element):
            pytest.skip(f"GStreamer's {element} is not installed")
