"""
C{twistd rtmp}: the command line, made into a service.
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
    The options of C{twistd rtmp}; L{config} is what they say. Those of L{SETTINGS} that
    are repeatable are methods, which Twisted wants for that, and are added below.
    """

    synopsis = "[options]"
    longdesc = (
        "An RTMP media server. Encoders publish to rtmp://HOST/APP/NAME; every frame "
        "goes to every sink."
    )

    optParameters = [
        [setting.name, setting.short or None, None, _sentence(setting)]
        for setting in SETTINGS
        if not setting.isRepeatable
    ] + [["config", "c", None, "TOML file that says any of these options."]]

    compData = usage.Completions(optActions=_completions())

    def __init__(self) -> None:
        super().__init__()
        self.lists: dict[str, list[str]] = {}
        self.config = Config()

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

    def opt_help_sources(self) -> None:
        """
        List the sources that are installed.
        """
        for plugin in sourcePlugins():
            print(f"  {plugin.sourceType}{plugin.argumentFormat}")
        print("Ask for --help-source-type=TYPE to learn more about one.")
        sys.exit(0)

    def opt_help_source_type(self, sourceType: str) -> None:
        """
        Explain one source.
        """
        plugin = sourcePlugin(sourceType)
        print(f"--source={plugin.sourceType}{plugin.argumentFormat}\n")
        print(plugin.sourceHelp)
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
            raise SystemExit(f"rtmptw: {error}{self._near(str(error))}") from error

    def _near(self, sentence: str) -> str:
        """
        @return: the end of a sentence that names the nearest option, if the one that
            was said is not known.
        """
        unknown = re.fullmatch(r"option --(\S+) not recognized", sentence)
        if unknown is None:
            return ""
        known = [name.removesuffix("=") for name in self.longOpt]
        near = didYouMean(unknown[1], [f"--{name}" for name in known])
        return near.replace("'", "")

    def opt_version(self) -> None:
        """
        Say the version of rtmptw, and of what it runs on.
        """
        python = platform.python_version()
        print(f"{description()}, Twisted {twisted.__version__}, Python {python}")
        sys.exit(0)

    def postOptions(self) -> None:
        """
        Read the configuration file and check it all.

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
        BlockingWatch(reactor).setServiceParent(self)
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

        @raise CannotStart: if a sink or a source cannot work.
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
                "this is {here}, in pure Python; the compiled rtmptw in {hidden} does "
                "not run: start in another folder, or without PYTHONPATH",
                here=os.path.dirname(rtmptw.__file__),
                hidden=hidden,
            )

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
