"""
Makes the sinks that send streams to whatever FFmpeg can write to.
"""

from typing import Any

from rtmptw._pyav.muxing import checkFormat
from rtmptw.frames import StreamInfo
from rtmptw.plugins.sink import FrameSinkFactory
from rtmptw.sinks.child import Children, ChildSink
from rtmptw.sinks.send.target import ARGUMENTS, Target, parseTarget


class SendSinkFactory(FrameSinkFactory):
    """
    Makes sinks that send streams elsewhere, each by a process of its own.
    """

    arguments = ARGUMENTS

    def __init__(self, target: Target) -> None:
        """
        @param target: where to.
        """
        self.target = target
        self._reactor: Any = None
        self._children = Children()

    @classmethod
    def fromString(cls, argstring: str) -> "SendSinkFactory":
        """
        Send every stream to whatever FFmpeg can write to, without transcoding::

            --sink=send:udp://HOST:PORT
            --sink=send:rtsp://HOST/{app}/{name}
            --sink=send:/srv/hls/{app}/{name}/index.m3u8

        {app} and {name} stand for what the stream is called. The format follows from
        rtsp, udp, tcp, srt, rtp and rtmp, and from names that end in .m3u8 or .mpd.
        Others, and options of FFmpeg's muxer, follow a number sign::

            --sink='send:http://HOST/in#format=mpegts'
            --sink='send:hls/{name}.m3u8#hls_time=4&hls_list_size=0'

        Options of a protocol stand in the URL, as FFmpeg has them:
        udp://HOST:PORT?pkt_size=1316.

        FFmpeg works in a process of its own. If that ends, or if the target takes
        nothing for 10 seconds, it is started again after a second, then two, up to 30,
        and begins with a key frame. Frames for a target that is too slow are dropped up
        to a key frame: nobody else waits.

        @raise UsageError: with one sentence, if the arguments are not understood.
        """
        return cls(parseTarget(argstring))

    def startFactory(self, reactor: object) -> None:
        """
        Take the reactor; look whether FFmpeg knows the format.

        @raise SinkError: if it does not.
        """
        self._reactor = reactor
        checkFormat(self.target.container)

    def buildSink(self, stream: StreamInfo) -> ChildSink:
        """
        @return: a new sink.
        """
        command = self.target.command(stream)
        return self._children.add(ChildSink(self._reactor, command))

    def stopFactory(self) -> None:
        """
        Leave no process behind.
        """
        self._children.kill()
