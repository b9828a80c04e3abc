"""
A server used from a Python program, with FFmpeg as the publisher.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from rtmptw.server import LiveStream
from tests.live.harness import ROOT, LiveServer, Publisher
from tests.live.media import H264_AAC, VIDEO, Mux, encode, isHeader, mediaTags
from tests.live.programs import Program

Serve = Callable[..., Awaitable[LiveServer]]
ServerProcess = Callable[..., Awaitable[tuple[Program, int]]]


@pytest_twisted.ensureDeferred
async def test_framesInALoop(serve: Serve) -> None:
    """
    A coroutine and a thread that read one stream at once each get all decoded frames.
    """
    pytest.importorskip("numpy")
    live = await serve()
    server = live.server
    waiting: Deferred[LiveStream] = server.whenPublished("live/cam")
    threads: list[Deferred[int]] = []
    streams: list[LiveStream] = []

    def begin(stream: LiveStream) -> LiveStream:
        streams.append(stream)
        frames = stream.frames(format="gray", policy="lossless")
        threads.append(deferToThread(lambda: sum(1 for _ in frames.iterate())))
        return stream

    waiting.addCallback(begin)
    publisher = Publisher(live.reactor, Mux(encode(H264_AAC), live.url()))
    stream = await waiting
    count = 0
    async for frame in stream.frames(format="bgr24", policy="lossless"):
        assert frame.image.shape == (64, 96, 3)
        count += 1
    await publisher.done
    assert (count, await threads[0]) == (H264_AAC.frames, H264_AAC.frames)
    print(f"frames(): {count} of {H264_AAC.frames} video frames, twice")


@pytest_twisted.ensureDeferred
async def test_publishWhatIsDecoded(serve: Serve) -> None:
    """
    A program that decodes one stream and publishes it as another loses no frame.
    """
    live = await serve()
    server = live.server
    waiting = server.whenPublished("live/cam")
    publisher = Publisher(live.reactor, Mux(encode(H264_AAC), live.url(), paced=True))
    stream = await waiting
    feed = server.publish("live/out", video="libx264:preset=ultrafast:tune=zerolatency")
    frames = stream.frames(format="native", policy="lossless")

    def turn() -> None:
        for frame in frames.iterate():
            feed.video(frame.image, at=frame.pts)
        feed.close("the camera has gone")

    await deferToThread(turn)
    await publisher.done
    report = await live.ended("live/out")
    assert report.ended == "the camera has gone" and not report.ledger.dropped
    (path,) = live.files("live/out")
    images = [t for t in mediaTags(path) if t.kind == VIDEO and not isHeader(t)]
    print(f"publish(): {len(images)} of {H264_AAC.frames} video frames")
    assert len(images) == H264_AAC.frames


@pytest_twisted.ensureDeferred
async def test_theReadmesExample(
    serverProcess: ServerProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The sink of the README works with the README's option.
    """
    from twisted.internet import reactor

    pytest.importorskip("numpy")
    readme = (ROOT / "README.md").read_text("utf-8")
    sink = "--sink=decode:mine.show:format=bgr24:policy=latest"
    assert sink in readme
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "docs" / "examples"))
    server, port = await serverProcess(sink)
    url = f"rtmp://127.0.0.1:{port}/live/cam"
    await Publisher(reactor, Mux(encode(H264_AAC), url, paced=True)).done
    await server.says(r"live/cam 2\.36 s: \d+")
    server.signal("TERM")
    assert await server.done == 0
