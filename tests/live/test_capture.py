"""
Captures and writers in separate programs that do not use Twisted.
"""

import json
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.threads import deferToThread

import rtmptw
from tests.live.harness import ROOT, LiveServer, Publisher, PublisherFailed
from tests.live.media import VIDEO, Media, Mux, encode, isHeader, mediaTags
from tests.live.programs import Program

pytest.importorskip("numpy")

Serve = Callable[..., Awaitable[LiveServer]]
Script = Callable[..., Program]

EXAMPLES = ROOT / "docs" / "examples"
URL = "rtmp://127.0.0.1:0/live/cam"
#: Without audio, and with more frames than any queue holds.
FILM = Media(audio="", frames=150)
#: Twelve seconds, of which only a part is played.
LONG = Media(audio="", frames=300)


@pytest_twisted.async_yield_fixture()
async def script(tmp_path: Path) -> AsyncIterator[Script]:
    """
    Return a function that runs scripts: files, or code in a string.
    """
    from twisted.internet import reactor

    programs: list[Program] = []

    def start(what: Path | str, *arguments: str) -> Program:
        path = what
        if isinstance(what, str):
            path = tmp_path / f"script{len(programs)}.py"
            path.write_text(what)
        program = Program(
            reactor,
            *("env", f"PYTHONPATH={ROOT}", "PYTHONUNBUFFERED=1", sys.executable),
            *(str(path), *arguments),
        )
        programs.append(program)
        return program

    yield start
    for program in programs:
        if not program.done.called:
            program.signal("KILL")
            await program.done


def publish(url: str, media: Media = FILM, **options: Any) -> Publisher:
    """
    @return: an FFmpeg that publishes.
    """
    from twisted.internet import reactor

    return Publisher(reactor, Mux(encode(media), url, **options))


async def whereTo(program: Program) -> str:
    """
    @return: the URL that a script prints.
    """
    return (await program.says(r"publish to (\S+)"))[1]


@pytest_twisted.ensureDeferred
async def test_everyFrameOfEachPublisher(script: Script) -> None:
    """
    C{docs/examples/see.py}: the capture continues with a publisher that comes back, no
    frame is missing, and Ctrl-C ends the wait for the next frame at once.
    """
    program = script(EXAMPLES / "see.py", URL)
    url = await whereTo(program)
    for turn in (1, 2):
        await publish(url).done
        await program.says(rf"(?m)^{turn * FILM.frames}: ")
    program.signal("INT")
    status = await program.done
    numbers = re.findall(r"(?m)^(\d+): .*, \(64, 96, 3\)$", program.output)
    assert numbers == [str(number) for number in range(1, 2 * FILM.frames + 1)]
    assert status == -2 and "KeyboardInterrupt" in program.complaints
    print(f"capture(every=True): {len(numbers)} of {2 * FILM.frames} frames")


@pytest_twisted.ensureDeferred
async def test_throughNumpyIntoAnotherServer(serve: Serve, script: Script) -> None:
    """
    C{docs/examples/turn.py}: every frame that is captured, changed and written arrives
    in another server's recording.
    """
    live = await serve()
    program = script(EXAMPLES / "turn.py", URL, live.url("out"))
    await publish(await whereTo(program)).done
    assert await program.done == 0, program.complaints
    report = await live.ended("live/out")
    assert not report.ledger.dropped
    (path,) = live.files("live/out")
    frames = [t for t in mediaTags(path) if t.kind == VIDEO and not isHeader(t)]
    counts = f"written={FILM.frames}, sent={FILM.frames}, dropped=0, connections=1"
    assert counts in program.output
    assert "no frame of live/cam for 2 s: the publisher disconnected" in program.output
    assert [t.timestamp for t in frames] == [40 * n for n in range(FILM.frames)]
    print(f"capture -> numpy -> writer -> recording: {len(frames)} of {FILM.frames}")


FAILURES = """
import socket, threading, time
import numpy, rtmptw

def said(function, *arguments, **options):
    began = time.monotonic()
    try:
        print("nothing", function(*arguments, **options))
    except Exception as error:
        print(f"{type(error).__name__}: {error}")
    assert time.monotonic() - began < 3

for turn in (1, 2):
    frames = rtmptw.capture("rtmp://127.0.0.1:0/live/cam", timeout=0.2)
    said(next, frames)
    print(frames.read(), frames.state, frames.isOpened())
    with rtmptw.capture(frames.url.replace("cam", "door"), timeout=0.2) as door:
        said(next, door)
        said(rtmptw.writer, frames.url.replace("cam", "window"), size=(64, 48))
        said(next, frames)
        out = rtmptw.writer(door.url, size=(64, 48))
        for bad in (
            None, numpy.zeros((48, 64, 3)), numpy.zeros((48, 64), "u1"),
        ):
            said(out.write, bad)
        out.close()
        said(out.write, numpy.zeros((48, 64, 3), "u1"))
    threading.Timer(0.2, frames.close).start()
    frames.timeout = None
    print(list(frames), frames.read(), frames.state, frames.why)

taken = socket.create_server(("127.0.0.1", 0))
port = taken.getsockname()[1]
said(rtmptw.capture, f"rtmp://127.0.0.1:{port}/live/cam")
said(rtmptw.capture, "rtmp://192.0.2.1:1935/live/cam")
taken.close()
said(rtmptw.writer, f"rtmp://127.0.0.1:{port}/live/out", size=(64, 48), timeout=0.8)
pulled = rtmptw.capture(f"rtmp://127.0.0.1:{port}/live/a", pull=True, timeout=0.8)
said(next, pulled)
said(rtmptw.capture, "http://127.0.0.1/live")
left = rtmptw.capture("rtmp://127.0.0.1:0/live/left")
"""

SAID = r"""
(TimeoutError: no frame of live/cam for 0\.2 s: nobody has connected to 127\S+
\(False, None\) waiting True
TimeoutError: no frame of live/door for 0\.2 s: nobody has connected to 127\S+
ConnectionError: live/window to rtmp://\S+/live: refused: \S+ No capture reads .*
TimeoutError: no frame of live/cam for 0\.2 s: 127\S+ tried to publish live/window, .*
TypeError: a writer takes bgr24 arrays of uint8, shape \(48, 64, 3\), not NoneType
TypeError: a writer takes .*, shape \(48, 64, 3\), not of float64
ValueError: a writer takes .*, shape \(48, 64, 3\), not \(48, 64\)
ValueError: live/door to rtmp://\S+: the writer is closed
\[\] \(False, None\) ended it was closed
){2}OSError: \[Errno 98\] cannot listen on 127\S+: the port is in use .*
OSError: \[Errno 99\] cannot listen on 192\S+: .* pull=True
TimeoutError: live/out to rtmp://\S+: no server .* 0\.8 s: cannot connect: .*
TimeoutError: no frame of live/a for 0\.8 s: rtmp://\S+: cannot connect: .*
ValueError: a capture needs a URL: the URL must begin with rtmp:// or rtmps://
"""


@pytest_twisted.ensureDeferred
async def test_whatCannotBe(script: Script) -> None:
    """
    Each failure raises one exception in time that says what is wrong. All of it works
    twice in one process, with two captures on one port, and a capture left open does
    not delay the program's exit.
    """
    program = script(FAILURES)
    assert await program.done == 0, program.complaints
    assert re.fullmatch(SAID.lstrip(), program.output), program.output


READ = """
import sys, time
import rtmptw
try:
    import cv2
except ImportError:
    cv2 = None

frames = rtmptw.capture(sys.argv[1], pull=True, format="bgr24", timeout=5)
ages = []
ok, image = frames.read()
print("pulling", flush=True)
while ok and len(ages) < 5:
    ages.append(time.time() - image.arrived.timestamp())
    if cv2 is not None:
        cv2.rectangle(image, (0, 0), (20, 20), (0, 255, 0), 2)
        assert cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).shape == image.shape[:2]
    # A slow reader is what is tested.
    time.sleep(0.3)
    ok, image = frames.read()
counts = frames.counts
frames.release()
print(max(ages), counts.dropped > 20, counts.damaged, frames.isOpened())
"""


@pytest_twisted.ensureDeferred
async def test_theNewestBesideOpenCV(serve: Serve, script: Script) -> None:
    """
    A slow reader that pulls from a server gets a frame that has just arrived each time.
    """
    live = await serve()
    publisher = publish(live.url(), LONG, paced=True)
    await live.server.whenPublished("live/cam")
    program = script(READ, live.url())
    assert await program.done == 0, program.complaints
    publisher.kill()
    with pytest.raises(PublisherFailed):
        await publisher.done
    oldest, *rest = program.output.split()[1:]
    assert rest == ["True", "0", "False"]
    print(
        f"with 0.3 s a frame, the oldest arrived {float(oldest) * 1000:.1f} ms before"
    )
    assert float(oldest) < 0.3


WRITE = """
import sys, time
import numpy, rtmptw

with rtmptw.writer(sys.argv[1], size=(64, 48), rate=50) as out:
    picture = numpy.zeros((48, 64, 3), "u1")
    while out.counts.connections < 2:
        out.write(picture)
        # At the rate it was opened with; faster frames would be sent later.
        time.sleep(0.02)
    for _ in range(20):
        out.write(picture)
counts = out.counts
assert counts.written == counts.sent + counts.dropped, counts
print(counts.dropped > 0, counts.connections)
print("sent", counts.sent)
"""


@pytest_twisted.ensureDeferred
async def test_aServerThatGoesAway(serve: Serve, script: Script) -> None:
    """
    A writer whose connection is closed reconnects, raises nothing, counts the lost
    frames, and begins with a key frame.
    """
    live = await serve()
    waiting = live.server.whenPublished("live/out")
    program = script(WRITE, live.url("out"))
    stream = await waiting
    await live.until(lambda: stream.received["video"] > 10)
    stream.kick("the server goes away")
    assert await program.done == 0, program.complaints
    assert "True 2\n" in program.output
    await live.until(lambda: not live.server.streams)
    paths = live.files("live/out")
    frames = [
        [t for t in mediaTags(path) if t.kind == VIDEO and not isHeader(t)]
        for path in paths
    ]
    assert len(frames) == 2 and all(tags[0].payload[0] >> 4 == 1 for tags in frames)
    sent = int(program.output.split()[-1])
    assert len(frames[1]) >= 20
    # The server may have read a little more than the writer counts as sent.
    assert abs(sent - sum(map(len, frames))) <= 2, (sent, *map(len, frames))


@pytest_twisted.ensureDeferred
async def test_aTaskOfAsyncio(script: Script) -> None:
    """
    C{docs/examples/see_async.py}: a task reads every frame, and can be cancelled.
    """
    program = script(EXAMPLES / "see_async.py", URL)
    await publish(await whereTo(program)).done
    await program.says(rf"(?m)^{FILM.frames}: ")
    program.write(b"\n")
    assert await program.done == 0, program.complaints
    counts = f"received={FILM.frames}, read={FILM.frames}, dropped=0, damaged=0"
    assert counts in program.output and not program.complaints


@pytest_twisted.ensureDeferred
async def test_framesInATaskOfTheReactorsLoop(script: Script) -> None:
    """
    C{docs/examples/tasks.py}: C{async for frame in stream.frames()} works under the
    asyncio reactor.
    """
    program = script(EXAMPLES / "tasks.py", "tcp:0:interface=127.0.0.1")
    port = (await program.says(r"listening on port (\d+)"))[1]
    await publish(f"rtmp://127.0.0.1:{port}/live/cam").done
    assert await program.done == 0, program.complaints
    assert f"{FILM.frames} frames" in program.output


@pytest_twisted.ensureDeferred
async def test_aProgramWithAReactor() -> None:
    """
    In a program with a reactor, a capture works from another thread and uses that
    reactor. In the reactor's thread the blocking calls are refused.
    """
    with pytest.raises(RuntimeError, match=r"use .*captureAsync here"):
        rtmptw.capture(URL)
    with pytest.raises(RuntimeError, match=r"use .*writerAsync here"):
        rtmptw.writer("rtmp://127.0.0.1:1/live/out", size=(64, 48))
    frames = await deferToThread(rtmptw.capture, URL, every=True)
    publisher = publish(frames.url)

    def count() -> int:
        return sum(1 for _number in zip(range(FILM.frames), frames, strict=False))

    assert await deferToThread(count) == FILM.frames
    await publisher.done
    await deferToThread(frames.close)


NOTEBOOK = """
import rtmptw, threading, numpy

def play():
    with rtmptw.writer(frames.url, size=(64, 48), rate=25) as out:
        for number in range(50):
            out.write(numpy.full((48, 64, 3), number, "u1"))

shapes = []
with rtmptw.capture("rtmp://127.0.0.1:0/live/cam", every=True, timeout=2) as frames:
    threading.Thread(target=play).start()
    try:
        for frame in frames:
            shapes.append(frame.shape)
    except TimeoutError as error:
        print(len(shapes), error)
"""
WITH_AWAIT = """
async with rtmptw.captureAsync("rtmp://127.0.0.1:0/live/cam", timeout=2) as frames:
    threading.Thread(target=play).start()
    print((await anext(frames)).shape)
"""


#: Runs in a process of its own, because the notebook client runs an asyncio loop that
#: handles the signals.
RUN = """
import json, sys
import nbclient, nbformat

cells = [nbformat.v4.new_code_cell(source) for source in json.loads(sys.argv[1])]
notebook = nbformat.v4.new_notebook(cells=cells)
nbclient.NotebookClient(notebook, timeout=60).execute()
for cell in notebook.cells:
    print("".join(output.get("text", "") for output in cell.outputs), end="")
"""


@pytest_twisted.ensureDeferred
async def test_aNotebook(script: Script) -> None:
    """
    Captures and writers work in a notebook's cell, also when it runs twice, and with
    C{await} in another cell.
    """
    for module in ("nbclient", "nbformat", "ipykernel"):
        if find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    program = script(RUN, json.dumps([NOTEBOOK, NOTEBOOK, WITH_AWAIT]))
    assert await program.done == 0, program.complaints
    assert [line.split(":")[0] for line in program.output.splitlines()] == [
        *["50 no frame of live/cam for 2 s"] * 2,
        "(48, 64, 3)",
    ], program.output
