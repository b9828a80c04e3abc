"""
Tests for L{rtmptw.rtmp.names}.
"""

from twisted.trial.unittest import SynchronousTestCase

from rtmptw.rtmp.names import otherNames, printable, splitApplication, splitStream


class ApplicationTests(SynchronousTestCase):
    """
    The application in connect.
    """

    def test_theApplicationAndItsQuery(self) -> None:
        """
        Without leading and trailing slashes and the default instance; the query is that
        of the application, or else of the URL.
        """
        for app, url, expected in (
            ("live", "rtmp://h/live", ("live", "")),
            ("/live//eu/", "rtmp://h/live", ("live/eu", "")),
            ("live/_definst_", "rtmp://h/live", ("live", "")),
            ("live/eu/_definst_/", "rtmp://h/live", ("live/eu", "")),
            ("_definst_", "rtmp://h", ("", "")),
            ("_definst_/live", "rtmp://h", ("_definst_/live", "")),
            ("", "rtmp://h/?a=b", ("", "a=b")),
            ("live", "rtmp://h/live?a=b?c", ("live", "a=b?c")),
            ("live?d=e?f/_definst_", "rtmp://h/live?a=b", ("live", "d=e?f/_definst_")),
            ("li\nve", "rtmp://h", ("li%0Ave", "")),
        ):
            self.assertEqual(splitApplication(app, url), expected, app)


class StreamTests(SynchronousTestCase):
    """
    The stream name in publish and play.
    """

    def test_theNameAndItsQuery(self) -> None:
        """
        Without leading and trailing slashes, and without the prefix that FFmpeg puts
        before files.
        """
        for name, expected in (
            ("cam", ("cam", "")),
            ("/a//b/?c=d?e/", ("a//b", "c=d?e/")),
            ("mp4:film", ("film", "")),
            ("mp4:/film.mp4?a", ("film.mp4", "a")),
            ("a/mp4:film", ("a/mp4:film", "")),
            ("flv:film", ("flv:film", "")),
            ("a\udcff\x1b", ("a%FF%1B", "")),
            ("", ("", "")),
        ):
            self.assertEqual(splitStream(name), expected, name)

    def test_otherNames(self) -> None:
        """
        With and without file suffixes.
        """
        for name, expected in (
            ("cam", ("cam.flv", "cam.mp4")),
            ("cam.flv", ("cam",)),
            ("a/cam.mp4", ("a/cam",)),
            ("cam.ts", ("cam.ts.flv", "cam.ts.mp4")),
        ):
            self.assertEqual(otherNames(name), expected, name)

    def test_whatIsEscaped(self) -> None:
        """
        Only characters that are not printable in a log line.
        """
        self.assertEqual(printable("f\u00fcr 100 %"), "f\u00fcr 100 %")
        self.assertEqual(
            printable("f\u00fcr\r\n\u2028\udc80"), "f\u00fcr%0D%0A%E2%80%A8%80"
        )
