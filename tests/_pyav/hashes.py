"""
Hashes of what FFmpeg decodes, to check decoders with.
"""

import functools
import hashlib
from typing import Any

import av

from rtmptw.frames import FrameKind

_KINDS = {"video": FrameKind.VIDEO, "audio": FrameKind.AUDIO}

#: By kind, the hash of each video frame or block of samples.
Hashes = dict[FrameKind, list[str]]


def hashOf(frame: Any) -> str:
    """
    @param frame: PyAV's frame.
    @return: the hash of its contents, without the padding of rows.
    """
    return hashlib.md5(frame.to_ndarray().tobytes()).hexdigest()


@functools.cache
def decodedByFFmpeg(path: str) -> Hashes:
    """
    @return: the hashes of a file that FFmpeg itself demuxes and decodes.
    """
    hashes: Hashes = {FrameKind.VIDEO: [], FrameKind.AUDIO: []}
    with av.open(path) as container:
        for packet in container.demux():
            # An empty packet is the end; FFmpeg's parsers produce more of them.
            if packet.size:
                for frame in packet.decode():
                    hashes[_KINDS[packet.stream.type]].append(hashOf(frame))
        for stream in container.streams:
            context = stream.codec_context
            assert isinstance(context, av.VideoCodecContext | av.AudioCodecContext)
            for frame in context.decode(None):
                hashes[_KINDS[stream.type]].append(hashOf(frame))
    return hashes


def same(ours: Hashes, wanted: Hashes, what: str) -> str:
    """
    Compare hashes.

    @return: a line that says how many are the same.
    """
    parts = []
    for kind, hashes in wanted.items():
        count = sum(a == b for a, b in zip(ours[kind], hashes, strict=False))
        parts.append(f"{count} of {len(hashes)} {kind.name.lower()} frames")
    line = f"{what}: decoded {', '.join(parts)} as FFmpeg does"
    print(line)
    assert ours == wanted, line
    return line
