"""
Tests for L{rtmptw.flv.body}.
"""

from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rtmptw.errors import RemoteProtocolError
from rtmptw.flv import body as flv
from rtmptw.flv.body import (
    MAX_MOD_EX,
    MAX_TRACKS,
    AudioTag,
    ChannelOrder,
    Channels,
    ModEx,
    MultitrackType,
    PacketType,
    Track,
    VideoTag,
    dataMessage,
    frameFromMessage,
    parseAudio,
    parseVideo,
)
from rtmptw.frames import DEFAULT_TRACKS, Codec, Frame, FrameKind, Role
from rtmptw.rtmp import amf0
from rtmptw.rtmp.amf import ECMAArray
from tests.vectors import vectors

PARSERS: dict[FrameKind, Callable[[bytes], VideoTag | AudioTag]] = {
    FrameKind.VIDEO: parseVideo,
    FrameKind.AUDIO: parseAudio,
}

#: What the vectors call the attributes of tags and tracks.
NAMES = {
    "frame_type": "frameType",
    "codec_id": "codecID",
    "composition_time": "compositionTime",
    "fourcc": "fourCC",
    "nano_offset": "nanoOffset",
    "command": "command",
    "sound_format": "soundFormat",
    "rate": "rate",
    "size": "size",
    "stereo": "stereo",
    "track_id": "trackID",
}


def described(tag: VideoTag | AudioTag | Track, names: dict[str, Any]) -> Any:
    """
    @param names: the names in the vector; only these attributes are compared.

    @return: the tag as the vectors write it.
    """
    said: dict[str, Any] = {}
    for name in names:
        if name == "kind":
            assert not isinstance(tag, Track)
            said[name] = "ex" if tag.enhanced else "legacy"
        elif name == "data_hex":
            said[name] = tag.data.hex()
        elif name == "packet_type":
            assert not isinstance(tag, Track) and tag.packetType is not None
            said[name] = tag.packetType.value
        elif name == "multitrack":
            assert not isinstance(tag, Track) and tag.multitrack is not None
            said[name] = tag.multitrack.value
        elif name == "tracks":
            assert not isinstance(tag, Track)
            said[name] = [
                described(track, expected)
                for track, expected in zip(tag.tracks, names[name], strict=True)
            ]
        elif name == "modex":
            assert not isinstance(tag, Track)
            said[name] = [[modEx.type, modEx.data.hex()] for modEx in tag.modEx]
        elif name in ("channel_order", "channels", "mapping"):
            assert not isinstance(tag, VideoTag) and tag.channels is not None
            channels = tag.channels
            said[name] = {
                "channel_order": channels.order,
                "channels": channels.count,
                "mapping": list(channels.mapping),
            }[name]
        else:
            said[name] = getattr(tag, NAMES[name])
    return said


def cases() -> list[tuple[FrameKind, dict[str, Any], bytes]]:
    """
    @return: the kind, the vector and the body of each.
    """
    return [
        (kind, case, bytes.fromhex(case["input_hex"]))
        for kind, category in (
            (FrameKind.VIDEO, "flv-video"),
            (FrameKind.AUDIO, "flv-audio"),
        )
        for case in vectors(category)
    ]


LEGACY_VIDEO = {
    2: Codec.H263,
    3: Codec.SCREEN,
    4: Codec.VP6,
    5: Codec.VP6A,
    6: Codec.SCREEN2,
    7: Codec.H264,
    12: Codec.HEVC,
    13: Codec.AV1,
    14: Codec.VVC,
}
LEGACY_AUDIO = {
    0: Codec.PCM,
    1: Codec.ADPCM,
    2: Codec.MP3,
    3: Codec.PCM_LE,
    4: Codec.NELLYMOSER_16K,
    5: Codec.NELLYMOSER_8K,
    6: Codec.NELLYMOSER,
    7: Codec.G711A,
    8: Codec.G711U,
    10: Codec.AAC,
    11: Codec.SPEEX,
    14: Codec.MP3_8K,
    15: Codec.DEVICE,
}
FOUR_CCS = {
    FrameKind.VIDEO: {"avc1", "hvc1", "vvc1", "av01", "vp08", "vp09"},
    FrameKind.AUDIO: {"mp4a", ".mp3", "Opus", "fLaC", "ac-3", "ec-3"},
}
ROLES = {
    PacketType.SEQUENCE_START: Role.CONFIG,
    PacketType.MPEG2TS_SEQUENCE_START: Role.CONFIG,
    PacketType.SEQUENCE_END: Role.END,
    PacketType.METADATA: Role.METADATA,
    PacketType.MULTICHANNEL_CONFIG: Role.CHANNELS,
    PacketType.UNKNOWN: Role.UNKNOWN,
}


def frameOf(kind: FrameKind, timestamp: int, body: bytes) -> Frame:
    """
    @return: the frame made from the fully parsed body, without any table.
    """
    tag: VideoTag | AudioTag
    try:
        tag = parseVideo(body) if kind is FrameKind.VIDEO else parseAudio(body)
    except RemoteProtocolError:
        return Frame(kind, timestamp, body, Role.UNKNOWN)
    fourCC = tag.tracks[0].fourCC if tag.tracks else tag.fourCC
    codec = Codec(fourCC) if fourCC in FOUR_CCS[kind] else None
    tracks = tuple(track.trackID for track in tag.tracks) or DEFAULT_TRACKS
    isKey, time = False, 0
    if isinstance(tag, AudioTag):
        if not tag.enhanced:
            codec = LEGACY_AUDIO.get(tag.soundFormat)
    else:
        if tag.command is not None:
            return Frame(kind, timestamp, body, Role.COMMAND)
        if tag.codecID is not None:
            codec = LEGACY_VIDEO.get(tag.codecID)
        time = tag.tracks[0].compositionTime if tag.tracks else tag.compositionTime
        isKey = tag.frameType == 1 or (tag.frameType == 4 and not tag.enhanced)
    if tag.packetType is None:
        role = Role.UNKNOWN if codec is None else Role.CODED
    else:
        role = ROLES.get(tag.packetType, Role.CODED)
    isKey = isKey and role is Role.CODED
    return Frame(kind, timestamp, body, role, codec, isKey, time, tracks)


#: Bodies that are mostly valid.
enhancedBodies = st.builds(
    lambda first, middle, fourCC, rest: bytes([first]) + middle + fourCC + rest,
    st.integers(0x80, 0xFF),
    st.sampled_from(
        [b"", b"\x00", b"\x01", b"\x10", b"\x11", b"\x21", b"\x14", b"\x02\0\0\x05\x01"]
    ),
    st.sampled_from(
        [it.encode() for it in sorted(FOUR_CCS[FrameKind.VIDEO])]
        + [it.encode() for it in sorted(FOUR_CCS[FrameKind.AUDIO])]
        + [b"none", b"\xff\xfe\xfd\xfc"]
    ),
    st.binary(max_size=30),
)
bodies = st.binary(max_size=40) | enhancedBodies


class VectorTests(SynchronousTestCase):
    """
    The shared vectors.
    """

    def test_everyVectorParsesAsItSays(self) -> None:
        """
        All attributes that it names, or its class of error.
        """
        self.assertEqual(len(cases()), 18 + 10)
        for kind, case, body in cases():
            expected = case["expect"]
            if "error" in expected:
                error = self.assertRaises(RemoteProtocolError, PARSERS[kind], body)
                self.assertEqual(error.label, expected["error"], case["name"])
            else:
                found = described(PARSERS[kind](body), expected)
                self.assertEqual(found, expected, case["name"])

    def test_everyVectorGivesItsFrame(self) -> None:
        """
        The fast path and the full parser produce the same frame.
        """
        for kind, case, body in cases():
            found = repr(frameFromMessage(kind, 5, body))
            self.assertEqual(found, repr(frameOf(kind, 5, body)), case["name"])


class ParsingTests(SynchronousTestCase):
    """
    Fully parsed bodies.
    """

    def assertFault(self, label: str, kind: FrameKind, body: str) -> str:
        """
        Parsing fails with this label, and the frame has an unknown role.

        @return: the message.
        """
        data = bytes.fromhex(body)
        error = self.assertRaises(RemoteProtocolError, PARSERS[kind], data)
        self.assertEqual(error.label, label, body)
        self.assertIs(frameFromMessage(kind, 0, data).role, Role.UNKNOWN)
        return str(error)

    def test_whatIsNotSaidIsNothing(self) -> None:
        """
        Zero, empty or C{None}, because the form has no field for it.
        """
        for kind, body, tag in (
            (
                FrameKind.VIDEO,
                b"\x27\x01\x00\x00\x05ab",
                VideoTag(
                    False, 2, 7, PacketType.NALU, 5, "", b"ab", None, None, (), (), 0
                ),
            ),
            (
                FrameKind.VIDEO,
                b"\x12ab",
                VideoTag(False, 1, 2, None, 0, "", b"ab", None, None, (), (), 0),
            ),
            (
                FrameKind.VIDEO,
                b"\x52\x01ab",
                VideoTag(False, 5, 2, None, 0, "", b"", 1, None, (), (), 0),
            ),
            (
                FrameKind.VIDEO,
                b"\xd1\x00",
                VideoTag(True, 5, None, None, 0, "", b"", 0, None, (), (), 0),
            ),
            (
                FrameKind.VIDEO,
                b"\xa6\x01av01\x03ab",
                VideoTag(
                    True,
                    2,
                    None,
                    PacketType.CODED_FRAMES,
                    0,
                    "av01",
                    b"",
                    None,
                    MultitrackType.ONE_TRACK,
                    (Track(3, "av01", b"ab", 0, None),),
                    (),
                    0,
                ),
            ),
            (
                FrameKind.AUDIO,
                b"\x2aab",
                AudioTag(False, 2, 2, 1, 0, None, "", b"ab", None, None, (), (), 0),
            ),
            (
                FrameKind.AUDIO,
                b"\xa5\x01ab",
                AudioTag(
                    False, 10, 1, 0, 1, PacketType.RAW, "", b"ab", None, None, (), (), 0
                ),
            ),
            (
                FrameKind.AUDIO,
                b"\x94Opus\x00\x02",
                AudioTag(
                    True,
                    9,
                    0,
                    0,
                    0,
                    PacketType.MULTICHANNEL_CONFIG,
                    "Opus",
                    b"\x00\x02",
                    Channels(0, 2, (), 0),
                    None,
                    (),
                    (),
                    0,
                ),
            ),
        ):
            self.assertEqual(PARSERS[kind](body), tag)

    def test_aBodyShorterThanItsHeader(self) -> None:
        """
        It is truncated, wherever it is cut.
        """
        for body in ("", "17", "17010000", "57", "90", "90617663", "9161766331000a"):
            self.assertFault("flv-truncated", FrameKind.VIDEO, body)
        for body in ("d1", "97", "97ff00", "9700aa", "96", "9600", "960061766331"):
            self.assertFault("flv-truncated", FrameKind.VIDEO, body)
        for body in ("9611617663310000", "961161766331", "9621617663310000000300"):
            self.assertFault("flv-truncated", FrameKind.VIDEO, body)
        for body in ("1701ffff", "9161766331ffff", "a161766331ff", "91617663"):
            self.assertFault("flv-truncated", FrameKind.VIDEO, body)
        for body in ("", "af", "90", "914f7075", "944f70757302", "944f7075730101ff"):
            self.assertFault("flv-truncated", FrameKind.AUDIO, body)
        fault = self.assertFault("flv-truncated", FrameKind.VIDEO, "1701")
        self.assertEqual(fault, "a body of 2 bytes, at least 5 are needed")

    def test_aTrackTooShortForItsCompositionTime(self) -> None:
        """
        Bytes are not taken from the next track.
        """
        body = "9611617663310000000200000100000300000a"
        self.assertFault("flv-truncated", FrameKind.VIDEO, body)

    def test_tracksWithinTracks(self) -> None:
        """
        They are invalid in audio too, where the packet type is another.
        """
        self.assertFault("flv-nested-multitrack", FrameKind.AUDIO, "95056d70346100")

    def test_aLayoutNobodyDefined(self) -> None:
        """
        Such a body is rejected.
        """
        fault = self.assertFault("flv-bad-multitrack", FrameKind.VIDEO, "963161766331")
        self.assertEqual(fault, "multitrack type 3, must be 0 to 2")

    def test_tracksHaveABound(self) -> None:
        """
        There are 256 track ids.
        """
        head, track = bytes.fromhex("95114f707573"), bytes(4)
        self.assertEqual(len(parseAudio(head + track * MAX_TRACKS).tracks), 256)
        body = (head + track * (MAX_TRACKS + 1)).hex()
        self.assertFault("flv-too-many-tracks", FrameKind.AUDIO, body)

    def test_modExHasABound(self) -> None:
        """
        Parsing a body of nothing but ModEx stops at the limit.
        """
        chain, last = b"\x00\xaa\x17", b"\x00\xaa\x11Opus"
        body = b"\x97" + chain * (MAX_MOD_EX - 1) + last
        self.assertEqual(len(parseAudio(body).modEx), 16)
        body = b"\x97" + chain * MAX_MOD_EX + last
        self.assertFault("flv-too-many-modex", FrameKind.AUDIO, body.hex())

    def test_aLongModEx(self) -> None:
        """
        256 bytes and more have a 16-bit size.
        """
        data = bytes(range(256)) * 2
        body = b"\xa7\xff" + (len(data) - 1).to_bytes(2, "big") + data + b"\x01av01x"
        tag = parseVideo(body)
        self.assertEqual(tag.modEx, (ModEx(0, data),))
        self.assertEqual(tag.nanoOffset, 0x000102)
        self.assertEqual((tag.fourCC, tag.data), ("av01", b"x"))
        # The longest with a short size, and one whose type is not a timestamp offset.
        data = bytes(range(1, 256))
        tag = parseVideo(b"\xa7\xfe" + data + b"\x27\x00\xaa\x31av01")
        self.assertEqual(tag.modEx, (ModEx(2, data), ModEx(3, b"\xaa")))
        self.assertEqual((tag.nanoOffset, tag.frameType), (0, 2))
        for types, nanoOffset in ((0x11, 0), (0x01, 5), (0x08, 5)):
            tag = parseVideo(b"\xa7\x02\x00\x00\x05" + bytes([types]) + b"av01")
            self.assertEqual(tag.nanoOffset, nanoOffset, types)

    def test_anEnhancedCommandHasNoFourCC(self) -> None:
        """
        But metadata with the frame type of a command is metadata: FFmpeg sends it.
        """
        tag = parseVideo(b"\xd1\x01")
        self.assertEqual((tag.command, tag.packetType, tag.fourCC), (1, None, ""))
        tag = parseVideo(b"\xd4hvc1\x02")
        self.assertEqual((tag.command, tag.packetType), (None, PacketType.METADATA))
        self.assertEqual((tag.fourCC, tag.data), ("hvc1", b"\x02"))

    def test_channelsInNativeOrder(self) -> None:
        """
        A mask; and nothing for an unspecified order.
        """
        tag = parseAudio(b"\x94Opus\x01\x06\x00\x00\x00\x3f")
        self.assertEqual(tag.channels, Channels(1, 6, mask=0x3F))
        self.assertEqual(tag.data, b"\x01\x06\x00\x00\x00\x3f")
        tag = parseAudio(b"\x94Opus\x00\x02")
        self.assertEqual(tag.channels, Channels(0, 2))
        numbers = {order.name: order.value for order in ChannelOrder}
        self.assertEqual(numbers, {"UNSPECIFIED": 0, "NATIVE": 1, "CUSTOM": 2})

    def test_channelsOfATrack(self) -> None:
        """
        Each track has its own.
        """
        tag = parseAudio(bytes.fromhex("95144f707573 00 000002 0002 01 000003 020107"))
        self.assertEqual(tag.multitrack, MultitrackType.MANY_TRACKS)
        self.assertIsNone(tag.channels)
        self.assertEqual(
            [(track.trackID, track.channels) for track in tag.tracks],
            [(0, Channels(0, 2)), (1, Channels(2, 1, (7,)))],
        )

    @given(bodies)
    def test_anyBodyGivesATagOrItsFault(self, body: bytes) -> None:
        """
        Any body gives a tag or RemoteProtocolError, nothing else; and data is only from
        the body.
        """
        for parse in (parseVideo, parseAudio):
            try:
                tag = parse(body)
            except RemoteProtocolError as error:
                self.assertTrue(error.label.startswith("flv-"))
            else:
                self.assertIn(tag.data, body)


class FrameTests(SynchronousTestCase):
    """
    Frames created from messages.
    """

    def frame(self, kind: FrameKind, body: str) -> Frame:
        """
        @return: the frame, at 40 ms.
        """
        data = bytes.fromhex(body)
        frame = frameFromMessage(kind, 40, data)
        self.assertIs(frame.kind, kind)
        self.assertEqual(frame.timestamp, 40)
        self.assertIs(frame.payload, data)
        return frame

    def video(self, body: str) -> Frame:
        """
        @return: the frame of a video body.
        """
        return self.frame(FrameKind.VIDEO, body)

    def audio(self, body: str) -> Frame:
        """
        @return: the frame of an audio body.
        """
        return self.frame(FrameKind.AUDIO, body)

    def test_commonBodiesTakeTheShortcut(self) -> None:
        """
        What encoders send with every frame is looked up by its first byte.
        """
        codecs = {7: Codec.H264, 12: Codec.HEVC, 13: Codec.AV1, 14: Codec.VVC}
        config, coded, unknown = Role.CONFIG, Role.CODED, Role.UNKNOWN
        packets = [config, coded, Role.END, coded, Role.METADATA, config, None, None]
        for first in range(256):
            high, low = first >> 4, first & 0x0F
            codec = codecs.get(low) if high in (0, 1, 2, 3, 4, 6, 7) else None
            self.assertIs(flv._AVC_LIKE_BY_BYTE[first], codec, first)
            video = (packets + [unknown] * 8)[low] if high >= 8 else None
            if high == 0xD and low != 4:
                # A command.
                video = None
            self.assertIs(flv._ENHANCED_VIDEO_BY_BYTE[first], video, first)
            audio = packets[low] if high == 9 and low < 3 else None
            self.assertIs(flv._ENHANCED_AUDIO_BY_BYTE[first], audio, first)
            self.assertIs(flv._AUDIO_BY_BYTE[first], LEGACY_AUDIO.get(high), first)

    def test_aKeyFrame(self) -> None:
        """
        Legacy, generated by a server, and enhanced with and without composition time.
        """
        for body in ("1701000000aa", "4701000000aa", "1c01000000", "12", "4201"):
            frame = self.video(body)
            self.assertEqual((frame.role, frame.isKey), (Role.CODED, True), body)
        for body in ("2701000000aa", "3701000000aa", "22", "3201"):
            frame = self.video(body)
            self.assertEqual((frame.role, frame.isKey), (Role.CODED, False), body)
        for body in ("916876633100000a", "9368766331", "9161763031aa"):
            self.assertTrue(self.video(body).isKey, body)
        for body in ("c161763031aa", "a161763031aa"):
            self.assertFalse(self.video(body).isKey, body)
        # With tracks, the first bits of a server-generated key frame do not count.
        for first, isKey in ((0x96, True), (0xA6, False), (0xC6, False)):
            self.assertEqual(self.video(f"{first:x}016176303100aa").isKey, isKey)

    def test_whatLooksLikeAKeyFrameAndIsNone(self) -> None:
        """
        Sequence headers, and the end of a sequence, which FFmpeg sends as a key frame.
        """
        for body, role in (
            ("1700000000aa", Role.CONFIG),
            ("1702000000", Role.END),
            ("1703000000", Role.UNKNOWN),
            ("17ff000000", Role.UNKNOWN),
            ("ffff000000", Role.UNKNOWN),
            ("9068766331aa", Role.CONFIG),
            ("9561763031aa", Role.CONFIG),
            ("9268766331", Role.END),
            ("9468766331", Role.METADATA),
            ("9868766331", Role.UNKNOWN),
            ("960068766331 01", Role.CONFIG),
            ("960268766331 01", Role.END),
            ("960768766331 01", Role.UNKNOWN),
        ):
            frame = self.video(body)
            self.assertIs(frame.role, role, body)
            self.assertFalse(frame.isKey, body)

    def test_compositionTimeIsSigned(self) -> None:
        """
        24 bits; only for codecs that have one.
        """
        for written, time in (
            ("010203", 0x010203),
            ("000001", 1),
            ("7fffff", 0x7FFFFF),
            ("800000", -0x800000),
            ("810203", 0x010203 - 0x800000),
            ("ffffde", -34),
        ):
            # As in every frame, and by the full parser: with a ModEx, with tracks.
            for body in (
                f"2701{written}",
                f"a161766331{written}",
                f"a7000001 61766331{written}",
                f"a601 61766331 00 {written}",
            ):
                self.assertEqual(self.video(body).compositionTime, time, body)
            tag = parseVideo(bytes.fromhex(f"2701{written}"))
            self.assertEqual(tag.compositionTime, time)
        for fourCC in ("61766331", "68766331", "76766331"):
            self.assertEqual(self.video(f"a1{fourCC}ffffde").compositionTime, -34)
            self.assertEqual(self.video(f"a3{fourCC}ffffde").compositionTime, 0)
        self.assertEqual(self.video("a161763031ffffde").compositionTime, 0)
        track = self.video("a601687663310100000a")
        self.assertEqual(track.compositionTime, 10)

    def test_videoCodecs(self) -> None:
        """
        By number or FourCC; C{None} for unknown codecs, which are passed on.
        """
        for number, codec in LEGACY_VIDEO.items():
            frame = self.video(f"2{number:x}01000000")
            self.assertEqual((frame.role, frame.codec), (Role.CODED, codec))
        for number in (0, 1, 8, 9, 10, 11, 15):
            frame = self.video(f"1{number:x}01000000")
            self.assertEqual((frame.role, frame.codec), (Role.UNKNOWN, None))
            self.assertFalse(frame.isKey)
        for fourCC in sorted(FOUR_CCS[FrameKind.VIDEO]):
            frame = self.video(f"a3{fourCC.encode().hex()}00")
            self.assertEqual((frame.role, frame.codec), (Role.CODED, Codec(fourCC)))
        for body in ("934d4a504700", "936d703461"):
            frame = self.video(body)
            self.assertEqual((frame.role, frame.codec), (Role.CODED, None))
            self.assertTrue(frame.isKey)

    def test_audioCodecs(self) -> None:
        """
        By number or FourCC.
        """
        for number, codec in LEGACY_AUDIO.items():
            frame = self.audio(f"{number:x}f01aabb")
            self.assertEqual((frame.role, frame.codec), (Role.CODED, codec))
        for number in (12, 13):
            frame = self.audio(f"{number:x}f01aabb")
            self.assertEqual((frame.role, frame.codec), (Role.UNKNOWN, None))
        for fourCC in sorted(FOUR_CCS[FrameKind.AUDIO]):
            frame = self.audio(f"91{fourCC.encode().hex()}00")
            self.assertEqual((frame.role, frame.codec), (Role.CODED, Codec(fourCC)))

    def test_audioRoles(self) -> None:
        """
        Sequence headers, ends, channels; and AAC with an empty header.
        """
        for body, role in (
            ("af00", Role.CONFIG),
            ("af001190", Role.CONFIG),
            ("af01", Role.CODED),
            ("af02", Role.UNKNOWN),
            ("afff", Role.UNKNOWN),
            ("ffff", Role.CODED),
            ("2f", Role.CODED),
            ("9f4f707573", Role.UNKNOWN),
            ("904f707573", Role.CONFIG),
            ("924f707573", Role.END),
            ("934f707573", Role.UNKNOWN),
            ("944f7075730002", Role.CHANNELS),
            ("95044f707573010002", Role.CHANNELS),
        ):
            frame = self.audio(body)
            self.assertIs(frame.role, role, body)
            self.assertFalse(frame.isKey)

    def test_commandFramesAreNoVideo(self) -> None:
        """
        The client seeks: there is no video to decode.
        """
        for body in ("5700", "5201", "570100000000", "d100", "d668766331"):
            frame = self.video(body)
            self.assertEqual((frame.role, frame.codec), (Role.COMMAND, None), body)
            self.assertFalse(frame.isKey)

    def test_aMessageWithoutABody(self) -> None:
        """
        Its role is unknown, and it is not an error.
        """
        for kind in (FrameKind.AUDIO, FrameKind.VIDEO):
            self.assertIs(self.frame(kind, "").role, Role.UNKNOWN)

    def test_tracksAreNamed(self) -> None:
        """
        Also those of a body with several codecs, and after ModEx.
        """
        many = "9621 68766331 00 000005 00000aaabb 61763031 01 000002 0102"
        tag = parseVideo(bytes.fromhex(many))
        self.assertEqual(
            tag.tracks,
            (
                Track(0, "hvc1", b"\xaa\xbb", 10, None),
                Track(1, "av01", b"\x01\x02", 0, None),
            ),
        )
        frame = self.video(many)
        self.assertEqual((frame.tracks, frame.codec), ((0, 1), Codec.HEVC))
        self.assertTrue(frame.isKey)
        self.assertEqual(frame.compositionTime, 10)
        frame = self.audio("9521 4f707573 04 000001 aa 6d703461 05 000001 bb")
        self.assertEqual((frame.tracks, frame.codec), ((4, 5), Codec.OPUS))
        self.assertEqual(self.audio("9501 4f707573 03 aa").tracks, (3,))
        self.assertEqual(self.audio("9702000001 05 01 4f707573 03 aa").tracks, (3,))
        self.assertEqual(self.audio("9702000001 01 4f707573 aa").tracks, DEFAULT_TRACKS)

    def test_dataIsNamedByItsFirstString(self) -> None:
        """
        Short or long, whatever its bytes; the name is empty if there is none.
        """
        metadata = amf0.encode("onMetaData", ECMAArray([]))
        for payload, name in (
            (metadata, "onMetaData"),
            (b"\x02\x00\x02\xff\xfe", "\udcff\udcfe"),
            (b"\x0c\x00\x00\x00\x01a", "a"),
            (b"\x02\x01\x02" + b"a" * 258 + b"b", "a" * 258),
            (b"\x0c\x00\x01\x00\x02" + b"a" * 65538 + b"b", "a" * 65538),
            (b"\x02\x00\x00", ""),
            (b"\x02\x00\x05a", ""),
            (b"\x0c\xff\xff\xff\xffa", ""),
            (b"\x02", ""),
            (b"\x05", ""),
            (b"", ""),
        ):
            frame = frameFromMessage(FrameKind.DATA, 40, payload)
            self.assertEqual((frame.role, frame.name), (Role.DATA, name))
            self.assertEqual((frame.codec, frame.isKey), (None, False))
            self.assertIs(frame.payload, payload)

    @given(st.sampled_from(list(FrameKind)), bodies)
    def test_noBodyRaises(self, kind: FrameKind, body: bytes) -> None:
        """
        The fast path and the full parser agree, too.
        """
        frame = frameFromMessage(kind, 40, body)
        if kind is FrameKind.DATA:
            self.assertIs(frame.role, Role.DATA)
        else:
            self.assertEqual(repr(frame), repr(frameOf(kind, 40, body)))


class DataMessageTests(SynchronousTestCase):
    """
    The verbs of data messages.
    """

    def test_theVerbIsCutOff(self) -> None:
        """
        The rest is unchanged, even if its count is wrong.
        """
        for case in vectors("command"):
            if case["name"] == "data-setdataframe-obs":
                whole = bytes.fromhex(case["input_hex"])
        verb, rest = dataMessage(whole)
        self.assertEqual(verb, "@setDataFrame")
        self.assertEqual(rest, whole[len(amf0.encode("@setDataFrame")) :])
        name = frameFromMessage(FrameKind.DATA, 0, rest).name
        self.assertEqual(name, "onMetaData")

    def test_clearDataFrameIsAVerb(self) -> None:
        """
        Its name follows.
        """
        message = amf0.encode("@clearDataFrame", "onMetaData")
        self.assertEqual(
            dataMessage(message), ("@clearDataFrame", amf0.encode("onMetaData"))
        )

    def test_twoNumbersBeforeIt(self) -> None:
        """
        They are removed with it; more numbers are not, nor are numbers without a verb.
        """
        metadata = amf0.encode("onMetaData", None)
        for count, verb in ((1, "@setDataFrame"), (2, "@setDataFrame"), (3, "")):
            whole = amf0.encode(*range(count), "@setDataFrame") + metadata
            self.assertEqual(dataMessage(whole), (verb, metadata if verb else whole))
        whole = amf0.encode(0.0, 1.0) + metadata
        self.assertEqual(dataMessage(whole), ("", whole))

    def test_otherMessagesAreLeftAlone(self) -> None:
        """
        Also messages that only begin like a verb, or are not AMF.
        """
        for message in (
            amf0.encode("onMetaData", ECMAArray([])),
            amf0.encode("@setDataFrames"),
            b"\x02\x00\x0d@setDataFram",
            b"",
        ):
            self.assertEqual(dataMessage(message), ("", message))
        # Anything but numbers and the verb leaves the message unchanged.
        odd = b"\2\0\1" + b"abcde\0" + bytes(8) + amf0.encode("@setDataFrame", "x")
        self.assertEqual(dataMessage(odd[1:]), ("", odd[1:]))
