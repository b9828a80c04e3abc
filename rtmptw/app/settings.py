"""
The settings of C{twistd rtmp} in one table. The command line, its help and completions,
the configuration file, the checks and the table in the documentation are made from it.
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

#: A week: a longer time is a mistake.
_MAX_SECONDS = 7 * 24 * 3600
_MAX_BYTES = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Place:
    """
    An attribute of L{Config} that a setting changes.

    @ivar path: the attribute of L{Config}, or a path of attributes: C{play.delivery}.
    @ivar of: converts the value, or the tuple of values if the setting is repeatable.
    @ivar adds: whether the value is added to that of other settings.
    """

    path: str
    of: Callable[[Any], Any] | None = None
    adds: bool = False


@dataclass(frozen=True, slots=True)
class Setting:
    """
    One option of the command line, and one key of the configuration file.

    @ivar name: its name in both.
    @ivar kind: the kind of its value.
    @ivar help: what it means, as a sentence without its period.
    @ivar places: the attributes that it changes.
    @ivar default: the default value, as it would be typed; empty if there is none.
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
    An endpoint description of Twisted to listen on. A plain number is a TCP port.
    """

    def __init__(self) -> None:
        super().__init__("ENDPOINT", _endpoint)

    def __call__(self, said: object) -> Any:
        """
        @raise ValueError: if it is not such a description.
        """
        isNumber = isinstance(said, int) and not isinstance(said, bool)
        return super().__call__(str(said) if isNumber else said)


def _endpoint(description: str) -> str:
    from twisted.internet import reactor  # noqa: TID251 -- twistd has chosen it by now

    if description.isascii() and description.isdigit():
        if int(description) > 65535:
            raise ValueError(f"port {description} is greater than 65535")
        description = f"tcp:{description}"
    try:
        serverEndpoint(reactor, description)
    except Exception as error:
        # Endpoint parsers raise exceptions of many types: KeyError, OSError, SSL's.
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
        "Listen here: a port number, or a Twisted endpoint such as "
        "tcp:1935:interface=127.0.0.1 or unix:/run/rtmp.sock",
        (Place("ports"),),
        DEFAULT_PORT.removeprefix("tcp:"),
        "p",
        isRepeatable=True,
    ),
    Setting(
        "sink",
        Text("TYPE[:ARGUMENTS]", _described),
        "Send all frames to this sink; see --help-sinks",
        (Place("sinks", _named),),
        short="s",
        isRepeatable=True,
    ),
    Setting(
        "pull",
        Text("URL[=APP/NAME]", pullFactory),
        "Pull this stream and publish it here: URL, URL=APP/NAME or URL#as=APP/NAME",
        (Place("sources", adds=True),),
        isRepeatable=True,
    ),
    Setting(
        "pull-on-demand",
        Text("URL[=APP/NAME]", partial(pullFactory, onDemand=True)),
        "Like --pull, but only while a client plays the stream here",
        (Place("sources", adds=True),),
        isRepeatable=True,
    ),
    Setting(
        "source",
        Text("TYPE[:ARGUMENTS]", sourceFactory),
        "Publish streams from this source; see --help-sources",
        (Place("sources", adds=True),),
        isRepeatable=True,
    ),
    Setting(
        "grace",
        _time(0),
        "How long a stream waits for its publisher to come back, in seconds",
        (Place("graceTime"),),
        typed(_UNLESS.graceTime),
    ),
    Setting(
        "grace-after",
        Choice({"loss": False, "stop": True}),
        "With --grace, wait only after the publisher's connection was lost (loss), or "
        "also after it has stopped the stream (stop)",
        (Place("graceAfterStop"),),
        "loss",
    ),
    Setting(
        "gop-cache",
        Switch(),
        "Start players and sinks that join late with the frames since the last key "
        "frame",
        (Place("gopCache"),),
        typed(_UNLESS.gopCache),
    ),
    Setting(
        "play-wait",
        Switch(),
        "Let players connect before the publisher and wait for it",
        (Place("play.waits"),),
        typed(_UNLESS.play.waits),
    ),
    Setting(
        "play-latency",
        _time(0.1),
        "How long a frame may be queued for a slow player before frames are dropped, "
        "in seconds",
        (Place("play.delivery.maxMilliseconds", _milliseconds),),
        typed(_DELIVERY.maxMilliseconds / 1000),
    ),
    Setting(
        "play-queue",
        _bytes(65536, _MAX_BYTES),
        "How many bytes may be queued for a slow player before frames are dropped",
        (Place("play.delivery.maxBytes"),),
        typed(_DELIVERY.maxBytes),
    ),
    Setting(
        "play-timeout",
        _time(0),
        "Disconnect a player that stays too slow for this many seconds; 0 is never",
        (Place("play.delivery.patience"),),
        typed(_DELIVERY.patience),
    ),
    Setting(
        "merge",
        Number("milliseconds", 0, 10_000, isWhole=True),
        "Combine this many milliseconds of a stream into one write to players",
        (Place("play.merge", _seconds),),
        typed(_UNLESS.play.merge * 1000),
    ),
    Setting(
        "low-delay",
        Switch(),
        "Disable all batching of reads and writes",
        (Place("isPaced", not_), Place("play.hold", _hold)),
        typed(not _UNLESS.isPaced),
    ),
    Setting(
        "memory",
        _bytes(0, 2**53),
        "Memory limit for all clients together, in bytes; beyond it, the client that "
        "uses most is disconnected. 0 is half of the memory of the machine or its "
        "container",
        (Place("memory"),),
        typed(_UNLESS.memory),
    ),
    Setting(
        "ledger",
        Text("FILE"),
        "Append one line of JSON per sink to this file at the end of each stream",
        (Place("ledger"),),
    ),
    Setting(
        "manhole",
        Endpoint(),
        "Offer a Python prompt over SSH at this endpoint, such as "
        "tcp:2222:interface=127.0.0.1",
        (Place("manhole"),),
    ),
    Setting(
        "handshake-timeout",
        _time(0.1),
        "Timeout of the handshake, in seconds",
        (Place("settings.handshakeTimeout"),),
        typed(_SERVER.handshakeTimeout),
    ),
    Setting(
        "request-timeout",
        _time(0.1),
        "Timeout from the handshake to the start of publishing or playing, in seconds",
        (Place("settings.requestTimeout"),),
        typed(_SERVER.requestTimeout),
    ),
    Setting(
        "silence-timeout",
        _time(0.1),
        "Disconnect a publisher that sends nothing for this many seconds",
        (Place("settings.silenceTimeout"),),
        typed(_SERVER.silenceTimeout),
    ),
    Setting(
        "chunk-size",
        _bytes(1, MAX_CHUNK_SIZE),
        "Chunk size of the server in bytes; FFmpeg then sends with the same size",
        (Place("settings.chunkSize"),),
        typed(_SERVER.chunkSize),
    ),
    Setting(
        "window",
        _bytes(1024, _MAX_BYTES),
        "Acknowledge received data after this many bytes at the latest",
        (Place("settings.window"),),
        typed(_SERVER.window),
    ),
    Setting(
        "max-media",
        _bytes(1024, MAX_CHUNK_SIZE),
        "Maximum size of an audio, video or data message, in bytes",
        (Place("settings.limits.maxMedia"),),
        typed(_LIMITS.maxMedia),
    ),
    Setting(
        "max-command",
        _bytes(1024, MAX_CHUNK_SIZE),
        "Maximum size of a command message, in bytes",
        (Place("settings.limits.maxCommand"),),
        typed(_LIMITS.maxCommand),
    ),
    Setting(
        "max-partial",
        _bytes(1024, _MAX_BYTES),
        "Maximum size of all incomplete messages of a connection, in bytes",
        (Place("settings.limits.maxPartial"),),
        typed(_LIMITS.maxPartial),
    ),
    Setting(
        "max-chunk-streams",
        Number("chunk streams", 4, 65597, isWhole=True, metavar="COUNT"),
        "Maximum number of chunk streams of a connection",
        (Place("settings.limits.maxChunkStreams"),),
        typed(_LIMITS.maxChunkStreams),
    ),
)
