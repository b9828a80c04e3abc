"""
Every built-in sink fulfills the contract of sinks.
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
    The file sink.
    """

    def makeSink(self) -> IFrameSink:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        return FileSink(ThreadClock(), parseRecording(folder.name), ImmediateLane)


class NullSinkContractTests(FrameSinkTestsMixin, SynchronousTestCase):
    """
    The null sink.
    """

    def makeSink(self) -> IFrameSink:
        return NullSink()


class RecordingSinkContractTests(FrameSinkTestsMixin, SynchronousTestCase):
    """
    The test double is a sink, too.
    """

    def makeSink(self) -> IFrameSink:
        return RecordingSink()


class FactoryTests(SynchronousTestCase):
    """
    The factories provide their interface.
    """

    def test_provideIFrameSinkFactory(self) -> None:
        """
        With all methods and the right signatures.
        """
        for factory in (FileSinkFactory(), NullSinkFactory()):
            self.assertTrue(verifyObject(IFrameSinkFactory, factory))
