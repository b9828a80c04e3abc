"""
Where the server listens.
"""

from typing import Any

from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IStreamServerEndpoint

#: Connections that may wait to be accepted, or as many as the kernel allows. Twisted's
#: 50 fill up when an event begins; the kernel then ignores a client's attempt, and the
#: client waits a second before it tries again.
BACKLOG = 4096
#: The endpoint types whose descriptions accept C{backlog}.
_QUEUES = frozenset({"tcp", "tcp6", "ssl", "unix"})


def serverEndpoint(reactor: Any, description: str) -> IStreamServerEndpoint:
    """
    @param description: an endpoint description of Twisted. If it does not set
        C{backlog}, L{BACKLOG} applies.
    @raise ValueError: if there is no such endpoint type. Twisted's parser may raise
        other exceptions.
    """
    kind, *arguments = description.split(":")
    isSaid = any(argument.startswith("backlog=") for argument in arguments)
    # The third positional argument is the backlog.
    named = sum("=" in argument for argument in arguments)
    if kind in _QUEUES and not isSaid and len(arguments) - named < 3:
        description = f"{description}:backlog={BACKLOG}"
    endpoint: IStreamServerEndpoint = serverFromString(reactor, description)
    return endpoint


def peerName(address: Any) -> str:
    """
    @param address: the other end of a transport.
    @return: C{host:port}, for logs; C{"unix socket"} if the address has no host.
    """
    host = getattr(address, "host", None)
    return f"{host}:{address.port}" if host else "unix socket"
