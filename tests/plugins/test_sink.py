"""
Tests for L{rtmptw.plugins.sink}.
"""

import subprocess
import sys
from datetime import UTC, datetime

from twisted.plugin import IPlugin
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from rtmptw.frames import StreamInfo
from rtmptw.interfaces import IFrameSink, IFrameSinkFactory, IFrameSinkPlugin
from rtmptw.plugins.sink import FrameSinkFactory, SinkPlugin

STREAM = StreamInfo("live", "show", "1.2.3.4:5", "OBS", datetime.now(UTC))


class WantedSinkFactory(FrameSinkFactory):
    """
    Keep what is wanted.

    And nothing else.
    """

    def __init__(self, argstring: str) -> None:
        if argstring == "bad":
            raise UsageError("It is bad.")
        self.argstring = argstring

    def buildSink(self, stream: StreamInfo) -> IFrameSink | None:
        return None


class SinkPluginTests(SynchronousTestCase):
    """
    A plugin's object names a sink, and imports it only on demand.
    """

    plugin = SinkPlugin("want", "[WHAT]", f"{__name__}.WantedSinkFactory")

    def test_itIsAPlugin(self) -> None:
        """
        Twisted finds it, and the command line can use it.
        """
        self.assertTrue(verifyObject(IPlugin, self.plugin))
        self.assertTrue(verifyObject(IFrameSinkPlugin, self.plugin))
        self.assertEqual(self.plugin.sinkType, "want")
        self.assertEqual(self.plugin.argumentFormat, "[WHAT]")

    def test_theFactoryGetsTheArgumentsUntouched(self) -> None:
        """
        Everything after the colon is passed to the sink unchanged.
        """
        factory = self.plugin.factoryFor(r"a:b\:c=d")
        assert isinstance(factory, WantedSinkFactory)
        self.assertEqual(factory.argstring, r"a:b\:c=d")

    def test_aSentenceForBadArguments(self) -> None:
        """
        The sink's error about its arguments reaches the user.
        """
        error = self.assertRaises(UsageError, self.plugin.factoryFor, "bad")
        self.assertEqual(str(error), "It is bad.")

    def test_theHelpIsTheDocstring(self) -> None:
        """
        The help is the docstring without its indentation.
        """
        self.assertEqual(
            self.plugin.sinkHelp, "Keep what is wanted.\n\nAnd nothing else."
        )

    def test_aSinkWithoutADocstringHasNoHelp(self) -> None:
        """
        A sink without a docstring still works.
        """
        plugin = SinkPlugin("x", "", f"{__name__}._undocumented")
        self.assertEqual(plugin.sinkHelp, "")

    def test_theBuiltInSinksAreNamedByTheirClassMethods(self) -> None:
        """
        A plugin can name a class method instead of a class.
        """
        plugin = SinkPlugin(
            "null", "", "rtmptw.sinks.null.factory.NullSinkFactory.fromString"
        )
        self.assertTrue(verifyObject(IFrameSinkFactory, plugin.factoryFor("")))
        self.assertIn("--sink=null", plugin.sinkHelp)

    def test_namingASinkImportsNeitherItNorAReactor(self) -> None:
        """
        Naming a sink does not import it, nor a reactor. Otherwise installing rtmptw
        would break C{twistd --reactor}.
        """
        program = (
            "import sys\n"
            "from rtmptw.plugins.sink import SinkPlugin\n"
            "SinkPlugin('file', '', "
            "'rtmptw.sinks.file.factory.FileSinkFactory.fromString')\n"
            "print([name for name in ('twisted.internet.reactor', "
            "'rtmptw.sinks.file.factory', 'rtmptw.lane') if name in sys.modules])\n"
        )
        output = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        )
        self.assertEqual(output.stdout, "[]\n")


class FrameSinkFactoryTests(SynchronousTestCase):
    """
    The base class of factories.
    """

    def test_itHasNothingToStartOrStop(self) -> None:
        """
        By default there is nothing to start or stop: only C{buildSink} must be written.
        """
        factory = WantedSinkFactory("")
        self.assertTrue(verifyObject(IFrameSinkFactory, factory))
        factory.startFactory(object())
        self.assertIsNone(factory.buildSink(STREAM))
        self.assertIsNone(factory.stopFactory())

    def test_buildSinkHasToBeWritten(self) -> None:
        """
        A factory without C{buildSink} cannot be instantiated, and the error names the
        method.
        """

        class Forgetful(FrameSinkFactory):
            pass

        with self.assertRaises(TypeError) as caught:
            Forgetful()  # type: ignore[abstract]
        self.assertIn("buildSink", str(caught.exception))


def _undocumented(argstring: str) -> None:
    return None
