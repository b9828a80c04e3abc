"""
The contracts between rtmptw and the parts that plug into it.
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
    Where the frames of a sink come from, as the sink sees it.
    """

    def framesDropped(reason: str, frames: int, size: int) -> None:
        """
        Say that frames which were taken have come to nothing: the books have them as
        dropped then, not as delivered.

        @param reason: a word for the books, such as
            L{PROCESS_ENDED<rtmptw.delivery.PROCESS_ENDED>}.
        @param size: their payload bytes.
        """


class IFrameSink(Interface):
    """
    Takes the frames of one stream.

    Every call comes from the reactor's thread, in the order of the stream. A
    frame is shared with the other sinks: do not change it.
    """

    delivery: "Delivery" = Attribute(
        """
        The policy and limits by which frames wait for this sink
        (L{rtmptw.delivery.Delivery}); read once, when the sink is attached.
        """
    )

    failure: str = Attribute(
        """
        Why the sink ended before its stream did, as a sentence for the log and the
        ledger; empty while all is well.
        """
    )

    def streamStarted(stream: "StreamInfo", producer: IPushProducer) -> None:
        """
        The stream begins for this sink; metadata and codec headers so far follow
        as frames, then the frames since the last key frame.

        @param producer: C{pauseProducing()} says "I am full", C{resumeProducing()}
            "go on", C{stopProducing()} "I am done" (detaches this sink). What
            happens to frames meanwhile is up to the delivery policy. It provides
            L{IFrameProducer}.
        """

    def frameReceived(frame: "Frame") -> None:
        """
        Take the next frame. Must not block and returns nothing. An exception
        detaches this sink alone, with its traceback in the log.
        """

    def streamEnded(reason: str) -> "Deferred[None] | None":
        """
        Nothing follows. Called exactly once, after the last frame.

        @param reason: why, as a sentence for a person.
        @return: C{None}, or a L{Deferred} that fires when the sink has put away
            what it holds; the server's shutdown waits for it.
        """


class IMulticastTarget(Interface):
    """
    Takes frames for many sinks of one stream at once.
    """

    def frameReceived(frame: "Frame") -> None:
        """
        Take the next frame, for all members. Must not block and raises nothing.
        """

    def join(sink: "IMulticastSink") -> None:
        """
        A sink that has got all frames so far becomes a member.
        """

    def leave(sink: "IMulticastSink") -> None:
        """
        A member gets no more than what it was given so far.
        """


class IMulticastSink(IFrameSink):
    """
    A sink that may take frames together with others of its kind, while it is not full
    and wants all of them.
    """

    multicast: IMulticastTarget = Attribute(
        """
        What it shares with them.
        """
    )


class IFrameSinkFactory(Interface):
    """
    Makes the sinks of one C{--sink} option, one for each stream.
    """

    def startFactory(reactor: object) -> None:
        """
        Called once, before the first stream, with the reactor to take time and
        threads from (C{IReactorTime}, C{IReactorThreads}).

        @raise SinkError: when the sinks cannot work; the server does not start.
        """

    def buildSink(stream: "StreamInfo") -> "IFrameSink | None":
        """
        Asked once for each stream that starts.

        @return: a new sink, or C{None} if this stream is not wanted.
        """

    def stopFactory() -> "Deferred[None] | None":
        """
        Called once, after the last stream has ended.

        @return: C{None}, or a L{Deferred} that the server's shutdown waits for.
        """


class IFrameSinkPlugin(Interface):
    """
    What a Twisted plugin provides, beside L{twisted.plugin.IPlugin}, to offer a
    sink on the command line; made after L{twisted.cred.strcred}.
    """

    sinkType: str = Attribute("The word that selects it: C{--sink=TYPE}.")

    argumentFormat: str = Attribute(
        "One line that shows what follows the word: C{[:DIRECTORY][:name=TEMPLATE]}."
    )

    sinkHelp: str = Attribute("What C{--help-sink-type=TYPE} prints.")

    def factoryFor(argstring: str) -> IFrameSinkFactory:
        """
        @param argstring: all that follows the colon of C{--sink=TYPE:...}; empty
            if there was none.

        @raise UsageError: with one sentence, if the arguments are not understood.
        """


class IFrameSource(Interface):
    """
    What gives a stream its frames, as the stream sees it.
    """

    peer: str = Attribute("Who it is, as C{host:port}.")

    encoder: str = Attribute("What it calls itself.")

    isFed: bool = Attribute(
        """
        Whether a Python program feeds it, perhaps from another stream here. When the
        server stops, its stream ends after those.
        """
    )

    def pauseSource() -> None:
        """
        A lossless sink is full: read nothing more from the peer.
        """

    def resumeSource() -> None:
        """
        Read on.
        """

    def silentFor() -> float:
        """
        @return: the seconds since the peer last sent a byte; 0 while we ourselves
            do not read.
        """

    def sourceReplaced(reason: str) -> None:
        """
        Another source has taken the stream over, or the stream was ended: close.
        """


class IFrameSourceFactory(Interface):
    """
    Makes the source of one C{--source} or C{--pull} option.
    """

    stream: str = Attribute(
        """
        The public name of the stream that it publishes; empty if it is known only
        later, or there are several.
        """
    )

    def buildSource(hub: Any, reactor: Any) -> "IService":
        """
        Called once, when the server is made.

        @param hub: the L{StreamHub<rtmptw.hub.hub.StreamHub>} to publish in.
        @param reactor: to take time, threads and sockets from.
        @return: what publishes. It is started when the sinks have started, and stopped
            before they end. Its C{startService} may raise C{SinkError}, with a sentence
            for the operator: the server then does not start.
        """


class IFrameSourcePlugin(Interface):
    """
    What a Twisted plugin provides, beside L{twisted.plugin.IPlugin}, to offer a source
    on the command line.
    """

    sourceType: str = Attribute("The word that selects it: C{--source=TYPE}.")

    schemes: tuple[str, ...] = Attribute(
        """
        The schemes of URLs that C{--pull} is to give to it, in small letters; C{"*"}
        for all that nobody else takes. It must understand the arguments
        C{URL#as=APP/NAME&demand=1}; L{rtmptw.sources.naming} has both.
        """
    )

    argumentFormat: str = Attribute(
        "One line that shows what follows the word: C{:URL[#as=APP/NAME]}."
    )

    sourceHelp: str = Attribute("What C{--help-source-type=TYPE} prints.")

    def sourceFor(argstring: str) -> IFrameSourceFactory:
        """
        @param argstring: all that follows the colon of C{--source=TYPE:...}; empty
            if there was none.

        @raise UsageError: with one sentence, if the arguments are not understood.
        """


class IDemanded(Interface):
    """
    A source that works only while somebody wants to see its stream.
    """

    def demandBegun() -> None:
        """
        Somebody asked to play the stream, and nobody publishes it.
        """

    def demandEnded() -> None:
        """
        The last viewer has left. L{demandBegun} may follow again.
        """


class IHubUser(Interface):
    """
    A sink factory that wants to know the hub: to publish what its sinks make. For
    factories that are given to the server, beside L{IFrameSinkFactory}.
    """

    def setHub(hub: object) -> None:
        """
        Called once, before C{startFactory}, with the
        L{StreamHub<rtmptw.hub.hub.StreamHub>}.
        """


class IStreamAuthorizer(Interface):
    """
    Decides who may publish, and under which public name, and who may play.
    """

    def authorizePublish(
        request: "PublishRequested", peer: str
    ) -> "PublishPermit | Deferred[PublishPermit]":
        """
        Decide before any sink, hook or status hears of it.

        @return: the permit, now or later.

        @raise NotAllowed: (or fail with it) to refuse.
        """

    def authorizePlay(
        request: "PlayRequested", peer: str
    ) -> "PlayPermit | Deferred[PlayPermit]":
        """
        Decide before the player hears anything.

        @return: the permit, now or later.

        @raise NotAllowed: (or fail with it) to refuse.
        """


class PlayPermit:
    """
    That somebody may play.

    @ivar app: the public application name of the stream to play.
    @ivar stream: its public stream name.
    """

    __slots__ = ("app", "stream")

    def __init__(self, app: str, stream: str) -> None:
        self.app = app
        self.stream = stream


class PublishPermit:
    """
    That somebody may publish.

    @ivar app: the public application name.
    @ivar stream: the public stream name; differs from the key if that is secret.
    @ivar credentials: what the publisher showed. One who shows the same may take
        a live stream over at once; C{None} never takes over before the old
        publisher has fallen silent.
    """

    __slots__ = ("app", "credentials", "stream")

    def __init__(self, app: str, stream: str, credentials: str | None = None) -> None:
        self.app = app
        self.stream = stream
        self.credentials = credentials
