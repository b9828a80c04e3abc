"""
Makes the sinks that keep nothing.
"""

from rtmptw.frames import StreamInfo
from rtmptw.plugins.arguments import Arguments
from rtmptw.plugins.sink import FrameSinkFactory
from rtmptw.sinks.null.sink import NullSink

__all__ = ["NullSink", "NullSinkFactory"]


class NullSinkFactory(FrameSinkFactory):
    """
    Makes sinks that count frames and keep nothing.
    """

    arguments = Arguments("null sink")

    @classmethod
    def fromString(cls, argstring: str) -> "NullSinkFactory":
        """
        Count the frames of each stream and log the counts at its end; nothing is kept.
        Takes no arguments::

            --sink=null

        @raise UsageError: if there are arguments.
        """
        cls.arguments.read(argstring)
        return cls()

    def buildSink(self, stream: StreamInfo) -> NullSink:
        """
        @return: a new L{NullSink}.
        """
        return NullSink()
