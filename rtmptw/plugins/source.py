"""
What you need to offer a source of your own: the plugin's object. Import it in a plugin
file: it imports neither a reactor nor a source.
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
    Names a source for the command line without importing it::

        # twisted/plugins/example_plugin.py
        from rtmptw.plugins.source import SourcePlugin
        pattern = SourcePlugin("pattern", "[:NAME]", "example.pattern.PatternFactory")

    @ivar sourceType: the word that selects it: C{--source=TYPE}.
    @ivar argumentFormat: one line that shows the arguments.
    @ivar dotted: the full name of what is called with the argument string and
        returns the L{IFrameSourceFactory}: a class, function or class method. Its
        docstring is the help.
    @ivar schemes: of the URLs that C{--pull} gives to it; see L{IFrameSourcePlugin}.
    """

    sourceType: str
    argumentFormat: str
    dotted: str
    schemes: tuple[str, ...] = ()

    @property
    def sourceHelp(self) -> str:
        """
        What C{--help-source-type=TYPE} prints. Imports the source.
        """
        return helpOf(self.dotted)

    @property
    def arguments(self) -> "Arguments | None":
        """
        The table of the arguments, if it has one. Imports the source.
        """
        return argumentsOf(self.dotted)

    def sourceFor(self, argstring: str) -> IFrameSourceFactory:
        """
        Import the source and make its factory.

        @raise UsageError: with one sentence, if the arguments are not understood.
        """
        return cast(IFrameSourceFactory, call(self.dotted, argstring))
