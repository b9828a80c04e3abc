"""
Tests for L{rtmptw.sinks.program}: children whose server has died.
"""

import subprocess
import sys
from dataclasses import asdict

from twisted.trial.unittest import SynchronousTestCase

from rtmptw.sinks.decode.decoding import Wanted
from rtmptw.sinks.program import ownProgram
from rtmptw.sinks.wire import Kind, jsonMessage, message
from rtmptw.testing import makeStreamInfo

#: More than a child needs to start and to end on a busy machine.
PATIENCE = 60


class OrphanTests(SynchronousTestCase):
    """
    Children have to end by themselves if the server has died.
    """

    def run_(self, module: str, data: bytes) -> "subprocess.CompletedProcess[bytes]":
        """
        Run a child whose server sends something and dies.
        """
        arguments, environment = ownProgram(module)
        shell = 'exec "$0" "$@" 3>/dev/null 4</dev/null'
        return subprocess.run(
            ["sh", "-c", shell, *arguments],
            input=data,
            env=environment,
            timeout=PATIENCE,
            capture_output=True,
        )

    def order(self, wanted: Wanted, **more: object) -> bytes:
        """
        @return: the first message to a child.
        """
        stream = makeStreamInfo()
        said = {**asdict(stream), "startedAt": stream.startedAt.isoformat()}
        return jsonMessage(
            Kind.ORDER,
            {"wanted": asdict(wanted), "name": stream.name, "stream": said, **more},
        )

    def test_stuckCode(self) -> None:
        """
        Stuck code gets a few seconds.
        """
        order = self.order(
            Wanted(),
            path=sys.path,
            callable="tests.sinks.stuckcode.Stuck",
            detach=False,
        )
        self.assertEqual(self.run_("rtmptw.sinks.decode.program", order).returncode, 1)

    def test_aLoop(self) -> None:
        """
        A loop ends at once, also after the end of its stream.
        """
        order = self.order(Wanted(format="gray"))
        for end in (b"", message(Kind.END, b"over")):
            done = self.run_("rtmptw.sinks.decode.framesprogram", order + end)
            self.assertEqual((done.returncode, done.stderr), (0, b""))
