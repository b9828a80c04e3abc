"""
Convert what users type into values: numbers with bounds and units, choices, texts. Used
for the arguments of sinks and sources, the command line and configuration files.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any

#: A larger number is a typing error: it is more than thirty million years, or than a
#: petabyte.
MAX_NUMBER = 10**15


def didYouMean(said: str, known: Iterable[str]) -> str:
    """
    @param known: the valid words.
    @return: the end of a sentence that suggests the closest of them; empty if none is
        close.
    """
    near = get_close_matches(said, known, 1)
    return f"; did you mean {near[0]!r}?" if near else ""


def typed(value: object) -> str:
    """
    @return: a value, as it would be typed.
    """
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float) and not value.is_integer():
        return f"{value:g}"
    return str(int(value)) if isinstance(value, float) else str(value)


class Kind(ABC):
    """
    A kind of value. Calling it converts what the user typed into the value.

    @ivar metavar: the placeholder for such a value in help texts: C{SECONDS}.
    @ivar bounds: the range of allowed values; empty if any value is allowed.
    """

    def __init__(self, metavar: str, bounds: str = "") -> None:
        self.metavar = metavar
        self.bounds = bounds

    @abstractmethod
    def __call__(self, said: object) -> Any:
        """
        @param said: a text, or a number or boolean from TOML.

        @raise ValueError: if it is not valid, with what was typed and why, as the end
            of a sentence without its period: C{'x' is not a number}.
        """


class Number(Kind):
    """
    A number: a C{float}, or an C{int} if only whole numbers are allowed.
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
        @param unit: the unit: C{seconds}; empty if there is none.
        @param least: the minimum.
        @param most: the maximum.
        @param isWhole: whether only whole numbers are allowed.
        @param metavar: the placeholder, by default the unit in capitals.
        """
        upTo = "or more" if most == MAX_NUMBER else f"to {typed(most)}"
        super().__init__(metavar or unit.upper(), f"{typed(least)} {upTo}")
        self._what = f"{'whole ' * isWhole}number{unit and f' of {unit}'}"
        self._least = least
        self._most = most
        self._isWhole = isWhole

    def __call__(self, said: object) -> float:
        """
        @raise ValueError: if it is not such a number.
        """
        number = _numberFrom(said)
        if (
            number is None
            or not self._least <= number <= self._most
            or (self._isWhole and number != int(number))
        ):
            raise ValueError(f"{said!r} is not a {self._what} ({self.bounds})")
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
    One of several words.

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
        @raise ValueError: if it is not one of them.
        """
        if not isinstance(said, str) or said not in self.choices:
            near = didYouMean(said, self.choices) if isinstance(said, str) else ""
            raise ValueError(f"{said!r} is not one of {', '.join(self.choices)}{near}")
        return self.choices[said]


class Switch(Choice):
    """
    C{on} or C{off}; a configuration file may also use C{true} and C{false}.
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
    A text that is not empty, converted by a function.
    """

    def __init__(self, metavar: str, read: Callable[[str], Any] = str) -> None:
        """
        @param read: converts the text to the value. It may raise C{ValueError}, see
            L{Kind}, or C{UsageError} with a whole sentence.
        """
        super().__init__(metavar)
        self._read = read

    def __call__(self, said: object) -> Any:
        """
        @raise ValueError: if it is not a text of this kind.

        @raise UsageError: if C{read} raises it.
        """
        if not isinstance(said, str) or not said:
            raise ValueError(f"{said!r} is not a valid {self.metavar}")
        if "\0" in said:
            raise ValueError(f"{said!r} contains a NUL character")
        return self._read(said)
