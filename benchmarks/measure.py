"""
One measurement: one server, one scenario, once.
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

#: How many players tell how many keep a core half busy.
_PROBE_PLAYERS = 100
#: Seconds for what is on its way when the window closes.
_AFTER = 0.2
#: Seconds until players that wait for a key frame have got one: the generator makes one
#: every two seconds. nginx-rtmp sends them nothing before.
_TO_KEY_FRAME = 2.2
#: Seconds until a floor, which answers nothing, knows all its players.
_RAW = 0.3


@dataclass(frozen=True, slots=True)
class Setup:
    """
    How it is measured.

    @ivar cores: the server's and the generators'; C{None} if there is only one.
    @ivar settle: seconds from when the server is up until it is loaded.
    @ivar warmup: seconds of load before the window opens; more with players, who wait
        for a key frame.
    @ivar seconds: the window's length; C{None} is as the scenario says.
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
        Where the server runs.
        """
        return self.cores[0] if self.cores else None

    @property
    def loadCore(self) -> int | None:
        """
        Where all else runs.
        """
        return self.cores[1] if self.cores else None


@dataclass(frozen=True, slots=True)
class Sample:
    """
    What is known at one end of the window.

    @ivar at: the monotonic clock, in seconds.
    @ivar usage: of the server's processes.
    @ivar busy: seconds for which the server's core has worked.
    @ivar queued: bytes between the generators and the server.
    @ivar recorded: bytes in its recordings.
    @ivar pictures: how many a program without a port has done.
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
                # It has just been given its last name.
                continue
    return total


def _picturesIn(progress: Path) -> int:
    """
    @param progress: what C{ffmpeg -progress} writes.
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
    @return: how much of what the generator has produced the server has read. The rest
        is in the generator and in the kernel.
    """
    payload = publish.number("payload_bytes")
    # Eight bytes of header for each message, one for each further chunk.
    produced = payload + publish.number("messages") * 8 + payload / scenario.chunk
    if not produced:
        return 0.0
    return max(0.0, publish.number("wire_bytes") - queuedMore) / produced


def _media(
    scenario: Scenario, first: Sample, last: Sample, publish: Result, play: Result
) -> dict[str, Any]:
    """
    How much media the server has delivered, or taken if nobody plays.
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
    @param idle: what the server used before anybody came.
    @param first: at the opening of the window.
    @param last: at its end.
    @param publish: what was published, if anything was.
    @param play: what the players have got, if there are any.
    @return: the figures, by their names in the report.
    """
    seconds = last.at - first.at
    cpu = last.usage.cpu - first.usage.cpu
    # Not all may have come up; the errors tell.
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
    @param ledger: rtmptw's books.
    @return: the frames that its sinks did not get; C{None} if there are no books.
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
        Start them, and wait until all connections are up.
        """
        steps = [self._beginToPublish, self._beginToPlay]
        # Who forwards mere bytes must have its players from the first byte on.
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
        Close it.
        """
        for one in self._all():
            one.freeze()

    def end(self) -> tuple[Result, Result]:
        """
        @return: what was published and what was played.
        """
        results = [
            one.end() if one is not None else Result()
            for one in (self._publish, self._play)
        ]
        return results[0], results[1]

    def kill(self) -> None:
        """
        End them, whatever they do.
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
        found["errors"]["the server died"] = 1
    dropped = droppedFrames(place.ledger)
    if dropped is not None:
        found["dropped"] = dropped
    return found


def halfLoad(players: int, share: float, most: int) -> int:
    """
    @param players: how many were there.
    @param share: of a core that the server took.
    @param most: not more than these.
    @return: how many take half of a core.
    """
    if share <= 0:
        return most
    return max(1, min(most, round(players * 0.5 / share)))


def measure(server: Server, scenario: Scenario, setup: Setup) -> dict[str, Any]:
    """
    Start a server, load it and count for a while.

    @return: the figures, which can be written as JSON.

    @raise BenchmarkError: if it cannot be started.
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
