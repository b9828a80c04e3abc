"""
Measures the cost of each step of a frame's path: C{python -m benchmarks steps}.

All steps run in this process, one after the other, and are measured in CPU time. Each
of the first steps is measured together with those before it; the table shows the
differences.
"""

import os
import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

from twisted.internet import reactor as installed  # noqa: TID251 -- measured with it
from twisted.internet import tcp
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from benchmarks.attacks import CHUNK, command
from benchmarks.errors import BenchmarkError
from rtmptw.delivery import LOSSLESS
from rtmptw.frames import Frame, FrameKind, Span
from rtmptw.hub.hub import StreamHub
from rtmptw.net.readers import Readers
from rtmptw.net.sender import Sender
from rtmptw.net.turns import Turns
from rtmptw.rtmp.amf import AMFObject
from rtmptw.rtmp.chunkreader import ChunkReader, MessageReceiver
from rtmptw.rtmp.chunks import SET_CHUNK_SIZE
from rtmptw.rtmp.chunkwriter import ChunkWriter, encodeMessage
from rtmptw.rtmp.events import ConnectRequested, Event, PublishRequested
from rtmptw.rtmp.handshake import SIZE
from rtmptw.rtmp.serversession import ServerSession
from rtmptw.rtmpserver.factory import RTMPFactory
from rtmptw.rtmpserver.play import PacingPlaySink, PlayMulticast, SharedForm
from rtmptw.sinks.null.factory import NullSinkFactory
from rtmptw.testing import audioFrame, makeFrames, videoFrame

#: How often each step is measured. The minimum counts: disturbances only increase it.
RUNS = 15
#: A stream of 4 Mbit/s: its length in seconds, frames per second, and the sizes of
#: video and audio frames in bytes.
_SECONDS = 8
_RATE = 30
_PICTURE = 4_000_000 // 8 // _RATE
_SOUND = 370
#: The chunk size of an encoder such as OBS, and the size of a read, in bytes.
_CHUNK = 4096
_READ = 65536
#: How many publishers are read together, and how many players are written to together.
_PUBLISHERS = 20
_PLAYERS = 50

#: The data before the first frame.
_BEGINNING = b"".join(
    [
        b"\3" + bytes(2 * SIZE),
        encodeMessage(2, SET_CHUNK_SIZE, 0, 0, CHUNK.to_bytes(4, "big"), 128),
        command("connect", 1.0, AMFObject([("app", "live")])),
        command("createStream", 2.0, None),
        command("publish", 3.0, None, "steps", stream=1),
    ]
)


def _stream() -> list[Frame]:
    coded = [
        videoFrame(1000 * number // _RATE, number % (2 * _RATE) == 0, _PICTURE)
        for number in range(_SECONDS * _RATE)
    ]
    coded += [
        audioFrame(1024 * number * 1000 // 44100, _SOUND)
        for number in range(_SECONDS * 44100 // 1024)
    ]
    coded.sort(key=lambda frame: frame.timestamp)
    return [*makeFrames(0.0), *coded]


class _Bytes:
    """
    The stream as bytes.

    @ivar head: the message that sets its chunk size.
    @ivar messages: the frames, one by one.
    @ivar reads: the whole stream in pieces of one read.
    """

    def __init__(self) -> None:
        writer = ChunkWriter()
        size = _CHUNK.to_bytes(4, "big")
        # The reader has received the beginning, so it expects the larger chunk size.
        self.head = encodeMessage(2, SET_CHUNK_SIZE, 0, 0, size, CHUNK)
        writer.write(2, SET_CHUNK_SIZE, 0, 0, size)
        self.frames = _stream()
        self.messages = [
            writer.write(
                4 if frame.kind is FrameKind.AUDIO else 6,
                frame.kind,
                frame.timestamp,
                1,
                frame.payload,
            )
            for frame in self.frames
        ]
        whole = b"".join(self.messages)
        self.reads = [whole[at : at + _READ] for at in range(0, len(whole), _READ)]


class _Nobody(MessageReceiver):
    """
    Receives messages and leaves their payloads in the receive buffer.
    """

    def spanReceived(
        self,
        messageType: int,
        timestamp: int,
        streamID: int,
        span: Span,
        chunkStreamID: int,
    ) -> None:
        """
        Do nothing.
        """


def _chunks(stream: _Bytes) -> Callable[[bytes], object]:
    reader = ChunkReader(_Nobody())
    reader.receive(stream.head)
    return reader.receive


def _session(stream: _Bytes) -> Callable[[bytes], object]:
    session = ServerSession(0.0, os.urandom)
    events: list[Event] = session.receive(_BEGINNING, 0.0)
    begun = 0
    while events:
        event = events.pop(0)
        if isinstance(event, ConnectRequested | PublishRequested):
            begun += 1
            events += session.accept(event.requestID, 0.0)
    if begun != 2:
        raise BenchmarkError("the session does not publish")
    session.receive(stream.head, 0.0)

    def receive(data: bytes) -> object:
        return session.receive(data, 0.0)

    return receive


class _Watch(Clock):
    """
    A clock that is as cheap to read as a reactor's.
    """

    seconds = staticmethod(time.monotonic)


def _connection(sinks: bool, stream: _Bytes) -> Callable[[bytes], object]:
    factories = [("null", NullSinkFactory())] if sinks else []
    hub = StreamHub(_Watch(), cast(Any, factories))
    protocol: Any = RTMPFactory(hub).buildProtocol(cast(Any, None))
    transport = StringTransport()
    protocol.makeConnection(transport)
    protocol.dataReceived(_BEGINNING)
    protocol.dataReceived(stream.head)
    if list(hub.streams) != ["live/steps"]:
        raise BenchmarkError("the connection does not publish")
    receive: Callable[[bytes], object] = protocol.dataReceived
    return receive


def _spent(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def _receiving(
    make: Callable[[_Bytes], Callable[[bytes], object]], stream: _Bytes, isLive: bool
) -> float:
    """
    @return: CPU seconds per frame.
    """
    receive = make(stream)
    pieces = stream.messages if isLive else stream.reads

    def work() -> None:
        for piece in pieces:
            receive(piece)

    return _spent(work) / len(stream.messages)


@contextmanager
def _connections(count: int) -> Iterator[list[tuple[socket.socket, socket.socket]]]:
    pairs = []
    with socket.create_server(("127.0.0.1", 0)) as port:
        for _number in range(count):
            near = socket.create_connection(port.getsockname())
            far, _address = port.accept()
            near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            pairs.append((near, far))
    try:
        yield pairs
    finally:
        for pair in pairs:
            for each in pair:
                each.close()


def _transport(near: socket.socket) -> tcp.Connection:
    near.setblocking(False)
    return tcp.Connection(near, Protocol(), cast(Any, installed))


def _reading(stream: _Bytes, isLive: bool) -> float:
    """
    @return: CPU seconds to read a frame, from sockets that are read together.
    """
    pieces = stream.messages[:100] if isLive else stream.reads[:10]
    frames = sum(map(len, pieces)) / sum(map(len, stream.messages))
    frames *= len(stream.messages)
    spent = 0.0
    with _connections(_PUBLISHERS) as pairs:
        readers = Readers(installed, Turns(cast(Any, installed)), isPaced=False)
        got = 0

        def receive(data: bytes, now: float) -> int:
            nonlocal got
            got += len(data)
            return 1

        transports = [_transport(near) for near, _far in pairs]
        for transport in transports:
            readers.add(transport, receive)
        for piece in pieces:
            wanted = got + len(piece) * len(pairs)
            for _near, far in pairs:
                far.sendall(piece)
            while got < wanted:
                spent += _spent(readers.doRead)
        for transport in transports:
            readers.remove(transport)
    return spent / frames / _PUBLISHERS


def _drain(sockets: list[socket.socket]) -> None:
    """
    Read and discard everything until all sockets are closed.
    """
    with select.epoll() as epoll:
        for each in sockets:
            epoll.register(each, select.EPOLLIN)
        byNumber = {each.fileno(): each for each in sockets}
        while byNumber:
            for number, _event in epoll.poll():
                if not byNumber[number].recv(1 << 20):
                    epoll.unregister(number)
                    del byNumber[number]


@contextmanager
def _players() -> Iterator[list[socket.socket]]:
    """
    @return: the sockets of players, which read in a child process.
    """
    with _connections(_PLAYERS) as pairs:
        child = os.fork()
        if child == 0:
            for near, _far in pairs:
                near.close()
            try:
                _drain([far for _near, far in pairs])
            finally:
                os._exit(0)
        try:
            yield [near for near, _far in pairs]
        finally:
            for near, _far in pairs:
                near.shutdown(socket.SHUT_RDWR)
            os.waitpid(child, 0)


def _unsent(near: socket.socket) -> int:
    """
    @return: how many unsent bytes the kernel has.
    """
    import fcntl
    import termios

    left = fcntl.ioctl(near.fileno(), termios.TIOCOUTQ, bytes(4))
    return int.from_bytes(left, "little")


def _paced(
    frames: list[Frame], near: socket.socket, send: Callable[[Frame], object]
) -> float:
    """
    @return: CPU seconds to send a frame to one player that keeps up.
    """
    spent = 0.0
    for frame in frames:
        spent += _spent(partial(send, frame))
        while _unsent(near):
            time.sleep(0.0002)
    return spent / len(frames) / _PLAYERS


def _sending(stream: _Bytes) -> float:
    frames = stream.frames[:150]
    with _players() as sockets:
        clock = Clock()
        turns = Turns(clock)
        form = SharedForm(_CHUNK)
        multicast = PlayMulticast(turns, form, 1, 0.0)
        for near in sockets:
            sender = Sender(_transport(near), turns, lambda isFull: None)
            multicast.join(
                PacingPlaySink(
                    sender, form, 1, LOSSLESS, lambda reason: None, multicast
                )
            )

        def send(frame: Frame) -> None:
            turns.readingBegins()
            multicast.frameReceived(frame)
            turns.readingEnds()

        return _paced(frames, sockets[-1], send)


def _kernel(stream: _Bytes) -> float:
    frames = stream.frames[:150]
    with _players() as sockets:
        form = SharedForm(_CHUNK)

        def send(frame: Frame) -> None:
            data = form.encoded(frame, 1)
            for near in sockets:
                near.send(data)

        return _paced(frames, sockets[-1], send)


def runSteps() -> None:
    """
    Measure all steps, and print a table.
    """
    stream = _Bytes()
    stages: list[tuple[str, Callable[[_Bytes], Callable[[bytes], object]]]] = [
        ("chunks into messages", _chunks),
        ("session: messages into frames", _session),
        ("connection and hub", partial(_connection, False)),
        ("a sink's queue and ledger", partial(_connection, True)),
    ]

    def least(measure: Callable[[], float]) -> float:
        return min(measure() for _run in range(RUNS)) * 1e6

    print("| step | live, µs | flat out, µs |")
    print("| --- | --- | --- |")
    live = least(partial(_reading, stream, True))
    fast = least(partial(_reading, stream, False))
    print(f"| read from the socket | {live:.2f} | {fast:.2f} |", flush=True)
    before = (0.0, 0.0)
    for name, make in stages:
        live = least(partial(_receiving, make, stream, True))
        fast = least(partial(_receiving, make, stream, False))
        print(
            f"| {name} | {live - before[0]:.2f} | {fast - before[1]:.2f} |", flush=True
        )
        before = live, fast
    live = least(partial(_sending, stream))
    print(f"| send, to each player | {live:.2f} | |", flush=True)
    live = least(partial(_kernel, stream))
    print(f"| of that, the system call | {live:.2f} | |", flush=True)
