"""
Publishes whatever FFmpeg can read: RTSP cameras, HLS, files in real time.

FFmpeg runs in a child process (L{rtmptw._pyav.demuxing}), which writes FLV: a server
that does not answer blocks nothing, a crash affects nothing else, and a process that
hangs is killed.
"""

import json
import os
import random
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, cast
from urllib.parse import urlsplit, urlunsplit

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from rtmptw.backoff import Backoff
from rtmptw.errors import NotAllowed, RemoteProtocolError
from rtmptw.flv.body import frameFromMessage
from rtmptw.flv.file import TagReader
from rtmptw.frames import Frame, FrameKind, publicName
from rtmptw.hub.hub import StreamHub
from rtmptw.interfaces import IFrameSourceFactory
from rtmptw.plugins.arguments import Argument, Arguments, First, Fragment
from rtmptw.plugins.values import Choice, Text
from rtmptw.sources.naming import DEMAND, NAME, nameThere
from rtmptw.sources.pulling import Pulling

#: The random part added to a retry delay, as a fraction of it, so that pulls do not all
#: retry at once.
JITTER = 0.25
#: Seconds a process must have run for the retry delay to be reset.
GOOD_LIFE = 30.0
#: Seconds to wait for a killed process; the kernel may keep one longer that waits for a
#: dead disk.
END_TIMEOUT = 2.0
#: Limits for error messages of the process: bytes per line, and lines.
MAX_LINE = 500
MAX_LINES = 5

#: The exit status of L{rtmptw._pyav.demuxing} at the end of a file.
FINISHED = 0

#: The arguments of C{--source=media}.
ARGUMENTS = Arguments(
    "media source",
    NAME,
    DEMAND,
    Argument(
        "loop",
        Choice({"0": False, "1": True}),
        "whether to repeat a file",
        "0",
    ),
    first=First(
        Text("URL"), "a URL or the path of a file", example="media:rtsp://HOST/APP/NAME"
    ),
    spelling=Fragment(),
)


@implementer(IFrameSourceFactory)
@dataclass(frozen=True, slots=True)
class MediaPullFactory:
    """
    Makes the source that publishes what FFmpeg reads.

    @cvar arguments: the command line arguments.
    @ivar url: a URL or the path of a file.
    @ivar app: the application of its name here.
    @ivar name: its name in the application.
    @ivar onDemand: whether to pull only while there is a player.
    @ivar loop: whether to repeat what has an end.
    """

    arguments: ClassVar[Arguments] = ARGUMENTS

    url: str
    app: str
    name: str
    onDemand: bool = False
    loop: bool = False

    @classmethod
    def fromString(cls, argstring: str) -> "MediaPullFactory":
        """
        Publish whatever FFmpeg can read, without transcoding::

            --source=media:rtsp://HOST/APP/NAME
            --source='media:film.mp4#as=live/film&loop=1'

        --pull=URL and --pull-on-demand=URL are short forms. A file is published in real
        time. A live source that ends is retried after 1 to 30 seconds.

        @raise UsageError: with a one-sentence message, if the arguments are invalid.
        """
        said = ARGUMENTS.read(argstring)
        url = said["URL"]
        app, name = said["as"] or _nameIn(url)
        return cls(url, app, name, said["demand"], said["loop"])

    @property
    def stream(self) -> str:
        """
        The stream's public name here.
        """
        return publicName(self.app, self.name)

    def buildSource(self, hub: StreamHub, reactor: Any) -> "MediaPull":
        """
        @return: a new L{MediaPull}.
        """
        return MediaPull(
            hub, reactor, self.url, self.app, self.name, self.onDemand, self.loop
        )


def _nameIn(url: str) -> tuple[str, str]:
    """
    @return: the stream's name at its origin: the last two segments of the path.

    @raise UsageError: if they are not a name.
    """
    try:
        path = urlsplit(url).path
    except ValueError:
        path = ""
    return nameThere("/".join([part for part in path.split("/") if part][-2:]))


class MediaPull(Pulling):
    """
    Publishes what FFmpeg reads, as long as the service runs, or on demand. A file is
    published in real time, once or in a loop. A live source that ends is retried.

    @ivar pid: the id of the reading process; C{None} if there is none.
    """

    _log = Logger()

    def __init__(
        self,
        hub: StreamHub,
        reactor: Any,
        url: str,
        app: str,
        name: str,
        onDemand: bool = False,
        loop: bool = False,
        random: Callable[[], float] = random.random,
    ) -> None:
        """
        @param url: what PyAV opens: a URL or the path of a file.
        @param app: the application of its name here.
        @param name: its name in the application.
        @param onDemand: whether to pull only while there is a player.
        @param loop: whether to repeat what has an end.
        @param random: returns random numbers from 0 to 1.
        """
        self._url = url
        self._loop = loop
        super().__init__(hub, reactor, app, name, onDemand)
        self._backoff = Backoff(random, 1.0, 1 + JITTER)
        self.peer = _shown(self._url)
        self._child: _Child | None = None
        self._isWanted = False
        self._said: set[str] = set()
        self._retry: IDelayedCall | None = None
        self._stopping: Deferred[None] | None = None
        self._giveUp: IDelayedCall | None = None

    @property
    def pid(self) -> int | None:
        """
        The id of the reading process.
        """
        return None if self._child is None else cast(int, self._child.transport.pid)

    # Overrides of Pulling.

    def _begin(self) -> None:
        self._isWanted = True
        self._backoff.reset()
        self._said = set()
        if self._child is None and self._retry is None:
            self._start()

    def _stop(self, reason: str) -> "Deferred[None]":
        self._isWanted = False
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        self._lost(reason)
        if self._child is None:
            return succeed(None)
        if self._stopping is None:
            self._stopping = Deferred()
            self._giveUp = self._reactor.callLater(END_TIMEOUT, self._stopped)
            self._child.kill()
        return self._stopping

    def _stopped(self) -> None:
        stopping, self._stopping = self._stopping, None
        giveUp, self._giveUp = self._giveUp, None
        if giveUp is not None and giveUp.active():
            giveUp.cancel()
        if stopping is not None:
            stopping.callback(None)

    def _setReading(self, isReading: bool) -> None:
        """
        Stop or resume reading the process's output; it then stops reading its input,
        too.
        """
        if self._child is not None:
            if isReading:
                self._child.transport.resumeProducing()
            else:
                self._child.transport.pauseProducing()

    # The process.

    def _start(self) -> None:
        self._retry = None
        self._paused = False
        order = json.dumps({"url": self._url, "loop": self._loop})
        package = str(Path(__file__).parents[2])
        path = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
        child = _Child(self, self._reactor.seconds())
        try:
            self._reactor.spawnProcess(
                child,
                sys.executable,
                (sys.executable, "-m", "rtmptw._pyav.demuxing"),
                env={**os.environ, "PYTHONPATH": path},
            )
        except OSError as error:
            self._tryAgain(f"cannot start a process: {error.strerror}")
            return
        self._child = child
        # Not in the arguments: every user of the machine can read them.
        child.transport.write(order.encode() + b"\n")
        child.transport.closeStdin()

    def childWrote(self, child: "_Child", data: bytes) -> None:
        """
        Pass the frames to the stream.
        """
        if child is not self._child or child.isUnwanted:
            return
        self._lastReceived = self._reactor.seconds()
        child.tellTrouble()
        for tag in child.reader.receive(data):
            if self.stream is None and not self._publish():
                return
            assert self.stream is not None
            child.frames += 1
            self.stream.frameReceived(_frame(tag.kind, tag.timestamp, tag.payload))

    def _publish(self) -> bool:
        try:
            self.stream = self._hub.publish(self._app, self._name, self)
        except NotAllowed as refusal:
            self._tryLater(f"it cannot be published here: {refusal.description}")
            return False
        self._said = set()
        return True

    def _tryLater(self, reason: str) -> None:
        """
        Kill the process; it is restarted later.
        """
        if self._child is not None:
            self._child.trouble = reason
            self._child.kill()

    def childSaid(self, line: str) -> None:
        """
        Log an error message of the process.
        """
        self._say(line)

    def childEnded(self, child: "_Child", reason: Failure) -> None:
        """
        The process has ended, and all its output has been read.
        """
        self._child = None
        status = getattr(reason.value, "exitCode", None)
        number = getattr(reason.value, "signal", None)
        if child.trouble:
            why = child.trouble
        elif number is not None:
            why = f"FFmpeg's process was killed by signal {number}"
        elif status == FINISHED:
            why = "end of file"
        else:
            why = "FFmpeg's process ended"
        self._lost(why)
        wasStopping = self._stopping is not None
        self._stopped()
        if not self._isWanted:
            return
        if wasStopping:
            # It was wanted again before the process had ended.
            self._start()
        elif status == FINISHED and not child.trouble:
            self._isWanted = False
            self._say(f"{why} after {child.frames} messages")
        else:
            if self._reactor.seconds() - child.since >= GOOD_LIFE:
                self._backoff.reset()
            self._tryAgain(why)

    def _tryAgain(self, why: str) -> None:
        wait = self._backoff.next()
        self._retry = self._reactor.callLater(wait, self._start)
        self._say(f"{why}; retrying, after 1 s at first, then up to 30 s")

    def _say(self, words: str) -> None:
        # Do not repeat a message.
        if words not in self._said:
            self._said.add(words)
            if len(self._said) > MAX_LINES:
                self._said.clear()
            self._log.info(
                "{stream}: pull from {peer}: {words}",
                stream=publicName(self._app, self._name),
                peer=self.peer,
                words=words,
            )


class _Child(ProcessProtocol):
    """
    The reading process.
    """

    transport: Any

    def __init__(self, pull: MediaPull, since: float) -> None:
        self.reader = TagReader()
        self.since = since
        self.frames = 0
        #: Its last error message, or why we killed it.
        self.trouble = ""
        self.isUnwanted = False
        self._pull = pull
        self._partial = b""
        self._lines = 0

    def outReceived(self, data: bytes) -> None:
        """
        Handle the media it writes.
        """
        try:
            self._pull.childWrote(self, data)
        except RemoteProtocolError as error:
            self.trouble = f"FFmpeg's process wrote invalid FLV: {error}"
            self.kill()

    def errReceived(self, data: bytes) -> None:
        """
        Handle the error messages it writes.
        """
        *lines, rest = (self._partial + data).split(b"\n")
        self._partial = rest[-MAX_LINE:]
        for line in lines:
            self.tellTrouble()
            self.trouble = line.decode("utf-8", "replace").strip()[-MAX_LINE:]

    def tellTrouble(self) -> None:
        """
        Log the last error message: the process went on, so it is not why the process
        ends.
        """
        trouble, self.trouble = self.trouble, ""
        if trouble and self._lines < MAX_LINES and not self.isUnwanted:
            self._lines += 1
            self._pull.childSaid(trouble)

    def kill(self) -> None:
        """
        Kill the process, and ignore its remaining output.
        """
        self.isUnwanted = True
        with suppress(ProcessExitedAlready):
            self.transport.signalProcess("KILL")
        # Otherwise the end would be reported only after the pipes have been read.
        self.transport.loseConnection()

    def processEnded(self, reason: Failure) -> None:
        """
        The process has ended.
        """
        self._pull.childEnded(self, reason)


def _frame(kind: int, timestamp: int, payload: bytes) -> Frame:
    return frameFromMessage(FrameKind(kind), timestamp, payload)


def _shown(url: str) -> str:
    """
    @return: the URL without possible secrets: user, password and query.
    """
    if "://" not in url:
        return url
    try:
        parts = urlsplit(url)
    except ValueError:
        return url.partition("://")[0] + "://..."
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))
