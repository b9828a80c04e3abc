"""
Starts, watches and stops the process of a server.
"""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from benchmarks.accounting import Process, isRunning, processTree
from benchmarks.errors import BenchmarkError
from benchmarks.servers import Place, Server

#: The time limit in seconds for a server to accept connections.
_START = 30.0
#: The time limit in seconds for a server to stop; recorders complete their files.
_STOP = 20.0


@contextmanager
def onCore(core: int | None) -> Iterator[None]:
    """
    Run this process and the children that it starts on one core, within the context.

    @param core: the number of the core; C{None} changes nothing.
    """
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class ServerProcess:
    """
    A running server.
    """

    def __init__(self, server: Server, place: Place, core: int | None) -> None:
        """
        Start the server.

        @param core: the core that it runs on; C{None} is any.

        @raise BenchmarkError: if it does not accept connections.
        """
        self._log = place.folder / "log"
        self._server = server
        place.recordings.mkdir()
        with onCore(core), self._log.open("wb") as log:
            try:
                self._process = subprocess.Popen(
                    server.command(place),
                    cwd=None if server.port else place.folder,
                    env={**os.environ, **server.environment},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    # Ctrl-C at the terminal is for us; we stop the server ourselves.
                    start_new_session=True,
                )
            except OSError as error:
                raise BenchmarkError(f"cannot start {server.name}: {error}") from error
        try:
            self._waitUntilUp(place)
        except BaseException:
            self.stop()
            raise

    @property
    def isAlive(self) -> bool:
        """
        Whether it is still running.
        """
        return self._process.poll() is None

    def tree(self) -> list[Process]:
        """
        @return: its processes.
        """
        return processTree(self._process.pid)

    def _waitUntilUp(self, place: Place) -> None:
        until = time.monotonic() + _START
        while not self._isUp(place):
            if not self.isAlive:
                raise BenchmarkError(
                    f"{self._server.name} ended with status "
                    f"{self._process.returncode}: {self._said()}"
                )
            if time.monotonic() > until:
                raise BenchmarkError(
                    f"{self._server.name} accepted no connection in {_START:g} s: "
                    f"{self._said()}"
                )
            time.sleep(0.05)

    def _isUp(self, place: Place) -> bool:
        if not self._server.hasPort:
            return place.progress.exists()
        try:
            socket.create_connection(("127.0.0.1", place.port), 1).close()
        except OSError:
            return False
        # If it has ended, another server already had the port.
        return self.isAlive

    def _said(self) -> str:
        """
        @return: the last lines of its log.
        """
        lines = self._log.read_text(errors="replace").split("\n")
        return " / ".join(line.strip() for line in lines[-4:] if line.strip())[-400:]

    def stop(self) -> None:
        """
        Stop the server and its children.
        """
        tree = self.tree()
        if self.isAlive:
            self._process.terminate()
        try:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_STOP)
        finally:
            # Do this even after a second Ctrl-C.
            for process in filter(isRunning, tree):
                with suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL)
            self._process.wait()
