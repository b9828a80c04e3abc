"""
Real players: every frame that the encoder's muxer wrote reaches each of them.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import pytest_twisted

from rtmptw.delivery import Delivery, Policy
from rtmptw.flv.file import Tag
from rtmptw.rtmp.serversession import ServerSettings
from rtmptw.rtmpserver.play import PlaySettings
from tests.live.harness import LiveServer, Publisher
from tests.live.media import (
    AUDIO,
    AV1_OPUS,
    H264_AAC,
    HEVC_AAC,
    VIDEO,
    Media,
    Mux,
    compare,
    encode,
    isHeader,
    mediaTags,
    reference,
)
from tests.live.players import PLAYERS, Player, needPlayer
from tests.live.programs import PATIENCE
from tests.live.tls import untroubled

Serve = Callable[..., Awaitable[LiveServer]]


#: Every player over plain TCP. Over TLS only FFmpeg, which accepts a self-signed
#: certificate.
players = pytest.mark.parametrize(
    ("isSecure", "name"),
    [
        *(pytest.param(False, name, id=f"rtmp-{name}") for name in PLAYERS),
        pytest.param(True, "ffmpeg", id="rtmps-ffmpeg", marks=untroubled),
    ],
)


def continuation(played: list[Tag], sent: list[Tag]) -> list[Tag]:
    """
    @return: what a player that began with the first coded video frame of C{played}
        should get: the sequence headers, the audio from the moment it joined, and then
        everything from that video frame on.
    """
    first = next(tag for tag in played if tag.kind == VIDEO and not isHeader(tag))
    assert first.payload[0] >> 4 == 1, "it did not begin with a key frame"
    begin = [tag.payload for tag in sent].index(first.payload)
    before = [tag for tag in played[: played.index(first)] if not isHeader(tag)]
    audioFrames = [
        tag for tag in sent[:begin] if tag.kind == AUDIO and not isHeader(tag)
    ]
    headers = [tag for tag in sent[:begin] if isHeader(tag)]
    return headers + audioFrames[len(audioFrames) - len(before) :] + sent[begin:]


@pytest.mark.parametrize("paced", [False, True], ids=["unpaced", "paced"])
@players
@pytest_twisted.ensureDeferred
async def test_thereFromTheStart(
    serve: Serve, tmp_path: Path, isSecure: bool, name: str, paced: bool
) -> None:
    """
    A player that connects before the publisher gets every payload, and the end of the
    stream.
    """
    server = await serve(isSecure=isSecure)
    player = Player(server, name, tmp_path / "played.flv")
    await server.until(lambda: server.hub.awaited == {"live/cam": 1})
    source = encode(H264_AAC)
    await server.publish(Mux(source, server.url(), paced=paced))
    await player.ended()
    compare(
        mediaTags(player.path),
        player.wanted(reference(source)),
        f"{name}, paced: {paced}",
    )


@pytest.mark.parametrize("cache", [True, False], ids=["cache", "no cache"])
@players
@pytest_twisted.ensureDeferred
async def test_joinsInTheMiddle(
    serve: Serve, tmp_path: Path, isSecure: bool, name: str, cache: bool
) -> None:
    """
    A late player begins at a key frame and gets everything after it: with the cache at
    the last key frame, without it at the next.
    """
    needPlayer(name)
    server = await serve(
        gopCache=cache,
        settings=ServerSettings(silenceTimeout=PATIENCE),
        isSecure=isSecure,
    )
    source = encode(Media(frames=300, options=H264_AAC.options))
    publisher = Publisher(server.reactor, Mux(source, server.url(), pauseAfter=400))
    await publisher.paused
    # FFmpeg holds back some of the packets.
    await server.until(lambda: server.received() > 100)
    player = Player(server, name, tmp_path / "played.flv")
    await server.until(lambda: server.stream().viewers == 1)
    publisher.goOn()
    await publisher.done
    await player.ended()
    sent = player.wanted(reference(source))
    played = mediaTags(player.path)
    wanted = continuation(played, sent)
    assert len(sent) - len(wanted) > 100
    compare(played, wanted, f"{name}, in the middle, cache: {cache}")
    first = next(tag for tag in played if tag.kind == VIDEO and not isHeader(tag))
    earlier = [tag for tag in sent if tag.timestamp <= first.timestamp]
    received = (await server.ended()).ledger.delivered
    assert len(earlier) < received


@pytest.mark.parametrize("media", [HEVC_AAC, AV1_OPUS], ids=["hevc", "av1"])
@pytest_twisted.ensureDeferred
async def test_otherCodecs(serve: Serve, tmp_path: Path, media: Media) -> None:
    """
    Enhanced RTMP reaches the player unchanged.
    """
    server = await serve()
    player = Player(server, "rtmpdump", tmp_path / "played.flv")
    await server.until(lambda: server.hub.awaited == {"live/cam": 1})
    source = encode(media)
    await server.publish(Mux(source, server.url()))
    await player.ended()
    compare(mediaTags(player.path), player.wanted(reference(source)), f"{media.video}")


@pytest_twisted.ensureDeferred
async def test_tenThousandFrames(serve: Serve, tmp_path: Path) -> None:
    """
    Players get every frame of an encoder that sends minutes of media in a second, if
    they are allowed to lag as far as this machine makes them.
    """
    names = ("ffmpeg", "rtmpdump")
    for name in names:
        needPlayer(name)
    patient = Delivery(Policy.TO_KEYFRAME, int(PATIENCE * 1000), 2**26, maxFrames=0)
    server = await serve(play=PlaySettings(patient))
    players = [Player(server, name, tmp_path / f"{name}.flv") for name in names]
    await server.until(lambda: server.hub.awaited == {"live/cam": 2})
    source = encode(Media(frames=10_000))
    await server.publish(Mux(source, server.url()))
    sent = reference(source)
    for player in players:
        await player.ended()
        compare(mediaTags(player.path), player.wanted(sent), f"{player.name}, 10,000")


@pytest_twisted.ensureDeferred
async def test_nobodyPublishes(serve: Serve, tmp_path: Path) -> None:
    """
    If players may not wait for a publisher, a player is told in words that there is
    none.
    """
    server = await serve(play=PlaySettings(waits=False))
    player = Player(server, "ffmpeg", tmp_path / "played.flv")
    assert await player.program.done != 0
    assert "live/cam is not being published." in player.program.complaints


@pytest_twisted.ensureDeferred
async def test_thePublisherComesBackTwentyTimes(serve: Serve, tmp_path: Path) -> None:
    """
    A publisher that returns twenty times within the grace time makes one recording and
    one session of each player, nothing is missing, and timestamps never go back.
    """
    names = ("rtmpdump", "rtmp2src")
    for name in names:
        needPlayer(name)
    server = await serve(graceTime=30.0, graceAfterStop=True)
    players = [Player(server, name, tmp_path / f"{name}.flv") for name in names]
    await server.until(lambda: server.hub.awaited == {"live/cam": 2})
    source = encode(H264_AAC)
    for _time in range(20):
        await server.publish(Mux(source, server.url()))
    await server.until(lambda: server.received() == 20 * 176)
    ending = server.hub.end("live/cam", "the test is over")
    for player in players:
        await player.ended()
    await ending
    sent = reference(source) * 20
    (path,) = server.files()
    recorded = mediaTags(path)
    assert [(tag.kind, tag.payload) for tag in recorded] == [
        (tag.kind, tag.payload) for tag in sent
    ]
    for player in players:
        played = mediaTags(player.path)
        compare(played, player.wanted(recorded), f"{player.name}, 20 publishers")
        for kind in (AUDIO, VIDEO):
            times = [tag.timestamp for tag in played if tag.kind == kind]
            assert times == sorted(times)
    for report in server.reports.values():
        assert report.ledger.balanced and report.ledger.delivered >= 20 * 176
        assert not report.ledger.dropped
        assert report.repairs == {"source": 19}
