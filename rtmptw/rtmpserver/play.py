"""
Playing: each player of a live stream is one more sink of it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import classImplements

from rtmptw.delivery import Delivery, Policy
from rtmptw.frames import Frame, FrameKind, StreamInfo
from rtmptw.hub.outlet import Outlet
from rtmptw.hub.stream import Stream
from rtmptw.interfaces import IFrameSink, IMulticastSink, IMulticastTarget
from rtmptw.net.sender import MAX_JOINED, Sender
from rtmptw.net.turns import Turns
from rtmptw.rtmp.chunkwriter import encodeMessage

#: Chunk streams for media; nothing else is sent on them.
_CHUNK_STREAMS = {FrameKind.AUDIO: 4, FrameKind.VIDEO: 6, FrameKind.DATA: 7}
#: The queue of a player. A player that has dropped frames and not caught up for ten
#: seconds is disconnected.
VIEWER = Delivery(Policy.TO_KEYFRAME, patience=10.0)
#: Audio waits for the next video frame and leaves with it in one write; with AAC this
#: saves one or two writes per video frame. The limit is the duration of a frame at 25
#: frames a second.
HOLD = 0.04


@dataclass(frozen=True, slots=True)
class PlaySettings:
    """
    How players are served.

    @ivar delivery: the limits of a player's queue, and what is dropped.
    @ivar waits: whether a player may connect before the publisher; if not, it is told
        that there is no such stream.
    @ivar merge: seconds over which a player's data is gathered into one write.
    @ivar hold: seconds that audio may wait for the next video frame, to leave with it;
        0 disables it.
    """

    delivery: Delivery = VIEWER
    waits: bool = True
    merge: float = 0.0
    hold: float = HOLD


class SharedForm:
    """
    The encoded form of a frame that all players share. Its chunk header is absolute, so
    that it depends on nothing sent before, and all players were told the same chunk
    size.
    """

    __slots__ = ("_chunkSize", "_data", "_frame", "_streamID")

    def __init__(self, chunkSize: int) -> None:
        self._chunkSize = chunkSize
        self._frame: Frame | None = None
        self._streamID = 0
        self._data = b""

    def encoded(self, frame: Frame, streamID: int) -> bytes:
        """
        @return: the frame as a message on a message stream. Only the last one is kept,
            as each frame goes to all players before the next one comes.
        """
        if frame is not self._frame or streamID != self._streamID:
            self._data = encodeMessage(
                _CHUNK_STREAMS[frame.kind],
                frame.kind,
                # A negative timestamp would be read as one 49 days ahead.
                max(0, frame.timestamp),
                streamID,
                frame.payload,
                self._chunkSize,
            )
            self._frame = frame
            self._streamID = streamID
        return self._data


class PlayMulticast:
    """
    Sends a stream's frames to all its players that keep up: joined once, written to
    each socket.
    """

    def __init__(
        self, turns: Turns, form: SharedForm, streamID: int, hold: float
    ) -> None:
        self._turns = turns
        self._form = form
        self._streamID = streamID
        self._hold = hold
        # Whether there is video that audio can wait for.
        self._hasVideo = False
        self._holding: IDelayedCall | None = None
        self._isScheduled = False
        self._pieces: list[bytes] = []
        self._size = 0
        self._members: dict[Sender, Callable[[bytes], int]] = {}

    def frameReceived(self, frame: Frame) -> None:
        """
        Send a frame when the turn is over; audio, with the next video frame.
        """
        data = self._form.encoded(frame, self._streamID)
        self._pieces.append(data)
        self._size += len(data)
        if self._size >= MAX_JOINED:
            self._flush()
        elif self._isScheduled:
            pass
        elif frame.kind is FrameKind.VIDEO or not self._hasVideo:
            self._hasVideo = bool(self._hold) and frame.kind is FrameKind.VIDEO
            self._isScheduled = True
            self._turns.add(self._turnOver)
        elif self._holding is None:
            self._holding = self._turns.later(self._hold, self._heldEnough)

    def _turnOver(self) -> None:
        self._isScheduled = False
        self._flush()

    def _heldEnough(self) -> None:
        # There was no video frame: the next audio frame does not wait for one.
        self._hasVideo = False
        self._holding = None
        self._flush()

    def _flush(self) -> None:
        """
        Send what was gathered.
        """
        if self._holding is not None:
            self._holding.cancel()
            self._holding = None
        pieces = self._pieces
        if not pieces:
            return
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self._pieces = []
        self._size = 0
        size = len(data)
        # A player whose socket is found full leaves during this loop.
        for sender, send in list(self._members.items()):
            try:
                sent = send(data)
            except OSError as error:
                sender.notSent(data, error)
            else:
                if sent != size:
                    sender.partlySent(data, sent)

    def join(self, sink: IMulticastSink) -> None:
        """
        Add a player that has got all frames so far, by itself or with the others.
        """
        self._flush()
        assert isinstance(sink, PlaySink)
        sender = sink.sender
        sender.flush()
        send = sender.send
        if send is not None and not sender.isFull:
            self._members[sender] = send

    def leave(self, sink: IMulticastSink) -> None:
        """
        Remove a player after sending it what was gathered.
        """
        self._flush()
        assert isinstance(sink, PlaySink)
        self._members.pop(sink.sender, None)


class PlaySink:
    """
    Sends a stream's frames to a player.
    """

    #: A player that leaves is not a failure.
    failure: ClassVar[str] = ""

    __slots__ = ("_ended", "_form", "_streamID", "delivery", "producer", "sender")

    def __init__(
        self,
        sender: Sender,
        form: SharedForm,
        streamID: int,
        delivery: Delivery,
        ended: Callable[[str], None],
    ) -> None:
        self.delivery = delivery
        self.producer: IPushProducer | None = None
        self.sender = sender
        self._form = form
        self._streamID = streamID
        self._ended = ended

    def streamStarted(self, stream: StreamInfo, producer: IPushProducer) -> None:
        """
        Start. The connection may be full already, of what was played before.
        """
        self.producer = producer
        if self.sender.isFull:
            producer.pauseProducing()

    def frameReceived(self, frame: Frame) -> None:
        """
        Send a frame.
        """
        self.sender.write(self._form.encoded(frame, self._streamID))

    def streamEnded(self, reason: str) -> None:
        """
        Tell the owner that the stream ended.
        """
        # The producer holds a reference to this sink.
        self.producer = None
        self._ended(reason)


class PacingPlaySink(PlaySink):
    """
    A player that can share writes with others, which plain sockets can.
    """

    __slots__ = ("multicast",)

    def __init__(
        self,
        sender: Sender,
        form: SharedForm,
        streamID: int,
        delivery: Delivery,
        ended: Callable[[str], None],
        multicast: PlayMulticast,
    ) -> None:
        super().__init__(sender, form, streamID, delivery, ended)
        self.multicast = multicast


# Not as decorators: mypyc does not compile a decorated class natively.
classImplements(PlayMulticast, IMulticastTarget)
classImplements(PlaySink, IFrameSink)
classImplements(PacingPlaySink, IMulticastSink)


class Viewing:
    """
    What all players of a server share.

    @ivar settings: how players are served.
    @ivar turns: decides when their data is sent.
    """

    def __init__(
        self, clock: IReactorTime, settings: PlaySettings, chunkSize: int
    ) -> None:
        """
        @param chunkSize: the chunk size that all players were told.
        """
        self.settings = settings
        self.turns = Turns(clock, settings.merge)
        self._form = SharedForm(chunkSize)

    def makeSink(
        self,
        stream: Stream,
        sender: Sender,
        streamID: int,
        ended: Callable[[str], None],
    ) -> PlaySink:
        """
        @param streamID: the message stream that the viewer plays on.
        @param ended: called with the reason when there is no more to play.
        @return: a sink for one player.
        """
        delivery = self.settings.delivery
        if sender.send is None:
            return PlaySink(sender, self._form, streamID, delivery, ended)
        multicast = stream.shared.get((self, streamID))
        if multicast is None:
            multicast = stream.shared[self, streamID] = PlayMulticast(
                self.turns, self._form, streamID, self.settings.hold
            )
        assert isinstance(multicast, PlayMulticast)
        return PacingPlaySink(sender, self._form, streamID, delivery, ended, multicast)


class Playback:
    """
    One stream played on one message stream. Waits for a publisher if there is none,
    then attaches to the stream.
    """

    _log = Logger()

    def __init__(
        self,
        waiting: "Deferred[Stream]",
        makeSink: Callable[[Stream, Callable[[str], None]], PlaySink],
        viewer: str,
        ended: Callable[["Playback", str, bool], None],
    ) -> None:
        """
        @param waiting: fires with the stream.
        @param makeSink: makes the sink of a stream, given what to call at its end.
        @param viewer: the player's address, as C{host:port}.
        @param ended: called with this, the reason and whether the stream has ended; if
            it has not, the player was disconnected.
        """
        self._waiting = waiting
        self._makeSink = makeSink
        self._viewer = viewer
        self._ended = ended
        self._sink: PlaySink | None = None
        self._outlet: Outlet | None = None
        self._isOver = False
        self._unwanted: set[FrameKind] = set()
        self._isPaused = False

    def start(self) -> None:
        """
        Play the stream, now or when it is published.
        """
        self._waiting.addCallbacks(self._attach, self._cancelled)
        self._waiting.addErrback(self._failed)

    def _cancelled(self, failure: Failure) -> None:
        failure.trap(CancelledError)
        self._sinkEnded("the server stops")

    def _failed(self, failure: Failure) -> None:
        self._log.failure("{viewer}: playing failed", failure, viewer=self._viewer)
        self._ended(self, "internal server error", False)

    def _attach(self, stream: Stream) -> None:
        if self._isOver:
            return
        self._sink = self._makeSink(stream, self._sinkEnded)
        self._outlet = stream.attach(f"play {self._viewer}", self._sink, viewer=True)
        self._select()

    def _sinkEnded(self, reason: str) -> None:
        if not self._isOver:
            self._isOver = True
            outlet = self._outlet
            self._letGo()
            self._ended(self, reason, outlet is None or outlet.isStreamOver)

    def pause(self, isPaused: bool) -> None:
        """
        Send nothing for now, or resume at the next key frame.
        """
        self._isPaused = isPaused
        self._select()

    def select(self, kind: FrameKind, isWanted: bool) -> None:
        """
        Start or stop sending audio or video.
        """
        if isWanted:
            self._unwanted.discard(kind)
        else:
            self._unwanted.add(kind)
        self._select()

    def _select(self) -> None:
        if self._outlet is not None:
            self._outlet.select(
                frozenset(FrameKind) if self._isPaused else frozenset(self._unwanted)
            )

    def fullChanged(self, isFull: bool) -> None:
        """
        The player's connection is full, or has room again.
        """
        producer = None if self._sink is None else self._sink.producer
        if producer is not None:
            if isFull:
                producer.pauseProducing()
            else:
                producer.resumeProducing()

    def stop(self, reason: str) -> None:
        """
        The player wants no more.
        """
        self._isOver = True
        outlet = self._outlet
        self._letGo()
        if outlet is not None:
            outlet.detach(reason)
        else:
            self._waiting.cancel()

    def _letGo(self) -> None:
        # The sink refers to us through its callback: break the cycle.
        self._sink = None
        self._outlet = None
