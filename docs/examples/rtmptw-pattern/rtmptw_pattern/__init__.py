"""
A source for rtmptw that publishes a test pattern.
"""

from itertools import count, islice
from threading import Event

import numpy
from twisted.application.service import Service
from zope.interface import implementer

from rtmptw.interfaces import IFrameSourceFactory
from rtmptw.plugins.arguments import Argument, Arguments, First
from rtmptw.plugins.values import Number, Text
from rtmptw.sources.feed import FeedEnded, publish

RATE = 25


def images():
    for number in count():
        image = numpy.zeros((120, 160, 3), numpy.uint8)
        image[:, number % 160] = 255
        yield image


class Pattern(Service):
    def __init__(self, hub, reactor, stream, frames):
        self.hub = hub
        self.reactor = reactor
        self.stream = stream
        self.frames = frames
        self.stopped = Event()

    def startService(self):
        super().startService()
        self.reactor.callInThread(self.work)

    def stopService(self):
        self.stopped.set()
        return super().stopService()

    def work(self):
        feed = publish(self.hub, self.stream, reactor=self.reactor)
        try:
            for number, image in enumerate(islice(images(), self.frames)):
                feed.video(image, at=number / RATE)
                if self.stopped.wait(1 / RATE):
                    break
        except FeedEnded:
            return
        feed.close("the pattern ends")


@implementer(IFrameSourceFactory)
class PatternFactory:
    """
    Publish a moving white line, at 25 frames per second.
    """

    arguments = Arguments(
        "pattern source",
        Argument(
            "frames",
            Number("frames", 1, isWhole=True),
            "how many frames; endless if not given",
        ),
        first=First(Text("NAME"), "the name of the stream", "live/pattern"),
    )

    def __init__(self, argstring):
        said = self.arguments.read(argstring)
        self.stream = said["NAME"]
        self.frames = said["frames"]

    def buildSource(self, hub, reactor):
        return Pattern(hub, reactor, self.stream, self.frames)
