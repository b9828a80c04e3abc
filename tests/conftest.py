"""
Fixtures of all tests that run under pytest.
"""

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.interfaces import IListeningPort, ITransport
from twisted.logger import LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase


@pytest.fixture(autouse=True)
def inAFolderOfItsOwn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Run each test in a new folder, as trial does.
    """
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def nothingLeftBehind(request: pytest.FixtureRequest) -> Iterator[None]:
    """
    Fail a plain test that leaves a port, a connection, a timer or a logged failure
    behind.
    """
    if request.cls is not None and issubclass(request.cls, SynchronousTestCase):
        # Trial's own class does these checks itself.
        yield
        return
    from twisted.internet import reactor as installed

    reactor: Any = installed
    events: list[LogEvent] = []
    observer: Any = events.append
    globalLogPublisher.addObserver(observer)
    timers = set(reactor.getDelayedCalls())
    openers = set(reactor.getReaders())
    yield
    # Unhandled errors in Deferreds are logged when the Deferreds are collected.
    gc.collect()
    globalLogPublisher.removeObserver(observer)
    failures = [event["log_failure"] for event in events if "log_failure" in event]
    late = [
        call
        for call in reactor.getDelayedCalls()
        if call not in timers and call.getTime() > reactor.seconds()
    ]
    left = [
        reader
        for reader in set(reactor.getReaders()) - openers
        if ITransport.providedBy(reader) or IListeningPort.providedBy(reader)
    ]
    assert not failures and not late and not left, (failures, late, left)
