"""
Draws state machines as SVG from their transition tables.

States are arranged in columns by their distance from the first one. A step to the next
column is a straight line; other steps are arcs above or below.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from html import escape

_FONT = "font-family='system-ui, sans-serif' font-size='13'"
_HEIGHT = 40
#: The minimum distance between columns.
_GAP_X = 90
_GAP_Y = 56
_MARGIN = 14
#: How far a loop of a state to itself extends from its box.
_LOOP = 46
#: The distance between the ends of arcs at one side of a box.
_SPREAD = 20
#: Pixels per character, slightly more than the font needs.
_CHARACTER = 7.4
_LINE = 16
#: The distance from the middle of a line to its baseline.
_BASELINE = 4.5

Table = Mapping[Enum, Mapping[Enum, Enum]]


@dataclass
class _Box:
    """
    A state in the diagram.
    """

    state: Enum
    column: int
    row: int
    width: float = 0.0
    x: float = 0.0
    y: float = 0.0

    @property
    def right(self) -> float:
        return self.x + self.width

    @property
    def middle(self) -> float:
        return self.x + self.width / 2


def draw(table: Table, title: str) -> str:
    """
    @return: the diagram as an SVG element in the color of the surrounding text.
    """
    return _Picture(table, title).svg()


class _Picture:
    def __init__(self, table: Table, title: str) -> None:
        self._table = table
        self._title = title
        # Ids must be unique on a page with several diagrams.
        self._tip = "tip-" + re.sub(r"\W+", "-", title)
        #: The names of the steps from one state to another.
        self._steps: dict[tuple[Enum, Enum], list[str]] = {}
        for source, steps in table.items():
            for step, target in steps.items():
                self._steps.setdefault((source, target), []).append(str(step.value))
        self._boxes: dict[Enum, _Box] = {}
        self._place()
        self._parts: list[str] = []

    # The positions of the boxes.

    def _columns(self) -> dict[Enum, int]:
        """
        @return: the column of each state: the longest path to it that never goes back.
        """
        order = list(self._table)
        columns = dict.fromkeys(order, 0)
        for _ in order:
            for source, target in self._steps:
                if order.index(target) > order.index(source):
                    columns[target] = max(columns[target], columns[source] + 1)
        return columns

    def _place(self) -> None:
        columns = self._columns()
        rows: dict[int, int] = {}
        for state, column in columns.items():
            row = rows.get(column, 0)
            rows[column] = row + 1
            width = len(str(state.value)) * _CHARACTER + 28
            self._boxes[state] = _Box(state, column, row, width)
        self._rows = max(rows.values())
        x = 0.0
        for column in range(max(columns.values()) + 1):
            boxes = [box for box in self._boxes.values() if box.column == column]
            widest = max(box.width for box in boxes)
            for box in boxes:
                box.width = widest
                box.x = x
                alone = len(boxes) == 1
                row = (self._rows - 1) / 2 if alone else box.row
                box.y = row * (_HEIGHT + _GAP_Y)
            self._width = x + widest
            x = self._width + self._gapAfter(column)
        self._height = self._rows * _HEIGHT + (self._rows - 1) * _GAP_Y

    def _gapAfter(self, column: int) -> float:
        """
        @return: the space that the labels on the lines to the next column need.
        """
        words = [
            name
            for (start, end), names in self._steps.items()
            for name in names
            if (self._boxes[start].column, self._boxes[end].column)
            == (column, column + 1)
        ]
        return max([_GAP_X, *(len(word) * _CHARACTER + 36 for word in words)])

    # The lines.

    def svg(self) -> str:
        above: list[tuple[_Box, _Box, list[str]]] = []
        below: list[tuple[_Box, _Box, list[str]]] = []
        self._left = self._top = 0.0
        self._bottom = self._height
        for (start, end), names in self._steps.items():
            source, target = self._boxes[start], self._boxes[end]
            if source is target:
                self._loop(source, names)
            elif target.column == source.column + 1:
                self._line(source, target, names)
            else:
                self._side(source, target, above, below).append((source, target, names))
        self._arcs(above, up=True)
        self._arcs(below, up=False)
        boxes = [self._box(box) for box in self._boxes.values()]
        left, top = self._left - _MARGIN, self._top - _MARGIN
        width = self._width - self._left + 2 * _MARGIN
        height = self._bottom - self._top + 2 * _MARGIN
        return (
            f"<svg xmlns='http://www.w3.org/2000/svg' role='img' class='machine' "
            f"viewBox='{left:.0f} {top:.0f} {width:.0f} {height:.0f}' "
            f"width='{width:.0f}' style='max-width:100%;height:auto' "
            f"fill='none' stroke='currentColor' stroke-width='1.3' {_FONT}>"
            f"<title>{escape(self._title)}</title><desc>{escape(self._words())}</desc>"
            f"<defs><marker id='{self._tip}' viewBox='0 0 10 10' refX='9' refY='5' "
            "markerWidth='8' markerHeight='8' orient='auto-start-reverse'>"
            "<path d='M0 1 L10 5 L0 9 z' fill='currentColor' stroke='none'/>"
            f"</marker></defs>{''.join(self._parts)}{''.join(boxes)}</svg>"
        )

    def _words(self) -> str:
        """
        @return: the table as sentences, for users who cannot see the diagram.
        """
        return " ".join(
            f"{', '.join(names)}: from {start.value} to {end.value}."
            for (start, end), names in self._steps.items()
        )

    def _side(
        self, source: _Box, target: _Box, above: list, below: list
    ) -> list[tuple[_Box, _Box, list[str]]]:
        if self._rows == 1:
            return above if target.column > source.column else below
        upper = (source if source.column > target.column else target).row
        return above if upper < self._rows / 2 else below

    def _box(self, box: _Box) -> str:
        ends = set(self._table[box.state].values()) <= {box.state}
        first = box.state is next(iter(self._table))
        return (
            f"<rect x='{box.x:.1f}' y='{box.y:.1f}' width='{box.width:.1f}' "
            f"height='{_HEIGHT}' rx='{20 if ends else 7}' "
            f"stroke-width='{2.4 if first or ends else 1.3}'/>"
            + _text(box.middle, box.y + _HEIGHT / 2, [str(box.state.value)], False)
        )

    def _line(self, source: _Box, target: _Box, names: list[str]) -> None:
        y1 = source.y + _HEIGHT / 2
        y2 = target.y + _HEIGHT / 2
        # Leave the box at the height of the other one, as far as possible.
        shift = max(-_HEIGHT / 4, min(_HEIGHT / 4, y2 - y1))
        y1 += shift
        self._path(f"M{source.right:.1f} {y1:.1f} L{target.x - 2:.1f} {y2:.1f}")
        x = (source.right + target.x) / 2
        lift = 9 + _LINE * (len(names) - 1) / 2
        if y1 != y2:
            # A sloped line comes close to the ends of the label.
            lift += 6
            x -= 8
        y = (y1 + y2) / 2 + (lift if y2 > y1 else -lift)
        self._parts.append(_text(x, y, names))

    def _loop(self, box: _Box, names: list[str]) -> None:
        words = ", ".join(names)
        if self._rows > 1:
            # The arcs need the space below; the space on the left is free.
            y = box.y + _HEIGHT / 2
            far = box.x - _LOOP
            self._path(
                f"M{box.x:.1f} {y + 9:.1f} C{far:.1f} {y + 26:.1f} {far:.1f} "
                f"{y - 26:.1f} {box.x - 2:.1f} {y - 9:.1f}"
            )
            length = len(words) * _CHARACTER
            x = box.x - _LOOP * 0.8 - length / 2
            self._left = min(self._left, x - length / 2)
            self._parts.append(_text(x, y, [words]))
            return
        y = box.y + _HEIGHT
        x1, x2 = box.middle - 26, box.middle + 26
        depth = y + _LOOP
        self._path(
            f"M{x1:.1f} {y:.1f} C{x1 - 22:.1f} {depth:.1f} {x2 + 22:.1f} "
            f"{depth:.1f} {x2:.1f} {y + 2:.1f}"
        )
        self._parts.append(_text(box.middle, depth, [words]))
        self._bottom = max(self._bottom, depth + 8)

    def _arcs(self, arcs: list[tuple[_Box, _Box, list[str]]], up: bool) -> None:
        """
        Draw short arcs within long ones.
        """
        arcs.sort(key=lambda arc: abs(arc[1].column - arc[0].column))
        ends: dict[Enum, list[tuple[float, tuple[int, str]]]] = {}
        for number, (source, target, _names) in enumerate(arcs):
            ends.setdefault(source.state, []).append((target.middle, (number, "from")))
            ends.setdefault(target.state, []).append((source.middle, (number, "to")))
        places: dict[tuple[int, str], float] = {}
        for state, here in ends.items():
            box = self._boxes[state]
            # Far ends are inside on the way there, and outside on the way back, so that
            # arcs do not cross.
            here.sort(key=lambda end: (end[0] > box.middle, -end[0]))
            for index, (_, key) in enumerate(here):
                places[key] = box.middle + (index - (len(here) - 1) / 2) * _SPREAD
        for number, (source, target, names) in enumerate(arcs):
            span = abs(target.column - source.column)
            x1, x2 = places[number, "from"], places[number, "to"]
            y1 = source.y if up else source.y + _HEIGHT
            y2 = target.y if up else target.y + _HEIGHT
            reach = 22 + 36 * span
            # A cubic curve covers three quarters of the distance to its handles.
            edge = min(y1, y2) - reach if up else max(y1, y2) + reach
            handle = (edge - (y1 + y2) / 8) * 4 / 3
            tip = y2 - 2 if up else y2 + 2
            self._path(
                f"M{x1:.1f} {y1:.1f} C{x1:.1f} {handle:.1f} {x2:.1f} {handle:.1f} "
                f"{x2:.1f} {tip:.1f}"
            )
            # Put the label within the arc: a longer one may pass outside.
            y = edge + 12 if up else edge - 12
            self._parts.append(_text((x1 + x2) / 2, y, [", ".join(names)]))
            self._top = min(self._top, edge)
            self._bottom = max(self._bottom, edge)

    def _path(self, d: str) -> None:
        self._parts.append(f"<path d='{d}' marker-end='url(#{self._tip})'/>")


def _text(x: float, y: float, lines: list[str], italic: bool = True) -> str:
    """
    @param x: the middle of the text.
    @param y: the middle of the lines.
    """
    style = " font-style='italic'" if italic else ""
    first = y - _LINE * (len(lines) - 1) / 2 + _BASELINE
    return "".join(
        f"<text x='{x:.1f}' y='{first + number * _LINE:.1f}' text-anchor='middle' "
        f"fill='currentColor' stroke='none'{style}>{escape(line)}</text>"
        for number, line in enumerate(lines)
    )
