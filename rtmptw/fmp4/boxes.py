"""
Boxes (ISO/IEC 14496-12, 4.2).
"""


def box(kind: bytes, *contents: bytes) -> bytes:
    """
    @param kind: its four letters.
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
    @return: numbers of 16 bits.
    """
    return b"".join([(number & 0xFFFF).to_bytes(2, "big") for number in numbers])


def u32(*numbers: int) -> bytes:
    """
    @return: numbers of 32 bits.
    """
    return b"".join([(number & 0xFFFFFFFF).to_bytes(4, "big") for number in numbers])


def u64(*numbers: int) -> bytes:
    """
    @return: numbers of 64 bits.
    """
    return b"".join([number.to_bytes(8, "big") for number in numbers])


#: The matrix that changes nothing.
UNITY = u32(0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
