"""
What you need to offer a sink of your own: the plugin's object, and a base class for
the factory. Import it in a plugin file: it imports neither a reactor nor a sink.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from inspect import getdoc
from typing import TYPE_CHECKING, Any, cast

from twisted.plugin import IPlugin
from twisted.python.reflect import namedAny
from zope.interface import implementer

from rtmptw.interfaces import IFrameSink, IFrameSinkFactory, IFrameSinkPlugin

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from rtmptw.frames import StreamInfo


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
        return getdoc(namedAny(self.dotted)) or ""

    def factoryFor(self, argstring: str) -> IFrameSinkFactory:
        """
        Import the sink and make its factory.

        @raise UsageError: with one sentence, if the arguments are not understood.
        """
        make = cast(Any, namedAny(self.dotted))
        return cast(IFrameSinkFactory, make(argstring))


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
    def buildSink(self, stream: "StreamInfo") -> IFrameSink | None:
        """
        Override this.

        @return: a new sink for the stream, or C{None} if it is not wanted.
        """

    def stopFactory(self) -> "Deferred[None] | None":
        """
        Nothing to stop.
        """
        return None
