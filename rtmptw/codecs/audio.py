"""
The audio format of a track.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """
    The audio format of a track.

    @ivar rate: samples per second and channel.
    @ivar channels: number of channels.
    @ivar block: samples per channel in each packet; 0 if that varies.
    @ivar bits: bits per sample.
    """

    rate: int
    channels: int
    block: int = 0
    bits: int = 16
