"""
The wall clock.
"""

from datetime import datetime


def wallClock() -> datetime:
    """
    @return: the local time with its time zone.
    """
    return datetime.now().astimezone()
