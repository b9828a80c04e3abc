"""
Playing: a viewer of a live stream is one more sink of it.
"""

from collections.abc import Callable
from dataclasses import dataclass

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.python.failure import Failure
from zope.interface import implementer

from rtmptw.delivery import Delivery, Policy
from rtmptw.frames import Frame, FrameKind, StreamInfo
from rtmptw.hub.outlet import Outlet
from rtmptw.hub.stream import Stream
from rtmptw.interfaces import IFrameSink
from rtmptw.outputs.sending import Sender
from rtmptw.wire.chunk import encodeMessage

#: Where media goes: chunk streams that nothing else is sent on.
_CHUNK_STREAMS = {FrameKind.AUDIO: 4, FrameKind.VIDEO: 6, FrameKind.DATA: 7}
#: What may wait for a viewer. One that has dropped frames and not caught up for ten
#: seconds is sent away.
VIEWER = Delivery(Policy.TO_KEYFRAME, patience=10.0)


@dataclass(frozen=True, slots=True)
class PlaySettings:
    """
    How viewers are served.

    @ivar delivery: what may wait for one of them, and what gives way.
    @ivar waits: whether a viewer may come before the publisher; if not, it is told
        that there is no such stream.
    @ivar merge: seconds over which what a viewer gets is gathered into one write.
    """

    delivery: Delivery = VIEWER
    waits: bool = True
    merge: float = 0.0


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


@implementer(IFrameSink)
class PlaySink:
    """
    Sends a stream's frames to a viewer.
    """

    __slots__ = ("_ended", "_form", "_sender", "_streamID", "delivery", "producer")

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
        self._sender = sender
        self._form = form
        self._streamID = streamID
        self._ended = ended

    def streamStarted(self, stream: StreamInfo, producer: IPushProducer) -> None:
        """
        The viewer may be full already: with what it played before.
        """
        self.producer = producer
        if self._sender.isFull:
            producer.pauseProducing()

    def frameReceived(self, frame: Frame) -> None:
        """
        Send it.
        """
        self._sender.write(self._form.encoded(frame, self._streamID))

    def streamEnded(self, reason: str) -> None:
        """
        Say so.
        """
        self._ended(reason)


class Playback:
    """
    What a viewer plays on one message stream: it waits for a publisher if there is
    none, then it is attached to the stream.
    """

    def __init__(
        self,
        waiting: "Deferred[Stream]",
        makeSink: Callable[[Callable[[str], None]], PlaySink],
        viewer: str,
        ended: Callable[["Playback", str, bool], None],
    ) -> None:
        """
        @param waiting: fires with the stream.
        @param makeSink: makes the sink, given whom to tell that it has ended.
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

    def _cancelled(self, failure: Failure) -> None:
        failure.trap(CancelledError)
        self._sinkEnded("the server stops")

    def _attach(self, stream: Stream) -> None:
        if self._isOver:
            return
        self._sink = self._makeSink(self._sinkEnded)
        self._outlet = stream.attach(f"play {self._viewer}", self._sink, viewer=True)
        self._select()

    def _sinkEnded(self, reason: str) -> None:
        if not self._isOver:
            self._isOver = True
            outlet = self._outlet
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
        if self._outlet is not None:
            self._outlet.detach(reason)
        else:
            self._waiting.cancel()
