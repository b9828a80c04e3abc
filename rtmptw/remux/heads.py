"""
What is known of a track before it is written.
"""

from typing import TypeAlias

from rtmptw.errors import SinkError
from rtmptw.fmp4.track import About
from rtmptw.frames import Codec, FrameKind
from rtmptw.remux.configs import NEEDY, areSame, headerFrom
from rtmptw.samples import Sample

#: A track: its kind and its id.
TrackKey: TypeAlias = tuple[FrameKind, int]


class TrackError(SinkError):
    """
    A container cannot hold one of the tracks. It may be able to hold the others.

    @ivar key: the track.
    @ivar codec: the track's codec.
    """

    def __init__(self, key: TrackKey, codec: Codec, message: str) -> None:
        super().__init__(message)
        self.key = key
        self.codec = codec


class Head:
    """
    What is known of a track.

    @ivar codec: the codec of all its samples.
    @ivar config: the codec configuration; C{None} if there was none.
    @ivar first: a coded sample from which decoding can start; C{None} until there is
        one.
    @ivar about: other properties.
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
        Whether everything is known that a container must know of the track.
        """
        return self.first is not None and (
            self.config is not None or self.codec not in NEEDY
        )

    def differs(self, config: Sample) -> bool:
        """
        @return: whether a decoder must be set up again for this configuration.
        """
        if self.codec is not config.codec:
            return True
        if self.config is None:
            return True
        return not areSame(self.codec, self.config.data, config.data)

    def complete(self) -> None:
        """
        Make the configuration of a codec that does not need one, for containers that
        do.
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
