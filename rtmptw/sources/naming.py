"""
Arguments common to all sources that pull: the name of the stream here, and whether it
is pulled only on demand.
"""

from twisted.python.usage import UsageError

from rtmptw.plugins.arguments import Argument
from rtmptw.plugins.values import Choice, Text


def streamName(text: str) -> tuple[str, str]:
    """
    @param text: C{live/cam}: the part before the last slash is the application.
    @return: the application and the name.

    @raise ValueError: if it is not such a name.
    """
    app, _, name = text.strip("/").rpartition("/")
    if not app or not name or "//" in text:
        raise ValueError(
            f"{text!r} is not a stream name such as live/cam: use URL=APP/NAME or "
            "URL#as=APP/NAME"
        )
    return app, name


def nameThere(text: str) -> tuple[str, str]:
    """
    @param text: the stream's name at its origin.
    @return: the application and the name, the same here.

    @raise UsageError: if it cannot be used as a name here.
    """
    try:
        return streamName(text)
    except ValueError as error:
        raise UsageError(f"A pulled stream needs a name: {error}.") from None


NAME = Argument(
    "as", Text("APP/NAME", streamName), "the name here; same as there if not given"
)

DEMAND = Argument(
    "demand",
    Choice({"0": False, "1": True}),
    "whether to pull only while there is a player",
    "0",
)
