"""
A port where captures of this process wait for their publishers.
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

#: A program that takes no frames, and whose publishers come and go, has so many
#: streams waiting; who comes then is refused.
MAX_STREAMS = 8
#: Why publishers are disconnected.
_CLOSED = "the program takes no more frames"


@implementer(IStreamAuthorizer)
class Door(FrameSinkFactory):
    """
    Listens, and lets in who publishes what a capture here waits for.

    @ivar where: where it listens, for a person.
    @ivar port: the number of the port; known once it listens.
    """

    def __init__(self, home: ReactorThread, host: str, port: int) -> None:
        self.port = port
        self._home = home
        self.server = Server(
            home.reactor,
            sinks=[("capture", self)],
            authorizer=self,
            # A pace is for many connections, and would make frames late.
            isPaced=False,
        )
        self._host = host
        self._intakes: dict[str, list[Intake]] = {}
        # The last who wanted to publish something else.
        self._stranger = ""

    @property
    def where(self) -> str:
        """
        Where it listens, for a person.
        """
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{host}:{self.port}"

    async def listen(self) -> None:
        """
        Listen.

        @raise OSError: with a sentence, if that cannot be.
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
                f"cannot listen on {self.where}: another program, or a capture of "
                "another address, has the port"
            )
        elif number == errno.EACCES:
            words = f"cannot listen on {self.where}: the port is not for everybody"
        else:
            said = getattr(reason, "strerror", None) or str(reason)
            words = (
                f"cannot listen on {self.where}: {said}; a capture listens at an "
                "address of this machine, 0.0.0.0 for all of them, and plays from "
                "another machine with pull=True"
            )
        return OSError(number, words)

    # Its captures.

    def enter(self, intake: Intake) -> None:
        """
        A capture waits here; the stream may be live already, with another.
        """
        self._intakes.setdefault(intake.name, []).append(intake)
        live = self.server.hub.streams.get(intake.name)
        if live is not None:
            intake.begin(live)

    def left(self, intake: Intake) -> "Deferred[None]":
        """
        It waits no more. With the last of its name, the publisher is disconnected, and
        with the last of all nobody listens any more.

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
        @return: why nobody publishes it, for a person.
        """
        if self._stranger:
            return self._stranger
        count = len(self.server.factory.connections)
        if count:
            return f"{count} connected to {self.where}, and nobody has published it"
        return f"nobody has connected to {self.where}"

    # As the server's sinks.

    def buildSink(self, stream: StreamInfo) -> None:
        """
        A stream begins: all captures of its name get it.
        """
        for intake in self._intakes.get(stream.name, ()):
            intake.begin(self.server.hub.streams[stream.name])

    # IStreamAuthorizer.

    def authorizePublish(self, request: PublishRequested, peer: str) -> PublishPermit:
        """
        @raise NotAllowed: if no capture waits for it, or cannot take it now.
        """
        name = publicName(request.app, request.stream)
        intakes = self._intakes.get(name)
        if not intakes:
            self._stranger = f"{peer} wanted to publish {name}, which nobody takes here"
            raise NotAllowed(
                "NetStream.Publish.Denied",
                f"Nobody takes {name} here, only {', '.join(sorted(self._intakes))}.",
            )
        for intake in intakes:
            if intake.query and intake.query != request.query:
                self._stranger = f"{peer} did not show what the URL has after its ?"
                raise NotAllowed(
                    "NetStream.Publish.Denied",
                    "The URL must have the right query after its question mark.",
                )
            if intake.waiting >= MAX_STREAMS:
                raise NotAllowed(
                    "NetStream.Publish.Denied", "The program does not take its frames."
                )
        self._stranger = ""
        return PublishPermit(request.app, request.stream, request.query or None)

    def authorizePlay(self, request: PlayRequested, peer: str) -> PlayPermit:
        """
        @raise NotAllowed: always.
        """
        raise NotAllowed(
            "NetStream.Play.Failed", "This program takes streams, and gives none."
        )


async def openDoor(home: ReactorThread, host: str, port: int, intake: Intake) -> Door:
    """
    In the reactor's thread: let a capture wait at a port, with others or alone.

    @param port: 0 for any that is free.

    @raise OSError: with a sentence, if nobody can listen there.
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
