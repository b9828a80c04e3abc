"""
What you need to offer a sink of your own: the plugin's object, and base classes for the
sink and its factory. A plugin file may import it, as it imports no reactor and no sink.
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
    Names a sink for the command line without importing it::

        # twisted/plugins/example_plugin.py
        from rtmptw.plugins.sink import SinkPlugin
        counter = SinkPlugin("count", "[:LABEL]", "example.counter.CountFactory")

    @ivar sinkType: the word that selects it: C{--sink=TYPE}.
    @ivar argumentFormat: one line that shows the arguments.
    @ivar dotted: the full name of what is called with the argument string and
        returns the L{IFrameSinkFactory}: a class, function or class method. Its
        docstring is the help.
    """

    sinkType: str
    argumentFormat: str
    dotted: str

    @property
    def sinkHelp(self) -> str:
        """
        What C{--help-sink-type=TYPE} prints. Imports the sink.
        """
        return helpOf(self.dotted)

    @property
    def arguments(self) -> "Arguments | None":
        """
        The table of the arguments, if it has one. Imports the sink.
        """
        return argumentsOf(self.dotted)

    def factoryFor(self, argstring: str) -> IFrameSinkFactory:
        """
        Import the sink and make its factory.

        @raise UsageError: with one sentence, if the arguments are not understood.
        """
        return cast(IFrameSinkFactory, call(self.dotted, argstring))


class FrameProducer(Protocol):
    """
    What hands frames to a sink, and what a sink says to it. It is an
    L{IFrameProducer<rtmptw.interfaces.IFrameProducer>}, for type checkers that do not
    know zope.interface.
    """

    def pauseProducing(self) -> None:
        """
        "I am full." Frames wait, by the sink's delivery policy.
        """

    def resumeProducing(self) -> None:
        """
        "Go on."
        """

    def stopProducing(self) -> None:
        """
        "I am done": detach this sink.
        """

    def framesDropped(self, reason: str, frames: int, size: int) -> None:
        """
        "Of what I took, these frames have come to nothing", for the books.
        """


@implementer(IFrameSink)
class FrameSink(ABC):
    """
    A sink to inherit from: write L{frameReceived}. The contract is
    L{IFrameSink<rtmptw.interfaces.IFrameSink>}, which a class can also fulfil without
    this one.

    @cvar delivery: what gives way when the sink is slow; set another one in the class.
    @ivar failure: why it ended before its stream did; set it before
        C{self.producer.stopProducing()}.
    @ivar stream: what it was told of its stream.
    @ivar producer: what hands it its frames.
    """

    delivery: Delivery = LOSSLESS
    failure: str = ""
    stream: "StreamInfo"
    producer: FrameProducer

    def streamStarted(self, stream: "StreamInfo", producer: IPushProducer) -> None:
        """
        The stream begins for this sink. Call this if you override it.
        """
        self.stream = stream
        self.producer = cast(FrameProducer, producer)

    @abstractmethod
    def frameReceived(self, frame: "Frame") -> None:
        """
        Override this: take the next frame. It must not block.
        """

    def streamEnded(self, reason: str) -> "Deferred[None] | None":
        """
        Nothing follows. Override this if there is something to put away.

        @return: C{None}, or a L{Deferred<twisted.internet.defer.Deferred>} that fires
            when all is put away.
        """
        return None


@implementer(IFrameSinkFactory)
class FrameSinkFactory(ABC):
    """
    A factory with nothing to start and nothing to stop: write L{buildSink}.
    """

    def startFactory(self, reactor: object) -> None:  # noqa: B027 -- may stay empty
        """
        Nothing to start.
        """

    @abstractmethod
    def buildSink(self, stream: "StreamInfo") -> IFrameSink | FrameSink | None:
        """
        Override this.

        @return: a new sink for the stream, or C{None} if it is not wanted.
        """

    def stopFactory(self) -> "Deferred[None] | None":
        """
        Nothing to stop.
        """
        return None
