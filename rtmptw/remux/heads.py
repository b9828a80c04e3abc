"""
What is known of a track before it is written.
"""

from typing import TypeAlias

from rtmptw.errors import SinkError
from rtmptw.fmp4.track import About
from rtmptw.frames import Codec, FrameKind
from rtmptw.remux.configs import NEEDY, areSame, headerFrom
from rtmptw.samples import Sample

#: A track: its kind and its number.
TrackKey: TypeAlias = tuple[FrameKind, int]


class TrackError(SinkError):
    """
    A container cannot hold one of the tracks; it could hold the others.

    @ivar key: which.
    @ivar codec: of the track.
    """

    def __init__(self, key: TrackKey, codec: Codec, message: str) -> None:
        super().__init__(message)
        self.key = key
        self.codec = codec


class Head:
    """
    What is known of a track.

    @ivar codec: of all its samples.
    @ivar config: the codec's configuration; C{None} if there was none.
    @ivar first: a coded sample from which decoding can start; C{None} before it came.
    @ivar about: what is known besides.
    """

    __slots__ = ("about", "codec", "config", "first")

    def __init__(
        self,
        codec: Codec,
        config: Sample | None = None,
        first: Sample | None = None,
        about: About | None = None,
    ) -> None:
        self.codec = codec
        self.config = config
        self.first = first
        self.about = about or About()

    @property
    def isReady(self) -> bool:
        """
        Whether all is known that a container has to say of the track.
        """
        return self.first is not None and (
            self.config is not None or self.codec not in NEEDY
        )

    def differs(self, config: Sample) -> bool:
        """
        @return: whether a decoder has to know this configuration.
        """
        if self.codec is not config.codec:
            return True
        if self.config is None:
            return True
        return not areSame(self.codec, self.config.data, config.data)

    def complete(self) -> None:
        """
        Make the configuration of a codec that can do without, for containers that
        cannot.
        """
        first = self.first
        if self.config is None and first is not None:
            data = headerFrom(self.codec, first.data)
            if data:
                self.config = Sample(
                    first.kind,
                    first.track,
                    self.codec,
                    True,
                    data,
                    first.timestamp,
                    0,
                    False,
                )
