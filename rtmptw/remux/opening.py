"""
The beginning of a container.
"""

from collections.abc import Set

from rtmptw.frames import FrameKind
from rtmptw.remux.about import Hearsay
from rtmptw.remux.heads import Head, TrackKey
from rtmptw.samples import Sample

#: So many ms of media may pass until every track has shown itself. An encoder that
#: announces none in its metadata, or one that never comes, is not waited for longer.
MAX_WAIT = 1000
#: Two seconds of 64 Mbit/s, and as many samples as two tracks have in ten.
MAX_WAITING_BYTES = 16 * 1024 * 1024
MAX_WAITING_SAMPLES = 1024
#: Enhanced RTMP numbers tracks with a byte. Nobody sends more than a few; each costs
#: memory in FFmpeg.
MAX_TRACKS = 16


class Opening:
    """
    The beginning of a container, until its tracks are known.

    @ivar heads: the tracks that have been heard of.
    @ivar samples: what is coded, in order; it waits to be written.
    @ivar dropped: how many samples were, as nothing of them could ever be decoded.
    """

    def __init__(self, hearsay: Hearsay) -> None:
        """
        @param hearsay: what the stream says of its tracks.
        """
        self.heads: dict[TrackKey, Head] = {}
        self.samples: list[Sample] = []
        self.dropped = 0
        self._hearsay = hearsay
        # Those that have had something from which decoding can start; and of these,
        # those of which all is known that has to be.
        self._begun: set[TrackKey] = set()
        self._seen: set[TrackKey] = set()
        self._bytes = 0
        self._since = 0
        self._isFirst = True
        self._going: Set[TrackKey] = frozenset()

    def again(self, timestamp: int, going: Set[TrackKey] = frozenset()) -> None:
        """
        Begin anew: every track has to show itself again.

        @param timestamp: of the sample with which the next container begins.
        @param going: the tracks that go on in the middle, without a key frame.
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
        Take a track's configuration; a new one makes its track begin anew.
        """
        key = sample.kind, sample.track
        head = self.heads.get(key)
        if head is None and len(self.heads) == MAX_TRACKS:
            return
        if head is not None and head.codec is sample.codec and head.config is None:
            # It comes a little late; what there is, is for it.
            head.config = sample
            if key in self._begun and head.isReady:
                self._seen.add(key)
        elif head is None or head.differs(sample):
            self.heads[key] = Head(sample.codec, sample)
            self._seen.discard(key)

    def isFor(self, sample: Sample) -> bool:
        """
        @param sample: a configuration.
        @return: whether it can be taken without harm to samples that wait for another
            one.
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
        Take a coded sample. One of a track too many is dropped.
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
            # No key frame comes, or no header: nothing of this could be decoded.
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
        Whether there is no need, or no more time, to wait.
        """
        if not self._seen:
            return False
        kinds = {kind for kind, _ in self._seen}
        announced = self._hearsay.kinds
        if not self._isFirst:
            # Whoever has not come by now is not waited for each time.
            announced = announced & {kind for kind, _ in self.heads}
        # Without an announcement, only both kinds are sure to be all.
        enough = announced <= kinds and (announced or len(kinds) == 2)
        if enough and self._seen == self.heads.keys():
            return True
        waited = self.samples[-1].timestamp - self._since
        return waited >= MAX_WAIT or self._isFull

    def tracks(self) -> dict[TrackKey, Head]:
        """
        @return: those that have shown themselves, video first.
        """
        return {key: self.heads[key] for key in sorted(self._seen, key=_rank)}


def _rank(key: TrackKey) -> tuple[bool, int]:
    return key[0] is not FrameKind.VIDEO, key[1]
