"""
Every codec, with its sequence header in place, missing, late and broken, into every
container: one server survives all of it, and records every frame of the good tracks.
"""

import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import av
import av.error
import pytest_twisted
from twisted.internet.defer import Deferred
from zope.interface import implementer

from rtmptw.flv.body import frameFromMessage
from rtmptw.frames import Frame, FrameKind, Role
from rtmptw.rtmp.url import RTMPTarget
from rtmptw.rtmpclient.endpoint import clientEndpoint
from rtmptw.rtmpclient.protocol import (
    Ending,
    IRTMPClientUser,
    RTMPClientFactory,
    RTMPClientProtocol,
)
from tests._pyav.test_muxing import framesOf
from tests.live.media import AV1_OPUS, H264_AAC, HEVC_AAC, VP9_FLAC, Media, encode
from tests.live.programs import Program

AUDIO, VIDEO = FrameKind.AUDIO, FrameKind.VIDEO

#: Media whose audio codec, and media whose video codec, is tested; the other track is
#: good.
SOUND = {
    name: Media(audio=name, frames=50, options=H264_AAC.options)
    for name in ("aac", "libopus", "flac")
}
FRAMES = {
    media.video: Media(media.video, "aac", 50, media.options)
    for media in (H264_AAC, HEVC_AAC, AV1_OPUS, VP9_FLAC)
}
#: Codecs without sequence headers, by the first bytes of their bodies.
LEGACY_AUDIO = {
    "pcm": b"\x03",
    "adpcm": b"\x12",
    "mp3": b"\x2f",
    "pcm-le": b"\x3f",
    "nellymoser-16": b"\x42",
    "nellymoser-8": b"\x52",
    "nellymoser": b"\x62",
    "g711a": b"\x72",
    "g711u": b"\x82",
    "speex": b"\xb6",
    "mp3-8": b"\xe2",
    "device": b"\xf2",
    "ac3": b"\x91ac-3",
    "eac3": b"\x91ec-3",
    "nobody's": b"\x91what",
}
LEGACY_VIDEO = {
    "h263": b"\x12",
    "screen": b"\x13",
    "vp6": b"\x14",
    "vp6a": b"\x15",
    "screen2": b"\x16",
    "vp8": b"\x91vp08",
    "vvc": b"\x91vvc1",
    "nobody's": b"\x91what",
}
CONTAINERS = ("flv", "mp4", "mkv", "ts")


def nonsense(seed: int, size: int) -> bytes:
    """
    @return: random bytes, the same for the same seed.
    """
    return random.Random(seed).randbytes(size)


def withHeader(frames: list[Frame], kind: FrameKind, state: str) -> list[Frame]:
    """
    @param kind: the track whose sequence header is there, missing, late or broken.
    @return: the stream.
    """
    configs = [f for f in frames if f.kind is kind and f.role is Role.CONFIG]
    if state == "there":
        return frames
    rest = [frame for frame in frames if frame not in configs]
    if state == "missing":
        return rest
    if state == "late":
        where = len(rest) // 2
        time = rest[where].timestamp
        late = [frameFromMessage(kind, time, one.payload) for one in configs]
        return rest[:where] + late + rest[where:]
    broken = [
        frameFromMessage(
            kind, one.timestamp, one.payload[:5] + nonsense(1, len(one.payload))
        )
        for one in configs
    ]
    return broken + rest


def beside(good: list[Frame], kind: FrameKind, head: bytes) -> list[Frame]:
    """
    @return: the good track, interleaved with a track of random bytes.
    """
    frames: list[Frame] = []
    for number, frame in enumerate(good):
        frames.append(frame)
        if frame.role is Role.CODED:
            body = head + nonsense(number, 20 + number % 80)
            frames.append(frameFromMessage(kind, frame.timestamp, body))
    return frames


def streams() -> dict[str, tuple[list[Frame], FrameKind]]:
    """
    @return: by name, the streams, and which of their tracks is good.
    """
    table: dict[str, tuple[list[Frame], FrameKind]] = {}
    for state in ("there", "missing", "late", "broken"):
        for name, media in SOUND.items():
            frames = framesOf(encode(media))
            table[f"{name}-{state}"] = withHeader(frames, AUDIO, state), VIDEO
        for name, media in FRAMES.items():
            frames = framesOf(encode(media))
            table[f"{name}-{state}"] = withHeader(frames, VIDEO, state), AUDIO
    whole = framesOf(encode(SOUND["aac"]))
    for number, (_name, head) in enumerate(LEGACY_AUDIO.items()):
        good = [frame for frame in whole if frame.kind is VIDEO]
        table[f"sound-{number}"] = beside(good, AUDIO, head), VIDEO
    for number, (_name, head) in enumerate(LEGACY_VIDEO.items()):
        good = [frame for frame in whole if frame.kind is AUDIO]
        table[f"pictures-{number}"] = beside(good, VIDEO, head), AUDIO
    return table


@implementer(IRTMPClientUser)
class Publisher:
    """
    Publishes frames unchanged.

    @ivar done: fires when the connection is closed.
    """

    def __init__(self, reactor: Any, url: str, frames: list[Frame]) -> None:
        self.done: Deferred[str] = Deferred()
        self._frames = frames
        target = RTMPTarget.fromURL(url)
        factory = RTMPClientFactory(reactor, target, True, self)
        clientEndpoint(reactor, target).connect(factory).addErrback(self.done.errback)

    def streamAccepted(self, protocol: RTMPClientProtocol) -> None:
        for frame in self._frames:
            protocol.sendFrame(frame, frame.timestamp)
        protocol.finish("all is sent")

    def frameReceived(self, frame: Frame) -> None:
        pass

    def headerCleared(self, name: str) -> None:
        pass

    def sendingPaused(self) -> None:
        pass

    def sendingResumed(self) -> None:
        pass

    def conversationEnded(self, ending: Ending) -> None:
        self.done.callback(ending.refusal)


def packets(paths: Iterable[Path]) -> Counter[str]:
    """
    @return: the number of coded frames in the files, by track. A file that cannot be
        opened has none.
    """
    counts: Counter[str] = Counter()
    for path in paths:
        if path.suffix == ".flv":
            # FLV has the frames unchanged; FFmpeg does not open HEVC without its
            # sequence header.
            for frame in framesOf(str(path)):
                counts[frame.kind.name.lower()] += frame.role is Role.CODED
            continue
        with suppress(av.error.FFmpegError), av.open(str(path)) as container:
            for packet in container.demux():
                counts[packet.stream.type] += packet.size > 0
    return counts


@pytest_twisted.ensureDeferred
async def test_oneServerLivesThroughItAll(
    serverProcess: Callable[..., Awaitable[tuple[Program, int]]], tmp_path: Path
) -> None:
    """
    One server survives all these streams, and every container has every frame of each
    good track.
    """
    from twisted.internet import reactor

    program, port = await serverProcess(
        *(f"--sink=record:{kind}:format={kind}" for kind in CONTAINERS),
        "--sink=send:sent/{name}.mkv#format=matroska",
    )
    table = streams()
    for number, (name, (frames, _good)) in enumerate(table.items(), 1):
        refusal = await Publisher(
            reactor, f"rtmp://127.0.0.1:{port}/live/{name}", frames
        ).done
        assert refusal == "" and not program.done.called, name
        # One after the other: each stream needs three processes, and there are few
        # cores.
        await program.saysTimes(": ended after", number)
    program.signal("TERM")
    assert await program.done == 0
    assert not list(tmp_path.rglob("*.part"))
    total = recorded = 0
    wrong = []
    for name, (frames, good) in table.items():
        wanted = sum(f.kind is good and f.role is Role.CODED for f in frames)
        for kind in (*CONTAINERS, "sent"):
            paths = (tmp_path / kind / "live" / name).glob(f"*.{kind}")
            if kind == "sent" and name.endswith("-late"):
                # A target starts again when its tracks change.
                continue
            if kind == "sent":
                paths = (tmp_path / kind).glob(f"{name}.mkv")
            got = packets(paths)[good.name.lower()]
            total += wanted
            recorded += min(got, wanted)
            if got != wanted:
                wrong.append((name, kind, got, wanted))
    print(f"{recorded} of {total} frames of good tracks in {len(table)} streams")
    print(wrong)
    print(program.output[-20_000:])
    assert wrong == []
