"""
The ledger file: one JSON object on a line for each sink at each stream's end.
"""

import json
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from rtmptw.errors import SinkError
from rtmptw.hub.stream import SinkReport
from rtmptw.lane import Lane


def toJSON(report: SinkReport) -> str:
    """
    @return: the closed books of a sink as one line of JSON. Timestamps are in ms,
        on the stream's clock; null if no frame came.
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
    Appends to the ledger file, off the reactor's thread.
    """

    _log = Logger()

    def __init__(self, path: str) -> None:
        self._path = path
        self._lane: Lane | None = None
        self._waiting: list[str] = []
        self._writing: Deferred[None] | None = None

    def open(self, reactor: Any) -> None:
        """
        Make sure that the file can be written.

        @raise SinkError: if it cannot.
        """
        try:
            with open(self._path, "a", encoding="utf-8"):
                pass
        except OSError as error:
            raise SinkError(
                f"--ledger={self._path} cannot be written: {error.strerror}"
            ) from error
        self._lane = Lane(reactor, "ledger")

    def add(self, report: SinkReport) -> None:
        """
        Append one sink's books.
        """
        self._waiting.append(toJSON(report) + "\n")
        if self._writing is None:
            self._write()

    def _write(self) -> None:
        assert self._lane is not None
        lines, self._waiting = "".join(self._waiting), []
        self._writing = self._lane.run(self._append, lines)
        self._writing.addErrback(self._failed, lines)
        self._writing.addCallback(self._written)

    def _append(self, lines: str) -> None:
        with open(self._path, "a", encoding="utf-8") as file:
            file.write(lines)

    def _failed(self, failure: Any, lines: str) -> None:
        self._log.error(
            "the ledger {path} cannot be written: {error}; not written: {lines}",
            path=self._path,
            error=failure.getErrorMessage(),
            lines=lines,
        )

    def _written(self, result: None) -> None:
        self._writing = None
        if self._waiting:
            self._write()

    async def close(self) -> None:
        """
        Wait until all is written.
        """
        while self._writing is not None:
            written: Deferred[None] = Deferred()
            self._writing.addCallback(written.callback)
            await written
        if self._lane is not None:
            self._lane.close()
