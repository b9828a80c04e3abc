"""
Tests for L{rtmptw.rtmp.message}: what is said to the byte. Whole conversations are in
the tests of the sessions.
"""

from twisted.trial.unittest import SynchronousTestCase

from rtmptw.rtmp.message import Acknowledgement, parse


class AcknowledgementTests(SynchronousTestCase):
    """
    How many bytes have come.
    """

    def test_itHas32Bits(self) -> None:
        """
        And begins anew behind them (RTMP 1.0, 5.4.3).
        """
        for count, body in (
            (0, "00000000"),
            (0xFFFFFFFF, "ffffffff"),
            (0x1_0000_0001, "00000001"),
        ):
            messageType, payload = Acknowledgement(count).encode()
            self.assertEqual((messageType, payload.hex()), (3, body))
            self.assertEqual(
                parse(messageType, payload), Acknowledgement(count & 0xFFFFFFFF)
            )
