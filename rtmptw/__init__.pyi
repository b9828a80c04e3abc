"""
The public names of rtmptw, for type checkers.
"""

from rtmptw.app.service import Config as Config
from rtmptw.app.service import RTMPService as RTMPService
from rtmptw.arrays.aio import AsyncCapture as AsyncCapture
from rtmptw.arrays.aio import AsyncWriter as AsyncWriter
from rtmptw.arrays.aio import captureAsync as captureAsync
from rtmptw.arrays.aio import writerAsync as writerAsync
from rtmptw.arrays.capture import Capture as Capture
from rtmptw.arrays.capture import capture as capture
from rtmptw.arrays.framearray import FrameArray as FrameArray
from rtmptw.arrays.intake import CaptureCounts as CaptureCounts
from rtmptw.arrays.sending import WriterCounts as WriterCounts
from rtmptw.arrays.writer import Writer as Writer
from rtmptw.arrays.writer import writer as writer
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

__version__: str
_HOMES: dict[str, tuple[str, ...]]
