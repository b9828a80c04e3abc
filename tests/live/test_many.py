"""
Many sinks on one stream: players of which some are slow, and sinks that come and go.
"""

import itertools
import json
import re
import socket
import sys
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.internet.task import LoopingCall
from zope.interface import implementer

from rtmptw.delivery import Delivery, Policy
from rtmptw.flv.body import frameFromMessage
from rtmptw.frames import FrameKind, Role
from rtmptw.hub.stream import Stream
from rtmptw.interfaces import IFrameSource
from rtmptw.net.ports import serverEndpoint
from rtmptw.rtmpserver.play import PlaySettings
from rtmptw.testing import RecordingSink, makeFrames
from tests.live.harness import ROOT, LiveServer, Publisher
from tests.live.media import H264_AAC, Media, Mux, compare, encode, mediaTags, reference
from tests.live.programs import ANY_PORT, Program
from tests.live.tls import untroubled

Serve = Callable[..., Awaitable[LiveServer]]

SECONDS = 8
#: The size of a video frame in bytes. There are 25 per second.
IMAGE = 4000


@implementer(IFrameSource)
class Camera:
    """
    Publishes in real time, in this process.
    """

    peer = "127.0.0.1:1"
    encoder = "camera"
    isFed = False

    def pauseSource(self) -> None:
        raise AssertionError("no viewer pauses a publisher")

    def resumeSource(self) -> None:
        raise AssertionError("it was not paused")

    def silentFor(self) -> float:
        return 0.0

    def sourceReplaced(self, reason: str) -> None:
        pass


def memory() -> int:
    """
    @return: the resident memory of this process, in bytes.
    """
    status = Path("/proc/self/status").read_text()
    match = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert match is not None
    return int(match[1]) * 1024


@pytest.mark.parametrize(
    ("isSecure", "viewing", "slow"),
    [
        pytest.param(False, 200, 20, id="20 of 200"),
        pytest.param(True, 30, 5, id="5 of 30 over TLS", marks=untroubled),
    ],
)
@pytest_twisted.ensureDeferred
async def test_someAreSlow(
    serve: Serve, isSecure: bool, viewing: int, slow: int
) -> None:
    """
    Players that read at a tenth of the bit rate get complete groups of pictures, the
    others lose nothing, and queues and memory stay bounded.
    """
    limit = 512 * 1024
    play = PlaySettings(Delivery(Policy.TO_KEYFRAME, 2000, limit))
    server = await serve(play=play, isSecure=isSecure)
    rate = IMAGE * 25 // 10
    viewers = Program(
        server.reactor,
        sys.executable,
        "-m",
        "tests.live.viewers",
        "rtmps" if isSecure else "rtmp",
        *map(str, (server.port, viewing, slow, rate)),
        folder=ROOT,
    )
    await viewers.says("ready")
    before = memory()
    frames = makeFrames(seconds=SECONDS)
    for index, frame in enumerate(frames):
        if frame.kind is FrameKind.VIDEO and frame.role is Role.CODED:
            payload = frame.payload + bytes(IMAGE - frame.size)
            frames[index] = frameFromMessage(frame.kind, frame.timestamp, payload)
    camera = Camera()
    stream = server.hub.publish("live", "cam", camera)
    most = 0

    def sendDue() -> None:
        nonlocal most
        now = (server.reactor.seconds() - begun) * 1000
        while frames and frames[0].timestamp <= now:
            stream.frameReceived(frames.pop(0))
        most = max(most, *(outlet.ledger.queued for outlet in stream.outlets))
        if not frames and not sent.called:
            sent.callback(None)

    begun = server.reactor.seconds()
    sent: Deferred[None] = Deferred()
    sending = LoopingCall(sendDue)
    stopped = sending.start(0.01)
    await sent
    sending.stop()
    await stopped
    grown = memory() - before
    ledgers = [outlet.ledger for outlet in stream.outlets if outlet.isViewer]
    server.hub.sourceLost(stream, camera, "the test is over")
    assert await viewers.done == 0, viewers.complaints
    got = json.loads(viewers.output.splitlines()[-1])
    wanted = list(range(0, SECONDS * 1000, 40))
    audioFrames = len(
        [f for f in makeFrames(seconds=SECONDS) if f.payload[:2] == b"\xaf\1"]
    )
    quick = [images for images in got[slow:] if images == [audioFrames, *wanted]]
    whole = [_wholeGroups(times) for _audio, *times in got[:slow]]
    print(
        f"\n{len(quick)} of {viewing - slow} quick players got {len(wanted)} of "
        f"{len(wanted)} video frames; {slow} slow ones got {min(map(len, whole))} to "
        f"{max(map(len, whole))} of {SECONDS} complete groups; at most {most} frames "
        f"were queued for one; {grown / 2**20:.1f} MiB more memory"
    )
    assert len(quick) == viewing - slow
    for groups in whole:
        assert 1 < len(groups) < SECONDS
    assert len(ledgers) == viewing
    assert all(ledger.balanced for ledger in ledgers)
    assert sum(bool(ledger.dropped) for ledger in ledgers) == slow
    assert most <= 2 * (25 + 44) + 20
    # The queues of the slow players share their frames: two seconds of the stream.
    assert grown < 64 * 2**20


def _wholeGroups(times: list[int]) -> list[int]:
    """
    @return: when the groups of pictures that a player received begin. Each must be
        complete.
    """
    groups = []
    for key, images in itertools.groupby(times, lambda time: time // 1000 * 1000):
        assert list(images) == list(range(key, key + 1000, 40)), (
            f"{key} is not complete"
        )
        groups.append(key)
    return groups


@pytest_twisted.ensureDeferred
async def test_aHundredSinksComeAndGo(serve: Serve) -> None:
    """
    Each of 100 sinks gets the sequence headers, and then every frame from a key frame
    until it leaves. The recording beside them loses nothing.
    """
    server = await serve()
    source = encode(Media(frames=150, options=H264_AAC.options))
    publisher = Publisher(server.reactor, Mux(source, server.url(), paced=True))
    await server.until(lambda: server.received() > 0)
    stream: Stream = server.stream()
    sinks: list[RecordingSink] = []
    outlets = []

    def comeAndGo() -> None:
        for _ in range(min(2, 100 - len(sinks))):
            sinks.append(RecordingSink())
            outlets.append(stream.attach(f"sink {len(sinks)}", sinks[-1]))
        for index, outlet in enumerate(outlets):
            if not outlet.ended and len(sinks[index].frames) > 40:
                outlet.detach("it has enough")

    coming = LoopingCall(comeAndGo)
    stopped = coming.start(0.02)
    await publisher.done
    coming.stop()
    await stopped
    await server.ended()
    (path,) = server.files()
    recorded = mediaTags(path)
    compare(recorded, reference(source), "beside 100 sinks that come and go")
    assert len(sinks) == 100
    payloads = [tag.payload for tag in recorded]
    for sink, outlet in zip(sinks, outlets, strict=True):
        assert outlet.ledger.balanced
        assert len(sink.ended) == 1
        assert outlet.ledger.delivered == len(sink.frames)
        coded = [f for f in sink.frames if f.role in (Role.CODED, Role.END)]
        first = next(n for n, f in enumerate(coded) if f.kind is FrameKind.VIDEO)
        assert coded[first].isKey
        begin = payloads.index(coded[0].payload)
        assert [f.payload for f in coded] == payloads[begin : begin + len(coded)]


@pytest_twisted.ensureDeferred
async def test_aHundredConnectAtOnce() -> None:
    """
    100 clients that connect while the server is busy are all accepted.
    """
    port: Any = await serverEndpoint(reactor, ANY_PORT).listen(Factory())
    address = ("127.0.0.1", port.getHost().port)
    connected = 0
    with ExitStack() as clients:
        for _ in range(100):
            # If the backlog were full, the kernel would retry only after a second.
            clients.enter_context(socket.create_connection(address, timeout=0.9))
            connected += 1
    await port.stopListening()
    assert connected == 100
