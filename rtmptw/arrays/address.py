"""
The URLs of captures and writers.
"""

import re
from dataclasses import replace

from rtmptw.frames import publicName
from rtmptw.rtmp.url import RTMPTarget


def targetFrom(url: str, what: str) -> RTMPTarget:
    """
    @param what: what needs the URL, for error messages.
    @return: the parts of the URL. The port may be 0.

    @raise TypeError: if it is not a string.
    @raise ValueError: if it is not an RTMP URL.
    """
    if not isinstance(url, str):
        raise TypeError(f"{what} needs a URL, not {type(url).__name__}")
    # Other RTMP URLs have no port 0. A program that listens may ask for any free port.
    known, isAny = re.subn(r"^(\w+://[^/?#]*):0(?=[/?#]|$)", r"\1:1", url)
    try:
        target = RTMPTarget.fromURL(known)
    except ValueError as error:
        raise ValueError(f"{what} needs a URL: {error}") from None
    return replace(target, port=0) if isAny else target


def nameIn(target: RTMPTarget) -> str:
    """
    @return: the public name of the stream in a URL.
    """
    return publicName(target.app, target.stream.partition("?")[0])
