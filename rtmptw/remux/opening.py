"""
The beginning of a container.
"""

from rtmptw.errors import ProtocolError
from rtmptw.frames import FrameKind
from rtmptw.remux.container import TrackKey
from rtmptw.remux.heads import Head
from rtmptw.rtmp import amf0
from rtmptw.rtmp.amf import AMFObject
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
    """

    def __init__(self) -> None:
        self.heads: dict[TrackKey, Head] = {}
        self.samples: list[Sample] = []
        self._seen: set[TrackKey] = set()
        self._bytes = 0
        self._announced: set[FrameKind] = set()

    def announce(self, payload: bytes) -> None:
        """
        Read in an onMetaData message which tracks are to come.
        """
        try:
            values = amf0.decodeAll(payload, lenient=True)
        except ProtocolError:
            return
        for value in values:
            if isinstance(value, AMFObject):
                names = {name for name, _ in value.properties}
                if "videocodecid" in names:
                    self._announced.add(FrameKind.VIDEO)
                if "audiocodecid" in names:
                    self._announced.add(FrameKind.AUDIO)

    def again(self) -> None:
        """
        Begin anew: every track has to show itself again.
        """
        self.samples = []
        self._seen = set()
        self._bytes = 0
        # Whoever has not come by now is not waited for each time.
        self._announced &= {kind for kind, _ in self.heads}

    def configure(self, sample: Sample) -> None:
        """
        Take a track's configuration; a new one makes its track begin anew.
        """
        key = sample.kind, sample.track
        head = self.heads.get(key)
        if head is None and len(self.heads) == MAX_TRACKS:
            return
        if head is None or head.differs(sample):
            self.heads[key] = Head(sample.codec, sample)
            self._seen.discard(key)

    def add(self, sample: Sample) -> None:
        """
        Take a coded sample. One of a track too many is dropped.
        """
        key = sample.kind, sample.track
        head = self.heads.get(key)
        if head is None and len(self.heads) == MAX_TRACKS:
            return
        if head is None or head.codec is not sample.codec:
            head = self.heads[key] = Head(sample.codec)
            self._seen.discard(key)
        if sample.isKey:
            if head.first is None:
                head.first = sample
            self._seen.add(key)
        self.samples.append(sample)
        self._bytes += len(sample.data)
        if not self._seen:
            # No key frame comes: nothing of this could be decoded.
            while self._isFull:
                self._bytes -= len(self.samples.pop(0).data)

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
        # Without an announcement, only both kinds are sure to be all.
        enough = self._announced <= kinds and (self._announced or len(kinds) == 2)
        if enough and self._seen == self.heads.keys():
            return True
        waited = self.samples[-1].timestamp - self.samples[0].timestamp
        return waited >= MAX_WAIT or self._isFull

    def tracks(self) -> dict[TrackKey, Head]:
        """
        @return: those that have shown themselves, video first.
        """
        return {key: self.heads[key] for key in sorted(self._seen, key=_rank)}


def _rank(key: TrackKey) -> tuple[bool, int]:
    return key[0] is not FrameKind.VIDEO, key[1]
