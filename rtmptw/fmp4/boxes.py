"""
Boxes (ISO/IEC 14496-12, 4.2).
"""


def box(kind: bytes, *contents: bytes) -> bytes:
    """
    @param kind: the four letters of the box type.
    """
    size = 8 + sum(map(len, contents))
    return b"".join((size.to_bytes(4, "big"), kind, *contents))


def fullBox(kind: bytes, version: int, flags: int, *contents: bytes) -> bytes:
    """
    @return: a box with a version and flags.
    """
    head = bytes([version]) + flags.to_bytes(3, "big")
    return box(kind, head, *contents)


def u16(*numbers: int) -> bytes:
    """
    @return: numbers in 16 bits each.
    """
    return b"".join([(number & 0xFFFF).to_bytes(2, "big") for number in numbers])


def u32(*numbers: int) -> bytes:
    """
    @return: numbers in 32 bits each.
    """
    return b"".join([(number & 0xFFFFFFFF).to_bytes(4, "big") for number in numbers])


def u64(*numbers: int) -> bytes:
    """
    @return: numbers in 64 bits each.
    """
    return b"".join([number.to_bytes(8, "big") for number in numbers])


#: The identity matrix.
UNITY = u32(0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
