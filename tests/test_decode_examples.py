"""
Tests of the documentation of decoding: every command and every program.
"""

import re
import shlex
import urllib.error
import urllib.request
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.live.media import Mux, encode
from tests.test_examples import DOCS, EXAMPLES, MEDIA, TWISTD, Server, publish

PORT = "tcp:0:interface=127.0.0.1"


def commands(page: str) -> list[list[str]]:
    """
    @return: the commands on a page, without C{twistd -n rtmp} and anything before it.
    """
    text = (DOCS / page).read_text("utf-8")
    blocks = re.findall(r"code-block:: sh\n\n((?:   .*\n)+)", text)
    found = [shlex.split(line) for block in blocks for line in block.splitlines()]
    return [words[words.index("rtmp") + 1 :] for words in found]


class ExampleCase(SynchronousTestCase):
    """
    Base class of tests that run servers.
    """

    def serve(self, options: list[str], *folders: Path) -> Server:
        """
        @return: a server C{twistd rtmp} with the options from a page.
        """
        return Server(
            self,
            *(*TWISTD, "-n", "--pidfile=", "rtmp", f"--port={PORT}"),
            *options,
            folders=folders,
        )


class OpenCVTests(ExampleCase):
    """
    Tests of C{docs/opencv.rst}.
    """

    def test_moving(self) -> None:
        """
        The ten lines of C{moving.py} get every decoded frame as a numpy array, and
        detect motion.
        """
        ((command),) = commands("opencv.rst")
        server = self.serve(command, EXAMPLES)
        publish(server.waitFor(r"RTMPFactory starting on (\d+)"))
        self.assertGreater(int(server.waitFor(r"live/cam \S+ s: (\d+)% moves")), 10)
        given, decoded = server.waitFor(
            r"moving.Moving got (\d+ of \d+) decoded"
        ).split(" of ")
        print(f"moving.py: {given} of {decoded} frames")
        self.assertEqual(int(decoded), MEDIA.frames)
        self.assertEqual(server.stop(), 0)
        code = (EXAMPLES / "moving.py").read_text("utf-8").splitlines()
        self.assertLessEqual(sum(bool(line) for line in code), 10)

    def test_watch(self) -> None:
        """
        The loop of C{watch.py} gets every video frame of the stream, and the program
        ends with it.
        """
        server = Server(self, EXAMPLES / "watch.py", PORT)
        publish(server.waitFor(r"listening on port (\d+)"))
        times = [
            float(server.waitFor(r"^(\d\.\d\d) s: \d+\.\d$"))
            for _number in range(MEDIA.frames)
        ]
        print(f"watch.py: {len(set(times))} of {MEDIA.frames} frames")
        self.assertEqual(times, sorted(set(times)))
        self.assertEqual(server.wait(), 0)

    def test_watchInAThread(self) -> None:
        """
        The loop of C{watch_thread.py} gets every video frame of the stream, and the
        program ends with it.
        """
        server = Server(self, EXAMPLES / "watch_thread.py", PORT)
        publish(server.waitFor(r"listening on port (\d+)"))
        for _number in range(MEDIA.frames):
            server.waitFor(r"^(\d\.\d\d) s: \(32, 48, 3\)$")
        self.assertEqual(server.wait(), 0)

    def test_mine(self) -> None:
        """
        The function of the README is called with decoded frames.
        """
        options = ["--sink=decode:mine.show:format=bgr24:policy=latest"]
        readme = (DOCS.parent / "README.md").read_text("utf-8")
        self.assertIn(options[0], readme)
        server = self.serve(options, EXAMPLES)
        publish(server.waitFor(r"RTMPFactory starting on (\d+)"))
        self.assertGreater(int(server.waitFor(r"live/cam \d\.\d\d s: (\d+)")), 0)
        self.assertEqual(server.stop(), 0)


class SnapshotTests(ExampleCase):
    """
    Tests of C{docs/snapshot-sink.rst}.
    """

    def test_theCommands(self) -> None:
        """
        The commands write images where the page says.
        """
        first, second = commands("snapshot-sink.rst")
        server = self.serve([*first, *second])
        publish(server.waitFor(r"RTMPFactory starting on (\d+)"))
        server.waitFor(r"(live/cam: 1 snapshots)")
        self.assertEqual(server.stop(), 0)
        image = Path("snapshots/live/cam.jpg").read_bytes()
        self.assertEqual(image[:3], b"\xff\xd8\xff")
        (path,) = Path("images/cam").iterdir()
        self.assertRegex(path.name, r"^\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d-\d{6}\.png$")

    def test_thumbnail(self) -> None:
        """
        An HTTP request gets an image of a live stream, and status 404 for any other.
        """
        server = Server(self, EXAMPLES / "thumbnail.py", PORT, PORT)
        web = server.waitFor(r"images on port (\d+)")
        port = server.waitFor(r"listening on port (\d+)")
        got: list[bytes] = []

        def ask() -> None:
            url = f"http://127.0.0.1:{web}/live/cam"
            with urllib.request.urlopen(url, timeout=60) as answer:
                self.assertEqual(answer.headers["content-type"], "image/jpeg")
                got.append(answer.read())

        Mux(encode(MEDIA), f"rtmp://127.0.0.1:{port}/live/cam", pauseAfter=30).run(ask)
        self.assertEqual(got[0][:3], b"\xff\xd8\xff")
        with self.assertRaises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(f"http://127.0.0.1:{web}/live/x", timeout=60)
        self.assertEqual(caught.exception.code, 404)
        caught.exception.close()
        self.assertEqual(server.stop(), 0)
