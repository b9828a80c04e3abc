"""
Real programs against a real server on loopback: the recording has every frame that the
program's own muxer wrote to a file. Hostile clients connect beside them.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path

import av
import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from rtmptw.rtmp.amf import AMFObject
from rtmptw.rtmp.chunkwriter import ChunkWriter
from rtmptw.rtmp.handshake import SIZE
from rtmptw.rtmp.message import Command
from rtmptw.rtmp.serversession import ServerSettings
from tests.live.harness import LiveServer, Publisher, PublisherFailed
from tests.live.media import (
    H264_AAC,
    Media,
    Mux,
    compare,
    encode,
    mediaTags,
    reference,
)
from tests.live.programs import Program, need, needElements, run

Serve = Callable[..., Awaitable[LiveServer]]

GSTREAMER = (
    "gst-launch-1.0 -q filesrc location={source} ! flvdemux name=d "
    "d.video ! queue ! h264parse ! m. d.audio ! queue ! aacparse ! m. "
    "flvmux name=m streamable=true ! tee name=t "
    "t. ! queue ! filesink location={reference} t. ! queue ! {sink}"
)


def ffmpeg(source: str, *target: str, paced: bool = False) -> list[str]:
    """
    @return: a command line that copies C{source}.
    """
    return [
        "/usr/bin/env",
        "ffmpeg",
        "-hide_banner",
        "-loglevel",
        "error",
        "-nostdin",
        *(["-re"] if paced else []),
        "-i",
        source,
        "-c",
        "copy",
        "-f",
        "flv",
        *target,
    ]


@pytest.mark.parametrize("paced", [False, True], ids=["unpaced", "paced"])
@pytest_twisted.ensureDeferred
async def test_ffmpegProgram(serve: Serve, tmp_path: Path, paced: bool) -> None:
    """
    Every frame that the program ffmpeg sends is recorded, as fast as possible and in
    real time.
    """
    need("ffmpeg")
    server = await serve()
    source = encode(H264_AAC)
    written = tmp_path / "reference.flv"
    await run(server.reactor, *ffmpeg(source, str(written)))
    await run(server.reactor, *ffmpeg(source, server.url(), paced=paced))
    await server.ended()
    (path,) = server.files()
    compare(mediaTags(path), mediaTags(written), f"ffmpeg program, paced: {paced}")


@pytest_twisted.ensureDeferred
async def test_ffmpegProgramTenThousandFrames(serve: Serve, tmp_path: Path) -> None:
    """
    10,000 video frames and their audio, sent by the program ffmpeg as fast as possible,
    are all recorded.
    """
    need("ffmpeg")
    server = await serve()
    source = encode(Media(frames=10_000))
    written = tmp_path / "reference.flv"
    await run(server.reactor, *ffmpeg(source, str(written)))
    await run(server.reactor, *ffmpeg(source, server.url()))
    await server.ended()
    (path,) = server.files()
    compare(mediaTags(path), mediaTags(written), "ffmpeg program, 10,000 video frames")


@pytest.mark.parametrize("paced", [False, True], ids=["unpaced", "paced"])
@pytest.mark.parametrize("sink", ["rtmp2sink", "rtmpsink"])
@pytest_twisted.ensureDeferred
async def test_gstreamer(serve: Serve, tmp_path: Path, sink: str, paced: bool) -> None:
    """
    Every frame is recorded that GStreamer's own RTMP client, and librtmp in GStreamer,
    send as fast as possible and in real time.
    """
    needElements(sink, "flvmux", "flvdemux", "h264parse", "aacparse")
    server = await serve()
    written = tmp_path / "reference.flv"
    location = server.url() if sink == "rtmp2sink" else f'"{server.url()} live=1"'
    command = GSTREAMER.format(
        source=encode(H264_AAC),
        reference=written,
        sink=f"{sink} sync={paced} location={location}",
    )
    await run(server.reactor, "/bin/sh", "-c", command)
    await server.ended()
    (path,) = server.files()
    compare(mediaTags(path), mediaTags(written), f"{sink}, paced: {paced}")


@pytest_twisted.ensureDeferred
async def test_aProgramThatIsStoppedAndContinued(serve: Serve, tmp_path: Path) -> None:
    """
    An encoder that is stopped by a signal and then continued loses nothing.
    """
    need("ffmpeg")
    server = await serve()
    source = encode(H264_AAC)
    written = tmp_path / "reference.flv"
    await run(server.reactor, *ffmpeg(source, str(written)))
    program = Program(server.reactor, *ffmpeg(source, server.url(), paced=True))
    await server.until(lambda: server.received() > 40)
    program.signal("STOP")
    await server.until(lambda: server.source().silentFor() > 0.5)
    program.signal("CONT")
    assert await program.done == 0, program.complaints
    await server.ended()
    (path,) = server.files()
    compare(mediaTags(path), mediaTags(written), "stopped and continued")


@pytest_twisted.ensureDeferred
async def test_aPublisherThatIsKilled(serve: Serve) -> None:
    """
    After kill -9 of the publisher, the recording has every frame that was received.
    """
    server = await serve()
    source = encode(H264_AAC)
    publisher = Publisher(server.reactor, Mux(source, server.url(), pauseAfter=120))
    await publisher.paused
    await server.until(lambda: server.source().silentFor() > 0.2)
    received = server.received()
    publisher.kill()
    report = await server.ended()
    assert "connection" in report.ended or "closed" in report.ended
    with pytest.raises(PublisherFailed):
        await publisher.done
    (path,) = server.files()
    recorded, sent = mediaTags(path), reference(source)
    print(f"killed: captured {len(recorded)} of {received} frames")
    assert len(recorded) == received > 60
    compare(recorded, sent[:received], "killed")
    assert server.files(suffix=".part") == []
    with av.open(str(path)) as container:
        count = sum(packet.dts is not None for packet in container.demux())
    assert count == len(recorded) - 2, "FFmpeg reads every frame of it"


class Stranger(Protocol):
    """
    A raw client.

    @ivar closed: fires when the server has closed the connection.
    """

    def __init__(self, says: bytes) -> None:
        self._says = says
        self.closed: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(self._says)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.closed.callback(None)


async def stranger(server: LiveServer, says: bytes) -> Stranger:
    """
    Connect a raw client.
    """
    endpoint = TCP4ClientEndpoint(server.reactor, "127.0.0.1", server.port)
    connected: Stranger = await connectProtocol(endpoint, Stranger(says))
    return connected


HANDSHAKE = b"\3" + bytes(2 * SIZE)

HOSTILE = {
    "garbage": HANDSHAKE + b"\xff" * 5000,
    "HTTP": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "TLS": bytes.fromhex("16030100f8010000f40303") + bytes(240),
    "empty messages": HANDSHAKE
    + bytes.fromhex("040000000000000801000000")
    + b"\xc4" * 65536,
    "16 MiB promised": HANDSHAKE + bytes.fromhex("06000000ffffff0901000000"),
    "no connect": HANDSHAKE
    + ChunkWriter().write(
        3, 20, 0, 0, Command("publish", 1.0, (None, "x")).encode()[1]
    ),
    "chunk size 0": HANDSHAKE + bytes.fromhex("02000000000004010000000000000000"),
}


@pytest_twisted.ensureDeferred
async def test_hostileBesideGood(serve: Serve) -> None:
    """
    While a camera publishes, five hostile clients of each of seven kinds connect. Each
    is disconnected alone, and the camera loses nothing.
    """
    server = await serve()
    mux = Mux(encode(H264_AAC), server.url(), paced=True)
    publisher = Publisher(server.reactor, mux)
    await server.until(lambda: server.received() > 10)
    strangers = [
        await stranger(server, says) for _ in range(5) for says in HOSTILE.values()
    ]
    await gatherResults([other.closed for other in strangers])
    assert not publisher.done.called, "the camera ended before the hostile clients"
    await publisher.done
    await server.ended()
    (path,) = server.files()
    compare(mediaTags(path), reference(mux.source), "beside hostile clients")


def stalls() -> dict[str, bytes]:
    """
    @return: by name, what clients send before they fall silent.
    """
    writer = ChunkWriter()

    def command(name: str, number: float, *values: object, stream: int = 0) -> bytes:
        kind, payload = Command(name, number, values).encode()  # type: ignore[arg-type]
        return writer.write(3, kind, 0, stream, payload)

    connect = HANDSHAKE + command("connect", 1.0, AMFObject([("app", "live")]))
    publish = (
        connect
        + command("createStream", 2.0, None)
        + command("publish", 3.0, None, "cam", "live", stream=1)
    )
    return {
        "nothing": b"",
        "half a C1": b"\3" + bytes(700),
        "no C2": b"\3" + bytes(SIZE),
        "the handshake": HANDSHAKE,
        "connect": connect,
        "publish": publish,
    }


@pytest_twisted.ensureDeferred
async def test_stalledConnections(serve: Serve) -> None:
    """
    A client that falls silent is disconnected on time, whatever it has sent before.
    """
    server = await serve(
        settings=ServerSettings(
            handshakeTimeout=0.5, requestTimeout=0.5, silenceTimeout=0.5
        )
    )
    for name, says in stalls().items():
        begun = server.reactor.seconds()
        other = await stranger(server, says)
        await other.closed
        took = server.reactor.seconds() - begun
        assert 0.45 < took < 5, f"{name}: closed after {took:.2f} s"
