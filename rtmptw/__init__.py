"""
rtmptw: a pluggable RTMP media server on Twisted that loses no frame.

What a program needs is here. Each name is imported from where it lives when it is first
asked for, so that C{import rtmptw} costs nothing and chooses no reactor.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rtmptw.app.service import Config as Config
    from rtmptw.app.service import RTMPService as RTMPService
    from rtmptw.delivery import DISCONNECT as DISCONNECT
    from rtmptw.delivery import LATEST as LATEST
    from rtmptw.delivery import LOSSLESS as LOSSLESS
    from rtmptw.delivery import TO_KEYFRAME as TO_KEYFRAME
    from rtmptw.delivery import Delivery as Delivery
    from rtmptw.delivery import Policy as Policy
    from rtmptw.errors import LocalProtocolError as LocalProtocolError
    from rtmptw.errors import NotAllowed as NotAllowed
    from rtmptw.errors import ProtocolError as ProtocolError
    from rtmptw.errors import RemoteProtocolError as RemoteProtocolError
    from rtmptw.errors import SinkError as SinkError
    from rtmptw.frames import Codec as Codec
    from rtmptw.frames import Frame as Frame
    from rtmptw.frames import FrameKind as FrameKind
    from rtmptw.frames import Role as Role
    from rtmptw.frames import StreamInfo as StreamInfo
    from rtmptw.hub.ledger import Ledger as Ledger
    from rtmptw.hub.stream import SinkReport as SinkReport
    from rtmptw.interfaces import IFrameSink as IFrameSink
    from rtmptw.interfaces import IFrameSinkFactory as IFrameSinkFactory
    from rtmptw.interfaces import IFrameSinkPlugin as IFrameSinkPlugin
    from rtmptw.interfaces import IStreamAuthorizer as IStreamAuthorizer
    from rtmptw.interfaces import PlayPermit as PlayPermit
    from rtmptw.interfaces import PublishPermit as PublishPermit
    from rtmptw.lane import Lane as Lane
    from rtmptw.plugins.batching import BatchingSink as BatchingSink
    from rtmptw.plugins.sink import FrameProducer as FrameProducer
    from rtmptw.plugins.sink import FrameSink as FrameSink
    from rtmptw.plugins.sink import FrameSinkFactory as FrameSinkFactory
    from rtmptw.plugins.sink import SinkPlugin as SinkPlugin
    from rtmptw.rtmp.chunks import Limits as Limits
    from rtmptw.rtmp.events import PlayRequested as PlayRequested
    from rtmptw.rtmp.events import PublishRequested as PublishRequested
    from rtmptw.rtmp.patience import ServerSettings as ServerSettings
    from rtmptw.rtmpserver.play import PlaySettings as PlaySettings
    from rtmptw.server import LiveStream as LiveStream
    from rtmptw.server import Server as Server
    from rtmptw.sinks.decode.decoding import DecodedFrame as DecodedFrame
    from rtmptw.sinks.decode.loop import DecodedFrames as DecodedFrames
    from rtmptw.sources.feed import Feed as Feed
    from rtmptw.sources.feed import FeedEnded as FeedEnded
    from rtmptw.sources.feed import FeedFull as FeedFull

__version__ = "0.1.0"

#: Where each public name lives.
_HOMES = {
    "rtmptw.app.service": ("Config", "RTMPService"),
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
