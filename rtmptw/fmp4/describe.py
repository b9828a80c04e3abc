"""
Sample descriptions: what a player must know of a codec before its first sample.
"""

from collections.abc import Callable

from rtmptw.codecs import aac, ac3, av1, flac, h264, hevc, mpeg, opus, vp9
from rtmptw.codecs.audio import AudioFormat
from rtmptw.codecs.video import VideoFormat
from rtmptw.errors import RemoteProtocolError
from rtmptw.fmp4.boxes import box, fullBox
from rtmptw.fmp4.entries import audioEntry, elementaryStream, visualEntry
from rtmptw.fmp4.track import About, Description
from rtmptw.frames import Codec

#: Used for video of unknown size. Players use the size in the bitstream.
UNKNOWN_SIZE = (16, 16)
#: Ticks of video tracks per second, as in RTMP.
VIDEO_RATE = 1000

# Object types of MPEG-4 (ISO/IEC 14496-1, 7.2.6.6).
_AAC_TYPE = 0x40
_MP3_TYPE = 0x6B
_MPEG2_TYPE = 0x69


def describe(
    codec: Codec, config: bytes | None, first: bytes, about: About
) -> Description:
    """
    @param config: the codec's configuration, as in Enhanced RTMP; C{None} if there is
        none.
    @param first: a coded sample from which decoding can start.

    @return: a sample description.

    @raise RemoteProtocolError: if a required configuration is missing or invalid, or
        MP4 cannot hold the codec.
    """
    describer = _DESCRIBERS.get(codec)
    if describer is None:
        raise RemoteProtocolError("mp4-codec", f"MP4 cannot hold {codec.name}")
    return describer(config, first, about)


def _needed(config: bytes | None) -> bytes:
    if not config:
        raise RemoteProtocolError("codec-header-missing", "the codec header is missing")
    return config


def _video(
    kind: bytes, config: tuple[bytes, bytes], video: VideoFormat | None, about: About
) -> Description:
    if video is None:
        width, height = about.size or UNKNOWN_SIZE
        video = VideoFormat(width, height)
    entry = visualEntry(kind, config, video, about.light)
    wide, high = video.shape
    # For display, pixels are enlarged in one direction, never reduced.
    size = video.width, video.height
    if wide > high:
        size = round(video.width * wide / high), video.height
    elif high > wide:
        size = video.width, round(video.height * high / wide)
    size = min(size[0], 0xFFFF), min(size[1], 0xFFFF)
    return Description(entry, VIDEO_RATE, 0, size)


def _look(parse: Callable[[bytes], VideoFormat], unit: bytes) -> VideoFormat | None:
    """
    @return: the format in a sequence header; C{None} if it cannot be parsed, which is
        no reason not to record the video.
    """
    try:
        return parse(unit)
    except RemoteProtocolError:
        return None


def _h264(config: bytes | None, first: bytes, about: About) -> Description:
    data = _needed(config)
    sequence = h264.parseConfig(data).sps[0]
    video = _look(h264.parseSequence, sequence)
    return _video(b"avc1", (b"avcC", data), video, about)


def _hevc(config: bytes | None, first: bytes, about: About) -> Description:
    data = _needed(config)
    parsed = hevc.parseConfig(data)
    video = None
    for kind, unit in parsed.sets:
        if kind == hevc.SPS:
            video = _look(hevc.parseSequence, unit)
            break
    # Apple's players accept hvc1 only; hev1 allows parameter sets within the samples.
    name = b"hvc1" if parsed.isComplete else b"hev1"
    return _video(name, (b"hvcC", data), video, about)


def _vvc(config: bytes | None, first: bytes, about: About) -> Description:
    return _video(b"vvc1", (b"vvcC", bytes(4) + _needed(config)), None, about)


def _av1(config: bytes | None, first: bytes, about: About) -> Description:
    unit = av1.sequenceHeader(config[4:]) if config else b""
    if not unit:
        unit = av1.sequenceHeader(first)
        config = av1.configOf(unit)
    assert config is not None
    return _video(b"av01", (b"av1C", config), _look(av1.parseSequence, unit), about)


def _vp9(config: bytes | None, first: bytes, about: About) -> Description:
    try:
        video, record = vp9.parseKey(first)
    except RemoteProtocolError:
        video, record = None, b""
    if config or not record:
        record = vp9.parseRecord(_needed(config))
    contents = b"\1\0\0\0" + record
    return _video(b"vp09", (b"vpcC", contents), video, about)


def _audio(
    kind: bytes,
    audio: AudioFormat,
    config: bytes,
    about: About,
    block: int | None = None,
) -> Description:
    entry = audioEntry(kind, audio, config, about.speakers)
    return Description(entry, audio.rate, audio.block if block is None else block)


def _aac(config: bytes | None, first: bytes, about: About) -> Description:
    data = _needed(config)
    audio = aac.parseConfig(data).audio
    return _audio(b"mp4a", audio, elementaryStream(_AAC_TYPE, data), about)


def _mp3(config: bytes | None, first: bytes, about: About) -> Description:
    audio = mpeg.parseFrame(first)
    kind = _MP3_TYPE if audio.rate >= 32000 else _MPEG2_TYPE
    return _audio(b"mp4a", audio, elementaryStream(kind, b""), about)


def _opus(config: bytes | None, first: bytes, about: About) -> Description:
    fields = opus.parseHeader(config or opus.headerFor(first))

    audio = opus.audioOf(fields)
    block = opus.samplesIn(first)
    return _audio(b"Opus", audio, box(b"dOps", fields), about, block)


def _flac(config: bytes | None, first: bytes, about: About) -> Description:
    block = flac.parseHeader(_needed(config))
    # The header of the last metadata block: STREAMINFO, and its size.
    head = b"\x80" + len(block).to_bytes(3, "big")
    audio = flac.audioOf(block)
    return _audio(b"fLaC", audio, fullBox(b"dfLa", 0, 0, head, block), about)


def _ac3(config: bytes | None, first: bytes, about: About) -> Description:

    audio, fields = ac3.parseFrame(first)
    return _audio(b"ac-3", audio, box(b"dac3", fields), about)


def _eac3(config: bytes | None, first: bytes, about: About) -> Description:

    audio, fields = ac3.parseEnhanced(first)
    return _audio(b"ec-3", audio, box(b"dec3", fields), about)


_DESCRIBERS: dict[Codec, Callable[[bytes | None, bytes, About], Description]] = {
    Codec.H264: _h264,
    Codec.HEVC: _hevc,
    Codec.VVC: _vvc,
    Codec.AV1: _av1,
    Codec.VP9: _vp9,
    Codec.AAC: _aac,
    Codec.MP3: _mp3,
    Codec.OPUS: _opus,
    Codec.FLAC: _flac,
    Codec.AC3: _ac3,
    Codec.EAC3: _eac3,
}
#: The codecs that MP4 can hold.
CODECS = frozenset(_DESCRIBERS)
