"""
What a program's URL says.
"""

import re
from dataclasses import replace

from rtmptw.frames import publicName
from rtmptw.rtmp.url import RTMPTarget


def targetFrom(url: str, what: str) -> RTMPTarget:
    """
    @param what: what needs the URL, for a person.
    @return: the URL, taken apart. Its port may be 0.

    @raise TypeError: if it is no string.
    @raise ValueError: if it is no URL of RTMP.
    """
    if not isinstance(url, str):
        raise TypeError(f"{what} needs a URL, not {type(url).__name__}")
    # RTMP has no port 0; a program that listens may ask for any that is free.
    known, isAny = re.subn(r"^(\w+://[^/?#]*):0(?=[/?#]|$)", r"\1:1", url)
    try:
        target = RTMPTarget.fromURL(known)
    except ValueError as error:
        raise ValueError(f"{what} needs a URL: {error}") from None
    return replace(target, port=0) if isAny else target


def nameIn(target: RTMPTarget) -> str:
    """
    @return: the public name of the stream that a URL names.
    """
    return publicName(target.app, target.stream.partition("?")[0])
