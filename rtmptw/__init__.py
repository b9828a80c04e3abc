"""
rtmptw: a pluggable RTMP media server on Twisted that loses no frame.

This package has all public names. Each is imported from its module on first use, so
that C{import rtmptw} is cheap and does not install a reactor.
"""

from importlib import import_module

__version__ = "0.1.0"

#: The modules of the public names. Type checkers read C{__init__.pyi} instead.
_HOMES = {
    "rtmptw.app.service": ("Config", "RTMPService"),
    "rtmptw.arrays.aio": ("AsyncCapture", "AsyncWriter", "captureAsync", "writerAsync"),
    "rtmptw.arrays.capture": ("Capture", "capture"),
    "rtmptw.arrays.intake": ("CaptureCounts",),
    "rtmptw.arrays.framearray": ("FrameArray",),
    "rtmptw.arrays.sending": ("WriterCounts",),
    "rtmptw.arrays.writer": ("Writer", "writer"),
    "rtmptw.delivery": (
        "DISCONNECT",
        "LATEST",
        "LOSSLESS",
        "TO_KEYFRAME",
        "Delivery",
        "Policy",
    ),
    "rtmptw.errors": (
        "LocalProtocolError",
        "NotAllowed",
        "ProtocolError",
        "RemoteProtocolError",
        "SinkError",
    ),
    "rtmptw.frames": ("Codec", "Frame", "FrameKind", "Role", "StreamInfo"),
    "rtmptw.hub.ledger": ("Ledger",),
    "rtmptw.hub.stream": ("SinkReport",),
    "rtmptw.interfaces": (
        "IFrameSink",
        "IFrameSinkFactory",
        "IFrameSinkPlugin",
        "IStreamAuthorizer",
        "PlayPermit",
        "PublishPermit",
    ),
    "rtmptw.lane": ("Lane",),
    "rtmptw.plugins.batching": ("BatchingSink",),
    "rtmptw.plugins.sink": (
        "FrameProducer",
        "FrameSink",
        "FrameSinkFactory",
        "SinkPlugin",
    ),
    "rtmptw.rtmp.chunks": ("Limits",),
    "rtmptw.rtmp.events": ("PlayRequested", "PublishRequested"),
    "rtmptw.rtmp.patience": ("ServerSettings",),
    "rtmptw.rtmpserver.play": ("PlaySettings",),
    "rtmptw.server": ("LiveStream", "Server"),
    "rtmptw.sinks.decode.decoding": ("DecodedFrame",),
    "rtmptw.sinks.decode.loop": ("DecodedFrames",),
    "rtmptw.sources.feed": ("Feed", "FeedEnded", "FeedFull"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    """
    Import a public name.

    @raise AttributeError: if there is none.
    """
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"rtmptw has no {name!r}")
    value: object = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(["__version__", *_HOME])
