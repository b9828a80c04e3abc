"""
What a plugin names and does not import before somebody asks for it.
"""

import re
from inspect import getdoc
from typing import TYPE_CHECKING, Any, cast

from twisted.python.reflect import namedAny

if TYPE_CHECKING:
    from rtmptw.plugins.arguments import Arguments


def call(dotted: str, argstring: str) -> Any:
    """
    Import what is named, and call it with the argument string.
    """
    return cast(Any, namedAny(dotted))(argstring)


def argumentsOf(dotted: str) -> "Arguments | None":
    """
    @param dotted: the full name of a class or a class method.
    @return: what the class has as its attribute C{arguments}; C{None} if nothing.
    """
    found = cast(Any, namedAny(dotted))
    arguments = getattr(getattr(found, "__self__", found), "arguments", None)
    return cast("Arguments | None", arguments)


def helpOf(dotted: str) -> str:
    """
    @return: the docstring of what is named, without what it raises, and a line for each
        argument.
    """
    text = re.split(r"^@", getdoc(namedAny(dotted)) or "", maxsplit=1, flags=re.M)[0]
    arguments = argumentsOf(dotted)
    table = "" if arguments is None else arguments.help()
    return "\n\n".join(part for part in (text.rstrip(), table) if part)
