"""
Streams piped into real programs, published by FFmpeg's own RTMP client.
"""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted

from rtmptw.frames import StreamInfo
from rtmptw.sinks.child import ChildSink
from rtmptw.sinks.pipe.factory import PipeSinkFactory
from tests._pyav.test_muxing import images, packetsOf, same
from tests.live.harness import LiveServer, Publisher
from tests.live.media import (
    H264_AAC,
    HEVC_AAC,
    Media,
    Mux,
    compare,
    encode,
    isHeader,
    mediaTags,
    reference,
)
from tests.live.programs import need

Serve = Callable[..., Awaitable[LiveServer]]


class Pipes(PipeSinkFactory):
    """
    A factory that remembers its sinks.
    """

    sinks: list[ChildSink]

    def buildSink(self, stream: StreamInfo) -> ChildSink:
        self.sinks = [*getattr(self, "sinks", []), super().buildSink(stream)]
        return self.sinks[-1]

    @property
    def pid(self) -> int | None:
        """
        The process ID of the current child.
        """
        child = self.sinks[-1]._child if getattr(self, "sinks", None) else None
        return None if child is None else child.transport.pid


def isThere(pid: int) -> bool:
    """
    @return: whether a process exists, a zombie included.
    """
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("paced", [False, True], ids=["unpaced", "paced"])
@pytest_twisted.ensureDeferred
async def test_everyFrame(serve: Serve, tmp_path: Path, paced: bool) -> None:
    """
    C{ffmpeg -i - -c copy} writes every payload that was published, and C{cat} gets
    every video frame as a byte stream.
    """
    need("ffmpeg")
    copy = PipeSinkFactory.fromString(
        f"ffmpeg -v error -i - -c copy {tmp_path}/{{app}}-{{name}}.flv"
        " #policy=lossless&finish=60"
    )
    bare = PipeSinkFactory.fromString(
        f"sh -c 'exec cat > {tmp_path}/x.h264' #policy=lossless&format=annexb"
    )
    server = await serve(others=[("copy", copy), ("bare", bare)])
    source = encode(H264_AAC)
    await server.publish(Mux(source, server.url(), paced=paced))
    for name in ("copy", "bare"):
        report = await server.ended(sink=name)
        assert report.ledger.dropped == {} and report.failure == ""
    path = str(tmp_path / "live-cam.flv")
    same(packetsOf(path), packetsOf(source), "ffmpeg -c copy")
    got, wanted = images(str(tmp_path / "x.h264")), images(source)
    count = sum(one == other for one, other in zip(got, wanted, strict=False))
    print(f"byte stream: {count} of {len(wanted)} video frames")
    assert got == wanted


@pytest_twisted.ensureDeferred
async def test_everyFrameOfALongStream(serve: Serve, tmp_path: Path) -> None:
    """
    A program slower than the publisher makes it wait, and gets all of 10,000 video
    frames and their audio.
    """
    factory = PipeSinkFactory.fromString(
        f"sh -c 'sleep 1; exec cat > {tmp_path}/x.flv' #policy=lossless&finish=60"
    )
    server = await serve(others=[("pipe", factory)])
    source = encode(Media(frames=10_000))
    await server.publish(Mux(source, server.url()))
    await server.ended(sink="pipe")
    compare(mediaTags(tmp_path / "x.flv"), reference(source), "cat")


@pytest_twisted.ensureDeferred
async def test_aChildThatIsKilled(serve: Serve, tmp_path: Path) -> None:
    """
    When the child is killed, another one starts at a key frame, with the sequence
    headers first and timestamps from 0. No process is left.
    """
    factory: Any = Pipes.fromString(
        f"sh -c 'exec cat > {tmp_path}/$$.flv' #policy=lossless"
    )
    server = await serve(others=[("pipe", factory)])
    # One second of video at a time, with a key frame in each.
    source = encode(HEVC_AAC)
    mux = Mux(source, server.url(), repeat=4, paced=False, pauseAfter=200)
    publisher = Publisher(server.reactor, mux)
    await publisher.paused
    await server.until(lambda: server.received() > 150 and factory.pid is not None)
    first = factory.pid
    assert first is not None
    os.kill(first, 9)
    await server.until(lambda: factory.pid is None)
    await server.until(lambda: factory.sinks[0]._retry is None)
    publisher.goOn()
    await publisher.done
    await server.ended(sink="pipe")
    assert factory.sinks[0].starts == 2
    (path,) = [p for p in tmp_path.glob("*.flv") if p.stem != str(first)]
    assert not isThere(first) and not isThere(int(path.stem))
    tags = mediaTags(path)
    sent = reference(source, repeat=4)
    coded = [tag for tag in tags if not isHeader(tag)]
    wanted = [tag for tag in sent if not isHeader(tag)][-len(coded) :]
    count = sum(a.payload == b.payload for a, b in zip(coded, wanted, strict=True))
    print(f"after a kill: {count} of {len(coded)} frames, {len(sent)} were published")
    assert count == len(coded) > 100
    assert isHeader(tags[0]) and isHeader(tags[1])
    assert coded[0].timestamp == 0 and coded[0].payload[0] & 0x70 == 0x10
    assert len(images(str(path))) == sum(tag.kind == 9 for tag in coded)


@pytest_twisted.ensureDeferred
async def test_aChildThatNeverReads(serve: Serve, tmp_path: Path) -> None:
    """
    A child that never reads does not pause the publisher, the recording is complete,
    and the child is gone at the end.
    """
    factory: Any = Pipes.fromString("sleep 1000 #finish=1")
    server = await serve(others=[("pipe", factory)])
    source = encode(Media(frames=10_000))
    publisher = Publisher(server.reactor, Mux(source, server.url()))
    await server.until(lambda: getattr(factory, "sinks", None) is not None)
    await server.until(lambda: factory.pid is not None)
    pid = factory.pid
    assert pid is not None
    await publisher.done
    report = await server.ended(sink="pipe")
    await server.ended()
    (path,) = server.files()
    compare(mediaTags(path), reference(source), "beside a child that never reads")
    assert report.ledger.dropped["too-slow"] > 0
    assert not isThere(pid)
