"""
The stream names in the last log line of a connection.
"""

#: Most names kept: a client may publish under a new one as often as it likes.
MAX_NAMES = 8


class Names:
    """
    Names of streams, each once.
    """

    __slots__ = ("_names",)

    def __init__(self) -> None:
        self._names: tuple[str, ...] = ()

    def add(self, name: str) -> None:
        """
        Keep a name, unless there are L{MAX_NAMES}.
        """
        if name not in self._names and len(self._names) < MAX_NAMES:
            self._names += (name,)

    def __bool__(self) -> bool:
        return bool(self._names)

    def __str__(self) -> str:
        return ", ".join(self._names)
