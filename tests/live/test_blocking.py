"""
Tests of the log line that names what blocks the reactor.
"""

import time
from typing import Any, cast

import pytest_twisted
from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.logger import ILogObserver, formatEvent, globalLogPublisher

from rtmptw.app.blocking import BlockingWatch


def aSlowSink(seconds: float) -> None:
    """
    Block the reactor.
    """
    # A real block is what is tested.
    time.sleep(seconds)


@pytest_twisted.ensureDeferred
async def test_itIsNamed() -> None:
    """
    When the reactor was blocked, one log line says for how long and by what. A short
    call is not reported.
    """
    lines: list[str] = []

    def observe(event: Any) -> None:
        if "streams waited" in str(event.get("log_format")):
            lines.append(formatEvent(event))

    globalLogPublisher.addObserver(cast(ILogObserver, observe))
    watch = BlockingWatch(cast(Any, reactor), limit=0.2)
    watch.startService()
    try:
        await deferLater(cast(Any, reactor), 0.15, aSlowSink, 0.01)
        assert lines == []
        await deferLater(cast(Any, reactor), 0.0, aSlowSink, 0.6)
        await deferLater(cast(Any, reactor), 0.15, lambda: None)
        await deferLater(cast(Any, reactor), 0.15, lambda: None)
    finally:
        globalLogPublisher.removeObserver(cast(ILogObserver, observe))
        watch.stopService()
    (line,) = lines
    assert line.startswith("reactor blocked for 0.")
    assert "test_blocking.py" in line
    assert "in aSlowSink, called from" in line
