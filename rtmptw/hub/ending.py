"""
The end of a sink: told to it once, and waited for by whoever wants to.
"""

from typing import ClassVar

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from rtmptw.interfaces import IFrameSink


class Ending:
    """
    Tells a sink that nothing follows, and when it has put everything away.

    @ivar finished: fires then; C{None} while the sink has not been told.
    """

    # Not one for each object, as mypyc would make it.
    _log: ClassVar[Logger] = Logger()

    def __init__(self, name: str, sink: IFrameSink) -> None:
        """
        @param name: the sink's, for the log.
        """
        self.finished: Deferred[None] | None = None
        self._name = name
        self._sink = sink
        self._isOver = False
        self._waiters: list[Deferred[None]] = []

    def begin(self, reason: str) -> "Deferred[None]":
        """
        Tell the sink.

        @return: L{finished}.
        """
        finished: Deferred[None] = Deferred()
        self.finished = finished
        try:
            result = self._sink.streamEnded(reason)
        except (Exception, SystemExit):
            # A sink is anybody's code: what goes wrong in it ends it alone.
            self._log.failure("{sink}: an error at its end", sink=self._name)
            result = None
        if result is None:
            result = succeed(None)
        result.addErrback(self._failed)
        result.addCallback(self._over, finished)
        return finished

    def whenOver(self) -> "Deferred[None]":
        """
        @return: a L{Deferred} of the caller's own that fires when the sink has put
            everything away.
        """
        waiting: Deferred[None] = Deferred()
        if self._isOver:
            waiting.callback(None)
        else:
            self._waiters.append(waiting)
        return waiting

    def _failed(self, failure: Failure) -> None:
        self._log.failure("{sink}: an error at its end", failure, sink=self._name)

    def _over(self, result: object, finished: "Deferred[None]") -> None:
        self._isOver = True
        for waiter in (finished, *self._waiters):
            waiter.callback(None)
