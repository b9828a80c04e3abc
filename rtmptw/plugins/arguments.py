"""
The argument strings of sinks, in the style of Twisted's endpoints.
"""

from collections.abc import Iterator

from twisted.python.usage import UsageError

#: More than thirty years, or a petabyte: a slip of the keyboard.
_MAX_NUMBER = 10**15


def splitArguments(argstring: str) -> Iterator[tuple[str | None, str]]:
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
        elif character == ":":
            yield key, text
            key, text = None, ""
        elif character == "=" and key is None:
            key, text = text, ""
        else:
            text += character
    yield key, text


def numberFrom(sink: str, key: str, value: str, least: float = 1) -> float:
    """
    @param sink: which sink's option it is.
    @param least: the least it may be.

    @raise UsageError: with one sentence, if it is no such number.
    """
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not least <= number <= _MAX_NUMBER:
        raise UsageError(
            f"The {sink} sink's {key} {value!r} is no number from {least:g} on."
        )
    return number
