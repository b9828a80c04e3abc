"""
The states of a session and all transitions between them.

There are three state machines: in a server, one for the connection and one for each
message stream on it; in a client, a single one, because it does one thing after
another. A state is named for what is expected next. A step that is not in the table
is not allowed; there is no second check anywhere.
"""

from enum import Enum
from typing import TypeVar

from rtmptw.errors import RemoteProtocolError


class Step(Enum):
    """
    What changes the state.
    """

    #: The handshake is complete.
    HANDSHAKE_DONE = "handshake done"
    #: The client's commands.
    CONNECT = "connect"
    CREATE_STREAM = "createStream"
    PUBLISH = "publish"
    PLAY = "play"
    #: FCUnpublish, closeStream or deleteStream.
    STOP = "stop"
    #: The server's answer to a request: sent by our server, or received by our client.
    ACCEPT = "accept"
    REJECT = "reject"
    #: A protocol error, a timeout, or the end of the connection.
    CLOSE = "close"


class ServerState(Enum):
    """
    The states of a connection to a server.
    """

    HANDSHAKE = "handshake"
    CONNECT = "connect"
    CONNECT_ANSWER = "the answer to connect"
    COMMANDS = "commands and media"
    NOTHING = "nothing"


class StreamState(Enum):
    """
    A message stream's states.
    """

    COMMAND = "publish or play"
    PUBLISH_ANSWER = "the answer to publish"
    MEDIA = "media"
    PLAY_ANSWER = "the answer to play"
    PLAYER_COMMANDS = "a player's commands"


class ClientState(Enum):
    """
    A client's states.
    """

    HANDSHAKE = "the server's handshake"
    CONNECT_RESULT = "the answer to connect"
    STREAM_RESULT = "the answer to createStream"
    START = "the answer to publish or play"
    MEDIA = "media"
    NOTHING = "nothing"


TRANSITIONS: dict[ServerState, dict[Step, ServerState]] = {
    ServerState.HANDSHAKE: {
        Step.HANDSHAKE_DONE: ServerState.CONNECT,
        Step.CLOSE: ServerState.NOTHING,
    },
    ServerState.CONNECT: {
        Step.CONNECT: ServerState.CONNECT_ANSWER,
        Step.CLOSE: ServerState.NOTHING,
    },
    ServerState.CONNECT_ANSWER: {
        Step.ACCEPT: ServerState.COMMANDS,
        Step.CLOSE: ServerState.NOTHING,
    },
    ServerState.COMMANDS: {
        # Again, while nothing is published or played.
        Step.CONNECT: ServerState.CONNECT_ANSWER,
        Step.CREATE_STREAM: ServerState.COMMANDS,
        Step.PUBLISH: ServerState.COMMANDS,
        Step.PLAY: ServerState.COMMANDS,
        Step.CLOSE: ServerState.NOTHING,
    },
    # Closing again has no effect.
    ServerState.NOTHING: {Step.CLOSE: ServerState.NOTHING},
}

STREAM_TRANSITIONS: dict[StreamState, dict[Step, StreamState]] = {
    StreamState.COMMAND: {
        Step.PUBLISH: StreamState.PUBLISH_ANSWER,
        Step.PLAY: StreamState.PLAY_ANSWER,
        Step.STOP: StreamState.COMMAND,
    },
    StreamState.PUBLISH_ANSWER: {
        Step.ACCEPT: StreamState.MEDIA,
        Step.REJECT: StreamState.COMMAND,
    },
    StreamState.MEDIA: {
        Step.STOP: StreamState.COMMAND,
    },
    StreamState.PLAY_ANSWER: {
        Step.ACCEPT: StreamState.PLAYER_COMMANDS,
        Step.REJECT: StreamState.COMMAND,
    },
    StreamState.PLAYER_COMMANDS: {
        # Another play on the same stream replaces the first (7.2.2.1).
        Step.PLAY: StreamState.PLAY_ANSWER,
        Step.STOP: StreamState.COMMAND,
    },
}

CLIENT_TRANSITIONS: dict[ClientState, dict[Step, ClientState]] = {
    ClientState.HANDSHAKE: {
        Step.HANDSHAKE_DONE: ClientState.CONNECT_RESULT,
        Step.CLOSE: ClientState.NOTHING,
    },
    ClientState.CONNECT_RESULT: {
        Step.ACCEPT: ClientState.STREAM_RESULT,
        Step.CLOSE: ClientState.NOTHING,
    },
    ClientState.STREAM_RESULT: {
        Step.ACCEPT: ClientState.START,
        Step.CLOSE: ClientState.NOTHING,
    },
    ClientState.START: {
        Step.ACCEPT: ClientState.MEDIA,
        Step.CLOSE: ClientState.NOTHING,
    },
    ClientState.MEDIA: {
        Step.CLOSE: ClientState.NOTHING,
    },
    ClientState.NOTHING: {Step.CLOSE: ClientState.NOTHING},
}

S = TypeVar("S", ServerState, StreamState, ClientState)


class OutOfOrder(RemoteProtocolError):
    """
    The peer tried a step that is not in the table.
    """

    def __init__(self, step: Step, state: Enum) -> None:
        super().__init__(
            "out-of-order", f"{step.value} while {state.value} is expected"
        )


def advance(table: dict[S, dict[Step, S]], state: S, step: Step) -> S:
    """
    @return: the next state.

    @raise OutOfOrder: if the step is not allowed. For our own steps the caller checks
        this beforehand.
    """
    following = table[state].get(step)
    if following is None:
        raise OutOfOrder(step, state)
    return following
