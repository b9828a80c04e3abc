"""
Measures single functions: how many turns of a plain Python loop a message costs. Both
are measured in turn, in CPU time, so that a slow or busy machine changes little.
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

#: Times that each is measured; the median counts.
RUNS = 7
#: CPU seconds that a measurement takes at least, and the loop beside it.
_LEAST = 0.08
#: The size of a message of 4 Mbit/s with sound, and of what one read returns.
_MESSAGE = 7300
_READ = 65536
_MESSAGES = 500
#: Seconds of a stream, for what takes frames.
_STREAM = 8.0
#: From here on it is said that something has become slower.
_SLOWER = 1.25


class _Value:
    """
    What the plain loop works on.
    """

    __slots__ = ("total",)

    def __init__(self) -> None:
        self.total = 0

    def add(self, number: int) -> None:
        self.total = (self.total + number) & 0xFFFF


def plainLoop(turns: int) -> None:
    """
    The measure of all others: a turn calls a method, which adds to an attribute.
    """
    value = _Value()
    for number in range(turns):
        value.add(number)


@dataclass(frozen=True, slots=True)
class Subject:
    """
    What is measured.

    @ivar work: does it to C{messages} messages.
    """

    name: str
    work: Callable[[], object]
    messages: int = _MESSAGES


@implementer(IFrameSink)
class _Sink:
    """
    Takes frames, and does nothing.
    """

    delivery = LOSSLESS
    failure = ""

    def streamStarted(self, stream: StreamInfo, producer: IPushProducer) -> None:
        """
        Nothing.
        """

    def frameReceived(self, frame: Frame) -> None:
        """
        Nothing.
        """

    def streamEnded(self, reason: str) -> None:
        """
        Nothing.
        """


class _Owner(OutletOwner):
    """
    Stands for the stream, and does nothing.
    """

    def pressureChanged(self, outlet: Outlet) -> None:
        """
        Nothing.
        """

    def outletEnded(self, outlet: Outlet) -> None:
        """
        Nothing.
        """

    def join(self, outlet: Outlet, target: IMulticastTarget) -> Multicast:
        """
        @return: what nobody reads.
        """
        return Multicast(target)

    def part(self, outlet: Outlet, multicast: Multicast) -> None:
        """
        Nothing.
        """


class _Lengths(MessageReceiver):
    """
    Notes how long the messages are.
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
        Note it.
        """
        self.taken.append(len(payload))


def _reading(chunkSize: int) -> Subject:
    """
    Messages that came in chunks of a size, read as much at a time as Twisted does.
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
    An outlet whose sink takes each frame at once, or has it wait for the next.
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

    name = "outlet, frames wait" if isPaused else "outlet"
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
    A full collection of garbage, in which nothing is served, as the server has
    it or as Python does.
    """

    def work() -> None:
        if isFrozen:
            gc.freeze()
        gc.collect()
        gc.unfreeze()

    name = "what is there frozen" if isFrozen else "all of it looked at"
    return Subject(f"full collection of garbage, {name}", work, 1)


def subjects() -> list[Subject]:
    """
    @return: all that is measured.
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
    @return: how many times to do it to have worked for L{_LEAST} seconds.
    """
    times = 1
    while (passed := _seconds(work, times)) < _LEAST / 4:
        times *= 2
    return max(1, round(times * _LEAST / passed))


def measureSubject(subject: Subject, runs: int = RUNS) -> list[float]:
    """
    @return: for each run, how many turns of the plain loop a message costs.
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
    @return: how a ratio has changed, in a few words.
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
        raise BenchmarkError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, AttributeError, TypeError) as error:
        raise BenchmarkError(f"{path} was not written by micro --save") from error


def runMicro(save: Path | None, against: Path | None) -> None:
    """
    Measure everything and print a table.

    @param save: where to write the ratios as JSON.
    @param against: such a file, to compare with. What has become slower is told, and
        is no failure.

    @raise BenchmarkError: if a file cannot be read or written.
    """
    before = {} if against is None else _readRatios(against)
    ratios: dict[str, float] = {}
    print("| one message, or as said | turns of a plain loop | least - most | before |")
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
            raise BenchmarkError(
                f"{save} cannot be written: {error.strerror}"
            ) from error
