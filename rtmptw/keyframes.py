"""
Where decoding can start: which key frames lead, and which frames must wait for one.
"""

from typing import Final

from rtmptw.entries import isEntry
from rtmptw.frames import Frame, FrameKind, Role

#: Audio is sent on its own once there has been no video for this long, in ms. It then
#: no longer waits for a key frame.
VIDEO_GONE: Final = 3000
#: If there was no key frame for this long, in ms, the stream probably uses intra
#: refresh. Decoding may then start with any video frame.
MAX_WAIT: Final = 20_000

# For speed: looking up an enum member in its class costs more than comparing it.
_VIDEO: Final = FrameKind.VIDEO
_AUDIO: Final = FrameKind.AUDIO
_CODED: Final = Role.CODED
_END: Final = Role.END


class LeadingTrack:
    """
    Determines the leading video track of a stream: the lowest that has had a key frame
    and has not ended. Groups of pictures and files of a recording start with its key
    frames; those of other tracks come in the middle.

    @ivar track: its number; C{None} if there is none.
    """

    __slots__ = ("_tracks", "track")

    def __init__(self) -> None:
        self.track: int | None = None
        # Enhanced RTMP numbers tracks with a byte, so this is bounded.
        self._tracks: set[int] = set()

    def follow(self, frame: Frame) -> None:
        """
        Update from the next frame of the stream. Only key frames and ends of video
        sequences matter.
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
        Forget all tracks: another source takes over the stream.
        """
        self._tracks.clear()
        self.track = None

    def leads(self, frame: Frame) -> bool:
        """
        @param frame: a video frame.
        @return: whether it belongs to the leading track or a lower one. If no track
            leads, the result is C{True}.
        """
        track = self.track
        return track is None or any(number <= track for number in frame.tracks)

    def begins(self, frame: Frame) -> bool:
        """
        @param frame: a coded frame.
        @return: whether a recording can start with it: a key frame of the leading
            track, or any audio frame if there is no video.
        """
        if self.track is None:
            return frame.kind is _AUDIO
        return frame.isKey and self.leads(frame)


class Beginnings:
    """
    Decides where a file of a recording can start: where L{LeadingTrack.begins} says,
    and at any audio frame after L{VIDEO_GONE} ms without video, even if the encoder has
    not ended the video.
    """

    __slots__ = ("_leading", "_videoTime")

    def __init__(self, leading: LeadingTrack) -> None:
        """
        @param leading: the leading track of the stream; the caller updates it.
        """
        self._leading = leading
        self._videoTime: int = 0

    def begins(self, frame: Frame) -> bool:
        """
        @param frame: the next coded frame.
        @return: whether a file can start with it.
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
    Holds back frames after a gap that cannot be decoded: video up to the next key frame
    of the leading track, or another frame at which decoding can start. After
    L{MAX_WAIT} ms, that is any video frame. On request, audio waits with the video, for
    at most L{VIDEO_GONE} ms. If the leading track has had no video for that long, a key
    frame of any track will do.

    @ivar isClosed: whether it holds back frames.
    """

    __slots__ = ("_audioWaits", "_leading", "_part", "_since", "_videoTime", "isClosed")

    def __init__(self, leading: LeadingTrack) -> None:
        """
        @param leading: the leading track of the stream; the caller updates it.
        """
        self.isClosed: bool = False
        self._leading = leading
        self._audioWaits: bool = False
        # Timestamps: when it was closed; of the leading track's last frame; and of the
        # last video frame of which a part has come.
        self._since: int = 0
        self._videoTime: int = 0
        self._part: int | None = None

    def close(self, timestamp: int, audioWaits: bool = True) -> None:
        """
        Wait for a key frame.

        @param timestamp: the timestamp of the last video frame, or the stream's current
            time, in ms.
        @param audioWaits: whether audio also waits.
        """
        self.isClosed = True
        self._audioWaits = audioWaits
        self._since = timestamp
        self._videoTime = timestamp
        self._part = timestamp if audioWaits else None

    def closeAgain(self) -> None:
        """
        Wait for a key frame, with video only; audio passes.
        """
        self.isClosed = True
        self._audioWaits = False
        self._part = None

    def passes(self, frame: Frame) -> bool:
        """
        @param frame: the next frame of the stream.
        @return: whether it passes. A frame at which decoding can start opens the gate.
        """
        if not self.isClosed or frame.isHeader:
            return True
        timestamp = frame.timestamp
        if frame.kind is not _VIDEO or frame.role is not _CODED:
            return not self._audioWaits or timestamp - self._since >= VIDEO_GONE
        leads = self._leading.leads(frame)
        if frame.isKey:
            opens = leads or timestamp - self._videoTime >= VIDEO_GONE
        else:
            opens = leads and (timestamp - self._since >= MAX_WAIT or isEntry(frame))
        # A video frame can come in several messages; only the first can open the gate.
        if opens and timestamp != self._part:
            self.isClosed = False
            return True
        if leads:
            self._videoTime = timestamp
            self._part = timestamp
        return False
