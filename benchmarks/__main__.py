"""
The command line of python -m benchmarks.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import scenarios, servers
from benchmarks.accounting import twoCores
from benchmarks.build import program
from benchmarks.errors import BenchmarkError
from benchmarks.install import install
from benchmarks.measure import Setup
from benchmarks.page import TABLES, writePage, writeTables
from benchmarks.report import PEERS, markdown, readResults, tables
from benchmarks.runner import (
    Run,
    absences,
    allowManySockets,
    duration,
    endAsInterrupted,
    plan,
    shownTime,
    terminal,
)
from benchmarks.servers import chooseServers

_ROUNDS = 5
_RESULTS = Path("benchmarks.jsonl")
#: The results from which docs/performance.rst was made.
_KEPT = Path("benchmarks/results.jsonl")
#: C{--quick}: the number of rounds, the length of the window in seconds, and the time
#: in seconds after which no measurement is started. The last one takes less than ten.
_QUICK_ROUNDS = 2
_QUICK_SECONDS = 1.5
_QUICK_BUDGET = 105.0


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def _atLeast(least: float, number: float) -> None:
    if number < least:
        raise argparse.ArgumentTypeError(f"{number:g} is less than {least:g}")


def _rounds(text: str) -> int:
    _atLeast(1, int(text))
    return int(text)


def _seconds(text: str) -> float:
    _atLeast(0.1, float(text))
    return float(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Compare rtmptw with other servers, on loopback.",
    )
    commands = parser.add_subparsers(dest="command", required=True)

    run = commands.add_parser("run", help="measure")
    run.add_argument(
        "--quick", action="store_true", help="only the most important, in two minutes"
    )
    run.add_argument("--scenarios", type=_names, help="only these: A,B")
    run.add_argument("--servers", type=_names, help="only these: A,B")
    run.add_argument(
        "--server",
        action="append",
        default=[],
        metavar="NAME=COMMAND@PORT",
        help="add a server; may be given several times",
    )
    run.add_argument("--rounds", type=_rounds, help=f"[default: {_ROUNDS}]")
    run.add_argument(
        "--seconds",
        type=_seconds,
        help="length of the window [default: the scenario's]",
    )
    run.add_argument("--verify", action="store_true", help="players compare every byte")
    run.add_argument(
        "--out",
        type=Path,
        default=_RESULTS,
        help=f"file to append the results to [default: {_RESULTS}]",
    )

    report = commands.add_parser("report", help="show tables, in Markdown")
    report.add_argument("files", type=Path, nargs="+")
    page = commands.add_parser("page", help="write docs/performance.rst and its chart")
    page.add_argument(
        "files", type=Path, nargs="*", help="[default: the file of --results]"
    )
    page.add_argument(
        "--all",
        action="store_true",
        help=f"also write all tables, to {TABLES} beside the results",
    )
    page.add_argument(
        "--results",
        type=Path,
        default=_KEPT,
        help=f"file to keep all measurements in [default: {_KEPT}]",
    )
    page.add_argument("--docs", type=Path, default=Path("docs"), help="[default: docs]")
    for command in (report, page):
        command.add_argument(
            "--against",
            default=PEERS[0],
            help=f"server to compare with [default: {PEERS[0]}]",
        )

    micro = commands.add_parser("micro", help="measure single functions")
    micro.add_argument(
        "--save", type=Path, metavar="FILE", help="write the ratios to a JSON file"
    )
    micro.add_argument(
        "--against", type=Path, metavar="FILE", help="compare with such a file"
    )
    attacks = commands.add_parser(
        "attacks", help="measure how long one client can make the others wait"
    )
    attacks.add_argument("names", nargs="*", help="only these")
    attacks.add_argument("--attackers", type=_rounds, default=12)
    attacks.add_argument("--seconds", type=_seconds, default=6.0)
    commands.add_parser("steps", help="measure each step of a frame's path")
    commands.add_parser(
        "capture", help="measure the latency in programs that read a live stream"
    )
    load = commands.add_parser(
        "load", help="run the load generator by hand", add_help=False
    )
    load.add_argument("arguments", nargs=argparse.REMAINDER)
    commands.add_parser("install", help="install the peers")
    commands.add_parser("list", help="list the servers and the scenarios")
    return parser


def _run(options: argparse.Namespace) -> None:
    quick = options.quick
    everybody = servers.QUICK if quick else servers.SERVERS
    everything = scenarios.QUICK if quick else scenarios.SCENARIOS
    chosen = chooseServers(
        everybody if options.servers is None else options.servers, options.server
    )
    loads = scenarios.chooseScenarios(
        everything if options.scenarios is None else options.scenarios
    )
    rounds = options.rounds or (_QUICK_ROUNDS if quick else _ROUNDS)
    seconds = options.seconds or (_QUICK_SECONDS if quick else None)
    setup = Setup(
        twoCores(),
        settle=0.3 if quick else 0.7,
        warmup=0.7 if quick else 2.0,
        seconds=seconds,
        verify=options.verify,
    )
    program("rtmpload")
    allowManySockets()
    endAsInterrupted()
    screen = terminal()
    for line in absences(chosen, loads):
        screen.say(line)
    if setup.cores is None:
        screen.say("there is only one core: server and load generator share it")
    steps = plan(chosen, loads, rounds)
    if not steps:
        raise BenchmarkError("none of these servers supports any of these scenarios")
    screen.say(
        f"{len(steps)} measurements, about {shownTime(duration(steps, setup))}; "
        f"the results go to {options.out}"
    )
    Run(steps, setup, options.out, screen).carryOut(_QUICK_BUDGET if quick else None)


def _list() -> None:
    for server in servers.SERVERS.values():
        usable = [ability for ability in server.abilities if not server.whyNot(ability)]
        why = {server.whyNot(ability) for ability in server.abilities} - {""}
        able = ", ".join(sorted(ability.value for ability in usable)) or "nothing"
        print(f"{server.name:18} {server.what}")
        print(f"{'':18} can {able}" + "".join(f"; {reason}" for reason in sorted(why)))
    for scenario in scenarios.SCENARIOS.values():
        print(f"{scenario.name:18} {scenario.what}")


def _page(options: argparse.Namespace) -> None:
    runs, rows = readResults(options.files or [options.results])
    written = writePage(options.docs, options.results, runs, rows)
    if options.all:
        every = options.results.with_name(TABLES)
        writeTables(every, runs, rows, options.against)
        written.append(every)
    for path in written:
        print(f"wrote {path}")


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run the command line.

    @return: the exit status.
    """
    options = _parser().parse_args(arguments)
    try:
        if options.command == "run":
            _run(options)
        elif options.command == "report":
            runs, rows = readResults(options.files)
            print(markdown(runs, tables(rows, options.against)), end="")
        elif options.command == "page":
            _page(options)
        elif options.command == "micro":
            # It imports rtmptw, which no other command needs.
            from benchmarks.micro import runMicro

            runMicro(options.save, options.against)
        elif options.command == "steps":
            from benchmarks.steps import runSteps

            runSteps()
        elif options.command == "attacks":
            from benchmarks.attacks import runAttacks

            runAttacks(options.names, options.attackers, options.seconds)
        elif options.command == "capture":
            from benchmarks.capture import runCapture

            runCapture()
        elif options.command == "load":
            generator = str(program("rtmpload"))
            os.execv(generator, [generator, *options.arguments])
        elif options.command == "install":
            return 1 if install() else 0
        else:
            _list()
    except BenchmarkError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nbenchmarks: stopped; nothing is left running", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output has closed it.
        sys.stderr.close()
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
