"""
Tests of the benchmarks: their accounting, their tables, and one very short real run.
"""

import json
import os
import re
import subprocess
import sys
import time
import xml.etree.ElementTree
from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any
from unittest import skipUnless

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.__main__ import main
from benchmarks.accounting import (
    Process,
    Usage,
    isRunning,
    processTree,
    queuedIn,
    usage,
)
from benchmarks.build import compiler
from benchmarks.errors import BenchmarkError
from benchmarks.generator import Result, Target, publishArguments
from benchmarks.measure import Sample, Setup, droppedFrames, figures, halfLoad
from benchmarks.media import readMedia
from benchmarks.micro import compared, measureSubject, subjects
from benchmarks.page import (
    BEGIN,
    END,
    bars,
    between,
    draw,
    pageLines,
    rstTable,
    writePage,
)
from benchmarks.process import ServerProcess
from benchmarks.report import (
    Row,
    Table,
    costColumn,
    growth,
    machineLines,
    markdown,
    notes,
    ratios,
    readResults,
    shown,
    tables,
)
from benchmarks.runner import Run, Terminal, absences, plan, shownTime
from benchmarks.scenarios import SCENARIOS, Ability, chooseScenarios
from benchmarks.servers import (
    SERVERS,
    Place,
    Server,
    chooseServers,
    customServer,
    freePort,
)
from benchmarks.targets import TARGETS, meansTable, targetTable
from benchmarks.without import MEANS, isCompiled

#: The root of the checkout.
ROOT = Path(__file__).parents[1]

#: The kernel's table with three sockets of port 1935 (0x078F): one that listens, a
#: server's with 16 bytes to read, and a client's with 32 bytes to send; and one of
#: another port.
_TABLE = """  sl  local_address rem_address   st tx_queue:rx_queue tr tm->when retrnsmt
   0: 0100007F:078F 00000000:0000 0A 00000000:00000005 00:00000000 00000000 0
   1: 0100007F:078F 0100007F:9C40 01 00000000:00000010 00:00000000 00000000 0
   2: 0100007F:9C40 0100007F:078F 01 00000020:00000000 00:00000000 00000000 0
   3: 0100007F:0790 0100007F:9C41 01 00000400:00000400 00:00000000 00000000 0
"""


def published(messages: int, payload: int, wire: int, **more: float) -> Result:
    """
    @return: the counts of a load generator.
    """
    counts = {"messages": messages, "payload_bytes": payload, "wire_bytes": wire}
    return Result({**counts, **more})


def row(server: str, number: int, cost: float, **more: Any) -> Row:
    """
    @return: one row of results.
    """
    return {
        "run": "1",
        "round": number,
        "server": server,
        "scenario": "fanout200",
        "ability": "play",
        "what": "1 x 4 Mbit/s to 200 players",
        "seconds": 10.0,
        "cpuPerByte": cost / 1e9,
        "errors": {},
        **more,
    }


class AccountingTests(SynchronousTestCase):
    """
    Tests of L{benchmarks.accounting}.
    """

    def test_aTreeIsAllItsProcesses(self) -> None:
        """
        The CPU time of child processes counts while they run and after they have ended.
        """
        work = (
            "import subprocess, sys, time\n"
            "burn = 'import time\\nwhile time.process_time() < 0.2: pass\\n'\n"
            "subprocess.run([sys.executable, '-c', burn])\n"
            "child = subprocess.Popen([sys.executable, '-c', burn + 'input()'],\n"
            "                         stdin=subprocess.PIPE)\n"
            "print('ready', flush=True)\n"
            "input()\n"
            "child.communicate(b'x')\n"
        )
        with subprocess.Popen(
            [sys.executable, "-c", work], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as parent:
            assert parent.stdout is not None
            parent.stdout.readline()
            until = time.monotonic() + 60
            while usage(processTree(parent.pid)).cpu < 0.4:
                self.assertLess(time.monotonic(), until)
            tree = processTree(parent.pid)
            self.assertEqual(tree[0].pid, parent.pid)
            self.assertEqual(len(tree), 2)
            self.assertTrue(all(isRunning(process) for process in tree))
            self.assertGreater(usage(tree).resident, usage(tree[:1]).resident)
            self.assertGreaterEqual(usage(tree[:1]).cpu, 0.19)
            parent.communicate(b"\n", timeout=60)
        self.assertFalse(any(isRunning(process) for process in tree))
        self.assertEqual(usage(tree), Usage(0.0, 0))

    def test_aNumberThatIsUsedAgainIsAnotherProcess(self) -> None:
        """
        A process is identified by its ID and start time, so that a reused ID is another
        process.
        """
        (me, *_others) = processTree(os.getpid())
        self.assertTrue(isRunning(me))
        self.assertFalse(isRunning(Process(me.pid, me.started + 1)))
        self.assertEqual(usage([Process(me.pid, me.started + 1)]), Usage(0.0, 0))

    def test_bytesOnTheirWay(self) -> None:
        """
        Queued bytes are those of one port, without the listener's queue of connections.
        """
        self.assertEqual(queuedIn(_TABLE, 1935), 48)
        self.assertEqual(queuedIn(_TABLE, 1937), 0)


class FigureTests(SynchronousTestCase):
    """
    Tests of L{benchmarks.measure.figures}: the figures computed from counts.
    """

    def found(
        self,
        scenario: str,
        publish: Result,
        play: Result | None = None,
        queued: int = 0,
        **last: int,
    ) -> dict[str, Any]:
        """
        @return: the figures of ten seconds in which the server used two seconds of CPU
            time, and other processes one.
        """
        return figures(
            SCENARIOS[scenario],
            Usage(0.5, 10_000_000),
            Sample(100.0, Usage(1.0, 20_000_000), 50.0, 1000),
            Sample(110.0, Usage(3.0, 30_000_000), 53.0, 1000 + queued, **last),
            publish,
            play or Result(),
        )

    def test_whatPlayersGet(self) -> None:
        """
        Costs are per byte that arrived, and the share of what arrived is reported.
        """
        found = self.found(
            "fanout50",
            published(700, 5_000_000, 5_100_000, cpu_user=1.0, ready=1),
            published(
                34_300,
                245_000_000,
                0,
                gaps=3,
                lat_p50_us=900.0,
                lat_p99_us=4000.0,
                ready=50,
            ),
        )
        self.assertAlmostEqual(found["share"], 0.2)
        self.assertAlmostEqual(found["foreign"], 0.1)
        self.assertAlmostEqual(found["generator"], 0.1)
        self.assertAlmostEqual(found["delivered"], 0.98)
        self.assertEqual(found["gaps"], 3)
        self.assertAlmostEqual(found["p50"], 0.9)
        self.assertAlmostEqual(found["p99"], 4.0)
        self.assertAlmostEqual(found["cpuPerByte"], 2 / 245e6)
        self.assertAlmostEqual(found["cpuPerMessage"], 2 / 34_300)
        self.assertAlmostEqual(found["residentEach"], 20e6 / 51)

    def test_whatIsQueuedWasNotTaken(self) -> None:
        """
        A server that is flooded is charged only for what it has read.
        """
        payload = 4096 * 1000
        wire = payload + 1000 * 8 + 1000
        whole = self.found("fast4096", published(1000, payload, wire))
        self.assertAlmostEqual(whole["bytes"], payload)
        self.assertNotIn("delivered", whole)
        half = self.found("fast4096", published(1000, payload, wire), queued=wire // 2)
        self.assertAlmostEqual(half["bytes"], payload / 2, delta=2)
        self.assertAlmostEqual(half["messages"], 500, delta=1)

    def test_whoComesTooLate(self) -> None:
        """
        If a server takes only half of what publishers send in real time, the share says
        so.
        """
        messages = round(50 * 10 * (30 + 44100 / 1024) / 2)
        payload = messages * 4096
        wire = payload + messages * 9
        found = self.found("ingest50", published(messages, payload, wire))
        self.assertAlmostEqual(found["delivered"], 0.5, places=3)

    def test_whatIsRecorded(self) -> None:
        """
        The growth of the files is reported as a share of what was published.
        """
        publish = published(100, 409_600, 410_500)
        found = self.found("record20", publish, recorded=204_800)
        self.assertAlmostEqual(found["recorded"], 0.5)

    def test_idleConnections(self) -> None:
        """
        For idle connections only memory and time are reported, per connection that was
        made.
        """
        found = self.found("idle2000", Result({"ready": 1000}))
        self.assertAlmostEqual(found["residentEach"], 20_000)
        self.assertNotIn("cpuPerByte", found)

    def test_errorsOfBothGenerators(self) -> None:
        """
        Errors of both generators are kept, and a cost without a count is left out.
        """
        found = self.found("fanout50", Result(errors={"a": 1}), Result(errors={"b": 2}))
        self.assertEqual(found["errors"], {"a": 1, "b": 2})
        self.assertNotIn("cpuPerByte", found)

    def test_halfLoad(self) -> None:
        """
        Half load is the number of connections that use half a core, within the maximum.
        """
        self.assertEqual(halfLoad(100, 0.2, 500), 250)
        self.assertEqual(halfLoad(100, 0.01, 500), 500)
        self.assertEqual(halfLoad(100, 100.0, 500), 1)
        self.assertEqual(halfLoad(100, 0.0, 500), 500)

    def test_whatTheBooksSay(self) -> None:
        """
        The dropped frames are the sum over all sinks in the ledger. Without a ledger
        there is no number.
        """
        ledger = Path(self.mktemp())
        self.assertIsNone(droppedFrames(ledger))
        books = [{"dropped": {}}, {"dropped": {"too-slow": 3, "detached": 1}}]
        ledger.write_text("".join(json.dumps(book) + "\n" for book in books))
        self.assertEqual(droppedFrames(ledger), 4)

    def test_whatIsInAFile(self) -> None:
        """
        Audio and video in a file count, script data does not.
        """
        path = Path(self.mktemp())
        tags = b"".join(
            bytes([kind]) + size.to_bytes(3, "big") + bytes(7 + size + 4)
            for kind, size in ((18, 100), (9, 50), (8, 7))
        )
        path.write_bytes(b"FLV\1\5\0\0\0\11" + bytes(4) + tags)
        media = readMedia(path)
        self.assertEqual((media.payloadBytes, media.messages), (57, 2))


class ServerTests(SynchronousTestCase):
    """
    The servers that are measured, and their load.
    """

    def test_aServerOfYourOwn(self) -> None:
        """
        A custom server has a name, a command, and the port that it listens on.
        """
        server = customServer("mine=sh -c 'exec serve @home'@1940")
        self.assertEqual((server.name, server.port), ("mine", 1940))
        place = Place(1940, Path(), SCENARIOS["fanout50"])
        self.assertEqual(server.command(place), ["sh", "-c", "exec serve @home"])
        self.assertEqual(server.whyNot(Ability.PLAY), "")
        self.assertIn("record", server.whyNot(Ability.RECORD))
        nobody = customServer("mine=/there/is/no/such-server@1940")
        self.assertIn("no program", nobody.whyNot(Ability.PLAY))

    def test_whatIsNoServer(self) -> None:
        """
        Bad text for a custom server is refused with the right form.
        """
        for text in ("mine", "mine=serve", "=serve@1", "a=b@0", "a=b@x", "a=@1"):
            error = self.assertRaises(BenchmarkError, customServer, text)
            self.assertIn("NAME=COMMAND@PORT", str(error))

    def test_unknownNames(self) -> None:
        """
        An unknown server or scenario is refused with a list of those that exist.
        """
        error = self.assertRaises(BenchmarkError, chooseServers, ["srs"], [])
        self.assertIn("rtmptw, ", str(error))
        error = self.assertRaises(BenchmarkError, chooseScenarios, ["fanout3"])
        self.assertIn("fanout50, ", str(error))

    def test_theVariantsOfRtmptw(self) -> None:
        """
        The variants of rtmptw listen on loopback, and their sink depends on the
        scenario.
        """
        folder = Path("/tmp/a:b")
        for scenario, option in (
            ("fanout50", "--sink=null"),
            ("record20", "--sink=file:/tmp/a\\:b/recordings"),
            ("remux20", "--sink=record:/tmp/a\\:b/recordings:format=mp4"),
            ("idle2000", "--request-timeout=600"),
        ):
            place = Place(1940, folder, SCENARIOS[scenario])
            command = SERVERS["rtmptw"].command(place)
            self.assertIn("--port=tcp:1940:interface=127.0.0.1", command)
            self.assertIn(option, command)
        place = Place(1940, folder, SCENARIOS["fanout50"])
        self.assertIn("--merge=50", SERVERS["rtmptw-merge50"].command(place))
        self.assertIn("--low-delay=on", SERVERS["rtmptw-low-delay"].command(place))
        self.assertIn("--merge=350", SERVERS["rtmptw-merge350"].command(place))

    def test_theLoad(self) -> None:
        """
        A scenario becomes the generator's arguments, which publish only to loopback.
        """
        target = Target(1940, "x")
        for name, words in (
            ("ingest200", "--conns 200"),
            ("fanout50", "--bitrate 4000000"),
            ("fast128", "--chunk 128 --speed 0"),
            ("split50", "--write-size 700 --write-rand"),
            ("growpublish10", "--audio-size 0"),
        ):
            said = " ".join(publishArguments(SCENARIOS[name], target))
            self.assertIn(words, said)
            self.assertIn("--url rtmp://127.0.0.1:1940/live/x", said)
            self.assertNotIn("--raw", said)
        raw = Target(1940, "x", isRaw=True)
        self.assertIn("--raw", publishArguments(SCENARIOS["fanout50"], raw))

    def test_aServerThatEndsAtOnce(self) -> None:
        """
        If a server ends at once, the error has its exit status and output.
        """
        server = customServer("mine=sh -c 'echo no such licence; exit 3'@1")
        folder = Path(self.mktemp())
        folder.mkdir()
        place = Place(freePort(), folder, SCENARIOS["fanout50"])
        error = self.assertRaises(BenchmarkError, ServerProcess, server, place, None)
        self.assertIn("status 3: no such licence", str(error))


class PlanTests(SynchronousTestCase):
    """
    Tests of L{benchmarks.runner}.
    """

    def server(self, name: str, *abilities: Ability, missing: str = "") -> Server:
        """
        @return: a server with these abilities.
        """
        return Server(
            name,
            name,
            lambda place: [],
            lambda ability: missing,
            frozenset(abilities),
        )

    def test_serversTakeTurns(self) -> None:
        """
        In each round of a scenario, all servers with the ability take turns.
        """
        servers = [
            self.server("a", Ability.PLAY, Ability.INGEST),
            self.server("b", Ability.PLAY),
            self.server("c", Ability.PLAY, missing="it is not installed"),
        ]
        loads = chooseScenarios(["fanout50", "ingest50"])
        steps = plan(servers, loads, 3)
        self.assertEqual(len(steps), 9)
        for number in range(3):
            three = steps[number * 3 : number * 3 + 3]
            self.assertEqual({step.round for step in three}, {number + 1})
            self.assertEqual({step.server.name for step in three[:2]}, {"a", "b"})
            self.assertEqual(three[2].scenario.name, "ingest50")
        self.assertEqual(
            absences(servers, loads),
            ["c is not measured in fanout50: it is not installed"],
        )

    def test_timesForPeople(self) -> None:
        """
        Times are shown in seconds, minutes or hours.
        """
        self.assertEqual(
            [shownTime(seconds) for seconds in (45, 600, 7200)],
            ["45 s", "10 min", "2.0 h"],
        )

    def test_whatCannotStartIsToldAndTheRunGoesOn(self) -> None:
        """
        If a server cannot start, that is reported and the run continues. When the time
        is up, no step begins.
        """
        out = Path(self.mktemp())
        said = StringIO()
        broken = customServer(f"broken={sys.executable} -c 'exit(3)'@{freePort()}")
        steps = plan([broken], chooseScenarios(["fanout50"]), 2)
        run = Run(steps, Setup(None), out, Terminal(said, StringIO()))
        run.carryOut()
        _runs, rows = readResults([out])
        self.assertEqual([row["round"] for row in rows], [1, 2])
        self.assertIn("status 3", rows[0]["failure"])
        self.assertIn("status 3", said.getvalue())
        run.carryOut(budget=-1.0)
        self.assertIn("0 of 2", said.getvalue())
        self.assertIn("status 3", markdown(*_reported(out)))


def _reported(out: Path) -> tuple[list[Row], Any]:
    runs, rows = readResults([out])
    return runs, tables(rows, "nginx")


class TargetTests(SynchronousTestCase):
    """
    Tests of L{benchmarks.targets} and L{benchmarks.without}.
    """

    rows = [
        row("nginx", 1, 2.0, p50=1.0),
        row("nginx", 2, 4.0),
        row("rtmptw", 1, 1.0, p50=9.0),
        row("rtmptw", 2, 3.0),
        row("rtmptw-pure", 1, 1.5),
        row("rtmptw-without-hold", 1, 2.5),
        row("rtmptw-without-direct", 1, 3.0),
    ]

    def test_reachedAndMissed(self) -> None:
        """
        Each target has its figures and by how much it was missed. A target that was not
        measured is left out.
        """
        table = targetTable(self.rows)
        assert table is not None
        self.assertEqual(
            table.rows,
            [
                [
                    "fanout200: CPU of rtmptw to nginx's",
                    "0.65",
                    "0.62 (0.50-0.75)",
                    "yes",
                ],
                ["fanout200: p50 of rtmptw", "8.00 ms", "9.00", "no: 12% more"],
                [
                    "fanout200: CPU of rtmptw-pure to rtmptw's",
                    "1.60",
                    "1.50",
                    "yes",
                ],
            ],
        )
        self.assertIsNone(targetTable([]))

    def test_missedByLittle(self) -> None:
        """
        A target missed by less than half a percent is not shown as missed by 0%.
        """
        for median, said in (
            (8.0, "yes"),
            (8.0001, "no: 0.1% more"),
            (8.03, "no: 0.4% more"),
            (8.1, "no: 1% more"),
        ):
            table = targetTable([row("rtmptw", 1, 1.0, p50=median)])
            assert table is not None
            self.assertEqual([line[3] for line in table.rows], [said])

    def test_targetsDiffer(self) -> None:
        """
        No two targets have the same name.
        """
        self.assertEqual(len({target.what for target in TARGETS}), len(TARGETS))

    def test_memoryOfAPlayer(self) -> None:
        """
        The memory per player is computed between few and many players.
        """
        table = targetTable(
            [
                {**row("rtmptw", 1, 1.0), "scenario": scenario, "resident": resident}
                for scenario, resident in (
                    ("fanout50", 50e6),
                    ("fanout1000", 50e6 + 950 * 32 * 1024),
                )
            ]
        )
        assert table is not None
        self.assertIn(
            ["fanout1000: memory per player", "64.00 KiB", "32.00", "yes"],
            table.rows,
        )

    def test_whatAMeanBuys(self) -> None:
        """
        The gain of an optimization is how many times as much the server costs without
        it, in the same build.
        """
        table = meansTable(self.rows)
        assert table is not None
        self.assertEqual(
            table.rows,
            [
                ["audio waits for the next video frame", "fanout200", "2.50"],
                [
                    "bytes are written to the socket directly (pure Python)",
                    "fanout200",
                    "2.00",
                ],
                ["the compiler", "fanout200", "1.50"],
            ],
        )
        self.assertIsNone(meansTable(self.rows[:3]))

    def test_eachIsTakenAway(self) -> None:
        """
        Each optimization can be switched off in a process of its own.
        """
        gone = {
            # This comes first, because it must be switched off before anything else.
            "slots": "from rtmptw.flv.body import frameFromMessage as f; "
            "assert vars(f(9, 0, b''))['timestamp'] == 0",
            "hold": "from rtmptw.app.options import Options; o = Options(); "
            "o.parseOptions([]); assert o.config.play.hold == 0",
            "spans": "from rtmptw.rtmp import fastpath as r; "
            "assert r.MAX_IN_PLACE == 0",
            "behind": "from rtmptw.net import readers; assert readers.BEHIND == 0",
            "waiting": "import socket; from rtmptw.net.readers import canWait; "
            "assert not canWait(socket.socket())",
            "multicast": "from rtmptw.rtmpserver.play import PacingPlaySink as P; "
            "from rtmptw.interfaces import IMulticastSink as M, IFrameSink as F; "
            "assert F.implementedBy(P) and not M.implementedBy(P)",
            "pacing": "from rtmptw.net import readers as r; "
            "assert {pace for _, pace in (*r.PACES, *r.UNWATCHED_PACES)} == {0.0}",
            "readers": "from rtmptw.net.readers import Readers; "
            "from rtmptw.net.turns import Turns; "
            "from twisted.internet import epollreactor as e; r = e.EPollReactor(); "
            "assert Readers.forReactor(r, Turns(r)) is None",
            "direct": "from rtmptw.net.sender import Sender; "
            "from rtmptw.net.turns import Turns; from twisted.internet import tcp; "
            "t = object.__new__(tcp.Server); t.registerProducer = lambda *a: None; "
            "assert Sender(t, Turns(None), None).send is None",
            "turns": "from rtmptw.net.turns import Turns; "
            "from twisted.internet.task import Clock; c = Clock(); t = Turns(c); "
            "t.readingBegins(); t.add(list); t.readingEnds(); "
            "assert len(c.getDelayedCalls()) == 1",
            "large-reads": "from rtmptw.net import readers as r; "
            "assert r.LARGE_READ_SIZE == r.READ_SIZE",
            "gc": "import gc; from rtmptw.app import options as o; "
            "before = gc.get_threshold(); o.spareFrames(); "
            "assert gc.get_threshold() == before",
        }
        self.assertEqual(gone.keys(), MEANS.keys())
        program = "".join(
            f"MEANS[{name!r}].remove()\n{proof}\n"
            for name, proof in gone.items()
            if MEANS[name].isCompiled or not isCompiled()
        )
        program = f"from benchmarks.without import MEANS\n{program}"
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
            capture_output=True,
            text=True,
        )
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_someAreOfPurePythonOnly(self) -> None:
        """
        In a compiled build some optimizations cannot be switched off. The error says
        where to run instead.
        """
        program = (
            "import sys; from benchmarks import without; "
            "without.isCompiled = lambda: True; "
            "sys.argv[1:] = ['slots', '--version']; without.main()"
        )
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
            capture_output=True,
            text=True,
        )
        self.assertEqual(done.returncode, 1)
        self.assertEqual(
            done.stderr,
            "slots is compiled into this rtmptw and cannot be removed: run this in a "
            "checkout\n",
        )

    def test_withoutIsTwistd(self) -> None:
        """
        After switching off an optimization, the program runs as twistd.
        """
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.without", "gc", "--version"],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
            capture_output=True,
            text=True,
        )
        self.assertIn("twistd", done.stdout, done.stderr)


class ReportTests(SynchronousTestCase):
    """
    Tests of L{benchmarks.report}.
    """

    rows = [
        row("nginx", 1, 2.0, p50=1.0),
        row("nginx", 2, 4.0),
        row("nginx", 3, 3.0),
        row("rtmptw", 1, 1.0, p50=2.0),
        row("rtmptw", 2, 3.0),
        row("rtmptw", 3, 3.0),
    ]

    def test_medianAndSpread(self) -> None:
        """
        Several figures are shown as median and spread, one without a spread, and none
        as a dash.
        """
        self.assertEqual(shown([3.0, 1.0, 2.0], 2), "2.00 (1.00-3.00)")
        self.assertEqual(shown([3.0], 1), "3.0")
        self.assertEqual(shown([], 1), "-")

    def test_ratiosAreOfOneRound(self) -> None:
        """
        Ratios compare figures of the same round, so that a round in which the machine
        was slow for both makes no difference.
        """
        column = costColumn("fanout200", Ability.PLAY)
        found = ratios(self.rows[3:], self.rows[:3], column)
        self.assertEqual(found, [0.5, 0.75, 1.0])
        elsewhere = [{**mine, "run": "2"} for mine in self.rows[3:]]
        self.assertEqual(ratios(elsewhere, self.rows[:3], column), [])

    def test_whatServersAreComparedBy(self) -> None:
        """
        Depending on the scenario, servers are compared by latency, memory, or CPU time
        per frame, message or byte.
        """
        for name, key in (
            ("latency5", "p50"),
            ("idle2000", "residentEach"),
            ("decode1", "cpuPerPicture"),
            ("growplay10", "cpuPerMessage"),
            ("ingest50", "cpuPerByte"),
        ):
            self.assertEqual(costColumn(name, SCENARIOS[name].ability).key, key)

    def test_onWhat(self) -> None:
        """
        Runs on the same machine with the same versions share one line.
        """

        def run(hour: int, version: str, cores: list[int]) -> dict[str, Any]:
            return {
                "began": f"2026-11-23T{hour:02}:00:00+00:00",
                "machine": {
                    "processor": "P",
                    "system": "S",
                    "cores": cores,
                    "versions": {"rtmptw": version, "nginx": "1.22"},
                },
            }

        runs = [run(9, "b", [0, 1]), run(8, "b", [0, 1]), run(7, "a", [])]
        self.assertEqual(
            machineLines(runs),
            [
                "2 runs from 2026-11-23T08:00:00+00:00 to 2026-11-23T09:00:00+00:00: "
                "P, S, server and load on cores 0 and 1; rtmptw b, nginx 1.22",
                "2026-11-23T07:00:00+00:00: "
                "P, S, server and load on one core; rtmptw a, nginx 1.22",
            ],
        )

    def test_theTable(self) -> None:
        """
        The table has a row for each server, and the ratio to the server that was named.
        """
        (table,) = tables(self.rows, "nginx")
        self.assertEqual(
            table.header,
            ["server", "rounds", "CPU s/GB", "p50 ms", "CPU to nginx's", "notes"],
        )
        self.assertEqual(
            table.rows,
            [
                ["nginx", "3", "3.00 (2.00-4.00)", "1.00", "1.00 (1.00-1.00)", ""],
                ["rtmptw", "3", "3.00 (1.00-3.00)", "2.00", "0.75 (0.50-1.00)", ""],
            ],
        )
        (table,) = tables(self.rows, "rtmptw")
        self.assertIn("CPU to rtmptw's", table.header)
        text = markdown([], [table])
        self.assertIn("### fanout200: 1 x 4 Mbit/s to 200 players (10 s)", text)
        self.assertIn("| nginx | 3 | 3.00 (2.00-4.00) |", text)

    def test_whatAReaderMustKnow(self) -> None:
        """
        Losses, errors, and use of the machine by other programs are noted.
        """
        found = notes(
            [
                row("a", 1, 1.0, errors={"reset": 2}, foreign=0.3, dropped=5),
                row("a", 2, 1.0, failure="it died", foreign=0.2, generator=0.95),
            ]
        )
        for words in (
            "reset: 2",
            "it died: 1",
            "dropped frames: 5",
            "others used 25% of the server's core",
            "the load generator was at its limit",
        ):
            self.assertIn(words, found)
        self.assertEqual(notes([row("a", 1, 1.0, foreign=0.01, generator=0.5)]), "")

    def test_growth(self) -> None:
        """
        The growth table has a row for each server, and a figure for each number of
        connections.
        """
        rows = [
            row("a", 1, 1.0, scenario=f"growplay{number}", cpuPerMessage=cost / 1e6)
            for number, cost in ((1, 20.0), (10, 10.0), (1000, 5.0))
        ]
        (points,) = growth(rows, "growplay").values()
        self.assertEqual(sorted(points), [1, 10, 1000])
        self.assertAlmostEqual(points[1000][0], 5.0)
        table = tables(rows, "nginx")[-1]
        self.assertEqual(table.rows, [["a", "20.0", "10.0", "5.0"]])

    def test_whatIsNoResult(self) -> None:
        """
        A results file that is missing or malformed is reported.
        """
        path = Path(self.mktemp())
        error = self.assertRaises(BenchmarkError, readResults, [path])
        self.assertIn("cannot read", str(error))
        for text in ("no JSON\n", "[]\n", "{}\n", '{"ability": "dance"}\n'):
            path.write_text(text)
            error = self.assertRaises(BenchmarkError, readResults, [path])
            self.assertIn("line 1", str(error))


class PageTests(SynchronousTestCase):
    """
    Tests of L{benchmarks.page}.
    """

    def test_theProseStays(self) -> None:
        """
        Only what is between the markers is replaced, each time.
        """
        page = f"Before\n\n{BEGIN}\n\nold\n\n{END}\n\nAfter\n"
        once = between(page, ["new"])
        self.assertEqual(once, f"Before\n\n{BEGIN}\n\nnew\n\n{END}\n\nAfter\n")
        self.assertEqual(between(once, ["new"]), once)
        error = self.assertRaises(BenchmarkError, between, "Before", ["new"])
        self.assertIn(BEGIN, str(error))

    def test_itIsWritten(self) -> None:
        """
        The page has one table with its markup escaped, a valid SVG, and the raw
        results.
        """
        docs = Path(self.mktemp())
        docs.mkdir()
        rows = [*TargetTests.rows, row("a*b", 1, 9.0)]
        results = docs / "results.jsonl"
        page, image, raw = writePage(docs, results, [], rows)
        self.assertEqual(raw, results)
        self.assertEqual(readResults([raw])[1], rows)
        text = page.read_text()
        self.assertEqual(re.findall(r"-table:: (.*)", text), ["Targets"])
        self.assertIn('   "target","at most","measured","reached"\n', text)
        self.assertIn('\n   "fanout200: CPU of rtmptw to nginx\'s",', text)
        root = xml.etree.ElementTree.fromstring(image.read_text())
        words = [one.text for one in root.iter("{http://www.w3.org/2000/svg}text")]
        self.assertIn("rtmptw", words)
        self.assertIn("a*b", words)
        page.write_text(text.replace("Performance", "What it costs", 1))
        writePage(docs, results, [], rows)
        self.assertIn("What it costs", page.read_text())
        error = self.assertRaises(BenchmarkError, writePage, docs, results, [], [])
        self.assertIn("contain no results", str(error))
        self.assertEqual(readResults([raw])[1], rows)

    def test_markupIsEscaped(self) -> None:
        """
        Characters that are special in reStructuredText or CSV are escaped.
        """
        table = Table("Title", ["a", "b"], [["*x*", 'say "`no`"'], ["", "\\"]])
        self.assertEqual(
            rstTable(table),
            [
                ".. csv-table:: Title",
                "   :header-rows: 1",
                "",
                '   "a","b"',
                '   "\\*x\\*","say ""\\`no\\`"""',
                '   "","\\\\"',
                "",
            ],
        )

    def test_allTablesOnDemand(self) -> None:
        """
        With C{--all}, the tables of targets, optimizations and scenarios are written to
        a file beside the results.
        """
        docs = Path(self.mktemp())
        docs.mkdir()
        results = docs / "results.jsonl"
        rows = [*TargetTests.rows, row("a*b", 1, 9.0)]
        results.write_text("".join(f"{json.dumps(line)}\n" for line in rows))
        where = ["--docs", str(docs), "--results", str(results)]
        every = docs / "tables.md"
        said = StringIO()
        with redirect_stdout(said):
            self.assertEqual(main(["page", *where]), 0)
        self.assertFalse(every.exists())
        with redirect_stdout(said):
            self.assertEqual(main(["page", "--all", *where]), 0)
        self.assertIn(f"wrote {every}\n", said.getvalue())
        titles = re.findall("^### (.*)$", every.read_text(), re.M)
        self.assertEqual(titles[:2], ["Targets", "Gain of each optimization"])
        self.assertEqual(len(titles), 3)
        self.assertTrue(titles[2].startswith("fanout200: "), titles[2])
        self.assertIn("| a*b | 1 |", every.read_text())
        self.assertEqual(readResults([results])[1], rows)

    def test_thePageIsWhatTheResultsSay(self) -> None:
        """
        The page in the checkout matches its results: no figure was changed by hand, and
        no results are missing.
        """
        runs, rows = readResults([ROOT / "benchmarks" / "results.jsonl"])
        text = (ROOT / "docs" / "performance.rst").read_text()
        self.assertEqual(between(text, pageLines(runs, rows)), text)
        self.assertEqual((ROOT / "docs" / "performance.svg").read_text(), draw(rows))

    def test_bars(self) -> None:
        """
        Bars are sorted from the best to the worst.
        """
        title, found = bars(ReportTests.rows, "fanout200")
        self.assertIn("CPU s/GB", title)
        self.assertEqual([bar.name for bar in found], ["nginx", "rtmptw"])
        self.assertEqual([bar.least for bar in found], [2.0, 1.0])

    def test_growthIsDrawn(self) -> None:
        """
        Growth is drawn with a line for each server, even if all are equal.
        """
        rows = [
            row(name, 1, 1.0, scenario=f"growplay{number}", cpuPerMessage=1e-5)
            for name in ("a", "b")
            for number in (1, 10)
        ]
        root = xml.etree.ElementTree.fromstring(draw(rows))
        words = [one.text for one in root.iter("{http://www.w3.org/2000/svg}text")]
        for word in ("a", "b", "1", "10"):
            self.assertIn(word, words)


class MicroTests(SynchronousTestCase):
    """
    Tests of L{benchmarks.micro}.
    """

    def test_eachDoesItsWork(self) -> None:
        """
        Each micro-benchmark runs; they check their own results.
        """
        for subject in subjects():
            subject.work()

    def test_ratios(self) -> None:
        """
        The chunk reader costs more turns per message than the ledger.
        """
        found = {subject.name: subject for subject in subjects()}
        (small,) = measureSubject(found["ledger"], runs=1)
        (large,) = measureSubject(found["chunk reader, chunk size 128"], runs=1)
        self.assertGreater(large, small)
        self.assertGreater(small, 0)

    def test_comparedWithBefore(self) -> None:
        """
        A comparison with an earlier result says what has become slower.
        """
        self.assertEqual(compared(2.0, None), "new")
        self.assertEqual(compared(2.0, 2.0), "1.00x")
        self.assertEqual(compared(3.0, 2.0), "1.50x slower")


@skipUnless(compiler(), "no C compiler is installed")
class LiveTests(SynchronousTestCase):
    """
    One very short real run, with everything it needs.
    """

    def test_allMessagesArrive(self) -> None:
        """
        Two players get every message unchanged, and every figure is present.
        """
        out = Path(self.mktemp())
        tiny = replace(SCENARIOS["latency5"], players=2, seconds=1.0)
        setup = Setup(None, settle=0.0, warmup=0.3, verify=True)
        said = StringIO()
        steps = plan([SERVERS["rtmptw-pure"]], [tiny], 1)
        Run(steps, setup, out, Terminal(said, StringIO())).carryOut()
        runs, (found,) = readResults([out])
        self.assertNotIn("failure", found)
        self.assertEqual(found["errors"], {})
        self.assertEqual((found["gaps"], found["repeats"], found["corrupt"]), (0, 0, 0))
        self.assertEqual(found["players"], 2)
        self.assertGreater(found["fewest"], 20)
        for name in ("cpuPerByte", "cpuPerMessage", "share", "p50", "p99", "resident"):
            self.assertGreater(found[name], 0, name)
        text = markdown(runs, tables([found], "nginx"))
        self.assertIn("| rtmptw-pure | 1 | ", text)
        self.assertIn("latency5, rtmptw-pure:  CPU s/GB", said.getvalue())

    def test_theCommandLine(self) -> None:
        """
        The command line lists servers and scenarios, and fails for an unknown scenario.
        """
        said = StringIO()
        with redirect_stdout(said):
            self.assertEqual(main(["list"]), 0)
        for name in (*SERVERS, *SCENARIOS):
            self.assertIn(name, said.getvalue())
        self.assertEqual(main(["run", "--scenarios", "nothing"]), 1)
