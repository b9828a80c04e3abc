"""
The end of a sink: the sink is told once, and any caller can wait until it has finished.
"""

from typing import ClassVar

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from rtmptw.interfaces import IFrameSink


class Ending:
    """
    Tells a sink that its stream has ended, and waits until the sink has finished.

    @ivar finished: fires when the sink has finished; C{None} until it is told.
    """

    # ClassVar, because mypyc would otherwise create one for each object.
    _log: ClassVar[Logger] = Logger()

    def __init__(self, name: str, sink: IFrameSink) -> None:
        """
        @param name: the sink's name, for the log.
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
            # A sink is foreign code: an error in it affects no other sink.
            self._log.failure(
                "{sink}: error while the sink was ending", sink=self._name
            )
            result = None
        if result is None:
            result = succeed(None)
        result.addErrback(self._failed)
        result.addCallback(self._over, finished)
        return finished

    def whenOver(self) -> "Deferred[None]":
        """
        @return: a new L{Deferred} that fires when the sink has finished.
        """
        waiting: Deferred[None] = Deferred()
        if self._isOver:
            waiting.callback(None)
        else:
            self._waiters.append(waiting)
        return waiting

    def _failed(self, failure: Failure) -> None:
        self._log.failure(
            "{sink}: error while the sink was ending", failure, sink=self._name
        )

    def _over(self, result: object, finished: "Deferred[None]") -> None:
        self._isOver = True
        for waiter in (finished, *self._waiters):
            waiter.callback(None)
