"""
Recording into containers, and sending to other targets, with FFmpeg's own RTMP client.
"""

import json
import os
import socket
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.internet.protocol import DatagramProtocol
from twisted.internet.task import LoopingCall

from rtmptw.sinks.record.factory import RecordSinkFactory
from rtmptw.sinks.send.factory import SendSinkFactory
from tests._pyav.test_muxing import LEFT_OUT, images, packetsOf, same, wantedFor
from tests.live.harness import ROOT, LiveServer, Publisher, PublisherFailed
from tests.live.media import (
    AUDIO_ONLY,
    AV1_OPUS,
    H264_AAC,
    HEVC_AAC,
    VP9_FLAC,
    Media,
    Mux,
    compare,
    encode,
    mediaTags,
    reference,
)
from tests.live.programs import ANY_PORT, BIN, PATIENCE, Program, need

Serve = Callable[..., Awaitable[LiveServer]]

NO_B_FRAMES = Media(options=(("preset", "ultrafast"), ("bf", "0"), ("g", "25")))

CONTAINERS = ("mp4", "mkv", "ts", "flv")


async def until(condition: Callable[[], bool]) -> None:
    """
    Check a condition every 50 ms until it is true.
    """
    from twisted.internet import reactor

    met: Deferred[None] = Deferred()

    def look() -> None:
        if condition() and not met.called:
            met.callback(None)

    looking = LoopingCall(look)
    stopped = looking.start(0.05)
    try:
        await met.addTimeout(PATIENCE, reactor)
    finally:
        looking.stop()
        await stopped


@pytest.mark.parametrize("paced", [False, True], ids=["unpaced", "paced"])
@pytest.mark.parametrize(
    "media",
    [H264_AAC, HEVC_AAC, AV1_OPUS, VP9_FLAC, AUDIO_ONLY],
    ids=lambda media: f"{media.video}-{media.audio}",
)
@pytest_twisted.ensureDeferred
async def test_everyPacket(
    serve: Serve, tmp_path: Path, media: Media, paced: bool
) -> None:
    """
    Every container has every packet of the tracks that it can hold. A track that it
    cannot hold is left out, without harm to the others.
    """
    server = await serve(
        others=[
            (name, RecordSinkFactory.fromString(f"{tmp_path}/rec:format={name}"))
            for name in CONTAINERS
        ]
    )
    source = encode(media)
    await server.publish(Mux(source, server.url(), paced=paced))
    for name in CONTAINERS:
        report = await server.ended(sink=name)
        files = list((tmp_path / "rec").rglob(f"*.{name}*"))
        assert report.failure == "" and report.ledger.dropped == {}
        wanted = wantedFor(source, name)
        for kind in LEFT_OUT.get((name, media.video, media.audio), {}):
            del wanted[kind]
        if not wanted:
            assert files == []
            continue
        (path,) = files
        assert path.suffix == f".{name}"
        what = f"{media.video} in {name}"
        same(packetsOf(str(path), name), wanted, what)
    await server.ended()
    (path,) = server.files()
    compare(mediaTags(path), reference(source), "beside them")


@pytest_twisted.ensureDeferred
async def test_manyFrames(serve: Serve, tmp_path: Path) -> None:
    """
    10,000 video frames, sent as fast as possible, are all in an MP4 file.
    """
    factory = RecordSinkFactory.fromString(f"{tmp_path}/rec:name=x.mp4")
    server = await serve(others=[("record", factory)])
    source = encode(Media(frames=10_000))
    await server.publish(Mux(source, server.url()))
    report = await server.ended(sink="record")
    assert report.ledger.dropped == {}
    same(packetsOf(str(tmp_path / "rec/x.mp4")), packetsOf(source), "MP4")


@pytest_twisted.ensureDeferred
async def test_afterKill(
    serverProcess: Callable[..., Awaitable[tuple[Program, int]]], tmp_path: Path
) -> None:
    """
    After kill -9 of the server during a stream, the next start renames the unfinished
    files, and all of them play up to the last second before.
    """
    from twisted.internet import reactor

    sinks = [f"--sink=record:rec:format={name}:name=x" for name in CONTAINERS]
    program, port = await serverProcess(*sinks)
    # A single key frame: a fragment must not wait for the next one.
    source = encode(Media(frames=150, options=(("preset", "ultrafast"), ("g", "1000"))))
    wanted = packetsOf(source)
    sent = 300
    publisher = Publisher(
        reactor,
        Mux(source, f"rtmp://127.0.0.1:{port}/live/cam", paced=True, pauseAfter=sent),
    )
    await publisher.paused
    # FFmpeg holds back a few packets.
    times = sorted(packet[2] for packets in wanted.values() for packet in packets)
    there = times[sent - 10]

    def played(name: str, path: Path) -> int:
        try:
            return max(packet[2] for packet in packetsOf(str(path), name)["video"])
        except (OSError, KeyError, ValueError):
            return -1

    def hasPlayed(name: str, path: Path) -> bool:
        return played(name, path) >= there - 1000

    for name in CONTAINERS:
        part = tmp_path / "rec" / f"x.{name}.part"
        await until(partial(hasPlayed, name, part))
    program.signal("KILL")
    assert await program.done == -9
    publisher.kill()
    with pytest.raises(PublisherFailed):
        await publisher.done
    again, _ = await serverProcess(*sinks)
    await again.saysTimes("recovered ", len(CONTAINERS))
    original = images(source)
    for name in CONTAINERS:
        path = tmp_path / "rec" / f"x.{name}"
        offset = 0 if name != "ts" else packetsOf(str(path), name)["video"][0][2]
        got = packetsOf(str(path), name)
        last = played(name, path) - offset
        assert last >= there - 1000
        for kind, packets in got.items():
            count = len(packets)
            print(f"{name}: {count} of {len(wanted[kind])} {kind} packets, {last} ms")
            hashes = [packet[0] for packet in wantedFor(source, name)[kind][:count]]
            assert [packet[0] for packet in packets] == hashes
        decoded = images(str(path))
        assert decoded == original[: len(decoded)]
        assert len(decoded) >= len(got["video"]) - 1
    assert not list((tmp_path / "rec").glob("*.part"))


@pytest_twisted.ensureDeferred
async def test_anHLSFolder(serve: Serve, tmp_path: Path) -> None:
    """
    The segments of an HLS playlist have every packet.
    """
    factory = SendSinkFactory.fromString(
        f"{tmp_path}/hls/{{app}}/{{name}}/index.m3u8#hls_time=1&hls_list_size=0"
    )
    server = await serve(others=[("send", factory)])
    source = encode(H264_AAC)
    await server.publish(Mux(source, server.url(), paced=True))
    report = await server.ended(sink="send")
    assert report.ledger.dropped == {}
    folder = tmp_path / "hls/live/cam"
    assert len(list(folder.glob("*.ts"))) == 3, "hls_time was ignored"
    same(packetsOf(str(folder / "index.m3u8"), "ts"), wantedFor(source, "ts"), "HLS")


@pytest_twisted.ensureDeferred
async def test_MPEGTSOverUDP(serve: Serve, tmp_path: Path) -> None:
    """
    Every packet arrives as MPEG-TS in UDP datagrams.
    """
    from twisted.internet import reactor as installed

    reactor: Any = installed

    class Receiver(DatagramProtocol):
        def __init__(self) -> None:
            self.data = bytearray()

        def datagramReceived(self, datagram: bytes, address: Any) -> None:
            assert len(datagram) % 188 == 0
            self.data += datagram

    receiver = Receiver()
    port = reactor.listenUDP(0, receiver, interface="127.0.0.1", maxPacketSize=65536)
    number = port.getHost().port
    factory = SendSinkFactory.fromString(f"udp://127.0.0.1:{number}?pkt_size=1316")
    server = await serve(others=[("send", factory)])
    source = encode(H264_AAC)
    await server.publish(Mux(source, server.url(), paced=True))
    report = await server.ended(sink="send")
    assert report.ledger.dropped == {}
    # The last datagrams may still be in the socket's buffer.
    size = -1
    while size != len(receiver.data):
        size = len(receiver.data)
        await until(iter([False, False, True]).__next__)
    await port.stopListening()
    path = tmp_path / "received.ts"
    path.write_bytes(receiver.data)
    same(packetsOf(str(path), "ts"), wantedFor(source, "ts"), "UDP")


def freePort() -> int:
    """
    @return: a port that is free now.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
    return number


def isListening(port: int) -> bool:
    """
    @return: whether a program listens on a port. Connecting instead would use up the
        only connection it accepts.
    """
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    fields = [line.split() for line in lines]
    return any(f[1].endswith(f":{port:04X}") and f[3] == "0A" for f in fields)


#: Accepts one stream as an RTSP server, and prints its packets.
RTSP_SERVER = """
import json, sys
from tests._pyav.test_muxing import packetsOf
options = {"rtsp_flags": "listen", "listen_timeout": "60"}
print(json.dumps(packetsOf(sys.argv[1], "ts", **options)))
"""


@pytest_twisted.ensureDeferred
async def test_RTSP(serve: Serve) -> None:
    """
    FFmpeg's own RTSP server gets every packet, except perhaps the last audio packet.
    """
    from twisted.internet import reactor

    port = freePort()
    url = f"rtsp://127.0.0.1:{port}/cam"
    receiver = Program(reactor, sys.executable, "-c", RTSP_SERVER, url, folder=ROOT)
    await until(lambda: isListening(port))
    factory = SendSinkFactory.fromString(
        f"rtsp://127.0.0.1:{port}/{{name}}#rtsp_transport=tcp"
    )
    server = await serve(others=[("send", factory)])
    # Without B-frames: RTP has the presentation time of a frame, not its decode time.
    source = encode(NO_B_FRAMES)
    await server.publish(Mux(source, server.url(), paced=True))
    report = await server.ended(sink="send")
    assert report.ledger.dropped == {}
    assert await receiver.done == 0, receiver.complaints
    got, wanted = json.loads(receiver.output), wantedFor(source, "ts")
    for kind, packets in wanted.items():
        hashes = [packet[0] for packet in got[kind]]
        print(f"RTSP: {len(hashes)} of {len(packets)} {kind} packets")
        # The receiver drops its last audio frame when the connection ends.
        assert len(hashes) >= len(packets) - (kind == "audio")
        assert hashes == [packet[0] for packet in packets[: len(hashes)]]


@pytest_twisted.ensureDeferred
async def test_aDeadTarget(serve: Serve, tmp_path: Path) -> None:
    """
    A dead target does not affect the recording beside it, and leaves no process.
    """
    silent = socket.socket()
    silent.bind(("127.0.0.1", 0))
    silent.listen()
    # A target that accepts the connection and reads nothing, and one where no program
    # listens.
    targets = (silent.getsockname()[1], freePort())
    factories = [
        SendSinkFactory.fromString(f"tcp://127.0.0.1:{port}") for port in targets
    ]
    server = await serve(others=list(zip(("silent", "dead"), factories, strict=True)))
    source = encode(H264_AAC)
    mux = Mux(source, server.url(), repeat=20, paced=False)
    await server.publish(mux)
    for name in ("file", "silent", "dead"):
        await server.ended(sink=name)
    silent.close()
    (path,) = server.files()
    compare(mediaTags(path), reference(source, repeat=20), "beside dead targets")
    for factory in factories:
        for sink in factory._children._sinks:
            assert not sink.isAlive


@pytest.mark.parametrize("name", ["record", "send", "pipe"])
@pytest_twisted.ensureDeferred
async def test_theExamples(tmp_path: Path, name: str) -> None:
    """
    The example commands of the documentation work unchanged.
    """
    from twisted.internet import reactor

    if name == "pipe":
        need("ffmpeg")
    program = Program(
        reactor,
        *("env", f"PATH={BIN}{os.pathsep}{os.environ['PATH']}", f"PORT={ANY_PORT}"),
        *("sh", str(ROOT / "docs" / "examples" / f"{name}.sh")),
        folder=tmp_path,
    )
    match = await program.says(r"RTMPFactory starting on (\d+)")
    source = encode(H264_AAC)
    url = f"rtmp://127.0.0.1:{match[1]}/live/cam"
    await Publisher(reactor, Mux(source, url, paced=True)).done
    await program.says("live/cam: ended")
    program.signal("TERM")
    assert await program.done == 0
    path, container = {
        "record": ("recordings/live/cam-1.mp4", "mp4"),
        "send": ("hls/live/cam/index.m3u8", "ts"),
        "pipe": ("live-cam.mkv", "mkv"),
    }[name]
    got = packetsOf(str(tmp_path / path), container)
    same(got, wantedFor(source, container), name)
