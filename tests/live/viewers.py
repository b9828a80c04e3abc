"""
Many players of one stream in one process, some of them slow:

    python -m tests.live.viewers rtmp|rtmps PORT COUNT SLOW BYTES_A_SECOND

Print C{ready} when all play, and at the end one JSON list: for each player the number
of its audio frames and the timestamps of its video frames, the slow players first. Slow
players read at full speed once the others have finished.
"""

import json
import os
import selectors
import socket
import ssl
import sys
import time

from rtmptw.rtmp.amf import AMFObject
from rtmptw.rtmp.chunkreader import ChunkReader, MessageReceiver
from rtmptw.rtmp.chunkwriter import ChunkWriter
from rtmptw.rtmp.handshake import SIZE
from rtmptw.rtmp.message import Command, parse

#: The receive buffer of a slow player's socket, in bytes.
LITTLE = 4096


class Viewer(MessageReceiver):
    """
    One player.

    @ivar times: the timestamps of the video frames received, in ms.
    @ivar sounds: the number of audio frames received.
    @ivar rate: the bytes per second it may read; 0 for no limit.
    """

    def __init__(self, port: int, rate: int, tls: ssl.SSLContext | None) -> None:
        self.times: list[int] = []
        self.audioFrames = 0
        self.rate = rate
        self.isPlaying = False
        self.isOver = False
        self._allowance = 0.0
        self.socket = socket.socket()
        if rate:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, LITTLE)
        self.socket.connect(("127.0.0.1", port))
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket)
        writer = ChunkWriter()
        hello = b"\3" + os.urandom(SIZE * 2)
        properties = AMFObject([("app", "live"), ("tcUrl", "rtmp://127.0.0.1/live")])
        for streamID, command in (
            (0, Command("connect", 1.0, (properties,))),
            (0, Command("createStream", 2.0, (None,))),
            (1, Command("play", 3.0, (None, "cam", -2000.0))),
        ):
            kind, payload = command.encode()
            hello += writer.write(3, kind, 0, streamID, payload)
        self.socket.sendall(hello)
        self.socket.setblocking(False)
        self._reader = ChunkReader(self)
        self._skip = 1 + 2 * SIZE

    def read(self, seconds: float) -> None:
        """
        Read what has arrived, or as much as the rate allows for C{seconds}.
        """
        size = 1 << 16
        if self.rate:
            self._allowance = min(self._allowance + self.rate * seconds, self.rate)
            size = int(self._allowance)
            if not size:
                return
        try:
            data = self.socket.recv(size)
        except (BlockingIOError, ssl.SSLWantReadError):
            return
        self._allowance -= len(data)
        if not data:
            self.isOver = True
        skipped = min(self._skip, len(data))
        self._skip -= skipped
        if data[skipped:]:
            self._reader.receive(data[skipped:])
        if isinstance(self.socket, ssl.SSLSocket) and self.socket.pending():
            # The TLS layer holds these bytes, so no selector reports them.
            self.read(0.0)

    def messageReceived(
        self,
        messageType: int,
        timestamp: int,
        streamID: int,
        payload: bytes,
        chunkStreamID: int,
    ) -> None:
        """
        Note the media frames, and when playing starts and stops.
        """
        if messageType == 9 and payload[1] == 1:
            self.times.append(timestamp)
        elif messageType == 8 and payload[1] == 1:
            self.audioFrames += 1
        else:
            message = parse(messageType, payload)
            if isinstance(message, Command) and message.name == "onStatus":
                information = message.values[1]
                assert isinstance(information, AMFObject)
                code = information.get("code")
                self.isPlaying = self.isPlaying or code == "NetStream.Play.Start"
                self.isOver = self.isOver or code == "NetStream.Play.Stop"


def main() -> None:
    """
    Play until every player has finished.
    """
    port, count, slow, rate = map(int, sys.argv[2:])
    tls = None
    if sys.argv[1] == "rtmps":
        # The server's certificate is self-signed.
        tls = ssl.create_default_context()
        tls.check_hostname = False
        tls.verify_mode = ssl.CERT_NONE
    viewers = [Viewer(port, rate if n < slow else 0, tls) for n in range(count)]
    selector = selectors.DefaultSelector()
    for viewer in viewers[slow:]:
        selector.register(viewer.socket, selectors.EVENT_READ, viewer)
    said = False
    last = time.monotonic()
    while not all(viewer.isOver for viewer in viewers):
        for key, _events in selector.select(0.02):
            key.data.read(0.0)
            if key.data.isOver:
                selector.unregister(key.fileobj)
        now = time.monotonic()
        for viewer in viewers[:slow]:
            if not viewer.isOver:
                viewer.read(now - last)
        last = now
        if not said and all(viewer.isPlaying for viewer in viewers):
            said = True
            print("ready", flush=True)
        if all(viewer.isOver for viewer in viewers[slow:]):
            for viewer in viewers[:slow]:
                viewer.rate = 0
    print(json.dumps([[viewer.audioFrames, *viewer.times] for viewer in viewers]))


if __name__ == "__main__":
    main()
