"""
Encodings of a stream for a child process: FLV, an H.264 or HEVC byte stream with start
codes, or the messages of L{rtmptw.sinks.wire}.
"""

from collections.abc import Callable
from datetime import datetime

from rtmptw.clock import wallClock
from rtmptw.errors import RemoteProtocolError, SinkError
from rtmptw.flv import body as flv
from rtmptw.flv import file as flvfile
from rtmptw.frames import Codec, Frame, FrameKind, Role
from rtmptw.sinks.recording.contents import encoderProperties
from rtmptw.sinks.wire import Kind, frameMessage, jsonMessage, message

_START_CODE = b"\0\0\0\1"


class FLVEncoding:
    """
    An FLV file without an end: metadata, sequence headers, then the frames unchanged.
    """

    def begin(self, headers: list[Frame], first: Frame) -> bytes:
        """
        @return: the file header, metadata and sequence headers.
        """
        kinds = {frame.kind for frame in (*headers, first)}
        for header in headers:
            names = {name for name, _ in encoderProperties(header.payload) or ()}
            if header.kind is FrameKind.DATA and "audiocodecid" in names:
                kinds.add(FrameKind.AUDIO)
            if header.kind is FrameKind.DATA and "videocodecid" in names:
                kinds.add(FrameKind.VIDEO)
        # A reader waits for every kind of frame that the flags announce.
        head = flvfile.fileHeader(FrameKind.AUDIO in kinds, FrameKind.VIDEO in kinds)
        return head + b"".join(
            flvfile.tag(header.kind, 0, header.payload) for header in headers
        )

    def encode(self, frame: Frame, timestamp: int) -> bytes:
        """
        @return: an FLV tag.
        """
        return flvfile.tag(frame.kind, timestamp, frame.payload)

    def end(self, reason: str) -> bytes:
        """
        @return: nothing.
        """
        return b""


class MessageEncoding:
    """
    The input of our own child processes: an order, the headers, every frame with its
    own timestamp and arrival time, and why the stream ended.
    """

    def __init__(self, order: object, now: Callable[[], datetime] = wallClock) -> None:
        """
        @param order: what the child is to do; must be JSON serializable.
        @param now: the wall clock.
        """
        self._order = order
        self._now = now

    def begin(self, headers: list[Frame], first: Frame) -> bytes:
        """
        @return: the order and the headers.
        """
        now = self._now()
        return jsonMessage(Kind.ORDER, self._order) + b"".join(
            frameMessage(Kind.HEADER, header, now) for header in headers
        )

    def encode(self, frame: Frame, timestamp: int) -> bytes:
        """
        @return: a message with the frame.
        """
        return frameMessage(Kind.FRAME, frame, self._now())

    def end(self, reason: str) -> bytes:
        """
        @return: the END message.
        """
        return message(Kind.END, reason.encode("utf-8", "replace"))


class AnnexBEncoding:
    """
    H.264 or HEVC as a byte stream with start codes (H.264 and H.265, Annex B): the
    first video track only, without timestamps; parameter sets before each key frame.
    """

    def __init__(self) -> None:
        self._lengthSize = 4
        self._parameters = b""

    def begin(self, headers: list[Frame], first: Frame) -> bytes:
        """
        @return: nothing; the parameter sets precede each key frame.
        """
        for header in headers:
            self.encode(header, 0)
        return b""

    def encode(self, frame: Frame, timestamp: int) -> bytes:
        """
        @return: the video frame; empty for anything else.

        @raise SinkError: if it is a video frame of another codec.
        """
        if frame.kind is not FrameKind.VIDEO or frame.tracks[0]:
            return b""
        if frame.role not in (Role.CONFIG, Role.CODED):
            return b""
        codec = frame.codec
        if codec not in (Codec.H264, Codec.HEVC):
            name = "the video" if codec is None else codec.name
            raise SinkError(
                f"{name} has no byte stream with start codes; use format=flv"
            )
        try:
            tag = flv.parseVideo(frame.payload)
            data = tag.tracks[0].data if tag.tracks else tag.data
            if frame.role is Role.CONFIG:
                self._configure(codec, data)
                return b""
            units = _units(data, self._lengthSize)
        except (RemoteProtocolError, IndexError):
            return b""
        return (self._parameters if frame.isKey else b"") + units

    def end(self, reason: str) -> bytes:
        """
        @return: nothing.
        """
        return b""

    def _configure(self, codec: Codec, record: bytes) -> None:
        """
        Read an AVCDecoderConfigurationRecord or HEVCDecoderConfigurationRecord (ISO
        14496-15, 5.3.3.1 and 8.3.3.1).
        """
        parameters = b""
        if codec is Codec.H264:
            lengthSize = (record[4] & 3) + 1
            position = 5
            for mask in (0x1F, 0xFF):
                count = record[position] & mask
                position += 1
                for _ in range(count):
                    unit, position = _sized(record, position)
                    parameters += _START_CODE + unit
        else:
            lengthSize = (record[21] & 3) + 1
            position = 23
            for _ in range(record[22]):
                count = int.from_bytes(record[position + 1 : position + 3], "big")
                position += 3
                for _ in range(count):
                    unit, position = _sized(record, position)
                    parameters += _START_CODE + unit
        self._lengthSize, self._parameters = lengthSize, parameters


def _sized(data: bytes, position: int, width: int = 2) -> tuple[bytes, int]:
    """
    @return: the unit whose length is at C{position}, and the position after it.

    @raise IndexError: if it is truncated.
    """
    start = position + width
    end = start + int.from_bytes(data[position:start], "big")
    if end > len(data):
        raise IndexError(end)
    return data[start:end], end


def _units(data: bytes, width: int) -> bytes:
    position = 0
    units = b""
    while position < len(data):
        unit, position = _sized(data, position, width)
        units += _START_CODE + unit
    return units
