"""
rtmptw's Twisted plugins: the C{twistd rtmp} command, the built-in sinks and sources.

They are given by name and imported only when they are used, because every C{twistd} on
the machine imports this file.
"""

from twisted.application.service import ServiceMaker

from rtmptw.plugins.sink import SinkPlugin
from rtmptw.plugins.source import SourcePlugin

rtmp = ServiceMaker(
    "RTMP media server",
    "rtmptw.app.options",
    "An RTMP media server that passes every frame to your sinks.",
    "rtmp",
)

fileSink = SinkPlugin(
    "file",
    "[:DIRECTORY][:name=TEMPLATE][:rotate=SECONDS][:maxSize=BYTES]",
    "rtmptw.sinks.file.factory.FileSinkFactory.fromString",
)

nullSink = SinkPlugin(
    "null", "", "rtmptw.sinks.null.factory.NullSinkFactory.fromString"
)

relaySink = SinkPlugin(
    "relay",
    ":URL[#[retry=SECONDS][&buffer=SECONDS][&only=APP/NAME][&ca=FILE]]",
    "rtmptw.rtmpclient.relay.RelaySinkFactory.fromString",
)

recordSink = SinkPlugin(
    "record",
    "[:DIRECTORY][:format=mp4|mkv|ts|flv][:name=TEMPLATE][:rotate=SECONDS]"
    "[:maxSize=BYTES][:fragment=SECONDS]",
    "rtmptw.sinks.record.factory.RecordSinkFactory.fromString",
)

sendSink = SinkPlugin(
    "send",
    ":URL[#[format=NAME][&OPTION=VALUE...]]",
    "rtmptw.sinks.send.factory.SendSinkFactory.fromString",
)

pipeSink = SinkPlugin(
    "pipe",
    ":COMMAND LINE[ #[format=flv|annexb][&policy=to-keyframe|lossless]"
    "[&finish=SECONDS][&stall=SECONDS]]",
    "rtmptw.sinks.pipe.factory.PipeSinkFactory.fromString",
)

decodeSink = SinkPlugin(
    "decode",
    ":CALLABLE[:format=native|rgb24|bgr24|gray][:policy=lossless|latest|to-keyframe]"
    "[:size=WxH][:fps=N][:keyframes=0|1][:media=video|audio|both][:track=N]"
    "[:process=no|yes][:finish=SECONDS][:onError=continue|detach]",
    "rtmptw.sinks.decode.sink.DecodeSinkFactory.fromString",
)

snapshotSink = SinkPlugin(
    "snapshot",
    "[:DIRECTORY][:every=SECONDS][:format=jpg|png][:name=TEMPLATE][:size=WxH][:process=no|yes]",
    "rtmptw.sinks.snapshot.sink.SnapshotSinkFactory.fromString",
)

rtmpSource = SourcePlugin(
    "rtmp",
    ":URL[#[as=APP/NAME][&demand=0|1][&ca=FILE]]",
    "rtmptw.rtmpclient.pull.RTMPPullFactory.fromString",
    ("rtmp", "rtmps"),
)

mediaSource = SourcePlugin(
    "media",
    ":URL[#[as=APP/NAME][&demand=0|1][&loop=0|1]]",
    "rtmptw.sources.media.MediaPullFactory.fromString",
    ("*",),
)
