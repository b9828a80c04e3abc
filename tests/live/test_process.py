"""
Decoders and user code in processes of their own. Such a process may die without harm to
the server.
"""

import os
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import av
import numpy
import pytest
import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.python.usage import UsageError

from rtmptw.frames import FrameKind
from rtmptw.sinks.decode.decoding import MAX_VIDEO
from rtmptw.sinks.decode.loop import DecodedFrames
from rtmptw.sinks.decode.memory import SLOTS
from rtmptw.sinks.decode.sink import DecodedFrame, DecodeSinkFactory
from tests._pyav.hashes import decodedByFFmpeg
from tests.live.harness import LiveServer, Publisher, PublisherFailed
from tests.live.media import AV1_OPUS, H264_AAC, VIDEO_ONLY, Media, Mux, encode
from tests.live.programs import PATIENCE

Serve = Callable[..., Awaitable[LiveServer]]

#: Code as users write it. It writes what it got to files.
CODE = """
import ctypes, os, signal, sys, time
from tests._pyav.hashes import hashOf

FOLDER = {folder!r}

def note(name, text):
    with open(os.path.join(FOLDER, name), "a") as file:
        file.write(text + chr(10))

class Hashes:
    def __init__(self, stream):
        assert stream.name == "live/cam" and stream.hub is None
        note("pids", str(os.getpid()))
        print("hello from", stream.name)
    def videoFrame(self, frame):
        note("video", hashOf(frame.image))
    def audioFrame(self, frame):
        note("audio", hashOf(frame.samples))
    def ended(self, reason):
        note("ended", reason)

class Waiting(Hashes):
    async def videoFrame(self, frame):
        note("video", hashOf(frame.image))

count = 0

def crash(frame, stream):
    global count
    count += 1
    note("times", f"{{os.getpid()}} {{round(frame.pts * 25)}} {{int(frame.keyframe)}}")
    if count == 30:
        ctypes.string_at(0)

def fail(frame, stream):
    note("times", "once")
    raise ValueError("no good")

def shape(frame, stream):
    note("shapes", f"{{type(frame.image).__name__}} {{frame.image.shape}}")

class Empty:
    pass

def stuck(frame, stream):
    note("pids", str(os.getpid()))
    # Code that does not return is what is tested; its process is killed.
    time.sleep({patience})
"""


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[str]]:
    """
    Write a module of user code.

    @return: a function that returns the lines of one of the files that it writes.
    """
    (tmp_path / "processcode.py").write_text(
        CODE.format(folder=str(tmp_path), patience=PATIENCE)
    )
    monkeypatch.syspath_prepend(str(tmp_path))

    def lines(name: str) -> list[str]:
        path = tmp_path / name
        return path.read_text().splitlines() if path.exists() else []

    return lines


def decode(rest: str) -> DecodeSinkFactory:
    """
    @return: the factory of C{--sink=decode:processcode.REST:process=yes}.
    """
    factory = DecodeSinkFactory.fromString(f"processcode.{rest}:process=yes")
    assert "processcode" not in sys.modules, "the server need not import it"
    return factory


def isThere(pid: int) -> bool:
    """
    @return: whether a process exists.
    """
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("name", ["Hashes", "Waiting"])
@pytest.mark.parametrize("media", [H264_AAC, AV1_OPUS], ids=["h264", "av1"])
@pytest_twisted.ensureDeferred
async def test_everyFrame(
    serve: Serve, code: Callable[[str], list[str]], name: str, media: Media
) -> None:
    """
    User code in another process gets every decoded frame and every sample, compared by
    hash. The process is gone when the stream has ended.
    """
    server = await serve(others=[("decode", decode(f"{name}:finish=60"))])
    source = encode(media)
    with capturedLogs() as events:
        await server.publish(Mux(source, server.url()))
        report = await server.ended(sink="decode")
    assert report.ledger.dropped == {} and report.failure == ""
    wanted = decodedByFFmpeg(source)
    assert code("video") == wanted[FrameKind.VIDEO]
    assert code("audio") == wanted[FrameKind.AUDIO]
    print(f"{name}: {len(code('video'))} video, {len(code('audio'))} audio frames")
    assert code("ended") == ["unpublished"]
    (pid,) = map(int, code("pids"))
    assert pid != os.getpid() and not isThere(pid)
    said = [formatEvent(event) for event in events]
    label = f"live/cam: decode processcode.{name}"
    assert f"{label}: hello from live/cam" in said
    (total,) = [line for line in said if f"processcode.{name} got" in line]
    assert f"{media.frames} video" in total


@pytest_twisted.ensureDeferred
async def test_codeThatCrashes(serve: Serve, code: Callable[[str], list[str]]) -> None:
    """
    Code that crashes ends only its own process. The log names the stream and the
    signal, the next process begins with a key frame, and the ledger counts the lost
    frames.
    """
    server = await serve(others=[("decode", decode("crash"))])
    source = encode(Media(audio="", frames=150))
    with capturedLogs() as events:
        await server.publish(Mux(source, server.url(), paced=True))
        report = await server.ended(sink="decode")
        files = await server.ended()
    said = [formatEvent(event) for event in events]
    died = [line for line in said if "decode processcode.crash: ended by" in line]
    print(died[0])
    for line in died:
        assert (
            "live/cam: decode processcode.crash: ended by signal 11 (SIGSEGV)" in line
        )
    assert any("Segmentation fault" in line for line in said), "no stack in the log"
    times = [tuple(map(int, line.split())) for line in code("times")]
    pids = list(dict.fromkeys(pid for pid, _number, _key in times))
    first, second = (
        [number for pid, number, _key in times if pid == one] for one in pids[:2]
    )
    assert first == list(range(30))
    (begin,) = [
        key for pid, number, key in times if (pid, number) == (pids[1], second[0])
    ]
    assert begin == 1 and second[0] % 25 == 0
    ledger = report.ledger
    assert ledger.balanced and set(ledger.dropped) == {"process-ended"}
    # The lost frames are those queued for the code when it crashed, and those that
    # arrived before the next process began.
    lost = ledger.dropped["process-ended"]
    missing = set(range(150)) - {number for _pid, number, _key in times}
    most = len(missing) + 2 * MAX_VIDEO * len(died)
    assert len(missing) <= lost <= most, (lost, len(missing), died)
    print(f"{len(times)} of 150 frames in {len(pids)} processes, {lost} lost")
    assert files.ledger.dropped == {}, "the recording lost frames"


@pytest_twisted.ensureDeferred
async def test_aProcessThatIsKilled(
    serve: Serve, code: Callable[[str], list[str]]
) -> None:
    """
    If the process is killed, the log names the signal, and another process starts.
    """
    server = await serve(others=[("decode", decode("Hashes:finish=60"))])
    publisher = Publisher(
        server.reactor,
        Mux(encode(Media(audio="", frames=150)), server.url(), paced=True),
    )
    with capturedLogs() as events:
        await server.until(lambda: len(code("video")) > 10)
        os.kill(int(code("pids")[0]), signal.SIGKILL)
        await server.until(lambda: len(code("pids")) == 2)
        await publisher.done
        report = await server.ended(sink="decode")
    said = "\n".join(formatEvent(event) for event in events)
    assert "decode processcode.Hashes: ended by signal 9 (SIGKILL)" in said
    assert report.ledger.balanced and report.failure == ""
    assert not any(isThere(int(pid)) for pid in code("pids"))


@pytest_twisted.ensureDeferred
async def test_detach(serve: Serve, code: Callable[[str], list[str]]) -> None:
    """
    With C{onError=detach}, the first exception ends the sink for good, with its
    traceback in the log.
    """
    server = await serve(others=[("decode", decode("fail:onError=detach"))])
    with capturedLogs() as events:
        await server.publish(Mux(encode(VIDEO_ONLY), server.url(), paced=True))
        report = await server.ended(sink="decode")
    assert report.failure == "ValueError in processcode.fail"
    assert code("times") == ["once"]
    said = "\n".join(formatEvent(event) for event in events)
    assert "ValueError: no good" in said and "in fail" in said


@pytest_twisted.ensureDeferred
async def test_options(serve: Serve, code: Callable[[str], list[str]]) -> None:
    """
    The sink's options reach the process.
    """
    factory = decode("shape:format=gray:size=48x32:fps=5:finish=60")
    server = await serve(others=[("decode", factory)])
    await server.publish(Mux(encode(VIDEO_ONLY), server.url()))
    await server.ended(sink="decode")
    assert code("shapes") == ["ndarray (32, 48)"] * 12


@pytest_twisted.ensureDeferred
async def test_finish(serve: Serve, code: Callable[[str], list[str]]) -> None:
    """
    Code that does not return is ended after the time of C{finish=}, and the frames it
    had are counted as lost.
    """
    server = await serve(others=[("decode", decode("stuck:finish=9"))])
    await server.publish(Mux(encode(VIDEO_ONLY), server.url()))
    started = server.reactor.seconds()
    await server.until(lambda: bool(code("pids")))
    report = await server.ended(sink="decode")
    assert 8 < server.reactor.seconds() - started < PATIENCE / 2
    assert report.ledger.dropped == {"process-ended": VIDEO_ONLY.frames}
    assert report.ledger.balanced
    assert not isThere(int(code("pids")[0]))


def test_namesAreLookedAtFirst(code: Callable[[str], list[str]]) -> None:
    """
    A wrong name or option is reported when the server starts.
    """
    for text, said in (
        ("nothing", "has no attribute 'nothing'"),
        ("Empty", "has neither videoFrame nor audioFrame"),
        ("Hashes:media=video", "media= is for functions"),
    ):
        with pytest.raises(UsageError, match=said):
            decode(text)


async def take(
    server: LiveServer, stop: int = 0, **options: Any
) -> tuple[Any, list[DecodedFrame]]:
    """
    Loop over the decoded frames of the next stream, from another process.

    @param stop: the number of frames after which to leave the loop.
    @return: the sink, and the frames.
    """
    await server.hub.whenPublished("live", "cam")
    frames = DecodedFrames(server.reactor, process=True, **options)
    server.stream().attach("frames", frames)
    got = []
    async for frame in frames:
        got.append(frame)
        if len(got) == stop:
            break
    return frames, got


@pytest_twisted.ensureDeferred
async def test_aLoopInTheServer(serve: Serve) -> None:
    """
    A loop in the server gets every decoded frame and every sample from another process,
    through shared memory.
    """
    server = await serve()
    source = encode(H264_AAC)
    taking = Deferred.fromCoroutine(take(server, format="bgr24", media="both"))
    await server.publish(Mux(source, server.url(), paced=True))
    frames, got = await taking
    assert frames.waiting == 0
    report = await server.ended(sink="frames")
    assert report.ledger.dropped == {} and report.failure == ""
    with av.open(source) as container:
        arrays = [f.to_ndarray(format="bgr24") for f in container.decode(video=0)]
    with av.open(source) as container:
        samples = [f.to_ndarray() for f in container.decode(audio=0)]
    images = [frame for frame in got if frame.kind is FrameKind.VIDEO]
    sound = [frame for frame in got if frame.kind is FrameKind.AUDIO]
    print(f"shared memory: {len(images)} video, {len(sound)} audio frames")
    assert len(images) == len(arrays) == 60
    for frame, array in zip(images, arrays, strict=True):
        assert numpy.array_equal(frame.image, array)
        assert frame.image.flags.writeable and frame.arrived.tzinfo is not None
    assert len(sound) == len(samples)
    for frame, block in zip(sound, samples, strict=True):
        assert numpy.array_equal(frame.samples, block) and frame.rate == 48000
    times = [round((frame.pts - images[0].pts) * 25) for frame in images]
    assert times == list(range(60))
    assert sum(frame.keyframe for frame in images) == 3


@pytest_twisted.ensureDeferred
async def test_aLoopThatIsLeft(serve: Serve) -> None:
    """
    Leaving a loop ends its process.
    """
    server = await serve()
    taking = Deferred.fromCoroutine(take(server, 5, format="gray"))
    with capturedLogs() as events:
        publisher = Publisher(
            server.reactor, Mux(encode(VIDEO_ONLY), server.url(), pauseAfter=40)
        )
        await publisher.paused
        _frames, got = await taking
        await server.until(lambda: ("live/cam", "frames") in server.reports)
        assert "live/cam" in server.hub.streams, "the stream must continue"
        publisher.goOn()
        await publisher.done
    assert [frame.image.shape for frame in got] == [(64, 96)] * 5
    said = [formatEvent(event) for event in events]
    (pid,) = [
        int(line.split("process ")[1]) for line in said if "decode started" in line
    ]
    assert not isThere(pid)


@pytest_twisted.ensureDeferred
async def test_aLoopWhoseProcessDies(serve: Serve) -> None:
    """
    If the process of a loop dies, the loop continues with the next process, and the
    ledger counts the lost frames.
    """
    server = await serve()
    taking = Deferred.fromCoroutine(take(server, format="gray"))
    publisher = Publisher(
        server.reactor,
        Mux(encode(Media(audio="", frames=400)), server.url(), paced=True),
    )
    await server.until(lambda: "live/cam" in server.hub.streams)

    def child() -> Any:
        for outlet in server.stream().outlets:
            if outlet.name == "frames" and outlet.sink.given > 10:  # type: ignore[attr-defined]
                return outlet.sink._decoding._child._child  # type: ignore[attr-defined]
        return None

    await server.until(lambda: child() is not None)
    os.kill(child().transport.pid, signal.SIGKILL)
    _frames, got = await taking
    await publisher.done
    report = await server.ended(sink="frames")
    numbers = [round(frame.pts * 25) for frame in got]
    assert numbers == sorted(set(numbers))
    missing = 400 - len(numbers)
    lost = report.ledger.dropped["process-ended"]
    print(f"{len(numbers)} of 400 frames by two processes, {lost} lost")
    assert 0 < missing <= lost + 2 * SLOTS and report.ledger.balanced
    assert numbers[-1] == 399


@pytest_twisted.ensureDeferred
async def test_theNewestOfAnotherProcess(serve: Serve) -> None:
    """
    With C{policy=latest}, a loop that starts late gets the newest frame.
    """
    server = await serve()
    published = server.hub.whenPublished("live", "cam")
    publisher = Publisher(
        server.reactor,
        Mux(encode(Media(audio="", frames=400)), server.url(), paced=True),
    )
    await published
    frames = DecodedFrames(server.reactor, process=True, format="gray", policy="latest")
    server.stream().attach("frames", frames)
    waiting = frames._decoding._waiting
    await server.until(lambda: frames._decoding.skipped > 20 and bool(waiting))
    (newest,) = [one.said["pts"] for one in waiting]
    loop = frames.__aiter__()
    first = await loop.__anext__()
    assert first.pts == newest and first.image.shape == (64, 96)
    publisher.kill()
    with suppress(PublisherFailed):
        await publisher.done
    await loop.aclose()  # type: ignore[attr-defined]
    await server.ended(sink="frames")


def test_arraysOnly() -> None:
    """
    PyAV's own frames cannot be passed from another process.
    """
    reactor: Any = Clock()
    with pytest.raises(ValueError, match="passes arrays: choose an array format"):
        DecodedFrames(reactor, process=True)
