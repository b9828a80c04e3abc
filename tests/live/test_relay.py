"""
Relays to real servers: every frame that the encoder's muxer wrote arrives there.
"""

import re
import shlex
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from zope.interface import implementer

from rtmptw.app.options import Options
from rtmptw.errors import NotAllowed
from rtmptw.flv.file import Tag
from rtmptw.interfaces import IStreamAuthorizer, PlayPermit, PublishPermit
from rtmptw.plugins.registry import pullFactory
from rtmptw.rtmp.events import PlayRequested, PublishRequested
from rtmptw.rtmpclient.pull import RTMPPull
from rtmptw.rtmpclient.relay import RelaySink, RelaySinkFactory
from rtmptw.testing import videoFrame
from tests.live.harness import ROOT, LiveServer, Publisher
from tests.live.media import (
    H264_AAC,
    Media,
    Mux,
    compare,
    encode,
    isHeader,
    mediaTags,
    reference,
)
from tests.live.players import Player
from tests.live.servers import ListeningFFmpeg, Nginx, freePort, listening
from tests.live.tls import certificate, transports
from tests.rtmpserver.test_play import Source

Serve = Callable[..., Awaitable[LiveServer]]
StartNginx = Callable[..., Awaitable[Nginx]]


@pytest_twisted.async_yield_fixture()
async def nginx(tmp_path: Path) -> AsyncIterator[StartNginx]:
    """
    Return a function that starts nginx. It is stopped after the test.
    """
    from twisted.internet import reactor

    started: list[Nginx] = []

    async def start(**options: Any) -> Nginx:
        server = Nginx(reactor, tmp_path / f"nginx{len(started)}", **options)
        started.append(server)
        return await server.start()

    yield start
    for server in started:
        await server.stop()


@implementer(IStreamAuthorizer)
class Nobody:
    """
    Refuses everything.
    """

    def authorizePublish(self, request: PublishRequested, peer: str) -> PublishPermit:
        raise NotAllowed("NetStream.Publish.Denied", f"Not {request.stream} of all.")

    def authorizePlay(self, request: PlayRequested, peer: str) -> PlayPermit:
        raise NotAllowed("NetStream.Play.Failed", "Nor plays.")


class Lines:
    """
    The log lines, while it is entered.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __enter__(self) -> None:
        globalLogPublisher.addObserver(cast(ILogObserver, self._take))

    def __exit__(self, *error: object) -> None:
        globalLogPublisher.removeObserver(cast(ILogObserver, self._take))

    def _take(self, event: LogEvent) -> None:
        self.lines.append(formatEvent(event))

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def have(self, words: str) -> bool:
        return words in self.text


async def relaySink(server: LiveServer) -> RelaySink:
    """
    @return: the relay sink of the live stream.
    """
    await server.until(lambda: "live/cam" in server.hub.streams)
    (sink,) = [
        outlet.sink
        for outlet in server.stream().outlets
        if isinstance(outlet.sink, RelaySink)
    ]
    return sink


def recorded(path: Path) -> list[Tag]:
    """
    @return: the audio and video tags of a recording by nginx-rtmp, without the sequence
        headers that it repeats.
    """
    tags: list[Tag] = []
    seen: set[bytes] = set()
    for tag in mediaTags(path):
        if tag.payload not in seen or not isHeader(tag):
            tags.append(tag)
        if isHeader(tag):
            seen.add(tag.payload)
    return tags


def relay(url: str) -> tuple[str, RelaySinkFactory]:
    return "relay", RelaySinkFactory.fromString(url)


@pytest.mark.parametrize("paced", [False, True], ids=["unpaced", "paced"])
@pytest_twisted.ensureDeferred
async def test_toNginx(serve: Serve, nginx: StartNginx, paced: bool) -> None:
    """
    nginx-rtmp records everything it is sent, from the first frame to the last.
    """
    target = await nginx()
    server = await serve(others=[relay(target.url("rec/there"))])
    mux = Mux(encode(H264_AAC), server.url(), paced=paced)
    await server.publish(mux)
    report = await server.ended(sink="relay")
    assert report.failure == "" and not report.ledger.dropped
    (path,) = target.recordings()
    compare(recorded(path), reference(mux.source), f"to nginx-rtmp, paced: {paced}")


@pytest_twisted.ensureDeferred
async def test_toFFmpeg(serve: Serve, tmp_path: Path) -> None:
    """
    FFmpeg as a server gets every frame.
    """
    from twisted.internet import reactor

    port, output = freePort(), tmp_path / "there.flv"
    there = ListeningFFmpeg(reactor, port, output)
    await listening(reactor, port)
    server = await serve(others=[relay(f"rtmp://127.0.0.1:{port}/live/cam")])
    mux = Mux(encode(H264_AAC), server.url())
    await server.publish(mux)
    await server.ended(sink="relay")
    assert await there.done == 0, there.program.complaints
    sent = reference(mux.source)
    compare(mediaTags(output), sent, "to ffmpeg -listen 1")


@pytest_twisted.ensureDeferred
async def test_manyFrames(serve: Serve, nginx: StartNginx) -> None:
    """
    5,000 video frames and their audio are relayed as fast as they arrive, and none is
    lost.
    """
    target = await nginx()
    server = await serve(others=[relay(target.url("rec/there"))])
    mux = Mux(encode(Media(frames=5000)), server.url())
    await server.publish(mux)
    report = await server.ended(sink="relay")
    assert report.failure == "" and not report.ledger.dropped
    (path,) = target.recordings()
    compare(recorded(path), reference(mux.source), "to nginx-rtmp, 5,000 frames")


def headersOf(tags: list[Tag]) -> list[bytes]:
    """
    @return: the payloads of the sequence headers and ends of sequence, sorted.
    """
    return sorted(tag.payload for tag in tags if isHeader(tag))


def lastKey(sent: list[Tag], before: int) -> int:
    """
    @return: the index of the last key frame among the first C{before} tags.
    """
    return max(
        number
        for number, tag in enumerate(sent[:before])
        if tag.payload[:2] == b"\x17\x01"
    )


@pytest_twisted.ensureDeferred
async def test_nginxRestarts(serve: Serve, nginx: StartNginx) -> None:
    """
    When the target restarts in the middle, its second recording has the sequence
    headers and everything from the last key frame on, with timestamps from 0.
    """
    target = await nginx()
    server = await serve(others=[relay(target.url("rec/{name}"))])
    mux = Mux(encode(H264_AAC), server.url(), pauseAfter=120)
    publisher = Publisher(server.reactor, mux)
    await publisher.paused
    sent = reference(mux.source)
    sink = await relaySink(server)
    await server.until(lambda: sink.sent > 1)
    before = server.received()
    await target.stop()
    await server.until(lambda: not sink.isConnected)
    (path,) = target.recordings()
    first = recorded(path)
    compare(first, sent[: len(first)], "before the restart")
    path.rename(path.with_suffix(".first"))
    await target.start()
    await server.until(lambda: sink.isConnected)
    publisher.goOn()
    await publisher.done
    await server.ended(sink="relay")
    (path,) = target.recordings()
    second = recorded(path)
    begin = lastKey(sent, before)
    headers = [tag for tag in sent if isHeader(tag)][:2]
    compare(second, headers + sent[begin:], "after the restart")
    assert second[2].timestamp == 0
    report = await server.ended()
    assert report.ledger.dropped == {}
    (path,) = server.files()
    compare(mediaTags(path), sent, "recorded beside it")


@pytest_twisted.ensureDeferred
async def test_ffmpegRestarts(serve: Serve, tmp_path: Path) -> None:
    """
    When FFmpeg as a server is killed and started again, its second file has the
    sequence headers and everything from the last key frame on.
    """
    from twisted.internet import reactor

    port = freePort()
    there = ListeningFFmpeg(reactor, port, tmp_path / "first.flv")
    await listening(reactor, port)
    server = await serve(others=[relay(f"rtmp://127.0.0.1:{port}/live/cam")])
    mux = Mux(encode(H264_AAC), server.url(), pauseAfter=120)
    publisher = Publisher(server.reactor, mux)
    await publisher.paused
    sink = await relaySink(server)
    await server.until(lambda: sink.sent > 1)
    before = server.received()
    there.program.signal("KILL")
    await there.done
    await server.until(lambda: not sink.isConnected)
    there = ListeningFFmpeg(reactor, port, tmp_path / "second.flv")
    await server.until(lambda: sink.isConnected)
    publisher.goOn()
    await publisher.done
    await server.ended(sink="relay")
    assert await there.done == 0, there.program.complaints
    sent = reference(mux.source)
    headers = [tag for tag in sent if isHeader(tag)][:2]
    compare(
        mediaTags(tmp_path / "second.flv"),
        headers + sent[lastKey(sent, before) :],
        "after FFmpeg has restarted",
    )


@pytest_twisted.ensureDeferred
async def test_deadAndRefusing(serve: Serve, nginx: StartNginx) -> None:
    """
    Beside a target where no server listens, one that refuses, and one that accepts and
    then closes, a working target and the recording lose nothing. The log has the
    reasons and no stream key.
    """
    target = await nginx()
    refusing = await serve(authorizer=Nobody())
    dead = freePort()
    server = await serve(
        others=[
            ("dead", relay(f"rtmp://127.0.0.1:{dead}/live/s3cret")[1]),
            ("refusing", relay(refusing.url("s3cret"))[1]),
            ("silent", relay(target.url("closed/s3cret"))[1]),
            ("relay", relay(target.url("rec/there"))[1]),
        ]
    )
    lines = Lines()
    mux = Mux(encode(H264_AAC), server.url(), pauseAfter=120)
    troubles = {
        "dead": "cannot connect",
        "refusing": "refused: NetStream.Publish.Denied: Not *** of all.",
        # nginx-rtmp accepts the stream, and then closes the connection.
        "silent": "sent: the server closed the connection; next try in 2 s",
    }
    with lines:
        publisher = Publisher(server.reactor, mux)
        await publisher.paused
        await server.until(lambda: all(lines.have(t) for t in troubles.values()))
        publisher.goOn()
        await publisher.done
        reports = {
            name: await server.ended(sink=name) for name in (*troubles, "file", "relay")
        }
    sent = reference(mux.source)
    (path,) = server.files()
    compare(mediaTags(path), sent, "recorded beside a dead target")
    (path,) = target.recordings()
    compare(recorded(path), sent, "relayed beside a dead target")
    for name, trouble in troubles.items():
        received = reports[name].ledger.received
        assert received == len(sent) + 1
        failure = reports[name].failure
        dropped = received if name != "silent" else int(failure.split()[0])
        assert 0 < dropped <= received
        assert failure.startswith(f"{dropped} frames came while not connected")
        assert trouble.partition(";")[0] in failure
    said = [line for line in lines.lines if "relay to" in line or "sink" in line]
    assert said and not any("s3cret" in line for line in said), said
    assert lines.have(
        f"live/cam: relay to rtmp://127.0.0.1:{dead}/live: cannot connect"
    )
    assert lines.have("; next try in 1 s")


@pytest_twisted.ensureDeferred
async def test_targetsName(serve: Serve, nginx: StartNginx) -> None:
    """
    With C{{app}} and C{{name}} in the URL, each stream is relayed under its own name.
    """
    target = await nginx()
    server = await serve(others=[relay(target.url("{app}/{name}"))])
    mux = Mux(encode(H264_AAC), server.url("door", "rec"))
    await server.publish(mux)
    await server.ended("rec/door", "relay")
    (path,) = target.recordings()
    assert path.name == "door.flv"
    compare(recorded(path), reference(mux.source), "to {app}/{name}")


def commands(document: str) -> list[list[str]]:
    """
    @return: the commands in a page of the documentation, split as a shell does.
    """
    text = (ROOT / "docs" / document).read_text()
    blocks = re.findall(r"code-block:: sh\n\n((?:    .*\n)+)", text)
    return [shlex.split(block.replace("\\\n", "")) for block in blocks]


def test_documentedCommands() -> None:
    """
    Every command on the pages is accepted, and has the option that the page is about.
    """
    for page, words in (("relay.rst", "relay:"), ("pull.rst", "--pull")):
        found = commands(page)
        assert len(found) >= 3
        for twistd, foreground, rtmp, *arguments in found:
            assert [twistd, foreground, rtmp] == ["twistd", "-n", "rtmp"]
            assert any(words in argument for argument in arguments)
            Options().parseOptions(arguments)


@pytest_twisted.ensureDeferred
async def test_documentedChain(
    serverProcess: Callable[..., Any], nginx: StartNginx, tmp_path: Path
) -> None:
    """
    The first command of each page works, with another host: one server relays to
    nginx-rtmp, and another pulls from there and records.
    """
    from twisted.internet import reactor

    middle = await nginx()
    place = middle.url("live")
    (_, _, _, *pulling), (_, _, _, *relaying) = (
        [word.replace("rtmp://example.com/live", place) for word in commands(page)[0]]
        for page in ("pull.rst", "relay.rst")
    )
    pulling = [option.replace("/cam", "/KEY") for option in pulling]
    last, _port = await serverProcess(*pulling)
    first, port = await serverProcess(*relaying)
    mux = Mux(encode(H264_AAC), f"rtmp://127.0.0.1:{port}/live/cam", paced=True)
    await middle.logged("play: name='KEY'")
    await Publisher(reactor, mux).done
    await first.says("live/cam: relay got 177 of 177 frames")
    await last.says("live/KEY: pull from .*: connected to")
    for program in (first, last):
        program.signal("TERM")
        assert await program.done == 0
    said = await last.says(r"live/KEY: file got (\d+) of \1 frames")
    (path,) = (tmp_path / "recordings" / "live" / "KEY").glob("*.flv")
    got = [tag for tag in recorded(path) if not isHeader(tag)]
    sent = [tag for tag in reference(mux.source) if not isHeader(tag)]
    assert said
    compare(got, sent, "by the documented commands, without the headers")


@pytest_twisted.ensureDeferred
async def test_chain(serve: Serve, nginx: StartNginx, tmp_path: Path) -> None:
    """
    FFmpeg publishes to rtmptw, which relays to nginx-rtmp. A second rtmptw pulls from
    there, records and serves a player. Nothing is lost.
    """
    middle = await nginx()
    last = await serve()
    player = Player(last, "rtmpdump", tmp_path / "played.flv", "pulled")
    await last.until(lambda: last.hub.awaited == {"live/pulled": 1})
    pull = pullFactory(middle.url("live/there") + "=live/pulled").buildSource(
        last.hub, last.reactor
    )
    assert isinstance(pull, RTMPPull)
    pull.startService()
    await last.until(lambda: pull.isConnected)
    first = await serve(others=[relay(middle.url("live/there"))])
    mux = Mux(encode(H264_AAC), first.url(), paced=True)
    await first.publish(mux)
    sent = reference(mux.source)
    # nginx-rtmp does not tell players that the publisher has left.
    await last.until(lambda: last.received("live/pulled") >= len(sent))
    await pull.stopService()
    report = await last.ended("live/pulled")
    assert report.ended == "the pull was stopped" and not report.ledger.dropped
    (path,) = last.files("live/pulled")
    # nginx-rtmp sends players a sequence header just before the first frame that needs
    # it.
    assert headersOf(recorded(path)) == headersOf(sent)
    compare(
        [tag for tag in recorded(path) if not isHeader(tag)],
        [tag for tag in sent if not isHeader(tag)],
        "relay, nginx-rtmp, pull, record, without the headers",
    )
    await player.ended()
    compare(
        [tag for tag in mediaTags(player.path) if not isHeader(tag)],
        [tag for tag in sent if not isHeader(tag)],
        "relay, nginx-rtmp, pull, play, without the headers",
    )


@implementer(IStreamAuthorizer)
class Later:
    """
    Allows everything, but grants a publisher only when the test says so.

    @ivar asked: fires when a publisher asks.
    """

    def __init__(self) -> None:
        self.asked: Deferred[None] = Deferred()
        self._answer: Deferred[PublishPermit] = Deferred()
        self._permit: PublishPermit | None = None

    def authorizePublish(
        self, request: PublishRequested, peer: str
    ) -> "Deferred[PublishPermit]":
        self._permit = PublishPermit(request.app, request.stream)
        self.asked.callback(None)
        return self._answer

    def authorizePlay(self, request: PlayRequested, peer: str) -> PlayPermit:
        return PlayPermit(request.app, request.stream)

    def allow(self) -> None:
        """
        Grant the publisher.
        """
        assert self._permit is not None
        self._answer.callback(self._permit)


# Twisted passes pyOpenSSL objects that pyOpenSSL deprecates.
@pytest.mark.filterwarnings("ignore:Passing pyOpenSSL:DeprecationWarning")
@pytest_twisted.ensureDeferred
async def test_tls(serve: Serve) -> None:
    """
    A relay over RTMPS works to a server whose certificate only C{ca=FILE} makes
    trusted. Without that option the certificate is refused.
    """
    there = await serve(isSecure=True)
    url = there.url("tls")
    server = await serve(
        others=[
            ("relay", relay(f"{url}#ca={certificate()[0]}")[1]),
            ("wary", relay(f"{url}-wary")[1]),
        ]
    )
    lines = Lines()
    # Paced: an unpaced stream may end before the other relay has seen the certificate.
    mux = Mux(encode(H264_AAC), server.url(), paced=True)
    with lines:
        await server.publish(mux)
        report = await server.ended(sink="relay")
        assert report.failure == ""
        await there.ended("live/tls")
    (path,) = there.files("live/tls")
    compare(mediaTags(path), reference(mux.source), "over TLS")
    await server.ended(sink="wary")
    assert there.files("live/tls-wary") == []
    assert lines.have("certificate verify failed"), lines.text


@pytest.mark.filterwarnings("ignore:Passing pyOpenSSL:DeprecationWarning")
@pytest_twisted.ensureDeferred
async def test_tlsFromTheFirstFrame(serve: Serve) -> None:
    """
    Frames that arrive after the TLS handshake but before the other server grants the
    stream wait, and are sent first.
    """
    later = Later()
    there = await serve(authorizer=later, isSecure=True)
    server = await serve(
        others=[relay(f"{there.url('tls')}#ca={certificate()[0]}")],
    )
    mux = Mux(encode(H264_AAC), server.url(), pauseAfter=120)
    publisher = Publisher(server.reactor, mux)
    await publisher.paused
    await later.asked
    sink = await relaySink(server)
    # Two sequence headers and the first frames. FFmpeg holds back the last ones.
    await server.until(lambda: server.received() > 4)
    assert sink.sent == sink.missed == 0 and not sink.isConnected
    later.allow()
    await server.until(lambda: sink.sent > 4)
    publisher.goOn()
    await publisher.done
    report = await server.ended(sink="relay")
    sent = reference(mux.source)
    assert report.failure == "" and not report.ledger.dropped
    assert report.ledger.delivered == sink.sent == len(sent) + 1
    theirs = await there.ended("live/tls")
    assert theirs.ledger.received == len(sent) + 1, "with the metadata"
    (path,) = there.files("live/tls")
    compare(mediaTags(path), sent, "over TLS, from the first frame")


@transports
@pytest_twisted.ensureDeferred
async def test_chainOfOurs(serve: Serve, isSecure: bool) -> None:
    """
    FFmpeg publishes to a server, which relays to a second one, from which a third one
    pulls. Each has every frame.
    """
    second = await serve(isSecure=isSecure)
    ca = f"#ca={certificate()[0]}" if isSecure else ""
    first = await serve(others=[relay(f"{second.url()}{ca}")], isSecure=isSecure)
    third = await serve()
    text = f"{second.url()}#as=live/cam" + ca.replace("#", "&")
    pull = pullFactory(text).buildSource(third.hub, third.reactor)
    assert isinstance(pull, RTMPPull)
    pull.startService()
    await third.until(lambda: second.hub.awaited == {"live/cam": 1})
    mux = Mux(encode(H264_AAC), first.url())
    await first.publish(mux)
    sent = reference(mux.source)
    report = await first.ended(sink="relay")
    assert report.failure == "" and report.ledger.delivered == len(sent) + 1
    await second.ended()
    await third.ended()
    await pull.stopService()
    for server in (first, second, third):
        (path,) = server.files()
        compare(mediaTags(path), sent, f"chain, TLS: {isSecure}")


class Patient(Source):
    """
    A source that ignores pauses.
    """

    def pauseSource(self) -> None:
        pass

    def resumeSource(self) -> None:
        pass


@transports
@pytest_twisted.ensureDeferred
async def test_whatTheOtherSideTook(serve: Serve, isSecure: bool) -> None:
    """
    The ledger counts what the other side has taken. If a server stops reading and then
    closes, the frames queued for it are counted as dropped, and the report says so.
    """
    there = await serve(isSecure=isSecure)
    ca = f"#ca={certificate()[0]}" if isSecure else ""
    server = await serve(others=[relay(f"{there.url()}{ca}")])
    source = Patient()
    stream = server.hub.publish("live", "cam", source)
    sink = await relaySink(server)
    stream.frameReceived(videoFrame(0, True))
    await server.until(lambda: there.received() == 1)
    (connection,) = there.factory.connections
    connection.pauseReading(there)
    # 200 frames of 100 kB: more than the kernels buffer.
    count = 200
    for number in range(1, count):
        stream.frameReceived(videoFrame(number * 40, size=100_000))
    await deferLater(server.reactor, 0.3, lambda: None)
    before = there.received()
    connection.abort()
    await server.until(lambda: not sink.isConnected)
    server.hub.sourceLost(stream, source, "over")
    report = await server.ended(sink="relay")
    print(f"{before} frames read, {sink.sent} taken, {sink.untaken} not")
    ledger = report.ledger
    assert ledger.delivered == sink.sent and ledger.balanced
    assert sink.untaken > 0 and f"{sink.untaken} frames were not" in report.failure
    assert ledger.dropped["not-taken"] == sink.missed + sink.untaken
    assert ledger.received == count and sink.repeated == 0
    # What the server's kernel had accepted counts as taken.
    assert before <= sink.sent < count - sink.missed
