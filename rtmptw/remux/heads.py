"""
What is known of a track before it is written.
"""

from dataclasses import dataclass

from rtmptw.frames import Codec
from rtmptw.samples import Sample


@dataclass(slots=True)
class Head:
    """
    What is known of a track.

    @ivar config: the codec's configuration; C{None} if there was none.
    @ivar first: a coded sample from which decoding can start; C{None} before it came.
    """

    codec: Codec
    config: Sample | None = None
    first: Sample | None = None

    def differs(self, config: Sample) -> bool:
        """
        @return: whether this is another configuration than the one there is.
        """
        return (
            self.codec is not config.codec
            or self.config is None
            or self.config.data != config.data
        )
