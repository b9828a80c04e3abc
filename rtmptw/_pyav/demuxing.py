"""
A process that reads one URL or file with FFmpeg and writes it as FLV::

    python -m rtmptw._pyav.demuxing

It reads one line of JSON from standard input that says what to read, and writes FLV to
standard output and errors, as sentences, to standard error. It is a separate process
because FFmpeg may wait for the network indefinitely, or crash on what it receives; the
parent can kill it. (PyAV 18 releases the GIL while FFmpeg waits to read, but not while
FFmpeg connects to write.)
"""

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

import av
import av.error

from rtmptw._pyav.flv import TrackMuxer, metadataFrame, milliseconds, onTheWire
from rtmptw.errors import SinkError
from rtmptw.flv import file as flvfile
from rtmptw.frames import FrameKind

#: Exit statuses: the input was read to its end, it could not be read, a live input has
#: ended.
FINISHED, FAILED, ENDED = 0, 1, 3

#: Seconds for a server to answer, and to send the next packet.
OPEN_TIMEOUT = 20.0
READ_TIMEOUT = 15.0
#: Longest gap in a file that is waited for, in seconds; longer ones are skipped.
MAX_GAP = 10.0
#: Most packets before the first with a decoding time: as many as a decoder may hold
#: back to reorder frames.
MAX_UNTIMED = 16
#: Most packets held until each track has its first one: two seconds of video.
MAX_HELD = 64
#: Duration in ms of a video frame that has none.
DEFAULT_STEP = 40

#: Schemes of live inputs.
_LIVE_SCHEMES = frozenset(
    {"rtsp", "rtsps", "rtp", "srtp", "udp", "tcp", "srt", "mmsh", "mmst", "rtmpt"}
)
#: RTSP cameras are asked for TCP first: UDP loses frames.
_RTSP = {"rtsp_flags": "prefer_tcp"}


class Pace:
    """
    Paces a file in real time.
    """

    def __init__(
        self,
        seconds: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._seconds = seconds
        self._sleep = sleep
        self._zero: float | None = None

    def wait(self, timestamp: int) -> None:
        """
        Wait until a timestamp is due. Does not wait if it is late.

        @param timestamp: in ms.
        """
        now = self._seconds()
        due = timestamp / 1000
        if self._zero is None or self._zero + due - now > MAX_GAP:
            self._zero = now - due
        if self._zero + due > now:
            self._sleep(self._zero + due - now)


class Timing:
    """
    The decoding times of one track. Matroska has presentation times only, so FFmpeg
    does not know the decoding times of the first packets; they are derived from the
    first one that is known.
    """

    def __init__(self) -> None:
        self._waiting: list[Any] = []
        self._known = False

    def add(self, packet: Any) -> list[Any]:
        """
        @return: the packets that are ready.
        """
        if self._known or packet.pts is None or not packet.time_base:
            return [packet]
        self._waiting.append(packet)
        if packet.dts is None and len(self._waiting) < MAX_UNTIMED:
            return []
        return self.finish()

    def finish(self) -> list[Any]:
        """
        @return: the packets that wait.
        """
        packets, self._waiting = self._waiting, []
        self._known = True
        if packets and packets[-1].dts is not None:
            time = packets[-1].dts
            for packet in reversed(packets[:-1]):
                if packet.dts is None:
                    step = packet.duration or max(
                        1, round(DEFAULT_STEP / 1000 / packet.time_base)
                    )
                    packet.dts = min(time - step, packet.pts)
                time = packet.dts
        return packets


class Beginning:
    """
    The first packets of all tracks, sorted by decoding time, because recorders take the
    first packet for the beginning.

    @ivar zero: the time of the first packet, in ms.
    """

    def __init__(self, indexes: Iterable[int]) -> None:
        """
        @param indexes: indexes of the streams.
        """
        self.zero = 0
        self._timings = {index: Timing() for index in indexes}
        self._missing = set(self._timings)
        self._held: list[Any] = []
        self._isOver = False

    def add(self, packet: Any) -> list[Any]:
        """
        @return: the packets that are ready.
        """
        index = packet.stream.index
        ready = self._timings[index].add(packet)
        if self._isOver:
            return ready
        self._held += ready
        if ready:
            self._missing.discard(index)
        if self._missing and len(self._held) < MAX_HELD:
            return []
        return self._begin()

    def finish(self) -> list[Any]:
        """
        @return: the packets that wait, at the end.
        """
        for timing in self._timings.values():
            self._held += timing.finish()
        return self._begin()

    def _begin(self) -> list[Any]:
        packets, self._held = sorted(self._held, key=_decodingTime), []
        if packets and not self._isOver:
            self.zero = _decodingTime(packets[0])
        self._isOver = True
        return packets


def _decodingTime(packet: Any) -> int:
    """
    @return: the decoding time in ms.
    """
    ticks = packet.pts if packet.dts is None else packet.dts
    return 0 if ticks is None else milliseconds(ticks, packet.time_base)


class Reading:
    """
    Reads one URL or file.
    """

    def __init__(
        self, url: str, loop: bool, write: Callable[[bytes], object], pace: Pace
    ) -> None:
        """
        @param url: what PyAV opens.
        @param loop: whether to start again at the end of a file.
        @param write: called with FLV data.
        """
        self._url = url
        self._loop = loop
        self._write = write
        self._pace = pace
        self._offset = 0
        self._end = 0
        self._muxers: dict[int, TrackMuxer] = {}
        self._complaints: set[str] = set()

    def run(self) -> int:
        """
        Read all of it.

        @return: L{FINISHED} or L{ENDED}.

        @raise SinkError: if RTMP can carry none of its tracks.

        @raise OSError: if it cannot be read.
        """
        while True:
            hasEnd = self._readOnce()
            if not hasEnd:
                return ENDED
            if not self._loop or self._end <= self._offset:
                return FINISHED
            self._offset = self._end

    def _readOnce(self) -> bool:
        """
        @return: whether the input has an end of its own; a live input does not.
        """
        scheme = self._url.partition("://")[0].lower() if "://" in self._url else ""
        with av.open(
            self._url,
            timeout=(OPEN_TIMEOUT, READ_TIMEOUT),
            container_options=_RTSP if scheme.startswith("rtsp") else {},
        ) as container:
            isFile = scheme in ("", "file")
            hasEnd = scheme not in _LIVE_SCHEMES and (
                isFile or container.duration is not None
            )
            streams = self._streams(container)
            if not self._muxers:
                self._begin(streams)
            wanted = [
                stream for stream in streams.values() if stream.index in self._muxers
            ]
            beginning = Beginning(stream.index for stream in wanted)
            for packet in container.demux(wanted):
                if packet.size:
                    self._send(beginning.add(packet), beginning, hasEnd)
            self._send(beginning.finish(), beginning, hasEnd)
        return hasEnd

    def _streams(self, container: Any) -> dict[int, Any]:
        """
        @return: the best video and the best audio stream, by index.
        """
        found = {}
        for kind in ("video", "audio"):
            stream = container.streams.best(kind)
            # The cover image of a song is not video.
            if stream is not None and "attached_pic" not in str(stream.disposition):
                found[stream.index] = stream
        return found

    def _begin(self, streams: dict[int, Any]) -> None:
        trouble = "it contains neither video nor audio"
        for index, stream in streams.items():
            try:
                self._muxers[index] = TrackMuxer(stream)
            except SinkError as error:
                trouble = f"its {stream.type} is left out: {error}"
                if len(streams) > 1:
                    self._complain(trouble)
        if not self._muxers:
            raise SinkError(trouble)
        kinds = {muxer.kind for muxer in self._muxers.values()}
        self._write(
            flvfile.fileHeader(FrameKind.AUDIO in kinds, FrameKind.VIDEO in kinds)
        )
        described = metadataFrame(
            [muxer.metadata for muxer in self._muxers.values()], "rtmptw pull"
        )
        self._write(flvfile.tag(described.kind, 0, described.payload))

    def _complain(self, trouble: str) -> None:
        if trouble not in self._complaints:
            self._complaints.add(trouble)
            print(trouble, file=sys.stderr, flush=True)

    def _send(self, packets: list[Any], beginning: Beginning, hasEnd: bool) -> None:
        for packet in packets:
            try:
                frames = self._muxers[packet.stream.index].mux(packet)
            except SinkError as error:
                # A broken packet must not end the whole stream.
                self._complain(str(error))
                continue
            if not frames:
                continue
            # Signed again: a late packet may be before the zero.
            first = frames[-1].timestamp - beginning.zero
            timestamp = (first + 0x80000000) % 0x100000000 - 0x80000000 + self._offset
            if hasEnd:
                self._pace.wait(timestamp)
            length = milliseconds(packet.duration or 0, packet.time_base or 1)
            self._end = max(self._end, timestamp + length)
            self._write(
                b"".join(
                    flvfile.tag(frame.kind, onTheWire(timestamp), frame.payload)
                    for frame in frames
                )
            )


def _writeAll(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(1, view) :]


def main() -> int:
    """
    @return: the exit status.
    """
    # Ctrl-C is for the server, which then kills this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    order = json.loads(sys.stdin.readline())
    try:
        return Reading(order["url"], order["loop"], _writeAll, Pace()).run()
    except BrokenPipeError:
        # The server has exited.
        return FAILED
    except SinkError as error:
        print(error, file=sys.stderr, flush=True)
    except av.error.ExitError:
        print("the source did not answer in time", file=sys.stderr, flush=True)
    except (OSError, ValueError, av.error.FFmpegError) as error:
        # Not the whole error: it contains the URL, which may have a password.
        said = getattr(error, "strerror", "") or type(error).__name__
        print(f"FFmpeg cannot read it: {said}", file=sys.stderr, flush=True)
    return FAILED


if __name__ == "__main__":
    sys.exit(main())
