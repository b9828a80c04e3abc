"""
Runs all measurements, round after round.
"""

import json
import random
import resource
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

from benchmarks.errors import BenchmarkError
from benchmarks.machine import describeMachine
from benchmarks.measure import Setup, measure
from benchmarks.scenarios import Scenario
from benchmarks.servers import Server

#: The figures in a result's line on the terminal: name, key, factor, decimals.
_SHOWN = (
    ("CPU s/GB", "cpuPerByte", 1e9, 2),
    ("CPU %", "share", 100, 1),
    ("CPU ms/frame", "cpuPerPicture", 1e3, 2),
    ("delivered %", "delivered", 100, 1),
    ("gaps", "gaps", 1, 0),
    ("p50 ms", "p50", 1, 2),
    ("p99 ms", "p99", 1, 2),
    ("dropped", "dropped", 1, 0),
)


@dataclass(frozen=True, slots=True)
class Step:
    """
    One measurement of the plan.

    @ivar round: the round, starting with 1.
    """

    round: int
    scenario: Scenario
    server: Server


def plan(
    servers: Sequence[Server], scenarios: Sequence[Scenario], rounds: int
) -> list[Step]:
    """
    @return: all measurements in order. In each round and scenario, the servers follow
        one another in random order: a server that is always first would get the machine
        in another state.
    """
    steps = []
    for number in range(1, rounds + 1):
        for scenario in scenarios:
            able = [one for one in servers if not one.whyNot(scenario.ability)]
            random.shuffle(able)
            steps += [Step(number, scenario, server) for server in able]
    return steps


def absences(servers: Sequence[Server], scenarios: Sequence[Scenario]) -> list[str]:
    """
    @return: sentences that say which servers take no part in which scenarios, and why.
        Abilities that a server lacks by design are not listed, unless it supports none
        of the scenarios.
    """
    said = []
    for server in servers:
        reasons: dict[str, list[str]] = {}
        whole = all(one.ability not in server.abilities for one in scenarios)
        for scenario in scenarios:
            reason = server.whyNot(scenario.ability)
            if reason and (whole or scenario.ability in server.abilities):
                reasons.setdefault(reason, []).append(scenario.name)
        said += [
            f"{server.name} is not measured in {', '.join(names)}: {reason}"
            for reason, names in reasons.items()
        ]
    return said


def duration(steps: Sequence[Step], setup: Setup) -> float:
    """
    @return: the approximate duration of the plan in seconds.
    """
    # The time to start, stop and connect.
    around = 1.3 + setup.settle + setup.warmup
    return sum(
        around
        + step.scenario.connections / 250
        + (step.scenario.seconds if setup.seconds is None else setup.seconds)
        * (2 if step.scenario.isHalfLoad else 1)
        for step in steps
    )


def shownTime(seconds: float) -> str:
    """
    @return: a readable duration.
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


class Terminal:
    """
    Shows the run: a line for each result and, on a terminal, the progress.
    """

    def __init__(self, output: TextIO, progress: TextIO) -> None:
        self._output = output
        self._progress = progress if progress.isatty() else None

    def say(self, line: str) -> None:
        """
        Write a line that stays.
        """
        self._clear()
        print(line, file=self._output, flush=True)

    def show(self, line: str) -> None:
        """
        Write a line that the next one replaces.
        """
        if self._progress is not None:
            self._clear()
            width = shutil.get_terminal_size().columns - 1
            print(line[:width], end="", file=self._progress, flush=True)

    def _clear(self) -> None:
        if self._progress is not None:
            print("\r\033[K", end="", file=self._progress, flush=True)


def resultLine(step: Step, row: dict[str, Any]) -> str:
    """
    @return: the most important figures of a result.
    """
    words = [f"round {step.round}, {step.scenario.name}, {step.server.name}:"]
    if "failure" in row:
        return " ".join([*words, str(row["failure"])])
    words += [
        f"{name} {row[key] * scale:.{digits}f}"
        for name, key, scale, digits in _SHOWN
        if key in row
    ]
    if step.scenario.idle:
        words.append(f"kB each {row['residentEach'] / 1e3:.1f}")
    words += [f"({what}: {count})" for what, count in row["errors"].items()]
    return "  ".join(words)


class Run:
    """
    One run: carries out a plan and writes the results.
    """

    def __init__(
        self, steps: Sequence[Step], setup: Setup, out: Path, terminal: Terminal
    ) -> None:
        self._steps = steps
        self._setup = setup
        self._out = out
        self._terminal = terminal
        self._id = f"{time.time():.0f}"

    def _write(self, row: dict[str, Any]) -> None:
        try:
            with self._out.open("a") as file:
                file.write(json.dumps(row) + "\n")
        except OSError as error:
            raise BenchmarkError(
                f"cannot write --out={self._out}: {error.strerror}"
            ) from error

    def _do(self, step: Step) -> None:
        row: dict[str, Any] = {
            "run": self._id,
            "round": step.round,
            "server": step.server.name,
            "scenario": step.scenario.name,
            "ability": step.scenario.ability.value,
            "what": step.scenario.what,
        }
        try:
            row.update(measure(step.server, step.scenario, self._setup))
        except BenchmarkError as error:
            row["failure"] = str(error)
        self._write(row)
        self._terminal.say(resultLine(step, row))

    def carryOut(self, budget: float | None = None) -> None:
        """
        Measure, and append a line of JSON for each measurement.

        @param budget: the time in seconds after which no measurement is started.

        @raise BenchmarkError: if the results cannot be written.
        """
        began = time.monotonic()
        self._write(
            {
                "run": self._id,
                "began": datetime.now().astimezone().isoformat(timespec="seconds"),
                "machine": describeMachine(self._setup.cores),
            }
        )
        longest = 0.0
        for done, step in enumerate(self._steps):
            stepBegan = time.monotonic()
            passed = stepBegan - began
            if budget is not None and passed + longest > budget:
                self._terminal.say(
                    f"time limit reached after {done} of {len(self._steps)} "
                    "measurements"
                )
                return
            left = duration(self._steps[done:], self._setup)
            self._terminal.show(
                f"{done + 1} of {len(self._steps)}: round {step.round}, "
                f"{step.scenario.name}, {step.server.name}; "
                f"about {shownTime(left)} left"
            )
            self._do(step)
            longest = max(longest, time.monotonic() - stepBegan)


def allowManySockets() -> None:
    """
    Raise the limit of open files to the hard limit, for us and our children.
    """
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def endAsInterrupted() -> None:
    """
    Make SIGTERM do the same as Ctrl-C: stop everything that was started.
    """

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


def terminal() -> Terminal:
    """
    @return: the terminal of this process.
    """
    return Terminal(sys.stdout, sys.stderr)
