"""
Runs the load generator.
"""

import json
import signal
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.build import program
from benchmarks.media import media
from benchmarks.scenarios import Scenario

#: The time limit in seconds for all connections to be established.
PATIENCE = 60.0
#: Connections to open per second; a burst would measure the listen queue.
CONNECT_RATE = 250
#: For streams that are split deliberately: the maximum size of a piece in bytes, and
#: the pause after each in microseconds.
_PIECE = 700
_PIECE_GAP = 20


@dataclass(frozen=True, slots=True)
class Target:
    """
    The server to load.

    @ivar prefix: the prefix of the streams' names; their number is appended.
    @ivar isRaw: whether it is a floor, which does not use RTMP.
    """

    port: int
    prefix: str
    isRaw: bool = False

    def arguments(self, mode: str, connections: int) -> list[str]:
        """
        @return: the arguments that all generators have in common.
        """
        return [
            mode,
            *("--url", f"rtmp://127.0.0.1:{self.port}/live/{self.prefix}"),
            *("--conns", str(connections), "--connect-rate", str(CONNECT_RATE)),
            *("--timeout", str(PATIENCE), "--signals", "--quiet"),
            *(["--raw"] if self.isRaw else []),
        ]


def publishArguments(scenario: Scenario, target: Target) -> list[str]:
    """
    @return: the arguments for a generator that publishes.
    """
    arguments = [
        *target.arguments("publish", scenario.publishers),
        *("--bitrate", f"{scenario.bitrate:.0f}", "--fps", f"{scenario.frameRate:g}"),
        *("--chunk", str(scenario.chunk)),
    ]
    if not scenario.hasAudio:
        arguments += ["--audio-size", "0"]
    if not scenario.isPaced:
        arguments += ["--speed", "0"]
    if scenario.isSplit:
        arguments += ["--write-size", str(_PIECE), "--write-rand"]
        arguments += ["--write-gap-us", str(_PIECE_GAP)]
    if scenario.isMedia:
        arguments += ["--flv", str(media().path)]
    return arguments


def playArguments(scenario: Scenario, target: Target, verify: bool) -> list[str]:
    """
    @param verify: whether to compare every byte with the published one.
    @return: the arguments for a generator that plays.
    """
    arguments = target.arguments("play", scenario.players)
    return [*arguments, "--verify"] if verify else arguments


@dataclass(slots=True)
class Result:
    """
    The counts of a generator from its window.
    """

    counts: dict[str, Any] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)

    def number(self, name: str) -> float:
        """
        @return: a count; 0 if it is missing.
        """
        return float(self.counts.get(name, 0))


class Generator:
    """
    A running generator.
    """

    def __init__(self, arguments: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            [str(program("rtmpload")), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._complaints: list[str] = []
        self._ready = threading.Event()
        self.isReady = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            if line.startswith("READY"):
                self.isReady = True
                self._ready.set()
            else:
                self._complaints.append(line.strip())
        self._ready.set()

    def waitUntilReady(self) -> None:
        """
        Wait until all connections are established or have failed.
        """
        self._ready.wait(PATIENCE + 10)

    def open(self) -> None:
        """
        Start counting.
        """
        self._send(signal.SIGUSR1)

    def freeze(self) -> None:
        """
        Stop counting; the load continues.
        """
        self._send(signal.SIGUSR2)

    def _send(self, number: signal.Signals) -> None:
        if self._process.poll() is None:
            self._process.send_signal(number)

    def end(self) -> Result:
        """
        Stop the generator.

        @return: its counts.
        """
        self._send(signal.SIGTERM)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()
            return Result(errors={"the load generator did not stop": 1})
        assert self._process.stdout is not None
        output = self._process.stdout.read()
        self._close()
        try:
            counts = json.loads(output)
        except ValueError:
            said = " ".join(self._complaints)[-200:]
            return Result(errors={f"the load generator failed: {said}": 1})
        return Result(counts, counts.get("errors", {}))

    def kill(self) -> None:
        """
        Kill the generator.
        """
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._close()

    def _close(self) -> None:
        self._reader.join()
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()
