"""
The kinds of container for recordings, and the codecs that each can hold.
"""

from dataclasses import dataclass

from rtmptw.frames import Codec


def codecName(codec: Codec) -> str:
    """
    @return: the codec's name for people: C{"H264"}, C{"FLAC"}.
    """
    return codec.name.replace("_", " ")


@dataclass(frozen=True, slots=True)
class ContainerKind:
    """
    A container for recordings.

    @ivar name: its name on the command line, and the suffix of its files.
    @ivar format: FFmpeg's name.
    @ivar codecs: the codecs that it can hold.
    """

    name: str
    format: str
    codecs: frozenset[Codec]

    def options(self, fragment: int) -> dict[str, str]:
        """
        @param fragment: ms of media after which the file so far can be played.
        @return: options of the muxer.
        """
        if self.name == "mp4":
            return {
                "movflags": "empty_moov+default_base_moof+delay_moov",
                "frag_duration": str(fragment * 1000),
            }
        if self.name == "mkv":
            return {"cluster_time_limit": str(fragment)}
        if self.name == "ts":
            # One frame in each PES packet: each has its own timestamp, and none has to
            # wait.
            return {"pes_payload_size": "0"}
        return {}

    def refusal(self, codec: Codec) -> str:
        """
        @return: the message about a codec that this container cannot hold.
        """
        others = [kind.name for kind in CONTAINERS.values() if codec in kind.codecs]
        instead = (
            f"format={' or format='.join(others)} can"
            if others
            else "the file sink can record it unchanged"
        )
        return f"{self.name} cannot hold {codecName(codec)}; {instead}"


_EVERYWHERE = {Codec.H264, Codec.HEVC, Codec.AAC, Codec.MP3, Codec.AC3, Codec.EAC3}
_MP4 = _EVERYWHERE | {Codec.VVC, Codec.AV1, Codec.VP9, Codec.OPUS, Codec.FLAC}

#: The containers for recordings. Each holds what its specification allows: FFmpeg's
#: MPEG-TS muxer would write more than any player reads.
CONTAINERS = {
    kind.name: kind
    for kind in (
        ContainerKind("mp4", "mp4", frozenset(_MP4)),
        ContainerKind(
            "mkv",
            "matroska",
            frozenset(_MP4 | {Codec.VP8, Codec.G711A, Codec.G711U, Codec.PCM_LE}),
        ),
        ContainerKind("ts", "mpegts", frozenset(_EVERYWHERE | {Codec.OPUS})),
        ContainerKind(
            "flv",
            "flv",
            frozenset(
                _EVERYWHERE
                | {Codec.AV1, Codec.VP9, Codec.OPUS, Codec.FLAC, Codec.H263}
                | {Codec.G711A, Codec.G711U, Codec.SPEEX}
            ),
        ),
    )
}
