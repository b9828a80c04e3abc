"""
Pulls from real servers: every frame that the encoder's muxer wrote arrives.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import pytest_twisted

from rtmptw.plugins.registry import pullFactory
from rtmptw.rtmpclient.pull import RTMPPull
from tests.live.harness import LiveServer, Publisher, PublisherFailed
from tests.live.media import (
    AUDIO,
    H264_AAC,
    VIDEO,
    Mux,
    compare,
    encode,
    isHeader,
    mediaTags,
    reference,
)
from tests.live.players import Player
from tests.live.test_relay import StartNginx, nginx, recorded

__all__ = ["nginx"]

Serve = Callable[..., Awaitable[LiveServer]]


def pullInto(server: LiveServer, text: str, onDemand: bool = False) -> RTMPPull:
    """
    @return: a started pull.
    """
    pull = pullFactory(text, onDemand).buildSource(server.hub, server.reactor)
    assert isinstance(pull, RTMPPull)
    pull.startService()
    return pull


@pytest.mark.parametrize(
    "live",
    ["", "play_restart on;", "idle_streams off;"],
    ids=["default", "play_restart", "idle_streams"],
)
@pytest_twisted.ensureDeferred
async def test_fromNginx(serve: Serve, nginx: StartNginx, live: str) -> None:
    """
    Every frame that FFmpeg publishes to nginx-rtmp is pulled. If the stream is not
    published yet, nginx-rtmp accepts the player, or does not answer, or refuses,
    depending on its configuration. If it accepts, the publisher waits for the player.
    """
    there = await nginx(live=live)
    server = await serve()
    pull = pullInto(server, there.url("live/cam"))
    if not live:
        await server.until(lambda: pull.isConnected)
    # After a refusal the pull retries seconds later. The stream must be there then.
    isRefused = live == "idle_streams off;"
    repeat = 20 if isRefused else 2
    mux = Mux(encode(H264_AAC), there.url("live/cam"), paced=True, repeat=repeat)
    publisher = Publisher(server.reactor, mux)
    await server.until(lambda: server.received() > (100 if isRefused else 0))
    if isRefused:
        publisher.kill()
        with pytest.raises(PublisherFailed):
            await publisher.done
    else:
        await publisher.done
    coded = len([tag for tag in reference(mux.source, 0, 2) if not isHeader(tag)])
    if live:
        report = await server.ended()
        assert "the server ended the stream" in report.ended or "lost" in report.ended
    else:
        await server.until(lambda: server.received() >= coded + 2)
    await pull.stopService()
    report = await server.ended()
    assert report.ledger.dropped == {}
    (path,) = server.files()
    got = [tag for tag in recorded(path) if not isHeader(tag)]
    sent = [tag for tag in reference(mux.source, 0, repeat) if not isHeader(tag)]
    if isRefused:
        # A late player gets a part of the stream, without gaps.
        print(f"nginx-rtmp with {live} pulled {len(got)} of {len(sent)} frames")
        for kind in (AUDIO, VIDEO):
            part = [tag.payload for tag in got if tag.kind == kind]
            whole = [tag.payload for tag in sent if tag.kind == kind]
            begin = next(
                (n for n in range(len(whole)) if whole[n : n + len(part)] == part), -1
            )
            assert part and begin >= 0, f"{len(part)} of {len(whole)} of {kind}"
    else:
        compare(got, sent, f"pulled from nginx-rtmp, {live} without the headers")


@pytest_twisted.ensureDeferred
async def test_nginxRestarts(serve: Serve, nginx: StartNginx) -> None:
    """
    When the server restarts in the middle, the pull reconnects, and with a grace time
    the stream continues.
    """
    there = await nginx()
    server = await serve(graceTime=60.0)
    pull = pullInto(server, there.url("live/cam"))
    await server.until(lambda: pull.isConnected)
    mux = Mux(encode(H264_AAC), there.url("live/cam"), pauseAfter=100)
    first = Publisher(server.reactor, mux)
    await first.paused
    await server.until(lambda: server.received() > 0)
    await there.stop()
    await server.until(lambda: not pull.isConnected)
    first.kill()
    with pytest.raises(Exception):  # noqa: B017 -- however it says that it was killed
        await first.done
    before = server.received()
    await there.start()
    await server.until(lambda: pull.isConnected)
    again = Mux(mux.source, mux.target, paced=True)
    await Publisher(server.reactor, again).done
    sent = [tag for tag in reference(mux.source) if not isHeader(tag)]
    await server.until(lambda: server.received() >= before + len(sent) + 2)
    await pull.stopService()
    await server.hub.end("live/cam", "enough")
    (path,) = server.files()
    got = [tag for tag in recorded(path) if not isHeader(tag)][-len(sent) :]
    compare(got[1:], sent[1:], "pulled after a restart")


@pytest_twisted.ensureDeferred
async def test_onDemand(serve: Serve, nginx: StartNginx, tmp_path: Path) -> None:
    """
    With C{onDemand}, the pull connects when a player joins and disconnects when it has
    left. Between these it loses nothing.
    """
    there = await nginx()
    server = await serve()
    pull = pullInto(server, there.url("live/cam") + "=live/pulled", onDemand=True)
    mux = Mux(encode(H264_AAC), there.url("live/cam"), paced=True, repeat=2)
    publisher = Publisher(server.reactor, mux)
    assert not pull.isConnected
    player = Player(server, "rtmpdump", tmp_path / "played.flv", "pulled")
    await server.until(lambda: server.received("live/pulled") > 100)
    player.program.signal("INT")
    await player.program.done
    report = await server.ended("live/pulled")
    assert report.ended == "the last player has left"
    await server.until(lambda: not pull.isConnected)
    await publisher.done
    await pull.stopService()
    (path,) = server.files("live/pulled")
    pulled = [tag.payload for tag in mediaTags(path) if not isHeader(tag)]
    played = [tag.payload for tag in mediaTags(player.path) if not isHeader(tag)]
    sent = [tag.payload for tag in reference(mux.source, 0, 2) if not isHeader(tag)]
    begin = sent.index(pulled[0])
    print(f"on demand: pulled {len(pulled)}, played {len(played)} of them")
    assert pulled == sent[begin : begin + len(pulled)]
    assert played == pulled[: len(played)] and len(played) > 50
