"""
Tables of the results: medians, spread and ratios.
"""

import json
import re
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.errors import BenchmarkError
from benchmarks.scenarios import Ability

#: Above this share, the table notes that other processes used the server's core.
_FOREIGN = 0.1
#: Above this share, it notes that the load generator was at its limit.
_GENERATOR = 0.9
#: The servers to compare with; the first one that took part counts.
PEERS = ("nginx", "ffmpeg")

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Column:
    """
    A column of a table.

    @ivar key: the name of its figure in a row.
    @ivar scale: the factor by which the figure is multiplied.
    @ivar digits: the number of decimals.
    """

    title: str
    key: str
    scale: float = 1.0
    digits: int = 2


@dataclass(frozen=True, slots=True)
class Table:
    """
    A table, as text.
    """

    title: str
    header: list[str]
    rows: list[list[str]]


_GB = Column("CPU s/GB", "cpuPerByte", 1e9)
_MESSAGE = Column("CPU us/message", "cpuPerMessage", 1e6, 1)
_SHARE = Column("CPU %", "share", 100, 1)
_MEMORY = Column("resident MB", "resident", 1e-6, 1)
_LATENCY = (Column("p50 ms", "p50"), Column("p99 ms", "p99"))
_LOSS = (Column("delivered %", "delivered", 100, 1), Column("gaps", "gaps", 1, 0))
_PICTURE = Column("CPU ms/frame", "cpuPerPicture", 1e3)
_RECORDED = Column("recorded %", "recorded", 100, 1)

_COLUMNS: dict[Ability, tuple[Column, ...]] = {
    Ability.PLAY: (_GB, _MESSAGE, _SHARE, *_LOSS, *_LATENCY, _MEMORY),
    Ability.INGEST: (
        _GB,
        _MESSAGE,
        _SHARE,
        Column("MB/s", "rate", 1e-6, 1),
        _LOSS[0],
        _MEMORY,
    ),
    Ability.RECORD: (_GB, _MESSAGE, _SHARE, _LOSS[0], _RECORDED, _MEMORY),
    Ability.REMUX: (_GB, _MESSAGE, _SHARE, _RECORDED, _MEMORY),
    Ability.DECODE: (
        _PICTURE,
        Column("frames/s", "pictureRate", 1, 0),
        _SHARE,
        _MEMORY,
    ),
    Ability.IDLE: (
        Column("kB/connection", "residentEach", 1e-3, 1),
        _SHARE,
        Column("MB without connections", "residentIdle", 1e-6, 1),
        _MEMORY,
    ),
}


def readResults(files: Iterable[Path]) -> tuple[list[Row], list[Row]]:
    """
    @return: the descriptions of the runs, and all rows.

    @raise BenchmarkError: if a file cannot be read, or has the wrong format.
    """
    runs: list[Row] = []
    rows: list[Row] = []
    for file in files:
        try:
            lines = file.read_text().splitlines()
        except OSError as error:
            raise BenchmarkError(f"cannot read {file}: {error.strerror}") from error
        for number, line in enumerate(lines, 1):
            try:
                value = json.loads(line)
                (runs if "machine" in value else rows).append(value)
                if "machine" not in value:
                    Ability(value["ability"])
            except (ValueError, KeyError, TypeError) as error:
                raise BenchmarkError(
                    f"{file}, line {number}: not written by python -m benchmarks run"
                ) from error
    return runs, rows


def costColumn(scenario: str, ability: Ability) -> Column:
    """
    @return: the figure by which servers are compared.
    """
    if ability is Ability.IDLE:
        return _COLUMNS[ability][0]
    if ability is Ability.DECODE:
        return _PICTURE
    if scenario.startswith("grow"):
        return _MESSAGE
    if scenario.startswith(("latency", "halfload")):
        return _LATENCY[0]
    return _GB


def values(rows: Iterable[Row], column: Column) -> list[float]:
    """
    @return: the values of a figure in all rows that have it.
    """
    return [row[column.key] * column.scale for row in rows if column.key in row]


def shown(numbers: Sequence[float], digits: int) -> str:
    """
    @return: the median, with minimum and maximum in parentheses.
    """
    if not numbers:
        return "-"
    median = f"{statistics.median(numbers):.{digits}f}"
    if len(numbers) == 1:
        return median
    return f"{median} ({min(numbers):.{digits}f}-{max(numbers):.{digits}f})"


def ratios(rows: Iterable[Row], peers: Iterable[Row], column: Column) -> list[float]:
    """
    @return: the ratios to the peer, for each round in which both took part. A
        disturbance of the machine for minutes affects both.
    """
    theirs = {(row["run"], row["round"]): row.get(column.key) for row in peers}
    found = []
    for row in rows:
        other = theirs.get((row["run"], row["round"]))
        if other and column.key in row:
            found.append(row[column.key] / other)
    return found


def notes(rows: Sequence[Row]) -> str:
    """
    @return: notes that a reader of these figures needs.
    """
    said: list[str] = []
    errors: Counter[str] = Counter()
    for row in rows:
        errors.update(row.get("errors", {}))
        if "failure" in row:
            errors[row["failure"]] += 1
    said += [f"{what}: {count}" for what, count in errors.items()]
    for key, what in (
        ("dropped", "dropped frames"),
        ("corrupt", "corrupt frames"),
        ("repeats", "repeated frames"),
    ):
        count = sum(row.get(key, 0) for row in rows)
        if count:
            said.append(f"{what}: {count:.0f}")
    foreign = [row["foreign"] for row in rows if "foreign" in row]
    if foreign and statistics.median(foreign) > _FOREIGN:
        said.append(
            f"others used {statistics.median(foreign):.0%} of the server's core"
        )
    generator = [row["generator"] for row in rows if "generator" in row]
    if generator and statistics.median(generator) > _GENERATOR:
        said.append("the load generator was at its limit")
    return "; ".join(said)


def _peerOf(rows: Iterable[Row], against: str) -> str:
    there = {row["server"] for row in rows}
    return next((name for name in (against, *PEERS) if name in there), "")


def byServer(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """
    @return: the rows of each server, in a stable order.
    """
    found: dict[str, list[Row]] = {}
    for row in sorted(rows, key=lambda row: str(row["server"])):
        found.setdefault(row["server"], []).append(row)
    return found


def _table(scenario: str, rows: Sequence[Row], against: str) -> Table:
    ability = Ability(rows[0]["ability"])
    columns = [column for column in _COLUMNS[ability] if values(rows, column)]
    if len({row.get("players", 0) for row in rows if "players" in row}) > 1:
        columns.insert(0, Column("players", "players", 1, 0))
    cost = costColumn(scenario, ability)
    peer = _peerOf(rows, against)
    servers = byServer(rows)
    lines = []
    for server, mine in servers.items():
        line = [server, str(len(mine))]
        line += [shown(values(mine, one), one.digits) for one in columns]
        if peer:
            line.append(shown(ratios(mine, servers[peer], cost), 2))
        lines.append([*line, notes(mine)])
    header = ["server", "rounds", *(column.title for column in columns)]
    if peer:
        header.append(f"{cost.title.partition(' ')[0]} to {peer}'s")
    seconds = statistics.median([row.get("seconds", 0.0) for row in rows])
    return Table(
        f"{scenario}: {rows[0]['what']} ({seconds:.0f} s)", [*header, "notes"], lines
    )


def growth(rows: Iterable[Row], family: str) -> dict[str, dict[int, list[float]]]:
    """
    @param family: C{"growplay"} or C{"growpublish"}.
    @return: CPU microseconds per message, by server and number of connections.
    """
    found: dict[str, dict[int, list[float]]] = {}
    for server, mine in byServer(rows).items():
        for row in mine:
            number = re.fullmatch(rf"{family}(\d+)", row["scenario"])
            if number and _MESSAGE.key in row:
                byNumber = found.setdefault(server, {})
                cost = row[_MESSAGE.key] * _MESSAGE.scale
                byNumber.setdefault(int(number[1]), []).append(cost)
    return found


def _growthTable(rows: Iterable[Row], family: str, title: str) -> Table | None:
    found = growth(rows, family)
    numbers = sorted({number for mine in found.values() for number in mine})
    if not numbers:
        return None
    return Table(
        f"{title}: CPU us/message",
        ["server", *(f"{number} connections" for number in numbers)],
        [
            [server, *(shown(mine.get(number, []), 1) for number in numbers)]
            for server, mine in found.items()
        ],
    )


def tables(rows: Sequence[Row], against: str) -> list[Table]:
    """
    @param against: the server to compare with.
    @return: a table for each scenario, and two for growth.
    """
    found = []
    for scenario in dict.fromkeys(row["scenario"] for row in rows):
        mine = [row for row in rows if row["scenario"] == scenario]
        found.append(_table(scenario, mine, against))
    for family, title in (
        ("growplay", "Growth with the players"),
        ("growpublish", "Growth with the publishers"),
    ):
        table = _growthTable(rows, family, title)
        if table is not None:
            found.append(table)
    return found


def machineLines(runs: Iterable[Row]) -> list[str]:
    """
    @return: a line for each machine and set of versions, with the start of the first
        and the last run.
    """
    began: dict[str, list[str]] = {}
    for run in runs:
        machine = run["machine"]
        cores = machine["cores"]
        said = [
            machine["processor"],
            machine["system"],
            f"server and load on cores {' and '.join(map(str, cores))}"
            if cores
            else "server and load on one core",
        ]
        versions = [f"{name} {of}" for name, of in machine["versions"].items()]
        line = f"{', '.join(said)}; {', '.join(versions)}"
        began.setdefault(line, []).append(run["began"])
    found = []
    for line, times in began.items():
        first, last = min(times), max(times)
        count = f"{len(times)} runs from {first} to {last}" if times[1:] else first
        found.append(f"{count}: {line}")
    return found


def markdown(runs: Iterable[Row], found: Iterable[Table]) -> str:
    """
    @return: the report.
    """
    lines = [f"{line}\n" for line in machineLines(runs)]
    lines.append("Medians, with minimum and maximum in parentheses.")
    for table in found:
        lines.append(f"\n### {table.title}\n")
        lines.append(f"| {' | '.join(table.header)} |")
        lines.append("|" + " --- |" * len(table.header))
        lines += [f"| {' | '.join(row)} |".replace("|  |", "| |") for row in table.rows]
    return "\n".join(lines) + "\n"
