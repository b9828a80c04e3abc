"""
Arrays published as a live stream, in the manner of C{cv2.VideoWriter}.
"""

import contextlib
import threading
from collections.abc import Callable, Mapping
from time import monotonic
from typing import TYPE_CHECKING, Literal

from rtmptw.arrays.address import nameIn, targetFrom
from rtmptw.arrays.encoding import ArrayEncoder, Times
from rtmptw.arrays.live import CLOSED, TIMEOUT, Blocking
from rtmptw.arrays.reactors import SLICE, reactorThread
from rtmptw.arrays.sending import MAX_HANDED, Sending, WriterCounts
from rtmptw.errors import SinkError

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

#: Seconds that the server has to take the last frames when a writer is closed.
CLOSE_WITHIN = 6.0


class Writer(Blocking[WriterCounts]):
    """
    Encodes arrays and publishes them. L{writer} makes it.

    It is a context manager::

        with rtmptw.writer("rtmp://host/live/out", size=(640, 480), rate=30) as out:
            out.write(array)

    The thread that calls L{write} does the encoding. Only one thread can write at a
    time.
    """

    _label = "writer of"

    def __init__(
        self,
        url: str,
        timeout: float | None,
        encoder: ArrayEncoder,
    ) -> None:
        """
        Use L{writer}.
        """
        target = targetFrom(url, "a writer")
        if not target.port:
            raise ValueError("a writer cannot publish to port 0")
        self._home = reactorThread()
        self._encoder = encoder
        self._times = Times(encoder.rate)
        self._writing = threading.Lock()
        self._connection = 0
        self._sending = sending = Sending(self._home, target, nameIn(target))
        super().__init__(url, target, timeout, sending)
        self._shown = f"{self.name} to {target.shown}"
        self._finalizer = self._whenCollected(
            self._home.later, sending.end, CLOSED, CLOSE_WITHIN
        )

    def open(self) -> "Writer":
        """
        Connect. L{writer} has already done so.

        @raise OSError: as L{writer} does.
        """
        self._home.check("a writer", "writerAsync")
        self._home.opened.add(self)
        sending = self._sending
        try:
            self._home.call(sending.start)
            with sending.changed:
                self._waitFor(
                    lambda: bool(sending.connection or sending.isRefused), self.timeout
                )
                if sending.isRefused:
                    raise ConnectionError(f"{self._shown}: {sending.trouble}")
                if not sending.connection:
                    raise self._timedOut()
        except SinkError as error:
            self._finalizer()
            raise OSError(str(error)) from None
        except BaseException:
            # Ctrl-C too.
            self._finalizer()
            raise
        return self

    def _waitFor(self, isSo: Callable[[], bool], timeout: float | None) -> None:
        """
        Wait until a condition holds, the writer ends, or the time is over. The caller
        holds C{changed}.
        """
        sending = self._sending
        end = None if timeout is None else monotonic() + timeout
        while not (isSo() or sending.ended or self._home.isOver):
            left = SLICE if end is None else min(SLICE, end - monotonic())
            if left <= 0:
                return
            sending.changed.wait(left)

    def _timedOut(self) -> TimeoutError:
        why = self._sending.trouble or "the server takes no frames"
        return TimeoutError(
            f"{self._shown}: no server has taken it for {self.timeout:g} s: {why}"
        )

    # Writing.

    def write(self, array: "NDArray[numpy.uint8]", time: float | None = None) -> None:
        """
        Publish a frame. Without a connection the frame is dropped and counted; the
        first frame on a new connection is a key frame. If the server is slow, wait for
        it.

        @param array: of C{uint8}, shape (height, width, 3), or (height, width) for
            gray, with the size that was given to L{writer}.
        @param time: when to show the frame, in seconds from any start: C{frame.pts} of
            a capture. By default frames are evenly spaced according to C{rate}, but
            never more than a moment behind the clock.

        @raise TypeError: if it is not an array of bytes.
        @raise ValueError: if its size is wrong, or the writer is closed.
        @raise TimeoutError: if there was no connection for C{timeout} seconds, or the
            server took no frames. The writer keeps trying: you may call it again.
        @raise RuntimeError: in the reactor's thread, which must not wait.
        """
        self._home.check("a writer", "writerAsync")
        encoder, sending = self._encoder, self._sending
        array = encoder.check(array)
        with self._writing:
            if sending.ended:
                raise ValueError(f"{self._shown}: the writer is closed")
            sending.written += 1
            connection = self._room()
            if not connection:
                sending.unsent += 1
                return
            frames = []
            if connection != self._connection:
                # Frames still in the encoder were for the connection that was lost.
                self._connection = connection
                self._times = Times(encoder.rate)
                frames = encoder.begin()
            seconds = self._times.next(monotonic(), time)
            sending.hand(frames + encoder.encode(array, seconds), connection)

    def _room(self) -> int:
        """
        Wait until there is room for a frame.

        @return: the number of the connection; 0 if there is none.
        """
        sending = self._sending
        with sending.changed:
            self._waitFor(
                lambda: (
                    not sending.connection
                    or (not sending.isFull and sending.handed < MAX_HANDED)
                ),
                self.timeout,
            )
            connection = sending.connection
            isStuck = sending.isFull or sending.handed >= MAX_HANDED
            away = monotonic() - sending.since
        if connection and not isStuck:
            return connection
        isLong = self.timeout is not None and (bool(connection) or away >= self.timeout)
        if isLong and not sending.ended:
            sending.unsent += 1
            raise self._timedOut()
        return 0

    # The end.

    def close(self) -> None:
        """
        Send the frames that are still in the encoder, wait until the server has taken
        everything, and end the stream. Calling it again does nothing.
        """
        if not self._finalizer.detach():
            return
        home, sending = self._home, self._sending
        home.opened.discard(self)
        if home.isHere or home.isOver:
            home.later(sending.end, CLOSED)
            return
        # If this takes too long, or the reactor stops, closing finishes without us.
        with self._writing, contextlib.suppress(TimeoutError, RuntimeError):
            if self._connection and self._connection == sending.connection:
                sending.hand(self._encoder.finish(), self._connection)
            home.call(sending.end, CLOSED, CLOSE_WITHIN, within=2 * CLOSE_WITHIN)
        # The rest was still in the encoder when its connection was lost.
        counts = self.counts
        sending.unsent += counts.written - counts.sent - counts.dropped

    def abandon(self) -> None:
        """
        End the stream from any thread, without waiting. A thread that waits in
        L{write} is told that the writer is closed.
        """
        self._finalizer()


def encoderFor(
    size: tuple[int, int],
    rate: float,
    format: str,
    codec: str,
    options: Mapping[str, str | int | float] | None,
) -> ArrayEncoder:
    """
    @raise ValueError: if there is no such encoder; the text says why.
    """
    words = {name: str(value) for name, value in (options or {}).items()}
    return ArrayEncoder(size, rate, format, {**words, "codec": codec})


def writer(
    url: str,
    *,
    size: tuple[int, int],
    rate: float = 30.0,
    timeout: float | None = TIMEOUT,
    format: Literal["bgr24", "rgb24", "gray"] = "bgr24",
    codec: str = "libx264",
    options: Mapping[str, str | int | float] | None = None,
) -> Writer:
    """
    Publish numpy arrays to an RTMP server, as C{cv2.VideoWriter} writes them to a file.
    It waits for the server, and reconnects when the connection is lost.

    @param url: C{rtmp://HOST[:PORT]/APP/NAME}, or C{rtmps://}.
    @param size: width and height of the arrays, both even.
    @param rate: frames per second.
    @param timeout: seconds without a server before this and L{Writer.write} raise
        C{TimeoutError}; C{None} waits for ever.
    @param format: of the arrays: C{bgr24} (as OpenCV has it), C{rgb24} or C{gray}.
    @param codec: one of FFmpeg's encoders. The default, C{libx264}, is set up for low
        latency.
    @param options: of the encoder, as the ffmpeg program takes them: C{{"b": "2M",
        "g": 60, "preset": "fast"}}.

    @raise ValueError: if an argument is wrong; the text says which.
    @raise TimeoutError: if no server takes the stream in time.
    @raise ConnectionError: if the server refuses it; the text has the server's reason.
    @raise RuntimeError: in the thread of Twisted's reactor, which must not wait.
    """
    encoder = encoderFor(size, rate, format, codec, options)
    return Writer(url, timeout, encoder).open()
