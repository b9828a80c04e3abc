"""
The streams that one connection publishes.
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

    @ivar stream: the stream it publishes; C{None} before it does, and after another
        source has taken it over.
    """

    isFed = False

    def __init__(self, connection: Connection, encoder: str) -> None:
        self.peer = connection.peer
        self.encoder = encoder or "unknown encoder"
        self.stream: Stream | None = None
        self._connection = connection

    def pauseSource(self) -> None:
        """
        Stop reading for now.
        """
        self._connection.pauseReading(self)

    def resumeSource(self) -> None:
        """
        Resume reading.
        """
        self._connection.resumeReading(self)

    def silentFor(self) -> float:
        """
        @return: seconds since the peer's last byte.
        """
        return self._connection.silentFor()

    def sourceReplaced(self, reason: str) -> None:
        """
        Another source has taken over the stream: close the connection.
        """
        self.stream = None
        self._connection.close(reason)


class Publications:
    """
    The message streams that are published, by number.

    @ivar names: names of all streams published so far.
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

        @return: whether it is published. It is not if this connection published the
            same stream already and was closed by the takeover.

        @raise NotAllowed: if another source publishes it.
        """
        publication = Publication(connection, event.encoder)
        stream = self._hub.publish(
            permit.app, permit.stream, publication, permit.credentials
        )
        if connection.isOver:
            # It took the stream over from itself.
            self._hub.sourceLost(stream, publication, connection.endReason)
            return False
        publication.stream = stream
        self._live[event.streamID] = publication
        self._dispatch.published(event.streamID, stream)
        self.names.add(stream.name)
        return True

    def heldBytes(self) -> int:
        """
        @return: bytes of the frames that the streams keep.
        """
        return sum(
            publication.stream.heldBytes()
            for publication in self._live.values()
            if publication.stream is not None
        )

    def clearHeader(self, streamID: int, name: str) -> None:
        """
        Forget a data message that was kept for sinks that attach later.
        """
        publication = self._live.get(streamID)
        if publication is not None and publication.stream is not None:
            publication.stream.headerCleared(name)

    def end(self, streamID: int, reason: str, isStop: bool = False) -> bool:
        """
        Stop publishing a message stream.

        @param isStop: whether the publisher asked for it.
        @return: whether this resumed reading from the peer.
        """
        publication = self._live.pop(streamID)
        self._dispatch.unpublished(streamID)
        isRead = self._reading.resume(publication)
        if publication.stream is not None:
            self._hub.sourceLost(publication.stream, publication, reason, isStop)
        return isRead

    def endAll(self, reason: str) -> None:
        """
        The connection is lost: stop publishing all streams.
        """
        for streamID in list(self._live):
            self.end(streamID, reason)
