"""
What rtmptw is to reach, and what each of its means buys, from the results of a run.
"""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.report import Column, Row, Table, ratios, shown, values
from benchmarks.without import MEANS

_COST = Column("CPU s/GB", "cpuPerByte", 1e9)
_PICTURE = Column("CPU ms/picture", "cpuPerPicture", 1e3)
_P50 = Column("p50", "p50")
_P99 = Column("p99", "p99")
_EACH = Column("KiB/connection", "residentEach", 1 / 1024)


@dataclass(frozen=True, slots=True)
class Target:
    """
    An upper bound.

    @ivar what: in words.
    @ivar bound: the most.
    @ivar measured: finds the figures in the results.
    @ivar unit: of the bound; none for a ratio.
    """

    what: str
    bound: float
    measured: Callable[[Sequence[Row]], list[float]]
    unit: str = ""


def _of(rows: Sequence[Row], scenario: str, server: str) -> list[Row]:
    return [
        row for row in rows if row["scenario"] == scenario and row["server"] == server
    ]


def _ratio(
    scenario: str,
    server: str,
    peer: str,
    bound: float,
    column: Column = _COST,
) -> Target:
    def measured(rows: Sequence[Row]) -> list[float]:
        return ratios(_of(rows, scenario, server), _of(rows, scenario, peer), column)

    title = column.title.partition(" ")[0]
    return Target(f"{scenario}: {title} of {server} to {peer}'s", bound, measured)


def _figure(
    scenario: str, server: str, column: Column, bound: float, unit: str
) -> Target:
    return Target(
        f"{scenario}: {column.title.partition('/')[0]} of {server}",
        bound,
        lambda rows: values(_of(rows, scenario, server), column),
        unit,
    )


def _perPlayer(rows: Sequence[Row]) -> list[float]:
    """
    @return: KiB for each player more, between few and many.
    """
    few, many = (
        [row["resident"] for row in _of(rows, scenario, "rtmptw") if "resident" in row]
        for scenario in ("fanout50", "fanout1000")
    )
    if not few or not many:
        return []
    least = statistics.median(few)
    return [(resident - least) / 950 / 1024 for resident in many]


#: In the order of the table.
TARGETS: tuple[Target, ...] = (
    *(
        target
        for players in (200, 500, 1000)
        for target in (
            _ratio(f"fanout{players}", "rtmptw", "nginx", 0.65),
            _ratio(f"fanout{players}", "rtmptw", "nginx-tuned", 1.0),
            _ratio(f"fanout{players}", "rtmptw-merge50", "nginx-tuned", 0.65),
            _ratio(f"fanout{players}", "rtmptw-merge350", "nginx-tuned", 0.55),
            _ratio(f"fanout{players}", "rtmptw-low-delay", "nginx", 1.0),
        )
    ),
    _figure("fanout200", "rtmptw", _P50, 8.0, "ms"),
    _ratio("fanout200", "rtmptw-low-delay", "nginx", 1.0, _P50),
    _ratio("ingest200", "rtmptw", "nginx", 0.8),
    _ratio("record20", "rtmptw", "nginx", 0.8),
    _ratio("record100", "rtmptw", "nginx", 0.8),
    _ratio("fast4096", "rtmptw", "nginx", 1.2),
    _ratio("fast60000", "rtmptw", "nginx", 1.0),
    _ratio("fast128", "rtmptw", "nginx", 0.25),
    _ratio("split50", "rtmptw", "nginx", 0.5),
    _ratio("latency5", "rtmptw-low-delay", "nginx", 1.5, _P50),
    _ratio("latency5", "rtmptw-low-delay", "nginx", 1.0, _P99),
    _figure("latency5", "rtmptw", _P99, 45.0, "ms"),
    _figure("idle2000", "rtmptw", _EACH, 25.0, "KiB"),
    Target("fanout1000: memory for each player", 64.0, _perPlayer, "KiB"),
    _ratio("decode1", "rtmptw", "ffmpeg", 1.1, _PICTURE),
    *(
        _ratio(scenario, "rtmptw", "pyrtmp", 1 / 30)
        for scenario in ("ingest50", "ingest200", "fast4096")
    ),
    *(
        _ratio(scenario, "rtmptw-pure", "rtmptw", 1.6)
        for scenario in ("fanout200", "ingest200", "record20", "fast4096")
    ),
)


def _percent(missed: float) -> str:
    """
    @param missed: more than nothing.
    @return: with a decimal if it would look like nothing without.
    """
    return f"{missed:.0%}" if missed >= 0.005 else f"{max(missed, 0.001):.1%}"


def targetTable(rows: Sequence[Row]) -> Table | None:
    """
    @return: what was to be reached, what was, and by how much it was missed.
    """
    lines = []
    for target in TARGETS:
        numbers = target.measured(rows)
        if not numbers:
            continue
        median = statistics.median(numbers)
        unit = f" {target.unit}" if target.unit else ""
        digits = 3 if target.bound < 0.1 else 2
        missed = median / target.bound - 1
        lines.append(
            [
                target.what,
                f"{target.bound:.{digits}f}{unit}",
                shown(numbers, digits),
                "yes" if missed <= 0 else f"no: {_percent(missed)} more",
            ]
        )
    if not lines:
        return None
    return Table(
        "What is to be reached", ["what", "at most", "measured", "reached"], lines
    )


def meansTable(rows: Sequence[Row]) -> Table | None:
    """
    @return: how many times as much it costs without each of the means.
    """
    lines = []
    for name, mean in MEANS.items():
        numbers = ratios(
            _of(rows, mean.scenario, f"rtmptw-without-{name}"),
            _of(rows, mean.scenario, "rtmptw" if mean.isCompiled else "rtmptw-pure"),
            _COST,
        )
        if numbers:
            build = "" if mean.isCompiled else " (pure Python)"
            lines.append([mean.what + build, mean.scenario, shown(numbers, 2)])
    for scenario in ("fanout200", "ingest200", "record20", "fast4096", "split50"):
        numbers = ratios(
            _of(rows, scenario, "rtmptw-pure"), _of(rows, scenario, "rtmptw"), _COST
        )
        if numbers:
            lines.append(["the compiler", scenario, shown(numbers, 2)])
    if not lines:
        return None
    return Table(
        "What each mean buys",
        ["without this", "scenario", "CPU to rtmptw's with it"],
        lines,
    )
