"""
What people type, made into values: numbers with bounds and units, choices, texts. For
arguments of sinks and sources, for the command line, and for configuration files.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any

#: More than thirty years, or a petabyte: a slip of the keyboard.
MAX_NUMBER = 10**15


def didYouMean(said: str, known: Iterable[str]) -> str:
    """
    @param known: what might have been meant.
    @return: the end of a sentence that asks for the nearest of them, if one is near;
        else empty.
    """
    near = get_close_matches(said, known, 1)
    return f"; did you mean {near[0]!r}?" if near else ""


def typed(value: object) -> str:
    """
    @return: what to type for a value.
    """
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float) and not value.is_integer():
        return f"{value:g}"
    return str(int(value)) if isinstance(value, float) else str(value)


class Kind(ABC):
    """
    One kind of value. Called with what was said, it returns the value.

    @ivar metavar: what stands for such a value in a help text: C{SECONDS}.
    @ivar bounds: what it may be, beyond what C{metavar} says; empty for anything.
    """

    def __init__(self, metavar: str, bounds: str = "") -> None:
        self.metavar = metavar
        self.bounds = bounds

    @abstractmethod
    def __call__(self, said: object) -> Any:
        """
        @param said: a text, or what TOML makes of a number or a boolean.

        @raise ValueError: with what was said and why that will not do, as the end of a
            sentence without its period: C{'x' is no number}.
        """


class Number(Kind):
    """
    A number: a C{float}, or an C{int} if it is whole.
    """

    def __init__(
        self,
        unit: str,
        least: float,
        most: float = MAX_NUMBER,
        isWhole: bool = False,
        metavar: str = "",
    ) -> None:
        """
        @param unit: what it counts: C{seconds}; empty for nothing in particular.
        @param least: the least it may be.
        @param most: the most it may be.
        @param isWhole: whether fractions make no sense.
        @param metavar: the unit in capitals unless given.
        """
        upTo = "on" if most == MAX_NUMBER else f"to {typed(most)}"
        super().__init__(metavar or unit.upper(), f"from {typed(least)} {upTo}")
        self._what = f"{'whole ' * isWhole}number{unit and f' of {unit}'}"
        self._least = least
        self._most = most
        self._isWhole = isWhole

    def __call__(self, said: object) -> float:
        """
        @raise ValueError: if it is no such number.
        """
        number = _numberFrom(said)
        if (
            number is None
            or not self._least <= number <= self._most
            or (self._isWhole and number != int(number))
        ):
            raise ValueError(f"{said!r} is no {self._what} {self.bounds}")
        return int(number) if self._isWhole else float(number)


def _numberFrom(said: object) -> float | None:
    if isinstance(said, bool) or not isinstance(said, (str, int, float)):
        return None
    try:
        return int(said) if isinstance(said, str) else said
    except ValueError:
        pass
    try:
        return float(said)
    except ValueError:
        return None


class Choice(Kind):
    """
    One of some words.

    @ivar choices: the words, and the value of each.
    """

    def __init__(self, choices: Mapping[str, Any] | tuple[str, ...]) -> None:
        """
        @param choices: words that stand for themselves, or the value of each.
        """
        self.choices: dict[str, Any] = (
            {word: word for word in choices}
            if isinstance(choices, tuple)
            else dict(choices)
        )
        super().__init__("|".join(self.choices))

    def __call__(self, said: object) -> Any:
        """
        @raise ValueError: if it is none of them.
        """
        if not isinstance(said, str) or said not in self.choices:
            near = didYouMean(said, self.choices) if isinstance(said, str) else ""
            raise ValueError(f"{said!r} is none of {', '.join(self.choices)}{near}")
        return self.choices[said]


class Switch(Choice):
    """
    C{on} or C{off}; in a file C{true} and C{false} will do.
    """

    def __init__(self) -> None:
        super().__init__({"on": True, "off": False})

    def __call__(self, said: object) -> Any:
        """
        @raise ValueError: if it is neither.
        """
        return said if isinstance(said, bool) else super().__call__(said)


class Text(Kind):
    """
    A text that is not empty, and what it is read as.
    """

    def __init__(self, metavar: str, read: Callable[[str], Any] = str) -> None:
        """
        @param read: makes the value of the text; may raise C{ValueError} as of L{Kind},
            or C{UsageError} with a whole sentence.
        """
        super().__init__(metavar)
        self._read = read

    def __call__(self, said: object) -> Any:
        """
        @raise ValueError: if it is no text, or not of this kind.

        @raise UsageError: likewise.
        """
        if not isinstance(said, str) or not said:
            raise ValueError(f"{said!r} is no {self.metavar}")
        if "\0" in said:
            raise ValueError(f"{said!r} has a NUL in it")
        return self._read(said)
