"""
What you need to provide your own source: the plugin class. Plugin files may import this
module: it imports neither a reactor nor a source.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from twisted.plugin import IPlugin
from zope.interface import implementer

from rtmptw.interfaces import IFrameSourceFactory, IFrameSourcePlugin
from rtmptw.plugins.named import argumentsOf, call, helpOf

if TYPE_CHECKING:
    from rtmptw.plugins.arguments import Arguments


@implementer(IPlugin, IFrameSourcePlugin)
@dataclass(frozen=True)
class SourcePlugin:
    """
    Registers a source for the command line without importing it::

        # twisted/plugins/example_plugin.py
        from rtmptw.plugins.source import SourcePlugin
        pattern = SourcePlugin("pattern", "[:NAME]", "example.pattern.PatternFactory")

    @ivar sourceType: the type that selects it: C{--source=TYPE}.
    @ivar argumentFormat: the usage line of its arguments.
    @ivar dotted: the full name of a class, function or class method that takes the
        argument string and returns the L{IFrameSourceFactory}. Its docstring is the
        help text.
    @ivar schemes: the schemes of the URLs that C{--pull} passes to it; see
        L{IFrameSourcePlugin}.
    """

    sourceType: str
    argumentFormat: str
    dotted: str
    schemes: tuple[str, ...] = ()

    @property
    def sourceHelp(self) -> str:
        """
        The text that C{--help-source-type=TYPE} prints. Imports the source.
        """
        return helpOf(self.dotted)

    @property
    def arguments(self) -> "Arguments | None":
        """
        The table of arguments, if the source has one. Imports the source.
        """
        return argumentsOf(self.dotted)

    def sourceFor(self, argstring: str) -> IFrameSourceFactory:
        """
        Import the source and make its factory.

        @raise UsageError: with one sentence, if the arguments are not valid.
        """
        return cast(IFrameSourceFactory, call(self.dotted, argstring))
