"""
The states of a conversation and all transitions between them.

There are three machines: for a server one for the connection and one for each
message stream on it, and one for a client, which does one thing after the other. A
state is named for what is expected next. What is not in a table is not allowed; there
is no second check anywhere.
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
    #: Our answers to a request; a client's are those it gets.
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


class ClientConversation(Enum):
    """
    A client's states.
    """

    HANDSHAKE = "the server's handshake"
    CONNECT_RESULT = "the answer to connect"
    STREAM_RESULT = "the answer to createStream"
    START = "the answer to publish or play"
    MEDIA = "media"
    NOTHING = "nothing"


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

CLIENT_TRANSITIONS: dict[ClientConversation, dict[Step, ClientConversation]] = {
    ClientConversation.HANDSHAKE: {
        Step.HANDSHAKE_DONE: ClientConversation.CONNECT_RESULT,
        Step.CLOSE: ClientConversation.NOTHING,
    },
    ClientConversation.CONNECT_RESULT: {
        Step.ACCEPT: ClientConversation.STREAM_RESULT,
        Step.CLOSE: ClientConversation.NOTHING,
    },
    ClientConversation.STREAM_RESULT: {
        Step.ACCEPT: ClientConversation.START,
        Step.CLOSE: ClientConversation.NOTHING,
    },
    ClientConversation.START: {
        Step.ACCEPT: ClientConversation.MEDIA,
        Step.CLOSE: ClientConversation.NOTHING,
    },
    ClientConversation.MEDIA: {
        Step.CLOSE: ClientConversation.NOTHING,
    },
    ClientConversation.NOTHING: {},
}

S = TypeVar("S", Conversation, NetStream, ClientConversation)


class OutOfOrder(Exception):
    """
    The step is not in the table; whose fault that is, the caller knows.
    """

    def __init__(self, step: Step, state: Enum) -> None:
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
