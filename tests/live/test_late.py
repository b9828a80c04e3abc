"""
Players that join late where that is hard: key frames are rare, are not marked, or do
not exist after the first. The frames they got are counted, and decoded by FFmpeg.
"""

from pathlib import Path

import av
import pytest
import pytest_twisted

from rtmptw.flv.body import frameFromMessage
from rtmptw.flv.file import Tag
from rtmptw.frames import FrameKind
from rtmptw.hub.stream import Stream
from tests.live.media import (
    AUDIO,
    SCRIPT,
    VIDEO,
    Media,
    encode,
    isHeader,
    mediaTags,
    reference,
)
from tests.live.players import Player
from tests.live.test_play import Serve
from tests.rtmpserver.test_play import Source

#: A key frame every 4 s; one every 1.6 s; and intra refresh every 1.6 s instead.
RARE = Media(frames=200, options=(("preset", "ultrafast"), ("g", "100")))
OFTEN = Media(frames=200, options=(("preset", "ultrafast"), ("g", "40")))
REFRESHED = Media(
    frames=200,
    options=(
        ("preset", "ultrafast"),
        ("x264-params", "intra-refresh=1:keyint=40:bframes=0"),
    ),
)


def give(stream: Stream, tags: list[Tag], first: Tag, areMarked: bool) -> None:
    """
    Publish tags.

    @param first: the only key frame that is marked, if C{areMarked} is false.
    """
    for tag in tags:
        payload = tag.payload
        if not areMarked and tag.kind == VIDEO and not isHeader(tag) and tag != first:
            payload = bytes([0x20 | payload[0] & 0x0F]) + payload[1:]
        frame = frameFromMessage(FrameKind(tag.kind), tag.timestamp, payload)
        stream.frameReceived(frame)


@pytest.mark.parametrize(
    ("media", "areMarked"),
    [(RARE, True), (OFTEN, False), (REFRESHED, False)],
    ids=["rare", "not marked", "intra refresh"],
)
@pytest_twisted.ensureDeferred
async def test_late(
    serve: Serve, tmp_path: Path, media: Media, areMarked: bool
) -> None:
    """
    A late player gets all audio from the moment it joins, and all video from the first
    frame that decoding can begin with.
    """
    server = await serve(gopCache=False)
    source = Source()
    stream = server.hub.publish("live", "cam", source)
    tags = [tag for tag in reference(encode(media)) if tag.kind != SCRIPT]
    coded = [tag for tag in tags if tag.kind == VIDEO and not isHeader(tag)]
    keys = [tag for tag in coded if tag.payload[0] >> 4 == 1]
    assert len(keys) == 200 // (100 if media is RARE else 40)
    begin = tags.index(coded[60])
    give(stream, tags[:begin], keys[0], areMarked)
    player = Player(server, "rtmpdump", tmp_path / "played.flv")
    await server.until(lambda: stream.viewers == 1)
    give(stream, tags[begin:], keys[0], areMarked)
    server.hub.sourceLost(stream, source, "over")
    await player.ended()
    played = [tag for tag in mediaTags(player.path) if not isHeader(tag)]
    audioFrames = [tag.payload for tag in tags[begin:] if tag.kind == AUDIO]
    assert [tag.payload for tag in played if tag.kind == AUDIO] == audioFrames
    first = next(tag for tag in keys if tag.timestamp >= coded[60].timestamp)
    images = [tag.payload[1:] for tag in coded[coded.index(first) :]]
    images = [image for image in images if len(image) > 4]
    got = [tag.payload[1:] for tag in played if tag.kind == VIDEO]
    assert got == images
    with av.open(str(player.path)) as container:
        decoded = sum(1 for _frame in container.decode(video=0))
    print(f"late: {len(audioFrames)} audio, {len(got)} video frames, {decoded} decoded")
    # Decoding that begins with an intra refresh has no full frame until the refresh is
    # complete.
    assert decoded >= len(images) - 40
