"""
Reading numbers that are not aligned to bytes.
"""

from rtmptw.errors import RemoteProtocolError

#: Most leading zeros of an Exp-Golomb number: values in H.264 9.1 have 32 bits.
_MAX_ZEROS = 32


class BitReader:
    """
    Reads bits from bytes, most significant bit first.

    @ivar position: the index of the next bit.
    """

    __slots__ = ("_data", "_size", "position")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._size: int = len(data) * 8
        self.position: int = 0

    @property
    def left(self) -> int:
        """
        How many bits are left.
        """
        return self._size - self.position

    def bits(self, count: int) -> int:
        """
        @return: the next bits as a number.

        @raise RemoteProtocolError: if there are not enough.
        """
        start = self.position
        end = start + count
        if end > self._size:
            raise RemoteProtocolError(
                "codec-header-truncated",
                f"{count} bits wanted at bit {start} of {self._size}",
            )
        self.position = end
        first, last = start // 8, (end + 7) // 8
        number = int.from_bytes(self._data[first:last], "big")
        return number >> (last * 8 - end) & ((1 << count) - 1)

    def flag(self) -> bool:
        """
        @return: whether the next bit is set.

        @raise RemoteProtocolError: if there is none.
        """
        return self.bits(1) == 1

    def skip(self, count: int) -> None:
        """
        Skip bits.

        @raise RemoteProtocolError: if there are not enough.
        """
        self.bits(count)

    def unsigned(self) -> int:
        """
        @return: an Exp-Golomb number, ue(v) in H.264 9.1 and H.265 9.2.

        @raise RemoteProtocolError: if it is invalid.
        """
        zeros = 0
        while not self.flag():
            zeros += 1
            if zeros > _MAX_ZEROS:
                raise RemoteProtocolError(
                    "codec-header-garbage", f"Exp-Golomb number with {zeros} zeros"
                )
        return (1 << zeros) - 1 + self.bits(zeros)

    def signed(self) -> int:
        """
        @return: a signed Exp-Golomb number, se(v).

        @raise RemoteProtocolError: if it is invalid.
        """
        number = self.unsigned()
        return (number + 1) // 2 if number & 1 else -(number // 2)


def withoutEscapes(unit: bytes) -> bytes:
    """
    @return: a NAL unit without its emulation prevention bytes (H.264 7.4.1).
    """
    return unit.replace(b"\0\0\3", b"\0\0")
