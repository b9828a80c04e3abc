"""
The time of day.
"""

from datetime import datetime


def wallClock() -> datetime:
    """
    @return: the local time, with its zone.
    """
    return datetime.now().astimezone()
