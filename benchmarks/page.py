"""
Writes the table of targets into docs/performance.rst, between two marker lines, and
draws the chart. On demand, writes all tables into a file that is not committed.
"""

import csv
import io
import json
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from benchmarks.errors import BenchmarkError
from benchmarks.report import (
    Row,
    Table,
    byServer,
    costColumn,
    growth,
    machineLines,
    markdown,
    tables,
    values,
)
from benchmarks.scenarios import Ability
from benchmarks.targets import meansTable, targetTable

BEGIN = ".. Written by python -m benchmarks page, up to the end marker."
END = ".. End of the generated part."
PICTURE = "performance.svg"
#: The file of all tables, beside the results.
TABLES = "tables.md"
SKELETON = f"""Performance
===========

{BEGIN}

{END}
"""

#: The scenarios that are drawn as bars, if they were measured.
_DRAWN = ("fanout200", "ingest200", "fast4096", "record20", "latency5", "idle2000")
_WIDTH = 760
_LABEL = 150
_BAR = 18
_COLOURS = ("#2a6f97", "#c9622a", "#5b8c3e", "#8a5a9e", "#b08a1e", "#607080", "#a03050")


def rstTable(table: Table) -> list[str]:
    """
    @return: the lines of the table in reStructuredText.
    """
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
    for row in (table.header, *table.rows):
        # Escape the markup of reStructuredText.
        writer.writerow(
            cell.replace("\\", "\\\\").replace("*", "\\*").replace("`", "\\`")
            for cell in row
        )
    rows = [f"   {line}" for line in text.getvalue().splitlines()]
    return [f".. csv-table:: {table.title}", "   :header-rows: 1", "", *rows, ""]


def between(text: str, lines: Sequence[str]) -> str:
    """
    @return: the page with new lines between the marker lines.

    @raise BenchmarkError: if it has no marker lines.
    """
    before, begin, rest = text.partition(BEGIN)
    _old, end, after = rest.partition(END)
    if not begin or not end:
        raise BenchmarkError(f"the page has no line {BEGIN!r} with {END!r} below it")
    return "\n".join([f"{before}{BEGIN}", "", *lines, "", f"{END}{after}"])


@dataclass(frozen=True, slots=True)
class Bar:
    """
    A server's figure: median, minimum and maximum.
    """

    name: str
    median: float
    least: float
    most: float


def bars(rows: Iterable[Row], scenario: str) -> tuple[str, list[Bar]]:
    """
    @return: the title, and the servers from the best to the worst.
    """
    mine = [row for row in rows if row["scenario"] == scenario]
    if not mine:
        return "", []
    cost = costColumn(scenario, Ability(mine[0]["ability"]))
    found = []
    for server, its in byServer(mine).items():
        numbers = values(its, cost)
        if numbers:
            median = statistics.median(numbers)
            found.append(Bar(server, median, min(numbers), max(numbers)))
    title = f"{mine[0]['what']}: {cost.title}"
    return title, sorted(found, key=lambda bar: bar.median)


class _Drawing:
    """
    An SVG image that grows downwards.
    """

    def __init__(self) -> None:
        self._parts: list[str] = []
        self.height = 10.0

    def text(self, x: float, y: float, words: str, more: str = "") -> None:
        self._parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}"{more}>{escape(words)}</text>'
        )

    def line(self, points: Iterable[tuple[float, float]], colour: str) -> None:
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self._parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" '
            'stroke-width="1.5"/>'
        )

    def box(self, x: float, y: float, width: float, colour: str) -> None:
        self._parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" '
            f'height="{_BAR - 6}" fill="{colour}"/>'
        )

    def title(self, words: str) -> None:
        self.height += 22
        self.text(10, self.height, words, ' font-weight="bold"')
        self.height += 8

    def svg(self) -> str:
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" '
            f'height="{self.height + 10:.0f}" font-family="sans-serif" font-size="12">'
            '<rect width="100%" height="100%" fill="white"/>\n'
            + "\n".join(self._parts)
            + "\n</svg>\n"
        )


def _drawBars(drawing: _Drawing, title: str, found: Sequence[Bar]) -> None:
    drawing.title(title)
    room = _WIDTH - _LABEL - 80
    most = max(bar.most for bar in found) or 1.0
    for bar in found:
        y = drawing.height + 3
        middle = y + (_BAR - 6) / 2
        ours = bar.name.startswith("rtmptw")
        drawing.text(10, y + 10, bar.name)
        drawing.box(_LABEL, y, bar.median / most * room, _COLOURS[0 if ours else 5])
        drawing.line(
            [
                (_LABEL + bar.least / most * room, middle),
                (_LABEL + bar.most / most * room, middle),
            ],
            "black",
        )
        drawing.text(_LABEL + bar.most / most * room + 6, y + 10, f"{bar.median:.3g}")
        drawing.height += _BAR


def _drawGrowth(
    drawing: _Drawing, title: str, found: dict[str, dict[int, list[float]]]
) -> None:
    drawing.title(title)
    height = 170.0
    top = drawing.height + 6
    most = max(max(numbers) for mine in found.values() for numbers in mine.values())
    counts = sorted({count for mine in found.values() for count in mine})
    span = math.log10(counts[-1] / counts[0]) or 1.0
    room = _WIDTH - _LABEL - 160

    def place(count: int, cost: float) -> tuple[float, float]:
        x = _LABEL + math.log10(count / counts[0]) / span * room
        return x, top + height - cost / (most or 1.0) * height

    drawing.line([place(counts[0], 0), place(counts[-1], 0)], "#999999")
    for count in counts:
        x, y = place(count, 0)
        drawing.text(x, y + 16, str(count), ' text-anchor="middle"')
    drawing.text(_LABEL - 8, top + 10, f"{most:.3g}", ' text-anchor="end"')
    ends: list[float] = []
    for index, (server, mine) in enumerate(found.items()):
        colour = _COLOURS[index % len(_COLOURS)]
        points = [place(at, statistics.median(mine[at])) for at in sorted(mine)]
        drawing.line(points, colour)
        x, y = points[-1]
        # Move names up that would overlap.
        while any(abs(y - other) < 13 for other in ends):
            y -= 3
        ends.append(y)
        drawing.text(x + 8, y + 4, server, f' fill="{colour}"')
    drawing.height = top + height + 22


def draw(rows: Sequence[Row]) -> str:
    """
    @return: the chart, as SVG.
    """
    drawing = _Drawing()
    for scenario in _DRAWN:
        title, found = bars(rows, scenario)
        if found:
            _drawBars(drawing, title, found)
    for family, what in (("growplay", "players"), ("growpublish", "publishers")):
        lines = growth(rows, family)
        if lines:
            title = f"CPU us/message, and the number of {what}"
            _drawGrowth(drawing, title, lines)
    return drawing.svg()


def pageLines(runs: Iterable[Row], rows: Sequence[Row]) -> list[str]:
    """
    @return: the lines between the marker lines: the machines, the chart and the table
        of targets.
    """
    lines = [*(f"* {line}" for line in machineLines(runs)), ""]
    lines += [f".. image:: {PICTURE}", "   :alt: chart of the cost of each server", ""]
    table = targetTable(rows)
    if table is not None:
        lines += rstTable(table)
    return lines[:-1]


def writePage(
    docs: Path, results: Path, runs: Sequence[Row], rows: Sequence[Row]
) -> list[Path]:
    """
    Write the page, its chart, and the file of all measurements.

    @param docs: the folder of the page and the chart.
    @param results: the file for all measurements.
    @return: the files that were written.

    @raise BenchmarkError: if there are no measurements, or a file cannot be written.
    """
    if not rows:
        raise BenchmarkError("the files contain no results")
    page = docs / "performance.rst"
    picture = docs / PICTURE
    try:
        text = page.read_text() if page.exists() else SKELETON
        page.write_text(between(text, pageLines(runs, rows)))
        picture.write_text(draw(rows))
        results.write_text("".join(f"{json.dumps(line)}\n" for line in (*runs, *rows)))
    except OSError as error:
        raise _unwritten(error) from error
    return [page, picture, results]


def writeTables(
    path: Path, runs: Iterable[Row], rows: Sequence[Row], against: str
) -> None:
    """
    Write all tables, in Markdown.

    @param against: the server to compare with.

    @raise BenchmarkError: if the file cannot be written.
    """
    first = (targetTable(rows), meansTable(rows))
    found = [table for table in first if table is not None] + tables(rows, against)
    try:
        path.write_text(markdown(runs, found))
    except OSError as error:
        raise _unwritten(error) from error


def _unwritten(error: OSError) -> BenchmarkError:
    return BenchmarkError(f"cannot write {error.filename}: {error.strerror}")
