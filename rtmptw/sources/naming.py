"""
What all sources that pull understand, beside their own arguments: what the stream is
called here, and whether it is pulled only on demand.
"""

from twisted.python.usage import UsageError

from rtmptw.plugins.arguments import Argument
from rtmptw.plugins.values import Choice, Text


def streamName(text: str) -> tuple[str, str]:
    """
    @param text: C{live/cam}: all up to the last slash is the application.
    @return: the application and the name.

    @raise ValueError: if it is no such name.
    """
    app, _, name = text.strip("/").rpartition("/")
    if not app or not name or "//" in text:
        raise ValueError(
            f"{text!r} is no name for a stream here such as live/cam: say URL=APP/NAME "
            "or URL#as=APP/NAME"
        )
    return app, name


def nameThere(text: str) -> tuple[str, str]:
    """
    @param text: what a stream is called where it comes from.
    @return: the application and the name, for the same here.

    @raise UsageError: if it has to have another name here.
    """
    try:
        return streamName(text)
    except ValueError as error:
        raise UsageError(f"A stream that is pulled needs a name: {error}.") from None


NAME = Argument(
    "as", Text("APP/NAME", streamName), "its name here; as it is there unless given"
)

DEMAND = Argument(
    "demand",
    Choice({"0": False, "1": True}),
    "whether to pull only while somebody plays it",
    "0",
)
