"""
A port on which captures of this process wait for their publishers.
"""

import errno
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from zope.interface import implementer

from rtmptw.arrays.intake import Intake
from rtmptw.arrays.reactors import ReactorThread
from rtmptw.errors import NotAllowed
from rtmptw.frames import StreamInfo, publicName
from rtmptw.interfaces import IStreamAuthorizer, PlayPermit, PublishPermit
from rtmptw.plugins.sink import FrameSinkFactory
from rtmptw.rtmp.events import PlayRequested, PublishRequested
from rtmptw.server import Server

#: The maximum number of streams with frames that the program has not read. Publishers
#: that come and go while it reads nothing are refused after that.
MAX_STREAMS = 8
#: The reason that disconnected publishers are given.
_CLOSED = "the program has stopped reading"


@implementer(IStreamAuthorizer)
class Door(FrameSinkFactory):
    """
    Listens on a port, and accepts the publishers that a capture waits for.

    @ivar port: the number of the port; known once it listens.
    """

    def __init__(self, home: ReactorThread, host: str, port: int) -> None:
        self.port = port
        self._home = home
        self.server = Server(
            home.reactor,
            sinks=[("capture", self)],
            authorizer=self,
            # Pacing is for many connections, and would add latency here.
            isPaced=False,
        )
        self._host = host
        self._intakes: dict[str, list[Intake]] = {}
        # The last publisher that was refused.
        self._stranger = ""

    @property
    def where(self) -> str:
        """
        The address for messages.
        """
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{host}:{self.port}"

    async def listen(self) -> None:
        """
        Start to listen.

        @raise OSError: if that fails; the text says why.
        """
        host = self._host.replace(":", "\\:")
        kind = "tcp6" if ":" in self._host else "tcp"
        try:
            port: Any = await self.server.listen(f"{kind}:{self.port}:interface={host}")
        except CannotListenError as error:
            await self.server.stop(_CLOSED)
            raise self._cannot(error) from None
        self.port = port.getHost().port

    def _cannot(self, error: CannotListenError) -> OSError:
        reason: Any = error.socketError
        number = getattr(reason, "errno", None) or errno.EIO
        if number == errno.EADDRINUSE:
            words = (
                f"cannot listen on {self.where}: the port is in use by another "
                "program, or by a capture on another address"
            )
        elif number == errno.EACCES:
            words = f"cannot listen on {self.where}: this port needs more rights"
        else:
            said = getattr(reason, "strerror", None) or str(reason)
            words = (
                f"cannot listen on {self.where}: {said}; listen on an address of this "
                "machine, or on 0.0.0.0 for all of them; to play from another "
                "machine use pull=True"
            )
        return OSError(number, words)

    # Its captures.

    def enter(self, intake: Intake) -> None:
        """
        Add a capture. Its stream may already be live for another capture.
        """
        self._intakes.setdefault(intake.name, []).append(intake)
        live = self.server.hub.streams.get(intake.name)
        if live is not None:
            intake.begin(live)

    def left(self, intake: Intake) -> "Deferred[None]":
        """
        Remove a capture. After the last one of a stream, disconnect the publisher;
        after the last one of all, stop listening.

        @return: fires when that is done.
        """
        return Deferred.fromCoroutine(self._left(intake))

    async def _left(self, intake: Intake) -> None:
        await self._home.lock.acquire()
        try:
            intakes = self._intakes.get(intake.name, [])
            if intake in intakes:
                intakes.remove(intake)
            if intakes:
                return
            self._intakes.pop(intake.name, None)
            if not self._intakes:
                self._home.doors.pop((self._host, self.port), None)
                await self.server.stop(_CLOSED)
            elif intake.name in self.server.hub.streams:
                await self.server.hub.end(intake.name, _CLOSED)
        finally:
            self._home.lock.release()

    def missing(self, name: str) -> str:
        """
        @return: why nobody publishes the stream, for messages.
        """
        if self._stranger:
            return self._stranger
        count = len(self.server.factory.connections)
        if count:
            return f"{count} connected to {self.where}, but nobody has published it"
        return f"nobody has connected to {self.where}"

    # As the server's sinks.

    def buildSink(self, stream: StreamInfo) -> None:
        """
        A stream begins: give it to all captures of its name.
        """
        for intake in self._intakes.get(stream.name, ()):
            intake.begin(self.server.hub.streams[stream.name])

    # IStreamAuthorizer.

    def authorizePublish(self, request: PublishRequested, peer: str) -> PublishPermit:
        """
        @raise NotAllowed: if no capture waits for the stream, or can take it now.
        """
        name = publicName(request.app, request.stream)
        intakes = self._intakes.get(name)
        if not intakes:
            self._stranger = (
                f"{peer} tried to publish {name}, which no capture here reads"
            )
            raise NotAllowed(
                "NetStream.Publish.Denied",
                f"No capture reads {name} here, only "
                f"{', '.join(sorted(self._intakes))}.",
            )
        for intake in intakes:
            if intake.query and intake.query != request.query:
                self._stranger = f"{peer} did not send the query that the URL needs"
                raise NotAllowed(
                    "NetStream.Publish.Denied",
                    "The query after the question mark of the URL is wrong or missing.",
                )
            if intake.waiting >= MAX_STREAMS:
                raise NotAllowed(
                    "NetStream.Publish.Denied", "The program is not reading its frames."
                )
        self._stranger = ""
        return PublishPermit(request.app, request.stream, request.query or None)

    def authorizePlay(self, request: PlayRequested, peer: str) -> PlayPermit:
        """
        @raise NotAllowed: always.
        """
        raise NotAllowed(
            "NetStream.Play.Failed",
            "This program receives streams only; nothing can be played here.",
        )


async def openDoor(home: ReactorThread, host: str, port: int, intake: Intake) -> Door:
    """
    In the reactor's thread: let a capture wait on a port, which it may share.

    @param port: 0 for any free port.

    @raise OSError: if it cannot listen there; the text says why.
    """
    await home.lock.acquire()
    try:
        door = home.doors.get((host, port))
        if door is None:
            door = Door(home, host, port)
            await door.listen()
            home.doors[host, door.port] = door
        found: Door = door
        found.enter(intake)
        return found
    finally:
        home.lock.release()
