"""
How long each state may last, and how a timeout is reported.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from rtmptw.rtmp.chunks import Limits
from rtmptw.rtmp.states import ClientState, ServerState, StreamState

#: After this many seconds in which a player has sent and received nothing, we ping it;
#: after this many more without a sign of life, we disconnect it (nginx-rtmp uses the
#: same numbers).
PING_AFTER = 60.0
PING_PATIENCE = 30.0

#: Timeout in seconds for a server's handshake, and for each of its answers. MediaMTX
#: uses the same.
STEP_TIMEOUT = 10.0
#: Timeout in seconds for a stream we play that sends nothing. Encoders send at least
#: audio every few tens of milliseconds; nginx-rtmp sends nothing while nobody
#: publishes.
SILENCE_TIMEOUT = 10.0


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """
    A server's settings for its clients.

    @ivar chunkSize: our chunk size, in bytes. FFmpeg copies it for what it sends, and
        large chunks are cheap to read; SRS uses 60000 too.
    @ivar window: the acknowledgement window in bytes. We acknowledge after half of
        it even if the peer did not ask: Wirecast and FMLE stall otherwise. We also
        ask the peer to use it.
    @ivar handshakeTimeout: seconds for the handshake.
    @ivar requestTimeout: seconds from the handshake to a publish or play, and between
        one and the next.
    @ivar silenceTimeout: seconds that a publisher may send nothing.
    @ivar limits: limits on what a peer can make us buffer.
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
    The time limit of a server's state.

    @ivar limit: returns the limit in seconds for given settings.
    @ivar label: the label of the session's end; for a pending request, the code that
        it is rejected with.
    @ivar reason: a format string for the reason; the seconds are filled in.
    """

    limit: Callable[[ServerSettings], float]
    label: str
    reason: str


_UNDECIDED: Final = "no decision within {:g} s"
_IDLE: Final = Patience(_request, "request-timeout", "no publish or play within {:g} s")

SERVER_PATIENCE: dict[ServerState, Patience] = {
    ServerState.HANDSHAKE: Patience(
        _handshake, "handshake-timeout", "handshake not finished within {:g} s"
    ),
    ServerState.CONNECT: _IDLE,
    ServerState.CONNECT_ANSWER: Patience(
        _request, "NetConnection.Connect.Rejected", _UNDECIDED
    ),
    ServerState.COMMANDS: _IDLE,
}

#: In the state COMMANDS, the connection's limit is that of its busiest message stream:
#: the first of these states that any of them is in.
STREAM_PATIENCE: dict[StreamState, Patience] = {
    StreamState.PUBLISH_ANSWER: Patience(
        _request, "NetStream.Publish.Denied", _UNDECIDED
    ),
    StreamState.PLAY_ANSWER: Patience(_request, "NetStream.Play.Failed", _UNDECIDED),
    # Received bytes are the only sign of life: OBS does not answer pings.
    StreamState.MEDIA: Patience(
        _silence, "silent", "the publisher sent nothing for {:g} s"
    ),
    StreamState.PLAYER_COMMANDS: Patience(
        _sign, "silent", "the player sent and received nothing for {:g} s"
    ),
}

#: For a client: seconds and label. The limit in MEDIA applies only to playing.
CLIENT_PATIENCE: dict[ClientState, tuple[float, str]] = {
    ClientState.HANDSHAKE: (STEP_TIMEOUT, "timeout"),
    ClientState.CONNECT_RESULT: (STEP_TIMEOUT, "timeout"),
    ClientState.STREAM_RESULT: (STEP_TIMEOUT, "timeout"),
    ClientState.START: (STEP_TIMEOUT, "timeout"),
    ClientState.MEDIA: (SILENCE_TIMEOUT, "silent"),
}
