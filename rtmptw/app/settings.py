"""
What can be said to C{twistd rtmp}, as one table: the command line, its help and its
completions, the configuration file, the checks and the table in the documentation are
all made from it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from operator import not_
from typing import Any

from rtmptw.app.service import DEFAULT_PORT, Config
from rtmptw.interfaces import IFrameSinkFactory
from rtmptw.net.ports import serverEndpoint
from rtmptw.plugins.registry import pullFactory, sinkFactory, sinkNames, sourceFactory
from rtmptw.plugins.values import Choice, Kind, Number, Switch, Text, typed
from rtmptw.rtmp.chunks import MAX_CHUNK_SIZE
from rtmptw.rtmpserver.play import HOLD

#: A week: longer waits are mistakes.
_MAX_SECONDS = 7 * 24 * 3600
_MAX_BYTES = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Place:
    """
    Where a value goes.

    @ivar path: the attribute of L{Config}, or of what is in it: C{play.delivery}.
    @ivar of: makes what goes there of the value; of a tuple of values, if the setting
        is repeatable.
    @ivar adds: whether it is added to what other settings have put there.
    """

    path: str
    of: Callable[[Any], Any] | None = None
    adds: bool = False


@dataclass(frozen=True, slots=True)
class Setting:
    """
    One option of the command line, and one key of the configuration file.

    @ivar name: its name in both.
    @ivar kind: what it may be.
    @ivar help: what it means, as the beginning of a sentence without its period.
    @ivar places: where its value goes.
    @ivar default: what to type for what it is unless given; empty for nothing.
    @ivar short: one letter for the command line.
    @ivar isRepeatable: whether it may be given several times; in a file it is a list.
    """

    name: str
    kind: Kind
    help: str
    places: tuple[Place, ...]
    default: str = ""
    short: str = ""
    isRepeatable: bool = False


class Endpoint(Text):
    """
    Where to listen: an endpoint description of Twisted. A plain number is a TCP port.
    """

    def __init__(self) -> None:
        super().__init__("ENDPOINT", _endpoint)

    def __call__(self, said: object) -> Any:
        """
        @raise ValueError: if nobody can listen there.
        """
        isNumber = isinstance(said, int) and not isinstance(said, bool)
        return super().__call__(str(said) if isNumber else said)


def _endpoint(description: str) -> str:
    from twisted.internet import reactor  # noqa: TID251 -- twistd has chosen it by now

    if description.isascii() and description.isdigit():
        if int(description) > 65535:
            raise ValueError(f"{description} is more than 65535")
        description = f"tcp:{description}"
    try:
        serverEndpoint(reactor, description)
    except Exception as error:
        # Endpoint parsers raise what they like: KeyError, OSError, SSL errors.
        raise ValueError(f"{description!r}: {error}") from error
    return description


def _described(description: str) -> tuple[str, IFrameSinkFactory]:
    return description, sinkFactory(description)


def _named(
    sinks: tuple[tuple[str, IFrameSinkFactory], ...],
) -> tuple[tuple[str, IFrameSinkFactory], ...]:
    names = sinkNames([description for description, _ in sinks])
    factories = [factory for _, factory in sinks]
    return tuple(zip(names, factories, strict=True))


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def _seconds(milliseconds: int) -> float:
    return milliseconds / 1000


def _hold(isLowDelay: bool) -> float:
    return 0.0 if isLowDelay else HOLD


def _time(least: float) -> Number:
    return Number("seconds", least, _MAX_SECONDS)


def _bytes(least: int, most: int) -> Number:
    return Number("bytes", least, most, isWhole=True)


_UNLESS = Config()
_SERVER = _UNLESS.settings
_LIMITS = _SERVER.limits
_DELIVERY = _UNLESS.play.delivery

#: The table, in the order of the help text.
SETTINGS = (
    Setting(
        "port",
        Endpoint(),
        "Where to listen: a port number, or an endpoint of Twisted such as "
        "tcp:1935:interface=127.0.0.1 or unix:/run/rtmp.sock",
        (Place("ports"),),
        DEFAULT_PORT.removeprefix("tcp:"),
        "p",
        isRepeatable=True,
    ),
    Setting(
        "sink",
        Text("TYPE[:ARGUMENTS]", _described),
        "Where frames go; see --help-sinks",
        (Place("sinks", _named),),
        short="s",
        isRepeatable=True,
    ),
    Setting(
        "pull",
        Text("URL[=APP/NAME]", pullFactory),
        "Play a stream from elsewhere and publish it here, always: URL, URL=APP/NAME "
        "or URL#as=APP/NAME",
        (Place("sources", adds=True),),
        isRepeatable=True,
    ),
    Setting(
        "pull-on-demand",
        Text("URL[=APP/NAME]", partial(pullFactory, onDemand=True)),
        "The same as --pull, but only while somebody plays the stream here",
        (Place("sources", adds=True),),
        isRepeatable=True,
    ),
    Setting(
        "source",
        Text("TYPE[:ARGUMENTS]", sourceFactory),
        "What publishes streams here of itself; see --help-sources",
        (Place("sources", adds=True),),
        isRepeatable=True,
    ),
    Setting(
        "grace",
        _time(0),
        "Seconds that a stream waits for its publisher to come back",
        (Place("graceTime"),),
        typed(_UNLESS.graceTime),
    ),
    Setting(
        "grace-after",
        Choice({"loss": False, "stop": True}),
        "Whether it waits only for a publisher that was lost, or for one that has "
        "stopped, too",
        (Place("graceAfterStop"),),
        "loss",
    ),
    Setting(
        "gop-cache",
        Switch(),
        "Give late sinks the frames since the last key frame",
        (Place("gopCache"),),
        typed(_UNLESS.gopCache),
    ),
    Setting(
        "play-wait",
        Switch(),
        "Let players come before the publisher",
        (Place("play.waits"),),
        typed(_UNLESS.play.waits),
    ),
    Setting(
        "play-behind",
        _time(0.1),
        "Seconds that a frame may wait for a slow player",
        (Place("play.delivery.maxMilliseconds", _milliseconds),),
        typed(_DELIVERY.maxMilliseconds / 1000),
    ),
    Setting(
        "play-buffer",
        _bytes(65536, _MAX_BYTES),
        "Bytes that may wait for a slow player",
        (Place("play.delivery.maxBytes"),),
        typed(_DELIVERY.maxBytes),
    ),
    Setting(
        "play-patience",
        _time(0),
        "Seconds until a player that stays too slow is closed; 0 is never",
        (Place("play.delivery.patience"),),
        typed(_DELIVERY.patience),
    ),
    Setting(
        "merge",
        Number("milliseconds", 0, 10_000, isWhole=True),
        "Milliseconds of a stream that leave for players as one write",
        (Place("play.merge", _seconds),),
        typed(_UNLESS.play.merge * 1000),
    ),
    Setting(
        "low-delay",
        Switch(),
        "Let nothing wait on its way, neither to be read nor to be sent",
        (Place("isPaced", not_), Place("play.hold", _hold)),
        typed(not _UNLESS.isPaced),
    ),
    Setting(
        "memory",
        _bytes(0, 2**53),
        "Bytes that all clients together may fill; the one that holds most is cut off "
        "then. 0 is half of what the machine, or its container, has",
        (Place("memory"),),
        typed(_UNLESS.memory),
    ),
    Setting(
        "ledger",
        Text("FILE"),
        "File that gets one JSON object per sink at each stream's end",
        (Place("ledger"),),
    ),
    Setting(
        "manhole",
        Endpoint(),
        "Endpoint for a Python prompt over SSH, such as tcp:2222:interface=127.0.0.1",
        (Place("manhole"),),
    ),
    Setting(
        "handshake-timeout",
        _time(0.1),
        "Seconds for the handshake",
        (Place("settings.handshakeTimeout"),),
        typed(_SERVER.handshakeTimeout),
    ),
    Setting(
        "request-timeout",
        _time(0.1),
        "Seconds from the handshake to a publish",
        (Place("settings.requestTimeout"),),
        typed(_SERVER.requestTimeout),
    ),
    Setting(
        "silence-timeout",
        _time(0.1),
        "Seconds that a publisher may send nothing",
        (Place("settings.silenceTimeout"),),
        typed(_SERVER.silenceTimeout),
    ),
    Setting(
        "chunk-size",
        _bytes(1, MAX_CHUNK_SIZE),
        "Our chunk size in bytes; FFmpeg takes it over",
        (Place("settings.chunkSize"),),
        typed(_SERVER.chunkSize),
    ),
    Setting(
        "window",
        _bytes(1024, _MAX_BYTES),
        "Acknowledge at least each so many bytes",
        (Place("settings.window"),),
        typed(_SERVER.window),
    ),
    Setting(
        "max-media",
        _bytes(1024, MAX_CHUNK_SIZE),
        "Bytes of one audio, video or data message",
        (Place("settings.limits.maxMedia"),),
        typed(_LIMITS.maxMedia),
    ),
    Setting(
        "max-command",
        _bytes(1024, MAX_CHUNK_SIZE),
        "Bytes of one command",
        (Place("settings.limits.maxCommand"),),
        typed(_LIMITS.maxCommand),
    ),
    Setting(
        "max-partial",
        _bytes(1024, _MAX_BYTES),
        "Bytes of unfinished messages on one connection",
        (Place("settings.limits.maxPartial"),),
        typed(_LIMITS.maxPartial),
    ),
    Setting(
        "max-chunk-streams",
        Number("chunk streams", 4, 65597, isWhole=True, metavar="COUNT"),
        "Chunk streams on one connection",
        (Place("settings.limits.maxChunkStreams"),),
        typed(_LIMITS.maxChunkStreams),
    ),
)
