"""
A server in a test of your own program: python -m twisted.trial test_mine.py
"""

import sys
from fractions import Fraction

import av
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import TestCase

from rtmptw import Server
from rtmptw.testing import RecordingSink


def publish(url: str) -> None:
    """
    Publish one second of gray with FFmpeg's own RTMP client.
    """
    with av.open(url, "w", format="flv") as output:
        stream = output.add_stream("libx264", rate=25)
        stream.width, stream.height = 64, 48
        stream.pix_fmt = "yuv420p"
        for number in range(25):
            frame = av.VideoFrame(64, 48, "yuv420p")
            for plane in frame.planes:
                plane.update(bytes([128]) * plane.buffer_size)
            frame.pts, frame.time_base = number, Fraction(1, 25)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


class MyTests(TestCase):
    async def test_everyFrameArrives(self) -> None:
        server = Server()
        self.addCleanup(server.stop)
        port = await server.listen("tcp:0:interface=127.0.0.1")
        sink = RecordingSink()
        live = server.whenPublished("live/cam")
        live.addCallback(lambda stream: stream.attach(sink))
        url = f"rtmp://127.0.0.1:{port.getHost().port}/live/cam"
        # In a child process, because FFmpeg blocks.
        await getProcessOutputAndValue(sys.executable, [__file__, url])
        await server.stop()
        coded = [frame for frame in sink.frames if not frame.isHeader]
        self.assertEqual([frame.isKey for frame in coded[:2]], [True, False])
        self.assertEqual(len(coded), 26)  # FFmpeg also sends an end of sequence


if __name__ == "__main__":
    publish(sys.argv[1])
