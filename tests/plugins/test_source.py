"""
Tests for L{rtmptw.plugins.source} and the sources that are installed.
"""

import subprocess
import sys
from typing import Any
from unittest import mock

from twisted.application.service import IService, Service
from twisted.plugin import IPlugin
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from rtmptw.interfaces import IFrameSourceFactory, IFrameSourcePlugin
from rtmptw.plugins import registry
from rtmptw.plugins.arguments import Argument, Arguments
from rtmptw.plugins.registry import pullFactory, sourceFactory, sourcePlugins
from rtmptw.plugins.source import SourcePlugin
from rtmptw.plugins.values import Text
from rtmptw.rtmpclient.pull import RTMPPullFactory


class SomeSource:
    """
    Publish something.

    @raise UsageError: if it is bad.
    """

    arguments = Arguments("some source", Argument("what", Text("WORD"), "say so"))
    stream = ""

    def __init__(self, argstring: str) -> None:
        if argstring == "bad":
            raise UsageError("It is bad.")
        self.argstring = argstring

    def buildSource(self, hub: Any, reactor: Any) -> IService:
        return Service()


class SourcePluginTests(SynchronousTestCase):
    """
    A plugin's object names a source, and imports it only when it is asked for.
    """

    plugin = SourcePlugin(
        "some", "[:what=WORD]", f"{__name__}.SomeSource", ("some", "rtmps")
    )

    def installed(self, *plugins: SourcePlugin) -> None:
        """
        Install plugins, beside the built-in ones.
        """
        there = sourcePlugins()
        patch = mock.patch.object(
            registry, "getPlugins", lambda interface: [*there, *plugins]
        )
        patch.start()
        self.addCleanup(patch.stop)

    def test_itIsAPlugin(self) -> None:
        """
        Twisted finds it, and the command line can use it.
        """
        self.assertTrue(verifyObject(IPlugin, self.plugin))
        self.assertTrue(verifyObject(IFrameSourcePlugin, self.plugin))
        self.assertEqual(self.plugin.arguments, SomeSource.arguments)

    def test_theFactoryGetsTheArgumentsUntouched(self) -> None:
        """
        All that follows the colon is the source's business.
        """
        self.installed(self.plugin)
        factory = sourceFactory(r"some:a:b\:c=d#e")
        assert isinstance(factory, SomeSource)
        self.assertEqual(factory.argstring, r"a:b\:c=d#e")
        error = self.assertRaises(UsageError, sourceFactory, "some:bad")
        self.assertEqual(str(error), "It is bad.")

    def test_unknown(self) -> None:
        """
        The sentence says which there are.
        """
        error = self.assertRaises(UsageError, sourceFactory, "nope:x")
        self.assertEqual(
            str(error), "there is no source 'nope'; there are: media, rtmp"
        )

    def test_theHelp(self) -> None:
        """
        The docstring for people, and the table.
        """
        self.assertEqual(
            self.plugin.sourceHelp, "Publish something.\n\n  what=WORD  say so"
        )

    def test_itsSchemes(self) -> None:
        """
        C{--pull} gives URLs to whom takes them; who comes first has no better right.
        """
        self.installed(self.plugin)
        factory = pullFactory("SOME://h/a?b=c#what=d", onDemand=True)
        assert isinstance(factory, SomeSource)
        self.assertEqual(factory.argstring, "SOME://h/a?b=c#what=d&demand=1")
        factory = pullFactory("some://h/a=live/b")
        assert isinstance(factory, SomeSource)
        self.assertEqual(factory.argstring, "some://h/a#as=live/b")
        self.assertIsInstance(pullFactory("rtmp://h/a/b"), RTMPPullFactory)

    def test_nobodyTakesIt(self) -> None:
        """
        Without the built-in sources.
        """
        patch: Any = mock.patch.object(registry, "getPlugins", lambda interface: [])
        patch.start()
        self.addCleanup(patch.stop)
        error = self.assertRaises(UsageError, pullFactory, "http://h/a/b")
        self.assertEqual(str(error), "no source that is installed pulls http://")

    def test_namingASourceImportsNeitherItNorAReactor(self) -> None:
        """
        Else C{twistd --reactor} would be broken by our being installed.
        """
        program = (
            "import sys\n"
            "import twisted.plugins.rtmptw_plugin\n"
            "print([name for name in ('twisted.internet.reactor', 'rtmptw.hub.hub', "
            "'rtmptw.plugins.arguments', 'rtmptw.sources', 'rtmptw.rtmpclient') "
            "if name in sys.modules])\n"
        )
        output = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        )
        self.assertEqual(output.stdout, "[]\n")

    def test_theContract(self) -> None:
        """
        What a factory has.
        """
        self.assertEqual(set(IFrameSourceFactory.names()), {"stream", "buildSource"})
