"""
Measures single functions. The unit is iterations of a plain Python loop per message.
Loop and function are measured alternately, in CPU time, so that a slow or busy machine
has little influence.
"""

import gc
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from benchmarks.errors import BenchmarkError
from rtmptw.delivery import LOSSLESS
from rtmptw.flv.body import frameFromMessage
from rtmptw.frames import Frame, FrameKind, StreamInfo
from rtmptw.hub.ledger import Ledger
from rtmptw.hub.multicast import Multicast
from rtmptw.hub.outlet import Outlet, OutletOwner
from rtmptw.interfaces import IFrameSink, IMulticastTarget
from rtmptw.rtmp.chunkreader import ChunkReader, MessageReceiver
from rtmptw.rtmp.chunks import SET_CHUNK_SIZE
from rtmptw.rtmp.chunkwriter import ChunkWriter, encodeMessage
from rtmptw.testing import audioFrame, makeFrames, makeStreamInfo, videoFrame

#: How often each function is measured; the median counts.
RUNS = 7
#: The minimum CPU time in seconds of a measurement, and of the loop.
_LEAST = 0.08
#: The size of a message of 4 Mbit/s with audio, and the size of a read, in bytes.
_MESSAGE = 7300
_READ = 65536
_MESSAGES = 500
#: The length of the stream for subjects that process frames, in seconds.
_STREAM = 8.0
#: A function is reported as slower from this ratio on.
_SLOWER = 1.25


class _Value:
    """
    The object of the plain loop.
    """

    __slots__ = ("total",)

    def __init__(self) -> None:
        self.total = 0

    def add(self, number: int) -> None:
        self.total = (self.total + number) & 0xFFFF


def plainLoop(turns: int) -> None:
    """
    The reference for all measurements. Each iteration calls a method, which adds to an
    attribute.
    """
    value = _Value()
    for number in range(turns):
        value.add(number)


@dataclass(frozen=True, slots=True)
class Subject:
    """
    A subject of measurement.

    @ivar work: processes C{messages} messages.
    """

    name: str
    work: Callable[[], object]
    messages: int = _MESSAGES


@implementer(IFrameSink)
class _Sink:
    """
    A sink that does nothing.
    """

    delivery = LOSSLESS
    failure = ""

    def streamStarted(self, stream: StreamInfo, producer: IPushProducer) -> None:
        """
        Do nothing.
        """

    def frameReceived(self, frame: Frame) -> None:
        """
        Do nothing.
        """

    def streamEnded(self, reason: str) -> None:
        """
        Do nothing.
        """


class _Owner(OutletOwner):
    """
    A stream that does nothing.
    """

    def pressureChanged(self, outlet: Outlet) -> None:
        """
        Do nothing.
        """

    def outletEnded(self, outlet: Outlet) -> None:
        """
        Do nothing.
        """

    def join(self, outlet: Outlet, target: IMulticastTarget) -> Multicast:
        """
        @return: a multicast that is not used.
        """
        return Multicast(target)

    def part(self, outlet: Outlet, multicast: Multicast) -> None:
        """
        Do nothing.
        """


class _Lengths(MessageReceiver):
    """
    Records the lengths of messages.
    """

    def __init__(self) -> None:
        self.taken: list[int] = []

    def messageReceived(
        self,
        messageType: int,
        timestamp: int,
        streamID: int,
        payload: bytes,
        chunkStreamID: int,
    ) -> None:
        """
        Record the length.
        """
        self.taken.append(len(payload))


def _reading(chunkSize: int) -> Subject:
    """
    Read messages in chunks of one size, with reads of Twisted's size.
    """
    payload = bytes(range(256)) * (_MESSAGE // 256 + 1)
    writer = ChunkWriter()
    data = writer.write(2, SET_CHUNK_SIZE, 0, 0, chunkSize.to_bytes(4, "big"))
    data += b"".join(
        writer.write(6, FrameKind.VIDEO, 33 * number, 1, payload[:_MESSAGE])
        for number in range(_MESSAGES)
    )
    reads = [data[start : start + _READ] for start in range(0, len(data), _READ)]

    def work() -> None:
        lengths = _Lengths()
        reader = ChunkReader(lengths)
        for read in reads:
            reader.receive(read)
        taken = lengths.taken
        if taken.count(_MESSAGE) != _MESSAGES:
            raise AssertionError(f"{len(taken)} messages were read")

    return Subject(f"chunk reader, chunk size {chunkSize}", work)


def _writing() -> Subject:
    payload = bytes(_MESSAGE)

    def work() -> None:
        writer = ChunkWriter()
        writer.write(2, SET_CHUNK_SIZE, 0, 0, (60000).to_bytes(4, "big"))
        for number in range(_MESSAGES):
            writer.write(6, FrameKind.VIDEO, 33 * number, 1, payload)

    return Subject("chunk writer, chunk size 60000", work)


def _encoding() -> Subject:
    payload = bytes(_MESSAGE)

    def work() -> None:
        for number in range(_MESSAGES):
            encodeMessage(6, FrameKind.VIDEO, 33 * number, 1, payload, 4096)

    return Subject("message for players, chunk size 4096", work)


def _parsing(name: str, frame: Frame) -> Subject:
    kind, payload = frame.kind, frame.payload

    def work() -> None:
        for number in range(_MESSAGES):
            frameFromMessage(kind, 33 * number, payload)

    return Subject(f"frame parsing, {name}", work)


def _handing(isPaused: bool) -> Subject:
    """
    An outlet whose sink accepts each frame at once, or queues it.
    """
    frames = makeFrames(_STREAM)

    def work() -> None:
        owner = _Owner(makeStreamInfo(), time.monotonic)
        outlet = Outlet("null", _Sink(), owner)
        outlet.start()
        for frame in frames:
            if isPaused:
                outlet.pauseProducing()
            outlet.offer(frame)
            if isPaused:
                outlet.resumeProducing()
        if outlet.ledger.delivered != len(frames):
            raise AssertionError(f"{outlet.ledger.delivered} frames were delivered")

    name = "outlet, frames queued" if isPaused else "outlet"
    return Subject(name, work, len(frames))


def _booking() -> Subject:
    frames = makeFrames(_STREAM)

    def work() -> None:
        ledger = Ledger()
        for frame in frames:
            ledger.deliver(frame)

    return Subject("ledger", work, len(frames))


def _collecting(isFrozen: bool) -> Subject:
    """
    A full garbage collection, which blocks the server: with the server's settings or
    Python's.
    """

    def work() -> None:
        if isFrozen:
            gc.freeze()
        gc.collect()
        gc.unfreeze()

    name = "with frozen objects" if isFrozen else "of all objects"
    return Subject(f"full garbage collection {name}", work, 1)


def subjects() -> list[Subject]:
    """
    @return: all subjects.
    """
    return [
        _reading(128),
        _reading(4096),
        _reading(60000),
        _writing(),
        _encoding(),
        _parsing("video", videoFrame(0, isKey=True, size=_MESSAGE)),
        _parsing("audio", audioFrame(0)),
        _handing(isPaused=False),
        _handing(isPaused=True),
        _booking(),
        _collecting(isFrozen=False),
        _collecting(isFrozen=True),
    ]


def _seconds(work: Callable[[], object], times: int) -> float:
    began = time.process_time()
    for _time in range(times):
        work()
    return time.process_time() - began


def _timesFor(work: Callable[[], object]) -> int:
    """
    @return: how often to repeat it to work for L{_LEAST} seconds.
    """
    times = 1
    while (passed := _seconds(work, times)) < _LEAST / 4:
        times *= 2
    return max(1, round(times * _LEAST / passed))


def measureSubject(subject: Subject, runs: int = RUNS) -> list[float]:
    """
    @return: for each run, the cost of a message in iterations of the plain loop.
    """

    def loop() -> None:
        plainLoop(1000)

    times = _timesFor(subject.work)
    turns = _timesFor(loop)
    found = []
    for _run in range(runs):
        turn = _seconds(loop, turns) / (turns * 1000)
        message = _seconds(subject.work, times) / (times * subject.messages)
        found.append(message / turn)
    return found


def compared(ratio: float, before: float | None) -> str:
    """
    @return: a description of how a ratio has changed.
    """
    if not before:
        return "new"
    said = f"{ratio / before:.2f}x"
    return f"{said} slower" if ratio / before > _SLOWER else said


def _readRatios(path: Path) -> dict[str, float]:
    try:
        ratios = json.loads(path.read_text())
        return {str(name): float(ratio) for name, ratio in ratios.items()}
    except OSError as error:
        raise BenchmarkError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, AttributeError, TypeError) as error:
        raise BenchmarkError(f"{path} was not written by micro --save") from error


def runMicro(save: Path | None, against: Path | None) -> None:
    """
    Measure everything and print a table.

    @param save: the file to write the ratios to, as JSON.
    @param against: such a file, to compare with. Functions that have become slower are
        reported; this is not a failure.

    @raise BenchmarkError: if a file cannot be read or written.
    """
    before = {} if against is None else _readRatios(against)
    ratios: dict[str, float] = {}
    print("| one message, or as named | plain loop iterations | min - max | before |")
    print("| --- | --- | --- | --- |")
    for subject in subjects():
        found = measureSubject(subject)
        ratio = ratios[subject.name] = round(statistics.median(found), 2)
        change = "-" if against is None else compared(ratio, before.get(subject.name))
        print(
            f"| {subject.name} | {ratio:.2f} | {min(found):.2f} - {max(found):.2f} | "
            f"{change} |",
            flush=True,
        )
    if save is not None:
        try:
            save.write_text(json.dumps(ratios, indent=2) + "\n")
        except OSError as error:
            raise BenchmarkError(f"cannot write {save}: {error.strerror}") from error
