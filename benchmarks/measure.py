"""
One measurement of one server in one scenario.
"""

import json
import os
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.accounting import Usage, coreBusy, queuedBytes, usage
from benchmarks.generator import (
    Generator,
    Result,
    Target,
    playArguments,
    publishArguments,
)
from benchmarks.media import PICTURES, media
from benchmarks.process import ServerProcess, onCore
from benchmarks.scenarios import Ability, Scenario
from benchmarks.servers import Place, Server, freePort

#: The number of players in the probe that finds how many keep a core half busy.
_PROBE_PLAYERS = 100
#: Seconds to wait for data in transit after the window has closed.
_AFTER = 0.2
#: Seconds until all players have had a key frame: the generator makes one every two
#: seconds. nginx-rtmp sends players nothing before that.
_TO_KEY_FRAME = 2.2
#: Seconds until a floor, which sends no answers, knows all its players.
_RAW = 0.3


@dataclass(frozen=True, slots=True)
class Setup:
    """
    The settings of a measurement.

    @ivar cores: the cores of the server and of the generators; C{None} if there is only
        one.
    @ivar settle: seconds from the start of the server to the start of the load.
    @ivar warmup: seconds of load before the window opens; more with players, which wait
        for a key frame.
    @ivar seconds: the length of the window; C{None} is the scenario's.
    @ivar verify: whether players compare every byte.
    """

    cores: tuple[int, int] | None
    settle: float = 0.7
    warmup: float = 2.0
    seconds: float | None = None
    verify: bool = False

    @property
    def serverCore(self) -> int | None:
        """
        The core of the server.
        """
        return self.cores[0] if self.cores else None

    @property
    def loadCore(self) -> int | None:
        """
        The core of everything else.
        """
        return self.cores[1] if self.cores else None


@dataclass(frozen=True, slots=True)
class Sample:
    """
    The counts at the start or end of the window.

    @ivar at: the monotonic clock, in seconds.
    @ivar usage: the resource usage of the server's processes.
    @ivar busy: for how many seconds the server's core was busy.
    @ivar queued: bytes in transit between the generators and the server.
    @ivar recorded: bytes in the server's recordings.
    @ivar pictures: how many video frames a program without a port has processed.
    """

    at: float
    usage: Usage
    busy: float = 0.0
    queued: int = 0
    recorded: int = 0
    pictures: int = 0


def _bytesIn(folder: Path) -> int:
    total = 0
    for parent, _folders, names in os.walk(folder):
        for name in names:
            try:
                total += os.path.getsize(os.path.join(parent, name))
            except FileNotFoundError:
                # It has just been renamed.
                continue
    return total


def _picturesIn(progress: Path) -> int:
    """
    @param progress: the file that C{ffmpeg -progress} writes.
    """
    if not progress.exists():
        return 0
    found = re.findall(r"^frame=\s*(\d+)$", progress.read_text(), re.MULTILINE)
    return int(found[-1]) if found else 0


def _sample(process: ServerProcess, place: Place, setup: Setup) -> Sample:
    now = usage(process.tree())
    return Sample(
        time.monotonic(),
        now,
        0.0 if setup.serverCore is None else coreBusy(setup.serverCore),
        queuedBytes(place.port),
        _bytesIn(place.recordings),
        _picturesIn(place.progress),
    )


def takenShare(scenario: Scenario, publish: Result, queuedMore: int) -> float:
    """
    @param queuedMore: by how many bytes the queues have grown in the window.
    @return: the share of the generator's data that the server has read. The rest is
        still in the generator and in the kernel.
    """
    payload = publish.number("payload_bytes")
    # A header of eight bytes per message, and one byte per further chunk.
    produced = payload + publish.number("messages") * 8 + payload / scenario.chunk
    if not produced:
        return 0.0
    return max(0.0, publish.number("wire_bytes") - queuedMore) / produced


def _media(
    scenario: Scenario, first: Sample, last: Sample, publish: Result, play: Result
) -> dict[str, Any]:
    """
    @return: the figures about media that the server has delivered, or received if there
        are no players.
    """
    seconds = last.at - first.at
    if scenario.players:
        messages = play.number("messages")
        published = publish.number("messages") * scenario.players
        return {
            "bytes": play.number("payload_bytes"),
            "messages": messages,
            "delivered": messages / published if published else 0.0,
            "gaps": play.number("gaps"),
            "repeats": play.number("dups"),
            "corrupt": play.number("corrupt"),
            "fewest": play.number("conn_msgs_min"),
            "most": play.number("conn_msgs_max"),
            "p50": play.number("lat_p50_us") / 1e3,
            "p99": play.number("lat_p99_us") / 1e3,
            "latest": play.number("lat_max_us") / 1e3,
        }
    if publish.counts:
        share = takenShare(scenario, publish, last.queued - first.queued)
        taken: dict[str, Any] = {
            "bytes": publish.number("payload_bytes") * share,
            "messages": publish.number("messages") * share,
        }
        if scenario.isMedia:
            taken["pictures"] = publish.number("video") * share
        elif scenario.isPaced:
            expected = seconds * scenario.publishers * scenario.messageRate
            taken["delivered"] = taken["messages"] / expected
        return taken
    pictures = last.pictures - first.pictures
    if not pictures:
        return {}
    file = media()
    return {
        "bytes": file.payloadBytes * pictures / PICTURES,
        "messages": file.messages * pictures / PICTURES,
        "pictures": pictures,
    }


def figures(
    scenario: Scenario,
    idle: Usage,
    first: Sample,
    last: Sample,
    publish: Result,
    play: Result,
) -> dict[str, Any]:
    """
    @param idle: the server's usage before the load.
    @param first: the counts at the start of the window.
    @param last: the counts at its end.
    @param publish: the counts of the publishers, if any.
    @param play: the counts of the players, if any.
    @return: the figures, by their names in the report.
    """
    seconds = last.at - first.at
    cpu = last.usage.cpu - first.usage.cpu
    # Some connections may have failed; the errors say so.
    connections = publish.number("ready") + play.number("ready")
    found: dict[str, Any] = {
        "seconds": seconds,
        "cpu": cpu,
        "share": cpu / seconds,
        "foreign": max(0.0, last.busy - first.busy - cpu) / seconds,
        "generator": sum(
            result.number("cpu_user") + result.number("cpu_sys")
            for result in (publish, play)
        )
        / seconds,
        "resident": last.usage.resident,
        "residentIdle": idle.resident,
        "residentEach": (last.usage.resident - idle.resident) / max(1, connections),
        "connections": connections,
        "players": scenario.players,
        "lag": publish.number("max_lag_ms"),
        "errors": {**publish.errors, **play.errors},
    }
    if scenario.idle:
        return found
    found.update(_media(scenario, first, last, publish, play))
    if found.get("bytes"):
        found["rate"] = found["bytes"] / seconds
        found["cpuPerByte"] = cpu / found["bytes"]
        found["cpuPerMessage"] = cpu / found["messages"]
        if scenario.ability in (Ability.RECORD, Ability.REMUX):
            found["recorded"] = (last.recorded - first.recorded) / found["bytes"]
    if found.get("pictures"):
        found["cpuPerPicture"] = cpu / found["pictures"]
        found["pictureRate"] = found["pictures"] / seconds
    return found


def droppedFrames(ledger: Path) -> int | None:
    """
    @param ledger: rtmptw's ledger file.
    @return: how many frames its sinks did not get; C{None} if there is no ledger.
    """
    if not ledger.exists() or not ledger.stat().st_size:
        return None
    books = [json.loads(line) for line in ledger.read_text().splitlines()]
    return sum(sum(book["dropped"].values()) for book in books)


@contextmanager
def _running(server: Server, place: Place, setup: Setup) -> Iterator[ServerProcess]:
    process = ServerProcess(server, place, setup.serverCore)
    try:
        yield process
    finally:
        process.stop()


class _Load:
    """
    The generators of one measurement.
    """

    def __init__(self, scenario: Scenario, target: Target, verify: bool) -> None:
        self._scenario = scenario
        self._target = target
        self._verify = verify
        self._publish: Generator | None = None
        self._play: Generator | None = None

    def _all(self) -> list[Generator]:
        return [one for one in (self._publish, self._play) if one is not None]

    def begin(self) -> None:
        """
        Start the generators, and wait until all connections are established.
        """
        steps = [self._beginToPublish, self._beginToPlay]
        # A floor only forwards bytes, so its players must connect first.
        for step in reversed(steps) if self._target.isRaw else steps:
            step()
            if self._target.isRaw:
                time.sleep(_RAW)

    def _beginToPublish(self) -> None:
        scenario = self._scenario
        if scenario.idle:
            self._publish = Generator(self._target.arguments("idle", scenario.idle))
        else:
            self._publish = Generator(publishArguments(scenario, self._target))
        self._publish.waitUntilReady()

    def _beginToPlay(self) -> None:
        if self._scenario.players:
            self._play = Generator(
                playArguments(self._scenario, self._target, self._verify)
            )
            self._play.waitUntilReady()

    def open(self) -> None:
        """
        Open the window.
        """
        for one in self._all():
            one.open()

    def freeze(self) -> None:
        """
        Close the window.
        """
        for one in self._all():
            one.freeze()

    def end(self) -> tuple[Result, Result]:
        """
        @return: the counts of the publishers and of the players.
        """
        results = [
            one.end() if one is not None else Result()
            for one in (self._publish, self._play)
        ]
        return results[0], results[1]

    def kill(self) -> None:
        """
        Kill the generators.
        """
        for one in self._all():
            one.kill()


def _measureOnce(
    server: Server, scenario: Scenario, setup: Setup, place: Place
) -> dict[str, Any]:
    seconds = scenario.seconds if setup.seconds is None else setup.seconds
    target = Target(place.port, f"b{os.getpid() % 1000}x", server.isRaw)
    load = _Load(scenario, target, setup.verify)
    with _running(server, place, setup) as process:
        time.sleep(setup.settle)
        idle = usage(process.tree())
        try:
            if server.hasPort:
                load.begin()
            time.sleep(max(setup.warmup, _TO_KEY_FRAME if scenario.players else 0))
            load.open()
            first = _sample(process, place, setup)
            time.sleep(seconds)
            load.freeze()
            last = _sample(process, place, setup)
            time.sleep(_AFTER)
            publish, play = load.end()
        finally:
            load.kill()
        isAlive = process.isAlive
    found = figures(scenario, idle, first, last, publish, play)
    if not isAlive:
        found["errors"]["the server ended"] = 1
    dropped = droppedFrames(place.ledger)
    if dropped is not None:
        found["dropped"] = dropped
    return found


def halfLoad(players: int, share: float, most: int) -> int:
    """
    @param players: the number of players in the probe.
    @param share: the share of a core that the server used.
    @param most: the maximum.
    @return: the number of players that use half a core.
    """
    if share <= 0:
        return most
    return max(1, min(most, round(players * 0.5 / share)))


def measure(server: Server, scenario: Scenario, setup: Setup) -> dict[str, Any]:
    """
    Start a server, load it and count for some time.

    @return: the figures, which can be written as JSON.

    @raise BenchmarkError: if the server cannot be started.
    """
    if scenario.isHalfLoad:
        most = scenario.players
        probe = replace(scenario, players=min(_PROBE_PLAYERS, most), isHalfLoad=False)
        share = measure(server, probe, replace(setup, verify=False))["share"]
        scenario = replace(probe, players=halfLoad(probe.players, share, most))
    with (
        onCore(setup.loadCore),
        tempfile.TemporaryDirectory(
            prefix="rtmptw-benchmark-", ignore_cleanup_errors=True
        ) as folder,
    ):
        place = Place(server.port or freePort(), Path(folder), scenario)
        return _measureOnce(server, scenario, setup, place)
