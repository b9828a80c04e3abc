"""
Arrays published as a live stream, as C{cv2.VideoWriter} writes them to a file.
"""

import contextlib
import threading
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Literal

from rtmptw.arrays.address import nameIn, targetFrom
from rtmptw.arrays.capture import CLOSED, TIMEOUT
from rtmptw.arrays.encoding import ArrayEncoder, Times
from rtmptw.arrays.reactors import SLICE, ReactorThread, reactorThread
from rtmptw.arrays.sending import MAX_HANDED, Sending
from rtmptw.errors import SinkError

if TYPE_CHECKING:
    from types import TracebackType

    import numpy
    from numpy.typing import NDArray

#: Seconds that the server has to take what is on its way when a writer is closed.
CLOSE_WITHIN = 6.0


@dataclass(frozen=True, slots=True)
class WriterCounts:
    """
    How many frames there were so far.

    @ivar written: that the program gave to C{write}.
    @ivar sent: that were sent, and as far as can be told have arrived.
    @ivar dropped: that came while there was no connection, or were lost with one.
    @ivar connections: how many connections there were.
    """

    written: int
    sent: int
    dropped: int
    connections: int


class Writer:
    """
    Encodes arrays and publishes them. L{writer} makes it.

    It is a context manager::

        with rtmptw.writer("rtmp://host/live/out", size=(640, 480), rate=30) as out:
            out.write(array)

    Encoding is done in the thread that calls L{write}; only one at a time can.

    @ivar url: where it publishes.
    @ivar name: the public name of the stream.
    """

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
            raise ValueError("there is no port 0 to publish to")
        self.url = url
        self.name = nameIn(target)
        self.timeout = timeout
        self._shown = f"{self.name} to {target.shown}"
        self._home = reactorThread()
        self._encoder = encoder
        self._times = Times(encoder.rate)
        self._sending = Sending(self._home, target, self.name)
        self._writing = threading.Lock()
        self._connection = 0
        self._written = self._unsent = 0
        self._finalizer = weakref.finalize(self, _endLater, self._home, self._sending)
        self._finalizer.atexit = False

    def open(self) -> "Writer":
        """
        Connect. L{writer} has done so.

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
                    raise self._nobody()
        except SinkError as error:
            self._finalizer()
            raise OSError(str(error)) from None
        except BaseException:
            # Ctrl-C as well.
            self._finalizer()
            raise
        return self

    def _waitFor(self, isSo: Callable[[], bool], timeout: float | None) -> None:
        """
        With C{changed} held: until it is so, or it is over, or so many seconds.
        """
        sending = self._sending
        end = None if timeout is None else monotonic() + timeout
        while not (isSo() or sending.ended or self._home.isOver):
            left = SLICE if end is None else min(SLICE, end - monotonic())
            if left <= 0:
                return
            sending.changed.wait(left)

    def _nobody(self) -> TimeoutError:
        why = self._sending.trouble or "it takes nothing"
        return TimeoutError(
            f"{self._shown}: nobody takes it for {self.timeout:g} s: {why}"
        )

    # What there is.

    @property
    def state(self) -> str:
        """
        C{"waiting"} for a connection, C{"live"} or C{"ended"}.
        """
        sending = self._sending
        if sending.ended:
            return "ended"
        return "live" if sending.connection else "waiting"

    @property
    def why(self) -> str:
        """
        What is wrong, or why it has ended, as a sentence; empty while all is well.
        """
        return self._sending.ended or self._sending.trouble

    @property
    def counts(self) -> WriterCounts:
        """
        How many frames there were so far. After L{close}, C{sent} and C{dropped} are
        all that were written.
        """
        sending = self._sending
        return WriterCounts(
            self._written,
            sending.sent,
            self._unsent + sending.lost,
            sending.connections,
        )

    def isOpened(self) -> bool:
        """
        @return: whether it is not closed.
        """
        return not self._sending.ended

    # Writing.

    def write(self, array: "NDArray[numpy.uint8]", time: float | None = None) -> None:
        """
        Publish a frame. While there is no connection the frame is dropped, and counted;
        the first after that is a key frame. While the server is slow, wait for it.

        @param array: of C{uint8}, of the size that was said: (height, width, 3), for
            gray (height, width).
        @param time: when to show it, in seconds from any moment on: C{frame.pts} of a
            capture. If not given, frames are evenly spaced, as the rate says, but
            never more than a moment behind the clock.

        @raise TypeError: if it is no array of bytes.
        @raise ValueError: if it has another size, or the writer is closed.
        @raise TimeoutError: if for so many seconds there was no connection, or it took
            nothing. The writer goes on trying: call it again.
        @raise RuntimeError: in the reactor's thread, which must not wait.
        """
        self._home.check("a writer", "writerAsync")
        encoder, sending = self._encoder, self._sending
        array = encoder.check(array)
        with self._writing:
            if sending.ended:
                raise ValueError(f"{self._shown}: the writer is closed")
            self._written += 1
            connection = self._room()
            if not connection:
                self._unsent += 1
                return
            frames = []
            if connection != self._connection:
                # What the encoder still had was for a connection that is lost.
                self._connection = connection
                self._times = Times(encoder.rate)
                frames = encoder.begin()
            seconds = self._times.next(monotonic(), time)
            sending.hand(frames + encoder.encode(array, seconds), connection)

    def _room(self) -> int:
        """
        Wait until there is room.

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
            self._unsent += 1
            raise self._nobody()
        return 0

    # The end.

    def close(self) -> None:
        """
        Send what the encoder still has, wait until the server has taken everything,
        and end the stream. Again does nothing.
        """
        if not self._finalizer.detach():
            return
        home, sending = self._home, self._sending
        home.opened.discard(self)
        if home.isHere or home.isOver:
            home.later(sending.end, CLOSED)
            return
        # If it takes longer, or the reactor stops, it goes on without us.
        with self._writing, contextlib.suppress(TimeoutError, RuntimeError):
            if self._connection and self._connection == sending.connection:
                sending.hand(self._encoder.finish(), self._connection)
            home.call(sending.end, CLOSED, CLOSE_WITHIN, within=2 * CLOSE_WITHIN)
        counts = self.counts
        # What an encoder that holds frames back had for a connection that is lost.
        self._unsent += counts.written - counts.sent - counts.dropped

    def abandon(self) -> None:
        """
        End it in any thread, without waiting for that: whoever waits in another is
        told that it is closed.
        """
        self._finalizer()

    def release(self) -> None:
        """
        L{close}, as C{cv2.VideoWriter} has it.
        """
        self.close()

    def __enter__(self) -> "Writer":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: "TracebackType | None",
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        why = self.why
        return f"<writer of {self._shown}: {self.state}{why and f', {why}'}>"


def _endLater(home: ReactorThread, sending: Sending) -> None:
    """
    Nobody has it any more.
    """
    home.later(sending.end, CLOSED, CLOSE_WITHIN)


def encoderFor(
    size: tuple[int, int],
    rate: float,
    format: str,
    codec: str,
    options: Mapping[str, str | int | float] | None,
) -> ArrayEncoder:
    """
    @raise ValueError: with a sentence, if it cannot be had so.
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
    Publish arrays of numpy to an RTMP server, as C{cv2.VideoWriter} writes them to a
    file. It waits for the server, and when that goes away, connects again.

    @param url: where to: C{rtmp://HOST[:PORT]/APP/NAME}, or C{rtmps://}.
    @param size: width and height of the arrays, both even.
    @param rate: frames a second, which evenly spaces them.
    @param timeout: after so many seconds without a server, this and
        L{Writer.write} raise C{TimeoutError}; never, if C{None}.
    @param format: of the arrays: C{bgr24}, as OpenCV has it, C{rgb24} or C{gray}.
    @param codec: an encoder of FFmpeg. C{libx264} is set up to give each frame at once.
    @param options: of the encoder, as FFmpeg's program takes them: C{{"b": "2M", "g":
        60, "preset": "fast"}}.

    @raise ValueError: with a sentence, if something of this is not possible.
    @raise TimeoutError: if nobody takes the stream in time.
    @raise ConnectionError: if the server refuses it, with what it said.
    @raise RuntimeError: in the thread of Twisted's reactor, which must not wait.
    """
    encoder = encoderFor(size, rate, format, codec, options)
    return Writer(url, timeout, encoder).open()
