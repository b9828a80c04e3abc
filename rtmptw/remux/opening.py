"""
The beginning of a container.
"""

from collections.abc import Set

from rtmptw.frames import FrameKind
from rtmptw.remux.about import Hearsay
from rtmptw.remux.heads import Head, TrackKey
from rtmptw.samples import Sample

#: Most ms of media to wait for the first sample of every track. Encoders that announce
#: no tracks in their metadata, and announced tracks that never come, are not waited for
#: longer.
MAX_WAIT = 1000
#: Limits of what is held: two seconds of 64 Mbit/s, and as many samples as two tracks
#: have in ten seconds.
MAX_WAITING_BYTES = 16 * 1024 * 1024
MAX_WAITING_SAMPLES = 1024
#: Most tracks. Enhanced RTMP numbers tracks with a byte, but nobody sends more than a
#: few, and each costs memory in FFmpeg.
MAX_TRACKS = 16


class Opening:
    """
    The beginning of a container, until its tracks are known.

    @ivar heads: the tracks seen so far.
    @ivar samples: coded samples that wait to be written, in order.
    @ivar dropped: number of samples dropped because they can never be decoded.
    """

    def __init__(self, hearsay: Hearsay) -> None:
        """
        @param hearsay: what the stream signals about its tracks.
        """
        self.heads: dict[TrackKey, Head] = {}
        self.samples: list[Sample] = []
        self.dropped = 0
        self._hearsay = hearsay
        # Tracks that have had a sample from which decoding can start; and those of them
        # whose required properties are all known.
        self._begun: set[TrackKey] = set()
        self._seen: set[TrackKey] = set()
        self._bytes = 0
        self._since = 0
        self._isFirst = True
        self._going: Set[TrackKey] = frozenset()

    def again(self, timestamp: int, going: Set[TrackKey] = frozenset()) -> None:
        """
        Start over: every track has to be seen again.

        @param timestamp: of the first sample of the next container.
        @param going: tracks that continue in the middle, without a key frame.
        """
        self._going = going
        self.samples = []
        self._since = timestamp
        self._begun = set()
        self._seen = set()
        self._bytes = 0
        self._isFirst = False

    def configure(self, sample: Sample) -> None:
        """
        Take a track's configuration. A new one restarts its track.
        """
        key = sample.kind, sample.track
        head = self.heads.get(key)
        if head is None and len(self.heads) == MAX_TRACKS:
            return
        if head is not None and head.codec is sample.codec and head.config is None:
            # It comes a little late, and belongs to the samples that wait.
            head.config = sample
            if key in self._begun and head.isReady:
                self._seen.add(key)
        elif head is None or head.differs(sample):
            self.heads[key] = Head(sample.codec, sample)
            self._seen.discard(key)

    def isFor(self, sample: Sample) -> bool:
        """
        @param sample: a configuration.
        @return: whether no samples of its track wait for a different configuration.
        """
        key = sample.kind, sample.track
        head = self.heads.get(key)
        return (
            head is None
            or (head.codec is sample.codec and head.config is None)
            or not head.differs(sample)
            or not any(key == (each.kind, each.track) for each in self.samples)
        )

    def add(self, sample: Sample) -> None:
        """
        Take a coded sample. Drop it if its track exceeds the limit.
        """
        key = sample.kind, sample.track
        head = self.heads.get(key)
        if head is None and len(self.heads) == MAX_TRACKS:
            self.dropped += 1
            return
        if head is None or head.codec is not sample.codec:
            head = self.heads[key] = Head(sample.codec)
            self._seen.discard(key)
        if sample.isKey and head.first is None:
            head.first = sample
        if sample.isKey or key in self._going:
            self._begun.add(key)
            if head.isReady:
                self._seen.add(key)
        if not self.samples and self._isFirst:
            self._since = sample.timestamp
        self.samples.append(sample)
        self._bytes += len(sample.data)
        if not self._seen:
            # There is no key frame or no header so far: none of this can be decoded.
            while self._isFull:
                self._bytes -= len(self.samples.pop(0).data)
                self.dropped += 1

    @property
    def _isFull(self) -> bool:
        return (
            self._bytes > MAX_WAITING_BYTES or len(self.samples) > MAX_WAITING_SAMPLES
        )

    @property
    def ready(self) -> bool:
        """
        Whether the container can begin: all tracks are known, or the wait is over.
        """
        if not self._seen:
            return False
        kinds = {kind for kind, _ in self._seen}
        announced = self._hearsay.kinds
        if not self._isFirst:
            # Announced tracks that have not come by now are not waited for again.
            announced = announced & {kind for kind, _ in self.heads}
        # Without an announcement, the tracks are complete only if both kinds are there.
        enough = announced <= kinds and (announced or len(kinds) == 2)
        if enough and self._seen == self.heads.keys():
            return True
        waited = self.samples[-1].timestamp - self._since
        return waited >= MAX_WAIT or self._isFull

    def tracks(self) -> dict[TrackKey, Head]:
        """
        @return: the tracks that can be written, video first.
        """
        return {key: self.heads[key] for key in sorted(self._seen, key=_rank)}


def _rank(key: TrackKey) -> tuple[bool, int]:
    return key[0] is not FrameKind.VIDEO, key[1]
