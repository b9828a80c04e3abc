"""
What rtmptw's decoder calls when it is measured: a function that looks at no picture,
as C{ffmpeg -f null -} does.
"""


def look(frame: object, stream: object) -> None:
    """
    Take a picture or sound, and leave it.
    """
