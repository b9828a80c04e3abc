"""
A sink that writes a row per frame to an SQLite database.
"""

import sqlite3

from rtmptw import BatchingSink, Frame, FrameSinkFactory, StreamInfo


class RowSink(BatchingSink):
    def __init__(self, reactor: object, path: str) -> None:
        super().__init__(reactor)
        self.path = path
        self.database: sqlite3.Connection | None = None

    def write(self, frames: list[Frame]) -> None:
        # This always runs in the same thread.
        if self.database is None:
            self.database = sqlite3.connect(self.path, timeout=30)
        name = self.stream.name
        with self.database:
            self.database.execute(
                "CREATE TABLE IF NOT EXISTS frames (stream, kind, timestamp, size)"
            )
            self.database.executemany(
                "INSERT INTO frames VALUES (?, ?, ?, ?)",
                [(name, f.kind.name, f.timestamp, f.size) for f in frames],
            )

    def close(self) -> None:
        # This runs in the same thread, at the end.
        if self.database is not None:
            self.database.close()


class RowFactory(FrameSinkFactory):
    def __init__(self, path: str) -> None:
        self.path = path

    def startFactory(self, reactor: object) -> None:
        self.reactor = reactor

    def buildSink(self, stream: StreamInfo) -> RowSink:
        return RowSink(self.reactor, self.path)
