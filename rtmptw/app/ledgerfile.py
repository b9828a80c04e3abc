"""
The ledger file: one line with a JSON object per sink at the end of each stream.
"""

import json
from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.logger import Logger
from twisted.python.failure import Failure

from rtmptw.batches import BatchWriter
from rtmptw.errors import SinkError
from rtmptw.hub.stream import SinkReport


def toJSON(report: SinkReport) -> str:
    """
    @return: a sink's final counts as one line of JSON. Timestamps are in ms on the
        stream's clock; they are null if there was no frame.
    """
    ledger = report.ledger
    return json.dumps(
        {
            "stream": report.stream,
            "sink": report.sink,
            "received": ledger.received,
            "delivered": ledger.delivered,
            "dropped": ledger.dropped,
            "bytes": ledger.bytes,
            "firstTimestamp": ledger.firstTimestamp,
            "lastTimestamp": None
            if ledger.firstTimestamp is None
            else ledger.lastTimestamp,
            "repairs": report.repairs,
            "ended": report.ended,
            "failure": report.failure,
        }
    )


class LedgerFile:
    """
    Appends to the ledger file in another thread, by a L{BatchWriter}.
    """

    _log = Logger()

    def __init__(self, path: str) -> None:
        self._path = path
        self._lines: list[str] = []
        self._underWay = ""
        self._writer: BatchWriter | None = None

    def open(self, reactor: Any) -> None:
        """
        Check that the file can be written.

        @raise SinkError: if it cannot.
        """
        try:
            with open(self._path, "a", encoding="utf-8"):
                pass
        except OSError as error:
            raise SinkError(
                f"cannot write --ledger={self._path}: {error.strerror}"
            ) from error
        self._writer = BatchWriter(reactor, self, "ledger")

    def add(self, report: SinkReport) -> None:
        """
        Append one sink's counts.
        """
        line = toJSON(report) + "\n"
        self._lines.append(line)
        if self._writer is not None:
            self._writer.added(len(line), isUrgent=True)

    async def close(self) -> None:
        """
        Wait until everything is written.
        """
        writing = None if self._writer is None else self._writer.finish()
        if writing is not None:
            await writing

    # Called by the writer.

    def takeBatch(self, isEnding: bool) -> Callable[[], None] | None:
        """
        @return: a function that appends all waiting lines.
        """
        lines, self._lines = self._lines, []
        self._underWay = "".join(lines)
        return partial(self._append, self._underWay) if lines else None

    def batchWritten(self, result: None) -> str:
        """
        @return: an empty string: continue.
        """
        return ""

    def batchFailed(self, failure: Failure) -> str:
        """
        Write the lines to the log instead.

        @return: an empty string: the next lines may be written.
        """
        self._log.error(
            "ledger {path}: cannot write: {error}; lost lines: {lines}",
            path=self._path,
            error=failure.getErrorMessage(),
            lines=self._underWay,
        )
        return ""

    def _append(self, lines: str) -> None:
        with open(self._path, "a", encoding="utf-8") as file:
            file.write(lines)
