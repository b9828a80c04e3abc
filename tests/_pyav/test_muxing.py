"""
Tests for L{rtmptw._pyav.muxing}: every packet of every codec in every container that
can hold it.
"""

import hashlib
import io
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import av
from twisted.trial.unittest import SynchronousTestCase

from rtmptw._pyav.muxing import Muxer, checkFormat
from rtmptw.errors import SinkError
from rtmptw.flv.body import frameFromMessage
from rtmptw.frames import Codec, Frame, FrameKind, Role
from rtmptw.remux.about import Hearsay
from rtmptw.remux.container import Container, Counts
from rtmptw.remux.heads import Head, TrackKey
from rtmptw.remux.kinds import CONTAINERS
from rtmptw.remux.mp4 import MP4
from rtmptw.remux.opening import (
    MAX_TRACKS,
    MAX_WAIT,
    MAX_WAITING_SAMPLES,
    Opening,
)
from rtmptw.remux.remuxer import Remuxer
from rtmptw.rtmp import amf0
from rtmptw.rtmp.amf import ECMAArray
from rtmptw.samples import Sample, samplesOf
from rtmptw.testing import audioFrame, makeFrames, videoFrame
from tests.live.media import (
    AUDIO_ONLY,
    AV1_OPUS,
    H264_AAC,
    HEVC_AAC,
    VIDEO_ONLY,
    VP9_FLAC,
    Media,
    encode,
    readTags,
)

VP9_OPUS = Media(video="libvpx-vp9", audio="libopus", options=VP9_FLAC.options)
#: What is left out, by container and encoders: kinds, and their codec names.
LEFT_OUT = {
    ("ts", "libsvtav1", "libopus"): {"video": "AV1"},
    ("ts", "libvpx-vp9", "libopus"): {"video": "VP9"},
    ("ts", "libvpx-vp9", "flac"): {"video": "VP9", "audio": "FLAC"},
}


def framesOf(path: str) -> list[Frame]:
    """
    @return: the frames of an FLV file, as a publisher sends them.
    """
    return [
        frameFromMessage(FrameKind(tag.kind), tag.timestamp, tag.payload)
        for tag in readTags(Path(path))
    ]


def withoutADTS(packet: bytes) -> bytes:
    """
    @return: an AAC frame without the header that MPEG-TS needs.
    """
    if len(packet) > 7 and packet[0] == 0xFF and packet[1] & 0xF6 == 0xF0:
        return packet[7 if packet[1] & 1 else 9 :]
    return packet


def units(packet: bytes) -> list[bytes]:
    """
    @return: the NAL units, which have lengths of four bytes.
    """
    found = []
    while packet:
        size = int.from_bytes(packet[:4], "big")
        found.append(packet[4 : 4 + size])
        packet = packet[4 + size :]
    return found


def startCodeUnits(packet: bytes) -> list[bytes]:
    """
    @return: the NAL units of a byte stream.
    """
    return packet.replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1")[1:]


def isVideo(unit: bytes, codec: str) -> bool:
    """
    Whether a NAL unit is not one that MPEG-TS adds: an access unit delimiter, a
    parameter set, or the SEI of HEVC's configuration.
    """
    if codec == "hevc":
        return unit[0] >> 1 & 63 not in (32, 33, 34, 35, 39)
    return unit[0] & 31 not in (7, 8, 9)


def withoutDelimiter(packet: bytes) -> bytes:
    """
    @return: an AV1 temporal unit without its delimiter, which MP4 and Matroska omit,
        but FFmpeg's FLV does not.
    """
    return packet.removeprefix(b"\x12\0")


def packetsOf(
    source: Any, name: str = "", **options: str
) -> dict[str, list[tuple[str, bool, int, int | None]]]:
    """
    @param name: of the container, whose changes by specification are undone; empty to
        undo none.
    @param options: options of the demuxer.
    @return: for each track and packet the hash of its payload, its key flag, and its
        presentation and decoding times in ms; C{None} where those are unknown.
    """
    found: dict[str, list[Any]] = defaultdict(list)
    with av.open(source, options=options) as container:
        for packet in container.demux():
            if not packet.size:
                continue
            data = bytes(packet)
            codec = packet.stream.codec_context.name
            if name == "ts" and codec == "aac":
                data = withoutADTS(data)
            elif name in ("ts", "for ts") and codec in ("h264", "hevc"):
                split = startCodeUnits(data) if name == "ts" else units(data)
                data = b"|".join(unit for unit in split if isVideo(unit, codec))
            elif name in ("mp4", "mkv") and codec in ("av1", "libdav1d"):
                data = withoutDelimiter(data)
            base = packet.time_base
            found[packet.stream.type].append(
                (
                    hashlib.md5(data).hexdigest(),
                    packet.is_keyframe,
                    # RTP has no times before the sender's first report.
                    round((packet.pts or 0) * base * 1000),
                    None if packet.dts is None else round(packet.dts * base * 1000),
                )
            )
    return dict(found)


def wantedFor(
    source: str, name: str
) -> dict[str, list[tuple[str, bool, int, int | None]]]:
    """
    @return: L{packetsOf} an FLV file, for comparison with a container: all of each
        payload except for what the container's specification changes.
    """
    return packetsOf(source, "for ts" if name == "ts" else name)


def same(got: Any, wanted: Any, what: str) -> str:
    """
    Compare packets: every payload, in order; every time, except for one common offset.

    @return: a line that says how many are the same.
    """
    count = total = 0
    offsets = set()
    for kind, packets in wanted.items():
        total += len(packets)
        pairs = list(zip(got.get(kind, []), packets, strict=False))
        count += sum(one[:2] == other[:2] for one, other in pairs)
        offsets |= {one[2] - other[2] for one, other in pairs}
        offsets |= {
            one[3] - other[3] for one, other in pairs if None not in (one[3], other[3])
        }
    line = f"{what}: {count} of {total} packets"
    print(line)
    assert count == total, line
    assert {kind: len(packets) for kind, packets in got.items()} == {
        kind: len(packets) for kind, packets in wanted.items()
    }, line
    assert max(offsets) - min(offsets) <= 1, f"{what}: offsets {sorted(offsets)}"
    return line


class Containers:
    """
    Keeps the remuxed files in memory.

    @ivar files: the files.
    @ivar counts: the statistics of each.
    @ivar whys: for each, how the tracks changed.
    """

    def __init__(self, name: str, fragment: int = 800, **more: Any) -> None:
        self.kind = CONTAINERS[name]
        self.fragment = fragment
        self.files: list[io.BytesIO] = []
        self.counts: list[Counts] = []
        self.whys: list[str] = []
        self.leftOut: list[str] = []
        self.remuxer = Remuxer(
            self._begin,
            self._end,
            codecs=self.kind.codecs,
            leaveOut=lambda codec, why: self.leftOut.append(
                why or self.kind.refusal(codec)
            ),
            **more,
        )

    def _begin(self, heads: Mapping[TrackKey, Head], base: int) -> Container:
        self.files.append(io.BytesIO())
        if self.kind.name == "mp4":
            return MP4(self.files[-1], heads, base, self.fragment)
        options = self.kind.options(self.fragment)
        return Muxer(self.files[-1], self.kind.format, options, heads, base)

    def _end(self, container: Container, why: str) -> None:
        container.finish()
        self.counts.append(container.counts)
        self.whys.append(why)

    def remux(self, frames: list[Frame]) -> "Containers":
        """
        Remux a whole stream.
        """
        try:
            for frame in frames:
                self.remuxer.write(frame)
            self.remuxer.finish()
        finally:
            self.remuxer.close()
        return self

    def packets(self, index: int = 0) -> Any:
        """
        @return: L{packetsOf} one file.
        """
        return packetsOf(io.BytesIO(self.files[index].getvalue()), self.kind.name)


class EveryPacketTests(SynchronousTestCase):
    """
    Codecs of every kind in every container.
    """

    def check(self, media: Media) -> None:
        """
        Remux into each container, and compare.
        """
        source = encode(media)
        for name in CONTAINERS:
            wanted = wantedFor(source, name)
            what = f"{media.video}-{media.audio} in {name}"
            leftOut = LEFT_OUT.get((name, media.video, media.audio), {})
            for kind in leftOut:
                del wanted[kind]
            containers = Containers(name).remux(framesOf(source))
            self.assertEqual(len(containers.leftOut), len(leftOut))
            for codec in leftOut.values():
                self.assertRegex(
                    "\n".join(containers.leftOut),
                    rf"(?m)^{name} cannot hold {codec}; .*format=mkv.* can$",
                )
            if not wanted:
                self.assertEqual(containers.files, [])
                continue
            same(containers.packets(), wanted, what)
            (counts,) = containers.counts
            self.assertEqual((counts.repaired, counts.refused), (0, 0))
            self.assertEqual(counts.packets, sum(map(len, wanted.values())))
            self.assertEqual(containers.whys, [""])

    def test_H264WithBFrames(self) -> None:
        """
        With AAC.
        """
        self.check(H264_AAC)

    def test_HEVC(self) -> None:
        """
        With AAC.
        """
        self.check(HEVC_AAC)

    def test_AV1(self) -> None:
        """
        With Opus.
        """
        self.check(AV1_OPUS)

    def test_VP9(self) -> None:
        """
        With FLAC, which ends with a configuration without samples.
        """
        self.check(VP9_FLAC)
        self.check(VP9_OPUS)

    def test_audioAlone(self) -> None:
        """
        AAC.
        """
        self.check(AUDIO_ONLY)

    def test_videoAlone(self) -> None:
        """
        H.264.
        """
        self.check(VIDEO_ONLY)

    def test_parameterSetsBeforeEveryEntry(self) -> None:
        """
        In MPEG-TS, even where key frames are not IDR pictures: open GOPs, and intra
        refresh, which has only recovery points.
        """
        for params, least in (
            ("open-gop=1:keyint=12:scenecut=0:bframes=2", 8),
            ("intra-refresh=1:keyint=12:bframes=0", 8),
        ):
            options = (("preset", "veryfast"), ("x264-params", params))
            source = encode(Media(audio="", frames=120, options=options))
            (file,) = Containers("ts").remux(framesOf(source)).files
            with av.open(io.BytesIO(file.getvalue()), "r") as container:
                packets = [bytes(p) for p in container.demux() if p.size]
            kinds = [[unit[0] & 31 for unit in startCodeUnits(p)] for p in packets]
            # An IDR picture, or the SEI of a recovery point.
            entries = [
                kind
                for kind, packet in zip(kinds, packets, strict=True)
                if 5 in kind or b"\0\0\1\x06\x06" in packet
            ]
            self.assertGreaterEqual(len(entries), least, params)
            for kind in entries:
                self.assertEqual((kind.count(7), kind.count(8)), (1, 1), params)
            self.assertEqual(images(io.BytesIO(file.getvalue())), images(source))

    def test_videoOfAllContainersDecodes(self) -> None:
        """
        Video decodes to the same frames as the source: the bytes that MPEG-TS changes
        do not matter.
        """
        source = encode(H264_AAC)
        wanted = images(source)
        for name in CONTAINERS:
            (file,) = Containers(name).remux(framesOf(source)).files
            got = images(io.BytesIO(file.getvalue()))
            count = sum(a == b for a, b in zip(got, wanted, strict=False))
            print(f"{name}: {count} of {len(wanted)} pictures")
            self.assertEqual(got, wanted)


def images(source: Any) -> list[str]:
    """
    @return: a hash of each decoded frame.
    """
    with av.open(source) as container:
        return [
            hashlib.md5(frame.to_ndarray().tobytes()).hexdigest()
            for frame in container.decode(video=0)
        ]


class TimeTests(SynchronousTestCase):
    """
    Timestamps that no container accepts, and where a file begins.
    """

    def test_aFileStartsAtZero(self) -> None:
        """
        A file starts at 0, whatever the stream's timestamps are.
        """
        source = encode(H264_AAC)
        wanted = packetsOf(source)
        for start in (-1, 2**32 - 500, 10**9):
            frames = framesOf(source)
            for frame in frames:
                frame.timestamp += start
            containers = Containers("mp4").remux(frames)
            same(containers.packets(), wanted, f"from {start}")
            self.assertEqual(containers.packets()["video"][0][3], 0)

    def test_duplicatesAreRepaired(self) -> None:
        """
        Duplicates are moved by the smallest step, and counted; nothing is lost.
        """
        source = encode(VIDEO_ONLY)
        frames = framesOf(source)
        coded = [frame for frame in frames if frame.role is Role.CODED]
        coded[10].timestamp = coded[9].timestamp
        coded[20].timestamp = coded[19].timestamp - 5
        coded[30].compositionTime = -3
        for name in CONTAINERS:
            containers = Containers(name).remux(frames)
            wanted = wantedFor(source, name)["video"]
            got = containers.packets()["video"]
            # MP4 allows a presentation time before the decoding time.
            repaired = 2 if name == "mp4" else 3
            print(f"{name}: {len(got)} of {len(wanted)} packets, {repaired} repaired")
            self.assertEqual([one[0] for one in got], [one[0] for one in wanted])
            self.assertEqual(containers.counts[0].repaired, repaired)
            if name == "mp4":
                # FFmpeg's demuxer then shifts all decoding times.
                self.assertEqual(got[30][2] - got[29][2], 40 - 3)
            if got[10][3] is not None:
                self.assertEqual(got[10][3] - got[9][3], 1)
                self.assertEqual(got[20][3] - got[19][3], 1)

    def test_aFragmentEndsByTime(self) -> None:
        """
        Fragments end on time even if key frames are far apart.
        """
        media = Media(
            frames=150, options=(("preset", "ultrafast"), ("g", "1000"), ("bf", "0"))
        )
        frames = framesOf(encode(media))
        for fragment, least in ((800, 6), (2000, 3)):
            (file,) = Containers("mp4", fragment).remux(frames).files
            self.assertIn(file.getvalue().count(b"moof"), (least, least + 1, least + 2))


class TrackTests(SynchronousTestCase):
    """
    Which tracks there are.
    """

    def metadata(self, *names: str) -> Frame:
        """
        @return: onMetaData that announces tracks.
        """
        properties = ECMAArray([(name, 7.0) for name in names])
        return frameFromMessage(
            FrameKind.DATA, 0, amf0.encode("onMetaData", properties)
        )

    def opening(self, *said: Frame, kinds: str = "audio video") -> Opening:
        """
        @param kinds: the tracks that have codec headers.
        @return: the beginning of a stream.
        """
        hearsay = Hearsay()
        for frame in said:
            hearsay.hear(frame)
        opening = Opening(hearsay)
        for frame in makeFrames(0, video="video" in kinds, audio="audio" in kinds):
            for sample in samplesOf(frame):
                opening.heads[sample.kind, sample.track] = Head(sample.codec, sample)
        return opening

    def test_announcedTracksAreWaitedFor(self) -> None:
        """
        Samples before an announced track begins are not lost.
        """
        source = encode(H264_AAC)
        wanted = packetsOf(source)
        frames = framesOf(source)
        late = [frame for frame in frames if frame.kind is not FrameKind.AUDIO]
        sound = [frame for frame in frames if frame.kind is FrameKind.AUDIO]
        mixed = [*late[:12], *sound, *late[12:]]
        containers = Containers("mkv").remux(mixed)
        same(containers.packets(), wanted, "sound after 10 pictures")

    def test_anAnnouncedTrackThatNeverComes(self) -> None:
        """
        An announced track that never comes is waited for only up to a limit.
        """
        opening = self.opening(self.metadata("videocodecid", "audiocodecid"))
        (sample,) = samplesOf(audioFrame(0))
        opening.add(sample)
        self.assertFalse(opening.ready)
        opening.add(samplesOf(audioFrame(MAX_WAIT - 1))[0])
        self.assertFalse(opening.ready)
        opening.add(samplesOf(audioFrame(MAX_WAIT))[0])
        self.assertTrue(opening.ready)

    def test_oneAnnouncedTrackIsEnough(self) -> None:
        """
        Audio that was not announced is not waited for.
        """
        opening = self.opening(self.metadata("videocodecid"), kinds="video")
        opening.add(samplesOf(videoFrame(0, isKey=True))[0])
        self.assertTrue(opening.ready)
        nonsense = Frame(
            FrameKind.DATA, 0, b"\x02nonsense", Role.DATA, name="onMetaData"
        )
        opening = self.opening(nonsense, kinds="video")
        opening.add(samplesOf(videoFrame(0, isKey=True))[0])
        self.assertFalse(opening.ready)

    def test_aStreamWithoutAKeyFrameIsBounded(self) -> None:
        """
        What waits for a key frame is bounded, and opens no file.
        """
        opening = self.opening()
        for number in range(MAX_WAITING_SAMPLES + 100):
            opening.add(samplesOf(videoFrame(number * 40))[0])
        self.assertFalse(opening.ready)
        self.assertEqual(len(opening.samples), MAX_WAITING_SAMPLES)

    def test_tracksAreBounded(self) -> None:
        """
        A stream that invents track numbers gets no more than the limit.
        """
        opening = self.opening(kinds="")
        for number in range(MAX_TRACKS + 5):
            opening.add(
                Sample(FrameKind.AUDIO, number, Codec.AAC, False, b"x", 0, 0, True)
            )
        self.assertEqual(len(opening.heads), MAX_TRACKS)
        self.assertEqual(len(opening.samples), MAX_TRACKS)

    def test_aTrackThatComesLate(self) -> None:
        """
        A late track is added to an MP4 file in its middle. Other containers put it into
        the file that begins with the next key frame. No packet is lost, and video does
        not wait.
        """
        late = [
            frame
            for frame in framesOf(encode(H264_AAC))
            if frame.kind is not FrameKind.AUDIO
            or frame.timestamp > 1500
            or frame.role is Role.CONFIG
        ]
        wanted = [frame for frame in late if frame.role is Role.CODED]
        for name, whys in {
            "mp4": [""],
            "mkv": ["new AAC track", ""],
            "ts": ["new AAC track", ""],
        }.items():
            containers = Containers(name).remux(late)
            self.assertEqual(containers.whys, whys, name)
            for kind in ("video", "audio"):
                count = sum(frame.kind.name.lower() == kind for frame in wanted)
                got = [
                    packet
                    for index in range(len(whys))
                    for packet in containers.packets(index).get(kind, [])
                ]
                print(f"{name}: late track, {kind}: {len(got)} of {count}")
                self.assertEqual(len(got), count)
        (file,) = Containers("mp4").remux(late).files
        packets = packetsOf(io.BytesIO(file.getvalue()))
        first = min(
            frame.timestamp for frame in wanted if frame.kind is FrameKind.AUDIO
        )
        begin = min(frame.timestamp for frame in wanted)
        self.assertEqual(packets["audio"][0][3], first - begin)
        hashes = [packet[0] for packet in packets["video"]]
        self.assertEqual(
            hashes, [packet[0] for packet in packetsOf(encode(H264_AAC))["video"]]
        )

    def test_anotherConfiguration(self) -> None:
        """
        A new configuration begins a new file at its video frame; the same one again
        does not.
        """
        first = encode(VIDEO_ONLY)
        second = encode(Media(audio="", options=(("preset", "veryfast"), ("bf", "2"))))
        frames = framesOf(first)
        repeated = [frame for frame in frames if frame.role is Role.CONFIG]
        containers = Containers("mp4").remux([*frames, *repeated, *frames[1:]])
        self.assertEqual(containers.whys, [""])
        containers = Containers("mp4").remux([*frames, *framesOf(second)])
        self.assertEqual(containers.whys, ["new H264 configuration", ""])
        for index, source in enumerate((first, second)):
            same(containers.packets(index), packetsOf(source), f"part {index + 1}")

    def test_anotherCodec(self) -> None:
        """
        Another codec begins a new file.
        """
        containers = Containers("mkv").remux(
            framesOf(encode(VIDEO_ONLY)) + framesOf(encode(HEVC_AAC))
        )
        self.assertIn("HEVC configuration", containers.whys[0])
        self.assertEqual(containers.counts[0].packets, VIDEO_ONLY.frames)

    def test_severalTracksInOneBody(self) -> None:
        """
        Enhanced RTMP multitrack: each track is a track of the file.
        """
        frames = framesOf(encode(AUDIO_ONLY))
        doubled = []
        for frame in frames:
            for sample in samplesOf(frame):
                packet = 0 if sample.isConfig else 1
                size = len(sample.data).to_bytes(3, "big")
                body = b"\x95" + bytes([0x10 | packet]) + b"mp4a"
                body += b"\0" + size + sample.data + b"\1" + size + sample.data
                doubled.append(frameFromMessage(FrameKind.AUDIO, frame.timestamp, body))
        containers = Containers("mp4").remux(doubled)
        count = len(packetsOf(encode(AUDIO_ONLY))["audio"])
        with av.open(io.BytesIO(containers.files[0].getvalue())) as container:
            self.assertEqual(len(container.streams.audio), 2)
        self.assertEqual(len(containers.packets()["audio"]), 2 * count)
        print(f"two tracks: {containers.counts[0].packets} of {2 * count} packets")

    def test_rotation(self) -> None:
        """
        Files rotate at key frames; each starts at 0 and has both tracks, and no packet
        is lost or duplicated.
        """
        source = encode(Media(frames=200, options=H264_AAC.options))
        for name in CONTAINERS:
            wanted = wantedFor(source, name)
            containers = Containers(name, isFull=lambda ms, size: ms >= 2500)
            containers.remux(framesOf(source))
            self.assertEqual(len(containers.files), 3)
            together: dict[str, list[str]] = defaultdict(list)
            for index in range(3):
                packets = containers.packets(index)
                self.assertTrue(packets["video"][0][1], "begins with a key frame")
                for kind, found in packets.items():
                    together[kind] += [packet[0] for packet in found]
            count = sum(map(len, together.values()))
            print(f"{name}: {count} of {sum(map(len, wanted.values()))} in 3 files")
            for kind, packets in wanted.items():
                self.assertEqual(together[kind], [packet[0] for packet in packets])

    def test_audioGoesOnRotatingWhenTheVideoStops(self) -> None:
        """
        The encoder has signaled the end of video, or there has been no video for three
        seconds.
        """
        frames = framesOf(encode(Media(frames=200, options=H264_AAC.options)))
        end = frameFromMessage(FrameKind.VIDEO, 1000, b"\x17\x02\0\0\0")
        sound = [
            frame
            for frame in frames
            if frame.timestamp <= 1000 or frame.kind is FrameKind.AUDIO
        ]
        early = sum(frame.timestamp <= 1000 for frame in sound)
        for given, count in (
            (sound, 3),
            ([*sound[:early], end, *sound[early:]], 4),
        ):
            containers = Containers("mkv", isFull=lambda ms, size: ms >= 2500)
            containers.remux(given)
            self.assertEqual(len(containers.files), count)
            self.assertEqual(
                sum(len(containers.packets(n)["audio"]) for n in range(count)),
                sum(f.kind is FrameKind.AUDIO and not f.isHeader for f in given),
            )


class StrangeTests(SynchronousTestCase):
    """
    Invalid streams.
    """

    def test_framesThatNobodyCanDecode(self) -> None:
        """
        Frames that cannot be decoded are written if possible, and otherwise counted.
        """
        for name in CONTAINERS:
            (counts,) = Containers(name).remux(makeFrames()).counts
            self.assertEqual(counts.packets + counts.refused, 136, name)
            self.assertEqual(counts.refused, 50 if name == "ts" else 0)

    def test_ADTSInFLV(self) -> None:
        """
        A packet that looks like AAC with an ADTS header, but is not, does not end the
        recording, even at the very beginning, where the MP4 muxer checks for it.
        """
        frames = framesOf(encode(AUDIO_ONLY))
        wrong = frameFromMessage(FrameKind.AUDIO, 0, b"\xaf\x01\xff\xf1" + bytes(20))
        (counts,) = Containers("mp4").remux([*frames[:2], wrong, *frames[2:]]).counts
        self.assertEqual(counts.refused, 1)

    def test_nothing(self) -> None:
        """
        An empty stream makes no file.
        """
        self.assertEqual(Containers("mp4").remux([]).files, [])
        self.assertEqual(Containers("mp4").remux(makeFrames(seconds=0)).files, [])

    def test_bodiesOfNoCodec(self) -> None:
        """
        Bodies that are too short, or have no known codec, are not samples.
        """
        for frame in (
            Frame(FrameKind.VIDEO, 0, b"\x17", Role.CODED, Codec.H264),
            Frame(FrameKind.AUDIO, 0, b"\xaf\x01", Role.CODED, Codec.AAC),
            Frame(FrameKind.AUDIO, 0, b"\x95\x10mp4a\0\0\xff", Role.CODED, Codec.AAC),
            Frame(FrameKind.VIDEO, 0, b"", Role.UNKNOWN),
            frameFromMessage(FrameKind.VIDEO, 0, b"\x85av01x"),
        ):
            self.assertEqual(samplesOf(frame), [])

    def test_codecsThatNoContainerHolds(self) -> None:
        """
        The message names the codec and the container.
        """
        self.assertEqual(
            CONTAINERS["mp4"].refusal(Codec.SPEEX),
            "mp4 cannot hold SPEEX; format=flv can",
        )
        self.assertIn("the file sink", CONTAINERS["mkv"].refusal(Codec.VP6))

    def test_aFormatOfNoName(self) -> None:
        """
        An unknown format is an error, and so is one that FFmpeg only demuxes.
        """
        checkFormat("mpegts")
        for name in ("nonsense", "h264_nothing"):
            self.assertRaises(SinkError, checkFormat, name)

    def test_aTargetThatCannotBeWritten(self) -> None:
        """
        The error is an C{OSError}, not a L{SinkError}.
        """
        with tempfile.TemporaryDirectory() as folder:
            path = f"{folder}/none/x.mkv"

            def begin(heads: Mapping[TrackKey, Head], base: int) -> Container:
                return Muxer(path, "matroska", {}, heads, base)

            remuxer = Remuxer(begin, lambda container, why: None)
            with self.assertRaises(OSError):
                for frame in framesOf(encode(AUDIO_ONLY)):
                    remuxer.write(frame)
                remuxer.finish()
            remuxer.close()
