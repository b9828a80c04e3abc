"""
Words of sinks for the log.
"""


def counted(count: int, what: str) -> str:
    """
    @return: how many there were, to be put after something else; empty if none.
    """
    return f", {count} {what}" if count else ""
