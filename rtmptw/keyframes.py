"""
Where decoding can begin: which key frames lead, and what has to wait for one.
"""

from typing import Final

from rtmptw.entries import isEntry
from rtmptw.frames import Frame, FrameKind, Role

#: So many ms after the last picture, sound goes on alone; it waits no longer for a key
#: frame.
VIDEO_GONE: Final = 3000
#: So many ms without anything to begin with, and a decoder may as well try: it is a
#: stream that is refreshed bit by bit.
MAX_WAIT: Final = 20_000

# To look a member up in its class costs more than to compare it.
_VIDEO: Final = FrameKind.VIDEO
_AUDIO: Final = FrameKind.AUDIO
_CODED: Final = Role.CODED
_END: Final = Role.END


class LeadingTrack:
    """
    Knows which of a stream's video tracks leads: the lowest that has had a key frame
    and has not ended. Groups of pictures, and the files of a recording, begin with its
    key frames; those of the other tracks come in the middle.

    @ivar track: its number; C{None} while there is none.
    """

    __slots__ = ("_tracks", "track")

    def __init__(self) -> None:
        self.track: int | None = None
        # Enhanced RTMP numbers tracks with a byte, so this is bounded.
        self._tracks: set[int] = set()

    def follow(self, frame: Frame) -> None:
        """
        Learn from the next frame of the stream. Only key frames and ends of video
        sequences tell anything.
        """
        if frame.isKey:
            self._tracks.update(frame.tracks)
        elif frame.role is _END and frame.kind is _VIDEO:
            self._tracks.difference_update(frame.tracks)
        else:
            return
        self.track = min(self._tracks) if self._tracks else None

    def forget(self) -> None:
        """
        Another source takes the stream over, with tracks of its own.
        """
        self._tracks.clear()
        self.track = None

    def leads(self, frame: Frame) -> bool:
        """
        @param frame: of video.
        @return: whether it is of the track that leads, or of a lower one; while none
            leads, each does.
        """
        track = self.track
        return track is None or any(number <= track for number in frame.tracks)

    def begins(self, frame: Frame) -> bool:
        """
        @param frame: coded.
        @return: whether a recording can begin with it: with a key frame that leads, or
            with any sound if there is no video.
        """
        if self.track is None:
            return frame.kind is _AUDIO
        return frame.isKey and self.leads(frame)


class Beginnings:
    """
    Knows where a file of a recording can begin: where L{LeadingTrack.begins} says, and
    with any sound when the pictures have stayed away for L{VIDEO_GONE} ms, though the
    encoder never said that they end.
    """

    __slots__ = ("_leading", "_videoTime")

    def __init__(self, leading: LeadingTrack) -> None:
        """
        @param leading: of the stream; somebody else lets it follow the frames.
        """
        self._leading = leading
        self._videoTime: int = 0

    def begins(self, frame: Frame) -> bool:
        """
        @param frame: the next one, coded.
        @return: whether a file can begin with it.
        """
        if frame.kind is _VIDEO:
            self._videoTime = frame.timestamp
            return self._leading.begins(frame)
        return (
            self._leading.track is None
            or frame.timestamp - self._videoTime >= VIDEO_GONE
        )


class KeyGate:
    """
    After a gap, keeps back what cannot be decoded: the video up to the next key frame
    that leads, or anything else that decoding can begin with; after L{MAX_WAIT} ms that
    is any picture. The sound waits for it with the video, if it is to, for
    L{VIDEO_GONE} ms at most. When the leading track has shown nothing for as long, any
    key frame is welcome.

    @ivar isClosed: whether it keeps anything back.
    """

    __slots__ = ("_leading", "_part", "_since", "_soundWaits", "_videoTime", "isClosed")

    def __init__(self, leading: LeadingTrack) -> None:
        """
        @param leading: of the stream; somebody else lets it follow the frames.
        """
        self.isClosed: bool = False
        self._leading = leading
        self._soundWaits: bool = False
        # Since when it is closed; when the leading track was seen last; and the picture
        # that a part was seen of.
        self._since: int = 0
        self._videoTime: int = 0
        self._part: int | None = None

    def close(self, timestamp: int, soundWaits: bool = True) -> None:
        """
        Wait for a key frame.

        @param timestamp: of the last picture, or the stream's time now, in ms.
        @param soundWaits: whether sound is of no use without its pictures.
        """
        self.isClosed = True
        self._soundWaits = soundWaits
        self._since = timestamp
        self._videoTime = timestamp
        self._part = timestamp if soundWaits else None

    def closeAgain(self) -> None:
        """
        Wait for a key frame; the sound need not.
        """
        self.isClosed = True
        self._soundWaits = False
        self._part = None

    def passes(self, frame: Frame) -> bool:
        """
        @param frame: the next one of the stream.
        @return: whether it is of use; one that decoding can begin with opens the gate.
        """
        if not self.isClosed or frame.isHeader:
            return True
        timestamp = frame.timestamp
        if frame.kind is not _VIDEO or frame.role is not _CODED:
            return not self._soundWaits or timestamp - self._since >= VIDEO_GONE
        leads = self._leading.leads(frame)
        if frame.isKey:
            opens = leads or timestamp - self._videoTime >= VIDEO_GONE
        else:
            opens = leads and (timestamp - self._since >= MAX_WAIT or isEntry(frame))
        # A picture can come in several messages: it begins with the first.
        if opens and timestamp != self._part:
            self.isClosed = False
            return True
        if leads:
            self._videoTime = timestamp
            self._part = timestamp
        return False
