"""
A child process of ours that answers requests, one at a time.

Everything here blocks: it runs in a lane.
"""

import os
import selectors
import subprocess
import time
from typing import Any

from rtmptw.sinks.process import MAX_LINE, Lines, bySignal
from rtmptw.sinks.program import ownProgram
from rtmptw.sinks.wire import Kind, MessageReader

#: Seconds without any progress after which a child is killed: it must read its input,
#: or answer.
STALL_SECONDS = 30.0
_BLOCK = 64 * 1024


class AskedProcess:
    """
    A child that answers on its standard output.

    @ivar how: how the child ended, if it ended early; otherwise empty.
    @ivar seconds: how long it had run by then.
    """

    def __init__(
        self, module: str, lines: Lines, descriptors: tuple[int, ...] = ()
    ) -> None:
        """
        Start the child.

        @param module: the module that it runs.
        @param lines: logs its standard error.
        @param descriptors: files to pass to it, under the same numbers.

        @raise OSError: if it cannot be started.
        """
        self.how = ""
        self.seconds = 0.0
        self._lines = lines
        self._reader = MessageReader()
        self._answers: list[tuple[Kind, bytes]] = []
        self._partial = b""
        self._started = time.monotonic()
        arguments, environment = ownProgram(module)
        self.child: subprocess.Popen[bytes] = subprocess.Popen(
            arguments,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            bufsize=0,
            pass_fds=descriptors,
            # Ctrl-C is for the server, which then completes its files.
            start_new_session=True,
        )
        for pipe in (self.child.stdin, self.child.stdout, self.child.stderr):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)

    def ask(self, data: bytes) -> tuple[Kind, bytes] | None:
        """
        Send a request.

        @return: the child's answer; C{None} if the child has ended.
        """
        child = self.child
        assert child.stdin is not None
        assert child.stdout is not None and child.stderr is not None
        rest = memoryview(data)
        with selectors.DefaultSelector() as selector:
            selector.register(child.stdout, selectors.EVENT_READ)
            selector.register(child.stderr, selectors.EVENT_READ)
            if rest:
                selector.register(child.stdin, selectors.EVENT_WRITE)
            while not self._answers:
                ready = selector.select(STALL_SECONDS)
                if not ready:
                    self.die(f"did not respond for {STALL_SECONDS:g} s", kill=True)
                    return None
                for key, _events in ready:
                    if key.fileobj is child.stdin:
                        try:
                            rest = rest[os.write(key.fd, rest) :]
                        except BrokenPipeError:
                            # The child has ended; its output ends, too.
                            rest = rest[:0]
                        if not rest:
                            selector.unregister(child.stdin)
                    elif not self._read(key):
                        selector.unregister(key.fileobj)
                        if key.fileobj is child.stdout:
                            self.die("")
                            return None
        return self._answers.pop(0)

    def _read(self, key: Any) -> bool:
        """
        @return: whether there may be more to read.
        """
        data = os.read(key.fd, _BLOCK)
        if key.fileobj is self.child.stderr:
            self._hear(data)
        elif data:
            try:
                self._answers += self._reader.receive(data)
            except ValueError:
                return False
        return bool(data)

    def _hear(self, data: bytes) -> None:
        lines = (self._partial + data).split(b"\n")
        self._partial = lines.pop()[-MAX_LINE:]
        for line in lines:
            self._lines.say(line.decode("utf-8", "replace")[:MAX_LINE])

    def die(self, what: str, kill: bool = False) -> None:
        """
        The child has ended, or is of no use any more.

        @param what: what went wrong; if empty, how the process ended.
        """
        self.seconds = time.monotonic() - self._started
        status = self.close(kill)
        self.how = what or (
            bySignal(-status) if status < 0 else f"exit status {status}"
        )

    def close(self, kill: bool = False) -> int:
        """
        Close the child's input and wait for it to exit; kill it if it does not.

        @param kill: whether to kill it at once.
        @return: its exit status; if a signal ended it, minus the signal's number.
        """
        child = self.child
        assert child.stdin is not None
        assert child.stdout is not None and child.stderr is not None
        if kill:
            child.kill()
        child.stdin.close()
        try:
            status = child.wait(STALL_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            status = child.wait()
        if not child.stderr.closed:
            # Its last output. The child has ended, and writes no more.
            while data := _readRest(child.stderr.fileno()):
                self._hear(data)
            self._hear(b"\n")
            self._lines.tellLeftOut()
        child.stdout.close()
        child.stderr.close()
        return status


def _readRest(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, _BLOCK)
    except BlockingIOError:
        # A child of the child still holds the pipe.
        return b""
