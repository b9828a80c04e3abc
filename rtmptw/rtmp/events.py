"""
What a session tells: one small class for each thing that can happen.
"""

from dataclasses import dataclass, field

from rtmptw.frames import Frame, FrameKind
from rtmptw.rtmp.amf import AMFObject


@dataclass(frozen=True, slots=True)
class ConnectRequested:
    """
    The client wants to connect to an application. Answer with C{accept} or
    C{reject}; nothing more is read before.

    @ivar requestID: to name it in the answer.
    @ivar app: the application, without query, slashes at the ends and
        C{_definst_}.
    @ivar query: what followed a question mark in app or tcUrl, as it was.
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
    is read before.

    @ivar requestID: to name it in the answer.
    @ivar streamID: the message stream that its frames will carry.
    @ivar app: the application.
    @ivar stream: the stream's name, or key, without query.
    @ivar query: what followed a question mark in the name, or else in app or
        tcUrl, as it was: credentials in it are not URL-encoded.
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
    read before.

    @ivar requestID: to name it in the answer.
    @ivar streamID: the message stream to play on.
    @ivar app: the application.
    @ivar stream: the stream's name without query.
    @ivar query: as for L{PublishRequested}.
    @ivar start: as sent: seconds by the specification, ms from FFmpeg and librtmp;
        -2 and below is live or recorded, -1 and -1000 live only.
    @ivar duration: how much to play, as sent; below 0 is all.
    @ivar reset: whether the player asks to take the place of what the message stream
        plays already; it always does.
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
    The player wants to pause, or to go on. It has been answered.
    """

    streamID: int
    isPaused: bool


@dataclass(frozen=True, slots=True)
class MediumSelected:
    """
    The player wants audio, or video, or no longer (receiveAudio, receiveVideo). It
    has been answered.
    """

    streamID: int
    kind: FrameKind
    isWanted: bool


class FramesReceived:
    """
    Frames of a stream that was accepted, in order: all that came with nothing else
    between them.

    A plain class, as L{Frame} is: there is one for each read of a socket.
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
    It is time to call C{session.acknowledge()}, but nobody stops for want of it soon.
    The first event if there is one.
    """


@dataclass(frozen=True, slots=True)
class PublishEnded:
    """
    Nothing more is published.

    @ivar reason: why, as a few words.
    @ivar isStop: whether the publisher said so; if not, it was lost, or we have ended
        it.
    """

    streamID: int
    reason: str
    isStop: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class PlayEnded:
    """
    The player says that it has ended.
    """

    streamID: int
    reason: str


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """
    The conversation is over: send what is left and close. Nothing follows.

    @ivar label: a short fixed word for why, for counters and tests.
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


# What a client's session tells.


@dataclass(frozen=True, slots=True)
class StreamAccepted:
    """
    The server grants what we asked for: to publish or to play.

    @ivar streamID: the message stream it gave us.
    @ivar code: its code, such as C{NetStream.Publish.Start}; empty if a player's
        media came without one.
    @ivar description: its words.
    """

    streamID: int
    code: str
    description: str


@dataclass(frozen=True, slots=True)
class StreamRefused:
    """
    The server refuses what we asked for. A L{SessionEnded} follows.

    @ivar code: its code, such as C{NetStream.Publish.BadName}; may be empty.
    @ivar description: its words; may be empty, and may name the stream, which may be
        a secret. (The reason of L{SessionEnded} does not.)
    """

    code: str
    description: str


ClientEvent = (
    StreamAccepted | StreamRefused | FramesReceived | HeaderCleared | SessionEnded
)
