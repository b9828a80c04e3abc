"""
Memory that a child and the server share: a file that is nowhere but in memory. The
child writes pictures and samples into it, and the server reads them out.

It is read and not mapped: whatever the child does to the file, nothing but a read
fails. numpy is needed only where this is used: without it nobody can ask for arrays.
"""

import math
import os
from typing import Any, cast

from rtmptw.sinks.disk import nameless

#: Pictures, or blocks of samples, that may be in it at a time.
SLOTS = 4
#: The largest: more than 7680x4320 in three colours.
_MAX_SIZE = 256 * 1024 * 1024
#: Of numpy's kinds of numbers those that pictures and samples have: integers with and
#: without a sign, and floats. Anything else is no number.
_KINDS = "uif"


class Memory:
    """
    The file.

    @ivar descriptor: of it.
    """

    def __init__(self, descriptor: int = -1) -> None:
        """
        @param descriptor: of one that there is; -1 to make one.
        """
        self.descriptor = nameless("frames") if descriptor < 0 else descriptor

    def __del__(self) -> None:
        os.close(self.descriptor)

    def write(self, position: int, array: Any) -> None:
        """
        Put an array there.
        """
        import numpy

        rest = memoryview(cast(Any, numpy.ascontiguousarray(array))).cast("B")
        while rest:
            written = os.pwrite(self.descriptor, rest, position)
            rest = rest[written:]
            position += written

    def read(self, position: int, shape: list[int], kind: str) -> Any:
        """
        @param kind: of numbers, as numpy calls it: C{|u1} for bytes.
        @return: the array that is there, a new one.

        @raise ValueError: if there can be no such array there.
        """
        import numpy

        numbers = numpy.dtype(kind)
        if numbers.kind not in _KINDS or numbers.itemsize > 8 or min(shape) < 1:
            raise ValueError(f"an array of {kind!r} and {shape}")
        size = math.prod(shape) * numbers.itemsize
        if not 0 < size <= _MAX_SIZE:
            raise ValueError(f"an array of {size} bytes")
        array = numpy.empty(shape, numbers)
        rest = memoryview(cast(Any, array)).cast("B")
        while rest:
            count = os.preadv(self.descriptor, [rest], position)
            if not count:
                raise ValueError(f"{len(rest)} bytes of an array are missing")
            rest = rest[count:]
            position += count
        return array
