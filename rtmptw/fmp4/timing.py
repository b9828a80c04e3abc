"""
Timestamps of RTMP, which count milliseconds, on the clock of a track.
"""


class Timing:
    """
    Gives each sample of a track its time.

    A time that is read back is the millisecond that was sent. Within it, sound goes on
    where the sample before ends: a block of AAC lasts 21.33 ms, and steps of 21 and 22
    are heard where a player takes them at their word.

    @ivar last: the time before, in ticks; -1 before the first.
    @ivar step: how long the sample before the last was, in ticks.
    """

    __slots__ = ("_block", "_rate", "last", "step")

    def __init__(self, rate: int, block: int) -> None:
        """
        @param rate: ticks in a second.
        @param block: ticks of a sample; 0 if they vary.
        """
        self._rate = rate
        self._block = block
        self.last: int = -1
        self.step: int = block

    def place(self, milliseconds: int, block: int) -> int:
        """
        @param milliseconds: from the beginning; not negative.
        @param block: ticks of the sample; 0 if they are those of each, or not known.

        @return: the time, in ticks, later than the one before.
        """
        rate, last = self._rate, self.last
        if rate == 1000:
            time = milliseconds
        else:
            twice = 2 * milliseconds
            time = (twice * rate + 1000) // 2000
            if last >= 0 and self.step:
                # What is read back as this millisecond; a half goes up.
                first = -((1 - twice) * rate // 2000)
                final = -((-twice - 1) * rate // 2000) - 1
                expected = last + self.step
                # Encoders round down, or to the nearest: within two such steps it is
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
