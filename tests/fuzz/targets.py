"""
Functions that take random input. Each raises if a property that must hold for any input
does not.
"""

from collections.abc import Callable
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from rtmptw.errors import LocalProtocolError, RemoteProtocolError
from rtmptw.flv.body import dataMessage, frameFromMessage
from rtmptw.flv.file import Tag, TagReader
from rtmptw.frames import FrameKind
from rtmptw.hub.hub import StreamHub
from rtmptw.hub.stream import SinkReport
from rtmptw.hub.timeline import MAX_BACK, Timeline
from rtmptw.rtmp import amf0
from rtmptw.rtmp.chunkreader import ChunkReader
from rtmptw.rtmp.chunks import Limits
from rtmptw.rtmp.chunkwriter import encodeMessage
from rtmptw.rtmp.handshake import SIZE
from rtmptw.rtmp.message import Command
from rtmptw.rtmpserver.factory import RTMPFactory
from rtmptw.sinks.null.factory import NullSinkFactory
from tests.messages import Calling

Target = Callable[[bytes], None]

#: Peers that begin many messages are not tested here.
LIMITS = Limits(maxMedia=1 << 20, maxPartial=1 << 20)
#: The reader may hold this many bytes per byte received, plus a constant.
HELD_EACH = 8
HELD_ANYWAY = 64 * 1024


def _read(pieces: list[bytes]) -> tuple[list[tuple[Any, ...]], str]:
    messages: list[tuple[Any, ...]] = []
    reader = ChunkReader(Calling(lambda *message: messages.append(message)), LIMITS)
    try:
        for piece in pieces:
            reader.receive(piece)
            while reader.isResting:
                reader.takeTurn()
    except RemoteProtocolError as fault:
        return messages, fault.label
    assert reader.heldBytes() <= sum(map(len, pieces))
    return messages, ""


def chunks(data: bytes) -> None:
    """
    Any bytes give the same messages in one piece and cut up. The first byte is the size
    of the pieces.
    """
    if not data:
        return
    step, data = data[0] + 1, data[1:]
    whole = _read([data])
    cut = _read([data[at : at + step] for at in range(0, len(data), step)])
    assert whole == cut, (whole, cut)


def values(data: bytes) -> None:
    """
    AMF0 that can be decoded decodes to the same values after it is encoded again.
    """
    for lenient in (False, True):
        try:
            found = amf0.decodeAll(data, lenient=lenient)
        except RemoteProtocolError:
            continue
        try:
            again = amf0.encode(*found)
        except LocalProtocolError:
            # Some values can be decoded but not encoded, for example a reference to an
            # object after the end of its message.
            continue
        # NaN does not equal itself, so representations are compared.
        assert repr(amf0.decodeAll(again)) == repr(found)


def bodies(data: bytes) -> None:
    """
    The body of any message becomes a frame that keeps its bytes.
    """
    if not data:
        return
    kind = (FrameKind.AUDIO, FrameKind.VIDEO, FrameKind.DATA)[data[0] % 3]
    payload = data[1:]
    if kind is FrameKind.DATA:
        payload = dataMessage(payload)[1]
    frame = frameFromMessage(kind, 5, payload)
    assert frame.payload == payload and frame.size == len(payload)


def tags(data: bytes) -> None:
    """
    Any bytes after an FLV header give the same tags, up to the first fault, in one
    piece and cut up.
    """
    head = b"FLV\1\5\0\0\0\x09\0\0\0\0"

    def read(pieces: list[bytes]) -> list[Tag]:
        reader = TagReader()
        found: list[Tag] = []
        try:
            for piece in pieces:
                found += reader.receive(piece)
        except RemoteProtocolError:
            pass
        return found

    whole = read([head + data])
    cut = read([bytes([byte]) for byte in head + data])
    assert whole == cut, (whole, cut)


def clocks(data: bytes) -> None:
    """
    Whatever timestamps an encoder sends, a track's repaired timestamps never step back
    by more than C{MAX_BACK}, and the stream's clock never steps back.
    """
    timeline = Timeline()
    last: dict[FrameKind, int] = {}
    position = 0
    for at in range(0, len(data) - 4, 5):
        kind = (FrameKind.AUDIO, FrameKind.VIDEO)[data[at] & 1]
        time = int.from_bytes(data[at + 1 : at + 5], "big")
        body = b"\xaf\1a" if kind is FrameKind.AUDIO else b"\x27\1\0\0\0a"
        frame = frameFromMessage(kind, time, body)
        timeline.repair(frame)
        before = last.get(kind, frame.timestamp)
        assert frame.timestamp > before - MAX_BACK, (frame.timestamp, last)
        assert timeline.position >= position
        last[kind] = frame.timestamp
        position = timeline.position


def _message(kind: int, payload: bytes, stream: int) -> bytes:
    chunkStream = {8: 4, 9: 6, 20: 3}.get(kind, 5)
    return encodeMessage(chunkStream, kind, 0, stream, payload, 128)


def _command(name: str, transaction: float, *given: Any, stream: int = 0) -> bytes:
    kind, payload = Command(name, transaction, given).encode()
    return _message(kind, payload, stream)


#: What a client sends to publish, and what it may send afterwards.
_WORDS = (
    _command("connect", 1.0, None),
    _command("createStream", 2.0, None),
    _command("publish", 3.0, None, "cam", "live", stream=1),
    _command("publish", 3.0, None, "cam", "live", stream=2),
    _command("play", 4.0, None, "cam", stream=2),
    _command("play", 4.0, None, "other", stream=1),
    _command("closeStream", 0.0, None, stream=1),
    _command("deleteStream", 0.0, None, 1.0),
    _command("FCUnpublish", 5.0, None, "cam"),
    _command("pause", 0.0, None, True, 0.0, stream=2),
    _command("receiveVideo", 0.0, None, False, stream=2),
    _command("seek", 0.0, None, 0.0, stream=2),
    _message(9, b"\x17\0\0\0\0config", 1),
    _message(9, b"\x17\1\0\0\0key", 1),
    _message(9, b"\x27\1\0\0\0inter", 1),
    _message(8, b"\xaf\1sound", 1),
    _message(22, (b"\x08\0\0\1" + bytes(7) + b"a" + bytes(4)) * 3, 1),
    _message(4, b"\0\6\1\2\3\4", 0),
    _message(2, b"\0\0\0\6", 0),
    _message(18, amf0.encode("@setDataFrame", "onMetaData", None), 1),
)


def _connected() -> bytes:
    kind, payload = Command("connect", 1.0, ()).encode()
    payload += b"\3\0\3app\2\0\4live\0\0\x09"
    return b"\3" + bytes(2 * SIZE) + _message(kind, payload, 0)


_HELLO = _connected()


def conversations(data: bytes) -> None:
    """
    Whatever a client sends, nothing is raised, every sink's ledger is balanced at the
    end, the memory held is bounded, and nothing is left behind. An input byte below
    0x40 stands for a command or message; any other byte is the length of the raw bytes
    that follow it.
    """
    reports: list[SinkReport] = []
    clock = Clock()
    hub = StreamHub(clock, [("null", NullSinkFactory())], sinkEnded=reports.append)
    factory = RTMPFactory(hub)
    protocol = factory.buildProtocol(None)
    transport: Any = StringTransport(peerAddress=IPv4Address("TCP", "127.0.0.1", 5))
    transport.abortConnection = transport.loseConnection
    protocol.makeConnection(transport)
    protocol.dataReceived(_HELLO)
    position = 0
    taken = len(_HELLO)
    while position < len(data) and not transport.disconnecting:
        byte = data[position]
        position += 1
        if byte < 0x40:
            said = _WORDS[byte % len(_WORDS)]
        else:
            size = byte - 0x3F
            said = data[position : position + size]
            position += size
        if said:
            taken += len(said)
            protocol.dataReceived(said)
        if byte & 0x20:
            clock.advance(0)
        assert protocol.heldBytes() <= taken * HELD_EACH + HELD_ANYWAY
    clock.advance(0)
    protocol.connectionLost(Failure(ConnectionDone()))
    for _ in range(1000):
        if not factory.connections:
            break
        clock.advance(0)
    assert not factory.connections and not hub.streams
    assert all(report.ledger.balanced for report in reports)
    clock.advance(100)
    assert clock.getDelayedCalls() == []


TARGETS: dict[str, Target] = {
    target.__name__: target
    for target in (chunks, values, bodies, tags, clocks, conversations)
}
