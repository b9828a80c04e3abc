"""
What one connection publishes.
"""

from zope.interface import implementer

from rtmptw.hub.hub import StreamHub
from rtmptw.hub.stream import Stream
from rtmptw.interfaces import IFrameSource, PublishPermit
from rtmptw.rtmp.events import PublishRequested
from rtmptw.rtmpserver.connection import Connection
from rtmptw.rtmpserver.dispatch import Dispatch
from rtmptw.rtmpserver.names import Names
from rtmptw.rtmpserver.reading import Reading


@implementer(IFrameSource)
class Publication:
    """
    One published message stream, as the hub sees it.

    @ivar stream: what it publishes; C{None} before, and after another took it over.
    """

    isFed = False

    def __init__(self, connection: Connection, encoder: str) -> None:
        self.peer = connection.peer
        self.encoder = encoder or "unknown encoder"
        self.stream: Stream | None = None
        self._connection = connection

    def pauseSource(self) -> None:
        """
        Read nothing more for now.
        """
        self._connection.pauseReading(self)

    def resumeSource(self) -> None:
        """
        Read on.
        """
        self._connection.resumeReading(self)

    def silentFor(self) -> float:
        """
        @return: the seconds since the peer's last byte.
        """
        return self._connection.silentFor()

    def sourceReplaced(self, reason: str) -> None:
        """
        Another source has the stream: close.
        """
        self.stream = None
        self._connection.close(reason)


class Publications:
    """
    The message streams that are published, by number.

    @ivar names: what has been published so far.
    """

    __slots__ = ("_dispatch", "_hub", "_live", "_reading", "names")

    def __init__(self, hub: StreamHub, dispatch: Dispatch, reading: Reading) -> None:
        self._hub = hub
        self._dispatch = dispatch
        self._reading = reading
        self._live: dict[int, Publication] = {}
        self.names = Names()

    def __bool__(self) -> bool:
        return bool(self._live)

    def begin(
        self, connection: Connection, permit: PublishPermit, event: PublishRequested
    ) -> bool:
        """
        Publish a message stream.

        @return: whether it is published; not if that has ended the connection itself,
            which published it already.

        @raise NotAllowed: if somebody else publishes it.
        """
        publication = Publication(connection, event.encoder)
        stream = self._hub.publish(
            permit.app, permit.stream, publication, permit.credentials
        )
        if connection.isOver:
            # It has taken over from itself.
            self._hub.sourceLost(stream, publication, connection.endReason)
            return False
        publication.stream = stream
        self._live[event.streamID] = publication
        self._dispatch.published(event.streamID, stream)
        self.names.add(stream.name)
        return True

    def heldBytes(self) -> int:
        """
        @return: of the frames that their streams keep.
        """
        return sum(
            publication.stream.heldBytes()
            for publication in self._live.values()
            if publication.stream is not None
        )

    def clearHeader(self, streamID: int, name: str) -> None:
        """
        A data message that late sinks would have got is no longer true.
        """
        publication = self._live.get(streamID)
        if publication is not None and publication.stream is not None:
            publication.stream.headerCleared(name)

    def end(self, streamID: int, reason: str, isStop: bool = False) -> bool:
        """
        A message stream is published no more.

        @param isStop: whether the publisher has said so.
        @return: whether the peer is read from again by that.
        """
        publication = self._live.pop(streamID)
        self._dispatch.unpublished(streamID)
        isRead = self._reading.resume(publication)
        if publication.stream is not None:
            self._hub.sourceLost(publication.stream, publication, reason, isStop)
        return isRead

    def endAll(self, reason: str) -> None:
        """
        The connection is lost.
        """
        for streamID in list(self._live):
            self.end(streamID, reason)
