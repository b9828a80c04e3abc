"""
The target of a stream: a URL or path, and the format that FFmpeg writes there.
"""

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlsplit

from twisted.python.usage import UsageError

from rtmptw.delivery import Delivery, Policy
from rtmptw.frames import StreamInfo
from rtmptw.plugins.arguments import Argument, Arguments, First, Fragment, Others
from rtmptw.plugins.values import Text
from rtmptw.sinks.child import Command
from rtmptw.sinks.encodings import FLVEncoding
from rtmptw.sinks.naming import escape

#: On a busy machine a process takes longer to start than a live viewer may be behind.
DELIVERY = Delivery(
    Policy.TO_KEYFRAME, maxMilliseconds=10_000, maxBytes=16 * 1024 * 1024
)
#: Seconds without accepting data after which a target counts as dead.
STALL_SECONDS = 10.0

_BY_SCHEME = {
    "rtsp": "rtsp",
    "udp": "mpegts",
    "tcp": "mpegts",
    "srt": "mpegts",
    "rtp": "rtp_mpegts",
    "rtmp": "flv",
    "rtmps": "flv",
}
_BY_SUFFIX = {".m3u8": "hls", ".mpd": "dash"}
#: The shortest secret that is masked; shorter ones would match in every line.
_MIN_SECRET = 4

#: The arguments of C{--sink=send}.
ARGUMENTS = Arguments(
    "send sink",
    Argument(
        "format",
        Text("NAME"),
        "FFmpeg's name for the format; derived from the URL if not given",
    ),
    first=First(Text("URL"), "a URL or a path", example="send:udp://HOST:PORT"),
    others=Others("OPTION", "an option of FFmpeg's muxer"),
    spelling=Fragment(),
)


@dataclass(frozen=True)
class Target:
    """
    The options of C{--sink=send:...}.

    @ivar url: where to send to, with C{{app}} and C{{name}}.
    @ivar container: FFmpeg's name for the format.
    @ivar options: options of the muxer.
    """

    url: str = field(repr=False)
    container: str
    options: Mapping[str, str] = field(repr=False)

    def command(self, stream: StreamInfo) -> Command:
        """
        @return: the child process that sends a stream to the target.
        """
        if "://" in self.url:
            app, name = quote(stream.app, safe=""), quote(stream.stream, safe="")
        else:
            # FFmpeg replaces %d in file names with the number of a segment.
            app = escape(stream.app).replace("%", "~")
            name = escape(stream.stream).replace("%", "~")
        url = self.url.replace("{app}", app).replace("{name}", name)
        order = {
            "url": url,
            "format": self.container,
            "options": {
                # For low latency: do not collect audio frames into one packet.
                **({"pes_payload_size": "0"} if self.container == "mpegts" else {}),
                **self.options,
            },
        }
        package = str(Path(__file__).parents[3])
        path = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
        # The order goes to standard input: every user of the machine can read the
        # arguments.
        return Command(
            f"send to {_host(url)}",
            (sys.executable, "-m", "rtmptw._pyav.sending"),
            FLVEncoding,
            DELIVERY,
            {**os.environ, "PYTHONPATH": path},
            json.dumps(order).encode() + b"\n",
            _secrets(url, self.options),
            stall=STALL_SECONDS,
        )


def _host(url: str) -> str:
    if "://" not in url:
        return url
    return urlsplit(url).netloc.rpartition("@")[2] or urlsplit(url).scheme


def _secrets(url: str, options: Mapping[str, str]) -> list[str]:
    if "://" not in url:
        return [value for value in options.values() if len(value) >= _MIN_SECRET]
    parts = urlsplit(url)
    pieces = [
        url,
        parts.netloc.rpartition("@")[0],
        parts.password or "",
        parts.path,
        parts.query,
        *options.values(),
    ]
    return [piece for piece in pieces if len(piece) >= _MIN_SECRET]


def parseTarget(argstring: str) -> Target:
    """
    Parse the arguments of C{--sink=send}.

    @raise UsageError: with a one-sentence message, if they are invalid.
    """
    said = ARGUMENTS.read(argstring)
    url = said["URL"]
    try:
        scheme = urlsplit(url).scheme if "://" in url else ""
        path = urlsplit(url).path if scheme else url
    except ValueError:
        raise UsageError("The send sink's URL is not valid.") from None
    container = (
        said["format"]
        or _BY_SUFFIX.get(os.path.splitext(path)[1])
        or _BY_SCHEME.get(scheme)
    )
    if not container:
        raise UsageError(
            f"The send sink cannot derive a format from {_host(url)}; "
            "add #format=NAME, with FFmpeg's name for it."
        )
    return Target(url, container, said["OPTION"])
