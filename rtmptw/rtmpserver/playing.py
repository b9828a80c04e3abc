"""
The streams that one connection plays.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from twisted.logger import Logger

from rtmptw.errors import NotAllowed
from rtmptw.frames import FrameKind, publicName
from rtmptw.hub.hub import StreamHub
from rtmptw.hub.stream import Stream
from rtmptw.interfaces import PlayPermit
from rtmptw.net.sender import Sender
from rtmptw.rtmp.events import PlayRequested
from rtmptw.rtmp.names import otherNames
from rtmptw.rtmpserver.connection import Connection
from rtmptw.rtmpserver.names import Names
from rtmptw.rtmpserver.play import Playback, PlaySink, Viewing

# Of the module: a log event of a class's logger would keep the connection alive.
_log = Logger()


class Playbacks:
    """
    The message streams that are played, by number.

    @ivar names: names of all streams played so far.
    """

    __slots__ = ("_hub", "_live", "_sender", "_viewing", "names")

    def __init__(self, hub: StreamHub, viewing: Viewing, sender: Sender) -> None:
        self._hub = hub
        self._viewing = viewing
        self._sender = sender
        self._live: dict[int, Playback] = {}
        self.names = Names()

    def __bool__(self) -> bool:
        return bool(self._live)

    def meant(self, event: PlayRequested) -> PlayRequested:
        """
        @return: the request, changed to a published stream that its name may mean:
            FFmpeg omits C{.flv}.
        """
        streams = self._hub.streams
        if publicName(event.app, event.stream) not in streams:
            for stream in otherNames(event.stream):
                if publicName(event.app, stream) in streams:
                    return replace(event, stream=stream)
        return event

    def begin(
        self, connection: Connection, permit: PlayPermit, event: PlayRequested
    ) -> Playback:
        """
        Play a stream on a message stream.

        @return: the playback, to be started by the caller.

        @raise NotAllowed: if the stream is not published, and players may not wait.
        """
        name = publicName(permit.app, permit.stream)
        if not (
            self._viewing.settings.waits
            or name in self._hub.streams
            or self._hub.isOnDemand(permit.app, permit.stream)
        ):
            raise NotAllowed(
                "NetStream.Play.StreamNotFound", f"{name} is not being published."
            )
        waiting = self._hub.whenPublished(permit.app, permit.stream)
        self._sender.keepShort()
        playback = Playback(
            waiting,
            partial(self._makeSink, event.streamID),
            connection.peer,
            partial(self._ended, connection, event.streamID),
        )
        self._live[event.streamID] = playback
        self.names.add(name)
        _log.info("{peer}: plays {stream}", peer=connection.peer, stream=name)
        return playback

    def _makeSink(
        self, streamID: int, stream: Stream, ended: Callable[[str], None]
    ) -> PlaySink:
        return self._viewing.makeSink(stream, self._sender, streamID, ended)

    def _ended(
        self,
        connection: Connection,
        streamID: int,
        playback: Playback,
        reason: str,
        isStreamOver: bool,
    ) -> None:
        if self._live.get(streamID) is not playback or connection.isClosing:
            return
        del self._live[streamID]
        if isStreamOver:
            connection.playOver(streamID)
        else:
            connection.close(reason)

    def pause(self, streamID: int, isPaused: bool) -> None:
        """
        Pause or resume playing.
        """
        playback = self._live.get(streamID)
        if playback is not None:
            playback.pause(isPaused)

    def select(self, streamID: int, kind: FrameKind, isWanted: bool) -> None:
        """
        Start or stop sending audio or video.
        """
        playback = self._live.get(streamID)
        if playback is not None:
            playback.select(kind, isWanted)

    def fullChanged(self, isFull: bool) -> None:
        """
        The connection is full, or has room again.
        """
        for playback in list(self._live.values()):
            playback.fullChanged(isFull)

    def end(self, streamID: int, reason: str) -> None:
        """
        Stop playing on a message stream.
        """
        playback = self._live.pop(streamID, None)
        if playback is not None:
            playback.stop(reason)

    def endAll(self, reason: str) -> None:
        """
        The connection is lost: stop all playbacks.
        """
        for streamID in list(self._live):
            self.end(streamID, reason)
