"""
Where connections come in.
"""

from typing import Any

from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IStreamServerEndpoint

#: So many connections may wait to be accepted, or as many as the kernel allows.
#: Twisted's 50 are full when an event begins: the client that finds them so is
#: silent for a second, and tries again.
BACKLOG = 4096
#: The endpoints whose descriptions may say C{backlog}.
_QUEUES = frozenset({"tcp", "tcp6", "ssl", "unix"})


def serverEndpoint(reactor: Any, description: str) -> IStreamServerEndpoint:
    """
    @param description: an endpoint description of Twisted. If it says no C{backlog},
        that is L{BACKLOG}.
    @raise ValueError: if there is no such endpoint, or what else its parser raises.
    """
    kind, *arguments = description.split(":")
    isSaid = any(argument.startswith("backlog=") for argument in arguments)
    # The third that has no name is the backlog.
    named = sum("=" in argument for argument in arguments)
    if kind in _QUEUES and not isSaid and len(arguments) - named < 3:
        description = f"{description}:backlog={BACKLOG}"
    endpoint: IStreamServerEndpoint = serverFromString(reactor, description)
    return endpoint


def peerName(address: Any) -> str:
    """
    @param address: the other end of a transport.
    @return: C{host:port}, for logs; C{"unix socket"} for what has no host.
    """
    host = getattr(address, "host", None)
    return f"{host}:{address.port}" if host else "unix socket"
