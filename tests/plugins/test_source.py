"""
Tests for L{rtmptw.plugins.source} and the installed sources.
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
    A plugin's object names a source, and imports it only on demand.
    """

    plugin = SourcePlugin(
        "some", "[:what=WORD]", f"{__name__}.SomeSource", ("some", "rtmps")
    )

    def installed(self, *plugins: SourcePlugin) -> None:
        """
        Install plugins in addition to the built-in ones.
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
        Everything after the colon is passed to the source unchanged.
        """
        self.installed(self.plugin)
        factory = sourceFactory(r"some:a:b\:c=d#e")
        assert isinstance(factory, SomeSource)
        self.assertEqual(factory.argstring, r"a:b\:c=d#e")
        error = self.assertRaises(UsageError, sourceFactory, "some:bad")
        self.assertEqual(str(error), "It is bad.")

    def test_unknown(self) -> None:
        """
        An unknown source is refused with a list of those that exist.
        """
        error = self.assertRaises(UsageError, sourceFactory, "nope:x")
        self.assertEqual(
            str(error), "there is no source 'nope'; installed: media, rtmp"
        )

    def test_theHelp(self) -> None:
        """
        The help has the docstring without its fields, and the table of arguments.
        """
        self.assertEqual(
            self.plugin.sourceHelp, "Publish something.\n\n  what=WORD  say so"
        )

    def test_itsSchemes(self) -> None:
        """
        C{--pull} passes a URL to the source that has its scheme.
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
        If no installed source has the scheme, C{--pull} is refused.
        """
        patch: Any = mock.patch.object(registry, "getPlugins", lambda interface: [])
        patch.start()
        self.addCleanup(patch.stop)
        error = self.assertRaises(UsageError, pullFactory, "http://h/a/b")
        self.assertEqual(str(error), "no installed source pulls http:// URLs")

    def test_namingASourceImportsNeitherItNorAReactor(self) -> None:
        """
        Naming a source does not import it, nor a reactor. Otherwise installing rtmptw
        would break C{twistd --reactor}.
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
        The interface of a source factory has these names.
        """
        self.assertEqual(set(IFrameSourceFactory.names()), {"stream", "buildSource"})
