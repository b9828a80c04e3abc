"""
The states of a conversation and all transitions between them.

There are two machines: one for the connection, one for each message stream on it.
A state is named for what is expected next. What is not in a table is not allowed;
there is no second check anywhere.
"""

from enum import Enum
from typing import TypeVar


class Step(Enum):
    """
    What moves the machines.
    """

    #: C2 is in.
    HANDSHAKE_DONE = "handshake done"
    #: The client's commands.
    CONNECT = "connect"
    CREATE_STREAM = "createStream"
    PUBLISH = "publish"
    PLAY = "play"
    #: FCUnpublish, closeStream or deleteStream.
    STOP = "stop"
    #: Our answers to a request.
    ACCEPT = "accept"
    REJECT = "reject"
    #: A fault, a timeout, or the end of the connection.
    CLOSE = "close"


class Conversation(Enum):
    """
    The connection's states.
    """

    HANDSHAKE = "handshake"
    CONNECT = "connect"
    CONNECT_ANSWER = "the answer to connect"
    COMMANDS = "commands and media"
    NOTHING = "nothing"


class NetStream(Enum):
    """
    A message stream's states.
    """

    COMMAND = "publish or play"
    PUBLISH_ANSWER = "the answer to publish"
    MEDIA = "media"
    PLAY_ANSWER = "the answer to play"
    PLAYER_COMMANDS = "a player's commands"


TRANSITIONS: dict[Conversation, dict[Step, Conversation]] = {
    Conversation.HANDSHAKE: {
        Step.HANDSHAKE_DONE: Conversation.CONNECT,
        Step.CLOSE: Conversation.NOTHING,
    },
    Conversation.CONNECT: {
        Step.CONNECT: Conversation.CONNECT_ANSWER,
        Step.CLOSE: Conversation.NOTHING,
    },
    Conversation.CONNECT_ANSWER: {
        Step.ACCEPT: Conversation.COMMANDS,
        Step.CLOSE: Conversation.NOTHING,
    },
    Conversation.COMMANDS: {
        Step.CREATE_STREAM: Conversation.COMMANDS,
        Step.PUBLISH: Conversation.COMMANDS,
        Step.PLAY: Conversation.COMMANDS,
        Step.STOP: Conversation.COMMANDS,
        Step.CLOSE: Conversation.NOTHING,
    },
    Conversation.NOTHING: {},
}

STREAM_TRANSITIONS: dict[NetStream, dict[Step, NetStream]] = {
    NetStream.COMMAND: {
        Step.PUBLISH: NetStream.PUBLISH_ANSWER,
        Step.PLAY: NetStream.PLAY_ANSWER,
        Step.STOP: NetStream.COMMAND,
    },
    NetStream.PUBLISH_ANSWER: {
        Step.ACCEPT: NetStream.MEDIA,
        Step.REJECT: NetStream.COMMAND,
    },
    NetStream.MEDIA: {
        Step.STOP: NetStream.COMMAND,
    },
    NetStream.PLAY_ANSWER: {
        Step.ACCEPT: NetStream.PLAYER_COMMANDS,
        Step.REJECT: NetStream.COMMAND,
    },
    NetStream.PLAYER_COMMANDS: {
        # Another play on the same stream replaces the first (7.2.2.1).
        Step.PLAY: NetStream.PLAY_ANSWER,
        Step.STOP: NetStream.COMMAND,
    },
}

S = TypeVar("S", Conversation, NetStream)


class OutOfOrder(Exception):
    """
    The step is not in the table; whose fault that is, the caller knows.
    """

    def __init__(self, step: Step, state: Conversation | NetStream) -> None:
        super().__init__(f"{step.value} while {state.value} is expected")


def advance(table: dict[S, dict[Step, S]], state: S, step: Step) -> S:
    """
    @return: the state that follows.

    @raise OutOfOrder: if none does.
    """
    following = table[state].get(step)
    if following is None:
        raise OutOfOrder(step, state)
    return following
