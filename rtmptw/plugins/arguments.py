r"""
The arguments of a sink or a source, as one table: what there is, what each may be, what
it is unless given, and what it means. The table reads the argument string, refuses what
it does not know, and writes the help.

There are two spellings. With colons, C{DIRECTORY:rotate=60:name=x}. And, where what
comes first is a URL or a command line and stands as it is, with the rest behind a
number sign: C{rtmp://HOST/APP/NAME#retry=5&only=live/cam}. In both a backslash takes
the next character as it is: C{\:}, C{\&}, C{\=}, C{\\}.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from textwrap import wrap
from typing import Any

from twisted.python.usage import UsageError

from rtmptw.plugins.values import Kind, Text, didYouMean

#: The columns of a help text.
_WIDTH = 79


def splitArguments(
    argstring: str, separator: str = ":"
) -> Iterator[tuple[str | None, str]]:
    r"""
    Split C{VALUE:KEY=VALUE:...}, where C{\:}, C{\=} and C{\\} stand for themselves.

    @return: keys and values, in order; the key is C{None} where there is none.
    """
    key: str | None = None
    text = ""
    characters = iter(argstring)
    for character in characters:
        if character == "\\":
            # A backslash at the very end is one.
            text += next(characters, "\\")
        elif character == separator:
            yield key, text
            key, text = None, ""
        elif character == "=" and key is None:
            key, text = text, ""
        else:
            text += character
    yield key, text


@dataclass(frozen=True)
class Argument:
    """
    An argument C{NAME=VALUE}.

    @ivar name: its name.
    @ivar kind: what it may be.
    @ivar help: what it means, in a few words.
    @ivar default: what to type for what it is unless given; C{None} if there is no such
        thing: the value is then C{None}.
    """

    name: str
    kind: Kind
    help: str
    default: str | None = None

    @property
    def shown(self) -> str:
        """
        The argument in a help text.
        """
        return f"{self.name}={self.kind.metavar}"


@dataclass(frozen=True)
class First:
    """
    The argument that comes first and has no name.

    @ivar kind: what it may be; its C{metavar} is its name among the values.
    @ivar help: what it means, in a few words.
    @ivar default: what it is unless given; C{None} if it must be given.
    @ivar example: a whole argument, for whoever has not given it.
    """

    kind: Kind
    help: str
    default: str | None = None
    example: str = ""

    @property
    def shown(self) -> str:
        """
        The argument in a help text.
        """
        return self.kind.metavar


@dataclass(frozen=True)
class Others:
    """
    That any other C{NAME=VALUE} is taken, too. Among the values they are a dictionary.

    @ivar name: what stands for their names in a help text, and is the name of the
        dictionary.
    @ivar help: what they mean.
    """

    name: str
    help: str

    @property
    def shown(self) -> str:
        """
        The arguments in a help text.
        """
        return f"{self.name}=VALUE..."


class Spelling(ABC):
    """
    How arguments are written.
    """

    @abstractmethod
    def split(self, argstring: str) -> tuple[str, list[tuple[str | None, str]]]:
        """
        @return: what comes first, empty if it is left out; then names and values, the
            name C{None} where there is none.
        """

    @abstractmethod
    def format(self, first: First | None, names: list[str]) -> str:
        """
        @return: the line that shows all arguments.
        """


class Colons(Spelling):
    """
    C{FIRST:NAME=VALUE:NAME=VALUE}.
    """

    def split(self, argstring: str) -> tuple[str, list[tuple[str | None, str]]]:
        """
        @return: as of L{Spelling}.
        """
        (key, value), *rest = splitArguments(argstring)
        if key is None:
            return value, rest
        return "", [(key, value), *rest]

    def format(self, first: First | None, names: list[str]) -> str:
        """
        @return: as of L{Spelling}.
        """
        shown = "".join(f"[:{name}]" for name in names)
        if first is None:
            return shown
        return (f":{first.shown}" if first.example else f"[:{first.shown}]") + shown


class Fragment(Spelling):
    """
    C{FIRST#NAME=VALUE&NAME=VALUE}, where the first is taken as it is.
    """

    def __init__(self, mark: str = "#") -> None:
        """
        @param mark: what the first ends with. In a URL that is the first such mark, as
            a URL cannot hold it; in anything else the last.
        """
        self._mark = mark

    def cut(self, argstring: str) -> tuple[str, str]:
        """
        @return: what comes before the mark, and after.
        """
        first, _, rest = argstring.partition(self._mark)
        if "://" not in first:
            first, mark, rest = argstring.rpartition(self._mark)
            if not mark:
                return argstring, ""
        return first, rest

    def split(self, argstring: str) -> tuple[str, list[tuple[str | None, str]]]:
        """
        @return: as of L{Spelling}.
        """
        first, rest = self.cut(argstring)
        return first, list(splitArguments(rest, "&")) if rest else []

    def format(self, first: First | None, names: list[str]) -> str:
        """
        @return: as of L{Spelling}.
        """
        shown = "".join(
            f"[{'&' if index else ''}{name}]" for index, name in enumerate(names)
        )
        return f":{first.shown if first is not None else ''}" + (
            f"[{self._mark}{shown}]" if names else ""
        )


class Arguments:
    """
    The table. This is that of a sink C{--sink=count[:LABEL][:every=SECONDS]}::

        ARGUMENTS = Arguments(
            "count sink",
            Argument("every", Number("seconds", 1), "how often to log", "60"),
            first=First(Text("LABEL"), "what the log calls it", "count"),
        )

    and C{ARGUMENTS.read("hello:every=5")} is C{{"LABEL": "hello", "every": 5.0}}.

    Where the class of a factory has it as its attribute C{arguments}, it is part of
    what C{--help-sink-type} or C{--help-source-type} says.
    """

    def __init__(
        self,
        of: str,
        *arguments: Argument,
        first: First | None = None,
        others: Others | None = None,
        spelling: Spelling | None = None,
    ) -> None:
        """
        @param of: whose arguments they are, for sentences: C{file sink}.
        @param arguments: those with names.
        @param first: the one without.
        @param others: what is said of all other names; if not given, they are refused.
        @param spelling: L{Colons} unless given.
        """
        self._of = of
        self._arguments = arguments
        self._named = {argument.name: argument for argument in arguments}
        self._first = first
        self._others = others
        self._spelling = spelling or Colons()

    @property
    def argumentFormat(self) -> str:
        """
        One line that shows them, to follow the type's word.
        """
        return self._spelling.format(self._first, self._shown())

    def _shown(self) -> list[str]:
        shown = [argument.shown for argument in self._arguments]
        return [*shown, self._others.shown] if self._others is not None else shown

    def rows(self) -> list[tuple[str, str, str]]:
        """
        @return: for each how it is written; what it means, and its bounds; and what it
            is unless given, empty for nothing.
        """
        rows: list[tuple[str, str, str]] = []
        for argument in (self._first, *self._arguments):
            if argument is not None:
                bounds = argument.kind.bounds
                text = f"{argument.help}, {bounds}" if bounds else argument.help
                rows.append((argument.shown, text, argument.default or ""))
        if self._others is not None:
            rows.append((self._others.shown, self._others.help, ""))
        return rows

    def help(self) -> str:
        """
        @return: some lines for each: what it is, what it means, its bounds, and what
            it is unless given.
        """
        rows = self.rows()
        width = max((len(shown) for shown, _, _ in rows), default=0) + 2
        lines: list[str] = []
        for shown, text, default in rows:
            known = f"{text} [default: {default}]" if default else text
            first, *more = wrap(known, max(_WIDTH - width - 2, 20))
            lines.append(f"  {shown:{width}}{first}")
            lines += [" " * (width + 2) + line for line in more]
        return "\n".join(lines)

    def read(self, argstring: str) -> dict[str, Any]:
        """
        @param argstring: all that follows the type's word and a colon.
        @return: the value of every argument of the table, by its name.

        @raise UsageError: with one sentence that says what there is, if something is
            not understood.
        """
        said, rest = self._spelling.split(argstring)
        values: dict[str, Any] = {}
        if self._first is not None:
            values[self._first.shown] = self._readFirst(self._first, said)
        elif said:
            rest.insert(0, (None, said))
        if rest and self._first is None and not self._shown():
            raise UsageError(f"The {self._of} takes no arguments, not {argstring!r}.")
        others: dict[str, str] = {}
        if self._others is not None:
            values[self._others.name] = others
        texts: dict[str, str] = {}
        for key, value in rest:
            name = value if key is None else key
            self._check(name, key is None)
            if name in texts:
                raise UsageError(f"The {self._of} got {name}= twice.")
            texts[name] = value
            if name not in self._named:
                others[name] = value
        for argument in self._arguments:
            text = texts.get(argument.name, argument.default)
            values[argument.name] = (
                None if text is None else self._convert(argument, text)
            )
        return values

    def _readFirst(self, first: First, said: str) -> Any:
        text = said or first.default
        if text is None:
            raise UsageError(
                f"The {self._of} needs {first.help}, such as {first.example}."
            )
        return self._convert(first, text)

    def _check(self, name: str, isBare: bool) -> None:
        argument = self._named.get(name)
        if argument is None and (self._others is None or not name):
            hint = ""
            if isBare and isinstance(self._spelling, Colons):
                hint = "; a colon in a directory or name is written \\:"
            names = ", ".join(self._shown()).removesuffix("...")
            known = f", only {names}" if names else ""
            near = didYouMean(name, self._named)
            end = f"{known}{hint}{near}"
            stop = "" if near else "."
            raise UsageError(f"The {self._of} has no option {name!r}{end}{stop}")
        if isBare:
            shown = argument.shown if argument is not None else f"{name}=VALUE"
            raise UsageError(
                f"The {self._of}'s option {name!r} needs a value: {shown}."
            )

    def _convert(self, argument: Argument | First, text: str) -> Any:
        try:
            return argument.kind(text)
        except ValueError as error:
            name = argument.name if isinstance(argument, Argument) else argument.shown
            if not text and isinstance(argument.kind, Text):
                raise UsageError(
                    f"The {self._of}'s option {name!r} needs a value: {argument.shown}."
                ) from None
            sentence = f"The {self._of}'s {name} {error}"
            stop = "" if sentence.endswith("?") else "."
            raise UsageError(sentence + stop) from None
