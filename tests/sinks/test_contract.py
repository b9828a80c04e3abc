"""
Every built-in sink stands what the contract asks for.
"""

import tempfile

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from rtmptw.interfaces import IFrameSink, IFrameSinkFactory
from rtmptw.sinks.file.factory import FileSink, FileSinkFactory
from rtmptw.sinks.naming import parseRecording
from rtmptw.sinks.null.factory import NullSink, NullSinkFactory
from rtmptw.testing import FrameSinkTestsMixin, RecordingSink
from tests.sinks.test_file import ImmediateLane
from tests.test_lane import ThreadClock


class FileSinkContractTests(FrameSinkTestsMixin, SynchronousTestCase):
    """
    The recorder.
    """

    def makeSink(self) -> IFrameSink:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        return FileSink(ThreadClock(), parseRecording(folder.name), ImmediateLane)


class NullSinkContractTests(FrameSinkTestsMixin, SynchronousTestCase):
    """
    The sink that counts.
    """

    def makeSink(self) -> IFrameSink:
        return NullSink()


class RecordingSinkContractTests(FrameSinkTestsMixin, SynchronousTestCase):
    """
    The double for tests is a sink too.
    """

    def makeSink(self) -> IFrameSink:
        return RecordingSink()


class FactoryTests(SynchronousTestCase):
    """
    The factories are what they say they are.
    """

    def test_provideIFrameSinkFactory(self) -> None:
        """
        With all methods and the right signatures.
        """
        for factory in (FileSinkFactory(), NullSinkFactory()):
            self.assertTrue(verifyObject(IFrameSinkFactory, factory))
