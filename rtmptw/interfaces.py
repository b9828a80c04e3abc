"""
The interfaces between rtmptw and its plugins.
"""

from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IPushProducer
from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from twisted.application.service import IService
    from twisted.internet.defer import Deferred

    from rtmptw.delivery import Delivery
    from rtmptw.frames import Frame, StreamInfo
    from rtmptw.rtmp.events import PlayRequested, PublishRequested


class IFrameProducer(IPushProducer, Interface):
    """
    Gives a sink its frames.
    """

    def framesDropped(reason: str, frames: int, size: int) -> None:
        """
        Report that the sink dropped frames after it had received them. The ledger then
        counts them as dropped instead of delivered.

        @param reason: a word for the ledger, such as
            L{PROCESS_ENDED<rtmptw.delivery.PROCESS_ENDED>}.
        @param size: the size of their payloads in bytes.
        """


class IFrameSink(Interface):
    """
    Receives the frames of one stream.

    All methods are called in the reactor's thread, in the order of the stream. Frames
    are shared with the other sinks: do not change them.
    """

    delivery: "Delivery" = Attribute(
        """
        The policy and limits of this sink's queue (L{rtmptw.delivery.Delivery}); read
        once, when the sink is attached.
        """
    )

    failure: str = Attribute(
        """
        Why the sink stopped before its stream ended, as a sentence for the log and the
        ledger; empty if nothing is wrong.
        """
    )

    def streamStarted(stream: "StreamInfo", producer: IPushProducer) -> None:
        """
        The stream starts for this sink. The current metadata and sequence headers
        follow as frames, then the frames since the last key frame.

        @param producer: provides L{IFrameProducer}. C{pauseProducing()} asks for no
            more frames until C{resumeProducing()}; meanwhile the delivery policy
            decides what happens to them. C{stopProducing()} detaches this sink.
        """

    def frameReceived(frame: "Frame") -> None:
        """
        Handle the next frame. This must not block and returns nothing. An exception
        detaches only this sink; its traceback is logged.
        """

    def streamEnded(reason: str) -> "Deferred[None] | None":
        """
        No more frames follow. Called exactly once, after the last frame.

        @param reason: why, as readable text.
        @return: C{None}, or a L{Deferred} that fires when the sink has finished; the
            server's shutdown waits for it.
        """


class IMulticastTarget(Interface):
    """
    Receives frames for many sinks of one stream at once.
    """

    def frameReceived(frame: "Frame") -> None:
        """
        Handle the next frame for all members. This must not block or raise.
        """

    def join(sink: "IMulticastSink") -> None:
        """
        Add a member: a sink that has received all frames so far.
        """

    def leave(sink: "IMulticastSink") -> None:
        """
        Remove a member. It gets no more frames.
        """


class IMulticastSink(IFrameSink):
    """
    A sink that can receive frames together with other sinks of its kind, while it is
    not full and wants all frames.
    """

    multicast: IMulticastTarget = Attribute(
        """
        The target that it shares with them.
        """
    )


class IFrameSinkFactory(Interface):
    """
    Makes the sinks of one C{--sink} option, one for each stream.
    """

    def startFactory(reactor: object) -> None:
        """
        Called once, before the first stream.

        @param reactor: provides C{IReactorTime} and C{IReactorThreads}.

        @raise SinkError: if the sinks cannot work; the server then does not start.
        """

    def buildSink(stream: "StreamInfo") -> "IFrameSink | None":
        """
        Called once for each stream that starts.

        @return: a new sink, or C{None} to ignore this stream.
        """

    def stopFactory() -> "Deferred[None] | None":
        """
        Called once, after the last stream has ended.

        @return: C{None}, or a L{Deferred} that the server's shutdown waits for.
        """


class IFrameSinkPlugin(Interface):
    """
    A Twisted plugin that offers a sink on the command line. It also provides
    L{twisted.plugin.IPlugin}. The design follows L{twisted.cred.strcred}.
    """

    sinkType: str = Attribute("The type that selects it: C{--sink=TYPE}.")

    argumentFormat: str = Attribute(
        "The usage line of its arguments: C{[:DIRECTORY][:name=TEMPLATE]}."
    )

    sinkHelp: str = Attribute("The text that C{--help-sink-type=TYPE} prints.")

    def factoryFor(argstring: str) -> IFrameSinkFactory:
        """
        @param argstring: everything after the colon of C{--sink=TYPE:...}; empty if
            there is none.

        @raise UsageError: with one sentence, if the arguments are not valid.
        """


class IFrameSource(Interface):
    """
    Gives a stream its frames.
    """

    peer: str = Attribute("Its address, C{host:port}.")

    encoder: str = Attribute("The name of its program.")

    isFed: bool = Attribute(
        """
        Whether a Python program feeds it, possibly from another stream of this server.
        When the server stops, such streams end after all others.
        """
    )

    def pauseSource() -> None:
        """
        Stop reading from the peer: a lossless sink is full.
        """

    def resumeSource() -> None:
        """
        Read from the peer again.
        """

    def silentFor() -> float:
        """
        @return: the seconds since the peer last sent a byte; 0 while reading is paused.
        """

    def sourceReplaced(reason: str) -> None:
        """
        Close: another source has taken over the stream, or the stream has ended.
        """


class IFrameSourceFactory(Interface):
    """
    Makes the source of one C{--source} or C{--pull} option.
    """

    stream: str = Attribute(
        """
        The public name of the stream that it publishes; empty if that is known only
        later, or if there are several.
        """
    )

    def buildSource(hub: Any, reactor: Any) -> "IService":
        """
        Called once, when the server is made.

        @param hub: the L{StreamHub<rtmptw.hub.hub.StreamHub>} to publish in.
        @param reactor: provides time, threads and sockets.
        @return: the service that publishes. It is started after the sinks and stopped
            before they end. If its C{startService} raises C{SinkError}, with a sentence
            for the operator, the server does not start.
        """


class IFrameSourcePlugin(Interface):
    """
    A Twisted plugin that offers a source on the command line. It also provides
    L{twisted.plugin.IPlugin}.
    """

    sourceType: str = Attribute("The type that selects it: C{--source=TYPE}.")

    schemes: tuple[str, ...] = Attribute(
        """
        The schemes of the URLs that C{--pull} passes to it, in lower case; C{"*"} for
        all that no other source accepts. The source must accept the arguments
        C{URL#as=APP/NAME&demand=1}; L{rtmptw.sources.naming} has both.
        """
    )

    argumentFormat: str = Attribute(
        "The usage line of its arguments: C{:URL[#as=APP/NAME]}."
    )

    sourceHelp: str = Attribute("The text that C{--help-source-type=TYPE} prints.")

    def sourceFor(argstring: str) -> IFrameSourceFactory:
        """
        @param argstring: everything after the colon of C{--source=TYPE:...}; empty if
            there is none.

        @raise UsageError: with one sentence, if the arguments are not valid.
        """


class IDemanded(Interface):
    """
    A source that works only while a client wants to play its stream.
    """

    def demandBegun() -> None:
        """
        A client asked to play the stream, which is not being published.
        """

    def demandEnded() -> None:
        """
        The last player has left. L{demandBegun} may be called again.
        """


class IHubUser(Interface):
    """
    A sink factory that needs the hub, to publish what its sinks make. Factories that
    are given to the server may provide this in addition to L{IFrameSinkFactory}.
    """

    def setHub(hub: object) -> None:
        """
        Called once, before C{startFactory}, with the
        L{StreamHub<rtmptw.hub.hub.StreamHub>}.
        """


class IStreamAuthorizer(Interface):
    """
    Decides who may publish, under which public name, and who may play.
    """

    def authorizePublish(
        request: "PublishRequested", peer: str
    ) -> "PublishPermit | Deferred[PublishPermit]":
        """
        Decide on a request to publish, before any sink, hook or status knows of it.

        @return: the permit, now or later.

        @raise NotAllowed: to reject the request; a L{Deferred} may fail with it.
        """

    def authorizePlay(
        request: "PlayRequested", peer: str
    ) -> "PlayPermit | Deferred[PlayPermit]":
        """
        Decide on a request to play, before the player gets any answer.

        @return: the permit, now or later.

        @raise NotAllowed: to reject the request; a L{Deferred} may fail with it.
        """


class PlayPermit:
    """
    Permission to play.

    @ivar app: the public application name of the stream to play.
    @ivar stream: its public stream name.
    """

    __slots__ = ("app", "stream")

    def __init__(self, app: str, stream: str) -> None:
        self.app = app
        self.stream = stream


class PublishPermit:
    """
    Permission to publish.

    @ivar app: the public application name.
    @ivar stream: the public stream name; differs from the stream key if that is secret.
    @ivar credentials: the publisher's credentials. A publisher with the same ones may
        take over a live stream at once. With C{None}, a publisher can take over only
        after the old one has fallen silent.
    """

    __slots__ = ("app", "credentials", "stream")

    def __init__(self, app: str, stream: str, credentials: str | None = None) -> None:
        self.app = app
        self.stream = stream
        self.credentials = credentials
