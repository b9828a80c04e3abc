"""
Tests for L{rtmptw.sinks.decode.usercode}: what can be called with decoded frames, and
what is awaited.
"""

import functools
from collections.abc import AsyncIterator, Iterator
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from rtmptw.frames import FrameKind
from rtmptw.sinks.decode.sink import DecodedFrame, DecodedStream, UserCode
from tests._pyav.hashes import decodedByFFmpeg, hashOf
from tests.live.media import H264_AAC, encode
from tests.sinks.test_decode import SinkCase


def one(frame: DecodedFrame) -> None:
    """
    Takes no stream.
    """


def three(frame: DecodedFrame, stream: DecodedStream, more: int) -> None:
    """
    Takes too many arguments.
    """


def yields(frame: DecodedFrame, stream: DecodedStream) -> Iterator[None]:
    yield


async def yieldsLater(
    frame: DecodedFrame, stream: DecodedStream
) -> AsyncIterator[None]:
    yield


class NeedsMore:
    """
    Cannot be created with a stream alone.
    """

    def __init__(self, stream: DecodedStream, model: str) -> None: ...

    def videoFrame(self, frame: DecodedFrame) -> None: ...


class Generates:
    """
    Has a method whose call has no effect.
    """

    def __init__(self, stream: DecodedStream) -> None: ...

    def audioFrame(self, frame: DecodedFrame) -> Iterator[None]:
        yield


class EndsWithoutReason:
    """
    Has a method for the end that takes no reason.
    """

    def __init__(self, stream: DecodedStream) -> None: ...

    @staticmethod
    def videoFrame(frame: DecodedFrame) -> None: ...

    def ended(self) -> None: ...


class Calling:
    """
    A callable object.
    """

    def __call__(self, frame: DecodedFrame, stream: DecodedStream) -> Iterator[None]:
        yield


class RefusedTests(SynchronousTestCase):
    """
    Unsuitable code is refused at the start, with a message.
    """

    def refused(self, found: Any) -> str:
        """
        @return: the message.
        """
        with self.assertRaises(ValueError) as caught:
            UserCode.fromObject("mine.it", found)
        return str(caught.exception)

    def test_wrongSignatures(self) -> None:
        """
        The message shows the definition and the arguments of the call.
        """
        self.assertEqual(
            self.refused(lambda frame: None),
            "mine.it is defined as it(frame), and will be called with 2 arguments: "
            "(frame, stream).",
        )
        self.assertIn("called with 2 arguments", self.refused(one))
        self.assertIn("called with 2 arguments", self.refused(three))
        self.assertIn("(stream)", self.refused(NeedsMore))
        self.assertIn(
            "mine.it.ended is defined as ended(self) -> None, and will be called "
            "with 1 argument: (reason).",
            self.refused(EndsWithoutReason),
        )

    def test_generators(self) -> None:
        """
        Calling a generator function has no effect.
        """
        for found in (yields, yieldsLater, Calling(), functools.partial(yields)):
            self.assertIn("mine.it is a generator", self.refused(found))
        self.assertIn("mine.it.audioFrame is a generator", self.refused(Generates))

    def test_whatFits(self) -> None:
        """
        Defaults, variable arguments, partial functions and functions without a
        signature are accepted.
        """
        for found in (
            lambda *all: None,
            lambda frame, stream, level=3: None,
            functools.partial(three, more=1),
            max,
        ):
            self.assertIs(UserCode.fromObject("mine.it", found).function, found)


class AwaitedTests(SinkCase):
    """
    C{async} code is awaited, one call at a time.
    """

    def test_aFunction(self) -> None:
        """
        It gets every video frame, the next one only after it has returned.
        """
        waits: list[Deferred[None]] = []
        got: list[str] = []

        async def look(frame: DecodedFrame, stream: DecodedStream) -> None:
            waiting: Deferred[None] = Deferred()
            waits.append(waiting)
            await waiting
            got.append(f"{stream.name} {hashOf(frame.image)}")

        sink = self.sink(look)
        path = encode(H264_AAC)
        self.feed(sink, path, end=False)
        self.assertEqual((len(waits), got), (1, []))
        finished = sink.streamEnded("over")
        for number in range(60):
            self.assertEqual((len(waits), len(got)), (number + 1, number))
            self.assertNoResult(finished)
            waits[number].callback(None)
        self.successResultOf(finished)
        wanted = decodedByFFmpeg(path)[FrameKind.VIDEO]
        self.assertEqual(got, [f"live/cam {image}" for image in wanted])
        self.assertEqual((sink.given, sink.errors, sink.failure), (60, 0, ""))

    def test_aClass(self) -> None:
        """
        Its methods may be of both kinds, including the one for the end.
        """
        ended: Deferred[None] = Deferred()
        calls: list[str] = []

        class Mixed:
            def __init__(self, stream: DecodedStream) -> None:
                calls.append(stream.name)

            def videoFrame(self, frame: DecodedFrame) -> None:
                calls.append("video")

            async def audioFrame(self, frame: DecodedFrame) -> None:
                calls.append("audio")

            async def ended(self, reason: str) -> None:
                await ended
                calls.append(reason)

        sink = self.sink(Mixed)
        self.feed(sink, encode(H264_AAC), end=False)
        finished = sink.streamEnded("over")
        self.assertNoResult(finished)
        self.assertEqual((calls.count("video"), calls.count("audio")), (60, 113))
        ended.callback(None)
        self.successResultOf(finished)
        self.assertEqual((calls[0], calls[-1], len(calls)), ("live/cam", "over", 175))
        self.assertEqual(sink.given, 173)

    def test_anError(self) -> None:
        """
        It is logged and counted, and the next frame follows.
        """

        async def fails(frame: DecodedFrame, stream: DecodedStream) -> None:
            raise RuntimeError("no")

        sink = self.sink(fails)
        self.feed(sink, encode(H264_AAC))
        self.assertEqual((sink.given, sink.errors, sink.failure), (60, 60, ""))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_anErrorThatDetaches(self) -> None:
        """
        With C{onError=detach} the first one ends the sink.
        """

        async def fails(frame: DecodedFrame, stream: DecodedStream) -> None:
            raise RuntimeError("no")

        sink = self.sink(fails, detach=True)
        self.feed(sink, encode(H264_AAC))
        self.assertEqual((sink.given, sink.errors), (1, 1))
        self.assertEqual(sink.failure, "RuntimeError in code")
        self.assertEqual(self.producer.calls.count("stop"), 1)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_anErrorAtTheEnd(self) -> None:
        """
        It is logged, and the sink ends all the same.
        """

        class Fails:
            def __init__(self, stream: DecodedStream) -> None: ...

            async def videoFrame(self, frame: DecodedFrame) -> None: ...

            async def ended(self, reason: str) -> None:
                raise RuntimeError(reason)

        sink = self.sink(Fails)
        self.feed(sink, encode(H264_AAC))
        self.assertEqual((sink.given, sink.errors), (60, 1))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
