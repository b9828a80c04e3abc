"""
FFmpeg's own RTMP client, through PyAV, against a real server on loopback: the recording
has every frame that the muxer wrote, in order, with its timestamp.
"""

import itertools
import socket
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import av
import pytest
import pytest_twisted
from twisted.internet.defer import ensureDeferred, gatherResults
from twisted.internet.interfaces import IPushProducer

from rtmptw.delivery import Delivery, Policy
from rtmptw.frames import Frame, StreamInfo
from rtmptw.interfaces import IFrameSink
from rtmptw.net.readers import canWait
from rtmptw.plugins.sink import FrameSinkFactory
from rtmptw.rtmpserver.play import PlaySettings
from rtmptw.testing import RecordingSink
from tests.live.harness import LiveServer, Publisher, PublisherFailed
from tests.live.media import (
    AUDIO_ONLY,
    AV1_OPUS,
    H264_AAC,
    HEVC_AAC,
    VIDEO,
    VIDEO_ONLY,
    VP9_FLAC,
    Media,
    Mux,
    compare,
    encode,
    isHeader,
    mediaTags,
    reference,
)
from tests.live.tls import transports

Serve = Callable[..., Awaitable[LiveServer]]

LONG = Media(frames=10_000)


async def capture(server: LiveServer, mux: Mux, name: str = "cam") -> str:
    """
    Publish, and compare the recording with FFmpeg's own file.

    @return: a line that says how many frames of how many were captured.
    """
    await server.publish(mux)
    report = await server.ended(f"live/{name}")
    (path,) = server.files(f"live/{name}")
    sent = reference(mux.source, mux.offset, mux.repeat)
    recorded = mediaTags(path)
    line = compare(recorded, sent, name)
    ledger = report.ledger
    assert ledger.balanced and ledger.dropped == {} and ledger.queued == 0
    assert ledger.received == ledger.delivered >= len(sent)
    return line


@pytest.mark.parametrize(
    "media",
    [H264_AAC, HEVC_AAC, AV1_OPUS, VP9_FLAC, AUDIO_ONLY, VIDEO_ONLY],
    ids=lambda media: f"{media.video}-{media.audio}",
)
@pytest_twisted.ensureDeferred
async def test_everyFrameOfEveryCodec(serve: Serve, media: Media) -> None:
    """
    60 video frames of every codec, sent as fast as possible, are all recorded.
    """
    server = await serve()
    await capture(server, Mux(encode(media), server.url()))
    assert server.reports["live/cam", "file"].repairs == {}


@transports
@pytest_twisted.ensureDeferred
async def test_paced(serve: Serve, isSecure: bool) -> None:
    """
    All frames are recorded when they are sent in real time, as a camera does.
    """
    server = await serve(isSecure=isSecure)
    await capture(server, Mux(encode(H264_AAC), server.url(), paced=True))


@pytest.mark.parametrize("isHeld", [True, False], ids=["held", "not held"])
@pytest_twisted.ensureDeferred
async def test_audioWaitsInTheKernel(serve: Serve, isHeld: bool) -> None:
    """
    If video frames arrive regularly, the publisher's socket waits for the next one, and
    no frame is lost by that. If audio must not wait, the socket does not wait.
    """
    server = await serve(play=PlaySettings() if isHeld else PlaySettings(hold=0.0))
    # All are key frames, so they are large. They last 4.8 s.
    options = (("preset", "ultrafast"), ("g", "1"), ("qp", "4"))
    source = encode(Media(frames=120, options=options))
    sizes = [len(t.payload) for t in mediaTags(Path(source)) if t.kind == VIDEO]
    # Two are the sequence header and the end of sequence.
    assert sorted(sizes)[2] > 3000
    marks: set[int] = set()

    def arrived(name: str) -> bool:
        for protocol in server.factory.connections:
            handle: socket.socket = protocol.transport.getHandle()  # type: ignore[union-attr]
            marks.add(handle.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT))
        return server.received(f"live/{name}") > 300

    with socket.socket() as probe:
        isExpected = isHeld and canWait(probe)
    # Beside other programs a stream may not be regular enough; then another follows.
    for name in ("cam", "cam2", "cam3"):
        mux = Mux(source, server.url(name), paced=True)
        captured = ensureDeferred(capture(server, mux, name))
        await server.until(partial(arrived, name))
        await captured
        if not isExpected or max(marks) > 1:
            break
    assert (max(marks) > 1) == isExpected


@pytest_twisted.ensureDeferred
async def test_tenThousandFrames(serve: Serve) -> None:
    """
    10,000 video frames and their audio, sent as fast as possible, are all recorded.
    """
    server = await serve()
    await capture(server, Mux(encode(LONG), server.url()))


@pytest_twisted.ensureDeferred
async def test_fourPublishersAtOnce(serve: Serve) -> None:
    """
    Four publishers at once each get a complete recording of their own.
    """
    server = await serve()
    source = encode(H264_AAC)
    await gatherResults(
        [
            Publisher(
                server.reactor,
                Mux(source, server.url(f"cam{number}"), repeat=10 + number),
            ).done
            for number in range(4)
        ]
    )
    for number in range(4):
        await server.ended(f"live/cam{number}")
        (path,) = server.files(f"live/cam{number}")
        sent = reference(source, repeat=10 + number)
        compare(mediaTags(path), sent, f"cam{number}")


@pytest.mark.parametrize(
    "start", [0xFFFFFF - 1000, 2**31 - 1000, 2**32 - 1000], ids=["24", "31", "32"]
)
@pytest_twisted.ensureDeferred
async def test_timestampsPastTheirBits(serve: Serve, start: int) -> None:
    """
    A stream keeps its frames and steps in time when it passes 2^24 ms, where extended
    timestamps begin, and 2^31 and 2^32 ms, where FFmpeg's muxer wraps.
    """
    server = await serve()
    mux = Mux(encode(H264_AAC), server.url(), offset=start, repeat=2)
    await server.publish(mux)
    report = await server.ended()
    (path,) = server.files()
    sent = reference(mux.source, start, 2)
    recorded = mediaTags(path)
    assert [tag.payload for tag in recorded] == [tag.payload for tag in sent]
    # What FFmpeg meant: its muxer writes timestamps of 31 bits.
    ours = [tag.timestamp for tag in recorded if not isHeader(tag)]
    theirs = [tag.timestamp for tag in sent if not isHeader(tag)]
    assert [b - a for a, b in itertools.pairwise(ours)] == [
        (b - a + 2**30) % 2**31 - 2**30 for a, b in itertools.pairwise(theirs)
    ]
    assert ours[0] == 0, "a recording starts at 0"
    print(f"past {start:#x}: captured {len(recorded)} of {len(sent)} frames")
    # Past 2^32 the muxer also gives the end of its sequence a wrong timestamp.
    assert set(report.repairs) <= {"wrap", "header"}


@transports
@pytest_twisted.ensureDeferred
async def test_aPublisherThatStopsAndGoesOn(serve: Serve, isSecure: bool) -> None:
    """
    A publisher that pauses in the middle and then continues loses nothing.
    """
    server = await serve(isSecure=isSecure)
    mux = Mux(encode(H264_AAC), server.url(), pauseAfter=80)
    publisher = Publisher(server.reactor, mux)
    await publisher.paused
    # FFmpeg holds back the last packet of a track to interleave it.
    await server.until(lambda: server.received() > 60)
    await server.until(lambda: server.source().silentFor() > 0.3)
    publisher.goOn()
    await publisher.done
    await server.ended()
    (path,) = server.files()
    compare(mediaTags(path), reference(mux.source), "stopped and continued")


class SlowSink(RecordingSink):
    """
    A sink that pauses for 2 ms after every fifty frames.
    """

    def __init__(self, reactor: Any) -> None:
        super().__init__(Delivery(Policy.LOSSLESS, 0, 0, 100))
        self.rests = 0
        self.peak = 0
        self._reactor = reactor

    def streamStarted(self, stream: StreamInfo, producer: IPushProducer) -> None:
        super().streamStarted(stream, producer)
        self._outlet: Any = producer

    def frameReceived(self, frame: Frame) -> None:
        super().frameReceived(frame)
        self.peak = max(self.peak, self._outlet.ledger.queued)
        if len(self.frames) % 50 == 0:
            self.rests += 1
            self._outlet.pauseProducing()
            self._reactor.callLater(0.002, self._outlet.resumeProducing)


class SlowFactory(FrameSinkFactory):
    """
    A factory of one L{SlowSink}.
    """

    def startFactory(self, reactor: object) -> None:
        self.sink = SlowSink(reactor)

    def buildSink(self, stream: StreamInfo) -> IFrameSink | None:
        return self.sink


@transports
@pytest_twisted.ensureDeferred
async def test_aSlowLosslessSink(serve: Serve, isSecure: bool) -> None:
    """
    A lossless sink far slower than an unpaced encoder makes the encoder wait. Neither
    the sink nor the recording loses a frame, and the queue stays bounded.
    """
    slow = SlowFactory()
    server = await serve(others=[("slow", slow)], isSecure=isSecure)
    mux = Mux(encode(LONG), server.url())
    publisher = Publisher(server.reactor, mux)
    await server.until(lambda: server.received() > 0)
    stream = server.stream()
    await publisher.done
    report = await server.ended(sink="slow")
    await server.ended()
    (path,) = server.files()
    sent = reference(mux.source)
    compare(mediaTags(path), sent, "beside a slow sink")
    got = [frame.payload for frame in slow.sink.frames if frame.kind != 18]
    assert got == [tag.payload for tag in sent]
    assert slow.sink.rests > 500
    assert stream.pauses > 20, "the encoder was rarely paused"
    # The limit, and what one read of the socket adds: frames of 300 bytes.
    assert slow.sink.peak < 100 + 1000
    assert report.ledger.dropped == {}
    print(f"slow sink: captured {len(got)} of {len(sent)} frames")


@transports
@pytest_twisted.ensureDeferred
async def test_theSameKeyTakenOver(serve: Serve, isSecure: bool) -> None:
    """
    A second publisher with the same token replaces the first. One recording has what
    the first had sent, and all of the second.
    """
    server = await serve(isSecure=isSecure)
    source = encode(H264_AAC)
    first = Mux(source, server.url("cam?token=1"), pauseAfter=100)
    publisher = Publisher(server.reactor, first)
    await publisher.paused
    await server.until(lambda: server.source().silentFor() > 0.2)
    before = server.received()
    await server.publish(Mux(source, server.url("cam?token=1")))
    await server.ended()
    publisher.goOn()
    with pytest.raises(PublisherFailed):
        await publisher.done
    (path,) = server.files()
    sent = reference(source)
    recorded = [tag.payload for tag in mediaTags(path)]
    wanted = [tag.payload for tag in sent[:before] + sent]
    print(f"taken over: captured {len(recorded)} of {len(wanted)} frames")
    assert recorded == wanted
    stamps = [tag.timestamp for tag in mediaTags(path) if tag.kind == 9]
    assert stamps == sorted(stamps), "one clock for both"


@transports
@pytest_twisted.ensureDeferred
async def test_aSecondPublisherIsRefused(serve: Serve, isSecure: bool) -> None:
    """
    Without a token, a second publisher is refused while the first lives: FFmpeg is told
    why, and the first loses nothing.
    """
    server = await serve(isSecure=isSecure)
    source = encode(H264_AAC)
    first = Mux(source, server.url(), pauseAfter=100)
    publisher = Publisher(server.reactor, first)
    await publisher.paused
    with pytest.raises(PublisherFailed) as refused:
        await server.publish(Mux(source, server.url()))
    assert "already being published" in str(refused.value)
    publisher.goOn()
    await publisher.done
    await server.ended()
    (path,) = server.files()
    compare(mediaTags(path), reference(source), "beside a refused one")


@pytest_twisted.ensureDeferred
async def test_reconnectsUnderGrace(serve: Serve) -> None:
    """
    A publisher that returns five times within the grace time, even after a clean stop,
    makes one recording.
    """
    server = await serve(graceTime=30.0, graceAfterStop=True)
    source = encode(H264_AAC)
    for turn in range(5):
        await server.publish(Mux(source, server.url()))
        await server.until(lambda: server.stream().source is None)
        assert server.stream().publishers == turn + 1
    await server.hub.end("live/cam", "enough")
    (path,) = server.files()
    sent = reference(source)
    recorded = mediaTags(path)
    assert [tag.payload for tag in recorded] == [tag.payload for tag in sent] * 5
    report = await server.ended()
    assert report.repairs["source"] == 4
    stamps = [tag.timestamp for tag in recorded if not isHeader(tag)]
    assert all(b - a > -200 for a, b in itertools.pairwise(stamps))
    print(f"five publishers: captured {len(recorded)} of {5 * len(sent)} frames")


@pytest_twisted.ensureDeferred
async def test_rotation(serve: Serve) -> None:
    """
    With C{rotate=10}, the parts together have every frame once, and each part begins
    with the sequence headers and a key frame.
    """
    server = await serve(arguments=":name={stream}-{part}.flv:rotate=10")
    source = encode(H264_AAC)
    await server.publish(Mux(source, server.url(), repeat=20))
    await server.ended()
    parts = sorted(
        server.folder.glob("*.flv"), key=lambda path: int(path.stem.split("-")[1])
    )
    assert len(parts) == 5
    sent = reference(source, repeat=20)
    headers = [tag.payload for tag in sent if isHeader(tag)][:2]
    together = []
    for path in parts:
        tags = mediaTags(path)
        assert [tag.payload for tag in tags[:2]] == headers
        assert tags[2].payload[:2] == b"\x17\x01"
        assert min(tag.timestamp for tag in tags[2:]) < 100
        together += [tag.payload for tag in tags if not isHeader(tag)]
        with av.open(str(path)) as container:
            assert sum(p.dts is not None for p in container.demux()) == len(
                [tag for tag in tags if not isHeader(tag)]
            )
    wanted = [tag.payload for tag in sent if not isHeader(tag)]
    print(f"5 parts: captured {len(together)} of {len(wanted)} frames")
    assert together == wanted
