"""
Converts RTMP timestamps, in milliseconds, to the clock of a track.
"""


class Timing:
    """
    Computes the times of a track's samples.

    A time, converted back, is the millisecond that was sent. Within it, an audio sample
    starts where the previous one ends: an AAC block lasts 21.33 ms, and alternating
    steps of 21 and 22 ms are audible in players that use them exactly.

    @ivar last: the previous time, in ticks; -1 before the first.
    @ivar step: the duration of the last sample, or of the one before, in ticks.
    """

    __slots__ = ("_block", "_rate", "last", "step")

    def __init__(self, rate: int, block: int) -> None:
        """
        @param rate: ticks per second.
        @param block: ticks of a sample; 0 if they vary.
        """
        self._rate = rate
        self._block = block
        self.last: int = -1
        self.step: int = block

    def place(self, milliseconds: int, block: int) -> int:
        """
        @param milliseconds: from the beginning; not negative.
        @param block: ticks of this sample; 0 if it has the usual number, or it is
            unknown.

        @return: the time in ticks, later than the previous one.
        """
        rate, last = self._rate, self.last
        if rate == 1000:
            time = milliseconds
        else:
            twice = 2 * milliseconds
            time = (twice * rate + 1000) // 2000
            if last >= 0 and self.step:
                # The range of ticks that convert back to this millisecond; halves are
                # rounded up.
                first = -((1 - twice) * rate // 2000)
                final = -((-twice - 1) * rate // 2000) - 1
                expected = last + self.step
                # Encoders round down, or to the nearest ms: within two such steps it is
                # the same clock.
                slack = final - first + 1
                if first - slack <= expected <= final + slack and first <= final:
                    time = min(max(expected, first), final)
        if time <= last:
            time = last + 1
        if block or self._block:
            self.step = block or self._block
        elif last >= 0:
            self.step = time - last
        self.last = time
        return time
