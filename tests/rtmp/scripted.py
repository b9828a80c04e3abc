"""
A client and a server that send what a test tells them to, and read the answers.
"""

from collections.abc import Callable
from typing import Any

from rtmptw.rtmp import amf0
from rtmptw.rtmp.amf import AMFObject, Value
from rtmptw.rtmp.chunkreader import ChunkReader
from rtmptw.rtmp.chunkwriter import ChunkWriter
from rtmptw.rtmp.events import Event
from rtmptw.rtmp.handshake import SIZE
from rtmptw.rtmp.message import Command, parse
from rtmptw.rtmp.serversession import ServerSession
from tests.messages import Calling


def pseudoRandom(count: int) -> bytes:
    """
    Bytes that do not have to be random.
    """
    return (b"not random " * (count // 11 + 1))[:count]


class Listener:
    """
    Reads what a session sends: first its part of the handshake, then messages.
    """

    def __init__(
        self,
        dataToSend: Callable[[], bytes],
        messageReceived: Callable[[int, int, int, bytes, int], None],
    ) -> None:
        self._dataToSend = dataToSend
        self._reader = ChunkReader(Calling(messageReceived))
        self._handshake = 1 + 2 * SIZE

    def hear(self) -> None:
        """
        Read what has arrived so far.
        """
        data = self._dataToSend()
        skipped = min(self._handshake, len(data))
        self._handshake -= skipped
        if data[skipped:]:
            self._reader.receive(data[skipped:])
            while self._reader.isResting:
                self._reader.takeTurn()


class ScriptedClient(Listener):
    """
    Sends the bytes of a client.

    @ivar events: all events of the session.
    @ivar answers: all messages that the server sent: type, message stream, payload.
    """

    def __init__(
        self,
        receive: Callable[[bytes], list[Event]],
        dataToSend: Callable[[], bytes],
    ) -> None:
        self._receive = receive
        self.writer = ChunkWriter()
        self.events: list[Event] = []
        self.answers: list[tuple[int, int, bytes]] = []
        super().__init__(
            dataToSend,
            lambda kind, time, stream, payload, chunkStream: self.answers.append(
                (kind, stream, payload)
            ),
        )

    @classmethod
    def ofSession(cls, session: ServerSession, now: float = 0.0) -> "ScriptedClient":
        """
        A client of a session whose clock does not move.
        """
        return cls(lambda data: session.receive(data, now), session.dataToSend)

    def send(self, data: bytes) -> list[Event]:
        """
        Send raw bytes.

        @return: the session's events.
        """
        events = self._receive(data)
        self.events += events
        self.hear()
        return events

    def shakeHands(self) -> None:
        """
        Send C0, C1 and C2.
        """
        self.send(b"\3" + bytes(SIZE))
        self.send(bytes(SIZE))

    def message(
        self, kind: int, payload: bytes, streamID: int = 1, timestamp: int = 0
    ) -> bytes:
        """
        @return: the bytes of a message.
        """
        chunkStream = {8: 4, 9: 6, 20: 3, 17: 3}.get(kind, 2)
        return self.writer.write(chunkStream, kind, timestamp, streamID, payload)

    def command(
        self, name: str, transactionID: float, *values: Any, streamID: int = 0
    ) -> list[Event]:
        """
        Send a command.
        """
        kind, payload = Command(name, transactionID, values).encode()
        return self.send(self.message(kind, payload, streamID))

    def connect(self, app: str = "live", **properties: Any) -> list[Event]:
        """
        Send connect.
        """
        items: list[tuple[str, Value]] = [
            ("app", app),
            ("type", "nonprivate"),
            ("flashVer", "test/1.0"),
        ]
        items += [("tcUrl", f"rtmp://localhost/{app}"), *properties.items()]
        return self.command("connect", 1.0, AMFObject(items))

    def publish(self, name: str = "cam", streamID: int = 1) -> list[Event]:
        """
        Send publish.
        """
        return self.command("publish", 5.0, None, name, "live", streamID=streamID)

    def manyStreams(self, count: int, verb: str = "publish") -> bytes:
        """
        @param verb: publish or play.
        @return: the bytes of this many streams, one after the other on one message
            stream: each is created, started, closed and deleted. They are cam0, cam1
            and so on; the transaction ids are three times their numbers, and one and
            two more.
        """
        said: list[bytes] = []
        for number in range(count):
            for name, more, streamID, values in (
                ("createStream", 0, 0, ()),
                (verb, 1, 1, (f"cam{number}",)),
                ("closeStream", 0, 1, ()),
                ("getStreamLength", 2, 0, (f"cam{number}",)),
                ("deleteStream", 0, 0, (1.0,)),
            ):
                transactionID = float(3 * number + more)
                kind, payload = Command(name, transactionID, (None, *values)).encode()
                said.append(self.message(kind, payload, streamID))
        return b"".join(said)

    def commands(self) -> list[Command]:
        """
        @return: the commands among the answers.
        """
        return [
            command
            for kind, _stream, payload in self.answers
            if isinstance(command := parse(kind, payload), Command)
        ]

    def status(self) -> tuple[int, str, str, str]:
        """
        @return: message stream, level, code and description of the last onStatus.
        """
        for kind, stream, payload in reversed(self.answers):
            command = parse(kind, payload)
            if isinstance(command, Command) and command.name == "onStatus":
                information = command.values[1]
                assert type(information) is AMFObject, "FFmpeg reads objects only"
                return (
                    stream,
                    str(information.get("level")),
                    str(information.get("code")),
                    str(information.get("description")),
                )
        raise AssertionError("no status was sent")


class ScriptedServer(Listener):
    """
    Sends to our client what a test tells it to.

    @ivar heard: all messages of the client: type, message stream, payload, time.
    """

    def __init__(
        self, receive: Callable[[bytes], Any], dataToSend: Callable[[], bytes]
    ) -> None:
        """
        @param receive: passes bytes to the client; L{send} returns its result.
        @param dataToSend: returns the client's bytes.
        """
        self._receive = receive
        self.heard: list[tuple[int, int, bytes, int]] = []
        self._writer = ChunkWriter()
        super().__init__(
            dataToSend,
            lambda kind, time, stream, payload, chunkStream: self.heard.append(
                (kind, stream, payload, time)
            ),
        )

    def send(self, data: bytes) -> Any:
        """
        Send raw bytes.
        """
        result = self._receive(data)
        self.hear()
        return result

    def shakeHands(self) -> None:
        """
        Send S0, S1 and S2.
        """
        self.send(b"\3" + bytes(2 * SIZE))

    def message(
        self, kind: int, payload: bytes, streamID: int = 1, timestamp: int = 0
    ) -> Any:
        """
        Send a message.
        """
        return self.send(self._writer.write(3, kind, timestamp, streamID, payload))

    def command(self, name: str, transactionID: float, *values: Any) -> Any:
        """
        Send a command.
        """
        kind, payload = Command(name, transactionID, values).encode()
        return self.message(kind, payload, 0)

    def accept(self, streamID: float = 1.0) -> None:
        """
        Accept everything up to createStream.
        """
        self.shakeHands()
        self.command("_result", 1.0, None, information("NetConnection.Connect.Success"))
        self.command("_result", 4.0, None, streamID)

    def status(self, code: str, level: str = "status", words: str = "") -> Any:
        """
        Send onStatus.
        """
        return self.command("onStatus", 0.0, None, information(code, level, words))

    def start(self) -> None:
        """
        Accept everything.
        """
        self.accept()
        verb = "Publish" if "publish" in self.names() else "Play"
        self.status(f"NetStream.{verb}.Start")

    def commands(self) -> list[Command]:
        """
        @return: the commands that the client sent.
        """
        return [
            command
            for kind, _stream, payload, _time in self.heard
            if isinstance(command := parse(kind, payload), Command)
        ]

    def names(self) -> list[str]:
        """
        @return: their names.
        """
        return [command.name for command in self.commands()]

    def media(self) -> list[tuple[int, int, bytes]]:
        """
        @return: type, time and payload of the frames that the client sent.
        """
        return [
            (kind, time, payload)
            for kind, _stream, payload, time in self.heard
            if kind in (8, 9, 18)
        ]


def information(code: str, level: str = "status", description: str = "") -> AMFObject:
    """
    @return: the information object of a status.
    """
    return AMFObject([("level", level), ("code", code), ("description", description)])


def data(name: str, *values: Any) -> bytes:
    """
    @return: the payload of a data message.
    """
    return amf0.encode(name, *values)
