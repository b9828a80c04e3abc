"""
Whether a client is read from.
"""

from typing import Any, cast

from twisted.internet.interfaces import IPushProducer, IReactorTime, ITransport

from rtmptw.net.readers import Readers
from rtmptw.rtmp.serversession import ServerSession
from rtmptw.rtmpserver.dispatch import Dispatch


class Reading:
    """
    Reads a connection: by the readers, if they can, or as Twisted does. It stops while
    there is a reason to, and there may be several.
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
        @param session: told when its peer's silence says nothing.
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
        Leave it to the readers, if they can.
        """
        if self._readers is not None:
            self._readers.add(self._transport, self._dispatch.receive)

    def pause(self, reason: object) -> None:
        """
        Read nothing from the peer until C{reason} is over.
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
        C{reason} is over, if it was one.

        @return: whether the peer is read from again by that.
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
        The connection is closing: Twisted sees to the rest of it.
        """
        self._isOver = True
        self._reasons.clear()
        if self._readers is not None:
            self._readers.remove(cast(Any, self._transport))
