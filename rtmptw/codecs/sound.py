"""
What is known of the sound of a track.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sound:
    """
    The sound of a track.

    @ivar rate: samples of a channel in a second.
    @ivar channels: how many.
    @ivar block: samples of a channel in each packet; 0 if that varies.
    @ivar bits: of a sample.
    """

    rate: int
    channels: int
    block: int = 0
    bits: int = 16
