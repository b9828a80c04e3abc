"""
A sink for rtmptw that counts frames.
"""

from twisted.logger import Logger

from rtmptw import FrameSink, FrameSinkFactory, Role


class CountSink(FrameSink):
    log = Logger()

    def __init__(self, label):
        self.label = label
        self.frames = 0

    def frameReceived(self, frame):
        if frame.role is Role.CODED:
            self.frames += 1

    def streamEnded(self, reason):
        self.log.info(
            "{label}: {name} had {frames} frames",
            label=self.label,
            name=self.stream.name,
            frames=self.frames,
        )


class CountSinkFactory(FrameSinkFactory):
    """
    Count the frames of each stream and log the count: --sink=count[:LABEL]
    """

    def __init__(self, argstring):
        self.label = argstring or "count"

    def buildSink(self, stream):
        return CountSink(self.label)
