"""
The server's side of an RTMP session, without sockets: it takes bytes, and returns
events and bytes to send::

    session = ServerSession(now, os.urandom)
    for event in session.receive(data, now):
        ...                                  # FramesReceived, PublishRequested, ...
    transport.write(session.dataToSend())

Time is an argument: C{now} is a monotonic clock in seconds.
"""

from collections.abc import Callable
from typing import Final

from rtmptw.errors import LocalProtocolError, RemoteProtocolError
from rtmptw.flv.body import frameFromSpan
from rtmptw.frames import Frame, FrameKind, Span
from rtmptw.rtmp import answers
from rtmptw.rtmp.amf import UNDEFINED, AMFObject, Value
from rtmptw.rtmp.chunks import VIDEO
from rtmptw.rtmp.conversation import Conversation
from rtmptw.rtmp.events import (
    AcknowledgementDue,
    ConnectRequested,
    Event,
    FramesReceived,
    HeaderCleared,
    PlayEnded,
    PublishEnded,
    SessionEnded,
)
from rtmptw.rtmp.handshake import Expect, ServerHandshake
from rtmptw.rtmp.message import (
    Command,
    SetChunkSize,
    SetPeerBandwidth,
    UserControl,
    UserControlEvent,
    WindowAcknowledgementSize,
)
from rtmptw.rtmp.names import MAX_NAME, printable, splitApplication, splitStream
from rtmptw.rtmp.netstream import EOF_AFTER, NetStream, Request
from rtmptw.rtmp.patience import (
    PING_AFTER,
    PING_PATIENCE,
    SERVER_PATIENCE,
    STREAM_PATIENCE,
    Patience,
    ServerSettings,
)
from rtmptw.rtmp.states import TRANSITIONS, ServerState, Step, StreamState, advance

__all__ = [
    "EOF_AFTER",
    "MAX_STREAMS",
    "PING_AFTER",
    "PING_PATIENCE",
    "ServerSession",
    "ServerSettings",
]

#: A peer with at least this window, in bytes, does not need its acknowledgements
#: immediately.
PATIENT_WINDOW: Final = 1 << 20

# Looking up an enum member in its class costs more than comparing it.
_AUDIO: Final = FrameKind.AUDIO
_VIDEO: Final = FrameKind.VIDEO
_MEDIA: Final = StreamState.MEDIA

#: The work of a publish or play request, in frames: it starts a stream and its sinks.
REQUEST_WORK: Final = 100

#: Not the id of any message stream.
_NOBODY: Final = -1

#: Maximum number of frames received while nothing is published.
MAX_STRAYS: Final = 4096

#: Maximum number of message streams on one connection. All known clients use one.
MAX_STREAMS = 16


class ServerSession(Conversation[Event]):
    """
    One client's session: the connection's state machine, and a L{NetStream} for each
    message stream.

    @ivar strayMessages: the number of media messages for no accepted stream.
    @ivar ignoredCommands: the number of commands that were invalid or not possible,
        and ignored so as not to interrupt media.
    @ivar goesOn: whether L{goOn} must follow, after L{grant} or L{reject}.
    """

    def __init__(
        self,
        now: float,
        randomBytes: Callable[[int], bytes],
        settings: ServerSettings | None = None,
    ) -> None:
        self._settings = settings or ServerSettings()
        super().__init__(
            now,
            ServerHandshake(int(now * 1000), randomBytes),
            self._settings.limits,
            self._settings.window,
        )
        self._state = ServerState.HANDSHAKE
        self._streams: dict[int, NetStream] = {}
        # The connect request, while it waits for its answer.
        self._request: Request | None = None
        self._nextRequest = 1
        self._app = ""
        self._query = ""
        self._encoder = ""
        self._properties = AMFObject([])
        # Whether the client has sent FCPublish.
        self._isFMLE = False
        # When the peer last received data from us, as far as we know.
        self._takenAt = now
        self.goesOn = False
        self.strayMessages = 0
        self.ignoredCommands = 0

    @property
    def state(self) -> ServerState:
        """
        The connection's state.
        """
        return self._state

    # Time.

    def deadline(self) -> float | None:
        """
        @return: when L{checkTime} must be called, unless bytes arrive before that;
            C{None} for never.
        """
        due = [s.eofDue for s in self._streams.values() if s.eofDue is not None]
        patienceEnds = self._patienceEnds()
        if patienceEnds is not None:
            due.append(patienceEnds)
        return min(due, default=None)

    def checkTime(self, now: float) -> list[Event]:
        """
        Send what is due, and end the session if a time limit has passed.
        """
        self.now = now
        for ending in self._streams.values():
            if ending.eofDue is not None and now >= ending.eofDue:
                ending.sayEOF()
        deadline = self._patienceEnds()
        if deadline is None or now < deadline:
            return []
        stream = self._busiest()
        patience = self._patience(stream)
        reason = patience.reason.format(patience.limit(self._settings))
        if self._waiting(stream) is not None:
            self._refuse(stream, patience.label, reason)
            self.goesOn = self._flows()
        elif stream is not None and stream.isPlayed and self._pingedAt is None:
            self._pingedAt = now
            milliseconds = int(now * 1000) & 0xFFFFFFFF
            self._control(UserControl(UserControlEvent.PING_REQUEST, milliseconds))
        else:
            self._end(patience.label, reason)
        return self._takeEvents()

    def taken(self, now: float) -> None:
        """
        Note that the peer has received data since the last call. For a player that
        sends nothing this is a sign of life.
        """
        self._takenAt = now
        self._pingedAt = None

    def silentFor(self, now: float) -> float:
        """
        @return: the seconds since the peer's last byte; 0 while reading is paused.
        """
        return now - self.lastReceived if self._reading else 0.0

    def _patienceEnds(self) -> float | None:
        """
        @return: when the current time limit ends; C{None} for never.
        """
        if self._state is ServerState.NOTHING:
            return None
        stream = self._busiest()
        request = self._waiting(stream)
        limit = self._patience(stream).limit(self._settings)
        if request is not None:
            return request.since + limit
        if stream is None:
            return self._waitingSince + limit
        if not self._reading:
            return None
        if stream.isPlayed:
            if self._pingedAt is not None:
                return self._pingedAt + PING_PATIENCE
            return max(self.lastReceived, self._takenAt) + PING_AFTER
        return self.lastReceived + limit

    def _busiest(self) -> NetStream | None:
        """
        @return: the message stream whose time limit applies to the connection.
        """
        for state in STREAM_PATIENCE:
            for stream in self._streams.values():
                if stream.state is state:
                    return stream
        return None

    def _patience(self, stream: NetStream | None) -> Patience:
        if stream is None:
            return SERVER_PATIENCE[self._state]
        return STREAM_PATIENCE[stream.state]

    def _waiting(self, stream: NetStream | None) -> Request | None:
        """
        @return: the pending request of the message stream or of the connection.
        """
        return self._request if stream is None else stream.request

    # The end.

    def close(self, reason: str, now: float) -> list[Event]:
        """
        End the session from our side.
        """
        self.now = now
        self._end("closed", reason)
        return self._takeEvents()

    def connectionLost(self) -> None:
        """
        The connection is lost. Dropping the session after this frees its memory
        without the garbage collector.
        """
        self._end("lost", "the connection was lost")
        self.events = []
        self._unsay()

    def _end(self, label: str, reason: str) -> None:
        before = self._state
        self._state = advance(TRANSITIONS, before, Step.CLOSE)
        if before is ServerState.NOTHING:
            return
        streams = sorted(self._streams.items())
        for streamID, stream in streams:
            if stream.isPublished:
                self.events.append(PublishEnded(streamID, reason))
        for streamID, stream in streams:
            if stream.isPlayed:
                self.events.append(PlayEnded(streamID, reason))
        for _, stream in streams:
            if stream.eofDue is not None:
                stream.sayEOF()
        self._streams.clear()
        self._request = None
        self.goesOn = False
        self._close()
        self.events.append(SessionEnded(label, reason))

    # Answers.

    def accept(self, requestID: int, now: float) -> list[Event]:
        """
        Accept a request.

        @return: the events of what the peer has sent after it, as from C{receive}.

        @raise LocalProtocolError: if there is no such pending request.
        """
        self.grant(requestID, now)
        return self.goOn(now)

    def grant(self, requestID: int, now: float) -> None:
        """
        Accept a request, but leave what the peer has sent after it to L{goOn}. For
        callers that answer while they handle events: one read can contain many
        requests, and each answer would be a nested call in the previous one.

        @raise LocalProtocolError: if there is no such pending request.
        """
        stream = self._askedFor(requestID)
        self.now = now
        self._waitingSince = now
        self.lastReceived = now
        self.goesOn = True
        if stream is not None:
            stream.accept()
            return
        request = self._request
        assert request is not None
        self._request = None
        self._state = advance(TRANSITIONS, self._state, Step.ACCEPT)
        # Set Chunk Size comes before the result, not later: OBS no longer parses what
        # it receives once it is streaming.
        window = self._settings.window
        self._control(WindowAcknowledgementSize(window))
        self._control(SetPeerBandwidth(window))
        self._control(SetChunkSize(self._settings.chunkSize))
        self._control(UserControl(UserControlEvent.STREAM_BEGIN, 0))
        self._call(answers.connected(request.transactionID, self._properties))

    def goOn(self, now: float) -> list[Event]:
        """
        Continue after L{grant} or L{reject}.

        @return: the events of what the peer has sent after the request, as from
            C{receive}.
        """
        self.now = now
        if self.goesOn:
            self.goesOn = False
            try:
                self._reader.release()
            except RemoteProtocolError as fault:
                self._end(fault.label, str(fault))
        return self._takeEvents()

    def reject(
        self, requestID: int, code: str, description: str, now: float
    ) -> list[Event]:
        """
        Reject a request, and end the session: OBS waits for the close. If something
        else is published or played on it, the session continues instead, and L{goOn}
        must follow.

        @param code: C{NetConnection.Connect.Rejected},
            C{NetStream.Publish.BadName}, C{NetStream.Publish.Denied},
            C{NetStream.Play.StreamNotFound} or C{NetStream.Play.Failed}; OBS keeps
            waiting after a code that it does not know.
        @param description: the text for the client's user; FFmpeg hangs without it.

        @raise LocalProtocolError: if there is no such pending request.
        """
        stream = self._askedFor(requestID)
        self.now = now
        self._refuse(stream, code, description)
        self.goesOn = self._flows()
        return self._takeEvents()

    def endPlay(self, streamID: int, now: float) -> None:
        """
        Tell a player that its stream has ended. It can play another.

        @raise LocalProtocolError: if nothing is played there.
        """
        stream = self._streams.get(streamID)
        if stream is None or not stream.isPlayed:
            raise LocalProtocolError(f"message stream {streamID} is not playing")
        stream.endPlay(now)
        self._waitingSince = now

    def _askedFor(self, requestID: int) -> NetStream | None:
        """
        @return: the message stream of the pending request; C{None} for connect.

        @raise LocalProtocolError: if there is no such pending request.
        """
        stream = self._busiest()
        request = self._waiting(stream)
        if request is None or request.requestID != requestID:
            raise LocalProtocolError(f"there is no pending request {requestID}")
        return stream

    def _refuse(self, stream: NetStream | None, code: str, description: str) -> None:
        if stream is not None:
            stream.refuse(code, description)
        elif self._request is not None:
            transactionID = self._request.transactionID
            self._call(answers.refused(transactionID, code, description))
        self._rejected(code, description)

    def _rejected(self, code: str, description: str) -> None:
        if not self._flows():
            self._end("rejected", f"{code}: {description}")

    def _flows(self) -> bool:
        """
        @return: whether anything is published or played.
        """
        return any(s.isPublished or s.isPlayed for s in self._streams.values())

    def _ask(self, command: Command) -> Request:
        """
        Create a request, and hold delivery until it is answered.
        """
        request = Request(self._nextRequest, command.transactionID, self.now)
        self._nextRequest += 1
        self._reader.spend(REQUEST_WORK)
        self._reader.hold()
        return request

    # Incoming.

    def _hearsUs(self) -> bool:
        # No client expects an acknowledgement before the answer to connect.
        return self._state is ServerState.COMMANDS

    def _acknowledgementDue(self) -> None:
        if self._window >= PATIENT_WINDOW and self._published():
            # First, because a request must be the last event.
            self.events.insert(0, AcknowledgementDue())
        else:
            self.acknowledge()

    def _shakeHands(self, data: bytes) -> None:
        handshake = self._handshake
        assert isinstance(handshake, ServerHandshake)
        answer = handshake.receive(data)
        if answer:
            self._say(answer)
        if handshake.expecting is Expect.CHUNKS:
            self._state = advance(TRANSITIONS, self._state, Step.HANDSHAKE_DONE)
            self._waitingSince = self.now
            self._handshake = None
            self._reader.receive(handshake.remainder)

    def spanReceived(
        self,
        messageType: int,
        timestamp: int,
        streamID: int,
        span: Span,
        chunkStreamID: int,
    ) -> None:
        """
        Handle a whole audio or video message from the chunk reader.
        """
        self._frameReceived(
            streamID,
            frameFromSpan(_VIDEO if messageType == VIDEO else _AUDIO, timestamp, span),
        )

    def _frameReceived(self, streamID: int, frame: Frame) -> None:
        events = self.events
        if events:
            last = events[-1]
            if isinstance(last, FramesReceived) and last.streamID == streamID:
                last.frames.append(frame)
                return
        streamID = self._publisherFor(streamID)
        if streamID != _NOBODY:
            events.append(FramesReceived(streamID, [frame]))

    def _publisherFor(self, streamID: int) -> int:
        """
        @return: the message stream that media belongs to. If none is published under
            this id, it is the only published one (some encoders send data on stream
            0); L{_NOBODY} if there is none.
        """
        stream = self._publisherOf(streamID)
        if stream is None:
            self._strayReceived()
            return _NOBODY
        return stream.streamID

    def _publisherOf(self, streamID: int) -> NetStream | None:
        stream = self._streams.get(streamID)
        if stream is not None and stream.state is _MEDIA:
            return stream
        published = self._published()
        return published[0] if len(published) == 1 else None

    def _published(self) -> list[NetStream]:
        return [s for _, s in sorted(self._streams.items()) if s.state is _MEDIA]

    def _strayReceived(self) -> None:
        """
        Count a media message for no stream. An encoder whose stream we have ended
        keeps sending for a while.
        """
        self.strayMessages += 1
        if self.strayMessages > MAX_STRAYS and not self._published():
            raise RemoteProtocolError(
                "too-many-strays",
                f"{self.strayMessages} audio, video or data messages, but no stream "
                "is published",
            )

    def _dataReceived(self, streamID: int, verb: str, frame: Frame) -> None:
        isClear = verb == "@clearDataFrame"
        stream = self._publisherOf(streamID)
        if stream is not None and frame.name == "onMetaData":
            if verb:
                stream.hasMetadata = not isClear
            elif stream.hasMetadata:
                # An event, such as the start of an advertisement: the metadata set
                # with @setDataFrame stays valid.
                frame.isHeader = False
        if not isClear:
            self._frameReceived(streamID, frame)
        elif stream is None:
            self._strayReceived()
        else:
            self.events.append(HeaderCleared(stream.streamID, frame.name))

    def _commandReceived(self, command: Command, streamID: int) -> None:
        react = _REACTIONS.get(command.name)
        if react is not None:
            try:
                react(self, command, streamID)
            except RemoteProtocolError as fault:
                self._commandFailed(fault)
        elif command.transactionID and not command.name.startswith("_"):
            # Do not answer an answer, C{_result} or C{_error}.
            self._call(answers.unknown(command.transactionID, command.name))

    def _commandFailed(self, fault: RemoteProtocolError) -> None:
        if not self._flows():
            raise fault
        self.ignoredCommands += 1

    def _streamFor(self, streamID: int, step: Step) -> NetStream:
        """
        @return: the message stream for a publish or play. It is created if necessary:
            some encoders do not send createStream, or ignore its answer and use id 0.
        """
        stream = self._streams.get(streamID)
        if stream is None:
            return self._makeStream(streamID)
        stream.mayTake(step)
        return stream

    def _makeStream(self, streamID: int) -> NetStream:
        """
        @raise RemoteProtocolError: if there are already L{MAX_STREAMS}, all in use.
        """
        streams = self._streams
        if not self._makeRoom():
            raise RemoteProtocolError(
                "too-many-streams",
                f"more than {MAX_STREAMS} message streams on one connection",
            )
        stream = streams[streamID] = NetStream(self, streamID)
        return stream

    def _makeRoom(self) -> bool:
        """
        Delete the oldest idle message stream if there are L{MAX_STREAMS}: a client
        that creates that many no longer uses it.

        @return: whether there is room for one more.
        """
        streams = self._streams
        if len(streams) < MAX_STREAMS:
            return True
        idle = next((n for n, s in streams.items() if s.isIdle), None)
        if idle is None:
            return False
        del streams[idle]
        return True

    def _deny(self, streamID: int, code: str, description: str) -> None:
        """
        Reject a publish or play for which no decision was requested.
        """
        NetStream(self, streamID).deny(code, description)
        self._rejected(code, description)


# What each command does to a session.


def _connect(session: ServerSession, command: Command, streamID: int) -> None:
    properties = command.values[0] if command.values else None
    if not isinstance(properties, AMFObject):
        raise command.fault or RemoteProtocolError(
            "bad-command", "connect without a command object"
        )
    app, query = splitApplication(_text(properties, "app"), _text(properties, "tcUrl"))
    if session._flows():
        # What is published or played keeps its application.
        if app == session._app:
            session._call(answers.connected(command.transactionID, properties))
        else:
            session._call(
                answers.refused(
                    command.transactionID,
                    "NetConnection.Connect.Rejected",
                    "The connection is in use for another application.",
                )
            )
        return
    session._state = advance(TRANSITIONS, session._state, Step.CONNECT)
    session._app = app
    session._query = query
    session._encoder = printable(_text(properties, "flashVer")[:200])
    session._properties = properties
    request = session._ask(command)
    session._request = request
    if len(app) > MAX_NAME:
        session._refuse(
            None,
            "NetConnection.Connect.Rejected",
            f"The application's name has {len(app)} characters, "
            f"at most {MAX_NAME} are allowed.",
        )
        return
    session.events.append(
        ConnectRequested(request.requestID, app, query, session._encoder, properties)
    )


def _createStream(session: ServerSession, command: Command, streamID: int) -> None:
    session._state = advance(TRANSITIONS, session._state, Step.CREATE_STREAM)
    if not session._makeRoom():
        session.ignoredCommands += 1
        session._call(
            answers.refused(
                command.transactionID,
                "NetConnection.Call.Failed",
                f"All {MAX_STREAMS} message streams are in use.",
            )
        )
        return
    # The lowest free id: gortmplib requires 1 for the first.
    created = next(n for n in range(1, MAX_STREAMS + 1) if n not in session._streams)
    session._makeStream(created)
    session._call(answers.streamCreated(command.transactionID, created))


def _publish(session: ServerSession, command: Command, streamID: int) -> None:
    session._state = advance(TRANSITIONS, session._state, Step.PUBLISH)
    name, query = _nameIn(command)
    if any(stream.name == name for stream in session._published()):
        # It is already published, on this or another message stream.
        NetStream(session, streamID).publishStarted(name)
        return
    if not (name or session._app):
        trouble = "The URL names neither an application nor a stream."
    elif len(name) > MAX_NAME:
        trouble = (
            f"The stream's name has {len(name)} characters, "
            f"at most {MAX_NAME} are allowed."
        )
    else:
        stream = session._streamFor(streamID, Step.PUBLISH)
        stream.publish(session._ask(command), name, session._isFMLE)
        stream.publishRequested(session._app, query or session._query, session._encoder)
        return
    session._deny(streamID, "NetStream.Publish.BadName", trouble)


def _play(session: ServerSession, command: Command, streamID: int) -> None:
    name, query = _nameIn(command)
    # A number is possible too: 1 and 3 reset, 0 and 2 do not (Flash).
    reset = command.argument(3) in (True, 1.0, 3.0)
    start, duration = command.argument(1), command.argument(2)
    _askToPlay(session, command, streamID, name, query, start, duration, reset)


def _play2(session: ServerSession, command: Command, streamID: int) -> None:
    """
    Switch to another stream, for example one with another bit rate. The other
    parameters are for recordings.
    """
    parameters = command.argument(0)
    if not isinstance(parameters, AMFObject):
        raise RemoteProtocolError("bad-command", "play2 without a parameter object")
    name, query = splitStream(_text(parameters, "streamName"))
    start, duration = parameters.get("start"), parameters.get("len")
    _askToPlay(session, command, streamID, name, query, start, duration, True)


def _askToPlay(
    session: ServerSession,
    command: Command,
    streamID: int,
    name: str,
    query: str,
    start: Value,
    duration: Value,
    reset: bool,
) -> None:
    session._state = advance(TRANSITIONS, session._state, Step.PLAY)
    if len(name) > MAX_NAME or not (name or session._app):
        session._deny(
            streamID,
            "NetStream.Play.StreamNotFound",
            f"The stream's name has {len(name)} characters, 1 to {MAX_NAME} are "
            "allowed.",
        )
        return
    stream = session._streamFor(streamID, Step.PLAY)
    stream.play(session._ask(command), name, reset)
    stream.playRequested(
        session._app,
        query or session._query,
        _number(start, -2.0),
        _number(duration, -1.0),
    )


def _pause(session: ServerSession, command: Command, streamID: int) -> None:
    stream = session._streams.get(streamID)
    if stream is not None:
        stream.pause(command.argument(0) is True)


def _receiveAudio(session: ServerSession, command: Command, streamID: int) -> None:
    stream = session._streams.get(streamID)
    if stream is not None:
        stream.select(_AUDIO, command.argument(0) is not False)


def _receiveVideo(session: ServerSession, command: Command, streamID: int) -> None:
    stream = session._streams.get(streamID)
    if stream is not None:
        stream.select(_VIDEO, command.argument(0) is not False)


def _seek(session: ServerSession, command: Command, streamID: int) -> None:
    stream = session._streams.get(streamID)
    if stream is not None:
        stream.seek()


def _unpublishByName(session: ServerSession, command: Command, streamID: int) -> None:
    """
    Handle FCUnpublish, which names the stream and is sent on message stream 0.
    """
    name = command.argument(0)
    wanted = splitStream(name)[0] if isinstance(name, str) else ""
    published = session._published()
    for stream in published:
        if len(published) == 1 or stream.name == wanted:
            _stop(session, stream, "unpublished")
            break
    _answerPolitely(session, command, streamID)


def _closeStream(session: ServerSession, command: Command, streamID: int) -> None:
    stream = session._streams.get(streamID)
    if stream is not None:
        _stop(session, stream, "stream closed")


def _deleteStream(session: ServerSession, command: Command, streamID: int) -> None:
    wanted = command.argument(0)
    if isinstance(wanted, float):
        number = int(wanted) if wanted.is_integer() else _NOBODY
    else:
        # GStreamer sends the stream's name here instead of its id.
        number = streamID or next(iter(session._streams), _NOBODY)
    stream = session._streams.get(number)
    if stream is not None:
        _stop(session, stream, "stream deleted")
        del session._streams[number]


def _stop(session: ServerSession, stream: NetStream, reason: str) -> None:
    stream.stop(reason)
    session._waitingSince = session.now


def _publishByName(session: ServerSession, command: Command, streamID: int) -> None:
    """
    Handle FCPublish. onFCPublish follows when the stream is published.
    """
    session._isFMLE = True
    _answerPolitely(session, command, streamID)


def _subscribeByName(session: ServerSession, command: Command, streamID: int) -> None:
    """
    Handle FCSubscribe. Players made for content delivery networks wait for
    onFCSubscribe before they send play.
    """
    _answerPolitely(session, command, streamID)
    session._call(
        answers.notice("onFCSubscribe", "NetStream.Play.Start", "Subscribed.")
    )


def _answerPolitely(session: ServerSession, command: Command, streamID: int) -> None:
    if command.transactionID:
        session._call(answers.politeness(command.transactionID))


def _answerLength(session: ServerSession, command: Command, streamID: int) -> None:
    if command.transactionID:
        session._call(answers.streamLength(command.transactionID))


def _ignore(session: ServerSession, command: Command, streamID: int) -> None:
    """
    Ignore a command without an error.
    """


def _nameIn(command: Command) -> tuple[str, str]:
    """
    @return: the stream name of a publish or play, and its query.

    @raise RemoteProtocolError: if it is not a name.
    """
    name = command.argument(0)
    if isinstance(name, str):
        return splitStream(name)
    if isinstance(name, float) and name.is_integer():
        # A key of digits, from a client that converts it to a number.
        return str(int(name)), ""
    if name is None or name is UNDEFINED:
        return "", ""
    raise RemoteProtocolError(
        "bad-command", f"{command.name} with a stream name that is not a string"
    )


def _text(properties: AMFObject, name: str) -> str:
    """
    @return: a string property; empty if it is missing. Case is ignored, because
        encoders differ in it.
    """
    value = properties.get(name)
    if value is None:
        for key, other in properties:
            if key.lower() == name.lower():
                value = other
    return value if isinstance(value, str) else ""


def _number(value: Value, default: float) -> float:
    return value if isinstance(value, float) else default


_REACTIONS: dict[str, Callable[[ServerSession, Command, int], None]] = {
    "connect": _connect,
    "releaseStream": _answerPolitely,
    "FCPublish": _publishByName,
    "FCSubscribe": _subscribeByName,
    "_checkbw": _answerPolitely,
    "getStreamLength": _answerLength,
    "createStream": _createStream,
    "publish": _publish,
    "play": _play,
    "play2": _play2,
    "pause": _pause,
    "pauseRaw": _pause,
    "receiveAudio": _receiveAudio,
    "receiveVideo": _receiveVideo,
    "seek": _seek,
    "FCUnpublish": _unpublishByName,
    "closeStream": _closeStream,
    "deleteStream": _deleteStream,
    # Answers to nothing we asked, and the announced end of the connection.
    "onStatus": _ignore,
    "close": _ignore,
}
