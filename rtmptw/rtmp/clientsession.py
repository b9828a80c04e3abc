"""
The client's side of an RTMP session, without sockets. It publishes one stream to a
server, or plays one from it::

    session = ClientSession(now, os.urandom, RTMPTarget.fromURL(url), publishes=True)
    transport.write(session.dataToSend())
    for event in session.receive(data, now):
        ...                                  # StreamAccepted, FramesReceived, ...
    session.sendFrame(frame, timestamp)
    transport.write(session.dataToSend())

Time is an argument: C{now} is a monotonic clock in seconds.
"""

from collections.abc import Callable

from rtmptw.errors import LocalProtocolError, ProtocolError, RemoteProtocolError
from rtmptw.frames import Frame, FrameKind
from rtmptw.rtmp import amf0
from rtmptw.rtmp.amf import AMFObject, ECMAArray, Value
from rtmptw.rtmp.chunks import Limits
from rtmptw.rtmp.conversation import CAN_FORWARD, CAPABILITIES, CONTROL, Conversation
from rtmptw.rtmp.events import (
    ClientEvent,
    FramesReceived,
    HeaderCleared,
    SessionEnded,
    StreamAccepted,
    StreamRefused,
)
from rtmptw.rtmp.handshake import Await, ClientHandshake
from rtmptw.rtmp.message import (
    Command,
    Message,
    MessageType,
    SetChunkSize,
    SetPeerBandwidth,
    UserControl,
    UserControlEvent,
    WindowAcknowledgementSize,
)
from rtmptw.rtmp.names import printable
from rtmptw.rtmp.patience import CLIENT_PATIENCE
from rtmptw.rtmp.states import (
    CLIENT_TRANSITIONS,
    ClientState,
    Step,
    advance,
)
from rtmptw.rtmp.url import RTMPTarget

#: Chunk streams for the commands of a message stream, and for media (FFmpeg's numbers;
#: some servers only look at message types, and none rejects these).
_STREAM_COMMANDS = 8
_CHUNK_STREAMS = {FrameKind.AUDIO: 4, FrameKind.VIDEO: 6, FrameKind.DATA: 5}

#: Our chunk size in bytes. OBS uses 4096 with every service.
CHUNK_SIZE = 4096
#: Acknowledgement window in bytes, unless the server sets a smaller one.
WINDOW = 2_500_000
#: The buffer length that we tell a server, in ms (FFmpeg's number; old Flash servers
#: send this much ahead, SRS and nginx-rtmp ignore it).
BUFFER_LENGTH = 3000

#: Transaction ids.
_CONNECT = 1.0
_RELEASE_STREAM = 2.0
_FC_PUBLISH = 3.0
_CREATE_STREAM = 4.0
_START = 5.0
_FC_UNPUBLISH = 6.0
_DELETE_STREAM = 7.0
_CHECK_BANDWIDTH = 8.0

#: All codecs of Enhanced RTMP v2. Not every server understands "*" here.
_FOUR_CCS: list[Value] = [
    "av01",
    "avc1",
    "hvc1",
    "vvc1",
    "vp08",
    "vp09",
    "ac-3",
    "ec-3",
    ".mp3",
    "fLaC",
    "mp4a",
    "Opus",
]
#: Last parts of codes that mean a refusal, whatever the level is (librtmp decides by
#: the code, FFmpeg by the level).
_REFUSALS = frozenset(
    {
        "BadName",
        "Denied",
        "Failed",
        "InvalidApp",
        "Rejected",
        "StreamNotFound",
        "Unauthorized",
    }
)
#: Codes that end a stream we play.
_PLAY_ENDS = frozenset(
    {
        "NetStream.Play.Complete",
        "NetStream.Play.Stop",
        "NetStream.Play.UnpublishNotify",
    }
)
#: Codes that end the connection, or our publishing.
_ENDS = frozenset(
    {
        "NetConnection.Connect.AppShutdown",
        "NetConnection.Connect.Closed",
        "NetStream.Unpublish.Success",
    }
)
#: Data messages that are for the player, and not part of the stream.
_NOT_OF_THE_STREAM = frozenset({"onStatus", "|RtmpSampleAccess"})


class ClientSession(Conversation[ClientEvent]):
    """
    One session with a server.

    @ivar streamID: the message stream that the server has assigned; 0 before that.
    @ivar frames: the number of frames sent or received so far.
    """

    def __init__(
        self,
        now: float,
        randomBytes: Callable[[int], bytes],
        target: RTMPTarget,
        publishes: bool,
        limits: Limits | None = None,
    ) -> None:
        """
        @param publishes: whether to publish or to play.
        @param limits: limits on what the server can make us buffer.
        """
        handshake = ClientHandshake(int(now * 1000), randomBytes)
        super().__init__(now, handshake, limits, WINDOW)
        self._target = target
        self._publishes = publishes
        self._state = ClientState.HANDSHAKE
        self._say(handshake.begin())
        self.streamID = 0
        self.frames = 0
        self._sawEnd = False

    # Bytes and time.

    @property
    def state(self) -> ClientState:
        """
        What we are waiting for.
        """
        return self._state

    def deadline(self) -> float | None:
        """
        @return: when L{checkTime} must be called; C{None} for never. Each received
            frame postpones it.
        """
        patience = CLIENT_PATIENCE.get(self._state)
        if patience is None:
            return None
        if self._state is ClientState.MEDIA and (self._publishes or not self._reading):
            # Only TCP can tell whether a server receives what we publish.
            return None
        return self._waitingSince + patience[0]

    def checkTime(self, now: float) -> list[ClientEvent]:
        """
        End the session if a time limit has passed.
        """
        deadline = self.deadline()
        if deadline is None or now < deadline:
            return []
        limit, label = CLIENT_PATIENCE[self._state]
        if self._state is not ClientState.MEDIA:
            self._end(label, f"{self._state.value} took over {limit:g} s")
        elif self.frames:
            self._end(label, f"no frame for {limit:g} s")
        else:
            self._end(
                "nobody-publishes",
                f"no frame within {limit:g} s: the stream is not being published",
            )
        return self._takeEvents()

    def readingResumed(self, now: float) -> None:
        """
        We read again.
        """
        super().readingResumed(now)
        self._waitingSince = now

    def connectionLost(self, reason: str) -> list[ClientEvent]:
        """
        The connection is lost. Dropping the session after this frees its memory
        without the garbage collector.

        @param reason: how it was lost, in a few words.
        """
        self._unsay()
        if self._sawEnd:
            self._end("stream-ended", "the server ended the stream")
        elif self._state is ClientState.MEDIA:
            self._end("lost", reason)
        else:
            # This is how nginx-rtmp rejects an application.
            self._end("lost", f"{reason} while waiting for {self._state.value}")
        return self._takeEvents()

    def close(self, reason: str) -> list[ClientEvent]:
        """
        End the session from our side. If there is a stream, tell the server first.
        """
        if self.streamID and self._state is not ClientState.NOTHING:
            if self._publishes:
                self._command("FCUnpublish", _FC_UNPUBLISH, None, self._target.stream)
            self._command("deleteStream", _DELETE_STREAM, None, float(self.streamID))
        self._end("closed", reason)
        return self._takeEvents()

    # Media out.

    def sendFrame(self, frame: Frame, timestamp: int) -> None:
        """
        Publish a frame.

        @param timestamp: in ms, instead of the frame's own.

        @raise LocalProtocolError: if the server has not accepted the stream (yet).
        """
        if self._state is not ClientState.MEDIA or not self._publishes:
            raise LocalProtocolError(f"a frame while {self._state.value} is expected")
        payload = frame.payload
        if not payload:
            # MediaMTX closes the connection when it receives one.
            return
        if frame.name == "onMetaData" and frame.isHeader:
            payload = _setDataFrame(payload)
        self.frames += 1
        self._say(
            self._writer.write(
                _CHUNK_STREAMS[frame.kind],
                frame.kind,
                timestamp,
                self.streamID,
                payload,
            )
        )

    # Incoming.

    def _hearsUs(self) -> bool:
        return self._state is not ClientState.NOTHING

    def _shakeHands(self, data: bytes) -> None:
        handshake = self._handshake
        assert isinstance(handshake, ClientHandshake)
        answer = handshake.receive(data)
        if answer:
            self._say(answer)
        if handshake.awaiting is Await.CHUNKS:
            self._handshake = None
            self._step(Step.HANDSHAKE_DONE)
            self._connect()
            self._reader.receive(handshake.remainder)

    def _step(self, step: Step) -> None:
        self._state = advance(CLIENT_TRANSITIONS, self._state, step)
        self._waitingSince = self.now

    def _frameReceived(self, streamID: int, frame: Frame) -> None:
        if self._publishes:
            return
        if self._state is ClientState.START:
            # Media without a status means that play was accepted.
            self._accepted("", "")
        if self._state is ClientState.MEDIA:
            self.frames += 1
            self._waitingSince = self.now
            self._sawEnd = False
            last = self.events[-1] if self.events else None
            if isinstance(last, FramesReceived):
                last.frames.append(frame)
            else:
                self.events.append(FramesReceived(self.streamID, [frame]))

    def _dataReceived(self, streamID: int, verb: str, frame: Frame) -> None:
        if self._state is ClientState.NOTHING:
            # An earlier part of the same aggregate message ended the session.
            return
        if frame.name == "onPlayStatus":
            values = amf0.decodeAll(frame.payload, lenient=True)
            code = _information(values)[1]
            if code in _PLAY_ENDS:
                self._end("stream-ended", f"the server ended the stream ({code})")
        elif frame.name in _NOT_OF_THE_STREAM:
            return
        elif verb == "@clearDataFrame":
            self.events.append(HeaderCleared(self.streamID, frame.name))
        else:
            self._frameReceived(streamID, frame)

    def _controlReceived(self, message: Message) -> None:
        if isinstance(message, SetPeerBandwidth):
            if message.size:
                # The specification requires this answer (5.4.5).
                self._control(WindowAcknowledgementSize(message.size))
        elif (
            isinstance(message, UserControl)
            and message.event == UserControlEvent.STREAM_EOF
        ):
            # Some servers send it between two parts of a stream: it counts only if no
            # frame follows.
            self._sawEnd = True

    def _commandReceived(self, command: Command, streamID: int) -> None:
        react = _REACTIONS.get(command.name)
        if react is not None:
            react(self, command)

    def _result(self, command: Command) -> None:
        if self._state is ClientState.CONNECT_RESULT and self._answers(
            command, _CONNECT
        ):
            _level, code, description = _information(command.values)
            if code and code != "NetConnection.Connect.Success":
                self._refused(code, description)
                return
            self._step(Step.ACCEPT)
            self._createStream()
        elif (
            self._state is ClientState.STREAM_RESULT
            and self._answers(command, _CREATE_STREAM)
            and isinstance(number := command.argument(0), float)
        ):
            if not 1 <= number < 2**32:
                raise RemoteProtocolError(
                    "bad-stream-id",
                    f"invalid message stream id {number:g} in answer to createStream",
                )
            self.streamID = int(number)
            self._step(Step.ACCEPT)
            self._start()

    def _error(self, command: Command) -> None:
        if (
            (
                self._state is ClientState.CONNECT_RESULT
                and self._answers(command, _CONNECT)
            )
            or (
                self._state is ClientState.STREAM_RESULT
                and self._answers(command, _CREATE_STREAM)
            )
            or (self._state is ClientState.START and command.transactionID == _START)
        ):
            _level, code, description = _information(command.values)
            self._refused(code, description)

    def _answers(self, command: Command, transactionID: float) -> bool:
        """
        @return: whether a command answers the pending one. Some servers leave the
            transaction id at 0.
        """
        return command.transactionID in (transactionID, 0.0)

    def _status(self, command: Command) -> None:
        level, code, description = _information(command.values)
        isRefusal = level == "error" or code.rpartition(".")[2] in _REFUSALS
        if isRefusal and self._state is not ClientState.MEDIA:
            self._refused(code, description)
        elif isRefusal or code in _ENDS:
            self._end("ended-by-server", self._words(code, description))
        elif self._publishes:
            if code == "NetStream.Publish.Start" and self._state is ClientState.START:
                self._accepted(code, description)
        elif code in _PLAY_ENDS:
            self._end("stream-ended", f"the server ended the stream ({code})")
        elif (
            code in ("NetStream.Play.Start", "NetStream.Play.PublishNotify")
            and self._state is ClientState.START
        ):
            self._accepted(code, description)

    def _checkBandwidth(self, command: Command) -> None:
        """
        Answer onBWDone, as FFmpeg and librtmp do: old Flash servers wait for that.
        """
        self._command("_checkbw", _CHECK_BANDWIDTH, None)

    def _closed(self, command: Command) -> None:
        """
        The server has sent close or onFCUnsubscribe, which ends the session.
        """
        self._end("ended-by-server", f"the server sent {command.name}")

    def _accepted(self, code: str, description: str) -> None:
        self._step(Step.ACCEPT)
        self.events.append(
            StreamAccepted(self.streamID, printable(code), printable(description))
        )

    def _refused(self, code: str, description: str) -> None:
        self.events.append(StreamRefused(printable(code), printable(description)))
        self._end("refused", self._words(code, description))

    def _words(self, code: str, description: str) -> str:
        """
        @return: the server's code and description for a log, with secrets masked:
            they may contain the stream name.
        """
        said = ": ".join(word for word in (code, description) if word)
        return self._target.withoutSecrets(said) or "no reason given"

    # Outgoing.

    def _connect(self) -> None:
        target = self._target
        properties: list[tuple[str, Value]] = [("app", target.application)]
        if self._publishes:
            properties += [
                ("type", "nonprivate"),
                ("flashVer", "FMLE/3.0 (compatible; rtmptw)"),
                ("tcUrl", target.tcUrl),
            ]
        else:
            # The same as FFmpeg: all codecs, no Flash proxy.
            properties += [
                ("flashVer", "LNX 9,0,124,2"),
                ("tcUrl", target.tcUrl),
                ("fpad", False),
                ("capabilities", 15.0),
                ("audioCodecs", 4071.0),
                ("videoCodecs", 252.0),
                ("videoFunction", 1.0),
            ]
        properties += [
            ("fourCcList", _FOUR_CCS),
            ("videoFourCcInfoMap", AMFObject([("*", CAN_FORWARD)])),
            ("audioFourCcInfoMap", AMFObject([("*", CAN_FORWARD)])),
            ("capsEx", CAPABILITIES),
        ]
        self._command("connect", _CONNECT, AMFObject(properties))
        # After connect, not before: FFmpeg as a server requires connect first.
        self._control(SetChunkSize(CHUNK_SIZE))

    def _createStream(self) -> None:
        if self._publishes:
            # Send all three: after releaseStream, SRS waits for FCPublish.
            stream = self._target.stream
            self._command("releaseStream", _RELEASE_STREAM, None, stream)
            self._command("FCPublish", _FC_PUBLISH, None, stream)
        self._command("createStream", _CREATE_STREAM, None)

    def _start(self) -> None:
        stream = self._target.stream
        if self._publishes:
            self._streamCommand("publish", stream, "live")
            return
        # -2: live, or recorded if there is no live stream; like FFmpeg, in ms.
        self._streamCommand("play", stream, -2000.0)
        payload = (
            UserControlEvent.SET_BUFFER_LENGTH.to_bytes(2, "big")
            + self.streamID.to_bytes(4, "big")
            + BUFFER_LENGTH.to_bytes(4, "big")
        )
        self.say(CONTROL, MessageType.USER_CONTROL, 0, payload)

    def _streamCommand(self, name: str, *values: Value) -> None:
        messageType, payload = Command(name, _START, (None, *values)).encode()
        self.say(_STREAM_COMMANDS, messageType, self.streamID, payload)

    def _end(self, label: str, reason: str) -> None:
        before = self._state
        self._step(Step.CLOSE)
        if before is not ClientState.NOTHING:
            self._close()
            self.events.append(SessionEnded(label, printable(reason)))


def _information(values: "list[Value] | tuple[Value, ...]") -> tuple[str, str, str]:
    """
    @return: level, code and description of the last object among the values, which
        is the information object; empty strings for those it lacks.
    """
    for value in reversed(values):
        if isinstance(value, AMFObject):
            level, code, description = (
                text if isinstance(text := value.get(name), str) else ""
                for name in ("level", "code", "description")
            )
            return level, code, description
    return "", "", ""


def _setDataFrame(payload: bytes) -> bytes:
    """
    @param payload: of an onMetaData message.
    @return: a C{@setDataFrame} message, which tells a server to keep the metadata for
        later players. The value is an ECMA array, as in the FLV specification:
        FFmpeg's reader requires that.
    """
    if payload.startswith(_METADATA_OBJECT):
        try:
            name, value, *more = amf0.decodeAll(payload, lenient=True)
            if isinstance(value, AMFObject):
                payload = amf0.encode(name, ECMAArray(value.properties), *more)
        except ProtocolError:
            # Not for us to judge: forward it unchanged.
            pass
    return amf0.encode("@setDataFrame") + payload


#: How metadata begins that is an object instead of an ECMA array.
_METADATA_OBJECT = amf0.encode("onMetaData") + b"\3"

_REACTIONS: dict[str, Callable[[ClientSession, Command], None]] = {
    "_result": ClientSession._result,
    "_error": ClientSession._error,
    "onStatus": ClientSession._status,
    "onBWDone": ClientSession._checkBandwidth,
    "close": ClientSession._closed,
    "onFCUnsubscribe": ClientSession._closed,
}
