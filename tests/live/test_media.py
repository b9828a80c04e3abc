"""
Media that FFmpeg reads and the server publishes: every frame arrives.
"""

import itertools
import re
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import av
import pytest
import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.logger import formatEvent, globalLogPublisher

from rtmptw.frames import FrameKind, StreamInfo
from rtmptw.interfaces import IFrameSink
from rtmptw.plugins.sink import FrameSinkFactory
from rtmptw.sources.media import MediaPull
from rtmptw.testing import RecordingSink
from tests._pyav.test_flv import remux, unsupported
from tests.live.harness import LiveServer
from tests.live.media import (
    AUDIO,
    AV1_OPUS,
    H264_AAC,
    HEVC_AAC,
    VIDEO,
    VP9_FLAC,
    Media,
    encode,
    isHeader,
    mediaTags,
)
from tests.live.programs import PATIENCE, Program

Serve = Callable[..., Awaitable[LiveServer]]

LONG = Media(frames=250)


def pull(server: LiveServer, url: str, **options: Any) -> MediaPull:
    """
    @return: a started pull that publishes C{live/cam}.
    """
    service = MediaPull(server.hub, server.reactor, url, "live", "cam", **options)
    service.startService()
    return service


def compare(path: Path, media: Media, what: str, payloads: bool = True) -> None:
    """
    Compare a recording with what the encoder wrote, track by track, because other
    containers interleave the tracks in another order.
    """
    recorded = [tag for tag in mediaTags(path) if not isHeader(tag)]
    sent = [tag for tag in mediaTags(Path(encode(media))) if not isHeader(tag)]
    for kind in (VIDEO, AUDIO):
        ours = [tag for tag in recorded if tag.kind == kind]
        theirs = [tag for tag in sent if tag.kind == kind]
        same = sum(a.payload == b.payload for a, b in zip(ours, theirs, strict=False))
        print(f"{what} {kind}: {len(ours)} of {len(theirs)} frames, {same} the same")
        assert len(ours) == len(theirs)
        assert same == len(theirs) or (kind == VIDEO and not payloads)
        shifts = {
            (a.timestamp - b.timestamp) & 0xFFFFFFFF
            for a, b in zip(ours, theirs, strict=True)
        }
        assert len(shifts) == 1


def images(path: Path) -> int:
    """
    @return: how many video frames can be decoded.
    """
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
@pytest_twisted.ensureDeferred
async def test_aFile(serve: Serve, tmp_path: Path, suffix: str) -> None:
    """
    Every frame of a file is published in real time, and then the stream ends.
    """
    path = remux(encode(H264_AAC), tmp_path / f"film.{suffix}")
    server = await serve()
    begun = server.reactor.seconds()
    service = pull(server, str(path))
    report = await server.ended()
    assert report.ended == "end of file"
    # It lasts 2.4 s.
    assert server.reactor.seconds() - begun > 2.0
    (recording,) = server.files()
    compare(recording, H264_AAC, suffix, payloads=suffix != "ts")
    assert images(recording) == H264_AAC.frames
    assert report.repairs == {}
    await service.stopService()


@pytest.mark.parametrize("media", [HEVC_AAC, VP9_FLAC], ids=["hevc", "vp9"])
@pytest_twisted.ensureDeferred
async def test_otherCodecs(serve: Serve, tmp_path: Path, media: Media) -> None:
    """
    Other codecs are published as Enhanced RTMP, without transcoding.
    """
    path = remux(encode(media), tmp_path / "film.mkv")
    server = await serve()
    service = pull(server, f"file:{path}")
    await server.ended()
    (recording,) = server.files()
    assert images(recording) == media.frames
    recorded = [tag for tag in mediaTags(recording) if not isHeader(tag)]
    count = sum(tag.kind == VIDEO for tag in recorded)
    print(f"{media.video}: {count} of {media.frames} video frames")
    assert count == media.frames
    await service.stopService()


class WebServer:
    """
    Python's own HTTP server, on loopback.
    """

    def __init__(self, reactor: Any, folder: Path) -> None:
        self._program = Program(
            reactor,
            sys.executable,
            "-u",
            "-m",
            "http.server",
            "--bind",
            "127.0.0.1",
            "0",
            folder=folder,
        )

    async def url(self, path: str) -> str:
        """
        @return: the URL of a file.
        """
        match = await self._program.says(r"http://127.0.0.1:(\d+)/")
        return f"http://127.0.0.1:{match[1]}/{path}"

    async def stop(self) -> None:
        """
        Kill the server.
        """
        self._program.signal("KILL")
        await self._program.done


@pytest.mark.parametrize("name", ["film.mp4", "hls/film.m3u8"])
@pytest_twisted.ensureDeferred
async def test_overHTTP(serve: Serve, tmp_path: Path, name: str) -> None:
    """
    Every frame of a file and of an HLS playlist on an HTTP server is published.
    """
    source = remux(encode(H264_AAC), tmp_path / "film.mp4")
    segmented(source, tmp_path / "hls")
    web = WebServer(pytest_reactor(), tmp_path)
    server = await serve()
    service = pull(server, await web.url(name))
    report = await server.ended()
    assert report.ended == "end of file"
    (recording,) = server.files()
    compare(recording, H264_AAC, name, payloads=name.endswith("mp4"))
    assert images(recording) == H264_AAC.frames
    await service.stopService()
    await web.stop()


def pytest_reactor() -> Any:
    """
    @return: the installed reactor.
    """
    from twisted.internet import reactor

    return reactor


def segmented(source: Path, folder: Path) -> None:
    """
    Write an HLS playlist and its segments.
    """
    folder.mkdir()
    options = {"hls_time": "1", "hls_list_size": "0", "hls_playlist_type": "vod"}
    with (
        av.open(str(source)) as mp4,
        av.open(
            str(folder / "film.m3u8"), "w", format="hls", options=options
        ) as output,
    ):
        streams = {
            stream.index: output.add_stream_from_template(stream, opaque=True)
            for stream in mp4.streams
        }
        for packet in mp4.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                output.mux(packet)


@pytest_twisted.ensureDeferred
async def test_whatIsLive(serve: Serve, tmp_path: Path) -> None:
    """
    A live source, MPEG-TS over TCP, is published as it arrives. When it ends, it is
    opened again.
    """
    path = remux(encode(H264_AAC), tmp_path / "film.ts")
    code = (
        "import socket, sys\n"
        "listening = socket.create_server(('127.0.0.1', 0))\n"
        "print('port', listening.getsockname()[1], flush=True)\n"
        "for number in range(2):\n"
        "    connection, peer = listening.accept()\n"
        "    connection.sendall(open(sys.argv[1], 'rb').read())\n"
        "    connection.close()\n"
    )
    camera = Program(pytest_reactor(), sys.executable, "-c", code, str(path))
    port = (await camera.says(r"port (\d+)\n"))[1]
    server = await serve()
    service = pull(server, f"tcp://127.0.0.1:{port}")
    for turn in (1, 2):
        report = await server.ended()
        assert report.ended == "FFmpeg's process ended"
        del server.reports["live/cam", "file"]
        assert len(server.files()) == turn
        compare(server.files()[-1], H264_AAC, f"tcp, turn {turn}", payloads=False)
        assert images(server.files()[-1]) == H264_AAC.frames
    await service.stopService()
    assert await camera.done == 0


class SlowFactory(FrameSinkFactory):
    """
    A factory of one sink that the test can pause.
    """

    def __init__(self) -> None:
        self.sink = RecordingSink()

    def buildSink(self, stream: StreamInfo) -> IFrameSink:
        return self.sink


@pytest_twisted.ensureDeferred
async def test_aSlowSink(serve: Serve, tmp_path: Path) -> None:
    """
    A slow sink pauses the reading, and no frame of the film is lost.
    """
    slow = SlowFactory()
    server = await serve(others=[("slow", slow)])
    # Long, and not paced by the server: from a socket everything arrives at once.
    path = remux(encode(LONG), tmp_path / "film.ts")
    code = (
        "import socket, sys\n"
        "listening = socket.create_server(('127.0.0.1', 0))\n"
        "print('port', listening.getsockname()[1], flush=True)\n"
        "connection, peer = listening.accept()\n"
        "connection.sendall(open(sys.argv[1], 'rb').read())\n"
        "connection.close()\n"
    )
    camera = Program(pytest_reactor(), sys.executable, "-c", code, str(path))
    port = (await camera.says(r"port (\d+)\n"))[1]
    service = pull(server, f"tcp://127.0.0.1:{port}")
    await server.until(lambda: bool(slow.sink.frames))
    stream = server.stream()
    assert slow.sink.producer is not None
    slow.sink.producer.pauseProducing()
    # What a lossless sink with a full queue does.
    service.pauseSource()
    got = server.received()
    pid = service.pid
    assert pid is not None
    await server.until(lambda: "S" in state(pid))
    assert server.received() == got
    service.resumeSource()
    slow.sink.producer.resumeProducing()
    await server.ended()
    count = stream.counts[FrameKind.VIDEO]
    (recording,) = server.files()
    compare(recording, LONG, "slow", payloads=False)
    assert len([f for f in slow.sink.frames if f.kind is FrameKind.VIDEO]) == count
    await service.stopService()
    assert await camera.done == 0


def state(pid: int) -> str:
    """
    @return: the state of a process, or C{""} if there is no such process.
    """
    try:
        return re.split(r"\) ", Path(f"/proc/{pid}/stat").read_text())[1][:1]
    except FileNotFoundError:
        return ""


@pytest_twisted.ensureDeferred
async def test_stop(serve: Serve, tmp_path: Path) -> None:
    """
    A stop in the middle ends the stream, and leaves no process, not even a zombie.
    """
    path = remux(encode(LONG), tmp_path / "film.mp4")
    server = await serve()
    service = pull(server, str(path), loop=True)
    await server.until(lambda: server.received() > 20)
    pid = service.pid
    assert pid is not None and state(pid)
    await service.stopService()
    assert state(pid) == ""
    report = await server.ended()
    assert report.ended == "the pull was stopped"


@pytest_twisted.ensureDeferred
async def test_loop(serve: Serve, tmp_path: Path) -> None:
    """
    With C{loop}, a film begins again where it ends, in the same stream.
    """
    media = Media(frames=25)
    path = remux(encode(media), tmp_path / "film.mp4")
    server = await serve()
    service = pull(server, str(path), loop=True)
    wanted = [
        tag
        for tag in mediaTags(Path(encode(media)))
        if not isHeader(tag) and tag.kind == VIDEO
    ]
    await server.until(
        lambda: server.received() > 2 * len(mediaTags(Path(encode(media)))) + 5
    )
    await service.stopService()
    report = await server.ended()
    (recording,) = server.files()
    got = [
        tag for tag in mediaTags(recording) if not isHeader(tag) and tag.kind == VIDEO
    ]
    turns = len(got) // len(wanted)
    assert turns >= 2
    for number, tag in enumerate(got):
        assert tag.payload == wanted[number % len(wanted)].payload
    stamps = [tag.timestamp for tag in got]
    assert all(0 < b - a < 200 for a, b in itertools.pairwise(stamps))
    print(f"{len(got)} video frames of a film of {len(wanted)}")
    assert report.repairs == {}


class Said:
    """
    Collects what pulls write to the log.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, event: Any) -> None:
        if event["log_namespace"].endswith("MediaPull"):
            self.lines.append(formatEvent(event))

    async def line(self, server: LiveServer, pattern: str) -> None:
        """
        Wait for a line that matches.
        """
        await server.until(lambda: any(re.search(pattern, line) for line in self.lines))


@pytest.fixture
def said() -> Any:
    """
    The lines that pulls write to the log during the test.
    """
    observer: Any = Said()
    globalLogPublisher.addObserver(observer)
    yield observer
    globalLogPublisher.removeObserver(observer)


@pytest_twisted.ensureDeferred
async def test_noFile(serve: Serve, tmp_path: Path, said: Said) -> None:
    """
    A missing file is logged in one line. When the file appears, it is read.
    """
    server = await serve()
    path = tmp_path / "film.mp4"
    service = pull(server, str(path))
    await said.line(
        server,
        "film.mp4: FFmpeg cannot read it: No such file or directory; retrying",
    )
    remux(encode(Media(frames=10)), tmp_path / "other.mp4").rename(path)
    await server.ended()
    (recording,) = server.files()
    assert images(recording) == 10
    await service.stopService()


@pytest_twisted.ensureDeferred
async def test_noServer(serve: Serve, said: Said) -> None:
    """
    If no server listens, one line is logged, and it has no password or token.
    """
    server = await serve()
    service = pull(server, "rtsp://me:secret@127.0.0.1:1/cam?token=hidden")
    await said.line(server, "rtsp://127.0.0.1:1/cam: FFmpeg cannot read it: Connection")
    await service.stopService()
    assert not any("secret" in line or "hidden" in line for line in said.lines)


@pytest_twisted.ensureDeferred
async def test_unsupported(serve: Serve, tmp_path: Path, said: Said) -> None:
    """
    A codec that RTMP cannot carry is left out, and the log names it.
    """
    server = await serve()
    service = pull(server, str(unsupported(tmp_path / "film.mkv")))
    await said.line(server, "its video is left out: RTMP cannot carry mpeg4")
    await service.stopService()
    assert server.files() == []


@pytest_twisted.ensureDeferred
async def test_aServerThatSaysNothing(serve: Serve) -> None:
    """
    A server that does not answer blocks only FFmpeg's process, and the pull can be
    stopped at once.
    """
    code = (
        "import socket, sys\n"
        "listening = socket.create_server(('127.0.0.1', 0))\n"
        "print('port', listening.getsockname()[1], flush=True)\n"
        "connection, peer = listening.accept()\n"
        "print('accepted', flush=True)\n"
        "while connection.recv(100): pass\n"
    )
    camera = Program(pytest_reactor(), sys.executable, "-c", code)
    port = (await camera.says(r"port (\d+)\n"))[1]
    server = await serve()
    service = pull(server, f"rtsp://127.0.0.1:{port}/cam")
    await camera.says("accepted")
    pid = service.pid
    assert pid is not None
    await service.stopService()
    assert state(pid) == ""
    assert await camera.done == 0


@pytest_twisted.ensureDeferred
async def test_onDemand(serve: Serve, tmp_path: Path) -> None:
    """
    With C{onDemand}, a film is read when it is wanted, and the player gets all of it.
    """
    path = remux(encode(AV1_OPUS), tmp_path / "film.mkv")
    server = await serve()
    service = pull(server, str(path), onDemand=True)
    assert service.pid is None
    wanted: Deferred[Any] = server.hub.whenPublished("live", "cam")
    stream = await wanted.addTimeout(PATIENCE, server.reactor)
    viewer = RecordingSink()
    stream.attach("player", viewer, viewer=True)
    await server.ended()
    count = sum(
        frame.kind is FrameKind.VIDEO and not frame.isHeader for frame in viewer.frames
    )
    print(f"on demand: {count} of {AV1_OPUS.frames} video frames")
    assert count == AV1_OPUS.frames
    await service.stopService()
