"""
What you need to provide your own sink: the plugin class, and base classes for the sink
and its factory. Plugin files may import this module: it imports neither a reactor nor a
sink.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

from twisted.internet.interfaces import IPushProducer
from twisted.plugin import IPlugin
from zope.interface import implementer

from rtmptw.delivery import LOSSLESS, Delivery
from rtmptw.interfaces import IFrameSink, IFrameSinkFactory, IFrameSinkPlugin
from rtmptw.plugins.named import argumentsOf, call, helpOf

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from rtmptw.frames import Frame, StreamInfo
    from rtmptw.plugins.arguments import Arguments


@implementer(IPlugin, IFrameSinkPlugin)
@dataclass(frozen=True)
class SinkPlugin:
    """
    Registers a sink for the command line without importing it::

        # twisted/plugins/example_plugin.py
        from rtmptw.plugins.sink import SinkPlugin
        counter = SinkPlugin("count", "[:LABEL]", "example.counter.CountFactory")

    @ivar sinkType: the type that selects it: C{--sink=TYPE}.
    @ivar argumentFormat: the usage line of its arguments.
    @ivar dotted: the full name of a class, function or class method that takes the
        argument string and returns the L{IFrameSinkFactory}. Its docstring is the help
        text.
    """

    sinkType: str
    argumentFormat: str
    dotted: str

    @property
    def sinkHelp(self) -> str:
        """
        The text that C{--help-sink-type=TYPE} prints. Imports the sink.
        """
        return helpOf(self.dotted)

    @property
    def arguments(self) -> "Arguments | None":
        """
        The table of arguments, if the sink has one. Imports the sink.
        """
        return argumentsOf(self.dotted)

    def factoryFor(self, argstring: str) -> IFrameSinkFactory:
        """
        Import the sink and make its factory.

        @raise UsageError: with one sentence, if the arguments are not valid.
        """
        return cast(IFrameSinkFactory, call(self.dotted, argstring))


class FrameProducer(Protocol):
    """
    Gives frames to a sink. This is
    L{IFrameProducer<rtmptw.interfaces.IFrameProducer>} for type checkers that do not
    understand zope.interface.
    """

    def pauseProducing(self) -> None:
        """
        Stop giving frames. They are queued as the sink's delivery policy says.
        """

    def resumeProducing(self) -> None:
        """
        Give frames again.
        """

    def stopProducing(self) -> None:
        """
        Detach this sink: it needs no more frames.
        """

    def framesDropped(self, reason: str, frames: int, size: int) -> None:
        """
        Count frames that the sink received and then dropped, for its ledger.
        """


@implementer(IFrameSink)
class FrameSink(ABC):
    """
    A base class for sinks; implement L{frameReceived}. The contract is
    L{IFrameSink<rtmptw.interfaces.IFrameSink>}, which a class can also implement
    without this base class.

    @cvar delivery: what happens when the sink is slow; override it in your class.
    @ivar failure: why the sink stopped before its stream ended; set it before
        C{self.producer.stopProducing()}.
    @ivar stream: the sink's stream.
    @ivar producer: gives the sink its frames.
    """

    delivery: Delivery = LOSSLESS
    failure: str = ""
    stream: "StreamInfo"
    producer: FrameProducer

    def streamStarted(self, stream: "StreamInfo", producer: IPushProducer) -> None:
        """
        The stream starts for this sink. If you override this, call it.
        """
        self.stream = stream
        self.producer = cast(FrameProducer, producer)

    @abstractmethod
    def frameReceived(self, frame: "Frame") -> None:
        """
        Handle the next frame. Override this. It must not block.
        """

    def streamEnded(self, reason: str) -> "Deferred[None] | None":
        """
        No more frames follow. Override this if there is something to finish.

        @return: C{None}, or a L{Deferred<twisted.internet.defer.Deferred>} that fires
            when the sink has finished.
        """
        return None


@implementer(IFrameSinkFactory)
class FrameSinkFactory(ABC):
    """
    A base class for factories that need neither start nor stop; implement L{buildSink}.
    """

    def startFactory(self, reactor: object) -> None:  # noqa: B027 -- may stay empty
        """
        Do nothing.
        """

    @abstractmethod
    def buildSink(self, stream: "StreamInfo") -> IFrameSink | FrameSink | None:
        """
        Build a sink. Override this.

        @return: a new sink for the stream, or C{None} to ignore the stream.
        """

    def stopFactory(self) -> "Deferred[None] | None":
        """
        Do nothing.
        """
        return None
