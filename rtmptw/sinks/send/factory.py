"""
Makes the sinks that send streams to anything FFmpeg can write to.
"""

from typing import Any

from rtmptw._pyav.muxing import checkFormat
from rtmptw.frames import StreamInfo
from rtmptw.plugins.sink import FrameSinkFactory
from rtmptw.sinks.child import Children, ChildSink
from rtmptw.sinks.send.target import ARGUMENTS, Target, parseTarget


class SendSinkFactory(FrameSinkFactory):
    """
    Makes sinks that each send a stream to a target, in a child process.
    """

    arguments = ARGUMENTS

    def __init__(self, target: Target) -> None:
        """
        @param target: where to send to.
        """
        self.target = target
        self._reactor: Any = None
        self._children = Children()

    @classmethod
    def fromString(cls, argstring: str) -> "SendSinkFactory":
        """
        Send every stream to anything FFmpeg can write to, without transcoding::

            --sink=send:udp://HOST:PORT
            --sink=send:rtsp://HOST/{app}/{name}
            --sink=send:/srv/hls/{app}/{name}/index.m3u8

        {app} and {name} stand for the stream's application and name. The format is
        derived from the scheme (rtsp, udp, tcp, srt, rtp, rtmp) or from a name that
        ends in .m3u8 or .mpd. Set other formats, and options of FFmpeg's muxer, after a
        number sign::

            --sink='send:http://HOST/in#format=mpegts'
            --sink='send:hls/{name}.m3u8#hls_time=4&hls_list_size=0'

        Options of a protocol are part of the URL, as FFmpeg expects them:
        udp://HOST:PORT?pkt_size=1316.

        FFmpeg runs in a child process. If that ends, or if the target accepts nothing
        for 10 seconds, it is restarted after 1 second, then 2, up to 30, and continues
        with a key frame. Frames for a target that is too slow are dropped up to the
        next key frame, so that nothing else has to wait.

        @raise UsageError: with a one-sentence message, if the arguments are invalid.
        """
        return cls(parseTarget(argstring))

    def startFactory(self, reactor: object) -> None:
        """
        Store the reactor; check that FFmpeg knows the format.

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
        Kill the remaining child processes.
        """
        self._children.kill()
