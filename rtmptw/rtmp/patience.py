"""
How long each state may last, and what too long is called.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from rtmptw.rtmp.chunks import Limits
from rtmptw.rtmp.states import ClientState, ServerState, StreamState

#: A player that has sent and taken nothing for so many seconds is asked for a sign of
#: life, and given up after so many more (nginx-rtmp has the same numbers).
PING_AFTER = 60.0
PING_PATIENCE = 30.0

#: Seconds for a server's handshake, and for each of its answers. MediaMTX waits as
#: long.
STEP_TIMEOUT = 10.0
#: Seconds that a stream we play may bring nothing. Encoders send at least audio each
#: few tens of milliseconds; nginx-rtmp says nothing while nobody publishes.
SILENCE_TIMEOUT = 10.0


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """
    How a server behaves towards its clients.

    @ivar chunkSize: ours, in bytes. FFmpeg takes it over for what it sends, which
        makes it cheap to read; 60000 is what SRS uses.
    @ivar window: what a peer may send before it needs an acknowledgement, which comes
        at half of it, asked or not: Wirecast and FMLE stall otherwise. Also what we ask
        of the peer.
    @ivar handshakeTimeout: seconds for the handshake.
    @ivar requestTimeout: seconds from there to a publish or play, and between one
        and the next.
    @ivar silenceTimeout: seconds that a publisher may send nothing.
    @ivar limits: what a peer may make us hold.
    """

    chunkSize: int = 60000
    window: int = 2_500_000
    handshakeTimeout: float = 10.0
    requestTimeout: float = 10.0
    silenceTimeout: float = 10.0
    limits: Limits = field(default_factory=Limits)


def _handshake(settings: ServerSettings) -> float:
    return settings.handshakeTimeout


def _request(settings: ServerSettings) -> float:
    return settings.requestTimeout


def _silence(settings: ServerSettings) -> float:
    return settings.silenceTimeout


def _sign(settings: ServerSettings) -> float:
    return PING_AFTER + PING_PATIENCE


@dataclass(frozen=True, slots=True)
class Patience:
    """
    How long a state of a server may last.

    @ivar limit: the seconds, by the settings.
    @ivar label: of the session's end; for a request that waits for its answer, the
        code it is refused with.
    @ivar reason: with C{{}} for the seconds.
    """

    limit: Callable[[ServerSettings], float]
    label: str
    reason: str


_UNDECIDED: Final = "no decision within {:g} s"
_IDLE: Final = Patience(_request, "request-timeout", "no publish or play within {:g} s")

SERVER_PATIENCE: dict[ServerState, Patience] = {
    ServerState.HANDSHAKE: Patience(
        _handshake, "handshake-timeout", "handshake not finished in {:g} s"
    ),
    ServerState.CONNECT: _IDLE,
    ServerState.CONNECT_ANSWER: Patience(
        _request, "NetConnection.Connect.Rejected", _UNDECIDED
    ),
    ServerState.COMMANDS: _IDLE,
}

#: A connection at its commands is as patient as its busiest message stream: the
#: first of these states that one is in.
STREAM_PATIENCE: dict[StreamState, Patience] = {
    StreamState.PUBLISH_ANSWER: Patience(
        _request, "NetStream.Publish.Denied", _UNDECIDED
    ),
    StreamState.PLAY_ANSWER: Patience(_request, "NetStream.Play.Failed", _UNDECIDED),
    # Received bytes are the only sign of life: OBS answers no pings.
    StreamState.MEDIA: Patience(
        _silence, "silent", "the publisher sent nothing for {:g} s"
    ),
    StreamState.PLAYER_COMMANDS: Patience(
        _sign, "silent", "the player sent and took nothing for {:g} s"
    ),
}

#: For a client: seconds and label. In MEDIA it is about a stream that is played.
CLIENT_PATIENCE: dict[ClientState, tuple[float, str]] = {
    ClientState.HANDSHAKE: (STEP_TIMEOUT, "timeout"),
    ClientState.CONNECT_RESULT: (STEP_TIMEOUT, "timeout"),
    ClientState.STREAM_RESULT: (STEP_TIMEOUT, "timeout"),
    ClientState.START: (STEP_TIMEOUT, "timeout"),
    ClientState.MEDIA: (SILENCE_TIMEOUT, "silent"),
}
