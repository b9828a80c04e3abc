"""
The command line of C{twistd rtmp}, and the service made from it.
"""

import gc
import os
import platform
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, cast

import twisted
from twisted.application.service import IService
from twisted.logger import Logger
from twisted.python import usage

import rtmptw
from rtmptw.app.blocking import BlockingWatch
from rtmptw.app.build import description, hiddenBuild
from rtmptw.app.configuration import configFrom, readFile
from rtmptw.app.service import Config, RTMPService, exitCleanly, ignoreHangUp
from rtmptw.app.settings import SETTINGS, Setting
from rtmptw.errors import SinkError, StartError
from rtmptw.plugins.registry import (
    sinkPlugin,
    sinkPlugins,
    sourcePlugin,
    sourcePlugins,
)
from rtmptw.plugins.values import Choice, didYouMean


def _sentence(setting: Setting) -> str:
    several = ". May be given several times" if setting.isRepeatable else ""
    default = f" [default: {setting.default}]" if setting.default else ""
    return f"{setting.help}{several}{default}."


def _completions() -> dict[str, usage.Completer]:
    completions: dict[str, usage.Completer] = {"config": usage.CompleteFiles("*.toml")}
    for setting in SETTINGS:
        if isinstance(setting.kind, Choice):
            completions[setting.name] = usage.CompleteList(list(setting.kind.choices))
        elif setting.kind.metavar == "FILE":
            completions[setting.name] = usage.CompleteFiles()
    return completions


class Options(usage.Options):
    """
    The options of C{twistd rtmp}; L{config} holds their values. Twisted needs a method
    for each repeatable option of L{SETTINGS}; these are added below.
    """

    synopsis = "[options]"
    longdesc = (
        "An RTMP media server. Encoders publish to rtmp://HOST/APP/NAME. Every frame "
        "goes to every sink."
    )

    optParameters = [
        [setting.name, setting.short or None, None, _sentence(setting)]
        for setting in SETTINGS
        if not setting.isRepeatable
    ] + [["config", "c", None, "TOML file with any of these options."]]

    compData = usage.Completions(optActions=_completions())

    def __init__(self) -> None:
        super().__init__()
        self.lists: dict[str, list[str]] = {}
        self.config = Config()

    def getSynopsis(self) -> str:
        """
        @return: the usage line of C{python -m rtmptw} (which sets the program's name),
            C{twistd} or C{twist}.
        """
        if sys.argv[0] == "rtmptw":
            return "Usage: rtmptw [options]"
        return super().getSynopsis()

    def opt_help_sinks(self) -> None:
        """
        List the installed sinks.
        """
        for plugin in sinkPlugins():
            print(f"  {plugin.sinkType}{plugin.argumentFormat}")
        print("Use --help-sink-type=TYPE for help on one of them.")
        sys.exit(0)

    def opt_help_sink_type(self, sinkType: str) -> None:
        """
        Show help for one type of sink.
        """
        plugin = sinkPlugin(sinkType)
        _explain(f"--sink={plugin.sinkType}", plugin.argumentFormat, plugin.sinkHelp)
        sys.exit(0)

    def opt_help_sources(self) -> None:
        """
        List the installed sources.
        """
        for plugin in sourcePlugins():
            print(f"  {plugin.sourceType}{plugin.argumentFormat}")
        print("Use --help-source-type=TYPE for help on one of them.")
        sys.exit(0)

    def opt_help_source_type(self, sourceType: str) -> None:
        """
        Show help for one type of source.
        """
        plugin = sourcePlugin(sourceType)
        start = f"--source={plugin.sourceType}"
        _explain(start, plugin.argumentFormat, plugin.sourceHelp)
        sys.exit(0)

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """
        Parse the command line.

        @raise SystemExit: with one sentence, if it is not valid. (For a C{UsageError},
            twistd would print all its options above it.)
        """
        try:
            super().parseOptions(options)
        except usage.UsageError as error:
            raise SystemExit(f"rtmptw: {error}{self._near(str(error))}") from error

    def _near(self, sentence: str) -> str:
        """
        @return: the end of a sentence that suggests the closest option, if the given
            one is unknown.
        """
        unknown = re.fullmatch(r"option --(\S+) not recognized", sentence)
        if unknown is None:
            return ""
        known = [name.removesuffix("=") for name in self.longOpt]
        near = didYouMean(unknown[1], [f"--{name}" for name in known])
        return near.replace("'", "")

    def opt_version(self) -> None:
        """
        Print the versions of rtmptw, Twisted and Python.
        """
        python = platform.python_version()
        print(f"{description()}, Twisted {twisted.__version__}, Python {python}")
        sys.exit(0)

    def postOptions(self) -> None:
        """
        Read the configuration file and check all settings.

        @raise UsageError: with one sentence, if something is wrong.
        """
        values: dict[str, Any] = {}
        if self["config"] is not None:
            values.update(readFile(self["config"]))
        values.update(
            (setting.name, self[setting.name])
            for setting in SETTINGS
            if not setting.isRepeatable and self[setting.name] is not None
        )
        values.update(self.lists)
        self.config = configFrom(values)


def _explain(start: str, argumentFormat: str, text: str) -> None:
    """
    Print the help of a sink or a source. Many show their arguments in it.
    """
    if start not in text:
        print(f"{start}{argumentFormat}\n")
    print(text)


def _collects(setting: Setting) -> Callable[[Options, str], None]:
    def collect(self: Options, said: str) -> None:
        self.lists.setdefault(setting.name, []).append(said)

    collect.__doc__ = _sentence(setting)
    return collect


for _setting in SETTINGS:
    if _setting.isRepeatable:
        _collect = _collects(_setting)
        for _name in filter(None, (_setting.name, _setting.short)):
            setattr(Options, f"opt_{_name.replace('-', '_')}", _collect)


#: The garbage collector examines new objects once this many more were allocated than
#: freed. Thousands of frames are not garbage: they wait in groups of pictures.
_GARBAGE_AFTER = 20_000


def spareFrames() -> None:
    """
    Exempt the objects made at the start from garbage collection, and make it rarer, so
    that it does not examine frames all the time. For a process that only serves.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GARBAGE_AFTER, 20, 20)


class CannotStart(SystemExit, Exception):
    """
    Ends C{twistd} with status 1 after the error was reported.

    It is a C{SystemExit}, so that there is no traceback. It is also an C{Exception}:
    only for those does C{twistd} remove its PID file and, if it is a daemon, inform the
    process in the foreground, which waits for that.
    """

    def __init__(self) -> None:
        super().__init__()
        self.code = 1


class _CommandLineService(RTMPService):
    """
    The server in its own process.
    """

    _log = Logger()

    def __init__(self, config: Config, reactor: Any) -> None:
        super().__init__(config, reactor)
        BlockingWatch(reactor).setServiceParent(self)
        # When a daemon starts its services, its standard error is /dev/null already.
        # It is None if it was closed from the beginning.
        self._stderr = None if sys.__stderr__ is None else os.dup(2)

    def privilegedStartService(self) -> None:
        """
        Listen.

        @raise CannotStart: if it cannot listen on a port.
        """
        try:
            super().privilegedStartService()
        except StartError as error:
            raise self._cannotStart(error) from error

    def startService(self) -> None:
        """
        Start.

        @raise CannotStart: if a sink or a source cannot start.
        """
        ignoreHangUp(self._reactor)
        self._sayBuild()
        try:
            super().startService()
        except SinkError as error:
            raise self._cannotStart(error) from error
        self._closeStderr()
        self._reactor.callWhenRunning(exitCleanly, self._reactor)
        self._reactor.callWhenRunning(spareFrames)

    def _sayBuild(self) -> None:
        self._log.info("{build} starts", build=description())
        hidden = hiddenBuild()
        if hidden:
            self._log.warn(
                "running pure Python rtmptw from {here}, not the compiled one in "
                "{hidden}: start in another folder, or without PYTHONPATH",
                here=os.path.dirname(rtmptw.__file__),
                hidden=hidden,
            )

    def _cannotStart(self, error: Exception) -> CannotStart:
        """
        Report the error in one sentence, in the log and on C{twistd}'s standard error.
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

    @raise SystemExit: with one sentence, if the manhole cannot be set up.
    """
    from twisted.internet import reactor  # noqa: TID251 -- twistd has chosen it by now

    try:
        return cast(IService, _CommandLineService(options.config, reactor))
    except StartError as error:
        raise SystemExit(f"rtmptw: {error}") from error
