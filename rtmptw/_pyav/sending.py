"""
A process that sends one stream to anything that FFmpeg can write to::

    python -m rtmptw._pyav.sending

It reads one line of JSON with the target from standard input, then the stream as FLV.
It is a separate process because FFmpeg may wait for the network indefinitely, and PyAV
before 19 holds the GIL meanwhile; the parent can kill it.
"""

import json
import os
import signal
import sys
from collections.abc import Mapping
from typing import BinaryIO

import av.error

from rtmptw._pyav.muxing import Muxer
from rtmptw.errors import RemoteProtocolError, SinkError
from rtmptw.flv.body import frameFromMessage
from rtmptw.flv.file import TagReader
from rtmptw.frames import Codec, FrameKind
from rtmptw.remux.container import Container
from rtmptw.remux.heads import Head, TrackKey
from rtmptw.remux.kinds import CONTAINERS, codecName
from rtmptw.remux.remuxer import Remuxer

#: Bytes read at once.
_BLOCK = 64 * 1024


class Sending:
    """
    Sends a stream, and starts again where its tracks change.
    """

    def __init__(self, url: str, container: str, options: Mapping[str, str]) -> None:
        """
        @param url: the target: a URL, or the path of a file.
        @param container: FFmpeg's name of the format.
        @param options: options of the muxer.
        """
        self._url = url
        self._container = container
        self._options = options
        self._isAgain = False
        kinds = [kind for kind in CONTAINERS.values() if kind.format == container]
        self._kind = kinds[0] if kinds else None
        codecs = None if self._kind is None else self._kind.codecs
        self._remuxer = Remuxer(
            self._begin, self._end, codecs=codecs, leaveOut=self._leaveOut
        )

    def run(self, source: BinaryIO) -> None:
        """
        Send the whole stream.

        @raise SinkError: if the format cannot hold it.

        @raise OSError: if it cannot be sent.
        """
        reader = TagReader()
        descriptor = source.fileno()
        while data := os.read(descriptor, _BLOCK):
            for tag in reader.receive(data):
                kind = FrameKind(tag.kind)
                self._remuxer.write(frameFromMessage(kind, tag.timestamp, tag.payload))
        self._remuxer.finish()

    def _begin(self, heads: Mapping[TrackKey, Head], base: int) -> Muxer:
        if "://" not in self._url:
            os.makedirs(os.path.dirname(self._url) or ".", exist_ok=True)
        options = dict(self._options)
        if self._container == "hls" and self._isAgain:
            # Where the tracks change, the playlist continues with a discontinuity.
            flags = [options["hls_flags"]] if "hls_flags" in options else []
            options["hls_flags"] = "+".join([*flags, "append_list"])
        self._isAgain = True
        return Muxer(self._url, self._container, options, heads, base)

    def _leaveOut(self, codec: Codec, why: str) -> None:
        if not why and self._kind is not None:
            why = self._kind.refusal(codec)
        print(f"{codecName(codec)} is left out: {why}", flush=True)

    def _end(self, container: Container, why: str) -> None:
        container.finish()
        counts = container.counts
        print(
            f"sent {counts.packets} frames, {counts.milliseconds / 1000:.3f} s, "
            f"{counts.repaired} timestamps repaired, {counts.refused} refused"
            + (f"; {why}" if why else ""),
            flush=True,
        )


def main() -> int:
    """
    @return: the exit status.
    """
    # Ctrl-C is for the server, which then closes our input.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    source = open(0, "rb", buffering=0)  # noqa: SIM115 -- it is not ours to close
    order = json.loads(source.readline())
    try:
        Sending(order["url"], order["format"], order["options"]).run(source)
    except (SinkError, RemoteProtocolError) as error:
        # These never contain the target, which may include a password.
        print(error, flush=True)
        return 1
    except (OSError, ValueError, av.error.FFmpegError) as error:
        said = getattr(error, "strerror", "") or type(error).__name__
        print(f"cannot send: {said}", flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
