"""
The server's side of a conversation, without sockets: bytes in, events out, and
bytes to send back::

    session = ServerSession(now, os.urandom)
    for event in session.receive(data, now):
        ...                                  # FramesReceived, PublishRequested, ...
    transport.write(session.dataToSend())

Time is an argument: C{now} is a monotonic clock in seconds.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from rtmptw.errors import LocalProtocolError, RemoteProtocolError
from rtmptw.flv.body import dataMessage, frameFromMessage, frameFromSpan
from rtmptw.frames import Frame, FrameKind, Span
from rtmptw.rtmp import amf0
from rtmptw.rtmp.amf import UNDEFINED, AMFObject, Value
from rtmptw.rtmp.chunkreader import ChunkReader
from rtmptw.rtmp.chunks import AUDIO, VIDEO, Limits
from rtmptw.rtmp.conversation import CAN_FORWARD, CAPABILITIES, Speaker
from rtmptw.rtmp.events import (
    ConnectRequested,
    Event,
    FramesReceived,
    HeaderCleared,
    MediumSelected,
    PauseRequested,
    PlayEnded,
    PlayRequested,
    PublishEnded,
    PublishRequested,
    SessionEnded,
)
from rtmptw.rtmp.handshake import Expect, ServerHandshake
from rtmptw.rtmp.message import (
    Acknowledgement,
    Command,
    Message,
    MessageType,
    SetChunkSize,
    SetPeerBandwidth,
    UserControl,
    UserControlEvent,
    WindowAcknowledgementSize,
    expandAggregate,
    parse,
)
from rtmptw.rtmp.names import (
    MAX_NAME,
    printable,
    splitApplication,
    splitStream,
)
from rtmptw.rtmp.states import (
    STREAM_TRANSITIONS,
    TRANSITIONS,
    Conversation,
    NetStream,
    OutOfOrder,
    Step,
    advance,
)

# To look a member up in its class costs more than to compare it.
_AUDIO: Final = FrameKind.AUDIO
_VIDEO: Final = FrameKind.VIDEO
_NOTHING: Final = Conversation.NOTHING

#: Where status messages go (nginx-rtmp has the same number).
_STATUS = 5

#: A player that has sent nothing for so many seconds is asked for a sign of life, and
#: given up after so many more (nginx-rtmp has the same numbers).
PING_AFTER = 60.0
PING_PATIENCE = 30.0

#: StreamEOF follows the last frame after so many seconds: GStreamer's rtmp2src ends at
#: it at once, and loses the frame that it has not taken over yet. All others end at
#: the statuses, which come first.
EOF_AFTER = 0.5

#: Message streams on one connection. Everybody uses one.
MAX_STREAMS = 16


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """
    How a server behaves towards its clients.

    @ivar chunkSize: ours, in bytes. FFmpeg takes it over for what it sends, which
        makes it cheap to read; 60000 is what SRS uses.
    @ivar window: acknowledge at least each so many bytes, asked or not: Wirecast
        and FMLE stall otherwise. Also what we ask of the peer.
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


class _Stream:
    """
    One message stream.
    """

    __slots__ = ("name", "reset", "state")

    def __init__(self) -> None:
        self.state = NetStream.COMMAND
        self.name = ""
        self.reset = False


@dataclass(frozen=True, slots=True)
class _Request:
    """
    A request that waits for its answer.

    @ivar streamID: 0 for connect.
    """

    requestID: int
    streamID: int
    transactionID: float
    since: float


class ServerSession(Speaker):
    """
    One client's conversation.

    @ivar bytesReceived: from the peer in all.
    @ivar strayMessages: media for no stream that was accepted.
    @ivar lastReceived: when the peer last sent a byte.
    @ivar goesOn: whether a request was granted with L{grant} and L{goOn} must follow.
    """

    def __init__(
        self,
        now: float,
        randomBytes: Callable[[int], bytes],
        settings: ServerSettings | None = None,
    ) -> None:
        super().__init__()
        self._settings = settings or ServerSettings()
        self._state = Conversation.HANDSHAKE
        self._handshake: ServerHandshake | None = ServerHandshake(
            int(now * 1000), randomBytes
        )
        self._reader = ChunkReader(self, self._settings.limits)
        self._events: list[Event] = []
        self._now = now
        self._waitingSince = now
        self.lastReceived = now
        self._reading = True
        self.bytesReceived = 0
        self._acknowledged = 0
        self._window = self._settings.window
        self._app = ""
        self._query = ""
        self._encoder = ""
        self._properties = AMFObject([])
        self._streams: dict[int, _Stream] = {}
        self._pingedAt: float | None = None
        # When to send StreamEOF, by message stream.
        self._endings: dict[int, float] = {}
        self._publishing: set[int] = set()
        self._playing: set[int] = set()
        self._request: _Request | None = None
        self.goesOn = False
        self._nextRequest = 1
        self.strayMessages = 0

    # Bytes and time.

    @property
    def state(self) -> Conversation:
        """
        The connection's state.
        """
        return self._state

    @property
    def isWithin(self) -> bool:
        """
        Whether a message has begun and is not whole yet.
        """
        return self._reader.isWithin

    def receive(self, data: bytes, now: float) -> list[Event]:
        """
        Take bytes from the peer, cut anywhere.

        @return: what they say, in order. A request is always the last event: the
            rest waits for its answer. What the peer does wrong is a
            L{SessionEnded}, after all that was right.
        """
        self._now = now
        self.lastReceived = now
        self._pingedAt = None
        self.bytesReceived += len(data)
        if self._state is _NOTHING:
            return []
        try:
            if self._handshake is not None:
                self._shakeHands(self._handshake, data)
            else:
                self._reader.receive(data)
        except RemoteProtocolError as fault:
            self._end(fault.label, str(fault))
        except OutOfOrder as disorder:
            self._end("out-of-order", str(disorder))
        if self.bytesReceived - self._acknowledged >= self._window:
            self._acknowledge()
        return self._takeEvents()

    def deadline(self) -> float | None:
        """
        @return: when L{checkTime} wants to be called, unless bytes come before;
            C{None} for never.
        """
        deadline = self._patienceEnds()
        endings = self._endings.values()
        if deadline is None:
            return min(endings, default=None)
        return min([deadline, *endings])

    def _patienceEnds(self) -> float | None:
        """
        @return: when we have waited too long for the peer; C{None} for never.
        """
        settings = self._settings
        if self._state is Conversation.NOTHING:
            return None
        if self._request is not None:
            return self._request.since + settings.requestTimeout
        if self._state is Conversation.HANDSHAKE:
            return self._waitingSince + settings.handshakeTimeout
        if self._publishing:
            # Received bytes are the only sign of life: OBS answers no pings.
            if not self._reading:
                return None
            return self.lastReceived + settings.silenceTimeout
        if self._playing:
            if not self._reading:
                return None
            if self._pingedAt is not None:
                return self._pingedAt + PING_PATIENCE
            return self.lastReceived + PING_AFTER
        return self._waitingSince + settings.requestTimeout

    def checkTime(self, now: float) -> list[Event]:
        """
        End the session if it has waited too long.
        """
        self._now = now
        for streamID, due in list(self._endings.items()):
            if now >= due:
                self._endStream(streamID)
        deadline = self._patienceEnds()
        if deadline is None or now < deadline:
            return []
        settings = self._settings
        if self._request is not None:
            return self.reject(
                self._request.requestID,
                "NetConnection.Connect.Rejected"
                if self._request.streamID == 0
                else "NetStream.Publish.Denied"
                if self._streams[self._request.streamID].state
                is NetStream.PUBLISH_ANSWER
                else "NetStream.Play.Failed",
                f"no decision within {settings.requestTimeout:g} s",
                now,
            )
        if self._state is Conversation.HANDSHAKE:
            self._end(
                "handshake-timeout",
                f"handshake not finished in {settings.handshakeTimeout:g} s",
            )
        elif self._publishing:
            self._end(
                "silent",
                f"the publisher sent nothing for {settings.silenceTimeout:g} s",
            )
        elif self._playing:
            if self._pingedAt is None:
                self._pingedAt = now
                milliseconds = int(now * 1000) & 0xFFFFFFFF
                self._control(UserControl(UserControlEvent.PING_REQUEST, milliseconds))
            else:
                silence = PING_AFTER + PING_PATIENCE
                self._end("silent", f"the player sent nothing for {silence:g} s")
        else:
            self._end(
                "request-timeout",
                f"no publish or play within {settings.requestTimeout:g} s",
            )
        return self._takeEvents()

    def readingPaused(self) -> None:
        """
        We do not read from the peer for now: its silence says nothing.
        """
        self._reading = False

    def readingResumed(self, now: float) -> None:
        """
        We read again.
        """
        self._reading = True
        self.lastReceived = now

    def silentFor(self, now: float) -> float:
        """
        @return: the seconds since the peer's last byte; 0 while we do not read.
        """
        return now - self.lastReceived if self._reading else 0.0

    def close(self, reason: str, now: float) -> list[Event]:
        """
        End the session for a reason of ours.
        """
        self._now = now
        if self._state is not Conversation.NOTHING:
            self._end("closed", reason)
        return self._takeEvents()

    def connectionLost(self) -> None:
        """
        The connection is gone. Whoever lets go of the session, too, frees all that it
        holds, without the garbage collector.
        """
        if self._state is not Conversation.NOTHING:
            self._end("lost", "the connection is gone")
        self._events = []
        self._unsay()

    # Answers.

    def accept(self, requestID: int, now: float) -> list[Event]:
        """
        Grant a request.

        @return: what the peer had sent after it, as L{receive}.

        @raise LocalProtocolError: if no such request waits.
        """
        self.grant(requestID, now)
        return self.goOn(now)

    def grant(self, requestID: int, now: float) -> None:
        """
        Grant a request, and leave what the peer had sent after it to L{goOn}. For who
        answers while events are still being looked at: many requests can come in one
        read, and each answer would be one more call within the last.

        @raise LocalProtocolError: if no such request waits.
        """
        request = self._takeRequest(requestID)
        self._now = now
        self._waitingSince = now
        self.lastReceived = now
        self.goesOn = True
        if request.streamID == 0:
            self._state = advance(TRANSITIONS, self._state, Step.ACCEPT)
            self._connected(request)
        else:
            stream = self._streams[request.streamID]
            playing = stream.state is NetStream.PLAY_ANSWER
            stream.state = advance(STREAM_TRANSITIONS, stream.state, Step.ACCEPT)
            if playing:
                self._playing.add(request.streamID)
                self._startPlay(request.streamID, stream)
            else:
                self._publishing.add(request.streamID)
                self._status(
                    request.streamID,
                    "status",
                    "NetStream.Publish.Start",
                    f"Publishing {stream.name}.",
                )

    def goOn(self, now: float) -> list[Event]:
        """
        Go on after L{grant}.

        @return: what the peer had sent after the request, as L{receive}.
        """
        self._now = now
        if self.goesOn:
            self.goesOn = False
            try:
                self._reader.release()
            except RemoteProtocolError as fault:
                self._end(fault.label, str(fault))
            except OutOfOrder as disorder:
                self._end("out-of-order", str(disorder))
        return self._takeEvents()

    def reject(
        self, requestID: int, code: str, description: str, now: float
    ) -> list[Event]:
        """
        Refuse a request, and end the session: OBS waits for the close.

        @param code: C{NetConnection.Connect.Rejected},
            C{NetStream.Publish.BadName}, C{NetStream.Publish.Denied},
            C{NetStream.Play.StreamNotFound} or C{NetStream.Play.Failed}; OBS waits
            on if it meets a code that it does not know.
        @param description: what the client's user reads; FFmpeg hangs without it.

        @raise LocalProtocolError: if no such request waits.
        """
        request = self._takeRequest(requestID)
        self._now = now
        self._refuse(request, code, description)
        return self._takeEvents()

    def _refuse(self, request: _Request, code: str, description: str) -> None:
        if request.streamID == 0:
            self._command(
                "_error",
                request.transactionID,
                None,
                _information("error", code, description),
            )
        else:
            stream = self._streams[request.streamID]
            stream.state = advance(STREAM_TRANSITIONS, stream.state, Step.REJECT)
            self._status(request.streamID, "error", code, description)
        self._request = None
        self._end("rejected", f"{code}: {description}")

    def _takeRequest(self, requestID: int) -> _Request:
        request = self._request
        if request is None or request.requestID != requestID:
            raise LocalProtocolError(f"no request {requestID} waits for an answer")
        self._request = None
        return request

    def endPlay(self, streamID: int, now: float) -> None:
        """
        Tell a player that its stream has ended. It may play another.

        @raise LocalProtocolError: if nothing is played there.
        """
        if streamID not in self._playing:
            raise LocalProtocolError(f"nothing is played on message stream {streamID}")
        self._playing.remove(streamID)
        stream = self._streams[streamID]
        stream.state = advance(STREAM_TRANSITIONS, stream.state, Step.STOP)
        self._waitingSince = now
        # FFmpeg ends at either, librtmp too.
        for code, what in (
            ("NetStream.Play.Stop", "Stopped playing"),
            ("NetStream.Play.UnpublishNotify", "Nobody publishes"),
        ):
            self._status(streamID, "status", code, f"{what} {stream.name}.")
        self._endings[streamID] = now + EOF_AFTER

    def _endStream(self, streamID: int) -> None:
        del self._endings[streamID]
        self._control(UserControl(UserControlEvent.STREAM_EOF, streamID))

    def _startPlay(self, streamID: int, stream: _Stream) -> None:
        """
        Say that a play begins: all that any player we know waits for.
        """
        self._control(UserControl(UserControlEvent.STREAM_BEGIN, streamID))
        if stream.reset:
            self._status(
                streamID,
                "status",
                "NetStream.Play.Reset",
                f"Playing and resetting {stream.name}.",
            )
        self._playStarted(streamID, stream)
        # Flash players may look at samples; SRS and nginx-rtmp say so too.
        self._data(streamID, "|RtmpSampleAccess", True, True)
        self._data(streamID, "onStatus", AMFObject([("code", "NetStream.Data.Start")]))

    def _playStarted(self, streamID: int, stream: _Stream) -> None:
        self._status(
            streamID, "status", "NetStream.Play.Start", f"Playing {stream.name}."
        )

    # What comes in.

    def _shakeHands(self, handshake: ServerHandshake, data: bytes) -> None:
        answer = handshake.receive(data)
        if answer:
            self._say(answer)
        if handshake.expecting is Expect.CHUNKS:
            self._state = advance(TRANSITIONS, self._state, Step.HANDSHAKE_DONE)
            self._waitingSince = self._now
            self._handshake = None
            self._reader.receive(handshake.remainder)

    def messageReceived(
        self,
        messageType: int,
        timestamp: int,
        streamID: int,
        payload: bytes,
        chunkStreamID: int,
    ) -> None:
        """
        The chunk reader has a whole message.
        """
        if messageType in (VIDEO, AUDIO):
            self._frameReceived(
                streamID,
                frameFromMessage(
                    _VIDEO if messageType == VIDEO else _AUDIO, timestamp, payload
                ),
            )
        elif (
            messageType == MessageType.DATA_AMF0 or messageType == MessageType.DATA_AMF3
        ):
            self._dataReceived(messageType, timestamp, streamID, payload)
        elif messageType == MessageType.AGGREGATE:
            for kind, time, part in expandAggregate(timestamp, payload):
                if kind in _FRAMES:
                    self.messageReceived(kind, time, streamID, part, chunkStreamID)
        else:
            message = parse(messageType, payload)
            if message is not None:
                react = _REACTIONS.get(type(message))
                if react is not None:
                    react(self, message, streamID)

    def spanReceived(
        self,
        messageType: int,
        timestamp: int,
        streamID: int,
        span: Span,
        chunkStreamID: int,
    ) -> None:
        """
        The chunk reader has a whole message, of audio or video.
        """
        self._frameReceived(
            streamID,
            frameFromSpan(_VIDEO if messageType == VIDEO else _AUDIO, timestamp, span),
        )

    def _frameReceived(self, streamID: int, frame: Frame) -> None:
        events = self._events
        if events:
            last = events[-1]
            if isinstance(last, FramesReceived) and last.streamID == streamID:
                last.frames.append(frame)
                return
        if streamID not in self._publishing:
            streamID = self._publisherFor(streamID)
        if streamID:
            events.append(FramesReceived(streamID, [frame]))

    def _publisherFor(self, streamID: int) -> int:
        """
        @return: the stream that media without a stream of its own belongs to: the
            only one there is (some encoders send data on stream 0); 0 for none.
        """
        if len(self._publishing) == 1:
            return next(iter(self._publishing))
        self.strayMessages += 1
        return 0

    def _dataReceived(
        self, messageType: int, timestamp: int, streamID: int, payload: bytes
    ) -> None:
        if messageType == MessageType.DATA_AMF3 and payload[:1] == b"\0":
            # The format selector in front of AMF0 (Enhanced RTMP v2).
            payload = payload[1:]
        verb, payload = dataMessage(payload)
        frame = frameFromMessage(FrameKind.DATA, timestamp, payload)
        if verb != "@clearDataFrame":
            self._frameReceived(streamID, frame)
            return
        if streamID not in self._publishing:
            streamID = self._publisherFor(streamID)
        if streamID:
            self._events.append(HeaderCleared(streamID, frame.name))

    def _windowReceived(self, message: Message, streamID: int) -> None:
        assert isinstance(message, WindowAcknowledgementSize)
        # Never less often than we would unasked; 0 says nothing.
        if message.size:
            self._window = min(message.size, self._settings.window)

    def _userControlReceived(self, message: Message, streamID: int) -> None:
        assert isinstance(message, UserControl)
        if message.event == UserControlEvent.PING_REQUEST:
            self._control(UserControl(UserControlEvent.PING_RESPONSE, message.value))

    def _commandReceived(self, message: Message, streamID: int) -> None:
        assert isinstance(message, Command)
        react = _COMMAND_REACTIONS.get(message.name)
        if react is not None:
            react(self, message, streamID)
        elif message.transactionID and not message.name.startswith("_"):
            self._command(
                "_error",
                message.transactionID,
                None,
                _information(
                    "error",
                    "NetConnection.Call.Failed",
                    f"There is no command {printable(message.name[:64])} here.",
                ),
            )

    def _connect(self, command: Command, streamID: int) -> None:
        self._state = advance(TRANSITIONS, self._state, Step.CONNECT)
        properties = command.values[0] if command.values else None
        if not isinstance(properties, AMFObject):
            raise RemoteProtocolError("bad-command", "connect without its object")
        self._app, self._query = splitApplication(
            _text(properties, "app"), _text(properties, "tcUrl")
        )
        self._encoder = printable(_text(properties, "flashVer")[:200])
        self._properties = properties
        request = self._ask(0, command)
        if len(self._app) > MAX_NAME:
            self._refuse(
                request,
                "NetConnection.Connect.Rejected",
                f"The application's name has {len(self._app)} characters, "
                f"at most {MAX_NAME}.",
            )
            return
        self._events.append(
            ConnectRequested(
                request.requestID, self._app, self._query, self._encoder, properties
            )
        )

    def _connected(self, request: _Request) -> None:
        """
        Answer connect. Set Chunk Size comes before the result, not later: OBS
        reads nothing properly any more once it streams.
        """
        window = self._settings.window
        self._control(WindowAcknowledgementSize(window))
        self._control(SetPeerBandwidth(window))
        self._control(SetChunkSize(self._settings.chunkSize))
        self._control(UserControl(UserControlEvent.STREAM_BEGIN, 0))
        information = _information(
            "status", "NetConnection.Connect.Success", "Connection succeeded."
        )
        information.properties.append(("objectEncoding", 0.0))
        if any(
            self._properties.get(name) is not None
            for name in ("fourCcList", "capsEx", "videoFourCcInfoMap")
        ):
            any4 = AMFObject([("*", CAN_FORWARD)])
            information.properties += [
                ("fourCcList", ["*"]),
                ("videoFourCcInfoMap", any4),
                ("audioFourCcInfoMap", any4),
                ("capsEx", CAPABILITIES),
            ]
        self._command(
            "_result",
            request.transactionID,
            AMFObject([("fmsVer", "FMS/3,0,1,123"), ("capabilities", 31.0)]),
            information,
        )

    def _createStream(self, command: Command, streamID: int) -> None:
        self._state = advance(TRANSITIONS, self._state, Step.CREATE_STREAM)
        # The lowest free one: gortmplib goes on only if the first is 1.
        created = next(n for n in range(1, MAX_STREAMS + 2) if n not in self._streams)
        if created > MAX_STREAMS:
            raise RemoteProtocolError(
                "too-many-streams",
                f"{created} message streams on one connection, at most {MAX_STREAMS}",
            )
        self._streams[created] = _Stream()
        self._command("_result", command.transactionID, None, float(created))

    def _publish(self, command: Command, streamID: int) -> None:
        self._state = advance(TRANSITIONS, self._state, Step.PUBLISH)
        stream = self._streamNamed(streamID)
        stream.state = advance(STREAM_TRANSITIONS, stream.state, Step.PUBLISH)
        name, query = self._nameIn(command)
        stream.name = name
        request = self._ask(streamID, command)
        if not (name or self._app):
            self._refuse(
                request,
                "NetStream.Publish.BadName",
                "The URL names neither an application nor a stream.",
            )
        elif len(name) > MAX_NAME:
            self._refuse(
                request,
                "NetStream.Publish.BadName",
                f"The stream's name has {len(name)} characters, at most {MAX_NAME}.",
            )
        else:
            self._events.append(
                PublishRequested(
                    request.requestID, streamID, self._app, name, query, self._encoder
                )
            )

    def _play(self, command: Command, streamID: int) -> None:
        name, query = self._nameIn(command)
        reset = command.argument(3)
        self._askToPlay(
            command,
            streamID,
            name,
            query,
            start=_number(command.argument(1), -2.0),
            duration=_number(command.argument(2), -1.0),
            # As a number: 1 and 3 reset, 0 and 2 do not (Flash).
            reset=reset in (True, 1.0, 3.0),
        )

    def _play2(self, command: Command, streamID: int) -> None:
        """
        A change to another stream, of another bit rate for example. What the
        parameters say beyond the name is for recordings.
        """
        parameters = command.argument(0)
        if not isinstance(parameters, AMFObject):
            raise RemoteProtocolError("bad-command", "play2 without its object")
        name, query = splitStream(_text(parameters, "streamName"))
        self._askToPlay(
            command,
            streamID,
            name,
            query or self._query,
            start=_number(parameters.get("start"), -2.0),
            duration=_number(parameters.get("len"), -1.0),
            reset=True,
        )

    def _askToPlay(
        self,
        command: Command,
        streamID: int,
        name: str,
        query: str,
        start: float,
        duration: float,
        reset: bool,
    ) -> None:
        self._state = advance(TRANSITIONS, self._state, Step.PLAY)
        stream = self._streamNamed(streamID)
        if stream.state is NetStream.PLAYER_COMMANDS:
            self._playing.discard(streamID)
            self._events.append(PlayEnded(streamID, "another play took its place"))
        self._endings.pop(streamID, None)
        stream.state = advance(STREAM_TRANSITIONS, stream.state, Step.PLAY)
        stream.name = name
        stream.reset = reset
        request = self._ask(streamID, command)
        if len(name) > MAX_NAME or not (name or self._app):
            self._refuse(
                request,
                "NetStream.Play.StreamNotFound",
                f"The stream's name has {len(name)} characters, 1 to {MAX_NAME} are "
                "allowed.",
            )
            return
        self._events.append(
            PlayRequested(
                request.requestID,
                streamID,
                self._app,
                name,
                query,
                start,
                duration,
                reset,
            )
        )

    def _pause(self, command: Command, streamID: int) -> None:
        isPaused = command.argument(0) is True
        if streamID not in self._playing:
            return
        stream = self._streams[streamID]
        self._events.append(PauseRequested(streamID, isPaused))
        if isPaused:
            self._status(
                streamID, "status", "NetStream.Pause.Notify", f"Paused {stream.name}."
            )
        else:
            self._control(UserControl(UserControlEvent.STREAM_BEGIN, streamID))
            self._status(
                streamID,
                "status",
                "NetStream.Unpause.Notify",
                f"Unpaused {stream.name}.",
            )

    def _receiveAudio(self, command: Command, streamID: int) -> None:
        self._select(command, streamID, FrameKind.AUDIO)

    def _receiveVideo(self, command: Command, streamID: int) -> None:
        self._select(command, streamID, FrameKind.VIDEO)

    def _select(self, command: Command, streamID: int, kind: FrameKind) -> None:
        """
        RTMP 1.0, 7.2.2.4 and 7.2.2.5: "off" is not answered, "on" is.
        """
        if streamID not in self._playing:
            return
        isWanted = command.argument(0) is not False
        self._events.append(MediumSelected(streamID, kind, isWanted))
        if isWanted:
            stream = self._streams[streamID]
            self._sought(streamID, stream)
            self._playStarted(streamID, stream)

    def _seek(self, command: Command, streamID: int) -> None:
        """
        A live stream has one position: the player is told that it is there.
        """
        if streamID in self._playing:
            self._sought(streamID, self._streams[streamID])

    def _sought(self, streamID: int, stream: _Stream) -> None:
        self._status(
            streamID,
            "status",
            "NetStream.Seek.Notify",
            f"{stream.name} is live and goes on from now.",
        )

    def _nameIn(self, command: Command) -> tuple[str, str]:
        name = command.argument(0)
        name, query = splitStream(name if isinstance(name, str) else "")
        return name, query or self._query

    def _streamNamed(self, streamID: int) -> _Stream:
        stream = self._streams.get(streamID)
        if stream is None:
            raise RemoteProtocolError(
                "no-such-stream",
                f"message stream {streamID} was not made by createStream",
            )
        return stream

    def _ask(self, streamID: int, command: Command) -> _Request:
        """
        Wait for a decision: nothing more is delivered before.
        """
        self._request = _Request(
            self._nextRequest, streamID, command.transactionID, self._now
        )
        self._nextRequest += 1
        self._reader.hold()
        return self._request

    def _unpublishByName(self, command: Command, streamID: int) -> None:
        """
        FCUnpublish: names the stream, and comes on message stream 0.
        """
        name = command.argument(0)
        wanted = splitStream(name)[0] if isinstance(name, str) else ""
        for candidate in sorted(self._publishing):
            if len(self._publishing) == 1 or self._streams[candidate].name == wanted:
                self._stop(candidate, "unpublished")
                break
        self._answerPolitely(command, streamID)

    def _closeStream(self, command: Command, streamID: int) -> None:
        if streamID in self._streams:
            self._stop(streamID, "stream closed")

    def _deleteStream(self, command: Command, streamID: int) -> None:
        wanted = command.argument(0)
        if isinstance(wanted, float) and wanted == wanted and abs(wanted) < 2**32:
            deleted = int(wanted)
        else:
            # GStreamer names the stream.
            deleted = streamID or next(iter(self._streams), 0)
        if deleted in self._streams:
            self._stop(deleted, "stream deleted")
            self._endings.pop(deleted, None)
            del self._streams[deleted]

    def _stop(self, streamID: int, reason: str) -> None:
        stream = self._streams[streamID]
        stream.state = advance(STREAM_TRANSITIONS, stream.state, Step.STOP)
        self._waitingSince = self._now
        if streamID in self._publishing:
            self._publishing.remove(streamID)
            self._events.append(PublishEnded(streamID, reason))
            self._status(
                streamID,
                "status",
                "NetStream.Unpublish.Success",
                f"{stream.name} is no longer published.",
            )
        elif streamID in self._playing:
            self._playing.remove(streamID)
            self._events.append(PlayEnded(streamID, reason))

    def _answerPolitely(self, command: Command, streamID: int) -> None:
        """
        releaseStream, FCPublish and their like: nobody needs an answer.
        """
        if command.transactionID:
            self._command("_result", command.transactionID, None, UNDEFINED)

    def _answerLength(self, command: Command, streamID: int) -> None:
        """
        getStreamLength: a live stream has none.
        """
        if command.transactionID:
            self._command("_result", command.transactionID, None, 0.0)

    def _ignore(self, command: Command, streamID: int) -> None:
        """
        Nothing to do, and nothing to complain about.
        """

    # What goes out.

    def _acknowledge(self) -> None:
        self._acknowledged = self.bytesReceived
        # Before connect is answered nobody expects one.
        if self._state is Conversation.COMMANDS:
            self._control(Acknowledgement(self.bytesReceived))

    def _status(self, streamID: int, level: str, code: str, description: str) -> None:
        """
        Send onStatus on the message stream it is about: GStreamer looks nowhere
        else.
        """
        messageType, payload = Command(
            "onStatus", 0.0, (None, _information(level, code, description))
        ).encode()
        self._say(self._writer.write(_STATUS, messageType, 0, streamID, payload))

    def _data(self, streamID: int, *values: Value) -> None:
        self._say(
            self._writer.write(
                _STATUS, MessageType.DATA_AMF0, 0, streamID, amf0.encode(*values)
            )
        )

    def _end(self, label: str, reason: str) -> None:
        for streamID in sorted(self._publishing):
            self._events.append(PublishEnded(streamID, reason))
        for streamID in sorted(self._playing):
            self._events.append(PlayEnded(streamID, reason))
        for streamID in sorted(self._endings):
            self._endStream(streamID)
        self._publishing.clear()
        self._playing.clear()
        self._request = None
        self.goesOn = False
        self._state = advance(TRANSITIONS, self._state, Step.CLOSE)
        self._handshake = None
        self._reader.giveUp()
        self._events.append(SessionEnded(label, reason))

    def _takeEvents(self) -> list[Event]:
        events = self._events
        self._events = []
        return events


def _information(level: str, code: str, description: str) -> AMFObject:
    """
    The information object of a status: an object, never an ECMA array (FFmpeg does
    not look into those), and always with a description.
    """
    return AMFObject([("level", level), ("code", code), ("description", description)])


def _text(properties: AMFObject, name: str) -> str:
    """
    @return: a string property; empty if it is missing. Encoders differ in the case
        of the names.
    """
    value = properties.get(name)
    if value is None:
        for key, other in properties:
            if key.lower() == name.lower():
                value = other
    return value if isinstance(value, str) else ""


def _number(value: Value, default: float) -> float:
    return value if isinstance(value, float) else default


_FRAMES = frozenset(
    {
        MessageType.AUDIO,
        MessageType.VIDEO,
        MessageType.DATA_AMF0,
        MessageType.DATA_AMF3,
    }
)

_REACTIONS: dict[type, Callable[[ServerSession, Message, int], None]] = {
    WindowAcknowledgementSize: ServerSession._windowReceived,
    UserControl: ServerSession._userControlReceived,
    Command: ServerSession._commandReceived,
}

_COMMAND_REACTIONS: dict[str, Callable[[ServerSession, Command, int], None]] = {
    "connect": ServerSession._connect,
    "releaseStream": ServerSession._answerPolitely,
    "FCPublish": ServerSession._answerPolitely,
    "FCSubscribe": ServerSession._answerPolitely,
    "_checkbw": ServerSession._answerPolitely,
    "getStreamLength": ServerSession._answerLength,
    "createStream": ServerSession._createStream,
    "publish": ServerSession._publish,
    "play": ServerSession._play,
    "play2": ServerSession._play2,
    "pause": ServerSession._pause,
    "pauseRaw": ServerSession._pause,
    "receiveAudio": ServerSession._receiveAudio,
    "receiveVideo": ServerSession._receiveVideo,
    "seek": ServerSession._seek,
    "FCUnpublish": ServerSession._unpublishByName,
    "closeStream": ServerSession._closeStream,
    "deleteStream": ServerSession._deleteStream,
    # Answers to what we never asked, and a farewell.
    "_result": ServerSession._ignore,
    "_error": ServerSession._ignore,
    "onStatus": ServerSession._ignore,
    "close": ServerSession._ignore,
}
