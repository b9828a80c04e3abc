"""
A process that reads one URL or file with FFmpeg and says it as FLV::

    python -m rtmptw._pyav.demuxing

It reads from standard input one line of JSON that says what to read, writes FLV to
standard output, and a sentence to standard error for what is wrong. It is a process of
its own because FFmpeg may wait for a network as long as it likes, or crash on what it
gets from there; whoever started it can kill it. (To read, PyAV 18 lets the rest of
Python run while FFmpeg waits; to write, it does not while FFmpeg connects.)
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

#: Exit statuses: what has an end was read to it, it could not be read, what goes on for
#: ever has ended.
FINISHED, FAILED, ENDED = 0, 1, 3

#: Seconds for a server to answer, and to send the next packet.
OPEN_TIMEOUT = 20.0
READ_TIMEOUT = 15.0
#: Seconds after which a gap in a file is over.
MAX_GAP = 10.0
#: How many packets may come before the first one that has a decoding time: as many as a
#: decoder may hold back to put pictures in order.
MAX_UNTIMED = 16
#: How many packets may come before the first one of each track: two seconds of video.
MAX_HELD = 64
#: Of a picture that has no duration, in ms.
DEFAULT_STEP = 40

#: What comes when it comes.
_LIVE_SCHEMES = frozenset(
    {"rtsp", "rtsps", "rtp", "srtp", "udp", "tcp", "srt", "mmsh", "mmst", "rtmpt"}
)
#: A camera on RTSP is asked for TCP first: UDP loses frames.
_RTSP = {"rtsp_flags": "prefer_tcp"}


class Pace:
    """
    Lets a file pass in real time.
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
        Wait until it is time. Who is late is not waited for.

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
    The decoding times of one track. Matroska knows when to show a picture, and FFmpeg
    then not when to decode the first ones; the first that it knows tells.
    """

    def __init__(self) -> None:
        self._waiting: list[Any] = []
        self._known = False

    def add(self, packet: Any) -> list[Any]:
        """
        @return: the packets that can go on.
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
    The first packets of all tracks, put in the order of their decoding times: whoever
    records takes the first one for the beginning.

    @ivar zero: the time in ms with which it begins.
    """

    def __init__(self, indexes: Iterable[int]) -> None:
        """
        @param indexes: of the streams.
        """
        self.zero = 0
        self._timings = {index: Timing() for index in indexes}
        self._missing = set(self._timings)
        self._held: list[Any] = []
        self._isOver = False

    def add(self, packet: Any) -> list[Any]:
        """
        @return: the packets that can go on.
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
    @return: in ms.
    """
    ticks = packet.pts if packet.dts is None else packet.dts
    return 0 if ticks is None else milliseconds(ticks, packet.time_base)


class Reading:
    """
    One URL or file that is read.
    """

    def __init__(
        self, url: str, loop: bool, write: Callable[[bytes], object], pace: Pace
    ) -> None:
        """
        @param url: what PyAV opens.
        @param loop: whether what has an end begins again there.
        @param write: takes FLV.
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

        @raise SinkError: if there is nothing in it that RTMP can carry.

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
        @return: whether it has an end by itself: what is live is cut off.
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
        @return: the best video and the best audio, by their numbers.
        """
        found = {}
        for kind in ("video", "audio"):
            stream = container.streams.best(kind)
            # The cover of a song is no video.
            if stream is not None and "attached_pic" not in str(stream.disposition):
                found[stream.index] = stream
        return found

    def _begin(self, streams: dict[int, Any]) -> None:
        trouble = "there is neither video nor audio in it"
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
                # What is broken must not end it all.
                self._complain(str(error))
                continue
            if not frames:
                continue
            # Signed again: what comes late may be before the zero.
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
    # Ctrl-C is for the server, which then kills us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    order = json.loads(sys.stdin.readline())
    try:
        return Reading(order["url"], order["loop"], _writeAll, Pace()).run()
    except BrokenPipeError:
        # The server is gone.
        return FAILED
    except SinkError as error:
        print(error, file=sys.stderr, flush=True)
    except av.error.ExitError:
        print("FFmpeg had no answer in time", file=sys.stderr, flush=True)
    except (OSError, ValueError, av.error.FFmpegError) as error:
        # Not the whole error: it has the URL, and that may have a password.
        said = getattr(error, "strerror", "") or type(error).__name__
        print(f"FFmpeg cannot read it: {said}", file=sys.stderr, flush=True)
    return FAILED


if __name__ == "__main__":
    sys.exit(main())
