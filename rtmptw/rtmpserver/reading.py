"""
Starts and stops reading from a client.
"""

from typing import Any, cast

from twisted.internet.interfaces import IPushProducer, IReactorTime, ITransport

from rtmptw.net.readers import Readers
from rtmptw.rtmp.serversession import ServerSession
from rtmptw.rtmpserver.dispatch import Dispatch


class Reading:
    """
    Reads a connection: through the readers if they can, otherwise as Twisted does.
    Reading stops while there is at least one reason to pause.
    """

    __slots__ = (
        "_clock",
        "_dispatch",
        "_isOver",
        "_readers",
        "_reasons",
        "_session",
        "_transport",
    )

    def __init__(
        self,
        transport: ITransport,
        readers: Readers | None,
        dispatch: Dispatch,
        session: ServerSession,
        clock: IReactorTime,
    ) -> None:
        """
        @param readers: C{None} if Twisted reads.
        @param session: told when reading pauses, as the peer's silence means nothing
            then.
        """
        self._transport = transport
        self._readers = readers
        self._dispatch = dispatch
        self._session = session
        self._clock = clock
        self._reasons: set[object] = set()
        self._isOver = False

    def start(self) -> None:
        """
        Hand the connection to the readers, if they can read it.
        """
        if self._readers is not None:
            self._readers.add(self._transport, self._dispatch.receive)

    def pause(self, reason: object) -> None:
        """
        Stop reading from the peer until L{resume} is called with this C{reason}.
        """
        if not self._reasons and not self._isOver:
            if self._readers is not None:
                self._readers.remove(self._transport)
            # Every stream transport of Twisted is a push producer.
            cast(IPushProducer, self._transport).pauseProducing()
            self._session.readingPaused()
        self._reasons.add(reason)

    def resume(self, reason: object) -> bool:
        """
        Drop a reason not to read. Does nothing if it is not one.

        @return: whether this resumed reading from the peer.
        """
        if reason not in self._reasons:
            return False
        self._reasons.remove(reason)
        if self._reasons or self._isOver:
            return False
        self._session.readingResumed(self._clock.seconds())
        cast(IPushProducer, self._transport).resumeProducing()
        self.start()
        return True

    def end(self) -> None:
        """
        The connection is closing: leave the rest to Twisted.
        """
        self._isOver = True
        self._reasons.clear()
        if self._readers is not None:
            self._readers.remove(cast(Any, self._transport))
