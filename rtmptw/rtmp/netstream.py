"""
The server's side of one message stream, on which a client publishes or plays.

Its state, its pending request and its end are handled only here.
"""

from dataclasses import dataclass
from typing import Final

from rtmptw.frames import FrameKind
from rtmptw.rtmp import amf0, answers
from rtmptw.rtmp.amf import AMFObject, Value
from rtmptw.rtmp.conversation import CONTROL, Conversation
from rtmptw.rtmp.events import (
    Event,
    MediumSelected,
    PauseRequested,
    PlayEnded,
    PlayRequested,
    PublishEnded,
    PublishRequested,
)
from rtmptw.rtmp.message import MessageType, UserControl, UserControlEvent
from rtmptw.rtmp.states import STREAM_TRANSITIONS, Step, StreamState, advance

#: Chunk stream for status messages (nginx-rtmp uses the same number).
_STATUS: Final = 5

_PUBLISHED: Final = "NetStream.Publish.Start"
_UNPUBLISHED: Final = "NetStream.Unpublish.Success"

#: Seconds from the status messages at the end to StreamEOF: GStreamer's rtmp2src stops
#: at StreamEOF immediately, and loses a frame that it has not yet passed on. All other
#: players stop at the status messages.
EOF_AFTER = 0.5


@dataclass(frozen=True, slots=True)
class Request:
    """
    A request that waits for its answer.

    @ivar since: when it was received.
    """

    requestID: int
    transactionID: float
    since: float


class NetStream:
    """
    One message stream: its state machine, and its messages to the client.

    @ivar state: what it expects next.
    @ivar name: of the stream that is, or was last, published or played.
    @ivar request: the request that waits for its answer.
    @ivar eofDue: when to send StreamEOF; C{None} for never.
    @ivar hasMetadata: whether the client has set metadata with C{@setDataFrame}.
    """

    __slots__ = (
        "_conversation",
        "_isFMLE",
        "_isReset",
        "eofDue",
        "hasMetadata",
        "name",
        "request",
        "state",
        "streamID",
    )

    def __init__(self, conversation: Conversation[Event], streamID: int) -> None:
        self._conversation = conversation
        self.streamID = streamID
        self.state = StreamState.COMMAND
        self.name = ""
        self._isReset = False
        self._isFMLE = False
        self.hasMetadata = False
        self.request: Request | None = None
        self.eofDue: float | None = None

    @property
    def isIdle(self) -> bool:
        """
        Whether nothing is published or played here, and nothing is left to send.
        """
        return self.state is StreamState.COMMAND and self.eofDue is None

    @property
    def isPublished(self) -> bool:
        """
        Whether the client publishes here.
        """
        return self.state is StreamState.MEDIA

    @property
    def isPlayed(self) -> bool:
        """
        Whether the client plays here.
        """
        return self.state is StreamState.PLAYER_COMMANDS

    # Requests and their answers.

    def publish(self, request: Request, name: str, isFMLE: bool) -> None:
        """
        Begin a publish request. L{publishRequested} or L{refuse} must follow.

        @param isFMLE: whether the client has sent FCPublish, and expects onFCPublish.
        """
        self._step(Step.PUBLISH)
        self._isFMLE = isFMLE
        self.hasMetadata = False
        self.name = name
        self.request = request

    def publishRequested(self, app: str, query: str, encoder: str) -> None:
        """
        Ask for a decision on the publish request.
        """
        request = self.request
        assert request is not None
        self._tell(
            PublishRequested(
                request.requestID, self.streamID, app, self.name, query, encoder
            )
        )

    def play(self, request: Request, name: str, reset: bool) -> None:
        """
        Begin a play request. It replaces what the client already plays here.
        L{playRequested} or L{refuse} must follow.
        """
        if self.isPlayed:
            self._tell(PlayEnded(self.streamID, "replaced by another play"))
        self.eofDue = None
        self._step(Step.PLAY)
        self.name = name
        self._isReset = reset
        self.request = request

    def playRequested(
        self, app: str, query: str, start: float, duration: float
    ) -> None:
        """
        Ask for a decision on the play request.
        """
        request = self.request
        assert request is not None
        self._tell(
            PlayRequested(
                request.requestID,
                self.streamID,
                app,
                self.name,
                query,
                start,
                duration,
                self._isReset,
            )
        )

    def accept(self) -> None:
        """
        Accept the request.
        """
        self.request = None
        self._step(Step.ACCEPT)
        if self.isPlayed:
            self._startPlay()
        else:
            if self._isFMLE:
                self._notify("onFCPublish", _PUBLISHED, f"Publishing {self.name}.")
            self.publishStarted(self.name)

    def publishStarted(self, name: str) -> None:
        """
        Tell the client that its publish has started.
        """
        self._status(_PUBLISHED, f"Publishing {name}.")

    def refuse(self, code: str, description: str) -> None:
        """
        Reject the request.
        """
        self.request = None
        self._step(Step.REJECT)
        self.deny(code, description)

    def deny(self, code: str, description: str) -> None:
        """
        Send an error status.
        """
        self._status(code, description, "error")

    def mayTake(self, step: Step) -> None:
        """
        Check a step without taking it.

        @raise OutOfOrder: if the step is not allowed now.
        """
        advance(STREAM_TRANSITIONS, self.state, step)

    # Endings.

    def stop(self, reason: str) -> None:
        """
        The client stops publishing or playing.
        """
        before = self.state
        self._step(Step.STOP)
        if before is StreamState.MEDIA:
            self._tell(PublishEnded(self.streamID, reason, isStop=True))
            description = f"{self.name} is no longer published."
            if self._isFMLE:
                self._notify("onFCUnpublish", _UNPUBLISHED, description)
            self._status(_UNPUBLISHED, description)
        elif before is StreamState.PLAYER_COMMANDS:
            self._tell(PlayEnded(self.streamID, reason))

    def endPlay(self, now: float) -> None:
        """
        Tell the player that the stream has ended. L{sayEOF} is due later.
        """
        self._step(Step.STOP)
        # FFmpeg and librtmp stop at either.
        self._status("NetStream.Play.Stop", f"Stopped playing {self.name}.")
        self._status(
            "NetStream.Play.UnpublishNotify", f"{self.name} is no longer published."
        )
        self.eofDue = now + EOF_AFTER

    def sayEOF(self) -> None:
        """
        Send the StreamEOF that is due.
        """
        self.eofDue = None
        self._control(UserControlEvent.STREAM_EOF)

    # A player's commands. They have no effect while nothing is played.

    def pause(self, isPaused: bool) -> None:
        """
        Handle pause: stop sending, or resume.
        """
        if not self.isPlayed:
            return
        self._tell(PauseRequested(self.streamID, isPaused))
        if isPaused:
            self._status("NetStream.Pause.Notify", f"Paused {self.name}.")
        else:
            self._control(UserControlEvent.STREAM_BEGIN)
            self._status("NetStream.Unpause.Notify", f"Unpaused {self.name}.")

    def select(self, kind: FrameKind, isWanted: bool) -> None:
        """
        Turn audio or video on or off. Only "on" is answered (RTMP 1.0, 7.2.2.4 and
        7.2.2.5).
        """
        if not self.isPlayed:
            return
        self._tell(MediumSelected(self.streamID, kind, isWanted))
        if isWanted:
            self.seek()
            self._playStarted()

    def seek(self) -> None:
        """
        Answer a seek. A live stream has only one position: now.
        """
        if self.isPlayed:
            self._status(
                "NetStream.Seek.Notify", f"{self.name} is live and continues from now."
            )

    # Outgoing.

    def _startPlay(self) -> None:
        """
        Tell the player that play starts, with all messages that any known player
        waits for.
        """
        self._control(UserControlEvent.STREAM_BEGIN)
        if self._isReset:
            self._status("NetStream.Play.Reset", f"Playing and resetting {self.name}.")
        self._playStarted()
        # Allows Flash players to read samples; SRS and nginx-rtmp send it too.
        self._data("|RtmpSampleAccess", True, True)
        self._data("onStatus", AMFObject([("code", "NetStream.Data.Start")]))

    def _playStarted(self) -> None:
        self._status("NetStream.Play.Start", f"Playing {self.name}.")

    def _step(self, step: Step) -> None:
        self.state = advance(STREAM_TRANSITIONS, self.state, step)

    def _tell(self, event: Event) -> None:
        self._conversation.events.append(event)

    def _notify(self, command: str, code: str, description: str) -> None:
        """
        Send onFCPublish or onFCUnpublish, which Flash Media Live Encoder expects
        before the status.
        """
        kind, payload = answers.notice(command, code, description).encode()
        self._conversation.say(_STATUS, kind, self.streamID, payload)

    def _status(self, code: str, description: str, level: str = "status") -> None:
        """
        Send onStatus on the message stream it is about: GStreamer ignores it on any
        other.
        """
        kind, payload = answers.status(code, description, level).encode()
        self._conversation.say(_STATUS, kind, self.streamID, payload)

    def _data(self, *values: Value) -> None:
        self._conversation.say(
            _STATUS, MessageType.DATA_AMF0, self.streamID, amf0.encode(*values)
        )

    def _control(self, event: UserControlEvent) -> None:
        kind, payload = UserControl(event, self.streamID).encode()
        self._conversation.say(CONTROL, kind, 0, payload)
