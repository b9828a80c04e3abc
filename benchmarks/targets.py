"""
The targets of rtmptw and the gains of its optimizations, from the results of a run.
"""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.report import Column, Row, Table, ratios, shown, values
from benchmarks.without import MEANS

_COST = Column("CPU s/GB", "cpuPerByte", 1e9)
_PICTURE = Column("CPU ms/frame", "cpuPerPicture", 1e3)
_P50 = Column("p50", "p50")
_P99 = Column("p99", "p99")
_EACH = Column("KiB/connection", "residentEach", 1 / 1024)


@dataclass(frozen=True, slots=True)
class Target:
    """
    An upper bound.

    @ivar what: a description.
    @ivar bound: the maximum.
    @ivar measured: finds the figures in the results.
    @ivar unit: the unit of the bound; empty for a ratio.
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
    @return: KiB per additional player, from the difference between few and many.
    """
    few, many = (
        [row["resident"] for row in _of(rows, scenario, "rtmptw") if "resident" in row]
        for scenario in ("fanout50", "fanout1000")
    )
    if not few or not many:
        return []
    least = statistics.median(few)
    return [(resident - least) / 950 / 1024 for resident in many]


#: All targets, in the order of the table.
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
    Target("fanout1000: memory per player", 64.0, _perPlayer, "KiB"),
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
    @param missed: the part by which a target was missed, greater than 0.
    @return: the percentage, with a decimal if it would otherwise be shown as 0.
    """
    return f"{missed:.0%}" if missed >= 0.005 else f"{max(missed, 0.001):.1%}"


def targetTable(rows: Sequence[Row]) -> Table | None:
    """
    @return: the targets, the results, and by how much targets were missed.
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
    return Table("Targets", ["target", "at most", "measured", "reached"], lines)


def meansTable(rows: Sequence[Row]) -> Table | None:
    """
    @return: the relative cost without each of the optimizations.
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
        "Gain of each optimization",
        ["without this", "scenario", "CPU relative to rtmptw with it"],
        lines,
    )
