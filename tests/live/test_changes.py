"""
Recordings in every container of streams whose tracks come late, change, or lack their
headers: through the server, read back with FFmpeg.
"""

from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import av
import pytest
import pytest_twisted
from zope.interface import implementer

from rtmptw.flv.body import frameFromMessage
from rtmptw.frames import Frame, FrameKind, Role
from rtmptw.interfaces import IFrameSource
from rtmptw.samples import samplesOf
from rtmptw.sinks.record.factory import RecordSinkFactory
from tests._pyav.test_muxing import framesOf, packetsOf
from tests.live.harness import LiveServer
from tests.live.media import Media, encode

Serve = Callable[..., Awaitable[LiveServer]]

#: Twelve seconds with key frames ten seconds apart, and four seconds with one key frame
#: per second.
RARE = Media(frames=300, options=(("preset", "ultrafast"), ("g", "250")))
OFTEN = Media(frames=100, options=(("preset", "ultrafast"), ("g", "25")))
#: AAC-LC at 24 kHz, mono.
OTHER_AAC = b"\xaf\0\x13\x08"

FORMATS = ("mp4", "mkv", "ts", "flv")


@implementer(IFrameSource)
class Encoder:
    """
    Publishes in this process.
    """

    peer = "127.0.0.1:1"
    encoder = "encoder"
    isFed = False

    def pauseSource(self) -> None:
        """
        Do nothing: the test sends all frames at once.
        """

    def resumeSource(self) -> None:
        """
        Do nothing.
        """

    def silentFor(self) -> float:
        return 0.0

    def sourceReplaced(self, reason: str) -> None:
        raise AssertionError("there is no other publisher")


def header(frames: list[Frame], kind: FrameKind) -> Frame:
    """
    @return: the sequence header of a kind.
    """
    return next(f for f in frames if f.kind is kind and f.role is Role.CONFIG)


def without(frames: list[Frame], *these: Frame) -> list[Frame]:
    """
    @return: the frames other than C{these}.
    """
    return [f for f in frames if all(f is not each for each in these)]


def after(frames: list[Frame], milliseconds: int) -> int:
    """
    @return: the index of the first frame at or after a time.
    """
    return next(n for n, f in enumerate(frames) if f.timestamp >= milliseconds)


def lateAudio() -> list[Frame]:
    """
    @return: a stream whose audio and its header begin after 3 s.
    """
    frames = framesOf(encode(RARE))
    config = header(frames, FrameKind.AUDIO)
    frames = [
        f
        for f in without(frames, config)
        if f.kind is not FrameKind.AUDIO or f.timestamp >= 3000
    ]
    place = next(n for n, f in enumerate(frames) if f.kind is FrameKind.AUDIO)
    return [*frames[:place], config.retimed(3000), *frames[place:]]


def otherAudio() -> list[Frame]:
    """
    @return: a stream whose audio configuration changes after 3 s.
    """
    frames = framesOf(encode(RARE))
    config = frameFromMessage(FrameKind.AUDIO, 3000, OTHER_AAC)
    place = after(frames, 3000)
    return [*frames[:place], config, *frames[place:]]


def otherForms() -> list[Frame]:
    """
    @return: a stream with headers in the middle that need no other decoder: another
        level, a shorter form, padding.
    """
    frames = framesOf(encode(RARE))
    audio = header(frames, FrameKind.AUDIO).payload
    image = bytearray(header(frames, FrameKind.VIDEO).payload)
    image[8] ^= 1
    changes = [
        frameFromMessage(FrameKind.AUDIO, 3000, audio[:4]),
        frameFromMessage(FrameKind.VIDEO, 3000, bytes(image)),
        frameFromMessage(FrameKind.VIDEO, 3000, bytes(image) + bytes(5)),
    ]
    place = after(frames, 3000)
    return [*frames[:place], *changes, *frames[place:]]


@pytest.mark.parametrize(
    ("given", "most"),
    [(lateAudio, (1, 2)), (otherAudio, (2, 2)), (otherForms, (1, 1))],
    ids=lambda value: getattr(value, "__name__", ""),
)
@pytest_twisted.ensureDeferred
async def test_noPacketIsLost(
    serve: Serve,
    tmp_path: Path,
    given: Callable[[], list[Frame]],
    most: tuple[int, int],
) -> None:
    """
    Every container has all packets, in one file (FLV always, MP4 unless the audio
    changes) or two, and MP4 has the timestamps that were sent.
    """
    frames = given()
    files = await record(serve, tmp_path, frames)
    sent = Counter(f.kind.name.lower() for f in frames if f.role is Role.CODED)
    for name in FORMATS:
        assertAllIn(files[name], sent, name)
        limit = 1 if name == "flv" else most[0] if name == "mp4" else most[1]
        assert len(files[name]) == limit
    times: dict[str, list[tuple[int, int]]] = {"video": [], "audio": []}
    for frame in frames:
        for sample in samplesOf(frame):
            if not sample.isConfig:
                shown = sample.timestamp + sample.compositionTime
                times[sample.kind.name.lower()].append((sample.timestamp, shown))
    begin = min(f.timestamp for f in frames if f.role is Role.CODED)
    for path in files["mp4"]:
        found = packetsOf(str(path))
        if path != files["mp4"][0]:
            # The second file begins with the audio that waited for it.
            begin = min(dts for wanted in times.values() for dts, _pts in wanted)
        for kind, packets in found.items():
            wanted, times[kind] = (
                times[kind][: len(packets)],
                times[kind][len(packets) :],
            )
            assert [(p[3], p[2]) for p in packets] == [
                (dts - begin, pts - begin) for dts, pts in wanted
            ]


def assertAllIn(files: list[Path], sent: Counter[str], name: str) -> None:
    """
    Assert that the files together have as many packets of each kind as were sent.
    """
    got: Counter[str] = Counter()
    for path in files:
        found = packetsOf(str(path))
        got.update({kind: len(packets) for kind, packets in found.items()})
    print(f"{name}: {dict(got)} of {dict(sent)} in {len(files)} files")
    assert got == sent


async def record(
    serve: Serve, tmp_path: Path, frames: list[Frame], more: str = ""
) -> dict[str, list[Path]]:
    """
    @param more: more options of the sinks.
    @return: the files of each format, in order.
    """
    server = await serve(
        others=[
            (
                name,
                RecordSinkFactory.fromString(
                    f"{tmp_path}/{name}:format={name}:name={{part}}{more}"
                ),
            )
            for name in FORMATS
        ]
    )
    encoder = Encoder()
    stream = server.hub.publish("live", "cam", encoder)
    for frame in frames:
        stream.frameReceived(frame)
    server.hub.sourceLost(stream, encoder, "over")
    files: dict[str, list[Path]] = {}
    for name in FORMATS:
        report = await server.ended(sink=name)
        assert report.failure == ""
        found = (tmp_path / name).glob(f"*.{name}")
        files[name] = sorted(found, key=lambda path: int(path.stem))
        assert not list((tmp_path / name).glob("*.part"))
    await server.ended()
    return files


def decoded(path: Path) -> int:
    """
    @return: how many video frames can be decoded. As in a player, packets that cannot
        are skipped.
    """
    count = 0
    with av.open(str(path), "r") as container:
        if not container.streams.video:
            return 0
        for packet in container.demux(container.streams.video[0]):
            with suppress(av.error.InvalidDataError):
                count += len(packet.decode())
    return count


def noAudioHeader(frames: list[Frame]) -> list[Frame]:
    """
    @return: the frames without the AAC sequence header.
    """
    return without(frames, header(frames, FrameKind.AUDIO))


def noVideoHeader(frames: list[Frame]) -> list[Frame]:
    """
    @return: the frames without the AVC sequence header.
    """
    return without(frames, header(frames, FrameKind.VIDEO))


def headerAfterKey(frames: list[Frame]) -> list[Frame]:
    """
    @return: the frames with the AVC sequence header after the first key frame.
    """
    config = header(frames, FrameKind.VIDEO)
    rest = without(frames, config)
    place = next(n for n, f in enumerate(rest) if f.isKey) + 1
    return [*rest[:place], config, *rest[place:]]


def emptyHeader(frames: list[Frame]) -> list[Frame]:
    """
    @return: the frames after an empty AAC sequence header.
    """
    return [frameFromMessage(FrameKind.AUDIO, 0, b"\xaf\0"), *frames]


@pytest.mark.parametrize(
    ("change", "decodable", "heard"),
    [
        (noAudioHeader, 100, 0),
        (noVideoHeader, 0, 187),
        (headerAfterKey, 75, 187),
        (emptyHeader, 100, 187),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
@pytest_twisted.ensureDeferred
async def test_headersMissing(
    serve: Serve,
    tmp_path: Path,
    change: Callable[[list[Frame]], list[Frame]],
    decodable: int,
    heard: int,
) -> None:
    """
    If a sequence header is missing or late, the files have all that can be played, and
    every file can be opened.
    """
    files = await record(serve, tmp_path, change(framesOf(encode(OFTEN))))
    for name in FORMATS:
        (path,) = files[name]
        found = packetsOf(str(path))
        shown = decoded(path)
        audio = len(found.get("audio", []))
        print(f"{name}: {shown} video, {audio} audio frames")
        assert shown >= decodable
        assert audio >= heard


@pytest_twisted.ensureDeferred
async def test_videoStops(serve: Serve, tmp_path: Path) -> None:
    """
    When the video stops, rotation continues with the audio, and nothing is lost.
    """
    frames = [
        f
        for f in framesOf(encode(Media(frames=1000, options=OFTEN.options)))
        if f.kind is FrameKind.AUDIO or f.timestamp < 5000
    ]
    sent = Counter(f.kind.name.lower() for f in frames if f.role is Role.CODED)
    files = await record(serve, tmp_path, frames, ":rotate=10")
    for name in FORMATS:
        assertAllIn(files[name], sent, name)
        assert len(files[name]) == 4
