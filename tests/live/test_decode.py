"""
Decoded frames of what FFmpeg publishes to a real server equal those that FFmpeg decodes
from the file.
"""

import subprocess
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import av
import pytest
import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from rtmptw._pyav.decoding import Decoder
from rtmptw.frames import FrameKind
from rtmptw.sinks.decode.decoding import Wanted
from rtmptw.sinks.decode.sink import (
    DecodedFrame,
    DecodedFrames,
    DecodedStream,
    DecodeSinkFactory,
    UserCode,
)
from rtmptw.sinks.snapshot.sink import SnapshotSinkFactory
from tests._pyav.hashes import Hashes, decodedByFFmpeg, hashOf, same
from tests._pyav.test_decoding import feed, framesOf, hashesOf
from tests.live.harness import LiveServer, Publisher
from tests.live.media import (
    AV1_OPUS,
    H264_AAC,
    HEVC_AAC,
    VIDEO_ONLY,
    VP9_FLAC,
    Media,
    Mux,
    encode,
)
from tests.live.programs import PATIENCE, need, run

Serve = Callable[..., Awaitable[LiveServer]]


class Collected:
    """
    User code that keeps the hashes of the frames of all its streams.
    """

    def __init__(self) -> None:
        self.hashes: Hashes = {FrameKind.VIDEO: [], FrameKind.AUDIO: []}
        self.times: list[float] = []
        self.ended: list[str] = []

    def factory(self, **options: Any) -> DecodeSinkFactory:
        """
        @return: a factory of sinks that call this code.
        """
        collected = self

        class Code:
            def __init__(self, stream: DecodedStream) -> None:
                assert stream.name == "live/cam"

            def videoFrame(self, frame: DecodedFrame) -> None:
                collected.hashes[frame.kind].append(hashOf(frame.image))
                collected.times.append(frame.pts)

            def audioFrame(self, frame: DecodedFrame) -> None:
                collected.hashes[frame.kind].append(hashOf(frame.samples))

            def ended(self, reason: str) -> None:
                collected.ended.append(reason)

        wanted = Wanted(media="both", **options)
        return DecodeSinkFactory(UserCode.fromObject("Code", Code), wanted)


@pytest.mark.parametrize("paced", [False, True], ids=["unpaced", "paced"])
@pytest.mark.parametrize(
    "media",
    [H264_AAC, HEVC_AAC, AV1_OPUS, VP9_FLAC],
    ids=lambda media: f"{media.video}-{media.audio}",
)
@pytest_twisted.ensureDeferred
async def test_theSameAsFFmpegDecodes(serve: Serve, media: Media, paced: bool) -> None:
    """
    Every decoded frame and every sample has the same hash as FFmpeg's own.
    """
    collected = Collected()
    server = await serve(others=[("decode", collected.factory())])
    source = encode(media)
    await server.publish(Mux(source, server.url(), paced=paced))
    report = await server.ended(sink="decode")
    assert report.ledger.dropped == {} and report.failure == ""
    same(collected.hashes, decodedByFFmpeg(source), f"{media.video}, {media.audio}")
    assert len(collected.ended) == 1


def framemd5(source: str) -> list[str]:
    """
    @return: the hashes of the video frames of a file, by the program ffmpeg.
    """
    output = subprocess.run(
        [
            *("ffmpeg", "-v", "error", "-i", source, "-map", "0:v"),
            *("-fps_mode", "passthrough", "-f", "framemd5", "-"),
        ],
        capture_output=True,
        check=True,
        text=True,
        timeout=PATIENCE,
    ).stdout
    lines = [line for line in output.splitlines() if not line.startswith("#")]
    return [line.split(",")[-1].strip() for line in lines]


@pytest_twisted.ensureDeferred
async def test_framemd5(serve: Serve) -> None:
    """
    The video frames equal those that the program ffmpeg decodes from the file, B-frames
    included.
    """
    need("ffmpeg")
    collected = Collected()
    server = await serve(others=[("decode", collected.factory())])
    source = encode(H264_AAC)
    wanted = await deferToThread(framemd5, source)
    await server.publish(Mux(source, server.url()))
    await server.ended(sink="decode")
    got = collected.hashes[FrameKind.VIDEO]
    count = sum(a == b for a, b in zip(got, wanted, strict=False))
    print(f"framemd5: {count} of {len(wanted)} video frames")
    assert len(wanted) == H264_AAC.frames and got == wanted


class Gate:
    """
    User code that blocks until the test opens the gate.
    """

    def __init__(self) -> None:
        self.times: list[float] = []
        self.mayReturn = threading.Event()

    def __call__(self, frame: DecodedFrame, stream: DecodedStream) -> None:
        self.times.append(frame.pts)
        assert self.mayReturn.wait(PATIENCE)


@pytest_twisted.ensureDeferred
async def test_losslessPausesThePublisher(serve: Serve) -> None:
    """
    With C{policy=lossless}, user code that blocks for a while pauses the publisher, and
    then gets every video frame.
    """
    gate = Gate()
    factory = DecodeSinkFactory(UserCode.fromObject("gate", gate), Wanted())
    server = await serve(others=[("decode", factory)])
    source = encode(Media(audio="", frames=4000))
    published = server.hub.whenPublished("live", "cam")
    publisher = Publisher(server.reactor, Mux(source, server.url()))
    stream = await published
    await server.until(lambda: stream.pauses > 0)
    paused = stream.counts[FrameKind.VIDEO]
    gate.mayReturn.set()
    await publisher.done
    report = await server.ended(sink="decode")
    print(f"paused after {paused} frames; {len(gate.times)} of 4000 decoded")
    assert paused < 4000 and report.ledger.dropped == {}
    assert len(gate.times) == 4000 and gate.times == sorted(gate.times)


@pytest_twisted.ensureDeferred
async def test_latestEndsWithTheNewest(serve: Serve) -> None:
    """
    With C{policy=latest}, user code that blocks for a while does not pause the
    publisher, and then gets the newest video frame.
    """
    gate = Gate()
    factory = DecodeSinkFactory(
        UserCode.fromObject("gate", gate), Wanted(policy="latest")
    )
    server = await serve(others=[("decode", factory)])
    source = encode(VIDEO_ONLY)
    published = server.hub.whenPublished("live", "cam")
    publisher = Publisher(server.reactor, Mux(source, server.url()))
    stream = await published
    await publisher.done
    await server.until(lambda: stream.counts[FrameKind.VIDEO] > VIDEO_ONLY.frames)
    await server.until(lambda: bool(gate.times))
    gate.mayReturn.set()
    report = await server.ended(sink="decode")
    print(
        f"latest: {len(gate.times)} of {VIDEO_ONLY.frames} decoded, "
        f"the last at {gate.times[-1]} s"
    )
    assert report.ledger.dropped == {} and stream.pauses == 0
    assert gate.times[-1] == (VIDEO_ONLY.frames - 1) / 25
    assert len(gate.times) < VIDEO_ONLY.frames


async def attachWhenPublished(server: LiveServer, **options: Any) -> DecodedFrames:
    """
    @return: decoded frames, attached before the first frame of the stream.
    """
    stream = await server.hub.whenPublished("live", "cam")
    frames = DecodedFrames(server.reactor, **options)
    stream.attach("frames", frames)
    return frames


@pytest_twisted.ensureDeferred
async def test_anAsyncLoop(serve: Serve) -> None:
    """
    C{async for} gets every video frame, and ends with the stream.
    """
    server = await serve()
    source = encode(H264_AAC)
    attached = Deferred.fromCoroutine(attachWhenPublished(server))
    publisher = Publisher(server.reactor, Mux(source, server.url()))
    got = [hashOf(frame.image) async for frame in await attached]
    await publisher.done
    assert (await server.ended(sink="frames")).ledger.dropped == {}
    wanted = decodedByFFmpeg(source)[FrameKind.VIDEO]
    same({FrameKind.VIDEO: got}, {FrameKind.VIDEO: wanted}, "async for")


@pytest_twisted.ensureDeferred
async def test_aLoopInAThread(serve: Serve) -> None:
    """
    A plain loop in a thread gets every video frame, and ends with the stream.
    """
    server = await serve()
    source = encode(H264_AAC)
    attached = Deferred.fromCoroutine(attachWhenPublished(server))
    publisher = Publisher(server.reactor, Mux(source, server.url(), paced=True))
    frames = await attached
    got = await deferToThread(
        lambda: [hashOf(frame.image) for frame in frames.iterate()]
    )
    await publisher.done
    assert (await server.ended(sink="frames")).ledger.dropped == {}
    wanted = decodedByFFmpeg(source)[FrameKind.VIDEO]
    same({FrameKind.VIDEO: got}, {FrameKind.VIDEO: wanted}, "for, in a thread")


@pytest.mark.parametrize("isThread", [False, True], ids=["coroutine", "thread"])
@pytest_twisted.ensureDeferred
async def test_leavingALoop(serve: Serve, isThread: bool) -> None:
    """
    Leaving a loop detaches its sink, and the publisher that waited for it continues.
    """
    server = await serve()
    source = encode(Media(audio="", frames=4000))
    attached = Deferred.fromCoroutine(attachWhenPublished(server))
    publisher = Publisher(server.reactor, Mux(source, server.url()))
    frames = await attached
    stream = server.stream()
    await server.until(lambda: stream.pauses > 0)
    got = []

    def loop() -> None:
        for frame in frames.iterate():
            got.append(frame.pts)
            if len(got) == 10:
                break

    if isThread:
        await deferToThread(loop)
    else:
        async for frame in frames:
            got.append(frame.pts)
            if len(got) == 10:
                break
    await publisher.done
    report = await server.ended(sink="frames")
    assert got == [number / 25 for number in range(10)]
    assert report.ended == "the sink stopped"
    assert (await server.ended()).ledger.dropped == {}


@pytest_twisted.ensureDeferred
async def test_theEndOfTheServerEndsALoop(serve: Serve) -> None:
    """
    A thread that waits for the next frame stops waiting when the server stops.
    """
    server = await serve()
    source = encode(VIDEO_ONLY)
    attached = Deferred.fromCoroutine(attachWhenPublished(server))
    publisher = Publisher(
        server.reactor, Mux(source, server.url(), pauseAfter=VIDEO_ONLY.frames)
    )
    frames = await attached
    got: list[float] = []
    looping = deferToThread(lambda: got.extend(frame.pts for frame in frames.iterate()))
    await publisher.paused
    await server.until(lambda: len(got) > 10)
    await server.hub.shutdown("the server stops")
    await looping
    publisher.kill()
    await publisher.done.addErrback(lambda failure: None)
    assert frames.failure == ""


@pytest_twisted.ensureDeferred
async def test_snapshots(serve: Serve, tmp_path: Path) -> None:
    """
    Snapshots of key frames equal what FFmpeg decodes there.
    """
    factory = SnapshotSinkFactory.fromString(
        f"{tmp_path}/shots:every=0:format=png:name={{stream}}-{{part}}"
    )
    server = await serve(others=[("snapshot", factory)])
    source = encode(H264_AAC)
    await server.publish(Mux(source, server.url(), paced=True))
    await server.ended(sink="snapshot")
    with av.open(source) as container:
        wanted = [
            frame.to_ndarray(format="rgb24").tobytes()
            for frame in container.decode(video=0)
            if frame.key_frame
        ]
    got = []
    for path in sorted((tmp_path / "shots").iterdir()):
        with av.open(str(path)) as container:
            (picture,) = container.decode()
            got.append(picture.to_ndarray(format="rgb24").tobytes())
    count = sum(picture in wanted for picture in got)
    print(f"snapshots: {count} of {len(got)}; {len(wanted)} key frames")
    # On a busy machine a snapshot may take longer than a second; then one may be
    # skipped.
    assert got and got == [picture for picture in wanted if picture in got]
    assert got[-1] == wanted[-1] and len(set(wanted)) == 3


@pytest_twisted.ensureDeferred
async def test_speex(tmp_path: Path) -> None:
    """
    Speex is decoded as FFmpeg decodes it. The program ffmpeg encodes it, because PyAV
    cannot.
    """
    from twisted.internet import reactor

    need("ffmpeg")
    path = tmp_path / "speex.flv"
    await run(
        reactor,
        *("/usr/bin/env", "ffmpeg", "-v", "error", "-f", "lavfi"),
        *("-i", "sine=duration=1", "-ar", "16000", "-ac", "1", "-c:a", "libspeex"),
        str(path),
    )
    decoded = feed(Decoder([FrameKind.AUDIO]), framesOf(str(path)))
    assert len(decoded) == 50
    same(hashesOf(decoded), decodedByFFmpeg(str(path)), "Speex")
