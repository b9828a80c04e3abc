"""
Playing: a viewer of a live stream is one more sink of it.
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

#: Where media goes: chunk streams that nothing else is sent on.
_CHUNK_STREAMS = {FrameKind.AUDIO: 4, FrameKind.VIDEO: 6, FrameKind.DATA: 7}
#: What may wait for a viewer. One that has dropped frames and not caught up for ten
#: seconds is sent away.
VIEWER = Delivery(Policy.TO_KEYFRAME, patience=10.0)
#: Sound waits for the next picture, and leaves with it in one write: with AAC that is
#: one write instead of two or three. No longer than a picture lasts at 25 a second.
HOLD = 0.04


@dataclass(frozen=True, slots=True)
class PlaySettings:
    """
    How viewers are served.

    @ivar delivery: what may wait for one of them, and what gives way.
    @ivar waits: whether a viewer may come before the publisher; if not, it is told
        that there is no such stream.
    @ivar merge: seconds over which what a viewer gets is gathered into one write.
    @ivar hold: seconds that sound may wait for the next picture, to leave with it; 0
        is not at all.
    """

    delivery: Delivery = VIEWER
    waits: bool = True
    merge: float = 0.0
    hold: float = HOLD


class SharedForm:
    """
    The encoded form of a frame that all viewers share: with an absolute header, which
    needs nothing that came before, and the chunk size that all of them were told.
    """

    __slots__ = ("_chunkSize", "_data", "_frame", "_streamID")

    def __init__(self, chunkSize: int) -> None:
        self._chunkSize = chunkSize
        self._frame: Frame | None = None
        self._streamID = 0
        self._data = b""

    def encoded(self, frame: Frame, streamID: int) -> bytes:
        """
        @return: the frame as a message on a message stream. One frame goes to all
            viewers before the next comes, so the last one is kept.
        """
        if frame is not self._frame or streamID != self._streamID:
            self._data = encodeMessage(
                _CHUNK_STREAMS[frame.kind],
                frame.kind,
                # A time before the beginning would be read as 49 days.
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
    Sends a stream's frames to all its viewers that keep pace: joined once, written to
    each socket.
    """

    def __init__(
        self, turns: Turns, form: SharedForm, streamID: int, hold: float
    ) -> None:
        self._turns = turns
        self._form = form
        self._streamID = streamID
        self._hold = hold
        # Whether pictures come that sound can wait for.
        self._hasPictures = False
        self._holding: IDelayedCall | None = None
        self._isScheduled = False
        self._pieces: list[bytes] = []
        self._size = 0
        self._members: dict[Sender, Callable[[bytes], int]] = {}

    def frameReceived(self, frame: Frame) -> None:
        """
        Send it when the turn is over, or with the next picture.
        """
        data = self._form.encoded(frame, self._streamID)
        self._pieces.append(data)
        self._size += len(data)
        if self._size >= MAX_JOINED:
            self._flush()
        elif self._isScheduled:
            pass
        elif frame.kind is FrameKind.VIDEO or not self._hasPictures:
            self._hasPictures = bool(self._hold) and frame.kind is FrameKind.VIDEO
            self._isScheduled = True
            self._turns.add(self._turnOver)
        elif self._holding is None:
            self._holding = self._turns.later(self._hold, self._heldEnough)

    def _turnOver(self) -> None:
        self._isScheduled = False
        self._flush()

    def _heldEnough(self) -> None:
        # No picture came: the next sound does not wait for one.
        self._hasPictures = False
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
        # Whoever is found full leaves while we go round.
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
        A viewer has got all so far: by itself, or with the others.
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
        A viewer gets what was gathered, and no more.
        """
        self._flush()
        assert isinstance(sink, PlaySink)
        self._members.pop(sink.sender, None)


class PlaySink:
    """
    Sends a stream's frames to a viewer.
    """

    #: A player that leaves is no failure.
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
        The viewer may be full already: with what it played before.
        """
        self.producer = producer
        if self.sender.isFull:
            producer.pauseProducing()

    def frameReceived(self, frame: Frame) -> None:
        """
        Send it.
        """
        self.sender.write(self._form.encoded(frame, self._streamID))

    def streamEnded(self, reason: str) -> None:
        """
        Say so.
        """
        # The producer has us.
        self.producer = None
        self._ended(reason)


class PacingPlaySink(PlaySink):
    """
    A viewer that may get its frames together with others, which plain sockets can.
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


# Not as decorators: mypyc makes a plain class of one that has any.
classImplements(PlayMulticast, IMulticastTarget)
classImplements(PlaySink, IFrameSink)
classImplements(PacingPlaySink, IMulticastSink)


class Viewing:
    """
    What all viewers of a server share.

    @ivar settings: how they are served.
    @ivar turns: when what they get leaves.
    """

    def __init__(
        self, clock: IReactorTime, settings: PlaySettings, chunkSize: int
    ) -> None:
        """
        @param chunkSize: what all of them were told.
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
        @param ended: told when there is no more to play.
        @return: a sink for one viewer.
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
    What a viewer plays on one message stream: it waits for a publisher if there is
    none, then it is attached to the stream.
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
        @param makeSink: makes the sink of a stream, given whom to tell of its end.
        @param viewer: who it is, as C{host:port}.
        @param ended: told when there is no more to play, the reason, and whether the
            stream has ended; if it has not, the viewer was sent away.
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
        self._log.failure("{viewer}: an error in playing", failure, viewer=self._viewer)
        self._ended(self, "an error in the server", False)

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
        Send nothing for now, or go on with the next key frame.
        """
        self._isPaused = isPaused
        self._select()

    def select(self, kind: FrameKind, isWanted: bool) -> None:
        """
        Send, or do not send, audio or video.
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
        The viewer does not take what it is sent for now, or does again.
        """
        producer = None if self._sink is None else self._sink.producer
        if producer is not None:
            if isFull:
                producer.pauseProducing()
            else:
                producer.resumeProducing()

    def stop(self, reason: str) -> None:
        """
        The viewer wants no more.
        """
        self._isOver = True
        outlet = self._outlet
        self._letGo()
        if outlet is not None:
            outlet.detach(reason)
        else:
            self._waiting.cancel()

    def _letGo(self) -> None:
        # The sink has us to tell: each would wait for the other to be freed.
        self._sink = None
        self._outlet = None
