"""
C{twistd rtmp}: the command line and the configuration file, made into a service.
"""

import gc
import os
import sys
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from twisted.application.service import IService
from twisted.internet.endpoints import serverFromString
from twisted.logger import Logger
from twisted.python import usage

from rtmptw.app.service import (
    DEFAULT_PORT,
    Config,
    RTMPService,
    exitCleanly,
    ignoreHangUp,
)
from rtmptw.errors import SinkError, StartError
from rtmptw.frames import publicName
from rtmptw.plugins.registry import sinkFactory, sinkNames, sinkPlugin, sinkPlugins
from rtmptw.rtmp.chunks import MAX_CHUNK_SIZE, Limits
from rtmptw.rtmp.serversession import ServerSettings
from rtmptw.rtmpclient.pull import Pull
from rtmptw.rtmpserver.play import HOLD, VIEWER, PlaySettings


def _whole(least: int, most: int, unit: str) -> Callable[[Any], int]:
    def convert(value: Any) -> int:
        try:
            number = int(value) if isinstance(value, (str, int)) else None
        except ValueError:
            number = None
        if number is None or isinstance(value, bool) or not least <= number <= most:
            raise ValueError(f"{value!r} is not a number of {unit}, {least} to {most}")
        return number

    return convert


def _seconds(least: float) -> Callable[[Any], float]:
    def convert(value: Any) -> float:
        try:
            number = float(value) if isinstance(value, (str, int, float)) else None
        except ValueError:
            number = None
        if (
            number is None
            or isinstance(value, bool)
            or not least <= number <= _MAX_SECONDS
        ):
            raise ValueError(
                f"{value!r} is not a number of seconds, {least:g} to {_MAX_SECONDS:g}"
            )
        return number

    return convert


#: A week: longer waits are mistakes.
_MAX_SECONDS = 7 * 24 * 3600.0


def _switch(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if value not in ("on", "off"):
        raise ValueError(f"{value!r} is neither on nor off")
    return bool(value == "on")


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{value!r} is no name")
    return value


@dataclass(frozen=True, slots=True)
class _Setting:
    """
    One option that has one value, on the command line and in the file.
    """

    name: str
    convert: Callable[[Any], Any]
    default: Any
    help: str


_SETTINGS = (
    _Setting(
        "chunk-size",
        _whole(1, MAX_CHUNK_SIZE, "bytes"),
        ServerSettings().chunkSize,
        "Our chunk size in bytes; FFmpeg takes it over",
    ),
    _Setting(
        "window",
        _whole(1024, 2**31 - 1, "bytes"),
        ServerSettings().window,
        "Acknowledge at least each so many bytes",
    ),
    _Setting(
        "handshake-timeout",
        _seconds(0.1),
        ServerSettings().handshakeTimeout,
        "Seconds for the handshake",
    ),
    _Setting(
        "request-timeout",
        _seconds(0.1),
        ServerSettings().requestTimeout,
        "Seconds from the handshake to a publish",
    ),
    _Setting(
        "silence-timeout",
        _seconds(0.1),
        ServerSettings().silenceTimeout,
        "Seconds that a publisher may send nothing",
    ),
    _Setting(
        "max-media",
        _whole(1024, MAX_CHUNK_SIZE, "bytes"),
        Limits().maxMedia,
        "Bytes of one audio, video or data message",
    ),
    _Setting(
        "max-command",
        _whole(1024, MAX_CHUNK_SIZE, "bytes"),
        Limits().maxCommand,
        "Bytes of one command",
    ),
    _Setting(
        "max-partial",
        _whole(1024, 2**31 - 1, "bytes"),
        Limits().maxPartial,
        "Bytes of unfinished messages on one connection",
    ),
    _Setting(
        "max-chunk-streams",
        _whole(4, 65597, "chunk streams"),
        Limits().maxChunkStreams,
        "Chunk streams on one connection",
    ),
    _Setting(
        "gop-cache",
        _switch,
        True,
        "on or off: give late sinks the frames since the last key frame",
    ),
    _Setting(
        "grace",
        _seconds(0.0),
        0.0,
        "Seconds that a stream waits for its publisher to come back",
    ),
    _Setting(
        "play-wait",
        _switch,
        PlaySettings().waits,
        "on or off: players may come before the publisher",
    ),
    _Setting(
        "play-behind",
        _seconds(0.1),
        VIEWER.maxMilliseconds / 1000,
        "Seconds that a frame may wait for a slow player",
    ),
    _Setting(
        "play-buffer",
        _whole(65536, 2**31 - 1, "bytes"),
        VIEWER.maxBytes,
        "Bytes that may wait for a slow player",
    ),
    _Setting(
        "play-patience",
        _seconds(0.0),
        VIEWER.patience,
        "Seconds until a player that stays too slow is closed; 0 is never",
    ),
    _Setting(
        "merge",
        _whole(0, 10_000, "milliseconds"),
        0,
        "Milliseconds of a stream that leave for players as one write",
    ),
    _Setting(
        "low-delay",
        _switch,
        False,
        "on or off: nothing waits on its way, neither to be read nor to be sent",
    ),
    _Setting(
        "ledger",
        _text,
        "",
        "File that gets one JSON object per sink at each stream's end",
    ),
    _Setting(
        "manhole",
        _text,
        "",
        "Endpoint for a Python prompt over SSH, such as tcp:2222:interface=127.0.0.1",
    ),
)

_LISTS = ("port", "sink", "pull", "pull-on-demand")


def _shown(default: Any) -> str:
    if isinstance(default, bool):
        return "on" if default else "off"
    return f"{default:g}" if isinstance(default, float) else str(default)


class Options(usage.Options):
    """
    The options of C{twistd rtmp}; L{config} is what they say.
    """

    synopsis = "[options]"
    longdesc = (
        "An RTMP media server. Encoders publish to rtmp://HOST/APP/NAME; every frame "
        "goes to every sink."
    )

    optParameters = [
        [
            setting.name,
            None,
            None,
            f"{setting.help}"
            + (
                f" [default: {_shown(setting.default)}]"
                if setting.default != ""
                else ""
            )
            + ".",
        ]
        for setting in _SETTINGS
    ] + [["config", "c", None, "TOML file that says any of these options."]]

    compData = usage.Completions(
        optActions={
            "ledger": usage.CompleteFiles(),
            "config": usage.CompleteFiles("*.toml"),
            "gop-cache": usage.CompleteList(["on", "off"]),
            "low-delay": usage.CompleteList(["on", "off"]),
            "play-wait": usage.CompleteList(["on", "off"]),
        }
    )

    def __init__(self) -> None:
        super().__init__()
        self._lists: dict[str, list[str]] = {name: [] for name in _LISTS}
        self.config = Config()

    def opt_port(self, description: str) -> None:
        """
        Where to listen: a port number, or an endpoint such as
        tcp:1935:interface=127.0.0.1, unix:/run/rtmp.sock, ssl:443:..., systemd:...
        May be given several times. [default: 1935]
        """
        self._lists["port"].append(description)

    def opt_sink(self, description: str) -> None:
        """
        Where frames go: TYPE or TYPE:ARGUMENTS. May be given several times. See
        --help-sinks.
        """
        self._lists["sink"].append(description)

    def opt_pull(self, text: str) -> None:
        """
        Play a stream from elsewhere and publish it here, always: URL,
        URL=APP/NAME or URL#as=APP/NAME. May be given several times.
        """
        self._lists["pull"].append(text)

    def opt_pull_on_demand(self, text: str) -> None:
        """
        The same as --pull, but only while somebody plays the stream here.
        """
        self._lists["pull-on-demand"].append(text)

    opt_p = opt_port
    opt_s = opt_sink

    def opt_help_sinks(self) -> None:
        """
        List the sinks that are installed.
        """
        for plugin in sinkPlugins():
            print(f"  {plugin.sinkType}{plugin.argumentFormat}")
        print("Ask for --help-sink-type=TYPE to learn more about one.")
        sys.exit(0)

    def opt_help_sink_type(self, sinkType: str) -> None:
        """
        Explain one sink.
        """
        plugin = sinkPlugin(sinkType)
        print(f"--sink={plugin.sinkType}{plugin.argumentFormat}\n")
        print(plugin.sinkHelp)
        sys.exit(0)

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """
        Parse the command line.

        @raise SystemExit: with one sentence, if it is not understood. (twistd
            would print all its options over it.)
        """
        try:
            super().parseOptions(options)
        except usage.UsageError as error:
            raise SystemExit(f"rtmptw: {error}") from error

    def postOptions(self) -> None:
        """
        Read the configuration file and check it all.

        @raise UsageError: with one sentence, if something is wrong.
        """
        values: dict[str, Any] = {}
        if self["config"] is not None:
            values.update(_readFile(self["config"]))
        values.update(
            (setting.name, self[setting.name])
            for setting in _SETTINGS
            if self[setting.name] is not None
        )
        values.update((name, items) for name, items in self._lists.items() if items)
        self.config = _configFrom(values)


def _readFile(path: str) -> Mapping[str, Any]:
    try:
        with open(path, "rb") as file:
            values = tomllib.load(file)
    except OSError as error:
        raise usage.UsageError(
            f"--config={path} cannot be read: {error.strerror}"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise usage.UsageError(f"--config={path} is not TOML: {error}") from error
    known = [setting.name for setting in _SETTINGS] + list(_LISTS)
    for name in values:
        if name not in known:
            raise usage.UsageError(
                f"--config={path} says {name!r}; there are: {', '.join(sorted(known))}"
            )
    return values


def _configFrom(values: Mapping[str, Any]) -> Config:
    converted: dict[str, Any] = {}
    for setting in _SETTINGS:
        if setting.name not in values:
            converted[setting.name] = setting.default
            continue
        try:
            converted[setting.name] = setting.convert(values[setting.name])
        except ValueError as error:
            raise usage.UsageError(f"--{setting.name}: {error}") from error
    sinks = _strings("sink", values.get("sink", []))
    return Config(
        ports=tuple(
            _endpoint("port", port)
            for port in _strings("port", values.get("port", [DEFAULT_PORT]))
        ),
        sinks=tuple(
            zip(sinkNames(sinks), [sinkFactory(sink) for sink in sinks], strict=True)
        ),
        settings=ServerSettings(
            chunkSize=converted["chunk-size"],
            window=converted["window"],
            handshakeTimeout=converted["handshake-timeout"],
            requestTimeout=converted["request-timeout"],
            silenceTimeout=converted["silence-timeout"],
            limits=Limits(
                maxMedia=converted["max-media"],
                maxCommand=converted["max-command"],
                maxPartial=converted["max-partial"],
                maxChunkStreams=converted["max-chunk-streams"],
            ),
        ),
        graceTime=converted["grace"],
        gopCache=converted["gop-cache"],
        play=PlaySettings(
            delivery=replace(
                VIEWER,
                maxMilliseconds=round(converted["play-behind"] * 1000),
                maxBytes=converted["play-buffer"],
                patience=converted["play-patience"],
            ),
            waits=converted["play-wait"],
            merge=converted["merge"] / 1000,
            hold=0.0 if converted["low-delay"] else HOLD,
        ),
        isPaced=not converted["low-delay"],
        ledger=converted["ledger"],
        manhole=converted["manhole"] and _endpoint("manhole", converted["manhole"]),
        pulls=_pulls(values),
    )


def _pulls(values: Mapping[str, Any]) -> tuple[Pull, ...]:
    pulls: dict[str, Pull] = {}
    for option in ("pull", "pull-on-demand"):
        for text in _strings(option, values.get(option, [])):
            pull = Pull.fromString(text, option == "pull-on-demand")
            name = publicName(pull.app, pull.name)
            if name in pulls:
                raise usage.UsageError(f"--{option}: {name} is pulled twice")
            pulls[name] = pull
    return tuple(pulls.values())


def _strings(name: str, values: Any) -> list[str]:
    """
    A list of strings; in a file a single one, or a number, will do.
    """
    if isinstance(values, (str, int)) and not isinstance(values, bool):
        values = [values]
    if not isinstance(values, list) or not all(
        isinstance(value, (str, int)) and not isinstance(value, bool)
        for value in values
    ):
        raise usage.UsageError(f"--{name}: {values!r} is not a list of strings")
    return [str(value) for value in values]


def _endpoint(option: str, description: str) -> str:
    """
    @return: an endpoint description; a plain number is a TCP port.
    """
    from twisted.internet import reactor  # noqa: TID251 -- twistd has chosen it by now

    if description.isascii() and description.isdigit():
        if int(description) > 65535:
            raise usage.UsageError(f"--{option}: {description} is more than 65535")
        description = f"tcp:{description}"
    try:
        serverFromString(reactor, description)
    except Exception as error:
        # Endpoint parsers raise what they like: KeyError, OSError, SSL errors.
        raise usage.UsageError(f"--{option}: {description!r}: {error}") from error
    return description


#: The garbage collector looks at what is new after so many more objects were made than
#: freed: thousands of frames are no garbage, they wait in groups of pictures.
_GARBAGE_AFTER = 20_000


def spareFrames() -> None:
    """
    Keep the garbage collector from looking at all that was made to start, and from
    looking at frames all the time. For a process that does nothing but serve.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GARBAGE_AFTER, 20, 20)


class CannotStart(SystemExit, Exception):
    """
    Ends C{twistd} with status 1 when all is said.

    It is a C{SystemExit}, so that no traceback follows. It is an C{Exception} too,
    because for those alone C{twistd} takes its PID file away and, if it has made a
    daemon, tells the process in the foreground, which waits for that.
    """

    def __init__(self) -> None:
        super().__init__()
        self.code = 1


class _CommandLineService(RTMPService):
    """
    The server as a process of its own.
    """

    _log = Logger()

    def __init__(self, config: Config, reactor: Any) -> None:
        super().__init__(config, reactor)
        # A daemon's own standard error is /dev/null by the time it starts. Closed from
        # the beginning, there is none.
        self._stderr = None if sys.__stderr__ is None else os.dup(2)

    def privilegedStartService(self) -> None:
        """
        Listen.

        @raise CannotStart: if a port cannot be had.
        """
        try:
            super().privilegedStartService()
        except StartError as error:
            raise self._cannotStart(error) from error

    def startService(self) -> None:
        """
        Start.

        @raise CannotStart: if a sink cannot work.
        """
        ignoreHangUp(self._reactor)
        try:
            super().startService()
        except SinkError as error:
            raise self._cannotStart(error) from error
        self._closeStderr()
        self._reactor.callWhenRunning(exitCleanly, self._reactor)
        self._reactor.callWhenRunning(spareFrames)

    def _cannotStart(self, error: Exception) -> CannotStart:
        """
        Say it in one sentence, in the log and to whoever has called C{twistd}.
        """
        self._log.critical("cannot start: {error}", error=error)
        if self._stderr is not None:
            os.write(self._stderr, f"rtmptw: {error}\n".encode(errors="replace"))
        self._closeStderr()
        return CannotStart()

    def _closeStderr(self) -> None:
        if self._stderr is not None:
            os.close(self._stderr)
            self._stderr = None


def makeService(options: Options) -> IService:
    """
    @return: the service that the options describe.

    @raise SystemExit: with one sentence, if there can be no manhole.
    """
    from twisted.internet import reactor  # noqa: TID251 -- twistd has chosen it by now

    try:
        return cast(IService, _CommandLineService(options.config, reactor))
    except StartError as error:
        raise SystemExit(f"rtmptw: {error}") from error
