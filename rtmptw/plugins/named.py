"""
The objects that plugins refer to by name, imported only when they are needed.
"""

import re
from inspect import getdoc
from typing import TYPE_CHECKING, Any, cast

from twisted.python.reflect import namedAny

if TYPE_CHECKING:
    from rtmptw.plugins.arguments import Arguments


def call(dotted: str, argstring: str) -> Any:
    """
    Import the named object and call it with the argument string.
    """
    return cast(Any, namedAny(dotted))(argstring)


def argumentsOf(dotted: str) -> "Arguments | None":
    """
    @param dotted: the full name of a class or a class method.
    @return: the class's attribute C{arguments}; C{None} if it has none.
    """
    found = cast(Any, namedAny(dotted))
    arguments = getattr(getattr(found, "__self__", found), "arguments", None)
    return cast("Arguments | None", arguments)


def helpOf(dotted: str) -> str:
    """
    @return: the docstring of the named object, as a terminal shows it: without its
        C{@} fields and its marks of epytext; and a line for each argument.
    """
    text = re.split(r"^@", getdoc(namedAny(dotted)) or "", maxsplit=1, flags=re.M)[0]
    text = re.sub(r"::$", ":", text, flags=re.M)
    arguments = argumentsOf(dotted)
    table = "" if arguments is None else arguments.help()
    return "\n\n".join(part for part in (text.rstrip(), table) if part)
