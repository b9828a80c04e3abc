"""
Tests of the README, the documentation's examples, and the example distribution.
"""

import atexit
import functools
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import tomllib
from contextlib import closing
from operator import attrgetter
from pathlib import Path
from runpy import run_path

from twisted.application.service import IServiceCollection
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from rtmptw.app.options import Options
from rtmptw.app.service import DEFAULT_PORT, Config, RTMPService
from rtmptw.app.settings import SETTINGS
from rtmptw.errors import NotAllowed
from rtmptw.interfaces import IStreamAuthorizer
from rtmptw.rtmp.events import PlayRequested, PublishRequested
from rtmptw.sinks.file.factory import FileSinkFactory
from rtmptw.testing import RecordingProducer, makeFrames, makeStreamInfo
from tests.live.media import Media, Mux, encode
from tests.test_lane import ThreadClock

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
EXAMPLES = DOCS / "examples"
COUNT = EXAMPLES / "rtmptw-count"
PATTERN = EXAMPLES / "rtmptw-pattern"

#: The longest run of any program, in seconds. A test that takes longer hangs, and
#: fails.
PATIENCE = 120.0

#: One second of video and audio.
MEDIA = Media(frames=25)

TWISTD = ("-c", "from twisted.scripts.twistd import run; run()")


def environment(*folders: Path) -> dict[str, str]:
    """
    @return: the environment of a program that finds modules and plugins in the folders,
        and rtmptw.
    """
    path = os.pathsep.join([*map(str, folders), str(ROOT)])
    return {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}


def run(*arguments: str | Path, folders: tuple[Path, ...] = ()) -> str:
    """
    Run Python and wait until it ends.

    @return: its output.
    """
    finished = subprocess.run(
        [sys.executable, *arguments],
        env=environment(*folders),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE,
    )
    assert finished.returncode == 0, finished.stdout
    return finished.stdout


class Server:
    """
    A server in a process of its own.

    @ivar said: its output so far.
    """

    def __init__(
        self,
        test: SynchronousTestCase,
        *arguments: str | Path,
        folders: tuple[Path, ...] = (),
    ) -> None:
        self.said = ""
        self._process = subprocess.Popen(
            [sys.executable, *arguments],
            env=environment(*folders),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        # When the process is killed, waiting for a line or publishing ends too.
        self._timer = threading.Timer(PATIENCE, self._process.kill)
        self._timer.start()
        test.addCleanup(self.stop)

    def waitFor(self, pattern: str) -> str:
        """
        Wait for a line.

        @return: the first group of the pattern.
        """
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.said += line
            found = re.search(pattern, line)
            if found is not None:
                return found[1]
        raise AssertionError(f"{pattern!r} is not in the output:\n{self.said}")

    def stop(self) -> int:
        """
        Terminate it, and wait until it ends.

        @return: its exit status.
        """
        assert self._process.stdout is not None
        if not self._process.stdout.closed:
            self._process.terminate()
        return self.wait()

    def wait(self) -> int:
        """
        Wait until it ends without a signal. A program that is ending must not get one:
        L{react<twisted.internet.task.react>} restores the default action of SIGTERM
        before the interpreter has ended.

        @return: its exit status.
        """
        output = self._process.stdout
        assert output is not None
        if not output.closed:
            self.said += output.read()
            output.close()
        self._timer.cancel()
        self._timer.join()
        return self._process.wait()


def publish(port: str) -> int:
    """
    Publish one second of video and audio with FFmpeg's own RTMP client.

    @return: the number of frames sent.
    """
    return Mux(encode(MEDIA), f"rtmp://127.0.0.1:{port}/live/cam").run()


@functools.cache
def installed(example: Path) -> Path:
    """
    Build the wheel of an example distribution and install it, once per test run.

    @return: the folder it is installed in.
    """
    folder = Path(tempfile.mkdtemp(prefix="rtmptw-examples-"))
    atexit.register(shutil.rmtree, folder, True)
    source, wheels, target = folder / "source", folder / "wheels", folder / "target"
    # A copy, so that the checkout does not change.
    shutil.copytree(
        example, source, ignore=shutil.ignore_patterns("__pycache__", "dropin.cache")
    )
    pip = ("-m", "pip", "--disable-pip-version-check", "--no-input")
    run(
        *(*pip, "wheel", "--no-deps", "--no-index", "--no-build-isolation"),
        *("--wheel-dir", wheels, source),
    )
    (wheel,) = wheels.glob("*.whl")
    run(*pip, "install", "--no-deps", "--no-index", "--target", target, wheel)
    return target


class EmbedTests(SynchronousTestCase):
    """
    Tests of C{docs/examples/embed.py}, a server inside a program.
    """

    def test_itCountsWhatFFmpegSends(self) -> None:
        """
        Every frame that FFmpeg sends is counted, and the program ends on SIGTERM.
        """
        server = Server(self, EXAMPLES / "embed.py", "tcp:0:interface=127.0.0.1")
        sent = publish(server.waitFor(r"listening on port (\d+)"))
        counted = server.waitFor(r"^live/cam: (\d+) frames")
        self.assertGreater(sent, MEDIA.frames)
        self.assertEqual(int(counted), sent)
        self.assertEqual(server.stop(), 0)


class TrialTests(SynchronousTestCase):
    """
    Tests of C{docs/examples/test_mine.py}, a server in a user's own test.
    """

    def test_itPasses(self) -> None:
        """
        Every frame arrives, and trial finds nothing left behind.
        """
        folder = self.mktemp()
        said = run(
            *("-m", "twisted.trial", "--temp-directory", folder),
            EXAMPLES / "test_mine.py",
        )
        self.assertIn("PASSED (successes=1)", said)


class CountTests(SynchronousTestCase):
    """
    Tests of C{docs/examples/rtmptw-count}, a sink as a separate distribution.
    """

    def test_theWheelHoldsThePlugin(self) -> None:
        """
        The wheel has the plugin, and no package that would hide Twisted's own.
        """
        target = installed(COUNT)
        self.assertTrue((target / "twisted/plugins/rtmptw_count_plugin.py").is_file())
        self.assertEqual(list((target / "twisted").rglob("__init__.py")), [])

    def test_theServerListsIt(self) -> None:
        """
        C{--help-sinks} lists it with the built-in sinks, also in C{twist}, and
        C{--help-sink-type} explains it.
        """
        folders = (installed(COUNT),)
        for program in (TWISTD, ("-m", "twisted")):
            sinks = run(*program, "rtmp", "--help-sinks", folders=folders)
            self.assertIn("  count[:LABEL]\n", sinks)
            self.assertIn("  file[", sinks)
        explained = run(*TWISTD, "rtmp", "--help-sink-type=count", folders=folders)
        self.assertIn("Count the frames of each stream", explained)

    def test_itCountsWhatFFmpegSends(self) -> None:
        """
        The sink gets every frame that FFmpeg sends.
        """
        server = Server(
            self,
            *(*TWISTD, "-n", "--pidfile=", "rtmp"),
            *("--port=tcp:0:interface=127.0.0.1", "--sink=count:hello"),
            folders=(installed(COUNT),),
        )
        sent = publish(server.waitFor(r"RTMPFactory starting on (\d+)"))
        counted = server.waitFor(r"hello: live/cam had (\d+) frames")
        self.assertGreater(sent, MEDIA.frames)
        self.assertEqual(int(counted), sent)
        self.assertEqual(server.stop(), 0)

    def test_itsOwnTestsPass(self) -> None:
        """
        Its own tests pass, including the contract of sinks.
        """
        said = run(
            *("-m", "twisted.trial", "rtmptw_count.test_count"),
            folders=(installed(COUNT),),
        )
        self.assertRegex(said, r"PASSED \(successes=\d+\)")


class RowTests(SynchronousTestCase):
    """
    Tests of C{docs/examples/rows.py}, a sink that writes into a database in a thread.
    """

    def rows(self, path: str) -> list[tuple[str, str, int, int]]:
        """
        @return: the rows in the database.
        """
        with closing(sqlite3.connect(path)) as database:
            return database.execute(
                "SELECT stream, kind, timestamp, size FROM frames ORDER BY rowid"
            ).fetchall()

    def test_aRowForEachFrame(self) -> None:
        """
        The database gets a row for each frame, in order, and is then closed.
        """
        path = self.mktemp()
        clock = ThreadClock()
        factory = run_path(str(EXAMPLES / "rows.py"))["RowFactory"](path)
        factory.startFactory(clock)
        sink = factory.buildSink(makeStreamInfo())
        producer = RecordingProducer()
        sink.streamStarted(makeStreamInfo(), producer)
        frames = makeFrames(seconds=60)
        self.assertEqual(len(frames), 2 + 60 * 25 + 2583)
        for frame in frames:
            sink.frameReceived(frame)
        self.successResultOf(clock.waitFor(sink.streamEnded("over")))
        self.assertEqual(
            self.rows(path),
            [("live/test", f.kind.name, f.timestamp, f.size) for f in frames],
        )
        self.assertEqual(sink.failure, "")
        self.assertNotIn("stop", producer.calls)
        self.assertRaises(sqlite3.ProgrammingError, sink.database.execute, "SELECT 1")

    def test_aDatabaseThatIsNone(self) -> None:
        """
        A file that is no database is the sink's failure, and the sink is detached.
        """
        path = self.mktemp()
        Path(path).write_text("This is no database, and never will be." * 100)
        clock = ThreadClock()
        factory = run_path(str(EXAMPLES / "rows.py"))["RowFactory"](path)
        factory.startFactory(clock)
        sink = factory.buildSink(makeStreamInfo())
        producer = RecordingProducer()
        sink.streamStarted(makeStreamInfo(), producer)
        sink.frameReceived(makeFrames()[0])
        clock.advance(1)
        clock.waitUntil(lambda: producer.calls == ["stop"])
        done = sink.streamEnded("detached")
        if done is not None:
            self.successResultOf(clock.waitFor(done))
        self.assertEqual(sink.failure, "file is not a database")
        self.assertEqual(len(self.flushLoggedErrors(sqlite3.DatabaseError)), 1)


class PatternTests(SynchronousTestCase):
    """
    Tests of C{docs/examples/rtmptw-pattern}, a source as a separate distribution.
    """

    def test_theServerListsIt(self) -> None:
        """
        C{--help-sources} lists it with the built-in sources, C{--help-source-type}
        explains it, and the format line in the plugin equals that of its table.
        """
        folders = (installed(PATTERN),)
        sources = run(*TWISTD, "rtmp", "--help-sources", folders=folders)
        self.assertIn("  pattern[:NAME][:frames=FRAMES]\n", sources)
        self.assertIn("  rtmp:URL[#", sources)
        explained = run(*TWISTD, "rtmp", "--help-source-type=pattern", folders=folders)
        self.assertIn("Publish a moving white line", explained)
        self.assertIn("NAME           the name of the stream", explained)
        table = run(
            "-c",
            "from rtmptw_pattern import PatternFactory as Factory; "
            "print(Factory.arguments.argumentFormat)",
            folders=folders,
        )
        self.assertEqual(table, "[:NAME][:frames=FRAMES]\n")

    def test_aSinkGetsWhatItPublishes(self) -> None:
        """
        A sink gets every frame of the source, and the server stops cleanly.
        """
        server = Server(
            self,
            *(*TWISTD, "-n", "--pidfile=", "rtmp", "--port=tcp:0:interface=127.0.0.1"),
            *("--source=pattern:live/test:frames=50", "--sink=count:hello"),
            folders=(installed(COUNT), installed(PATTERN)),
        )
        self.assertEqual(server.waitFor(r"hello: live/test had (\d+) frames"), "50")
        self.assertEqual(server.stop(), 0)

    def test_itEndsWithTheServer(self) -> None:
        """
        A source that does not end ends with the server.
        """
        server = Server(
            self,
            *(*TWISTD, "-n", "--pidfile=", "rtmp", "--port=tcp:0:interface=127.0.0.1"),
            *("--source=pattern", "--sink=count:hello"),
            folders=(installed(COUNT), installed(PATTERN)),
        )
        server.waitFor(r"(live/pattern: published by this process)")
        self.assertEqual(server.stop(), 0)
        self.assertRegex(server.said, r"hello: live/pattern had \d+ frames")

    def test_aBadCommandLine(self) -> None:
        """
        A bad option is refused in one sentence.
        """
        finished = subprocess.run(
            [sys.executable, *TWISTD, "-n", "rtmp", "--source=pattern:x:color=red"],
            env=environment(installed(PATTERN)),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        self.assertEqual(finished.returncode, 1)
        self.assertEqual(
            finished.stderr,
            "rtmptw: The pattern source has no option 'color', only frames=FRAMES.\n",
        )


class ConfigTests(SynchronousTestCase):
    """
    Tests of C{docs/examples/config.toml}.
    """

    def test_itIsAccepted(self) -> None:
        """
        The file has the defaults, as its comments say, except for C{grace} and options
        without a default.
        """
        options = Options()
        options.parseOptions(["--config", str(EXAMPLES / "config.toml")])
        config = options.config
        self.assertEqual(config.ports, (DEFAULT_PORT,))
        self.assertEqual([name for name, factory in config.sinks], ["file"])
        self.assertEqual(config.graceTime, 10.0)
        self.assertEqual(config.ledger, "ledger.jsonl")
        self.assertEqual(
            [source.stream for source in config.sources],
            ["live/origin", "live/second", "live/film"],
        )
        for setting in SETTINGS:
            if setting.default and setting.name != "grace":
                for place in setting.places:
                    read = attrgetter(place.path)
                    self.assertEqual(read(config), read(Config()), setting.name)

    def test_itStarts(self) -> None:
        """
        A server starts with the file unchanged, without optional packages.
        """
        options = Options()
        options.parseOptions(["--config", str(EXAMPLES / "config.toml")])
        reactor = MemoryReactorClock()
        self.assertEqual(options.config.manhole, "")
        service = RTMPService(options.config, reactor)
        service.privilegedStartService()
        self.assertEqual([port for port, *_ in reactor.tcpServers], [1935])

    def test_itNamesEveryOption(self) -> None:
        """
        The file has every option of the command line.
        """
        text = (EXAMPLES / "config.toml").read_text("utf-8")
        # An option that needs an optional package is commented out.
        text = text.replace("\n# manhole = ", "\nmanhole = ")
        values = tomllib.loads(text)
        self.assertEqual(set(values), optionNames() - {"config"} - HELP)


class AuthorizeTests(SynchronousTestCase):
    """
    Tests of C{docs/examples/authorize.py}.
    """

    def test_aKeyStandsForAName(self) -> None:
        """
        A known stream key is replaced by its name, and an unknown one is refused.
        """
        names = run_path(str(EXAMPLES / "authorize.py"))
        authorizer = names["KeysToNames"]({"secret": "cam"})
        self.assertTrue(verifyObject(IStreamAuthorizer, authorizer))
        known = PublishRequested(1, 1, "live", "secret", "", "OBS")
        permit = authorizer.authorizePublish(known, "192.0.2.7:5")
        self.assertEqual((permit.app, permit.stream), ("live", "cam"))
        unknown = PublishRequested(1, 1, "live", "guess", "", "OBS")
        refusal = self.assertRaises(
            NotAllowed, authorizer.authorizePublish, unknown, "192.0.2.7:5"
        )
        self.assertEqual(refusal.code, "NetStream.Publish.Denied")
        viewer = PlayRequested(1, 1, "live", "cam", "", -2.0, -1.0, False)
        permit = authorizer.authorizePlay(viewer, "192.0.2.7:5")
        self.assertEqual((permit.app, permit.stream), ("live", "cam"))


class ApplicationTests(SynchronousTestCase):
    """
    Tests of C{docs/examples/server.tac}.
    """

    def test_itIsAnApplication(self) -> None:
        """
        The file defines an application with the server as its service.
        """
        application = run_path(str(EXAMPLES / "server.tac"))["application"]
        (service,) = IServiceCollection(application)
        self.assertIsInstance(service, RTMPService)
        self.assertIsInstance(service._config.sinks[0][1], FileSinkFactory)


#: Options that only print.
HELP = {
    "help",
    "help-sinks",
    "help-sink-type",
    "help-sources",
    "help-source-type",
    "version",
}


def optionNames() -> set[str]:
    """
    @return: the long options of C{twistd rtmp}.
    """
    return {name.rstrip("=") for name in Options().longOpt}


class ReadmeTests(SynchronousTestCase):
    """
    Tests that the README matches the code.
    """

    readme = (ROOT / "README.md").read_text("utf-8")

    def test_itShowsTheExamplesAsTheyAre(self) -> None:
        """
        The README's Python code is that of example files, which other tests run.
        """
        shown = re.findall(r"```python\n(.*?)```", self.readme, re.DOTALL)
        embedding = (EXAMPLES / "embed.py").read_text("utf-8")
        self.assertEqual(
            shown,
            [
                (EXAMPLES / "newest.py").read_text("utf-8"),
                (EXAMPLES / "mine.py").read_text("utf-8"),
                (COUNT / "rtmptw_count" / "__init__.py").read_text("utf-8"),
                (COUNT / "twisted/plugins/rtmptw_count_plugin.py").read_text("utf-8"),
                embedding.partition("# begin\n")[2].partition("# end\n")[0],
            ],
        )

    def test_itListsEveryOptionWithItsDefault(self) -> None:
        """
        The README's table has every option with its default.
        """
        rows = dict(re.findall(r"^\| `--([a-z-]+)`.*?\| (.*?) ?\|", self.readme, re.M))
        self.assertEqual(set(rows), optionNames() - {"help", "version"})
        for setting in SETTINGS:
            self.assertEqual(rows[setting.name], setting.default or "none")
        self.assertEqual(rows["config"], "none")

    def test_theCommandsAreOneLineEach(self) -> None:
        """
        One command starts a server and one runs the tests. Each also sets up its
        environment.
        """
        commands = re.findall(r"^    (python3 -m venv .*)$", self.readme, re.M)
        self.assertEqual(len(commands), 2)
        self.assertIn("twistd -n rtmp --port 1935 --sink=file", commands[0])
        self.assertIn("python -m twisted.trial -j 2 tests", commands[1])
        self.assertIn("python -m pytest", commands[1])
        quickstart = (DOCS / "quickstart.rst").read_text("utf-8")
        self.assertIn(commands[0], quickstart)

    def test_itsLinksLeadSomewhere(self) -> None:
        """
        Relative links lead to files in the checkout.
        """
        for link in re.findall(r"\]\((?!https?:)([^)]+)\)", self.readme):
            self.assertTrue((ROOT / link).exists(), link)


class OperateTests(SynchronousTestCase):
    """
    Tests of C{docs/operate.rst}.
    """

    def test_itExplainsEveryOption(self) -> None:
        """
        The page has a definition for every option.
        """
        text = (DOCS / "operate.rst").read_text("utf-8")
        for name in optionNames() - {"help", "version"}:
            self.assertTrue(re.search(rf"^``--(.*--)?{name}\b", text, re.M), name)

    def test_itsTableHasEveryOptionWithItsDefault(self) -> None:
        """
        The page's table has every option with its default, generated from the program's
        own.
        """
        text = (DOCS / "operate.rst").read_text("utf-8")
        self.assertIn("\n.. options::\n", text)
        tables = run_path(str(DOCS / "tables.py"))
        rows = tables["settingRows"]()
        names = {
            found[1]: row
            for row in rows
            if (found := re.match("``--([a-z-]+)=", row[0])) is not None
        }
        self.assertEqual(set(names), optionNames() - {"config"} - HELP)
        for setting in SETTINGS:
            _option, default, meaning = names[setting.name]
            self.assertEqual(default, setting.default)
            self.assertIn(setting.help, meaning.replace("``", ""))
            self.assertIn(setting.kind.bounds, meaning)
        self.assertEqual(
            tables["listTable"](("a", "b"), [("c", ""), ("d", "e")])[4:],
            ["   * - a", "     - b", "   * - c", "     -", "   * - d", "     - e", ""],
        )
