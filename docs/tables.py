"""
Makes the tables of options and arguments from those that the program uses.
"""

import re
from collections.abc import Iterable, Sequence

from rtmptw.app.settings import SETTINGS, Setting
from rtmptw.plugins.arguments import Arguments


def settingRows(settings: Sequence[Setting] = SETTINGS) -> list[tuple[str, ...]]:
    """
    @return: the syntax, the default and the meaning of each option.
    """
    rows = []
    for setting in settings:
        kind = setting.kind
        short = f", ``-{setting.short}``" if setting.short else ""
        bounds = f", {kind.bounds}" if kind.bounds else ""
        several = " May be given several times." if setting.isRepeatable else ""
        rows.append(
            (
                f"``--{setting.name}={kind.metavar}``{short}",
                setting.default,
                re.sub(r"(--[a-z-]+)", r"``\1``", setting.help) + f"{bounds}.{several}",
            )
        )
    return rows


def argumentRows(arguments: Arguments) -> list[tuple[str, ...]]:
    """
    @return: the syntax, the default and the meaning of each argument.
    """
    return [
        (f"``{shown}``", f"``{default}``" if default else "", f"{text}.")
        for shown, text, default in arguments.rows()
    ]


def listTable(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """
    @return: the lines of a table in reStructuredText.
    """
    lines = [".. list-table::", "   :header-rows: 1", "   :widths: auto", ""]
    for row in (head, *rows):
        first, *others = row
        lines.append(f"   * - {first}")
        lines += [f"     - {cell}".rstrip() for cell in others]
    return [*lines, ""]
