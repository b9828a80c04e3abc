"""
Tests for L{rtmptw.remux.remuxer}: which frames go to which container, and that none is
lost.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from twisted.trial.unittest import SynchronousTestCase

from rtmptw.flv.body import frameFromMessage
from rtmptw.frames import Codec, Frame, FrameKind, Role
from rtmptw.keyframes import VIDEO_GONE
from rtmptw.remux import remuxer as _remuxer
from rtmptw.remux.container import Counts
from rtmptw.remux.heads import Head, TrackError, TrackKey
from rtmptw.remux.opening import MAX_WAIT
from rtmptw.remux.remuxer import NO_HEADER, Remuxer
from rtmptw.samples import Sample

VIDEO, AUDIO = (FrameKind.VIDEO, 0), (FrameKind.AUDIO, 0)

#: An avcC of one SPS and one PPS; the second has another SPS.
AVC = bytes.fromhex("0164001effe1000467640a1e01000268ee")
AVC2 = AVC.replace(b"\x67\x64\x0a", b"\x67\x64\x0b")
#: The same, with another level outside the parameter sets, and padded.
AVC_LEVEL = AVC[:3] + b"\x1f" + AVC[4:]
AVC_PADDED = AVC + bytes(7)
#: AAC-LC: 44.1 kHz stereo, with and without its extension; 48 kHz mono.
AAC = bytes.fromhex("121056e500")
AAC_SHORT = AAC[:2]
AAC2 = bytes.fromhex("1188")


def video(timestamp: int, isKey: bool = False) -> Frame:
    """
    @return: a video frame that contains its timestamp.
    """
    head = b"\x17" if isKey else b"\x27"
    body = head + b"\1\0\0\0" + timestamp.to_bytes(8, "big")
    return frameFromMessage(FrameKind.VIDEO, timestamp, body)


def audio(timestamp: int) -> Frame:
    """
    @return: an AAC frame that contains its timestamp.
    """
    body = b"\xaf\1\0" + timestamp.to_bytes(8, "big")
    return frameFromMessage(FrameKind.AUDIO, timestamp, body)


def videoHeader(timestamp: int, data: bytes = AVC) -> Frame:
    """
    @return: a video sequence header.
    """
    return frameFromMessage(FrameKind.VIDEO, timestamp, b"\x17\0\0\0\0" + data)


def audioHeader(timestamp: int, data: bytes = AAC) -> Frame:
    """
    @return: an audio sequence header.
    """
    return frameFromMessage(FrameKind.AUDIO, timestamp, b"\xaf\0" + data)


def show(
    seconds: int = 20, group: int = 10_000, sound: int = 0, headers: bool = True
) -> list[Frame]:
    """
    @param group: ms from one key frame to the next.
    @param sound: when audio begins, in ms.
    @return: a stream, sorted by timestamp.
    """
    frames = [video(ms, ms % group == 0) for ms in range(0, seconds * 1000, 40)]
    frames += [audio(ms) for ms in range(sound, seconds * 1000, 23)]
    frames.sort(key=lambda frame: frame.timestamp)
    if headers:
        frames[:0] = [videoHeader(0), audioHeader(0)]
    return frames


@dataclass
class File:
    """
    A container that keeps its samples.

    @ivar takesMore: whether tracks can be added in the middle.
    """

    heads: dict[TrackKey, Head]
    base: int
    takesMore: bool = False
    counts: Counts = field(default_factory=Counts)
    samples: list[Sample] = field(default_factory=list)
    late: list[TrackKey] = field(default_factory=list)
    isFinished: bool = False
    why: str = ""

    def takes(self, key: TrackKey, head: Head) -> bool:
        if self.takesMore:
            assert key not in self.heads
            self.heads[key] = head
            self.late.append(key)
        return self.takesMore

    def write(self, sample: Sample) -> None:
        head = self.heads[sample.kind, sample.track]
        assert head.codec is sample.codec
        self.samples.append(sample)
        self.counts.packets += 1
        self.counts.bytes += len(sample.data)

    def flush(self) -> None:
        """
        Do nothing: nothing is buffered.
        """

    def finish(self) -> None:
        self.isFinished = True

    def abandon(self) -> None:
        self.isFinished = True

    def times(self, kind: FrameKind) -> list[int]:
        """
        @return: the timestamps of the samples of a kind.
        """
        return [each.timestamp for each in self.samples if each.kind is kind]


class Folder:
    """
    The containers of a stream.
    """

    def __init__(
        self,
        takesMore: bool = False,
        rotate: int = 0,
        codecs: frozenset[Codec] | None = None,
        refused: frozenset[Codec] = frozenset(),
    ) -> None:
        self.files: list[File] = []
        self.leftOut: list[tuple[Codec, str]] = []
        self.takesMore = takesMore
        self.refused = refused
        self.remuxer = Remuxer(
            self._begin,
            self._end,
            lambda milliseconds, size: 0 < rotate <= milliseconds,
            codecs,
            lambda codec, why: self.leftOut.append((codec, why)),
        )

    def _begin(self, heads: Mapping[TrackKey, Head], base: int) -> File:
        assert all(file.isFinished for file in self.files)
        for key, head in heads.items():
            assert head.isReady
            if head.codec in self.refused:
                raise TrackError(key, head.codec, "nobody knows it")
        self.files.append(File(dict(heads), base, self.takesMore))
        return self.files[-1]

    def _end(self, container: object, why: str) -> None:
        assert container is self.files[-1]
        self.files[-1].finish()
        self.files[-1].why = why

    def take(self, frames: list[Frame]) -> list[File]:
        """
        Write a whole stream.
        """
        for frame in frames:
            self.remuxer.write(frame)
        self.remuxer.finish()
        return self.files


def written(files: list[File]) -> list[tuple[FrameKind, bytes]]:
    """
    @return: all samples written, sorted.
    """
    return sorted((each.kind, each.data) for file in files for each in file.samples)


def sent(frames: list[Frame]) -> list[tuple[FrameKind, bytes]]:
    """
    @return: all samples sent, sorted.
    """
    return sorted(
        (each.kind, each.payload[5 if each.kind is FrameKind.VIDEO else 2 :])
        for each in frames
        if each.role is Role.CODED
    )


class ChangeTests(SynchronousTestCase):
    """
    A change in one track never costs samples of the other.
    """

    def check(self, frames: list[Frame], takesMore: bool = False) -> list[File]:
        """
        @return: the files, after checking that each sample is there once and in order,
            and that each file's video begins with a key frame.
        """
        files = Folder(takesMore).take(frames)
        self.assertEqual(written(files), sent(frames))
        print(f"{len(sent(frames))} samples in {len(files)} files")
        for file in files:
            for kind in FrameKind.VIDEO, FrameKind.AUDIO:
                times = file.times(kind)
                self.assertEqual(times, sorted(times))
            first = next(s for s in file.samples if s.kind is FrameKind.VIDEO)
            self.assertTrue(first.isKey)
            self.assertEqual(file.base, min(each.timestamp for each in file.samples))
        return files

    def test_nothingChanges(self) -> None:
        """
        Without a change there is one file.
        """
        (file,) = self.check(show())
        self.assertEqual((list(file.heads), file.late), ([VIDEO, AUDIO], []))

    def test_audioThatComesLate(self) -> None:
        """
        A late audio track waits for the next key frame; video does not wait.
        """
        frames = show(sound=3000)
        first, second = self.check(frames)
        self.assertEqual(first.times(FrameKind.VIDEO), list(range(0, 10_000, 40)))
        self.assertEqual(first.times(FrameKind.AUDIO), [])
        self.assertEqual(second.times(FrameKind.AUDIO)[0], 3000)
        self.assertEqual((first.why, second.why), ("new AAC track", ""))

    def test_audioThatComesLateIntoAContainerThatTakesIt(self) -> None:
        """
        A late audio track is added to a container that can add it.
        """
        (file,) = self.check(show(sound=3000), takesMore=True)
        self.assertEqual(file.late, [AUDIO])

    def test_audioOfAnotherConfiguration(self) -> None:
        """
        Audio with a new configuration waits; earlier audio is in the first file.
        """
        frames = show()
        at = next(n for n, frame in enumerate(frames) if frame.timestamp >= 3000)
        frames.insert(at, audioHeader(3000, AAC2))
        for takesMore in False, True:
            first, second = self.check(frames, takesMore)
            self.assertLess(first.times(FrameKind.AUDIO)[-1], 3000)
            self.assertEqual(first.times(FrameKind.VIDEO)[-1], 9960)
            self.assertGreaterEqual(second.times(FrameKind.AUDIO)[0], 3000)
            self.assertEqual(first.why, "new AAC configuration")
            config = second.heads[AUDIO].config
            assert config is not None
            self.assertEqual(config.data, AAC2)

    def test_audioThatChangesTwiceBetweenKeyFrames(self) -> None:
        """
        Audio between two changes is in a file of its own, with its own header. Audio of
        the old configuration is in the file of that.
        """
        frames = show()
        for time, data in ((3000, AAC2), (6000, AAC), (8000, AAC2)):
            at = next(n for n, f in enumerate(frames) if f.timestamp >= time)
            frames.insert(at, audioHeader(time, data))
        files = Folder().take(frames)
        self.assertEqual(written(files), sent(frames))
        spans = []
        for file in files:
            config = file.heads[AUDIO].config
            assert config is not None
            times = file.times(FrameKind.AUDIO)
            spans.append((config.data, times[0] // 1000, times[-1] // 1000))
        self.assertEqual(spans, [(AAC, 0, 7), (AAC2, 3, 5), (AAC2, 8, 19)])
        self.assertEqual([VIDEO in file.heads for file in files], [1, 0, 1])

    def test_headersThatAskForTheSame(self) -> None:
        """
        Equivalent headers are no change: another level outside the parameter sets,
        padding, another form.
        """
        frames = show()
        at = next(n for n, frame in enumerate(frames) if frame.timestamp >= 3000)
        frames[at:at] = [
            videoHeader(3000, AVC_LEVEL),
            videoHeader(3000, AVC_PADDED),
            audioHeader(3000, AAC_SHORT),
            audioHeader(3000, AAC + b"\0"),
        ]
        self.assertEqual(len(self.check(frames)), 1)

    def test_aHeaderThatNobodyCanRead(self) -> None:
        """
        An invalid header does not replace a valid one.
        """
        frames = show()
        frames[100:100] = [videoHeader(1500, b"\0\1"), audioHeader(1500, b"\xff")]
        self.assertEqual(len(self.check(frames)), 1)

    def test_videoOfAnotherConfiguration(self) -> None:
        """
        Video with a new configuration begins a file with its key frame; earlier video
        frames go to the old file.
        """
        frames = show()
        at = next(n for n, frame in enumerate(frames) if frame.timestamp >= 3000)
        frames.insert(at, videoHeader(3000, AVC2))
        first, second = self.check(frames)
        self.assertEqual(second.times(FrameKind.VIDEO)[0], 10_000)
        self.assertEqual(first.why, "new H264 configuration")

    def test_aHeaderThatIsTakenBack(self) -> None:
        """
        A header that is withdrawn changes nothing.
        """
        frames = show()
        at = next(n for n, frame in enumerate(frames) if frame.timestamp >= 3000)
        frames[at:at] = [videoHeader(3000, AVC2), audioHeader(3000, AAC2)]
        frames[at + 2 : at + 2] = [videoHeader(3000), audioHeader(3000)]
        self.assertEqual(len(self.check(frames)), 1)

    def test_videoThatComesLate(self) -> None:
        """
        Late video begins a file at once, or is added to the current one.
        """
        frames = [each for each in show() if each.kind is FrameKind.AUDIO]
        late = [each for each in show() if each.kind is FrameKind.VIDEO]
        late = [each for each in late if each.isHeader or each.timestamp >= 10_000]
        frames += late[1:]
        frames.sort(key=lambda frame: frame.timestamp)
        at = next(n for n, f in enumerate(frames) if f.kind is FrameKind.VIDEO)
        frames.insert(at, videoHeader(10_000))
        first, second = Folder().take(frames)
        self.assertEqual(first.why, "new H264 track")
        self.assertEqual(second.times(FrameKind.VIDEO)[0], 10_000)
        self.assertEqual(written([first, second]), sent(frames))
        (file,) = Folder(takesMore=True).take(frames)
        self.assertEqual(written([file]), sent(frames))

    def test_whatWaitsIsBounded(self) -> None:
        """
        If no key frame comes, a file begins without one; nothing is lost.
        """
        self.patch(_remuxer, "MAX_HELD", 100)
        frames = show(group=10**9, sound=3000)
        folder = Folder()
        for frame in frames:
            folder.remuxer.write(frame)
            self.assertLessEqual(len(folder.remuxer._held), 101)
        folder.remuxer.finish()
        self.assertEqual(len(folder.files), 2)
        self.assertEqual(written(folder.files), sent(frames))
        second = folder.files[1]
        self.assertEqual(second.times(FrameKind.AUDIO)[0], 3000)
        self.assertLess(second.times(FrameKind.VIDEO)[0], 6000)

    def test_whateverAnEncoderDoes(self) -> None:
        """
        Whatever an encoder does, nothing is lost or duplicated.
        """
        for seed in range(120):
            dice = random.Random(seed)
            self.patch(_remuxer, "MAX_HELD", dice.choice((5, 50, 500)))
            frames = [videoHeader(0), audioHeader(0)]
            for ms in range(0, 30_000, 40):
                if dice.random() < 0.03:
                    frames.append(videoHeader(ms, dice.choice((AVC, AVC2, AVC_LEVEL))))
                if dice.random() < 0.03:
                    frames.append(audioHeader(ms, dice.choice((AAC, AAC2, AAC_SHORT))))
                if dice.random() < 0.9:
                    frames.append(video(ms, dice.random() < 0.05))
                if (ms // 5000 + seed) % 3:
                    frames.append(audio(ms))
            folder = Folder(
                takesMore=bool(seed & 1), rotate=dice.choice((0, 1000, 7000))
            )
            files = folder.take(frames)
            self.assertEqual(written(files), sent(frames), f"seed {seed}")
            self.assertEqual(folder.leftOut, [])


class HeaderTests(SynchronousTestCase):
    """
    A codec header that is missing or late never costs samples of the other track.
    """

    def without(self, *kinds: FrameKind) -> list[Frame]:
        """
        @return: a stream without headers of some kinds.
        """
        return [
            each
            for each in show(group=1000)
            if not (each.role is Role.CONFIG and each.kind in kinds)
        ]

    def test_missing(self) -> None:
        """
        The other track is recorded; one message says what is left out.
        """
        for kind, other, codec in (
            (FrameKind.AUDIO, VIDEO, Codec.AAC),
            (FrameKind.VIDEO, AUDIO, Codec.H264),
        ):
            frames = self.without(kind)
            folder = Folder()
            (file,) = folder.take(frames)
            self.assertEqual(list(file.heads), [other])
            wanted = [each for each in frames if each.kind is other[0]]
            self.assertEqual(written([file]), sent(wanted))
            self.assertEqual(folder.leftOut, [(codec, NO_HEADER)])

    def test_soon(self) -> None:
        """
        The header belongs to the samples before it.
        """
        for kind, header in (
            (FrameKind.AUDIO, audioHeader(MAX_WAIT // 2)),
            (FrameKind.VIDEO, videoHeader(MAX_WAIT // 2)),
        ):
            frames = self.without(kind)
            frames.insert(20, header)
            folder = Folder()
            (file,) = folder.take(frames)
            self.assertEqual(written([file]), sent(frames))
            self.assertEqual(folder.leftOut, [])

    def test_late(self) -> None:
        """
        Samples before the header wait for it, and nothing is lost.
        """
        for kind, header in (
            (FrameKind.AUDIO, audioHeader(5000)),
            (FrameKind.VIDEO, videoHeader(5000)),
        ):
            for takesMore in False, True:
                frames = self.without(kind)
                at = next(n for n, f in enumerate(frames) if f.timestamp >= 5000)
                frames.insert(at, header)
                files = Folder(takesMore).take(frames)
                self.assertEqual(written(files), sent(frames))
                self.assertEqual(len(files), 1 if takesMore else 2)

    def test_neither(self) -> None:
        """
        Without any header there is no file.
        """
        folder = Folder()
        frames = self.without(FrameKind.AUDIO, FrameKind.VIDEO)
        self.assertEqual(folder.take(frames), [])
        self.assertEqual(
            dict(folder.leftOut), {Codec.AAC: NO_HEADER, Codec.H264: NO_HEADER}
        )

    def test_itIsKnownLongBefore(self) -> None:
        """
        Audio whose header arrives at the beginning, and its samples 3 s later.
        """
        frames = show(sound=3000)
        (file,) = Folder(takesMore=True).take(frames)
        self.assertEqual(written([file]), sent(frames))


class LeftOutTests(SynchronousTestCase):
    """
    Samples that a container cannot hold.
    """

    def test_aCodec(self) -> None:
        """
        A codec is left out and reported once; the rest is recorded.
        """
        speex = [
            frameFromMessage(FrameKind.AUDIO, ms, b"\xb2" + bytes(20))
            for ms in range(0, 5000, 20)
        ]
        pictures = [each for each in show() if each.kind is FrameKind.VIDEO]
        frames = sorted([*pictures, *speex], key=lambda frame: frame.timestamp)
        folder = Folder(codecs=frozenset({Codec.H264}))
        (file,) = folder.take(frames)
        self.assertEqual(written([file]), sent(pictures))
        self.assertEqual(folder.leftOut, [(Codec.SPEEX, "")])

    def test_whatADeviceSends(self) -> None:
        """
        Audio of format 15 among AAC changes nothing.
        """
        frames = show()
        device = frameFromMessage(FrameKind.AUDIO, 1000, b"\xff\1\2\3\4\5\6")
        for at in (3, 50, 400):
            frames.insert(at, device)
        folder = Folder(codecs=frozenset({Codec.H264, Codec.AAC}))
        (file,) = folder.take(frames)
        frames = [each for each in frames if each is not device]
        self.assertEqual(written([file]), sent(frames))
        self.assertEqual(folder.leftOut, [(Codec.DEVICE, "")])

    def test_aTrackOfWhichNothingCanBeMade(self) -> None:
        """
        A track that no container accepts is left out, and its key frames do not keep
        the rest from rotating.
        """
        folder = Folder(refused=frozenset({Codec.H264}), rotate=5000)
        frames = show(group=1000)
        files = folder.take(frames)
        sound = [each for each in frames if each.kind is FrameKind.AUDIO]
        self.assertEqual(written(files), sent(sound))
        self.assertEqual(len(files), 4)
        self.assertEqual(folder.leftOut, [(Codec.H264, "nobody knows it")])


class RotationTests(SynchronousTestCase):
    """
    Where a file ends because it is full.
    """

    def test_videoThatStops(self) -> None:
        """
        Video that stops does not keep audio from rotating; with its next key frame it
        is recorded again.
        """
        frames = [
            each
            for each in show(60, group=1000)
            if each.kind is FrameKind.AUDIO
            or each.isHeader
            or not 5000 <= each.timestamp < 40_000
        ]
        files = Folder(rotate=10_000).take(frames)
        self.assertEqual(written(files), sent(frames))
        self.assertEqual(
            [file.samples[0].timestamp // 1000 for file in files],
            [0, 10, 20, 30, 40, 50],
        )
        self.assertLess(VIDEO_GONE, 5000)
        self.assertEqual(list(files[1].heads), [AUDIO])
        self.assertEqual(list(files[5].heads), [VIDEO, AUDIO])
