"""
Memory shared by a child and the server: a file that exists only in memory. The child
writes decoded frames to it, and the server reads them.

The server reads it and does not map it: whatever the child does to the file, the worst
that can happen is a failed read. numpy is imported only when it is used: without it
nobody can ask for arrays.
"""

import math
import os
from typing import Any, cast

from rtmptw.sinks.disk import nameless

#: The number of decoded frames that fit at the same time.
SLOTS = 4
#: The largest array: more than a 7680x4320 image with three channels.
_MAX_SIZE = 256 * 1024 * 1024
#: The kinds of numbers, as numpy names them, in decoded frames: signed and unsigned
#: integers, and floats.
_KINDS = "uif"


class Memory:
    """
    The shared memory.

    @ivar descriptor: the descriptor of its file.
    """

    def __init__(self, descriptor: int = -1) -> None:
        """
        @param descriptor: that of an existing file; -1 to create one.
        """
        self.descriptor = nameless("frames") if descriptor < 0 else descriptor

    def __del__(self) -> None:
        os.close(self.descriptor)

    def write(self, position: int, array: Any) -> None:
        """
        Write an array at a position.
        """
        import numpy

        rest = memoryview(cast(Any, numpy.ascontiguousarray(array))).cast("B")
        while rest:
            written = os.pwrite(self.descriptor, rest, position)
            rest = rest[written:]
            position += written

    def read(self, position: int, shape: list[int], kind: str) -> Any:
        """
        @param kind: the type of the numbers in numpy's notation: C{|u1} for bytes.
        @return: a new array with what is at the position.

        @raise ValueError: if there cannot be such an array.
        """
        import numpy

        numbers = numpy.dtype(kind)
        if numbers.kind not in _KINDS or numbers.itemsize > 8 or min(shape) < 1:
            raise ValueError(f"invalid array of type {kind!r} and shape {shape}")
        size = math.prod(shape) * numbers.itemsize
        if not 0 < size <= _MAX_SIZE:
            raise ValueError(f"invalid array of {size} bytes")
        array = numpy.empty(shape, numbers)
        rest = memoryview(cast(Any, array)).cast("B")
        while rest:
            count = os.preadv(self.descriptor, [rest], position)
            if not count:
                raise ValueError(f"the last {len(rest)} bytes of an array are missing")
            rest = rest[count:]
            position += count
        return array
