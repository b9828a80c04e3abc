"""
Phrases for log lines.
"""


def counted(count: int, what: str) -> str:
    """
    @return: the count and what it counts, to append to a log line; empty if it is 0.
    """
    return f", {count} {what}" if count else ""
