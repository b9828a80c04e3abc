"""
A child of ours that is asked and answers, one thing after the other.

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

#: Seconds in which a child has to take something, or to answer.
STALL_SECONDS = 30.0
_BLOCK = 64 * 1024


class AskedProcess:
    """
    A child that answers on its standard output.

    @ivar how: how the child ended, if it did so before its time; empty else.
    @ivar seconds: how long it had lived by then.
    """

    def __init__(
        self, module: str, lines: Lines, descriptors: tuple[int, ...] = ()
    ) -> None:
        """
        Start it.

        @param module: what runs in it.
        @param lines: what it says to people.
        @param descriptors: files that it gets, under the same numbers.

        @raise OSError: if there can be no child.
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
        Send a question.

        @return: the child's answer; C{None} if it is gone.
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
                    self.die(f"took nothing for {STALL_SECONDS:g} s", kill=True)
                    return None
                for key, _events in ready:
                    if key.fileobj is child.stdin:
                        try:
                            rest = rest[os.write(key.fd, rest) :]
                        except BrokenPipeError:
                            # The end of its output says so, too.
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
        @return: whether there may be more.
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
        It is gone, or useless.

        @param what: what it did; empty for how it ended.
        """
        self.seconds = time.monotonic() - self._started
        status = self.close(kill)
        self.how = what or (
            bySignal(-status) if status < 0 else f"exit status {status}"
        )

    def close(self, kill: bool = False) -> int:
        """
        Let it end, when it has done what it was asked.

        @param kill: whether to end it now.
        @return: its exit status; minus the signal that ended it.
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
            # What it said last. It is gone: nobody writes any more.
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
        # A process of its own holds the pipe.
        return b""
