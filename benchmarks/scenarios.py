"""
The scenarios that are measured.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum

from benchmarks.errors import BenchmarkError

#: Audio messages per second: AAC at 44.1 kHz.
_AUDIO_RATE = 44100 / 1024


class Ability(Enum):
    """
    The ability that a server needs to take part.
    """

    PLAY = "play"
    INGEST = "ingest"
    RECORD = "record"
    REMUX = "remux"
    DECODE = "decode"
    IDLE = "idle"


@dataclass(frozen=True, slots=True)
class Scenario:
    """
    A load, and how long it is measured.

    @ivar ability: the ability that a server needs for it.
    @ivar publishers: the number of publishers.
    @ivar players: the number of players of the first publisher's stream.
    @ivar idle: the number of idle connections.
    @ivar bitrate: the bit rate of each publisher, in bit/s.
    @ivar frameRate: video frames per second.
    @ivar hasAudio: whether there is also audio.
    @ivar chunk: the publishers' chunk size in bytes.
    @ivar isPaced: whether publishers send in real time instead of as fast as possible.
    @ivar isSplit: whether publishers send their data in pieces of 1 to 700 bytes.
    @ivar isMedia: whether publishers send a file that can be decoded.
    @ivar isHalfLoad: whether to find the number of players that keep the server's core
        half busy, at most C{players}.
    @ivar seconds: the length of the window in seconds.
    """

    name: str
    what: str
    ability: Ability
    publishers: int = 1
    players: int = 0
    idle: int = 0
    bitrate: float = 2e6
    frameRate: float = 30.0
    hasAudio: bool = True
    chunk: int = 4096
    isPaced: bool = True
    isSplit: bool = False
    isMedia: bool = False
    isHalfLoad: bool = False
    seconds: float = 10.0

    @property
    def connections(self) -> int:
        """
        The number of all connections.
        """
        return self.publishers + self.players + self.idle

    @property
    def messageRate(self) -> float:
        """
        Audio and video messages per second of a real-time publisher.
        """
        return self.frameRate + (_AUDIO_RATE if self.hasAudio else 0.0)


def _fanOut(players: int) -> Scenario:
    return Scenario(
        f"fanout{players}",
        f"1 x 4 Mbit/s to {players} players",
        Ability.PLAY,
        players=players,
        bitrate=4e6,
    )


def _ingest(publishers: int) -> Scenario:
    return Scenario(
        f"ingest{publishers}",
        f"{publishers} publishers x 2 Mbit/s",
        Ability.INGEST,
        publishers,
    )


def _fast(chunk: int) -> Scenario:
    return Scenario(
        f"fast{chunk}",
        f"4 publishers as fast as possible, chunk size {chunk}",
        Ability.INGEST,
        publishers=4,
        chunk=chunk,
        isPaced=False,
        seconds=6.0,
    )


def _record(publishers: int) -> Scenario:
    return Scenario(
        f"record{publishers}",
        f"{publishers} x 2 Mbit/s recorded to FLV",
        Ability.RECORD,
        publishers,
    )


def _growth(connections: int) -> tuple[Scenario, Scenario]:
    return (
        Scenario(
            f"growplay{connections}",
            f"1 x 1 Mbit/s to {connections} players",
            Ability.PLAY,
            players=connections,
            bitrate=1e6,
            seconds=6.0,
        ),
        Scenario(
            f"growpublish{connections}",
            f"{connections} publishers, 10 video frames per second, 200 kbit/s",
            Ability.INGEST,
            publishers=connections,
            bitrate=2e5,
            frameRate=10.0,
            hasAudio=False,
            seconds=6.0,
        ),
    )


_GROWTH = [_growth(connections) for connections in (1, 10, 100, 1000)]

#: All scenarios, by name.
SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        replace(_fanOut(5), name="latency5", what="1 x 4 Mbit/s to 5 players"),
        replace(
            _fanOut(500),
            name="halfload",
            what="1 x 4 Mbit/s to the number of players that keep the core half busy, "
            "at most 500",
            isHalfLoad=True,
        ),
        _fanOut(50),
        _fanOut(200),
        _fanOut(500),
        _fanOut(1000),
        _ingest(50),
        _ingest(200),
        _fast(4096),
        _fast(128),
        _fast(60000),
        Scenario(
            "split50",
            "50 x 2 Mbit/s, chunk size 128, in pieces of 1 to 700 bytes",
            Ability.INGEST,
            publishers=50,
            chunk=128,
            isSplit=True,
        ),
        _record(20),
        _record(100),
        Scenario(
            "remux20",
            "20 publishers of a file of 2 Mbit/s, recorded to MP4",
            Ability.REMUX,
            publishers=20,
            isMedia=True,
        ),
        Scenario(
            "decode1",
            "1 publisher of a file, 1280 x 720, as fast as it can be decoded",
            Ability.DECODE,
            isMedia=True,
            isPaced=False,
        ),
        Scenario(
            "idle2000",
            "2,000 idle connections",
            Ability.IDLE,
            publishers=0,
            idle=2000,
            seconds=3.0,
        ),
        *(play for play, _publish in _GROWTH),
        *(publish for _play, publish in _GROWTH),
    )
}

#: The scenarios that C{--quick} measures.
QUICK = ("latency5", "fanout50", "ingest50", "fast4096")


def chooseScenarios(names: Iterable[str]) -> list[Scenario]:
    """
    @raise BenchmarkError: if there is no such scenario.
    """
    chosen = []
    for name in names:
        if name not in SCENARIOS:
            raise BenchmarkError(
                f"there is no scenario {name!r}; choose from: {', '.join(SCENARIOS)}"
            )
        chosen.append(SCENARIOS[name])
    return chosen
