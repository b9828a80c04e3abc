"""
Tests of the command line and the configuration file.
"""

import gc
import importlib
import io
import re
import sys
import tempfile
from contextlib import redirect_stdout
from dataclasses import fields, replace
from operator import attrgetter
from pathlib import Path
from typing import Any

from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase

import rtmptw
from rtmptw.app.options import Options, spareFrames
from rtmptw.app.service import Config
from rtmptw.app.settings import SETTINGS
from rtmptw.delivery import Delivery, Policy
from rtmptw.plugins.registry import sinkFactory, sinkNames, sinkPlugins
from rtmptw.rtmpclient.pull import RTMPPullFactory
from rtmptw.rtmpserver.play import PlaySettings
from rtmptw.sinks.file.factory import FileSinkFactory
from rtmptw.sinks.null.factory import NullSinkFactory


def configured(*arguments: str) -> Config:
    """
    @return: the configuration of a command line.
    """
    options = Options()
    options.parseOptions(list(arguments))
    return options.config


class OptionsTests(SynchronousTestCase):
    """
    C{twistd rtmp} and its options.
    """

    def refused(self, *arguments: str) -> str:
        """
        @return: the one sentence that refuses a command line.
        """
        with self.assertRaises(SystemExit) as caught:
            configured(*arguments)
        sentence = str(caught.exception.code)
        self.assertTrue(sentence.startswith("rtmptw: "), sentence)
        self.assertNotIn("\n", sentence)
        return sentence

    def file(self, text: str) -> str:
        """
        @return: the path of a configuration file.
        """
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path = Path(folder.name) / "rtmptw.toml"
        path.write_text(text)
        return str(path)

    def test_nothingSaid(self) -> None:
        """
        Without options, the server listens on port 1935.
        """
        self.assertEqual(configured(), Config())
        self.assertEqual(configured().ports, ("tcp:1935",))

    def test_ports(self) -> None:
        """
        C{--port} takes a port number or an endpoint description, and can be repeated.
        """
        self.assertEqual(
            configured("--port", "1936", "-p", "tcp:1935:interface=127.0.0.1").ports,
            ("tcp:1936", "tcp:1935:interface=127.0.0.1"),
        )
        self.assertEqual(configured("--port=unix:/tmp/x").ports, ("unix:/tmp/x",))

    def test_badPorts(self) -> None:
        """
        A port that cannot be used is refused with a sentence that names it.
        """
        for port in ("bad:1", "70000", "tcp:x", "ssl:443:privateKey=/nowhere", ""):
            self.assertIn(repr(port)[1:-1], self.refused(f"--port={port}"))

    def test_sinks(self) -> None:
        """
        C{--sink} can be repeated, and each sink gets its own name.
        """
        config = configured("--sink=file:/tmp/r", "--sink=null", "-s", "file")
        self.assertEqual([name for name, _ in config.sinks], ["file", "null", "file#2"])
        first, second, third = [factory for _, factory in config.sinks]
        assert isinstance(first, FileSinkFactory)
        self.assertEqual(first.recording.directory, "/tmp/r")
        self.assertIsInstance(second, NullSinkFactory)
        assert isinstance(third, FileSinkFactory)
        self.assertEqual(third.recording.directory, "recordings")

    def test_badSinks(self) -> None:
        """
        A sink that is not installed and bad arguments are refused.
        """
        self.assertIn("nope", self.refused("--sink=nope"))
        self.assertIn("file, null", self.refused("--sink=nope:x"))
        self.refused("--sink=null:x")
        self.refused("--sink=file:x:rotate=often")

    def test_settings(self) -> None:
        """
        Each option reaches its place in the configuration.
        """
        config = configured(
            "--chunk-size=4096",
            "--window=50000",
            "--handshake-timeout=1.5",
            "--request-timeout=2.5",
            "--silence-timeout=3.5",
            "--max-media=2000000",
            "--max-command=3000",
            "--max-partial=4000000",
            "--max-chunk-streams=5",
            "--gop-cache=off",
            "--grace=6.5",
            "--play-wait=off",
            "--play-latency=7.5",
            "--play-queue=80000",
            "--play-timeout=9.5",
            "--merge=50",
            "--low-delay=on",
            "--ledger=/tmp/ledger",
            "--manhole=2222",
        )
        self.assertEqual(config.manhole, "tcp:2222")
        self.assertEqual(
            config.play,
            PlaySettings(
                Delivery(Policy.TO_KEYFRAME, 7500, 80000, patience=9.5),
                False,
                0.05,
                0.0,
            ),
        )
        self.assertEqual(config.settings.chunkSize, 4096)
        self.assertEqual(config.settings.window, 50000)
        self.assertEqual(config.settings.handshakeTimeout, 1.5)
        self.assertEqual(config.settings.requestTimeout, 2.5)
        self.assertEqual(config.settings.silenceTimeout, 3.5)
        self.assertEqual(config.settings.limits.maxMedia, 2000000)
        self.assertEqual(config.settings.limits.maxCommand, 3000)
        self.assertEqual(config.settings.limits.maxPartial, 4000000)
        self.assertEqual(config.settings.limits.maxChunkStreams, 5)
        self.assertFalse(config.gopCache)
        self.assertEqual(config.graceTime, 6.5)
        self.assertEqual(config.ledger, "/tmp/ledger")

    def test_nearestWords(self) -> None:
        """
        For a mistyped option, sink, source, argument, value or key, the error suggests
        the nearest valid word. If none is near, it suggests nothing.
        """
        for said, end in (
            ("--snk=file", "option --snk not recognized; did you mean --sink?"),
            ("--sink=fiel", "; did you mean 'file'?"),
            ("--source=meda:x", "installed: media, rtmp; did you mean 'media'?"),
            ("--sink=file:rotat=5", "; did you mean 'rotate'?"),
            ("--sink=record:format=mkw", "; did you mean 'mkv'?"),
            ("--grace-after=los", "; did you mean 'loss'?"),
            (f"--config={self.file('sinks = []')}", "; did you mean 'sink'?"),
            ("--xyzzy", "option --xyzzy not recognized"),
        ):
            sentence = self.refused(said)
            self.assertTrue(sentence.endswith(end), sentence)

    def test_version(self) -> None:
        """
        C{--version} prints the version of rtmptw and which build it is.
        """
        said = io.StringIO()
        with redirect_stdout(said), self.assertRaises(SystemExit) as caught:
            configured("--version")
        self.assertEqual(caught.exception.code, 0)
        self.assertRegex(
            said.getvalue(),
            rf"^rtmptw {re.escape(rtmptw.__version__)} \((compiled|pure Python)\), "
            r"Twisted [\d.]+\S*, Python 3\S+\n$",
        )

    def test_badSettings(self) -> None:
        """
        A value that is out of range or no number is refused in one sentence with the
        allowed values.
        """
        for name, value, word in (
            ("chunk-size", "0", "1 to 16777215"),
            ("chunk-size", "many", "many"),
            ("chunk-size", "16777216", "1 to 16777215"),
            ("window", "1", "1024"),
            ("grace", "-1", "seconds"),
            ("grace", "nan", "seconds"),
            ("silence-timeout", "0", "0.1"),
            ("gop-cache", "maybe", "not one of on, off"),
            ("ledger", "", "FILE"),
            ("manhole", "nope:1", "nope"),
            ("manhole", "70000", "65535"),
            ("play-wait", "perhaps", "not one of on, off"),
            ("play-latency", "0", "0.1 to"),
            ("play-queue", "1000", "65536"),
            ("play-timeout", "-1", "0 to"),
            ("merge", "0.5", "0 to 10000"),
            ("low-delay", "1", "not one of on, off"),
            ("max-chunk-streams", "3", "4 to 65597"),
            ("grace", "604801", "0 to 604800"),
        ):
            sentence = self.refused(f"--{name}={value}")
            self.assertIn(word, sentence)
            self.assertIn(f"--{name}", sentence)
        self.assertIn("nonsense", self.refused("--nonsense"))
        self.refused("an argument")

    def test_configurationFile(self) -> None:
        """
        A configuration file can set every option that the command line has.
        """
        path = self.file(
            """
            port = [1936, "unix:/tmp/x"]
            sink = ["null", "file:/tmp/r"]
            pull = "rtmp://h/a/b"
            pull-on-demand = ["rtmp://h/c/d"]
            source = "rtmp:rtmp://h/e/f"
            play-wait = false
            play-latency = 7.5
            play-queue = 80000
            play-timeout = 9
            merge = 50
            low-delay = true
            manhole = 2222
            chunk-size = 4096
            window = 50000
            handshake-timeout = 1.5
            request-timeout = 2
            silence-timeout = 3.5
            max-media = 2000000
            max-command = 3000
            max-partial = 4000000
            max-chunk-streams = 5
            gop-cache = false
            grace = 6
            ledger = "/tmp/ledger"
            """
        )
        config = configured(f"--config={path}")
        said = configured(
            "--port=1936",
            "--port=unix:/tmp/x",
            "--pull=rtmp://h/a/b",
            "--pull-on-demand=rtmp://h/c/d",
            "--source=rtmp:rtmp://h/e/f",
            "--play-wait=off",
            "--play-latency=7.5",
            "--play-queue=80000",
            "--play-timeout=9",
            "--merge=50",
            "--low-delay=on",
            "--manhole=2222",
            "--chunk-size=4096",
            "--window=50000",
            "--handshake-timeout=1.5",
            "--request-timeout=2",
            "--silence-timeout=3.5",
            "--max-media=2000000",
            "--max-command=3000",
            "--max-partial=4000000",
            "--max-chunk-streams=5",
            "--gop-cache=off",
            "--grace=6",
            "--ledger=/tmp/ledger",
        )
        self.assertEqual(replace(config, sinks=()), said)
        self.assertEqual([name for name, _ in config.sinks], ["null", "file"])

    def test_theCommandLineWins(self) -> None:
        """
        An option on the command line replaces the file's value; a list is replaced as a
        whole.
        """
        path = self.file('port = 1936\nsink = "file"\ngrace = 6\nwindow = 50000\n')
        config = configured(f"-c{path}", "--port=1937", "--sink=null", "--grace=7")
        self.assertEqual(config.ports, ("tcp:1937",))
        self.assertEqual([name for name, _ in config.sinks], ["null"])
        self.assertEqual(config.graceTime, 7.0)
        self.assertEqual(config.settings.window, 50000)

    def test_badFiles(self) -> None:
        """
        A file that is missing, is not TOML, or has unknown keys or wrong values is
        refused.
        """
        self.assertIn("cannot be read", self.refused("--config=/nowhere/at/all"))
        self.assertIn("TOML", self.refused(f"--config={self.file('port =')}"))
        self.assertIn("ports", self.refused(f"--config={self.file('ports = 1')}"))
        for text in (
            "port = true",
            "sink = {}",
            "sink = [5]",
            "pull = [[]]",
            "grace = true",
            'grace = "x"',
            "grace = []",
            "merge = 0.5",
            "ledger = 5",
            "low-delay = 1",
            "[grace]",
        ):
            sentence = self.refused(f"--config={self.file(text)}")
            name = re.search("[a-z-]+", text)
            assert name is not None
            self.assertIn(f"--{name[0]}: ", sentence)

    def test_everyRepeatableAddsUp(self) -> None:
        """
        The sources of all options for them add up to one list.
        """
        config = configured(
            "--source=rtmp:rtmp://h/a/1",
            "--pull-on-demand=rtmp://h/a/2",
            "--pull=rtmp://h/a/3",
            "--source=media:http://h/a/4",
        )
        self.assertEqual(
            sorted(source.stream for source in config.sources),
            ["a/1", "a/2", "a/3", "a/4"],
        )

    def test_usage(self) -> None:
        """
        The usage line names the program that was started.
        """
        self.patch(sys, "argv", ["rtmptw", "--nodaemon", "rtmp"])
        self.assertTrue(str(Options()).startswith("Usage: rtmptw [options]\n"))
        self.patch(sys, "argv", ["/usr/bin/twistd", "rtmp"])
        self.assertNotIn("Usage: rtmptw", str(Options()))

    def test_help(self) -> None:
        """
        The help options print the sinks and sources, and exit without starting a
        server.
        """
        for argument, word in (
            ("--help-sinks", "file[:DIRECTORY]"),
            ("--help-sink-type=file", "ends in .part while"),
            ("--help-sink-type=file", "DIRECTORY       the directory for recordings"),
            ("--help-sources", "rtmp:URL[#[as=APP/NAME]"),
            ("--help-source-type=media", "--source=media:rtsp://HOST/APP/NAME"),
            ("--help-source-type=media", "loop=0|1     whether to repeat a file"),
        ):
            printed = io.StringIO()
            with redirect_stdout(printed), self.assertRaises(SystemExit) as caught:
                configured(argument)
            self.assertEqual(caught.exception.code, 0)
            self.assertIn(word, printed.getvalue())
        self.assertIn("file, null", self.refused("--help-sink-type=nope"))
        self.assertIn("media, rtmp", self.refused("--help-source-type=nope"))
        self.assertIn("media, rtmp", self.refused("--source=nope:x"))


#: For every setting a value other than the default, and the resulting values at the
#: setting's places in the configuration.
SAMPLES: dict[str, tuple[str, list[Any]]] = {
    "port": ("1936", [("tcp:1936",)]),
    "pull": ("rtmp://h/a/b", [(RTMPPullFactory("rtmp://h/a/b", "a", "b"),)]),
    "pull-on-demand": (
        "rtmp://h/a/b",
        [(RTMPPullFactory("rtmp://h/a/b", "a", "b", True),)],
    ),
    "source": ("rtmp:rtmp://h/a/b", [(RTMPPullFactory("rtmp://h/a/b", "a", "b"),)]),
    "grace": ("6.5", [6.5]),
    "grace-after": ("stop", [True]),
    "gop-cache": ("off", [False]),
    "play-wait": ("off", [False]),
    "play-latency": ("7.5", [7500]),
    "play-queue": ("80000", [80000]),
    "play-timeout": ("9.5", [9.5]),
    "merge": ("50", [0.05]),
    "low-delay": ("on", [False, 0.0]),
    "ledger": ("/tmp/ledger", ["/tmp/ledger"]),
    "manhole": ("2222", ["tcp:2222"]),
    "handshake-timeout": ("1.5", [1.5]),
    "request-timeout": ("2.5", [2.5]),
    "silence-timeout": ("3.5", [3.5]),
    "chunk-size": ("4096", [4096]),
    "memory": ("300000000", [300000000]),
    "window": ("50000", [50000]),
    "max-media": ("2000000", [2000000]),
    "max-command": ("3000", [3000]),
    "max-partial": ("4000000", [4000000]),
    "max-chunk-streams": ("5", [5]),
}


class SettingTests(SynchronousTestCase):
    """
    The table of settings.
    """

    def test_everySettingGoesWhereItSays(self) -> None:
        """
        An option changes the configuration at its places and nowhere else.
        """
        named = {setting.name for setting in SETTINGS}
        # Sink factories do not compare equal; test_sinks checks those.
        self.assertEqual(set(SAMPLES), named - {"sink"})
        for setting in SETTINGS:
            if setting.name in SAMPLES:
                said, values = SAMPLES[setting.name]
                config = configured(f"--{setting.name}={said}")
                for place, value in zip(setting.places, values, strict=True):
                    self.assertEqual(attrgetter(place.path)(config), value)
                    self.assertNotEqual(attrgetter(place.path)(Config()), value)
                changed = [
                    field.name
                    for field in fields(Config)
                    if getattr(config, field.name) != getattr(Config(), field.name)
                ]
                self.assertEqual(
                    set(changed),
                    {place.path.partition(".")[0] for place in setting.places},
                )

    def test_theDefaultsAreTrue(self) -> None:
        """
        Passing every default explicitly changes nothing.
        """
        self.assertEqual(
            {setting.name for setting in SETTINGS if not setting.default},
            {"sink", "pull", "pull-on-demand", "source", "ledger", "manhole"},
        )
        said = [f"--{one.name}={one.default}" for one in SETTINGS if one.default]
        self.assertEqual(configured(*said), Config())

    def test_theHelpIsTheTables(self) -> None:
        """
        The help has every setting with its default.
        """
        text = " ".join(Options().getUsage().split()).replace("- ", "-")
        for setting in SETTINGS:
            self.assertIn(f"--{setting.name}= {setting.help}".replace("- ", "-"), text)
            if setting.default:
                self.assertIn(f"[default: {setting.default}]", text)

    def test_theCompletionsAreTheTables(self) -> None:
        """
        Shell completion offers the words of a choice, and files where an option takes
        one.
        """
        file = io.BytesIO()
        ZshArgumentsGenerator = importlib.import_module(
            "twisted.python._shellcomp"
        ).ZshArgumentsGenerator
        ZshArgumentsGenerator(Options(), "twistd", file).write()
        completions = file.getvalue().decode()
        self.assertIn(":low-delay:(on off)", completions)
        self.assertIn(":gop-cache:(on off)", completions)
        self.assertIn(":play-wait:(on off)", completions)
        self.assertIn(":ledger (*):_files", completions)
        self.assertIn(":config (*.toml):_files", completions)
        for setting in SETTINGS:
            self.assertIn(f"--{setting.name}", completions)


class GarbageTests(SynchronousTestCase):
    """
    Garbage collection in a server started from the command line.
    """

    def test_framesAreSpared(self) -> None:
        """
        The objects of the start are frozen, and new ones are collected less often.
        """
        before = gc.get_threshold()
        self.addCleanup(gc.set_threshold, *before)
        self.addCleanup(gc.unfreeze)
        spareFrames()
        self.assertGreater(gc.get_freeze_count(), 1000)
        self.assertGreater(gc.get_threshold()[0], before[0])


class RegistryTests(SynchronousTestCase):
    """
    Sinks are Twisted plugins.
    """

    def test_builtIn(self) -> None:
        """
        The built-in sinks are installed, and have a help text.
        """
        plugins = {plugin.sinkType: plugin for plugin in sinkPlugins()}
        self.assertLessEqual({"file", "null"}, set(plugins))
        for plugin in plugins.values():
            self.assertTrue(plugin.sinkHelp)

    def test_argumentsAreHandedOnWhole(self) -> None:
        """
        Everything after the first colon is passed to the sink.
        """
        factory = sinkFactory("file:/srv/a:rotate=60")
        assert isinstance(factory, FileSinkFactory)
        self.assertEqual(factory.recording.directory, "/srv/a")
        with self.assertRaises(UsageError):
            sinkFactory("")

    def test_namesHoldNoSecrets(self) -> None:
        """
        A sink's name is its type, numbered if there are several. It never has the
        arguments, which may be secret.
        """
        self.assertEqual(
            sinkNames(["a:secret", "b", "a", "a:x"]), ["a", "b", "a#2", "a#3"]
        )
