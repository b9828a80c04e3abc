"""
Tests of the state tables: each step is tried in each state, with bytes, in real
sessions; every edge of a table is taken, and no other step is possible.
"""

from collections.abc import Callable
from enum import Enum
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from rtmptw.errors import LocalProtocolError
from rtmptw.flv.body import frameFromMessage
from rtmptw.frames import FrameKind
from rtmptw.rtmp import states
from rtmptw.rtmp.clientsession import ClientSession
from rtmptw.rtmp.events import Event, SessionEnded
from rtmptw.rtmp.handshake import SIZE
from rtmptw.rtmp.message import Command
from rtmptw.rtmp.serversession import ServerSession
from rtmptw.rtmp.states import (
    CLIENT_TRANSITIONS,
    STREAM_TRANSITIONS,
    TRANSITIONS,
    ClientState,
    ServerState,
    Step,
    StreamState,
)
from rtmptw.rtmp.url import RTMPTarget
from tests.rtmp.scripted import (
    ScriptedClient,
    ScriptedServer,
    information,
    pseudoRandom,
)


class Row(dict[Any, Any]):
    """
    A row of a table that records the look-ups.
    """

    def __init__(
        self, state: Enum, row: dict[Any, Any], taken: set[tuple[Enum, Enum]]
    ) -> None:
        super().__init__(row)
        self._state = state
        self._taken = taken

    def get(self, step: Any, default: Any = None) -> Any:
        """
        @return: the next state.
        """
        if step in self:
            self._taken.add((self._state, step))
        return super().get(step, default)


class EdgesTestCase(SynchronousTestCase):
    """
    Records the edges that are taken.
    """

    def note(self, table: dict[Any, dict[Any, Any]]) -> set[tuple[Enum, Enum]]:
        """
        @return: the edges that are taken from now on; the set is updated.
        """
        taken: set[tuple[Enum, Enum]] = set()
        before = dict(table)
        self.addCleanup(table.update, before)
        for state, row in before.items():
            table[state] = Row(state, row, taken)
        return taken

    def assertTaken(
        self, taken: set[tuple[Enum, Enum]], table: dict[Any, dict[Any, Any]]
    ) -> None:
        """
        Check that all edges of a table were taken. The compiled build reads
        dictionaries directly, so nothing is recorded there; each step is tried anyway.
        """
        if states.__file__.endswith(".py"):
            self.assertEqual(taken, self.edges(table))

    def edges(self, table: dict[Any, dict[Any, Any]]) -> set[tuple[Enum, Enum]]:
        """
        @return: all edges of a table.
        """
        return {(state, step) for state, row in table.items() for step in row}


class Client:
    """
    A client of a server's session, and the program that answers it.
    """

    def __init__(self) -> None:
        self.session = ServerSession(0.0, pseudoRandom)
        self.client = ScriptedClient.ofSession(self.session)
        self.client.send(b"\3" + bytes(SIZE))

    def step(self, step: Step) -> list[Event]:
        """
        Take a step, allowed or not.

        @raise LocalProtocolError: if it is our own step and not allowed.
        """
        client = self.client
        if step is Step.HANDSHAKE_DONE:
            return client.send(bytes(SIZE))
        if step is Step.CONNECT:
            return client.connect()
        if step is Step.CREATE_STREAM:
            return client.command("createStream", 2.0, None)
        if step is Step.PUBLISH:
            return client.publish()
        if step is Step.PLAY:
            return client.command("play", 5.0, None, "cam", streamID=1)
        if step is Step.STOP:
            return client.command("closeStream", 0.0, None, streamID=1)
        # The last request.
        number = self.session._nextRequest - 1
        if step is Step.ACCEPT:
            return self.session.accept(number, 0.0)
        if step is Step.REJECT:
            code = "NetStream.Publish.Denied"
            return self.session.reject(number, code, "no", 0.0)
        return self.session.close("enough", 0.0)


#: The steps to each state.
WAYS: dict[ServerState, list[Step]] = {
    ServerState.HANDSHAKE: [],
    ServerState.CONNECT: [Step.HANDSHAKE_DONE],
    ServerState.CONNECT_ANSWER: [Step.HANDSHAKE_DONE, Step.CONNECT],
    ServerState.COMMANDS: [Step.HANDSHAKE_DONE, Step.CONNECT, Step.ACCEPT],
    ServerState.NOTHING: [Step.CLOSE],
}
TO_STREAM = [*WAYS[ServerState.COMMANDS], Step.CREATE_STREAM]
STREAM_WAYS: dict[StreamState, list[Step]] = {
    StreamState.COMMAND: [],
    StreamState.PUBLISH_ANSWER: [Step.PUBLISH],
    StreamState.MEDIA: [Step.PUBLISH, Step.ACCEPT],
    StreamState.PLAY_ANSWER: [Step.PLAY],
    StreamState.PLAYER_COMMANDS: [Step.PLAY, Step.ACCEPT],
}
OURS = (Step.ACCEPT, Step.REJECT)
FLOWING = (StreamState.MEDIA, StreamState.PLAYER_COMMANDS)


class ServerTests(EdgesTestCase):
    """
    A server's connection, and its message streams.
    """

    def at(self, way: list[Step]) -> Client:
        """
        @return: a client that has taken these steps.
        """
        client = Client()
        for step in way:
            client.step(step)
        return client

    def assertRefused(self, client: Client, step: Step, why: str) -> None:
        """
        A step that is not in the table is rejected, as an error of whoever took it.
        """
        if step in OURS:
            self.assertRaises(LocalProtocolError, client.step, step)
        else:
            ended = client.step(step)[-1]
            assert isinstance(ended, SessionEnded), why
            self.assertEqual(ended.label, "out-of-order", why)
            self.assertIs(client.session.state, ServerState.NOTHING)

    def test_connection(self) -> None:
        """
        Each step in each state of the connection leads where the table says. During the
        handshake, while an answer is due and after the end, commands are not handled.
        """
        rows = {state: dict(row) for state, row in TRANSITIONS.items()}
        taken = self.note(TRANSITIONS)
        steps = {step for row in rows.values() for step in row}
        for state, row in rows.items():
            isDeaf = state not in (ServerState.CONNECT, ServerState.COMMANDS)
            for step in sorted(steps, key=lambda step: step.value):
                why = f"{step} in {state}"
                client = self.at(WAYS[state])
                self.assertIs(client.session.state, state, why)
                if step in (Step.PUBLISH, Step.PLAY) and step in row:
                    client.step(Step.CREATE_STREAM)
                if step in row:
                    client.step(step)
                    self.assertIs(client.session.state, row[step], why)
                elif step is Step.HANDSHAKE_DONE:
                    # Its bytes are no longer handled.
                    continue
                elif isDeaf and step not in OURS:
                    if state is not ServerState.HANDSHAKE:
                        self.assertEqual(client.step(step), [], why)
                        self.assertIs(client.session.state, state, why)
                else:
                    self.assertRefused(client, step, why)
        self.assertTaken(taken, rows)

    def test_messageStream(self) -> None:
        """
        Each step in each state of a message stream leads where the table says. While an
        answer is due, commands are not handled.
        """
        rows = {state: dict(row) for state, row in STREAM_TRANSITIONS.items()}
        taken = self.note(STREAM_TRANSITIONS)
        steps = {step for row in rows.values() for step in row}
        for state, row in rows.items():
            isDeaf = StreamState.COMMAND in row.values() and Step.REJECT in row
            for step in sorted(steps, key=lambda step: step.value):
                why = f"{step} in {state}"
                client = self.at(TO_STREAM + STREAM_WAYS[state])
                stream = client.session._streams[1]
                self.assertIs(stream.state, state, why)
                if step in row:
                    client.step(step)
                    self.assertIs(stream.state, row[step], why)
                elif isDeaf and step not in OURS:
                    self.assertEqual(client.step(step), [], why)
                    self.assertIs(stream.state, state, why)
                elif state in FLOWING and step not in OURS:
                    # Only a stop ends it.
                    self.assertEqual(client.step(step), [], why)
                    self.assertIs(stream.state, state, why)
                    self.assertIs(client.session.state, ServerState.COMMANDS, why)
                else:
                    self.assertRefused(client, step, why)
        self.assertTaken(taken, rows)

    def test_closedTwice(self) -> None:
        """
        Closing again has no effect, in each way and each state.
        """
        for state, way in WAYS.items():
            client = self.at(way)
            ended = client.session.close("enough", 0.0)
            if state is not ServerState.NOTHING:
                self.assertEqual(ended, [SessionEnded("closed", "enough")])
            self.assertEqual(client.session.close("again", 0.0), [])
            client.session.connectionLost()
            self.assertEqual(client.session.receive(b"\xff" * 99, 1.0), [])
            self.assertEqual(client.session.checkTime(1e6), [])
            self.assertIsNone(client.session.deadline())

    def test_afterTheEndNobodyAnswers(self) -> None:
        """
        The request of a session that has ended is no longer pending.
        """
        for way in (
            WAYS[ServerState.CONNECT_ANSWER],
            TO_STREAM + STREAM_WAYS[StreamState.PUBLISH_ANSWER],
        ):
            client = self.at(way)
            client.session.close("enough", 0.0)
            for step in OURS:
                self.assertRaises(LocalProtocolError, client.step, step)


class Server:
    """
    A server that sends a client's session what it is told to.
    """

    def __init__(self, publishes: bool) -> None:
        target = RTMPTarget.fromURL("rtmp://example.com/live/cam")
        self.session = ClientSession(0.0, pseudoRandom, target, publishes)
        self.server = ScriptedServer(self.receive, self.session.dataToSend)
        self.server.hear()

    def receive(self, data: bytes) -> Any:
        """
        @return: what the client sends in answer to bytes.
        """
        return self.session.receive(data, 0.0)

    def upTo(self, state: ClientState) -> None:
        """
        Accept everything until this state is reached.
        """
        ways: list[tuple[ClientState, Callable[[], Any]]] = [
            (ClientState.CONNECT_RESULT, self.server.shakeHands),
            (ClientState.STREAM_RESULT, self.accept),
            (ClientState.START, self.accept),
            (ClientState.MEDIA, self.accept),
        ]
        if state is ClientState.NOTHING:
            self.session.close("enough")
        for following, go in ways:
            if self.session.state not in (state, ClientState.NOTHING):
                go()
                assert self.session.state is following

    def accept(self) -> Any:
        """
        Accept whatever it is waiting for.
        """
        if self.session.state is ClientState.START:
            return self.server.status("NetStream.Publish.Start")
        number = 1.0 if self.session.state is ClientState.CONNECT_RESULT else 4.0
        return self.server.command("_result", number, None, 1.0)


#: A chunk without a header before it, and a truncated control message.
MALFORMED = (
    b"\xc7" + bytes(64),
    b"\x02" + bytes(3) + b"\0\0\2" + b"\1" + bytes(4) + b"\0\0",
    b"\x02" + bytes(3) + b"\0\0\4" + b"\1" + bytes(4) + b"\0\0\0\0",
)


def playEnds(server: ScriptedServer) -> bytes:
    """
    @return: the bytes of a status that ends a play.
    """

    code = information("NetStream.Play.Stop")
    kind, payload = Command("onStatus", 0.0, (None, code)).encode()
    return server._writer.write(3, kind, 0, 1, payload)


class ClientTests(EdgesTestCase):
    """
    The client's session.
    """

    def test_conversation(self) -> None:
        """
        Each step in each state leads where the table says; an answer to nothing is
        ignored.
        """
        rows = {state: dict(row) for state, row in CLIENT_TRANSITIONS.items()}
        taken = self.note(CLIENT_TRANSITIONS)
        for state, row in rows.items():
            for step in (Step.HANDSHAKE_DONE, Step.ACCEPT, Step.CLOSE):
                why = f"{step} in {state}"
                server = Server(True)
                server.upTo(state)
                self.assertIs(server.session.state, state, why)
                if step is Step.CLOSE:
                    server.session.close("enough")
                elif step is Step.HANDSHAKE_DONE:
                    if step in row:
                        server.server.shakeHands()
                elif state is not ClientState.HANDSHAKE:
                    server.accept()
                self.assertIs(server.session.state, row.get(step, state), why)
        self.assertTaken(taken, rows)

    def test_aFrameOutOfOrder(self) -> None:
        """
        Sending a frame before the server has accepted the stream is our error.
        """
        frame = frameFromMessage(FrameKind.AUDIO, 0, b"\xaf\1abc")
        for state in ClientState:
            server = Server(True)
            server.upTo(state)
            if state is ClientState.MEDIA:
                server.session.sendFrame(frame, 0)
            else:
                self.assertRaises(
                    LocalProtocolError, server.session.sendFrame, frame, 0
                )

    def test_closedTwice(self) -> None:
        """
        Closing again has no effect, in each way and each state.
        """
        for state in ClientState:
            server = Server(True)
            server.upTo(state)
            ended = server.session.close("enough")
            if state is not ClientState.NOTHING:
                self.assertEqual(ended, [SessionEnded("closed", "enough")])
            said = server.session.dataToSend()
            self.assertEqual(
                bool(said), state in (ClientState.START, ClientState.MEDIA)
            )
            self.assertEqual(server.session.close("again"), [])
            self.assertEqual(server.session.dataToSend(), b"")
            self.assertEqual(server.session.connectionLost("gone"), [])
            self.assertEqual(server.session.receive(b"\xff" * 99, 1.0), [])
            self.assertEqual(server.session.checkTime(1e6), [])
            self.assertIsNone(server.session.deadline())

    def test_theEndAndNonsenseInOneRead(self) -> None:
        """
        A server that ends our play and sends a malformed chunk with it has only ended
        our play.
        """
        for malformed in MALFORMED:
            server = Server(False)
            server.server.start()
            events = server.server.send(playEnds(server.server) + malformed)
            self.assertEqual([type(event) for event in events], [SessionEnded])
            self.assertEqual(events[0].label, "stream-ended")
            self.assertIs(server.session.state, ClientState.NOTHING)
