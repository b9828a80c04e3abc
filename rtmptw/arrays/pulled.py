"""
A stream played from another server.
"""

from twisted.internet.defer import Deferred

from rtmptw.arrays.intake import Intake
from rtmptw.arrays.reactors import ReactorThread
from rtmptw.frames import StreamInfo
from rtmptw.hub.hub import StreamHub
from rtmptw.plugins.sink import FrameSinkFactory
from rtmptw.rtmp.url import RTMPTarget
from rtmptw.rtmpclient.pull import RTMPPull

#: The longest time between two attempts to connect, in seconds.
LONGEST_WAIT = 5.0


class Pulled(FrameSinkFactory):
    """
    Plays one stream for one capture, and again whenever the stream is back.
    """

    def __init__(
        self, home: ReactorThread, url: str, target: RTMPTarget, intake: Intake
    ) -> None:
        """
        @raise SinkError: if the URL asks for TLS, and TLS is not installed.
        """
        self._where = target.shown
        self._intake = intake
        self._hub = StreamHub(home.reactor, [("capture", self)])
        app, _, stream = intake.name.rpartition("/")
        self._pull = RTMPPull(
            self._hub, home.reactor, url, app, stream, longestWait=LONGEST_WAIT
        )
        self._pull.startService()

    def buildSink(self, stream: StreamInfo) -> None:
        """
        The stream begins: give it to the capture.
        """
        self._intake.begin(self._hub.streams[stream.name])

    def missing(self, name: str) -> str:
        """
        @return: why there is no stream, for messages.
        """
        if self._pull.isConnected:
            return f"connected to {self._where}, but nobody publishes {name} there"
        trouble = self._pull.trouble
        if trouble:
            return f"{self._where}: {trouble}"
        return f"{self._where} has not answered yet"

    def left(self, intake: Intake) -> "Deferred[None]":
        """
        Stop playing.

        @return: fires when that is done.
        """
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        await self._pull.stopService()
        await self._hub.shutdown("the program has stopped reading")
