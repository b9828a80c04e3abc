"""
The events of a session: one small class for each.
"""

from dataclasses import dataclass, field

from rtmptw.frames import Frame, FrameKind
from rtmptw.rtmp.amf import AMFObject


@dataclass(frozen=True, slots=True)
class ConnectRequested:
    """
    The client wants to connect to an application. Answer with C{accept} or
    C{reject}; nothing more is read before that.

    @ivar requestID: identifies the request in the answer.
    @ivar app: the application, without query, leading and trailing slashes and
        C{_definst_}.
    @ivar query: what followed a question mark in app or tcUrl, unchanged.
    @ivar encoder: the client's flashVer.
    @ivar properties: the whole command object, for authorizers.
    """

    requestID: int
    app: str
    query: str
    encoder: str
    properties: AMFObject


@dataclass(frozen=True, slots=True)
class PublishRequested:
    """
    The client wants to publish. Answer with C{accept} or C{reject}; nothing more
    is read before that.

    @ivar requestID: identifies the request in the answer.
    @ivar streamID: the message stream of its frames.
    @ivar app: the application.
    @ivar stream: the stream's name, or key, without query.
    @ivar query: what followed a question mark in the name, or else in app or
        tcUrl, unchanged: credentials in it are not URL-encoded.
    @ivar encoder: the client's flashVer.
    """

    requestID: int
    streamID: int
    app: str
    stream: str
    query: str
    encoder: str


@dataclass(frozen=True, slots=True)
class PlayRequested:
    """
    The client wants to play. Answer with C{accept} or C{reject}; nothing more is
    read before that.

    @ivar requestID: identifies the request in the answer.
    @ivar streamID: the message stream to play on.
    @ivar app: the application.
    @ivar stream: the stream's name without query.
    @ivar query: as for L{PublishRequested}.
    @ivar start: as sent: seconds by the specification, ms from FFmpeg and librtmp;
        -2 and below is live or recorded, -1 and -1000 live only.
    @ivar duration: how much to play, as sent; below 0 is all.
    @ivar reset: whether the player asks to replace what the message stream already
        plays. We always replace it.
    """

    requestID: int
    streamID: int
    app: str
    stream: str
    query: str
    start: float
    duration: float
    reset: bool


@dataclass(frozen=True, slots=True)
class PauseRequested:
    """
    The player wants to pause or resume. The answer has been sent.
    """

    streamID: int
    isPaused: bool


@dataclass(frozen=True, slots=True)
class MediumSelected:
    """
    The player turns audio or video on or off (receiveAudio, receiveVideo). The answer
    has been sent.
    """

    streamID: int
    kind: FrameKind
    isWanted: bool


class FramesReceived:
    """
    Consecutive frames of an accepted stream, with no other event between them.

    A plain class, like L{Frame}, for speed: there is one for each read of a socket.
    """

    __slots__ = ("frames", "streamID")

    def __init__(self, streamID: int, frames: list[Frame]) -> None:
        self.streamID = streamID
        self.frames = frames


@dataclass(frozen=True, slots=True)
class HeaderCleared:
    """
    The publisher withdraws a data header (C{@clearDataFrame}).
    """

    streamID: int
    name: str


@dataclass(frozen=True, slots=True)
class AcknowledgementDue:
    """
    It is time to call C{session.acknowledge()}, but not urgent: the peer's window is
    large. Always the first event.
    """


@dataclass(frozen=True, slots=True)
class PublishEnded:
    """
    The client no longer publishes the stream.

    @ivar reason: why, in a few words.
    @ivar isStop: whether the publisher stopped it; if not, the connection was lost or
        we ended it.
    """

    streamID: int
    reason: str
    isStop: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class PlayEnded:
    """
    The player has stopped, or its session has ended.
    """

    streamID: int
    reason: str


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """
    The session is over: send the remaining bytes and close. The last event.

    @ivar label: a short fixed word for the reason, for counters and tests.
    @ivar reason: why, as a sentence.
    """

    label: str
    reason: str


Event = (
    ConnectRequested
    | PublishRequested
    | PlayRequested
    | PauseRequested
    | MediumSelected
    | FramesReceived
    | HeaderCleared
    | AcknowledgementDue
    | PublishEnded
    | PlayEnded
    | SessionEnded
)


# The events of a client's session.


@dataclass(frozen=True, slots=True)
class StreamAccepted:
    """
    The server has accepted our publish or play.

    @ivar streamID: the message stream that the server has assigned.
    @ivar code: its code, such as C{NetStream.Publish.Start}; empty if we play and
        media arrived without one.
    @ivar description: its description.
    """

    streamID: int
    code: str
    description: str


@dataclass(frozen=True, slots=True)
class StreamRefused:
    """
    The server has rejected our connect, publish or play. A L{SessionEnded} follows.

    @ivar code: its code, such as C{NetStream.Publish.BadName}; may be empty.
    @ivar description: its description; may be empty. It may contain the stream's
        name, which may be a secret. (The reason of L{SessionEnded} does not.)
    """

    code: str
    description: str


ClientEvent = (
    StreamAccepted | StreamRefused | FramesReceived | HeaderCleared | SessionEnded
)
