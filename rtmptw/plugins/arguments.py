r"""
The arguments of a sink or a source in one table: their names, allowed values, defaults
and meanings. The table parses the argument string, rejects unknown arguments and writes
the help.

There are two spellings. One separates arguments by colons:
C{DIRECTORY:rotate=60:name=x}. The other is for a first argument that is a URL or a
command line. That is taken verbatim, and the rest follows a number sign:
C{rtmp://HOST/APP/NAME#retry=5&only=live/cam}. In both, a backslash escapes the next
character: C{\:}, C{\&}, C{\=}, C{\\}.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from textwrap import wrap
from typing import Any

from twisted.python.usage import UsageError

from rtmptw.plugins.values import Kind, Text, didYouMean

#: Columns of a help text.
_WIDTH = 79


def splitArguments(
    argstring: str, separator: str = ":"
) -> Iterator[tuple[str | None, str]]:
    r"""
    Split C{VALUE:KEY=VALUE:...}. A backslash escapes the next character: C{\:}, C{\=},
    C{\\}.

    @return: keys and values, in order; the key is C{None} if there is none.
    """
    key: str | None = None
    text = ""
    characters = iter(argstring)
    for character in characters:
        if character == "\\":
            # A backslash at the very end stands for itself.
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
    @ivar kind: the kind of its value.
    @ivar help: what it means, in a few words.
    @ivar default: the default value, as it would be typed. If it is C{None}, the value
        of an argument that is not given is C{None}.
    """

    name: str
    kind: Kind
    help: str
    default: str | None = None

    @property
    def shown(self) -> str:
        """
        The argument as help texts show it.
        """
        return f"{self.name}={self.kind.metavar}"


@dataclass(frozen=True)
class First:
    """
    The first argument, which has no name.

    @ivar kind: the kind of its value; its C{metavar} is its key among the values.
    @ivar help: what it means, in a few words.
    @ivar default: the default value; C{None} if the argument is required.
    @ivar example: a complete example, for the error message if it is missing.
    """

    kind: Kind
    help: str
    default: str | None = None
    example: str = ""

    @property
    def shown(self) -> str:
        """
        The argument as help texts show it.
        """
        return self.kind.metavar


@dataclass(frozen=True)
class Others:
    """
    Accepts any other C{NAME=VALUE}. The values hold them as a dictionary.

    @ivar name: the placeholder for their names in help texts, and the key of the
        dictionary.
    @ivar help: what they mean.
    """

    name: str
    help: str

    @property
    def shown(self) -> str:
        """
        The arguments as help texts show them.
        """
        return f"{self.name}=VALUE..."


class Spelling(ABC):
    """
    A syntax for arguments.
    """

    @abstractmethod
    def split(self, argstring: str) -> tuple[str, list[tuple[str | None, str]]]:
        """
        @return: the first argument, empty if it is omitted; then names and values, with
            C{None} for a missing name.
        """

    @abstractmethod
    def format(self, first: First | None, names: list[str]) -> str:
        """
        @return: the usage line with all arguments.
        """


class Colons(Spelling):
    """
    C{FIRST:NAME=VALUE:NAME=VALUE}.
    """

    def split(self, argstring: str) -> tuple[str, list[tuple[str | None, str]]]:
        """
        @return: see L{Spelling}.
        """
        (key, value), *rest = splitArguments(argstring)
        if key is None:
            return value, rest
        return "", [(key, value), *rest]

    def format(self, first: First | None, names: list[str]) -> str:
        """
        @return: see L{Spelling}.
        """
        shown = "".join(f"[:{name}]" for name in names)
        if first is None:
            return shown
        return (f":{first.shown}" if first.example else f"[:{first.shown}]") + shown


class Fragment(Spelling):
    """
    C{FIRST#NAME=VALUE&NAME=VALUE}. C{FIRST} is taken verbatim.
    """

    def __init__(self, mark: str = "#") -> None:
        """
        @param mark: the text that ends the first argument. In a URL the first mark
            counts, since a URL cannot contain one; otherwise the last.
        """
        self._mark = mark

    def cut(self, argstring: str) -> tuple[str, str]:
        """
        @return: the texts before and after the mark.
        """
        first, _, rest = argstring.partition(self._mark)
        if "://" not in first:
            first, mark, rest = argstring.rpartition(self._mark)
            if not mark:
                return argstring, ""
        return first, rest

    def split(self, argstring: str) -> tuple[str, list[tuple[str | None, str]]]:
        """
        @return: see L{Spelling}.
        """
        first, rest = self.cut(argstring)
        return first, list(splitArguments(rest, "&")) if rest else []

    def format(self, first: First | None, names: list[str]) -> str:
        """
        @return: see L{Spelling}.
        """
        shown = "".join(
            f"[{'&' if index else ''}{name}]" for index, name in enumerate(names)
        )
        return f":{first.shown if first is not None else ''}" + (
            f"[{self._mark}{shown}]" if names else ""
        )


class Arguments:
    """
    A table of arguments. For a sink C{--sink=count[:LABEL][:every=SECONDS]} it is::

        ARGUMENTS = Arguments(
            "count sink",
            Argument("every", Number("seconds", 1), "how often to log", "60"),
            first=First(Text("LABEL"), "the name in the log", "count"),
        )

    and C{ARGUMENTS.read("hello:every=5")} is C{{"LABEL": "hello", "every": 5.0}}.

    If a factory's class has it as its attribute C{arguments}, C{--help-sink-type} or
    C{--help-source-type} shows it.
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
        @param of: the owner of the arguments, for error messages: C{file sink}.
        @param arguments: the named arguments.
        @param first: the argument without a name.
        @param others: describes all other names; if C{None}, they are rejected.
        @param spelling: the syntax, by default L{Colons}.
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
        The usage line, without the type in front of it.
        """
        return self._spelling.format(self._first, self._shown())

    def _shown(self) -> list[str]:
        shown = [argument.shown for argument in self._arguments]
        return [*shown, self._others.shown] if self._others is not None else shown

    def rows(self) -> list[tuple[str, str, str]]:
        """
        @return: for each argument: its syntax; its meaning and bounds; its default,
            empty if there is none.
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
        @return: the syntax, meaning, bounds and default of each argument, on one or
            more lines.
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
        @param argstring: everything after the type and its colon.
        @return: the value of every argument of the table, by name.

        @raise UsageError: with one sentence that names the valid arguments, if the
            string is not valid.
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
                hint = "; write a colon in a directory or name as \\:"
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
