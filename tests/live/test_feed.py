"""
Streams fed by Python code: every video frame arrives, and audio stays unchanged.
"""

import itertools
import re
import shutil
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import av
import numpy
import pytest_twisted
from twisted.internet.threads import deferToThread

from rtmptw.sources.feed import publish
from tests._pyav.test_flv import remux
from tests.live.harness import ROOT, LiveServer, Publisher
from tests.live.media import (
    AUDIO,
    H264_AAC,
    HEIGHT,
    VIDEO,
    Media,
    Mux,
    encode,
    isHeader,
    mediaTags,
)
from tests.live.programs import Program

Serve = Callable[..., Awaitable[LiveServer]]

DOCS = ROOT / "docs"
PAGE = (DOCS / "publish-back.rst").read_text("utf-8")

#: Where the example draws its clock: eight characters, each four dots of two pixels
#: wide.
CLOCK = (slice(8, 18), slice(8, 72))


def lumas(path: Path | str) -> list[Any]:
    """
    @return: the luma of each video frame of a file.
    """
    with av.open(str(path)) as container:
        return [
            frame.to_ndarray(format="gray")[:HEIGHT].astype(int)
            for frame in container.decode(video=0)
        ]


def coded(path: Path | str, kind: int) -> list[Any]:
    """
    @return: the coded tags of one kind in an FLV file.
    """
    return [
        tag for tag in mediaTags(Path(path)) if tag.kind == kind and not isHeader(tag)
    ]


def presented(path: Path | str) -> list[int]:
    """
    @return: the presentation times of the video frames of an FLV file, in ms.
    """
    with av.open(str(path)) as container:
        times = [
            packet.pts for packet in container.demux(video=0) if packet.dts is not None
        ]
    return sorted(time for time in times if time is not None)


@pytest_twisted.ensureDeferred
async def test_fromAThread(serve: Serve) -> None:
    """
    A thread that decodes a file and publishes its video and audio as fast as it can
    loses no frame.
    """
    server = await serve()
    source = encode(Media(frames=250))

    def work() -> int:
        feed = publish(server.hub, "live/out", reactor=server.reactor)
        count = 0
        with av.open(source) as container:
            frames: Any = container.decode()
            for frame in frames:
                if isinstance(frame, av.VideoFrame):
                    feed.video(frame)
                    count += 1
                else:
                    feed.audio(frame)
        feed.close("done")
        return count

    count = await deferToThread(work)
    report = await server.ended("live/out")
    (recording,) = server.files("live/out")
    shown = lumas(recording)
    wanted = lumas(source)
    print(f"fed {count} video frames, {len(shown)} of {len(wanted)} recorded")
    assert len(shown) == len(wanted) == count == 250
    worst = max(abs(a - b).mean() for a, b in zip(shown, wanted, strict=True))
    print(f"a video frame differs by {worst:.2f} at most, on average")
    assert worst < 6
    assert report.ended == "done" and report.repairs == {}
    assert report.ledger.balanced and report.ledger.dropped == {}
    # All audio: 1024 samples per frame, and one or two frames more for the encoder's
    # delay.
    assert 0 <= len(coded(recording, AUDIO)) - len(coded(source, AUDIO)) <= 2
    wide = presented(recording)
    assert [b - a for a, b in itertools.pairwise(wide)] == [40] * 249


@pytest_twisted.ensureDeferred
async def test_clock(serve: Serve) -> None:
    """
    The example C{clock.py} draws the time into each video frame that FFmpeg publishes.
    Its output has every video frame, and the same audio bytes at the same times.
    """
    from rtmptw.sinks.decode.sink import DecodeSinkFactory

    sys.path.insert(0, str(DOCS / "examples"))
    try:
        factory = DecodeSinkFactory.fromString("clock.Clock")
        server = await serve(others=[("clock", factory)])
    finally:
        sys.path.remove(str(DOCS / "examples"))
    factory.setHub(server.hub)
    source = encode(H264_AAC)
    # The first video frame waits for the sink's code, however busy the machine is.
    publisher = Publisher(
        server.reactor, Mux(source, server.url(), paced=True, pauseAfter=1)
    )
    await publisher.paused
    await server.until(
        lambda: any(
            outlet.name == "feed of out/cam" for outlet in server.stream().outlets
        )
    )
    publisher.goOn()
    await publisher.done
    report = await server.ended("out/cam")
    await server.ended("live/cam")
    assert set(server.hub.streams) == set()
    (camera,), (clock,) = server.files("live/cam"), server.files("out/cam")
    before, after = lumas(camera), lumas(clock)
    print(f"clock: {len(after)} of {len(before)} video frames")
    assert len(after) == len(before) == H264_AAC.frames
    changed, rest = [], []
    for old, new in zip(before, after, strict=True):
        difference = abs(old - new)
        changed.append(difference[CLOCK].mean())
        difference[CLOCK] = 0
        # Nor the encoder's artifacts around it.
        difference[4:24, 4:80] = 0
        rest.append(difference.mean())
    print(f"under the clock {min(changed):.1f}, around it {max(rest):.2f}")
    assert min(changed) > 20
    assert max(rest) < 6
    sent, got = coded(camera, AUDIO), coded(clock, AUDIO)
    same = sum(a.payload == b.payload for a, b in zip(sent, got, strict=True))
    print(f"audio: {same} of {len(sent)} frames unchanged")
    assert same == len(sent) == len(coded(source, AUDIO))
    # The offset between audio and video has not changed.
    offsets = {
        image - sound.timestamp
        for path, audioFrames in ((camera, sent), (clock, got))
        for image, sound in [(presented(path)[0], audioFrames[0])]
    }
    assert len(offsets) == 1, offsets
    steps = {
        (a.timestamp - sent[0].timestamp) - (b.timestamp - got[0].timestamp)
        for a, b in zip(sent, got, strict=True)
    }
    assert steps == {0}
    times = [
        [time - shown[0] for time in shown]
        for shown in (presented(camera), presented(clock))
    ]
    assert times[0] == times[1]
    assert report.repairs == {}
    assert report.ledger.dropped == {}


def blocks(language: str) -> list[str]:
    """
    @return: the code blocks of the page in a language.
    """
    found = re.findall(
        rf"^\.\. code-block:: {language}\n\n((?:   .*\n|\n)+)", PAGE, re.MULTILINE
    )
    return [re.sub(r"^   ", "", block, flags=re.MULTILINE) for block in found]


@pytest_twisted.ensureDeferred
async def test_thePage(serve: Serve) -> None:
    """
    The Python code of C{docs/publish-back.rst} does what the page says.
    """
    remux(encode(H264_AAC), Path("film.mp4"))
    server = await serve()
    first, second = blocks("python")
    names = {"hub": server.hub, "reactor": server.reactor}
    exec(first, dict(names))
    await server.ended("live/grey")
    (grey,) = server.files("live/grey")
    with av.open(str(grey)) as container:
        levels = [
            int(numpy.median(frame.to_ndarray(format="rgb24")))
            for frame in container.decode(video=0)
        ]
    print(f"the page: {len(levels)} of 100 video frames")
    assert len(levels) == 100
    assert max(abs(level - number) for number, level in enumerate(levels)) <= 4
    exec(second, dict(names))
    await server.ended("live/film")
    (film,) = server.files("live/film")
    for kind in (VIDEO, AUDIO):
        assert [tag.payload for tag in coded(film, kind)] == [
            tag.payload for tag in coded(encode(H264_AAC), kind)
        ]


@pytest_twisted.ensureDeferred
async def test_theCommands(
    serverProcess: Callable[..., Awaitable[tuple[Program, int]]],
    tmp_path: Path,
) -> None:
    """
    The commands of C{docs/publish-back.rst} work.
    """
    commands = blocks("sh")
    assert len(commands) == 2
    remux(encode(H264_AAC), tmp_path / "film.mp4")
    shutil.copytree(DOCS / "examples", tmp_path / "docs" / "examples")
    for command in commands:
        words = command.replace("'", "").split()
        start = words.index("rtmp") + 1
        environment = [word for word in words[:start] if "=" in word]
        program, port = await serverProcess(
            *words[start:], command=("/usr/bin/env", *environment, *TWISTD)
        )
        name = "film" if "--pull" in command else "cam"
        if name == "cam":
            await Publisher(
                reactor(),
                Mux(encode(H264_AAC), f"rtmp://127.0.0.1:{port}/live/cam", paced=True),
            ).done
            name = "out/cam: ended"
        else:
            name = "live/film: published"
        await program.says(name)
        program.signal("TERM")
        assert await program.done == 0, program.output


def reactor() -> Any:
    """
    @return: the installed reactor.
    """
    from twisted.internet import reactor as installed

    return installed


TWISTD = (str(Path(sys.executable).parent / "twistd"), "-n", "--pidfile=")
