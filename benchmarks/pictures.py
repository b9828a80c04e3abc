"""
The function that rtmptw's decoder calls when it is measured. It ignores the frames,
like C{ffmpeg -f null -}.
"""


def look(frame: object, stream: object) -> None:
    """
    Ignore a frame.
    """
